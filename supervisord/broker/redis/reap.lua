-- Queues again what a broker had claimed whose lease has run out, some of it at
-- a time. Returns how many, and 1 if there are more.
local dead, lease, chunk = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local now = now_ms()
local theirs = call('ZSCORE', P .. 'brokers', dead)
if not theirs or tonumber(theirs) >= now or not may_reap(now, lease) then
	return { 'ok', 0, 0 }
end
local claims = P .. 'c:' .. dead
call('PERSIST', P .. 'n:' .. me) -- see carried_out
-- A beat that comes between two pieces does not bring it back: it has to join
-- again, and to look what it has left.
call('ZADD', P .. 'brokers', 0, dead)
local ids = call('ZRANGE', claims, 0, chunk - 1)
for _, id in ipairs(ids) do
	give_back(id, true)
	call('ZREM', claims, id)
end
if #ids == chunk then
	return { 'ok', #ids, 1 }
end
-- The number of its last operation is kept: it may ask for answers yet.
call('ZREM', P .. 'brokers', dead)
call('EXPIRE', P .. 'b:' .. dead, 7 * 86400)
call('EXPIRE', P .. 'n:' .. dead, 7 * 86400)
return { 'ok', #ids, 0 }
