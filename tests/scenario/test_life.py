"""The life of an instance: starts, restarts, backoff, FATAL."""

import os
import re
import signal

import driver
from driver import fleet


def seconds(event):
    """The time of an event, in seconds."""
    return driver.when(event["at"])


def life_of(sup, name):
    """Its state events: [(from, to, time)]."""
    return [(e["from"], e["to"], seconds(e)) for e in sup.rpc("events", targets=[name])
            if e["kind"] == "state"]


class Start(driver.Case):
    def test_instances_have_names_indexes_and_the_guardian_as_parent(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 3;',
                                     db='command = "@P/pause";'))
        rows = sup.wait_running("all")
        self.assertEqual([r["name"] for r in rows], ["web:0", "web:1", "web:2", "db:0"])
        self.assertEqual([r["index"] for r in rows], [0, 1, 2, 0])
        guardian = sup.guardian()
        for row in rows:
            self.assertEqual((row["statecode"], row["worker"]), (20, row["name"].split(":")[0]))
            self.assertEqual(driver.parent(row["pid"]), guardian)
            self.assertEqual(driver.comm(row["pid"]), "pause")
            self.assertEqual((row["restarts"], row["exit"], row["ready"], row["adopted"]),
                             (0, None, True, False))
            self.assertLess(row["uptime"], 30)
            self.assertRegex(row["started_at"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_autostart_false_waits_to_be_asked(self):
        sup = self.supervisord(fleet(web='command = "@P/pause";',
                                     batch='command = "@P/pause"; autostart = false;'))
        sup.wait_running("web")
        row = sup.one("batch:0")
        self.assertEqual((row["state"], row["statecode"], row["pid"]), ("STOPPED", 0, None))
        sup.ctl_ok("start", "batch")
        self.assertEqual(sup.one("batch:0")["state"], "RUNNING")

    def test_processes_of_zero_and_of_cores(self):
        sup = self.supervisord(fleet(none='command = "@P/pause"; processes = 0;',
                                     every='command = "@P/pause"; processes = "cores";',
                                     twice='command = "@P/pause"; processes = "cores*2";'))
        names = [row["name"] for row in sup.wait_running("every", "twice")]
        cores = len(os.sched_getaffinity(0))
        self.assertEqual(len([n for n in names if n.startswith("every:")]), cores)
        self.assertEqual(len([n for n in names if n.startswith("twice:")]), 2 * cores)
        self.assertNotIn("none:0", sup.by_name())

    def test_running_comes_after_start_seconds(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; start_seconds = "700ms";'))
        sup.wait_running("web")
        states = life_of(sup, "web:0")
        self.assertEqual([s[:2] for s in states], [("STOPPED", "STARTING"), ("STARTING", "RUNNING")])
        took = states[1][2] - states[0][2]
        self.assertGreater(took, 0.65)
        self.assertLess(took, 3)

    def test_it_becomes_what_its_settings_say(self):
        sup = self.supervisord(start=False, environ={"FROM_US": "inherited", "SECRET": "kept"})
        driver.write(sup.dir + "/more.env", 'FROM_FILE=filed\nBOTH="from the file"\n# a remark\n')
        os.mkdir(sup.dir + "/there")
        sup.configure(fleet(web="""
            command = "@P/envdump --number=${index} 'two words' ${FROM_US} ${UNSET:-fallback} $${x}";
            processes = 2; directory = "@D/there"; umask = "0027";
            environment_file = "@D/more.env";
            environment: { PLAIN = "1"; BOTH = "from the config"; WHO = "${worker}-${index}"; };"""))
        sup.start()
        for index in (0, 1):
            sup.wait_stdout("web:%d" % index, "^end$")
            text = sup.stdout_of("web:%d" % index)
            lines = set(text.splitlines())
            expected = {
                "cwd=" + sup.dir + "/there", "umask=0027",
                "argv[1]=--number=%d" % index, "argv[2]=two words", "argv[3]=inherited",
                "argv[4]=fallback", "argv[5]=${x}",
                "env PLAIN=1", "env FROM_FILE=filed", "env BOTH=from the config",
                "env WHO=web-%d" % index, "env SECRET=kept", "env SUPERVISOR_WORKER=web",
                "env SUPERVISOR_INSTANCE=web:%d" % index, "env SUPERVISOR_INDEX=%d" % index}
            self.assertEqual(expected - lines, set(), text)
            pid, sid = re.search(r"^pid=(\d+) ppid=\d+ sid=(\d+)", text).groups()
            self.assertEqual(pid, sid, "a worker has a session of its own")

    def test_a_clean_environment_holds_only_what_was_asked_for(self):
        sup = self.supervisord(fleet(web="""
            command = "@P/envdump"; clean_environment = true; environment: { ONLY = "this"; };"""),
            environ={"SECRET": "x"})
        sup.wait_stdout("web:0", "^end$")
        names = set(re.findall(r"^env (\w+)=", sup.stdout_of("web:0"), re.M))
        self.assertEqual(names - {"PATH", "SUPERVISOR_SOCKET"}, {"ONLY", "SUPERVISOR_WORKER", "SUPERVISOR_INSTANCE",
                                             "SUPERVISOR_INDEX"})

    def test_nothing_of_ours_leaks_into_a_worker(self):
        sup = self.supervisord(fleet(web='command = "@P/fdlist";'), wrap=[
            "sh", "-c", 'ulimit -Sn 333; exec "$@"', "sh"])
        sup.wait_stdout("web:0", "^end$")
        text = sup.stdout_of("web:0")
        self.assertEqual(re.findall(r"^fd (\d+)", text, re.M), ["0", "1", "2"], text)
        self.assertIn("fd 0 /dev/null", text)
        self.assertRegex(text, r"(?m)^nofile 333 ")
        self.assertNotRegex(text, "blocked|ignored")

    def test_commands_are_split_as_a_shell_would_and_no_shell_is_run(self):
        sup = self.supervisord(fleet(
            quoted='''command = "@P/envdump a\\\\ b 'c d' \\"e f\\" $HOME * ';'";''',
            listed='command = [ "@P/envdump", "a b", "", "$HOME" ];'))
        sup.wait_stdout("quoted:0", "^end$")
        sup.wait_stdout("listed:0", "^end$")
        words = re.findall(r"^argv\[\d+\]=(.*)$", sup.stdout_of("quoted:0"), re.M)[1:]
        self.assertEqual(words, ["a b", "c d", "e f", "$HOME", "*", ";"])
        words = re.findall(r"^argv\[\d+\]=(.*)$", sup.stdout_of("listed:0"), re.M)[1:]
        self.assertEqual(words, ["a b", "", "$HOME"])

    def test_a_command_without_a_slash_is_searched_in_path(self):
        sup = self.supervisord(fleet(web='command = "pause";'),
                               environ={"PATH": driver.PROGRAMS + ":" + os.environ["PATH"]})
        sup.wait_running("web")

    def test_max_starting_caps_how_many_start_at_once(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 8; start_seconds = "200ms";'),
                               master="max_starting = 2;")
        most = 0

        def look(rows):
            nonlocal most
            most = max(most, sum(r["state"] == "STARTING" for r in rows))
            return all(r["state"] == "RUNNING" for r in rows)
        sup.wait(look)
        self.assertLessEqual(most, 2)
        states = {e["to"] for e in sup.rpc("events", targets=["web:7"])}
        self.assertIn("WAITING", states)

    def test_a_start_tells_its_outcome(self):
        sup = self.supervisord(fleet(
            good='command = "@P/pause"; autostart = false;',
            bad='command = "@P/exits 3"; autostart = false; start_retries = 1; start_seconds = "5s";'))
        status, out, err = sup.ctl("start", "good", "bad")
        self.assertEqual(status, 1, out + err)
        self.assertIn("bad:0", out + err)
        self.assertIn("exited 3", out + err)
        self.assertEqual(sup.one("good:0")["state"], "RUNNING")
        self.assertEqual(sup.one("bad:0")["state"], "FATAL")

    def test_start_without_waiting(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; autostart = false; start_seconds = "60s";'))
        sup.ctl_ok("start", "--no-wait", "web")
        sup.wait_state("web", "STARTING")


class Restart(driver.Case):
    def exited(self, policy, command, extra=""):
        sup = self.supervisord(fleet(web='command = "%s"; restart = "%s"; %s' % (command, policy, extra)))
        sup.wait_state("web", "EXITED")
        return sup.one("web:0")

    def test_always_restarts_after_success(self):
        sup = self.supervisord(fleet(web='command = "@P/exits 0 100";'))
        sup.wait(lambda rows: rows[0]["restarts"] >= 3, ["web"])

    def test_on_failure_restarts_after_failure(self):
        sup = self.supervisord(fleet(web='command = "@P/exits 1 100"; restart = "on-failure";'))
        sup.wait(lambda rows: rows[0]["restarts"] >= 3, ["web"])

    def test_on_failure_leaves_a_success_alone(self):
        row = self.exited("on-failure", "@P/exits 0 150")
        self.assertEqual((row["exit"]["code"], row["restarts"], row["statecode"]), (0, 0, 100))

    def test_exit_codes_name_what_success_is(self):
        row = self.exited("on-failure", "@P/exits 7 150", "exit_codes = [0, 7];")
        self.assertEqual(row["exit"]["code"], 7)
        self.assertIn("exited 7", row["reason"])

    def test_never_means_never(self):
        row = self.exited("never", "@P/segv 150")
        self.assertEqual((row["exit"]["code"], row["exit"]["signal"]), (None, "SIGSEGV"))
        self.assertIn("SIGSEGV", row["reason"])

    def test_a_long_life_is_followed_at_once_by_the_next(self):
        sup = self.supervisord(fleet(
            web='command = "@P/pause"; backoff: { initial = "20s"; reset_after = "200ms"; };'))
        sup.wait(lambda rows: rows[0]["state"] == "RUNNING" and rows[0]["uptime"] > 0.3, ["web"])
        pid = sup.pid("web:0")
        os.kill(pid, signal.SIGKILL)
        sup.wait_other_pid("web:0", pid, 10)
        states = [s[:2] for s in life_of(sup, "web:0")][-2:]
        self.assertEqual(states, [("RUNNING", "STARTING"), ("STARTING", "RUNNING")])

    def test_short_lives_are_spaced_by_a_growing_delay(self):
        sup = self.supervisord(fleet(web="""
            command = "@P/exits 0 60"; start_seconds = "0s";
            backoff: { initial = "100ms"; factor = 2.0; max = "350ms"; jitter = 0.0; };"""))
        sup.wait(lambda rows: rows[0]["restarts"] >= 5, ["web"])
        delays, since = [], None
        for _, to, at in life_of(sup, "web:0"):
            if to == "BACKOFF":
                since = at
            elif to == "STARTING" and since:
                delays.append(at - since)
        for delay, expected in zip(delays, [0.1, 0.2, 0.35, 0.35]):
            self.assertGreater(delay, expected - 0.03)
            self.assertLess(delay, expected + 0.6)

    def test_a_kill_from_outside_is_told_truly(self):
        sup = self.supervisord(fleet(web='command = "@P/pause";'))
        sup.wait_running()
        pid = sup.pid("web:0")
        os.kill(pid, signal.SIGKILL)
        sup.wait_other_pid("web:0", pid)
        row = sup.one("web:0")
        self.assertEqual((row["exit"]["signal"], row["restarts"]), ("SIGKILL", 1))
        history = sup.rpc("history", targets=["web:0"])
        self.assertIn("killed by SIGKILL", history[-1]["cause"])

    def test_the_restart_command_replaces_one_or_all(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 3;'))
        sup.wait_running()
        before = sup.pids()
        sup.ctl_ok("restart", "web:1")
        after = sup.pids()
        self.assertEqual([n for n in before if before[n] != after[n]], ["web:1"])
        sup.ctl_ok("restart", "web")
        self.assertFalse(set(after.values()) & set(sup.pids().values()))
        self.assertEqual({r["state"] for r in sup.status()}, {"RUNNING"})
        for pid in list(before.values()) + list(after.values()):
            self.assert_dead(pid)


class Failing(driver.Case):
    def test_start_retries_counts_the_tries_after_the_first(self):
        for retries in (0, 2):
            sup = self.supervisord(fleet(web="""
                command = "@P/exits 5"; start_seconds = "30s"; start_retries = %d;""" % retries))
            sup.wait_state("web", "FATAL")
            rows = sup.wait_db("select * from exits", rows=retries + 1)
            self.assertEqual(len(rows), retries + 1)
            row = sup.one("web:0")
            self.assertEqual((row["statecode"], row["pid"], row["exit"]["code"]), (200, None, 5))
            self.assertIn("exited 5", row["reason"])
            status, out, _ = sup.ctl("status")
            self.assertEqual(status, 3)
            self.assertIn("FATAL", out)

    def test_minus_one_never_gives_up(self):
        sup = self.supervisord(fleet(web="""
            command = "@P/exits 5"; start_seconds = "30s"; start_retries = -1;
            backoff: { initial = "5ms"; max = "10ms"; };"""))
        sup.wait_db("select * from exits", rows=12)
        self.assertIn(sup.one("web:0")["state"], ("BACKOFF", "STARTING"))

    def test_a_start_out_of_fatal_is_a_new_beginning(self):
        sup = self.supervisord(fleet(web="""
            command = [ "/bin/sh", "-c", "test -e @D/good && exec @P/pause; exit 9" ];
            start_seconds = "300ms"; start_retries = 1;"""))
        sup.wait_state("web", "FATAL")
        status, _, err = sup.ctl("start", "web")
        self.assertEqual(status, 1)
        self.assertIn("exited 9", err)
        self.assertEqual(len(sup.wait_db("select * from exits", rows=4)), 4)
        driver.write(sup.dir + "/good", "")
        sup.ctl_ok("start", "web")
        self.assertEqual(sup.one("web:0")["state"], "RUNNING")

    def test_a_stop_in_backoff_and_in_starting(self):
        sup = self.supervisord(fleet(
            waits='command = "@P/exits 1"; start_seconds = "30s"; backoff: { initial = "1h"; max = "1h"; };',
            slow='command = "@P/pause"; start_seconds = "1h";'))
        sup.wait_state("waits", "BACKOFF")
        sup.wait_state("slow", "STARTING")
        self.assertIsNone(sup.one("waits:0")["pid"])
        pid = sup.pid("slow:0")
        sup.ctl_ok("stop", "all")
        self.assertEqual({r["state"] for r in sup.status()}, {"STOPPED"})
        self.assert_dead(pid)

    def test_a_start_in_backoff_does_not_wait(self):
        sup = self.supervisord(fleet(web="""
            command = [ "/bin/sh", "-c", "test -e @D/good && exec @P/pause; exit 9" ];
            start_seconds = "200ms"; backoff: { initial = "1h"; max = "1h"; };"""))
        sup.wait_state("web", "BACKOFF")
        driver.write(sup.dir + "/good", "")
        sup.ctl_ok("start", "web", timeout=20)

    def test_why_says_why(self):
        sup = self.supervisord(fleet(
            web='command = "@P/segv"; start_seconds = "30s"; start_retries = 0;',
            slow='command = "@P/exits 4"; start_seconds = "30s"; backoff: { initial = "1h"; max = "1h"; };',
            user='command = "@P/pause";'))
        sup.wait_state("web", "FATAL")
        sup.wait_state("slow", "BACKOFF")
        sup.ctl_ok("stop", "user")
        text = driver.eventually(
            lambda: (t := sup.ctl_ok("why", "web")) and "touch what is not mine" in t and t)
        self.assertIn("SIGSEGV", text)
        self.assertIn("FATAL", text)
        text = sup.ctl_ok("why", "slow")
        self.assertIn("exited 4", text)
        answer = sup.rpc("why", targets=["slow"])[0]
        self.assertGreater(answer["next_try_in"], 3000)
        self.assertIn("supervisorctl stop user", sup.ctl_ok("why", "user") + str(sup.rpc("events", targets=["user"])))


class Scale(driver.Case):
    def test_up_and_down(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 2;'))
        sup.wait_running()
        before = sup.pids()
        sup.ctl_ok("scale", "web", "5")
        self.assertEqual(len(sup.wait_running("web")), 5)
        self.assertEqual({n: p for n, p in sup.pids().items() if n in before}, before)
        five = sup.pids()
        sup.ctl_ok("scale", "web", "1")
        self.assertEqual(sup.pids(), {"web:0": before["web:0"]})
        for name, pid in five.items():
            (self.assert_alive if name == "web:0" else self.assert_dead)(pid)
        sup.ctl_ok("scale", "web", "0")
        self.assertEqual(sup.status(), [])

    def test_a_scale_outlives_the_master_and_ends_with_a_reload(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 2;'))
        sup.ctl_ok("scale", "web", "4")
        sup.wait_running("web")
        before = sup.pids()
        sup.kill_master()
        self.assertEqual(sup.pids(), before)
        sup.ctl_ok("reload")
        sup.wait(lambda rows: len(rows) == 2)

    def test_nonsense_is_refused(self):
        sup = self.supervisord(fleet(web='command = "@P/pause";'))
        self.assertEqual(sup.ctl("scale", "nobody", "2")[0], 4)
        self.assertEqual(sup.ctl("scale", "web", "-1")[0], 2)
        self.assertEqual(sup.ctl("scale", "web", "many")[0], 2)
        self.assertNotEqual(sup.ctl("scale", "web", "99999999")[0], 0)
        self.assertEqual(len(sup.status()), 1)
