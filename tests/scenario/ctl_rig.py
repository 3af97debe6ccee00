"""For the tests of supervisorctl: a supervisord that isn't one, which is a control
server with canned answers, and what runs the command against it.
"""

import json
import os
import pty
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import driver

CTL = driver.SUPERVISORCTL


class Refuse(Exception):
    def __init__(self, code, message, **data):
        super().__init__(message)
        self.error = {"code": code, "message": message}
        if data:
            self.error["data"] = data


class Fake:
    """Answers method by method: a value, or a function of (params, peer) that
    returns a value, bytes (sent as they are) or None (nothing is sent)."""

    def __init__(self, path, answers):
        self.path = path
        self.answers = answers
        self.requests = []
        self.lock = threading.Lock()
        self.peers = []
        self.connections = 0
        self.listener = self.acceptor = None
        self.listen()

    def listen(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(64)
        self.acceptor = threading.Thread(target=self.accept, args=(self.listener,), daemon=True)
        self.acceptor.start()

    def accept(self, listener):
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.peers.append(peer)
                self.connections += 1
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        buffer = b""
        try:
            while True:
                data = peer.recv(1 << 16)
                if not data:
                    break
                buffer += data
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    self.answer(json.loads(line), peer)
        except OSError:
            pass
        finally:
            with self.lock:
                if peer in self.peers:
                    self.peers.remove(peer)
            peer.close()

    def answer(self, request, peer):
        with self.lock:
            self.requests.append(request)
        message = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            what = self.answers[request["method"]]
            if callable(what):
                what = what(request["params"], peer)
            if what is None:
                return
            if isinstance(what, bytes):
                peer.sendall(what)
                return
            message["result"] = what
        except KeyError:
            message["error"] = {"code": -32601, "message": "no such method"}
        except Refuse as refused:
            message["error"] = refused.error
        peer.sendall(json.dumps(message).encode() + b"\n")

    def asked(self, method):
        """The params of the calls of a method, without the command."""
        with self.lock:
            return [{k: v for k, v in r["params"].items() if k != "command"}
                    for r in self.requests if r["method"] == method]

    def close(self):
        """Closed under its thread, the descriptor's number would soon be another
        test's listener, and that thread would answer there."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass # it is closed
        self.acceptor.join()
        self.listener.close()

    def hang_up(self, listener_too=False):
        if listener_too:
            os.unlink(self.path)
            self.close()
        with self.lock:
            peers, self.peers = self.peers, []
        for peer in peers:
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def notify(peer, method, **params):
    peer.sendall(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode() + b"\n")


INFO = {"version": "0.1.0", "pid": 10, "master_pid": 11, "logger_pid": 12, "incarnation": 3,
        "config": "/etc/x.cfg", "state_dir": "/var/lib/x", "run_dir": "/run/x",
        "state": "running", "store": None, "instances": 2, "running": 1,
        "started_at": "2026-01-02T03:04:05.678Z", "notes": []}
ROWS = [["web:0", "RUNNING", 123, 62.1, 0, None],
        ["web:1", "RUNNING", 124, 86400 + 62.9, 3, None]]


class Case(unittest.TestCase):
    answers = {}

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="svctl")
        self.addCleanup(shutil.rmtree, self.dir)
        self.path = os.path.join(self.dir, "s")
        self.fake = None
        self.environ = {k: v for k, v in os.environ.items()
                        if k not in ("SUPERVISORCTL_SOCKET", "NO_COLOR", "TERM")}
        self.environ.update(HOME=self.dir, XDG_STATE_HOME=self.dir + "/state", TZ="UTC",
                            TERM="xterm")

    def serve(self, **answers):
        answers = {k.replace("__", "."): v for k, v in answers.items()}
        self.fake = Fake(self.path, dict({"info": INFO}, **answers))
        self.addCleanup(self.fake.hang_up)
        self.addCleanup(self.fake.close)
        return self.fake

    def argv(self, *args):
        return [CTL, "-s", self.path] + list(args)

    def ctl(self, *args, stdin=None, timeout=driver.DEADLINE, argv=None, **environ):
        done = subprocess.run(argv or self.argv(*args), input=stdin,
                              stdin=None if stdin is not None else subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.dir,
                              env=dict(self.environ, **environ), timeout=timeout, encoding="utf-8",
                              check=False)
        return done.returncode, done.stdout, done.stderr

    def said(self, *args, status=0, **kwargs):
        got, out, err = self.ctl(*args, **kwargs)
        self.assertEqual(got, status, "%s\n%s%s" % (args, out, err))
        return out

    def complained(self, *args, status, **kwargs):
        got, out, err = self.ctl(*args, **kwargs)
        self.assertEqual(got, status, "%s\n%s%s" % (args, out, err))
        return err

    def terminal(self, *args):
        """On a pty: (its master descriptor, the process)."""
        master, slave = pty.openpty()
        process = subprocess.Popen(self.argv(*args), stdin=slave, stdout=slave, stderr=slave,
                                   env=self.environ, cwd=self.dir, start_new_session=True,
                                   preexec_fn=lambda: __import__("fcntl").ioctl(0, 0x540E, 0))
        os.close(slave)
        self.addCleanup(self.end, process, master)
        return Terminal(master, process)

    def end(self, process, fd):
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(fd)

    def start(self, *args):
        """In the background, its output in a pipe."""
        process = subprocess.Popen(self.argv(*args), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=self.environ, cwd=self.dir)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return Output(process)


class Reader:
    """Reads a descriptor until what is waited for has come."""

    def __init__(self, fd, process):
        self.fd = fd
        self.process = process
        self.text = ""

    def until(self, wanted, deadline=driver.DEADLINE):
        """All that came up to and with `wanted`, which is then forgotten."""
        end = time.monotonic() + deadline
        while wanted not in self.text:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise driver.Late("no %r in %r" % (wanted, self.text))
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                raise AssertionError("no %r before the end: %r" % (wanted, self.text))
            self.text += data.decode("utf-8", "backslashreplace")
        at = self.text.index(wanted) + len(wanted)
        text, self.text = self.text[:at], self.text[at:]
        return text

    def wait(self):
        return self.process.wait(driver.DEADLINE)


class Terminal(Reader):
    def type(self, text):
        os.write(self.fd, text.encode())


def Output(process):
    return Reader(process.stdout.fileno(), process)


TASK = {"id": 12, "worker": "thumbs", "func": "resize", "state": "done", "attempts": 1,
        "created_at": "2026-01-02T03:04:05.678Z", "instance": "thumbs:0", "progress": None,
        "result": {"width": 5}, "error": None, "words": None}
