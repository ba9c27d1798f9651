-- Sums of ranges of rows, by which two sites are compared. A range goes from one place in
-- the order of all rows to another; docs/format.md, "Places", has their form. What is summed
-- up is rows as they travel: how a directory is paged here does not show, and of rows that
-- have no order the sums are added up.

do

local MOD = 281474976710656 -- 2^48
local PART = 128 -- rows after which a part may end
local HEAVY = -2000 -- the room at which one part is given up

-- A digest d under way: a, b and rows are of the part under way, room is how much may still be
-- read. choose says that parts end where it suits; out has the ends of parts, their rows and sums.

local function note(d, row)
  local h = sha1(row)
  d.a = (d.a + number(sub(h, 1, 12), 16)) % MOD
  d.b = (d.b + number(sub(h, 13, 24), 16)) % MOD
  d.rows, d.room = d.rows + 1, d.room - 1 - #row / 500
end

local function finish(d, place)
  local n = #d.out
  d.out[n + 1], d.out[n + 2] = place, d.rows
  d.out[n + 3] = d.room > HEAVY and pack('>I6I6', d.a, d.b) or ''
  d.a, d.b, d.rows = 0, 0, 0
end

-- may_end ends a part here if it suits, and tells whether to stop.
local function may_end(d, place)
  if not d.choose then return d.room <= 0 end
  if d.rows >= PART or d.room <= 0 then finish(d, place) end
  return d.room <= 0
end

-- each notes the rows of a hash in any order: row makes one of field and value.
local function each(d, key, count, row)
  local cursor = '0'
  repeat
    local r = call('HSCAN', key, cursor, 'COUNT', count)
    cursor = r[1]
    local flat = r[2]
    for i = 1, #flat, 2 do
      local text = row(flat[i], flat[i + 1])
      if text then note(d, text) end
    end
  until cursor == '0' or d.room <= HEAVY
end

