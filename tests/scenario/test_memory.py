"""Allocations that fail, one after the other, while the queue is at work: what
was acknowledged is not lost, nobody ends, errors have names. Long form: every
single one; else a sample of them."""

import mmap
import os
import random
import signal
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
class Master(driver.Case):
    """It goes on, nobody waits for ever, and in the end all is as it was asked for."""

    def config(self, n):
        extra = 'extra: { command = "@P/pause"; };' if n % 2 else ""
        return driver.FAST + """
            sockets: { s: { listen = "unix://@D/%d.sock"; }; };
            workers: {
              web: { command = "@P/pause"; processes = %d; sockets = [ "s" ]; };
              w: { module = "%s"; threads = 2; processes = 1; tasks: {}; };
              %s
            };""" % (n % 3, 2 + n % 2, os.path.join(driver.BUILD, "examples", "crash.so"), extra)

    def begin(self):
        self.shortage = Shortage(self.folder(), "master")
        sup = self.supervisord(self.config(0), environ=self.shortage.environ)
        sup.wait_running()
        self.own = sup.master()
        return sup

    def insist(self, sup, method, **params):
        """The answer, in the end; what stands in for it meanwhile says why."""
        for _ in range(200):
            try:
                return sup.rpc(method, **params)
            except driver.RpcError as error:
                self.assertRegex(str(error), "memory|no-broker|does not answer")
            except (ConnectionError, FileNotFoundError):
                pass
            driver.let_pass(0.005)
        raise AssertionError("refused for ever")

    def whole(self, sup, n):
        names = {"web:%d" % i for i in range(2 + n % 2)} | {"w:0"} | (
            {"extra:0"} if n % 2 else set())
        sup.wait(lambda rows: {r["name"] for r in rows} == names and
                 all(r["state"] == "RUNNING" for r in rows), what="all of %s" % names)

    def life(self, sup, n):
        task = self.insist(sup, "submit", worker="w", func="echo", args=n, key="k%d" % n)["id"]
        self.insist(sup, "stop", targets=["web:0"])
        self.insist(sup, "start", targets=["web:0"])
        pid = self.insist(sup, "status", targets=["web:1"])[0]["pid"]
        os.kill(pid, signal.SIGKILL)
        driver.eventually(lambda: self.insist(sup, "status", targets=["web:1"])[0]["pid"] not in (
            None, pid), what="web:1 runs anew")
        sup.configure(self.config(n))
        self.insist(sup, "reload")
        for method in ("info", "why", "events", "history", "queue"):
            self.insist(sup, method, **({"targets": ["web"]} if method == "history" else {}))
        self.assertEqual(self.insist(sup, "task", id=task, wait=True)["result"], n)

    def each(self, counts, most):
        sup = self.begin()
        self.life(sup, 0)
        self.shortage.begin(1 << 40)
        self.life(sup, 1)
        end = (1 << 40) - struct.unpack_from("=q", self.shortage.memory)[0]
        self.assertGreater(end, 500)
        places = range(end) if driver.LONG else sorted(
            random.SystemRandom().sample(range(end), min(most, end)))
        failed = 0
        for n, place in enumerate(places, 2):
            self.shortage.begin(place, counts)
            over = threading.Timer(0.5 if counts > 1 else 60, self.shortage.end)
            over.start()
            try:
                self.life(sup, n)
            except Exception as error:
                raise AssertionError("allocation %d: %s\n%s" % (
                    place, error, sup.log()[-2000:])) from error
            finally:
                over.cancel()
                over.join()
                failed += self.shortage.end()
            self.whole(sup, n)
            self.assertEqual(sup.master(), self.own, "allocation %d" % place)
        self.assertGreater(failed, most // 4)

    def test_each_fails_once(self):
        self.each(1, 40)

    def test_many_fail_at_once(self):
        self.each(30, 15)

    def test_a_reload_is_done_or_refused(self):
        sup = self.begin()
        sup.configure(self.config(1))
        self.shortage.begin(1 << 40)
        self.insist(sup, "reload")
        end = (1 << 40) - struct.unpack_from("=q", self.shortage.memory)[0]
        failed = 0
        for n, place in enumerate(range(0, end, 1 if driver.LONG else 8), 2):
            sup.configure(self.config(n))
            self.shortage.begin(place, 30)
            over = threading.Timer(0.5, self.shortage.end)
            over.start()
            self.insist(sup, "reload", wait=False)
            over.cancel()
            over.join()
            failed += self.shortage.end()
            self.assertEqual(self.insist(sup, "info")["master_pid"], self.own, place)
        self.assertGreater(failed, end // 8)
        self.whole(sup, n)

    def test_one_that_starts_takes_all_over(self):
        """It may end then, for the guardian to try again."""
        sup = self.begin()
        self.life(sup, 1)
        self.whole(sup, 1)
        before = sup.pids()
        self.shortage.begin(1 << 40)
        sup.kill_master()
        end = (1 << 40) - struct.unpack_from("=q", self.shortage.memory)[0]
        self.assertGreater(end, 200)
        failed = 0
        for place in range(end) if driver.LONG else sorted(
                random.SystemRandom().sample(range(end), 25)):
            master = sup.master()
            self.shortage.begin(place)
            os.kill(master, signal.SIGKILL)
            driver.eventually(lambda old=master: self.insist(sup, "info")["master_pid"] != old,
                              what="another master")
            failed += self.shortage.end()
            self.whole(sup, 1)
            self.assertEqual(sup.pids(), before, "allocation %d" % place)
            pauses = [p for p in sup.descendants() if driver.comm(p) == "pause"]
            self.assertEqual(len(pauses), len(before) - 1, "allocation %d" % place)
        self.assertGreater(failed, 8)


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
