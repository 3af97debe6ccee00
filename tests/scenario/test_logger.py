"""The logger alone: this test is its guardian (fd 3) and its master (PEER)."""

import errno
import gzip
import hashlib
import os
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
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

    def tail(self, name, lines=10):
        self.cookie += 1
        self.master.send(pack(TAIL, struct.pack(
            "=" + NAME + "II", name.encode(), self.cookie, lines)))
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


class Files(Case):
    def test_bytes_reach_the_file_and_the_tail(self):
        logger, stream = self.start(path=self.path("new/folders/out.log"))
        self.assertEqual(logger.tail("web:0"), b"")
        stream.write(b"one\ntwo\nthree")
        self.assertEqual(logger.tail("web:0"), b"one\ntwo\nthree")
        self.assertEqual(logger.tail("web:0", 2), b"two\nthree")
        self.assertEqual(logger.tail("web:0", 1), b"three")
        self.assertEqual(read(self.path("new/folders/out.log")), b"one\ntwo\nthree")
        self.assertEqual(os.stat(self.path("new/folders/out.log")).st_mode & 0o7777,
                         0o640 & ~os.umask(os.umask(0)))
        self.assertEqual(logger.tail("nobody"), b"")
        self.assertEqual(logger.finish(), 0)

    def test_without_being_asked(self):
        logger, stream = self.start()
        stream.write(b"soon\n")
        wait_for("the line", lambda: read(self.path()) == b"soon\n")

    def test_it_appends(self):
        with open(self.path(), "wb") as f:
            f.write(b"old\n")
        logger, stream = self.start()
        stream.write(b"new\n")
        self.assertEqual(logger.tail("web:0"), b"old\nnew\n")

    def test_bytes_wait_for_their_sink(self):
        logger, stream = self.logger(), self.stream()
        stream.write(b"early\n")
        logger.pipe(stream)
        self.assertEqual(logger.tail("web:0"), b"")
        logger.sink("web:0", self.path())
        self.assertEqual(logger.tail("web:0"), b"early\n")

    def test_finish_empties_the_pipes(self):
        logger, stream = self.start()
        logger.tail("web:0")
        stream.write(b"last words\n" * 4000)
        self.assertEqual(logger.finish(), 0)
        self.assertEqual(read(self.path()), b"last words\n" * 4000)

    def test_streams_share_a_file(self):
        logger, a = self.start("web:0")
        b = self.stream("web:1")
        logger.pipe(b)
        logger.sink("web:1", self.path())
        for i in range(50):
            a.write(b"a%d\n" % i)
            b.write(b"b%d\n" % i)
            if i % 7 == 0:
                logger.tail("web:0")
        logger.tail("web:0")
        logger.tail("web:1")
        lines = read(self.path()).split()
        for who in (b"a", b"b"):
            self.assertEqual([l for l in lines if l.startswith(who)],
                             [who + b"%d" % i for i in range(50)])

    def test_a_path_changes(self):
        logger, stream = self.start()
        stream.write(b"one\n")
        logger.tail("web:0")
        logger.sink("web:0", self.path("other.log"))
        stream.write(b"two\n")
        self.assertEqual(logger.tail("web:0"), b"two\n")
        self.assertEqual(read(self.path()), b"one\n")

    def test_a_dropped_stream_is_emptied_then_closed(self):
        logger, stream = self.start()
        logger.tail("web:0")
        fds = len(os.listdir(f"/proc/{logger.pid}/fd"))
        stream.write(b"end\n")
        logger.master.send(named(SINK_DROP, "web:0"))
        logger.drop_pipe(stream)
        stream.hang_up()
        wait_for("the pipe to be closed",
                 lambda: len(os.listdir(f"/proc/{logger.pid}/fd")) < fds)
        self.assertEqual(read(self.path()), b"end\n")
        # The name may be used again.
        again = self.stream()
        logger.pipe(again)
        logger.sink("web:0", self.path())
        again.write(b"new\n")
        self.assertEqual(logger.tail("web:0"), b"end\nnew\n")

    def test_reopen_after_a_rename(self):
        logger, stream = self.start()
        stream.write(b"one\n")
        logger.tail("web:0")
        os.rename(self.path(), self.path("moved"))
        stream.write(b"two\n")
        logger.tail("web:0")
        logger.master.send(empty(REOPEN))
        wait_for("the new file", lambda: os.path.exists(self.path()))
        stream.write(b"three\n")
        self.assertEqual(logger.tail("web:0"), b"three\n")
        self.assertEqual(read(self.path("moved")), b"one\ntwo\n")

    def test_truncated_by_others(self):
        logger, stream = self.start()
        stream.write(b"one\n")
        logger.tail("web:0")
        os.truncate(self.path(), 0)
        stream.write(b"two\n")
        self.assertEqual(logger.tail("web:0"), b"two\n")

    def test_more_files_than_descriptors(self):
        logger = self.logger(prefix=["/bin/sh", "-c", 'ulimit -n 256; exec "$0"'])
        streams = [self.stream(f"w:{i}") for i in range(170)]
        for s in streams:
            logger.pipe(s)
            logger.sink(s.name, self.path(s.name))
        for turn in range(3):
            for s in streams:
                s.write(b"%d %s\n" % (turn, s.name.encode()))
        for s in streams:
            self.assertEqual(logger.tail(s.name), b"".join(
                b"%d %s\n" % (turn, s.name.encode()) for turn in range(3)))

    def test_a_flood_starves_nobody(self):
        logger, loud = self.start("loud:0", self.path("loud"), max_size=1 << 20, keep=1)
        quiet = [self.stream(f"quiet:{i}") for i in range(200)]
        for s in quiet:
            logger.pipe(s)
            logger.sink(s.name, self.path(s.name))
        logger.tail("quiet:199")
        flood = Flood(loud, 1)
        wait_for("the flood", lambda: os.path.exists(self.path("loud.1")))
        for s in quiet:
            s.write(b"here\n")
        began = time.monotonic()
        wait_for("all lines", lambda: all(read(self.path(s.name)) for s in quiet))
        self.assertLess(time.monotonic() - began, 2 if not SANITIZED else 10)
        flood.stop()
        flood.result()


