"""Queues that several supervisords share, in a Redis that the test starts."""

import json
import os
import random
import signal
import time

import driver
from driver import eventually
from redis_rig import Redis, Sharing
from test_queue import Client, QUICK, WORKER


class Together(Sharing):
    def test_what_is_submitted_at_one_runs_at_both(self):
        redis = Redis(self)
        a, b = self.sharing(redis.unix()), self.sharing(redis.tcp())
        numbers = [self.submit(a, "w", "mark", '{"for": 0.2, "n": %d}' % n) for n in range(8)]
        for n, number in enumerate(numbers):
            task = self.ended(b, number)
            self.assertEqual((task["state"], task["result"], task["attempts"]), ("done", n, 1))
        self.assertTrue(self.in_both(a, b, numbers))
        begun = [e[1] for e in self.entries() if e[0] == "begin"]
        self.assertEqual(sorted(begun), numbers)
        for sup in (a, b):
            queue = self.queue(sup)
            self.assertEqual((queue["queued"], queue["running"], queue["done"]), (0, 0, 8))
            listed = json.loads(sup.ctl_ok("tasks", "--json"))
            self.assertEqual(sorted(t["id"] for t in listed), numbers)

    def test_one_waits_for_what_the_other_runs(self):
        redis = Redis(self)
        a = self.sharing(redis.unix(), settings="processes = 0;")
        b = self.sharing(redis.unix())
        out = a.ctl_ok("submit", "w", "add", "[1, 2, 3]", "--wait").split()
        self.assertEqual(out[1], "6")
        status, out, err = a.ctl("submit", "w", "fail", '"no luck"', "--wait")
        self.assertEqual(status, 1)
        self.assertIn("no luck", err)
        # A key, what follows a task, and a group are those of the one queue.
        with driver.Connection(os.path.join(a.run_dir, "tasks.sock")) as at_a, \
                driver.Connection(os.path.join(b.run_dir, "tasks.sock")) as at_b:
            one = at_a.call("submit", worker="w", func="echo", args=7, key="k")["id"]
            two = at_b.call("submit", worker="w", func="echo", args=8, key="k")
            self.assertEqual((two["id"], two["existed"]), (one, True))
            first = at_a.call("submit", worker="w", func="echo", args=1, wait=True,
                              then={"worker": "w", "func": "echo"})
            eventually(lambda: [t for t in json.loads(a.ctl_ok("tasks", "--json"))
                                if t["parent"] == first["id"] and t["state"] == "done"])
            group = at_a.call("submit.group", then={"worker": "w", "func": "echo"}, tasks=[
                {"worker": "w", "func": "echo", "args": n} for n in range(5)])
            for number in group["ids"]:
                self.assertEqual(self.ended(a, number)["state"], "done")
            last = eventually(lambda: [t for t in json.loads(a.ctl_ok("tasks", "--json"))
                                       if t["group"] is None and t["id"] > group["ids"][-1]])
            result = self.ended(a, last[0]["id"])["result"]
            self.assertEqual([r["result"] for r in result["results"]], list(range(5)))

    def test_delay_and_retries(self):
        redis = Redis(self)
        a = self.sharing(redis.unix(), settings="processes = 0;")
        self.sharing(redis.unix(), tasks='retries = 3; backoff: { initial = "50ms"; };')
        began = time.monotonic()
        number = self.submit(a, "w", "echo", "1", "--delay", "1s")
        self.assertEqual(self.task(a, number)["state"], "scheduled")
        self.assertEqual(self.ended(a, number)["state"], "done")
        self.assertGreaterEqual(time.monotonic() - began, 0.9)
        number = self.submit(a, "w", "flaky", "--retries", "3")
        task = self.ended(a, number)
        self.assertEqual((task["state"], task["attempts"], task["result"]), ("done", 3, 3))

    def test_cancel_pause_and_requeue_reach_across(self):
        redis = Redis(self)
        a = self.sharing(redis.unix(), settings="processes = 0;")
        b = self.sharing(redis.unix())
        number = self.submit(a, "w", "polite")
        self.begun(number)
        host = eventually(lambda: self.task(a, number)["host"])
        self.assertRegex(host, "^.+:%d$" % self.broker(b))
        listed = json.loads(a.ctl_ok("tasks", "--state", "running", "--json"))
        self.assertEqual([t["host"] for t in listed], [host])
        self.assertIn(host, self.why(a, number))
        self.assertEqual(self.task(b, number)["host"], host)
        a.ctl_ok("cancel", str(number))
        self.assertEqual(self.ended(a, number)["state"], "cancelled")
        a.ctl_ok("pause", "w")
        eventually(lambda: self.queue(b)["paused"])
        number = self.submit(b, "w", "echo", "5")
        self.assertEqual(self.task(a, number)["state"], "queued")
        b.ctl_ok("cancel", str(number))
        self.assertEqual(self.ended(a, number)["state"], "cancelled")
        a.ctl_ok("requeue", str(number))
        self.assertEqual(self.task(b, number)["state"], "queued")
        b.ctl_ok("resume", "w")
        self.assertEqual(self.ended(a, number)["result"], 5)
        eventually(lambda: not self.queue(a)["paused"])

    def test_a_full_queue_is_full_for_all(self):
        redis = Redis(self)
        a = self.sharing(redis.unix(), settings="processes = 0;", tasks="max_queue = 2;")
        b = self.sharing(redis.unix(), settings="processes = 0;", tasks="max_queue = 2;")
        self.submit(a, "w", "echo")
        self.submit(b, "w", "echo")
        status, _, err = a.ctl("submit", "w", "echo")
        self.assertEqual(status, 1)
        self.assertIn("full", err)

    def test_a_group_is_refused_whole_when_it_does_not_fit(self):
        redis = Redis(self)
        a = self.sharing(redis.unix(), settings="processes = 0;", tasks="max_queue = 3;")
        b = self.sharing(redis.unix(), settings="processes = 0;", tasks="max_queue = 3;")
        self.submit(b, "w", "echo")
        task = {"worker": "w", "func": "echo"}
        with driver.Connection(os.path.join(a.run_dir, "tasks.sock")) as at_a:
            with self.assertRaises(driver.RpcError) as e:
                at_a.call("submit.group", tasks=[task] * 3)
            self.assertEqual(e.exception.data["error"], "queue-full")
            self.assertEqual(self.queue(b)["queued"], 1)
            self.assertEqual(len(at_a.call("submit.group", tasks=[task] * 2)["ids"]), 2)
        self.assertEqual(self.queue(b)["queued"], 3)

    def test_a_cap_by_limit_key_counts_over_all(self):
        redis = Redis(self)
        options = {"settings": "processes = 2;", "tasks": "key_concurrency = 1;"}
        a, b = self.sharing(redis.unix(), **options), self.sharing(redis.unix(), **options)
        with driver.Connection(os.path.join(a.run_dir, "tasks.sock")) as at_a:
            capped = [at_a.call("submit", worker="w", func="mark", args={"for": 0.1},
                                limit_key="k")["id"] for _ in range(12)]
            # Those of other keys do not wait behind them.
            free = at_a.call("submit", worker="w", func="mark", args={}, limit_key="o")["id"]
        self.ended(b, free)
        self.assertNotEqual(self.task(b, capped[-1])["state"], "done")
        for number in capped:
            self.assertEqual(self.ended(b, number)["state"], "done")
        words = [e[0] for e in self.entries() if e[1] in capped]
        self.assertEqual(words, ["begin", "end"] * 12)
        self.assertEqual(redis.ask("EVAL", "return #redis.call('KEYS', 'supervisord:l[qr]:*')",
                                   "0"), ":0")

    def test_a_crash_is_blamed_with_its_words(self):
        redis = Redis(self)
        a = self.sharing(redis.unix(), settings="processes = 0;")
        self.sharing(redis.unix(), tasks="max_crashes = 2;")
        number = self.submit(a, "w", "crash")
        task = self.ended(a, number)
        self.assertEqual((task["state"], task["crashes"]), ("dead", 2))
        eventually(lambda: "about to crash in task %d" % number in self.task(a, number)["words"])
        self.assertIn("crashed its process", self.why(a, number))

    def test_a_schedule_of_both_fires_once_for_each_time(self):
        redis = Redis(self)
        tick = ('schedules: { tick: { task = "w"; func = "mark"; every = "400ms"; '
                'overlap = "allow"; }; };')
        a, b = self.sharing(redis.unix(), top=tick), self.sharing(redis.unix(), top=tick)
        os.kill(self.broker(a), signal.SIGKILL)
        os.kill(self.broker(b), signal.SIGKILL)
        eventually(lambda: len({e[1] for e in self.entries()}) >= 8, 30)
        tasks = [t for t in json.loads(a.ctl_ok("tasks", "--json")) if t["schedule"] == "tick"]
        begun = [e[1] for e in self.entries() if e[0] == "begin"]
        self.assertEqual(len(begun), len(set(begun)))
        # Each is of another of the times, which are those since the epoch.
        due = [int(redis.ask("HGET", "supervisord:t:%d" % t["id"], "fm")) for t in tasks]
        self.assertGreaterEqual(len(due), 8)
        self.assertEqual(len(due), len(set(due)))
        self.assertEqual([t for t in due if t % 400 != 0], [])


