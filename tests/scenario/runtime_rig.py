"""The broker's end of a task socket, in Python: what the tests of the runtime and
of the worker in Python give their tasks with."""

import fcntl
import json
import mmap
import os
import socket
import struct
import subprocess
import tempfile
import termios
import unittest

import driver

WORKER = os.path.join(driver.BUILD, "libexec", "supervisord", "worker")
EXAMPLES = os.path.join(driver.BUILD, "examples")
TSAN = os.path.basename(driver.BUILD) == "tsan"
PYTHON_WORKER = os.path.join(driver.ROOT, "workers", "examples", "worker.py")

HEAD = struct.Struct("<IBBHQ")
TASK_HEAD = struct.Struct("<IIHHI")
BODY = 32752
HELLO, SYNC = 1, 2
TASK, CANCEL, RECALL, DRAIN = 16, 17, 18, 19
DONE, FAILED, PROGRESS, RETURNED, START, DRAINING = 32, 33, 34, 35, 36, 37
JSON, FOR_GOOD, LATER, MORE = 1, 2, 0x40, 0x80

# Exit statuses, worker(7).
LOAD, SYMBOL, ABI, NOTHING, INIT, SOCKET, BROKEN, CLOSED = 100, 101, 102, 103, 104, 105, 106, 107
THREAD = 109


class Frame:
    """What has come, its pieces put together."""

    def __init__(self, kind, flags, slot, task, body):
        self.kind, self.flags, self.slot, self.task, self.body = kind, flags, slot, task, body

    def __repr__(self):
        return "<%d of %d: %r, flags %d>" % (self.kind, self.task, self.body[:200], self.flags)

    @property
    def json(self):
        assert self.flags & JSON, self
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode()


def task_frames(task, func, payload, is_json, timeout_ms=0, attempt=1, missed=0):
    """A TASK, in pieces if it has to be."""
    func = func.encode()
    body = TASK_HEAD.pack(attempt, timeout_ms, len(func), 0, missed) + func + payload
    out = []
    for at in range(0, len(body), BODY):
        piece = body[at:at + BODY]
        flags = (JSON if is_json else 0) | (MORE if at + BODY < len(body) else 0)
        flags |= LATER if at else 0
        out.append(HEAD.pack(len(piece), TASK, flags, 0, task) + piece)
    return out


class Hand:
    """A worker's process and the broker's end of its socket."""

    def __init__(self, case, argv, threads=1, slots=True, listen=(), env=None, stdout=None):
        self.case = case
        mine, other = socket.socketpair()
        mine.settimeout(driver.DEADLINE)
        self.socket = mine
        self.slots = None
        fds = [other.fileno()]
        env = dict(os.environ, WORKER_FD=str(other.fileno()), WORKER_THREADS=str(threads),
                   **(env or {}))
        if slots:
            memory = os.memfd_create("slots")
            os.ftruncate(memory, 64 + 64 * threads)
            os.pwrite(memory, struct.pack("<II", 0x736c6f74, threads), 0)
            env["WORKER_SLOTS"] = str(memory)
            fds.append(memory)
            self.slots = mmap.mmap(memory, 64 + 64 * threads)
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(argv, env=env, pass_fds=fds, stdin=subprocess.DEVNULL,
                                        stdout=stdout, stderr=self.log)
        other.close()
        if slots:
            os.close(memory)
        self.buffer = b""
        self.series = {}
        case.addCleanup(self.end)

    def end(self):
        self.socket.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()
        if self.slots:
            self.slots.close()

    def stderr(self):
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace")

    def wait(self):
        return self.process.wait(driver.DEADLINE)

    # -- frames

    def send(self, kind, task=0, body=b"", flags=0):
        self.socket.sendall(HEAD.pack(len(body), kind, flags, 0, task) + body)

    def task(self, task, func, args=None, data=None, **more):
        payload = data if data is not None else b"" if args is None else json.dumps(args).encode()
        for frame in task_frames(task, func, payload, data is None, **more):
            self.socket.sendall(frame)

    def next(self, kind=None):
        """The next message; None at the end."""
        while True:
            while len(self.buffer) >= 16:
                size, what, flags, slot, task = HEAD.unpack_from(self.buffer)
                assert size <= BODY, size
                if len(self.buffer) < 16 + size:
                    break
                body, self.buffer = self.buffer[16:16 + size], self.buffer[16 + size:]
                key = (what, task)
                assert bool(flags & LATER) == (key in self.series), (what, flags)
                body = self.series.pop(key, b"") + body
                if flags & MORE:
                    self.series[key] = body
                    continue
                if kind is not None:
                    self.case.assertEqual(what, kind, (body[:200], self.stderr()))
                return Frame(what, flags & (JSON | FOR_GOOD), slot, task, body)
            more = self.socket.recv(1 << 18)
            if not more:
                return None
            self.buffer += more

    def result(self, task):
        frame = self.next(DONE)
        self.case.assertEqual(frame.task, task)
        return frame

    def failure(self, task):
        frame = self.next(FAILED)
        self.case.assertEqual(frame.task, task)
        return frame

    def hello(self):
        return json.loads(self.next(HELLO).body)

    def sync(self, number=7):
        """The ids held, and what came before the answer."""
        self.send(SYNC, number)
        before = []
        while True:
            frame = self.next()
            if frame.kind == SYNC:
                self.case.assertEqual(frame.task, number)
                return list(struct.unpack("<%dQ" % (len(frame.body) // 8), frame.body)), before
            before.append(frame)

    def all_read(self):
        """Whether what was sent has been read."""
        left = fcntl.ioctl(self.socket, termios.TIOCOUTQ, b"\0\0\0\0")
        return left == b"\0\0\0\0"

    # -- slots

    def slot(self, thread=0):
        fields = struct.unpack_from("<QQqQIIII", self.slots, 64 + 64 * thread)
        return dict(zip(("task", "cancel", "since", "connections", "attempt", "share", "busy", "tid"),
                        fields))

    def executing(self):
        n = len(self.slots) // 64 - 1
        return {self.slot(i)["task"] for i in range(n)} - {0}

    def wait_executing(self, *tasks):
        driver.eventually(lambda: self.executing() == set(tasks), what="tasks %r begin" % (tasks,))

    def cancel_by_slot(self, task):
        for i in range(len(self.slots) // 64 - 1):
            if self.slot(i)["task"] == task:
                struct.pack_into("<Q", self.slots, 64 + 64 * i + 8, task)


class RuntimeCase(unittest.TestCase):
    def module(self, name="crash", threads=1, hello=True, **more):
        hand = Hand(self, [WORKER, "--module", os.path.join(EXAMPLES, name + ".so"), "--threads",
                           str(threads)], threads, **more)
        if hello:
            hand.hello()
        return hand

    def command(self, *argv, **more):
        hand = Hand(self, [WORKER, "--exec", "--"] + list(argv), **more)
        hand.hello()
        return hand

    def shell(self, script, **more):
        return self.command("/bin/sh", "-c", script, **more)
