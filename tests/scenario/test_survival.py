"""What survives: kill -9 of any of supervisord's own processes, upgrades."""

import collections
import os
import random
import shutil
import signal
import struct
import time

import driver
from driver import fleet

QUICK = 'start_seconds = "0s"; backoff: { initial = "5ms"; max = "40ms"; reset_after = "1h"; }; stop_timeout = "60s";'


def told(rows):
    """What must be the same after a kill of the master."""
    return {r["name"]: (r["state"], r["pid"], r["restarts"],
                        r["exit"] and (r["exit"]["code"], r["exit"]["signal"])) for r in rows}


class MasterInEachState(driver.Case):
    CONFIG = """
        defaults: { start_seconds = "50ms"; backoff: { initial = "1h"; max = "1h"; jitter = 0.0; }; };
        workers: {
          running:  { command = "@P/pause"; processes = 2; };
          starting: { command = "@P/pause"; start_seconds = "1h"; };
          backoff:  { command = "@P/exits 3"; start_seconds = "1h"; };
          fatal:    { command = "@P/exits 4"; start_seconds = "1h"; start_retries = 0; };
          exited:   { command = "@P/exits 0 100"; restart = "never"; };
          stopped:  { command = "@P/pause"; };
          off:      { command = "@P/pause"; autostart = false; };
          stopping: { command = "@P/ignores-term"; stop_timeout = "1h"; };
        };"""

    def test_every_state_is_as_it_was(self):
        sup = self.supervisord(self.CONFIG)
        sup.wait_running("running", "stopped", "stopping")
        sup.wait_stdout("stopping:0", "^ready")
        sup.ctl_ok("stop", "stopped")
        sup.ctl_ok("stop", "--no-wait", "stopping")
        for name in ("starting", "backoff", "fatal", "exited", "stopped", "stopping"):
            sup.wait_state(name, name.upper())
        sup.wait_state("off", "STOPPED")
        before = told(sup.status())
        for _ in range(3):
            sup.kill_master()
            self.assertEqual(told(sup.status()), before)
        for name, (_, pid, _, _) in before.items():
            if pid:
                self.assert_alive(pid)
        self.assertEqual(len(sup.db("select * from exits where name = 'backoff:0'")), 1)
        os.kill(before["stopping:0"][1], signal.SIGKILL)
        sup.wait_state("stopping", "STOPPED")
        sup.ctl_ok("start", "--no-wait", "stopped", "off")
        sup.wait_running("stopped", "off")

    def test_time_goes_on_where_it_was(self):
        began = time.time()
        sup = self.supervisord("""workers: {
            starting: { command = "@P/pause"; start_seconds = "2s"; };
            stopping: { command = "@P/ignores-term"; start_seconds = "50ms"; stop_timeout = "2s"; };
            backoff:  { command = "@P/exits 1"; start_seconds = "1h"; start_retries = 1;
                        backoff: { initial = "2s"; jitter = 0.0; }; };
        };""")
        sup.wait_running("stopping")
        sup.wait_stdout("stopping:0", "^ready")
        sup.wait_state("backoff", "BACKOFF")
        stopped = time.time()
        sup.ctl_ok("stop", "--no-wait", "stopping")
        sup.wait_state("stopping", "STOPPING")
        sup.kill_master()
        sup.wait_running("starting")
        sup.wait_state("stopping", "STOPPED")
        sup.wait_state("backoff", "FATAL")
        for name, last in (("starting", "RUNNING"), ("stopping", "STOPPED"), ("backoff", "STARTING")):
            at = [driver.when(e["at"]) for e in sup.rpc("events", targets=[name]) if e["to"] == last]
            since = stopped if name == "stopping" else began
            self.assertGreater(at[-1] - since, 1.8, name)
            self.assertLess(at[-1] - since, 8.0, name)

    def test_those_that_wait_for_their_turn(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 4; start_seconds = "400ms";'),
                               master="max_starting = 1;")
        sup.wait_state("web:3", "WAITING")
        sup.kill_master()
        sup.wait_running()
        self.assertEqual({r["restarts"] for r in sup.status()}, {0})

    def test_an_exit_while_there_is_no_master(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 20; %s' % QUICK))
        sup.wait_running()
        before = sup.pids()
        master = sup.master()
        os.kill(master, signal.SIGSTOP)
        for pid in before.values():
            os.kill(pid, signal.SIGUSR1)
        os.kill(master, signal.SIGKILL)
        sup.wait_new_master(master)
        sup.wait(lambda rows: all(r["state"] == "RUNNING" and r["restarts"] == 1 for r in rows))
        rows = sup.wait_db("select name, pid, signal from exits", rows=20)
        self.assertEqual(sorted((r["name"], r["pid"]) for r in rows), sorted(before.items()))
        self.assertEqual({r["signal"] for r in rows}, {signal.SIGUSR1})

    def test_it_is_back_within_a_second(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 10;'))
        sup.wait_running()
        pids = sup.pids()
        sup.wait(lambda rows: rows[0]["uptime"] > 1.2)
        sup.kill_master(deadline=5.0 if driver.SANITIZED else 1.0)
        self.assertEqual(sup.pids(), pids)

    def test_a_wish_in_flight_is_not_lost(self):
        sup = self.supervisord(fleet(web='command = "@P/slow-stop 1500"; stop_timeout = "30s";',
                                     other='command = "@P/slow-stop 1500"; stop_timeout = "30s";'))
        sup.wait_stdout("web:0", "^ready")
        sup.wait_stdout("other:0", "^ready")
        sup.wait_running()
        pids = sup.pids()
        sup.rpc("restart", targets=["web"], wait=False)
        sup.rpc("stop", targets=["other"], wait=False)
        sup.wait_state(["web", "other"], "STOPPING")
        sup.kill_master()
        sup.wait_state("other", "STOPPED")
        sup.wait_other_pid("web:0", pids["web:0"])

    def test_at_every_moment_of_a_stop(self):
        """The master dies between the signal, the exit and the end of the tree."""
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 20; start_seconds = "0s"; stop_timeout = "2s";'))
        sup.wait_running()
        dice = random.Random(3)
        for _ in range(100 if driver.LONG else 25):
            old, master = sup.pids(), sup.master()
            sup.rpc("restart", targets=["all"], wait=False)
            driver.let_pass(dice.random() * 0.008)
            os.kill(master, signal.SIGKILL)
            sup.wait_new_master(master)
            sup.wait_running(deadline=10)
            self.assertFalse(set(old.values()) & set(sup.pids().values()))

    def test_what_is_left_of_a_stopped_one_is_not_forgotten(self):
        """The process has ended, its deaf daemon not: masters come and go."""
        sup = self.supervisord(fleet(
            web='command = "@P/forks-away @D/pids stay deaf bare"; processes = 3; start_seconds = "0s"; stop_timeout = "1s";',
            busy='command = "@P/exits 1 20"; processes = 3; start_seconds = "0s"; backoff: { initial = "1ms"; max = "1ms"; };'))
        for turn in range(20 if driver.LONG else 4):
            sup.ctl_ok("start", "web")
            daemons, mains = sup.wait_pids("pids", 3 * turn + 3), sup.pids("web").values()
            sup.rpc("stop", targets=["web"], wait=False)
            for pid in mains:
                driver.gone(pid)
            for _ in range(3):
                sup.kill_master()
            sup.wait_state("web", "STOPPED", deadline=15)
            for pid in daemons:
                self.assert_dead(pid)

    def test_a_master_that_cannot_be_run_for_a_while(self):
        home = copy_of_programs(self)
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 3;'),
                               program=home + "/supervisord")
        sup.wait_running()
        pids = sup.pids()
        path = home + "/libexec/supervisord/master"
        os.rename(path, path + ".away")
        os.kill(sup.master(), signal.SIGKILL)
        os.kill(pids["web:1"], signal.SIGKILL)
        sup.wait_log("master")
        driver.gone(pids["web:1"])
        self.assert_alive(pids["web:0"])
        os.rename(path + ".away", path)
        sup.wait_up()
        sup.wait_running()
        self.assertEqual({n for n, p in sup.pids().items() if pids[n] != p}, {"web:1"})


class Storm(driver.Case):
    """kill -9, again and again, under a fleet that crashes and writes."""
    timeout = 300
    alone = True
    weight = 100
    SIZE = 100
    KILLS = 200 if driver.LONG else 25

    def fleet_of_ledgers(self, low=200, high=3000, **options):
        sup = self.supervisord(start=False, **options)
        os.mkdir(sup.dir + "/books")
        sup.configure("workers: { web: { command = [ \"@P/ledger\", \"@D/books\", \"%d\", \"%d\" ]; "
                      "processes = %d; stdout: { max_size = 0; }; %s }; };" % (low, high, self.SIZE, QUICK))
        sup.start()
        sup.wait(lambda rows: len(rows) == self.SIZE and all(r["pid"] for r in rows[-3:]))
        return sup

    def kill_storm(self, sup, names, kills):
        dice = random.Random(7)
        for turn in range(kills):
            name = names[turn % len(names)]
            pid = driver.eventually(lambda: sup.process(name), what="a " + name)
            if dice.random() < 0.5:
                sup.wait_up()
            driver.let_pass(dice.random() * 0.06)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            driver.gone(pid)
            self.assert_alive(sup.guardian_pid)

    def settle(self, sup):
        """Ends the storm in order and returns the exits in the database."""
        sup.wait_up()
        sup.wait(lambda rows: len(rows) == self.SIZE and
                 all(r["state"] in ("RUNNING", "STARTING", "BACKOFF") for r in rows), deadline=40)
        for i in range(self.SIZE):
            self.assertNotIn("stopped", book(sup, i), "web:%d was stopped by nobody's wish" % i)
        sup.ctl_ok("stop", "all")
        self.assertEqual(sup.shutdown(), 0)
        sup.wait_empty()
        return sup.db("select * from exits")

    def check_books(self, sup, exits):
        ends = collections.Counter()
        for i in range(self.SIZE):
            name, living = "web:%d" % i, None
            for line in book(sup, i).splitlines():
                words = line.split()
                if words[0] == "start":
                    self.assertIsNone(living, "%s: %s, but %s did not say that it ends; the database: %s" % (
                        name, line, living, [tuple(r) for r in exits if r["name"] == name and str(r["pid"]) == living]))
                    living = words[1]
                elif words[0] == "end":
                    self.assertEqual(living, words[1], name)
                    living = None
                    code, signo = (int(words[3]), 0) if words[2] == "exit" else (None, int(words[3]))
                    ends[name, int(words[1]), code, signo] += 1
                else:
                    self.assertEqual(words[0], "stopped", name + ": " + line)
            self.assertIsNone(living, "%s: %s did not end" % (name, living))
        stored = collections.Counter((r["name"], r["pid"], r["code"] if not r["signal"] else None,
                                      r["signal"] or 0) for r in exits)
        self.assertEqual(dict(ends - stored), {}, "exits that are not in the database")
        # A stop can come before the first line of a worker's main().
        early = {k for k in stored - ends if k[3] == signal.SIGTERM}
        for name, pid, _, _ in early:
            self.assertNotIn(" %d\n" % pid, book(sup, int(name[4:])))
        self.assertEqual({k: n for k, n in (stored - ends).items() if k not in early}, {},
                         "exits in the database that were not")
        return sum(ends.values())

    def check_logs(self, sup):
        for i in range(self.SIZE):
            name = "web:%d" % i
            with open(sup.dir + "/books/%s.count" % name, "rb") as f:
                count = struct.unpack("=Q", f.read(8))[0]
            text = sup.stdout_of(name)
            expected = "".join("%s %d\n" % (name, n) for n in range(count))
            if text != expected:
                at = next((k for k, (a, b) in enumerate(zip(text, expected)) if a != b),
                          min(len(text), len(expected)))
                self.fail("%s: the log has %d bytes for %d; first difference at %d: %r for %r" % (
                    name, len(text), len(expected), at, text[at:at + 40], expected[at:at + 40]))

    def storm(self, names, kills=KILLS, **options):
        sup = self.fleet_of_ledgers(**options)
        self.kill_storm(sup, names, kills)
        exits = self.settle(sup)
        count = self.check_books(sup, exits)
        self.assertGreater(count, self.SIZE)
        self.check_logs(sup)

    def test_of_the_master(self):
        self.storm(["master"], self.KILLS if driver.SANITIZED else 200)

    def test_of_the_logger(self):
        self.storm(["logger"])

    def test_of_both(self):
        self.storm(["master", "logger"])


def book(sup, index):
    try:
        return driver.read("%s/books/web:%d.book" % (sup.dir, index))
    except FileNotFoundError:
        return ""


class Logger(driver.Case):
    def test_it_is_back_and_nobody_else_noticed(self):
        sup = self.supervisord(fleet(web='command = "@P/floods 0 2"; processes = 3; stderr = "null";'))
        sup.wait_running()
        sup.wait_stdout("web:2", "^line 10$")
        pids, master = sup.pids(), sup.master()
        for _ in range(5):
            old = sup.logger()
            os.kill(old, signal.SIGKILL)
            driver.eventually(lambda: sup.info()["logger_pid"] not in (None, 0, old))
            n = len(sup.stdout_of("web:2").splitlines())
            driver.eventually(lambda: len(sup.stdout_of("web:2").splitlines()) > n + 20)
        self.assertEqual((sup.pids(), sup.master()), (pids, master))
        for name in pids:
            lines = sup.stdout_of(name).splitlines()[:-1]
            self.assertEqual(lines, ["line %d" % i for i in range(len(lines))])


class Guardian(driver.Case):
    timeout = 150

    def started(self):
        sup = self.supervisord(fleet(
            web='command = "@P/pause"; processes = 3;',
            loud='command = "@P/floods 0 2"; stderr = "null";',
            tree='command = "@P/forks-away @D/pids stay bare";',
            off='command = "@P/pause";'))
        sup.wait_running()
        sup.wait_stdout("loud:0", "^line 20$")
        sup.wait_pids("pids", 1)
        sup.ctl_ok("stop", "off")
        sup.wait_db("select * from instances where name = 'off:0' and state = 'STOPPED'")
        sup.wait_db("select * from instances where pid > 0 and state = 'RUNNING'", rows=5)
        return sup

    def test_the_next_start_takes_over_what_lives(self):
        sup = self.started()
        before = sup.pids()
        for _ in range(2):
            info = sup.kill_guardian()
            for name, pid in before.items():
                if pid:
                    self.assert_alive(pid)
            sup.start()
            sup.wait_running("web", "loud", "tree")
            self.assertNotEqual(sup.guardian(), info["pid"])
            self.assertEqual(sup.pids(), before)
            rows = sup.by_name()
            self.assertEqual(rows["off:0"]["state"], "STOPPED", "the user's wish")
            self.assertTrue(rows["web:0"]["adopted"])
            n = len(sup.stdout_of("loud:0").splitlines())
            driver.eventually(lambda: len(sup.stdout_of("loud:0").splitlines()) > n + 50)
        lines = sup.stdout_of("loud:0").splitlines()[:-1]
        self.assertEqual(lines, ["line %d" % i for i in range(len(lines))])

    def test_the_adopted_are_supervised(self):
        sup = self.started()
        before = sup.pids()
        sup.kill_guardian()
        sup.start()
        sup.wait_running("web")
        os.kill(before["web:1"], signal.SIGKILL)
        pid = sup.wait_other_pid("web:1", before["web:1"])
        self.assertFalse(sup.one("web:1")["adopted"])
        self.assertEqual(driver.parent(pid), sup.guardian())
        sup.ctl_ok("stop", "web:0")
        self.assert_dead(before["web:0"])
        sup.ctl_ok("restart", "loud")
        self.assert_dead(before["loud:0"])
        sup.kill_master()
        self.assertEqual(sup.pid("web:2"), before["web:2"])
        self.assertEqual(sup.shutdown(), 0)
        for pid in before.values():
            if pid:
                self.assert_dead(pid)

    def test_a_stop_of_the_adopted_when_the_master_dies_too(self):
        sup = self.supervisord(fleet(
            web='command = "@P/pause"; processes = 5; start_seconds = "0s"; stop_timeout = "2s";',
            tree='command = "@P/forks-away @D/pids stay bare"; processes = 5; start_seconds = "0s"; stop_timeout = "2s";'))
        dice = random.Random(5)
        for turn in range(40 if driver.LONG else 10):
            sup.wait_running()
            before = sup.pids()
            sup.wait_pids("pids", 5 * (turn + 1))
            sup.wait_db("select * from instances where pid > 0 and state = 'RUNNING'", rows=10)
            sup.kill_guardian()
            sup.start()
            driver.eventually(lambda: sup.pids() == before, what="all are taken over")
            master = sup.master()
            sup.rpc("restart", targets=["all"], wait=False)
            driver.let_pass(dice.random() ** 2 * 0.06)
            os.kill(master, signal.SIGKILL)
            sup.wait_new_master(master)
            sup.wait_running(deadline=10)
            self.assertFalse(set(before.values()) & set(sup.pids().values()))

    def test_what_died_meanwhile_is_started_anew(self):
        sup = self.started()
        before = sup.pids()
        sup.kill_guardian()
        os.kill(before["web:0"], signal.SIGKILL)
        driver.gone(before["web:0"])
        sup.start()
        sup.wait_running("web", "loud", "tree")
        after = sup.pids()
        self.assertEqual([n for n in before if before[n] != after[n]], ["web:0"])

    def test_a_recycled_pid_is_not_taken_for_ours(self):
        sup = self.started()
        before = sup.pids()
        sup.kill_guardian()
        os.kill(before["web:0"], signal.SIGKILL)
        driver.gone(before["web:0"])
        stranger = driver.subprocess.Popen([driver.PROGRAMS + "/pause"])
        try:
            db = driver.sqlite3.connect(sup.db_path)
            db.execute("update instances set pid = ? where name = 'web:0'", [stranger.pid])
            db.commit()
            db.close()
            sup.start()
            sup.wait_running("web")
            self.assertNotIn(sup.pid("web:0"), (stranger.pid, before["web:0"]))
            self.assertEqual(sup.pid("web:1"), before["web:1"])
            sup.ctl_ok("stop", "web")
            self.assertIsNone(stranger.poll())
        finally:
            stranger.kill()
            stranger.wait()

    def test_without_a_log_pipe_nobody_dies_of_it(self):
        """Guardian and logger both killed: the pipes have lost their reader."""
        sup = self.started()
        before = sup.pids()
        os.kill(sup.logger(), signal.SIGSTOP)
        logger = sup.logger()
        sup.kill_guardian()
        os.kill(logger, signal.SIGKILL)
        sup.start()
        sup.wait_running("web", "loud", "tree")
        self.assertEqual({n: p for n, p in sup.pids().items() if n.startswith("web")},
                         {n: p for n, p in before.items() if n.startswith("web")})


class Upgrade(driver.Case):
    def test_no_worker_notices(self):
        home = copy_of_programs(self)
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 3;',
                                     loud='command = "@P/floods 0 2"; stderr = "null";',
                                     off='command = "@P/pause";'), program=home + "/supervisord")
        sup.wait_running()
        sup.wait_stdout("loud:0", "^line 20$")
        sup.ctl_ok("stop", "off")
        before, info = sup.pids(), sup.info()
        pipe = os.readlink("/proc/%d/fd/1" % before["loud:0"])
        # A new file under the same name, as a package manager leaves it.
        for path in ("supervisord", "libexec/supervisord/master", "libexec/supervisord/logger"):
            shutil.copy2(home + "/" + path, home + "/new")
            os.rename(home + "/new", home + "/" + path)
        sup.ctl_ok("upgrade")
        after = sup.info()
        self.assertEqual(after["pid"], info["pid"])
        self.assertNotEqual(after["master_pid"], info["master_pid"])
        self.assertNotEqual(sup.logger(), info["logger_pid"])
        self.assertGreater(after["incarnation"], info["incarnation"])
        self.assertEqual(sup.pids(), before)
        self.assertEqual(os.stat("/proc/%d/exe" % after["pid"]).st_ino, os.stat(home + "/supervisord").st_ino)
        for pid in before.values():
            if pid:
                self.assertEqual(driver.parent(pid), after["pid"])
        self.assertEqual(os.readlink("/proc/%d/fd/1" % before["loud:0"]), pipe)
        n = len(sup.stdout_of("loud:0").splitlines())
        driver.eventually(lambda: len(sup.stdout_of("loud:0").splitlines()) > n + 30)
        lines = sup.stdout_of("loud:0").splitlines()[:-1]
        self.assertEqual(lines, ["line %d" % i for i in range(len(lines))])
        self.assertEqual(sup.one("off:0")["state"], "STOPPED")
        os.kill(before["web:0"], signal.SIGKILL)
        sup.wait_other_pid("web:0", before["web:0"])
        self.assertIn("SIGKILL", sup.wait_db("select * from exits where name = 'web:0'")[0]["cause"])
        self.assertEqual(sup.shutdown(), 0)
        sup.wait_empty()

    def test_exits_during_it_are_told(self):
        sup = self.supervisord(fleet(web='command = "@P/exits 7 60"; processes = 10; %s' % QUICK))
        sup.wait_db("select * from exits", rows=10)
        for _ in range(3):
            sup.ctl_ok("upgrade")
        sup.ctl_ok("stop", "all")
        self.assertEqual(sup.shutdown(), 0)
        rows = sup.db("select name, pid, code, signal from exits")
        self.assertLessEqual({(r["code"], r["signal"] or 0) for r in rows}, {(7, 0), (None, 15), (-1, 15)})
        self.assertEqual(len(rows), len({(r["name"], r["pid"]) for r in rows}), "told twice")

    def test_one_that_cannot_be_run_is_refused(self):
        home = copy_of_programs(self)
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 2;'), program=home + "/supervisord")
        sup.wait_running()
        before, info = sup.pids(), sup.info()
        os.unlink(home + "/supervisord")
        for spoiled in (False, True):
            if spoiled:
                driver.write(home + "/supervisord", "this is no program\n", 0o755)
            status, out, err = sup.ctl("upgrade")
            self.assertEqual(status, 1, out + err)
            self.assertTrue(err)
            sup.wait_up()
            self.assertEqual(sup.pids(), before)
            self.assertEqual(sup.info()["pid"], info["pid"])


def copy_of_programs(case):
    """A folder with copies of supervisord's programs, to be replaced at will."""
    home = case.folder()
    shutil.copy2(driver.SUPERVISORD, home)
    shutil.copytree(driver.BUILD + "/libexec", home + "/libexec")
    return home
