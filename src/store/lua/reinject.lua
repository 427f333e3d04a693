-- Moves due wake-ups into the redelivery stream, one entry per subscription.
-- In:  ARGV most to move at once
-- Out: [ms to the next wake-up or -1, wake-ups left, [lateness in ms of each that was moved]]
-- Keeps: 3, 5, 6 (ZREM decides which of many schedulers moves it). A circuit that was replaced by something
-- else holds up nobody: the others move, and only then this fails.

local most = tonumber(ARGV[1])
local due = redis.call('ZRANGEBYSCORE', WAKEUPS, '-inf', int(now), 'WITHSCORES', 'LIMIT', 0, most)
if #due > 0 then expect_partition() end
local late, broken = {}, nil
for i = 1, #due, 2 do
  local s = due[i]
  local is = redis.call('TYPE', circuit(s)).ok
  if is ~= 'none' and is ~= 'hash' then
    broken = s
  elseif redis.call('ZREM', WAKEUPS, s) == 1 then
    reinject(s)
    late[#late + 1] = math.max(0, now - tonumber(due[i + 1]))
  end
end
if broken then expect(circuit(broken), 'hash') end
local next_due = redis.call('ZRANGE', WAKEUPS, 0, 0, 'WITHSCORES')
local wait = -1
if next_due[2] then wait = math.max(0, tonumber(next_due[2]) - now) end
return { wait, redis.call('ZCARD', WAKEUPS), late }
