-- The contents of files: commit, clone, compact, truncate, and freeing.

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
  return char(flags + (rows and 4 or 0)) .. head .. C.version(c)
end

-- lay_chunks stages lists that are laid over those of some chunks, in order of index. seen is
-- how many extents of slices that are known were looked at to make them; nil when they may
-- name new ones. It returns nil when that is too much for one call: lists that are too long
-- together, or one that would be.
local function lay_chunks(c, ino, v, indexes, news, seen)
  local k, inline, stored = content(), inline_list(v), {}
  if has_lists(v) then stored = read_lists(c, ino, indexes) end
  if #indexes > 2 or seen then
    local bytes = (seen or 0) * EXTENT
    for i = 1, #indexes do bytes = bytes + #(stored[indexes[i]] or '') + #news[i] end
    if bytes > WORK * EXTENT then return nil end
  end
  if inline ~= '' and indexes[1] ~= 0 then stage(k, 0, '', inline) end
  for i = 1, #indexes do
    local index = indexes[i]
    local was = stored[index] or ''
    if not seen then name_slices(k.tally, news[i]) end
    local list = overlay(k.tally, index == 0 and inline ~= '' and inline or was, news[i])
    if #list > MAXLIST * EXTENT then return nil end
    stage(k, index, was, list)
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

-- last_lists reads a file's lists from its end on, down to chunk first. It stops when it
-- has looked at much. It returns the indexes, the last first, the lists, and the chunk from
-- which on there are no others.
local FEW, PROBE, AT_ONCE = 4096, 16000, 16

