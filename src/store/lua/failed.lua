-- A drain or probe failed: the redelivery ends, the circuit is open, the next probe waits.
-- In:  ARGV redelivery, subscription, worker, member, wait in ms, floor in ms (Retry-After), HTTP status or '',
--      attempts that use the delivery up (0 never, -1 where this was none), equal answers that make the oldest a suspect, error
-- Out: ['open' | 'empty' | 'lost', 1 when this opened the circuit, ms to the next wake-up or -1, attempts,
--      1 when the delivery became a dead letter]
-- Keeps: 2, 3; only this makes the wait longer.

local id, s, worker, member = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local wait, floor, status = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local most, suspect_after, err = tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
expect_partition()
expect_subscription(s)
if not mine(REDELIVERIES, id, worker) then return { 'lost', 0, -1, 0, 0 } end
done(s, id)

-- Equal answers to the oldest make it a suspect: then those behind it are probed, each one further, until one
-- succeeds. At the end of the walk the oldest is probed again.
local function suspect()
  local c = redis.call('HMGET', circuit(s), 'suspect', 'answer', 'same', 'skip')
  local skip = math.max(1, number(c[4]))
  if status == '' then
    redis.call('HDEL', circuit(s), 'suspect', 'answer', 'same', 'skip')
  elseif c[1] == member and c[2] == status then
    add(circuit(s), 'same', 1)
    redis.call('HDEL', circuit(s), 'skip')
  elseif c[1] and c[1] ~= member and number(c[3]) >= suspect_after and skip < WALK then
    redis.call('HSET', circuit(s), 'skip', int(skip + 1))
  else
    redis.call('HSET', circuit(s), 'suspect', member, 'answer', status, 'same', '1')
    redis.call('HDEL', circuit(s), 'skip')
  end
end

local attempts, buried = 0, false
if redis.call('ZSCORE', retry(s), member) then
  if most < 0 then attempts = read_tries(s, member) else attempts = note_try(s, member, false, err) end
  if most > 0 and attempts >= most then
    buried = bury(s, member, 'attempts used up', err)
  else
    redis.call('ZADD', retry(s), 'XX', '0', member)
  end
end
write_ledger()
if redis.call('ZCARD', retry(s)) == 0 then
  close_circuit(s)
  if not redis.call('HGET', circuit(s), 'suspended') then clear_behind(s) end
  return { 'empty', 0, -1, attempts, buried and 1 or 0 }
end
local opened = open_circuit(s, err)
add(circuit(s), 'failures', 1)
suspect()
floor_not_before(s, floor)
arm(s, now + wait, 'NX')
return { 'open', opened and 1 or 0, ms_to_soonest(), attempts, buried and 1 or 0 }
