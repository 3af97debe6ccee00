-- A broker comes, or comes back: its lease begins. Returns the number of the
-- last operation it carried out, the number behind which it goes on, and '1' if
-- it had a lease. What was sent before is never carried out after this.
local name, lease = ARGV[5], tonumber(ARGV[6])
local now = now_ms()
local key = P .. 'b:' .. me
call('PERSIST', P .. 'n:' .. me) -- see carried_out
local was = call('ZSCORE', P .. 'brokers', me)
call('ZADD', P .. 'brokers', now + lease, me)
call('HSET', key, 'name', name, 'lease', lease, 'since', now)
call('PERSIST', key)
local last = call('GET', P .. 'n:' .. me) or '0'
return { 'ok', last, call('INCRBY', P .. 'n:' .. me, 1000000), was and '1' or '0' }
