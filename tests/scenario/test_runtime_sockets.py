"""Connections that a hybrid worker's process accepts and gives to its threads."""

import os
import socket
import subprocess
import tempfile
import time

import driver
from runtime_rig import (
    WORKER, EXAMPLES, CLOSED, NOTHING, SOCKET, THREAD, RuntimeCase)


class Connections(RuntimeCase):
    def serve(self, sockets, threads=2, module="http", tasks=False, env=None):
        """Starts it with these sockets as 3, 4, ...; sh sets LISTEN_PID."""
        names = ":".join(name for name, _ in sockets)
        env = dict(os.environ, LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=names, **(env or {}))
        # The numbers from 3 on are given by a shell's redirections.
        fds = [s.fileno() for _, s in sockets]
        moves = " ".join("%d<&%d" % (3 + i, fd) for i, fd in enumerate(fds))
        high = [os.dup2(fd, 100 + i, inheritable=True) for i, fd in enumerate(fds)]
        moves = " ".join("%d<&%d %d<&-" % (3 + i, fd, fd) for i, fd in enumerate(high))
        log = tempfile.TemporaryFile()
        process = subprocess.Popen(
            ["/bin/bash", "-c", 'export LISTEN_PID=$$; exec "$@" ' + moves, "sh", WORKER, "--module",
             os.path.join(EXAMPLES, module + ".so"), "--threads", str(threads)],
            env=env, pass_fds=high, stdin=subprocess.DEVNULL, stderr=log)
        for fd in high:
            os.close(fd)

        def end():
            if process.poll() is None:
                process.kill()
            process.wait()
            log.close()
        self.addCleanup(end)

        def words():
            log.seek(0)
            return log.read().decode()
        process.words = words
        return process

    def listen(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, address=("127.0.0.1", 0)):
        s = socket.socket(family, kind)
        self.addCleanup(s.close)
        s.bind(address)
        if kind == socket.SOCK_STREAM:
            s.listen(64)
        return s

    def connect(self, listener):
        s = socket.socket(listener.family, socket.SOCK_STREAM)
        s.settimeout(driver.DEADLINE)
        s.connect(listener.getsockname())
        self.addCleanup(s.close)
        return s

    def get(self, s, path="/", extra="", method="GET"):
        s.sendall(("%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (method, path, extra)).encode())
        return self.response(s, method == "HEAD")

    def response(self, s, no_body=False):
        data = b""
        while b"\r\n\r\n" not in data:
            more = s.recv(1)
            if not more:
                return None
            data += more
        head = data.decode()
        size = int(head.split("Content-Length: ")[1].split("\r\n")[0])
        body = b""
        while len(body) < size and not no_body:
            body += s.recv(size - len(body))
        return int(head.split()[1]), body

    def test_http_keep_alive_and_pipelining(self):
        listener = self.listen()
        self.serve([("http", listener)])
        s = self.connect(listener)
        for _ in range(3):
            status, body = self.get(s)
            self.assertEqual((status, len(body)), (200, 100))
        s.sendall(b"GET / HTTP/1.1\r\n\r\n" * 5)
        for _ in range(5):
            self.assertEqual(self.response(s)[0], 200)
        self.assertEqual(self.get(s, extra="Connection: close\r\n")[0], 200)
        self.assertEqual(s.recv(1), b"")

    def test_http_files_and_what_it_refuses(self):
        with tempfile.TemporaryDirectory() as folder:
            driver.write(os.path.join(folder, "sub", "a.txt"), "content")
            os.symlink("/etc/passwd", os.path.join(folder, "out"))
            listener = self.listen()
            self.serve([("http", listener)], env={"HTTP_ROOT": folder})
            s = self.connect(listener)
            self.assertEqual(self.get(s, "/sub/a.txt?x=1"), (200, b"content"))
            self.assertEqual(self.get(s, "/sub/a.txt", method="HEAD"), (200, b""))
            for path in ("/none", "/out", "/../etc/passwd", "/sub/../../etc/passwd", "/sub",
                         "//etc/passwd"):
                self.assertEqual(self.get(s, path)[0], 404, path)
            self.assertEqual(self.get(s, method="POST")[0], 405)
            for bad in (b"nonsense\r\n\r\n", b"GET x HTTP/1.1\r\n\r\n", b"GET / HTTP/2\r\n\r\n",
                        b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
                        b"GET / HTTP/1.1\r\nContent-Length : 5\r\n\r\nhello",
                        b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
                        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"):
                s = self.connect(listener)
                s.sendall(bad)
                self.assertEqual(self.response(s)[0], 400, bad)
            s = self.connect(listener)
            s.sendall(b"GET / HTTP/1.1\r\nX: " + b"y" * 9000)
            self.assertEqual(self.response(s)[0], 431)

    def test_several_sockets_and_families(self):
        tcp, other = self.listen(), self.listen()
        with tempfile.TemporaryDirectory() as folder:
            unix = self.listen(socket.AF_UNIX, address=os.path.join(folder, "s"))
            self.serve([("a", tcp), ("b", other), ("c", unix)], threads=3)
            connections = [self.connect(listener) for listener in (tcp, other, unix)]
            for s in connections:
                self.assertEqual(self.get(s)[0], 200)

    def test_waits_for_a_thread_and_gets_it(self):
        listener = self.listen()
        self.serve([("http", listener)], threads=1)
        first = self.connect(listener)
        self.assertEqual(self.get(first)[0], 200)
        second = self.connect(listener)
        second.sendall(b"GET / HTTP/1.1\r\n\r\n")
        first.close()
        self.assertEqual(self.response(second)[0], 200)

    def test_an_idle_connection_gives_way(self):
        listener = self.listen()
        self.serve([("http", listener)], threads=1)
        idle = self.connect(listener)
        self.assertEqual(self.get(idle)[0], 200)
        began = time.monotonic()
        self.assertEqual(self.get(self.connect(listener))[0], 200)
        self.assertLess(time.monotonic() - began, 4, "that is not its patience of 5 s")
        self.assertEqual(idle.recv(1), b"")

    def test_a_busy_connection_gives_way(self):
        listener = self.listen()
        self.serve([("http", listener)], threads=1)
        busy = self.connect(listener)
        self.assertEqual(self.get(busy)[0], 200)
        waiting = self.connect(listener)
        waiting.sendall(b"GET / HTTP/1.1\r\n\r\n")
        end = time.monotonic() + driver.DEADLINE
        answer = b""
        while b"Connection: close" not in answer and time.monotonic() < end:
            busy.sendall(b"HEAD / HTTP/1.1\r\n\r\n")
            answer = busy.recv(4096)
        self.assertIn(b"Connection: close", answer)
        self.assertEqual(busy.recv(1), b"")
        self.assertEqual(self.response(waiting)[0], 200)

    def test_a_slow_client_is_given_up(self):
        listener = self.listen()
        self.serve([("http", listener)], threads=2)
        idle, slow = self.connect(listener), self.connect(listener)
        slow.sendall(b"GET / HTTP/1.1\r\n")
        self.assertEqual(self.response(slow)[0], 408)
        self.assertEqual(idle.recv(1), b"")

    def test_the_last_answer_arrives_whatever_comes_after(self):
        listener = self.listen()
        self.serve([("http", listener)], threads=1)
        for first in (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"nonsense\r\n\r\n"):
            s = self.connect(listener)
            s.sendall(first + b"x" * 100000)
            self.assertIn(self.response(s)[0], (200, 400))
            self.assertEqual(s.recv(1), b"")

    def test_two_processes_share_a_socket(self):
        listener = self.listen()
        processes = [self.serve([("http", listener)], threads=2) for _ in range(2)]
        held = [self.connect(listener) for _ in range(4)]
        for s in held:
            self.assertEqual(self.get(s)[0], 200)
        processes[0].kill()
        processes[0].wait()
        for s in held:
            s.close()
        self.assertEqual(self.get(self.connect(listener))[0], 200)

    def test_sigterm_answers_what_was_asked_and_ends(self):
        listener = self.listen()
        process = self.serve([("http", listener)], threads=4)
        idle = self.connect(listener)
        self.assertEqual(self.get(idle)[0], 200)
        process.terminate()
        self.assertEqual(idle.recv(1), b"")
        self.assertEqual(process.wait(driver.DEADLINE), 0)

    def test_a_handler_that_closes_what_threads_wait_with(self):
        for threads in (1, 2):
            listener = self.listen()
            process = self.serve([("http", listener)], threads=threads, module="crash")
            self.connect(listener).sendall(b"close-all\n")
            if threads > 1: # another one waits, and hears of it with the next connection
                driver.eventually(lambda p=process: not os.path.exists("/proc/%d/fd/3" % p.pid),
                                  what="descriptors are closed")
                self.connect(listener)
            self.assertEqual(process.wait(driver.DEADLINE), CLOSED)
            self.assertIn("was closed by a handler", process.words())
            # The socket is there, for the next process.
            self.serve([("http", listener)])
            self.assertEqual(self.get(self.connect(listener))[0], 200)

    def test_as_many_sockets_as_there_may_be_have_their_names(self):
        listeners = [("s" * 62 + "%02d" % n, self.listen()) for n in range(64)]
        self.serve(listeners, module="crash")
        for name, listener in listeners[::21]:
            s = self.connect(listener)
            s.sendall(b"nothing\n")
            self.assertEqual(s.recv(100).decode(), "done on %s\n" % name)

    def test_a_connection_handler_that_ends_its_thread(self):
        listener = self.listen()
        process = self.serve([("http", listener)], module="crash")
        self.connect(listener).sendall(b"leave\n")
        self.assertEqual(process.wait(driver.DEADLINE), THREAD)
        self.assertIn("ended its thread", process.words())

    def test_one_accepted_just_before_the_end_is_answered(self):
        for _ in range(5):
            listener = self.listen()
            process = self.serve([("http", listener)], threads=2)
            folder = "/proc/%d/fd" % process.pid
            old = self.connect(listener)
            self.assertEqual(self.get(old)[0], 200)
            driver.let_pass(2.1) # it is no longer young
            before, began = len(os.listdir(folder)), time.monotonic()
            young = self.connect(listener)
            driver.eventually(lambda f=folder, n=before: len(os.listdir(f)) > n, what="accepted")
            process.terminate()
            self.assertEqual(old.recv(1), b"")
            in_time = time.monotonic() - began < 1.5
            young.sendall(b"GET / HTTP/1.1\r\n\r\n")
            answer = self.response(young) if in_time else None
            self.assertEqual(process.wait(driver.DEADLINE), 0)
            if in_time and time.monotonic() - began < 2:
                self.assertEqual(answer[0], 200)
                return
        self.fail("this machine is too slow to tell")

    def test_udp_is_refused_in_words(self):
        process = self.serve([("dns", self.listen(kind=socket.SOCK_DGRAM))])
        self.assertEqual(process.wait(driver.DEADLINE), SOCKET)
        self.assertIn('socket "dns" is a udp socket', process.words())

    def test_sockets_meant_for_another_process_are_left_alone(self):
        env = dict(os.environ, LISTEN_FDS="1", LISTEN_PID="1")
        done = subprocess.run([WORKER, "--module", os.path.join(EXAMPLES, "http.so")], env=env,
                              stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, NOTHING)
