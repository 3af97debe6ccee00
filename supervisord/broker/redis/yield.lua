-- The caller gives back a task that it has claimed, to be queued or scheduled.
-- ARGV is that of update.lua.
local id, state, _, rank, due, n = unpack(ARGV, 5, 10)
if again then
	return { 'ok' }
end
local key = P .. 't:' .. id
local worker, was, holder, old_rank, cancel, limit_key =
	unpack(call('HMGET', key, 'w', 's', 'h', 'r', 'cx', 'lk'))
if not worker then
	return { 'none' }
end
if holder ~= me then
	return { 'lost' }
end
carried_out()
if rank == '' then
	rank = old_rank
end
if not cancel and state == SCHEDULED then
	put_off(worker, id, due)
elseif not cancel then
	enqueue(worker, id, rank)
end
call('HSET', key, 's', state, 'r', rank, unpack(ARGV, 11, 10 + n))
state_changes(worker, was, state)
call('ZREM', P .. 'c:' .. me, id)
free_slot(worker, limit_key, id)
call('HSET', key, 'h', '')
if cancel then
	end_cancelled(id, worker, state)
end
return { 'ok' }
