-- Queues what is due of a worker. Returns 1 if there is more, the counts, and
-- in how many ms the next is due (0: none).
local worker, limit = ARGV[5], tonumber(ARGV[6])
local key = P .. 'p:' .. worker .. ':d'
local now = now_ms()
local ids = call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, limit)
for _, id in ipairs(ids) do
	local task = P .. 't:' .. id
	local rank = call('HGET', task, 'r')
	call('ZREM', key, id)
	if rank then
		call('HSET', task, 's', QUEUED)
		state_changes(worker, SCHEDULED, QUEUED)
		enqueue(worker, id, rank)
	end
end
local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
local next_in = first and math.max(1, math.ceil(first - now)) or 0
return { 'ok', #ids == limit and 1 or 0, counts(worker), next_in }
