"""The control socket: a client that is slow, hostile or gone delays nobody."""

import json
import os
import resource
import socket
import stat
import subprocess
import threading

import driver
from driver import fleet

WEB = fleet(web='command = "@P/pause";')


class Messages(driver.Case):
    def setUp(self):
        self.sup = self.supervisord(WEB)
        self.sup.wait_running()
        self.master = self.sup.master()

    def still_well(self):
        self.assertEqual(self.sup.one("web:0")["state"], "RUNNING")
        self.assertEqual(self.sup.info()["master_pid"], self.master)

    def test_malformed_messages_get_an_error_each(self):
        cases = [
            (b"{", -32700), (b"nonsense", -32700), (b"\xff\xfe", -32700), (b'{"a":1,"a":2}', None),
            (b"[]", -32600), (b"42", None), (b"{}", -32600), (b'{"jsonrpc":"2.0","id":1}', -32600),
            (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
            (b'{"jsonrpc":"2.0","id":1,"method":"nosuch"}', -32601),
            (b'{"jsonrpc":"2.0","id":1,"method":"status","params":{"targets":{"web":1}}}', None),
            (b'{"jsonrpc":"2.0","id":1,"method":"status","params":{"targets":[7]}}', None),
            (b'{"jsonrpc":"2.0","id":1,"method":"start","params":{}}', 2),
            (b'{"jsonrpc":"2.0","id":1,"method":"start","params":{"targets":[]}}', None),
            (b'{"jsonrpc":"2.0","id":1,"method":"scale","params":{"worker":"web","count":"x"}}', None),
            (b'{"jsonrpc":"2.0","id":1,"method":"scale","params":{"worker":"web","count":1e30}}', None),
            (b'{"jsonrpc":"2.0","id":1,"method":"signal","params":{"signal":-9,"targets":["web"]}}', None),
            (b"[" * 100000, None), (b'{"id":' + b'[' * 3000 + b']' * 3000 + b'}', None),
        ]
        for text, code in cases:
            with self.sup.connect() as c:
                c.send(text + b"\n")
                line = c.read_line()
                self.assertTrue(line, "no answer to %r" % text[:60])
                answer = json.loads(line)
                self.assertIn("error", answer, text[:60])
                self.assertTrue(answer["error"]["message"])
                if code is not None:
                    self.assertEqual(answer["error"]["code"], code, text)
        self.still_well()

    def test_a_connection_goes_on_after_an_error(self):
        with self.sup.connect() as c:
            c.send(b"nonsense\n")
            self.assertIn("error", c.read_message())
            self.assertTrue(c.call("info")["pid"])

    def test_the_id_comes_back_as_it_was(self):
        with self.sup.connect() as c:
            for id_ in (7, "seven", None, -1, 2 ** 53):
                c.send(json.dumps({"jsonrpc": "2.0", "id": id_, "method": "version"}).encode() + b"\n")
                self.assertEqual(c.read_message()["id"], id_)
            c.send(b'{"jsonrpc":"2.0","method":"version"}\n')
            self.assertTrue(c.call("version")["version"])

    def test_many_requests_in_one_packet_are_answered_in_order(self):
        with self.sup.connect() as c:
            c.send(b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"version"}\n' % i for i in range(500)))
            self.assertEqual([c.read_message()["id"] for _ in range(500)], list(range(500)))

    def test_a_message_in_pieces(self):
        with self.sup.connect() as c:
            for byte in b'{"jsonrpc":"2.0","id":1,"method":"version"}\n':
                c.send(bytes([byte]))
            self.assertIn("result", c.read_message())

    def test_a_huge_message_costs_its_sender_the_connection(self):
        with self.sup.connect() as c:
            try:
                c.send(b'{"jsonrpc":"2.0","id":1,"method":"status","params":{"x":"')
                for _ in range(80):
                    c.send(b"x" * 65536)
                c.send(b'"}}\n')
                answer = c.read_message()
                self.assertIn("error", answer)
            except (ConnectionResetError, BrokenPipeError):
                pass
        self.still_well()

    def test_a_large_message_within_the_limit_is_taken(self):
        with self.sup.connect() as c:
            c.send(b'{"jsonrpc":"2.0","id":1,"method":"version","params":{"command":"' +
                   b"x" * (1000 * 1000) + b'"}}\n')
            self.assertIn("result", c.read_message())

    def test_half_a_message_and_gone(self):
        for _ in range(50):
            with self.sup.connect() as c:
                c.send(b'{"jsonrpc":"2.0","id":1,"meth')
        for _ in range(50):
            with self.sup.connect() as c:
                c.send(b'{"jsonrpc":"2.0","id":1,"method":"status"}\n')
        self.still_well()

    def test_hang_up_while_waiting_for_an_outcome(self):
        self.sup.configure(fleet(web='command = "@P/slow-stop 700";'))
        self.sup.rpc("reload")
        self.sup.wait_running()
        self.sup.wait_stdout("web:0", "^ready")
        with self.sup.connect() as c:
            c.send(b'{"jsonrpc":"2.0","id":1,"method":"stop","params":{"targets":["web"]}}\n')
            self.sup.wait_state("web", "STOPPING")
        self.sup.wait_state("web", "STOPPED")

    def test_one_who_never_reads(self):
        with self.sup.connect() as c:
            c.socket.setblocking(False)
            sent, request = 0, b'{"jsonrpc":"2.0","id":1,"method":"events"}\n' * 1000
            try:
                for _ in range(2000):
                    sent += c.socket.send(request)
            except (BlockingIOError, ConnectionResetError, BrokenPipeError):
                pass
            self.still_well()
            self.sup.ctl_ok("restart", "web", timeout=20)
        self.still_well()
        rss = int(driver.read("/proc/%d/statm" % self.master).split()[1]) * 4096
        self.assertLess(rss, (400 if driver.SANITIZED else 64) << 20)

    def test_a_subscriber_who_never_reads(self):
        self.sup.configure(fleet(web='command = "@P/exits 1 60"; processes = 20; backoff: { initial = "1ms"; max = "1ms"; };'))
        with self.sup.connect() as c:
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            c.call("events.subscribe")
            self.sup.rpc("reload")
            self.sup.wait(lambda rows: sum(r["restarts"] for r in rows) > 300, deadline=60)
        self.assertEqual(self.sup.info()["master_pid"], self.master)

    def test_events_arrive_as_they_happen(self):
        with self.sup.connect() as c:
            c.call("events.subscribe", targets=["web"])
            self.sup.ctl_ok("stop", "web")
            seen = [c.event() for _ in range(2)]
        self.assertEqual([(e["name"], e["from"], e["to"]) for e in seen],
                         [("web:0", "RUNNING", "STOPPING"), ("web:0", "STOPPING", "STOPPED")])
        self.assertEqual(seen[0]["actor"]["uid"], os.getuid())
        self.assertLess(seen[0]["seq"], seen[1]["seq"])

    def test_a_thousand_idle_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        idle = []
        try:
            for _ in range(1000):
                s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                s.settimeout(10)
                s.connect(self.sup.socket_path)
                idle.append(s)
            status, out, err = self.sup.ctl("status", timeout=20)
            self.assertEqual(status, 0, out + err)
            self.still_well()
        finally:
            for s in idle:
                s.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.still_well()

    def test_many_clients_at_once(self):
        errors = []

        def client():
            try:
                for _ in range(20):
                    status, out, err = self.sup.ctl("status")
                    if status != 0:
                        errors.append(out + err)
            except Exception as e: # pylint: disable=broad-except
                errors.append(e)
        threads = [threading.Thread(target=client) for _ in range(10)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(errors, [])


class Targets(driver.Case):
    def test_words_for_targets(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 3;', db='command = "@P/pause";'))
        sup.wait_running()
        names = lambda *t: [r["name"] for r in sup.status(*t)]
        self.assertEqual(names("web"), ["web:0", "web:1", "web:2"])
        self.assertEqual(names("web:1", "db"), ["web:1", "db:0"])
        self.assertEqual(names("all"), names())
        for bad in ("nobody", "web:3", "web:-1", "web:x", "web:", ":0", "", "web:00000000000000000000",
                    "../web", "web:0:0", "*"):
            with self.assertRaises(driver.RpcError, msg=repr(bad)) as caught:
                sup.status(bad)
            self.assertEqual(caught.exception.code, 4, repr(bad))
        status, _, err = sup.ctl("stop", "wev")
        self.assertEqual(status, 4)
        self.assertIn("wev", err)
        self.assertEqual(len(sup.wait_running()), 4, "nothing was stopped by a bad target")
        self.assertEqual(sup.ctl("stop", "db", "nobody")[0], 4)
        self.assertEqual(sup.one("db:0")["state"], "RUNNING")

    def test_exit_statuses(self):
        sup = self.supervisord(fleet(web='command = "@P/pause";', off='command = "@P/pause"; autostart = false;'))
        sup.wait_running("web")
        self.assertEqual(sup.ctl("status", "web")[0], 0)
        self.assertEqual(sup.ctl("status")[0], 3)
        self.assertEqual(sup.ctl("status", "no")[0], 4)
        self.assertEqual(sup.ctl("nosuchcommand")[0], 2)
        self.assertEqual(sup.ctl_with(["-s", sup.dir + "/nothing"], "status")[0], 7)
        status, out, _ = sup.ctl_with(["-c", sup.config_path], "status", "web")
        self.assertEqual(status, 0, "the socket is found by the config")


class Permission(driver.Case):
    def setUp(self):
        self.as_root("plays other users")

    def rpc_as(self, uid, path, method, **params):
        """The message of an error, or None; asked by another user."""
        program = """
import json, os, socket, sys
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[2])
s.sendall(sys.argv[3].encode() + b"\\n")
print(s.makefile().readline())
"""
        request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        done = subprocess.run(["/usr/bin/python3", "-c", program, str(uid), path, request],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            return done.stderr.strip().splitlines()[-1]
        return json.loads(done.stdout).get("error", {}).get("message")

    def test_viewers_may_look_and_strangers_may_not(self):
        sup = self.supervisord(WEB, top='control: { mode = "0666"; admins = [ "4001" ]; viewers = [ "4002" ]; };')
        sup.wait_running()
        for uid, look, act in ((4001, True, True), (4002, True, False), (4003, False, False)):
            self.assertEqual(self.rpc_as(uid, sup.socket_path, "status") is None, look, uid)
            self.assertEqual(self.rpc_as(uid, sup.socket_path, "restart", targets=["web"]) is None, act, uid)
        for method, params in (("stop", {"targets": ["web"]}), ("signal", {"signal": "HUP", "targets": ["web"]}),
                               ("reload", {}), ("scale", {"worker": "web", "count": 2}),
                               ("shutdown", {}), ("upgrade", {})):
            self.assertIn("permi", self.rpc_as(4002, sup.socket_path, method, **params), method)
        self.assertEqual(len(sup.wait_running()), 1)

    def test_the_socket_has_the_mode_asked_for(self):
        sup = self.supervisord(WEB, top='control: { mode = "0600"; };')
        self.assertEqual(stat.S_IMODE(os.stat(sup.socket_path).st_mode), 0o600)
        self.assertIn("ermission", self.rpc_as(4003, sup.socket_path, "status"))
        sup = self.supervisord(WEB)
        self.assertEqual(stat.S_IMODE(os.stat(sup.socket_path).st_mode), 0o660)


class Past(driver.Case):
    def test_a_worker_has_the_events_of_instances_it_had(self):
        sup = self.supervisord('workers: { w: { command = "@P/pause"; }; v: { command = "@P/pause"; }; };')
        sup.wait_running()
        sup.ctl_ok("scale", "w", "2")
        sup.ctl_ok("scale", "w", "1")
        sup.wait_db("select * from exits where name = 'w:1'")
        for target in ("w", "w:*"):
            told = sup.ctl_ok("events", target)
            self.assertRegex(told, r"w:1 .*STOPPING: no longer one of the 1 wanted")
            self.assertNotIn("v:0", told)
            self.assertIn("w:1", sup.ctl_ok("history", target))
        self.assertNotIn("w:1", sup.ctl_ok("events", "w:0"))
        self.assertIn("w:1", sup.ctl_ok("events", "all"))
