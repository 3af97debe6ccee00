-- The end of a task that the caller has claimed: id, state, ms until its result
-- expires (0: never), the number of the other fields and these; then '1' and
-- the task that follows, or '0'. A task with a `then` that is done without one
-- given is left as it is, and the `then` returned: the caller makes a task of
-- it and comes again. Else returns what became of the follower (its id: it is
-- new; another: its key is that one's; '' if there is none) and the group that
-- is over.
local id, state, ttl, n = unpack(ARGV, 5, 8)
local at = 9 + n -- of the follower
local follows = ARGV[at] == '1'
local key = P .. 't:' .. id
if again then
	local new = follows and call('EXISTS', P .. 't:' .. ARGV[at + 1]) == 1
	return { 'ok', new and ARGV[at + 1] or '', '' }
end
local worker, was, holder, group, watchers, chain, limit_key =
	unpack(call('HMGET', key, 'w', 's', 'h', 'g', 'wa', 'th', 'lk'))
if not worker then
	return { 'none' }
end
if holder ~= me then
	return { 'lost' }
end
if chain and state == DONE and ARGV[at] == '0' then
	return { 'then', chain }
end
local bad = follows and foreign(ARGV[at + 2], ARGV[at + 3])
if bad then
	return bad
end
carried_out()
local expires = 0
if ttl ~= '0' then
	expires = now_ms() + ttl
end
call('ZREM', P .. 'c:' .. me, id)
free_slot(worker, limit_key, id)
call('HSET', key, 's', state, 'h', '', 'ex', expires,
	unpack(ARGV, 9, 8 + n))
local over = ended(id, worker, was, state, group, watchers, expires)
local follower = ''
if follows then
	follower = insert(at + 1) or ARGV[at + 1]
end
return { 'ok', follower, over }
