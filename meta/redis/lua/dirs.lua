-- The pages of directories. d is a directory's inode number in decimal, next
-- the next page number in its inode value: 0 means that it has one page.

-- sorted sorts names by bytes. Lua compares strings by the server's locale, so the
-- six bytes after what all names share are compared as a number, and the rest,
-- rarely needed, byte by byte.
local function less(a, b)
  local n = #a < #b and #a or #b
  for i = 1, n do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

local function sorted(names)
  local first, share = names[1], #names[1]
  for i = 2, #names do
    local name = names[i]
    while share > 0 and sub(name, 1, share) ~= sub(first, 1, share) do share = share - 1 end
  end
  local ranks, by = {}, {}
  for i = 1, #names do
    local rank = read('>I6', sub(names[i], share + 1, share + 6) .. '\0\0\0\0\0\0')
    if by[rank] then
      table.sort(names, less)
      return names
    end
    ranks[i], by[rank] = rank, names[i]
  end
  table.sort(ranks)
  for i = 1, #ranks do ranks[i] = by[ranks[i]] end
  return ranks
end

-- page gives the key of the page that has or would have a name, and the page's member
-- of the index.
function T.page(p, d, name, next)
  if next == 0 then return p .. 'd' .. d end
  local member = call('ZREVRANGEBYLEX', p .. 'x' .. d, '(' .. name .. '\1', '-', 'LIMIT', 0, 1)[1]
  local page = string.match(member, '%z(%d+)$')
  if page == '0' then return p .. 'd' .. d, member end
  return p .. 'd' .. d .. '.' .. page, member
end

-- split moves the upper half of a page to a new page, or only the name just put when
-- it is the directory's last, so that names that come in order leave full pages.
-- It returns the next page number.
local function split(p, d, key, name, next)
  local names = sorted(call('HKEYS', key))
  local n, x = #names, p .. 'x' .. d
  if next == 0 then
    call('ZADD', x, 0, '\0000')
    next = 1
  end
  local from = (n - n % 2) / 2 + 1
  if names[n] == name and #call('ZRANGEBYLEX', x, '(' .. name .. '\1', '+', 'LIMIT', 0, 1) == 0 then from = n end
  local move, put = {}, {}
  for i = from, n do move[#move + 1] = names[i] end
  local values = call('HMGET', key, spread(move))
  for i = 1, #move do
    put[2 * i - 1], put[2 * i] = move[i], values[i]
  end
  call('HDEL', key, spread(move))
  call('HSET', p .. 'd' .. d .. '.' .. next, spread(put))
  call('ZADD', x, 0, names[from] .. '\0' .. next)
  return next + 1
end

-- find returns the entry number of a name, or false, and its page as T.page gives it.
function T.find(p, d, name, next)
  local key, member = T.page(p, d, name, next)
  return call('HGET', key, name), key, member
end

-- add_entry puts an entry that must not exist; count is how many the directory
-- has then. It returns the next page number, or nil when the name is taken.
function T.add_entry(p, d, name, entry, next, count)
  local key = T.page(p, d, name, next)
  if call('HSETNX', key, name, entry) == 0 then return nil end
  if next == 0 and count <= PAGE or next > 0 and call('HLEN', key) <= PAGE then return next end
  return split(p, d, key, name, next)
end

-- put_entry puts an entry whether or not it exists.
function T.put_entry(p, d, name, entry, next)
  local key = T.page(p, d, name, next)
  if call('HSET', key, name, entry) == 0 or call('HLEN', key) <= PAGE then return next end
  return split(p, d, key, name, next)
end

-- del_entry removes an entry, and pages that become empty. It returns the next
-- page number. key and member are what find has returned, or nil.
function T.del_entry(p, d, name, next, key, member)
  if not key then key, member = T.page(p, d, name, next) end
  call('HDEL', key, name)
  if next == 0 or call('EXISTS', key) == 1 then return next end
  local x = p .. 'x' .. d
  if member ~= '\0000' then call('ZREM', x, member) end
  if call('ZCARD', x) == 1 and call('EXISTS', p .. 'd' .. d) == 0 then
    call('DEL', x)
    return 0
  end
  return next
end