class Leaving(Sharing):
    """What one has taken goes to the others when it leaves."""

    def test_what_a_dead_one_had_is_run_after_its_lease(self):
        redis = Redis(self)
        b = self.sharing(redis.unix(), settings="processes = 2;")
        numbers = [self.submit(b, "w", "mark", '{"for": 3}') for _ in range(2)]
        for number in numbers:
            self.begun(number)
        a = self.sharing(redis.unix(), settings="processes = 2;")
        self.kill_all(b)
        for number in numbers:
            self.assertEqual(self.ended(a, number)["state"], "done")
            self.assertEqual(len(self.begun(number)), 2)

    def test_a_shutdown_gives_back_at_once(self):
        redis = Redis(self)
        a = self.sharing(redis.unix(), settings="processes = 0;", lease="1h")
        b = self.sharing(redis.unix(), lease="1h")
        number = self.submit(a, "w", "polite")
        self.begun(number)
        waits = self.submit(a, "w", "echo", "3")
        b.shutdown()
        self.assertEqual(self.task(a, number)["state"], "queued")
        c = self.sharing(redis.unix(), lease="1h")
        a.ctl_ok("cancel", str(number))
        self.assertEqual(self.ended(c, number)["state"], "cancelled")
        self.assertEqual(self.ended(a, waits)["result"], 3)

    def test_a_worker_that_leaves_the_config(self):
        redis = Redis(self)
        a = self.sharing(redis.unix(), settings="processes = 0;", lease="1h")
        b = self.sharing(redis.unix(), lease="1h")
        numbers = [self.submit(a, "w", "mark", '{"for": 0.3}') for _ in range(4)]
        self.begun(numbers[0])
        b.configure("workers: {};")
        b.ctl_ok("reload")
        c = self.sharing(redis.unix(), lease="1h")
        for number in numbers:
            self.assertEqual(self.ended(c, number)["state"], "done")

    def test_a_broker_that_is_killed_goes_on_with_what_it_had(self):
        redis = Redis(self)
        a = self.sharing(redis.unix())
        pid = a.pid("w:0")
        number = self.submit(a, "w", "mark", '{"for": 1.0, "n": 5}')
        self.begun(number)
        os.kill(self.broker(a), signal.SIGKILL)
        a.kill_master()
        task = self.ended(a, number)
        self.assertEqual((task["state"], task["result"], task["attempts"]), ("done", 5, 1))
        self.assertEqual((len(self.begun(number)), a.pid("w:0")), (1, pid))

    def test_the_store_is_changed_by_a_reload(self):
        redis, other = Redis(self), Redis(self)
        local = self.config("local", settings="processes = 0;")
        a = self.supervisord(local)
        old = self.submit(a, "w", "echo", "1")
        a.configure(self.config(redis.unix(), settings="processes = 0;"))
        a.ctl_ok("reload")
        self.well(a)
        eventually(lambda: self.queue(a)["shared"])
        new = self.submit(a, "w", "echo", "2")
        self.assertGreater(new, old + 1000)
        self.assertEqual(self.queue(a)["queued"], 2)
        a.configure(self.config(redis.unix()))
        a.ctl_ok("reload")
        self.assertEqual((self.ended(a, old)["result"], self.ended(a, new)["result"]), (1, 2))
        a.configure(self.config(other.tcp()))
        a.ctl_ok("reload")
        eventually(lambda: str(other.port) in str(self.queue(a)["shared"]))
        self.well(a)
        self.assertEqual(self.ended(a, self.submit(a, "w", "echo", "3"))["result"], 3)


