-- What all changes share: the checks before, the record after.
--
-- A change's first argument is its head, 31 bytes: the beginning of its record
-- (version 1, operation 1, time in ns 8, session 8, slot I2, number I4), then the
-- time in ms I6, and how often it was sent before.
local C = {}

local ADMIN, START = 1, 2

-- begin reads the state and checks role, session and resend: a number that the slot
-- has seen is answered as it was, one before it is refused. It returns the
-- change, or nil and the answer. mode ADMIN allows session 0, START a session
-- that is not registered yet.
function C.begin(keys, args, mode)
  local key, head = keys[1], args[1]
  local session = sub(head, 11, 18)
  local slot, given_up = 'r' .. sub(head, 11, 20), 'e' .. sub(head, 11, 20)
  local v = call('HMGET', key, 'state', 's' .. session, slot, given_up)
  local state, kept = v[1], v[3]
  if not state then return nil, fail('ENOENT', 'volume') end
  local epoch, seq, chain, nino, nslice, bytes, inodes, role = read('>I6I6c16I6I6I7I6c1', state)
  if role ~= 'S' then return nil, fail('EROFS', role == 'F' and 'fenced' or 'readonly') end
  if session == NOSESSION then
    if mode ~= ADMIN then return nil, fail('ESTALE', 'session') end
    slot = nil
  elseif not v[2] and mode ~= START then
    return nil, fail('ESTALE', 'session')
  elseif kept then
    local ahead = (read('>I4', head, 21) - read('>I4', kept)) % 4294967296
    if ahead == 0 then return nil, sub(kept, 5) end
    if ahead > 2147483648 then return nil, fail('EIO', 'number') end
  end
  if v[4] then
    local ahead = (read('>I4', head, 21) - read('>I4', v[4])) % 4294967296
    if ahead > 2147483648 or ahead == 0 and byte(head, 31) <= byte(v[4], 5) then return nil, fail('EIO', 'number') end
  end
  return {
    key = key, p = sub(key, 1, -2), head = head, ns = sub(head, 3, 10), slot = slot, given_up = byte(head, 31) > 0 and given_up,
    epoch = epoch, seq = seq + 1, chain = chain,
    nino = nino, nslice = nslice, bytes = bytes, inodes = inodes,
    new = {}, order = {}, -- inodes to write: values, and numbers in order
    fx = {}, -- the other effects
  }
end

-- get returns an inode value as this change sees it, or false.
function C.get(c, ino)
  local v = c.new[ino]
  if v ~= nil then return v end
  return T.inode(c.p, ino)
end

-- put notes an inode to be written at the end; false deletes it.
function C.put(c, ino, v)
  if c.new[ino] == nil then c.order[#c.order + 1] = ino end
  c.new[ino] = v
end

-- dir returns the value of a directory, or nil and the error.
function C.dir(c, ino)
  local v = C.get(c, ino)
  if not v then return nil, fail('ENOENT') end
  if byte(v, 2) < 64 or byte(v, 2) > 79 then return nil, fail('ENOTDIR') end
  return v
end

function C.effect(c, e) c.fx[#c.fx + 1] = e end

function C.ms(c) return (read('>I6', c.head, 25)) end

-- logical is an inode value without what is true of this copy only: how the directory
-- is paged.
local function logical(v)
  local b = byte(v, 2)
  if b < 64 or b > 79 or sub(v, 56, 59) == '\0\0\0\0' then return v end
  return sub(v, 1, 55) .. '\0\0\0\0'
end

-- inode_effects writes the inodes and returns their effects.
local function inode_effects(c)
  local out, order, new = {}, c.order, c.new
  for i = 1, #order do
    local ino = order[i]
    local v = new[ino]
    if v then
      v = logical(v)
      out[i] = pack('>c1I6B', 'I', ino, #v) .. v
    else
      out[i] = pack('>c1I6', 'i', ino)
    end
  end
  if #order > 0 then T.put_inodes(c.p, new, order) end
  return out
end

-- cut drops the effects that do not fit into a reply (4096 bytes in all).
local function cut(head, effects)
  local room, n = 4096 - #head, 0
  while n < #effects and room >= #effects[n + 1] do
    n = n + 1
    room = room - #effects[n]
  end
  return concat(effects, '', 1, n)
end

-- finish writes inodes, state, kept reply and record, and returns the reply.
-- about is the inode that the change was about.
function C.finish(c, about)
  local effects = inode_effects(c)
  local fx, n = c.fx, #effects
  for i = 1, #fx do effects[n + i] = fx[i] end
  local after = pack('>I6I6I7I6', c.nino, c.nslice, c.bytes, c.inodes)
  local start = sub(c.head, 1, 24) .. after
  local body = start .. concat(effects)
  local chain = sub(sha1(c.chain .. body), 1, 16)
  local pos = pack('>I6I6', c.epoch, c.seq)
  local state = pos .. chain .. after .. 'S\0\0\0\0\0\0'
  local answer = pos .. pack('>I6', about)
  if #body <= 4096 - 19 then
    answer = answer .. '\0' .. body
  else
    answer = answer .. '\1' .. start
    answer = answer .. cut(answer, effects)
  end
  if c.slot then
    call('HSET', c.key, 'state', state, c.slot, sub(c.head, 21, 24) .. answer)
  else
    call('HSET', c.key, 'state', state)
  end
  c.given_up = false
  call('XADD', c.p .. 'log', dec(c.epoch) .. '-' .. dec(c.seq), 'r', body .. chain)
  return answer
end

-- unchanged answers a change that had nothing to do: no record, position zero.
function C.unchanged(c, ino)
  local v = logical(C.get(c, ino))
  local after = pack('>I6I6I7I6', c.nino, c.nslice, c.bytes, c.inodes)
  return pack('>I6I6I6B', 0, 0, ino, 0) .. sub(c.head, 1, 24) .. after .. pack('>c1I6B', 'I', ino, #v) .. v
end

-- change defines a change: fn(c, args) checks all, then writes, and returns the answer of
-- C.finish, or an error. An error is not kept as an answer is. But when a request that is
-- sent again fails, its number is given up: an earlier one may still be on its way, and must
-- not be made when it comes.
local function change(name, fn, mode)
  define(name, function(keys, args)
    local c, answer = C.begin(keys, args, mode)
    if not c then return answer end
    answer = fn(c, args)
    if c.given_up and c.slot then call('HSET', c.key, c.given_up, sub(c.head, 21, 24) .. sub(c.head, 31)) end
    return answer
  end)
end
