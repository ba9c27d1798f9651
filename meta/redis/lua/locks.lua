-- Locks on files. They belong to sessions, and no record is made of them. Rows of a file and
-- kind are one hash: session and owner (8 each) to their ranges.
--
-- A call that may change something begins with session 8, slot I2, number I4. The last
-- answer of each slot is kept for a resend, and a number that comes late is refused.
do

local MAXOWNERS, MAXRANGES = 4096, 16384
local MAXWAITING, LEASE, PATIENCE = 1024, 10000, 5000 -- waiters of a file; ms

-- begin checks volume, session and number of a call. It returns the call, or nil and the answer.
function K.begin(keys, head, time)
  local key, session, slot = keys[1], sub(head, 1, 8), sub(head, 9, 10)
  local p = sub(key, 1, -2)
  local v = call('HMGET', key, 'state', 's' .. session, 'b' .. session)
  if not v[1] then return nil, fail('ENOENT', 'volume') end
  local role = sub(v[1], 54, 54)
  if role ~= 'S' then return nil, fail('EROFS', role == 'F' and 'fenced' or 'readonly') end
  if not v[2] or v[3] then return nil, fail('ESTALE', 'session') end
  local k = {key = key, p = p, session = session, now = now_ms(time), standing = {}}
  k.slots, k.slot, k.number = p .. 'yn' .. hex(session), slot, sub(head, 11, 14)
  local kept = call('HGET', k.slots, slot)
  if kept then
    if sub(kept, 1, 4) == k.number then return nil, sub(kept, 5) end
    if is_behind(read('>I4', k.number), (read('>I4', kept))) then return nil, fail('EIO', 'number') end
  end
  return k
end

-- answer keeps an answer and gives it.
function K.answer(k, text)
  call('HSET', k.slots, k.slot, k.number .. text)
  return text
end

-- file sets what a call is about: kind, owner and inode.
function K.file(k, kind, owner, ino)
  k.kind, k.ino, k.me = kind, ino, k.session .. owner
  k.rows = k.p .. 'y' .. kind .. dec(ino)
  k.waiting = k.p .. 'z' .. kind .. dec(ino)
  k.member = kind .. owner .. pack('>I6', ino)
end

-- standing tells whether a session's locks count: yes, until somebody asks ('late'), or no. Who
-- calls is there.
local function standing(k, session)
  local s = k.standing[session]
  if s then return s end
  local v = call('HMGET', k.key, 's' .. session, 'b' .. session)
  if not v[1] or v[2] then s = 'no' elseif session == k.session or is_alive(k.p, session, k.now) then s = 'yes' else s = 'late' end
  k.standing[session] = s
  return s
end

-- put writes the ranges of an owner, field, and the list of what its session has.
local function put(k, field, member, value)
  local list = k.p .. 'ys' .. hex(sub(field, 1, 8))
  if #value > 4 then
    if call('HSET', k.rows, field, value) == 1 then
      call('SADD', list, member)
      call('SADD', k.p .. 'ys', sub(field, 1, 8))
    end
  else
    call('HDEL', k.rows, field)
    call('SREM', list, member)
  end
end

local function drop(k, field)
  put(k, field, k.kind .. sub(field, 9) .. pack('>I6', k.ino), '')
end

-- in_the_way finds the first lock of rows that an owner's wish cannot go with, as session,
-- owner, process, first, last and type; nil when there is none. With take, locks that do not
-- count any more are dropped, and who was away for too long has lost all.
local function in_the_way(k, rows, me, q, take)
  local best, bh, bl, by
  for i = 1, #rows, 2 do
    local field, value = rows[i], rows[i + 1]
    local ah, al, lh, ll, kind = nil, nil, nil, nil, nil
    if field ~= me then ah, al, lh, ll, kind = K.clash(value, q) end
    local session = sub(field, 1, 8)
    local counts = ah and standing(k, session)
    if counts == 'yes' then
      if not best or K.is_before(ah, al, bh, bl) or ah == bh and al == bl and sub(field, 9) < by then
        best = field .. sub(value, 1, 4) .. pack('>I4I4I4I4B', ah, al, lh, ll, kind)
        bh, bl, by = ah, al, sub(field, 9)
      end
    elseif counts and take then
      if counts == 'late' then
        call('HSET', k.key, 'b' .. session, '')
        k.standing[session] = 'no'
      end
      drop(k, field)
    end
  end
  return best
