"""The runtime inside a hybrid worker's process, and the worker in Python: the
test itself is the broker, at the other end of the task socket."""

import fcntl
import json
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
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


def task_frames(task, func, payload, is_json, timeout_ms=0, attempt=1):
    """A TASK, in pieces if it has to be."""
    func = func.encode()
    body = TASK_HEAD.pack(attempt, timeout_ms, len(func), 0, 0) + func + payload
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


class Tasks(RuntimeCase):
    def test_hello_names_the_functions_and_their_form(self):
        hello = self.module("cpu", threads=3, hello=False).hello()
        self.assertEqual(hello, {"hello": 1, "threads": 3, "prefetch": 32,
                                 "functions": {"hash": "bytes", "primes": "json"}})

    def test_a_task_has_its_result_and_the_slot_is_empty(self):
        hand = self.module("cpu")
        hand.task(12, "primes", {"below": 100000})
        while (frame := hand.next()).kind == PROGRESS:
            self.assertEqual(frame.task, 12)
        self.assertEqual((frame.kind, frame.json), (DONE, {"below": 100000, "primes": 9592}))
        self.assertEqual(hand.slot()["task"], 0)
        self.assertEqual(hand.slot()["attempt"], 1)

    def test_bytes_come_back_as_they_went(self):
        hand = self.module()
        data = bytes(range(256)) * 3
        hand.task(1, "echo", data=data)
        frame = hand.result(1)
        self.assertEqual((frame.body, frame.flags & JSON), (data, 0))

    def test_large_payload_and_result_go_in_pieces(self):
        hand = self.module()
        data = os.urandom((1 << 20))
        hand.task(1, "echo", data=data)
        self.assertEqual(hand.result(1).body, data)

    def test_result_of_ten_megabytes(self):
        hand = self.module()
        hand.task(1, "large", 10000000)
        self.assertEqual(len(hand.result(1).body), 10000000)

    def test_result_beyond_the_limit_fails_for_good(self):
        hand = self.module()
        hand.task(1, "large", (16 << 20) + 1)
        frame = hand.failure(1)
        self.assertIn("result too large", frame.text)
        self.assertEqual(frame.flags, FOR_GOOD)
        hand.task(2, "echo", 1)
        self.assertEqual(hand.result(2).json, 1)

    def test_many_tasks_on_many_threads_each_answered_once(self):
        hand = self.module(threads=8)
        for task in range(1, 3001):
            hand.task(task, "echo", task)
            if task % 100 == 0:
                seen = {}
                for _ in range(100):
                    frame = hand.next(DONE)
                    seen[frame.task] = frame.json
                self.assertEqual(seen, {n: n for n in range(task - 99, task + 1)})

    def test_unknown_function_and_wrong_form_are_refused_for_good(self):
        hand = self.module()
        hand.task(1, "nonsense")
        frame = hand.failure(1)
        self.assertEqual((frame.text, frame.flags),
                         ('there is no function "nonsense"', FOR_GOOD))
        hand.task(2, "sleep", data=b"\0\1")
        self.assertIn("takes JSON only", hand.failure(2).text)

    def test_no_answer_is_success_with_nothing(self):
        hand = self.module()
        hand.task(1, "nothing")
        self.assertIsNone(hand.result(1).json)
        hand.task(2, "nothing-bytes")
        self.assertEqual(hand.result(2).body, b"")

    def test_failures_with_their_reasons(self):
        hand = self.module()
        hand.task(1, "fail", data=b"so it is")
        frame = hand.failure(1)
        self.assertEqual((frame.text, frame.flags), ("as told: so it is", 0))
        hand.task(2, "fail-for-good", data=b"x")
        frame = hand.failure(2)
        self.assertEqual((frame.text, frame.flags), ("never: ?x", FOR_GOOD))

    def test_result_that_is_no_json_fails_for_good(self):
        hand = self.module()
        hand.task(1, "not-json")
        self.assertEqual(hand.failure(1).flags, FOR_GOOD)

    def test_json_result_is_one_line(self):
        hand = self.module()
        hand.task(1, "lines")
        frame = hand.result(1)
        self.assertEqual(frame.json, {"a": [1, 2]})
        self.assertNotIn(b"\n", frame.body)
        self.assertNotIn(b"\r", frame.body)

    def test_time_left(self):
        hand = self.module()
        hand.task(1, "time-left", timeout_ms=5000)
        self.assertTrue(3 < hand.result(1).json <= 5)
        hand.task(2, "time-left")
        self.assertIsNone(hand.result(2).json)

    def test_progress_is_told_and_thinned_out(self):
        hand = self.module()
        hand.task(1, "chatter", 100000)
        shares = []
        while (frame := hand.next()).kind == PROGRESS:
            shares.append(struct.unpack_from("<I", frame.body)[0])
            self.assertEqual(frame.body[4:], b"on the way")
        self.assertEqual(frame.kind, DONE)
        self.assertTrue(1 <= len(shares) <= 1000, len(shares))
        self.assertEqual(shares, sorted(shares))
        self.assertEqual(hand.slot()["share"], 1000)

    def test_without_slots_memory_it_says_start(self):
        hand = self.module(slots=False)
        hand.task(5, "echo", 1)
        self.assertEqual(hand.next(START).task, 5)
        self.assertEqual(hand.result(5).json, 1)

    def test_one_long_task_holds_nobody_up(self):
        hand = self.module(threads=2)
        hand.task(1, "hang")
        hand.wait_executing(1)
        for task in range(2, 50):
            hand.task(task, "echo", task)
            self.assertEqual(hand.result(task).json, task)

    def test_answer_before_a_long_task_does_not_wait_for_it(self):
        hand = self.module()
        hand.socket.sendall(b"".join(task_frames(1, "echo", b"1", True) +
                                     task_frames(2, "hang", b"", True)))
        self.assertEqual(hand.result(1).json, 1)