-- own_rows notes all that hangs on an inode but entries.
local function own_rows(p, d, ino, v)
  if #v < 49 then return note(d, v) end -- damaged
  local w = logical(v)
  note(d, pack('>c1I6B', 'I', ino, #w) .. w)
  if sub(v, 4, 5) == '\0\0' then
    local ms, place = T.orphan(p, ino)
    if ms then note(d, pack('>c1I6I6', 'O', ms, ino) .. sub(place, 1, 6) .. char(#place - 6) .. sub(place, 7)) end
  end
  if kind_of(v) == 10 then
    local target = T.target(p, ino)
    if target then note(d, pack('>c1I6I4', 'L', ino, #target) .. target) end
  end
  if is_spread(v) then
    each(d, p .. 'p' .. dec(ino), 64, function(dir, n) return pack('>c1I6I6I4', 'H', ino, number(dir), number(n)) end)
  end
  if byte(v, 1) % 2 == 1 then
    each(d, p .. 'a' .. dec(ino), 16, function(name, value)
      return pack('>c1I6B', 'X', ino, #name) .. name .. pack('>I4', #value) .. value
    end)
  end
  if has_lists(v) then
    each(d, p .. 'c' .. dec(ino), 16, function(index, list)
      return pack('>c1I6I4I4I4', 'C', ino, number(index), 0, #list) .. list
    end)
  end
end

-- entries notes the entries of a directory from a name on and, unless it is nil, before
-- another. It returns whether to stop.
local function entries(p, d, ino, v, from, to)
  if from == '\0' then from = '' end
  local number_of = dec(ino)
  local key, member = T.page(p, number_of, from, next_page(v))
  local head = pack('>c1I6', 'D', ino)
  while true do
    local flat = call('HGETALL', key)
    local follow = member and call('ZRANGEBYLEX', p .. 'x' .. number_of, '(' .. member, '+', 'LIMIT', 0, 1)[1]
    local first, page
    if follow then first, page = string.match(follow, '^(.*)%z(%d+)$') end
    local inside = not to or first and not less(to, first)
    for i = 1, #flat, 2 do
      local name = flat[i]
      if (from == '' or not less(name, from)) and (inside or less(name, to)) then
        local n = number(flat[i + 1])
        note(d, head .. char(#name) .. name .. pack('>BI6', n % 16, (n - n % 16) / 16))
      end
    end
    if not first or to and not less(first, to) then return false end
    if may_end(d, pack('>c1I6', '1', ino) .. first) then return true end
    key, member, from = p .. 'd' .. number_of .. '.' .. page, follow, ''
  end
end

-- A walk goes through a table from a place up to another. It returns true when it stopped
-- before, for want of room.
local WALK = {}

-- of_inode is the inode of a place, and where in its entries; 2^48 when that is after all.
local function of_inode(place)
  if sub(place, 1, 1) ~= '1' then return MOD, '' end
  if #place < 7 then return 1, '' end
  return read('>I6', place, 2), sub(place, 8)
end

WALK['1'] = function(p, d, from, to, state)
  local ino, name = of_inode(from)
  local last, stop = of_inode(to)
  local limit = read('>I6', state, 29)
  while ino < limit do
    local fields = {}
    for i = ino % 64, 63 do fields[#fields + 1] = FIELD[i] end
    local found = call('HMGET', p .. 'i' .. (group(ino)), spread(fields))
    d.room = d.room - 1
    for i = 1, #found do
      if ino > last or ino == last and stop == '' then return false end
      local v = found[i]
      if v then
        if name == '' then
          own_rows(p, d, ino, v)
          if d.room <= HEAVY then
            if d.choose then finish(d, pack('>c1I6', '1', ino) .. '\0') end
            return true
          end
        end
        if #v > 58 and kind_of(v) == 4 and entries(p, d, ino, v, name, ino == last and stop or nil) then return true end
      end
      ino, name = ino + 1, ''
      if (d.rows >= PART or d.room <= 0) and may_end(d, pack('>c1I6', '1', ino)) then return true end
    end
  end
  return false
end

local SMALL = 1000 -- a table of so few rows is read whole

local function refs_row(slice, n) return pack('>c1I6I4', 'R', slice, number(n)) end

-- References have no order in a hash: of a large one, the numbers that slices can have are asked for
-- one by one. Should there be others, how many rows there are tells.
WALK['2'] = function(p, d, from, to, state)
  local key, slice = p .. 'r', #from > 6 and read('>I6', from, 2) or 0
  local stop, all = sub(to, 1, 1) == '2' and read('>I6', to, 2) or MOD, call('HLEN', p .. 'r')
  if all == 0 then return false end
  if all <= SMALL then
    each(d, key, 100, function(n, count)
      n = number(n)
      return n >= slice and n < stop and refs_row(n, count) or nil
    end)
    return false
  end
  local limit = read('>I6', state, 35)
  if stop < limit then limit = stop end
  while slice < limit do
    local fields = {}
    for i = slice, slice + 499 do fields[#fields + 1] = i < limit and dec(i) or nil end
    local found = call('HMGET', key, spread(fields))
    for i = 1, #found do
      if found[i] then note(d, refs_row(slice + i - 1, found[i])) end
    end
    slice, d.room = slice + 500, d.room - 30
    if slice < limit and may_end(d, pack('>c1I6', '2', slice)) then return true end
  end
  if stop == MOD then note(d, 'R' .. dec(all)) end
  return false
end

WALK['3'] = function(p, d)
  each(d, p .. 'q', 100, function(dir, value) return pack('>c1I6', 'Q', number(dir)) .. value end)
  return false
end

WALK['4'] = function(p, d, from, to)
  local key, rank = p .. 'f', 0
  if #from > 12 then
    local ms, seq = read('>I6I6', from, 2)
    rank = T.rank_after(key, ms, seq - 1)
  end
  while true do
    local flat = call('ZRANGE', key, rank, rank + 7, 'WITHSCORES')
    for i = 1, #flat, 2 do
      local member, ms = flat[i], number(flat[i + 1])
      local place = pack('>c1I6', '4', ms) .. sub(member, 1, 6)
      if not less(place, to) then return false end
      if i == 1 and rank > 0 and d.rows > 0 and may_end(d, place) then return true end
      note(d, pack('>c1c6I6I4', 'F', sub(member, 1, 6), ms, (#member - 6) / 11) .. sub(member, 7))
    end
    if #flat < 16 then return false end
    rank = rank + 8
  end
end

WALK['5'] = function(p, d)
  each(d, p .. 'v', 32, function(field, value)
    local kind = sub(field, 1, 1)
    if kind == 's' and #field == 9 then return 'S' .. sub(field, 2) .. pack('>I4', #value) .. value end
    if kind == 'r' and #field == 11 then return 'P' .. sub(field, 2) .. pack('>I4', #value) .. value end
  end)
  return false
end

WALK['6'] = function(p, d)
  each(d, p .. 'cfg', 32, function(name, value) return 'V' .. char(#name) .. name .. pack('>I4', #value) .. value end)
  return false
end

WALK['7'] = function(p, d, from, to, state)
  local g, next = #from > 6 and read('>I6', from, 2) or 0, (read('>I6', state, 35))
  local limit = (next - next % 32768) / 32768 + 1
  if sub(to, 1, 1) == '7' and read('>I6', to, 2) < limit then limit = read('>I6', to, 2) end
  while g < limit do
    local marks = call('GET', p .. 'k' .. dec(g))
    marks = marks and string.match(marks, '^.*[^%z]')
    if marks then note(d, pack('>c1I6I4', 'K', g, #marks) .. marks) end
    g, d.room = g + 1, d.room - 10
    if g < limit and may_end(d, pack('>c1I6', '7', g)) then return true end
  end
  return false
end

-- digest: from which place; about how many rows; the places at which parts are to end, if they are
-- not to be chosen. The answer is the state, then of each part its end, how many rows, and the sum.
define('digest', function(keys, args)
  local p, state = sub(keys[1], 1, -2), call('HGET', keys[1], 'state')
  if not state then return fail('ENOENT', 'volume') end
  local from = args[1] == '' and '1' or args[1]
  local d = {a = 0, b = 0, rows = 0, room = number(args[2]), choose = #args == 2, out = {state}}
  local wanted = 3
  while from ~= '9' do
    local kind = sub(from, 1, 1)
    local after = kind == '7' and '9' or dec(number(kind) + 1) -- the end of this table
    local to = args[wanted]
    if not to or not less(to, after) then to = after end
    if WALK[kind](p, d, from, to, state) then break end
    if d.choose then
      finish(d, to)
    elseif to == args[wanted] then
      if d.room <= 0 then break end
      finish(d, to)
      wanted = wanted + 1
      if wanted > #args then break end
    end
    if d.room <= 0 then break end
    from = to
  end
  return d.out
end, {'no-writes'})

end