local function last_lists(c, ino, v, first)
  local size = size_of(v)
  local last = size > 0 and (size - 1 - (size - 1) % CHUNK) / CHUNK or 0
  local key, candidates, low = c.p .. 'c' .. dec(ino), {}, first
  if last - first < PROBE then
    for index = last, first, -1 do candidates[#candidates + 1] = index end
  elseif call('HLEN', key) <= FEW then -- a file may be mostly holes
    for _, index in ipairs(call('HKEYS', key)) do
      if number(index) >= first then candidates[#candidates + 1] = number(index) end
    end
    table.sort(candidates, function(a, b) return a > b end)
  else
    low = last - PROBE
    for index = last, low, -1 do candidates[#candidates + 1] = index end
  end
  local indexes, lists, left = {}, {}, CUT * EXTENT
  for from = 1, #candidates, AT_ONCE do
    local to = from + AT_ONCE - 1
    if to > #candidates then to = #candidates end
    local rows = call('HMGET', key, spread(candidates, from, to))
    for i = 1, #rows do
      local index = candidates[from + i - 1]
      if rows[i] then
        indexes[#indexes + 1], lists[index] = index, rows[i]
        left = left - #rows[i]
        if left <= 0 and index > first then return indexes, lists, index end
      end
    end
  end
  return indexes, lists, low
end

-- truncate stages what a file holds up to a size, and returns the size that it comes to:
-- more than that when it is too much for one call.
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
    return k, size
  end
  if not has_lists(v) or size > size_of(v) then return k, size end
  local rest = size % CHUNK
  local first = (size - rest) / CHUNK
  local indexes, lists, low = last_lists(c, ino, v, first)
  for i = #indexes, 1, -1 do
    local index = indexes[i]
    keep_up_to(k, index, lists[index], index == first and rest or 0)
  end
  return k, low > first and low * CHUNK or size
end

local function clear_setid(v)
  local high, low = byte(v, 2, 3)
  if high >= 64 and high <= 79 then return v end
  local keep = 255 - 8
  if band(low, 8) ~= 0 then keep = keep - 4 end
  return sub(v, 1, 1) .. char(band(high, keep)) .. sub(v, 3)
end

local function too_much() return fail('E2BIG', 'toomuch') end

-- placed gives the lists of an append as those of a commit whose extents are at a size.
local function placed(chunks, appended, size)
  local lists, indexes = {}, {}
  for i = 1, #chunks do
    local chunk, list = size + chunks[i] * CHUNK, appended[i]
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
  local news = {}
  for i = 1, #indexes do news[i] = concat(lists[indexes[i]]) end
  return indexes, news
end

-- was_made reports whether an append was made before: its first slice is referred to.
local function was_made(c, news)
  for i = 1, #news do
    for j = 9, #news[i], EXTENT do
      local slice = read('>I6', news[i], j)
      if slice > 0 then return T.knows(c.p, slice) end
    end
  end
  return false
end

-- written is an inode value whose bytes changed now; option 1 clears setuid and setgid.
local function written(c, v, options)
  v = sub(v, 1, 21) .. c.ns .. c.ns .. sub(v, 38)
  if band(options, 1) ~= 0 then v = clear_setid(v) end
  return v
end

-- commit: inode; size that the file has at least, or gets more, I6, mtime 8, atime 8, options 1
-- (1: clear setuid and setgid, 8: append), zero times are now and as before; chunk number, extents, ...
change('commit', function(c, args)
  local ino = number(args[6])
  local v = C.get(c, ino)
  local err = not_file(v)
  if err then return err end
  local size, mtime, atime, options = read('>I6c8c8B', args[7])
  local indexes, news = {}, {}
  for i = 8, #args, 2 do indexes[#indexes + 1], news[#news + 1] = number(args[i]), args[i + 1] end
  if band(options, 8) ~= 0 then
    if was_made(c, news) then return C.unchanged(c, ino) end
    size = size + size_of(v)
    if size > MAXFILE then return fail('EFBIG') end
    indexes, news = placed(indexes, news, size_of(v))
  end
  if size < size_of(v) then size = size_of(v) end
  local k = lay_chunks(c, ino, v, indexes, news)
  if not k then return too_much() end
  local no = over_size(c, ino, v, size)
  if no then return no end
  v = C.drop_capability(c, ino, written(c, store(c, ino, v, size, k), options))
  if mtime ~= NOTIME then v = sub(v, 1, 21) .. mtime .. sub(v, 30) end
  if atime ~= NOTIME then v = sub(v, 1, 13) .. atime .. sub(v, 22) end
  C.put(c, ino, v)
  return C.finish(c, ino)
end)

-- lists_of reads what a file holds in chunks first to last.
local function lists_of(c, ino, v, first, last)
  local inline = inline_list(v)
  if inline ~= '' then return {[0] = inline} end
  if not has_lists(v) then return {} end
  local indexes = {}
  for index = first, last do indexes[#indexes + 1] = index end
  return read_lists(c, ino, indexes)
end

-- move gives the extents of a range of a file as they stand at another place, by chunk, and
-- how many were looked at; nil when these are too many.
local function move(lists, from, len, at)
  local first, last = (from - from % CHUNK) / CHUNK, (from + len - 1 - (from + len - 1) % CHUNK) / CHUNK
  local bytes, out = 0, {}
  for index = first, last do bytes = bytes + #(lists[index] or '') end
  if bytes > WORK * EXTENT then return nil end
  local function put(e, a, b)
    while a < b do
      local pos = (a - from + at) % CHUNK
      local index, n = (a - from + at - pos) / CHUNK, b - a
      if n > CHUNK - pos then n = CHUNK - pos end
      local piece = part(e, a % CHUNK, a % CHUNK + n)
      local list = out[index] or {}
      list[#list + 1], out[index] = pack('>I4', pos) .. sub(piece[3], 5), list
      a = a + n
    end
  end
  for index = first, last do
    local start = index * CHUNK
    for _, e in ipairs(resolve(lists[index] or '', CHUNK)) do
      local a, b = start + e[1], start + e[2]
      put(e, a > from and a or from, b < from + len and b or from + len)
    end
  end
  return out, bytes / EXTENT
end

-- clone: source; target; place in the source I6, in the target I6, length I6, options 1.
change('clone', function(c, args)
  local src, dst = number(args[6]), number(args[7])
  local from, at, len, options = read('>I6I6I6B', args[8])
  local s, v = C.get(c, src), C.get(c, dst)
  local err = not_file(s) or not_file(v)
  if err then return err end
  if from + len > size_of(s) then return fail('EINVAL') end
  local first, last = (from - from % CHUNK) / CHUNK, (from + len - 1 - (from + len - 1) % CHUNK) / CHUNK
  local moved, seen = move(lists_of(c, src, s, first, last), from, len, at)
  if not moved then return too_much() end
  local indexes, news = {}, {}
  for index = (at - at % CHUNK) / CHUNK, (at + len - 1 - (at + len - 1) % CHUNK) / CHUNK do
    local a, b = at - index * CHUNK, at + len - index * CHUNK
    if a < 0 then a = 0 end
    if b > CHUNK then b = CHUNK end
    local hole = pack('>I4I4I6I5I4', a, b - a, 0, 0, 0)
    indexes[#indexes + 1], news[#news + 1] = index, hole .. concat(moved[index] or {})
  end
  local k = lay_chunks(c, dst, v, indexes, news, seen)
  if not k then return too_much() end
  local size = at + len
  if size < size_of(v) then size = size_of(v) end
  local no = over_size(c, dst, v, size)
  if no then return no end
  C.put(c, dst, C.drop_capability(c, dst, written(c, store(c, dst, v, size, k), options)))
  return C.finish(c, dst)
end)

-- compact: inode; chunk number; how many extents the list must begin with; SHA-1 of them;
-- the extents that take their place.
change('compact', function(c, args)
  local ino, index, n = number(args[6]), number(args[7]), number(args[8]) * EXTENT
  local v = C.get(c, ino)
  local err = not_file(v)
  if err then return err end
  local inline = inline_list(v)
  local was = has_lists(v) and read_lists(c, ino, {index})[index] or ''
  local list = index == 0 and inline ~= '' and inline or was
  if #list < n or sha1(sub(list, 1, n)) ~= args[9] then return fail('EAGAIN', 'changed') end
  local k, new = content(), args[10]
  local after = join(resolve(new .. sub(list, n + 1), CHUNK))
  name_slices(k.tally, new)
  count(k.tally, list, -1)
  count(k.tally, after, 1)
  stage(k, index, was, after)
  local now = store(c, ino, v, size_of(v), k)
  if inline == '' and inline_list(now) == '' then now = sub(now, 1, 49) .. sub(v, 50) end -- the version
  C.put(c, ino, now)
  return C.finish(c, ino)
end)
