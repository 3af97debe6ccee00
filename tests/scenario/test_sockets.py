"""Listening sockets: what a worker gets, and that no connection is refused
whoever dies or is replaced."""

import json
import os
import signal
import socket
import stat
import sys

import driver
from driver import eventually

# Answers on each of its sockets with "PID NAME"; says first what it was given.
SERVER = """
import json, os, select, socket
names = os.environ["LISTEN_FDNAMES"].split(":")
assert int(os.environ["LISTEN_PID"]) == os.getpid(), os.environ["LISTEN_PID"]
assert int(os.environ["LISTEN_FDS"]) == len(names)
all = {fd: socket.socket(fileno=fd) for fd in range(3, 3 + len(names))}
where = {names[fd - 3]: s.getsockname() for fd, s in all.items()}
print("up", json.dumps({n: w[1] if isinstance(w, tuple) else w for n, w in where.items()}),
      flush=True)
while True:
    for s in select.select(list(all.values()), [], [])[0]:
        answer = ("%d %s" % (os.getpid(), names[s.fileno() - 3])).encode()
        if s.type == socket.SOCK_DGRAM:
            s.sendto(answer, s.recvfrom(100)[1])
            continue
        peer = s.accept()[0]
        peer.sendall(answer)
        peer.close()
"""

SOCKETS = """sockets: {
  here: { listen = "unix://@D/here.sock"; mode = "0600"; };
  tcp: { listen = "tcp://127.0.0.1:0"; };
  udp: { listen = "udp://127.0.0.1:0"; };
};
"""


def serves(sockets='"here"', more="", where=SOCKETS):
    return driver.FAST + where + """workers: {
      web: { command = "%s @D/server.py"; sockets = [%s]; %s };
    };""" % (sys.executable, sockets, more)


def descriptors(pid):
    """{number: what it is} above 2."""
    folder = "/proc/%d/fd" % pid
    return {int(n): os.readlink(os.path.join(folder, n))
            for n in os.listdir(folder) if int(n) > 2}


def inode(pid, fd=3):
    return descriptors(pid).get(fd)


