-- What comes of the end of a task that was in state `from`. Its hash says so
-- already, with `expires` (0: never). Returns the group that is over by it.
local function ended(id, worker, from, to, group, watchers, expires)
	local over = ''
	local held = false
	state_changes(worker, from, to)
	if to ~= DONE then
		call('ZADD', P .. 'l:' .. to, call('ZSCORE', P .. 'all', id) or 0, id)
	end
	if group and call('EXISTS', P .. 'g:' .. group) == 1 then
		held = true -- until the group's task has its result
		if call('HINCRBY', P .. 'g:' .. group, 'open', -1) <= 0 then
			call('ZADD', P .. 'groups', now_ms(), group)
			over = group
		end
	end
	if expires > 0 and not held then
		call('ZADD', P .. 'x', expires, id)
	end
	for who in string.gmatch(watchers or '', '%x+') do
		call('PUBLISH', chan .. 'b:' .. who, 'ended ' .. id)
	end
	return over
end

-- Ends a task that nobody has claimed (any more) as it was asked to.
local function end_cancelled(id, worker, from)
	local key = P .. 't:' .. id
	local group, watchers, ttl = unpack(call('HMGET', key, 'g', 'wa', 'tt'))
	local now = now_ms()
	local expires = now + (ttl or 0)
	call('HSET', key, 's', CANCELLED, 'h', '', 'fi', now, 'ex', expires)
	return ended(id, worker, from, CANCELLED, group, watchers, expires)
end
