"""Faults of the machine: a clear message, nothing lost, nobody stops."""

import os
import re
import resource
import shutil
import signal
import sqlite3
import struct
import subprocess

import driver
from driver import fleet


class Commands(driver.Case):
    """What cannot be run is told in words."""

    def reason(self, settings, *words):
        sup = self.supervisord(start=False)
        driver.write(sup.dir + "/plain", "#!/bin/sh\nexit 0\n", 0o644)
        driver.write(sup.dir + "/badinterp", "#!/nonexistent/interpreter\n", 0o755)
        driver.write(sup.dir + "/garbage", "\x7fELF nonsense", 0o755)
        sup.configure(fleet(web=settings + ' start_retries = 1;', other='command = "@P/pause";'))
        sup.start()
        sup.wait_state("web", "FATAL")
        row = sup.one("web:0")
        for word in words:
            self.assertIn(word.lower(), row["reason"].lower())
        self.assertNotIn("127", row["reason"])
        sup.wait_running("other")
        status, _, err = sup.ctl("start", "web")
        self.assertEqual(status, 1)
        self.assertIn(words[-1].lower(), err.lower())
        self.assertIn(words[-1].lower(), sup.ctl_ok("why", "web").lower())

    def test_missing(self):
        self.reason('command = "@D/nothing";', "run its command", "no such file")

    def test_missing_in_path(self):
        self.reason('command = "no-such-program-anywhere";', "no such file")

    def test_not_executable(self):
        self.reason('command = "@D/plain";', "permission denied")

    def test_a_folder(self):
        self.reason('command = "@D";', "directory")

    def test_no_interpreter(self):
        self.reason('command = "@D/badinterp";', "no such file")

    def test_garbage(self):
        self.reason('command = "@D/garbage";', "format")

    def test_no_directory(self):
        self.reason('command = "@P/pause"; directory = "@D/nowhere";', "directory", "no such file")

    def test_it_is_tried_again_and_found(self):
        sup = self.supervisord(fleet(web='command = "@D/late"; start_retries = -1;'))
        sup.wait_state("web", "BACKOFF")
        shutil.copy2(driver.PROGRAMS + "/pause", sup.dir + "/late")
        sup.wait_running()


