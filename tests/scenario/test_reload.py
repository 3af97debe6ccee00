"""Reload: a plan first, then exactly what is needed."""

import os
import signal

import driver
from driver import fleet


def actions(plan):
    return {row["worker"]: row["action"] for row in plan["plan"]}


class Reload(driver.Case):
    def test_added_removed_restarted_and_kept(self):
        keep = 'command = "@P/pause"; processes = 2;'
        sup = self.supervisord(fleet(keep=keep, gone='command = "@P/pause";',
                                     other='command = "@P/pause";'))
        sup.wait_running()
        before = sup.pids()
        sup.configure(fleet(keep=keep, other='command = "@P/pause again";', fresh='command = "@P/pause";'))
        plan = sup.rpc("reload")
        self.assertTrue(plan["applied"])
        self.assertEqual(actions(plan), {"keep": "kept", "gone": "removed", "other": "restarted",
                                         "fresh": "added"})
        sup.wait_running()
        after = sup.pids()
        self.assertEqual(sorted(after), ["fresh:0", "keep:0", "keep:1", "other:0"])
        self.assertEqual([after[n] for n in ("keep:0", "keep:1")],
                         [before[n] for n in ("keep:0", "keep:1")])
        self.assertNotEqual(after["other:0"], before["other:0"])
        self.assert_dead(before["gone:0"])
        self.assert_dead(before["other:0"])

    def test_the_command_shows_the_plan(self):
        sup = self.supervisord(fleet(a='command = "@P/pause";', b='command = "@P/pause";'))
        sup.wait_running()
        sup.configure(fleet(a='command = "@P/pause x";', c='command = "@P/pause";'))
        out = sup.ctl_ok("reload", "--dry-run")
        for words in ("a", "restarted", "command", "b", "removed", "c", "added"):
            self.assertIn(words, out)
        self.assertEqual(sorted(sup.pids()), ["a:0", "b:0"])
        sup.ctl_ok("reload")
        sup.wait_running("c")
        plan = sup.ctl_json("reload")
        self.assertIn("kept", str(plan))

    def test_dry_run_changes_nothing(self):
        sup = self.supervisord(fleet(a='command = "@P/pause";'))
        sup.wait_running()
        before = sup.pids()
        sup.configure(fleet(a='command = "@P/pause x";', b='command = "@P/pause";'))
        plan = sup.rpc("reload", dry_run=True)
        self.assertFalse(plan["applied"])
        self.assertEqual(actions(plan), {"a": "restarted", "b": "added"})
        self.assertEqual(sup.pids(), before)

    def test_hup_reloads(self):
        sup = self.supervisord(fleet(a='command = "@P/pause";'))
        sup.wait_running()
        pid = sup.pid("a:0")
        sup.configure(fleet(a='command = "@P/pause";', b='command = "@P/pause";'))
        os.kill(sup.guardian(), signal.SIGHUP)
        sup.wait(lambda rows: len(rows) == 2 and rows[1]["state"] == "RUNNING")
        self.assertEqual(sup.pid("a:0"), pid)

    def test_an_invalid_config_changes_nothing_and_says_why(self):
        sup = self.supervisord(fleet(a='command = "@P/pause";', b='command = "@P/pause";'))
        sup.wait_running()
        before = sup.pids()
        sup.configure(fleet(a='command = "@P/pause x"; proceses = 3;', c='comand = "x";'))
        status, out, err = sup.ctl("reload")
        self.assertEqual(status, 2, out + err)
        self.assertRegex(err, r"fleet\.cfg:\d+: workers\.a\.proceses: unknown setting \(did you mean \"processes\"\?\)")
        self.assertRegex(err, r"fleet\.cfg:\d+: .*comand")
        self.assertEqual(sup.pids(), before)
        sup.configure(fleet(a='command = "@P/pause x"; umsk = "022";'))
        os.kill(sup.guardian(), signal.SIGHUP)
        sup.wait_log(r"umsk: unknown setting")
        self.assertEqual(sup.pids(), before)
        driver.write(sup.config_path, "")
        status, out, err = sup.ctl("reload")
        self.assertEqual(status, 2, out + err)
        self.assertIn("empty", err)
        sup.configure("workers: {")
        self.assertEqual(sup.ctl("reload")[0], 2)
        os.unlink(sup.config_path)
        self.assertNotEqual(sup.ctl("reload")[0], 0)
        self.assertEqual(sup.pids(), before)

    def test_what_can_change_live_restarts_nothing(self):
        sup = self.supervisord(fleet(a='command = "@P/ignores-term"; stop_timeout = "1h";', b='command = "@P/pause";'))
        sup.wait_running()
        sup.wait_stdout("a:0", "^ready")
        before = sup.pids()
        sup.configure(fleet(a="""
            command = "@P/ignores-term"; stop_timeout = "200ms"; restart = "never"; exit_codes = [ 0, 1 ];
            start_retries = 9; backoff: { initial = "1s"; }; stop_scope = "group"; autostart = false;
            stdout: { max_size = "1M"; keep = 2; compress = true; };""",
                            b='command = "@P/pause"; stdout = "@D/elsewhere.log";'))
        self.assertEqual(actions(sup.rpc("reload")), {"a": "changed", "b": "changed"})
        self.assertEqual(sup.pids(), before)
        os.kill(before["b:0"], signal.SIGUSR1)
        sup.ctl_ok("stop", "a", timeout=20) # the new stop_timeout

    def test_a_log_path_changes_under_a_running_instance(self):
        sup = self.supervisord(fleet(a='command = "@P/floods 0 10";'))
        sup.wait_stdout("a:0", "^line 5$")
        pid = sup.pid("a:0")
        sup.configure(fleet(a='command = "@P/floods 0 10"; stdout = "@D/elsewhere.log";'))
        sup.rpc("reload")
        path = sup.dir + "/elsewhere.log"
        driver.eventually(lambda: os.path.exists(path) and len(driver.read(path).splitlines()) > 20)
        self.assertEqual(sup.pid("a:0"), pid)
        old = [l for l in sup.stdout_of("a:0").splitlines() if l.startswith("line")]
        new = [l for l in driver.read(path).splitlines() if l.startswith("line")][:-1]
        self.assertEqual(old + new, ["line %d" % i for i in range(len(old) + len(new))])

    def test_processes_up_and_down(self):
        sup = self.supervisord(fleet(a='command = "@P/pause"; processes = 3;'))
        sup.wait_running()
        before = sup.pids()
        sup.configure(fleet(a='command = "@P/pause"; processes = 5;'))
        self.assertEqual(actions(sup.rpc("reload")), {"a": "changed"})
        sup.wait(lambda rows: len(rows) == 5 and all(r["state"] == "RUNNING" for r in rows))
        five = sup.pids()
        self.assertEqual({n: five[n] for n in before}, before)
        sup.configure(fleet(a='command = "@P/pause"; processes = 2;'))
        sup.rpc("reload")
        sup.wait(lambda rows: len(rows) == 2)
        self.assertEqual(sup.pids(), {n: before[n] for n in ("a:0", "a:1")})
        for name in ("a:2", "a:3", "a:4"):
            driver.gone(five[name])

    def test_a_worker_the_user_stopped_stays_stopped(self):
        sup = self.supervisord(fleet(a='command = "@P/pause";', b='command = "@P/pause";'))
        sup.wait_running()
        sup.ctl_ok("stop", "a")
        sup.configure(fleet(a='command = "@P/pause x"; stop_timeout = "1s";', b='command = "@P/pause";'))
        sup.rpc("reload")
        sup.ctl_ok("reload")
        self.assertEqual(sup.one("a:0")["state"], "STOPPED")
        sup.ctl_ok("start", "a")
        command = driver.read("/proc/%d/cmdline" % sup.pid("a:0"))
        self.assertEqual(command.split("\0")[1], "x", "it starts as the new config says")

    def test_a_restarted_worker_in_fatal_or_backoff_gets_its_chance(self):
        sup = self.supervisord(fleet(a='command = "@P/exits 1"; start_retries = 0; start_seconds = "1s";'))
        sup.wait_state("a", "FATAL")
        sup.configure(fleet(a='command = "@P/pause"; start_retries = 0; start_seconds = "50ms";'))
        sup.rpc("reload")
        sup.wait_running("a")

    def test_a_new_master_runs_the_config_that_was_loaded(self):
        sup = self.supervisord(fleet(a='command = "@P/pause"; processes = 2;'))
        sup.wait_running()
        before = sup.pids()
        sup.configure(fleet(a='command = "@P/pause other"; proceses = 9;'))
        sup.kill_master()
        self.assertEqual(sup.pids(), before)
        os.unlink(sup.config_path)
        sup.kill_master()
        self.assertEqual(sup.pids(), before)

    def test_what_only_a_restart_can_change_is_said(self):
        sup = self.supervisord(fleet(a='command = "@P/pause";'), top='control: { mode = "0600"; };')
        sup.wait_running()
        sup.top = 'control: { mode = "0666"; };'
        sup.configure(fleet(a='command = "@P/pause";'))
        self.assertIn("control.mode", sup.rpc("reload")["fixed"])

    def test_reloads_in_a_row_do_not_leak(self):
        sup = self.supervisord(fleet(a='command = "@P/pause"; processes = 3;'))
        sup.wait_running()
        pids, info = sup.pids(), sup.info()
        used = lambda: {w: len(os.listdir("/proc/%d/fd" % info[w])) for w in ("pid", "master_pid", "logger_pid")}
        before = used()
        for turn in range(5):
            sup.configure(fleet(a='command = "@P/pause"; processes = 3;',
                                **{"b%d" % turn: 'command = "@P/pause"; processes = 100;'}))
            sup.rpc("reload")
            sup.wait(lambda rows: len(rows) == 103 and rows[-1]["state"] == "RUNNING")
        sup.configure(fleet(a='command = "@P/pause"; processes = 3;'))
        sup.rpc("reload")
        sup.wait(lambda rows: len(rows) == 3)
        self.assertEqual(sup.pids(), pids)
        # The guardian looks for pipes that nobody holds once 64 have gathered.
        driver.eventually(lambda: all(n <= before[w] + 70 for w, n in used().items()),
                          what="descriptors are given back (%s, now %s)" % (before, used()))
