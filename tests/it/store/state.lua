-- Everything that a partition holds, as JSON. KEYS: the events' key; ARGV: subscriptions.
local base = string.sub(KEYS[1], 1, -7)
local function pending(stream)
  local out = {}
  local rows = redis.pcall('XPENDING', base .. stream, 'workers', '-', '+', 100000)
  if not rows.err then for _, p in ipairs(rows) do out[#out + 1] = { p[1], p[2] } end end
  return out
end
local function hash(key)
  local out, cells = {}, redis.call('HGETALL', base .. key)
  for i = 1, #cells, 2 do out[cells[i]] = cells[i + 1] end
  return out
end
local function scores(key)
  local out, cells = {}, redis.call('ZRANGE', base .. key, 0, -1, 'WITHSCORES')
  for i = 1, #cells, 2 do out[cells[i]] = tonumber(cells[i + 1]) end
  return out
end
local state = { events = {}, redeliveries = {}, dead = {}, queues = {}, circuits = {}, tries = {} }
for _, e in ipairs(redis.call('XRANGE', base .. 'events', '-', '+')) do state.events[#state.events + 1] = e[1] end
for _, e in ipairs(redis.call('XRANGE', base .. 'redeliveries', '-', '+')) do state.redeliveries[e[1]] = e[2][2] end
for _, e in ipairs(redis.call('XRANGE', base .. 'dead', '-', '+')) do
  state.dead[#state.dead + 1] = { e[1], e[2][2], e[2][4] }
end
local ok = redis.pcall('XINFO', 'GROUPS', base .. 'redeliveries')
state.last = not ok.err and ok[1] and ok[1][8] or '0-0'
state.events_pending, state.redeliveries_pending = pending('events'), pending('redeliveries')
for _, s in ipairs(ARGV) do
  state.queues[s], state.circuits[s] = scores('retry:' .. s), hash('circuit:' .. s)
  state.tries[s] = redis.call('HKEYS', base .. 'tries:' .. s)
end
state.wakeups, state.behind, state.removed = scores('wakeups'), redis.call('SMEMBERS', base .. 'behind'), scores('removed')
state.bodies, state.refs, state.ledger = redis.call('HKEYS', base .. 'bodies'), hash('refs'), hash('ledger')
return cjson.encode(state)
