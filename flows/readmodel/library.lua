#!lua name=atp
-- Everything the engine writes goes through here, so that the token is checked in the same step as the write.
-- Numbers of 2^32 and more stay text: a Lua number would lose digits beyond 2^53.

local VERSION = '3'
-- Arguments of one command, an even number: Lua unpacks no more than 8,000, and an item at 1,000 locations has 14,000.
local STEP = 4000

-- Reading by prefix: `engine:items` holds every item that has an `atp:` hash. Its name is made from the fence's, so that
-- an engine that knows nothing of it keeps it right too, once another one in the same server has loaded this library.
-- The fence's field `items` says WHOLE when nothing is missing in it. Without it (a Redis that an engine before this one
-- wrote, or where the set could not be kept) the engine walks through the keys once and adds what is there.
local FENCE, WHOLE = 'engine:fence', 'whole'

local function prefix_of(fence)
  return string.sub(fence, 1, -#FENCE - 1)
end

-- `life` counts how often Redis was found to have lost something: empty, or older than it was. It changes in the same
-- step in which that is found out, so that no crash can hide it; a shard is whole while it is marked with this life.
-- It never repeats: a life begins with its token, and a token is taken once.
local LIVES = 1048576

-- keys: fence hash. args: token. Takes the token for a run: max(what is here, what the state directory has) + 1.
local function claim(keys, args)
  local fence = redis.call('HMGET', keys[1], 'token', 'life', 'items')
  local held = tonumber(fence[1] or '0')
  local life = tonumber(fence[2] or '0')
  local asked = tonumber(args[1])
  local is_older = held < asked
  if held > asked then asked = held end
  asked = asked + 1
  if is_older then life = asked * LIVES end
  redis.call('DEL', keys[1])
  redis.call('HSET', keys[1], 'token', string.format('%d', asked), 'library', VERSION, 'life', string.format('%d', life))
  if fence[3] then redis.call('HSET', keys[1], 'items', fence[3]) end
  return string.format('%d', asked)
end

-- keys: fence hash. args: token, writer, life, flush number that Redis is known to have taken, the last that was sent.
-- After Redis came back empty or older: the run that holds the newest token goes on, and its writer behind the last
-- number it sent: one that came back with older data, or that is still on its way, would else be taken for its own.
-- Gives the life that Redis has now: the same if nothing was lost, another writer's of this run if that one was first to
-- notice.
local function reclaim(keys, args)
  local fence = redis.call('HMGET', keys[1], 'token', 'life', args[2])
  local held = tonumber(fence[1] or '0')
  local token = tonumber(args[1])
  if held > token then return redis.error_reply('FENCED ' .. held) end
  local life = tonumber(fence[2] or '0')
  local known = tonumber(args[3])
  local flush = tonumber(fence[3] or '0')
  local is_whole = held == token and life == known and flush >= tonumber(args[4]) and flush <= tonumber(args[5])
  if not is_whole and not (held == token and life > known) then
    life = math.max(life, known, token * LIVES) + 1
  end
  local text = string.format('%d', life)
  redis.call('HSET', keys[1], 'token', args[1], 'library', VERSION, args[2], args[5], 'life', text)
  return text
end

-- Name an item that a hash has come for, or strike one that a hash is gone of. Numbers are worth more than finding them:
-- where the set cannot be kept (no right to it, another kind of key in its place), that is noted, and they go on.
local function list_item(fence, prefix, key, verb)
  local promises = prefix .. 'atp:'
  if string.sub(key, 1, #promises) ~= promises then return end
  local item = string.sub(key, #promises + 1)
  local done
  -- Without the right to look it goes by the write: one that only deletes takes all that the engine has in a hash. A
  -- walk adds and never strikes, so what is not struck now would stay.
  if verb == 'ZREM' and redis.pcall('EXISTS', key) == 1 then return end
  if verb == 'ZADD' then
    done = redis.pcall('ZADD', prefix .. 'engine:items', 0, item)
  else
    done = redis.pcall('ZREM', prefix .. 'engine:items', item)
  end
  if type(done) == 'table' and done.err then redis.call('HDEL', fence, 'items') end
end

-- keys: fence hash, then one key for each group.
-- args: token, writer, flush number before this one, flush number, then for each key:
--   number of values, field, value, ..., number of fields to delete, field, ...
--   a number below zero: these values take the place of all that is there
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
  local prefix
  for k = 2, #keys do
    local values = tonumber(args[at]) * 2
    if values < 0 then
      redis.call('DEL', keys[k])
      values = -values
    end
    local new = 0
    for first = at + 1, at + values, STEP do
      new = new + redis.call('HSET', keys[k], unpack(args, first, math.min(first + STEP - 1, at + values)))
    end
    -- Every value was new, so the hash was not there: each write of an item says its version.
    if new > 0 and new * 2 == values then
      prefix = prefix or prefix_of(keys[1])
      list_item(keys[1], prefix, keys[k], 'ZADD')
    end
    at = at + values + 1
    local gone = tonumber(args[at])
    for first = at + 1, at + gone, STEP do
      redis.call('HDEL', keys[k], unpack(args, first, math.min(first + STEP - 1, at + gone)))
    end
    if values == 0 and gone > 0 then
      prefix = prefix or prefix_of(keys[1])
      list_item(keys[1], prefix, keys[k], 'ZREM')
    end
    at = at + gone + 1
  end
  redis.call('HSET', keys[1], args[2], args[4])
  return 'OK'
end

-- keys: fence hash. args: token, at (ms), behind (ms), ready, the engine's version, after how many ms it lapses.
-- Says how fresh the numbers are. Gives the fence's word on `engine:items`: WHOLE, or whatever stands there.
local function alive(keys, args)
  local fence = redis.call('HMGET', keys[1], 'token', 'items')
  local held = tonumber(fence[1] or '0')
  local token = tonumber(args[1])
  local key = prefix_of(keys[1]) .. 'engine:alive'
  -- and by its own word, should Redis have lost the fence
  held = math.max(held, tonumber(redis.call('HGET', key, 'run') or '0'))
  if held > token then return redis.error_reply('FENCED ' .. held) end
  if tonumber(fence[1] or '0') < token then return redis.error_reply('BEHIND token ' .. (fence[1] or '0')) end
  redis.call('HSET', key, 'at', args[2], 'behind_ms', args[3], 'ready', args[4], 'version', args[5], 'run', args[1])
  redis.call('PEXPIRE', key, args[6])
  return fence[2] or ''
end

-- keys: fence hash, then `atp:` hashes that a walk through the keys has met. args: token, the fence's word on
-- `engine:items` before this slice of the walk, its word after it.
-- Adds those that still are there. A walk of which Redis lost a slice is BEHIND, and begins again.
local function index(keys, args)
  local fence = redis.call('HMGET', keys[1], 'token', 'items')
  local held = tonumber(fence[1] or '0')
  local token = tonumber(args[1])
  if held > token then return redis.error_reply('FENCED ' .. held) end
  if held < token then return redis.error_reply('BEHIND token ' .. held) end
  if (fence[2] or '') ~= args[2] then return redis.error_reply('BEHIND items ' .. (fence[2] or '')) end
  local prefix = prefix_of(keys[1])
  local promises = prefix .. 'atp:'
  for k = 2, #keys do
    if string.sub(keys[k], 1, #promises) == promises and redis.call('EXISTS', keys[k]) == 1 then
      redis.call('ZADD', prefix .. 'engine:items', 0, string.sub(keys[k], #promises + 1))
    end
  end
  redis.call('HSET', keys[1], 'items', args[3])
  return 'OK'
end

redis.register_function('atp_claim', claim)
redis.register_function('atp_reclaim', reclaim)
redis.register_function('atp_write', write)
redis.register_function('atp_alive', alive)
redis.register_function('atp_index', index)
redis.register_function{function_name='atp_version', callback=function() return VERSION end, flags={'no-writes'}}
