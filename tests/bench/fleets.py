"""The supervisors that are measured, each with the same N workers: the bare
loop, ours, and the peers that are installed. All start the program with
BENCH_FIFO in the environment, in a session of its own, stdout to /dev/null.
Peers get the fastest set-up they allow: no shell, the run script is the
program itself."""

import os
import shutil
import signal
import subprocess
import time

import measure
from measure import BenchError

NULL = subprocess.DEVNULL


class Fleet:
    """Begin with start(), which returns the time (ns) its supervisor was
    started at; the workers report on the FIFO. stop() leaves nothing."""

    name = "?"

    def __init__(self, bench, count, program=None):
        self.bench = bench
        self.count = count
        self.program = program or [bench.tool("tiny")]
        self.dir = bench.fresh_dir(self.name.split()[0])
        self.process = None
        self.prepare()

    def prepare(self):
        pass

    def argv(self):
        raise NotImplementedError

    def start(self):
        before = time.monotonic_ns()
        self.process = subprocess.Popen(
            self.argv(), cwd=self.dir, stdin=NULL, stdout=NULL,
            stderr=self.bench.stderr, start_new_session=True)
        return before

    def up(self, timeout=120):
        """Starts it and waits until all have reported: (ns taken, pids)."""
        before = self.start()
        records = self.bench.fifo.collect(
            self.count, timeout, lambda: self.process.poll() is None)
        return max(at for at, _ in records) - before, {p for _, p in records}

    def supervisors(self, workers):
        """Pids of the supervisor's own processes."""
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            if pid not in workers:
                found.append(pid)
                todo += measure.children(pid)
        return found

    def stop(self):
        # Not asked to stop: what is measured is over, and a sweep is quick
        # with every peer alike.
        if self.process:
            self.process.kill()
            self.process.wait()
        measure.sweep()
        self.bench.fifo.take()
        shutil.rmtree(self.dir, ignore_errors=True)


class Bare(Fleet):
    name = "bare vfork/exec loop"

    def argv(self):
        return [self.bench.tool("bare"), str(self.count)] + self.program


class Ours(Fleet):
    name = "supervisord"
    settings = ('start_seconds = 0; backoff = { reset_after = 0; }; '
                'stdout = "null";')

    def prepare(self):
        self.config = os.path.join(self.dir, "bench.cfg")
        self.sock = os.path.join(self.dir, "run", "control.sock")
        with open(self.config, "w") as f:
            f.write("""master: {
  state_dir = "%s/state"; run_dir = "%s/run";
  log = { file = "%s/supervisord.log"; level = "warn"; };
};
workers: { w: { command = %s; processes = %d; %s }; };
""" % (self.dir, self.dir, self.dir, words(self.program), self.count,
                self.settings))

    def argv(self):
        return [os.path.join(self.bench.build, "supervisord"),
                "-c", self.config]

    def ctl(self, *args, check=True):
        done = subprocess.run(
            self.ctl_argv(*args), stdin=NULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        if check and done.returncode != 0:
            raise BenchError("supervisorctl %s: %s" % (
                " ".join(args), (done.stderr or done.stdout).strip()[:300]))
        return done

    def ctl_argv(self, *args):
        return [os.path.join(self.bench.build, "supervisorctl"),
                "-s", self.sock] + list(args)

    def stop(self):
        # Held still, it starts nothing again that is killed before it.
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP)
            for pid in measure.children(self.process.pid):
                if measure.comm(pid) in ("master", "logger"):
                    os.kill(pid, signal.SIGKILL)
        super().stop()


class OursLogged(Ours):
    """As it is without any setting: a pipe and a log file for each."""

    name = "supervisord, with logs"
    settings = "start_seconds = 0; backoff = { reset_after = 0; };"


class Runit(Fleet):
    name = "runit"

    def prepare(self):
        for i in range(self.count):
            service = os.path.join(self.dir, "services", "w%d" % i)
            os.makedirs(service)
            run_file(service, self.program)

    def argv(self):
        return ["runsvdir", os.path.join(self.dir, "services")]


class S6(Fleet):
    name = "s6"

    prepare = Runit.prepare

    def argv(self):
        return ["s6-svscan", "-c", str(self.count + 10),
                os.path.join(self.dir, "services")]


class Python(Fleet):
    name = "supervisor (Python)"

    def prepare(self):
        self.config = os.path.join(self.dir, "supervisord.conf")
        with open(self.config, "w") as f:
            f.write("""[supervisord]
nodaemon=true
user=root
minfds=%d
logfile=%s/supervisord.log
pidfile=%s/supervisord.pid
[unix_http_server]
file=%s/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://%s/s.sock
[program:w]
command=%s
process_name=%%(process_num)d
numprocs=%d
startsecs=0
autorestart=true
redirect_stderr=true
stdout_logfile=/dev/null
stdout_logfile_maxbytes=0
""" % (self.count * 3 + 100, self.dir, self.dir, self.dir, self.dir,
                " ".join(self.program), self.count))

    def argv(self):
        return ["/usr/bin/supervisord", "-c", self.config]


def run_file(service, program):
    run = os.path.join(service, "run")
    if len(program) == 1:
        os.symlink(program[0], run)
        return
    with open(run, "w") as f:
        f.write("#!/bin/sh\nexec %s\n" % " ".join(program))
    os.chmod(run, 0o755)


def words(program):
    return "[ %s ]" % ", ".join('"%s"' % word for word in program)


def peers():
    """The peers that are installed here."""
    found = []
    if shutil.which("runsvdir"):
        found.append(Runit)
    if shutil.which("s6-svscan"):
        found.append(S6)
    if os.access("/usr/bin/supervisord", os.X_OK):
        with open("/usr/bin/supervisord", "rb") as f:
            if f.read(2) == b"#!":
                found.append(Python)
    return found
