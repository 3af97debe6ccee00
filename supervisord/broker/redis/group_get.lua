-- What is told of a group that is over: its `then`, and of each member the id,
-- the state, '1' if the result is JSON, and the result; what is beyond so many
-- bytes of them altogether is said to be left out ('2').
local group, room = ARGV[5], tonumber(ARGV[6])
local open, chain = unpack(call('HMGET', P .. 'g:' .. group, 'open', 'then'))
if not chain then
	return { 'none' }
end
if tonumber(open) > 0 then
	call('ZREM', P .. 'groups', group)
	return { 'none' }
end
local members = {}
for _, id in ipairs(call('LRANGE', P .. 'g:' .. group .. ':m', 0, -1)) do
	local key = P .. 't:' .. id
	local state, json = unpack(call('HMGET', key, 's', 'rj'))
	local size = call('HSTRLEN', key, 'res')
	local result = false
	if size <= room then
		result = call('HGET', key, 'res')
		room = room - size
	else
		json = '2'
	end
	members[#members + 1] = { id, state or DEAD, json or '0', result }
end
return { 'ok', chain, members }