class Rotation(Case):
    def lines(self, count, size=100):
        return [(b"%07d " % i).ljust(size - 1, b".") + b"\n" for i in range(count)]

    def test_sizes_lines_and_keep(self):
        for size, keep, flags in ((1000, 3, 0), (999, 2, 0), (1001, 1, 0), (100, 2, 0),
                                  (1000, 3, TIMESTAMPS), (250, 2, TIMESTAMPS)):
            for piece in (100, 64, 4096):
                with self.subTest(size=size, piece=piece, flags=flags):
                    path = self.path(f"{size}-{piece}-{flags}")
                    logger, stream = self.start(
                        path=path, max_size=size, keep=keep, flags=flags)
                    lines = self.lines(100)
                    data = b"".join(lines)
                    for i in range(0, len(data), piece):
                        stream.write(data[i:i + piece])
                        logger.tail("web:0")
                    logger.close()
                    files = rotated(path)
                    self.assertEqual(len(files), keep + 1)
                    for f in files:
                        # A line begun in a file ends in it.
                        self.assertLess(len(f), size + 125)
                        self.assertTrue(f.endswith(b"\n"))
                        if piece != 64:
                            self.assertLessEqual(len(f), max(size, 125) + 25)
                    text = STAMP.sub(b"", b"".join(files)) if flags else b"".join(files)
                    self.assertTrue(data.endswith(text))

    def test_whole_lines_never_pass_max_size(self):
        logger, stream = self.start(max_size=1000, keep=50)
        stream.write(b"".join(self.lines(400, 70)))
        logger.tail("web:0")
        files = rotated(self.path())
        self.assertEqual(b"".join(files), b"".join(self.lines(400, 70)))
        self.assertEqual({len(f) for f in files[:-1]}, {980})

    def test_keep_0_truncates(self):
        logger, stream = self.start(max_size=1000, keep=0)
        data = b"".join(self.lines(95))
        stream.write(data)
        logger.tail("web:0")
        self.assertEqual(os.listdir(self.dir), ["out.log"])
        self.assertEqual(read(self.path()), data[-500:])

    def test_a_long_line_is_kept_whole_up_to_64k(self):
        logger, stream = self.start(max_size=1000, keep=9)
        line = b"y" * 50000 + b"\n"
        stream.write(b"first\n" + line + b"last\n")
        logger.tail("web:0")
        self.assertEqual(rotated(self.path()), [b"first\n", line, b"last\n"])

    def test_an_endless_line_is_cut(self):
        logger, stream = self.start(max_size=1000, keep=50)
        data = b"z" * 900_000
        for i in range(0, len(data), 60_000):
            stream.write(data[i:i + 60_000])
            logger.tail("web:0")
        files = rotated(self.path())
        self.assertEqual(b"".join(files), data)
        self.assertGreater(len(files), 6)

    def test_the_tail_reaches_into_the_rotated_file(self):
        logger, stream = self.start(max_size=1000, keep=2)
        data = self.lines(11)
        stream.write(b"".join(data))
        self.assertEqual(logger.tail("web:0", 4), b"".join(data[-4:]))

    def test_a_gap_is_filled_before_the_oldest_goes(self):
        for i, text in ((1, b"one\n"), (2, b"two\n"), (4, b"four\n")):
            with open(self.path(f"out.log.{i}"), "wb") as f:
                f.write(text)
        logger, stream = self.start(max_size=100, keep=4)
        stream.write(b"".join(self.lines(2)))
        logger.tail("web:0")
        self.assertEqual(read(self.path("out.log.2")), b"one\n")
        self.assertEqual(read(self.path("out.log.3")), b"two\n")
        self.assertEqual(read(self.path("out.log.4")), b"four\n")

    def test_compressed(self):
        logger, stream = self.start(max_size=20_000, keep=30, flags=COMPRESS)
        data = b"".join(self.lines(5000))
        stream.write(data)
        logger.tail("web:0")
        wait_for("all to be compressed", lambda: all(
            n == "out.log" or n.endswith(".gz") for n in os.listdir(self.dir)))
        self.assertEqual(b"".join(rotated(self.path())), data)

    def test_compressed_while_it_rotates(self):
        logger, stream = self.start(max_size=50_000, keep=1000, flags=COMPRESS)
        data = b"".join(self.lines(100_000))
        for i in range(0, len(data), 100_000):
            stream.write(data[i:i + 100_000])
        logger.tail("web:0")
        wait_for("all to be compressed", lambda: all(
            n == "out.log" or n.endswith(".gz") for n in os.listdir(self.dir)))
        self.assertEqual(b"".join(rotated(self.path())), data)

    def test_what_a_killed_logger_left_is_compressed(self):
        for name in ("out.log", "out.log.1", "out.log.2", "out.log.3"):
            with open(self.path(name), "wb") as f:
                f.write(name.encode())
        with open(self.path("out.log.packing"), "wb") as f:
            f.write(b"half")
        with gzip.open(self.path("out.log.2.gz"), "wb") as f:
            f.write(b"out.log.2")
        self.start(max_size=50_000, keep=5, flags=COMPRESS)
        wait_for("all to be compressed", lambda: sorted(os.listdir(self.dir)) ==
                 ["out.log", "out.log.1.gz", "out.log.2.gz", "out.log.3.gz"])
        self.assertEqual(rotated(self.path())[:3],
                         [b"out.log.3", b"out.log.2", b"out.log.1"])


