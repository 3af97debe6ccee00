"""What every scenario stands on: a supervisord of its own in a folder of its
own, the ways to talk to it, ways to wait for it, and the promise that nothing
of it outlives the test.

    class Start(driver.Case):
        def test_it_runs(self):
            sup = self.supervisord('workers: { web: { command = "@P/pause"; }; };')
            sup.wait_state("web:0", "RUNNING")

In a config, `@P/` is the folder of tests/programs as built and `@D/` the
test's folder. Nothing outside of this file sleeps: tests wait for an event, a
file or a process, always with a deadline.
"""

import datetime
import glob
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("SUPERVISORD_BUILD", os.path.join(ROOT, "build")))
LONG = bool(os.environ.get("SUPERVISORD_TEST_LONG"))
SANITIZED = os.path.basename(BUILD) in ("asan", "tsan")
PROGRAMS = os.path.join(BUILD, "tests", "programs")
SUPERVISORD = os.path.join(BUILD, "supervisord")
SUPERVISORCTL = os.path.join(BUILD, "supervisorctl")

# How long a thing that should come at once may take on a machine that is busy.
DEADLINE = 20.0


class Late(AssertionError):
    """What was waited for did not come."""


def eventually(fn, deadline=DEADLINE, what=None):
    """Calls fn until it returns something true, and returns that."""
    end = time.monotonic() + deadline
    pause = 0.002
    while True:
        try:
            value = fn()
        except FileNotFoundError:  # not there yet, or just being rotated
            value = None
        if value:
            return value
        if time.monotonic() > end:
            raise Late("not within %gs: %s (last: %r)" % (
                deadline, what or getattr(fn, "__name__", "it"), value))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def let_pass(seconds):
    """For a promise that something does NOT happen within a time."""
    time.sleep(seconds)


def fleet(**workers):
    """A config of these workers that starts and retries as fast as a test
    wants: fleet(web='command = "@P/pause"; processes = 3;')."""
    body = "".join("  %s: { %s };\n" % item for item in workers.items())
    return FAST + "workers: {\n%s};\n" % body


# Tests that are about these settings give their own.
FAST = ('defaults: { start_seconds = "50ms"; '
        'backoff: { initial = "20ms"; max = "200ms"; jitter = 0.0; }; };\n')


def read(path, mode="r"):
    with open(path, mode) as f:
        return f.read()


def write(path, text, mode=None):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    if mode is not None:
        os.chmod(path, mode)
    return path


def when(text):
    """Seconds since the epoch of "2026-01-02T03:04:05.678Z"."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def read_pids(path):
    try:
        return [int(line) for line in read(path).split()]
    except FileNotFoundError:
        return []


# --- processes ---------------------------------------------------------------

def stat_of(pid):
    """(state, ppid, start time in ticks, session, group), or None."""
    try:
        text = read("/proc/%d/stat" % pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2:].split()
    return fields[0], int(fields[1]), int(fields[19]), int(fields[3]), int(fields[2])


def alive(pid):
    """It is there and no zombie."""
    stat = stat_of(pid)
    return stat is not None and stat[0] not in "ZX"


def parent(pid):
    stat = stat_of(pid)
    return stat[1] if stat else None


def children_map():
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = stat_of(int(name))
            if stat:
                children.setdefault(stat[1], []).append((int(name), stat[0]))
    return children


def descendants(pid, zombies=False):
    """Every process below pid."""
    children = children_map()
    found, queue = [], [pid]
    while queue:
        for child, state in children.get(queue.pop(), ()):
            if zombies or state not in "ZX":
                found.append(child)
            queue.append(child)
    return found


def gone(pid, deadline=DEADLINE):
    """Waits until pid has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([fd], [], [], deadline)[0]:
            raise Late("process %d still lives after %gs" % (pid, deadline))
    finally:
        os.close(fd)


def comm(pid):
    try:
        return read("/proc/%d/comm" % pid).strip()
    except (FileNotFoundError, ProcessLookupError):
        return None


# --- the control socket ------------------------------------------------------

class RpcError(Exception):
    def __init__(self, error):
        super().__init__("%s (%s)" % (error.get("message"), error.get("code")))
        self.code = error.get("code")
        self.message = error.get("message")
        self.data = error.get("data")


