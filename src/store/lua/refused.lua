-- A parked delivery was refused (3xx, 4xx), or failed while others around it succeeded: it gets a due time of
-- its own, or becomes a dead letter; nobody is held up.
-- In:  ARGV redelivery, subscription, worker, member, wait in ms, refusals of this delivery that bury it,
--      refusals in a row that make the subscription unavailable (0: others succeeded around it), error
-- Out: ['due' | 'buried' | 'unavailable' | 'gone' | 'lost', 1 when this closed the circuit]
--      'unavailable' changed nothing but the count: the caller goes on as after a failure.
-- Keeps: 2, 3.

local id, s, worker, member = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local wait, buries_after, opens_after, err = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
expect_partition()
expect_subscription(s)
if not mine(REDELIVERIES, id, worker) then return { 'lost', 0 } end
if not redis.call('ZSCORE', retry(s), member) then return { 'gone', 0 } end
unlock()

-- Only the first refusal of each delivery counts towards "everything is refused".
local _, before = read_tries(s, member)
local streak = number(redis.call('HGET', circuit(s), 'refusals'))
if opens_after > 0 then
  if before == 0 then streak = add(circuit(s), 'refusals', 1) end
  if streak >= opens_after then return { 'unavailable', 0 } end
end

local _, refusals = note_try(s, member, true, err)
local answer = 'due'
-- It is to blame for sure only if another delivery succeeded since; until then it waits and holds up nobody.
if refusals >= buries_after and (streak == 0 or opens_after == 0) then
  bury(s, member, 'refused', err)
  answer = 'buried'
else
  redis.call('ZADD', retry(s), 'XX', int(now + wait), member)
end
redis.call('HSET', circuit(s), 'error', err)
local closed = close_circuit(s)
write_ledger()
return { answer, closed and 1 or 0 }