class Orders(RuntimeCase):
    def test_cancel_by_message_and_by_slot(self):
        hand = self.module(threads=2)
        hand.task(1, "patient")
        hand.task(2, "silent")
        hand.wait_executing(1, 2)
        hand.send(CANCEL, 1)
        self.assertEqual(hand.failure(1).text, "asked to end")
        hand.cancel_by_slot(2)
        self.assertEqual(hand.failure(2).text, "cancelled")

    def test_cancel_of_a_prefetched_one_gives_it_back(self):
        hand = self.module()
        hand.task(1, "patient")
        hand.task(2, "echo", 2)
        hand.wait_executing(1)
        hand.send(CANCEL, 2)
        self.assertEqual(hand.next(RETURNED).task, 2)
        hand.send(CANCEL, 99)
        hand.send(CANCEL, 1)
        hand.failure(1)

    def test_recall_gives_back_what_has_not_begun(self):
        hand = self.module()
        hand.task(1, "patient")
        for task in (2, 3, 4):
            hand.task(task, "echo", task)
        hand.wait_executing(1)
        hand.send(RECALL, 3)
        self.assertEqual(hand.next(RETURNED).task, 3)
        hand.send(RECALL, 1)  # runs: no answer
        hand.send(RECALL, 99)
        hand.send(CANCEL, 1)
        hand.failure(1)
        self.assertEqual([hand.next(DONE).task for _ in range(2)], [2, 4])

    def test_sync_tells_what_is_held(self):
        hand = self.module(threads=2)
        self.assertEqual(hand.sync(), ([], []))
        for task in (1, 2, 3, 4):
            hand.task(task, "patient")
        hand.wait_executing(1, 2)
        held, before = hand.sync()
        self.assertEqual((sorted(held), before), ([1, 2, 3, 4], []))
        hand.send(CANCEL, 2)
        hand.failure(2)
        hand.wait_executing(1, 3)
        self.assertEqual(sorted(hand.sync()[0]), [1, 3, 4])

    def test_sync_in_a_storm_accounts_for_each(self):
        """Each task is answered before the SYNC's answer, or held: never both,
        never neither."""
        hand = self.module(threads=4)
        given, answered = 0, set()
        for round_ in range(200):
            batch = [b"".join(task_frames(given + i + 1, "echo", b"1", True)) for i in range(20)]
            given += 20
            hand.socket.sendall(b"".join(batch))
            held, before = hand.sync(round_)
            for frame in before:
                self.assertEqual(frame.kind, DONE)
                self.assertNotIn(frame.task, answered)
                answered.add(frame.task)
            self.assertEqual(len(held), len(set(held)))
            self.assertEqual(answered | set(held), set(range(1, given + 1)))
            self.assertFalse(answered & set(held))

    def test_sync_sends_a_body_begun_once_more(self):
        """The broker that had read its first pieces is gone."""
        hand = self.module()
        hand.task(1, "large", 5000000)
        select.select([hand.socket], [], [], driver.DEADLINE)
        first = hand.socket.recv(16 + BODY, socket.MSG_WAITALL)
        self.assertEqual(HEAD.unpack_from(first)[1:3], (DONE, MORE))
        hand.send(SYNC, 1)
        driver.eventually(hand.all_read, what="the SYNC is read")
        whole, pieces = b"", 0
        while True:
            head = hand.socket.recv(16, socket.MSG_WAITALL)
            size, kind, flags, _, task = HEAD.unpack(head)
            body = hand.socket.recv(size, socket.MSG_WAITALL) if size else b""
            if kind == SYNC:
                break
            self.assertEqual((kind, task), (DONE, 1))
            if not flags & LATER:
                whole = b""
                pieces += 1
            whole += body
        self.assertEqual((len(whole), pieces, body), (5000000, 1, b""))

    def test_sync_voids_the_start_of_a_task(self):
        hand = self.module()
        pieces = task_frames(1, "echo", b"x" * 100000, False)
        hand.socket.sendall(b"".join(pieces[:2]))
        self.assertEqual(hand.sync(), ([], []))
        hand.task(1, "echo", data=b"y" * 50000)
        self.assertEqual(hand.result(1).body, b"y" * 50000)

    def test_drain_gives_back_finishes_and_ends(self):
        for slots in (True, False):
            hand = self.module(slots=True)
            hand.task(1, "sleep", 200)
            hand.task(2, "echo", 2)
            hand.wait_executing(1)
            hand.send(DRAIN)
            self.assertEqual(hand.next(RETURNED).task, 2)
            self.assertEqual(hand.result(1).json, True)
            self.assertIsNone(hand.next())
            self.assertEqual(hand.wait(), 0)

    def test_sigterm_drains_too_and_says_so(self):
        hand = self.module(threads=2)
        for task in (1, 2, 3):
            hand.task(task, "sleep", 300)
        hand.wait_executing(1, 2)
        hand.process.terminate()
        hand.next(DRAINING)
        self.assertEqual(hand.next(RETURNED).task, 3)
        hand.task(4, "echo", 1)
        self.assertEqual(hand.next(RETURNED).task, 4)
        self.assertEqual({hand.next(DONE).task, hand.next(DONE).task}, {1, 2})
        self.assertIsNone(hand.next())
        self.assertEqual(hand.wait(), 0)

    def test_sigterm_when_idle(self):
        hand = self.module(threads=4)
        hand.process.terminate()
        hand.next(DRAINING)
        self.assertIsNone(hand.next())
        self.assertEqual(hand.wait(), 0)

    def test_end_of_file_ends_it_when_what_runs_has_ended(self):
        hand = self.module()
        hand.task(1, "sleep", 200)
        hand.task(2, "hang")
        hand.wait_executing(1)
        hand.socket.close()
        self.assertEqual(hand.wait(), 0)

    def test_nonsense_on_the_socket_ends_it(self):
        hand = self.module()
        hand.socket.sendall(b"\xff" * 64)
        self.assertEqual(hand.wait(), BROKEN)
        self.assertIn("no frame of the protocol", hand.stderr())

    def test_unknown_messages_are_passed_over(self):
        hand = self.module()
        hand.send(200, 5, b"from the future")
        hand.task(1, "echo", 1)
        self.assertEqual(hand.result(1).json, 1)

    def test_damaged_task_is_refused(self):
        hand = self.module()
        hand.send(TASK, 5, b"short")
        self.assertEqual(hand.failure(5).flags, FOR_GOOD)

    def test_slow_reader_gets_everything_in_the_end(self):
        hand = self.module(threads=4)
        for task in range(1, 41):
            hand.task(task, "large", 100000)
        driver.eventually(lambda: not hand.executing(), what="all have run")
        self.assertEqual({hand.next(DONE).task for _ in range(40)}, set(range(1, 41)))


