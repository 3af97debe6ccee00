"""A config as PID 1 of a container (a pid namespace is enough of one)."""

import os
import signal
import subprocess

import driver
from driver import fleet

UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


class Pid1(driver.Case):
    def setUp(self):
        done = subprocess.run(UNSHARE + ["true"], stderr=subprocess.PIPE, check=False, text=True)
        if done.returncode != 0:
            self.skipTest("no pid namespaces here: " + done.stderr.strip())

    def container(self, config, **options):
        sup = self.supervisord(config, wrap=UNSHARE, **options)
        self.pid1 = driver.eventually(lambda: next(iter(
            p for p, _ in driver.children_map().get(sup.command_pid, ())), None))
        self.assertEqual(sup.info()["pid"], 1)
        return sup

    def inside(self, name):
        return [p for p in driver.descendants(self.pid1) if driver.comm(p) == name]

    def zombies(self):
        everybody = driver.descendants(self.pid1, zombies=True)
        return [p for p in everybody if not driver.alive(p)]

    def test_output_goes_to_the_containers(self):
        sup = self.container(fleet(web='command = "@P/floods 20"; stderr = "stdout";'))
        driver.eventually(lambda: "line 19\n" in sup.log())

    def test_zombies_are_reaped(self):
        sup = self.container(fleet(web='command = [ "/bin/sh", "-c", "for i in 1 2 3 4 5; do (true &) ; done; exec @P/pause" ];'))
        sup.wait_running()
        driver.eventually(lambda: not self.zombies() or None)

    def test_term_ends_it_with_zero(self):
        sup = self.container(fleet(web='command = "@P/pause"; processes = 3;', away='command = "@P/forks-away @D/pids stay";'))
        sup.wait_running()
        os.kill(self.pid1, signal.SIGTERM)
        self.assertEqual(sup.wait_end(), 0)

    def test_exit_with(self):
        sup = self.container(fleet(web='command = "@P/exits 9 1500"; restart = "never";', other='command = "@P/pause";'),
                             master='exit_with = "web";')
        self.assertEqual(sup.wait_end(), 9)

    def test_a_killed_master_and_logger_come_back(self):
        sup = self.container(fleet(web='command = "@P/pause"; processes = 3; stdout = "@D/web.log";'))
        sup.wait_running()
        pids = sup.pids()
        for name in ("master", "logger", "master"):
            old = self.inside(name)[0]
            os.kill(old, signal.SIGKILL)
            driver.eventually(lambda: self.inside(name) not in ([], [old]))
            sup.wait_up()
        self.assertEqual(sup.pids(), pids)
        self.assertEqual(driver.eventually(lambda: not self.zombies()), True)

    def test_tree_ends_daemons_here_too(self):
        sup = self.container(fleet(web='command = "@P/forks-away @D/pids stay deaf bare"; stop_timeout = "300ms";'))
        sup.wait_running()
        sup.wait_pids("pids", 1)
        self.assertEqual(len(self.inside("forks-away") + self.inside("exe")), 2)
        sup.ctl_ok("stop", "web")
        self.assertEqual(len(self.inside("forks-away") + self.inside("exe")), 0)
