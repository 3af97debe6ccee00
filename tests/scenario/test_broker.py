"""The broker alone, with guardian, master and workers played by the test: what
it promises though it is killed at any moment, and what becomes of tasks whose
process dies, overruns, is stopped or speaks nonsense."""

import json
import random
import signal
import sys
import threading
import time
import unittest

import broker_rig
import driver
from broker_rig import DONE, FAILED, JSON, LATER, MORE
from driver import eventually


def pool(name="w", **settings):
    return dict({"name": name, "threads": 1, "grace_ms": 100, "sibling_grace_ms": 300,
                 "max_crashes": 3, "backoff": {"initial_ms": 10, "max_ms": 50,
                                               "factor": 2.0, "jitter": 0.0}}, **settings)


class Case(driver.Case):
    def rig(self, *pools, start=True, **config):
        rig = broker_rig.Rig(self.folder(), list(pools) or [pool()], **config)
        self.addCleanup(self.show, rig)
        self.addCleanup(rig.close)
        self.addCleanup(self.finish, rig)
        if start:
            rig.start()
        return rig

    def show(self, rig):
        """Where the test has failed, the broker's log belongs to why."""
        if not self._outcome.success:
            text = driver.read(rig.folder + "/broker.log")
            sys.stderr.write("\n--- the broker's log\n%s\n" % text[-6000:])

    def finish(self, rig):
        """In the end it ends well: what it has is committed, freed, closed."""
        if rig.pid and self._outcome.success:
            self.assertEqual(rig.finish(), 0)

    def client(self, rig):
        client = broker_rig.Client(rig.path)
        self.addCleanup(client.close)
        eventually(lambda: self.connects(client))
        return client

    @staticmethod
    def connects(client):
        try:
            client.connect()
            return True
        except OSError:
            return False


class Tasks(Case):
    def test_a_task_goes_to_a_worker_and_its_result_comes_back(self):
        rig = self.rig()
        worker = rig.worker("w:0").hello()
        client = self.client(rig)
        number = client.send("submit", worker="w", func="f", args={"a": 1}, wait=True)
        task, attempt, func, payload = worker.hear_task()
        self.assertEqual((attempt, func, json.loads(payload)), (1, "f", {"a": 1}))
        worker.say(DONE, task, b'{"b":\n2}', JSON)
        answer = client.receive()
        while answer.get("id") != number:
            answer = client.receive()
        self.assertEqual(answer["result"]["state"], "done")
        self.assertEqual(answer["result"]["result"], {"b": 2})


    def test_lines_do_as_frames_do(self):
        rig = self.rig()
        worker = rig.worker("w:0")
        lines = worker.socket.makefile("rwb")
        self.addCleanup(lines.close)

        def say(**what):
            lines.write(json.dumps(what).encode() + b"\n")
            lines.flush()

        say(hello=1, threads=1, functions={"f": "json", "g": "bytes"})
        client = self.client(rig)
        first = client.call("submit", worker="w", func="f", args=[1, "\n"])["id"]
        task = json.loads(lines.readline())
        self.assertEqual(task, {"task": first, "attempt": 1, "func": "f", "args": [1, "\n"],
                                "timeout": None})
        say(progress=first, share=0.5, text="half")
        say(done=first, result={"deep": [1, {"er": None}]})
        self.assertEqual(client.call("task", id=first, wait=True)["result"],
                         {"deep": [1, {"er": None}]})
        second = client.call("submit", worker="w", func="g", data="AAEC", timeout=5)["id"]
        task = json.loads(lines.readline())
        self.assertEqual((task["data"], task["timeout"]), ("AAEC", 5))
        say(done=second, data="//4=")
        self.assertEqual(client.call("task", id=second, wait=True)["result"],
                         {"base64": "//4="})
        third = client.call("submit", worker="w", func="f", args=None)["id"]
        lines.readline()
        say(failed=third, error="n\u00f6", retry=False)
        ended = client.call("task", id=third, wait=True)
        self.assertEqual((ended["state"], ended["error"]), ("failed", "n\u00f6"))
        with self.assertRaises(driver.RpcError):
            client.call("submit", worker="w", func="h", args=1)

    def test_a_large_task_and_a_large_result_go_in_pieces(self):
        rig = self.rig()
        worker = rig.worker("w:0").hello()
        client = self.client(rig)
        text = "x" * 900_000
        task = client.call("submit", worker="w", func="f", args=text)["id"]
        number, _attempt, _func, payload = worker.hear_task()
        self.assertEqual((number, len(payload)), (task, len(text) + 2))
        self.answer_in_pieces(worker, task, payload)
        self.assertEqual(client.call("task", id=task, wait=True)["state"], "done")

    @staticmethod
    def answer_in_pieces(worker, task, payload, first=0, last=None):
        size = 32752
        pieces = [payload[i:i + size] for i in range(0, len(payload), size)]
        for i, piece in list(enumerate(pieces))[first:last]:
            worker.say(DONE, task, piece, JSON | (LATER if i else 0) |
                       (MORE if i + 1 < len(pieces) else 0))

    def test_a_worker_that_writes_byte_by_byte_is_understood(self):
        rig = self.rig()
        worker = rig.worker("w:0").hello()
        client = self.client(rig)
        task = client.call("submit", worker="w", func="f", args=1)["id"]
        worker.hear_task()
        frame = broker_rig.struct.pack("<IBBHQ", 400, DONE, JSON, 0, task) + b'"' + b"y" * 398 + b'"'
        for i in range(len(frame)):
            worker.socket.sendall(frame[i:i + 1])
        self.assertEqual(client.call("task", id=task, wait=True)["result"], "y" * 398)


