"""What the cases measure with: the FIFO the workers report on, figures of
processes from /proc, tables, and the sweep that leaves nothing running."""

import ctypes
import fcntl
import os
import select
import signal
import statistics
import struct
import sys
import time

RECORD = struct.Struct("qii")
PR_SET_CHILD_SUBREAPER = 36
F_SETPIPE_SZ = 1031
FIONREAD = 0x541B


class BenchError(Exception):
    pass


def become_subreaper():
    """Orphans of what is measured come to us, so that they can be ended."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def ms(ns):
    return ns / 1e6


def median(values):
    return statistics.median(values)


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


class Fifo:
    """Each worker writes (monotonic ns, pid) here in its first instructions.
    Who waits for many only looks now and then, so that the reader takes no
    time from what is measured: the times are in the records."""

    def __init__(self, path):
        os.mkfifo(path)
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(self.fd, F_SETPIPE_SZ, 1 << 20)

    def close(self):
        os.close(self.fd)

    def waiting(self):
        size = fcntl.ioctl(self.fd, FIONREAD, struct.pack("i", 0))
        return struct.unpack("i", size)[0] // RECORD.size

    def take(self):
        try:
            data = os.read(self.fd, 1 << 20)
        except BlockingIOError:
            return []
        return [RECORD.unpack_from(data, at)[:2]
                for at in range(0, len(data), RECORD.size)]

    def collect(self, count, timeout, going=lambda: True):
        """The next `count` records, looked for every 10 ms."""
        deadline = time.monotonic() + timeout
        while self.waiting() < count:
            if not going():
                raise BenchError("it has ended")
            if time.monotonic() > deadline:
                raise BenchError("%d of %d workers reported within %d s"
                                 % (self.waiting(), count, timeout))
            time.sleep(0.01)
        records = []
        while len(records) < count:
            records += self.take()
        return records

    def next(self, timeout):
        """The next record, as soon as it is there."""
        if not select.select([self.fd], [], [], timeout)[0]:
            raise BenchError("no worker reported within %d s" % timeout)
        return RECORD.unpack(os.read(self.fd, RECORD.size))[:2]


# --- processes ---------------------------------------------------------------

def children(pid):
    found = []
    try:
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task)) as f:
                found += [int(word) for word in f.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def parent_of(pid):
    with open("/proc/%d/stat" % pid) as f:
        return int(f.read().rpartition(")")[2].split()[1])


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0] > 0:
            pass
    except ChildProcessError:
        pass


def sweep(timeout=60):
    """Ends every descendant of the harness: first those that would start
    others again, then what they leave behind, until none is left."""
    deadline = time.monotonic() + timeout
    while True:
        left = children(os.getpid())
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        reap()
        if time.monotonic() > deadline:
            raise BenchError("%d processes would not end" % len(left))
        time.sleep(0.005)


def field_kb(path, name):
    with open(path) as f:
        for line in f:
            if line.startswith(name):
                return int(line.split()[1])
    return 0


def memory(pids):
    """Bytes these processes cost: their share of the pages they map, and the
    page tables."""
    total = 0
    for pid in pids:
        try:
            total += field_kb("/proc/%d/smaps_rollup" % pid, "Pss:")
            total += field_kb("/proc/%d/status" % pid, "VmPTE:")
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total * 1024


def switches(pids):
    """How often these processes' threads have gone to sleep or been pushed
    off: what does not change did not run."""
    total = {}
    for pid in pids:
        for task in os.listdir("/proc/%d/task" % pid):
            path = "/proc/%d/task/%s/status" % (pid, task)
            total[int(task)] = (
                field_kb(path, "voluntary_ctxt_switches") +
                field_kb(path, "nonvoluntary_ctxt_switches"))
    return total


def cpu_seconds(pid):
    """CPU time of a process by its CPU clock (ns), not by ticks."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def comm(pid):
    try:
        with open("/proc/%d/comm" % pid) as f:
            return f.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return "?"


# --- tables ------------------------------------------------------------------

class Result:
    """One line of the summary: a figure against its target."""

    def __init__(self, name, value, limit, text, at_least=False):
        self.name = name
        self.value = value
        self.limit = limit
        self.text = text
        self.met = value >= limit if at_least else value <= limit
        self.at_least = at_least

    def line(self):
        return "  %-6s %-34s %-24s target %s %g" % (
            "met" if self.met else "MISSED", self.name, self.text,
            ">=" if self.at_least else "<=", self.limit)


def table(head, rows):
    widths = [max(len(str(row[i])) for row in [head] + rows)
              for i in range(len(head))]
    for row in [head] + rows:
        cells = [str(cell).ljust(width) if i == 0 else str(cell).rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        print("  " + "  ".join(cells).rstrip())
    print()
    sys.stdout.flush()