class Killed(Case):
    def flood(self, kills, **sink):
        stream = self.stream()
        flood = Flood(stream, kills)
        stream.hang_up()
        r = random.Random(kills)
        for _ in range(kills):
            logger = Logger()
            logger.pipe(stream)
            logger.sink("web:0", self.path(), **sink)
            pause(r.random() * 0.02)
            logger.close()
        flood.stop()
        logger = self.logger()
        logger.sink("web:0", self.path(), **sink)
        logger.pipe(stream)
        size, digest = flood.result()
        logger.tail("web:0")
        self.assertEqual(logger.finish(), 0)
        return size, digest

    def check(self, size, digest, files, strip=lambda x: x):
        data = strip(b"".join(files))
        self.assertEqual(len(data), size)
        self.assertEqual(hashlib.sha256(data).hexdigest(), digest)

    def test_200_kills_lose_and_double_nothing(self):
        size, digest = self.flood(200, max_size=1 << 20, keep=100_000)
        self.assertGreater(size, 5 << 20)
        self.check(size, digest, rotated(self.path()))

    def test_200_kills_with_timestamps(self):
        size, digest = self.flood(200, max_size=1 << 20, keep=100_000, flags=TIMESTAMPS)
        self.assertGreater(size, 5 << 20)
        files = rotated(self.path())
        for line in b"".join(files).split(b"\n")[:-1]:
            self.assertRegex(line, rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \d{9} x*$")
        self.check(size, digest, files, lambda x: STAMP.sub(b"", x))
        self.assertFalse(os.path.exists(self.path("out.log.stamping")))

    def test_kills_while_it_compresses(self):
        size, digest = self.flood(50, max_size=300_000, keep=100_000, flags=COMPRESS)
        self.check(size, digest, rotated(self.path()))

    def test_timestamps_taken_away_after_a_kill(self):
        head = struct.pack("=8Q", 0x31706d6174736470, 4, 8, 6, 12,
                           0, 0, 0)
        with open(self.path("out.log.stamping"), "wb") as f:
            f.write(head + b"one\ntwo\n")
        logger, stream = self.start()
        stream.write(b"three\n")
        self.assertEqual(STAMP.sub(b"", logger.tail("web:0")), b"two\nthree\n")
        self.assertEqual(os.listdir(self.dir), ["out.log"])

    def test_a_piece_that_was_half_written_is_made_again(self):
        with open(self.path(), "wb") as f:
            f.write(b"old\n2026-0")
        head = struct.pack("=8Q", 0x31706d6174736470, 0, 4, 4, 33,
                           os.stat(self.path()).st_ino, 0, 0)
        with open(self.path("out.log.stamping"), "wb") as f:
            f.write(head + b"one\n")
        logger, stream = self.start(flags=TIMESTAMPS)
        stream.write(b"two\n")
        self.assertEqual(STAMP.sub(b"", logger.tail("web:0")), b"old\none\ntwo\n")

    def test_a_foreign_file_in_the_way_is_left_alone(self):
        with open(self.path("out.log.stamping"), "wb") as f:
            f.write(b"mine " * 100)
        logger, stream = self.start(flags=TIMESTAMPS)
        stream.write(b"two\n")
        self.assertEqual(logger.state("web:0", 1)[2], errno.EEXIST)
        self.assertEqual(read(self.path("out.log.stamping")), b"mine " * 100)
        os.unlink(self.path("out.log.stamping"))
        logger.state("web:0", 0)
        self.assertEqual(STAMP.sub(b"", logger.tail("web:0")), b"two\n")


class Broken(Case):
    def test_a_folder_in_the_way(self):
        os.mkdir(self.path())
        logger, stream = self.start()
        stream.write(b"patience\n")
        name, _, error, dropped, why = logger.state("web:0", 1)
        self.assertEqual((error, dropped), (errno.EISDIR, 0))
        self.assertIn(os.fsencode(self.path()), why)
        logger.peer()  # a new master hears it too
        self.assertEqual(logger.state("web:0", 1)[2], errno.EISDIR)
        os.rmdir(self.path())
        self.assertEqual(logger.state("web:0", 0)[3], 0)
        self.assertEqual(logger.tail("web:0"), b"patience\n")

    @unittest.skipUnless(os.geteuid() == 0, "mounts a small disk")
    def test_full_disk(self):
        for flags in (0, TIMESTAMPS):
            with self.subTest(flags=flags):
                self.full_disk(flags)

    def full_disk(self, flags):
        disk = self.path(f"disk{flags}")
        os.mkdir(disk)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk],
                          stderr=subprocess.DEVNULL).returncode:
            self.skipTest("no right to mount")
        self.addCleanup(subprocess.run, ["umount", "-l", disk])
        path = os.path.join(disk, "out.log")
        logger, stream = self.start(path=path, flags=flags)
        with open(os.path.join(disk, "ballast"), "wb") as f:
            f.write(bytes(600_000))
        line = b"w" * 99 + b"\n"
        written = 0

        def worker():
            nonlocal written
            while written < 6_000_000:
                stream.write(line * 10)
                written += 1000

        thread = threading.Thread(target=worker)
        began = time.monotonic()
        thread.start()
        self.assertEqual(logger.state("web:0", 1)[2], errno.ENOSPC)
        thread.join(DEADLINE)
        self.assertFalse(thread.is_alive(), "the worker is blocked for ever")
        self.assertGreater(time.monotonic() - began, 9)
        os.unlink(os.path.join(disk, "ballast"))
        dropped = logger.state("web:0", 0)[3]
        stream.write(b"after\n")
        logger.tail("web:0")
        text = read(path)
        if flags:
            text = STAMP.sub(b"", text)
        notice = re.search(rb"supervisord: (\d+) bytes of output were lost here "
                           rb"\(No space left on device\)\n", text)
        self.assertEqual(int(notice[1]), dropped)
        self.assertGreater(dropped, 1_000_000)
        kept = len(text) - len(notice[0]) - len(b"after\n")
        # 1: the notice does not begin in the middle of a line.
        self.assertIn(kept + dropped - written, (0, 1))
        self.assertTrue(text.endswith(b"after\n"))
        logger.close()


