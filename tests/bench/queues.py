"""The task queue against a prototype that does nothing but the socket work and
the group commits (queue/), against a socket pair alone, and beanstalkd where
it is installed. Databases are on a real disk: its flush is what counts."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time

import measure
from cases import attempt, case
from fleets import Ours
from measure import BenchError, Result, median, table

# tasks under way at once, tasks of a round
DEPTHS = [(1, 3000), (32, 100000), (1024, 300000)]


def disk_dir():
    """Not the memory other cases use."""
    return tempfile.mkdtemp(prefix="bench-queue-", dir=os.environ.get("BENCH_DISK", "/var/tmp"))


class Broker(Ours):
    """A fleet with one hybrid worker `w`, its tasks.db on a disk."""

    name = "supervisord"

    def __init__(self, bench, worker, top=""):
        self.worker = worker
        self.top = top
        self.disk = disk_dir()
        super().__init__(bench, 1)

    def prepare(self):
        self.config = os.path.join(self.dir, "bench.cfg")
        self.sock = os.path.join(self.dir, "run", "control.sock")
        self.tasks = os.path.join(self.dir, "run", "tasks.sock")
        with open(self.config, "w") as f:
            f.write('master: { state_dir = "%s"; run_dir = "%s/run"; log = { level = "warn"; }; };\n'
                    '%s\nworkers: { w: { start_seconds = 0; %s }; };\n' % (
                        self.disk, self.dir, self.top, self.worker))

    def ready(self, timeout=60):
        """Started, and its worker has said hello."""
        self.start()
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            done = self.ctl("queue", "w", "--json", check=False)
            rows = json.loads(done.stdout) if done.returncode == 0 else []
            if rows and rows[0]["threads"]:
                return self
            time.sleep(0.02)
        raise BenchError("the queue's worker has not come up")

    def stop(self):
        super().stop()
        shutil.rmtree(self.disk, ignore_errors=True)


def module(bench, name):
    return 'module = "%s/examples/%s.so"; stdout = "null"; ' % (bench.build, name)


def said(argv, bench):
    try:
        out = subprocess.run(argv, stdout=subprocess.PIPE, stderr=bench.stderr, check=True,
                             timeout=300).stdout
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as e:
        raise BenchError(str(e)) from None
    return [float(word) for word in out.split()]


def bare_once(bench, total, depth):
    folder = disk_dir()
    try:
        return said([bench.tool("queue"), "bare", os.path.join(folder, "db"), str(total),
                     str(depth)], bench)
    finally:
        shutil.rmtree(folder)


def load_once(bench, worker, total, depth):
    fleet = Broker(bench, worker)
    try:
        fleet.ready()
        return said([bench.tool("queue"), "load", fleet.tasks, "w", "hello", str(total),
                     str(depth)], bench)
    finally:
        fleet.stop()


def beanstalkd_once(bench, total):
    """One connection, an fsync for each job: put, reserve, delete."""
    folder = disk_dir()
    path = os.path.join(folder, "sock")
    process = subprocess.Popen(["beanstalkd", "-b", folder, "-f0", "-l", "unix:" + path],
                               stdout=subprocess.DEVNULL, stderr=bench.stderr)
    try:
        end = time.monotonic() + 10
        while not os.path.exists(path) and time.monotonic() < end:
            time.sleep(0.01)
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        f = s.makefile("rwb")
        began = time.monotonic()
        for first in range(0, total, 32):
            n = min(32, total - first)
            f.write((b"put 0 0 60 100\r\n" + b"x" * 100 + b"\r\n") * n)
            f.flush()
            for _ in range(n):
                f.readline()
            f.write(b"reserve\r\n" * n)
            f.flush()
            ids = []
            for _ in range(n):
                ids.append(f.readline().split()[1])
                f.readline()
            f.write(b"".join(b"delete %s\r\n" % i for i in ids))
            f.flush()
            for _ in range(n):
                f.readline()
        return [total / (time.monotonic() - began), 0, 0]
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


@case("queue")
def queue(bench):
    """Tasks acknowledged on disk and completed; one client, one worker."""
    rows, results = [], []
    hybrid = module(bench, "hello") + "processes = 1; threads = 2; tasks: { };"
    for depth, total in DEPTHS:
        total = total // 4 if bench.quick else total
        runs = {"bare prototype": [], "supervisord": []}
        for _ in range(bench.rounds(3, 5)):
            for name, function in (("bare prototype", lambda: bare_once(bench, total, depth)),
                                   ("supervisord", lambda: load_once(bench, hybrid, total, depth))):
                got = attempt(function)
                if got:
                    runs[name].append(got)
        if depth == 32 and bench.peers and shutil.which("beanstalkd"):
            got = attempt(beanstalkd_once, bench, total // 4)
            if got:
                runs["beanstalkd -f0"] = [got]
        rates = {}
        for name, values in runs.items():
            if not values:
                continue
            rates[name] = median([v[0] for v in values])
            rows.append([name, depth, "%.0f/s" % rates[name],
                         "%.2f" % (rates[name] / rates.get("bare prototype", rates[name])),
                         "%.2f ms" % (median([v[1] for v in values]) / 1000),
                         "%.2f ms" % (median([v[2] for v in values]) / 1000)])
        if "supervisord" in rates and "bare prototype" in rates and depth > 1:
            ratio = rates["supervisord"] / rates["bare prototype"]
            results.append(Result("queue, %d outstanding" % depth, ratio, 0.75,
                                  "%.2fx the prototype" % ratio, at_least=True))
        if "supervisord" in rates and "beanstalkd -f0" in rates:
            ratio = rates["supervisord"] / rates["beanstalkd -f0"]
            results.append(Result("queue, against beanstalkd -f0", ratio, 5,
                                  "%.1fx" % ratio, at_least=True))
    table(["durable", "outstanding", "rate", "ratio", "ack p50", "p99"], rows)
    return results


@case("queue-memory")
def queue_memory(bench):
    """Tasks that need not survive, against a socket pair alone."""
    hybrid = (module(bench, "hello") + 'processes = 1; threads = 2; '
              'tasks: { durability = "none"; };')
    total = 100000 if bench.quick else 400000
    raw, ours = [], []
    for _ in range(bench.rounds(3, 5)):
        got = attempt(said, [bench.tool("queue"), "raw", str(4 * total), "32"], bench)
        raw += [got[0]] if got else []
        got = attempt(load_once, bench, hybrid, total, 32)
        ours += [got[0]] if got else []
    if not raw or not ours:
        return []
    ratio = median(ours) / median(raw)
    table(["in memory, 32 outstanding", "rate", "ratio"],
          [["socket pair", "%.0f/s" % median(raw), "1.00"],
           ["supervisord", "%.0f/s" % median(ours), "%.2f" % ratio]])
    return [Result("queue, not durable", ratio, 0.2, "%.2fx a socket pair" % ratio, at_least=True)]


@case("queue-exec")
def queue_exec(bench):
    """A program for each task, against the bare vfork loop."""
    total = 1000 if bench.quick else 5000
    worker = ('command = "%s"; processes = 2; stdout = "null"; tasks: { mode = "exec"; };'
              % os.path.join(bench.build, "tests", "programs", "exits"))
    got = attempt(load_once, bench, worker, total, 64)
    if not got:
        return []
    table(["exec tasks", "rate"], [["supervisord, 2 processes", "%.0f/s" % got[0]]])
    return []


@case("queue-backlog")
def queue_backlog(bench):
    """A million tasks wait: the time from the start to the first dispatch."""
    count = 100000 if bench.quick else 1000000
    hybrid = module(bench, "hello") + "processes = 1; threads = 2; tasks: { };"
    fleet = Broker(bench, hybrid)
    try:
        fleet.ready()
        fleet.ctl("pause", "w")
        fill = said([bench.tool("queue"), "fill", fleet.tasks, "w", "hello", str(count), "1024"],
                    bench)
        fleet.process.terminate()
        fleet.process.wait()
        began = time.monotonic()
        fleet.ready()
        up = time.monotonic() - began
        memory = broker_memory(fleet)
        began = time.monotonic()
        fleet.ctl("resume", "w")
        while not done_count(fleet):
            time.sleep(0.002)
        first = time.monotonic() - began
    finally:
        fleet.stop()
    table(["%d waiting" % count, "put", "up again", "first done", "broker's memory"],
          [["supervisord", "%.0f/s" % fill[0], "%.2f s" % up, "%.3f s" % first,
            "%.1f MiB" % memory]])
    return [Result("queue, start with %d waiting" % count, up + first, 1.0, "%.2f s" % (up + first)),
            Result("queue, memory with %d waiting" % count, memory, 64, "%.1f MiB" % memory)]


def broker_memory(fleet):
    for pid in measure.children(fleet.process.pid):
        if measure.comm(pid) == "broker":
            return measure.field_kb("/proc/%d/status" % pid, "VmRSS") / 1024
    return 0


def done_count(fleet):
    base = sqlite3.connect("file:%s/tasks.db?mode=ro" % fleet.disk, uri=True, timeout=10)
    try:
        return base.execute("select 1 from result limit 1").fetchone()
    finally:
        base.close()
