"""supervisorctl where it stays for longer: events, logs, the end of supervisord,
and its shell.
"""

import json
import os
import re
import signal
import socket

import driver
from ctl_rig import Refuse, notify, INFO, ROWS, Case


class Events(Case):
    def event(self, seq, **more):
        return dict({"seq": seq, "at": "2026-01-02T03:04:05.678Z", "name": "web:0",
                     "kind": "state", "from": "RUNNING", "to": "STOPPING", "reason": "asked for",
                     "actor": None}, **more)

    def test_the_past(self):
        fake = self.serve(events=[
            self.event(1), self.event(2, actor={"uid": 0, "pid": 5, "command": "supervisorctl stop web"}),
            self.event(3, name=None, kind="reload", to=None, **{"from": None})])
        self.assertEqual(self.said("events", "--since", "1h"), "".join(l + "\n" for l in (
            "2026-01-02 03:04:05.678  web:0  RUNNING -> STOPPING: asked for",
            "2026-01-02 03:04:05.678  web:0  RUNNING -> STOPPING: asked for, "
            "by root (uid 0): supervisorctl stop web",
            "2026-01-02 03:04:05.678  supervisord  reload: asked for")))
        self.assertIn(fake.asked("events")[0]["since"], (3600, 3601))
        self.said("events", "web")
        self.assertEqual(fake.asked("events")[1], {"targets": ["web"], "limit": 100})

    def test_following_shows_nothing_twice_and_misses_nothing(self):
        def subscribe(_params, peer):
            notify(peer, "event", **self.event(2, reason="two"))
            return {"subscribed": True}

        def past(_params, peer):
            notify(peer, "event", **self.event(3, reason="three"))
            return [self.event(1, reason="one"), self.event(2, reason="two")]
        self.serve(events=past, events__subscribe=subscribe)
        out = self.start("events", "-f", "--since", "1h")
        text = out.until("three\n")
        self.assertEqual(re.findall("one|two|three", text), ["one", "two", "three"])
        notify(self.fake.peers[0], "event", **self.event(4, reason="four"))
        out.until("four\n")
        # The master is restarted: connected again, what was missed is shown.
        self.fake.answers["events"] = [self.event(4, reason="four"), self.event(5, reason="five")]
        self.fake.answers["events.subscribe"] = {"subscribed": True}
        self.fake.hang_up()
        self.assertNotIn("four", out.until("five\n"))

    def test_json_lines(self):
        def subscribe(_params, peer):
            notify(peer, "event", **self.event(2))
            return {"subscribed": True}
        self.serve(events__subscribe=subscribe)
        out = self.start("events", "-f", "--json")
        self.assertEqual(json.loads(out.until("\n"))["seq"], 2)
        self.assertEqual(self.fake.asked("events"), [])

    def test_a_refusal_ends_it(self):
        def refuse(*_):
            raise Refuse(4, "no target x")
        self.serve(events__subscribe=refuse)
        self.complained("events", "-f", "x", status=4)


