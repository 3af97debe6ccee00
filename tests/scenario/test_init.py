"""Container init: supervisord --init, and the names tini and dumb-init.

Every test runs the real binary. As PID 1 it runs in a new pid namespace, which
takes root. Nothing is slept for: the tests wait for lines and exits.
"""

import fcntl
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
import unittest

import driver
from driver import DEADLINE, SUPERVISORD as BINARY

PYTHON = [sys.executable, "-I", "-S", "-u", "-c"]

# Says "ready", then the name of every signal it gets; ends on TERM with 7.
LISTEN = """
import os, signal
every = signal.valid_signals() - {signal.SIGCHLD}
signal.pthread_sigmask(signal.SIG_BLOCK, every)
print("ready", os.getpid(), os.getpgrp(), os.getsid(0))
while True:
    n = signal.sigwaitinfo(every).si_signo
    print(n if n >= 32 else signal.Signals(n).name[3:])
    if n == signal.SIGTERM:
        os._exit(7)
"""

# Sends its parent a TERM and waits until it comes back.
ASK_TERM = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.kill(os.getppid(), signal.SIGTERM)
signal.sigwait([signal.SIGTERM])
"""

FAULTS = {"FPE", "ILL", "SEGV", "BUS", "ABRT", "TRAP", "SYS"}
JOB = {"TSTP", "TTIN", "TTOU"}
NAMES = {s.name[3:]: s for s in signal.Signals if s.value < 32}


def pid_namespaces_work():
    return os.geteuid() == 0 and shutil.which("unshare") and subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "true"],
        stderr=subprocess.DEVNULL).returncode == 0


class Lines:
    """Lines of a descriptor, each waited for with a deadline."""

    def __init__(self, fd):
        self.fd = fd
        self.rest = b""
        self.seen = []

    def next(self):
        end = time.monotonic() + DEADLINE
        while b"\n" not in self.rest:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"no line in time; so far: {self.seen} {self.rest!r}")
            try:
                more = os.read(self.fd, 65536)
            except OSError:  # a pty whose other end is closed
                more = b""
            if not more:
                raise AssertionError(f"output ended; so far: {self.seen} {self.rest!r}")
            self.rest += more
        line, self.rest = self.rest.split(b"\n", 1)
        self.seen.append(line.decode("utf-8", "replace").rstrip("\r"))
        return self.seen[-1]

    def until(self, word):
        while word not in self.next():
            pass
        return self.seen[-1]


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="init-")
        self.addCleanup(shutil.rmtree, self.dir)
        for name in ("tini", "dumb-init"):
            os.symlink(BINARY, os.path.join(self.dir, name))

    def argv(self, name, *args):
        if name == "supervisord":
            return [BINARY, "--init", *args]
        return [os.path.join(self.dir, name), *args]

    def start(self, argv, **more):
        """Starts a process in a session of its own, ended with the test."""
        more.setdefault("stdin", subprocess.DEVNULL)
        more.setdefault("stdout", subprocess.PIPE)
        more.setdefault("stderr", subprocess.PIPE)
        more.setdefault("start_new_session", True)
        p = subprocess.Popen(argv, cwd=self.dir, **more)
        self.addCleanup(self.end, p)
        p.lines = Lines(p.stdout.fileno()) if p.stdout else None
        p.errors = Lines(p.stderr.fileno()) if p.stderr else None
        return p

    def end(self, p):
        # dumb-init's command has a session of its own, but is below it.
        for pid in driver.descendants(p.pid) + self.session(p.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        p.kill()
        p.wait()
        for f in (p.stdout, p.stderr):
            if f:
                f.close()

    @staticmethod
    def session(sid):
        pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
        stats = ((pid, driver.stat_of(pid)) for pid in pids)
        return [pid for pid, stat in stats if stat and stat[3] == sid and pid != sid]

    def run_init(self, name, *args, **more):
        env = dict(os.environ, **more.pop("env", {}))
        return subprocess.run(self.argv(name, *args), cwd=self.dir, env=env,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=DEADLINE, check=False, **more)

    def listener(self, name, *options, env=None, **more):
        p = self.start(self.argv(name, *options, "--", *PYTHON, LISTEN),
                       env=dict(os.environ, **(env or {})), **more)
        word, *numbers = p.lines.next().split()
        self.assertEqual(word, "ready")
        p.child, p.group, p.session = map(int, numbers)
        return p

    def finish(self, p, status):
        self.assertEqual(p.wait(DEADLINE), status)


class ExitStatus(Case):
    def test_is_the_commands(self):
        for name in ("supervisord", "tini", "dumb-init"):
            for code in (0, 1, 42, 127, 255):
                with self.subTest(name=name, code=code):
                    r = self.run_init(name, "sh", "-c", f"exit {code}")
                    self.assertEqual(r.returncode, code)

    def test_is_128_and_the_signal_that_killed_it(self):
        for name in ("supervisord", "tini", "dumb-init"):
            for word in ("KILL", "TERM", "SEGV"):
                with self.subTest(name=name, signal=word):
                    r = self.run_init(name, "sh", "-c", f"kill -{word} $$")
                    self.assertEqual(r.returncode, 128 + NAMES[word])

    def test_e_maps_a_status_to_0(self):
        for name in ("supervisord", "tini"):
            for options, command, want in (
                    (["-e", "3"], "exit 3", 0), (["-e", "3"], "exit 4", 4),
                    (["-e", "3", "-e", "4"], "exit 4", 0),
                    (["-e143"], "kill -TERM $$", 0), (["-e", "0"], "exit 1", 1)):
                with self.subTest(name=name, options=options, command=command):
                    r = self.run_init(name, *options, "--", "sh", "-c", command)
                    self.assertEqual(r.returncode, want, r.stderr)

    def test_a_bad_e_is_a_usage_error(self):
        for name, status in (("supervisord", 2), ("tini", 1)):
            for code in ("256", "-1", "", "x", "3x", "99999999999"):
                with self.subTest(name=name, code=code):
                    r = self.run_init(name, "-e", code, "--", "true")
                    self.assertEqual(r.returncode, status)
                    self.assertIn("0 to 255", r.stderr)


class Command(Case):
    def check(self, command, status, words):
        for name in ("supervisord", "tini", "dumb-init"):
            with self.subTest(name=name):
                r = self.run_init(name, "--", command)
                self.assertEqual(r.returncode, status, r.stderr)
                self.assertIn(f'{name}: cannot run "{command}"', r.stderr)
                self.assertIn(words, r.stderr)

    def file(self, text, mode):
        path = os.path.join(self.dir, "prog")
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def test_missing_in_path(self):
        self.check("no-such-program-here", 127, "in no folder of PATH")

    def test_found_in_path_but_not_executable(self):
        path = self.file("#!/bin/sh\n", 0o644)
        r = self.run_init("supervisord", "prog", env={"PATH": f"/nowhere:{self.dir}"})
        self.assertEqual(r.returncode, 126)
        self.assertIn(f'cannot run "{path}": not executable', r.stderr)

    def test_missing_file(self):
        self.check("./no-such-program-here", 127, "no such file")

    def test_missing_interpreter(self):
        self.check(self.file("#!/no/such/shell\n", 0o755), 127, "interpreter")

    def test_not_executable(self):
        self.check(self.file("#!/bin/sh\n", 0o644), 126, "chmod +x")

    def test_a_folder(self):
        self.check(self.dir, 126, "folder")

    def test_a_file_used_as_a_folder(self):
        self.check(self.file("", 0o755) + "/x", 127, "Not a directory")

    def test_an_empty_name(self):
        self.check("", 127, "empty")

    def test_none_is_a_usage_error(self):
        for name, status in (("supervisord", 2), ("tini", 1), ("dumb-init", 1)):
            for args in ((), ("--",)):
                with self.subTest(name=name, args=args):
                    r = self.run_init(name, *args)
                    self.assertEqual(r.returncode, status)
                    self.assertIn("no command given", r.stderr)

    def test_runs_in_the_folder_we_were_started_in(self):
        r = self.run_init("supervisord", "pwd")
        self.assertEqual(r.stdout.strip(), os.path.realpath(self.dir))


class Options(Case):
    def test_help_goes_to_stdout(self):
        for name, options in (("supervisord", ("-h", "--help")), ("tini", ("-h",)),
                              ("dumb-init", ("-h", "--help"))):
            for option in options:
                with self.subTest(name=name, option=option):
                    r = self.run_init(name, option)
                    self.assertEqual((r.returncode, r.stderr), (0, ""))
                    self.assertIn(f"usage: {name}", r.stdout)

    def test_version_goes_to_stdout(self):
        for name, option in (("supervisord", "--version"), ("tini", "--version"),
                             ("dumb-init", "-V"), ("dumb-init", "--version")):
            with self.subTest(name=name):
                r = self.run_init(name, option)
                self.assertEqual((r.returncode, r.stderr), (0, ""))
                self.assertRegex(r.stdout, rf"^{name} \d+\.\d+\.\d+")

    def test_unknown_option(self):
        for name, status in (("supervisord", 2), ("tini", 1), ("dumb-init", 1)):
            with self.subTest(name=name):
                r = self.run_init(name, "-Z", "true")
                self.assertEqual(r.returncode, status)
                self.assertIn("'Z'", r.stderr)
                self.assertIn("usage:", r.stderr)

    def test_tini_license(self):
        r = self.run_init("tini", "-l")
        self.assertEqual(r.returncode, 0)
        self.assertIn("license", r.stdout)

    def test_the_commands_own_options_are_left_alone(self):
        for name in ("supervisord", "tini", "dumb-init"):
            with self.subTest(name=name):
                r = self.run_init(name, "echo", "-v", "--", "-h")
                self.assertEqual(r.stdout, "-v -- -h\n")

    def test_tini_takes_command_then_dashes_then_arguments(self):
        r = self.run_init("tini", "echo", "--", "-v", "-h")
        self.assertEqual(r.stdout, "-v -h\n")

    def test_verbosity(self):
        for name, options, env, shown, hidden in (
                ("supervisord", [], {}, "subreaper", "started"),
                ("supervisord", ["-v"], {}, "started", "forwarded"),
                ("supervisord", ["-vv"], {}, "forwarded", None),
                ("tini", [], {}, "subreaper", "started"),
                ("tini", [], {"TINI_VERBOSITY": "0"}, "", "subreaper"),
                ("tini", [], {"TINI_VERBOSITY": "3"}, "forwarded", None),
                ("tini", ["-v", "-v"], {}, "forwarded", None),
                ("dumb-init", [], {}, "", "started"),
                ("dumb-init", ["-v"], {}, "forwarded", None),
                ("dumb-init", ["--verbose"], {}, "forwarded", None),
                ("dumb-init", [], {"DUMB_INIT_DEBUG": "1"}, "forwarded", None),
                ("dumb-init", [], {"DUMB_INIT_DEBUG": "0"}, "", "forwarded")):
            with self.subTest(name=name, options=options, env=env):
                r = self.run_init(name, *options, "--", *PYTHON, ASK_TERM, env=env)
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertIn(shown, r.stderr)
                if hidden:
                    self.assertNotIn(hidden, r.stderr)


class Signals(Case):
    def forwarded(self, name, options, words):
        p = self.listener(name, *options)
        for word in words:
            os.kill(p.pid, NAMES[word])
            self.assertEqual(p.lines.next(), word)
        os.kill(p.pid, signal.SIGTERM)
        self.assertEqual(p.lines.next(), "TERM")
        self.finish(p, 7)

    def test_all_are_forwarded_but_faults_and_the_terminals(self):
        words = set(NAMES) - FAULTS - JOB - {"KILL", "STOP", "CHLD", "TERM"}
        for name in ("supervisord", "tini"):
            with self.subTest(name=name):
                self.forwarded(name, [], sorted(words) + ["TSTP"])

    def test_dumb_init_forwards_faults_sent_to_it(self):
        words = set(NAMES) - JOB - {"KILL", "STOP", "CHLD", "TERM"}
        self.forwarded("dumb-init", ["-c"], sorted(words))
        self.forwarded("dumb-init", [], sorted(words))

    def test_real_time_signals_are_forwarded(self):
        for name in ("supervisord", "tini", "dumb-init"):
            with self.subTest(name=name):
                p = self.listener(name)
                for n in (signal.SIGRTMIN, signal.SIGRTMIN + 3, signal.SIGRTMAX):
                    os.kill(p.pid, n)
                    self.assertEqual(p.lines.next(), str(int(n)))

    def test_ttin_and_ttou_are_not_forwarded(self):
        for name in ("supervisord", "tini"):
            with self.subTest(name=name):
                p = self.listener(name)
                for word in ("TTIN", "TTOU", "USR1"):
                    os.kill(p.pid, NAMES[word])
                self.assertEqual(p.lines.next(), "USR1")

    def test_one_that_came_before_the_command_is_kept(self):
        # Pending over the exec of init itself: it can't come any earlier.
        def pending():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
            os.kill(os.getpid(), signal.SIGUSR2)
        for name in ("supervisord", "tini", "dumb-init"):
            with self.subTest(name=name):
                p = self.listener(name, preexec_fn=pending)
                self.assertEqual(p.lines.next(), "USR2")

    def test_one_that_comes_at_any_moment_of_the_start_arrives(self):
        for delay in range(12):
            p = self.start(self.argv("supervisord", "--", "tail", "-f", "/dev/null"),
                           preexec_fn=lambda: signal.pthread_sigmask(
                               signal.SIG_BLOCK, [signal.SIGTERM]))
            for _ in range(delay * 500):
                pass
            os.kill(p.pid, signal.SIGTERM)
            # The command inherits the block: TERM is pending there for ever.
            driver.eventually(lambda: self.term_pending(p.pid))
            self.end(p)

    @staticmethod
    def term_pending(pid):
        try:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
                child = f.read().split()[0]
            with open(f"/proc/{child}/status", encoding="utf-8") as f:
                pending = [x.split()[1] for x in f if x.startswith("ShdPnd")][0]
        except (OSError, IndexError):
            return False
        return int(pending, 16) >> (signal.SIGTERM - 1) & 1 == 1

    def test_mask_and_dispositions_are_given_back(self):
        def strange():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTTIN])
            for s in (signal.SIGHUP, signal.SIGCHLD, signal.SIGTTOU, signal.SIGTSTP):
                signal.signal(s, signal.SIG_IGN)
        look = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]
        bare = subprocess.run(look, preexec_fn=strange, capture_output=True, check=True)
        self.assertIn(b"SigBlk:\t0000000000100200", bare.stdout)
        for name in ("supervisord", "tini", "dumb-init"):
            with self.subTest(name=name):
                p = subprocess.run(self.argv(name, *look), preexec_fn=strange,
                                   capture_output=True, check=True, timeout=DEADLINE)
                self.assertEqual(p.stdout, bare.stdout)

    def test_an_ignored_chld_does_not_lose_the_exit_status(self):
        r = self.run_init("supervisord", "sh", "-c", "exit 5", preexec_fn=lambda:
                          signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        self.assertEqual(r.returncode, 5)

    def test_our_own_broken_pipe_is_not_forwarded(self):
        p = self.listener("supervisord", "-vvv")
        p.stderr.close()
        p.stderr = None
        os.kill(p.pid, signal.SIGUSR1)
        self.assertEqual(p.lines.next(), "USR1")
        os.kill(p.pid, signal.SIGUSR2)
        self.assertEqual(p.lines.next(), "USR2")
        os.kill(p.pid, signal.SIGPIPE)
        self.assertEqual(p.lines.next(), "PIPE")

    def test_r_rewrites(self):
        for name, rewrite in (
                ("supervisord", "TERM:QUIT"), ("supervisord", "SIGTERM:3"),
                ("supervisord", "15:SIGQUIT"), ("dumb-init", "15:3")):
            with self.subTest(name=name, rewrite=rewrite):
                p = self.listener(name, "-r", rewrite)
                os.kill(p.pid, signal.SIGTERM)
                self.assertEqual(p.lines.next(), "QUIT")

    def test_r_0_drops_and_may_be_repeated(self):
        for name, first, second in (("supervisord", "HUP:0", "USR1:TERM"),
                                    ("dumb-init", "1:0", "10:15")):
            with self.subTest(name=name):
                p = self.listener(name, "-r", first, "-r", second)
                os.kill(p.pid, signal.SIGHUP)
                os.kill(p.pid, signal.SIGUSR1)
                self.assertEqual(p.lines.next(), "TERM")
                self.finish(p, 7)

    def test_dumb_init_long_rewrite(self):
        p = self.listener("dumb-init", "--rewrite", "1:10")
        os.kill(p.pid, signal.SIGHUP)
        self.assertEqual(p.lines.next(), "USR1")

    def test_a_bad_r_is_a_usage_error(self):
        for name, status, bad in (
                ("supervisord", 2, ("TERM", ":", "TERM:", ":TERM", "NIX:TERM", "TERM:NIX",
                                    "TERM:65", "KILL:TERM", "SEGV:TERM", "CHLD:0", "0:1",
                                    "VERYLONGSIGNALNAMEINDEED:TERM")),
                ("dumb-init", 1, ("15", "15:", "0:3", "32:3", "15:32", "15:-1", "x:3"))):
            for text in bad:
                with self.subTest(name=name, rewrite=text):
                    r = self.run_init(name, "-r", text, "--", "true")
                    self.assertEqual(r.returncode, status)
                    self.assertIn(f"-r {text}: ", r.stderr)


# Two listeners of one group; the second says its lines in small letters.
FAMILY = """
import os, signal
every = signal.valid_signals() - {signal.SIGCHLD}
signal.pthread_sigmask(signal.SIG_BLOCK, every)
r, w = os.pipe()
second = os.fork() == 0
if second:
    os.write(w, b"x")
