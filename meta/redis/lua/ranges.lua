-- The ranges of bytes that an owner has locked on a file: I4 process, then LOCK bytes for
-- each range: first 8, last 8, type 1 (1 shared, 2 exclusive), sorted, apart from each other.
--
-- Positions go to 2^63, which no number here can hold; so each is two, the upper and the
-- lower 32 bits. A wish q is a range: fh, fl its first byte, lh, ll its last, type.
local K = {LOCK = 17} -- the functions on locks

do

local LOCK = K.LOCK

function K.is_before(ah, al, bh, bl) return ah < bh or ah == bh and al < bl end

function K.ranges_in(value) return (#value - 4) / LOCK end

local function range_at(value, i) return read('>I4I4I4I4B', value, 5 + i * LOCK) end

-- search finds the first range, counted from 0, that ends at or after a position.
local function search(value, h, l)
  local low, high = 0, K.ranges_in(value)
  while low < high do
    local middle = (low + high - (low + high) % 2) / 2
    local bh, bl = read('>I4I4', value, 13 + middle * LOCK)
    if K.is_before(bh, bl, h, l) then low = middle + 1 else high = middle end
  end
  return low
end

-- clash returns the first range of a value that another owner's wish cannot go with.
function K.clash(value, q)
  if q.type == 0 then return nil end
  for i = search(value, q.fh, q.fl), K.ranges_in(value) - 1 do
    local ah, al, bh, bl, kind = range_at(value, i)
    if K.is_before(q.lh, q.ll, ah, al) then return nil end
    if kind == 2 or q.type == 2 then return ah, al, bh, bl, kind end
  end
end

local function pred(h, l)
  if l > 0 then return h, l - 1 end
  if h > 0 then return h - 1, 4294967295 end
  return 0, 0
end

local function succ(h, l)
  if l < 4294967295 then return h, l + 1 end
  return h + 1, 0
end

-- with gives a value after its owner has locked q, or released it (type 0): what was there
-- is split, and neighbours of one type become one range.
function K.with(value, q)
  local fh, fl, lh, ll = q.fh, q.fl, q.lh, q.ll
  local i, n = search(value, pred(fh, fl)), K.ranges_in(value)
  local head, left, right = sub(value, 1, 4 + i * LOCK), '', ''
  while i < n do
    local ah, al, bh, bl, kind = range_at(value, i)
    local nh, nl = succ(lh, ll)
    if K.is_before(nh, nl, ah, al) then break end
    if kind == q.type then
      if K.is_before(ah, al, fh, fl) then fh, fl = ah, al end
      if K.is_before(lh, ll, bh, bl) then lh, ll = bh, bl end
    else
      if K.is_before(ah, al, fh, fl) then
        local ph, pl = pred(fh, fl)
        if K.is_before(bh, bl, ph, pl) then ph, pl = bh, bl end
        left = left .. pack('>I4I4I4I4B', ah, al, ph, pl, kind)
      end
      if K.is_before(lh, ll, bh, bl) then
        if K.is_before(nh, nl, ah, al) then nh, nl = ah, al end
        right = right .. pack('>I4I4I4I4B', nh, nl, bh, bl, kind)
      end
    end
    i = i + 1
  end
  local middle = q.type == 0 and '' or pack('>I4I4I4I4B', fh, fl, lh, ll, q.type)
  return head .. left .. middle .. right .. sub(value, 5 + i * LOCK)
end

end