class Connection:
    """One connection to control.sock."""

    def __init__(self, path, timeout=DEADLINE):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.timeout = timeout
        self.buffer = b""
        self.notifications = []
        self.id = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read_line(self, timeout=None):
        """The next line as bytes; b"" at the end of the connection."""
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        while b"\n" not in self.buffer:
            self.socket.settimeout(max(0.001, end - time.monotonic()))
            try:
                data = self.socket.recv(1 << 20)
            except socket.timeout:
                raise Late("no line from the control socket") from None
            if not data:
                return b""
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def read_message(self, timeout=None):
        line = self.read_line(timeout)
        if not line:
            raise ConnectionResetError("the control connection was closed")
        return json.loads(line)

    def call(self, method, timeout=None, **params):
        self.id += 1
        request = {"jsonrpc": "2.0", "id": self.id, "method": method}
        if params:
            request["params"] = params
        self.send(json.dumps(request).encode() + b"\n")
        while True:
            message = self.read_message(timeout)
            if message.get("id") == self.id and "method" not in message:
                break
            if "error" in message and message.get("id") is None:
                break # it could not even read the id
            self.notifications.append(message)
        if "error" in message:
            raise RpcError(message["error"])
        return message["result"]

    def event(self, timeout=DEADLINE):
        """The next event of a connection that has called events.subscribe."""
        message = self.notifications.pop(0) if self.notifications else self.read_message(timeout)
        return message.get("params")


# --- one supervisord ---------------------------------------------------------

