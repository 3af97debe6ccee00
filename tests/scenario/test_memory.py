"""Allocations that fail, one after the other, while the queue is at work: what
was acknowledged is not lost, nobody ends, errors have names. Long form: every
single one; else a sample of them."""

import mmap
import os
import random
import struct
import subprocess
import tempfile
import threading
import unittest

import driver
import runtime_rig
from test_broker import Case, pool


class Shortage:
    """The control of a program preloaded with tests/fault/nomemory.c."""

    def __init__(self, folder, program):
        self.library = os.path.join(folder, "nomemory.so")
        self.path = os.path.join(folder, "nomemory")
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", self.library,
                        os.path.join(driver.ROOT, "tests/fault/nomemory.c")], check=True)
        with open(self.path, "wb") as f:
            f.write(struct.pack("=qqq", -1, 0, 0))
        with open(self.path, "r+b") as f:
            self.memory = mmap.mmap(f.fileno(), 24)
        self.environ = {"LD_PRELOAD": self.library, "NOMEMORY_FILE": self.path,
                        "NOMEMORY_PROGRAM": program}

    def begin(self, well, fail=1):
        self.memory[:24] = struct.pack("=qqq", -1, fail, 0)
        self.memory[:8] = struct.pack("=q", well)

    def end(self):
        """How many have failed."""
        self.memory[:8] = struct.pack("=q", -1)
        return struct.unpack_from("=q", self.memory, 16)[0]


@unittest.skipIf(driver.SANITIZED, "a sanitized program takes no preloaded library")
class Broker(Case):
    def begin(self, **settings):
        self.shortage = Shortage(self.folder(), "broker")
        before = dict(os.environ)
        os.environ.update(self.shortage.environ)
        try:
            rig = self.rig(pool(threads=2, **settings))
        finally:
            os.environ.clear()
            os.environ.update(before)
        return rig

    @staticmethod
    def handler(task, attempt, func, payload):
        return payload or b"null"

    def insist(self, client, method, **params):
        """The answer, in the end; every refusal meanwhile has a name."""
        for _ in range(200):
            try:
                return client.insist(method, **params)
            except driver.RpcError as error:
                name = (error.data or {}).get("error", str(error))
                if name not in ("store", "no-memory"):
                    raise
                driver.let_pass(0.005)
        raise AssertionError("refused for ever")

    def life(self, rig, client, n):
        """Submitted, run, cancelled, queued again, read. Gives the ids."""
        ids = [self.insist(client, "submit", worker="w", func="f", args=[n, i],
                           key="%d-%d" % (n, i))["id"] for i in range(3)]
        late = self.insist(client, "submit", worker="w", func="f", delay=3600, key="%d-l" % n)["id"]
        try:
            self.insist(client, "cancel", id=late)
        except driver.RpcError as error: # it was, and the answer was lost
            self.assertEqual(error.data["error"], "wrong-state")
        for i, task in enumerate(ids):
            self.check(self.insist(client, "task", id=task, wait=True), [n, i])
        try:
            self.insist(client, "requeue", id=late)
        except driver.RpcError as error:
            self.assertEqual(error.data["error"], "wrong-state")
        self.check(self.insist(client, "task", id=late, wait=True), None)
        self.insist(client, "tasks", worker="w", limit=3)
        self.insist(client, "queue")
        return ids

    def check(self, row, wanted):
        if row["state"] != "failed":
            self.assertEqual((row["state"], row["result"]), ("done", wanted))
        else:  # its handler has done it, and the result is no more
            self.assertEqual(row["error"], "no memory for its result")

    def each(self, counts, most):
        rig = self.begin()
        rig.worker("w:0", threads=2).hello().serve(self.handler)
        client = self.client(rig)
        self.life(rig, client, 0)
        self.shortage.begin(1 << 40)
        self.life(rig, client, 1)
        end = (1 << 40) - struct.unpack_from("=q", self.shortage.memory)[0]
        self.assertGreater(end, 100)
        places = range(end) if driver.LONG else sorted(
            random.SystemRandom().sample(range(end), min(most, end)))
        lives, failed = {}, 0
        for n in places:
            self.shortage.begin(n, counts)
            # What is tried again after a pause would find every one of them.
            over = threading.Timer(0.2 if counts > 1 else 60, self.shortage.end)
            over.start()
            try:
                lives[n] = self.life(rig, client, n + 2)
            except Exception as error:
                raise AssertionError("allocation %d: %s" % (n, error)) from error
            finally:
                over.cancel()
                over.join()
                failed += self.shortage.end()
            self.assertTrue(driver.alive(rig.pid), n)
        self.assertGreater(failed, most // 4)
        rig.kill()
        rig.start()
        for n, ids in lives.items():
            for i, task in enumerate(ids):
                self.check(client.insist("task", id=task, wait=True), [n + 2, i])

    def test_each_fails_once(self):
        self.each(1, 50)

    def test_many_fail_at_once(self):
        self.each(30, 25)


@unittest.skipIf(driver.SANITIZED, "a sanitized program takes no preloaded library")
class Runtime(runtime_rig.RuntimeCase):
    """Each task is answered, or what held it has ended and said why."""

    TASKS = ((1, "echo", {"a": [1, 2]}), (2, "sleep", 1), (3, "fail", 7), (4, "chatter", 3),
             (5, "large", 100000), (6, "echo", "x" * 70000))

    def begin(self):
        hand = self.module(threads=2, env=self.shortage.environ)
        self.round(hand)
        return hand

    def round(self, hand):
        """How it ended, None: it goes on."""
        answered = set()
        try:
            for task in self.TASKS:
                hand.task(*task)
            while len(answered) < len(self.TASKS):
                frame = hand.next()
                if frame is None:
                    return hand.wait()
                if frame.kind not in (runtime_rig.DONE, runtime_rig.FAILED):
                    continue
                self.assertNotIn(frame.task, answered)
                answered.add(frame.task)
                if frame.kind == runtime_rig.FAILED and frame.task != 3:
                    self.assertIn("memory", frame.text)
        except (BrokenPipeError, ConnectionResetError):
            return hand.wait()
        return None

    def test_each_fails_once(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.shortage = Shortage(folder.name, "worker")
        hand = self.begin()
        self.shortage.begin(1 << 40)
        self.assertIsNone(self.round(hand))
        end = (1 << 40) - struct.unpack_from("=q", self.shortage.memory)[0]
        failed = 0
        for n in range(end if driver.LONG else min(end, 150)):
            self.shortage.begin(n)
            status = self.round(hand)
            failed += self.shortage.end()
            if status is not None:
                self.assertGreater(status, 0, hand.stderr())
                self.assertIn("memory", hand.stderr())
                hand = self.begin()
        self.assertGreater(failed, 5)
