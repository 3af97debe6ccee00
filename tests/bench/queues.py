"""The task queue against a prototype that does nothing but the socket work and
the group commits (queue/), against a socket pair alone, and beanstalkd where
it is installed. Databases are on a real disk: its flush is what counts."""

import contextlib
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
from fleets import Ours, words
from measure import BenchError, Result, median, table

# tasks under way at once, tasks of a round
DEPTHS = [(1, 3000), (32, 100000), (1024, 300000)]
# The same in memory, and what part of a socket pair's rate is aimed at.
MEMORY_DEPTHS = [(1, 20000, 0.5), (32, 400000, 0.2)]


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


def noop(bench, tasks=""):
    return ('module = "%s"; stdout = "null"; processes = 1; threads = 2; tasks: { %s };'
            % (bench.tool("noop.so"), tasks))


@contextlib.contextmanager
def on_cpus(cpus):
    """What is started within runs on these alone; None: on all."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


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
        return said([bench.tool("queue"), "load", fleet.tasks, "w", "noop", str(total),
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


def flush_us(rounds=300):
    """A 4 KiB append and its fdatasync, median."""
    folder = disk_dir()
    fd = os.open(os.path.join(folder, "f"), os.O_WRONLY | os.O_CREAT)
    times = []
    try:
        for _ in range(rounds):
            began = time.monotonic_ns()
            os.write(fd, b"x" * 4096)
            os.fdatasync(fd)
            times.append((time.monotonic_ns() - began) / 1000)
    finally:
        os.close(fd)
        shutil.rmtree(folder)
    return median(times)


def alternate(bench, functions):
    """What each of them has said, round by round; a round in which one failed
    is left out."""
    kept = []
    for _ in range(bench.rounds(3, 5)):
        round_ = [attempt(function) for function in functions]
        if all(round_):
            kept.append(round_)
    return kept


def ratio_of(rounds, mine=1, other=0):
    return median([r[mine][0] / r[other][0] for r in rounds])


def durable_rows(name, depth, rounds, which):
    return [name, depth, "%.0f/s" % median([r[which][0] for r in rounds]),
            "%.2f" % ratio_of(rounds, which),
            "%.2f ms" % (median([r[which][1] for r in rounds]) / 1000),
            "%.2f ms" % (median([r[which][2] for r in rounds]) / 1000)]


def durable_results(depth, rounds):
    p50, p99 = (median([r[1][i] for r in rounds]) / 1000 for i in (1, 2))
    if depth == 1:
        flush = flush_us() / 1000
        return [Result("queue, 1 outstanding, ack p50", p50 / flush, 2,
                       "%.1fx an fdatasync of %.2f ms" % (p50 / flush, flush))]
    ratio = ratio_of(rounds)
    results = [Result("queue, %d outstanding" % depth, ratio, 0.75,
                      "%.2fx the prototype" % ratio, at_least=True)]
    if depth == 1024:
        results.append(Result("queue, 1024 outstanding, ack p99", p99, 10, "%.1f ms" % p99))
    return results


@case("queue")
def queue(bench):
    """Tasks acknowledged on disk and completed; one client, one worker."""
    rows, results = [], []
    for depth, total in DEPTHS:
        total = total // 4 if bench.quick else total
        rounds = alternate(bench, [lambda: bare_once(bench, total, depth),
                                   lambda: load_once(bench, noop(bench), total, depth)])
        if not rounds:
            continue
        rows.append(durable_rows("bare prototype", depth, rounds, 0))
        rows.append(durable_rows("supervisord", depth, rounds, 1))
        results += durable_results(depth, rounds)
        if depth == 32 and bench.peers and shutil.which("beanstalkd"):
            got = attempt(beanstalkd_once, bench, total // 4)
            if got:
                ratio = median([r[1][0] for r in rounds]) / got[0]
                rows.append(["beanstalkd -f0", depth, "%.0f/s" % got[0], "-", "-", "-"])
                results.append(Result("queue, against beanstalkd -f0", ratio, 5,
                                      "%.1fx" % ratio, at_least=True))
    table(["durable", "outstanding", "rate", "ratio", "ack p50", "p99"], rows)
    return results


@case("queue-memory")
def queue_memory(bench):
    """Tasks that need not survive, against a socket pair alone: on all CPUs,
    and all on one, where no wake-up has to cross to another."""
    rows, results = [], []
    hybrid = noop(bench, 'durability = "none";')
    for depth, total, aim in MEMORY_DEPTHS:
        total = total // 4 if bench.quick else total
        for where, cpus in (("all CPUs", None), ("one CPU", {min(os.sched_getaffinity(0))})):
            with on_cpus(cpus):
                rounds = alternate(bench, [
                    lambda: said([bench.tool("queue"), "raw", str(2 * total), str(depth)], bench),
                    lambda: load_once(bench, hybrid, total, depth)])
            if not rounds:
                continue
            ratio = ratio_of(rounds)
            for i, name in enumerate(("socket pair", "supervisord")):
                rows.append([name, where, depth, "%.0f/s" % median([r[i][0] for r in rounds]),
                             "%.2f" % ratio_of(rounds, i)])
            results.append(Result("queue, not durable, %d on %s" % (depth, where), ratio, aim,
                                  "%.2fx a socket pair" % ratio, at_least=True))
    table(["in memory", "on", "outstanding", "rate", "ratio"], rows)
    return results


@case("queue-exec")
def queue_exec(bench):
    """A program for each task, 2 at once, against bare vfork and exec."""
    total = 2000 if bench.quick else 6000
    program = [bench.tool("tiny"), "copy"]
    worker = ('command = %s; processes = 2; stdout = "null"; '
              'tasks: { mode = "exec"; durability = "%%s"; };' % words(program))
    ways = {
        "vfork and exec": lambda: bare_exec(bench, "plain", total, program),
        "vfork with pipes": lambda: bare_exec(bench, "pipes", total, program),
        "supervisord": lambda: load_once(bench, worker % "full", total, 1024),
        "supervisord, not durable": lambda: load_once(bench, worker % "none", total, 1024)}
    runs = {name: [] for name in ways}
    for _ in range(bench.rounds(3, 7)):
        for name, way in ways.items():
            got = attempt(way)
            runs[name] += [got[0]] if got else []
    if not all(runs.values()):
        return []
    rates = {name: median(values) for name, values in runs.items()}
    base = rates["vfork with pipes"]
    table(["a run of a command per task", "rate", "ratio"],
          [[name, "%.0f/s" % rate, "%.2f" % (rate / base)] for name, rate in rates.items()])
    return [Result("queue, exec" + name[len("supervisord"):], rates[name] / base, 0.6,
                   "%.2fx vfork with pipes" % (rates[name] / base), at_least=True)
            for name in ways if name.startswith("supervisord")]


def bare_exec(bench, mode, total, program):
    return said([bench.tool("vfork"), mode, str(total), "2"] + program, bench)


@case("queue-backlog")
def queue_backlog(bench):
    """A million tasks wait: the time from the start to the first dispatch."""
    count = 100000 if bench.quick else 1000000
    fleet = Broker(bench, noop(bench))
    try:
        fleet.ready()
        fleet.ctl("pause", "w")
        fill = said([bench.tool("queue"), "fill", fleet.tasks, "w", "noop", str(count), "1024"],
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