class Trouble(Sharing):
    """Redis away, unsafe, or with a password."""

    LOCAL = ('l: { command = [ %s, "@D/local" ]; %s tasks: { }; };')

    def local(self):
        return self.LOCAL % (WORKER, QUICK)

    def test_an_unsafe_redis_is_refused_in_words_until_it_is_mended(self):
        redis = Redis(self, "--appendonly", "no")
        a = self.supervisord(self.config(redis.unix()))
        words = self.unwell(a)
        words = eventually(lambda: (lambda s: "appendonly" in s and s)(self.queue(a)["store"]))
        status, _, err = a.ctl("submit", "w", "echo")
        self.assertEqual(status, 1)
        self.assertIn("the shared store can't be used now", err)
        self.assertIn("appendonly", err)
        self.assertIn("appendonly", a.ctl("queue", "w")[2])
        self.assertIn("appendonly", a.ctl_ok("why", "w:0"))
        self.assertIn("appendonly", a.ctl_ok("events"))
        redis.ask("CONFIG", "SET", "appendfsync", "always")
        redis.ask("CONFIG", "SET", "appendonly", "yes")
        self.well(a)
        self.assertEqual(a.ctl_ok("submit", "w", "add", "[2, 2]", "--wait").split()[1], "4")

    def test_one_that_is_made_unsafe_takes_nothing_new_and_runs_what_is_there(self):
        redis = Redis(self)
        a = self.sharing(redis.unix())
        number = self.submit(a, "w", "polite")
        self.begun(number)
        waits = self.submit(a, "w", "echo", "3")
        redis.ask("CONFIG", "SET", "appendfsync", "everysec")
        self.assertIn("CONFIG SET appendfsync always", self.unwell(a))
        status, _, err = a.ctl("submit", "w", "echo")
        self.assertEqual(status, 1)
        self.assertIn("the shared store takes no new tasks now", err)
        self.assertIn("appendfsync", err)
        self.assertIn("What is there is run", a.ctl_ok("why", "w:0"))
        self.assertIn("appendfsync", a.ctl_ok("events"))
        a.ctl_ok("cancel", str(number))
        self.assertEqual(self.ended(a, number)["state"], "cancelled")
        self.assertEqual(self.ended(a, waits)["result"], 3)
        redis.ask("CONFIG", "SET", "appendfsync", "always")
        self.well(a)
        self.assertEqual(a.ctl_ok("submit", "w", "add", "[2, 2]", "--wait").split()[1], "4")

    def test_a_redis_that_throws_away_is_refused(self):
        redis = Redis(self, "--appendonly", "yes", "--appendfsync", "everysec",
                      "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
        a = self.supervisord(self.config(redis.unix(), tasks='durability = "process";'))
        eventually(lambda: "noeviction" in self.queue(a)["store"])
        redis.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        self.well(a)

    def test_the_password_is_not_shown(self):
        redis = Redis(self, "--appendonly", "yes", "--appendfsync", "always",
                      "--requirepass", "s3cret%word")
        redis.password = "s3cret%word"
        wrong = self.supervisord(self.config(redis.tcp(":wr0ng@")))
        self.unwell(wrong)
        eventually(lambda: "is the password in tasks.store its own?" in self.queue(wrong)["store"])
        # Once, and not as last heard of.
        self.assertEqual(wrong.ctl("queue", "w")[2].count(redis.tcp()), 1)
        self.assertEqual(wrong.ctl_ok("why", "w:0").count(redis.tcp()), 1)
        self.assertTrue(self.queue(wrong)["outdated"])
        a = self.supervisord(self.config(redis.tcp(":${REDIS_PASSWORD}@")),
                             environ={"REDIS_PASSWORD": "s3cret%25word"})
        self.well(a)
        self.assertEqual(a.ctl_ok("submit", "w", "add", "[2, 2]", "--wait").split()[1], "4")
        for sup, secret in ((a, "s3cret"), (wrong, "wr0ng")):
            for text in (sup.log(), sup.ctl_ok("events"), sup.ctl_ok("queue", "--json"),
                         "".join(sup.ctl("queue")[1:]), sup.ctl_ok("why", "w:0"),
                         sup.ctl_ok("status", "--json")):
                self.assertNotIn(secret, text)
        self.assertEqual(self.queue(a)["shared"], redis.tcp())
        self.assertFalse(self.queue(a)["outdated"])

    def test_two_redises_are_refused(self):
        sup = self.supervisord("workers: {};")
        sup.configure(self.config("redis://one/0", more='v: { command = "x"; tasks: { store = '
                                  '"redis://:pw@two/0"; }; };'))
        status, _, err = sup.ctl("reload")
        self.assertNotEqual(status, 0)
        self.assertIn("another Redis", err)
        self.assertNotIn("pw", err)

    def test_what_must_go_together_is_of_one_store(self):
        redis = Redis(self)
        a = self.sharing(redis.unix(), more=self.local())
        with driver.Connection(os.path.join(a.run_dir, "tasks.sock")) as at_a:
            for params in ({"worker": "w", "func": "echo", "then": {"worker": "l", "func": "echo"}},
                           {"worker": "l", "func": "echo", "then": {"worker": "w", "func": "echo"}}):
                with self.assertRaises(driver.RpcError) as e:
                    at_a.call("submit", **params)
                self.assertIn("same tasks.store", str(e.exception))
            both = [{"worker": "w", "func": "echo"}, {"worker": "l", "func": "echo"}]
            with self.assertRaises(driver.RpcError) as e:
                at_a.call("submit.group", tasks=both)
            self.assertIn("same tasks.store", str(e.exception))
        one = self.submit(a, "l", "echo", "1")
        two = self.submit(a, "w", "echo", "1")
        for number in (one, two):
            self.ended(a, number)
        self.assertEqual([t["id"] for t in json.loads(a.ctl_ok("tasks", "--json"))], [two, one])
        self.assertEqual([t["id"] for t in json.loads(a.ctl_ok("tasks", "l", "--json"))], [one])

    def test_while_redis_is_away(self):
        """Nothing acknowledged is lost, local queues and supervision go on."""
        redis = Redis(self)
        a = self.sharing(redis.unix(), more=self.local())
        pids = a.pids()
        ran = [self.submit(a, "w", "mark") for _ in range(5)]
        for number in ran:
            self.ended(a, number)
        runs = self.submit(a, "w", "mark", '{"for": 0.7, "n": 9}')
        waits = [self.submit(a, "w", "mark", '{"n": %d}' % n) for n in range(5)]
        self.begun(runs)
        redis.kill()
        self.unwell(a)
        status, _, err = a.ctl("submit", "w", "echo")
        self.assertEqual(status, 1)
        self.assertIn("store", err)
        self.assertEqual(a.ctl_ok("submit", "l", "add", "[4, 5]", "--wait").split()[1], "9")
        eventually(lambda: ("end", runs) in [e[:2] for e in self.entries()])
        self.assertEqual(a.pids(), pids)
        os.kill(pids["l:0"], signal.SIGKILL)
        a.wait_other_pid("l:0", pids["l:0"])
        redis.start()
        self.well(a)
        self.assertEqual(self.ended(a, runs)["result"], 9)
        for n, number in enumerate(waits):
            task = self.ended(a, number)
            self.assertEqual((task["state"], task["result"]), ("done", n))
        begun = [e[1] for e in self.entries() if e[0] == "begin"]
        for number in ran + waits:
            self.assertEqual(begun.count(number), 1, number)

    def test_what_a_flushed_redis_had_is_gone_and_who_waits_is_told(self):
        redis = Redis(self)
        a = self.sharing(redis.unix(), settings="processes = 0;")
        b = self.sharing(redis.unix())
        number = self.submit(a, "w", "polite")
        self.begun(number)
        calls = []
        for sup in (a, b):
            calls.append(driver.Connection(os.path.join(sup.run_dir, "tasks.sock")))
            self.addCleanup(calls[-1].close)
            calls[-1].send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "task", "params": {
                "id": number, "wait": True}}).encode() + b"\n")
            # Behind it: then it is known that somebody waits.
            calls[-1].send(b'{"jsonrpc": "2.0", "id": 2, "method": "queue"}\n')
            self.assertEqual(calls[-1].read_message()["id"], 2)
        redis.ask("FLUSHALL")
        for call in calls:
            message = call.read_message()
            while "method" in message:
                message = call.read_message()
            self.assertEqual(message["error"]["data"]["error"], "unknown-task")
        for sup in (a, b):
            eventually(lambda: "its data is gone" in sup.log())
            self.well(sup)
        self.assertEqual(self.ended(a, self.submit(a, "w", "echo", "4"))["result"], 4)

    def test_a_write_that_is_refused_is_told_at_once_and_not_done_later(self):
        redis = Redis(self)
        a = self.sharing(redis.unix())
        redis.ask("CONFIG", "SET", "min-replicas-to-write", "1")
        status, _, err = a.ctl("submit", "w", "mark")
        self.assertEqual(status, 1)
        self.assertIn("NOREPLICAS", err)
        self.assertNotIn("script", err)
        self.unwell(a)
        redis.ask("CONFIG", "SET", "min-replicas-to-write", "0")
        self.well(a)
        number = self.submit(a, "w", "mark")
        self.ended(a, number)
        self.assertEqual({e[1] for e in self.entries()}, {number})

    def test_a_submit_without_an_answer_is_in_doubt_and_done_once(self):
        redis = Redis(self)
        a = self.sharing(redis.unix(), settings="processes = 0;")
        redis.process.send_signal(signal.SIGSTOP)
        status, _, err = a.ctl("submit", "w", "mark")
        self.assertEqual(status, 1)
        self.assertIn("is not known yet", err)
        redis.process.send_signal(signal.SIGCONT)
        self.well(a)
        b = self.sharing(redis.unix())
        listed = eventually(lambda: json.loads(a.ctl_ok("tasks", "w", "--json")))
        self.ended(b, listed[0]["id"])
        self.assertEqual(len(self.begun(listed[0]["id"])), 1)
        self.assertEqual(len(json.loads(a.ctl_ok("tasks", "w", "--json"))), 1)

    def test_a_broker_that_starts_while_redis_is_away(self):
        redis = Redis(self)
        a = self.sharing(redis.unix(), more=self.local())
        number = self.submit(a, "w", "mark", '{"for": 0.7, "n": 9}')
        self.begun(number)
        redis.kill()
        broker = self.broker(a)
        os.kill(broker, signal.SIGKILL)
        eventually(lambda: self.broker(a) != broker)
        self.assertEqual(a.ctl_ok("submit", "l", "add", "[4, 5]", "--wait").split()[1], "9")
        redis.start()
        task = self.ended(a, number)
        self.assertEqual((task["state"], task["result"]), ("done", 9))
        self.assertEqual(len(self.begun(number)), 1)


