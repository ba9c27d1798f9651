-- What a mirror's runner calls.

-- state_of returns the state of a replica, or nil and the error. roles are those allowed.
local function state_of(keys, roles)
  local state = call('HGET', keys[1], 'state')
  if not state then return nil, fail('ENOENT', 'volume') end
  if not string.find(roles, sub(state, 54, 54), 1, true) then return nil, fail('EROFS', 'readonly') end
  return state
end

-- reset_begin makes the volume one that is not to be read, before its keys are removed.
define('reset_begin', function(keys, args)
  local role = sub(call('HGET', keys[1], 'state') or '', 54, 54)
  if role == 'S' then return fail('EROFS', 'readonly') end
  call('HSET', keys[1], 'state', string.rep('\0', 53) .. 'B\0\0\0\0\0\0')
  call('HDEL', sub(keys[1], 1, -2) .. 'local', 'archive') -- of another log
  return 1
end, FREES)

-- reset_end, when only the state is left: the state to begin from; the volume as JSON.
define('reset_end', function(keys, args)
  local state, err = state_of(keys, 'B')
  if not state then return err end
  call('HSET', keys[1], 'state', sub(args[1], 1, 53) .. 'B\0\0\0\0\0\0')
  T.put_setting(sub(keys[1], 1, -2), 'volume', args[2])
  return 1
end)

-- rebase, of what may differ from the source in any row: the state to begin from. What is not
-- right in it is mended by load, and nobody reads it until then.
define('rebase', function(keys, args)
  local state, err = state_of(keys, 'MBF')
  if not state then return err end
  local p = sub(keys[1], 1, -2)
  call('HSET', keys[1], 'state', sub(args[1], 1, 53) .. 'B' .. char(T.quota_flags(p)) .. '\0\0\0\0\0')
  call('HDEL', p .. 'local', 'apply')
  call('UNLINK', p .. 'log')
  return 1
end)

-- become_source makes what was loaded a source: position and chain of where it must be, 28
-- bytes. A call that is sent again finds it done.
define('become_source', function(keys, args)
  local state, err = state_of(keys, 'BS')
  if not state then return err end
  if sub(state, 1, 28) ~= args[1] then return fail('EAGAIN', 'moved') end
  call('HSET', keys[1], 'state', sub(state, 1, 53) .. 'S' .. sub(state, 55))
  return 1
end)

-- load: effects of a scan.
define('load', function(keys, args)
  local state, err = state_of(keys, 'B')
  if not state then return err end
  local run = new_run(sub(keys[1], 1, -2))
  run.load = true
  replay(run, args[1], 1, #args[1], 0)
  flush(run)
  if run.quotas then call('HSET', keys[1], 'state', with_flags(run, state)) end
  return 1
end)

-- check_records walks the chain of checksums over records, and returns the error or nil.
local function check_records(state, args)
  local epoch, seq, chain = read('>I6I6c16', state)
  for i = 4, #args, 2 do
    local e, s = read('>I6I6', args[i])
    if s ~= seq + 1 or e < epoch then return fail('EIO', 'gap') end
    local raw = args[i + 1]
    local body = sub(raw, 1, -17)
    if sub(sha1(chain .. body), 1, 16) ~= sub(raw, -16) then return fail('EIO', 'diverged') end
    if byte(raw, 1) ~= 1 then return fail('EIO', 'version') end
    epoch, seq, chain = e, s, sub(raw, -16)
  end
end

-- about is the inode that a record is about: the one of its first effect, or of a
-- reservation (operation 14) the first slice number.
local function about(raw, slices)
  if byte(raw, 2) == 14 then return slices end
  local kind = sub(raw, 50, 50)
  if #raw > 66 and (kind == 'I' or kind == 'i') then return (read('>I6', raw, 51)) end
  return 0
end

-- keep_reply keeps the reply that the source gave for a record.
local function keep_reply(run, key, at, raw, fits, slices)
  local session = sub(raw, 11, 18)
  if session == NOSESSION then return end
  if run.alive[session] == nil then run.alive[session] = call('HEXISTS', key, 's' .. session) == 1 end
  if not run.alive[session] then return end
  local cut = fits < #raw - 16 and '\1' or '\0'
  run.replies[sub(raw, 11, 20)] = sub(raw, 21, 24) .. at .. pack('>I6', about(raw, slices)) .. cut .. sub(raw, 1, fits)
end

-- apply: position and chain of the state that the records follow, 28 bytes; position at
-- which a first copy is complete; a random token that tells a call sent again from another's;
-- position, record, position, record...
define('apply', function(keys, args)
  local state, err = state_of(keys, 'MB')
  if not state then return err end
  if sub(state, 1, 28) ~= args[1] then
    if call('HGET', sub(keys[1], 1, -2) .. 'local', 'apply') == args[3] then return state end
    return fail('EAGAIN', 'moved')
  end
  err = check_records(state, args)
  if err then return err end
  local p, key = sub(keys[1], 1, -2), keys[1]
  local run, slices = new_run(p), read('>I6', state, 35)
  for i = 4, #args, 2 do
    local at, raw = args[i], args[i + 1]
    local fits = replay(run, raw, 50, #raw - 16, 4096 - 19)
    keep_reply(run, key, at, raw, fits, slices)
    local epoch, seq = read('>I6I6', at)
    call('XADD', p .. 'log', format('%d-%d', epoch, seq), 'r', raw)
    slices = read('>I6', raw, 31)
    state = at .. sub(raw, -16) .. sub(raw, 25, 49) .. sub(state, 54)
  end
  flush(run)
  local epoch, seq, target_epoch, target_seq = read('>I6I6', state)
  target_epoch, target_seq = read('>I6I6', args[2])
  if target_seq > 0 and (epoch > target_epoch or epoch == target_epoch and seq >= target_seq) then
    state = sub(state, 1, 53) .. 'M' .. sub(state, 55)
  end
  state = with_flags(run, state)
  call('HSET', key, 'state', state)
  if #args > 3 then call('HSET', p .. 'local', 'apply', args[3]) end
  return state
end)

-- trim removes the oldest entries of the log: how many to keep; the seq that all mirrors have
-- applied; the most to remove. It returns how many were removed.
define('trim', function(keys, args)
  local key = sub(keys[1], 1, -2) .. 'log'
  local length, first = call('XLEN', key), call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
  if not first then return 0 end
  local behind = number(args[2]) - number(string.match(first[1], '-(%d+)$')) + 1
  local n = length - number(args[1])
  if behind < n then n = behind end
  if number(args[3]) < n then n = number(args[3]) end
  if n <= 0 then return 0 end
  return call('XTRIM', key, 'MAXLEN', length - n)
end, FREES)

-- set_archived moves up to where the log is archived: from; to. It returns 0 if it was not at
-- from. Both as JSON, or empty.
define('set_archived', function(keys, args)
  local key = sub(keys[1], 1, -2) .. 'local'
  local at = call('HGET', key, 'archive') or ''
  if at ~= args[1] and at ~= args[2] then return 0 end
  if args[2] == '' then call('HDEL', key, 'archive') else call('HSET', key, 'archive', args[2]) end
  return 1
end, FREES)
