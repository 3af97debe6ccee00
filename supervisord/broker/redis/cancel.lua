-- Cancels a task that nobody has claimed; who has claimed it is asked to. id,
-- the number of fields and these. Returns the task as it was, and the group
-- that is over; fourth its state then, where the row has another by now.
local id, n = ARGV[5], ARGV[6]
local key = P .. 't:' .. id
local row = call('HGETALL', key)
if again then
	local state = call('HGET', key, 'as')
	return { state and 'ok' or 'told', row, '', state }
end
if #row == 0 then
	return { 'none' }
end
local worker, state, holder, limit_key =
	unpack(call('HMGET', key, 'w', 's', 'h', 'lk'))
if state > RUNNING then
	return { 'state' }
end
carried_out()
if holder and holder ~= '' then
	-- If it does not hear of it, whoever gets the task next sees to it.
	call('HSET', key, 'cx', '1')
	call('PUBLISH', chan .. 'b:' .. holder, 'cancel ' .. id)
	return { 'told' }
end
call('ZREM', P .. 'p:' .. worker .. ':q', id)
call('ZREM', P .. 'p:' .. worker .. ':d', id)
if limit_key then
	local waits = P .. 'lq:' .. worker .. ':' .. limit_key
	call('ZREM', waits, id)
	if call('EXISTS', waits) == 0 then
		call('ZREM', P .. 'p:' .. worker .. ':l', limit_key)
	end
end
local over = end_cancelled(id, worker, state)
-- as: what it was, for an answer that gets lost
call('HSET', key, 'as', state, unpack(ARGV, 7, 6 + n))
return { 'ok', row, over }
