-- repair: rows that fsck found to be wrong.

-- entry_at gives the entry number of a name, nil when there is no such directory.
local function entry_at(p, parent, name)
  local dir = T.inode(p, parent)
  if not dir or kind_of(dir) ~= 4 then return nil end
  return (T.find(p, dec(parent), name, next_page(dir)))
end

-- STANDS[kind] looks whether the row of the effect whose fields begin at i of s is as the effect
-- says. It returns where the next effect begins, and whether it is so.
local STANDS = {}

function STANDS.I(p, s, i)
  local ino, n = read('>I6B', s, i)
  local v = T.inode(p, ino)
  return i + 7 + n, v and logical(v) == sub(s, i + 7, i + 6 + n)
end

function STANDS.i(p, s, i)
  return i + 6, not T.inode(p, (read('>I6', s, i)))
end

function STANDS.D(p, s, i)
  local parent, n = read('>I6B', s, i)
  local kind, ino = read('>BI6', s, i + 7 + n)
  return i + 14 + n, entry_at(p, parent, sub(s, i + 7, i + 6 + n)) == dec(ino * 16 + kind)
end

function STANDS.d(p, s, i)
  local parent, n = read('>I6B', s, i)
  return i + 7 + n, not entry_at(p, parent, sub(s, i + 7, i + 6 + n))
end

function STANDS.R(p, s, i)
  local slice, n = read('>I6I4', s, i)
  return i + 10, number(call('HGET', p .. 'r', slice) or 0) == n
end

function STANDS.O(p, s, i)
  local ms, ino, parent, n = read('>I6I6I6B', s, i)
  local found, place = T.orphan(p, ino)
  return i + 19 + n, found == ms and place == pack('>I6', parent) .. sub(s, i + 19, i + 18 + n)
end

function STANDS.o(p, s, i)
  local _, ino, _, n = read('>I6I6I6B', s, i)
  return i + 19 + n, not T.orphan(p, ino)
end

function STANDS.F(p, s, i)
  local seq, ms, n = read('>I6I6I4', s, i)
  local member = T.freed(p, seq, ms)
  return i + 16 + 11 * n, member and sub(member, 7) == sub(s, i + 16, i + 15 + 11 * n)
end

function STANDS.Q(p, s, i)
  return i + 44, call('HGET', p .. 'q', dec((read('>I6', s, i)))) == sub(s, i + 6, i + 43)
end

function STANDS.N(p, s, i)
  return i + 11, T.knows(p, (read('>I6', s, i)))
end

local function as_expected(p, s)
  local i, same = 1, true
  while i <= #s and same do
    i, same = STANDS[sub(s, i, i)](p, s, i + 1)
  end
  return same
end

-- repair: rows that must be as they are; rows to write, those of inodes first; slices to free,
-- 11 bytes each; what is added to used bytes and inodes; the least next inode and next slice.
change('repair', function(c, args)
  if not as_expected(c.p, args[6]) then return fail('EAGAIN', 'changed') end
  local rows, free = args[7], args[8]
  local bytes, inodes = c.bytes + number(args[9]), c.inodes + number(args[10])
  local nino, nslice = number(args[11]), number(args[12])
  if bytes < 0 or inodes < 0 then return fail('EINVAL') end
  if nino < c.nino then nino = c.nino end
  if nslice < c.nslice then nslice = c.nslice end
  if #rows + #free == 0 and bytes == c.bytes and inodes == c.inodes and nino == c.nino and nslice == c.nslice then
    return fail('EAGAIN', 'changed')
  end
  c.bytes, c.inodes, c.nino, c.nslice = bytes, inodes, nino, nslice
  local run, i = new_run(c.p), 1
  while i <= #rows do
    local from = i
    i = E[sub(rows, i, i)](run, rows, i + 1)
    C.effect(c, sub(rows, from, i - 1))
  end
  flush(run)
  if run.quotas then c.quotas = T.quota_flags(c.p) end
  if #free > 0 then
    T.put_freed(c.p, c.seq, C.ms(c), free)
    C.effect(c, pack('>c1I6I6I4', 'F', c.seq, C.ms(c), #free / 11) .. free)
  end
  local first = sub(rows, 1, 1)
  return C.finish(c, (first == 'I' or first == 'i') and read('>I6', rows, 2) or 0)
end, ADMIN, FREES)