end

-- settled tells whether this server knows all locks there are: every session that lives has
-- said what it holds, or was started under this server.
local function settled(k)
  local known = T.known(k.p)
  if known.all then return true end
  local alive = call('ZRANGEBYSCORE', k.p .. 'h', '(' .. dec(k.now), '+inf')
  for i = 1, #alive do
    if not known.confirmed[alive[i]] then return false end
  end
  known.all = true
  return true
end

local function wish(text, i)
  local fh, fl, lh, ll, kind = read('>I4I4I4I4B', text, i)
  return {fh = fh, fl = fl, lh = lh, ll = ll, type = kind}
end

local function meet(a, b)
  return (a.type == 2 or b.type == 2) and not K.is_before(a.lh, a.ll, b.fh, b.fl) and not K.is_before(b.lh, b.ll, a.fh, a.fl)
end

-- queue lists who waits for a file, the first first: who, its wish, its ticket and since when.
-- A waiter that has not asked again for long is gone.
local function queue(k)
  local rows, out = call('HGETALL', k.waiting), {}
  for i = 1, #rows, 2 do
    local ticket, expires, since = read('>I6I6I6', rows[i + 1])
    if expires > k.now then
      out[#out + 1] = {who = rows[i], q = wish(rows[i + 1], 19), ticket = ticket, since = since}
    else
      call('HDEL', k.waiting, rows[i])
    end
  end
  table.sort(out, function(a, b) return a.ticket < b.ticket end)
  return out
end

-- wake tells those who wait and may have what they want now.
function K.wake(k)
  local waiters = queue(k)
  if #waiters == 0 then return end
  local rows, told = call('HGETALL', k.rows), 0
  for i = 1, #waiters do
    local w = waiters[i]
    if i > 32 or told == 8 then return end
    if not in_the_way(k, rows, sub(w.who, 1, 16), w.q) then
      redis.pcall('PUBLISH', k.p .. 'wake:' .. hex(sub(w.who, 1, 8)), sub(w.who, 17))
      told = told + 1
    end
  end
end

-- wait enters the call's owner among the waiters, or keeps its place.
local function wait(k, id, q, text)
  local who = k.me .. id
  local was, ticket, since = call('HGET', k.waiting, who), nil, k.now
  if was then
    local _
    ticket, _, since = read('>I6I6I6', was)
  elseif call('HLEN', k.waiting) < MAXWAITING then
    ticket = call('INCR', k.p .. 'y')
  else
    return -- it asks again now and then
  end
  call('HSET', k.waiting, who, pack('>I6I6I6', ticket, k.now + LEASE, since) .. text)
  call('PEXPIRE', k.waiting, LEASE)
  if k.kind == 'p' then
    call('HSET', k.p .. 'z', k.me, pack('>I6I6', k.ino, k.now + LEASE) .. text)
    call('PEXPIRE', k.p .. 'z', LEASE)
  end
end

local function unwait(k, id)
  if call('HDEL', k.waiting, k.me .. id) == 1 and k.kind == 'p' then call('HDEL', k.p .. 'z', k.me) end
end

-- must_queue tells whether others wait for what a wish cannot go with, and came first.
local function must_queue(k, id, q)
  if call('EXISTS', k.waiting) == 0 then return false end
  local me = k.me .. id
  for _, w in ipairs(queue(k)) do
    if w.who == me then return false end
    if sub(w.who, 1, 16) ~= k.me and meet(w.q, q) and standing(k, sub(w.who, 1, 8)) == 'yes' then
      local mine = call('HGET', k.waiting, me)
      if not mine then return true end
      local _, _, since = read('>I6I6I6', mine)
      return k.now - since < PATIENCE
    end
  end
  return false
end

-- holders adds to a list who holds what an owner's wish on a file cannot go with.
local function holders(k, list, rows, me, q)
  for i = 1, #rows, 2 do
    if rows[i] ~= me and K.clash(rows[i + 1], q) and standing(k, sub(rows[i], 1, 8)) == 'yes' then
      list[#list + 1] = rows[i]
    end
  end
end

-- deadlock tells whether those who are in the way wait for the owner themselves, directly or
-- by others; it looks at 64 of them.
local function deadlock(k, rows, q)
  local open, seen, looked = {}, {}, 0
  holders(k, open, rows, k.me, q)
  while #open > 0 and looked < 64 do
    local who = open[#open]
    open[#open] = nil
    if who == k.me then return true end
    if not seen[who] then
      seen[who], looked = true, looked + 1
      local w = call('HGET', k.p .. 'z', who)
      if w then
        local ino, expires = read('>I6I6', w)
        if expires > k.now then holders(k, open, call('HGETALL', k.p .. 'yp' .. dec(ino)), who, wish(w, 13)) end
      end
    end
  end
  return false
end

local function own(rows, me)
  for i = 1, #rows, 2 do
    if rows[i] == me then return rows[i + 1] end
  end
end

-- lock_set: head 14; flags 1 (1 waits, 2 queues, 4 has waited), kind 1, owner 8, inode I6, process
-- I4, first 8, last 8, type 1, the waiter's number 4; time. The answer: G it is so (of a lock that
-- was set the position, and the inode's value), H another
-- is in the way (and which), W others wait already, D deadlock, F too many, T this server does not
-- know all locks yet.
define('lock_set', function(keys, args)
  local a = args[1]
  local k, answer = K.begin(keys, a, args[2])
  if not k then return answer end
  local flags, kind, owner, ino, pid = read('>Bc1c8I6c4', a, 15)
  local q, text, id = wish(a, 35), sub(a, 35, 51), sub(a, 52, 55)
  K.file(k, kind, owner, ino)
  local rows = call('HGETALL', k.rows)
  local mine = own(rows, k.me)
  if q.type == 0 then
    if mine then
      put(k, k.me, k.member, K.with(mine, q))
      K.wake(k)
    end
    return K.answer(k, 'G')
  end
  if not settled(k) then return K.answer(k, 'T') end
  if kind == 'w' and mine and sub(mine, 5) ~= text then -- given up first, as flock(2) has it
    put(k, k.me, k.member, '')
    K.wake(k)
    mine = nil
  end
  local waits = flags % 2 == 1
  local other = in_the_way(k, rows, k.me, q, true)
  if other then
    if waits and kind == 'p' and deadlock(k, rows, q) then
      unwait(k, id)
      return K.answer(k, 'D')
    end
    if waits then wait(k, id, q, text) end
    return K.answer(k, 'H' .. other)
  end
  if waits and flags % 4 >= 2 and must_queue(k, id, q) then
    wait(k, id, q, text)
    return K.answer(k, 'W')
  end
  if flags >= 4 then unwait(k, id) end
  local value = K.with(mine or pid, q)
  if K.ranges_in(value) > MAXRANGES or not mine and #rows >= 2 * MAXOWNERS then return K.answer(k, 'F') end
  put(k, k.me, k.member, pid .. sub(value, 5))
  if q.type == 1 then K.wake(k) end
  local state = call('HGET', k.key, 'state')
  return K.answer(k, 'G' .. sub(state, 1, 12) .. (T.inode(k.p, ino) or ''))
end, FREES)

-- lock_get: session 8, kind 1, owner 8, inode I6, first 8, last 8, type 1; time. The answer is the
-- lock in the way, '' when there is none.
define('lock_get', function(keys, args)
  local session, kind, owner, ino = read('>c8c1c8I6', args[1])
  local k = {key = keys[1], p = sub(keys[1], 1, -2), session = session, now = now_ms(args[2]), standing = {}}
  return in_the_way(k, call('HGETALL', k.p .. 'y' .. kind .. dec(ino)), session .. owner, wish(args[1], 24)) or ''
end, {'no-writes'})

-- lock_assert: head 14; kind 1, owner 8, inode I6, process 4; the ranges that the owner is to have;
-- time. The answer: G it has them, H another is in the way.
define('lock_assert', function(keys, args)
  local a = args[1]
  local k, answer = K.begin(keys, a, args[3])
  if not k then return answer end
  local kind, owner, ino, pid = read('>c1c8I6c4', a, 15)
  K.file(k, kind, owner, ino)
  local rows, value = call('HGETALL', k.rows), pid .. args[2]
  local mine, n = own(rows, k.me), K.ranges_in(value)
  if mine ~= value and n > 0 then
    -- Work is bounded: who claims very much from among very many has lost it.
    if n * #rows > 40000 and n * #rows > 2 * n then return K.answer(k, 'H' .. string.rep('\0', 37)) end
    for i = 0, n - 1 do
      local other = in_the_way(k, rows, k.me, wish(value, 5 + i * K.LOCK), true)
      if other then return K.answer(k, 'H' .. other) end
    end
  end
  if mine or n > 0 then put(k, k.me, k.member, value) end
  if mine and mine ~= value then K.wake(k) end
  return K.answer(k, 'G')
end, FREES)

-- lock_confirm: session 8; when this server began, as heartbeat said it.
define('lock_confirm', function(keys, args)
  local known = T.known(sub(keys[1], 1, -2))
  if args[2] == known.began then known.confirmed[args[1]] = true end
  return 1
end)

-- lock_cancel: session 8, kind 1, owner 8, inode I6, the waiter's number 4. Who waited behind may
-- have its turn.
define('lock_cancel', function(keys, args)
  local session, kind, owner, ino, id = read('>c8c1c8I6c4', args[1])
  local k = {key = keys[1], p = sub(keys[1], 1, -2), session = session, now = now_ms(args[2]), standing = {}}
  K.file(k, kind, owner, ino)
  unwait(k, id)
  K.wake(k)
  return 1
end)

-- lock_list: session 8; how many. The answer: member (kind 1, owner 8, inode I6), ranges, ...
define('lock_list', function(keys, args)
  local p, out = sub(keys[1], 1, -2), {}
  local members = call('SSCAN', p .. 'ys' .. hex(args[1]), '0', 'COUNT', args[2])[2]
  for i = 1, #members do
    local kind, owner, ino = read('>c1c8I6', members[i])
    local value = i <= number(args[2]) and call('HGET', p .. 'y' .. kind .. dec(ino), args[1] .. owner)
    if value then
      out[#out + 1] = members[i]
      out[#out + 1] = value
    end
  end
  return out
end, {'no-writes'})

-- lock_sweep: how many locks to remove at most of sessions that are over; time. The answer is
-- how many there were.
define('lock_sweep', function(keys, args)
  local p, left, found = sub(keys[1], 1, -2), number(args[1]), 0
  local k = {key = keys[1], p = p, now = now_ms(args[2]), standing = {}}
  for _, session in ipairs(call('SMEMBERS', p .. 'ys')) do
    if left > 0 and standing(k, session) == 'no' then
      local list = p .. 'ys' .. hex(session)
      for _, member in ipairs(call('SPOP', list, left)) do
        local kind, owner, ino = read('>c1c8I6', member)
        k.session = session
        K.file(k, kind, owner, ino)
        k.session = nil -- nobody's call
        call('HDEL', k.rows, k.me)
        K.wake(k)
        left, found = left - 1, found + 1
      end
      if call('EXISTS', list) == 0 then
        call('DEL', p .. 'yn' .. hex(session))
        call('SREM', p .. 'ys', session)
      end
    end
  end
  return found
end, FREES)

end
