"""Replacing an instance of a hybrid worker costs no capacity: another one is up
before it is taken out, or comes at once when it takes no more tasks."""

import os
import signal

import driver
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

    # -- one that has tasks when it is to go

    HURRIED = 'stop_timeout = "200ms"; '

    def finishing(self, sup, name, why):
        """What `status` says of an instance that is to go, but not yet."""
        row, = sup.wait(lambda rows: [r["name"] for r in rows] == [name] and
                        "it finishes its tasks first" in rows[0]["reason"], [name], what=name + " finishes")
        self.assertEqual(row["state"], "RUNNING")
        self.assertIn(why, row["reason"])

    def done(self, sup, *numbers):
        for number in numbers:
            task = self.ended(sup, number)
            self.assertEqual((task["state"], task["attempts"]), ("done", 1))

    def aged(self):
        """w:0 is to be replaced, and has a task; w:1 does the others."""
        sup = self.fleet(w=worker(self.HURRIED + 'recycle: { max_age = "2s"; jitter = 0.0; };'))
        slow = self.submit(sup, "w", "mark", '{"for": 6}')
        self.finishing(sup, "w:0", "recycle.max_age")
        return sup, slow

    def test_recycle_waits_for_the_tasks(self):
        sup, slow = self.aged()
        pid = sup.pid("w:0")
        self.assertEqual(self.ended(sup, self.submit(sup, "w", "mark"))["instance"], "w:1")
        self.assertEqual(self.task(sup, slow)["state"], "running")
        self.done(sup, slow)
        sup.wait_other_pid("w:0", pid)
        self.assertIn("recycle.max_age", sup.ctl_ok("history", "w:0"))

    def test_whoever_is_killed_meanwhile(self):
        for kill in (lambda sup: sup.kill_master(), lambda sup: os.kill(self.broker(sup), signal.SIGKILL),
                     lambda sup: sup.ctl_ok("upgrade")):
            sup, slow = self.aged()
            pid = sup.pid("w:0")
            kill(sup)
            self.done(sup, slow)
            sup.wait_other_pid("w:0", pid)

    def test_a_user_does_not_wait_for_the_tasks(self):
        for command in ("stop", "restart"):
            sup, slow = self.aged()
            pid = sup.pid("w:0")
            sup.ctl_ok(command, "w:0")
            self.assertNotEqual(sup.pid("w:0"), pid)
            self.assertNotEqual(self.task(sup, slow)["state"], "done")

    def shrinking(self):
        """w:1 is to go, and has one of the two tasks."""
        sup = self.supervisord(test_queue.fleet(w=worker(
            self.HURRIED + 'autoscale: { max = 2; command = "/bin/cat @D/number"; interval = "200ms"; '
            "cooldown = 0; };")), start=False)
        driver.write(os.path.join(sup.dir, "number"), "2")
        sup.start()
        self.only(sup, "w:0", "w:1")
        slow = [self.submit(sup, "w", "mark", '{"for": 4}') for _ in range(2)]
        eventually(lambda: all(self.began(sup, number) for number in slow))
        driver.write(os.path.join(sup.dir, "number"), "1")
        self.finishing(sup, "w:1", "no longer one of the 1 wanted")
        return sup, slow

    def test_autoscale_waits_for_the_tasks(self):
        sup, slow = self.shrinking()
        self.done(sup, *slow)
        self.only(sup, "w:0")

    def test_one_that_is_wanted_again_stays(self):
        sup, slow = self.shrinking()
        pid = sup.pid("w:1")
        driver.write(os.path.join(sup.dir, "number"), "2")
        sup.wait(lambda rows: "finishes" not in rows[0]["reason"], ["w:1"])
        self.done(sup, *slow)
        new = [self.submit(sup, "w", "mark", '{"for": 0.5}') for _ in range(2)]
        self.assertEqual({self.ended(sup, number)["instance"] for number in new}, {"w:0", "w:1"})
        self.assertEqual(sup.pid("w:1"), pid)

    def test_a_stand_in_ends_its_task_before_it_goes(self):
        sup = self.fleet(w=worker(self.HURRIED + "threads = 2;", 'grace = "100ms"; sibling_grace = "300ms";'))
        bad = self.submit(sup, "w", "stubborn", "--timeout", "200ms")
        slow = self.submit(sup, "w", "mark", '{"for": 4}')
        self.only(sup, "w:0", "w:1")
        self.assertEqual(self.ended(sup, bad)["state"], "failed")
        self.assertEqual(self.ended(sup, slow)["state"], "done")
        # Uncharged, its process was killed under it; and not once more.
        self.assertEqual(len(self.began(sup, slow)), 2)
        self.only(sup, "w:0")

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
