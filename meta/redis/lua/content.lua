-- The contents of files: commit, truncate, and freeing.

local MAXFILE = 2 ^ 46

local function rounded(size)
  return size + -size % 4096
end

-- not_file is the error for what is no regular file, nil for one.
local function not_file(v)
  if not v then return fail('ENOENT') end
  local b = byte(v, 2)
  if b >= 64 and b <= 79 then return fail('EISDIR') end
  if b < 128 or b > 143 then return fail('EINVAL') end
end

local function size_of(v) return (read('>I6', v, 38)) end

-- inline_list is the list of an inline extent, '' when there is none.
local function inline_list(v)
  if band(byte(v, 1), 2) == 0 then return '' end
  return pack('>I4I4', 0, size_of(v)) .. sub(v, 50, 64)
end

local function has_lists(v) return band(byte(v, 1), 4) ~= 0 end

-- covers reports whether a list is one extent from 0 to a size: a whole file.
local function covers(list, size)
  if #list ~= EXTENT then return false end
  local from, len = read('>I4I4', list)
  return from == 0 and len == size
end

-- put_list writes a chunk's list, was before. The effect says how much of it stayed.
local function put_list(c, ino, index, was, list)
  if list == was then return end
  if list == '' then
    T.del_chunk(c.p, dec(ino), index)
    C.effect(c, pack('>c1I6I4', 'c', ino, index))
    return
  end
  local keep = shared(was, list)
  local value = sub(list, keep + 1)
  T.put_chunk(c.p, dec(ino), index, keep, value, was)
  C.effect(c, pack('>c1I6I4I4I4', 'C', ino, index, keep, #value) .. value)
end

-- read_lists returns the lists of chunks by index, '' for those that have none.
local function read_lists(c, ino, indexes)
  local lists = {}
  for first = 1, #indexes, SPREAD do
    local last = first + SPREAD - 1
    if last > #indexes then last = #indexes end
    local rows = call('HMGET', c.p .. 'c' .. dec(ino), spread(indexes, first, last))
    for i = 1, #rows do lists[indexes[first + i - 1]] = rows[i] or '' end
  end
  return lists
end

-- A content under way: the chunks that change, the rows that are stored for them, their
-- lists as they will be, and the tally of references.
local function content() return {order = {}, was = {}, list = {}, tally = tally()} end

local function stage(k, index, was, list)
  k.order[#k.order + 1], k.was[index], k.list[index] = index, was, list
end

-- over_size returns the error for a file that is to get a size that a quota does not have.
local function over_size(c, ino, v, size)
  if c.quotas == 0 or sub(v, 4, 5) == '\0\0' then return end
  C.charge(c, read('>I6', v, 44), ino, rounded(size) - rounded(size_of(v)), 0)
  return C.over_quota(c)
end

-- store writes a content and returns the inode value with it and a size: its extent
-- is inline when chunk 0 has one that covers the whole file.
local function store(c, ino, v, size, k)
  local first, rows = k.list[0] or '', false
  local inline = covers(first, size)
  if inline then k.list[0] = '' end
  for i = 1, #k.order do
    local index = k.order[i]
    put_list(c, ino, index, k.was[index], k.list[index])
    rows = rows or k.list[index] ~= ''
  end
  if not rows and has_lists(v) then rows = call('EXISTS', c.p .. 'c' .. dec(ino)) == 1 end
  settle(c, k.tally)
  if sub(v, 4, 5) ~= '\0\0' then c.bytes = c.bytes + rounded(size) - rounded(size_of(v)) end
  local flags = band(byte(v, 1), 9)
  local head = sub(v, 2, 37) .. pack('>I6', size) .. sub(v, 44, 49)
  if inline then return char(flags + 2) .. head .. sub(first, 9) end
  return char(flags + (rows and 4 or 0)) .. head .. pack('>I6', c.seq)
end

-- lay_chunks stages a commit: args from 8 to last are index, list, index, list...
local function lay_chunks(c, ino, v, args, last)
  local k, inline, stored = content(), inline_list(v), {}
  if has_lists(v) then
    local indexes = {}
    for i = 8, last, 2 do indexes[#indexes + 1] = number(args[i]) end
    stored = read_lists(c, ino, indexes)
  end
  if inline ~= '' and args[8] ~= '0' then stage(k, 0, '', inline) end
  for i = 8, last, 2 do
    local index, new = number(args[i]), args[i + 1]
    local was = stored[index] or ''
    name_slices(k.tally, new)
    stage(k, index, was, overlay(k.tally, index == 0 and inline ~= '' and inline or was, new))
  end
  return k
end

-- keep_up_to notes that a chunk's list keeps what is before a position, 0 for nothing.
local function keep_up_to(k, index, was, to)
  local list = to > 0 and join(resolve(was, to)) or ''
  count(k.tally, was, -1)
  count(k.tally, list, 1)
  stage(k, index, was, list)
end

-- truncate stages what a file holds up to a size.
local function truncate(c, ino, v, size)
  local k, inline = content(), inline_list(v)
  if inline ~= '' then
    if size == 0 then
      count(k.tally, inline, -1)
    elseif size < size_of(v) then
      stage(k, 0, '', pack('>I4I4', 0, size) .. sub(inline, 9))
    else
      stage(k, 0, '', inline)
    end
    return k
  end
  if not has_lists(v) or size > size_of(v) then return k end
  local rest = size % CHUNK
  local first, last = (size - rest) / CHUNK, (size_of(v) - 1 - (size_of(v) - 1) % CHUNK) / CHUNK
  local indexes = {}
  if last - first < SPREAD then
    for index = first, last do indexes[#indexes + 1] = index end
  else -- a file may be mostly holes
    for _, index in ipairs(call('HKEYS', c.p .. 'c' .. dec(ino))) do
      if number(index) >= first then indexes[#indexes + 1] = number(index) end
    end
    table.sort(indexes)
  end
  local stored = read_lists(c, ino, indexes)
  for i = 1, #indexes do
    local index = indexes[i]
    if stored[index] ~= '' then keep_up_to(k, index, stored[index], index == first and rest or 0) end
  end
  if size == CHUNK then
    local whole = read_lists(c, ino, {0})[0]
    stage(k, 0, whole, whole)
  end
  return k
end

local function clear_setid(v)
  local high, low = byte(v, 2, 3)
  if high >= 64 and high <= 79 then return v end
  local keep = 255 - 8
  if band(low, 8) ~= 0 then keep = keep - 4 end
  return sub(v, 1, 1) .. char(band(high, keep)) .. sub(v, 3)
end

-- too_large reports whether the lists and slices that a content gives up are more than
-- a record can hold.
local function too_large(k) return (#k.order + #k.tally.order) * 22 > 8000000 end

-- placed gives the arguments of an append as a commit whose extents are at a size.
local function placed(args, size)
  local lists, indexes = {}, {}
  for i = 8, #args, 2 do
    local chunk, list = size + number(args[i]) * CHUNK, args[i + 1]
    for j = 1, #list, EXTENT do
      local pos, len, what, off = read('>I4I4c11I4', list, j)
      local at, hole = chunk + pos, sub(what, 1, 6) == '\0\0\0\0\0\0'
      while len > 0 do
        local from = at % CHUNK
        local n, index = len, (at - from) / CHUNK
        if from + n > CHUNK then n = CHUNK - from end
        if not lists[index] then lists[index], indexes[#indexes + 1] = {}, index end
        lists[index][#lists[index] + 1] = pack('>I4I4', from, n) .. what .. pack('>I4', off)
        at, len = at + n, len - n
        if not hole then off = off + n end
      end
    end
  end
  table.sort(indexes)
  local out = {}
  for i = 1, #indexes do
    out[6 + 2 * i], out[7 + 2 * i] = dec(indexes[i]), concat(lists[indexes[i]])
  end
  return out, 7 + 2 * #indexes
end

-- was_made reports whether an append was made before: its first slice is referred to.
local function was_made(c, args)
  for i = 9, #args, 2 do
    for j = 9, #args[i], EXTENT do
      local slice = read('>I6', args[i], j)
      if slice > 0 then return T.knows(c.p, slice) end
    end
  end
  return false
end

-- commit: inode; end of the last extent I6, mtime 8, atime 8, options 1 (1: clear setuid
-- and setgid, 8: append), zero times are now and as before; chunk number, extents, ...
change('commit', function(c, args)
  local ino = number(args[6])
  local v = C.get(c, ino)
  local err = not_file(v)
  if err then return err end
  local size, mtime, atime, options = read('>I6c8c8B', args[7])
  local last = #args
  if band(options, 8) ~= 0 then
    if was_made(c, args) then return C.unchanged(c, ino) end
    size = size + size_of(v)
    if size > MAXFILE then return fail('EFBIG') end
    args, last = placed(args, size_of(v))
  end
  if size < size_of(v) then size = size_of(v) end
  local no = over_size(c, ino, v, size)
  if no then return no end
  v = store(c, ino, v, size, lay_chunks(c, ino, v, args, last))
  if mtime == NOTIME then mtime = c.ns end
  if atime == NOTIME then atime = sub(v, 14, 21) end
  v = sub(v, 1, 13) .. atime .. mtime .. c.ns .. sub(v, 38)
  if band(options, 1) ~= 0 then v = clear_setid(v) end
  C.put(c, ino, v)
  return C.finish(c, ino)
end)