else:
    os.read(r, 1)
    os.write(1, b"ready\\n")
while True:
    n = signal.Signals(signal.sigwaitinfo(every).si_signo).name[3:]
    os.write(1, (n.lower() if second else n).encode() + b"\\n")
    if n == "QUIT" and not second:
        os._exit(0)
    if n == "TERM":
        os._exit(1)
"""


class Groups(Case):
    def family(self, name, *options, env=None):
        p = self.start(self.argv(name, *options, "--", *PYTHON, FAMILY),
                       env=dict(os.environ, **(env or {})))
        self.assertEqual(p.lines.next(), "ready")
        return p

    def test_a_signal_goes_to_the_group_when_asked(self):
        for name, options, env in (
                ("supervisord", ["-g"], {}), ("tini", ["-g"], {}),
                ("tini", [], {"TINI_KILL_PROCESS_GROUP": "1"}), ("dumb-init", [], {})):
            with self.subTest(name=name, options=options):
                p = self.family(name, *options, env=env)
                os.kill(p.pid, signal.SIGUSR1)
                self.assertEqual({p.lines.next(), p.lines.next()}, {"USR1", "usr1"})

    def test_else_to_the_command_alone(self):
        for name, options, env in (
                ("supervisord", [], {}), ("tini", [], {}), ("dumb-init", ["-c"], {}),
                ("dumb-init", ["--single-child"], {}),
                ("dumb-init", [], {"DUMB_INIT_SETSID": "0"})):
            with self.subTest(name=name, options=options):
                p = self.family(name, *options, env=env)
                os.kill(p.pid, signal.SIGUSR1)
                os.kill(p.pid, signal.SIGTERM)
                self.finish(p, 1)
                self.assertEqual([p.lines.next(), p.lines.next()], ["USR1", "TERM"])
                self.assertEqual(p.lines.rest, b"")

    def test_the_command_has_a_group_of_its_own(self):
        for name in ("supervisord", "tini"):
            with self.subTest(name=name):
                p = self.listener(name)
                self.assertEqual((p.group, p.session), (p.child, p.pid))

    def test_dumb_inits_command_has_a_session_of_its_own(self):
        p = self.listener("dumb-init")
        self.assertEqual((p.group, p.session), (p.child, p.child))

    def test_dumb_inits_single_child_stays_in_the_group(self):
        p = self.listener("dumb-init", "-c")
        self.assertEqual((p.group, p.session), (p.pid, p.pid))

    def test_dumb_init_ends_the_rest_of_the_group(self):
        p = self.family("dumb-init")
        os.kill(p.pid, signal.SIGQUIT)
        lines = {p.lines.next() for _ in range(3)}
        self.assertEqual(lines, {"QUIT", "quit", "term"})
        self.finish(p, 0)

    def test_dumb_init_stops_itself_with_its_command(self):
        for word in sorted(JOB):
            with self.subTest(signal=word):
                p = self.listener("dumb-init")
                os.kill(p.pid, NAMES[word])
                self.assertTrue(os.WIFSTOPPED(os.waitpid(p.pid, os.WUNTRACED)[1]))
                # STOP was sent to the command before; it takes its turn.
                driver.eventually(lambda: driver.stat_of(p.child)[0] == "T")
                os.kill(p.pid, signal.SIGCONT)
                self.assertEqual(p.lines.next(), "CONT")
                os.kill(p.pid, signal.SIGTERM)
                self.finish(p, 7)

    def test_dumb_init_rewrites_a_terminals_stop_and_stops_itself_still(self):
        p = self.listener("dumb-init", "-r", "20:10")
        os.kill(p.pid, signal.SIGTSTP)
        self.assertTrue(os.WIFSTOPPED(os.waitpid(p.pid, os.WUNTRACED)[1]))
        self.assertEqual(p.lines.next(), "USR1")
        os.kill(p.pid, signal.SIGCONT)
        self.assertEqual(p.lines.next(), "CONT")

    def test_dumb_init_single_child_gets_the_terminals_stop_as_it_is(self):
        p = self.listener("dumb-init", "-c")
        os.kill(p.pid, signal.SIGTSTP)
        self.assertTrue(os.WIFSTOPPED(os.waitpid(p.pid, os.WUNTRACED)[1]))
        self.assertEqual(p.lines.next(), "TSTP")
        os.kill(p.pid, signal.SIGCONT)


# Makes an orphan that says its new parent and ends with 9, and waits for a line.
ORPHAN = """
import os, sys
r, w = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.read(r, 1)
        os.write(1, f"parent {os.getppid()}\\n".encode())
        os._exit(9)
    os._exit(0)
