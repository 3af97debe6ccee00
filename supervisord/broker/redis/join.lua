-- A broker comes, or comes back: its lease begins. Returns the numbers of the
-- operations it carried out last, in order, the number behind which it goes on,
-- and '1' if it had a lease. What was sent before is never carried out after
-- this.
local name, lease = ARGV[5], tonumber(ARGV[6])
local now = now_ms()
local key = P .. 'b:' .. me
call('PERSIST', P .. 'n:' .. me) -- see carried_out
local was = call('ZSCORE', P .. 'brokers', me)
call('ZADD', P .. 'brokers', now + lease, me)
call('HSET', key, 'name', name, 'lease', lease, 'since', now)
call('PERSIST', key)
local done = call('GETRANGE', P .. 'n:' .. me, -262144, -1)
local base = (tonumber(string.sub(done, -16)) or 0) + 1000000
call('SET', P .. 'n:' .. me, done .. string.format('%016.0f', base))
return { 'ok', done, base, was and '1' or '0' }
