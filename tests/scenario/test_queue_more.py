"""More of the task queue as its users meet it: what one bad task may not do to
a worker, where the broker's own words go, what is refused."""

import json
import os

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
                self.assertIn('"then"', err)
        self.assertEqual(json.loads(sup.ctl_ok("tasks", "--json")), [])
        self.submit(sup, "work", "echo", "1", "--then", json.dumps([good, good]))