class Abuse(RuntimeCase):
    def crash(self, func, args=None, threads=1):
        hand = self.module(threads=threads)
        hand.task(7, func, args)
        status = hand.wait()
        self.assertIsNone(hand.next())
        self.assertEqual(hand.executing(), {7}, "the task to blame")
        return hand, status

    def test_segv(self):
        if not driver.SANITIZED:
            self.assertEqual(self.crash("segv")[1], -signal.SIGSEGV)

    def test_abort(self):
        hand, status = self.crash("abort")
        self.assertEqual(status, -signal.SIGABRT)
        self.assertIn("task 7: about to abort", hand.stderr())

    def test_stack_overflow(self):
        if not driver.SANITIZED:
            self.assertEqual(self.crash("overflow", threads=4)[1], -signal.SIGSEGV)

    def test_exit_with_any_status_is_seen_for_what_it_is(self):
        for status in (0, 3):
            hand, got = self.crash("exit", status)
            self.assertEqual(got, status)
            self.assertIn("exit() was called", hand.stderr())

    def test_done_ones_are_not_to_blame(self):
        hand = self.module(threads=2)
        hand.task(1, "echo", 1)
        hand.result(1)
        hand.task(2, "hang")
        hand.task(3, "abort")
        hand.wait()
        self.assertEqual(hand.executing(), {2, 3})

    def test_fork_in_a_handler_cannot_answer(self):
        hand = self.module()
        hand.task(1, "fork")
        self.assertEqual(hand.result(1).json, 256)
        hand.task(2, "echo", 2)
        self.assertEqual(hand.result(2).json, 2)
        self.assertIn("a handler returned in a process it had forked", hand.stderr())

    def test_child_that_stays_does_not_hold_the_socket(self):
        hand = self.module()
        hand.task(1, "fork-stays")
        pid = hand.result(1).json
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        folder = "/proc/%d/fd" % pid

        def no_socket():
            links = [os.readlink(os.path.join(folder, fd)) for fd in os.listdir(folder)]
            return not any(link.startswith("socket:") for link in links)
        driver.eventually(no_socket, what="the child has let the socket go")
        hand.process.kill()
        self.assertIsNone(hand.next())

    def test_closed_descriptors_are_named_and_blamed(self):
        for func in ("close-all", "replace-all"):
            hand, status = self.crash(func)
            self.assertEqual(status, CLOSED)
            self.assertIn("was closed by a handler", hand.stderr())

    def test_second_answer_is_refused(self):
        hand = self.module()
        hand.task(1, "twice")
        self.assertEqual(hand.result(1).json, "first")
        self.assertEqual(hand.sync(), ([], []))
        self.assertIn("task 1: 0 -114", hand.stderr())

    def test_answers_for_tasks_never_given_are_refused(self):
        hand = self.module()
        hand.task(1, "invented")
        self.assertEqual(hand.result(1).json, [-22, -22, 1])
        self.assertEqual(hand.sync(), ([], []))

    @unittest.skipIf(TSAN, "the module makes a C11 thread, which TSan does not know")
    def test_answer_from_another_thread_is_refused(self):
        hand = self.module()
        hand.task(2, "elsewhere")
        self.assertEqual(hand.result(2).json, -22)
        self.assertEqual(hand.sync(), ([], []))


