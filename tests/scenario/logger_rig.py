"""The logger alone: the test is its guardian (fd 3) and its master (PEER)."""

import gzip
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("SUPERVISORD_BUILD", "build"))
LOGGER = os.path.join(BUILD, "libexec/supervisord/logger")
SANITIZED = "asan" in BUILD
DEADLINE = 30.0

PIPE, PIPE_DROP, PEER, FINISH = 64, 65, 66, 67
SINK, SINK_DROP, REOPEN, TAIL, TAIL_IS, SINK_STATE, HOME = range(96, 103)
ORPHAN_PIPE, ORPHAN_END = 112, 113
FILE, SYSLOG, STDERR, NULL = range(4)
COMPRESS, TIMESTAMPS = 1, 2
NAME = "80s"
STAMP = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", re.M)


def pack(kind, body, tail=b""):
    return struct.pack("=HHI", kind, 2, len(tail)) + body + tail


def empty(kind, tail=b""):
    return pack(kind, bytes(8), tail)


def named(kind, name):
    return pack(kind, struct.pack(NAME, name.encode()))


def pause(seconds):
    select.select([], [], [], seconds)


def wait_for(what, test):
    end = time.monotonic() + DEADLINE
    while True:
        got = test()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError("not within the deadline: " + what)
        pause(0.005)


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return b""


def rotated(path):
    """Rotated files, the oldest first, and FILE: their contents."""
    folder, base = os.path.split(path)
    found = []
    for name in os.listdir(folder):
        m = re.fullmatch(re.escape(base) + r"\.(\d+)(\.gz)?", name)
        if m:
            data = read(os.path.join(folder, name))
            found.append((int(m[1]), gzip.decompress(data) if m[2] else data))
    return [data for _, data in sorted(found, reverse=True)] + [read(path)]


class Stream:
    """A log pipe as the guardian keeps it: the read end; writers come and go."""
    count = 0

    def __init__(self, name):
        Stream.count += 1
        self.name, self.id = name, Stream.count
        self.read_end, self.write_end = os.pipe()

    def write(self, data):
        while data:
            data = data[os.write(self.write_end, data):]

    def hang_up(self):
        os.close(self.write_end)
        self.write_end = -1

    def open_again(self):
        self.write_end = os.open(f"/proc/self/fd/{self.read_end}", os.O_WRONLY)

    def close(self):
        for fd in (self.read_end, self.write_end):
            if fd >= 0:
                os.close(fd)
        self.read_end = self.write_end = -1


class Logger:
    def __init__(self, prefix=(), stderr=None, env=None):
        self.guardian, theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [*prefix, LOGGER]
        actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)]
        if stderr is not None:
            actions.append((os.POSIX_SPAWN_DUP2, stderr, 2))
        self.pid = os.posix_spawnp(
            argv[0], argv, {**os.environ, **(env or {})}, file_actions=actions)
        theirs.close()
        self.status = None
        self.pidfd = os.pidfd_open(self.pid)
        self.cookie = 0
        self.states = []
        self.master = None
        self.peer()

    def peer(self):
        if self.master is not None:
            self.master.close()
        self.master, theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.master.settimeout(DEADLINE)
        socket.send_fds(self.guardian, [empty(PEER)], [theirs.fileno()])
        theirs.close()

    def pipe(self, stream):
        body = struct.pack("=Q" + NAME, stream.id, stream.name.encode())
        socket.send_fds(self.guardian, [pack(PIPE, body)], [stream.read_end])

    def drop_pipe(self, stream):
        body = struct.pack("=Q" + NAME, stream.id, stream.name.encode())
        self.guardian.send(pack(PIPE_DROP, body))

    def sink(self, name, path="", kind=FILE, flags=0, keep=10, max_size=0):
        body = struct.pack("=" + NAME + "IIIIq", name.encode(), kind, flags,
                           keep, 0, max_size)
        self.master.send(pack(SINK, body, os.fsencode(path) + b"\0"))

    def receive(self):
        data = self.master.recv(20000)
        if not data:
            raise AssertionError("the logger hung up")
        kind, _, size = struct.unpack_from("=HHI", data)
        body, tail = data[8:len(data) - size], data[len(data) - size:]
        if kind == SINK_STATE:
            name, broken, error, dropped = struct.unpack("=" + NAME + "IiQ", body)
            state = (name.split(b"\0")[0].decode(), broken, error, dropped, tail)
            self.states.append(state)
        return kind, body, tail

    def state(self, name, broken):
        while True:
            for s in self.states:
                if s[0] == name and s[1] == broken:
                    self.states.remove(s)
                    return s
            self.receive()

    def tail_of_exit(self, name, lines=10):
        return self.tail(name, lines, 0x80000000)

    def tail(self, name, lines=10, kind_of=0):
        self.cookie += 1
        self.master.send(pack(TAIL, struct.pack(
            "=" + NAME + "II", name.encode(), self.cookie, lines | kind_of)))
        while True:
            kind, body, tail = self.receive()
            if kind != TAIL_IS:
                continue
            got, cookie, found = struct.unpack("=" + NAME + "II", body)
            if cookie == self.cookie:
                assert got.split(b"\0")[0].decode() == name
                assert found == len(tail.splitlines()), (found, tail)
                return tail

    def wait(self, seconds=DEADLINE):
        if self.status is None:
            if not select.select([self.pidfd], [], [], seconds)[0]:
                raise AssertionError("the logger does not end")
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self.pidfd)
        return self.status

    def finish(self):
        self.guardian.send(empty(FINISH))
        return self.wait()

    def kill(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def close(self):
        self.kill()
        self.guardian.close()
        self.master.close()

    def switches(self):
        with open(f"/proc/{self.pid}/status") as f:
            return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", f.read(), re.M)[1])


# Writes lines of odd lengths in odd pieces until its stdin ends; says how much
# it was and its sum.
FLOOD = """
import hashlib, os, random, select, sys
r = random.Random(int(sys.argv[1]))
sum, size, n = hashlib.sha256(), 0, 0
while not select.select([0], [], [], 0)[0]:
    lines = []
    for _ in range(r.choice((1, 10, 400))):
        lines.append(b"%09d %s\\n" % (n, b"x" * r.randrange(160)))
        n += 1
    data = b"".join(lines)
    sum.update(data)
    size += len(data)
    while data:
        data = data[os.write(3, data[:r.randrange(1, 70000)]):]
print(size, sum.hexdigest())
"""


class Flood:
    def __init__(self, stream, seed):
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", f'exec "$@" 3>&{stream.write_end}', "sh",
             sys.executable, "-I", "-S", "-c", FLOOD, str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            pass_fds=[stream.write_end])

    def stop(self):
        self.process.stdin.close()

    def result(self):
        size, digest = self.process.stdout.read().split()
        self.process.stdout.close()
        self.process.wait()
        return int(size), digest.decode()


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="supervisord-logger-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def path(self, name="out.log"):
        return os.path.join(self.dir, name)

    def logger(self, **options):
        logger = Logger(**options)
        self.addCleanup(logger.close)
        return logger

    def stream(self, name="web:0"):
        stream = Stream(name)
        self.addCleanup(stream.close)
        return stream

    def start(self, name="web:0", path=None, **sink):
        logger, stream = self.logger(), self.stream(name)
        logger.pipe(stream)
        logger.sink(name, path or self.path(), **sink)
        return logger, stream
