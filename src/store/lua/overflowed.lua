-- Parked deliveries that a worker has written to its file leave their queue; only then, so that none is lost.
-- In:  ARGV subscription, worker, then the members
-- Out: how many left the queue: what was sent or written by another meanwhile is not counted again
-- Keeps: 2, 5. Without members it gives the turn to write back.

local s, worker = ARGV[1], ARGV[2]
expect_partition()
expect_subscription(s)
unlock()
local left = 0
for i = 3, #ARGV do
  if unpark(s, ARGV[i]) then left = left + 1 end
end
count('overflowed', left)
write_ledger()
if #ARGV == 2 and redis.call('HGET', circuit(s), 'writer') == worker then
  redis.call('HDEL', circuit(s), 'writer', 'writes_until')
end
return left