class Descriptors(driver.Case):
    def test_a_guardian_out_of_descriptors_waits_and_tries_again(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 5;',
                                     more='command = "@P/pause"; processes = 5; autostart = false;'))
        sup.wait_running("web")
        guardian = sup.guardian()
        master, logger = sup.master(), sup.logger()
        used = highest_fd(guardian) + 1
        old = driver.limit(guardian, resource.RLIMIT_NOFILE, used)
        pids = sup.pids("web")
        sup.rpc("start", targets=["more"], wait=False)
        sup.wait(lambda rows: any(r["state"] in ("BACKOFF", "FATAL") for r in rows), ["more"])
        rows = sup.status("more")
        self.assertNotIn("FATAL", {r["state"] for r in rows}, "the machine's fault is not the worker's")
        self.assertRegex(" ".join(r["reason"] or "" for r in rows), "(?i)too many open files|descriptors")
        self.assertEqual((sup.pids("web"), sup.master(), sup.logger()), (pids, master, logger))
        resource.prlimit(guardian, resource.RLIMIT_NOFILE, old)
        sup.wait_running("more", deadline=40)
        self.assertEqual((sup.pids("web"), sup.master()), (pids, master))

    def test_a_master_out_of_descriptors_supervises_on(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 3;'))
        sup.wait_running()
        master = sup.master()
        idle = [sup.connect() for _ in range(8)]
        for c in idle:
            c.call("version")
        used = highest_fd(master) + 1
        old = driver.limit(master, resource.RLIMIT_NOFILE, used)
        for _ in range(10):
            s = driver.socket.socket(driver.socket.AF_UNIX)
            s.connect(sup.socket_path) # nobody can accept it
            idle.append(s)
        before = {r["name"]: r["pid"] for r in idle[0].call("status")}
        os.kill(before["web:0"], signal.SIGKILL)
        driver.eventually(lambda: idle[0].call("status", targets=["web:0"])[0]["pid"] not in (
            None, before["web:0"]))
        self.assertEqual(idle[0].call("info")["master_pid"], master)
        cpu = cpu_of(master)
        driver.let_pass(0.5)
        self.assertLess(cpu_of(master) - cpu, 0.25, "it spins on a connection it cannot accept")
        for c in idle:
            c.close()
        resource.prlimit(master, resource.RLIMIT_NOFILE, old)
        sup.wait_running()

    def test_no_more_processes(self):
        self.as_root("runs supervisord as another user")
        uid = 4100 + os.getpid() % 1000

        def limit_processes(soft):
            """prlimit(2) from another user needs a capability; be that user."""
            program = ("import resource; r = resource.RLIMIT_NPROC; pid = %d; "
                       "resource.prlimit(pid, r, (%s, resource.prlimit(pid, r)[1]))" % (
                           sup.guardian(), soft))
            subprocess.run(["/usr/bin/python3", "-c", program], check=True, preexec_fn=become)

        def become():
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 3;'), start=False, preexec=become)
        os.chown(sup.dir, uid, uid)
        sup.start()
        sup.wait_running()
        master, pids = sup.master(), sup.pids()
        limit_processes("1")
        os.kill(pids["web:0"], signal.SIGKILL)
        sup.wait(lambda rows: re.search("(?i)make a new process|fork|temporarily unavailable",
                                        rows[0]["reason"] or ""), ["web:0"])
        self.assertEqual(sup.one("web:0")["state"], "BACKOFF")
        limit_processes("resource.prlimit(pid, r)[1]")
        sup.wait_running(deadline=40)
        self.assertEqual(sup.master(), master)
        self.assertEqual(sup.pids("web:1"), {"web:1": pids["web:1"]})


def highest_fd(pid):
    return max(int(fd) for fd in os.listdir("/proc/%d/fd" % pid))


def cpu_of(pid):
    fields = driver.read("/proc/%d/stat" % pid).rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Store(driver.Case):
    """A database that is full, read-only, missing, foreign or corrupt."""
    WEB = fleet(web='command = "@P/pause";', moody='command = "@P/exits 1 100"; start_retries = -1;')

    def works(self, sup):
        sup.wait_running("web")
        pid = sup.pid("web:0")
        sup.ctl_ok("restart", "web")
        self.assertNotEqual(sup.pid("web:0"), pid)
        n = sup.one("moody:0")["restarts"]
        sup.wait(lambda rows: rows[0]["restarts"] > n + 2, ["moody"])
        self.assertTrue(sup.rpc("history", targets=["web"]), "history goes on in memory")

    def degraded(self, sup, deadline=driver.DEADLINE):
        return driver.eventually(lambda: sup.info()["store"], deadline, "info says that the store is broken")

    def recovered(self, sup):
        driver.eventually(lambda: not sup.info()["store"], 40, "the store is well again")

    def test_a_full_disk(self):
        sup = self.supervisord(self.WEB.replace('"@P/pause"', '"@P/pause"; stdout = "null"').replace(
            "100\"", '100"; stdout = "null"'), start=False)
        driver.mount_tmpfs(self, sup.state_dir, "8M")
        sup.start()
        sup.wait_running("web")
        sup.wait_db("select * from exits", rows=2)
        driver.fill(sup.state_dir + "/filler")
        words = self.degraded(sup, 60)
        self.assertRegex(words, "(?i)full|space")
        self.works(sup)
        _, out, err = sup.ctl("status")
        self.assertRegex(out + err, "(?i)full|memory")
        self.assertRegex(sup.log(), "(?i)full|space")
        sup.kill_master()
        self.works(sup)
        pid = sup.pid("web:0")
        os.unlink(sup.state_dir + "/filler")
        self.recovered(sup)
        sup.wait_db("select * from exits where name = 'web:0'", deadline=40)
        self.assertEqual(sup.pid("web:0"), pid)

    def test_a_read_only_disk(self):
        self.as_root("remounts a tmpfs")
        sup = self.supervisord(self.WEB.replace('"@P/pause"', '"@P/pause"; stdout = "null"').replace(
            "100\"", '100"; stdout = "null"'), start=False)
        path = driver.mount_tmpfs(self, sup.dir + "/disk", "8M")
        sup.state_setting = "@D/disk/state"
        sup.db_path = path + "/state/state.db"
        sup.configure(self.WEB)
        sup.start()
        sup.wait_running("web")
        sup.wait_db("select * from exits")
        sup.shutdown()
        done = subprocess.run(["mount", "-o", "remount,ro", path], check=False)
        if done.returncode != 0:
            self.skipTest("cannot remount read-only here")
        sup.start()
        self.degraded(sup)
        self.works(sup)
        sup.kill_master()
        self.works(sup)
        subprocess.run(["mount", "-o", "remount,rw", path], check=True)
        self.recovered(sup)

    def test_garbage_in_its_place(self):
        sup = self.supervisord(self.WEB, start=False)
        for garbage in (b"this is no database\n" * 1000, b"", b"SQLite format 3\0" + b"\xff" * 5000):
            os.makedirs(sup.state_dir, exist_ok=True)
            with open(sup.db_path, "wb") as f:
                f.write(garbage)
            sup.start()
            self.works(sup)
            sup.wait_db("select * from exits where name = 'moody:0'")
            self.assertEqual(sup.shutdown(), 0)
            sup.wait_empty()
        aside = [f for f in os.listdir(sup.state_dir) if f.startswith("state.db") and f not in (
            "state.db", "state.db-wal", "state.db-shm")]
        self.assertTrue(aside, "what was there has been put aside, not thrown away")

    def test_corrupt_in_the_middle(self):
        sup = self.supervisord(self.WEB)
        sup.wait_db("select * from exits", rows=5)
        self.assertEqual(sup.shutdown(), 0)
        size = os.path.getsize(sup.db_path)
        with open(sup.db_path, "r+b") as f:
            for at in range(4096, size, 4096):
                f.seek(at)
                f.write(b"\xa5" * 2048)
        sup.start()
        self.works(sup)

    def test_overwritten_while_running(self):
        sup = self.supervisord(self.WEB)
        sup.wait_db("select * from exits", rows=2)
        master = sup.master()
        with open(sup.db_path, "r+b") as f:
            f.write(b"\0" * 65536)
        with open(sup.db_path + "-wal", "r+b") as f:
            f.truncate(0)
        self.works(sup)
        sup.kill_master()
        self.works(sup)
        self.assertNotEqual(sup.master(), master)

    def test_deleted_while_running(self):
        sup = self.supervisord(self.WEB)
        sup.wait_db("select * from exits", rows=2)
        for f in os.listdir(sup.state_dir):
            if f.startswith("state.db"):
                os.unlink(os.path.join(sup.state_dir, f))
        self.works(sup)
        driver.eventually(lambda: os.path.exists(sup.db_path), 40, "it is made again")
        sup.wait_db("select * from exits where name = 'moody:0'", deadline=40)

    def test_of_a_later_version(self):
        sup = self.supervisord(self.WEB)
        sup.wait_db("select * from exits")
        self.assertEqual(sup.shutdown(), 0)
        db = sqlite3.connect(sup.db_path)
        db.execute("pragma user_version = 999")
        db.close()
        sup.start()
        words = self.degraded(sup)
        self.assertRegex(words, "999|version|newer|later")
        self.works(sup)
        self.assertEqual(sup.db("pragma user_version")[0][0], 999, "it was left as it is")

    def test_of_another_program(self):
        sup = self.supervisord(self.WEB, start=False)
        os.makedirs(sup.state_dir)
        db = sqlite3.connect(sup.db_path)
        db.executescript("create table precious (x); insert into precious values (42);")
        db.close()
        sup.start()
        self.works(sup)
        kept = []
        for f in os.listdir(sup.state_dir):
            if f.startswith("state.db") and not f.endswith(("-wal", "-shm")):
                db = sqlite3.connect(os.path.join(sup.state_dir, f))
                try:
                    kept += db.execute("select x from precious").fetchall()
                except sqlite3.Error:
                    pass
                db.close()
        self.assertEqual(kept, [(42,)], "another program's data is not destroyed")

    def test_a_folder_in_its_place(self):
        sup = self.supervisord(self.WEB, start=False)
        os.makedirs(sup.db_path + "/in-the-way")
        sup.start()
        self.works(sup)

    def test_locked_by_another(self):
        sup = self.supervisord(self.WEB)
        sup.wait_db("select * from exits")
        db = sqlite3.connect(sup.db_path, isolation_level=None)
        db.execute("begin exclusive")
        n = sup.one("moody:0")["restarts"]
        self.works(sup)
        db.execute("rollback")
        db.close()
        sup.wait_db("select * from exits where name = 'moody:0'", rows=n + 3, deadline=40)


class Logs(driver.Case):
    def test_a_full_disk_blocks_no_worker(self):
        sup = self.supervisord(start=False)
        path = driver.mount_tmpfs(self, sup.dir + "/small", "256K")
        sup.configure(fleet(loud='command = "@P/floods 60000 0 60"; stderr = "null"; stdout: { file = "@D/small/loud.log"; max_size = 0; };',
                            web='command = "@P/pause";'))
        sup.start()
        loud = lambda: driver.read("/proc/%d/syscall" % sup.pid("loud:0")).split()[0]
        sup.wait_running("loud")
        pause = str(34) # all written: it waits in pause(2)
        if driver.os.uname().machine == "x86_64":
            driver.eventually(lambda: loud() == pause, 60, "the worker has written it all")
        note = driver.eventually(lambda: [n for n in sup.info()["notes"] if "loud" in n], 30,
                                 "a note about the log file")
        self.assertRegex(" ".join(note), "(?i)full|space")
        self.assertRegex(sup.log(), "(?i)loud.*(full|space)")
        sup.ctl_ok("restart", "web")
        os.truncate(path + "/loud.log", 0)
        sup.ctl_ok("restart", "loud")
        driver.eventually(lambda: os.path.getsize(path + "/loud.log") > 0, 40, "it is written again")
        driver.eventually(lambda: re.search(r"(?i)(dropped|lost)", sup.log()), 40, "what was dropped is said")

    def test_a_folder_that_was_removed_is_made_again(self):
        sup = self.supervisord(fleet(web='command = "@P/floods 0 5"; stderr = "null";'))
        sup.wait_stdout("web:0", "^line 3$")
        shutil.rmtree(sup.log_dir)
        os.kill(sup.guardian(), signal.SIGUSR2)
        sup.wait_stdout("web:0", "^line ")

    def test_a_path_that_cannot_be(self):
        sup = self.supervisord(fleet(web='command = "@P/floods 100"; stdout = "/proc/nowhere/x.log";',
                                     other='command = "@P/pause";'))
        sup.wait_running()
        driver.eventually(lambda: any("/proc/nowhere" in n or "web:0" in n for n in sup.info()["notes"]))


class Clock(driver.Case):
    def test_steps_of_the_wall_clock(self):
        if driver.SANITIZED:
            self.skipTest("a sanitized program takes no preloaded library")
        sup = self.supervisord(start=False)
        library = sup.dir + "/clockstep.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", library,
                        os.path.join(driver.ROOT, "tests/fault/clockstep.c")], check=True)
        with open(sup.dir + "/offset", "wb") as f:
            f.write(struct.pack("=q", 0))
        sup.environ.update(LD_PRELOAD=library, CLOCKSTEP_FILE=sup.dir + "/offset")
        sup.configure(fleet(web='command = "@P/pause"; processes = 3;',
                            moody='command = "@P/exits 1 100"; start_retries = -1;'))
        sup.start()
        sup.environ.pop("LD_PRELOAD")
        sup.wait_running("web")
        pids = sup.pids("web")
        for days in (400, -4000, 0):
            with open(sup.dir + "/offset", "r+b") as f:
                f.write(struct.pack("=q", days * 86400))
            n = sup.one("moody:0")["restarts"]
            sup.wait(lambda rows: rows[0]["restarts"] > n + 3, ["moody"])
            self.assertEqual(sup.pids("web"), pids)
            for row in sup.status("web"):
                self.assertGreaterEqual(row["uptime"], 0)
                self.assertLess(row["uptime"], 600)
            sup.ctl_ok("restart", "web:2")
            pids = sup.pids("web")
        sup.kill_master()
        self.assertEqual(sup.pids("web"), pids)
        history = sup.rpc("history", targets=["moody"])
        self.assertTrue(all(-0.001 <= h["duration"] < 600 for h in history))