class Patient(Client):
    """Tries again when the shared store is away, too."""

    def submit(self, key, n):
        try:
            return super().submit(key, n)
        except driver.RpcError as error:
            if (error.data or {}).get("error") == "store":
                return None
            raise


class Survival(Sharing):
    weight = 80
    timeout = 240.0
    COUNT = 300 if driver.LONG else 50

    def look(self, sup, clients, done):
        """Which have ended by now, and how far the ledger was."""
        for client in clients:
            for number in list(client.acked.values())[-3:]:
                state = self.state_of(sup, number)
                if state == "done" and number not in done:
                    done[number] = len(self.entries())

    def state_of(self, sup, number):
        status, out, _ = sup.ctl("task", str(number), "--json")
        return json.loads(out)["state"] if status == 0 else None

    def check(self, sup, clients, done):
        for client in clients:
            client.join(120)
            self.assertFalse(client.is_alive())
            if client.error:
                raise client.error
        ids = [i for c in clients for i in c.acked.values()]
        self.assertEqual(len(set(ids)), len(ids))
        for number in ids:
            self.done_at_last(sup, number)
        entries = self.entries()
        for number, seen in done.items():
            later = [e for e in entries[seen:] if e[:2] == ("begin", number)]
            self.assertEqual(later, [], "task %d ran after its end" % number)

    def strike(self, rng, b, redis):
        """One of b's processes, or Redis."""
        what = rng.choice(["broker", "broker", "master", "worker", "redis", "all", "look"])
        if what == "broker":
            os.kill(self.broker(b), signal.SIGKILL)
        elif what == "master":
            b.kill_master()
        elif what == "worker":
            for pid in b.pids("w").values():
                os.kill(pid, signal.SIGKILL)
        elif what == "redis":
            redis.kill()
            redis.start()
        elif what == "all":
            self.kill_all(b)
            b.start()
        return what

    def test_kill_loops(self):
        redis = Redis(self)
        options = {"settings": "processes = 2; threads = 2;", "tasks": "max_crashes = 1000;"}
        a, b = self.sharing(redis.unix(), **options), self.sharing(redis.tcp(), **options)
        seed = random.SystemRandom().randrange(1 << 30)
        print("seed", seed)
        rng = random.Random(seed)
        clients = [Patient(a, "c%d" % n, self.COUNT) for n in range(2)] + \
            [Patient(b, "d%d" % n, self.COUNT) for n in range(2)]
        for client in clients:
            client.start()
        done = {}
        while any(client.is_alive() for client in clients):
            self.strike(rng, b, redis)
            self.look(a, clients, done)
        self.check(a, clients, done)