os.wait()
os.write(w, b"x")
os.read(0, 1)
"""


class Family(Case):
    def test_a_subreaper_gets_and_reaps_orphans(self):
        for name, options, env in (
                ("supervisord", ["-s", "-w"], {}), ("tini", ["-s", "-w"], {}),
                ("tini", ["-w"], {"TINI_SUBREAPER": ""})):
            with self.subTest(name=name, options=options):
                p = self.start(self.argv(name, *options, "--", *PYTHON, ORPHAN),
                               stdin=subprocess.PIPE, env=dict(os.environ, **env))
                self.assertEqual(p.lines.next(), f"parent {p.pid}")
                line = p.errors.until("reaped orphan pid")
                self.assertIn("(exited 9)", line)
                p.stdin.close()
                self.finish(p, 0)

    def test_without_w_an_orphan_is_reaped_silently(self):
        p = self.start(self.argv("supervisord", "-s", "-vv", "--", *PYTHON, ORPHAN),
                       stdin=subprocess.PIPE)
        p.errors.until("debug: reaped pid")
        p.stdin.close()
        self.finish(p, 0)

    def test_who_can_not_reap_says_so(self):
        for name in ("supervisord", "tini"):
            self.assertIn("use -s", self.run_init(name, "true").stderr)
            self.assertEqual(self.run_init(name, "-s", "true").stderr, "")

    def test_p_brings_a_signal_at_the_parents_death(self):
        for name, word in (("supervisord", "HUP"), ("supervisord", "SIGHUP"),
                           ("supervisord", "1"), ("tini", "SIGHUP")):
            with self.subTest(name=name, word=word):
                # exec'ed by a shell in the background, which then waits
                p = self.start(["sh", "-c", '"$@" & wait', "sh",
                                *self.argv(name, "-p", word, "--", *PYTHON, LISTEN)])
                p.lines.until("ready")
                os.kill(p.pid, signal.SIGKILL)
                self.assertEqual(p.lines.next(), "HUP")

    def test_a_bad_p_is_a_usage_error(self):
        for name, status in (("supervisord", 2), ("tini", 1)):
            r = self.run_init(name, "-p", "NIX", "--", "true")
            self.assertEqual(r.returncode, status)
            self.assertIn("-p NIX: no such signal", r.stderr)


@unittest.skipUnless(pid_namespaces_work(), "a new pid namespace takes root")
class Pid1(Case):
    def start1(self, name, *args, **more):
        return self.start(["unshare", "--pid", "--fork", "--mount-proc",
                           *self.argv(name, *args)], **more)

    def test_reaps_zombies(self):
        many = "for i in $(seq 100); do (true & ); done; read x"
        for name in ("supervisord", "tini"):
            with self.subTest(name=name):
                p = self.start1(name, "-w", "--", "sh", "-c", many, stdin=subprocess.PIPE)
                for _ in range(100):
                    p.errors.until("reaped orphan pid")
                p.stdin.close()
                p.wait(DEADLINE)

    def test_leaves_no_zombie_under_dumb_init(self):
        # The last line comes only when nothing but its own family is there.
        script = ("for i in $(seq 50); do (true & ); done; "
                  "while ps -o stat= --ppid 1 | grep -q Z; do :; done; echo clean")
        p = self.start1("dumb-init", "--", "sh", "-c", script)
        self.assertEqual(p.lines.next(), "clean")
        self.finish(p, 0)

    def test_forwards_signals_from_inside(self):
        for name in ("supervisord", "tini", "dumb-init"):
            with self.subTest(name=name):
                self.finish(self.start1(name, "--", *PYTHON, ASK_TERM), 0)

    def test_forwards_signals_from_outside(self):
        p = self.start1("supervisord", "--", *PYTHON, LISTEN)
        p.lines.until("ready")
        with open(f"/proc/{p.pid}/task/{p.pid}/children", encoding="ascii") as f:
            init = int(f.read())
        for word in ("HUP", "USR1", "TERM"):
            os.kill(init, NAMES[word])
            self.assertEqual(p.lines.next(), word)
        self.finish(p, 7)

    def test_needs_no_subreaper(self):
        p = self.start1("supervisord", "-v", "--", "sh", "-c", "exit 4")
        self.finish(p, 4)
        self.assertNotIn(b"use -s", p.stderr.read())

    def test_takes_the_rest_with_it_when_the_command_ends(self):
        p = self.start1("supervisord", "--", "sh", "-c",
                        "setsid sleep 1000 & echo $!; exit 0")
        p.lines.next()
        self.finish(p, 0)
        # The sleep held our pipes: their end is seen once it is gone.
        self.assertEqual(p.stdout.read(), b"")


# A shell in miniature, leader of a session with a terminal: runs the command
# that follows as its foreground job, tells how it changes, obeys lines on fd 3.
SHELL = """
import os, signal, sys, fcntl, termios
tty = os.open(sys.argv[1], os.O_RDWR)
fcntl.ioctl(tty, termios.TIOCSCTTY, 0)
for fd in (0, 1, 2):
    os.dup2(tty, fd)