class Others(Case):
    def test_null_takes_everything(self):
        logger, stream = self.logger(), self.stream()
        logger.pipe(stream)
        logger.sink("web:0", kind=NULL)
        stream.write(b"q" * 3_000_000)
        self.assertEqual(logger.tail("web:0"), b"")

    def test_stderr(self):
        for flags in (0, TIMESTAMPS):
            ours, theirs = os.pipe()
            logger, stream = self.logger(stderr=theirs), self.stream()
            os.close(theirs)
            logger.pipe(stream)
            logger.sink("web:0", kind=STDERR, flags=flags)
            data = b"".join(b"line %d\n" % i for i in range(30_000))
            thread = threading.Thread(target=stream.write, args=(data,))
            thread.start()
            got = b""
            want = len(data) + (25 * 30_000 if flags else 0)
            while len(got) < want:
                self.assertTrue(select.select([ours], [], [], DEADLINE)[0])
                got += os.read(ours, 65536)
            thread.join()
            self.assertEqual(STAMP.sub(b"", got) if flags else got, data)
            os.close(ours)
            logger.close()

    def test_a_fifo(self):
        os.mkfifo(self.path())
        logger, stream = self.start()
        stream.write(b"is anybody there\n")
        self.assertEqual(logger.state("web:0", 1)[2], errno.ENXIO)
        with open(self.path(), "rb") as f:
            self.assertEqual(f.readline(), b"is anybody there\n")
            stream.write(b"good\n")
            self.assertEqual(f.readline(), b"good\n")

    def test_syslog(self):
        path = self.path("devlog")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
            log.bind(path)
            log.settimeout(DEADLINE)
            logger = self.logger(env={"SUPERVISORD_DEV_LOG": path})
            stream = self.stream()
            logger.pipe(stream)
            logger.sink("web:0", kind=SYSLOG)
            stream.write(b"one\n\ntwo\nthr")
            for word in (b"one", b"two"):
                self.assertRegex(log.recv(1000),
                                 rb"^<30>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d web:0: "
                                 + word + b"$")
            stream.write(b"ee\n")
            self.assertTrue(log.recv(1000).endswith(b" web:0: three"))
            stream.write(b"unfinished")
            stream.hang_up()
            self.assertTrue(log.recv(1000).endswith(b" web:0: unfinished"))
            stream.open_again()
            stream.write(b"last words")
            self.assertEqual(logger.finish(), 0)
            self.assertTrue(log.recv(1000).endswith(b" web:0: last words"))


