-- Makes both streams and their group, reading from the first entry, where they are missing.
-- In:  nothing
-- Out: how many were made
-- Keeps: 10; works at the memory limit, where XGROUP CREATE alone is refused even for a group that exists.

expect(EVENTS, 'stream')
expect(REDELIVERIES, 'stream')
unlock()
local made = 0
for _, stream in ipairs({ EVENTS, REDELIVERIES }) do
  local answer = redis.pcall('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
  if not answer.err then
    made = made + 1
  elseif not string.find(answer.err, 'BUSYGROUP', 1, true) then
    return answer
  end
end
return made
