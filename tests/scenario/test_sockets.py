"""Listening sockets: passed to workers, open through kills, reloads and ends."""

import os
import signal
import socket
import stat
import sys

import driver
from driver import eventually, write

# Says to each that connects which instance it is and by which socket.
SERVER = """
import os, selectors, signal, socket
names = os.environ["LISTEN_FDNAMES"].split(":")
assert int(os.environ["LISTEN_PID"]) == os.getpid()
assert len(names) == int(os.environ["LISTEN_FDS"])
choice = selectors.DefaultSelector()
for i, name in enumerate(names):
    s = socket.socket(fileno=3 + i)
    s.setblocking(False)
    choice.register(s, selectors.EVENT_READ, name)
print("ready", flush=True)
while True:
    for key, _ in choice.select():
        try:
            c, _ = key.fileobj.accept()
        except BlockingIOError:
            continue
        c.sendall(("%s %s" % (os.environ["SUPERVISOR_INSTANCE"], key.data)).encode())
        c.close()
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(address):
    """What the server at the address says; a path or a port."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as s:
        s.settimeout(driver.DEADLINE)
        s.connect(address if isinstance(address, str) else ("127.0.0.1", address))
        return s.recv(100).decode()


class Sockets(driver.Case):
    def server(self, sockets, worker="", processes=1):
        """A supervisord with one worker that serves `sockets` (name: settings)."""
        sup = self.supervisord("workers: { };")
        write(os.path.join(sup.dir, "server.py"), SERVER)
        self.configure(sup, sockets, worker, processes)
        sup.ctl_ok("reload")
        sup.wait_stdout("web:0", "^ready")
        return sup

    def configure(self, sup, sockets, worker="", processes=1):
        sup.configure("sockets: { %s };\nworkers: { web: { command = [ \"%s\", \"server.py\" ]; "
                      "directory = \"@D\"; processes = %d; sockets = [ %s ]; %s }; };" % (
                          " ".join("%s: { %s };" % item for item in sockets.items()), sys.executable,
                          processes, ", ".join('"%s"' % n for n in sockets), worker))

    def test_a_worker_gets_them_by_name(self):
        port = free_port()
        sup = self.server({"http": 'listen = "tcp://127.0.0.1:%d";' % port,
                           "local": 'listen = "unix://app.sock"; mode = "0640";'})
        path = os.path.join(sup.dir, "app.sock")
        self.assertEqual(ask(port), "web:0 http")
        self.assertEqual(ask(path), "web:0 local")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o640)
        self.assertEqual(sup.shutdown(), 0)
        self.assertFalse(os.path.exists(path))

    def test_they_stay_open_while_everybody_is_killed(self):
        port = free_port()
        sup = self.server({"http": 'listen = "tcp://127.0.0.1:%d";' % port},
                          'restart = "never"; stop_timeout = "1s";')
        pid = sup.pid("web:0")
        sup.kill_master()
        self.assertEqual(sup.pid("web:0"), pid)
        self.assertEqual(ask(port), "web:0 http")
        # Nobody serves, and nobody is refused: it waits in the backlog.
        os.kill(pid, signal.SIGKILL)
        sup.wait_state("web", "EXITED")
        sup.kill_master()
        with socket.create_connection(("127.0.0.1", port), driver.DEADLINE) as waiting:
            sup.ctl_ok("start", "web")
            self.assertEqual(waiting.recv(100), b"web:0 http")
        sup.ctl_ok("upgrade")
        self.assertEqual(ask(port), "web:0 http")

    def test_a_reload_adds_changes_and_removes(self):
        first, second = free_port(), free_port()
        sup = self.server({"http": 'listen = "tcp://127.0.0.1:%d";' % first})
        pid = sup.pid("web:0")
        # A deeper backlog touches nobody.
        self.configure(sup, {"http": 'listen = "tcp://127.0.0.1:%d"; backlog = 7;' % first})
        sup.ctl_ok("reload")
        self.assertEqual(sup.pid("web:0"), pid)
        # Another address restarts who listens there.
        self.configure(sup, {"http": 'listen = "tcp://127.0.0.1:%d";' % second})
        sup.ctl_ok("reload")
        sup.wait_running()
        eventually(lambda: ask(second) == "web:0 http")
        with self.assertRaises(ConnectionRefusedError):
            ask(first)

    def test_what_is_taken_refuses_the_reload_and_the_start(self):
        port = free_port()
        sup = self.server({"http": 'listen = "tcp://127.0.0.1:%d";' % port})
        pid = sup.pid("web:0")
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen(1)
            taken = other.getsockname()[1]
            self.configure(sup, {"http": 'listen = "tcp://127.0.0.1:%d";' % port,
                                 "more": 'listen = "tcp://127.0.0.1:%d";' % taken})
            status, _, err = sup.ctl("reload")
            self.assertEqual(status, 1)
            self.assertRegex(err, r"fleet.cfg:\d+: sockets.more: cannot listen on "
                             r"tcp://127.0.0.1:%d: Address already in use; nothing was changed" % taken)
            self.assertEqual(sup.pid("web:0"), pid)
            self.assertEqual(ask(port), "web:0 http")
            self.assertEqual(sup.shutdown(), 0)
            sup.start(wait=False)
            self.assertEqual(sup.wait_end(), 1)
            self.assertIn("sockets.more: cannot listen on tcp://127.0.0.1:%d: Address already in use" % taken,
                          sup.log())
            self.assertEqual(sup.ctl("check", sup.config_path)[0], 0)

    def test_after_a_kill_of_the_guardian_they_are_got_back(self):
        port = free_port()
        sup = self.server({"http": 'listen = "tcp://127.0.0.1:%d";' % port,
                           "local": 'listen = "unix://app.sock";'})
        pid = sup.pid("web:0")
        sup.kill_guardian()
        self.assertEqual(ask(port), "web:0 http")
        sup.start()
        self.assertEqual(sup.pid("web:0"), pid)
        sup.ctl_ok("restart", "web")
        self.assertNotEqual(sup.pid("web:0"), pid)
        self.assertEqual(ask(port), "web:0 http")
        self.assertEqual(ask(os.path.join(sup.dir, "app.sock")), "web:0 local")
