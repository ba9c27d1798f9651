-- Replaying effects: what a replica is written by.

-- A run is a replay under way. Inodes are written at its end, once each.
local function new_run(p) return {p = p, new = {}, order = {}, replies = {}, alive = {}} end

local function run_get(run, ino)
  local v = run.new[ino]
  if v == nil then v = T.inode(run.p, ino) end
  return v
end

local function run_put(run, ino, v)
  if run.new[ino] == nil then run.order[#run.order + 1] = ino end
  run.new[ino] = v
end

-- set_page notes the next page number of a directory of ours.
local function set_page(run, ino, dir, next)
  if next ~= next_page(dir) then run_put(run, ino, sub(dir, 1, 55) .. pack('>I4', next)) end
end

local function know_all(run, list)
  for i = 9, #list, EXTENT do
    local slice = read('>I6', list, i)
    if slice > 0 then T.know(run.p, slice) end
  end
end

-- E[kind] replays the effect whose fields begin at i of s, and returns where the next begins.
local E = {}

function E.I(run, s, i)
  local ino, n = read('>I6B', s, i)
  local v = sub(s, i + 7, i + 6 + n)
  if kind_of(v) == 4 then
    local mine = run_get(run, ino)
    if mine then v = sub(v, 1, 55) .. sub(mine, 56, 59) end
  elseif run.load and byte(v, 1) % 4 >= 2 then
    T.know(run.p, (read('>I6', v, 50)))
  end
  run_put(run, ino, v)
  return i + 7 + n
end

function E.i(run, s, i)
  run_put(run, read('>I6', s, i), false)
  return i + 6
end

function E.D(run, s, i)
  local parent, n = read('>I6B', s, i)
  local name = sub(s, i + 7, i + 6 + n)
  local kind, ino = read('>BI6', s, i + 7 + n)
  local dir = run_get(run, parent)
  set_page(run, parent, dir, T.put_entry(run.p, dec(parent), name, ino * 16 + kind, next_page(dir)))
  return i + 14 + n
end

function E.d(run, s, i)
  local parent, n = read('>I6B', s, i)
  local dir = run_get(run, parent)
  set_page(run, parent, dir, T.del_entry(run.p, dec(parent), sub(s, i + 7, i + 6 + n), next_page(dir)))
  return i + 7 + n
end

function E.C(run, s, i)
  local ino, index, keep, n = read('>I6I4I4I4', s, i)
  local d, value = dec(ino), sub(s, i + 18, i + 17 + n)
  local old = keep > 0 and call('HGET', run.p .. 'c' .. d, index) or ''
  if run.load then know_all(run, value) end
  T.put_chunk(run.p, d, index, keep, value, old)
  return i + 18 + n
end

function E.c(run, s, i)
  local ino, index = read('>I6I4', s, i)
  T.del_chunk(run.p, dec(ino), index)
  return i + 10
end

function E.L(run, s, i)
  local ino, n = read('>I6I4', s, i)
  T.put_target(run.p, ino, sub(s, i + 10, i + 9 + n))
  return i + 10 + n
end

function E.l(run, s, i)
  T.del_target(run.p, (read('>I6', s, i)))
  return i + 6
end

function E.X(run, s, i)
  local ino, n = read('>I6B', s, i)
  local m = read('>I4', s, i + 7 + n)
  T.put_xattr(run.p, dec(ino), sub(s, i + 7, i + 6 + n), sub(s, i + 11 + n, i + 10 + n + m))
  return i + 11 + n + m
end

function E.x(run, s, i)
  local ino, n = read('>I6B', s, i)
  T.del_xattr(run.p, dec(ino), sub(s, i + 7, i + 6 + n))
  return i + 7 + n
end

function E.H(run, s, i)
  local ino, dir, count = read('>I6I6I4', s, i)
  T.put_names(run.p, dec(ino), dec(dir), count)
  return i + 16
end

function E.Q(run, s, i)
  T.put_quota(run.p, dec(read('>I6', s, i)), sub(s, i + 6, i + 43))
  run.quotas = true
  return i + 44
end

function E.q(run, s, i)
  T.del_quota(run.p, dec(read('>I6', s, i)))
  run.quotas = true
  return i + 6
end

function E.R(run, s, i)
  T.put_refs(run.p, read('>I6I4', s, i))
  return i + 10
end

function E.F(run, s, i)
  local seq, ms, n = read('>I6I6I4', s, i)
  T.put_freed(run.p, seq, ms, sub(s, i + 16, i + 15 + 11 * n), T.freed(run.p, seq, ms))
  return i + 16 + 11 * n
end

function E.f(run, s, i)
  T.del_freed(run.p, read('>I6I6', s, i))
  return i + 12
end

function E.O(run, s, i)
  local ms, ino, parent, n = read('>I6I6I6B', s, i)
  T.put_orphan(run.p, ms, ino, parent, sub(s, i + 19, i + 18 + n))
  return i + 19 + n
end

function E.o(run, s, i)
  local _, ino, _, n = read('>I6I6I6B', s, i)
  T.del_orphan(run.p, ino)
  return i + 19 + n
end

function E.S(run, s, i)
  local session, n = sub(s, i, i + 7), read('>I4', s, i + 8)
  T.put_session(run.p, session, sub(s, i + 12, i + 11 + n))
  run.alive[session] = true
  return i + 12 + n
end

function E.s(run, s, i)
  local session = sub(s, i, i + 7)
  for slot in pairs(run.replies) do
    if sub(slot, 1, 8) == session then run.replies[slot] = nil end
  end
  T.del_session(run.p, session)
  run.alive[session] = false
  return i + 8
end

function E.V(run, s, i)
  local n = byte(s, i)
  local m = read('>I4', s, i + 1 + n)
  T.put_setting(run.p, sub(s, i + 1, i + n), sub(s, i + 5 + n, i + 4 + n + m))
  return i + 5 + n + m
end

function E.v(run, s, i)
  local n = byte(s, i)
  T.del_setting(run.p, sub(s, i + 1, i + n))
  return i + 1 + n
end

function E.P(run, s, i)
  local n = read('>I4', s, i + 10)
  if n > 0 then
    T.put_reply(run.p, sub(s, i, i + 9), sub(s, i + 14, i + 13 + n))
  else
    T.del_reply(run.p, sub(s, i, i + 9))
  end
  return i + 14 + n
end

function E.K(run, s, i)
  local g, n = read('>I6I4', s, i)
  T.put_marks(run.p, g, sub(s, i + 10, i + 9 + n))
  return i + 10 + n
end

function E.N(run, s, i)
  T.know(run.p, (read('>I6', s, i)))
  return i + 11
end

-- replay replays the effects of s from i up to a byte. It returns the end of the last
-- effect that does not pass the byte fit.
local function replay(run, s, i, last, fit)
  local fits = i - 1
  while i <= last do
    i = E[sub(s, i, i)](run, s, i + 1)
    if i - 1 <= fit then fits = i - 1 end
  end
  return fits
end

-- flush writes what a run has kept.
local function flush(run)
  local values = {}
  for i = 1, #run.order do values[i] = run.new[run.order[i]] end
  T.put_inodes(run.p, run.order, values, #values)
  for slot, value in pairs(run.replies) do T.put_reply(run.p, slot, value) end
end

-- with_flags is a state that says which quotas there are after a run.
local function with_flags(run, state)
  if not run.quotas then return state end
  return sub(state, 1, 54) .. char(T.quota_flags(run.p)) .. sub(state, 56)
end
