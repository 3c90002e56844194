#!lua name=atp
-- Everything the engine writes goes through here, so that the token is checked in the same step as the write.
-- Numbers of 2^32 and more stay text: a Lua number would lose digits beyond 2^53.

local VERSION = '1'
-- Arguments of one command, an even number: Lua unpacks no more than 8,000, and an item at 1,000 locations has 14,000.
local STEP = 4000

-- keys: fence hash. args: token. Takes the token for a run: max(what is here, what the state directory has) + 1.
local function claim(keys, args)
  local held = tonumber(redis.call('HGET', keys[1], 'token') or '0')
  local asked = tonumber(args[1])
  if held > asked then asked = held end
  asked = asked + 1
  redis.call('DEL', keys[1])
  redis.call('HSET', keys[1], 'token', string.format('%d', asked), 'library', VERSION)
  return string.format('%d', asked)
end

-- keys: fence hash. args: token, writer, flush number. After Redis came back empty or older: the run that holds the
-- newest token goes on, and its writer with the number it had: a number that came back with older data would else be
-- taken for its own.
local function reclaim(keys, args)
  local held = tonumber(redis.call('HGET', keys[1], 'token') or '0')
  if held > tonumber(args[1]) then return redis.error_reply('FENCED ' .. held) end
  redis.call('HSET', keys[1], 'token', args[1], 'library', VERSION, args[2], args[3])
  return 'OK'
end

-- keys: fence hash, then one key for each group.
-- args: token, writer, flush number before this one, flush number, then for each key:
--   number of values, field, value, ..., number of fields to delete, field, ...
-- Writes all or nothing: an older token is FENCED; a Redis that lost writes of this run is BEHIND.
-- The flush number goes last: a slice that failed half way (a key that somebody else made a string) is written again.
local function write(keys, args)
  local fence = redis.call('HMGET', keys[1], 'token', args[2])
  local held = tonumber(fence[1] or '0')
  local token = tonumber(args[1])
  if held > token then
    -- counted where the run that holds the token looks: its operator wants to know that two are running
    -- (with the two commands that all else here needs too: an ACL user may do no more)
    local rejected = tonumber(redis.call('HGET', keys[1], 'rejected') or '0')
    redis.call('HSET', keys[1], 'rejected', string.format('%d', rejected + 1))
    return redis.error_reply('FENCED ' .. held)
  end
  if held < token then return redis.error_reply('BEHIND token ' .. held) end
  if (fence[2] or '0') ~= args[3] then return redis.error_reply('BEHIND flush ' .. (fence[2] or '0')) end
  local at = 5
  for k = 2, #keys do
    local values = tonumber(args[at]) * 2
    for first = at + 1, at + values, STEP do
      redis.call('HSET', keys[k], unpack(args, first, math.min(first + STEP - 1, at + values)))
    end
    at = at + values + 1
    local gone = tonumber(args[at])
    for first = at + 1, at + gone, STEP do
      redis.call('HDEL', keys[k], unpack(args, first, math.min(first + STEP - 1, at + gone)))
    end
    at = at + gone + 1
  end
  redis.call('HSET', keys[1], args[2], args[4])
  return 'OK'
end

redis.register_function('atp_claim', claim)
redis.register_function('atp_reclaim', reclaim)
redis.register_function('atp_write', write)
redis.register_function{function_name='atp_version', callback=function() return VERSION end, flags={'no-writes'}}