class Sockets(driver.Case):
    def serve(self, config, **options):
        sup = self.supervisord(config, start=False, **options)
        driver.write(os.path.join(sup.dir, "server.py"), SERVER)
        sup.start()
        return sup

    def ask(self, sup, name="here.sock", timeout=driver.DEADLINE):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(timeout)
            s.connect(os.path.join(sup.dir, name))
            pid, name = s.recv(100).decode().split()
        return int(pid), name

    def up(self, sup, name="web:0", times=1):
        """What the instance has said about its sockets, the last time."""
        def said():
            lines = [l for l in sup.stdout_of(name).splitlines() if l.startswith("up ")]
            return len(lines) >= times and json.loads(lines[-1][3:])
        return eventually(said, what="%s is up" % name)

    def test_in_the_order_of_the_config(self):
        sup = self.serve(serves('"tcp", "here", "udp"'))
        ports = self.up(sup)
        self.assertEqual(list(ports), ["tcp", "here", "udp"])
        pid = sup.pid("web:0")
        with socket.create_connection(("127.0.0.1", ports["tcp"])) as s:
            self.assertEqual(s.recv(100).decode(), "%d tcp" % pid)
        self.assertEqual(self.ask(sup), (pid, "here"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(driver.DEADLINE)
            s.sendto(b"?", ("127.0.0.1", ports["udp"]))
            self.assertEqual(s.recv(100).decode(), "%d udp" % pid)
        mode = os.stat(os.path.join(sup.dir, "here.sock")).st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o600)

    def test_nothing_else_comes_along(self):
        sup = self.serve(serves('"tcp", "here"'))
        self.up(sup)
        found = descriptors(sup.pid("web:0"))
        self.assertEqual(sorted(found), [3, 4], found)

    def test_who_has_none_hears_of_none(self):
        sup = self.serve(driver.FAST + SOCKETS + """workers: {
            plain: { command = "@P/envdump"; }; };""",
            environ={"LISTEN_FDS": "3", "LISTEN_PID": "1", "LISTEN_FDNAMES": "a:b:c",
                     "WORKER_FD": "9", "WORKER_SLOTS": "10"})
        sup.wait_stdout("plain:0", "^end")
        for name in ("LISTEN_", "WORKER_FD", "WORKER_SLOTS"):
            self.assertNotIn("\nenv " + name, sup.stdout_of("plain:0"))
        self.assertEqual(descriptors(sup.pid("plain:0")), {})

    def test_who_connects_meanwhile_is_answered(self):
        sup = self.serve(serves())
        self.up(sup)
        seen = set()
        for n in range(1, 6):
            pid, _ = self.ask(sup)
            seen.add(pid)
            os.kill(pid, signal.SIGKILL)
            driver.gone(pid)
            # Nobody listens now, yet nobody is refused.
            after, _ = self.ask(sup)
            self.assertNotIn(after, seen)

    def test_instances_share_it(self):
        sup = self.serve(serves(more="processes = 3;"))
        for n in range(3):
            self.up(sup, "web:%d" % n)
        pids = sup.pids("web")
        self.assertEqual(len({inode(pid) for pid in pids.values()}), 1)
        for pid in list(pids.values())[:2]:
            os.kill(pid, signal.SIGSTOP)
        self.assertEqual(self.ask(sup)[0], list(pids.values())[2])

    def test_it_outlives_master_and_upgrade(self):
        sup = self.serve(serves())
        self.up(sup)
        first = inode(sup.pid("web:0"))
        replacements = (sup.kill_master, lambda: sup.ctl_ok("upgrade"), sup.kill_master)
        for times, replace in enumerate(replacements, 2):
            replace()
            pid, _ = self.ask(sup)
            self.assertEqual(pid, sup.pid("web:0"))
            os.kill(pid, signal.SIGKILL)
            self.up(sup, times=times)
            pid, _ = self.ask(sup)
            self.assertEqual(inode(pid), first)

    def test_reload_makes_a_new_one_only_for_a_new_address(self):
        sup = self.serve(serves())
        self.up(sup)
        pid, _ = self.ask(sup)
        first = inode(pid)
        sup.configure(serves(where=SOCKETS.replace('mode = "0600"', 'mode = "0660"; backlog = 5')))
        sup.ctl_ok("reload")
        self.assertEqual(self.ask(sup)[0], pid)
        mode = os.stat(os.path.join(sup.dir, "here.sock")).st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o660)
        sup.configure(serves(where=SOCKETS.replace("here.sock", "there.sock")))
        sup.ctl_ok("reload")
        self.up(sup, times=2)
        after, _ = self.ask(sup, "there.sock")
        self.assertNotEqual(after, pid)
        self.assertNotEqual(inode(after), first)
        with self.assertRaises(OSError):
            self.ask(sup)

    def test_what_cannot_be_had_leaves_nothing_behind(self):
        with socket.create_server(("127.0.0.1", 0)) as other, \
                socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as theirs:
            sup = self.supervisord(serves(where="""sockets: {
                here: { listen = "unix://@D/here.sock"; };
                taken: { listen = "tcp://127.0.0.1:%d"; };
                theirs: { listen = "unix://@D/theirs.sock"; };
            };""" % other.getsockname()[1]), start=False)
            theirs.bind(os.path.join(sup.dir, "theirs.sock"))
            theirs.listen(1)
            sup.start(wait=False)
            self.assertEqual(sup.wait_end(), 1)
            for name in ("taken", "theirs"):
                self.assertRegex(sup.log(), r"sockets\.%s: cannot listen on .*: Address already in "
                                            "use" % name)
            self.assertFalse(os.path.exists(os.path.join(sup.dir, "here.sock")))
            self.assertTrue(os.path.exists(os.path.join(sup.dir, "theirs.sock")))

    def test_a_hybrid_worker_has_its_two_behind_them(self):
        script = ("import os; assert os.environ['LISTEN_PID'] == str(os.getpid()); "
                  "print(os.environ['WORKER_FD'], os.environ['WORKER_SLOTS'], "
                  "os.environ['WORKER_THREADS'], flush=True); "
                  "import signal; signal.pause()")
        sup = self.serve(driver.FAST + SOCKETS + """workers: {
            hash: { command = ["%s", "-c", "%s"]; threads = 4; tasks: {};
                    sockets = ["here", "tcp"]; stop_signal = "KILL"; };
        };""" % (sys.executable, script))
        eventually(lambda: sup.stdout_of("hash:0") == "5 6 4\n", what="its variables")
        pid = sup.pid("hash:0")
        before = descriptors(pid)
        self.assertEqual(sorted(before), [3, 4, 5, 6])
        for fd in (3, 4, 5):
            self.assertTrue(before[fd].startswith("socket:"), before)
        self.assertIn("memfd:slots", before[6])
        # Whoever else dies, it is not touched.
        sup.kill_master()
        sup.ctl_ok("upgrade")
        self.assertEqual(sup.pid("hash:0"), pid)
        self.assertEqual(descriptors(pid), before)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: sup.stdout_of("hash:0") == "5 6 4\n" * 2, what="the next one")
        after = descriptors(sup.pid("hash:0"))
        self.assertEqual((after[3], after[4]), (before[3], before[4]))
        self.assertNotEqual(after[5], before[5])
