"""The client libraries against a real queue: Python's by what it promises, and
the examples of workers/client/README.md as they stand there."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import driver
from driver import eventually
from test_queue import Queue, worker

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLIENT = os.path.join(ROOT, "workers", "client")
sys.path.insert(0, CLIENT)

from supervisor_tasks import Client, Lost, Refused, TaskFailed, Unsendable # pylint: disable=wrong-import-position


def tasks_socket(sup):
    """Its path, once the broker has made it."""
    path = os.path.join(sup.run_dir, "tasks.sock")
    return eventually(lambda: os.path.exists(path) and path, what="tasks.sock")


def outcome(fn):
    """What fn returned or raised; it must be over soon."""
    over = []

    def run():
        try:
            over.append(fn())
        except Exception as error: # pylint: disable=broad-except
            over.append(error)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(driver.DEADLINE)
    if not over:
        raise driver.Late("it hangs")
    return over[0]


class Python(Queue):
    def start(self, settings="threads = 2;", tasks=""):
        sup = self.fleet(math=worker(settings, tasks))
        self.socket = tasks_socket(sup)
        return sup

    def client(self, **options):
        client = Client(self.socket, **options)
        self.addCleanup(client.close)
        return client

    def test_submit_wait_call(self):
        self.start()
        queue = self.client()
        number = queue.submit("math", "add", [1, 2], priority="low", key="k", delay=0.05)
        self.assertEqual(queue.submit("math", "add", [1, 2], key="k"), number)
        task = queue.wait(number, 20)
        self.assertEqual((task["state"], task["result"], task["key"]), ("done", 3, "k"))
        self.assertEqual(queue.call("math", "echo", {"ä": [None, 1.5]}), {"ä": [None, 1.5]})
        with self.assertRaises(TaskFailed) as failed:
            queue.call("math", "fail", "no luck")
        self.assertIn("no luck", failed.exception.task["error"])
        self.assertEqual(queue.task(number)["result"], 3)
        self.assertEqual([t["id"] for t in queue.tasks("math", state="done")][-1], number)
        self.assertEqual(queue.queue("math")[0]["worker"], "math")

    def test_refusals_have_names(self):
        self.start(tasks="max_queue = 3;")
        queue = self.client()
        for name, wrong in (("unknown-worker", lambda: queue.submit("no", "add")),
                            ("unknown-task", lambda: queue.task(12345)),
                            ("bad-value", lambda: queue.submit("math", "add", prio=1))):
            with self.assertRaises(Refused) as refused:
                wrong()
            self.assertEqual(refused.exception.name, name)
        queue.pause("math")
        answers = queue.submit_many([("math", "echo", n) for n in range(6)], return_errors=True)
        self.assertEqual([getattr(a, "name", None) for a in answers],
                         [None] * 3 + ["queue-full"] * 3)
        with self.assertRaises(TimeoutError):
            queue.wait(answers[0], 0.05)
        queue.cancel(answers[0])
        self.assertEqual(queue.wait(answers[0], 20)["state"], "cancelled")
        queue.resume("math")
        self.assertEqual(queue.wait(answers[2], 20)["result"], 2)
        with self.assertRaises(ValueError):
            queue.submit("math", "echo", "x" * (1 << 20))

    def test_what_can_not_be_said_in_json_is_refused_before_it_is_sent(self):
        self.start()
        queue = self.client()
        cycle = []
        cycle.append(cycle)
        for value in (float("nan"), float("-inf"), 1 << 63, -(1 << 63) - 1, "a\0b", {"\0": 1},
                      "\udcff", {1: "a", "1": "b"}, {1, 2}, {"a": b"bytes"}, cycle):
            for wrong in (lambda v=value: queue.submit("math", "echo", v),
                          lambda v=value: queue.submit_many([("math", "echo", 1),
                                                             ("math", "echo", v)])):
                refused = outcome(wrong)
                self.assertIsInstance(refused, Unsendable, value)
                self.assertEqual((refused.code, refused.name), (2, "not-json"))
                self.assertIsInstance(refused, ValueError)
        nan = float("nan")
        for wrong in (lambda: queue.submit("math", "echo", timeout=nan),
                      lambda: queue.wait(1 << 64), lambda: queue.pause("math", nan)):
            self.assertEqual(outcome(wrong).name, "not-json")
        self.assertEqual(queue.tasks(), [])
        answers = outcome(lambda: queue.submit_many(
            [("math", "echo", v) for v in (1, nan, 3)], return_errors=True))
        self.assertEqual([queue.wait(n, 20)["result"] for n in answers[::2]], [1, 3])
        self.assertEqual(answers[1].name, "not-json")
        # What only looks like it.
        for value in ((1 << 63) - 1, -(1 << 63), "\\u0000", "\\\\u0000", str(1 << 70), "\x7f\u2028😀", 1e300):
            self.assertEqual(outcome(lambda v=value: queue.call("math", "echo", v)), value)

    def test_callbacks_and_progress(self):
        self.start()
        queue = self.client()
        over, heard, told = threading.Event(), [], []

        def done(task, error):
            try:
                queue.task(task["id"])
            except RuntimeError as refused: # it would wait for itself
                heard.append((task["state"], error, str(refused)))
            over.set()
        number = queue.submit("math", "polite")
        queue.on_done(number, done, told.append)
        eventually(lambda: queue.task(number)["progress"], what="progress")
        queue.cancel(number)
        self.assertTrue(over.wait(20))
        self.assertEqual(heard[0][:2], ("cancelled", None))
        self.assertTrue(all(t["share"] == 0.25 for t in told))

    def test_groups_and_many(self):
        self.start(tasks="max_queue = 3;")
        queue = self.client()
        group, numbers = queue.submit_group([("math", "echo", 1), ("math", "echo"),
                                             {"worker": "math", "func": "echo", "args": 3}])
        self.assertEqual([queue.wait(n, 20)["result"] for n in numbers], [1, None, 3])
        self.assertGreater(group, 0)
        self.assertEqual(str(outcome(lambda: queue.submit_group([]))), "a group has at least one task")
        queue.pause("math")
        refused = outcome(lambda: queue.submit_many(("math", "echo", n) for n in range(5)))
        self.assertEqual([getattr(a, "name", None) for a in refused.answers],
                         [None] * 3 + ["queue-full"] * 2)
        self.assertIs(refused, refused.answers[3])
        queue.resume("math")
        self.assertEqual([queue.wait(n, 20)["result"] for n in refused.answers[:3]], [0, 1, 2])

    def test_many_threads_and_a_killed_broker(self):
        sup = self.start("processes = 2; threads = 2;")
        queue = self.client(keys=True)
        numbers, errors = [], []

        def work(first):
            try:
                for n in range(first, first + 100):
                    numbers.append(queue.submit("math", "echo", n))
                    if n % 10 == 0:
                        self.assertEqual(queue.wait(numbers[-1], 60)["state"], "done")
            except Exception as error: # pylint: disable=broad-except
                errors.append(error)
        threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for least in (20, 120, 220):
            eventually(lambda l=least: len(numbers) >= l or errors, 60, "%d submitted" % least)
            os.kill(self.broker(sup), signal.SIGKILL)
        for thread in threads:
            thread.join(100)
        self.assertEqual(errors, [])
        self.assertEqual(len(set(numbers)), 400)
        self.assertEqual(sorted(queue.wait(n, 60)["result"] for n in numbers),
                         sorted(1000 * t + n for t in range(4) for n in range(100)))

    def test_who_waits_again_and_again_asks_once(self):
        # So many questions of one client would be too many to the broker.
        path = os.path.join(self.folder(), "tasks.sock")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(listener.close)
        listener.bind(path)
        listener.listen(1)
        queue = Client(path, patience=0.1)
        self.addCleanup(queue.close)
        peer = listener.accept()[0]
        self.addCleanup(peer.close)
        for _ in range(3):
            with self.assertRaises(TimeoutError):
                queue.wait(7, 0.01)
        threading.Timer(0.05, lambda: queue.on_done(8, lambda task, error: None)).start()
        lines = peer.makefile("rb")
        self.addCleanup(lines.close)
        first, second = json.loads(lines.readline()), json.loads(lines.readline())
        self.assertEqual((first["params"]["id"], second["params"]["id"]), (7, 8))
        answer = {"jsonrpc": "2.0", "id": first["id"], "result": {"id": 7, "state": "done"}}
        threading.Timer(0.05, lambda: peer.sendall(json.dumps(answer).encode() + b"\n")).start()
        self.assertEqual(queue.wait(7, 20)["state"], "done")
        # The next one is another question: it may have been queued again.
        with self.assertRaises(TimeoutError):
            queue.wait(7, 0.01)
        self.assertEqual(json.loads(lines.readline())["params"]["id"], 7)

    def test_patience_ends(self):
        sup = self.start()
        queue = self.client(patience=0.2)
        queue.pause("math")
        number = queue.submit("math", "echo")
        waiting = []

        def wait():
            try:
                queue.wait(number)
            except Lost as error:
                waiting.append(error)
        thread = threading.Thread(target=wait)
        thread.start()
        sup.ctl_ok("shutdown")
        thread.join(30)
        self.assertEqual(len(waiting), 1)
        with self.assertRaises(Lost) as lost:
            queue.submit("math", "echo")
        self.assertIn(self.socket, str(lost.exception))
        with self.assertRaises(Lost) as lost:
            self.client()
        self.assertIn(self.socket, str(lost.exception))
        self.assertIsInstance(lost.exception, OSError)


class Answers(driver.Case):
    """What a client makes of what it hears: here the test is supervisord."""

    def setUp(self):
        self.path = os.path.join(self.folder(), "tasks.sock")
        self.listen()

    def listen(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.listener.close)
        self.listener.settimeout(driver.DEADLINE)
        self.listener.bind(self.path)
        self.listener.listen()

    def accept(self):
        server, _ = self.listener.accept()
        self.addCleanup(server.close)
        server.settimeout(driver.DEADLINE)
        return server

    def answered(self, line, ask):
        """What ask(client) comes to when its request is answered so."""
        with Client(self.path, patience=0) as client, self.accept() as server:
            def answer():
                server.recv(1 << 16)
                server.sendall(line)
            thread = threading.Thread(target=answer)
            thread.start()
            found = outcome(lambda: ask(client))
            thread.join()
        return found

    def test_an_error_without_an_id_is_everybodys(self):
        for code, name in ((-32700, "not-json"), (-32600, "too-large")):
            line = b'{"jsonrpc":"2.0","id":null,"error":{"code":%d,"message":"so"}}\n' % code
            for ask in (lambda c: c.submit("w", "f"), lambda c: c.wait(7),
                        lambda c: c.submit_many([("w", "f"), ("w", "f")])):
                refused = self.answered(line, ask)
                self.assertIsInstance(refused, Refused)
                self.assertEqual((refused.code, refused.name, str(refused)), (code, name, "so"))

    def test_a_client_with_nothing_to_wait_for_is_patient_too(self):
        with Client(self.path, patience=60) as client:
            self.accept().close()
            self.listener.close()
            eventually(lambda: client._reader is None, what="an end of the connection")
            found = []
            thread = threading.Thread(target=lambda: found.append(outcome(
                lambda: client.submit("w", "f"))))
            thread.start()
            # It has no key, but was never sent either.
            eventually(lambda: client._requests or found, what="a request")
            self.assertEqual(found, [])
            self.listen()
            with self.accept() as server:
                asked = json.loads(server.makefile("rb").readline())
                self.assertEqual(asked["method"], "submit")
                server.sendall(b'{"jsonrpc":"2.0","id":%d,"result":{"id":12}}\n' % asked["id"])
                thread.join()
            self.assertEqual(found, [12])

    def test_what_is_no_json_ends_the_connection(self):
        self.assertIsInstance(self.answered(b"220 smtp\n", lambda c: c.submit("w", "f")), Lost)


class Readme(Queue):
    def block(self, language):
        text = driver.read(os.path.join(CLIENT, "README.md"))
        return re.search(r"^```%s\n(.*?)^```$" % language, text, re.M | re.S).group(1)

    def start(self):
        sup = self.fleet(math=worker("threads = 4;"))
        self.dir = sup.dir
        return dict(os.environ, PYTHONPATH=CLIENT,
                    SUPERVISOR_TASKS=tasks_socket(sup))

    def test_python(self):
        out = subprocess.run(["/usr/bin/python3", "-c", self.block("python")], env=self.start(),
                             stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout
        self.assertEqual(out.splitlines(), ["done 6", "9", "failed no luck", "1000 45",
                                            "unknown-worker 4", "[('math', True)]"])

    def test_c(self):
        environment = self.start()
        source = os.path.join(self.dir, "example.c")
        with open(source, "w", encoding="utf-8") as f:
            f.write(self.block("c"))
        archive = os.path.join(driver.BUILD, "libsupervisor.a")
        program = os.path.join(self.dir, "example")
        # The library is of this build, and may need what it was built with.
        flags = {"asan": ["-fsanitize=address,undefined"], "tsan": ["-fsanitize=thread"]}.get(
            os.path.basename(driver.BUILD), [])
        subprocess.run(["cc", *flags, "-I", os.path.join(ROOT, "workers", "include"), "-o", program,
                        source, archive], check=True)
        out = subprocess.run([program], env=environment, stdout=subprocess.PIPE, text=True,
                             timeout=60, check=True).stdout
        self.assertEqual(out, "task 1 is done: 6\n")
