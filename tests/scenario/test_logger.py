"""The logger alone: where output goes, what stands in its way, and what it costs."""

import errno
import os
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

from logger_rig import (
    LOGGER, SANITIZED, DEADLINE, PIPE, PEER, FINISH, SINK, SINK_DROP, REOPEN, TAIL, TAIL_IS,
    HOME, SYSLOG, STDERR, NULL, TIMESTAMPS, NAME, STAMP, pack, empty, named, pause, wait_for,
    read, Flood, Case)


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

    def test_last_lines_of_an_exit_are_its_own(self):
        with open(self.path(), "wb") as f:
            f.write(b"of a run before\n")
        for fresh in True, False:
            logger = self.logger()
            stream = self.stream()
            logger.pipe(stream)
            stream.write(b"one\n")
            logger.sink("web:0", self.path(), flags=4 if fresh else 0)
            before = b"" if fresh else b"of a run before\none\ntwo\nthree\n"
            self.assertEqual(logger.tail_of_exit("web:0"), before + b"one\n")
            stream.write(b"two\n")
            self.assertEqual(logger.tail_of_exit("web:0"), b"two\n")
            # Nothing of it is passed over when it is set again.
            stream.write(b"three\n")
            logger.tail("web:0")
            logger.sink("web:0", self.path(), flags=4)
            self.assertEqual(logger.tail_of_exit("web:0"), b"three\n")
            logger.kill()

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