class Quiet(Case):
    def idle(self, logger):
        """Wake-ups within a while in which nothing happens."""
        logger.tail("web:0")
        pause(0.05)
        before = logger.switches()
        pause(0.7)
        return logger.switches() - before

    def test_idle_is_no_wake_up_at_all(self):
        logger, stream = self.start()
        stream.write(b"something\n")
        self.assertEqual(self.idle(logger), 0)

    def test_a_pipe_without_writers_does_not_spin(self):
        logger, stream = self.start()
        stream.write(b"one\n")
        stream.hang_up()
        self.assertEqual(self.idle(logger), 0)
        for word in (b"two\n", b"three\n"):
            stream.open_again()
            stream.write(word)
            wait_for("the new writer", lambda: read(self.path()).endswith(word))
            stream.hang_up()
            self.assertEqual(self.idle(logger), 0)

    def test_lines_in_a_burst_are_taken_together(self):
        logger, stream = self.start()
        logger.tail("web:0")
        before = logger.switches()
        for i in range(2000):
            stream.write(b"line\n")
        wait_for("the lines", lambda: len(read(self.path())) == 10_000)
        self.assertLess(logger.switches() - before, 400)


class Bad(Case):
    def test_a_bad_master_is_hung_up_on(self):
        logger, stream = self.start()
        stream.write(b"one\n")
        logger.tail("web:0")
        sink = struct.pack("=" + NAME + "IIIIq", b"web:0", 0, 0, 0, 0, 0)
        for bad in (b"x", b"", bytes(8), empty(FINISH), empty(200), empty(REOPEN)[:-1],
                    empty(REOPEN, b"tail"), pack(TAIL, b"x" * 88),
                    pack(SINK, sink, b""), pack(SINK, sink, b"relative\0"),
                    pack(SINK, sink, b"/no/nul"), pack(SINK, sink, b"/two\0\0"),
                    pack(SINK, struct.pack("=" + NAME + "IIIIq", b"web:0", 9, 0, 0, 0, 0)),
                    pack(SINK, struct.pack("=" + NAME + "IIIIq", b"web:0", 3, 0, 0, 0, -1)),
                    empty(HOME, b"relative\0"), bytes(17000)):
            with self.subTest(bad=bad[:40]):
                logger.peer()
                logger.master.send(bad)
                try:
                    self.assertEqual(logger.master.recv(100), b"")
                except ConnectionResetError:
                    pass
                logger.peer()
                stream.write(b"more\n")
                self.assertTrue(logger.tail("web:0").endswith(b"more\n"))

    def test_nonsense_of_the_guardian_is_survived(self):
        logger, stream = self.start()
        logger.tail("web:0")
        for bad in (b"x", empty(REOPEN), empty(PIPE), pack(PIPE, bytes(88)),
                    named(SINK_DROP, "web:0")):
            logger.guardian.send(bad)
        socket.send_fds(logger.guardian, [empty(PEER)], [0, 1, 2])
        socket.send_fds(logger.guardian, [pack(PIPE, bytes(88))], [stream.read_end] * 3)
        with open("/dev/null") as f:  # no pipe, and epoll won't have it
            socket.send_fds(logger.guardian, [pack(PIPE, bytes(88))], [f.fileno()])
        logger.peer()
        stream.write(b"still here\n")
        self.assertEqual(logger.tail("web:0"), b"still here\n")

    def test_a_master_that_never_reads(self):
        logger, stream = self.start()
        stream.write(b"x" * 8000 + b"\n")
        logger.tail("web:0")
        logger.master.setblocking(False)
        asked = 0
        body = struct.pack("=" + NAME + "II", b"web:0", 7, 1)
        while asked < 100_000:
            try:
                logger.master.send(pack(TAIL, body))
                asked += 1
            except BlockingIOError:
                if not select.select([], [logger.master], [], 0.3)[1]:
                    break
        stream.write(b"others are served\n")
        wait_for("the line", lambda: read(self.path()).endswith(b"served\n"))
        logger.master.settimeout(DEADLINE)
        for _ in range(asked):
            self.assertEqual(logger.receive()[0], TAIL_IS)

    def test_signals_do_not_end_it(self):
        logger, stream = self.start()
        logger.tail("web:0")
        for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
            os.kill(logger.pid, s)
        stream.write(b"here\n")
        self.assertEqual(logger.tail("web:0"), b"here\n")

    def test_by_hand_it_says_what_it_is(self):
        r = subprocess.run([LOGGER], stderr=subprocess.PIPE, close_fds=True)
        self.assertEqual(r.returncode, 2)
        self.assertIn(b"by hand", r.stderr)


