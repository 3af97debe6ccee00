"""What can't be accepted: by supervisorctl, as a line of JSON-RPC, in frames, by
the client in Python and the one in C it is refused with the same name and code,
and nothing of it is in the queue."""

import json
import os
import socket
import sqlite3
import struct
import subprocess
import sys
import unittest

import driver
import test_clients
import test_queue
from driver import eventually

sys.path.insert(0, test_clients.CLIENT)

from supervisor_tasks import Client, Refused # pylint: disable=wrong-import-position,wrong-import-order

HEAD = struct.Struct("<IBBHQ")
HELLO, SUBMIT, ACCEPTED, REFUSED = 1, 48, 64, 65
BODY = 32752

C_CLIENT = r"""
#include <supervisor/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
main(int argc, char **argv)
{
	static char data[4 << 20];
	struct sv_job task = SV_TASK(argv[2], argv[3]);
	const struct sv_error *e;
	struct sv_client *c;
	uint64_t id;
	int r = sv_client_new(argv[1], &c);

	if (argc < 4 || r < 0)
		return 1;
	task.size = fread(data, 1, sizeof data, stdin);
	task.data = data;
	r = sv_submit(c, &task, &id);
	e = sv_client_error(c);
	printf("%d %s\n", r == 0 ? 0 : e->code, r == 0 ? "accepted" :
	    e->name[0] != '\0' ? e->name : strerror(-r));
	sv_client_free(c);
	return 0;
}
"""


