"""The logger alone: rotation, being killed, and being an orphan."""

import errno
import gzip
import hashlib
import os
import random
import select
import socket
import struct

from logger_rig import (
    DEADLINE, HOME, ORPHAN_PIPE, ORPHAN_END, COMPRESS, TIMESTAMPS, STAMP, empty, pause,
    wait_for, read, rotated, Logger, Flood, Case)


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
        self.addCleanup(s.close)

        def connected():
            try:
                s.connect(self.home)
            except ConnectionRefusedError: # it is bound, and listens in a moment
                return False
            return True
        wait_for("the logger to listen", connected)
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
