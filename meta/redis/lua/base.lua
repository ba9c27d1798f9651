-- The functions of mirrorfs in Redis. docs/format.md gives the keys and layouts.
--
-- All files of this directory are one chunk: a local of one file is seen by
-- those after it. Offsets into inode values are written as Lua counts, from 1:
-- flags 1, mode 2-3, nlink 4-5, uid 6-9, gid 10-13, atime 14-21, mtime 22-29,
-- ctime 30-37, size 38-43, parent 44-49, then the tail: subdirectories 50-55
-- and next page 56-59 of a directory.

-- While a library loads, only redis.* exists; so these are set by the first call.
local pack, read, sub, byte, char, concat, format, call, sha1, band, spread, number
local FIELD = {} -- the fields of a group of inodes: numbers are slow to pass

local function init()
  pack, read, spread, number = struct.pack, struct.unpack, unpack, tonumber
  sub, byte, char, format, concat = string.sub, string.byte, string.char, string.format, table.concat
  call, sha1, band = redis.call, redis.sha1hex, bit.band
  for i = 0, 63 do FIELD[i] = i .. '' end
end

-- define registers a function: fn(keys, args), flags as Redis knows them.
local function define(name, fn, flags)
  redis.register_function({
    function_name = 'mirrorfs_1_' .. name,
    callback = function(keys, args)
      if not pack then init() end
      return fn(keys, args)
    end,
    flags = flags,
  })
end

-- fail makes the error reply for an errno; why is a word that the client knows.
local function fail(errno, why)
  return {err = errno .. ' ' .. (why or '-')}
end

-- dec writes a whole number below 2^53.
local function dec(n) return format('%d', n) end

local NOSESSION = '\0\0\0\0\0\0\0\0'
local NOTIME = NOSESSION
local CHUNK = 2 ^ 26
local PAGE = 128 -- most entries of a page
local SPREAD = 1000 -- most arguments that are spread into one call
local EXTENT = 23 -- bytes of an extent

-- hex names a session in a key.
local function hex(session) return format('%08x%08x', read('>I4I4', session)) end

-- T holds the functions on rows, the only ones that write tables. Operations
-- and the replay of records both use them, so that both leave the same keys.
-- p is the prefix of the volume's keys.
local T = {}

-- group gives the decimal number of an inode's group, and its field there. The numbers
-- last written are remembered.
local groups, remembered = {}, 0

local function group(ino)
  local f = ino % 64
  local g = (ino - f) / 64
  local name = groups[g]
  if not name then
    if remembered == 4096 then groups, remembered = {}, 0 end
    name = dec(g)
    groups[g], remembered = name, remembered + 1
  end
  return name, FIELD[f]
end

function T.inode(p, ino)
  local g, f = group(ino)
  return call('HGET', p .. 'i' .. g, f)
end