class Refusals(test_queue.Queue):
    def start(self, sup):
        sup.wait_running()
        self.sup = sup
        self.path = test_clients.tasks_socket(sup)
        eventually(lambda: json.loads(sup.ctl_ok("queue", "w", "--json"))[0]["functions"])
        self.python = Client(self.path, patience=5)
        self.addCleanup(self.python.close)
        self.build()

    def build(self):
        source = os.path.join(self.sup.dir, "client.c")
        driver.write(source, C_CLIENT)
        flags = {"asan": ["-fsanitize=address,undefined"], "tsan": ["-fsanitize=thread"]}.get(
            os.path.basename(driver.BUILD), [])
        subprocess.run(["cc", *flags, "-I", os.path.join(driver.ROOT, "workers", "include"), "-o",
                        source[:-2], source, os.path.join(driver.BUILD, "libsupervisor.a")],
                       check=True)

    # -- the ways: (code, name), (0, "accepted")

    def by_ctl(self, worker, func, text):
        status, _, err = self.sup.ctl("submit", worker, func, "-" if len(text) > 1000 else text,
                                      stdin=text if len(text) > 1000 else None)
        return status, err

    def by_line(self, worker, func, text):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(driver.DEADLINE)
            s.connect(self.path)
            s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"submit","params":{"worker":"%s","func":"%s"'
                      b',"args":%s}}\n' % (worker.encode(), func.encode(), text.encode()))
            answer = json.loads(s.makefile("rb").readline())
        if "error" not in answer:
            return 0, "accepted"
        return answer["error"]["code"], answer["error"].get("data", {}).get("error")

    def by_frames(self, worker, func, text):
        body = struct.pack("<BBBBHHiiQ", 1, 0, len(worker), len(func), 0, 0, -1, -1, 0)
        body += worker.encode() + func.encode() + text.encode()
        out = HEAD.pack(11, HELLO, 0, 0, 0) + b'{"hello":1}'
        for at in range(0, len(body), BODY):
            piece = body[at:at + BODY]
            flags = 1 | (0x80 if at + BODY < len(body) else 0) | (0x40 if at else 0)
            out += HEAD.pack(len(piece), SUBMIT, flags, 0, 7) + piece
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(driver.DEADLINE)
            s.connect(self.path)
            try:
                s.sendall(out)
            except BrokenPipeError:
                pass
            f = s.makefile("rb")
            while True:
                size, kind, _, _, tag = HEAD.unpack(f.read(16))
                body = f.read(size)
                if kind == ACCEPTED:
                    return 0, "accepted"
                if kind == REFUSED:
                    self.assertEqual(tag, 7)
                    return struct.unpack_from("<i", body)[0], body[4:].decode().split(":")[0]

    def by_python(self, worker, func, text):
        try:
            self.python.submit(worker, func, json.loads(text))
        except Refused as error:
            return error.code, error.name
        except ValueError:
            return 2, "too-large"
        return 0, "accepted"

    def by_c(self, worker, func, text):
        out = subprocess.run([os.path.join(self.sup.dir, "client"), self.path, worker, func],
                             input=text, stdout=subprocess.PIPE, text=True, timeout=60,
                             check=True).stdout
        code, name = out.strip().split(" ", 1)
        return int(code), name

    # -- what is the same by all of them

    def count(self):
        db = sqlite3.connect("file:%s/tasks.db?mode=ro" % self.sup.state_dir, uri=True, timeout=10)
        try:
            return db.execute("SELECT count(*) FROM task").fetchone()[0]
        finally:
            db.close()

    def refused(self, code, name, words, worker, func, text, but=()):
        before = self.count()
        for way in (self.by_line, self.by_frames, self.by_python, self.by_c):
            if way not in but:
                self.assertEqual(way(worker, func, text), (code, name), way.__name__)
        status, err = self.by_ctl(worker, func, text)
        self.assertEqual(status, code, err)
        self.assertRegex(err, words)
        self.assertEqual(self.count(), before, "something was accepted")

    def accepted(self):
        for way in (self.by_line, self.by_frames, self.by_python, self.by_c):
            self.assertEqual(way("w", "echo", "1"), (0, "accepted"), way.__name__)
        self.assertEqual(self.by_ctl("w", "echo", "1")[0], 0)

    def test_of_what_is_wrong_with_the_task(self):
        self.start(self.supervisord(test_queue.fleet(w=test_queue.worker(),
                                                     plain='command = "@P/pause";')))
        self.refused(4, "unknown-worker", "no worker", "nobody", "echo", "1")
        self.refused(4, "unknown-worker", "takes no tasks", "plain", "echo", "1")
        self.refused(2, "unknown-function", "no function", "w", "nothing", "1")
        # A line that is no JSON has no id, and no name but JSON-RPC's.
        self.refused(2, "not-json", "not JSON", "w", "echo", '{"a":',
                     but=(self.by_line, self.by_python))
        self.assertEqual(self.by_line("w", "echo", '{"a":')[0], -32700)
        large = '"%s"' % ("x" * (1 << 20))
        self.refused(2, "too-large", "(?i)1 MiB|large", "w", "echo", large,
                     but=(self.by_line, self.by_c))
        # The one refuses it itself, the other is longer than a line may be.
        self.assertEqual(self.by_c("w", "echo", large), (0, "too-large"))
        self.assertEqual(self.by_line("w", "echo", large)[0], -32600)
        self.accepted()

    def test_of_a_queue_that_is_full(self):
        self.start(self.supervisord(test_queue.fleet(w=test_queue.worker(tasks="max_queue = 3;"))))
        self.sup.ctl_ok("pause", "w")
        for _ in range(3):
            self.assertEqual(self.by_python("w", "echo", "1"), (0, "accepted"))
        self.refused(1, "queue-full", "full", "w", "echo", "1")
        self.sup.ctl_ok("resume", "w")
        for number in (1, 2, 3):
            self.assertEqual(self.ended(self.sup, number)["state"], "done")
        self.assertEqual(self.by_line("w", "echo", "1"), (0, "accepted"))

    def test_of_a_store_that_is_full(self):
        sup = self.supervisord(test_queue.fleet(w=test_queue.worker('stdout = "null";')), start=False)
        driver.mount_tmpfs(self, sup.state_dir, "6M")
        self.start(sup.start())
        first = self.submit(sup, "w", "mark", '{"n": 1}')
        self.assertEqual(self.ended(sup, first)["state"], "done")
        driver.fill(sup.state_dir + "/filler")
        large = '"%s"' % ("y" * 300000)
        before = self.count()
        accepted = 0
        for _ in range(30):  # the log has some room left over
            if self.by_line("w", "echo", large) == (1, "store"):
                break
            accepted += 1
        self.refused(1, "store", "store|full|space", "w", "echo", large)
        self.assertEqual(self.count(), before + accepted)
        # What was there is there, and read.
        self.assertEqual(self.task(sup, first)["result"], 1)
        os.unlink(sup.state_dir + "/filler")
        eventually(lambda: self.by_line("w", "echo", "1") == (0, "accepted"), 40)
        self.accepted()
        self.assertIn("well again", sup.ctl_ok("events"))

    def test_of_a_store_that_is_gone(self):
        self.start(self.supervisord(test_queue.fleet(w=test_queue.worker())))
        sup = self.sup
        sup.ctl_ok("pause", "w")
        self.by_line("w", "echo", "1")
        for name in os.listdir(sup.state_dir):
            if name.startswith("tasks.db"):
                os.unlink(os.path.join(sup.state_dir, name))
        # It is either refused by name, or in the store that is there now.
        answers = [self.by_line("w", "echo", str(n)) for n in range(20)]
        for answer in answers:
            self.assertIn(answer, ((0, "accepted"), (1, "store")))
        eventually(lambda: os.path.exists(os.path.join(sup.state_dir, "tasks.db")), 40)
        eventually(lambda: self.by_line("w", "echo", "1") == (0, "accepted"), 40)


if __name__ == "__main__":
    unittest.main()
