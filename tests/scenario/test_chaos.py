"""Random lives: wishes of a user, crashes of workers and of supervisord's own
processes in any order, checked against a model of what was wished.

A wish counts from its answer on. After each round the fleet has to come to
rest where the model is: every instance wished up RUNNING, every other down,
each with exactly one process, and no process beside them."""

import contextlib
import os
import random
import signal

import driver

SEEDS = range(1, 21) if driver.LONG else (1, 2, 3)
STEPS = 300 if driver.LONG else 60


class Model:
    """What has been wished for."""

    def __init__(self):
        self.config = {"a": 4, "b": 4, "c": 2}
        self.marks = {"a": 0, "b": 0, "c": 0}
        self.up = {}
        self.sizes = {}
        self.resize(dict(self.config))

    def resize(self, sizes):
        for worker, size in sizes.items():
            for index in range(size):
                self.up.setdefault("%s:%d" % (worker, index), True)
        self.sizes = sizes
        for name in list(self.up):
            worker, index = name.split(":")
            if int(index) >= sizes[worker]:
                del self.up[name]

    def names(self, target):
        if ":" in target:
            return [target]
        return [n for n in self.up if n.startswith(target + ":")]

    def text(self):
        programs = {"a": '[ "@P/ledger", "@D/books", "0", "0", "50", "%d" ]',
                    "b": '[ "@P/pause", "%d" ]',
                    "c": '[ "@P/forks-away", "@D/pids", "stay", "bare", "%d" ]'}
        return ('defaults: { start_seconds = "0s"; stop_timeout = "5s"; '
                'backoff: { initial = "5ms"; max = "20ms"; }; };\nworkers: {\n' + "".join(
                    '  %s: { command = %s; processes = %d; };\n' % (
                        w, programs[w] % self.marks[w], n) for w, n in self.config.items()) + "};\n")