class Supervisor:
    """A supervisord, its config and its folder. Made by Case.supervisord()."""

    def __init__(self, case, folder, config, master="", environ=None, wrap=(),
                 args=(), state_dir="@D/state", top="", preexec=None, program=SUPERVISORD):
        self.case = case
        self.dir = folder
        self.config_path = os.path.join(folder, "fleet.cfg")
        self.run_dir = os.path.join(folder, "run")
        self.state_dir = os.path.join(folder, "state")
        self.socket_path = os.path.join(self.run_dir, "control.sock")
        self.log_path = os.path.join(folder, "supervisord.log")
        self.db_path = os.path.join(self.state_dir, "state.db")
        self.log_dir = os.path.join(self.state_dir, "log")
        self.master_settings = master
        self.state_setting = state_dir
        self.top = top
        self.wrap = list(wrap)
        self.args = list(args)
        self.preexec = preexec
        self.program = program
        self.environ = {k: v for k, v in os.environ.items() if k not in (
            "SUPERVISORCTL_SOCKET", "NOTIFY_SOCKET")}
        self.environ["SUPERVISOR_TEST"] = folder
        self.environ.update(environ or {})
        self.nurseries = []
        self.guardian_pid = None
        self.configure(config)

    # -- config

    def expand(self, text):
        return text.replace("@P/", PROGRAMS + "/").replace("@D", self.dir)

    def configure(self, config, master=None):
        """Writes the config; a running supervisord hears of it by reload."""
        if master is not None:
            self.master_settings = master
        head = 'master: { state_dir = "%s"; run_dir = "@D/run"; %s };\n%s\n' % (
            self.state_setting, self.master_settings, self.top)
        write(self.config_path, self.expand(head + config))
        return self.config_path

    # -- start and end

    def start(self, *args, wait=True, deadline=30.0):
        """Starts supervisord under a nursery; waits until it answers."""
        control_read, control_write = os.pipe()
        status_read, status_write = os.pipe()
        # fcntl: close-on-exec is what os.pipe gives; pass_fds lifts it.
        log = open(self.log_path, "ab")
        command = self.wrap + [self.program, "-c", self.config_path] + self.args + list(args)
        nursery = subprocess.Popen(
            [os.path.join(PROGRAMS, "nursery"), str(control_read), str(status_write)] + command,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environ,
            pass_fds=(control_read, status_write), start_new_session=True,
            cwd=self.dir, preexec_fn=self.preexec)
        log.close()
        os.close(control_read)
        os.close(status_write)
        self.nursery = Nursery(nursery, control_write, status_read)
        self.nurseries.append(self.nursery)
        self.command_pid = self.nursery.wait_started()
        if wait:
            self.wait_up(deadline)
        return self

    def wait_up(self, deadline=30.0):
        """Waits until the control socket answers; returns `info`."""
        def answered():
            ended = self.nursery.ended()
            if ended is not None and "--daemon" not in self.nursery.process.args:
                raise AssertionError("supervisord ended (%s) instead of starting:\n%s" % (
                    ended, self.log()))
            try:
                info = self.rpc("info")
            except (OSError, Late):
                return None
            self.guardian_pid = info["pid"]
            return info
        return eventually(answered, deadline, "control socket answers")

    def wait_end(self, deadline=60.0):
        """The exit status of supervisord: n, or -signal."""
        return self.nursery.wait_ended(deadline)

    def shutdown(self, deadline=60.0):
        self.rpc("shutdown")
        return self.wait_end(deadline)

    def wait_empty(self, deadline=DEADLINE):
        """Waits until no descendant of supervisord's is left at all."""
        self.nursery.wait_empty(deadline)

    def descendants(self):
        return [pid for n in self.nurseries for pid in descendants(n.process.pid)]

    def destroy(self):
        """Kills what is left. Called by the Case."""
        for nursery in self.nurseries:
            nursery.close()
        left = marked(self.dir)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        if left:
            raise AssertionError("processes outlived their nursery: %s" % left)

    # -- talking

    def connect(self, timeout=DEADLINE):
        return Connection(self.socket_path, timeout)

    def rpc(self, method, timeout=DEADLINE, **params):
        with self.connect(timeout) as connection:
            return connection.call(method, timeout, **params)

    def ctl(self, *args, timeout=60.0, stdin=None, environ=None):
        """supervisorctl: (exit status, stdout, stderr)."""
        return self.ctl_with(["-s", self.socket_path], *args, timeout=timeout,
                             stdin=stdin, environ=environ)

    def ctl_with(self, options, *args, timeout=60.0, stdin=None, environ=None):
        env = dict(self.environ)
        env.update(environ or {})
        done = subprocess.run(
            [SUPERVISORCTL] + list(options) + list(args), env=env, cwd=self.dir,
            input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
            encoding="utf-8", errors="backslashreplace", check=False)
        return done.returncode, done.stdout, done.stderr

    def ctl_ok(self, *args, **kwargs):
        """stdout of a command that has to work."""
        status, out, err = self.ctl(*args, **kwargs)
        if status != 0:
            raise AssertionError("supervisorctl %s: status %d\n%s%s" % (
                " ".join(args), status, out, err))
        return out

    def ctl_json(self, *args, **kwargs):
        status, out, err = self.ctl("--json", *args, **kwargs)
        try:
            return json.loads(out)
        except ValueError:
            raise AssertionError("supervisorctl --json %s: status %d, not JSON: %r\n%s" % (
                " ".join(args), status, out, err)) from None

    # -- what is

    def info(self):
        return self.rpc("info")

    def guardian(self):
        return self.info()["pid"]

    def master(self):
        return self.info()["master_pid"]

    def logger(self):
        """The logger's pid; waits for it, it may be on its way back."""
        return eventually(lambda: self.info()["logger_pid"], what="a logger")

    def status(self, *targets):
        return self.rpc("status", targets=list(targets))

    def by_name(self, *targets):
        return {row["name"]: row for row in self.status(*targets)}

    def one(self, name):
        return self.status(name)[0]

    def pid(self, name):
        return self.one(name)["pid"]

    def pids(self, *targets):
        return {row["name"]: row["pid"] for row in self.status(*targets)}

    def log(self):
        try:
            return read(self.log_path)
        except FileNotFoundError:
            return ""

    def stdout_of(self, name, err=False):
        """The text of the instance's default log file."""
        try:
            return read(os.path.join(self.log_dir, name + (".err.log" if err else ".log")))
        except FileNotFoundError:
            return ""

    # -- waiting

    def wait(self, predicate, targets=(), deadline=DEADLINE, what="a status"):
        """Waits until predicate(list of status rows) holds; returns the rows.

        Asks again at each event, after a lost connection (the master may have
        been killed), and now and then besides.
        """
        end = time.monotonic() + deadline
        rows = None
        while True:
            try:
                with self.connect() as events, self.connect() as asking:
                    events.call("events.subscribe")
                    while True:
                        rows = asking.call("status", targets=list(targets))
                        if predicate(rows):
                            return rows
                        self._check_late(end, deadline, what, rows)
                        self._drain(events, min(0.5, max(0.0, end - time.monotonic())))
            except (OSError, Late) as error:
                if isinstance(error, Late) and "not within" in str(error):
                    raise
                self._check_late(end, deadline, what, rows or error)
                time.sleep(0.01)

    @staticmethod
    def _check_late(end, deadline, what, last):
        if time.monotonic() > end:
            if isinstance(last, list):
                last = ", ".join("%s %s %s (%s)" % (r["name"], r["state"], r["pid"], r["reason"])
                                 for r in last[:12]) + (", ..." if len(last) > 12 else "")
            raise Late("not within %gs: %s; last seen: %s" % (deadline, what, last))

    @staticmethod
    def _drain(events, timeout):
        if events.notifications:
            events.notifications.clear()
            return
        if select.select([events.socket], [], [], timeout)[0]:
            data = events.socket.recv(1 << 20)
            if not data:
                raise ConnectionResetError("the master went away")

    def wait_state(self, targets, state, deadline=DEADLINE):
        """Waits until every instance of the targets is in the state (or one
        of several, "STOPPED|EXITED")."""
        targets = [targets] if isinstance(targets, str) else list(targets)
        states = state.split("|")
        return self.wait(lambda rows: rows and all(r["state"] in states for r in rows),
                         targets, deadline, "%s %s" % (" ".join(targets), state))

    def wait_running(self, *targets, deadline=DEADLINE):
        return self.wait_state(list(targets) or ["all"], "RUNNING", deadline)

    def wait_other_pid(self, name, pid, deadline=DEADLINE):
        """Waits until the instance RUNs with another pid, and returns it."""
        rows = self.wait(lambda rows: rows[0]["state"] == "RUNNING" and
                         rows[0]["pid"] not in (None, pid), [name], deadline,
                         "%s runs anew" % name)
        return rows[0]["pid"]

    def wait_log(self, pattern, deadline=DEADLINE):
        """Waits for a line of supervisord's own log."""
        return eventually(lambda: re.search(pattern, self.log(), re.M), deadline,
                          "supervisord's log says %r" % pattern)

    def wait_stdout(self, name, pattern, deadline=DEADLINE, err=False):
        return eventually(lambda: re.search(pattern, self.stdout_of(name, err), re.M),
                          deadline, "%s writes %r" % (name, pattern))

    def wait_pids(self, path, count, deadline=DEADLINE):
        """Waits until that many pids are in a file of the test's folder."""
        path = os.path.join(self.dir, path)
        return eventually(lambda: len(read_pids(path)) >= count and read_pids(path),
                          deadline, "%d pids in %s" % (count, path))

    def process(self, name, guardian=None):
        """The guardian's child of this name ("master", "logger"), or None."""
        for pid, state in children_map().get(guardian or self.guardian_pid, ()):
            if state not in "ZX" and comm(pid) == name:
                return pid
        return None

    def wait_new_master(self, old, deadline=DEADLINE):
        """Waits until a master other than old answers; returns its pid."""
        def other():
            try:
                pid = self.info()["master_pid"]
            except (OSError, Late):
                return None
            return pid != old and pid
        return eventually(other, deadline, "a master after %d" % old)

    def kill_master(self, deadline=DEADLINE):
        """kill -9 of the master; returns the new one's pid once it answers."""
        old = self.master()
        os.kill(old, signal.SIGKILL)
        return self.wait_new_master(old, deadline)

    def kill_guardian(self, deadline=DEADLINE):
        """kill -9 of the guardian; waits for the end of it and its master."""
        info = self.info()
        os.kill(info["pid"], signal.SIGKILL)
        gone(info["pid"], deadline)
        gone(info["master_pid"], deadline)
        return info

    # -- the database

    def db(self, sql, *args):
        """Rows of the state database, read beside the running supervisord."""
        connection = sqlite3.connect("file:%s?mode=ro" % self.db_path, uri=True, timeout=10)
        try:
            connection.row_factory = sqlite3.Row
            return connection.execute(sql, args).fetchall()
        finally:
            connection.close()

    def wait_db(self, sql, *args, deadline=DEADLINE, rows=1):
        """Rows, once there are enough of them (a commit comes after the fact)."""
        def asked():
            try:
                found = self.db(sql, *args)
            except sqlite3.OperationalError:
                return None
            return len(found) >= rows and found
        return eventually(asked, deadline, sql)


