"""A large fleet: the limits of the machine, and answers that stay quick."""

import os
import resource
import signal
import time

import driver
from driver import fleet

SIZE = 10000 if driver.LONG else 1000


class Size(driver.Case):
    timeout = 170
    weight = 90

    def setUp(self):
        maximum = int(driver.read("/proc/sys/kernel/pid_max"))
        if maximum < 2 * SIZE:
            self.skipTest("kernel.pid_max is %d" % maximum)

    def big(self, extra="", size=SIZE, **options):
        sup = self.supervisord(fleet(web='command = "@P/pause"; start_seconds = "0s"; processes = %d; %s' % (
            size, extra)), **options)
        sup.wait(lambda rows: len(rows) == size and all(r["state"] == "RUNNING" for r in rows), deadline=60)
        return sup

    def test_all_logged_and_each_process_within_twice_as_many_descriptors(self):
        hard = 2 * SIZE

        def less():
            resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
        sup = self.big(preexec=less)
        info = sup.info()
        self.assertEqual((info["instances"], info["running"]), (SIZE, SIZE))
        for who in ("pid", "master_pid", "logger_pid"):
            pid = info[who]
            used = len(os.listdir("/proc/%d/fd" % pid))
            self.assertLess(used, 1.2 * SIZE + 300, driver.comm(pid))
        worker = sup.pid("web:%d" % (SIZE - 1))
        self.assertEqual(resource.prlimit(worker, resource.RLIMIT_NOFILE), (1024, hard),
                         "workers get what supervisord was given")
        began = time.monotonic()
        sup.ctl_ok("status")
        took = time.monotonic() - began
        self.assertLess(took, 4.0 if driver.SANITIZED else 0.5)
        self.kill_many(sup)
        sup.kill_master()
        self.assertEqual(len(set(sup.pids().values()) - {None}), SIZE)
        self.assertEqual(sup.shutdown(deadline=90), 0)
        sup.wait_empty()

    def kill_many(self, sup):
        """All at once; each comes back once, each exit is told once."""
        before = sup.pids()
        for pid in before.values():
            os.kill(pid, signal.SIGUSR1)
        sup.wait(lambda rows: all(r["state"] == "RUNNING" and r["restarts"] == 1 for r in rows), deadline=60)
        rows = sup.wait_db("select name, pid from exits", rows=SIZE, deadline=40)
        self.assertEqual(sorted((r["name"], r["pid"]) for r in rows), sorted(before.items()))

    def test_more_than_the_descriptors_allow_is_said(self):
        size = 400

        def less():
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, 300))
        sup = self.supervisord(fleet(web='command = "@P/pause"; start_seconds = "0s"; processes = %d;' % size),
                               preexec=less)
        rows = sup.wait(lambda rows: any("escriptor" in (r["reason"] or "") or "open files" in (r["reason"] or "")
                                         for r in rows), deadline=30)
        self.assertEqual(len(rows), size)
        running = [r for r in sup.status() if r["state"] == "RUNNING"]
        self.assertGreater(len(running), 100)
        self.assertEqual(len(sup.status()), size)
        sup.kill_master()
        self.assertEqual(sup.shutdown(), 0)
        sup.wait_empty()
