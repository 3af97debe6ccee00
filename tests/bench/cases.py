"""The cases: each prints its table and returns its figures against the
targets. Rounds are interleaved, bare loop and ours after one another, so that
a busy machine slows both."""

import os
import random
import signal
import sqlite3
import subprocess
import time

import measure
from fleets import Bare, Ours, OursLogged, Python, Runit, S6, peers
from measure import BenchError, Result, median, ms, table

RUNS = {}


def case(name):
    def keep(function):
        RUNS[name] = function
        return function
    return keep


def available(kinds, bench):
    return [k for k in kinds
            if not issubclass(k, Ours) or bench.have_ours()]


def attempt(function, *args):
    """One measurement that may fail without ending the others."""
    try:
        return function(*args)
    except BenchError as e:
        print("  !! %s" % e)
        measure.sweep()
        return None


# --- start -------------------------------------------------------------------

def start_once(bench, kind, count):
    fleet = kind(bench, count)
    try:
        return fleet.up()[0]
    finally:
        fleet.stop()


def start_rounds(bench, kinds, count, rounds):
    times = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            taken = attempt(start_once, bench, kind, count)
            if taken is not None:
                times[kind].append(taken)
    return {kind: t for kind, t in times.items() if t}


def start_table(times):
    base = median(times[Bare])
    table(["from exec of the supervisor to the last main()", "median", "best",
           "ratio"],
          [[kind.name, "%.0f ms" % ms(median(t)), "%.0f ms" % ms(min(t)),
            "%.2f" % (median(t) / base)] for kind, t in times.items()])


@case("start-1000")
def start_1000(bench):
    """Start 1,000 instances of a tiny static program."""
    kinds = available([Bare, Ours, OursLogged], bench)
    times = start_rounds(bench, kinds, 1000, bench.rounds(3, 9))
    if bench.peers:
        times.update(start_rounds(bench, peers(), 1000, 1))
    start_table(times)
    if Ours not in times:
        return []
    ratio = median(times[Ours]) / median(times[Bare])
    return [Result("start-1000", ratio, 2.0, "%.2fx the bare loop" % ratio)]


@case("start-10000")
def start_10000(bench):
    """Start 10,000: linear."""
    kinds = available([Bare, Ours], bench)
    small = start_rounds(bench, kinds, 1000, bench.rounds(3, 5))
    times = start_rounds(bench, kinds, 10000, bench.rounds(1, 3))
    start_table(times)
    if Ours not in times:
        return []
    ratio = median(times[Ours]) / median(times[Bare])
    growth = median(times[Ours]) / median(small[Ours]) / 10
    print("  10,000 take %.1f times what 1,000 take; the bare loop %.1f\n" % (
        growth * 10, median(times[Bare]) / median(small[Bare])))
    return [Result("start-10000", ratio, 2.0, "%.2fx the bare loop" % ratio),
            Result("start-10000: linear", growth, 1.25,
                   "%.2fx ten times 1,000" % growth)]


# --- restart -----------------------------------------------------------------

def restart_latencies(bench, kind, count, kills):
    """Kills one at random, `kills` times; ns from kill() to the new main()."""
    fleet = kind(bench, count)
    try:
        pids = list(fleet.up()[1])
        time.sleep(1.2 if count <= 1000 else 3)  # let starting settle
        taken = []
        chance = random.Random(1)
        for _ in range(kills):
            at = chance.randrange(len(pids))
            before = time.monotonic_ns()
            os.kill(pids[at], signal.SIGKILL)
            began, pids[at] = bench.fifo.next(10)
            taken.append(began - before)
            time.sleep(0.005)
        return taken
    finally:
        fleet.stop()


@case("restart-latency")
def restart_latency(bench):
    """Kill one of N: from kill() to the replacement's main()."""
    rows, results, medians = [], [], {}
    kills = bench.rounds(60, 300)
    for count in (10, 1000, 10000):
        kinds = available([Bare, Ours], bench)
        if count == 1000 and bench.peers:
            kinds += peers()
        for kind in kinds:
            slow = kind in (Python, S6)
            taken = attempt(restart_latencies, bench, kind, count,
                            5 if slow else kills)
            if taken is None:
                continue
            medians[kind, count] = median(taken)
            base = medians.get((Bare, count), median(taken))
            rows.append([
                "%s, one of %d" % (kind.name, count),
                "%.3f ms" % ms(median(taken)),
                "%.3f ms" % ms(measure.percentile(taken, 0.9)),
                "%.3f ms" % ms(max(taken)), "%.2f" % (median(taken) / base)])
            if kind is Ours:
                ratio = median(taken) / base
                results.append(Result("restart one of %d" % count, ratio, 2.0,
                                      "%.2fx the bare loop" % ratio))
    table(["from kill() to the replacement's main()", "median", "90 %", "worst",
           "ratio"], rows)
    if (Ours, 10) in medians and (Ours, 10000) in medians:
        flat = medians[Ours, 10000] / medians[Ours, 10]
        results.append(Result("restart: 10,000 against 10", flat, 1.25,
                              "%.2fx" % flat))
    return results


def kill_all_once(bench, kind, count):
    fleet = kind(bench, count)
    try:
        pids = fleet.up()[1]
        time.sleep(1.2)
        before = time.monotonic_ns()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        records = bench.fifo.collect(count, 60)
        taken = max(at for at, _ in records) - before
        if len({p for _, p in records}) != count:
            raise BenchError("a worker was started twice")
        return taken, history_lost(fleet, count) if kind is Ours else None
    finally:
        fleet.stop()