class Orphan(Case):
    def orphan(self):
        self.home = self.path("logger.sock")
        logger, stream = self.start()
        logger.master.send(empty(HOME, os.fsencode(self.home) + b"\0"))
        other = self.stream("web:1/err")
        logger.pipe(other)
        logger.sink("web:1/err", self.path("err.log"))
        logger.tail("web:0")
        logger.guardian.close()
        logger.master.close()
        wait_for("the logger's socket", lambda: os.path.exists(self.home))
        return logger, stream, other

    def heir(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(DEADLINE)
        s.connect(self.home)
        self.addCleanup(s.close)
        return s

    def take(self, heir):
        got = {}
        while True:
            data, fds, _, _ = socket.recv_fds(heir, 1000, 4)
            self.assertTrue(data, "it hung up")
            kind = struct.unpack_from("=H", data)[0]
            if kind == ORPHAN_END:
                return got
            self.assertEqual((kind, len(fds)), (ORPHAN_PIPE, 1))
            got[data[8:].split(b"\0")[0].decode()] = fds[0]
            self.addCleanup(os.close, fds[0])

    def test_output_is_still_written(self):
        logger, stream, _ = self.orphan()
        self.assertEqual(os.stat(self.home).st_mode & 0o777, 0o600)
        stream.write(b"alone\n")
        wait_for("the line", lambda: read(self.path()) == b"alone\n")

    def test_the_pipes_are_handed_over(self):
        logger, stream, other = self.orphan()
        heir = self.heir()
        got = self.take(heir)
        self.assertEqual(set(got), {"web:0", "web:1/err"})
        stream.write(b"for the next\n")
        self.assertTrue(select.select([got["web:0"]], [], [], DEADLINE)[0])
        heir.close()
        self.assertEqual(logger.wait(), 0)
        self.assertFalse(os.path.exists(self.home))
        self.assertEqual(os.read(got["web:0"], 100), b"for the next\n")

    def test_an_heir_that_goes_too_early(self):
        logger, stream, _ = self.orphan()
        heir = self.heir()
        socket.recv_fds(heir, 1000, 4)  # one, not the end
        heir.close()
        stream.write(b"still mine\n")
        wait_for("the line", lambda: read(self.path()) == b"still mine\n")
        self.assertEqual(len(self.take(self.heir())), 2)

    def test_it_ends_with_the_last_writer(self):
        logger, stream, other = self.orphan()
        stream.write(b"the end\n")
        stream.hang_up()
        other.hang_up()
        self.assertEqual(logger.wait(), 0)
        self.assertEqual(read(self.path()), b"the end\n")

    def test_without_a_home_it_goes_on(self):
        logger, stream = self.start()
        logger.tail("web:0")
        logger.guardian.close()
        stream.write(b"alone\n")
        wait_for("the line", lambda: read(self.path()) == b"alone\n")
        stream.hang_up()
        self.assertEqual(logger.wait(), 0)


if __name__ == "__main__":
    unittest.main()
