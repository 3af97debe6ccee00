-- The caller is told of the end of these tasks. Returns those that have ended,
-- or are not there.
local over = {}
call('PERSIST', P .. 'n:' .. me) -- see carried_out
for i = 5, #ARGV do
	local key = P .. 't:' .. ARGV[i]
	local state, watchers = unpack(call('HMGET', key, 's', 'wa'))
	if not state or state > RUNNING then
		over[#over + 1] = ARGV[i]
	elseif not string.find(watchers or '', me, 1, true) then
		call('HSET', key, 'wa', (watchers and watchers .. ',' or '') .. me)
	end
end
return { 'ok', over }