def history_lost(fleet, count):
    """How many of the exits the state database does not know of, once it has
    had the time of one commit."""
    path = os.path.join(fleet.dir, "state", "state.db")
    deadline = time.monotonic() + 10
    while True:
        db = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
        known = db.execute(
            "select count(distinct name || pid) from exits").fetchone()[0]
        db.close()
        if known >= count or time.monotonic() > deadline:
            return count - known
        time.sleep(0.05)


@case("kill-all-1000")
def kill_all(bench):
    """Kill all 1,000 at once: until the last replacement's main()."""
    kinds = available([Bare, Ours], bench)
    times, lost = {}, None
    for _ in range(bench.rounds(3, 9)):
        for kind in kinds:
            got = attempt(kill_all_once, bench, kind, 1000)
            if got:
                times.setdefault(kind, []).append(got[0])
                if kind is Ours:
                    lost = max(lost or 0, got[1])
    for kind in peers() if bench.peers else []:
        got = attempt(kill_all_once, bench, kind, 1000)
        if got:
            times[kind] = [got[0]]
    base = median(times[Bare])
    table(["from the first kill() to the last replacement's main()", "median",
           "best", "ratio"],
          [[kind.name, "%.0f ms" % ms(median(t)), "%.0f ms" % ms(min(t)),
            "%.2f" % (median(t) / base)] for kind, t in times.items()])
    if Ours not in times:
        return []
    ratio = median(times[Ours]) / base
    return [Result("kill-all-1000", ratio, 2.0, "%.2fx the bare loop" % ratio),
            Result("kill-all-1000: lost from history", lost, 0,
                   "%d exits" % lost)]


# --- idle --------------------------------------------------------------------

def idle_once(bench, kind, count, seconds):
    """(switches by process, bytes, number of processes)"""
    fleet = kind(bench, count)
    try:
        workers = fleet.up()[1]
        time.sleep(6)  # commits, checkpoints and timers of the start are over
        own = fleet.supervisors(workers)
        before = measure.switches(own)
        time.sleep(seconds)
        after = measure.switches(own)
        woken = {}
        for task, n in after.items():
            if n != before.get(task, 0):
                name = measure.comm(task)
                woken[name] = woken.get(name, 0) + n - before.get(task, 0)
        return woken, measure.memory(own), len(own)
    finally:
        fleet.stop()


@case("idle")
def idle(bench):
    """1,000 instances that do nothing: wake-ups and memory."""
    count, rows, results = 1000, [], []
    seconds = bench.rounds(5, 20)
    kinds = available([OursLogged], bench) + (peers() if bench.peers else [])
    for kind in kinds:
        got = attempt(idle_once, bench, kind, count, seconds)
        if not got:
            continue
        woken, size, processes = got
        wakes = sum(woken.values())
        rows.append([kind.name, processes, wakes, "%.1f MiB" % (size / 2**20)])
        if kind is OursLogged:
            limit = 8 + count * 2 / 1024
            if woken:
                print("  woken: %s" % ", ".join(
                    "%s %d" % item for item in woken.items()))
            results += [
                Result("idle: wake-ups in %d s" % seconds, wakes, 0,
                       "%d" % wakes),
                Result("idle: MiB of memory", size / 2**20, limit,
                       "%.1f MiB" % (size / 2**20))]
    table(["%d instances, %d s" % (count, seconds), "processes", "wake-ups",
           "PSS + page tables"], rows)
    return results


# --- status ------------------------------------------------------------------

def timed(bench, runs, argv):
    out = subprocess.run([bench.tool("timeit"), str(runs)] + argv,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=bench.stderr, text=True).stdout
    lines = [line.split() for line in out.splitlines()]
    if not lines or any(line[1] not in ("0", "3") for line in lines):
        raise BenchError("%s failed: %s" % (" ".join(argv), lines[:1]))
    return [int(line[0]) for line in lines]


def status_times(bench, kind, count, runs):
    fleet = kind(bench, count)
    try:
        fleet.up()
        time.sleep(2)
        services = os.path.join(fleet.dir, "services")
        if kind is Ours:
            argv = fleet.ctl_argv("status")
        elif kind is Runit:
            argv = ["sv", "status"] + [
                os.path.join(services, s) for s in os.listdir(services)]
        else:
            argv = ["/usr/bin/supervisorctl", "-c", fleet.config, "status"]
        return timed(bench, runs, argv)
    finally:
        fleet.stop()


@case("status")
def status(bench):
    """The whole command `supervisorctl status`."""
    runs = bench.rounds(20, 100)
    rows, results = [], []
    floor = timed(bench, runs, ["/bin/true"])
    rows.append(["/bin/true, for scale", "%.2f ms" % ms(median(floor)),
                 "%.2f ms" % ms(min(floor))])
    todo = [(kind, count) for count in (1000, 10000)
            for kind in available([Ours], bench)]
    if bench.peers:
        todo += [(kind, 1000) for kind in peers() if kind in (Runit, Python)]
    for kind, count in todo:
        taken = attempt(status_times, bench, kind, count,
                        3 if kind is Python else runs)
        if not taken:
            continue
        rows.append(["%s, %d" % (kind.name, count),
                     "%.2f ms" % ms(median(taken)), "%.2f ms" % ms(min(taken))])
        if kind is Ours:
            results.append(Result("status of %d, ms" % count,
                                  ms(median(taken)), 10 if count == 1000 else 60,
                                  "%.1f ms" % ms(median(taken))))
    table(["a status command", "median", "best"], rows)
    return results
