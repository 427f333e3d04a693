-- Takes over the entries of a worker that is dead or left.
-- In:  ARGV me, the dead worker, the heartbeat score that was observed (-1 for none), dead-after in ms, most
--      entries per stream
-- Out: ['watch'] it had no heartbeat, one was made | ['alive'] | ['claimed', 1 when nothing is left of it,
--      entries that were gone from their stream, [stream key, id, times it was claimed + 1, fields]…]
-- Keeps: 1, 7, 11. A count rises only when a worker died, not when it left, and past 3 only for an entry that was
-- processed alone then. A heartbeat that lies in the future is from before a jump of the clock: nobody keeps it up.

local me, dead, observed = ARGV[1], ARGV[2], tonumber(ARGV[3])
local dead_after, most = tonumber(ARGV[4]), tonumber(ARGV[5])
expect_partition()
local score = redis.call('ZSCORE', WORKERS, dead)
unlock()
if not score then
  if observed >= 0 then return { 'alive' } end
  redis.call('ZADD', WORKERS, 'NX', int(now), dead)
  return { 'watch' }
end
score = tonumber(score)
if score ~= observed or (score ~= 0 and score <= now and now - score < dead_after) then return { 'alive' } end

local claimed, gone, finished = {}, 0, true
local function claim(stream, id, times)
  local entry = redis.call('XRANGE', stream, id, id)[1]
  if not entry then
    redis.call('XACK', stream, GROUP, id)
    gone = gone + 1
    return
  end
  local alone = redis.call('HGET', ALONE, id)
  if score ~= 0 and (times < 3 or alone == dead) then times = times + 1 end
  if alone then redis.call('HDEL', ALONE, id) end
  redis.call('XCLAIM', stream, GROUP, me, 0, id, 'RETRYCOUNT', int(times), 'JUSTID')
  claimed[#claimed + 1] = { stream, id, times, entry[2] }
end
for _, stream in ipairs({ EVENTS, REDELIVERIES }) do
  local pending = redis.call('XPENDING', stream, GROUP, '-', '+', most, dead)
  for _, p in ipairs(pending) do claim(stream, p[1], p[4]) end
  if #redis.call('XPENDING', stream, GROUP, '-', '+', 1, dead) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', stream, GROUP, dead)
  else
    finished = false
  end
end
if finished then redis.call('ZREM', WORKERS, dead) end
local answer = { 'claimed', finished and 1 or 0, gone }
for _, c in ipairs(claimed) do answer[#answer + 1] = c end
return answer
