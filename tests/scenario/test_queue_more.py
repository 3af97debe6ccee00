"""More of the task queue as its users meet it: what one bad task may not do to
a worker, where the broker's own words go, what is refused."""

import json
import os
import signal
import subprocess

import driver
import test_queue
from driver import eventually


class Poison(test_queue.Queue):
    def test_bad_tasks_do_not_stop_a_worker_for_good(self):
        """Each crash comes right after the start, but is no failed start."""
        sup = self.supervisord(test_queue.fleet(
            work='command = [ %s, "@D/ledger" ]; start_seconds = "1h"; start_retries = 1; '
                 'backoff: { initial = "1ms"; max = "1ms"; }; tasks: { max_crashes = 2; };'
                 % test_queue.WORKER))
        numbers = [self.submit(sup, "work", "crash") for _ in range(3)]
        last = self.submit(sup, "work", "echo", "7")
        self.assertEqual([self.ended(sup, n)["state"] for n in numbers], ["dead"] * 3)
        self.assertEqual(self.ended(sup, last)["state"], "done")
        sup.wait_running()


class Stopped(test_queue.Queue):
    def test_a_process_that_takes_nothing_is_replaced(self):
        sup = self.fleet(w='module = "%s"; threads = 2; processes = 1; %s tasks: { grace = "100ms"; };'
                           % (os.path.join(driver.BUILD, "examples", "hello.so"), test_queue.QUICK))
        pid = sup.pid("w:0")
        self.assertEqual(self.ended(sup, self.submit(sup, "w", "hello", '"a"'))["state"], "done")
        os.kill(pid, signal.SIGSTOP)
        task = self.ended(sup, self.submit(sup, "w", "hello", '"b"', "--timeout=100ms"))
        self.assertEqual((task["state"], task["failures"], task["crashes"]), ("done", 0, 0))
        self.assertNotEqual(sup.pid("w:0"), pid)
        self.assertIn("neither begins task", sup.ctl_ok("events", "w:0"))


class Gone(test_queue.Queue):
    """A worker leaves the config while tasks wait for it."""

    def test_its_tasks_are_seen_and_can_be_cancelled(self):
        sup = self.fleet(stays=test_queue.worker(), goes=test_queue.worker())
        sup.ctl_ok("pause", "goes")
        numbers = [self.submit(sup, "goes", "echo", "1") for _ in range(2)]
        numbers.append(self.submit(sup, "goes", "echo", "1", "--delay=1h"))
        sup.configure(test_queue.fleet(stays=test_queue.worker()))
        words = "3 tasks wait for goes, which is not in the config"
        self.assertIn(words, sup.ctl_ok("reload", "--dry-run"))
        self.assertIn(words, sup.ctl_ok("reload"))
        self.assertIn(words, sup.ctl_ok("queue"))
        self.assertIn(words, sup.ctl_ok("queue", "goes"))
        for target in "goes", "goes:0":
            self.assertIn(words, sup.ctl_ok("why", target))
        status, _out, err = sup.ctl("why", "gone")
        self.assertEqual((status, "no such target" in err), (4, True))
        self.assertEqual(sup.ctl("why", "stays", "goes")[0], 4)
        rows = json.loads(sup.ctl_ok("queue", "--json"))
        self.assertEqual({r["worker"]: r["configured"] for r in rows},
                         {"stays": True, "goes": False})
        self.assertEqual([t["id"] for t in json.loads(sup.ctl_ok("tasks", "goes", "--json"))],
                         numbers[::-1])
        sup.ctl_ok("resume", "goes")
        self.assertEqual(sup.ctl("submit", "goes", "echo", "1")[0], 4)
        for number in numbers[1:]:
            sup.ctl_ok("cancel", str(number))
            self.assertEqual(self.task(sup, number)["state"], "cancelled")
        self.assertIn("1 task waits for goes", sup.ctl_ok("queue"))
        sup.configure(test_queue.fleet(stays=test_queue.worker(), goes=test_queue.worker()))
        self.assertNotIn("wait", sup.ctl_ok("reload"))
        self.assertEqual(self.ended(sup, numbers[0])["state"], "done")

    def test_the_last_one_that_took_tasks(self):
        sup = self.fleet(goes=test_queue.worker(), plain='command = "@P/pause";')
        sup.ctl_ok("pause", "goes")
        number = self.submit(sup, "goes", "echo", "1")
        sup.configure(test_queue.fleet(plain='command = "@P/pause";'))
        self.assertIn("1 task waits for goes", sup.ctl_ok("reload"))
        sup.configure(test_queue.fleet(goes=test_queue.worker(), plain='command = "@P/pause";'))
        sup.ctl_ok("reload")
        sup.ctl_ok("resume", "goes")
        self.assertEqual(self.ended(sup, number)["state"], "done")


    def test_nobody_is_left_who_takes_tasks(self):
        sup = self.fleet(goes=test_queue.worker(), plain='command = "@P/pause";')
        broker = self.broker(sup)
        sup.configure(test_queue.fleet(plain='command = "@P/pause";'))
        sup.ctl_ok("reload")
        driver.gone(broker)
        status, out, err = sup.ctl("queue")
        self.assertEqual((status, out), (4, ""), err)
        self.assertIn("tasks", err)
        self.assertEqual(sup.ctl("submit", "goes", "echo", "1")[0], 4)
        sup.configure(test_queue.fleet(goes=test_queue.worker(), plain='command = "@P/pause";'))
        sup.ctl_ok("reload")
        self.assertEqual(self.ended(sup, self.submit(sup, "goes", "echo", "1"))["state"], "done")


