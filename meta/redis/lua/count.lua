-- Setting quotas, and counting what was below a directory before it got one.

do

local MAX_BYTES, MAX_INODES, NEXT, STOP, BYTES, INODES = 1, 2, 5, 6, 7, 8 -- in a row

-- quota: directory; limits: bytes I7, inodes I6. Without limits it goes.
change('quota', function(c, args)
  local d, dir = args[6], number(args[6])
  local v, err = C.dir(c, dir)
  if not v then return err end
  local max_bytes, max_inodes = read('>I7I6', args[7])
  local old = call('HGET', c.p .. 'q', d)
  if max_bytes == 0 and max_inodes == 0 then
    if not old then return fail('ENODATA') end
    C.drop_quota(c, dir)
    return C.finish(c, 0)
  end
  if not old and call('HLEN', c.p .. 'q') >= 10000 then return fail('ENOSPC') end
  local row = old and C.quota_row(old) or {0, 0, 0, 0, 0, 0, 0, 0}
  if not old and dir ~= 1 and size_of(v) > 0 then row[NEXT], row[STOP] = 1, c.nino end
  row[MAX_BYTES], row[MAX_INODES] = max_bytes, max_inodes
  C.put_quota(c, dir, row)
  c.quotas = T.quota_flags(c.p)
  return C.finish(c, 0)
end, ADMIN)

-- is_inside reports whether a directory is in known as inside, or is below one that is.
-- It completes known: directory to whether it is.
local function is_inside(c, dir, known)
  local path, at = {}, dir
  while known[at] == nil do
    path[#path + 1] = at
    local v = T.inode(c.p, at)
    at = v and parent_of(v) or 1
  end
  for i = 1, #path do known[path[i]] = known[at] end
  return known[at]
end

local MAXCOUNT = 4096 -- inode numbers that one call looks at: some 5 ms

-- count: directory. It goes on with the counting of its quota.
change('count', function(c, args)
  local d, dir = args[6], number(args[6])
  local v, err = C.dir(c, dir)
  if not v then return err end
  local row = call('HGET', c.p .. 'q', d)
  if not row then return fail('ENODATA') end
  row = C.quota_row(row)
  if row[STOP] == 0 then return C.unchanged(c, dir) end
  local known, ino, stop = {[1] = false, [dir] = true}, row[NEXT], row[STOP]
  if stop > ino + MAXCOUNT then stop = ino + MAXCOUNT end
  while ino < stop do
    local fields = {}
    for i = ino % 64, 63 do fields[#fields + 1] = FIELD[i] end
    local found = call('HMGET', c.p .. 'i' .. (group(ino)), spread(fields))
    for i = 1, #found do
      local f = found[i]
      if f and ino < stop and ino ~= 1 and links_of(f) > 0 and is_inside(c, parent_of(f), known) then
        row[BYTES], row[INODES] = row[BYTES] + C.taken(f), row[INODES] + 1
      end
      ino = ino + 1
    end
  end
  row[NEXT] = stop
  if stop == row[STOP] then row[NEXT], row[STOP] = 0, 0 end
  C.put_quota(c, dir, row)
  return C.finish(c, 0)
end, ADMIN)

end
