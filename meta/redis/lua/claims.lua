-- Claims: who does what need not be done twice. They end by themselves.

local function claim_key(keys, name) return sub(keys[1], 1, -2) .. 'w' .. name end

-- claim: the name; who; milliseconds. It returns 1 if the claim is theirs.
define('claim', function(keys, args)
  local key = claim_key(keys, args[1])
  local owner = call('GET', key)
  if owner and owner ~= args[2] then return 0 end
  call('SET', key, args[2], 'PX', args[3])
  return 1
end, FREES)

-- unclaim: the name; who.
define('unclaim', function(keys, args)
  local key = claim_key(keys, args[1])
  if call('GET', key) == args[2] then call('DEL', key) end
  return 1
end, FREES)
