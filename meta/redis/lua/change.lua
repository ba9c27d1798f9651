-- What all changes share: the checks before, the record after.
--
-- A change's first five arguments are its head:
--   1  the beginning of its record: version 1, operation 1, time in ns 8, session 8,
--      slot I2, number I4
--   2  's' and the session, the field that says that the session lives
--   3  'r', session and slot, the field that keeps the last answer; '' for no session
--   4  'e', session and slot, the field for a number that was given up
--   5  time in ms I6, and how often the change was sent before 1
local C = {}

local ADMIN, START = 1, 2

-- There is one change at a time, so its table is made once: making it anew would cost more
-- than most of what a change does.
--
-- order and value hold the inodes to write, fx the other effects.
local cx = {order = {}, value = {}, fx = {}}

-- made[key] is the checksum of the last record that this process has made of a volume. Where another one
-- is the last, the log was made elsewhere, and its end may be lost: this server was started anew, was a replica
-- until now, or holds a backup. Clients that live on know inodes and slices of what is lost; so the first change
-- passes over the numbers that may have been given out, for no number to be used twice.
local made = {}

-- What is passed over: more inodes than a server makes in four seconds, and a loss is of two at most. A scan goes
-- through all numbers, so that they cost something.
local LOST_INODES, LOST_SLICES = 131072, 1048576

-- goes_on tells that nothing was lost of a log that another process has made.
function C.goes_on(key, chain) made[key] = chain end

local function pass_over(next, count)
  return next + count < 2 ^ 48 and next + count or next
end

-- is_behind reports whether number a comes before b. They wrap around.
local function is_behind(a, b) return (a - b) % 4294967296 > 2147483648 end

-- begin reads the state and checks role, session and resend: a number that the slot
-- has seen is answered as it was, one before it is refused. It returns the
-- change, or nil and the answer. mode ADMIN allows session 0, START a session
-- that is not registered yet.
function C.begin(keys, args, mode)
  local key, start, slot = keys[1], args[1], args[3]
  local v = call('HMGET', key, 'state', args[2], slot, args[4], 'b' .. sub(start, 11, 18))
  local state, kept, given_up = v[1], v[3], v[4]
  if not state then return nil, fail('ENOENT', 'volume') end
  local c = cx
  local chain, role
  c.epoch, c.seq, chain, c.nino, c.nslice, c.bytes, c.inodes, role, c.quotas = read('>I6I6c16I6I6I7I6c1B', state)
  if role ~= 'S' then
    if role == 'B' then return nil, fail('EROFS', 'readonly') end
    -- A source that was replaced, and may be a mirror by now: what it made is still answered; what it refuses here must not be made when it comes late.
    if kept and sub(kept, 1, 4) == sub(start, 21) then return nil, kept end
    if slot ~= '' and byte(args[5], 7) > 0 then call('HSET', key, args[4], sub(start, 21) .. sub(args[5], 7)) end
    return nil, fail('EROFS', role == 'F' and 'fenced' or 'readonly')
  end
  if slot == '' then
    if mode ~= ADMIN then return nil, fail('ESTALE', 'session') end
  elseif not v[2] and mode ~= START or v[5] then
    return nil, fail('ESTALE', 'session')
  elseif kept or given_up then
    local mine = sub(start, 21)
    if kept and sub(kept, 1, 4) == mine then
      if mode == START then T.expect_late(sub(key, 1, -2), sub(start, 11, 18)) end
      return nil, kept
    end
    mine = read('>I4', mine)
    if kept and is_behind(mine, (read('>I4', kept))) then return nil, fail('EIO', 'number') end
    if given_up then
      local n, sends = read('>I4B', given_up)
      if is_behind(mine, n) or mine == n and byte(args[5], 7) <= sends then return nil, fail('EIO', 'number') end
    end
  end
  if made[key] ~= chain then
    c.nino, c.nslice = pass_over(c.nino, LOST_INODES), pass_over(c.nslice, LOST_SLICES)
  end
  c.key, c.p, c.start, c.slot, c.time = key, sub(key, 1, -2), start, slot, args[5]
  c.ns, c.chain, c.seq = sub(start, 3, 10), chain, c.seq + 1
  c.inos, c.effects, c.done, c.freed_from = 0, 0, false, nil
  if c.quotas > 0 then C.begin_charges(c) else c.rows = nil end
  return c
end

-- get returns an inode value as this change sees it, or false.
function C.get(c, ino)
  local order = c.order
  for i = 1, c.inos do
    if order[i] == ino then return c.value[i] end
  end
  return T.inode(c.p, ino)
end

-- put notes an inode to be written at the end; false deletes it.
function C.put(c, ino, v)
  local order, n = c.order, c.inos
  for i = 1, n do
    if order[i] == ino then
      c.value[i] = v
      return
    end
  end
  n = n + 1
  order[n], c.value[n], c.inos = ino, v, n
end

