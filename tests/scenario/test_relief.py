"""Replacing an instance of a hybrid worker costs no capacity: another one is up
before it is taken out, or comes at once when it takes no more tasks."""

import os
import signal

import test_queue
from driver import eventually
from test_queue import worker


class Relief(test_queue.Queue):
    def fewest(self, sup, most):
        """The fewest that ran at a time, from when `most` did for the first time."""
        up, least = set(), None
        for event in sup.rpc("events", targets=[]):
            if not (event["name"] or "").startswith("w:"):
                continue
            if event["to"] == "RUNNING":
                up.add(event["name"])
            elif event["from"] == "RUNNING":
                up.discard(event["name"])
            if least is not None or len(up) == most:
                least = min(least if least is not None else most, len(up))
        return least

    def only(self, sup, *names):
        """These run, and there are no others."""
        return sup.wait(lambda rows: [r["name"] for r in rows] == list(names) and
                        all(r["state"] == "RUNNING" for r in rows), ["w"], what="only " + " ".join(names))

    def test_recycled_by_tasks(self):
        sup = self.fleet(w=worker("processes = 2; recycle: { max_tasks = 5; jitter = 0.0; };"))
        before = sup.pids()
        numbers = [self.submit(sup, "w", "mark", '{"for": 0.05}') for _ in range(30)]
        for number in numbers:
            self.assertEqual(self.ended(sup, number)["attempts"], 1)
        eventually(lambda: all(sup.pids().get(name) not in (None, pid) for name, pid in before.items()))
        self.only(sup, "w:0", "w:1")
        self.assertEqual(self.fewest(sup, 2), 2)
        told = [e for e in sup.rpc("events") if e["name"] == "w:2" and e["to"] == "STARTING"]
        self.assertEqual(told[0]["reason"], "stands in while others are replaced")
        self.assertIn("recycle.max_tasks", sup.ctl_ok("why", "w:0"))

    def test_recycled_by_age(self):
        sup = self.fleet(w=worker('recycle: { max_age = "1s"; jitter = 0.0; };'))
        first = sup.pid("w:0")
        second = sup.wait_other_pid("w:0", first)
        sup.wait_other_pid("w:0", second)
        self.assertEqual(self.fewest(sup, 1), 1)

    def test_one_that_can_not_be_started_holds_up_nothing(self):
        # The second process of all fails, with whatever index.
        once = ("import os, sys; os.path.exists(sys.argv[2]) and not os.path.exists(sys.argv[3]) "
                "and (open(sys.argv[3], 'w'), sys.exit(1)); open(sys.argv[2], 'w'); "
                "os.execv(sys.executable, [sys.executable, sys.argv[1], sys.argv[4]])")
        sup = self.fleet(
            w='command = [ "/usr/bin/python3", "-c", "%s", "%s", "@D/one", "@D/two", "@D/ledger" ]; %s '
              'recycle: { max_tasks = 2; }; tasks: { };'
              % (once, os.path.join(os.path.dirname(__file__), "task_worker.py"), test_queue.QUICK))
        first = sup.pid("w:0")
        for _ in range(3):
            self.ended(sup, self.submit(sup, "w", "mark"))
        sup.wait_other_pid("w:0", first)
        self.only(sup, "w:0")
        self.assertTrue(os.path.exists(os.path.join(sup.dir, "two")))

    # -- one that waits for its end

    def stuck(self):
        """w:0 has a task that does not end, and one that takes its time; w:1
        is there for it. What the second is waited for by."""
        sup = self.fleet(w=worker("threads = 2;", 'grace = "100ms"; sibling_grace = "1h";'))
        slow = self.submit(sup, "w", "mark", '{"for": 4}')
        bad = self.submit(sup, "w", "stubborn", "--timeout", "200ms")
        eventually(lambda: self.began(sup, slow) and self.began(sup, bad))
        self.only(sup, "w:0", "w:1")
        return sup, slow, bad

    def ends(self, sup, slow, bad):
        """And is not missed: tasks are run meanwhile, and all have their end."""
        task = self.ended(sup, self.submit(sup, "w", "mark"))
        self.assertEqual((task["state"], task["attempts"]), ("done", 1))
        self.assertEqual(self.task(sup, slow)["state"], "running")
        task = self.ended(sup, slow)
        self.assertEqual((task["state"], task["attempts"]), ("done", 1))
        self.assertEqual(self.ended(sup, bad)["state"], "failed")
        self.only(sup, "w:0")

    def test_another_takes_the_tasks_meanwhile(self):
        sup, slow, bad = self.stuck()
        self.ends(sup, slow, bad)

    def test_and_does_not_stay_if_it_ends_after_all(self):
        sup = self.fleet(w=worker("threads = 2;", 'grace = "100ms"; sibling_grace = "1h";'))
        slow = self.submit(sup, "w", "mark", '{"for": 4}')
        late = self.submit(sup, "w", "mark", '{"for": 1.5}', "--timeout", "200ms")
        eventually(lambda: self.began(sup, slow) and self.began(sup, late))
        pid = sup.pid("w:0")
        self.only(sup, "w:0", "w:1")
        self.ended(sup, late)
        self.only(sup, "w:0")
        self.assertEqual(self.ended(sup, slow)["state"], "done")
        self.assertEqual(sup.pid("w:0"), pid)

    def test_a_kill_of_the_master_changes_nothing(self):
        sup, slow, bad = self.stuck()
        pid = sup.pid("w:1")
        sup.kill_master()
        self.assertEqual(sup.pid("w:1"), pid)
        self.ends(sup, slow, bad)

    def test_a_kill_of_the_broker_changes_nothing(self):
        sup, slow, bad = self.stuck()
        os.kill(self.broker(sup), signal.SIGKILL)
        self.ends(sup, slow, bad)

    def test_an_upgrade_changes_nothing(self):
        sup, slow, bad = self.stuck()
        sup.ctl_ok("upgrade")
        self.ends(sup, slow, bad)

    def test_a_kill_of_the_guardian_leaves_nobody_behind(self):
        sup, _slow, _bad = self.stuck()
        pid = sup.pid("w:1")
        sup.kill_guardian()
        sup.start()
        self.only(sup, "w:0")
        self.assert_dead(pid)

    def test_a_reload_and_a_stop_end_it(self):
        sup, _slow, _bad = self.stuck()
        sup.ctl_ok("scale", "w", "2")
        sup.wait(lambda rows: len(rows) == 3, ["w"])  # w:1 is one of them now
        sup.ctl_ok("stop", "w")
        sup.wait(lambda rows: [(r["name"], r["state"]) for r in rows] ==
                 [("w:0", "STOPPED"), ("w:1", "STOPPED")], ["w"])
        sup.configure(test_queue.fleet(v=worker()))
        sup.rpc("reload")
        sup.wait(lambda rows: [r["name"] for r in rows] == ["v:0"])
