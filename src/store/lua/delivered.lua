-- Parked deliveries that were answered 2xx leave their queue: a 2xx is a fact, whoever owns the drain now.
-- In:  ARGV redelivery, subscription, worker, then per delivery: member, note for `recent` ('' for none)
-- Out: ['mine' or 'lost', how many left the queue, 1 when this closed the circuit, ms to the soonest wake-up or -1]
-- Keeps: 2, 3, 5.

local id, s, worker = ARGV[1], ARGV[2], ARGV[3]
expect_partition()
expect_subscription(s)
local is_mine = mine(REDELIVERIES, id, worker)
unlock()
local left, notes = 0, {}
for i = 4, #ARGV, 2 do
  if unpark(s, ARGV[i]) then
    left = left + 1
    if ARGV[i + 1] ~= '' then notes[#notes + 1], notes[#notes + 2] = ARGV[i], ARGV[i + 1] end
  end
end
count('delivered', left)
write_ledger()
remember(notes)
redis.call('HDEL', circuit(s), 'refusals')
if is_mine then
  return { 'mine', left, close_circuit(s) and 1 or 0, -1 }
end
if is_behind(s) then arm(s, now, 'LT') end
return { 'lost', left, 0, ms_to_soonest() }
