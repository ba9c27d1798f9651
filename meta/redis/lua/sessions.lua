-- Sessions, and changes of the volume itself.

-- now_ms is the server's time, which all clients share; or the one given, for a client that
-- has a clock of its own.
local function now_ms(given)
  if given and given ~= '' then return number(given) end
  local t = call('TIME')
  return t[1] * 1000 + (t[2] - t[2] % 1000) / 1000
end

local function is_alive(p, session, now)
  local expires = call('ZSCORE', p .. 'h', session)
  return expires and number(expires) > now
end

-- beat lets a session live. A heartbeat that comes late does not shorten its life.
local function beat(p, session, now, ttl)
  call('ZADD', p .. 'h', 'GT', now + ttl, session)
end

-- session_start: session info; milliseconds to live; time.
change('session_start', function(c, args)
  local session, info = sub(c.start, 11, 18), args[6]
  if T.may_come_late(c.p, session) then return fail('ESTALE', 'session') end
  if byte(c.time, 7) > 0 then T.expect_late(c.p, session) end
  T.put_session(c.p, session, info)
  C.effect(c, 'S' .. session .. pack('>I4', #info) .. info)
  beat(c.p, session, now_ms(args[8]), number(args[7]))
  T.known(c.p).confirmed[session] = true
  return C.finish(c, 0)
end, START)

-- session_end: the session that ends; 1 to end one that lives; time. The head has no
-- session or another one, so that no reply is kept for a session that is gone.
change('session_end', function(c, args)
  local session = args[6]
  if call('HEXISTS', c.key, 's' .. session) == 0 then return fail('ENOENT') end
  if args[7] ~= '1' and is_alive(c.p, session, now_ms(args[8])) then return fail('EBUSY') end
  if sub(c.start, 11, 18) == session then c.slot = '' end
  T.del_session(c.p, session)
  C.effect(c, 's' .. session)
  return C.finish(c, 0)
end, ADMIN, FREES)

-- heartbeat is no change: session; milliseconds to live; time; inodes that it has open... The
-- answer is empty, or when this server began if it wants to know the session's locks.
define('heartbeat', function(keys, args)
  local p, session = sub(keys[1], 1, -2), args[1]
  local v = call('HMGET', keys[1], 's' .. session, 'b' .. session)
  if not v[1] or v[2] then return fail('ESTALE', 'session') end
  beat(p, session, now_ms(args[3]), number(args[2]))
  local key = T.open_key(p, session)
  call('DEL', key)
  for first = 4, #args, SPREAD do
    local last = first + SPREAD - 1
    if last > #args then last = #args end
    call('SADD', key, spread(args, first, last))
  end
  call('PEXPIRE', key, args[2])
  local known = T.known(p)
  return known.confirmed[session] and '' or known.began
end, FREES)

-- is_open reports whether a session that lives has an inode open.
local function is_open(p, ino, now)
  local alive = call('ZRANGEBYSCORE', p .. 'h', '(' .. dec(now), '+inf')
  for i = 1, #alive do
    if call('SISMEMBER', T.open_key(p, alive[i]), dec(ino)) == 1 then return true end
  end
  return false
end

-- reserve: how many slice numbers. The answer is about the first.
change('reserve', function(c, args)
  local first = c.nslice
  if first + number(args[6]) > 2 ^ 48 - 1 then return fail('ENOSPC') end
  c.nslice = first + number(args[6])
  return C.finish(c, first)
end)

local function put_volume(c, value)
  T.put_setting(c.p, 'volume', value)
  C.effect(c, 'V' .. char(6) .. 'volume' .. pack('>I4', #value) .. value)
end

-- settings: the volume as JSON.
change('settings', function(c, args)
  put_volume(c, args[6])
  return C.finish(c, 0)
end, ADMIN)

-- format: the volume as JSON; value of the root's inode. EEXIST when there is a volume.
define('format', function(keys, args)
  if call('EXISTS', keys[1]) == 1 then return fail('EEXIST', 'volume') end
  local zero = pack('>I6I6', 1, 0) .. string.rep('0', 16) .. pack('>I6I6I7I6', 2, 1, 0, 1)
  call('HSET', keys[1], 'state', zero .. 'S\0\0\0\0\0\0')
  C.goes_on(keys[1], string.rep('0', 16))
  local c = C.begin(keys, args, ADMIN)
  C.put(c, 1, args[7])
  put_volume(c, args[6])
  return C.finish(c, 1)
end)
