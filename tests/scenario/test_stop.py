"""Stopping: the ladder, what a scope reaches, signals, the end of supervisord."""

import os
import signal
import time

import driver
from driver import fleet


class Ladder(driver.Case):
    def test_term_is_enough_for_most(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 2;'))
        sup.wait_running()
        before = sup.pids()
        sup.ctl_ok("stop", "web:0")
        row = sup.one("web:0")
        self.assertEqual((row["state"], row["pid"]), ("STOPPED", None))
        self.assert_dead(before["web:0"])
        self.assertEqual(sup.pid("web:1"), before["web:1"])
        exits = sup.wait_db("select * from exits")
        self.assertIn("SIGTERM", exits[0]["cause"])

    def test_what_ignores_term_is_killed_after_the_timeout(self):
        sup = self.supervisord(fleet(web='command = "@P/ignores-term"; stop_timeout = "400ms";'))
        sup.wait_running()
        sup.wait_stdout("web:0", "^ready")
        pid, began = sup.pid("web:0"), time.monotonic()
        sup.ctl_ok("stop", "web")
        self.assertGreater(time.monotonic() - began, 0.35)
        self.assert_dead(pid)
        self.assertIn("SIGKILL", sup.wait_db("select * from exits")[0]["cause"])

    def test_a_ladder_is_climbed_rung_by_rung(self):
        sup = self.supervisord(fleet(
            web='command = "@P/ignores-term 10 12 15"; stop = [ "USR1 200ms", "USR2 200ms", "TERM 200ms", "KILL" ];'))
        sup.wait_stdout("web:0", "^ready")
        sup.wait_running()
        began = time.monotonic()
        sup.ctl_ok("stop", "web")
        self.assertGreater(time.monotonic() - began, 0.55)
        sup.wait_stdout("web:0", "ready\nignored 10\nignored 12\nignored 15\n")

    def test_another_stop_signal(self):
        sup = self.supervisord(fleet(web='command = "@P/ignores-term 15"; stop_signal = "INT";'))
        sup.wait_stdout("web:0", "^ready")
        sup.wait_running()
        sup.ctl_ok("stop", "web")
        self.assertIn("SIGINT", sup.wait_db("select * from exits")[0]["cause"])

    def test_time_is_given_to_one_that_takes_it(self):
        sup = self.supervisord(fleet(web='command = "@P/slow-stop 500"; stop_timeout = "20s";'))
        sup.wait_stdout("web:0", "^ready")
        sup.wait_running()
        sup.ctl_ok("stop", "web")
        exits = sup.wait_db("select * from exits")
        self.assertEqual(exits[0]["code"], 0)

    def test_starting_while_stopping_starts_after_it(self):
        sup = self.supervisord(fleet(web='command = "@P/slow-stop 400";'))
        sup.wait_stdout("web:0", "^ready")
        sup.wait_running()
        pid = sup.pid("web:0")
        sup.ctl_ok("stop", "--no-wait", "web")
        sup.wait_state("web", "STOPPING")
        sup.ctl_ok("start", "web")
        self.assertNotEqual(sup.pid("web:0"), pid)
        self.assert_dead(pid)

    def test_what_is_stopped_stays_stopped(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; restart = "always";'))
        sup.wait_running()
        sup.ctl_ok("stop", "web")
        driver.let_pass(0.3)
        self.assertEqual(sup.one("web:0")["state"], "STOPPED")
        status, out, _ = sup.ctl("stop", "web")
        self.assertEqual(status, 0, out)


class Scope(driver.Case):
    def fleet_with(self, command, count, scope="tree", extra=""):
        sup = self.supervisord(fleet(web='command = "%s"; stop_scope = "%s"; stop_timeout = "500ms"; %s' % (
            command, scope, extra)))
        sup.wait_running()
        return sup, sup.wait_pids("pids", count)

    def assert_all_dead(self, sup, pids):
        for pid in pids + driver.read_pids(sup.dir + "/pids"):
            self.assert_dead(pid)

    def test_tree_ends_children_and_grandchildren(self):
        sup, pids = self.fleet_with("@P/spawner @D/pids 3", 7)
        sup.ctl_ok("stop", "web")
        self.assert_all_dead(sup, pids)

    def test_tree_ends_grandchildren_that_ignore_term(self):
        sup, pids = self.fleet_with("@P/spawner @D/pids 3 deaf", 7)
        sup.ctl_ok("stop", "web")
        self.assert_all_dead(sup, pids)

    def test_tree_ends_a_daemon_that_forked_away(self):
        sup, pids = self.fleet_with("@P/forks-away @D/pids stay", 1)
        sup.ctl_ok("stop", "web")
        self.assert_all_dead(sup, pids)

    def test_tree_ends_a_daemon_with_an_empty_environment_that_ignores_term(self):
        sup, pids = self.fleet_with("@P/forks-away @D/pids stay deaf bare", 1)
        sup.ctl_ok("stop", "web")
        self.assert_all_dead(sup, pids)

    def test_tree_knows_whose_daemon_is_whose(self):
        sup = self.supervisord(fleet(
            a='command = "@P/forks-away @D/a stay bare";', b='command = "@P/forks-away @D/b stay bare";'))
        sup.wait_running()
        a, b = sup.wait_pids("a", 1), sup.wait_pids("b", 1)
        sup.ctl_ok("stop", "a")
        self.assert_dead(a[0])
        self.assert_alive(b[0])

    def test_tree_is_found_again_by_a_new_master(self):
        sup, pids = self.fleet_with("@P/forks-away @D/pids stay deaf bare", 1)
        sup.kill_master()
        sup.ctl_ok("stop", "web")
        self.assert_all_dead(sup, pids)

    def test_what_a_crashed_instance_left_is_cleared_before_the_next(self):
        sup, pids = self.fleet_with("@P/forks-away @D/pids stay deaf", 1)
        pid = sup.pid("web:0")
        os.kill(pid, signal.SIGKILL)
        sup.wait_other_pid("web:0", pid)
        driver.gone(pids[0])
        both = sup.wait_pids("pids", 2)
        self.assert_alive(both[1])

    def test_group_ends_all_of_the_group(self):
        sup, pids = self.fleet_with("@P/spawner @D/pids 2", 5, "group")
        sup.ctl_ok("stop", "web")
        for pid in pids:
            driver.gone(pid)

    def test_group_does_not_reach_a_session_of_its_own(self):
        sup, pids = self.fleet_with("@P/forks-away @D/pids stay", 1, "group")
        sup.ctl_ok("stop", "web")
        self.assert_alive(pids[0])

    def test_process_touches_no_other(self):
        sup, pids = self.fleet_with("@P/spawner @D/pids 2", 5, "process")
        main = sup.pid("web:0")
        sup.ctl_ok("stop", "web")
        self.assert_dead(main)
        for pid in pids:
            if pid != main:
                self.assert_alive(pid)

    def test_a_worker_that_forks_away_itself_leaves_nothing_when_it_is_never_restarted(self):
        sup = self.supervisord(fleet(
            web='command = "@P/forks-away @D/pids deaf"; restart = "never"; start_seconds = "0s";'))
        sup.wait_state("web", "EXITED|FATAL|BACKOFF|STARTING")
        pids = sup.wait_pids("pids", 1)
        driver.gone(pids[0])


class Signals(driver.Case):
    def test_signals_reach_those_named(self):
        sup = self.supervisord(fleet(web='command = "@P/ignores-term 1 10 12"; processes = 2;'))
        for name in ("web:0", "web:1"):
            sup.wait_stdout(name, "^ready")
        sup.wait_running()
        sup.ctl_ok("signal", "USR1", "web:0")
        sup.wait_stdout("web:0", "^ignored 10$")
        sup.ctl_ok("signal", "SIGHUP", "web")
        sup.wait_stdout("web:0", "^ignored 1$")
        sup.wait_stdout("web:1", "ready\nignored 1\n")
        sup.ctl_ok("signal", "12", "all")
        sup.wait_stdout("web:1", "^ignored 12$")

    def test_errors(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; autostart = false;'))
        self.assertEqual(sup.ctl("signal", "NOSUCH", "web")[0], 2)
        self.assertEqual(sup.ctl("signal", "HUP", "nobody")[0], 4)
        self.assertEqual(sup.ctl("signal", "HUP", "web:7")[0], 4)
        status, _, err = sup.ctl("signal", "HUP", "web")
        self.assertEqual(status, 3, err)


class Shutdown(driver.Case):
    CONFIG = fleet(web='command = "@P/pause"; processes = 3;',
                   away='command = "@P/forks-away @D/pids stay bare";')

    def end_by(self, signo):
        sup = self.supervisord(self.CONFIG)
        sup.wait_running()
        sup.wait_pids("pids", 1)
        os.kill(sup.guardian(), signo)
        self.assertEqual(sup.wait_end(), 0)
        sup.wait_empty()
        return sup

    def test_term(self):
        sup = self.end_by(signal.SIGTERM)
        self.assertFalse(os.path.exists(sup.socket_path))

    def test_int(self):
        self.end_by(signal.SIGINT)

    def test_quit(self):
        self.end_by(signal.SIGQUIT)

    def test_the_command(self):
        sup = self.supervisord(self.CONFIG)
        sup.wait_running()
        sup.ctl_ok("shutdown")
        self.assertEqual(sup.wait_end(), 0)
        sup.wait_empty()
        self.assertEqual(sup.ctl("status")[0], 7)

    def test_the_command_waits_for_the_guardian(self):
        """Even where a broker has something to finish behind the master, and the
        socket is that of a second master."""
        sup = self.supervisord('workers: { w: { command = "cat"; start_seconds = 0; tasks: { mode = "exec"; }; }; };',
                               start=False)
        for _ in range(3):
            sup.start()
            sup.ctl_ok("submit", "w", "f", "1", "--wait")
            master = sup.process("master")
            os.kill(master, signal.SIGKILL)
            driver.gone(master)
            sup.wait_up()
            guardian = sup.guardian_pid
            sup.ctl_ok("shutdown")
            self.assertFalse(driver.alive(guardian))
            self.assertEqual(sup.wait_end(), 0)

    def test_it_waits_for_those_that_take_their_time(self):
        sup = self.supervisord(fleet(web='command = "@P/slow-stop 600"; stop_timeout = "30s";'))
        sup.wait_stdout("web:0", "^ready")
        sup.wait_running()
        os.kill(sup.guardian(), signal.SIGTERM)
        self.assertEqual(sup.wait_end(), 0)
        self.assertEqual(sup.db("select code from exits")[0]["code"], 0)

    def slow(self, **options):
        sup = self.supervisord(fleet(web='command = "@P/ignores-term"; stop_timeout = "1h";'), **options)
        sup.wait_stdout("web:0", "^ready")
        sup.wait_running()
        return sup

    def test_a_second_term_does_not_wait(self):
        sup = self.slow()
        os.kill(sup.guardian(), signal.SIGTERM)
        sup.wait_stdout("web:0", "^ignored 15")
        os.kill(sup.guardian(), signal.SIGTERM)
        sup.wait_end(10)
        sup.wait_empty()

    def test_quit_does_not_wait(self):
        sup = self.slow()
        os.kill(sup.guardian(), signal.SIGQUIT)
        sup.wait_end(10)
        sup.wait_empty()

    def test_shutdown_now_does_not_wait(self):
        sup = self.slow()
        sup.rpc("shutdown", now=True)
        sup.wait_end(10)
        sup.wait_empty()

    def test_shutdown_timeout_bounds_it(self):
        sup = self.slow(master='shutdown_timeout = "700ms";')
        os.kill(sup.guardian(), signal.SIGTERM)
        sup.wait_end(10)
        sup.wait_empty()

    def test_a_shutdown_is_not_forgotten_by_a_new_master(self):
        sup = self.supervisord(fleet(web='command = "@P/slow-stop 1500"; stop_timeout = "30s";'))
        sup.wait_stdout("web:0", "^ready")
        sup.wait_running()
        master = sup.master()
        os.kill(sup.guardian(), signal.SIGTERM)
        sup.wait_stdout("web:0", "^stopping")
        os.kill(master, signal.SIGKILL)
        self.assertEqual(sup.wait_end(), 0)
        sup.wait_empty()


class ExitWith(driver.Case):
    def status_of(self, command, extra='restart = "never";'):
        sup = self.supervisord(fleet(web='command = "%s"; %s' % (command, extra),
                                     other='command = "@P/pause";'), master='exit_with = "web";')
        status = sup.wait_end()
        sup.wait_empty()
        return status

    def test_its_status_is_ours(self):
        self.assertEqual(self.status_of("@P/exits 42 200"), 42)

    def test_success_is_success(self):
        self.assertEqual(self.status_of("@P/exits 0 200", 'restart = "on-failure";'), 0)

    def test_a_signal_is_128_and_it(self):
        self.assertEqual(self.status_of("@P/segv 200"), 128 + signal.SIGSEGV)

    def test_fatal_is_an_end_too(self):
        self.assertEqual(self.status_of("@P/exits 6 300", 'start_retries = 1; start_seconds = "30s";'), 6)

    def test_a_restart_is_no_end(self):
        sup = self.supervisord(fleet(web='command = "@P/exits 3 100"; restart = "on-failure";'),
                               master='exit_with = "web";')
        sup.wait(lambda rows: rows[0]["restarts"] >= 2)
        self.assertIsNone(sup.nursery.ended())