class Logs(Case):
    def log(self, name, text, **more):
        path = os.path.join(self.dir, name + ".log")
        if text is not None:
            driver.write(path, text)
        return dict({"name": name, "stdout": path, "stderr": path, "kind": "file",
                     "stderr_kind": "stdout"}, **more)

    def test_the_last_lines(self):
        text = "".join("line %d\n" % i for i in range(50000))
        self.serve(logs=[self.log("a", text)])
        self.assertEqual(self.said("logs", "a"), "".join("line %d\n" % i for i in range(49980, 50000)))
        self.assertEqual(self.said("logs", "a", "-n", "2"), "line 49998\nline 49999\n")
        self.assertEqual(self.said("logs", "a", "-n", "0"), "")
        self.assertEqual(self.said("logs", "-n", "999999", "a"), text)

    def test_several_are_told_apart(self):
        self.serve(logs=[self.log("web:0", "one\ntwo"), self.log("web:10", "three\n")])
        self.assertEqual(self.said("logs", "web"),
                         "web:0  | one\nweb:0  | two\nweb:10 | three\n")

    def test_json(self):
        self.serve(logs=[self.log("a", "one\ntwo \x1b\n")])
        self.assertEqual(json.loads(self.said("logs", "a", "--json")),
                         [{"name": "a", "stdout": self.dir + "/a.log", "lines": ["one", "two \x1b"]}])

    def test_no_file(self):
        fake = self.serve(logs=[self.log("a", None)])
        self.assertIn("nothing written yet", self.complained("logs", "a", status=0))
        for kind in ("inherit", "null", "syslog"):
            fake.answers["logs"] = [{"name": "a", "stdout": None, "stderr": None, "kind": kind}]
            self.assertIn("a: its stdout", self.complained("logs", "a", status=1))
        fake.answers["logs"] = [dict(self.log("a", ""), stdout=self.dir)]
        self.assertIn("cannot read" if os.geteuid() else "Is a directory",
                      self.complained("logs", "a", status=1))

    def test_stderr(self):
        driver.write(self.dir + "/err", "wrong\n")
        self.serve(logs=[self.log("a", "right\n", stderr=self.dir + "/err", stderr_kind="file")])
        self.assertEqual(self.said("logs", "a", "--stderr"), "wrong\n")

    def test_control_bytes_on_a_terminal(self):
        self.serve(logs=[self.log("a", "\x1b[2Jboo\n")])
        self.terminal("logs", "a").until("\\x1b[2Jboo")
        self.assertEqual(self.said("logs", "a"), "\x1b[2Jboo\n")

    def test_following_across_rotation(self):
        log = self.log("a", "old\n")
        path = log["stdout"]
        self.serve(logs=[log])
        out = self.start("logs", "-f", "a")
        out.until("old\n")
        with open(path, "a") as f:
            f.write("more ")
        out.until("more ")
        with open(path, "a") as f:
            f.write("1\n")
            f.flush()
            os.rename(path, path + ".1")
            f.write("2\n")
        driver.write(path, "long enough 3\n")
        self.assertEqual(out.until("3\n"), "1\n2\nlong enough 3\n")
        # Cut, as by copytruncate.
        driver.write(path, "")
        driver.write(path, "4\n")
        out.until("4\n")

    def test_following_through_several_rotations_at_once(self):
        log = self.log("a", "0\n")
        path = log["stdout"]
        self.serve(logs=[log])
        out = self.start("logs", "-f", "a")
        out.until("0\n")
        out.process.send_signal(signal.SIGSTOP)
        for n in range(1, 4):
            for k in range(n - 1, 0, -1):
                os.rename("%s.%d" % (path, k), "%s.%d" % (path, k + 1))
            os.rename(path, path + ".1")
            driver.write(path, "%d\n" % n)
        out.process.send_signal(signal.SIGCONT)
        self.assertEqual(out.until("3\n"), "1\n2\n3\n")

    def test_following_what_is_not_there_yet(self):
        a, b = self.log("a", None), self.log("b", "")
        self.serve(logs=[a, b])
        out = self.start("logs", "-f", "all")
        driver.eventually(lambda: self.fake.asked("logs"))
        driver.write(b["stdout"], "begin ")
        driver.write(a["stdout"], "here\n")
        out.until("a | here\n")
        with open(b["stdout"], "a") as f:
            f.write("end\n")
        out.until("b | begin end\n")


class Ends(Case):
    def test_shutdown_waits_for_the_end(self):
        def stop(params, peer):
            self.assertEqual(params.get("now"), True)
            peer.sendall(b'{"jsonrpc":"2.0","id":1,"result":{"stopping":true}}\n')
        self.serve(shutdown=stop)
        out = self.start("shutdown", "--now")
        driver.eventually(lambda: self.fake.asked("shutdown"))
        self.assertIsNone(out.process.poll())
        # Only the master went: the wish is told again.
        self.fake.hang_up()
        driver.eventually(lambda: len(self.fake.asked("shutdown")) == 2)
        self.fake.hang_up(listener_too=True)
        self.assertIn("ended", out.until("\n"))
        self.assertEqual(out.wait(), 0)

    def test_shutdown_may_be_refused(self):
        def refuse(*_):
            raise Refuse(1, "permission denied")
        self.serve(shutdown=refuse)
        self.complained("shutdown", status=1)

    def test_upgrade_waits_for_the_new_one(self):
        def upgrade(_params, peer):
            peer.sendall(b'{"jsonrpc":"2.0","id":2,"result":{"upgrading":true,"incarnation":3}}\n')
            self.fake.answers["info"] = new
            self.fake.hang_up()

        def new(_params, peer):
            # The first to connect meets the old one on its way out.
            self.fake.answers["info"] = dict(INFO, version="0.2.0", incarnation=4)
            peer.shutdown(socket.SHUT_RDWR)
        self.serve(upgrade=upgrade)
        self.assertEqual(self.said("upgrade"), "upgraded: 0.1.0 -> 0.2.0 (incarnation 3 -> 4)\n")

    def test_an_upgrade_that_failed(self):
        def upgrade(_params, _peer):
            self.fake.answers["info"] = dict(INFO, upgrade_error="cannot execute x: no such file")
            return {"upgrading": True, "incarnation": 3}
        self.serve(upgrade=upgrade)
        self.assertIn("cannot execute x", self.complained("upgrade", status=1))


