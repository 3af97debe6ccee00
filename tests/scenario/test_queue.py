"""The task queue, as its users see it: submit, wait, fail, cancel, crash, and
what survives when any of supervisord's processes is killed."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import threading
import time

import driver
from driver import eventually

WORKER = '"/usr/bin/python3", "%s"' % os.path.join(os.path.dirname(__file__), "task_worker.py")
QUICK = ('start_seconds = "50ms"; backoff: { initial = "20ms"; max = "200ms"; jitter = 0.0; };')
STATES = ("queued", "scheduled", "running", "done", "failed", "cancelled", "dead")


def worker(settings="", tasks=""):
    return 'command = [ %s, "@D/ledger" ]; %s %s tasks: { %s };' % (
        WORKER, QUICK, settings, tasks)


def script(text):
    """A command that runs this shell script."""
    return "command = [ \"/bin/sh\", \"-c\", %s ];" % json.dumps(text)


def fleet(**workers):
    return "workers: {\n%s};\n" % "".join("  %s: { %s };\n" % item for item in workers.items())


class Queue(driver.Case):
    def fleet(self, top="", **workers):
        sup = self.supervisord(fleet(**workers), top=top)
        sup.wait_running()
        return sup

    def submit(self, sup, *args):
        return int(sup.ctl_ok("submit", *args).split()[0])

    def task(self, sup, number):
        return json.loads(sup.ctl_ok("task", str(number), "--json"))

    def ended(self, sup, number):
        """The task, once it has ended."""
        return json.loads(sup.ctl("task", str(number), "--wait", "--json")[1])

    def done_at_last(self, sup, number):
        """One that runs alone after a kill may be hit by the next one, too: it is
        to blame then, as far as anybody can know, and waits for a requeue."""
        if self.ended(sup, number)["state"] == "dead":
            sup.ctl_ok("requeue", str(number))
        self.assertEqual(self.ended(sup, number)["state"], "done", number)

    def in_state(self, sup, number, *states):
        return eventually(lambda: (lambda t: t["state"] in states and t)(self.task(sup, number)),
                          what="task %d %s" % (number, "|".join(states)))

    def ledger(self, sup):
        """[(word, id, attempt, pid)]"""
        try:
            lines = driver.read(os.path.join(sup.dir, "ledger")).splitlines()
        except FileNotFoundError:
            return []
        return [(w, int(i), int(a), int(p)) for w, i, a, p in (line.split() for line in lines)]

    def began(self, sup, number):
        return [e for e in self.ledger(sup) if e[0] == "begin" and e[1] == number]

    def broker(self, sup):
        return eventually(lambda: sup.process("broker"), what="a broker")

    def tearDown(self):
        """Whatever a test did, `queue` counts what the database holds after it."""
        for sup in self._supervisors:
            if (sup.guardian_pid and driver.alive(sup.guardian_pid) and sup.process("broker")
                    and os.path.exists(self.tasks_db(sup))):
                self.same_counts(sup)
        super().tearDown()

    def tasks_db(self, sup):
        return os.path.join(sup.state_dir, "tasks.db")

    def counts(self, sup):
        """By `queue` and by the database; each (worker, state): count. Those of
        a shared queue are told by its store."""
        told, stored, shared = {}, {}, set()
        for q in json.loads(sup.ctl_ok("queue", "--json")):
            if q["store"] != "ok":
                return {}, {}
            if q["shared"]:
                shared.add(q["worker"])
                continue
            told.update({(q["worker"], s): q[s] for s in STATES if q[s]})
        db = sqlite3.connect("file:%s?mode=ro" % self.tasks_db(sup), uri=True)
        try:
            for worker, state, n in db.execute("select worker, state, count(*) from tasks group by 1, 2"):
                if worker not in shared:
                    stored[worker, state] = n
        finally:
            db.close()
        return told, stored

    def same_counts(self, sup):
        """They agree as soon as nothing is on its way to the disk."""
        last = []

        def agree():
            last[:] = self.counts(sup)
            return last[0] == last[1]
        try:
            eventually(agree, 10, "counts that agree")
        except driver.Late:
            self.fail("`queue` says %s, tasks.db %s" % tuple(last))


class Exec(Queue):
    """A plain command, run once per task."""

    def exec(self, text, settings="", tasks=""):
        return self.fleet(work="%s %s tasks: { mode = \"exec\"; %s };" % (
            script(text), settings, tasks))

    def test_arguments_in_result_out(self):
        sup = self.exec("cat")
        number, result = sup.ctl_ok("submit", "work", "any", '{"a":[1,2]}', "--wait").split("\n", 1)
        self.assertEqual(json.loads(result), {"a": [1, 2]})
        task = self.task(sup, number)
        self.assertEqual((task["state"], task["attempts"], task["result"]), ("done", 1, {"a": [1, 2]}))

    def test_it_knows_its_task(self):
        sup = self.exec('echo "\\"$SUPERVISOR_TASK_FUNC $SUPERVISOR_TASK_ID $SUPERVISOR_TASK_ATTEMPT '
                        '$SUPERVISOR_WORKER\\""')
        number, result = sup.ctl_ok("submit", "work", "sweep", "--wait").split("\n", 1)
        self.assertEqual(json.loads(result), "sweep %s 1 work" % number)

    def test_what_is_no_json_is_bytes(self):
        sup = self.exec("printf 'plain text\\n'")
        self.assertEqual(sup.ctl_ok("submit", "work", "f", "--wait").split("\n", 1)[1], "plain text\n")

    def test_the_exit_status_is_the_outcome(self):
        sup = self.exec("echo no >&2; exit 3")
        status, out, err = sup.ctl("submit", "work", "f", "--wait")
        self.assertEqual(status, 1)
        self.assertIn("exited 3", err)
        task = self.task(sup, out.split()[0])
        self.assertEqual((task["state"], task["attempts"]), ("failed", 1))
        sup.wait_stdout("work:0", "^no$")

    def test_killed_by_a_signal(self):
        sup = self.exec("kill -SEGV $$")
        _, out, err = sup.ctl("submit", "work", "f", "--wait")
        self.assertIn("SIGSEGV", err)
        self.assertEqual(self.task(sup, out.split()[0])["state"], "failed")

    def test_retries_then_success(self):
        sup = self.exec('test -e "@D/ok" || { : > "@D/ok"; exit 1; }; echo 7',
                        tasks='retries = 2; backoff: { initial = "20ms"; };')
        self.assertEqual(sup.ctl_ok("submit", "work", "f", "--wait").split()[1], "7")

    def test_a_time_limit_ends_the_whole_tree(self):
        sup = self.exec('sh -c "echo \\$\\$ > @D/pids; exec sleep 3600" & wait',
                        tasks='timeout = "300ms"; grace = "200ms";')
        number = self.submit(sup, "work", "f")
        pid = sup.wait_pids("pids", 1)[0]
        task = self.ended(sup, number)
        self.assertEqual(task["state"], "failed")
        driver.gone(pid)
        sup.wait_running()

    def test_one_that_daemonises_leaves_nothing(self):
        sup = self.exec('setsid sh -c "echo \\$\\$ > @D/pids; exec sleep 3600" > /dev/null 2>&1 & '
                        'while ! test -s @D/pids; do :; done; echo 1')
        self.assertEqual(sup.ctl_ok("submit", "work", "f", "--wait").split()[1], "1")
        driver.gone(sup.wait_pids("pids", 1)[0])

    def test_several_at_once(self):
        sup = self.exec('echo $$ >> @D/pids; while test ! -e @D/go; do sleep 0.02; done; echo 1',
                        settings="processes = 3;")
        numbers = [self.submit(sup, "work", "f") for _ in range(4)]
        sup.wait_pids("pids", 3)
        self.assertEqual(self.task(sup, numbers[3])["state"], "queued")
        driver.write(os.path.join(sup.dir, "go"), "")
        for number in numbers:
            self.assertEqual(self.ended(sup, number)["state"], "done")

    def test_a_command_that_is_missing_says_so(self):
        sup = self.supervisord(fleet(
            work='command = "@D/nothing-here"; tasks: { mode = "exec"; };'))
        sup.wait_running()
        _, _, err = sup.ctl("submit", "work", "f", "--wait")
        self.assertIn("No such file", err)


class Worker(Queue):
    """A worker that speaks the protocol itself, in Python."""

    def test_result(self):
        sup = self.fleet(w=worker())
        self.assertEqual(sup.ctl_ok("submit", "w", "add", "[1,2,3]", "--wait").split()[1], "6")

    def test_big_results_and_arguments(self):
        sup = self.fleet(w=worker())
        number = self.submit(sup, "w", "big", "3000000")
        self.assertEqual(len(self.ended(sup, number)["result"]), 3000000)
        with sup.connect() as c:
            long = "y" * 700000
            found = c.call("submit", worker="w", func="echo", args=long, wait=True)
            self.assertEqual(found["result"], long)

    def test_unknown_things_have_names(self):
        sup = self.fleet(w=worker(), plain='command = "@P/pause";')
        eventually(lambda: json.loads(sup.ctl_ok("queue", "--json"))[0]["functions"])
        for args, status, words in (
                (["submit", "nobody", "f"], 4, "no worker"),
                (["submit", "plain", "f"], 4, "takes no tasks"),
                (["submit", "w", "nothing"], 2, "has no function"),
                (["submit", "w", "echo", "{"], 2, "not JSON"),
                (["task", "99999999"], 4, "no task"),
                (["cancel", "99999999"], 4, "no task"),
                (["requeue", "99999999"], 4, "no task"),
                (["pause", "nobody"], 4, "no worker")):
            got, _, err = sup.ctl(*args)
            self.assertEqual(got, status, (args, err))
            self.assertIn(words, err, args)

    def test_a_full_queue_refuses(self):
        sup = self.fleet(w=worker(tasks="max_queue = 2;"))
        sup.ctl_ok("pause", "w")
        for _ in range(2):
            self.submit(sup, "w", "echo")
        status, _, err = sup.ctl("submit", "w", "echo")
        self.assertEqual(status, 1)
        self.assertIn("full", err)
        sup.ctl_ok("resume", "w")
        eventually(lambda: not json.loads(sup.ctl_ok("tasks", "w", "--state", "queued", "--json")))
        self.submit(sup, "w", "echo")

    def test_a_key_returns_the_first(self):
        sup = self.fleet(w=worker())
        first = self.submit(sup, "w", "mark", "--key", "k")
        self.assertEqual(self.submit(sup, "w", "mark", "--key", "k"), first)
        self.ended(sup, first)
        self.assertEqual(self.submit(sup, "w", "mark", "--key", "k"), first)
        self.assertEqual(len(self.began(sup, first)), 1)
        self.assertNotEqual(self.submit(sup, "w", "mark", "--key", "other"), first)

    def test_priorities_are_strict(self):
        sup = self.fleet(w=worker())
        sup.ctl_ok("pause", "w")
        low = [self.submit(sup, "w", "mark", "--priority", "low") for _ in range(2)]
        middle = [self.submit(sup, "w", "mark") for _ in range(2)]
        high = [self.submit(sup, "w", "mark", "--priority", "high") for _ in range(2)]
        sup.ctl_ok("resume", "w")
        for number in low:
            self.ended(sup, number)
        order = [e[1] for e in self.ledger(sup) if e[0] == "begin"]
        self.assertEqual(order, high + middle + low)

    def test_none_starves(self):
        sup = self.fleet(w=worker(tasks='aging = "20ms";'))
        sup.ctl_ok("pause", "w")
        low = self.submit(sup, "w", "mark", "--priority", "low")
        driver.let_pass(0.25)
        high = self.submit(sup, "w", "mark", "--priority", "high")
        sup.ctl_ok("resume", "w")
        self.ended(sup, high)
        self.ended(sup, low)
        self.assertEqual([e[1] for e in self.ledger(sup) if e[0] == "begin"], [low, high])

    def test_delay(self):
        sup = self.fleet(w=worker())
        began = time.monotonic()
        number = self.submit(sup, "w", "mark", "--delay", "700ms")
        self.assertEqual(self.task(sup, number)["state"], "scheduled")
        self.ended(sup, number)
        self.assertGreater(time.monotonic() - began, 0.65)

    def test_failures_are_retried_with_pauses(self):
        sup = self.fleet(w=worker(tasks='retries = 5; backoff: { initial = "10ms"; };'))
        task = self.ended(sup, self.submit(sup, "w", "flaky"))
        self.assertEqual((task["state"], task["attempts"], task["result"]), ("done", 3, 3))
        task = self.ended(sup, self.submit(sup, "w", "fail", '"broken"', "--retries", "1"))
        self.assertEqual((task["state"], task["attempts"], task["error"]), ("failed", 2, "broken"))
        again = sup.ctl_ok("requeue", str(task["id"]))
        self.assertIn("queued", again)
        self.assertEqual(self.ended(sup, task["id"])["state"], "failed")
        # Without a limit it has more than the worker's five.
        endless = self.submit(sup, "w", "fail", '"broken"', "--retries", "-1")
        eventually(lambda: self.task(sup, endless)["attempts"] > 7, what="an eighth try")
        self.assertEqual(self.task(sup, endless)["retries"], -1)
        sup.ctl_ok("cancel", str(endless))

    def test_a_retry_of_what_ran_out_of_time_has_its_own_time(self):
        """So has a requeue of what was cancelled while it ran."""
        sup = self.fleet(w='module = "%s"; processes = 1; threads = 1; tasks: {};' % os.path.join(
            driver.BUILD, "examples", "crash.so"))
        began = time.monotonic()
        number = self.submit(sup, "w", "patient", "--timeout", "300ms", "--retries", "1")
        self.assertEqual(self.ended(sup, number)["attempts"], 2)
        self.assertGreater(time.monotonic() - began, 0.6)
        number = self.submit(sup, "w", "patient")
        self.in_state(sup, number, "running")
        sup.ctl_ok("cancel", str(number))
        self.assertEqual(self.ended(sup, number)["state"], "cancelled")
        sup.ctl_ok("requeue", str(number))
        self.in_state(sup, number, "running")
        driver.let_pass(0.3)
        self.assertEqual(self.task(sup, number)["state"], "running")

    def test_progress_and_cancel_of_a_running_one(self):
        sup = self.fleet(w=worker())
        number = self.submit(sup, "w", "polite")
        task = eventually(lambda: (lambda t: t["progress"] and t)(self.task(sup, number)))
        self.assertEqual(task["progress"], {"share": 0.25, "text": "waiting"})
        self.assertEqual(task["instance"], "w:0")
        pid = sup.pid("w:0")
        sup.ctl_ok("cancel", str(number))
        self.assertEqual(self.ended(sup, number)["state"], "cancelled")
        self.assertEqual(sup.pid("w:0"), pid)

    def test_cancel_of_one_that_does_not_listen(self):
        sup = self.fleet(w=worker(tasks='grace = "200ms";'))
        number = self.submit(sup, "w", "stubborn")
        eventually(lambda: self.began(sup, number))
        pid = sup.pid("w:0")
        sup.ctl_ok("cancel", str(number))
        self.assertEqual(self.ended(sup, number)["state"], "cancelled")
        sup.wait_other_pid("w:0", pid)

    def test_cancel_of_a_queued_one(self):
        sup = self.fleet(w=worker())
        sup.ctl_ok("pause", "w")
        queued, later = self.submit(sup, "w", "mark"), self.submit(sup, "w", "mark", "--delay", "1h")
        sup.ctl_ok("cancel", str(queued), str(later))
        for number in (queued, later):
            self.assertEqual(self.task(sup, number)["state"], "cancelled")
        sup.ctl_ok("resume", "w")
        self.ended(sup, self.submit(sup, "w", "mark"))
        self.assertEqual(self.began(sup, queued), [])
        self.assertNotEqual(sup.ctl("cancel", str(queued))[0], 0)

    def test_a_chain_and_a_group(self):
        sup = self.fleet(w=worker())
        with sup.connect() as c:
            c.call("submit", worker="w", func="add", args=[1, 2],
                   then=[{"worker": "w", "func": "echo", "args": "a"},
                         {"worker": "w", "func": "echo", "args": "b"}])
            last = eventually(lambda: [t for t in c.call("tasks", worker="w", state="done")
                                       if t["parent"]][1:])
            whole = c.call("task", id=max(t["id"] for t in c.call("tasks", worker="w")))
            self.assertTrue(last)
            self.assertEqual(whole["result"]["args"], "b")
            self.assertEqual(whole["result"]["result"]["result"], 3)
            group = c.call("submit.group", tasks=[
                {"worker": "w", "func": "echo", "args": n} for n in range(5)],
                then={"worker": "w", "func": "echo", "args": "all"})
            self.assertEqual(len(group["ids"]), 5)
            end = eventually(lambda: [t for t in c.call("tasks", worker="w", state="done")
                                      if t["id"] > max(group["ids"])])
            found = c.call("task", id=end[0]["id"])["result"]
            self.assertEqual([r["result"] for r in found["results"]], list(range(5)))

    def test_a_group_with_more_results_than_fit(self):
        sup = self.fleet(
            each=script("head -c 3000 /dev/zero | tr '\\0' x") + " tasks: { mode = \"exec\"; };",
            gather=script("cat") + " tasks: { mode = \"exec\"; };")
        with sup.connect() as c:
            group = c.call("submit.group", tasks=[{"worker": "each", "func": "x"}] * 400,
                           then={"worker": "gather", "func": "x"})
            last = eventually(lambda: c.call("tasks", worker="gather"))[0]["id"]
            task = c.call("task", id=last, wait=True)
            self.assertEqual(task["state"], "done", task)
            results = task["result"]["results"]
            self.assertEqual([r["id"] for r in results], group["ids"])
            left_out = [r for r in results if r.get("omitted")]
            self.assertGreater(len(left_out), 140)
            self.assertLess(len(left_out), 180)
            self.assertEqual(len(results[0]["result"]["base64"]) * 3 // 4, 3000)

    def test_durations_and_counts_in_queue(self):
        sup = self.fleet(w=worker("processes = 2; threads = 2;"))
        for _ in range(10):
            self.ended(sup, self.submit(sup, "w", "echo"))
        row = json.loads(sup.ctl_ok("queue", "w", "--json"))[0]
        self.assertEqual((row["done"], row["queued"], row["threads"], row["instances"]),
                         (10, 0, 4, 2))
        threads = json.loads(sup.ctl_ok("status", "--threads", "--json"))
        self.assertEqual(len(threads), 4)
        self.assertEqual({t["state"] for t in threads}, {"idle"})

    def test_pause_ends_by_itself(self):
        sup = self.fleet(w=worker())
        sup.ctl_ok("pause", "w", "--for", "500ms")
        self.assertEqual(self.ended(sup, self.submit(sup, "w", "echo"))["state"], "done")

    def test_bulk(self):
        sup = self.fleet(w=worker("threads = 4;"))
        out = sup.ctl_ok("submit", "w", "echo", "-", stdin="".join("%d\n" % n for n in range(2000)))
        self.assertEqual(len(set(out.split())), 2000)
        eventually(lambda: json.loads(sup.ctl_ok("queue", "w", "--json"))[0]["done"] == 2000, 60)

    def test_reload_takes_settings_live(self):
        sup = self.fleet(w=worker())
        pid = sup.pid("w:0")
        sup.configure(fleet(w=worker(tasks='timeout = "200ms"; grace = "100ms";')))
        sup.ctl_ok("reload")
        self.assertEqual(sup.pid("w:0"), pid)
        self.assertEqual(self.ended(sup, self.submit(sup, "w", "stubborn"))["state"], "failed")

    def test_stop_lets_a_task_finish(self):
        sup = self.fleet(w=worker())
        number = self.submit(sup, "w", "mark", '{"for": 0.5, "n": 1}')
        eventually(lambda: self.began(sup, number))
        sup.ctl_ok("stop", "w")
        task = self.in_state(sup, number, "done", "queued")
        self.assertEqual((task["state"], task["attempts"]), ("done", 1))
        waiting = self.submit(sup, "w", "mark")
        self.assertEqual(self.task(sup, waiting)["state"], "queued")
        sup.ctl_ok("start", "w")
        self.assertEqual(self.ended(sup, waiting)["state"], "done")


class Crashes(Queue):
    def test_a_crash_is_blamed_and_in_the_end_quarantined(self):
        sup = self.fleet(w=worker(tasks="max_crashes = 2;"))
        number = self.submit(sup, "w", "crash")
        task = self.ended(sup, number)
        self.assertEqual((task["state"], task["crashes"]), ("dead", 2))
        task = eventually(lambda: (lambda t: t["words"] and "about to crash" in t["words"] and t)(
            self.task(sup, number)))
        self.assertIn("SIGSEGV", task["words"])
        sup.wait_running()
        self.assertEqual(self.ended(sup, self.submit(sup, "w", "echo", "1"))["state"], "done")
        self.assertEqual(len(self.began(sup, number)), 2)
        self.assertIn(str(number), sup.ctl_ok("why", "w:0"))
        sup.ctl_ok("requeue", str(number))
        self.assertEqual(self.ended(sup, number)["state"], "dead")

    def crashes_with_its_own_last_lines(self, sup):
        number = self.submit(sup, "w", "crash")
        self.assertEqual(self.ended(sup, number)["state"], "dead")
        own = "about to crash in task %d" % number
        words = eventually(lambda: (lambda w: w and own in w and w)(
            self.task(sup, number)["words"]), what="words of task %d" % number)
        self.assertEqual(words.strip().splitlines(), ["killed by SIGSEGV", own])

    def test_its_last_lines_are_not_of_a_run_of_supervisord_before(self):
        sup = self.fleet(w=worker(tasks="max_crashes = 1;"))
        for _ in range(2):
            self.crashes_with_its_own_last_lines(sup)
            sup.shutdown()
            sup.start()

    def test_a_dead_task_has_the_last_lines_of_its_own_process(self):
        sup = self.fleet(w=worker(tasks="max_crashes = 2;"))
        for _ in range(3):
            self.crashes_with_its_own_last_lines(sup)
        said = sup.ctl_ok("why", "w:0").splitlines()
        self.assertEqual(len([l for l in said if "is dead" in l]), 3, said)
        self.assertEqual(len([l for l in said if "about to crash" in l]), 6, said)
        told = [l for l in sup.ctl_ok("events").splitlines() if "about to crash" in l]
        self.assertEqual(told, [])

    def test_siblings_are_queued_again_uncharged(self):
        sup = self.fleet(w=worker("threads = 3;", "max_crashes = 1;"))
        others = [self.submit(sup, "w", "mark", '{"for": 1.5}') for _ in range(2)]
        eventually(lambda: len(self.ledger(sup)) == 2)
        bad = self.submit(sup, "w", "crash")
        for number in others:
            task = self.ended(sup, number)
            self.assertEqual((task["state"], task["crashes"], task["failures"]), ("done", 0, 0))
        self.assertEqual(self.ended(sup, bad)["state"], "dead")

    def test_an_overrun_is_killed_and_its_siblings_live_on(self):
        sup = self.fleet(w=worker("threads = 2;", 'grace = "100ms"; sibling_grace = "10s";'))
        other = self.submit(sup, "w", "mark", '{"for": 1.2}')
        bad = self.submit(sup, "w", "stubborn", "--timeout", "200ms")
        self.assertEqual(self.ended(sup, bad)["state"], "failed")
        task = self.ended(sup, other)
        self.assertEqual((task["state"], task["attempts"]), ("done", 1))
        sup.wait_running()

    def test_a_stuck_thread_is_seen(self):
        sup = self.fleet(w=worker("threads = 2;", 'grace = "1h";'))
        bad = self.submit(sup, "w", "stubborn", "--timeout", "100ms")
        eventually(lambda: any(t["stuck"] and t["task"] == bad for t in json.loads(
            sup.ctl_ok("status", "--threads", "w", "--json"))))
        self.assertIn(str(bad), sup.ctl_ok("why", "w:0"))
        self.assertIn("stuck", sup.ctl_ok("status", "--threads"))
        self.assertEqual(self.ended(sup, self.submit(sup, "w", "echo"))["state"], "done")

    def test_a_worker_that_breaks_the_protocol(self):
        sup = self.supervisord(fleet(w=script(
            "test -e @D/once || { : > @D/once; echo '{\"done\":77,\"result\":1}' >&$WORKER_FD; exec sleep 3600; }; "
            "echo '{\"hello\":1}' >&$WORKER_FD; exec sleep 3600") + QUICK + "tasks: { };"))
        sup.wait_log(r"w:0.*broke the worker protocol")
        sup.wait_running()
        self.assertIn("protocol", sup.ctl_ok("events"))


class Schedules(Queue):
    def test_every(self):
        sup = self.fleet(w=worker(), top='schedules: { tick: { task = "w"; func = "mark"; '
                                         'every = "300ms"; args = "{\\"n\\": 1}"; }; };')
        eventually(lambda: len([e for e in self.ledger(sup) if e[0] == "end"]) >= 4)
        rows = json.loads(sup.ctl_ok("schedules", "--json"))
        self.assertEqual((rows[0]["name"], rows[0]["worker"], rows[0]["func"]), ("tick", "w", "mark"))

    def test_once_per_due_time_though_all_are_killed(self):
        sup = self.fleet(w=worker(), top='schedules: { tick: { task = "w"; func = "mark"; '
                                         'every = "200ms"; overlap = "allow"; }; };')
        for _ in range(6):
            os.kill(self.broker(sup), signal.SIGKILL)
            sup.kill_master()
        number = self.submit(sup, "w", "echo")
        self.ended(sup, number)
        db = driver.sqlite3.connect("file:%s/tasks.db?mode=ro" % sup.state_dir, uri=True, timeout=10)
        twice = db.execute("select schedule, fire_ms, count(*) from extra where schedule > 0 "
                           "group by schedule, fire_ms having count(*) > 1").fetchall()
        db.close()
        self.assertEqual(twice, [])


class Client(threading.Thread):
    """Submits numbered tasks one after the other, resending under the same key
    until each is acknowledged."""

    def __init__(self, sup, name, count):
        super().__init__(daemon=True)
        self.sup, self.prefix, self.count = sup, name, count
        self.path = os.path.join(sup.run_dir, "tasks.sock")
        self.acked = {}
        self.error = None

    def run(self):
        try:
            for n in range(self.count):
                key = "%s-%d" % (self.prefix, n)
                self.acked[key] = eventually(lambda k=key, i=n: self.submit(k, i), 60)
        except Exception as error: # pylint: disable=broad-except
            self.error = error

    def submit(self, key, n):
        try:
            with driver.Connection(self.path, 5) as c:
                return c.call("submit", worker="w", func="mark", args={"n": n, "for": 0.002},
                              key=key)["id"]
        except (OSError, driver.Late):
            return None


class Survival(Queue):
    weight = 60
    COUNT = 400 if driver.LONG else 60

    def check(self, sup, clients):
        for client in clients:
            client.join(120)
            self.assertFalse(client.is_alive())
            if client.error:
                raise client.error
        ids = [i for c in clients for i in c.acked.values()]
        self.assertEqual(len(set(ids)), len(ids))
        for number in ids:
            self.done_at_last(sup, number)
        return ids

    def test_kill_loops(self):
        """Client, broker, master, worker are killed at random; every
        acknowledged task completes, none runs after its end was seen."""
        sup = self.fleet(w=worker("processes = 2; threads = 2;", "max_crashes = 1000;"))
        seed = random.SystemRandom().randrange(1 << 30)
        print("seed", seed)
        rng = random.Random(seed)
        clients = [Client(sup, "c%d" % n, self.COUNT) for n in range(3)]
        for client in clients:
            client.start()
        done, workers = {}, sup.pids("w")
        while any(client.is_alive() for client in clients):
            what = rng.choice(["broker", "broker", "master", "worker", "look", "look"])
            if what == "broker":
                os.kill(self.broker(sup), signal.SIGKILL)
            elif what == "master":
                sup.kill_master()
                workers = {name: pid for name, pid in sup.pids("w").items()}
            elif what == "worker":
                pid = sup.pids("w").get(rng.choice(["w:0", "w:1"]))
                if pid:
                    os.kill(pid, signal.SIGKILL)
            else:
                for client in clients:
                    for number in list(client.acked.values())[-3:]:
                        task = self.task(sup, number)
                        if task["state"] == "done" and number not in done:
                            done[number] = len(self.ledger(sup))
            self.broker(sup)
        self.check(sup, clients)
        self.assertTrue(workers)
        ledger = self.ledger(sup)
        for number, seen in done.items():
            later = [e for e in ledger[seen:] if e[1] == number and e[0] == "begin"]
            self.assertEqual(later, [], "task %d ran after its end" % number)

    def test_no_kill_of_ours_restarts_a_worker(self):
        sup = self.fleet(w=worker("processes = 2;"))
        pids = sup.pids("w")
        clients = [Client(sup, "c%d" % n, self.COUNT // 2) for n in range(2)]
        for client in clients:
            client.start()
        for n in range(20):
            if not any(c.is_alive() for c in clients):
                break
            with contextlib.suppress(ProcessLookupError): # the one before, reaped just now
                os.kill(self.broker(sup), signal.SIGKILL)
            if n % 3 == 0:
                sup.kill_master()
        ids = self.check(sup, clients)
        self.assertEqual(sup.pids("w"), pids)
        begun = [e[1] for e in self.ledger(sup) if e[0] == "begin"]
        self.assertEqual(sorted(set(begun)), sorted(ids))

    def test_a_running_task_goes_on_when_the_broker_is_killed(self):
        sup = self.fleet(w=worker())
        number = self.submit(sup, "w", "mark", '{"for": 1.0, "n": 5}')
        eventually(lambda: self.began(sup, number))
        os.kill(self.broker(sup), signal.SIGKILL)
        task = self.ended(sup, number)
        self.assertEqual((task["state"], task["result"], task["attempts"]), ("done", 5, 1))
        self.assertEqual(len(self.began(sup, number)), 1)

    def test_an_upgrade_is_not_noticed(self):
        sup = self.fleet(w=worker())
        pid = sup.pid("w:0")
        number = self.submit(sup, "w", "mark", '{"for": 1.0, "n": 5}')
        eventually(lambda: self.began(sup, number))
        sup.ctl_ok("upgrade")
        self.assertEqual(self.ended(sup, number)["result"], 5)
        self.assertEqual((sup.pid("w:0"), len(self.began(sup, number))), (pid, 1))

    def test_a_restart_of_all_keeps_the_queue(self):
        sup = self.fleet(w=worker())
        sup.ctl_ok("pause", "w")
        number = self.submit(sup, "w", "mark")
        later = self.submit(sup, "w", "mark", "--delay", "1s")
        sup.shutdown()
        sup.start()
        self.assertTrue(json.loads(sup.ctl_ok("queue", "w", "--json"))[0]["paused"])
        sup.ctl_ok("resume", "w")
        for n in (number, later):
            self.assertEqual(self.ended(sup, n)["state"], "done")

    def test_a_crash_of_the_guardian_keeps_the_queue(self):
        sup = self.fleet(w=worker())
        number = self.submit(sup, "w", "mark", '{"for": 2.0}')
        waiting = self.submit(sup, "w", "mark")
        eventually(lambda: self.began(sup, number))
        sup.kill_guardian()
        sup.start()
        for n in (number, waiting):
            self.assertEqual(self.ended(sup, n)["state"], "done")


class Autoscale(Queue):
    def test_grows_with_the_backlog_and_shrinks_by_draining(self):
        sup = self.fleet(w=worker(
            'processes = 1; autoscale: { min = 1; max = 3; backlog = 2; cooldown = "200ms"; };'))
        numbers = [self.submit(sup, "w", "mark", '{"for": 0.25}') for _ in range(40)]
        sup.wait(lambda rows: len(rows) == 3, ["w"])
        for number in numbers:
            self.assertEqual(self.ended(sup, number)["attempts"], 1)
        sup.wait(lambda rows: len(rows) == 1, ["w"])


class Recycle(Queue):
    def test_after_so_many_tasks(self):
        sup = self.fleet(w=worker("recycle: { max_tasks = 5; jitter = 0.0; };"))
        pid = sup.pid("w:0")
        for n in range(12):
            self.assertEqual(self.ended(sup, self.submit(sup, "w", "mark"))["attempts"], 1, n)
        # It goes on until another is there that does its work.
        self.assertNotEqual(sup.wait_other_pid("w:0", pid), pid)
        self.assertEqual(self.ended(sup, self.submit(sup, "w", "mark"))["attempts"], 1)
        self.assertGreaterEqual(len({e[3] for e in self.ledger(sup)}), 2)