class Nursery:
    """tests/programs/nursery around one supervisord."""

    def __init__(self, process, control, status):
        self.process = process
        self.control = control
        self.status = status
        self.text = ""

    def _until(self, found, deadline):
        end = time.monotonic() + deadline
        while True:
            value = found()
            if value is not None:
                return value
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.status], [], [], left)[0]:
                raise Late("not within %gs; the nursery said %r" % (deadline, self.text))
            data = os.read(self.status, 4096)
            if not data:
                raise AssertionError("the nursery ended; it said %r" % self.text)
            self.text += data.decode()

    def _match(self, pattern):
        return re.search(pattern, self.text, re.M)

    def wait_started(self):
        return int(self._until(lambda: self._match(r"^started (\d+)$"), DEADLINE).group(1))

    def ended(self):
        """None while the command runs; else n or -signal."""
        while select.select([self.status], [], [], 0)[0]:
            data = os.read(self.status, 4096)
            if not data:
                break
            self.text += data.decode()
        return self._ended()

    def _ended(self):
        match = self._match(r"^ended (exit|signal) (\d+)$")
        if not match:
            return None
        return int(match.group(2)) if match.group(1) == "exit" else -int(match.group(2))

    def wait_ended(self, deadline):
        return self._until(self._ended, deadline)

    def wait_empty(self, deadline):
        self._until(lambda: self._match(r"^empty$"), deadline)

    def close(self):
        if self.control is None:
            return
        os.close(self.control)
        self.control = None
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            for pid in descendants(self.process.pid) + [self.process.pid]:
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError("a nursery could not kill its children") from None
        finally:
            os.close(self.status)


