"""The logger against a bare read/write pump in C (pump.c): the same bytes, the
same sizes of writes, the same rotation; the rate, and the CPU time of all of
supervisord's processes for a GiB."""

import json
import os
import shutil
import subprocess
import time

import measure
from cases import attempt, case
from fleets import Ours, Python, peers
from measure import BenchError, Result, median, table

GIB = 1 << 30

# What the pump moves at a time: it fits a core's second cache with room for
# the pipe's pages, and is 1.5 times as cheap as a megabyte.
BUFFER = "131072"

# name, workers, bytes of one write, size a file is rotated at
SHAPES = [
    ("large writes", 1, 65536, 50 << 20),
    ("100-byte writes", 1, 100, 50 << 20),
    ("200 workers at once", 200, 4096, 1 << 20),
]


class OursLogging(Ours):
    def __init__(self, bench, count, program, max_size):
        self.settings = (
            'autostart = false; restart = "never"; start_seconds = 0; '
            'stdout = { max_size = %d; keep = 1000; };' % max_size)
        super().__init__(bench, count, program)


def bytes_in(folder):
    """(bytes, time of the last write, ns) of all files below a folder"""
    total, last = 0, 0
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                info = os.stat(os.path.join(at, name))
            except FileNotFoundError:
                continue  # renamed this very moment
            total += info.st_size
            last = max(last, info.st_mtime_ns)
    return total, last


def wait_for_bytes(folder, expected, timeout):
    deadline = time.monotonic() + timeout
    while True:
        total, last = bytes_in(folder)
        if total >= expected:
            break
        if time.monotonic() > deadline:
            raise BenchError("%d of %d bytes in the files after %d s"
                             % (total, expected, timeout))
        time.sleep(0.1)
    if total != expected:
        raise BenchError("%d bytes in the files instead of %d"
                         % (total, expected))
    return last - time.time_ns() + time.monotonic_ns()


def pump_once(bench, workers, chunk, max_size, total):
    folder = bench.fresh_dir("pump")
    try:
        out = subprocess.run(
            [bench.tool("pump"), "-n", str(workers), "-w", str(chunk), "-t",
             str(total), "-m", str(max_size), "-k", "1000", "-b", BUFFER,
             folder],
            stdout=subprocess.PIPE, stderr=bench.stderr, check=True).stdout
    except subprocess.CalledProcessError as e:
        raise BenchError("pump ended with %d" % e.returncode)
    finally:
        shutil.rmtree(folder)
    said = json.loads(out)
    return said["seconds"], said["cpu"]


def run_and_wait(bench, begin, own, folder, workers, total):
    """Lets the workers write; (seconds, CPU seconds) until all of it is in
    the files."""
    before = sum(measure.cpu_seconds(pid) for pid in own)
    begin()
    first = min(at for at, _ in bench.fifo.collect(workers, 60))
    last = wait_for_bytes(folder, total, 180)
    after = sum(measure.cpu_seconds(pid) for pid in own)
    return (last - first) / 1e9, after - before


