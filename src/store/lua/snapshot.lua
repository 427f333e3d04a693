-- The state of a partition for metrics and status, read only.
-- In:  ARGV dead-after in ms
-- Out: [now, events in the stream, pending events, oldest event's id or '', redeliveries, dead letters,
--      wake-ups, subscriptions behind, workers alive, pending redeliveries, [ledger name, total, …],
--      events that were removed from the stream before they were settled, the last id the event stream gave or '']

local function pending(stream)
  local ok = redis.pcall('XPENDING', stream, GROUP)
  if ok.err then return 0 end
  return ok[1]
end
local stream, info = {}, redis.pcall('XINFO', 'STREAM', EVENTS)
for i = 1, #info, 2 do stream[info[i]] = info[i + 1] end
-- What was ever added is settled, still there, or was removed by somebody. Redis 6.2 does not count what was added.
local function removed()
  local added = stream['entries-added']
  if not added then return 0 end
  return math.max(0, added - redis.call('XLEN', EVENTS) - number(redis.call('HGET', LEDGER, 'settled')))
end
local oldest = redis.call('XRANGE', EVENTS, '-', '+', 'COUNT', 1)[1]
return {
  int(now), redis.call('XLEN', EVENTS), pending(EVENTS), oldest and oldest[1] or '',
  redis.call('XLEN', REDELIVERIES), redis.call('XLEN', DEAD), redis.call('ZCARD', WAKEUPS),
  redis.call('SCARD', BEHIND), redis.call('ZCOUNT', WORKERS, int(now - tonumber(ARGV[1])), '+inf'),
  pending(REDELIVERIES), redis.call('HGETALL', LEDGER), removed(),
  stream['last-generated-id'] or '',
}
