-- Extent lists. A list of up to SMALL extents is kept resolved: sorted, without
-- overlap, holes left out. A longer one grows by appending, later extents hiding
-- earlier ones, and is resolved each time it passes a multiple of STEP: to rewrite
-- it for each small write would put all of it into each record.
local SMALL, STEP = 128, 512
local MAXLIST = 3072 -- most extents of a list, meta.MaxChunkExtents
local WORK = 2048 -- extents of all lists that one call looks at, when there are several: some 10 ms
local CUT = 1200 -- the same for what is cut off, which costs more: each slice may be freed

-- An extent is {from, to, bytes}: where it begins and ends in its chunk, and its
-- encoded form: position 1-4, length 5-8, slice 9-14, home 15, size 16-19, offset 20-23.
local function parse(list)
  local out = {}
  for i = 1, #list, EXTENT do
    local from, len = read('>I4I4', list, i)
    out[#out + 1] = {from, from + len, sub(list, i, i + EXTENT - 1)}
  end
  return out
end

local function is_hole(e) return sub(e[3], 9, 14) == '\0\0\0\0\0\0' end

-- part is an extent between two positions.
local function part(e, from, to)
  if from == e[1] and to == e[2] then return e end
  local off = is_hole(e) and 0 or read('>I4', e[3], 20) + from - e[1]
  return {from, to, pack('>I4I4', from, to - from) .. sub(e[3], 9, 19) .. pack('>I4', off)}
end

-- lay puts extents over others; both are sorted and without overlap.
local function lay(under, over)
  local out, i, at = {}, 1, 0
  for j = 1, #over + 1 do
    local o = over[j]
    local from = o and o[1] or CHUNK
    while under[i] and under[i][1] < from do
      local u = under[i]
      local a, b = u[1] > at and u[1] or at, u[2] < from and u[2] or from
      if a < b then out[#out + 1] = part(u, a, b) end
      if u[2] > from then break end
      i = i + 1
    end
    if o then
      out[#out + 1], at = o, o[2]
      while under[i] and under[i][2] <= at do i = i + 1 end
    end
  end
  return out
end

local function is_sorted(extents, first, last)
  for i = first + 1, last do
    if extents[i][1] < extents[i - 1][2] then return false end
  end
  return true
end

-- flatten resolves extents first to last, keeping holes.
local function flatten(extents, first, last)
  if is_sorted(extents, first, last) then
    local out = {}
    for i = first, last do out[#out + 1] = extents[i] end
    return out
  end
  local middle = (first + last - (first + last) % 2) / 2
  return lay(flatten(extents, first, middle), flatten(extents, middle + 1, last))
end

-- resolve gives a list's extents sorted, without overlap and holes, up to a position.
local function resolve(list, to)
  local extents = parse(list)
  local out = {}
  for _, e in ipairs(flatten(extents, 1, #extents)) do
    if not is_hole(e) and e[1] < to then
      out[#out + 1] = part(e, e[1], e[2] < to and e[2] or to)
    end
  end
  return out
end

local function join(extents)
  local out = {}
  for i = 1, #extents do out[i] = extents[i][3] end
  return concat(out)
end

-- A tally counts how references to slices change: by number, what they are (slice, home
-- and size, 11 bytes), whether the change names them, and their order.
local function tally()
  return {by = {}, what = {}, named = {}, order = {}}
end

local function count(t, list, by)
  for i = 9, #list, EXTENT do
    local what = sub(list, i, i + 10)
    local slice = read('>I6', what)
    if slice > 0 then
      if not t.by[slice] then
        t.by[slice], t.what[slice], t.order[#t.order + 1] = 0, what, slice
      end
      t.by[slice] = t.by[slice] + by
    end
  end
end

-- revive takes a slice off what was freed: a client names it again, whose other commits of
-- it were overwritten meanwhile.
local function revive(c, slice, ms)
  local member, i = T.freed_with(c.p, slice, ms)
  local seq, left = read('>I6', member), sub(member, 7, i - 1) .. sub(member, i + 11)
  if left == '' then
    T.del_freed(c.p, seq, ms)
    T.know(c.p, slice)
    C.effect(c, pack('>c1I6I6', 'f', seq, ms))
  else
    T.put_freed(c.p, seq, ms, left, member)
    C.effect(c, pack('>c1I6I6I4', 'F', seq, ms, #left / 11) .. left)
  end
end

local function name_slices(t, list)
  count(t, list, 0)
  for i = 9, #list, EXTENT do t.named[read('>I6', list, i)] = true end
end

local function shared(a, b)
  local n = #a < #b and #a or #b
  if sub(a, 1, n) == sub(b, 1, n) then return n - n % EXTENT end
  local i = 0
  while sub(a, i + 1, i + EXTENT) == sub(b, i + 1, i + EXTENT) do i = i + EXTENT end
  return i
end

-- overlay gives the list that new extents make of an old one, and tallies the references.
local function overlay(t, old, new)
  local was, is = #old / EXTENT, (#old + #new) / EXTENT
  if was == 0 and is == 1 and sub(new, 9, 14) ~= '\0\0\0\0\0\0' then
    count(t, new, 1)
    return new
  end
  if was > 0 and #new == EXTENT and is <= SMALL then -- most often it goes to the end
    local from, len = read('>I4I4', old, #old - EXTENT + 1)
    if read('>I4', new) >= from + len and sub(new, 9, 14) ~= '\0\0\0\0\0\0' then
      count(t, new, 1)
      return old .. new
    end
  end
  if was > 0 and is > SMALL and was % STEP + is - was < STEP then
    count(t, new, 1)
    return old .. new
  end
  local list = join(resolve(old .. new, CHUNK))
  count(t, old, -1)
  count(t, list, 1)
  return list
end

-- references reads how many extents point to each slice that is known; many at once.
local function references(c, slices)
  local counts = {}
  for first = 1, #slices, SPREAD do
    local last = first + SPREAD - 1
    if last > #slices then last = #slices end
    local rows = call('HMGET', c.p .. 'r', spread(slices, first, last))
    for i = 1, #rows do counts[slices[first + i - 1]] = 1 + (number(rows[i] or 0)) end
  end
  return counts
end

-- settle writes what a tally means: reference rows, slices that became known, and
-- slices freed.
local function settle(c, t)
  local changed, known = {}, {}
  for i = 1, #t.order do
    local slice = t.order[i]
    local named = t.named[slice]
    if named or t.by[slice] ~= 0 then
      changed[#changed + 1] = slice
      if not named then
        known[#known + 1] = slice
      elseif T.know(c.p, slice) then
        local ms = T.when_freed(c.p, slice)
        if ms then revive(c, slice, ms) else known[#known + 1] = slice end
      end
    end
  end
  local before = references(c, known)
  local freed = {}
  for i = 1, #changed do
    local slice = changed[i]
    local total = before[slice] or 0
    local after = total + t.by[slice]
    local row, rows = total > 1 and total - 1 or 0, after > 1 and after - 1 or 0
    if row ~= rows then
      T.put_refs(c.p, slice, rows)
      C.effect(c, pack('>c1I6I4', 'R', slice, rows))
    end
    if total == 0 then C.effect(c, 'N' .. t.what[slice]) end
    if after <= 0 then freed[#freed + 1] = t.what[slice] end
  end
  if #freed > 0 then
    local slices, ms = concat(freed), c.freed_from or C.ms(c)
    T.put_freed(c.p, c.seq, ms, slices)
    C.effect(c, pack('>c1I6I6I4', 'F', c.seq, ms, #freed) .. slices)
  end
end
