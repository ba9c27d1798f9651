-- Quotas: how much may be below a directory.
--
-- A quota counts the inodes that have a name below its directory; a file with several names
-- counts where its inode value says that its parent is. While one is being counted, it counts
-- of all inodes those only that are not in the range next to stop.

--
-- Few of its functions are wanted by other files, so they are in C, and the rest is in a block:
-- one chunk of Lua holds 200 locals at most.
do

-- A row is {max_bytes, max_inodes, used_bytes, used_inodes, next, stop, bytes, inodes}: the last
-- two are what this change adds.
local MAX_BYTES, MAX_INODES, USED_BYTES, USED_INODES, NEXT, STOP, BYTES, INODES = 1, 2, 3, 4, 5, 6, 7, 8

function C.quota_row(value)
  local a, b, c, d, e, f = read('>I7I6I7I6I6I6', value)
  return {a, b, c, d, e, f, 0, 0}
end

-- put_quota writes a row with what this change adds.
function C.put_quota(c, dir, row)
  local value = pack('>I7I6I7I6I6I6', row[MAX_BYTES], row[MAX_INODES], row[USED_BYTES] + row[BYTES],
    row[USED_INODES] + row[INODES], row[NEXT], row[STOP])
  T.put_quota(c.p, dec(dir), value)
  C.effect(c, pack('>c1I6', 'Q', dir) .. value)
end

-- drop_quota takes the quota of a directory away, if it has one.
function C.drop_quota(c, dir)
  if c.quotas == 0 or call('HEXISTS', c.p .. 'q', dec(dir)) == 0 then return false end
  T.del_quota(c.p, dec(dir))
  C.effect(c, pack('>c1I6', 'q', dir))
  c.quotas, c.rows[dir] = T.quota_flags(c.p), nil
  return true
end

function C.begin_charges(c)
  c.rows, c.above, c.order_of_rows = {}, {}, {}
  c.more_bytes, c.more_inodes = 0, 0
end

-- quotas_above returns the directories with a quota that counts what is in a directory,
-- innermost first. The volume is not among them: its usage is in the state.
local function quotas_above(c, dir)
  local found = c.above[dir]
  if found then return found end
  found = {}
  local chain, at = {}, dir
  while at ~= 1 do
    local v = C.get(c, at)
    if not v then break end
    chain[#chain + 1] = dec(at)
    at = read('>I6', v, 44)
  end
  for first = 1, #chain, SPREAD do
    local last = first + SPREAD - 1
    if last > #chain then last = #chain end
    local rows = call('HMGET', c.p .. 'q', spread(chain, first, last))
    for i = 1, #rows do
      if rows[i] then
        local q = number(chain[first + i - 1])
        found[#found + 1] = q
        if not c.rows[q] then
          c.rows[q], c.order_of_rows[#c.order_of_rows + 1] = C.quota_row(rows[i]), q
        end
      end
    end
  end
  c.above[dir] = found
  return found
end

-- charge notes that an inode with a name in a directory takes so much more.
function C.charge(c, dir, ino, bytes, inodes)
  if c.quotas == 0 then return end
  c.more_bytes, c.more_inodes = c.more_bytes + bytes, c.more_inodes + inodes
  if c.quotas == 1 then return end
  local found = quotas_above(c, dir)
  for i = 1, #found do
    local row = c.rows[found[i]]
    if ino < row[NEXT] or ino >= row[STOP] then
      row[BYTES], row[INODES] = row[BYTES] + bytes, row[INODES] + inodes
    end
  end
end

-- passes reports whether what a change adds goes past a limit.
local function passes(limit, used, more)
  return limit > 0 and more > 0 and used + more > limit
end

-- over_quota returns the error for a change that takes more than a quota has left, or nil.
-- It comes before anything is written, the counters of the volume included.
function C.over_quota(c)
  if c.quotas == 0 then return end
  for i = 1, #c.order_of_rows do
    local row = c.rows[c.order_of_rows[i]]
    if row[STOP] == 0 and (passes(row[MAX_BYTES], row[USED_BYTES], row[BYTES]) or passes(row[MAX_INODES], row[USED_INODES], row[INODES])) then
      return fail('EDQUOT')
    end
  end
  if c.quotas % 2 == 1 and (c.more_bytes > 0 or c.more_inodes > 0) then
    local row = C.quota_row(call('HGET', c.p .. 'q', '1'))
    if passes(row[MAX_BYTES], c.bytes, c.more_bytes) or passes(row[MAX_INODES], c.inodes, c.more_inodes) then
      return fail('ENOSPC')
    end
  end
end

-- is_edge reports whether two directories are in different quotas: nothing that may hold
-- more than can be counted in one change goes from one to the other.
function C.is_edge(c, dir, other)
  if c.quotas < 2 or dir == other then return false end
  local a, b = quotas_above(c, dir), quotas_above(c, other)
  for i = 1, #a > #b and #a or #b do
    if a[i] ~= b[i] then return true end
  end
  return false
end

-- write_charges writes the rows that change.
function C.write_charges(c)
  for i = 1, #c.order_of_rows do
    local dir = c.order_of_rows[i]
    local row = c.rows[dir]
    if row and (row[BYTES] ~= 0 or row[INODES] ~= 0) then C.put_quota(c, dir, row) end
  end
end

end
