-- Making, linking and removing names.

local function next_page(dir) return (read('>I4', dir, 56)) end

-- put_dir notes a directory with its new counts and times, and its next page number.
local function put_dir(c, ino, dir, entries, subdirs, next)
  local tail = sub(dir, 44)
  if subdirs ~= 0 or next ~= next_page(dir) then
    tail = sub(dir, 44, 49) .. pack('>I6I4', read('>I6', dir, 50) + subdirs, next)
  end
  C.put(c, ino, sub(dir, 1, 21) .. c.ns .. c.ns .. pack('>I6', read('>I6', dir, 38) + entries) .. tail)
end

local function put_entry_effect(c, parent, name, kind, ino)
  C.effect(c, pack('>c1I6B', 'D', parent, #name) .. name .. pack('>BI6', kind, ino))
end

local function del_entry_effect(c, parent, name)
  C.effect(c, pack('>c1I6B', 'd', parent, #name) .. name)
end

local function kind_of(v)
  local b = byte(v, 2)
  return (b - b % 16) / 16
end

-- lose_name takes one of the links of an inode; without any it is an orphan.
local function lose_name(c, ino, v, parent, name)
  local links = links_of(v) - 1
  if links > 0 then
    local stays = C.parent_without(c, ino, v, parent)
    v = sub(C.move_name(c, ino, v, parent, nil), 1, 43) .. pack('>I6', stays) .. sub(v, 50)
  else
    c.inodes = c.inodes - 1
    if kind_of(v) == 8 then c.bytes = c.bytes - rounded(size_of(v)) end
    if kind_of(v) == 4 then C.drop_quota(c, ino) end
    add_orphan(c, ino, parent, name)
  end
  C.put(c, ino, sub(v, 1, 3) .. pack('>I2', links) .. sub(v, 6, 29) .. c.ns .. sub(v, 38))
end

local MAXDEPTH = 2048 -- directories that one may lie in, meta.MaxDepth

-- way_up goes from a directory up to the root. It returns whether it met another inode on its way, the
-- directory itself included, and whether nothing may lie in the directory any more that others can
-- lie in.
local function way_up(c, dir, other)
  local met = dir == other
  for _ = 1, MAXDEPTH do
    if dir == 1 then return met, false end
    local v = C.get(c, dir)
    dir = v and read('>I6', v, 44) or 1
    met = met or dir == other
  end
  return met, true
end

-- make: parent; name; inode value with the parent in it and the umask applied; permissions
-- before the umask, for a default ACL takes its place; target of a symbolic link.
change('make', function(c, args)
  local d, name, v = args[6], args[7], args[8]
  local parent, ino = number(d), c.nino
  local dir, err = C.dir(c, parent)
  if not dir then return err end
  if ino >= 2 ^ 48 then return fail('ENOSPC') end
  local kind, entries = kind_of(v), size_of(dir) + 1
  if kind == 4 then
    local _, deep = way_up(c, parent)
    if deep then return fail('ENAMETOOLONG') end
  end
  if band(byte(dir, 2), 4) ~= 0 then -- setgid
    local mode = sub(v, 2, 3)
    if kind == 4 then mode = char(68 + band(byte(v, 2), 11)) .. sub(v, 3, 3) end
    v = sub(v, 1, 1) .. mode .. sub(v, 4, 9) .. sub(dir, 10, 13) .. sub(v, 14)
  end
  if c.quotas > 0 then
    if T.find(c.p, d, name, next_page(dir)) then return fail('EEXIST') end
    C.charge(c, parent, ino, 0, 1)
    local no = C.over_quota(c)
    if no then return no end
  end
  local next = T.add_entry(c.p, d, name, dec(ino * 16 + kind), next_page(dir), entries)
  if not next then return fail('EEXIST') end
  local default = kind ~= 10 and C.default_acl(c, parent, dir)
  if default then v = C.inherit(c, ino, v, number(args[9]), default) end
  c.nino, c.inodes = ino + 1, c.inodes + 1
  C.put(c, ino, v)
  put_dir(c, parent, dir, 1, kind == 4 and 1 or 0, next)
  if kind == 10 then
    T.put_target(c.p, ino, args[10])
    C.effect(c, pack('>c1I6I4', 'L', ino, #args[10]) .. args[10])
  end
  put_entry_effect(c, parent, name, kind, ino)
  return C.finish(c, ino)
end)

-- link: inode; parent; name.
change('link', function(c, args)
  local ino, d, name = number(args[6]), args[7], args[8]
  local parent = number(d)
  local v = C.get(c, ino)
  if not v then return fail('ENOENT') end
  local dir, err = C.dir(c, parent)
  if not dir then return err end
  if T.find(c.p, d, name, next_page(dir)) then return fail('EEXIST') end
  local links = links_of(v)
  if kind_of(v) == 4 then return fail('EPERM') end
  if links == 0 then return fail('ENOENT') end
  if links >= 65000 then return fail('EMLINK') end
  C.charge_move(c, ino, v, parent)
  local no = C.over_quota(c)
  if no then return no end
  v = C.move_name(c, ino, v, nil, parent)
  C.put(c, ino, sub(v, 1, 3) .. pack('>I2', links + 1) .. sub(v, 6, 29) .. c.ns .. sub(v, 38, 43) .. pack('>I6', parent) .. sub(v, 50))
  put_dir(c, parent, dir, 1, 0, T.put_entry(c.p, d, name, ino * 16 + kind_of(v), next_page(dir)))
  put_entry_effect(c, parent, name, kind_of(v), ino)
  return C.finish(c, ino)
end)

-- entry_of finds a name and returns the inode's number and value, or nil and the error;
-- and its page.
local function entry_of(c, d, dir, name)
  local entry, key, member = T.find(c.p, d, name, next_page(dir))
  if not entry then return nil, fail('ENOENT') end
  entry = number(entry)
  local ino = (entry - entry % 16) / 16
  local v = C.get(c, ino)
  if not v then return nil, fail('EIO', 'dangling') end
  return ino, v, key, member
end

-- remove_entry takes a name out of its page of a directory.
local function remove_entry(c, d, dir, name, subdirs, key, member)
  local parent = number(d)
  put_dir(c, parent, dir, -1, -subdirs, T.del_entry(c.p, d, name, next_page(dir), key, member))
  del_entry_effect(c, parent, name)
end

-- unlink: parent; name.
change('unlink', function(c, args)
  local d, name = args[6], args[7]
  local dir, err = C.dir(c, number(d))
  if not dir then return err end
  local ino, v, key, member = entry_of(c, d, dir, name)
  if not ino then return v end
  if kind_of(v) == 4 then return fail('EISDIR') end
  C.charge_loss(c, ino, v, number(d))
  lose_name(c, ino, v, number(d), name)
  remove_entry(c, d, dir, name, 0, key, member)
  return C.finish(c, ino)
end, nil, FREES)

-- rmdir: parent; name.
change('rmdir', function(c, args)
  local d, name = args[6], args[7]
  local dir, err = C.dir(c, number(d))
  if not dir then return err end
  local ino, v, key, member = entry_of(c, d, dir, name)
  if not ino then return v end
  if kind_of(v) ~= 4 then return fail('ENOTDIR') end
  if size_of(v) > 0 then return fail('ENOTEMPTY') end
  C.charge(c, number(d), ino, 0, -1)
  lose_name(c, ino, v, number(d), name)
  remove_entry(c, d, dir, name, 1, key, member)
  return C.finish(c, ino)
end, nil, FREES)
