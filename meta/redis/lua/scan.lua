-- The scan of all inodes for a first copy. It goes by inode number, and inside a large
-- directory by name, so that what exists throughout is surely met.

-- A row is {kind, inode, ...}: I with the value, L with the target, O with the time (ms, I6)
-- and the place, H, X, C and D with a flat list of pairs.

-- weigh is how much of the room for rows a list of pairs takes: long values count more.
local function weigh(flat)
  local bytes = 0
  for i = 1, #flat do bytes = bytes + #flat[i] end
  return #flat / 2 + bytes / 200
end

-- scan_hash goes through a hash by HSCAN. It returns the room left, and the cursor to go
-- on at or nil.
local function scan_hash(rows, kind, ino, key, cursor, room)
  repeat
    local r = call('HSCAN', key, cursor, 'COUNT', 100)
    cursor = r[1]
    if #r[2] > 0 then rows[#rows + 1] = {kind, dec(ino), r[2]} end
    room = room - weigh(r[2])
  until cursor == '0' or room <= 0
  return room, cursor ~= '0' and cursor or nil
end

-- scan_pages goes through a directory from the page that has a name.
local function scan_pages(p, rows, ino, v, name, room)
  local d = dec(ino)
  local key, member = T.page(p, d, name, next_page(v))
  while true do
    local flat = call('HGETALL', key)
    if #flat > 0 then rows[#rows + 1] = {'D', d, flat} end
    room = room - 1 - weigh(flat)
    if not member then return room end
    member = call('ZRANGEBYLEX', p .. 'x' .. d, '(' .. member, '+', 'LIMIT', 0, 1)[1]
    if not member then return room end
    local first, page = string.match(member, '^(.*)%z(%d+)$')
    if room <= 0 then return room, first end
    key = p .. 'd' .. d .. '.' .. page
  end
end

-- scan_inode gives all rows of an inode, or those from at on: '' is its beginning, else a
-- letter for the table and where in it. It returns the room left, and where to go on or nil.
local function scan_inode(p, rows, ino, v, at, room)
  local rest
  if at == '' then
    rows[#rows + 1] = {'I', dec(ino), logical(v)}
    room = room - 1
    if sub(v, 4, 5) == '\0\0' then
      local ms, place = T.orphan(p, ino)
      if ms then rows[#rows + 1] = {'O', dec(ino), pack('>I6', ms) .. place} end
    end
    if kind_of(v) == 10 then
      local target = T.target(p, ino)
      if target then rows[#rows + 1] = {'L', dec(ino), target} end
    end
    at = is_spread(v) and 'h0' or byte(v, 1) % 2 == 1 and 'x0' or 'c0'
  end
  if sub(at, 1, 1) == 'h' then
    room, rest = scan_hash(rows, 'H', ino, p .. 'p' .. dec(ino), sub(at, 2), room)
    if rest then return room, 'h' .. rest end
    at = byte(v, 1) % 2 == 1 and 'x0' or 'c0'
  end
  if sub(at, 1, 1) == 'x' then
    room, rest = scan_hash(rows, 'X', ino, p .. 'a' .. dec(ino), sub(at, 2), room)
    if rest then return room, 'x' .. rest end
    at = 'c0'
  end
  if sub(at, 1, 1) == 'c' and has_lists(v) then
    room, rest = scan_hash(rows, 'C', ino, p .. 'c' .. dec(ino), sub(at, 2), room)
    if rest then return room, 'c' .. rest end
  end
  if kind_of(v) == 4 then
    room, rest = scan_pages(p, rows, ino, v, sub(at, 1, 1) == 'd' and sub(at, 2) or '', room)
    if rest then return room, 'd' .. rest end
  end
  return room
end

-- scan: inode; where in it; most rows. The answer is the inode and the place to go on at (0
-- when all are done), how many inodes have a name, and the rows.
define('scan', function(keys, args)
  local p, state = sub(keys[1], 1, -2), call('HGET', keys[1], 'state')
  if not state then return fail('ENOENT', 'volume') end
  local ino, at, room, rows = number(args[1]), args[2], number(args[3]), {}
  local limit, total = read('>I6', state, 29), (read('>I6', state, 48))
  while ino < limit do
    local key, found = p .. 'i' .. dec((ino - ino % 64) / 64), {}
    if call('EXISTS', key) == 1 then
      local fields = {}
      for i = ino % 64, 63 do fields[#fields + 1] = FIELD[i] end
      found = call('HMGET', key, spread(fields))
      room = room - 1
    else -- numbers that were passed over, most often: looking costs a quarter of a row
      ino, at, room = ino - ino % 64 + 64, '', room - 0.25
    end
    for i = 1, #found do
      if found[i] then
        local rest
        room, rest = scan_inode(p, rows, ino, found[i], at, room)
        if rest then return {dec(ino), rest, total, rows} end
      end
      ino, at = ino + 1, ''
      if room <= 0 then break end
    end
    if room <= 0 and ino < limit then return {dec(ino), '', total, rows} end
  end
  return {'0', '', total, rows}
end, {'no-writes'})
