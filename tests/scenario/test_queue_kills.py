"""Kill loops: each of the processes that a task passes through is killed again
and again while numbered tasks are submitted. Every acknowledged task completes,
and none begins after its completion was committed."""

import os
import random
import signal
import sqlite3
import subprocess
import sys

import driver
import test_queue
from driver import eventually

CLIENT = os.path.join(os.path.dirname(__file__), "task_client.py")
ROUNDS = 200 if driver.LONG else 8


class Kills(test_queue.Queue):
    alone = True
    weight = 40
    CLIENTS = 3

    # -- the fleet and those who submit

    def begin(self):
        self.sup = self.fleet(w=test_queue.worker("processes = 3;",
                                                  "max_crashes = 1000;"))
        self.seed = random.SystemRandom().randrange(1 << 30)
        self.dice = random.Random(self.seed)
        self.clients = [self.client(n) for n in range(self.CLIENTS)]
        self.ended_at = {}
        self.story = []
        self.addCleanup(self.end_clients)
        self.goes_on(5)

    def client(self, n):
        return subprocess.Popen(
            [sys.executable, "-B", CLIENT, os.path.join(self.sup.run_dir, "tasks.sock"),
             self.acked_path(n), "c%d" % n], env=self.sup.environ, stdin=subprocess.DEVNULL)

    def acked_path(self, n):
        return os.path.join(self.sup.dir, "acked-%d" % n)

    def end_clients(self):
        for client in self.clients:
            client.kill()
            client.wait()

    def acked(self):
        """{(client, n): id}"""
        found = {}
        for client in range(self.CLIENTS):
            try:
                text = driver.read(self.acked_path(client))
            except FileNotFoundError:
                continue
            for line in text[:text.rfind("\n") + 1].splitlines():
                n, task = line.split()
                self.assertNotIn((client, int(n)), found)
                found[client, int(n)] = int(task)
        return found

    def goes_on(self, more=3):
        """Waits until so many more are acknowledged."""
        least = len(self.acked()) + more
        eventually(lambda: len(self.acked()) >= least, 60, "%d tasks acknowledged" % least)

    # -- what is killed

    @staticmethod
    def kill(pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def kill_client(self):
        n = self.dice.randrange(self.CLIENTS)
        self.clients[n].kill()
        self.clients[n].wait()
        self.clients[n] = self.client(n)

    def kill_broker(self):
        self.kill(self.broker(self.sup))

    def kill_master(self):
        self.kill(eventually(lambda: self.sup.process("master"), what="a master"))

    def kill_logger(self):
        self.kill(eventually(lambda: self.sup.process("logger"), what="a logger"))

    def kill_worker(self):
        self.sup.wait_up()
        pids = [pid for pid in self.sup.pids("w").values() if pid]
        if pids:
            self.kill(self.dice.choice(pids))

    def upgrade(self):
        self.sup.wait_up()
        self.sup.ctl_ok("upgrade")

    def kill_guardian(self):
        self.sup.wait_up()
        self.sup.kill_guardian()
        self.sup.start()

    # -- the checker

    def look(self):
        """Notes who has ended by the store's word, and how long the ledger was
        then: what begins behind that has begun after its end."""
        db = sqlite3.connect("file:%s/tasks.db?mode=ro" % self.sup.state_dir, uri=True, timeout=10)
        try:
            ended = [row[0] for row in db.execute("SELECT id FROM task WHERE state >= 3")]
        except sqlite3.OperationalError: # being recovered just now
            return
        finally:
            db.close()
        length = len(self.ledger(self.sup))
        for task in ended:
            self.ended_at.setdefault(task, length)

    def check(self):
        self.sup.wait_up()
        self.end_clients()
        acked = self.acked()
        self.assertEqual(len(set(acked.values())), len(acked), "an id twice")
        with self.sup.connect(60) as c:
            for key, task in acked.items():
                row = c.call("task", id=task, wait=True)
                self.assertEqual((row["state"], row["result"]), ("done", key[1]), (key, row))
        self.look()
        ledger = self.ledger(self.sup)
        self.assertGreater(len(self.ended_at), 5)
        ran = {e[1] for e in ledger if e[0] == "end"}
        self.assertEqual(set(acked.values()) - ran, set(), "done, and never ran")
        for at, (word, task, _attempt, _pid) in enumerate(ledger):
            if word == "begin" and at >= self.ended_at.get(task, len(ledger)):
                self.fail("task %d began after its end was committed" % task)

    def storm(self, *deeds, rounds=ROUNDS):
        self.begin()
        try:
            for _ in range(rounds):
                deed = self.dice.choice(deeds)
                self.story.append(deed.__name__)
                deed()
                self.look()
                if self.dice.random() < 0.5:
                    self.goes_on()
            self.goes_on()
            self.check()
        except Exception as error:
            raise AssertionError("seed %d, after %s: %s" % (
                self.seed, " ".join(self.story[-20:]), error)) from error

    # -- one kind after the other, and all together

    def test_of_clients(self):
        self.storm(self.kill_client)

    def test_of_the_broker(self):
        self.storm(self.kill_broker)

    def test_of_the_master(self):
        self.storm(self.kill_master)

    def test_of_the_logger(self):
        self.storm(self.kill_logger)

    def test_of_workers(self):
        self.storm(self.kill_worker)

    def test_of_upgrades(self):
        self.storm(self.upgrade, rounds=ROUNDS // 2)

    def test_of_the_guardian(self):
        self.storm(self.kill_guardian, rounds=ROUNDS // 3)

    def test_of_all_at_random(self):
        self.storm(self.kill_client, self.kill_broker, self.kill_master, self.kill_logger,
                   self.kill_worker, self.kill_worker, self.kill_broker, self.upgrade,
                   self.kill_guardian, rounds=ROUNDS * 3)
