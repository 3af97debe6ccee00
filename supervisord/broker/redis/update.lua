-- A change of a task that the caller has claimed and keeps: id, state or '', '1'
-- to give it back (yield.lua), rank or '', due or '', the number of the other
-- fields and these.
local id, state, _, rank, _, n = unpack(ARGV, 5, 10)
if again then
	return { 'ok' }
end
local key = P .. 't:' .. id
local worker, was, holder, old_rank =
	unpack(call('HMGET', key, 'w', 's', 'h', 'r'))
if not worker then
	return { 'none' }
end
if tonumber(n) == 2 and ARGV[11] == 'wo' and state == '' then
	-- Last words come when the task is another's or has ended.
	carried_out()
	call('HSET', key, 'wo', ARGV[12])
	return { 'ok' }
end
if holder ~= me then
	return { 'lost' }
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
return { 'ok' }