def marked(folder):
    """Pids of processes whose environment bears this test's mark."""
    mark = ("SUPERVISOR_TEST=%s\0" % folder).encode()
    found = []
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            if mark in read(path, "rb") + b"\0":
                found.append(int(path.split("/")[2]))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid() and alive(pid)]


# --- test cases --------------------------------------------------------------

class Case(unittest.TestCase):
    """A test with its own folder; supervisords made by it end with it."""

    # Seconds one test may take; the runner reads it.
    timeout = 120.0

    def supervisord(self, config='workers: {};', start=True, **options):
        """A Supervisor with this config, started unless start=False."""
        sup = Supervisor(self, self.folder(), config, **options)
        self._supervisors.append(sup)
        if start:
            sup.start()
        return sup

    def folder(self):
        """A new folder with a short path (unix sockets allow 107 bytes)."""
        path = tempfile.mkdtemp(prefix="sv", dir=os.environ.get("SUPERVISORD_TEST_TMP", "/tmp"))
        os.chmod(path, 0o755)
        self._folders.append(path)
        return path

    def as_root(self, why):
        if os.getuid() != 0:
            self.skipTest("needs root: " + why)

    def run(self, result=None):
        self._supervisors, self._folders = [], []
        before = self._bad(result)
        try:
            return super().run(result)
        finally:
            self._append_logs(result, before)
            for path in self._folders:
                unmount_below(path)
                shutil.rmtree(path, ignore_errors=True)

    def doCleanups(self):
        for sup in reversed(self._supervisors):
            self.addCleanup(sup.destroy)
        return super().doCleanups()

    @staticmethod
    def _bad(result):
        return [len(result.failures), len(result.errors)] if result else None

    def _append_logs(self, result, before):
        """Where the test has failed, its supervisords' logs belong to why."""
        if result is None or self._bad(result) == before:
            return
        logs = ""
        for sup in self._supervisors:
            lines = sup.log().splitlines()
            logs += "\n--- %s, last lines of %d\n%s\n" % (
                sup.log_path, len(lines), "\n".join(lines[-25:]))
        for list_ in (result.failures, result.errors):
            if list_ and list_[-1][0] is self:
                list_[-1] = (self, list_[-1][1] + logs)
                break

    # -- assertions that read well

    def assert_alive(self, pid):
        self.assertTrue(alive(pid), "process %s has ended" % pid)

    def assert_dead(self, pid):
        self.assertFalse(alive(pid), "process %s (%s) still lives" % (pid, comm(pid)))

    def assert_same_pids(self, sup, before, *targets):
        """No instance was restarted, doubled or forgotten."""
        after = sup.pids(*targets)
        changed = {n: (before.get(n), after.get(n)) for n in set(before) | set(after)
                   if before.get(n) != after.get(n)}
        self.assertEqual(changed, {}, "instances whose pid is another (before, after)")
        for pid in after.values():
            if pid:
                self.assert_alive(pid)


def unmount_below(path):
    if os.getuid() != 0:
        return
    for line in reversed(read("/proc/self/mounts").splitlines()):
        point = line.split()[1]
        if point == path or point.startswith(path + "/"):
            subprocess.run(["umount", "-l", point], check=False, stderr=subprocess.DEVNULL)


def mount_tmpfs(case, path, size):
    """A small disk of the test's own at path (root only)."""
    case.as_root("mounts a small tmpfs")
    os.makedirs(path, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%s" % size, "none", path],
                          check=False, stderr=subprocess.PIPE, encoding="utf-8")
    if done.returncode != 0:
        case.skipTest("cannot mount a tmpfs here: " + done.stderr.strip())
    return path


def fill(path):
    """Writes to the file until the disk is full."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
    try:
        for size in (65536, 512):
            try:
                while True:
                    os.write(fd, b"x" * size)
            except OSError:
                pass
    finally:
        os.close(fd)


def limit(pid, which, soft, hard=None):
    """prlimit of another process; returns the old limits."""
    old = resource.prlimit(pid, which)
    resource.prlimit(pid, which, (soft, old[1] if hard is None else hard))
    return old


if __name__ == "__main__":
    sys.exit("driver.py is imported by test_*.py; run tests/run")
