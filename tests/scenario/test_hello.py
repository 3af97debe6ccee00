"""A hybrid instance is started when it has said what it can do, and no sooner."""

import json
import os
import signal

import driver
import test_queue
from driver import eventually
from test_queue import QUICK, fleet, worker

# Says HELLO when somebody writes to the pipe it is given; then, if told to and
# after it has been taken for started, what is no answer to anything.
LATE = """
import os, select, socket, sys
sock = socket.socket(fileno=int(os.environ["WORKER_FD"]))
open(sys.argv[1]).close()
sock.sendall(b'{"hello":1,"threads":1}' + b"\\n")
if sys.argv[2:]:
    select.select([], [], [], float(sys.argv[2]))
    sock.sendall(b'{"done":4711}' + b"\\n")
while sock.recv(4096):
    pass
"""


def late(settings, pipe, *arguments):
    words = ["/usr/bin/python3", "-c", LATE, pipe, *arguments]
    return "command = [ %s ]; %s tasks: { };" % (", ".join(json.dumps(w) for w in words), settings)


class Hello(test_queue.Queue):
    def starting(self, sup):
        row, = sup.wait(lambda rows: rows[0]["state"] == "STARTING" and
                        "what it can do" in rows[0]["reason"], ["w"])
        return row["pid"]

    def test_it_is_what_start_waits_for(self):
        sup = self.fleet(w=worker().replace('start_seconds = "50ms"', 'start_seconds = "1h"'))
        sup.ctl_ok("restart", "w")
        self.assertEqual(self.ended(sup, self.submit(sup, "w", "mark"))["state"], "done")

    def test_until_then_it_is_starting(self):
        sup = self.supervisord(fleet(w=late('start_seconds = 0;', "@D/go")), start=False)
        os.mkfifo(os.path.join(sup.dir, "go"))
        sup.start()
        pid = self.starting(sup)
        self.assertIn("it has not said yet what it can do", sup.ctl_ok("why", "w:0"))
        # Neither is changed by the death of who would hear it, or by a new master.
        os.kill(self.broker(sup), signal.SIGKILL)
        sup.kill_master()
        self.assertEqual(self.starting(sup), pid)
        driver.write(os.path.join(sup.dir, "go"), "")
        sup.wait_running()
        self.assertEqual(sup.pid("w:0"), pid)

    def test_who_does_not_say_it_has_failed_to_start(self):
        sup = self.supervisord(fleet(
            w='command = "@P/pause"; start_timeout = "200ms"; start_retries = 1; %s tasks: { };' % QUICK))
        row, = sup.wait(lambda rows: rows[0]["state"] == "FATAL", ["w"])
        self.assertIn("in 200ms it has not said what it can do (start_timeout)", row["reason"])

    def test_who_breaks_the_protocol_has_crashed(self):
        sup = self.supervisord(fleet(w=late(QUICK, "/dev/null", "0.1")))
        eventually(lambda: sup.rpc("status")[0]["restarts"] >= 2)
        told = [e for e in sup.rpc("events") if e["to"] == "BACKOFF"]
        self.assertIn("it broke the worker protocol", told[0]["reason"])
