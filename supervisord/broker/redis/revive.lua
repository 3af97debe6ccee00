-- Queues a task again that has ended without being done: id, rank or '',
-- failures, crashes. Returns it as it is now.
local id, rank, failures, crashes = unpack(ARGV, 5, 8)
local key = P .. 't:' .. id
local worker, state, old_rank, group =
	unpack(call('HMGET', key, 'w', 's', 'r', 'g'))
if not worker then
	return { 'none' }
end
if not again then
	if state ~= FAILED and state ~= CANCELLED and state ~= DEAD then
		return { 'state' }
	end
	carried_out()
	if rank == '' then
		rank = old_rank
	end
	enqueue(worker, id, rank)
	call('HDEL', key, 'st', 'fi', 'ex', 'e', 'wo', 'res', 'rj', 'cx', 'as')
	call('HSET', key, 's', QUEUED, 'r', rank, 'fl', failures, 'cr', crashes,
		'd', string.format('%.0f', now_ms()))
	call('ZREM', P .. 'l:' .. state, id)
	call('ZREM', P .. 'x', id)
	state_changes(worker, state, QUEUED)
	if group and call('EXISTS', P .. 'g:' .. group) == 1 then
		call('HINCRBY', P .. 'g:' .. group, 'open', 1)
		call('ZREM', P .. 'groups', group)
	end
end
return { 'ok', call('HGETALL', key) }
