"""supervisorctl against a supervisord that isn't one: a control server with
canned answers. What is drawn, the exit statuses, and what becomes of answers
that are late, broken, enormous or never come. The same commands against the
real one are in the other scenarios.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import unittest

import driver
from ctl_rig import CTL, Refuse, Fake, notify, INFO, ROWS, Case, TASK


class Usage(Case):
    def test_help_lists_the_commands(self):
        out = self.said("help")
        self.assertEqual(out, self.said("--help"))
        for name in ("status", "start", "scale", "logs", "submit", "shutdown"):
            self.assertRegex(out, r"(?m)^  %s " % name)
        self.assertNotIn("import", out)

    def test_help_of_one(self):
        out = self.said("help", "logs")
        self.assertIn("usage: supervisorctl logs [-f]", out)
        self.assertIn("--stderr", out)
        self.assertEqual(out, self.said("logs", "--help"))
        self.assertIn("no command", self.complained("help", "nothing", status=2))

    def test_version_of_its_own(self):
        self.assertRegex(self.said("--version"), r"^supervisorctl \d+\.\d+")
        self.assertEqual(self.said("-V"), self.said("status", "-V"))

    def test_wrong_usage_is_status_2(self):
        for args, words in (
                (["frobnicate"], "no command"), (["--frob"], "unknown option --frob"),
                (["-x"], "unknown option -x"), (["start"], "usage: supervisorctl start"),
                (["start", "--frob", "web"], "supervisorctl help start"),
                (["start", "--no-wait=1", "web"], "takes no value"),
                (["logs", "web", "-n"], "needs a value"), (["logs", "web", "-n", "x"], "-n is"),
                (["events", "--since", "soon"], "--since is"),
                (["signal", "NOSUCH", "web"], "no signal"), (["signal", "HUP"], "usage"),
                (["scale", "web"], "usage"), (["scale", "web", "many"], "no number"),
                (["status", "--color=blue"], "auto, always or never"),
                (["logs", "-f", "web", "--json"], "no end"), (["version", "x"], "usage")):
            self.assertIn(words, self.complained(*args, status=2), args)

    def test_help_as_json(self):
        told = json.loads(self.said("help", "--json"))
        self.assertEqual(told, json.loads(self.said("--json", "--help")))
        commands = {c["name"]: c for c in told["commands"]}
        self.assertEqual(commands["cancel"]["usage"], "ID... | -")
        self.assertNotIn("import", commands)
        self.assertIn({"name": "socket", "letter": "s", "value": "SOCKET",
                       "help": "talk to the supervisord at this socket"}, told["options"])
        for args in (["help", "tasks", "--json"], ["tasks", "--json", "-h"]):
            self.assertEqual(json.loads(self.said(*args)), commands["tasks"])

    def test_later_commands_are_refused(self):
        for args in (["tree"], ["top"], ["import", "f"], ["restart", "--rolling", "web"]):
            self.assertIn("not supported yet", self.complained(*args, status=2), args)

    def test_nobody_answers(self):
        err = self.complained("status", status=7)
        self.assertIn("no supervisord answers at %s" % self.path, err)
        self.assertIn("supervisord -c", err)

    def test_nobody_listens(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(self.path)
            self.assertIn("no supervisord answers", self.complained("status", status=7))

    def test_errors_with_json(self):
        status, out, err = self.ctl("--json", "status")
        self.assertEqual(status, 7)
        self.assertEqual(json.loads(out)["error"]["code"], 7)
        self.assertIn("no supervisord answers", json.loads(out)["error"]["message"])
        self.assertIn("no supervisord answers", err)

    def test_the_socket_is_found(self):
        self.serve(pid={"pid": 10})
        self.assertEqual(self.said(argv=[CTL, "pid"], SUPERVISORCTL_SOCKET=self.path), "10\n")
        self.assertEqual(self.said(argv=[CTL, "pid", "-s", self.path]), "10\n")
        os.makedirs(self.dir + "/x/supervisord")
        os.rename(self.path, self.dir + "/x/supervisord/control.sock")
        if os.geteuid() != 0:
            self.assertEqual(self.said(argv=[CTL, "pid"], XDG_RUNTIME_DIR=self.dir + "/x"), "10\n")

    def test_a_long_socket_path(self):
        deep = os.path.join(self.dir, *["d" * 50] * 4)
        os.makedirs(deep)
        self.serve(pid={"pid": 10})
        os.rename(self.path, deep + "/control.sock")
        self.path = deep + "/control.sock"
        self.assertEqual(self.said("pid"), "10\n")

    def test_the_socket_of_a_config(self):
        self.serve(pid={"pid": 10})
        os.rename(self.path, self.dir + "/control.sock")
        bin_dir = self.dir + "/bin"
        os.mkdir(bin_dir)
        shutil.copy(CTL, bin_dir)
        driver.write(bin_dir + "/supervisord", '#!/bin/sh\n[ "$*" = "--print-run-dir -c f.cfg" ] '
                     '&& echo "%s"\n' % self.dir, 0o755)
        driver.write(self.dir + "/f.cfg", "master: { run_dir = \".\"; };\n")
        ctl = bin_dir + "/supervisorctl"
        self.assertEqual(self.said(argv=[ctl, "-c", "f.cfg", "pid"]), "10\n")
        driver.write(bin_dir + "/supervisord", '#!/bin/sh\necho "f.cfg:1: wrong" >&2; exit 2\n', 0o755)
        self.assertEqual(self.said(argv=[ctl, "-c", "f.cfg", "pid"]), "10\n")
        driver.write(self.dir + "/f.cfg", "master: { run_dir = \"gone\"; };\n")
        err = self.complained(argv=[ctl, "-c", "f.cfg", "pid"], status=2)
        self.assertIn("f.cfg:1: wrong", err)
        self.assertIn("-s", err)

    def test_check_runs_supervisord(self):
        bin_dir = self.dir + "/bin"
        os.mkdir(bin_dir)
        shutil.copy(CTL, bin_dir)
        ctl = bin_dir + "/supervisorctl"
        self.assertEqual(self.ctl(argv=[ctl, "check"], PATH="/nowhere")[0], 1)
        driver.write(bin_dir + "/supervisord", '#!/bin/sh\necho "$*"; [ "$3" != bad ] || '
                     '{ echo "bad:3: no" >&2; exit 2; }\n', 0o755)
        self.assertEqual(self.said(argv=[ctl, "check"]), "--check\n")
        self.assertEqual(self.said(argv=[ctl, "-c", "a", "check"]), "--check -c a\n")
        self.assertEqual(self.said(argv=[ctl, "check", "b"]), "--check -c b\n")
        self.assertIn("bad:3: no", self.complained(argv=[ctl, "check", "bad"], status=2))
        status, out, _ = self.ctl(argv=[ctl, "check", "bad", "--json"])
        self.assertEqual((status, json.loads(out)["valid"]), (2, False))
        self.assertIn("bad:3: no", json.loads(out)["errors"])


class Status(Case):
    def test_a_line_each(self):
        self.serve(status=ROWS + [["a-rather-long-name:12", "FATAL", None, None, 5,
                                   "exited 1 (5 failed starts in a row)"],
                                  ["job:0", "STARTING", 77, 0.5, 0, None]])
        self.assertEqual(self.said("status", status=3), "".join(line + "\n" for line in (
            "web:0                   RUNNING   pid 123, uptime 0:01:02, restarts 0",
            "web:1                   RUNNING   pid 124, uptime 1 day, 0:01:02, restarts 3",
            "a-rather-long-name:12   FATAL     exited 1 (5 failed starts in a row)",
            "job:0                   STARTING  pid 77")))

    def test_exit_status(self):
        fake = self.serve(status=ROWS)
        self.said("status", "web")
        self.assertEqual(fake.asked("status"), [{"targets": ["web"], "columns": True}])
        fake.answers["status"] = [["a:0", "STOPPED", None, None, 0, "by root"]]
        self.said("status", status=3)
        fake.answers["status"] = lambda *_: self.refuse_target()
        err = self.complained("status", "nobody", status=4)
        self.assertIn('no target "nobody"', err)
        fake.answers["status"] = []
        self.said("status")

    def refuse_target(self):
        raise Refuse(4, 'no target "nobody"')

    def test_json_is_passed_through(self):
        rows = [{"name": "web:0", "state": "RUNNING", "reason": "\u00e9 \" \\ [}"},
                {"name": "web:1", "state": "STOPPED"}]
        fake = self.serve(status=rows)
        self.assertEqual(json.loads(self.said("status", "--json", status=3)), rows)
        self.assertEqual(fake.asked("status"), [{}])
        fake.answers["status"] = rows[:1]
        self.assertEqual(json.loads(self.said("--json", "status")), rows[:1])
        fake.answers["status"] = lambda *_: self.refuse_target()
        status, out, _ = self.ctl("--json", "status", "nobody")
        self.assertEqual((status, json.loads(out)["error"]["code"]), (4, 4))

    def test_what_the_operator_should_know(self):
        self.serve(info=dict(INFO, notes=["state.db: disk full"]), status=ROWS)
        status, out, err = self.ctl("status")
        self.assertEqual((status, err), (0, "warning: state.db: disk full\n"))
        self.assertEqual(len(out.splitlines()), 2)

    def test_info_may_be_refused(self):
        def refuse(*_):
            raise Refuse(1, "not for you")
        self.serve(info=refuse, status=ROWS)
        self.assertEqual(self.ctl("status")[2], "")

    def test_colour(self):
        self.serve(status=ROWS)
        self.assertNotIn("\x1b", self.said("status"))
        self.assertIn("\x1b[32mRUNNING\x1b[0m", self.said("status", "--color=always"))
        self.assertIn("\x1b[32mRUNNING", self.terminal("status").until("web:1"))
        self.assertNotIn("\x1b", self.terminal("--color=never", "status").until("restarts 3"))
        self.environ["NO_COLOR"] = "1"
        self.assertNotIn("\x1b", self.terminal("status").until("restarts 3"))

    def test_control_bytes_are_shown(self):
        self.serve(status=[["a:0", "FATAL", None, None, 0, "\x1b]0;x\x07 \u009b \u202e \n end"]])
        out = self.said("status", status=3)
        self.assertIn(r"\x1b]0;x\x07 \u009b \u202e \x0a end", out)

    def test_ten_thousand(self):
        rows = [["w%d:%d" % (i // 100, i % 100), "RUNNING", 1000 + i, 5.5, 0, None]
                for i in range(10000)]
        self.serve(status=rows)
        self.assertEqual(len(self.said("status").splitlines()), 10000)
        full = [{"name": r[0], "state": "RUNNING", "pad": "x" * 300} for r in rows]
        self.fake.answers["status"] = full
        self.assertEqual(json.loads(self.said("status", "--json")), full)

    def test_a_master_that_is_restarted_is_not_felt(self):
        def first_goes(_params, peer):
            self.fake.answers["status"] = ROWS
            peer.shutdown(socket.SHUT_RDWR)
        self.serve(status=first_goes)
        self.assertEqual(len(self.said("status").splitlines()), 2)


class Outcomes(Case):
    ONES = [{"name": "web:0", "ok": True, "state": "RUNNING", "pid": 123, "error": None},
            {"name": "web:1", "ok": False, "state": "FATAL", "pid": None,
             "error": "exited 1 (5 failed starts in a row)"}]

    def test_each_is_told(self):
        fake = self.serve(start=self.ONES)
        status, out, err = self.ctl("start", "web")
        self.assertEqual((status, out), (1, "web:0: started, pid 123\n"))
        self.assertIn("web:1: FATAL: exited 1 (5 failed starts in a row)\n", err)
        self.assertIn("why web:1", err)
        self.assertEqual(fake.asked("start"), [{"targets": ["web"], "wait": True}])
        self.assertEqual(fake.requests[0]["params"]["command"], "supervisorctl start web")

    def test_words(self):
        ok = {"name": "web:0", "ok": True, "state": "RUNNING", "pid": 5, "error": None}
        down = dict(ok, state="STOPPED", pid=None)
        fake = self.serve(restart=[ok], stop=[down], start=[dict(ok, state="STARTING")], signal=[ok])
        self.assertEqual(self.said("restart", "web"), "web:0: restarted, pid 5\n")
        self.assertEqual(self.said("stop", "web"), "web:0: stopped\n")
        fake.answers["stop"] = [dict(down, state="FATAL")]
        self.assertEqual(self.said("stop", "web"), "web:0: not running (FATAL)\n")
        fake.answers["restart"] = [dict(down, state="EXITED")]
        self.assertEqual(self.said("restart", "web"), "web:0: restarted, EXITED meanwhile\n")
        self.assertEqual(self.said("start", "web", "--no-wait"), "web:0: STARTING, pid 5\n")
        self.assertEqual(fake.asked("start")[0]["wait"], False)
        self.assertEqual(self.said("signal", "HUP", "web"), "web:0: signalled, pid 5\n")
        self.assertEqual(fake.asked("signal"), [{"signal": "HUP", "targets": ["web"]}])

    def test_json(self):
        self.serve(start=self.ONES)
        self.assertEqual(json.loads(self.said("start", "web", "--json", status=1)), self.ONES)

    def test_progress_on_a_terminal(self):
        def slowly(params, peer):
            self.assertTrue(params["progress"])
            for done in (1, 2):
                notify(peer, "progress", done=done, of=2, failed=done - 1)
            return self.ONES
        self.serve(start=slowly)
        term = self.terminal("start", "web")
        term.until("\r1 of 2 done\x1b[K")
        term.until("\r2 of 2 done, 1 failed\x1b[K")
        term.until("web:0: started, pid 123")
        term.until("FATAL")
        self.assertEqual(term.wait(), 1)

    def test_scale(self):
        fake = self.serve(scale={"worker": "web", "from": 1, "to": 2, "instances": self.ONES[:1]})
        self.assertEqual(self.said("scale", "web", "2"),
                         "web: 1 -> 2 instances\nweb:0: started, pid 123\n")
        self.assertEqual(fake.asked("scale"), [{"worker": "web", "count": 2, "wait": True}])

    def test_permission(self):
        def refuse(*_):
            raise Refuse(1, "permission denied: uid 5 may only look")
        self.serve(stop=refuse)
        self.assertIn("permission denied", self.complained("stop", "web", status=1))

    def test_many_targets_are_too_many(self):
        self.serve(stop=[])
        err = self.complained("stop", *["x" * 1000] * 1100, status=2)
        self.assertIn("1 MiB", err)

    def test_the_end_of_the_connection_is_told(self):
        self.serve(stop=lambda _params, peer: peer.shutdown(socket.SHUT_RDWR))
        self.assertIn("closed the connection", self.complained("stop", "web", status=7))
        self.assertEqual(len(self.fake.asked("stop")), 1)


class Reload(Case):
    PLAN = {"applied": True, "fixed": "", "plan": [
        {"worker": "web", "action": "changed", "settings": "stop_timeout", "instances": 4},
        {"worker": "new", "action": "added", "settings": "", "instances": 1},
        {"worker": "db", "action": "kept", "settings": "", "instances": 1}]}

    def test_the_plan(self):
        fake = self.serve(reload=self.PLAN)
        self.assertEqual(self.said("reload"), "changed  web  4 instances: stop_timeout\n"
                         "added    new  1 instance\n1 worker kept\nreloaded\n")
        self.said("reload", "--dry-run")
        self.assertEqual([r["dry_run"] for r in fake.asked("reload")], [False, True])

    def test_nothing_changed(self):
        self.serve(reload={"applied": True, "fixed": "run_dir", "plan": self.PLAN["plan"][2:]})
        status, out, err = self.ctl("reload")
        self.assertEqual((status, out), (0, "nothing changed\n"))
        self.assertIn("run_dir", err)

    def test_an_invalid_config(self):
        def refuse(*_):
            raise Refuse(2, "2 errors in f.cfg", errors=["f.cfg:1: one", "f.cfg:7: two"])
        self.serve(reload=refuse)
        status, out, err = self.ctl("reload", "--json")
        self.assertEqual(status, 2)
        self.assertEqual(json.loads(out)["error"]["data"]["errors"], ["f.cfg:1: one", "f.cfg:7: two"])
        self.assertIn("f.cfg:1: one\nf.cfg:7: two\n", err)


class Looking(Case):
    def test_why(self):
        self.serve(why=[{"name": "a:0", "state": "FATAL", "text": "a:0 is FATAL\nlast \x1b[31m\n"},
                        {"name": "b:0", "state": "RUNNING", "reason": "by root"}])
        self.assertEqual(self.said("why", "a", "b"),
                         "a:0 is FATAL\nlast \\x1b[31m\n\nb:0 is RUNNING: by root\n")

    def test_info_version_pid(self):
        self.serve(version={"version": "0.1.0"},
                   pid=lambda p, _: [{"name": t, "pid": 5} for t in p["targets"]]
                   if "targets" in p else {"pid": 10})
        out = self.said("info")
        self.assertRegex(out, r"(?m)^master_pid +11$")
        self.assertRegex(out, r"(?m)^store +ok$")
        self.assertEqual(self.said("version"), "0.1.0\n")
        self.assertEqual(self.said("pid"), "10\n")
        self.assertEqual(self.said("pid", "web:0"), "5\n")
        self.assertEqual(self.said("pid", "a:0", "b:0"), "a:0 5\nb:0 5\n")
        self.fake.answers["pid"] = [{"name": "a:0", "pid": None}]
        self.assertIn("not running", self.complained("pid", "a", status=3))
        self.assertEqual(json.loads(self.said("--json", "info")), INFO)

    def test_history(self):
        row = {"name": "web:0", "pid": 7, "started_at": "2026-01-02T03:04:05.678Z",
               "ended_at": "2026-01-02T03:04:06.178Z", "duration": 0.5,
               "exit": {"code": None, "signal": 11, "core": True}, "cause": None,
               "user": 0.1, "system": 0.02, "maxrss_kb": 2048, "last_lines": None}
        fake = self.serve(history=[row, dict(row, exit={"code": 3, "signal": None, "core": False},
                                             cause="exited 3", duration=3700)])
        lines = self.said("history", "web", "-n", "5").splitlines()
        self.assertEqual(fake.asked("history"), [{"targets": ["web"], "limit": 5}])
        self.assertRegex(lines[0], "^NAME +PID +STARTED")
        self.assertRegex(lines[1], r"^web:0 +7 +2026-01-02 03:04:05 +500 ms +120 ms +2.0 MB +"
                                   r"killed by SIGSEGV \(core dumped\)$")
        self.assertRegex(lines[2], r" 1:01:40 .* exited 3$")


class Queue(Case):
    def test_submit_prints_the_number(self):
        self.serve(submit={"id": 12, "existed": False})
        self.assertEqual(self.said("submit", "thumbs", "resize", '{"w": 5}'), "12\n")
        self.said("submit", "thumbs", "sweep", "--priority", "high", "--delay", "5m", "--timeout",
                  "1.5s", "--retries", "-1", "--key", "k", "--then", '{"worker":"x","func":"y"}')
        self.assertEqual(self.fake.asked("submit"), [
            {"worker": "thumbs", "func": "resize", "args": {"w": 5}},
            {"worker": "thumbs", "func": "sweep", "priority": "high", "delay": 300,
             "timeout": 1.5, "retries": -1, "key": "k", "then": {"worker": "x", "func": "y"}}])
        self.assertEqual(json.loads(self.said("submit", "thumbs", "f", "--json"))["id"], 12)

    def test_submit_refuses_before_it_asks(self):
        self.serve(submit={"id": 12})
        for args, words in ((["submit", "a", "b", "{"], "not JSON"),
                            (["submit", "a", "b", "--delay", "soon"], "--delay is"),
                            (["submit", "a", "b", "--retries", "x"], "--retries is"),
                            (["submit", "a", "b", "--retries", "99999999999"], "to 1000000 (-1: no limit)"),
                            (["tasks", "-n", "1000000"], "-n is a number of tasks from 1 to 10000"),
                            (["submit", "a"], "usage"), (["task", "x"], "by its number"),
                            (["cancel", "0"], "by its number"),
                            (["tasks", "-n", "none"], "-n is")):
            self.assertIn(words, self.complained(*args, status=2), args)
        self.assertEqual(self.fake.asked("submit"), [])

    def test_submit_and_wait(self):
        def end(params, peer):
            notify(peer, "progress", id=12, share=0.5, text="half")
            return TASK
        self.serve(submit={"id": 12, "existed": False}, task=end)
        self.assertEqual(self.said("submit", "thumbs", "resize", "--wait"), '12\n{"width": 5}\n')
        self.assertEqual(self.fake.asked("task"), [{"id": 12, "wait": True}])

    def test_numbers_are_shown_as_they_are_written(self):
        numbers = {"a": [0.1, 1.5, 1e300, 9007199254740993, "\0"]}
        self.serve(submit={"id": 12, "existed": False}, task=lambda *_: dict(TASK, result=numbers))
        text = json.dumps(numbers).replace("1e+300", "1e300")
        self.assertEqual(self.said("submit", "thumbs", "resize", "--wait"), "12\n%s\n" % text)
        numbers["a"].append(0.30000000000000004) # that many, where one needs them
        self.assertEqual(json.loads(self.said("--json", "task", "12"))["result"], numbers)

    def test_what_is_valid_elsewhere_is_shown(self):
        deep = json.loads("[" * 700 + "]" * 700)
        for result, shown in ((2 ** 70, "1.1805916207174113e21"), (deep, "[" * 700 + "]" * 700)):
            with self.subTest(shown=shown[:30]):
                self.serve(submit={"id": 12, "existed": False}, task=lambda *_, r=result: dict(TASK, result=r))
                self.assertEqual(self.said("submit", "thumbs", "resize", "--wait"), "12\n%s\n" % shown)

    def test_a_wait_goes_on_when_the_broker_is_killed(self):
        def end(params, peer):
            if len(self.fake.asked("task")) < 3:
                peer.shutdown(socket.SHUT_RDWR)
                return None
            return dict(TASK, state="failed", result=None, error="no such file")
        self.serve(task=end)
        self.assertIn("no such file", self.said("task", "12", "--wait", status=1))

    def test_bytes_come_out_as_they_are(self):
        self.serve(submit={"id": 1}, task=dict(TASK, result={"base64": "aGVsbG8K"}))
        self.assertEqual(self.said("submit", "a", "b", "--wait"), "1\nhello\n")

    def test_bytes_that_are_text_are_shown_as_text(self):
        def told(result, *args):
            self.fake.answers["task"] = dict(TASK, result=result)
            return self.said("task", "12", *args)

        def of(data):
            return {"base64": base64.b64encode(data).decode()}
        self.serve(submit={"id": 12})
        self.assertIn("\nresult       hello ä\n", told(of("hello ä".encode())))
        self.assertIn("\nresult\n    one\n    two \\x1b[m\n", told(of(b"one\ntwo \x1b[m\n")))
        for data in (b"\xff\xfe", b"a\0b", bytes(1 << 20)):
            out = told(of(data))
            self.assertIn("%d bytes: supervisorctl task 12 --raw" % len(data), out)
            self.assertNotIn("base64", out)
            self.assertLess(len(out), 1000)
        # Nothing floods a terminal; --raw has it all.
        for result in (of(b"x" * (1 << 19) + b"\n"), of(b"ab\n" * (1 << 18)), ["y" * (1 << 19)]):
            out = told(result)
            self.assertLess(len(out), 20000)
            self.assertIn("...\n", out)
            self.assertIn("bytes in all: supervisorctl task 12 --raw", out)
        self.assertEqual(told(of(b"ab\n" * (1 << 18)), "--raw"), "ab\n" * (1 << 18))
        self.assertEqual(told({"a": 1}, "--raw"), '{"a": 1}\n')
        self.assertEqual(told(None, "--raw"), "")
        self.fake.answers["task"] = dict(TASK, state="failed", error="no luck")
        self.assertIn("failed: no luck", self.complained("task", "12", "--raw", status=1))
        self.assertIn("choose one", self.complained("task", "12", "--raw", "--json", status=2))

    def test_who_waits_is_told_if_nobody_takes_the_task(self):
        self.serve(submit={"id": 12}, task=dict(TASK, result=None),
                   queue=[{"worker": "a", "threads": 0, "paused": False}])
        terminal = self.terminal("submit", "a", "b", "--wait")
        terminal.until("no instance of a takes tasks now; see: supervisorctl why a\r\n")
        self.assertEqual(terminal.wait(), 0)
        self.said("submit", "a", "b", "--wait") # no terminal, no question
        self.assertEqual(self.fake.asked("queue"), [{"worker": "a"}])
        self.fake.answers["queue"] = [{"worker": "a", "threads": 2, "paused": True}]
        terminal = self.terminal("submit", "a", "b", "--wait")
        terminal.until("a is paused; see")

    def test_progress_stays_in_its_line(self):
        def end(params, peer):
            notify(peer, "progress", id=12, share=0.5, text="ä" * 200)
            return TASK
        self.serve(task=end)
        terminal = self.terminal("task", "12", "--wait")
        drawn = terminal.until("\x1b[K")
        self.assertIn("task 12: 50 %, ää", drawn)
        self.assertLess(len(drawn), 80)

    def test_long_lines_are_cut_for_people(self):
        line = "ü" * 20000
        self.serve(tasks=[dict(TASK, error=line)], why=[{"name": "w", "text": "so\n  %s\nend" % line}],
                   task=dict(TASK, error="one\n%s" % line))
        for args in (["tasks"], ["why", "w"], ["task", "12"]):
            out = self.said(*args)
            self.assertIn("ü" * 990, out)
            self.assertIn("ü...\n", out)
            self.assertLess(max(map(len, out.splitlines())), 1300)
            self.assertIn(line, json.dumps(json.loads(self.said(*args, "--json")), ensure_ascii=False))

    def test_lists_of_nothing(self):
        self.serve(tasks=[])
        self.assertIn("there are no tasks\n", self.complained("tasks", status=0))
        self.assertIn("there are no such tasks\n", self.complained("tasks", "--state", "dead", status=0))

    def test_a_result_on_a_terminal_ends_its_line(self):
        self.serve(submit={"id": 12}, queue=[{"worker": "a", "threads": 2, "paused": False}],
                   task=dict(TASK, result={"base64": "aGVsbG8="}))
        terminal = self.terminal("submit", "a", "b", "--wait")
        terminal.until("12\r\nhello\r\n")
        self.assertEqual(terminal.wait(), 0)

    def test_a_task_for_each_line(self):
        numbers = iter(range(1, 10000))
        self.serve(submit=lambda *_: {"id": next(numbers), "existed": False})
        lines = "".join("[%d]\n" % i for i in range(3000))
        out = self.said("submit", "a", "b", "-", stdin=lines)
        self.assertEqual(out.split(), [str(i) for i in range(1, 3001)])
        self.assertEqual([p["args"] for p in self.fake.asked("submit")],
                         [[i] for i in range(3000)])
        for bad in ("1\n{\n", "1\n{", "\n{\n1\n", " \t\n{\n", "1\n%s\n" % ("1" * (1 << 21))):
            err = self.complained("submit", "a", "b", "-", stdin=bad, status=2)
            self.assertIn("line 2", err)
            self.assertNotIn("target", err)
        self.assertEqual(self.said("submit", "a", "b", "-", stdin="\n \n\t\r\n"), "")

    def test_a_full_queue_says_how_many_it_took(self):
        def submit(params, peer):
            if params["args"] > 1:
                raise Refuse(1, "the queue of a is full")
            return {"id": 1 + params["args"]}
        self.serve(submit=submit)
        status, out, err = self.ctl("submit", "a", "b", "-", stdin="0\n1\n2\n3\n")
        self.assertEqual((status, out), (1, "1\n2\n"))
        self.assertIn("2 accepted, 2 refused", err)
        self.assertIn("line 3: the queue of a is full\n", err)
        status, out, err = self.ctl("submit", "a", "b", "-", "--json", stdin="0\n\n2\n")
        self.assertEqual([json.loads(line) for line in out.splitlines()],
                         [{"id": 1}, {"error": {"code": 1, "message": "the queue of a is full"}, "line": 3}])

    def test_equal_refusals_are_summed_up(self):
        def submit(params, peer):
            if params["args"] == 1:
                return {"id": 7}
            raise Refuse(2 - params["args"] % 2, "no" if params["args"] < 5 else "never")
        self.serve(submit=submit)
        status, out, err = self.ctl("submit", "a", "b", "-", stdin="2\n" * 3000 + "1\n4\n5\n6\n7\n1\n2\n")
        self.assertEqual((status, out), (2, "7\n7\n"))
        self.assertEqual(err.replace("supervisorctl: ", "").splitlines(), [
            "line 1: no", "the same for 3000 more lines, up to line 3002",
            "line 3003: never", "the same for 2 more lines, up to line 3005",
            "line 3007: no", "2 accepted, 3005 refused"])

    def test_answers_are_told_in_the_order_of_the_lines(self):
        kept = []

        def submit(params, peer):
            # Each second one is answered before the first.
            kept.append(params["args"])
            number = self.fake.requests[-1]["id"]
            line = b'{"jsonrpc":"2.0","id":%d,"result":{"id":%d}}\n'
            if len(kept) % 2:
                return b""
            return (line % (number, kept[-1])) + (line % (number - 1, kept[-2]))
        self.serve(submit=submit)
        out = self.said("submit", "a", "b", "-", stdin="".join("%d\n" % n for n in range(1, 5001)))
        self.assertEqual(out.split(), [str(n) for n in range(1, 5001)])

    def test_a_line_is_not_kept_until_the_next_one(self):
        self.serve(submit=lambda params, peer: {"id": params["args"]})
        process = subprocess.Popen(self.argv("submit", "a", "b", "-"), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, env=self.environ)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdout.close)
        for number in (1, 2, 3):
            process.stdin.write(b"%d\n" % number)
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), b"%d\n" % number)
        process.stdin.close()
        self.assertEqual(process.wait(driver.DEADLINE), 0)

    def test_tables(self):
        self.serve(tasks=[TASK], queue=[
            {"worker": "thumbs", "queued": 7, "running": 1, "paused": True, "paused_why": "by you",
             "threads": 8, "in_per_second": 1.25, "wait_p50": 0.002, "store": "the disk is full"}],
            schedules=[{"name": "n", "worker": "thumbs", "func": "f",
                        "next": "2026-01-02T03:04:05.678Z", "last_task": 3}],
            threads=[{"instance": "thumbs:0", "thread": 1, "state": "task", "task": 12,
                      "func": "resize", "for": 61.5, "share": 0.25, "stuck": True}])
        self.assertRegex(self.said("tasks", "thumbs", "--state", "done"), r"(?m)^12 +thumbs +resize")
        self.assertEqual(self.fake.asked("tasks"), [{"worker": "thumbs", "state": "done"}])
        status, out, err = self.ctl("queue")
        self.assertEqual(status, 0, err)
        self.assertRegex(out, r"(?m)^thumbs +7 ")
        self.assertIn("thumbs is paused: by you", out)
        self.assertIn("the disk is full", err)
        self.assertIn("2026-01-02 03:04:05", self.said("schedules"))
        self.assertRegex(self.said("status", "--threads"), r"thumbs:0/1 +task \(stuck\) +12 +resize")

    def test_cancel_and_requeue(self):
        self.serve(cancel=dict(TASK, state="cancelled"), requeue=dict(TASK, state="queued"),
                   pause={"worker": "a", "paused": True}, resume={"worker": "a", "paused": False})
        self.assertIn("12: asked to end, cancelled", self.said("cancel", "12"))
        self.assertEqual(len(json.loads(self.said("requeue", "12", "13", "--json"))), 2)
        self.assertEqual(self.said("cancel", "-", stdin="1 2\n\n3\n").count("asked to end"), 3)
        self.assertEqual(json.loads(self.said("cancel", "-", "--json", stdin="\n")), [])
        self.assertIn("by its number", self.complained("cancel", "-", stdin="1 x 2\n", status=2))
        self.assertEqual([p["id"] for p in self.fake.asked("cancel")], [12, 1, 2, 3, 1, 2])
        self.said("pause", "a", "--for", "10s")
        self.said("resume", "a")
        self.assertEqual(self.fake.asked("pause"), [{"worker": "a", "for": 10}])

    def test_many_are_cancelled_at_once(self):
        """Answers that are more than the connection holds do not stop the requests."""
        task = dict(TASK, state="cancelled", args="x" * 30000)
        self.serve(cancel=lambda params, peer: dict(task, id=params["id"]))
        numbers = [str(n) for n in range(1, 2001)]
        out = self.said("cancel", "-", stdin="\n".join(numbers))
        self.assertEqual(out, "".join("%s: asked to end, cancelled\n" % n for n in numbers))

    def test_the_broker_is_asked_where_it_listens(self):
        self.serve(version={"version": "0.1.0"})
        tasks = Fake(os.path.join(self.dir, "tasks.sock"), {"queue": []})
        self.addCleanup(tasks.close)
        self.addCleanup(tasks.hang_up)
        out = self.said(stdin="queue --json\nversion\ntasks --json\n", status=1)
        self.assertEqual(out.splitlines()[:2], ["[]", "0.1.0"])
        self.assertEqual([r["method"] for r in tasks.requests], ["queue", "tasks"])
        self.assertEqual([r["method"] for r in self.fake.requests], ["version"])


class Odd(Case):
    def test_answers_that_are_none(self):
        for answer in (b"hello\n", b"{}\n", b"[]\n", b'{"id":1,"result":\n', b'{"id":1}\n',
                       b'{"id":1,"result":[1}]}\n', b'{"id":1,"error":{"code":"x"}}\n'[:-2] + b"\n",
                       b"\xff\xfe\x00\n", b"[" * 100000 + b"\n", b'{"id":1e400,"result":1}\n'):
            with self.subTest(answer=answer[:30]):
                self.serve(version=lambda *_, a=answer: a)
                err = self.complained("version", status=7)
                self.assertIn("malformed", err)
                self.fake.hang_up(listener_too=True)

    def test_results_of_another_shape(self):
        shapes = (1, "x", None, [], {}, [[]], [{}], [1, "x", None], {"plan": 5}, [{"name": 5}],
                  {"instances": 3})
        commands = (["status"], ["status", "--json"], ["start", "a"], ["scale", "a", "1"], ["info"],
                    ["why", "a"], ["logs", "a"], ["events"], ["history", "a"], ["reload"],
                    ["version"], ["pid"], ["pid", "a"])
        self.serve()
        for command in commands:
            for shape in shapes:
                # null as a result is json-rpc's way to say nothing.
                self.fake.answers[command[0]] = \
                    (lambda r: lambda *_: r)(
                        b'{"jsonrpc":"2.0","id":%d,"result":%s}\n' % (
                            2 if command[0] == "status" else 1, json.dumps(shape).encode()))
                status, _, err = self.ctl(*command)
                self.assertIn(status, (0, 1, 3, 7), "%s %s: %s" % (command, shape, err))

    def test_late_and_foreign_messages_are_passed_over(self):
        def noisy(_params, peer):
            peer.sendall(b'{"jsonrpc":"2.0","id":99,"result":{"version":"9"}}\n')
            notify(peer, "progress", done="x")
            notify(peer, "nonsense")
            return {"version": "0.1.0"}
        self.serve(version=noisy)
        self.assertEqual(self.said("version"), "0.1.0\n")

    def test_an_answer_in_pieces(self):
        def slowly(_params, peer):
            for byte in b'{"jsonrpc":"2.0","id":1,"result":{"version":"0.1.0"}}\n':
                peer.sendall(bytes([byte]))
        self.serve(version=slowly)
        self.assertEqual(self.said("version"), "0.1.0\n")

    def test_output_that_cannot_be_written(self):
        self.serve(status=ROWS)
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run(self.argv("status"), stdout=full, stderr=subprocess.PIPE,
                                  stdin=subprocess.DEVNULL, env=self.environ, check=False,
                                  timeout=driver.DEADLINE, encoding="utf-8")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot write", done.stderr)

    def test_a_full_backlog(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path)
            listener.listen(0)
            held = []
            for _ in range(8):
                s = socket.socket(socket.AF_UNIX)
                self.addCleanup(s.close)
                s.setblocking(False)
                held.append(s)
                try:
                    s.connect(self.path)
                except BlockingIOError:
                    break
            self.assertIn("has not taken the connection", self.complained("version", status=7))

    @unittest.skipUnless(driver.LONG, "takes 30 s; SUPERVISORD_TEST_LONG=1")
    def test_silence(self):
        self.serve(version=lambda *_: None)
        self.assertIn("has not answered", self.complained("version", status=7, timeout=60))