report = os.fdopen(4, "w", buffering=1)
orders = os.fdopen(3)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
background = sys.argv[2] == "background"
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    if not background:
        os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.close(3)
    os.close(4)
    os.execvp(sys.argv[3], sys.argv[3:])
report.write(f"job {job}\\n")
while True:
    status = os.waitpid(job, os.WUNTRACED)[1]
    owner = os.tcgetpgrp(0)
    whose = "job" if owner == job else "shell" if owner == os.getpgrp() else "other"
    if not os.WIFSTOPPED(status):
        report.write(f"ended {os.waitstatus_to_exitcode(status)} {whose}\\n")
        sys.exit(0)
    report.write(f"stopped {os.WSTOPSIG(status)} {whose}\\n")
    os.tcsetpgrp(0, os.getpgrp())
    if orders.readline() == "fg\\n":
        os.tcsetpgrp(0, job)
    os.kill(-job, signal.SIGCONT)
"""

# Reads lines from its terminal and says whether it is in the foreground.
READER = """
import os, sys
def whose():
    return "mine" if os.tcgetpgrp(0) == os.getpgrp() else "not mine"
print("start", whose(), os.getpgrp() == os.getpid())
for line in sys.stdin:
    if line == "end\\n":
        sys.exit(3)
    print("read", line.strip(), whose())
