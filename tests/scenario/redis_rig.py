"""A redis-server of a test's own, and supervisords that share a queue in it."""

import json
import os
import shutil
import signal
import socket
import subprocess

import driver
from driver import eventually
from test_queue import Queue, WORKER, QUICK

SERVER = shutil.which("redis-server")


class Redis:
    """On a Unix socket and a TCP port of loopback; safe as `durability = "full"`
    wants it, unless told otherwise."""

    def __init__(self, case, *settings):
        self.case, self.dir = case, case.folder()
        self.path = os.path.join(self.dir, "r.sock")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.settings = settings or ("--appendonly", "yes", "--appendfsync", "always")
        self.password = None
        self.process = None
        case.addCleanup(self.kill)
        self.start()

    def start(self):
        with open(os.path.join(self.dir, "redis.log"), "ab") as log:
            self.process = subprocess.Popen(
                [SERVER, "--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.path,
                 "--dir", self.dir, "--save", "", "--auto-aof-rewrite-percentage", "0",
                 *self.settings],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir)
        eventually(self.answers, what="redis-server answers")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def answers(self):
        try:
            return self.ask("PING") in ("+PONG", "-NOAUTH Authentication required.")
        except (OSError, ConnectionError):
            return False

    def ask(self, *words):
        """The answer to one command: its line, or a string's text."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.path)
            with s.makefile("rb") as answers:
                for command in ([("AUTH", self.password)] if self.password else []) + [
                        ("SELECT", "1"), words]:
                    s.sendall(b"*%d\r\n" % len(command) + b"".join(
                        b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in command))
                    line = answers.readline()
                if line.startswith(b"$") and line != b"$-1\r\n":
                    line = answers.readline()
            if not line:
                raise ConnectionError("redis hung up")
            return line.decode().strip()

    def unix(self):
        return "unix://%s?db=1" % self.path

    def tcp(self, login=""):
        return "redis://%s127.0.0.1:%d/1" % (login, self.port)


class Sharing(Queue):
    """Supervisords with the worker `w`, whose queue is shared."""

    weight = 40

    def setUp(self):
        if SERVER is None:
            self.skipTest("needs redis-server")
        super().setUp()
        self.ledgers = self.folder()

    def config(self, url, settings="", tasks="", more="", lease="2s"):
        return ('workers: { w: { command = [ %s, "%s/ledger" ]; %s %s tasks: { store = "%s"; '
                'lease = "%s"; %s }; };\n%s };' % (
                    WORKER, self.ledgers, QUICK, settings, url, lease, tasks, more))

    def sharing(self, url, top="", **options):
        sup = self.supervisord(self.config(url, **options), top=top)
        if "processes = 0;" not in options.get("settings", ""):
            sup.wait_running()
        self.well(sup)
        return sup

    def queue(self, sup, worker="w"):
        return json.loads(sup.ctl_ok("queue", worker, "--json"))[0]

    def well(self, sup, worker="w"):
        return eventually(lambda: self.queue(sup, worker)["store"] == "ok",
                          what="the shared store is well")

    def unwell(self, sup, worker="w"):
        return eventually(lambda: (lambda s: s != "ok" and s)(self.queue(sup, worker)["store"]),
                          what="the shared store is not well")

    def entries(self):
        """[(word, id, attempt, pid)] of all supervisords, in order."""
        try:
            lines = driver.read(os.path.join(self.ledgers, "ledger")).splitlines()
        except FileNotFoundError:
            return []
        return [(w, int(i), int(a), int(p)) for w, i, a, p in (line.split() for line in lines)]

    def why(self, sup, number):
        with driver.Connection(os.path.join(sup.run_dir, "tasks.sock")) as tasks:
            return tasks.call("why", task=number)["text"]

    def begun(self, number):
        return eventually(lambda: [e for e in self.entries() if e[:2] == ("begin", number)],
                          what="task %d begins" % number)

    def in_both(self, a, b, numbers):
        """Both have run some of these."""
        pids = {e[3] for e in self.entries() if e[1] in numbers}
        return bool(pids & set(a.pids("w").values())) and bool(pids & set(b.pids("w").values()))

    @staticmethod
    def kill_all(sup):
        """A machine that is gone."""
        for pid in [sup.guardian_pid] + sup.descendants():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
