-- Who is the source: one call each, which finds done what it did before.

local function set_role(key, state, role)
  state = sub(state, 1, 53) .. role .. sub(state, 55)
  call('HSET', key, 'state', state)
  return state
end

local function local_of(key) return sub(key, 1, -2) .. 'local' end

-- fence: the note that says why; the note that the caller found.
define('fence', function(keys, args)
  local key = keys[1]
  local state, err = state_of(keys, 'SF')
  if not state then return err end
  local note = call('HGET', local_of(key), 'fence') or ''
  if sub(state, 54, 54) == 'F' and note ~= args[1] and note ~= args[2] then return fail('EBUSY', 'fenced') end
  call('HSET', local_of(key), 'fence', args[1])
  return set_role(key, state, 'F')
end, FREES)

-- unfence: position and chain where it must stand, 28 bytes; the note.
define('unfence', function(keys, args)
  local key = keys[1]
  local state, err = state_of(keys, 'SF')
  if not state then return err end
  if sub(state, 54, 54) == 'S' then return state end
  if sub(state, 1, 28) ~= args[1] or call('HGET', local_of(key), 'fence') ~= args[2] then return fail('EAGAIN', 'moved') end
  call('HDEL', local_of(key), 'fence')
  return set_role(key, state, 'S')
end, FREES)

-- demote: position and chain where it must stand.
define('demote', function(keys, args)
  local key = keys[1]
  local state, err = state_of(keys, 'FM')
  if not state then return err end
  if sub(state, 54, 54) == 'M' then return state end
  if sub(state, 1, 28) ~= args[1] then return fail('EAGAIN', 'moved') end
  call('HDEL', local_of(key), 'fence')
  call('DEL', sub(key, 1, -2) .. 'm')
  return set_role(key, state, 'M')
end, FREES)

-- promote is a change, the first of a new epoch: position and chain where it must stand; the
-- volume as JSON; how many inode and how many slice numbers to pass over.
define('promote', function(keys, args)
  local key, inos, slices = keys[1], number(args[8]), number(args[9])
  local state, err = state_of(keys, 'MS')
  if not state then return err end
  if sub(state, 54, 54) == 'S' then
    if call('HGET', sub(key, 1, -2) .. 'cfg', 'volume') == args[7] then return state end
    return fail('EAGAIN', 'moved')
  end
  if sub(state, 1, 28) ~= args[6] then return fail('EAGAIN', 'moved') end
  local epoch, nino, nslice = read('>I6', state), read('>I6', state, 29), read('>I6', state, 35)
  if epoch + 1 > 2 ^ 48 - 1 or nino + inos > 2 ^ 48 - 1 or nslice + slices > 2 ^ 48 - 1 then return fail('ENOSPC') end
  set_role(key, pack('>I6', epoch + 1) .. sub(state, 7), 'S')
  C.goes_on(key, sub(state, 13, 28))
  local c = C.begin(keys, args, ADMIN)
  c.nino, c.nslice = nino + inos, nslice + slices
  put_volume(c, args[7])
  C.finish(c, 0)
  return call('HGET', key, 'state')
end, FREES)
