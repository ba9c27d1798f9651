-- The directories in which a file has names. Its inode value tells one of them, its parent; when
-- there are several, flag 8 is set, and a row for each says how many names are there.

local function parent_of(v) return (read('>I6', v, 44)) end
local function links_of(v) return (read('>I2', v, 4)) end
local function is_spread(v) return band(byte(v, 1), 8) ~= 0 end

do

local function names_in(c, ino, dir)
  return number(call('HGET', c.p .. 'p' .. dec(ino), dec(dir)) or 0)
end

local function put_names(c, ino, dir, count)
  T.put_names(c.p, dec(ino), dec(dir), count)
  C.effect(c, pack('>c1I6I6I4', 'H', ino, dir, count))
end

-- other_dir gives the lowest directory but one in which a file has names.
local function other_dir(c, ino, dir)
  local dirs, least = call('HKEYS', c.p .. 'p' .. dec(ino)), nil
  for i = 1, #dirs do
    local other = number(dirs[i])
    if other ~= dir and (not least or other < least) then least = other end
  end
  return least
end

-- parent_without gives the parent of a file once it has lost a name in a directory.
function C.parent_without(c, ino, v, dir)
  local parent = parent_of(v)
  if parent ~= dir or not is_spread(v) or names_in(c, ino, dir) > 1 then return parent end
  return other_dir(c, ino, dir)
end

-- move_name writes the rows of a file that loses a name in one directory and gets one in
-- another; either may be nil. It returns the inode value with the flag that fits.
function C.move_name(c, ino, v, from, to)
  if from == to then return v end
  local links, flags = links_of(v), byte(v, 1)
  if not is_spread(v) then
    if not to or to == parent_of(v) or from and links == 1 then return v end
    put_names(c, ino, parent_of(v), from and links - 1 or links)
    put_names(c, ino, to, 1)
    return char(flags + 8) .. sub(v, 2)
  end
  local left = from and names_in(c, ino, from) - 1
  local got = to and names_in(c, ino, to) + 1
  if left == 0 and got ~= 1 and call('HLEN', c.p .. 'p' .. dec(ino)) == 2 then
    local last = to or other_dir(c, ino, from)
    put_names(c, ino, from, 0)
    put_names(c, ino, last, 0)
    return char(flags - 8) .. sub(v, 2)
  end
  if from then put_names(c, ino, from, left) end
  if to then put_names(c, ino, to, got) end
  return v
end

-- C.taken is what an inode takes of a quota in bytes.
function C.taken(v)
  local b = byte(v, 2)
  if b < 128 or b > 143 then return 0 end
  return rounded(size_of(v))
end

-- charge_move notes that an inode's parent becomes another one.
function C.charge_move(c, ino, v, to)
  local parent = parent_of(v)
  if c.quotas == 0 or parent == to then return end
  C.charge(c, parent, ino, -C.taken(v), -1)
  C.charge(c, to, ino, C.taken(v), 1)
end

-- charge_loss notes that an inode that is no directory loses a name.
function C.charge_loss(c, ino, v, dir)
  if c.quotas == 0 then return end
  if links_of(v) == 1 then
    C.charge(c, parent_of(v), ino, -C.taken(v), -1)
  else
    C.charge_move(c, ino, v, C.parent_without(c, ino, v, dir))
  end
end

end