class Settings(Case):
    def test_a_new_config_counts_at_once_and_a_bad_one_changes_nothing(self):
        rig = self.rig(pool(max_queue=1))
        client = self.client(rig)
        client.call("submit", worker="w", func="f", args=1)
        with self.assertRaises(driver.RpcError):
            client.call("submit", worker="w", func="f", args=1)
        rig.config["pools"] = [pool(max_queue=2), pool(name="v")]
        rig.tell_config()
        eventually(lambda: len(client.call("queue")) == 2)
        client.call("submit", worker="w", func="f", args=1)
        client.call("submit", worker="v", func="f", args=1)
        rig.config["pools"] = 5
        rig.tell_config()
        eventually(lambda: "can't be used" in driver.read(rig.folder + "/broker.log"))
        self.assertEqual(len(client.call("queue")), 2)

    def test_a_group_that_does_not_fit_is_refused_as_a_whole(self):
        rig = self.rig(pool(max_queue=3), pool(name="v"))
        client = self.client(rig)

        def group(*workers):
            return client.call("submit.group",
                               tasks=[{"worker": w, "func": "f"} for w in workers])

        for tasks in ("w" * 4, "vwwwwv"):
            with self.assertRaises(driver.RpcError) as refused:
                group(*tasks)
            self.assertIn("nothing of it was accepted", str(refused.exception))
        self.assertEqual([q["queued"] for q in client.call("queue")], [0, 0])
        self.assertEqual(len(group(*"wvwvw")["ids"]), 5)
        with self.assertRaises(driver.RpcError):
            group("w")
        self.assertEqual(sorted(q["queued"] for q in client.call("queue")), [2, 3])
        rig.kill()
        rig.start()
        client = self.client(rig)
        self.assertEqual(sorted(q["queued"] for q in client.call("queue")), [2, 3])

    def test_why_tells_of_tasks_whose_worker_has_left_the_config(self):
        rig = self.rig(pool(), pool(name="v"))
        client = self.client(rig)
        for delay in (0, 60):
            client.call("submit", worker="v", func="f", delay=delay)
        rig.config["pools"] = [pool()]
        rig.tell_config()
        eventually(lambda: not client.call("queue", worker="v")[0]["configured"])
        for name in "v", "v:0":
            text = client.call("why", instance=name)["text"]
            self.assertIn("2 tasks wait for v, which is not in the config", text)
        with self.assertRaises(driver.RpcError):
            client.call("why", instance="u")

    def test_why_tells_what_waits_while_threads_are_idle(self):
        rig = self.rig(pool(threads=4, key_concurrency=1))
        worker = rig.worker("w:0", threads=4).hello()
        client = self.client(rig)
        for _ in range(3):
            client.call("submit", worker="w", func="f", limit_key="k")
        worker.hear_task()
        text = client.call("why", instance="w:0")["text"]
        self.assertIn("2 of them wait for others of the same limit_key", text)

    def test_why_tells_of_who_has_to_run_alone(self):
        rig = self.rig(pool(threads=4))
        worker = rig.worker("w:0", threads=4).hello()
        client = self.client(rig)
        numbers = [client.call("submit", worker="w", func="f")["id"] for _ in range(2)]
        for thread, number in enumerate(numbers):
            worker.hear_task()
            worker.slots.set(thread, number)
        rig.end(worker, broker_rig.KILLED, signal.SIGSEGV)
        worker.done.wait(driver.DEADLINE)
        again = rig.worker("w:0", threads=4, gen=2).hello()
        again.hear_task()
        text = client.call("why", instance="w:0")["text"]
        self.assertIn("Its task runs alone, because a process crashed under it", text)
        self.assertIn("1 task waits for w", text)

    def test_threads_tell_their_task_and_who_is_stuck(self):
        rig = self.rig(pool(threads=2, grace_ms=60000))
        worker = rig.worker("w:0", threads=2).hello()
        client = self.client(rig)
        task = client.call("submit", worker="w", func="f", args=1, timeout=0.05)["id"]
        worker.hear_task()
        worker.slots.set(1, task)
        self.assertEqual(worker.hear()[0], broker_rig.CANCEL)
        rows = client.call("threads")
        self.assertEqual([(r["instance"], r["thread"], r["state"], r["task"], r["stuck"])
                          for r in rows],
                         [("w:0", 0, "idle", None, False), ("w:0", 1, "task", task, True)])


