-- Renews the lease, or says that it is over, and 0 if nothing is known of it (a
-- broker is remembered for days after its lease). Tells what there is to do: whose lease has run out,
-- groups that are over with nobody to see to them, whether results expire, and
-- of each worker served the name, the time until the next is due (0: none), whether any
-- are queued, paused, until when.
local lease = tonumber(ARGV[5])
local now = now_ms()
local brokers = P .. 'brokers'
call('PERSIST', P .. 'n:' .. me) -- see carried_out
local mine = call('ZSCORE', brokers, me)
if not mine or tonumber(mine) == 0 then
	return { 'lost', call('EXISTS', P .. 'b:' .. me) }
end
-- Since the clock of Redis was set back, too.
local since = call('HGET', P .. 'b:' .. me, 'since')
if tonumber(mine) < now or not since or tonumber(since) > now then
	call('HSET', P .. 'b:' .. me, 'since', now)
end
call('ZADD', brokers, now + lease, me)
call('PUBLISH', chan .. 'b:' .. me, 'beat')

-- Leases that end later than they can: the clock of Redis was set back.
for _, who in ipairs(call('ZRANGEBYSCORE', brokers, now + lease + 1, '+inf')) do
	local most = now + (call('HGET', P .. 'b:' .. who, 'lease') or lease)
	if tonumber(call('ZSCORE', brokers, who)) > most then
		call('ZADD', brokers, most, who)
	end
end

local over = {}
if may_reap(now, lease) then
	over = call('ZRANGEBYSCORE', brokers, '-inf', now - 1, 'LIMIT', 0, 10)
end
local left = call('ZRANGEBYSCORE', P .. 'groups', '-inf', now - 3000,
	'LIMIT', 0, 10)
local expire = call('ZCOUNT', P .. 'x', '-inf', now)
local pools = {}
for i = 6, #ARGV do
	local key = P .. 'p:' .. ARGV[i]
	local set = call('HMGET', key, 'p', 'u')
	pools[#pools + 1] = ARGV[i]
	pools[#pools + 1] = next_due(ARGV[i], now)
	pools[#pools + 1] = call('EXISTS', key .. ':q')
	pools[#pools + 1] = tonumber(set[1] or '0')
	pools[#pools + 1] = tonumber(set[2] or '0')
end
return { 'ok', over, left, expire, pools }
