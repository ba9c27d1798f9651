-- What becomes of orphans and freed slices.

do

-- purge_content frees what a file holds, as far as one call may. It returns the size that
-- is left.
local function purge_content(c, ino, v)
  local k, size = truncate(c, ino, v, 0)
  for i = 1, #k.order do put_list(c, ino, k.order[i], k.was[k.order[i]], '') end
  settle(c, k.tally)
  return size
end

-- orphan_of reads the arguments that name an orphan: time in ms; inode; parent; last name.
-- It returns the inode's number and value, or nil and the error.
local function orphan_of(c, args)
  local ms, ino = number(args[6]), number(args[7])
  local found, place = T.orphan(c.p, ino)
  if found ~= ms or place ~= pack('>I6', number(args[8])) .. args[9] then return nil, fail('ENOENT') end
  local v = C.get(c, ino)
  if not v then return nil, fail('EIO', 'dangling') end
  return ino, v
end

local function drop_orphan(c, ino, args)
  T.del_orphan(c.p, ino)
  C.effect(c, pack('>c1I6I6I6B', 'o', number(args[6]), ino, number(args[8]), #args[9]) .. args[9])
end

-- purge: orphan; server time. A very large file goes in several purges: its row stays
-- until the last, with the time 0.
change('purge', function(c, args)
  local ino, v = orphan_of(c, args)
  if not ino then return v end
  local parent, name = number(args[8]), args[9]
  if is_open(c.p, ino, now_ms(args[10])) then return fail('EBUSY') end
  c.freed_from = math.max(C.ms(c) - trash(c), 0)
  local left = kind_of(v) == 8 and purge_content(c, ino, v) or 0
  if left > 0 then
    C.put(c, ino, sub(v, 1, 37) .. pack('>I6', left) .. sub(v, 44))
    T.put_orphan(c.p, 0, ino, parent, name)
    C.effect(c, pack('>c1I6I6I6B', 'O', 0, ino, parent, #name) .. name)
    return C.finish(c, ino)
  end
  if kind_of(v) == 10 then
    T.del_target(c.p, ino)
    C.effect(c, pack('>c1I6', 'l', ino))
  end
  drop_xattrs(c, ino, v)
  C.put(c, ino, false)
  drop_orphan(c, ino, args)
  return C.finish(c, ino)
end, nil, FREES)

-- restore: orphan; directory; name.
change('restore', function(c, args)
  local ino, v = orphan_of(c, args)
  if not ino then return v end
  if args[6] == '0' then return fail('ENOENT') end
  local d, name = args[10], args[11]
  local parent = number(d)
  local dir, err = C.dir(c, parent)
  if not dir then return err end
  if T.find(c.p, d, name, next_page(dir)) then return fail('EEXIST') end
  local kind = kind_of(v)
  C.charge(c, parent, ino, C.taken(v), 1)
  local no = C.over_quota(c)
  if no then return no end
  c.inodes = c.inodes + 1
  if kind == 8 then c.bytes = c.bytes + rounded(size_of(v)) end
  drop_orphan(c, ino, args)
  C.put(c, ino, sub(v, 1, 3) .. '\0\1' .. sub(v, 6, 29) .. c.ns .. sub(v, 38, 43) .. pack('>I6', parent) .. sub(v, 50))
  put_dir(c, parent, dir, 1, kind == 4 and 1 or 0, T.put_entry(c.p, d, name, ino * 16 + kind, next_page(dir)))
  put_entry_effect(c, parent, name, kind, ino)
  return C.finish(c, ino)
end)

-- reclaim: seq, ms, seq, ms... of what was freed.
change('reclaim', function(c, args)
  for i = 6, #args, 2 do
    local seq, ms = number(args[i]), number(args[i + 1])
    if T.freed(c.p, seq, ms) then
      T.del_freed(c.p, seq, ms)
      C.effect(c, pack('>c1I6I6', 'f', seq, ms))
    end
  end
  if c.effects == 0 then return fail('ENOENT') end
  return C.finish(c, 0)
end, nil, FREES)

-- due: 'o' for orphans or 'f' for what was freed; ms and number to begin after; ms to end
-- before; limit. The answer is member, ms, and of an orphan its place, for each.
define('due', function(keys, args)
  local p, key = sub(keys[1], 1, -2), sub(keys[1], 1, -2) .. args[1]
  local rank = T.rank_after(key, number(args[2]), number(args[3]))
  local found = call('ZRANGE', key, rank, rank + number(args[5]) - 1, 'WITHSCORES')
  local out, before = {}, number(args[4])
  for i = 1, #found, 2 do
    if number(found[i + 1]) >= before then break end
    out[#out + 1], out[#out + 2] = found[i], found[i + 1]
    if args[1] == 'o' then
      local g, f = group(read('>I6', found[i]))
      out[#out + 1] = call('HGET', p .. 'n' .. g, f)
    end
  end
  return out
end, {'no-writes'})

-- orphan: inode. The answer is ms and place.
define('orphan', function(keys, args)
  local ms, place = T.orphan(sub(keys[1], 1, -2), number(args[1]))
  if not ms then return fail('ENOENT') end
  return {dec(ms), place}
end, {'no-writes'})

-- known: slices. The answer has one byte for each, '1' or '0'.
define('known', function(keys, args)
  local p, out = sub(keys[1], 1, -2), {}
  for i = 1, #args do
    out[i] = T.knows(p, number(args[i])) and '1' or '0'
  end
  return concat(out)
end, {'no-writes'})

end