class Killed(Case):
    """The broker dies by kill -9."""

    def test_no_accepted_task_is_lost_and_none_runs_after_its_end(self):
        rig = self.rig(pool(durability="process"))
        runs, finished, lock = [], {}, threading.Lock()

        def handler(task, _attempt, _func, _payload):
            with lock:
                runs.append((time.monotonic(), task))
            if task % 7 == 0:
                select_pause(0.003)
            return json.dumps(task).encode()

        workers = [rig.worker("w:%d" % i).hello().serve(handler) for i in range(3)]
        stop = threading.Event()
        accepted = []

        def submit(number):
            client = broker_rig.Client(rig.path)
            i = 0
            while not stop.is_set():
                i += 1
                task = client.insist("submit", worker="w", func="f", args=i,
                                     key="%d-%d" % (number, i))["id"]
                ended = client.insist("task", id=task, wait=True)
                with lock:
                    accepted.append(task)
                    finished[task] = (time.monotonic(), ended)
            client.close()

        self.client(rig).close()
        clients = [threading.Thread(target=submit, args=(i,)) for i in range(4)]
        for thread in clients:
            thread.start()
        seed = random.randrange(1 << 30)
        chance = random.Random(seed)
        for _ in range(60 if driver.LONG else 15):
            driver.let_pass(chance.uniform(0.0, 0.15))
            rig.kill()
            rig.start()
        stop.set()
        for thread in clients:
            thread.join()
        self.assertGreater(len(finished), 20, "seed %d" % seed)
        self.assertEqual(len(set(accepted)), len(accepted), "seed %d: an id twice" % seed)
        for task, (_at, ended) in finished.items():
            self.assertEqual((ended["state"], ended["result"]), ("done", task), "seed %d" % seed)
        if driver.LONG:
            print("%d tasks, %d runs" % (len(finished), len(runs)))
        for at, task in runs:
            if task in finished:
                self.assertLess(at, finished[task][0], "seed %d: %d ran again" % (seed, task))
        self.assertEqual([w.name for w in workers if w not in rig.workers], [])
        self.assertEqual([r for r in rig.replaces], [])

    def test_a_running_task_is_waited_for_not_sent_again(self):
        rig = self.rig()
        worker = rig.worker("w:0").hello()
        client = self.client(rig)
        task = client.call("submit", worker="w", func="f", args=1)["id"]
        worker.hear_task()
        rig.kill()
        rig.start()
        kind, number, _flags, _body = worker.hear()
        self.assertEqual(kind, broker_rig.SYNC)
        worker.say(broker_rig.SYNC, number, broker_rig.struct.pack("<Q", task))
        worker.say(DONE, task, b"5", JSON)
        ended = client.insist("task", id=task, wait=True)
        self.assertEqual((ended["state"], ended["result"], ended["attempts"]), ("done", 5, 1))

    def test_tasks_in_memory_only_go_with_it_and_their_answers_harm_nobody(self):
        rig = self.rig(pool(threads=2, durability="none"))
        worker = rig.worker("w:0", threads=2).hello()
        client = self.client(rig)
        held, lost = [client.call("submit", worker="w", func="f", args=i)["id"] for i in (1, 2)]
        for _ in range(2):
            worker.hear_task()
        rig.kill()
        rig.start()
        kind, number, _flags, _body = worker.hear()
        self.assertEqual(kind, broker_rig.SYNC)
        worker.say(broker_rig.SYNC, number, broker_rig.struct.pack("<Q", held))
        worker.say(DONE, held, b"1", JSON)
        task = client.insist("submit", worker="w", func="f", args=3)["id"]
        self.assertNotIn(task, (held, lost))
        self.assertEqual(worker.hear_task()[0], task)
        worker.say(DONE, task, b"3", JSON)
        rig.end(worker)
        self.assertTrue(worker.done.wait(driver.DEADLINE))
        self.assertEqual(rig.replaces, [])

    def test_a_cancel_is_known_to_the_next_broker(self):
        rig = self.rig(pool(grace_ms=60000, retries=5))
        worker = rig.worker("w:0").hello()
        client = self.client(rig)
        task = client.call("submit", worker="w", func="f", args=1)["id"]
        worker.hear_task()
        client.call("cancel", id=task)
        self.assertEqual(worker.hear()[0], broker_rig.CANCEL)
        rig.kill()
        rig.start()
        kind, number, _flags, _body = worker.hear()
        self.assertEqual(kind, broker_rig.SYNC)
        worker.say(broker_rig.SYNC, number, broker_rig.struct.pack("<Q", task))
        worker.say(FAILED, task, b"cancelled")
        self.assertEqual(client.insist("task", id=task, wait=True)["state"], "cancelled")

    def test_a_backlog_is_worked_off_to_its_end(self):
        """What waits in the store alone comes into memory a part at a time."""
        rig = self.rig(pool(durability="process"))
        client = self.client(rig)
        many = 11000
        for _ in range(many // 5500):
            client.call("submit.group", tasks=[{"worker": "w", "func": "f"}] * 5500)
        rig.kill()
        rig.start()
        rig.worker("w:0").hello().serve(lambda *_task: b"")
        client = self.client(rig)
        eventually(lambda: client.call("queue")[0]["done"] == many, 60)

    def test_a_run_that_makes_up_for_others_is_told_for_how_many(self):
        tick = {"name": "tick", "worker": "w", "func": "f", "every_ms": 20}
        rig = self.rig(pool(durability="process"), schedules=[tick])
        client = self.client(rig)
        eventually(lambda: client.call("schedules")[0]["last_task"])
        client.call("cancel", id=client.call("schedules")[0]["last_task"])
        rig.kill()
        driver.let_pass(0.2)
        rig.start()
        worker = rig.worker("w:0")
        lines = worker.socket.makefile("rwb")
        self.addCleanup(lines.close)
        lines.write(b'{"hello":1}\n')
        lines.flush()
        while True:
            task = json.loads(lines.readline())
            lines.write(b'{"done":%d,"result":1}\n' % task["task"])
            lines.flush()
            if "missed" in task:
                break
        self.assertGreater(task["missed"], 0)
        self.assertEqual(client.insist("task", id=task["task"])["missed"], task["missed"])

    def test_a_task_that_never_arrived_is_sent_again(self):
        rig = self.rig()
        worker = rig.worker("w:0").hello()
        client = self.client(rig)
        task = client.call("submit", worker="w", func="f", args=1)["id"]
        worker.hear_task()  # and forgets it
        rig.kill()
        rig.start()
        again = worker.hear_task()  # SYNC is answered with nothing held
        self.assertEqual(again[0], task)
        self.assertGreater(again[1], 1)
        worker.say(DONE, task, b"6", JSON)
        self.assertEqual(client.insist("task", id=task, wait=True)["failures"], 0)

    def test_the_tail_of_an_answer_is_not_taken_for_it(self):
        rig = self.rig()
        worker = rig.worker("w:0").hello()
        client = self.client(rig)
        task = client.call("submit", worker="w", func="f", args="x" * 200_000)["id"]
        payload = worker.hear_task()[3]
        Tasks.answer_in_pieces(worker, task, payload, 0, 3)
        client.call("queue")  # the pieces are read by now, or soon
        eventually(lambda: not pending(worker.brokers_end), what="the pieces are read")
        rig.kill()
        rig.start()
        Tasks.answer_in_pieces(worker, task, payload, 3)
        again = worker.hear_task()
        self.assertEqual(again[0], task)
        Tasks.answer_in_pieces(worker, task, again[3])
        ended = client.insist("task", id=task, wait=True)
        self.assertEqual((ended["state"], len(ended["result"])), ("done", 200_000))

    def test_the_rest_of_a_line_is_skipped(self):
        rig = self.rig()
        worker = rig.worker("w:0")
        lines = worker.socket.makefile("rwb")
        self.addCleanup(lines.close)
        lines.write(b'{"hello":1}\n')
        lines.flush()
        client = self.client(rig)
        task = client.call("submit", worker="w", func="f", args=1)["id"]
        lines.readline()
        lines.write(b'{"done":%d,"result":"%s' % (task, b"x" * 100_000))
        lines.flush()
        eventually(lambda: not pending(worker.brokers_end), what="the start is read")
        rig.kill()
        rig.start()
        lines.write(b'xxx"}\n')
        lines.flush()
        sync = json.loads(lines.readline())["sync"]
        lines.write(b'{"sync":%d,"held":[]}\n' % sync)
        lines.flush()
        self.assertEqual(json.loads(lines.readline())["task"], task)
        lines.write(b'{"done":%d,"result":8}\n' % task)
        lines.flush()
        self.assertEqual(client.insist("task", id=task, wait=True)["result"], 8)

    def test_who_died_while_there_was_no_broker_is_judged_by_its_slots(self):
        rig = self.rig(pool(threads=2))
        worker = rig.worker("w:0", threads=2).hello()
        client = self.client(rig)
        first, second = [client.call("submit", worker="w", func="f", args=i)["id"]
                         for i in (1, 2)]
        self.assertEqual({worker.hear_task()[0], worker.hear_task()[0]}, {first, second})
        worker.slots.set(1, second)
        rig.kill()
        worker.say(DONE, first, b"1", JSON)
        worker.socket.close()
        worker.exit = (broker_rig.KILLED, signal.SIGSEGV)
        rig.start()
        self.assertEqual(client.insist("task", id=first, wait=True)["state"], "done")
        self.assertTrue(worker.done.wait(driver.DEADLINE))
        task = client.insist("task", id=second)
        self.assertEqual((task["crashes"], task["state"]), (1, "queued"))


def pending(sock):
    """Bytes that wait to be read."""
    import array
    import fcntl
    import termios
    size = array.array("i", [0])
    fcntl.ioctl(sock.fileno(), termios.FIONREAD, size)
    return size[0]


def select_pause(seconds):
    """A handler that takes its time."""
    driver.let_pass(seconds)


class Ends(Case):
    """What becomes of tasks when their process ends."""

    def running(self, rig, threads=1, count=1, **params):
        """A worker with so many tasks in its slots, and their ids."""
        worker = rig.worker("w:0", threads=threads).hello()
        client = self.client(rig)
        ids = []
        for i in range(count):
            ids.append(client.call("submit", worker="w", func="f", args=i, **params)["id"])
            self.assertEqual(worker.hear_task()[0], ids[-1])
            worker.slots.set(i, ids[-1])
        return worker, client, ids

    def test_who_crashes_its_process_is_charged_and_told_how(self):
        rig = self.rig(pool(max_crashes=1))
        worker, client, (task,) = self.running(rig)
        rig.end(worker, broker_rig.KILLED, signal.SIGSEGV)
        ended = client.call("task", id=task, wait=True)
        self.assertEqual((ended["state"], ended["crashes"]), ("dead", 1))
        self.assertIn("SEGV", ended["words"])
        rig.words(worker, "killed by SIGSEGV\nlast line")
        eventually(lambda: "last line" in client.call("task", id=task)["words"])
        self.assertTrue(worker.done.wait(driver.DEADLINE))

    def test_what_was_answered_before_the_end_counts(self):
        rig = self.rig()
        worker, client, (task,) = self.running(rig)
        worker.slots.set(0, 0)
        worker.say(DONE, task, b"1", JSON)
        rig.end(worker, broker_rig.KILLED, signal.SIGKILL)
        self.assertEqual(client.call("task", id=task, wait=True)["state"], "done")

    def test_who_is_stopped_gives_its_tasks_back_uncharged(self):
        rig = self.rig()
        worker, client, (task,) = self.running(rig)
        rig.stopping(worker)
        self.assertEqual(worker.hear()[0], broker_rig.DRAIN)
        rig.end(worker, broker_rig.KILLED, signal.SIGTERM)
        self.assertTrue(worker.done.wait(driver.DEADLINE))
        row = client.call("task", id=task)
        self.assertEqual((row["state"], row["crashes"], row["failures"]), ("queued", 0, 0))

    def test_one_that_overruns_is_asked_then_killed(self):
        rig = self.rig()
        worker, client, (task,) = self.running(rig, timeout=0.1)
        self.assertEqual(worker.hear()[:2], (broker_rig.CANCEL, task))
        self.assertEqual(worker.slots.cancel(0), task)
        slot, gen, how, why = eventually(lambda: rig.replaces)[0]
        self.assertEqual((slot, gen, how), (worker.slot, worker.gen, 1))
        self.assertIn("ran out of time", why)
        rig.end(worker, broker_rig.KILLED, signal.SIGKILL)
        ended = client.call("task", id=task, wait=True)
        self.assertEqual((ended["state"], ended["failures"], ended["crashes"]), ("failed", 1, 0))

    def test_another_attempt_has_not_been_asked_to_end(self):
        """Neither a retry, nor a requeue, nor by a broker that did not ask."""
        for kill in (False, True):
            rig = self.rig(pool(grace_ms=60000))
            worker, client, (task,) = self.running(rig, timeout=0.1, retries=1)
            self.assertEqual(worker.hear()[:2], (broker_rig.CANCEL, task))
            self.assertEqual(worker.slots.cancel(0), task)
            if kill:
                rig.kill()
                rig.start()
                kind, number, _flags, _body = worker.hear()
                self.assertEqual(kind, broker_rig.SYNC)
                worker.say(broker_rig.SYNC, number, broker_rig.struct.pack("<Q", task))
            self.fails(worker, task)
            self.assertEqual(worker.hear_task()[:2], (task, 2))
            self.assertEqual(worker.slots.cancel(0), 0)
            worker.slots.set(0, task)
            client.insist("cancel", id=task)
            self.assertEqual(worker.hear()[:2], (broker_rig.CANCEL, task))
            self.assertEqual(worker.slots.cancel(0), task)
            self.fails(worker, task)
            self.assertEqual(client.insist("task", id=task, wait=True)["state"], "cancelled")
            client.insist("requeue", id=task)
            self.assertEqual(worker.hear_task()[0], task)
            self.assertEqual(worker.slots.cancel(0), 0)

    def fails(self, worker, task):
        worker.slots.set(0, 0)
        worker.say(FAILED, task, b"asked to end")

    def test_siblings_of_one_that_overruns_may_finish_and_are_not_charged(self):
        rig = self.rig(pool(threads=3))
        worker = rig.worker("w:0", threads=3).hello()
        client = self.client(rig)
        slow, quick, endless = [client.call(
            "submit", worker="w", func="f", args=1, timeout=t)["id"] for t in (0.1, 0, 0)]
        for i in range(3):
            self.assertIn(worker.hear_task()[0], (slow, quick, endless))
        for i, task in enumerate((slow, quick, endless)):
            worker.slots.set(i, task)
        self.assertEqual(worker.hear()[:2], (broker_rig.CANCEL, slow))
        driver.let_pass(0.15)
        self.assertEqual(rig.replaces, [])
        worker.slots.set(1, 0)
        worker.say(DONE, quick, b"1", JSON)
        self.assertEqual(client.call("task", id=quick, wait=True)["state"], "done")
        eventually(lambda: rig.replaces)
        rig.end(worker, broker_rig.KILLED, signal.SIGKILL)
        self.assertEqual(client.call("task", id=slow, wait=True)["state"], "failed")
        self.assertTrue(worker.done.wait(driver.DEADLINE))
        row = client.call("task", id=endless)
        self.assertEqual((row["state"], row["failures"], row["crashes"]), ("queued", 0, 0))

    def test_cancel_of_a_running_task_kills_who_does_not_listen(self):
        rig = self.rig()
        worker, client, (task,) = self.running(rig)
        client.call("cancel", id=task)
        self.assertEqual(worker.hear()[:2], (broker_rig.CANCEL, task))
        eventually(lambda: rig.replaces)
        rig.end(worker, broker_rig.KILLED, signal.SIGKILL)
        self.assertEqual(client.call("task", id=task, wait=True)["state"], "cancelled")

    def test_cancel_of_a_running_task_that_listens_kills_nobody(self):
        rig = self.rig()
        worker, client, (task,) = self.running(rig)
        client.call("cancel", id=task)
        self.assertEqual(worker.hear()[:2], (broker_rig.CANCEL, task))
        worker.say(FAILED, task, b"cancelled")
        self.assertEqual(client.call("task", id=task, wait=True)["state"], "cancelled")
        driver.let_pass(0.2)
        self.assertEqual(rig.replaces, [])

    def test_a_stop_the_broker_was_not_there_to_hear_of_is_no_crash(self):
        rig = self.rig()
        worker, client, (task,) = self.running(rig)
        rig.kill()
        worker.exit = (broker_rig.KILLED, signal.SIGKILL)
        worker.socket.close()
        rig.start(master=False)
        row = client.insist("task", id=task)
        self.assertEqual(row["state"], "running")
        rig.connect_master()
        rig.stopping(worker)
        self.assertTrue(worker.done.wait(driver.DEADLINE))
        row = client.insist("task", id=task)
        self.assertEqual((row["state"], row["crashes"]), ("queued", 0))

    def test_one_killed_for_an_overrun_is_that_to_the_next_broker_too(self):
        rig = self.rig(pool(threads=2, sibling_grace_ms=0))
        worker = rig.worker("w:0", threads=2).hello()
        client = self.client(rig)
        slow, other = [client.call("submit", worker="w", func="f", args=1, timeout=t)["id"]
                       for t in (0.05, 0)]
        for i in range(2):
            self.assertIn(worker.hear_task()[0], (slow, other))
        worker.slots.set(0, slow)
        worker.slots.set(1, other)
        eventually(lambda: rig.replaces)
        rig.kill()
        worker.exit = (broker_rig.KILLED, signal.SIGKILL)
        worker.socket.close()
        rig.start()
        self.assertEqual(client.insist("task", id=slow, wait=True)["state"], "failed")
        self.assertTrue(worker.done.wait(driver.DEADLINE))
        row = client.insist("task", id=other)
        self.assertEqual((row["state"], row["crashes"], row["failures"]), ("queued", 0, 0))

    def test_a_time_limit_counts_from_when_the_handler_begins(self):
        rig = self.rig()
        worker = rig.worker("w:0").hello(prefetch=4)
        client = self.client(rig)
        done = client.call("submit", worker="w", func="f", args=1)["id"]
        worker.hear_task()
        worker.say(DONE, done, b"1", JSON)  # a quick one: it may have more than it executes
        client.call("task", id=done, wait=True)
        first, second = [client.call("submit", worker="w", func="f", args=1, timeout=t)["id"]
                         for t in (0, 0.2)]
        self.assertEqual(worker.hear_task()[0], first)
        worker.slots.set(0, first)
        if worker.hear_task()[0] != second:
            self.fail("it was not given the second")
        driver.let_pass(0.5)
        worker.slots.set(0, second)
        worker.say(DONE, first, b"1", JSON)
        begun = time.monotonic()
        heard = worker.hear()[:2]
        while heard[0] == broker_rig.RECALL:  # of one that has begun: too late
            heard = worker.hear()[:2]
        self.assertEqual(heard, (broker_rig.CANCEL, second))
        self.assertGreater(time.monotonic() - begun, 0.1)
        worker.slots.set(0, 0)
        worker.say(FAILED, second, b"late")
        self.assertEqual(client.call("task", id=second, wait=True)["state"], "failed")
        self.assertEqual(rig.replaces, [])

    def test_after_so_many_tasks_it_asks_to_be_replaced_and_goes_on_until_it_is(self):
        rig = self.rig(pool(recycle_tasks=3, recycle_jitter=0.0, durability="process"))
        workers = [rig.worker("w:%d" % i).hello().serve(lambda *task: b"1") for i in range(2)]
        client = self.client(rig)
        for i in range(20):
            client.call("submit", worker="w", func="f", args=i, wait=True)
        eventually(lambda: len(rig.replaces) == 2)
        self.assertEqual({(slot, how) for slot, _gen, how, _why in rig.replaces},
                         {(w.slot, 0) for w in workers})
        for _slot, _gen, _how, why in rig.replaces:
            self.assertIn("max_tasks", why)
        # The master takes its time; when it has, there is one less.
        rig.stopping(workers[0])
        rig.end(workers[0])
        self.assertTrue(workers[0].done.wait(driver.DEADLINE))
        client.call("submit", worker="w", func="f", args=1, wait=True)

    def test_that_it_asks_so_is_known_to_the_next_broker(self):
        rig = self.rig(pool(recycle_tasks=3, recycle_jitter=0.0))
        worker = rig.worker("w:0").hello().serve(lambda *task: b"1")
        client = self.client(rig)
        for i in range(4):
            client.call("submit", worker="w", func="f", args=i, wait=True)
        eventually(lambda: rig.replaces)
        rig.kill()
        rig.replaces.clear()
        rig.start()
        slot, _gen, how, why = eventually(lambda: rig.replaces)[0]
        self.assertEqual((slot, how), (worker.slot, 0))
        self.assertIn("max_tasks", why)
        client.insist("submit", worker="w", func="f", args=1, wait=True)

    def two(self, **settings):
        """A worker with two threads; one of its tasks has overrun."""
        rig = self.rig(pool(threads=2, **settings))
        worker = rig.worker("w:0", threads=2).hello()
        client = self.client(rig)
        slow, other = [client.call("submit", worker="w", func="f", args=1, timeout=t)["id"]
                       for t in (0.05, 0)]
        for _ in range(2):
            self.assertIn(worker.hear_task()[0], (slow, other))
        worker.slots.set(0, slow)
        worker.slots.set(1, other)
        self.assertEqual(worker.hear()[:2], (broker_rig.CANCEL, slow))
        return rig, worker, client, slow, other

    def test_another_is_asked_for_while_one_waits_for_its_end(self):
        rig, worker, client, slow, other = self.two()
        slot, gen, how, _why = eventually(lambda: rig.reliefs)[0]
        self.assertEqual((slot, gen, how), (worker.slot, worker.gen, 2))
        self.assertEqual(rig.replaces, [])
        worker.slots.set(1, 0)
        worker.say(DONE, other, b"1", JSON)
        eventually(lambda: rig.replaces)
        self.assertEqual(len(rig.reliefs), 1)

    def test_and_is_not_when_it_need_not_end_after_all(self):
        rig, worker, client, slow, other = self.two()
        eventually(lambda: rig.reliefs)
        worker.slots.set(0, 0)
        worker.say(FAILED, slow, b"late")
        self.assertEqual(client.call("task", id=slow, wait=True)["state"], "failed")
        eventually(lambda: len(rig.reliefs) == 2)
        self.assertEqual([r[2] for r in rig.reliefs], [2, 3])
        self.assertEqual(rig.replaces, [])

    def test_a_wait_for_the_others_goes_on_with_the_next_broker(self):
        rig, worker, client, slow, other = self.two(sibling_grace_ms=1500)
        eventually(lambda: rig.reliefs)
        rig.kill()
        rig.reliefs.clear()
        rig.start()
        eventually(lambda: [r[2] for r in rig.reliefs][-1:] == [2])
        # Their grace has an end.
        eventually(lambda: rig.replaces)
        self.assertEqual(rig.replaces[0][2], 1)

    def test_a_kill_the_master_missed_is_asked_again(self):
        rig = self.rig(start=False)
        rig.start(master=False)
        worker, client, (task,) = self.running(rig, timeout=0.05)
        self.assertEqual(worker.hear()[0], broker_rig.CANCEL)
        driver.let_pass(0.3)
        rig.connect_master()
        eventually(lambda: rig.replaces)


class Nonsense(Case):
    """A worker that breaks the protocol costs only itself."""

    def refused(self, speak, what):
        rig = self.rig()
        worker, other = rig.worker("w:0"), rig.worker("w:1")
        speak(worker)
        slot, _gen, how, why = eventually(lambda: rig.replaces)[0]
        self.assertEqual((slot, how), (worker.slot, 4))
        self.assertIn(what, why)
        other.hello()
        client = self.client(rig)
        task = client.call("submit", worker="w", func="f", args=1)["id"]
        self.assertEqual(other.hear_task()[0], task)
        other.say(DONE, task, b"1", JSON)
        self.assertEqual(client.call("task", id=task, wait=True)["state"], "done")
        rig.end(worker, broker_rig.KILLED, signal.SIGKILL)
        self.assertTrue(worker.done.wait(driver.DEADLINE))
        eventually(lambda: any("protocol" in words for _name, words in rig.events))

    def test_an_answer_for_a_task_it_does_not_have(self):
        self.refused(lambda w: w.hello().say(DONE, 77, b"1", JSON), "does not have")

    def test_no_hello(self):
        self.refused(lambda w: w.say(DONE, 1, b"1", JSON), "HELLO")

    def test_a_hello_of_another_version(self):
        self.refused(lambda w: w.say(broker_rig.HELLO, 0, b'{"hello":9}'), "version")

    def test_a_frame_too_large(self):
        self.refused(lambda w: w.socket.sendall(b"\xff" * 16), "frame")

    def test_a_line_that_is_no_json(self):
        self.refused(lambda w: w.socket.sendall(b'{"hello":1}\nhello?\n'), "JSON")

    def test_a_type_of_the_other_direction(self):
        self.refused(lambda w: w.hello().say(broker_rig.TASK, 1, b"x" * 16), "type")

    def test_half_a_frame_that_went_with_a_broker(self):
        rig = self.rig()
        worker = rig.worker("w:0").hello()
        client = self.client(rig)
        task = client.call("submit", worker="w", func="f", args=1)["id"]
        worker.hear_task()
        worker.socket.sendall(broker_rig.struct.pack("<IBBHQ", 100, DONE, JSON, 0, task) + b"x")
        eventually(lambda: not pending(worker.brokers_end), what="it is helped")
        rig.kill()
        rig.start()
        self.assertIn("half a frame", eventually(lambda: rig.replaces)[0][3])
        rig.end(worker, broker_rig.KILLED, signal.SIGKILL)
        self.assertTrue(worker.done.wait(driver.DEADLINE))

    def test_a_closed_socket_of_one_that_lives_on(self):
        rig = self.rig()
        rig.worker("w:0").hello().socket.close()
        self.assertIn("closed", eventually(lambda: rig.replaces)[0][3])


if __name__ == "__main__":
    unittest.main()
