-- Deletes tasks whose time has come, so many at a time. Returns how many.
local chunk = tonumber(ARGV[5])
local now = now_ms()
local ids = call('ZRANGEBYSCORE', P .. 'x', '-inf', now, 'LIMIT', 0, chunk)
for _, id in ipairs(ids) do
	local key = P .. 't:' .. id
	local worker, state, name = unpack(call('HMGET', key, 'w', 's', 'k'))
	call('ZREM', P .. 'x', id)
	call('ZREM', P .. 'all', id)
	if worker then
		if state ~= DONE then
			call('ZREM', P .. 'l:' .. state, id)
		end
		if name then
			local by_key = P .. 'k:' .. worker .. ':' .. name
			if call('GET', by_key) == id then
				call('DEL', by_key)
			end
		end
		call('HINCRBY', P .. 'p:' .. worker, state, -1)
		call('UNLINK', key)
	end
end
return { 'ok', #ids }