class Disk(test_queue.Queue):
    """What becomes of the queue when its disk is not as it should be."""

    def disk(self, size="8M"):
        """A supervisord, not started, with its state on a disk of its own."""
        sup = self.supervisord(test_queue.fleet(w=test_queue.worker()), start=False)
        return sup, driver.mount_tmpfs(self, sup.state_dir, size)

    def remount(self, path, how):
        if subprocess.run(["mount", "-o", "remount," + how, path], check=False).returncode != 0:
            self.skipTest("cannot remount here")

    def test_read_only_at_the_start(self):
        sup, path = self.disk()
        sup.start()
        first = self.submit(sup, "w", "echo", "1")
        self.assertEqual(self.ended(sup, first)["state"], "done")
        sup.shutdown()
        self.remount(path, "ro")
        sup.start()
        eventually(lambda: "ead-only" in sup.ctl("queue")[2], what="queue says that it is read-only")
        self.assertNotEqual(sup.ctl("submit", "w", "echo", "1")[0], 0)
        self.remount(path, "rw")
        number = eventually(lambda: sup.ctl("submit", "w", "echo", "2")[1].strip(), what="submit is accepted")
        self.assertEqual(self.ended(sup, int(number))["state"], "done")
        self.assertEqual(self.task(sup, first)["state"], "done")


    def test_full(self):
        sup, path = self.disk()
        sup.start()
        sup.wait_running()
        sup.ctl_ok("pause", "w")
        driver.fill(path + "/filler")
        large = json.dumps("x" * 100000)
        refusal = eventually(lambda: sup.ctl("submit", "w", "echo", large)[2], what="submit is refused")
        self.assertIn("disk full", refusal)
        for _ in range(5):
            self.assertIn("disk full", sup.ctl("submit", "w", "echo", large)[2])
        self.assertIn("disk full", json.loads(sup.ctl_ok("queue", "w", "--json"))[0]["store"])
        for command in (["info"], ["status"], ["why", "w:0"], ["queue"]):
            _status, out, err = sup.ctl(*command)
            self.assertIn("the task store is broken: disk full", out + err, command)
        self.assertRegex(sup.log(), r"error.*the task store is broken: disk full")
        os.unlink(path + "/filler")
        eventually(lambda: not sup.info()["notes"], what="info has nothing to note any more")
        self.assertEqual(sup.log().count("the task store is well again"), 1)
        sup.ctl_ok("resume", "w")
        self.assertEqual(self.ended(sup, self.submit(sup, "w", "echo", "1"))["state"], "done")


