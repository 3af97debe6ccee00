-- Claims what is first in the worker's queue: so many, or so many bytes of
-- payload. Returns 1 if there is more, the counts and the tasks.
local worker, limit, bytes = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local queue = P .. 'p:' .. worker .. ':q'
local claims = P .. 'c:' .. me
-- What is claimed without a lease nobody would ever give back.
local lease = call('ZSCORE', P .. 'brokers', me)
if not lease or tonumber(lease) == 0 then
	return { 'nolease' }
end
call('PERSIST', claims) -- see carried_out
local rows, taken, claimed = {}, {}, {}
for _, id in ipairs(call('ZRANGE', queue, 0, limit - 1)) do
	local key = P .. 't:' .. id
	if bytes <= 0 then
		break
	end
	taken[#taken + 1] = id
	local row = call('HGETALL', key)
	if #row > 0 then
		bytes = bytes - call('HSTRLEN', key, 'p')
		call('HSET', key, 'h', me)
		claimed[#claimed + 1] = 0
		claimed[#claimed + 1] = id
		rows[#rows + 1] = id
		rows[#rows + 1] = row
	end
end
if #claimed > 0 then
	call('ZADD', claims, unpack(claimed))
end
if #taken > 0 then
	call('ZREM', queue, unpack(taken))
end
local more = call('EXISTS', queue)
if more == 0 then
	call('SET', P .. 'p:' .. worker .. ':h', 1)
end
return { 'ok', more, counts(worker), rows }