class Loading(RuntimeCase):
    def build(self, source):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "m.c")
        driver.write(path, "#include <supervisor/worker.h>\n" + source)
        out = path[:-2] + ".so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-I", os.path.join(driver.ROOT, "workers/include"),
                        "-o", out, path], check=True)
        return out

    def refused(self, path, status, words):
        hand = Hand(self, [WORKER, "--module", path, "--threads", "2"], 2)
        self.assertEqual(hand.wait(), status, hand.stderr())
        self.assertIn(words, hand.stderr())

    def test_no_such_file(self):
        self.refused("/nonexistent/m.so", LOAD, "/nonexistent/m.so")

    def test_missing_symbol(self):
        self.refused(self.build("int not_there(void); int f(void); int f(void) {return not_there();}"
                                "const struct sv_module supervisor_module = { SV_ABI };"),
                     LOAD, "not_there")

    def test_no_module(self):
        self.refused(self.build("int nothing;"), SYMBOL, "does not define supervisor_module")

    def test_another_abi(self):
        self.refused(self.build("const struct sv_module supervisor_module = { 99, \"x\" };"), ABI,
                     "built for version 99")

    def test_nothing_in_it(self):
        self.refused(self.build("const struct sv_module supervisor_module = { SV_ABI, \"x\" };"),
                     NOTHING, "neither handlers nor on_connection")

    def test_init_fails(self):
        body = ("static void f(struct sv_task *t) {(void)t;}"
                "static const struct sv_handler h[] = {{\"f\", SV_JSON, f}, {0}};")
        self.refused(self.build(
            body + "static int init(const struct sv_worker *w) {(void)w; return 5;}"
            "const struct sv_module supervisor_module = { .abi = SV_ABI, .name = \"bad\","
            " .init = init, .handlers = h };"), INIT, 'module "bad": its init failed (5)')
        self.refused(self.build(
            body + "static int init(unsigned n, void **s) {(void)s; return n == 1;}"
            "const struct sv_module supervisor_module = { .abi = SV_ABI, .name = \"bad\","
            " .thread_init = init, .handlers = h };"), INIT, "its thread_init failed (1)")

    def test_two_handlers_of_one_name(self):
        self.refused(self.build(
            "static void f(struct sv_task *t) {(void)t;}"
            "static const struct sv_handler h[] = {{\"f\", 0, f}, {\"f\", 0, f}, {0}};"
            "const struct sv_module supervisor_module = { .abi = SV_ABI, .handlers = h };"),
            NOTHING, 'two handlers are named "f"')

    def test_usage(self):
        for argv in ([], ["--module"], ["--module", "x", "--threads", "0"], ["--exec"],
                     ["--module", "x", "--exec", "--", "y"], ["--module", "x", "y"]):
            done = subprocess.run([WORKER] + argv, stderr=subprocess.PIPE, check=False)
            self.assertEqual(done.returncode, 2, argv)
            self.assertIn(b"usage:", done.stderr)

    def test_by_hand_there_is_nothing_to_do(self):
        done = subprocess.run([WORKER, "--module", os.path.join(EXAMPLES, "hello.so")],
                              stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, NOTHING)
        self.assertIn(b"nothing to do", done.stderr)

    def test_task_socket_that_is_none(self):
        done = subprocess.run([WORKER, "--module", os.path.join(EXAMPLES, "hello.so")],
                              env=dict(os.environ, WORKER_FD="77"), stderr=subprocess.PIPE,
                              check=False)
        self.assertEqual(done.returncode, SOCKET)


