-- The task that follows a group, if it is the first to come: the group, then
-- '1' and the task, or '0'. From now on its members may expire.
local group = ARGV[5]
local key = P .. 'g:' .. group
local open = call('HGET', key, 'open')
if again then
	local new = ARGV[6] == '1' and call('EXISTS', P .. 't:' .. ARGV[7]) == 1
	return { 'ok', new and ARGV[7] or '' }
end
if not open or tonumber(open) > 0 then
	return { 'none' }
end
local bad = ARGV[6] == '1' and foreign(ARGV[8], ARGV[9])
if bad then
	return bad
end
carried_out()
local now = now_ms()
for _, id in ipairs(call('LRANGE', key .. ':m', 0, -1)) do
	local task = P .. 't:' .. id
	local ttl, expires = unpack(call('HMGET', task, 'tt', 'ex'))
	if expires and tonumber(expires) > 0 then
		call('HSET', task, 'ex', now + (ttl or 0))
		call('ZADD', P .. 'x', now + (ttl or 0), id)
	end
end
call('DEL', key, key .. ':m')
call('ZREM', P .. 'groups', group)
local follower = ''
if ARGV[6] == '1' then
	follower = insert(7) or ARGV[7]
end
return { 'ok', follower }