def ours_once(bench, workers, chunk, max_size, total):
    program = [bench.tool("writer"), str(total // workers), str(chunk)]
    fleet = OursLogging(bench, workers, program, max_size)
    try:
        fleet.start()
        wait_for_socket(fleet)
        own = fleet.supervisors(set())
        return run_and_wait(
            bench, lambda: fleet.ctl("start", "--no-wait", "all"), own,
            os.path.join(fleet.dir, "state", "log"), workers,
            total // workers * workers)
    finally:
        fleet.stop()


def wait_for_socket(fleet):
    deadline = time.monotonic() + 20
    while fleet.ctl("version", check=False).returncode != 0:
        if time.monotonic() > deadline:
            raise BenchError("supervisord does not answer")
        time.sleep(0.05)


def pipeline_once(bench, logger, workers, chunk, max_size, total):
    """runit's and s6's way: a logger process for each worker."""
    folder = bench.fresh_dir(logger)
    processes = []
    try:
        started = time.monotonic_ns()
        for i in range(workers):
            own = os.path.join(folder, str(i))
            os.mkdir(own)
            if logger == "svlogd":
                with open(os.path.join(own, "config"), "w") as f:
                    f.write("s%d\nn1000\n" % max_size)
                argv = ["svlogd", "-b", "65536", own]
            else:
                argv = ["s6-log", "n1000", "s%d" % max_size, own]
            read, write = os.pipe()
            processes.append(subprocess.Popen(argv, stdin=read,
                                              stderr=bench.stderr))
            subprocess.Popen([bench.tool("writer"), str(total // workers),
                              str(chunk)], stdout=write)
            os.close(read)
            os.close(write)
        cpu = 0.0
        for process in processes:
            usage = os.wait4(process.pid, 0)[2]
            process.returncode = 0
            cpu += usage.ru_utime + usage.ru_stime
        ended = time.monotonic_ns()
        first = min(at for at, _ in bench.fifo.collect(workers, 10))
        return (ended - max(first, started)) / 1e9, cpu
    finally:
        measure.sweep()
        shutil.rmtree(folder)


def python_once(bench, chunk, max_size, total):
    program = [bench.tool("writer"), str(total), str(chunk)]
    fleet = Python(bench, 1, program)
    logs = os.path.join(fleet.dir, "log")
    os.mkdir(logs)
    with open(fleet.config) as f:
        config = f.read()
    config = config.replace("/dev/null", os.path.join(logs, "w.log"))
    config = config.replace("maxbytes=0", "maxbytes=%d\nstdout_logfile_backups"
                            "=1000\nautostart=false" % max_size)
    config = config.replace("autorestart=true", "autorestart=false")
    with open(fleet.config, "w") as f:
        f.write(config)
    ctl = ["/usr/bin/supervisorctl", "-c", fleet.config]
    try:
        fleet.start()
        while subprocess.run(ctl + ["pid"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL).returncode:
            time.sleep(0.05)
        return run_and_wait(
            bench, lambda: subprocess.run(
                ctl + ["start", "all"], stdout=subprocess.DEVNULL),
            [fleet.process.pid], logs, 1, total)
    finally:
        fleet.stop()


def measured(bench, workers, chunk, max_size, total):
    """[(name, [(seconds, cpu)...])...], the pump first"""
    runs = {"bare pump": [], "supervisord": []}
    # A virtual machine's memory costs extra the first time it is touched.
    attempt(pump_once, bench, workers, 1 << 20, max_size, total)
    for _ in range(bench.rounds(2, 5)):
        got = attempt(pump_once, bench, workers, chunk, max_size, total)
        if got:
            runs["bare pump"].append(got)
        if bench.have_ours():
            got = attempt(ours_once, bench, workers, chunk, max_size, total)
            if got:
                runs["supervisord"].append(got)
    for kind in peers() if bench.peers else []:
        if kind is Python:
            # Its rate is a small part of ours: an eighth of the bytes do.
            got = workers == 1 and attempt(
                python_once, bench, chunk, max_size, total // 8)
            got = got and (got[0] * 8, got[1] * 8)
        else:
            logger = "svlogd" if kind.name == "runit" else "s6-log"
            got = attempt(pipeline_once, bench, logger, workers, chunk,
                          max_size, total)
        if got:
            runs[kind.name] = [got]
    return [(name, values) for name, values in runs.items() if values]


@case("logs")
def logs(bench):
    """Worker to rotated file: the rate, and CPU time for a GiB."""
    total = bench.rounds(GIB // 4, GIB)
    results = []
    for shape, workers, chunk, max_size in SHAPES:
        runs = measured(bench, workers, chunk, max_size, total)
        rows, figures = [], {}
        for name, values in runs:
            rate = total / 2**20 / median([v[0] for v in values])
            cpu = median([v[1] for v in values]) * GIB / total
            figures[name] = (rate, cpu)
            base = figures["bare pump"]
            rows.append([name, "%.0f MiB/s" % rate, "%.2f" % (rate / base[0]),
                         "%.2f s" % cpu, "%.2f" % (cpu / base[1])])
        table([shape, "rate", "ratio", "CPU/GiB", "ratio"], rows)
        if "supervisord" in figures:
            rate = figures["supervisord"][0] / figures["bare pump"][0]
            cpu = figures["supervisord"][1] / figures["bare pump"][1]
            results += [
                Result("logs, %s: rate" % shape, rate, 0.8,
                       "%.2fx the pump" % rate, at_least=True),
                Result("logs, %s: CPU" % shape, cpu, 1.3,
                       "%.2fx the pump" % cpu)]
    return results
