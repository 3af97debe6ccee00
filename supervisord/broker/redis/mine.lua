-- All that the caller has claimed, some of it at a time: behind this id, so
-- many, so many bytes of payload. Returns 1 if there is more, and the tasks.
local after, limit, bytes = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local rows = {}
local ids = call('ZRANGEBYLEX', P .. 'c:' .. me,
	after == '' and '-' or '(' .. after, '+', 'LIMIT', 0, limit)
for i, id in ipairs(ids) do
	if bytes <= 0 then
		return { 'ok', 1, rows }
	end
	local key = P .. 't:' .. id
	bytes = bytes - call('HSTRLEN', key, 'p')
	rows[#rows + 1] = id
	rows[#rows + 1] = call('HGETALL', key)
end
return { 'ok', #ids == limit and 1 or 0, rows }
