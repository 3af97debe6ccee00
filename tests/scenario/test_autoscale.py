"""Workers whose number of instances follows their use of CPU, or a command."""

import json
import os
import re
import sys

import driver
from driver import eventually, fleet

QUICK = 'interval = "150ms"; cooldown = "150ms";'

# Uses what it can get while the file is there.
BURN = """
import os, sys, threading, time
idle = threading.Event().wait
while True:
    if os.path.exists(sys.argv[1]):
        end = time.monotonic() + 0.05
        while time.monotonic() < end:
            pass
    else:
        idle(0.02)
"""


def reasons(sup, worker="w"):
    """What autoscale has said, oldest first."""
    return [e["reason"] for e in sup.rpc("events", targets=[worker]) if e["kind"] == "scale"]


class Scale(driver.Case):
    def count(self, sup, n, worker="w"):
        sup.wait(lambda rows: len(rows) == n and all(r["state"] == "RUNNING" for r in rows), [worker],
                 what="%d of %s" % (n, worker))

    def number(self, sup, text):
        # In one step: a command must not find half of it.
        path = os.path.join(sup.dir, "number")
        driver.write(path + ".new", text)
        os.rename(path + ".new", path)


class Cpu(Scale):
    def test_a_plain_worker_grows_and_shrinks(self):
        sup = self.supervisord(fleet(
            w='command = [ "%s", "-c", %s, "@D/burn" ]; autoscale: { max = 3; cpu = 15; %s };'
              % (sys.executable, json.dumps(BURN), QUICK)))
        self.count(sup, 1)
        first = sup.pid("w:0")
        driver.write(os.path.join(sup.dir, "burn"), "")
        self.count(sup, 3)
        self.assertRegex(reasons(sup)[0], r"^autoscale: from 1 to 2: each uses \d+% of a core, more than 15% \(cpu\)$")
        self.assertRegex(sup.ctl_ok("why", "w:0"), r"autoscale: from \d to 3: each uses \d+% .* ago")
        os.unlink(os.path.join(sup.dir, "burn"))
        self.count(sup, 1)
        self.assertEqual(sup.pid("w:0"), first)
        self.assertRegex(reasons(sup)[-1], r"from 2 to 1: each uses \d+% of a core, so one fewer is enough for 15%")
        # It is at rest now.
        said = reasons(sup)
        driver.let_pass(0.8)
        self.assertEqual(reasons(sup), said)
        stopped = [e for e in sup.rpc("events") if e["name"] == "w:2" and e["to"] == "STOPPING"]
        self.assertEqual(stopped[0]["reason"], "no longer one of the 2 wanted")

    def test_a_hybrid_one_does_so_by_what_its_tasks_use(self):
        burn = "touch @D/begun; while [ -e @D/burn ]; do :; done"
        sup = self.supervisord(fleet(
            # On a busy machine they may use little for a while, and one is drained.
            w='command = [ "/bin/sh", "-c", "%s" ]; stop_timeout = "60s"; tasks: { mode = "exec"; };'
              'autoscale: { max = 3; cpu = 15; %s };' % (burn, QUICK)))
        self.count(sup, 1)
        driver.write(os.path.join(sup.dir, "burn"), "")
        for _ in range(3):
            sup.ctl_ok("submit", "w", "burn")
        self.count(sup, 3)
        os.unlink(os.path.join(sup.dir, "burn"))
        self.count(sup, 1)
        tasks = sup.rpc("tasks", worker="w")
        self.assertEqual({(t["state"], t["attempts"]) for t in tasks}, {("done", 1)})


