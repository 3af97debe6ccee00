-- Queues what is due of a worker, and what its limit keys have room for: how many
-- at a time, the cap and the rate of a key (0: none). Returns 1 if there is more,
-- the counts, and in how many ms the next is due (0: none).
local worker, limit = ARGV[5], tonumber(ARGV[6])
local limited = tonumber(ARGV[7]) > 0 or tonumber(ARGV[8]) > 0
local key = P .. 'p:' .. worker .. ':d'
local keys = P .. 'p:' .. worker .. ':l'
local now = now_ms()
call('PERSIST', key) -- see carried_out
local ids = call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, limit)
for _, id in ipairs(ids) do
	local task = P .. 't:' .. id
	local rank = call('HGET', task, 'r')
	if rank then
		enqueue(worker, id, rank)
		call('HSET', task, 's', QUEUED)
		state_changes(worker, SCHEDULED, QUEUED)
	end
	call('ZREM', key, id)
end
local names = call('ZRANGEBYSCORE', keys, '-inf', now, 'LIMIT', 0, limit)
for _, name in ipairs(names) do
	-- Where there are no limits any more, all that wait come one by one.
	call('ZADD', keys, limited and now + LOOK_MS or now, name)
	unpark(worker, name)
end
local more = #ids == limit or #names == limit or (not limited and #names > 0)
return { 'ok', more and 1 or 0, counts(worker), next_due(worker, now) }