-- put_inodes writes the first n inodes of order: values, or false to delete.
function T.put_inodes(p, order, values, n)
  if n == 2 and values[1] and values[2] then -- most often a directory and what is in it
    local g1, f1 = group(order[1])
    local g2, f2 = group(order[2])
    if g1 == g2 then
      call('HSET', p .. 'i' .. g1, f1, values[1], f2, values[2])
    else
      call('HSET', p .. 'i' .. g1, f1, values[1])
      call('HSET', p .. 'i' .. g2, f2, values[2])
    end
    return
  end
  local sets, keys = {}, {}
  for i = 1, n do
    local g, f = group(order[i])
    local v, key = values[i], p .. 'i' .. g
    if v then
      local set = sets[key]
      if not set then
        set = {}
        sets[key], keys[#keys + 1] = set, key
      end
      set[#set + 1] = f
      set[#set + 1] = v
    else
      call('HDEL', key, f)
    end
  end
  for i = 1, #keys do
    call('HSET', keys[i], spread(sets[keys[i]]))
  end
end

-- put_chunk sets an extent list to the first keep bytes of old, then value.
-- An empty list is no row.
function T.put_chunk(p, ino, index, keep, value, old)
  if keep > 0 then value = sub(old, 1, keep) .. value end
  if value == '' then
    call('HDEL', p .. 'c' .. ino, index)
  else
    call('HSET', p .. 'c' .. ino, index, value)
  end
end

function T.del_chunk(p, ino, index) call('HDEL', p .. 'c' .. ino, index) end

function T.put_target(p, ino, target)
  local g, f = group(ino)
  call('HSET', p .. 'l' .. g, f, target)
end

function T.del_target(p, ino)
  local g, f = group(ino)
  call('HDEL', p .. 'l' .. g, f)
end

function T.target(p, ino)
  local g, f = group(ino)
  return call('HGET', p .. 'l' .. g, f)
end

function T.put_xattr(p, ino, name, value) call('HSET', p .. 'a' .. ino, name, value) end
function T.del_xattr(p, ino, name) call('HDEL', p .. 'a' .. ino, name) end

-- put_names sets how many names a file has in a directory, for one that has names in
-- several.
function T.put_names(p, ino, dir, count)
  if count > 0 then
    call('HSET', p .. 'p' .. ino, dir, count)
  else
    call('HDEL', p .. 'p' .. ino, dir)
  end
end

function T.put_quota(p, dir, value) call('HSET', p .. 'q', dir, value) end
function T.del_quota(p, dir) call('HDEL', p .. 'q', dir) end

-- quota_flags tells which quotas there are: 1 the volume's, 2 those of directories.
function T.quota_flags(p)
  local n, root = call('HLEN', p .. 'q'), call('HEXISTS', p .. 'q', '1')
  return root + (n > root and 2 or 0)
end

function T.put_refs(p, slice, count)
  if count > 0 then
    call('HSET', p .. 'r', slice, count)
  else
    call('HDEL', p .. 'r', slice)
  end
end

-- know notes that a slice is referenced or freed, and tells whether that was known: a
-- slice with one reference has no row that says so.
function T.know(p, slice)
  local f = slice % 32768
  return call('SETBIT', p .. 'k' .. (slice - f) / 32768, f, 1) == 1
end

function T.knows(p, slice)
  local f = slice % 32768
  return call('GETBIT', p .. 'k' .. (slice - f) / 32768, f) == 1
end

-- put_marks sets which slices of a group are known.
function T.put_marks(p, g, marks)
  if marks == '' then
    call('DEL', p .. 'k' .. dec(g))
  else
    call('SET', p .. 'k' .. dec(g), marks)
  end
end

-- rank_after returns the place in a sorted set of times of the first member that comes after
-- a time (ms) and a number, with which members begin (I6).
function T.rank_after(key, ms, n)
  local low = call('ZCOUNT', key, '-inf', '(' .. dec(ms))
  local high = low + call('ZCOUNT', key, dec(ms), dec(ms))
  while low < high do
    local middle = (low + high - (low + high) % 2) / 2
    if read('>I6', call('ZRANGE', key, middle, middle)[1]) <= n then low = middle + 1 else high = middle end
  end
  return low
end

-- A change's freed slices are one member of a sorted set by time. To find the member of a
-- slice, its time hangs on its number.

-- freed finds the member of the change with this seq and time, or nil.
function T.freed(p, seq, ms)
  local rank = T.rank_after(p .. 'f', ms, seq - 1)
  local found = call('ZRANGE', p .. 'f', rank, rank, 'WITHSCORES')
  if found[1] and number(found[2]) == ms and read('>I6', found[1]) == seq then return found[1] end
end

local function drop_freed(p, member)
  call('ZREM', p .. 'f', member)
  for i = 7, #member, 11 do
    local g, f = group((read('>I6', member, i)))
    call('HDEL', p .. 'g' .. g, f)
  end
end

-- put_freed lists slices (11 bytes each) as freed by the change with this seq. old is the
-- member that the change has, or nil.
function T.put_freed(p, seq, ms, slices, old)
  if old then drop_freed(p, old) end
  call('ZADD', p .. 'f', ms, pack('>I6', seq) .. slices)
  for i = 1, #slices, 11 do
    local slice = read('>I6', slices, i)
    local g, f = group(slice)
    call('HSET', p .. 'g' .. g, f, ms)
    T.know(p, slice)
  end
end

-- del_freed forgets what a change freed.
function T.del_freed(p, seq, ms)
  local member = T.freed(p, seq, ms)
  if not member then return end
  drop_freed(p, member)
  local touched, seen = {}, {}
  for i = 7, #member, 11 do
    local slice = read('>I6', member, i)
    local f = slice % 32768
    local key = p .. 'k' .. (slice - f) / 32768
    call('SETBIT', key, f, 0)
    if not seen[key] then
      seen[key], touched[#touched + 1] = true, key
    end
  end
  for i = 1, #touched do
    if call('BITCOUNT', touched[i]) == 0 then call('DEL', touched[i]) end
  end
end

-- when_freed is the time of a slice that is listed as freed, or nil.
function T.when_freed(p, slice)
  local g, f = group(slice)
  local ms = call('HGET', p .. 'g' .. g, f)
  return ms and number(ms)
end

-- freed_with finds the member that has a slice which was freed at a time, and where in it.
function T.freed_with(p, slice, ms)
  local what = pack('>I6', slice)
  for rank = T.rank_after(p .. 'f', ms, -1), math.huge do
    local member = call('ZRANGE', p .. 'f', rank, rank)[1]
    if not member then return nil end
    for i = 7, #member, 11 do
      if sub(member, i, i + 5) == what then return member, i end
    end
  end
end

-- An orphan is listed by time, and what was its place hangs on its number.
function T.put_orphan(p, ms, ino, parent, name)
  local g, f = group(ino)
  call('ZADD', p .. 'o', ms, pack('>I6', ino))
  call('HSET', p .. 'n' .. g, f, pack('>I6', parent) .. name)
end

function T.del_orphan(p, ino)
  local g, f = group(ino)
  call('ZREM', p .. 'o', pack('>I6', ino))
  call('HDEL', p .. 'n' .. g, f)
end

-- orphan returns when an inode became an orphan (ms), and its place (parent I6, name);
-- or nil.
function T.orphan(p, ino)
  local ms = call('ZSCORE', p .. 'o', pack('>I6', ino))
  if not ms then return nil end
  local g, f = group(ino)
  return number(ms), call('HGET', p .. 'n' .. g, f)
end

function T.put_session(p, session, info) call('HSET', p .. 'v', 's' .. session, info) end

-- open_key names the set of inodes that a session has open.
function T.open_key(p, session)
  return p .. 'u' .. hex(session)
end

-- expect_late marks a session whose start was sent more than once. When it has ended,
-- nothing else tells that a request that comes after all must not start it again. None is on
-- its way for an hour.
function T.expect_late(p, session)
  call('SET', p .. 'e' .. hex(session), '', 'PX', 3600000)
end

function T.may_come_late(p, session)
  return call('EXISTS', p .. 'e' .. hex(session)) == 1
end

-- What this server's process knows of the sessions of a volume: when it began to, and which
-- of them have told it all their locks, or were started under it. A server that was started
-- anew or took another's place knows nothing: locks may have been lost.
local known = {}

function T.known(p)
  local k = known[p]
  if not k then
    local t = call('TIME')
    k = {began = t[1] .. '.' .. t[2], confirmed = {}, all = false}
    known[p] = k
  end
  return k
end

-- del_session removes a session with its kept replies; slots are below 1024.
function T.del_session(p, session)
  for first = 0, 1023, 256 do
    local fields = {'s' .. session}
    for slot = first, first + 255 do
      slot = session .. pack('>I2', slot)
      fields[#fields + 1] = 'r' .. slot
      fields[#fields + 1] = 'e' .. slot
    end
    call('HDEL', p .. 'v', spread(fields))
  end
  call('HDEL', p .. 'v', 'b' .. session)
  call('ZREM', p .. 'h', session)
  call('DEL', T.open_key(p, session))
  if known[p] then known[p].confirmed[session] = nil end
end

function T.put_reply(p, session_slot, value) call('HSET', p .. 'v', 'r' .. session_slot, value) end
function T.del_reply(p, session_slot) call('HDEL', p .. 'v', 'r' .. session_slot) end
function T.put_setting(p, name, value) call('HSET', p .. 'cfg', name, value) end
function T.del_setting(p, name) call('HDEL', p .. 'cfg', name) end
