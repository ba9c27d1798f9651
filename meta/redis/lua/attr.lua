-- setattr and extended attributes.

-- Bits of meta.AttrMask.
local SET_MODE, SET_UID, SET_GID, SET_SIZE, SET_ATIME, SET_MTIME = 1, 2, 4, 8, 16, 32
local SET_ATIME_NOW, SET_MTIME_NOW, CLEAR_SETID, NO_TRASH = 64, 128, 256, 512

-- trash is how long the volume keeps what was deleted, in ms.
local function trash(c)
  local ns = string.match(call('HGET', c.p .. 'cfg', 'volume') or '', '"trash":(%d+)')
  return ns and (number(ns) - number(ns) % 1000000) / 1000000 or 0
end

-- pairs_of reads a hash, if it has at most so many fields and bytes; else nil.
local function pairs_of(key, fields, bytes)
  if call('HLEN', key) > fields then return nil end
  local flat, n = call('HGETALL', key), 0
  for i = 1, #flat do n = n + #flat[i] end
  if n <= bytes then return flat end
end

-- keep_content makes an orphan of all that a file holds, and returns the value of the file
-- without it; nil when that is not to be kept.
local function keep_content(c, ino, v)
  local inline, lists = inline_list(v) ~= '', has_lists(v)
  if sub(v, 4, 5) == '\0\0' or not inline and not lists or trash(c) == 0 or c.nino >= 2 ^ 48 then return nil end
  local d, kept = dec(ino), c.nino
  local xattrs, rows = pairs_of(c.p .. 'a' .. d, 4096, 65536), pairs_of(c.p .. 'c' .. d, 2048, 262144)
  if not xattrs or not rows then return nil end
  over_size(c, ino, v, 0) -- it is less: no quota refuses that
  c.nino, c.bytes = kept + 1, c.bytes - rounded(size_of(v))
  if lists then call('RENAME', c.p .. 'c' .. d, c.p .. 'c' .. dec(kept)) end
  for i = 1, #rows, 2 do
    C.effect(c, pack('>c1I6I4', 'c', ino, rows[i]))
    C.effect(c, pack('>c1I6I4I4I4', 'C', kept, rows[i], 0, #rows[i + 1]) .. rows[i + 1])
  end
  for i = 1, #xattrs, 2 do
    T.put_xattr(c.p, dec(kept), xattrs[i], xattrs[i + 1])
    C.effect(c, pack('>c1I6B', 'X', kept, #xattrs[i]) .. xattrs[i] .. pack('>I4', #xattrs[i + 1]) .. xattrs[i + 1])
  end
  local empty = char(band(byte(v, 1), 9)) .. sub(v, 2, 37) .. '\0\0\0\0\0\0' .. sub(v, 44, 49) .. C.version(c)
  C.put(c, ino, empty) -- it comes first in the record
  C.put(c, kept, char(band(byte(v, 1), 7)) .. sub(v, 2, 3) .. '\0\0' .. sub(v, 6, 43) .. pack('>I6', ino) .. sub(v, 50))
  add_orphan(c, kept, ino, '')
  return empty
end

-- accessed sets the access time of an inode if that is later, and nothing else.
local function accessed(c, ino, v, atime)
  local was_high, was_low = read('>i4I4', v, 14)
  local high, low = read('>i4I4', atime)
  if high < was_high or high == was_high and low <= was_low then return C.unchanged(c, ino) end
  C.put(c, ino, sub(v, 1, 13) .. atime .. sub(v, 22))
  return C.finish(c, ino)
end

-- setattr: inode; mask; mode I2, uid 4, gid 4, size I6, atime 8, mtime 8.
change('setattr', function(c, args)
  local ino, set = number(args[6]), number(args[7])
  local v = C.get(c, ino)
  if not v then return fail('ENOENT') end
  if set == 0 then return C.unchanged(c, ino) end
  if set == 1024 then return accessed(c, ino, v, sub(args[8], 17, 24)) end -- meta.SetAccessed
  local mode, uid, gid, size, atime, mtime = read('>I2c4c4I6c8c8', args[8])
  local function has(bit) return band(set, bit) ~= 0 end
  local mtime_now = has(SET_MTIME_NOW)
  if has(SET_SIZE) then
    local err = not_file(v)
    if err then return err end
    local kept = size == 0 and not has(NO_TRASH) and keep_content(c, ino, v)
    if not kept then
      local k
      k, size = truncate(c, ino, v, size)
      if size == CHUNK and has_lists(v) then -- the first may be all that is left
        local whole = read_lists(c, ino, {0})[0]
        stage(k, 0, whole, whole)
      end
      local no = over_size(c, ino, v, size)
      if no then return no end
      kept = store(c, ino, v, size, k)
    end
    v = kept
    mtime_now = mtime_now or not has(SET_MTIME)
  end
  if has(SET_MODE) then
    v = sub(v, 1, 1) .. pack('>I2', band(byte(v, 2), 240) * 256 + mode % 4096) .. sub(v, 4)
  end
  if not has(SET_UID) then uid = sub(v, 6, 9) end
  if not has(SET_GID) then gid = sub(v, 10, 13) end
  if has(SET_ATIME_NOW) then atime = c.ns elseif not has(SET_ATIME) then atime = sub(v, 14, 21) end
  if mtime_now then mtime = c.ns elseif not has(SET_MTIME) then mtime = sub(v, 22, 29) end
  v = sub(v, 1, 5) .. uid .. gid .. atime .. mtime .. c.ns .. sub(v, 38)
  if has(CLEAR_SETID) then v = clear_setid(v) end
  if has(SET_MODE) then C.chmod_acl(c, ino, v) end
  if band(set, SET_UID + SET_GID + SET_SIZE) ~= 0 then v = C.drop_capability(c, ino, v) end
  C.put(c, ino, v)
  return C.finish(c, ino)
end)

-- with_xattrs is an inode value that says whether it has extended attributes, changed now.
local function with_xattrs(c, v, has)
  local flags = byte(v, 1)
  return char(flags - flags % 2 + (has and 1 or 0)) .. sub(v, 2, 29) .. c.ns .. sub(v, 38)
end

-- setxattr: inode; name; value; mode (0 any, 1 create, 2 replace); 1 to clear setgid.
change('setxattr', function(c, args)
  local ino, name, value, mode = number(args[6]), args[7], args[8], args[9]
  local v = C.get(c, ino)
  if not v then return fail('ENOENT') end
  local err = C.may_have_acl(v, name)
  if err then return err end
  local key = c.p .. 'a' .. dec(ino)
  local exists = byte(v, 1) % 2 == 1 and call('HEXISTS', key, name) == 1
  if exists and mode == '1' then return fail('EEXIST') end
  if not exists and mode == '2' then return fail('ENODATA') end
  if not exists and byte(v, 1) % 2 == 1 and not C.names_fit(key, name) then return fail('ENOSPC') end
  local said
  v, said = C.mode_of_acl(v, name, value)
  if args[10] == '1' then v = sub(v, 1, 1) .. char(band(byte(v, 2), 251)) .. sub(v, 3) end
  if not said then
    T.put_xattr(c.p, dec(ino), name, value)
    C.effect(c, pack('>c1I6B', 'X', ino, #name) .. name .. pack('>I4', #value) .. value)
  elseif exists then
    T.del_xattr(c.p, dec(ino), name)
    C.effect(c, pack('>c1I6B', 'x', ino, #name) .. name)
  end
  C.put(c, ino, with_xattrs(c, v, not said or call('EXISTS', key) == 1))
  return C.finish(c, ino)
end)

-- removexattr: inode; name.
change('removexattr', function(c, args)
  local ino, name = number(args[6]), args[7]
  local v = C.get(c, ino)
  if not v then return fail('ENOENT') end
  local key = c.p .. 'a' .. dec(ino)
  if call('HEXISTS', key, name) == 0 then return fail('ENODATA') end
  T.del_xattr(c.p, dec(ino), name)
  C.effect(c, pack('>c1I6B', 'x', ino, #name) .. name)
  C.put(c, ino, with_xattrs(c, v, call('EXISTS', key) == 1))
  return C.finish(c, ino)
end)

-- drop_xattrs removes all extended attributes of an inode that goes.
local function drop_xattrs(c, ino, v)
  if band(byte(v, 1), 1) == 0 then return end
  local names = sorted(call('HKEYS', c.p .. 'a' .. dec(ino)))
  for i = 1, #names do
    T.del_xattr(c.p, dec(ino), names[i])
    C.effect(c, pack('>c1I6B', 'x', ino, #names[i]) .. names[i])
  end
end
