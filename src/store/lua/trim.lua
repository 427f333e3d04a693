-- Bounds what is kept for looking things up only: settled events by age and bytes, sources by number.
-- In:  ARGV most ms of age, most bytes (0: none are kept), most sources
-- Out: [bytes that recent takes now, its entries, sources that fell off, 1 when there is more to drop]
-- Keeps: 5, 9 (nothing undelivered is touched). Any number of workers may call it.
-- The ledger's recent_floor: who has read up to that entry has missed nothing that was dropped. Streams that resume
-- from before it are told of a gap.

local most_age, most_bytes, most_sources = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
expect(RECENT, 'stream') expect(SOURCES, 'zset') expect(LEDGER, 'hash')
unlock()

-- While nothing is kept, what workers settle until they look again is not noted either.
local LOOKS_AGAIN = 15000
local function first() return (redis.call('XRANGE', RECENT, '-', '+', 'COUNT', 1)[1] or {})[1] end
local function last_before(id) return (redis.call('XREVRANGE', RECENT, id, '-', 'COUNT', 1)[1] or {})[1] end
local function note_floor(id) if id then redis.call('HSET', LEDGER, 'recent_floor', id) end end

-- As Redis measures it; where the user may not ask, from the length of the oldest and newest entries.
local function bytes()
  local measured = redis.pcall('MEMORY', 'USAGE', RECENT, 'SAMPLES', '0')
  if type(measured) == 'number' then return measured end
  local length = redis.call('XLEN', RECENT)
  if length == 0 then return 0 end
  local sum, seen = 0, 0
  for _, entries in ipairs({ redis.call('XRANGE', RECENT, '-', '+', 'COUNT', 8),
    redis.call('XREVRANGE', RECENT, '+', '-', 'COUNT', 8) }) do
    for _, entry in ipairs(entries) do
      sum, seen = sum + 32, seen + 1
      for _, text in ipairs(entry[2]) do sum = sum + #text + 4 end
    end
  end
  return math.floor(sum / seen * length)
end

-- A bounded number of entries: whole nodes of the stream first, then the rest, which is less than one node.
local MOST = 8192
local more = 0
local function cut(how, threshold)
  if redis.call('XTRIM', RECENT, how, '~', int(threshold), 'LIMIT', MOST) > MOST / 2 then
    more = 1
  else
    redis.call('XTRIM', RECENT, how, int(threshold))
  end
end

-- The longest silent fall off.
local fallen = redis.call('ZREMRANGEBYRANK', SOURCES, 0, int(-1 - most_sources))
if most_age == 0 or most_bytes == 0 then
  redis.call('UNLINK', RECENT)
  note_floor(int(now + LOOKS_AGAIN) .. '-0')
  return { 0, 0, fallen, 0 }
end
local oldest = math.max(0, now - most_age)
note_floor(last_before('(' .. int(oldest) .. '-0'))
cut('MINID', oldest)
local before, newest = first(), last_before('+')
local takes = bytes()
-- Entries differ in length: what is too much is cut by number and measured again.
for _ = 1, 8 do
  local length = redis.call('XLEN', RECENT)
  if more == 1 or takes <= most_bytes or length == 0 then break end
  cut('MAXLEN', math.floor(length * most_bytes / takes * 0.95))
  takes = bytes()
end
local after = first()
if before ~= after then note_floor(after or newest) end
return { takes, redis.call('XLEN', RECENT), fallen, more }
