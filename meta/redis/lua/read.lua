-- Questions. None of them writes, so that a replica of the server may answer.
--
-- The first argument is '' for a plain question, or the position (12 bytes) that the
-- answer must have reached; the answer is then {position, answer, error}. A first copy that
-- is not complete has reached nothing.
local Q = {}

local function ask(name, fn)
  define(name, function(keys, args)
    local p, least = sub(keys[1], 1, -2), args[1]
    if least == '' then
      local answer, err = fn(p, args)
      return answer or err
    end
    local state = call('HGET', keys[1], 'state')
    if not state then return fail('ENOENT', 'volume') end
    local epoch, seq = read('>I6I6', state)
    local epoch_least, seq_least = read('>I6I6', least)
    if sub(state, 54, 54) == 'B' then return fail('EAGAIN', 'behind') end
    if epoch < epoch_least or epoch == epoch_least and seq < seq_least then return fail('EAGAIN', 'behind') end
    local answer, err = fn(p, args)
    return {sub(state, 1, 12), answer or '', err and err.err or ''}
  end, {'no-writes'})
end

-- node is how an inode is answered: its number, then its value.
local function node(ino, v) return pack('>I6', ino) .. v end

-- not_dir is the error for what is no directory or was removed, nil for one.
local function not_dir(v)
  if not v then return fail('ENOENT') end
  if kind_of(v) ~= 4 then return fail('ENOTDIR') end
  if byte(v, 5) == 0 then return fail('ENOENT') end
end

-- lookup returns number and value, or nil and the error. The page that a small
-- directory has is tried first: a name in it needs no look at the directory's inode.
function Q.lookup(p, d, name)
  local entry
  if name == '.' or name == '..' then
    local v = T.inode(p, number(d))
    local err = not_dir(v)
    if err then return nil, err end
    entry = name == '.' and number(d) * 16 or read('>I6', v, 44) * 16
  else
    entry = call('HGET', p .. 'd' .. d, name)
    if not entry then
      local v = T.inode(p, number(d))
      local err = not_dir(v)
      if err then return nil, err end
      if next_page(v) > 0 then entry = T.find(p, d, name, next_page(v)) end
      if not entry then return nil, fail('ENOENT') end
    end
  end
  entry = number(entry)
  local ino = (entry - entry % 16) / 16
  local v = T.inode(p, ino)
  if not v then return nil, fail('EIO', 'dangling') end
  return ino, v
end

-- lookup: directory; name.
ask('lookup', function(p, args)
  local ino, v = Q.lookup(p, args[2], args[3])
  if not ino then return nil, v end
  return node(ino, v)
end)

-- getattr: inode.
ask('getattr', function(p, args)
  local v = T.inode(p, number(args[2]))
  if not v then return nil, fail('ENOENT') end
  return v
end)

