-- POSIX ACLs: the extended attributes that hold them, and what they mean for modes.
do

local ACCESS, DEFAULT = 'system.posix_acl_access', 'system.posix_acl_default'
local USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32 -- tags

-- with_classes gives an ACL in which each entry that stands for a class of the mode (1, 8 or 64
-- is its lowest bit there) has the permissions that fn makes of its own; and whether it says more than
-- a mode can.
local function with_classes(acl, fn)
  local group, extended, out = GROUP_OBJ, false, {sub(acl, 1, 4)}
  for i = 5, #acl, 8 do
    local tag = read('<I2', acl, i)
    if tag == MASK then group = MASK end
    extended = extended or tag == USER or tag == GROUP or tag == MASK
  end
  for i = 5, #acl, 8 do
    local tag, perm = read('<I2I2', acl, i)
    local class = tag == USER_OBJ and 64 or tag == group and 8 or tag == OTHER and 1
    if class then perm = fn(perm, class) end
    out[#out + 1] = pack('<I2I2', tag, perm) .. sub(acl, i + 4, i + 7)
  end
  return concat(out), extended
end

local function bits(mode, class) return (mode - mode % class) / class % 8 end

-- set_perms is an inode value with other permission bits.
local function set_perms(v, perms)
  local mode = read('>I2', v, 2)
  return sub(v, 1, 1) .. pack('>I2', mode - mode % 512 + perms) .. sub(v, 4)
end

local function put(c, ino, name, value)
  T.put_xattr(c.p, dec(ino), name, value)
  C.effect(c, pack('>c1I6B', 'X', ino, #name) .. name .. pack('>I4', #value) .. value)
end

local function get(c, ino, v, name)
  return byte(v, 1) % 2 == 1 and call('HGET', c.p .. 'a' .. dec(ino), name)
end

-- C.default_acl is the default ACL of a directory, or false.
function C.default_acl(c, ino, dir) return get(c, ino, dir, DEFAULT) end

-- C.inherit writes the ACLs of an inode that is made, with a mode before the umask, where there
-- is a default ACL. It returns its value.
function C.inherit(c, ino, v, mode, default)
  local perms, is_dir = 0, band(byte(v, 2), 240) == 64
  local acl, extended = with_classes(default, function(perm, class)
    perm = band(perm, bits(mode, class))
    perms = perms + perm * class
    return perm
  end)
  if extended then put(c, ino, ACCESS, acl) end
  if is_dir then put(c, ino, DEFAULT, default) end
  v = set_perms(v, perms)
  if extended or is_dir then v = char(byte(v, 1) + 1) .. sub(v, 2) end
  return v
end

-- C.chmod_acl makes the ACL of an inode, if it has one, say what its mode says.
function C.chmod_acl(c, ino, v)
  local acl = get(c, ino, v, ACCESS)
  if not acl then return end
  local mode = read('>I2', v, 2)
  put(c, ino, ACCESS, (with_classes(acl, function(_, class) return bits(mode, class) end)))
end

-- C.may_have_acl returns the error for an ACL that cannot be there, or nil.
function C.may_have_acl(v, name)
  if name ~= ACCESS and name ~= DEFAULT then return end
  local kind = band(byte(v, 2), 240)
  if kind == 160 then return fail('EOPNOTSUPP') end
  if name == DEFAULT and kind ~= 64 then return fail('EACCES') end
end

-- C.mode_of_acl is an inode value with the mode of an ACL that is set, and whether that
-- says it all. Other attributes leave the mode as it is.
function C.mode_of_acl(v, name, acl)
  if name ~= ACCESS then return v, false end
  local perms = 0
  local _, extended = with_classes(acl, function(perm, class)
    perms = perms + perm * class
    return perm
  end)
  return set_perms(v, perms), not extended
end

-- C.drop_capability takes away what a file's bytes or owner were trusted with.
function C.drop_capability(c, ino, v)
  local name = 'security.capability'
  if byte(v, 1) % 2 == 0 or band(byte(v, 2), 240) == 64 then return v end
  local key = c.p .. 'a' .. dec(ino)
  if call('HEXISTS', key, name) == 0 then return v end
  T.del_xattr(c.p, dec(ino), name)
  C.effect(c, pack('>c1I6B', 'x', ino, #name) .. name)
  if call('EXISTS', key) == 1 then return v end
  return char(byte(v, 1) - 1) .. sub(v, 2)
end

-- C.names_fit reports whether one more name leaves the list of an inode's attributes within
-- what listxattr can give.
function C.names_fit(key, name)
  if call('HLEN', key) < 255 then return true end
  local names, bytes = call('HKEYS', key), #name + 1
  for i = 1, #names do bytes = bytes + #names[i] + 1 end
  return bytes <= 65536
end

end
