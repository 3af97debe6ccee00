"""Tasks that are commands, and the worker in Python."""

import json
import os
import signal
import socket
import sys
import unittest

import driver
from runtime_rig import (
    TSAN, PYTHON_WORKER, CANCEL, RECALL, RETURNED, DRAINING, FOR_GOOD, Hand, RuntimeCase)


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
        hand = self.shell('printf "%s" "$SUPERVISOR_TASK_MISSED"')
        for task, missed in (1, 0), (2, 17), (3, 0):
            hand.task(task, "tick", missed=missed)
            self.assertEqual(hand.result(task).json, missed)

    def test_variables_of_the_user_that_look_like_ours_are_kept(self):
        hand = self.shell('printf "%s" "$WORKER_CLASS $LISTEN_ADDRESS"',
                          env={"WORKER_CLASS": "gevent", "LISTEN_ADDRESS": "::1"})
        hand.task(1, "any")
        self.assertEqual(hand.result(1).body, b"gevent ::1")

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

    def test_a_result_that_json_cannot_say_fails_its_task(self):
        hand = self.worker()
        self.give(hand, 1, "add", [1e308, 1e308])
        self.begun(hand, 1)
        message = hand.hear()
        self.assertEqual((message["failed"], message["retry"]), (1, True))
        self.assertIn("ValueError", message["error"])
        hand.say(sync=2)
        self.assertEqual(hand.hear(), {"sync": 2, "held": []})

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