class Command(Scale):
    # A run may take a while on a machine that is busy.
    CAT = 'command = "/bin/cat @D/number"; interval = "500ms"; cooldown = 0;'

    def worker(self, autoscale=CAT, settings=""):
        return 'command = "@P/pause"; %s autoscale: { max = 4; %s };' % (settings, autoscale)

    def failure(self, sup, pattern):
        """The one event that tells of it."""
        def told():
            return [r for r in reasons(sup) if re.search(pattern, r)]
        eventually(told, what=pattern)
        eventually(lambda: re.search("autoscale: .*" + pattern, sup.ctl_ok("why", "w:0")))
        driver.let_pass(1.1)
        self.assertEqual(len(told()), 1, reasons(sup))

    def test_the_number_follows_what_it_prints(self):
        sup = self.supervisord(fleet(w=self.worker()), start=False)
        self.number(sup, "3\n")
        sup.start()
        self.count(sup, 3)
        self.assertEqual(reasons(sup), ["autoscale: from 1 to 3: its command says so"])
        self.number(sup, " 2 \nthe rest is for people\n")
        self.count(sup, 2)
        self.number(sup, "100\n")
        self.count(sup, 4)
        self.assertIn("from 2 to 4: its command says 100, but max is 4", reasons(sup)[-1])
        self.number(sup, "0\n")
        self.count(sup, 1)
        self.assertIn("from 4 to 1: its command says 0, but min is 1", reasons(sup)[-1])

    def test_what_goes_wrong_is_said_once_and_changes_nothing(self):
        sup = self.supervisord(fleet(w=self.worker()), start=False)
        self.number(sup, "2\n")
        sup.start()
        self.count(sup, 2)
        before = sup.pids()
        self.number(sup, "many\n")
        self.failure(sup, 'printed "many", which is not a number; the number stays 2')
        os.unlink(os.path.join(sup.dir, "number"))
        eventually(lambda: "exited 1: " in sup.ctl_ok("why", "w:0"))
        self.assertEqual(sup.pids(), before)
        self.number(sup, "3\n")
        self.count(sup, 3)
        self.assertIn("its command works again", reasons(sup))
        self.assertNotIn("exited 1", sup.ctl_ok("why", "w:0"))

    def test_one_that_is_missing(self):
        sup = self.supervisord(fleet(w=self.worker('command = "/no/such/program"; interval = "500ms";')))
        self.failure(sup, "its command can't be run: No such file or directory; the number stays 1")

    def test_one_that_hangs_is_killed_with_what_it_started(self):
        hang = "setsid sleep 600 & echo $! >>@D/pids; echo $$ >>@D/pids; while :; do sleep 1; done"
        sup = self.supervisord(fleet(
            w=self.worker('command = [ "/bin/sh", "-c", "%s" ]; interval = "400ms"; cooldown = 0;' % hang)))
        pids = sup.wait_pids(os.path.join(sup.dir, "pids"), 2)[:2]
        self.failure(sup, "did not end within 400ms; the number stays 1")
        for pid in pids:
            self.assert_dead(pid)
        # It is tried again all the same.
        sup.wait_pids(os.path.join(sup.dir, "pids"), 6)

    def test_one_that_writes_without_end_is_killed(self):
        sup = self.supervisord(fleet(w=self.worker('command = "/usr/bin/yes"; interval = "300ms"; cooldown = 0;')))
        self.failure(sup, "did not end within 300ms")

    def test_a_users_word_counts(self):
        sup = self.supervisord(fleet(w=self.worker()), start=False)
        self.number(sup, "2\n")
        sup.start()
        self.count(sup, 2)
        sup.ctl_ok("stop", "w")
        self.number(sup, "4\n")
        driver.let_pass(1.1)
        self.assertEqual([r["state"] for r in sup.status("w")], ["STOPPED", "STOPPED"])
        sup.ctl_ok("start", "w")
        self.count(sup, 4)
        sup.ctl_ok("scale", "w", "0")
        driver.let_pass(1.1)
        self.assertEqual(sup.status("w"), [])

    def test_it_outlives_the_master_and_an_upgrade(self):
        # Slow enough that the master is killed while it runs.
        slow = "echo $$ >>@D/runs; sleep 0.2; cat @D/number"
        sup = self.supervisord(fleet(
            w=self.worker('command = [ "/bin/sh", "-c", "%s" ]; interval = "300ms"; cooldown = 0;' % slow)),
            start=False)
        self.number(sup, "2\n")
        sup.start()
        self.count(sup, 2)
        before = sup.pids()
        runs = os.path.join(sup.dir, "runs")
        for _ in range(3):
            sup.wait_pids(runs, len(driver.read_pids(runs)) + 1)
            sup.kill_master()
        sup.wait_pids(runs, len(driver.read_pids(runs)) + 1)
        sup.ctl_ok("upgrade")
        self.assertEqual(sup.pids(), before)
        self.number(sup, "3\n")
        self.count(sup, 3)
        self.assertEqual({n: p for n, p in sup.pids().items() if n in before}, before)
        # Nothing of a run that was cut short is left.
        for pid in driver.read_pids(runs)[:-1]:
            eventually(lambda: not driver.alive(pid), what="the end of %d" % pid)
        self.assertEqual(sup.status("w")[0]["restarts"], 0)

    def test_a_reload_changes_how_it_is_done(self):
        sup = self.supervisord(fleet(w=self.worker()), start=False)
        self.number(sup, "3\n")
        sup.start()
        self.count(sup, 3)
        before = sup.pids()
        sup.configure(fleet(w=self.worker('command = "/bin/echo 2"; interval = "500ms";')))
        plan = sup.rpc("reload")["plan"]
        self.assertEqual([(p["action"], p["settings"]) for p in plan], [("changed", "autoscale")])
        self.count(sup, 2)
        self.assertEqual(sup.pid("w:0"), before["w:0"])
        sup.configure(fleet(w='command = "@P/pause";'))
        sup.rpc("reload")
        self.count(sup, 1)
        self.assertEqual(sup.pids(), {"w:0": before["w:0"]})
        self.assertNotIn("autoscale", sup.ctl_ok("why", "w:0"))
        sup.configure("workers: {};")
        sup.rpc("reload")
        sup.wait(lambda rows: not rows)
