"""The runtime inside a hybrid worker's process: tasks and orders, modules that
misbehave or can't be loaded. The test itself is the broker."""

import os
import select
import signal
import socket
import struct
import subprocess
import tempfile
import unittest

import driver
from runtime_rig import (
    WORKER, EXAMPLES, TSAN, HEAD, BODY, SYNC, TASK, CANCEL, RECALL, DRAIN, DONE, PROGRESS,
    RETURNED, START, DRAINING, JSON, FOR_GOOD, LATER, MORE, LOAD, SYMBOL, ABI, NOTHING, INIT,
    SOCKET, BROKEN, CLOSED, THREAD, task_frames, Hand, RuntimeCase)


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
        hand.task(3, "sleep\0\0")
        self.assertIn("there is no function", hand.failure(3).text)

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

    def test_a_run_that_makes_up_for_others_knows_for_how_many(self):
        hand = self.module()
        for task, missed in (1, 0), (2, 17), (3, 0):
            hand.task(task, "missed", missed=missed)
            self.assertEqual(hand.result(task).json, missed)

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

    @unittest.skipIf(TSAN, "TSan's own locks are held in the children")
    def test_children_of_a_process_at_work_may_ask(self):
        hand = self.module(threads=4)
        hand.task(1, "fork-asks")
        hand.wait_executing(1)
        over, n = False, 1
        while not over:
            n += 1
            hand.task(n, "echo", n)
            frame = hand.next(DONE)
            over = frame.task == 1
        self.assertIs(frame.json, True)

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

    @unittest.skipIf(TSAN, "closing what other threads use is the race that TSan looks for")
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
        self.assertEqual(hand.socket.recv(1), b"", "it has said HELLO")

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

    BODY = ("static void f(struct sv_task *t) {sv_result_json(t, \"1\");}"
            "static const struct sv_handler h[] = {{\"f\", SV_JSON, f}, {0}};")

    def test_thread_init_ends_its_thread(self):
        self.refused(self.build(
            self.BODY + "\n#include <pthread.h>\n"
            "static int init(unsigned n, void **s) {(void)s; if (n == 1) pthread_exit(0); return 0;}"
            "const struct sv_module supervisor_module = { .abi = SV_ABI,"
            " .thread_init = init, .handlers = h };"), THREAD, "ended its thread")

    def test_init_blocks_signals_for_all_threads(self):
        path = self.build(
            self.BODY + "\n#include <signal.h>\n"
            "static int init(const struct sv_worker *w) {"
            " sigset_t all; (void)w; sigfillset(&all); return sigprocmask(SIG_BLOCK, &all, 0); }"
            "const struct sv_module supervisor_module = { .abi = SV_ABI,"
            " .init = init, .handlers = h };")
        hand = Hand(self, [WORKER, "--module", path, "--threads", "2"], 2)
        hand.hello()
        hand.task(1, "f", 1)
        self.assertEqual(hand.result(1).json, 1)
        hand.process.terminate()
        hand.next(DRAINING)
        self.assertEqual(hand.wait(), 0)

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
