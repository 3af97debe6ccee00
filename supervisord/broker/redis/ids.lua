-- Reserves ids: so many, above all that the caller has seen. Returns the first.
local count, seen = tonumber(ARGV[5]), ARGV[6]
call('PERSIST', P .. 'seq') -- see carried_out
if tonumber(call('GET', P .. 'seq') or '0') < tonumber(seen) then
	call('SET', P .. 'seq', seen)
end
return { 'ok', call('INCRBY', P .. 'seq', count) - count + 1 }