-- resolve: directory; path. The answer is the errno that ended the walk, or '', then the nodes.
ask('resolve', function(p, args)
  local d, out = args[2], {''}
  for name in string.gmatch(args[3], '[^/]+') do
    local ino, v
    if #name > 255 or string.find(name, '%z') then
      v = not_dir(T.inode(p, number(d))) or fail(#name > 255 and 'ENAMETOOLONG' or 'EINVAL')
    else
      ino, v = Q.lookup(p, d, name)
    end
    if not ino then
      out[1] = v.err
      return out
    end
    out[#out + 1] = node(ino, v)
    d = dec(ino)
  end
  return out
end)

-- add_page appends the entries of a page to names and numbers; only those after a name.
local function add_page(key, after, names, numbers)
  local flat = call('HGETALL', key)
  for i = 1, #flat, 2 do
    if after == '' or less(after, flat[i]) then
      names[#names + 1], numbers[#numbers + 1] = flat[i], number(flat[i + 1])
    end
  end
end

-- values returns the inode values of entries, reading each group of inodes once.
local function values(p, numbers)
  local wanted, order = {}, {}
  for i = 1, #numbers do
    local ino = (numbers[i] - numbers[i] % 16) / 16
    local name, f = group(ino)
    local g = wanted[name]
    if not g then
      g = {{}, {}}
      wanted[name], order[#order + 1] = g, name
    end
    g[1][#g[1] + 1], g[2][#g[2] + 1] = f, i
  end
  local out = {}
  for i = 1, #order do
    local fields, at = wanted[order[i]][1], wanted[order[i]][2]
    for first = 1, #fields, SPREAD do -- many names may be of one inode
      local last = first + SPREAD - 1
      if last > #fields then last = #fields end
      local got = call('HMGET', p .. 'i' .. order[i], spread(fields, first, last))
      for j = 1, #got do out[at[first + j - 1]] = got[j] end
    end
  end
  return out
end

-- readdir: directory; name to begin after; limit. The answer is '1' if there are pages
-- behind these, then name, entry number, inode value of each entry, not sorted: some more
-- than the limit, so as to give whole pages.
ask('readdir', function(p, args)
  local d, after, limit = args[2], args[3], number(args[4])
  local dir = T.inode(p, number(d))
  local err = not_dir(dir)
  if err then return nil, err end
  local names, numbers, more = {}, {}, false
  local key, member = T.page(p, d, after, next_page(dir))
  add_page(key, after, names, numbers)
  while member do
    local nexts = call('ZRANGEBYLEX', p .. 'x' .. d, '(' .. member, '+', 'LIMIT', 0, 64)
    member = nexts[64]
    for i = 1, #nexts do
      if #names >= limit then
        more, member = true, nil
        break
      end
      add_page(p .. 'd' .. d .. '.' .. string.match(nexts[i], '%z(%d+)$'), '', names, numbers)
    end
  end
  local got, out = values(p, numbers), {more and '1' or ''}
  for i = 1, #names do
    local n = 3 * i
    out[n - 1], out[n], out[n + 1] = names[i], numbers[i], got[i] or ''
  end
  return out
end)

-- readlink: inode.
ask('readlink', function(p, args)
  local ino = number(args[2])
  local target = T.target(p, ino)
  if target then return target end
  return nil, fail(T.inode(p, ino) and 'EINVAL' or 'ENOENT')
end)

-- extents: inode; first chunk; how many. The answer is the inode value, then the list of
-- each chunk or nil.
ask('extents', function(p, args)
  local ino, first, n = number(args[2]), number(args[3]), number(args[4])
  local v = T.inode(p, ino)
  if not v then return nil, fail('ENOENT') end
  if kind_of(v) ~= 8 then return nil, fail('EINVAL') end
  local out, indexes = {v}, {}
  if not has_lists(v) then return out end
  for i = 1, n do indexes[i] = first + i - 1 end
  local got = call('HMGET', p .. 'c' .. args[2], spread(indexes))
  for i = 1, n do out[i + 1] = got[i] end
  return out
end)

-- getxattr: inode; name.
ask('getxattr', function(p, args)
  local value = call('HGET', p .. 'a' .. args[2], args[3])
  if value then return value end
  return nil, fail(T.inode(p, number(args[2])) and 'ENODATA' or 'ENOENT')
end)

-- listxattr: inode.
ask('listxattr', function(p, args)
  local v = T.inode(p, number(args[2]))
  if not v then return nil, fail('ENOENT') end
  if byte(v, 1) % 2 == 0 then return {} end
  return call('HKEYS', p .. 'a' .. args[2])
end)

-- statfs answers the state.
ask('statfs', function(p, args)
  local state = call('HGET', p .. 'v', 'state')
  if not state then return nil, fail('ENOENT', 'volume') end
  return state
end)

-- quotas: the answer is the state, then directory and value of each row.
ask('quotas', function(p)
  local state = call('HGET', p .. 'v', 'state')
  if not state then return nil, fail('ENOENT', 'volume') end
  local out, flat = {state}, call('HGETALL', p .. 'q')
  for i = 1, #flat do out[i + 1] = flat[i] end
  return out
end)

-- quotas_at: inode. As quotas, those that count what is made or written there, innermost
-- first.
ask('quotas_at', function(p, args)
  local at, state = number(args[2]), call('HGET', p .. 'v', 'state')
  local v = T.inode(p, at)
  if not v then return nil, fail('ENOENT') end
  local out = {state}
  if byte(state, 55) == 0 then return out end
  if links_of(v) == 0 then
    at = 1
  elseif kind_of(v) ~= 4 then
    at = parent_of(v)
  end
  while true do
    local d = dec(at)
    local row = call('HGET', p .. 'q', d)
    if row then
      out[#out + 1] = d
      out[#out + 1] = row
    end
    v = at ~= 1 and T.inode(p, at)
    if not v then return out end
    at = parent_of(v)
  end
end)

-- sessions: session, info, expiry in ms or '', open files, owners and files with locks...
ask('sessions', function(p, args)
  local out = {}
  for _, field in ipairs(call('HKEYS', p .. 'v')) do
    if #field == 9 and sub(field, 1, 1) == 's' then
      local session = sub(field, 2)
      out[#out + 1] = session
      out[#out + 1] = call('HGET', p .. 'v', field)
      out[#out + 1] = call('ZSCORE', p .. 'h', session) or ''
      out[#out + 1] = call('SCARD', T.open_key(p, session))
      out[#out + 1] = call('SCARD', p .. 'ys' .. hex(session))
    end
  end
  return out
end)