"""


class Terminal(Case):
    def setUp(self):
        super().setUp()
        self.master, slave = pty.openpty()
        self.addCleanup(os.close, self.master)
        self.addCleanup(os.close, slave)
        mode = termios.tcgetattr(slave)
        mode[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, mode)
        self.path = os.ttyname(slave)
        self.screen = Lines(self.master)

    def shell(self, *argv, ground="foreground"):
        """Runs argv as a job of the little shell."""
        orders_r, orders_w = os.pipe()
        report_r, report_w = os.pipe()

        def place():
            a, b = fcntl.fcntl(orders_r, fcntl.F_DUPFD, 10), fcntl.fcntl(report_w, fcntl.F_DUPFD, 10)
            os.dup2(a, 3)
            os.dup2(b, 4)
        p = self.start([*PYTHON, SHELL, self.path, ground, *argv], stdout=None,
                       stderr=None, preexec_fn=place, close_fds=False)
        os.close(orders_r)
        os.close(report_w)
        self.addCleanup(os.close, report_r)
        self.addCleanup(os.close, orders_w)
        p.report, p.orders = Lines(report_r), orders_w
        p.job = int(p.report.next().split()[1])
        return p

    def leader(self, *argv):
        """Runs argv as a container engine does: leader of the session."""
        def attach():
            fd = os.open(self.path, os.O_RDWR)
            fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
            for n in (0, 1, 2):
                os.dup2(fd, n)
        return self.start(argv, stdout=None, stderr=None, preexec_fn=attach)

    def say(self, text):
        os.write(self.master, text.encode())

    def test_is_handed_over_and_taken_back(self):
        for name in ("supervisord", "tini"):
            with self.subTest(name=name):
                p = self.shell(*self.argv(name, "-s", "--", *PYTHON, READER))
                self.assertEqual(self.screen.next(), "start mine True")
                self.say("hello\n")
                self.assertEqual(self.screen.next(), "read hello mine")
                self.say("end\n")
                self.assertEqual(p.report.next(), "ended 3 job")

    def test_is_taken_back_when_the_command_can_not_run(self):
        p = self.shell(*self.argv("supervisord", "-s", "--", "./nix"))
        self.assertIn("no such file", self.screen.next())
        self.assertEqual(p.report.next(), "ended 127 job")

    def test_control_c_goes_to_the_command(self):
        p = self.shell(*self.argv("supervisord", "-s", "--", *PYTHON, LISTEN))
        self.screen.until("ready")
        self.say("\x03")
        self.assertEqual(self.screen.next(), "INT")
        os.kill(p.job, signal.SIGTERM)
        self.assertEqual(p.report.next(), "ended 7 job")

    def test_control_z_stops_the_job_and_fg_goes_on(self):
        p = self.shell(*self.argv("supervisord", "-s", "--", *PYTHON, READER))
        self.screen.until("start mine")
        for round_ in range(3):
            self.say("\x1a")
            self.assertEqual(p.report.next(), f"stopped {int(signal.SIGTSTP)} job")
            os.write(p.orders, b"fg\n")
            self.say(f"again{round_}\n")
            self.assertEqual(self.screen.until("read"), f"read again{round_} mine")
        self.say("end\n")
        self.assertEqual(p.report.next(), "ended 3 job")

    def test_in_the_background_it_is_not_stolen(self):
        p = self.shell(*self.argv("supervisord", "-s", "--", *PYTHON, READER),
                       ground="background")
        self.assertEqual(self.screen.next(), "start not mine True")
        # It wants to read: stopped by the kernel, and so is the whole job.
        self.assertEqual(p.report.next(), f"stopped {int(signal.SIGTSTP)} shell")
        os.write(p.orders, b"fg\n")
        self.say("hello\n")
        self.assertEqual(self.screen.next(), "read hello mine")
        self.say("end\n")
        self.assertEqual(p.report.next(), "ended 3 job")

    def test_of_a_session_leader(self):
        for name in ("supervisord", "tini"):
            with self.subTest(name=name):
                p = self.leader(*self.argv(name, "-s", "--", *PYTHON, READER))
                self.assertEqual(self.screen.next(), "start mine True")
                self.say("hello\n")
                self.assertEqual(self.screen.next(), "read hello mine")
                self.say("end\n")
                self.finish(p, 3)

    def test_of_dumb_init_goes_to_the_commands_session(self):
        p = self.leader(*self.argv("dumb-init", *PYTHON, LISTEN))
        pid, group, session = self.screen.next().split()[1:]
        self.assertEqual((group, session), (pid, pid))
        # Neither HUP nor CONT of the detaching: control-C is the first.
        self.say("\x03")
        self.assertEqual(self.screen.next(), "INT")
        # The next HUP is a real one.
        os.kill(p.pid, signal.SIGHUP)
        self.assertEqual(self.screen.next(), "HUP")
        os.kill(p.pid, signal.SIGTERM)
        self.finish(p, 7)


if __name__ == "__main__":
    unittest.main()