class Shell(Case):
    def test_lines_of_a_pipe(self):
        self.serve(status=ROWS, version={"version": "0.1.0"})
        status, out, err = self.ctl(stdin="version\n\n# nothing\nfrob\n'status' \"web\"\nquit\nversion\n")
        self.assertEqual(status, 2)
        self.assertIn("frob", err)
        self.assertEqual(len(out.splitlines()), 3)
        self.assertEqual(self.fake.asked("status"), [{"targets": ["web"], "columns": True}])
        self.assertIn("quote", self.complained(stdin="status 'web", status=2))

    def test_one_connection_for_all_made_again_when_lost(self):
        self.serve(version={"version": "0.1.0"})
        term = self.terminal()
        term.until("supervisor> ")
        term.type("version\n")
        term.until("0.1.0")
        term.type("version\n")
        term.until("0.1.0")
        self.assertEqual(self.fake.connections, 1)
        self.fake.hang_up()
        term.type("version\n")
        term.until("was lost")
        term.until("0.1.0")
        self.fake.hang_up(listener_too=True)
        term.type("version\n")
        term.until("no supervisord answers")
        self.fake.listen()
        term.type("version\n")
        term.until("0.1.0")
        term.until("supervisor> ")
        term.type("\x04")
        self.assertEqual(term.wait(), 0)

    def test_completion(self):
        self.serve(status=ROWS + [["worker:0", "STOPPED", None, None, 0, ""]],
                   why=[{"name": "web:1", "text": "because"}], version={"version": "0.1.0"})
        term = self.terminal()
        term.until("supervisor> ")
        term.type("why wor\t\n") # before any command has connected
        term.until("because")
        term.type("vers\t\n")
        term.until("0.1.0")
        self.assertEqual(self.fake.asked("why")[0], {"targets": ["worker"]})
        term.type("why web:\t1\n")
        term.until("because")
        self.assertEqual(self.fake.asked("why")[1], {"targets": ["web:1"]})
        term.type("exit\n")
        self.assertEqual(term.wait(), 0)

    def test_history_is_kept(self):
        self.serve(version={"version": "0.1.0"})
        for keys in ("version\n", "\x1b[A\x1b[A\n"):
            term = self.terminal()
            term.until("supervisor> ")
            term.type(keys)
            term.until("\n0.1.0")
            term.type("quit\n")
            self.assertEqual(term.wait(), 0)
        self.assertTrue(os.path.exists(self.dir + "/state/supervisord/history"))

    def test_an_interrupt_ends_the_command_only(self):
        def subscribe(_params, peer):
            notify(peer, "event", seq=1, reason="first")
            return {"subscribed": True}
        self.serve(version={"version": "0.1.0"}, stop=lambda *_: None, events__subscribe=subscribe)
        term = self.terminal()
        term.until("supervisor> ")
        term.type("events -f\n")
        term.until("first")
        term.type("\x03")
        term.until("supervisor> ")
        term.type("stop web\n")
        driver.eventually(lambda: self.fake.asked("stop"))
        term.type("\x03")
        term.until("interrupted")
        term.until("supervisor> ")
        term.type("half a line\x03")
        term.until("supervisor> ")
        term.type("version\n")
        term.until("0.1.0")
        term.type("exit\n")
        self.assertEqual(term.wait(), 0)

    def test_global_options(self):
        self.serve(version={"version": "0.1.0"})
        out = self.said(stdin="version --json\nversion\n")
        self.assertEqual(out, '{"version": "0.1.0"}\n0.1.0\n')
        self.assertIn("command line", self.complained(stdin="version -s x\n", status=2))
