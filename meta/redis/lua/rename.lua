-- rename, with the flags of renameat2.
local NOREPLACE, EXCHANGE = '1', '2'

-- may_lie says why a directory cannot lie in another one.
local function may_lie(c, ino, v, dir)
  if kind_of(v) ~= 4 then return end
  local met, deep = way_up(c, dir, ino)
  if deep then return fail('ENAMETOOLONG') end
  if met then return fail('EINVAL') end
end

-- may_replace says why one inode cannot take the name of another.
local function may_replace(moved, target)
  local dir, onto = kind_of(moved) == 4, kind_of(target) == 4
  if dir and not onto then return fail('ENOTDIR') end
  if onto and not dir then return fail('EISDIR') end
  if onto and size_of(target) > 0 then return fail('ENOTEMPTY') end
end

-- rename_names is move_name for what may be a directory.
local function rename_names(c, ino, v, from, to)
  if kind_of(v) == 4 then return v end
  return C.move_name(c, ino, v, from, to)
end

-- moved_to is an inode value with a new parent, changed now.
local function moved_to(c, v, parent)
  return sub(v, 1, 29) .. c.ns .. sub(v, 38, 43) .. pack('>I6', parent) .. sub(v, 50)
end

-- set_name puts an entry in place of whatever the name was, and del_name removes one; both
-- note the directory with its counts.
local function set_name(c, d, name, ino, kind, entries, subdirs)
  local parent = number(d)
  local dir = C.get(c, parent)
  put_dir(c, parent, dir, entries, subdirs, T.put_entry(c.p, d, name, ino * 16 + kind, next_page(dir)))
  put_entry_effect(c, parent, name, kind, ino)
end

-- move_charges notes what a rename means for quotas, and returns the error when one does not
-- allow it, or nil.
local function move_charges(c, m, exchanged)
  if c.quotas == 0 then return end
  local old, new = number(m.old), number(m.new)
  local dirs = kind_of(m.v) == 4 or exchanged and kind_of(m.onto) == 4
  if dirs and C.is_edge(c, old, new) then return fail('EXDEV') end
  C.charge_move(c, m.ino, m.v, new)
  if exchanged then
    C.charge_move(c, m.target, m.onto, old)
  elseif m.target and kind_of(m.onto) == 4 then
    C.charge(c, new, m.target, 0, -1)
  elseif m.target then
    C.charge_loss(c, m.target, m.onto, new)
  end
  return C.over_quota(c)
end

-- exchange swaps two names.
local function exchange(c, m)
  local old, new = number(m.old), number(m.new)
  C.put(c, m.ino, moved_to(c, rename_names(c, m.ino, m.v, old, new), new))
  C.put(c, m.target, moved_to(c, rename_names(c, m.target, m.onto, new, old), old))
  local kind, kind2 = kind_of(m.v), kind_of(m.onto)
  local dirs = (kind2 == 4 and 1 or 0) - (kind == 4 and 1 or 0)
  set_name(c, m.old, m.old_name, m.target, kind2, 0, dirs)
  set_name(c, m.new, m.new_name, m.ino, kind, 0, -dirs)
end

-- move_name takes a name to another place, where what it replaces loses its name.
local function move_name(c, m)
  local new = number(m.new)
  C.put(c, m.ino, moved_to(c, rename_names(c, m.ino, m.v, number(m.old), new), new))
  local kind = kind_of(m.v)
  local dirs = kind == 4 and 1 or 0
  remove_entry(c, m.old, C.get(c, number(m.old)), m.old_name, dirs, m.key, m.member)
  if not m.target then
    set_name(c, m.new, m.new_name, m.ino, kind, 1, dirs)
    return
  end
  set_name(c, m.new, m.new_name, m.ino, kind, 0, 0)
  lose_name(c, m.target, m.onto, number(m.new), m.new_name)
end

-- rename: old parent; old name; new parent; new name; flags.
change('rename', function(c, args)
  local m = {old = args[6], old_name = args[7], new = args[8], new_name = args[9]}
  local flags = args[10]
  local from, err = C.dir(c, number(m.old))
  if not from then return err end
  local to, err2 = C.dir(c, number(m.new))
  if not to then return err2 end
  m.ino, m.v, m.key, m.member = entry_of(c, m.old, from, m.old_name)
  if not m.ino then return m.v end
  m.target, m.onto = entry_of(c, m.new, to, m.new_name)
  if m.target and flags == NOREPLACE then return fail('EEXIST') end
  if not m.target and flags == EXCHANGE then return fail('ENOENT') end
  if m.target == m.ino then return C.unchanged(c, m.ino) end
  local across = m.old ~= m.new
  local no = across and may_lie(c, m.ino, m.v, number(m.new))
  if no then return no end
  if flags == EXCHANGE then
    no = across and may_lie(c, m.target, m.onto, number(m.old)) or move_charges(c, m, true)
    if no then return no end
    exchange(c, m)
  else
    no = m.target and may_replace(m.v, m.onto)
    if no then return no end
    no = move_charges(c, m, false)
    if no then return no end
    move_name(c, m)
  end
  return C.finish(c, m.ino)
end)