class Connections(RuntimeCase):
    def serve(self, sockets, threads=2, module="http", tasks=False, env=None):
        """Starts it with these sockets as 3, 4, ...; sh sets LISTEN_PID."""
        names = ":".join(name for name, _ in sockets)
        env = dict(os.environ, LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=names, **(env or {}))
        # The numbers from 3 on are given by a shell's redirections.
        fds = [s.fileno() for _, s in sockets]
        moves = " ".join("%d<&%d" % (3 + i, fd) for i, fd in enumerate(fds))
        high = [os.dup2(fd, 100 + i, inheritable=True) for i, fd in enumerate(fds)]
        moves = " ".join("%d<&%d %d<&-" % (3 + i, fd, fd) for i, fd in enumerate(high))
        log = tempfile.TemporaryFile()
        process = subprocess.Popen(
            ["/bin/bash", "-c", 'export LISTEN_PID=$$; exec "$@" ' + moves, "sh", WORKER, "--module",
             os.path.join(EXAMPLES, module + ".so"), "--threads", str(threads)],
            env=env, pass_fds=high, stdin=subprocess.DEVNULL, stderr=log)
        for fd in high:
            os.close(fd)

        def end():
            if process.poll() is None:
                process.kill()
            process.wait()
            log.close()
        self.addCleanup(end)

        def words():
            log.seek(0)
            return log.read().decode()
        process.words = words
        return process

    def listen(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, address=("127.0.0.1", 0)):
        s = socket.socket(family, kind)
        self.addCleanup(s.close)
        s.bind(address)
        if kind == socket.SOCK_STREAM:
            s.listen(64)
        return s

    def connect(self, listener):
        s = socket.socket(listener.family, socket.SOCK_STREAM)
        s.settimeout(driver.DEADLINE)
        s.connect(listener.getsockname())
        self.addCleanup(s.close)
        return s

    def get(self, s, path="/", extra="", method="GET"):
        s.sendall(("%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (method, path, extra)).encode())
        return self.response(s, method == "HEAD")

    def response(self, s, no_body=False):
        data = b""
        while b"\r\n\r\n" not in data:
            more = s.recv(1)
            if not more:
                return None
            data += more
        head = data.decode()
        size = int(head.split("Content-Length: ")[1].split("\r\n")[0])
        body = b""
        while len(body) < size and not no_body:
            body += s.recv(size - len(body))
        return int(head.split()[1]), body

    def test_http_keep_alive_and_pipelining(self):
        listener = self.listen()
        self.serve([("http", listener)])
        s = self.connect(listener)
        for _ in range(3):
            status, body = self.get(s)
            self.assertEqual((status, len(body)), (200, 100))
        s.sendall(b"GET / HTTP/1.1\r\n\r\n" * 5)
        for _ in range(5):
            self.assertEqual(self.response(s)[0], 200)
        self.assertEqual(self.get(s, extra="Connection: close\r\n")[0], 200)
        self.assertEqual(s.recv(1), b"")

    def test_http_files_and_what_it_refuses(self):
        with tempfile.TemporaryDirectory() as folder:
            driver.write(os.path.join(folder, "sub", "a.txt"), "content")
            os.symlink("/etc/passwd", os.path.join(folder, "out"))
            listener = self.listen()
            self.serve([("http", listener)], env={"HTTP_ROOT": folder})
            s = self.connect(listener)
            self.assertEqual(self.get(s, "/sub/a.txt?x=1"), (200, b"content"))
            self.assertEqual(self.get(s, "/sub/a.txt", method="HEAD"), (200, b""))
            for path in ("/none", "/out", "/../etc/passwd", "/sub/../../etc/passwd", "/sub",
                         "//etc/passwd"):
                self.assertEqual(self.get(s, path)[0], 404, path)
            self.assertEqual(self.get(s, method="POST")[0], 405)
            for bad in (b"nonsense\r\n\r\n", b"GET x HTTP/1.1\r\n\r\n", b"GET / HTTP/2\r\n\r\n",
                        b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
                        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"):
                s = self.connect(listener)
                s.sendall(bad)
                self.assertEqual(self.response(s)[0], 400, bad)
            s = self.connect(listener)
            s.sendall(b"GET / HTTP/1.1\r\nX: " + b"y" * 9000)
            self.assertEqual(self.response(s)[0], 431)

    def test_several_sockets_and_families(self):
        tcp, other = self.listen(), self.listen()
        with tempfile.TemporaryDirectory() as folder:
            unix = self.listen(socket.AF_UNIX, address=os.path.join(folder, "s"))
            self.serve([("a", tcp), ("b", other), ("c", unix)], threads=3)
            connections = [self.connect(listener) for listener in (tcp, other, unix)]
            for s in connections:
                self.assertEqual(self.get(s)[0], 200)

    def test_waits_for_a_thread_and_gets_it(self):
        listener = self.listen()
        self.serve([("http", listener)], threads=1)
        first = self.connect(listener)
        self.assertEqual(self.get(first)[0], 200)
        second = self.connect(listener)
        second.sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(select.select([second], [], [], 0.1)[0], [])
        first.close()
        self.assertEqual(self.response(second)[0], 200)

    def test_two_processes_share_a_socket(self):
        listener = self.listen()
        processes = [self.serve([("http", listener)], threads=2) for _ in range(2)]
        held = [self.connect(listener) for _ in range(4)]
        for s in held:
            self.assertEqual(self.get(s)[0], 200)
        processes[0].kill()
        processes[0].wait()
        for s in held:
            s.close()
        self.assertEqual(self.get(self.connect(listener))[0], 200)

    def test_sigterm_answers_what_was_asked_and_ends(self):
        listener = self.listen()
        process = self.serve([("http", listener)], threads=4)
        idle = self.connect(listener)
        self.assertEqual(self.get(idle)[0], 200)
        process.terminate()
        self.assertEqual(idle.recv(1), b"")
        self.assertEqual(process.wait(driver.DEADLINE), 0)

    def test_udp_is_refused_in_words(self):
        process = self.serve([("dns", self.listen(kind=socket.SOCK_DGRAM))])
        self.assertEqual(process.wait(driver.DEADLINE), SOCKET)
        self.assertIn('socket "dns" is a udp socket', process.words())

    def test_sockets_meant_for_another_process_are_left_alone(self):
        env = dict(os.environ, LISTEN_FDS="1", LISTEN_PID="1")
        done = subprocess.run([WORKER, "--module", os.path.join(EXAMPLES, "http.so")], env=env,
                              stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, NOTHING)


@unittest.skipIf(TSAN,
                 "a command begins on its parent's memory, as by vfork: TSan can't follow")
class Commands(RuntimeCase):
    def test_payload_in_result_out(self):
        hand = self.command("/bin/cat")
        hand.task(1, "any", {"a": [1, 2]})
        self.assertEqual(hand.result(1).json, {"a": [1, 2]})
        hand.task(2, "any", data=b"\0\1\2")
        frame = hand.result(2)
        self.assertEqual((frame.body, frame.flags), (b"\0\1\2", 0))
        hand.task(3, "any")
        self.assertEqual(hand.result(3).body, b"")
        data = os.urandom(1 << 20)
        hand.task(4, "any", data=data)
        self.assertEqual(hand.result(4).body, data)

    def test_environment_and_no_descriptor_of_ours(self):
        hand = self.shell('printf "%s %s %s %s\n" "$SUPERVISOR_TASK_ID" "$SUPERVISOR_TASK_FUNC" '
                          '"$SUPERVISOR_TASK_ATTEMPT" "${SUPERVISOR_TASK_TIMEOUT-none}"; '
                          'ls /proc/self/fd; env | grep -c "^WORKER_\\|^LISTEN_"; true')
        hand.task(12, "resize", timeout_ms=1500, attempt=3)
        lines = hand.result(12).text.split("\n")
        self.assertEqual(lines[0], "12 resize 3 1.500")
        self.assertEqual([n for n in lines[1:5]], ["0", "1", "2", "3"])
        self.assertEqual(lines[5], "0")
        hand.task(13, "resize")
        self.assertTrue(hand.result(13).text.startswith("13 resize 1 none\n"))

    def test_exit_statuses(self):
        hand = self.shell("exit $(cat)")
        for status, flags in ((1, 0), (75, 0), (65, FOR_GOOD), (255, 0)):
            hand.task(status, "f", data=b"%d" % status)
            frame = hand.failure(status)
            self.assertEqual((frame.text, frame.flags), ("exited %d" % status, flags))

    def test_death_by_signal(self):
        hand = self.shell("kill -USR1 $$")
        hand.task(1, "f")
        frame = hand.failure(1)
        self.assertEqual((frame.text, frame.flags), ("killed by SIGUSR1", 0))

    def test_json_of_several_lines_is_one(self):
        hand = self.shell('printf \'{\n "a": 1\n}\n\n\'')
        hand.task(1, "f")
        frame = hand.result(1)
        self.assertEqual(frame.json, {"a": 1})
        self.assertNotIn(b"\n", frame.body)

    def test_too_much_output_is_killed(self):
        hand = self.shell("exec cat /dev/zero")
        hand.task(1, "f")
        frame = hand.failure(1)
        self.assertIn("result too large", frame.text)
        self.assertEqual(frame.flags, FOR_GOOD)

    def test_cancel_asks_the_group_to_end(self):
        hand = self.shell("sleep 1000; echo never")
        hand.task(1, "f")
        hand.wait_executing(1)
        driver.eventually(lambda: len(driver.descendants(hand.process.pid)) >= 2)
        hand.send(CANCEL, 1)
        self.assertEqual(hand.failure(1).text, "cancelled")
        self.assertEqual(driver.descendants(hand.process.pid, zombies=True), [])

    def test_cancelled_is_failed_though_it_succeeds(self):
        hand = self.shell('trap "exit 0" TERM; while :; do sleep 0.01; done')
        hand.task(1, "f")
        driver.eventually(lambda: driver.descendants(hand.process.pid))
        hand.wait_executing(1)
        driver.eventually(lambda: len(driver.descendants(hand.process.pid)) >= 2)
        hand.send(CANCEL, 1)
        self.assertEqual(hand.failure(1).text, "cancelled")

    def test_nothing_of_it_is_left_for_the_next(self):
        hand = self.shell("setsid sh -c 'sleep 1000 & sleep 1000' & sleep 1000 & echo 1")
        for task in (1, 2, 3):
            hand.task(task, "f")
            self.assertEqual(hand.result(task).json, 1)
            self.assertEqual(driver.descendants(hand.process.pid, zombies=True), [])

    def test_dies_with_the_runtime(self):
        hand = self.command("/bin/sleep", "1000")
        hand.task(1, "f")
        child = driver.eventually(lambda: driver.descendants(hand.process.pid))[0]
        hand.process.kill()
        driver.gone(child)

    def test_command_that_cannot_be_run(self):
        for argv, words in ((["/nonexistent/x"], "cannot run /nonexistent/x: No such file"),
                            (["no-such-program-here"], "there is no such program in PATH"),
                            (["/etc/passwd"], "Permission denied")):
            hand = self.command(*argv)
            for task in (1, 2):
                hand.task(task, "f")
                frame = hand.failure(task)
                self.assertIn(words, frame.text)
                self.assertEqual(frame.flags, FOR_GOOD)

    def test_found_in_path(self):
        hand = self.command("cat")
        hand.task(1, "f", 5)
        self.assertEqual(hand.result(1).json, 5)

    def test_recall_sync_and_drain_while_one_runs(self):
        hand = self.shell("sleep 0.5; echo 1")
        for task in (1, 2, 3):
            hand.task(task, "f")
        hand.wait_executing(1)
        self.assertEqual(hand.sync(), ([1, 2, 3], []))
        hand.send(RECALL, 2)
        self.assertEqual(hand.next(RETURNED).task, 2)
        hand.process.terminate()
        hand.next(DRAINING)
        self.assertEqual(hand.next(RETURNED).task, 3)
        self.assertEqual(hand.result(1).json, 1)
        self.assertEqual(hand.wait(), 0)

    def test_signals_are_as_they_were(self):
        hand = self.shell("grep -E '^Sig(Blk|Ign)' /proc/self/status")
        hand.task(1, "f")
        masks = [int(line.split()[1], 16) for line in hand.result(1).text.splitlines()]
        self.assertEqual(masks[0], 0)
        self.assertFalse(masks[1] & (1 << (signal.SIGTERM - 1) | 1 << (signal.SIGINT - 1)))


class Python(RuntimeCase):
    """workers/examples/worker.py, in JSON lines."""

    def worker(self, threads=2):
        hand = Hand(self, [sys.executable, PYTHON_WORKER], threads, slots=False)
        hand.reader = hand.socket.makefile("rb")
        self.addCleanup(hand.reader.close)
        hand.say = lambda **message: hand.socket.sendall(json.dumps(message).encode() + b"\n")

        def hear():
            line = hand.reader.readline()
            return json.loads(line) if line else None
        hand.hear = hear
        self.assertEqual(hear(), {"hello": 1, "threads": threads, "prefetch": 0,
                                  "functions": {"add": "json", "wait": "json"}})
        return hand

    def give(self, hand, task, func, args):
        hand.say(task=task, attempt=1, func=func, args=args, timeout=None)

    def begun(self, hand, task):
        message = hand.hear()
        self.assertEqual(message["start"], task)

    def test_it_has_less_than_sixty_lines(self):
        self.assertLess(len(driver.read(PYTHON_WORKER).splitlines()), 60)

    def test_tasks(self):
        hand = self.worker()
        for task in range(1, 20):
            self.give(hand, task, "add", [task, 1])
            self.begun(hand, task)
            self.assertEqual(hand.hear(), {"done": task, "result": task + 1})

    def test_failures(self):
        hand = self.worker()
        self.give(hand, 1, "add", ["x"])
        self.begun(hand, 1)
        message = hand.hear()
        self.assertEqual((message["failed"], message["retry"]), (1, True))
        self.assertIn("TypeError", message["error"])
        self.give(hand, 2, "none", [])
        self.begun(hand, 2)
        self.assertEqual(hand.hear(), {"failed": 2, "error": "KeyError: 'none'", "retry": False})

    def test_half_a_line_of_a_killed_broker(self):
        hand = self.worker()
        hand.socket.sendall(b'{"task": 5, "fun\n')
        self.give(hand, 6, "add", [1])
        self.begun(hand, 6)
        self.assertEqual(hand.hear()["done"], 6)

    def test_sync_and_cancel(self):
        hand = self.worker()
        hand.say(sync=1)
        self.assertEqual(hand.hear(), {"sync": 1, "held": []})
        self.give(hand, 1, "wait", 1000)
        self.begun(hand, 1)
        hand.say(sync=2)
        self.assertEqual(hand.hear(), {"sync": 2, "held": [1]})
        hand.say(cancel=1)
        self.assertEqual(hand.hear(), {"done": 1, "result": False})

    def test_drain_and_sigterm(self):
        for how in ("drain", "term"):
            hand = self.worker(threads=1)
            self.give(hand, 1, "wait", 0.3)
            self.begun(hand, 1)
            self.give(hand, 2, "add", [])
            if how == "drain":
                hand.say(drain=True)
            else:
                hand.say(sync=1)
                hand.hear()
                hand.process.terminate()
            self.assertEqual(hand.hear(), {"draining": True})
            self.assertEqual(hand.hear(), {"done": 1, "result": True})
            self.assertEqual(hand.hear(), {"returned": 2})
            self.assertIsNone(hand.hear())
            self.assertEqual(hand.wait(), 0)

    def test_end_of_file(self):
        hand = self.worker()
        self.give(hand, 1, "wait", 0.2)
        self.begun(hand, 1)
        hand.socket.shutdown(socket.SHUT_RDWR)
        self.assertEqual(hand.wait(), 0)
        self.assertEqual(hand.stderr(), "")


if __name__ == "__main__":
    unittest.main()
