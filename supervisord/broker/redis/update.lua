-- A change of a task that the caller has claimed: id, state or '', '1' to give
-- it back, rank or '', due or '', the number of the other fields and these.
local id, state, release, rank, due, n = unpack(ARGV, 5, 10)
if again then
	return { refused_before() or 'ok' }
end
local key = P .. 't:' .. id
local worker, was, holder, old_rank, cancel =
	unpack(call('HMGET', key, 'w', 's', 'h', 'r', 'cx'))
if not worker then
	return refused('none')
end
if tonumber(n) == 2 and ARGV[11] == 'wo' and state == '' then
	-- Last words come when the task is another's or has ended.
	carried_out()
	call('HSET', key, 'wo', ARGV[12])
	return { 'ok' }
end
if holder ~= me then
	return refused('lost')
end
carried_out()
if state == '' then
	state = was
end
if rank == '' then
	rank = old_rank
end
call('HSET', key, 's', state, 'r', rank, unpack(ARGV, 11, 10 + n))
state_changes(worker, was, state)
if state == SCHEDULED or (state == QUEUED and release == '1') then
	call('ZREM', P .. 'c:' .. me, id)
	call('HSET', key, 'h', '')
	if cancel then
		end_cancelled(id, worker, state)
	elseif state == SCHEDULED then
		put_off(worker, id, due)
	else
		enqueue(worker, id, rank)
	end
end
return { 'ok' }