class Threads(test_queue.Queue):
    """status --threads."""

    def test_one_that_never_worked_is_idle_since_its_start(self):
        sup = self.fleet(w=test_queue.worker())
        eventually(lambda: any(t["for"] > 0.05 for t in json.loads(
            sup.ctl_ok("status", "--threads", "w", "--json"))), what="a while of idleness")

    def test_none_is_up(self):
        sup = self.fleet(plain='command = "@P/pause";', w=test_queue.worker())
        sup.ctl_ok("stop", "w")
        for target in ("w", "w:0", "plain"):
            status, out, err = sup.ctl("status", "--threads", target)
            self.assertEqual((status, out), (3, ""), err)
            self.assertIn("none of them is up and takes tasks", err)
        self.assertEqual(sup.ctl("status", "--threads", "nobody")[0], 4)


class Json(test_queue.Queue):
    def test_one_document_whatever_is_wrong_with_some(self):
        sup = self.fleet(w=test_queue.worker())
        sup.ctl_ok("pause", "w")
        number = self.submit(sup, "w", "echo")
        status, out, _ = sup.ctl("cancel", "999999", str(number), "x", str(number), "--json")
        told = [t.get("state") or t["error"]["code"] for t in json.loads(out)]
        self.assertEqual((status, told), (1, [4, "cancelled", 2, 1]))


class Bulk(test_queue.Queue):
    """submit WORKER FUNC -: a task for each line."""

    def test_good_lines_and_bad_ones(self):
        sup = self.fleet(w=test_queue.worker())
        large = '"%s"' % ("x" * (1 << 20))
        for bad, words in (("{bad", "not JSON"), (large, "too large")):
            status, out, err = sup.ctl("submit", "w", "echo", "-", stdin="1\n\n2\n%s\n3\n" % bad)
            self.assertEqual((status, len(out.split())), (2, 2), err)
            self.assertIn(words, err)
            self.assertIn("line 4", err)
            self.assertIn("2 accepted, 0 refused, then given up", err)
        self.assertEqual(len(json.loads(sup.ctl_ok("tasks", "--json"))), 4)


class Log(test_queue.Queue):
    def test_what_the_broker_says_is_in_the_log_file(self):
        sup = self.supervisord(
            test_queue.fleet(work=test_queue.worker()),
            master='log = { file = "@D/own.log"; };')
        sup.wait_running()
        number = self.submit(sup, "work", "echo", "1", "--delay=1h")
        sup.ctl_ok("cancel", str(number))
        path = os.path.join(sup.dir, "own.log")
        eventually(lambda: "task %d: cancelled by uid" % number in driver.read(path),
                   what="the broker's line in the log file")


class Refused(test_queue.Queue):
    def test_what_follows_goes_to_a_worker_too(self):
        sup = self.fleet(work=test_queue.worker(), plain='command = "@P/pause";')
        good = {"worker": "work", "func": "echo"}
        for name in ("nobody", "plain"):
            bad = {"worker": name, "func": "echo"}
            for then in (bad, [good, bad], dict(good, then=bad)):
                status, out, err = sup.ctl("submit", "work", "echo", "1", "--then", json.dumps(then))
                self.assertEqual((status, out), (4, ""), err)
                self.assertIn('"then": there is no worker "%s"' % name, err)
        bad = dict(good, func="nothing")
        for then in (bad, [good, bad], dict(good, then=bad)):
            status, out, err = sup.ctl("submit", "work", "echo", "1", "--then", json.dumps(then))
            self.assertEqual((status, out), (2, ""), err)
            self.assertIn('"then": work has no function "nothing"', err)
        with driver.Connection(os.path.join(sup.run_dir, "tasks.sock")) as c:
            for group, words in ((dict(tasks=[good], then=bad), '"then": work has no function "nothing"'),
                                 (dict(tasks=[good, bad]), 'work has no function "nothing"'),
                                 (dict(tasks=[dict(good, worker="nobody")]), 'there is no worker "nobody"')):
                with self.assertRaisesRegex(driver.RpcError, words):
                    c.call("submit.group", **group)
        self.assertEqual(json.loads(sup.ctl_ok("tasks", "--json")), [])
        self.submit(sup, "work", "echo", "1", "--then", json.dumps([good, good]))