-- dir returns the value of a directory that has a name, or nil and the error.
function C.dir(c, ino)
  local v = C.get(c, ino)
  if not v then return nil, fail('ENOENT') end
  local b = byte(v, 2)
  if b < 64 or b > 79 then return nil, fail('ENOTDIR') end
  if byte(v, 5) == 0 then return nil, fail('ENOENT') end -- it was removed
  return v
end

function C.effect(c, e)
  local n = c.effects + 1
  c.fx[n], c.effects = e, n
end

function C.ms(c) return (read('>I6', c.time)) end

-- version makes one for a file whose extents are in lists: of where the log is, and of which slice numbers are
-- next, since a log whose end was lost comes to the same places again, but passes over numbers before.
function C.version(c)
  return pack('>I6', (c.nslice - c.nslice % 524288) / 524288 % 65536 * 4294967296 + c.seq % 4294967296)
end

-- add_orphan lists an inode that has lost its last name, and its place.
local function add_orphan(c, ino, parent, name)
  local ms = C.ms(c)
  T.put_orphan(c.p, ms, ino, parent, name)
  C.effect(c, pack('>c1I6I6I6B', 'O', ms, ino, parent, #name) .. name)
end

-- logical is an inode value without what is true of this copy only: how the directory
-- is paged.
local function logical(v)
  local b = byte(v, 2)
  if b < 64 or b > 79 or sub(v, 56) == '\0\0\0\0' then return v end
  return sub(v, 1, 55) .. '\0\0\0\0'
end

-- write_inodes writes the inodes and returns their effects.
local function write_inodes(c)
  local order, value, out = c.order, c.value, ''
  for i = 1, c.inos do
    local v = value[i]
    if v then
      v = logical(v)
      out = out .. pack('>c1I6B', 'I', order[i], #v) .. v
    else
      out = out .. pack('>c1I6', 'i', order[i])
    end
  end
  T.put_inodes(c.p, order, value, c.inos)
  return out
end

-- Most of an answer: 4096 bytes, of which 68 stand before the effects.
local ROOM = 4096 - 68

-- cut is the part of the effects that fits into an answer. Those of inodes always do.
local function cut(c, inodes)
  local room, n = ROOM - #inodes, 0
  while n < c.effects and room >= #c.fx[n + 1] do
    n = n + 1
    room = room - #c.fx[n]
  end
  return inodes .. concat(c.fx, '', 1, n)
end

-- finish writes inodes, state, kept reply and record, and returns the reply with its
-- number, as it is kept. about is the inode that the change was about.
function C.finish(c, about)
  if c.rows then C.write_charges(c) end
  local inodes = write_inodes(c)
  local effects = inodes .. concat(c.fx, '', 1, c.effects)
  local after = pack('>I6I6I7I6', c.nino, c.nslice, c.bytes, c.inodes)
  local body = c.start .. after .. effects
  local chain = sub(sha1(c.chain .. body), 1, 16)
  local pos = pack('>I6I6I6', c.epoch, c.seq, about)
  local answer = sub(c.start, 21) .. pos
  if #effects <= ROOM then
    answer = answer .. '\0' .. body
  else
    answer = answer .. '\1' .. c.start .. after .. cut(c, inodes)
  end
  local state = sub(pos, 1, 12) .. chain .. after .. 'S' .. char(c.quotas) .. '\0\0\0\0\0'
  if c.slot ~= '' then
    call('HSET', c.key, 'state', state, c.slot, answer)
  else
    call('HSET', c.key, 'state', state)
  end
  call('XADD', c.p .. 'log', format('%d-%d', c.epoch, c.seq), 'r', body .. chain)
  made[c.key], c.done = chain, true
  return answer
end

-- unchanged answers a change that had nothing to do: no record, position zero.
function C.unchanged(c, ino)
  local v = logical(C.get(c, ino))
  local after = pack('>I6I6I7I6', c.nino, c.nslice, c.bytes, c.inodes)
  return sub(c.start, 21) .. pack('>I6I6I6B', 0, 0, ino, 0) .. c.start .. after .. pack('>c1I6B', 'I', ino, #v) .. v
end

-- change defines a change: fn(c, args) checks all, then writes, and returns the answer of
-- C.finish, or an error. An error is not kept as an answer is. But when a request that is
-- sent again fails, or finds nothing to do, its number is given up: an earlier one may still be
-- on its way, and must not be made when it comes.
local function change(name, fn, mode, flags)
  define(name, function(keys, args)
    local c, answer = C.begin(keys, args, mode)
    if not c then return answer end
    answer = fn(c, args)
    if not c.done and c.slot ~= '' and byte(c.time, 7) > 0 then
      call('HSET', c.key, args[4], sub(c.start, 21) .. sub(c.time, 7))
    end
    return answer
  end, flags)
end

-- FREES flags what makes room: it must work when memory is full.
local FREES = {'allow-oom'}