class Chaos(driver.Case):
    timeout = 150
    weight = 60

    def test_random_lives(self):
        for seed in SEEDS:
            with self.subTest(seed=seed):
                self.live(random.Random(seed), guardian=False)

    def test_random_lives_with_crashes_of_the_guardian(self):
        for seed in SEEDS:
            with self.subTest(seed=seed):
                self.live(random.Random(1000 + seed), guardian=True)

    def live(self, dice, guardian):
        self.model, self.dice, self.story = Model(), dice, []
        sup = self.sup = self.supervisord(start=False)
        os.mkdir(sup.dir + "/books")
        sup.configure(self.model.text())
        sup.start()
        self.rest()
        deeds = [self.stop, self.start, self.restart, self.kill_worker, self.kill_worker,
                 self.kill_master, self.kill_logger, self.reload, self.scale]
        try:
            for step in range(STEPS):
                if step % 15 == 14:
                    self.rest()
                    (self.kill_guardian if guardian else self.upgrade)()
                self.dice.choice(deeds)()
            self.rest()
            self.assertEqual(sup.shutdown(), 0)
            sup.wait_empty()
        except Exception as error:
            raise AssertionError("%s\nafter: %s" % (error, "; ".join(self.story[-30:]))) from error
        finally:
            sup.destroy()

    # -- deeds

    def ask(self, method, **params):
        """The answer, or None when nobody was there to give one; until the
        wish has been answered, it is made again."""
        self.story.append("%s %s" % (method, params))
        while True:
            self.sup.wait_up()
            try:
                return self.sup.rpc(method, **params)
            except (OSError, driver.Late):
                self.story.append("(again)")

    def target(self):
        names = list(self.model.up)
        return self.dice.choice(names + list(self.model.config)) if names else "a"

    def stop(self):
        target = self.target()
        names = self.model.names(target)
        if names:
            self.ask("stop", targets=[target], wait=False)
            self.model.up.update(dict.fromkeys(names, False))

    def start(self):
        target = self.target()
        names = self.model.names(target)
        if names:
            self.ask("start", targets=[target], wait=False)
            self.model.up.update(dict.fromkeys(names, True))

    def restart(self):
        target = self.target()
        names = self.model.names(target)
        if names:
            self.ask("restart", targets=[target], wait=False)
            self.model.up.update(dict.fromkeys(names, True))

    def scale(self):
        worker, size = self.dice.choice("abc"), self.dice.randrange(0, 7)
        self.ask("scale", worker=worker, count=size, wait=False)
        self.model.resize(dict(self.model.sizes, **{worker: size}))

    def reload(self):
        worker = self.dice.choice("abc")
        if self.dice.random() < 0.5:
            self.model.marks[worker] += 1
        else:
            self.model.config[worker] = self.dice.randrange(0, 7)
        self.sup.configure(self.model.text())
        self.ask("reload", wait=False)
        self.model.resize(dict(self.model.config))

    def kill_worker(self):
        rows = [r for r in self.ask("status") if r["pid"]]
        if rows:
            row = self.dice.choice(rows)
            self.story.append("kill " + row["name"])
            self.kill(row["pid"], self.dice.choice([signal.SIGKILL, signal.SIGSEGV]))

    def kill_own(self, name):
        pid = self.sup.process(name)
        self.story.append("kill " + name)
        if pid:
            self.kill(pid, signal.SIGKILL)

    def kill_master(self):
        self.kill_own("master")

    def kill_logger(self):
        self.kill_own("logger")

    def kill_guardian(self):
        self.story.append("kill guardian")
        # A pipe whose readers are both gone ends its writers; that is beyond
        # what is promised: the logger has to be there.
        driver.eventually(self.logger_has_all_pipes, what="the logger has all pipes")
        self.before = self.sup.pids()
        self.sup.kill_guardian()
        self.sup.start()
        try:
            driver.eventually(lambda: self.sup.pids() == self.before, 10)
        except driver.Late:
            self.assert_same_pids(self.sup, self.before)

    def upgrade(self):
        self.story.append("upgrade")
        before = self.sup.pids()
        self.sup.ctl_ok("upgrade")
        self.assert_same_pids(self.sup, before)

    @staticmethod
    def kill(pid, signo):
        try:
            os.kill(pid, signo)
        except ProcessLookupError:
            pass

    # -- the model and the world

    def rest(self):
        """Waits until the world is as the model has it."""
        self.sup.wait_up()
        self.why = "?"
        try:
            driver.eventually(self.as_wished, 30, "the fleet is as was wished")
        except driver.Late as error:
            raise AssertionError("%s: %s\n%s" % (error, self.why, self.picture())) from None
        for name in os.listdir(self.sup.dir + "/books"):
            if name.endswith(".book"):
                self.assertNotIn("doubled", driver.read(self.sup.dir + "/books/" + name))

    def logger_has_all_pipes(self):
        """A logger that was just started gets them from the guardian."""
        def pipes(pid):
            links = set()
            for fd in os.listdir("/proc/%d/fd" % pid):
                with contextlib.suppress(OSError):
                    links.add(os.readlink("/proc/%d/fd/%s" % (pid, fd)))
            return {link for link in links if link.startswith("pipe:")}
        logger = self.sup.process("logger")
        if logger is None or logger != self.sup.info()["logger_pid"]:
            return False
        written = set()
        for pid in filter(None, self.sup.pids().values()):
            written |= pipes(pid)
        kept = written & pipes(self.sup.guardian())
        return kept <= pipes(logger)

    def picture(self):
        """All instances and all processes, for who has to find out why."""
        lines = ["%s %s %s %s (%s)" % (r["name"], r["state"], r["pid"], "adopted" if r["adopted"] else "",
                                       r["reason"]) for r in self.sup.status()]
        for pid in self.sup.descendants():
            stat = driver.stat_of(pid)
            if stat:
                lines.append("%d %s %s ppid %d" % (pid, driver.comm(pid), stat[0], stat[1]))
        return "\n".join(lines)

    def as_wished(self):
        try:
            rows = self.sup.by_name()
        except (OSError, driver.Late):
            return False
        wished = {n: "RUNNING" if up else "STOPPED" for n, up in self.model.up.items()}
        states = {n: r["state"] for n, r in rows.items()}
        if states != wished:
            self.why = {n: (states.get(n), wished.get(n)) for n in set(states) | set(wished)
                        if states.get(n) != wished.get(n)}
            return False
        pids = {r["pid"] for r in rows.values() if r["pid"]}
        workers = {p for p in self.sup.descendants() if driver.comm(p) in ("ledger", "pause", "forks-away")}
        daemons = set(driver.read_pids(self.sup.dir + "/pids"))
        self.why = {"no process": pids - workers, "beside": {
            p: driver.comm(p) for p in workers - pids - daemons}}
        running = sum(up for n, up in self.model.up.items() if n.startswith("c:"))
        live = [p for p in daemons if driver.alive(p) and p in self.sup.descendants()]
        if len(live) != running:
            self.why["daemons"] = (live, running)
            return False
        return workers - daemons == pids
