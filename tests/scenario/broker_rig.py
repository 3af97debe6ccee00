"""Guardian, master and workers for a broker that runs alone: the rig keeps what
the guardian keeps, so that a broker can be killed and another started with it.

Messages are packed as supervisord/proto/messages.h says."""

import array
import fcntl
import json
import os
import select
import signal
import socket
import struct
import threading
import time

import driver

BROKER = os.path.join(driver.BUILD, "libexec", "supervisord", "broker")
VERSION = 2

PEER, FINISH = 66, 67
BROKER_FD, CHANNEL, CHANNEL_SLOTS, CHANNEL_EXIT, BROKER_TOLD = 72, 73, 74, 75, 76
BROKER_KEEP, BROKER_DROP, CHANNEL_DONE = 80, 81, 82
STOPPING, EXIT_TOLD, REPLACE, SCALE, QUEUE_EVENT = 120, 121, 122, 123, 124

HELLO, SYNC = 1, 2
TASK, CANCEL, RECALL, DRAIN = 16, 17, 18, 19
DONE, FAILED, PROGRESS, RETURNED, START, DRAINING = 32, 33, 34, 35, 36, 37
JSON, FOR_GOOD, LATER, MORE = 1, 2, 0x40, 0x80

EXITED, KILLED = 1, 2  # CLD_


def send(sock, number, body=b"\0" * 8, tail=b"", fd=None):
    packet = struct.pack("=HHI", number, VERSION, len(tail)) + body + tail
    control = [] if fd is None else [
        (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
    sock.sendmsg([packet], control)


def name_body(name):
    return struct.pack("80s", name.encode())


def memfd(name, data):
    fd = os.memfd_create(name, os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.write(fd, data)
    return fd


class Slots:
    """The memory a worker's threads tell their task in."""

    def __init__(self, threads):
        import mmap
        size = 64 + 64 * threads
        self.fd = memfd("slots", struct.pack("=II", 0x736c6f74, threads))
        os.ftruncate(self.fd, size)
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        self.memory = mmap.mmap(self.fd, size)

    def set(self, thread, task, tid=1):
        at = 64 + 64 * thread
        since = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self.memory[at + 8:at + 48] = struct.pack(
            "=QqQIIII", self.cancel(thread), since, 0, 1, 0xffffffff, 1 if task else 0, tid)
        self.memory[at:at + 8] = struct.pack("=Q", task)

    def cancel(self, thread):
        return struct.unpack_from("=Q", self.memory, 64 + 64 * thread + 8)[0]


class Worker:
    """One instance: its socket and slots; the test says what it does."""

    def __init__(self, name, slot, gen=1, threads=1, pid=4242):
        self.name, self.slot, self.gen, self.threads, self.pid = name, slot, gen, threads, pid
        self.brokers_end, self.socket = socket.socketpair()
        self.socket.settimeout(driver.DEADLINE)
        self.slots = Slots(threads)
        self.exit = None
        self.done = threading.Event()
        self.buffer = b""

    def hello(self, prefetch=0, functions=None, slots=True):
        if slots:
            for i in range(self.threads):
                self.slots.set(i, 0)
        text = {"hello": 1, "threads": self.threads, "prefetch": prefetch}
        if functions is not None:
            text["functions"] = functions
        text = json.dumps(text).encode()
        if len(text) & 0xff == ord("{"):
            text += b" "
        self.say(HELLO, data=text)
        return self

    def say(self, kind, task=0, data=b"", flags=0, slot=0):
        self.socket.sendall(struct.pack("<IBBHQ", len(data), kind, flags, slot, task) + data)

    def receive(self, size):
        while len(self.buffer) < size:
            more = self.socket.recv(1 << 20)
            if not more:
                raise EOFError
            self.buffer += more
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def hear(self):
        """(type, id, flags, body)"""
        size, kind, flags, _slot, task = struct.unpack("<IBBHQ", self.receive(16))
        return kind, task, flags, self.receive(size)

    def hear_task(self):
        """(id, attempt, function, payload), pieces put together; SYNC is
        answered with nothing held."""
        payload = None
        while True:
            kind, task, flags, body = self.hear()
            if kind == SYNC:
                self.say(SYNC, task)
                payload = None
                continue
            if kind == DRAIN:
                continue  # it gets no more, and has none that has not begun
            if kind != TASK:
                raise AssertionError("message %d of %d" % (kind, task))
            if payload is None:
                attempt, _ms, func = struct.unpack_from("<IIH", body)
                name, payload = body[16:16 + func].decode(), body[16 + func:]
            else:
                payload += body
            if not flags & MORE:
                return task, attempt, name, payload

    def serve(self, handler, delay=0.0):
        """Does tasks in a thread of its own until its end: handler(id, attempt,
        func, payload) gives the result's bytes."""
        def run():
            try:
                while True:
                    task = self.hear_task()
                    self.slots.set(0, task[0])
                    result = handler(*task)
                    self.slots.set(0, 0)
                    self.say(DONE, task[0], result, JSON)
            except (EOFError, OSError, ValueError):
                pass
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        return self

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        if hasattr(self, "thread"):
            self.thread.join()
        self.socket.close()
        self.brokers_end.close()
        self.slots.memory.close()
        os.close(self.slots.fd)


class Rig:
    """Plays guardian and master."""

    def __init__(self, folder, pools, **config):
        self.folder = folder
        self.path = os.path.join(folder, "tasks.sock")
        self.config = dict({
            "tasks_path": self.path, "store_path": os.path.join(folder, "tasks.db"),
            "log": {"level": 3, "json": False}, "socket_mode": 0o600, "socket_group": -1,
            "admins": {"uids": [], "gids": []}, "viewers": {"uids": [], "gids": []},
            "pools": pools, "schedules": []}, **config)
        self.kept = {}
        self.workers, self.made = [], []
        self.events, self.replaces, self.reliefs, self.scales = [], [], [], []
        self.lock = threading.Lock()
        self.pid = None
        # Neither is descriptor 3, which becomes the channel.
        with open(os.path.join(folder, "broker.log"), "ab") as log:
            self.log = fcntl.fcntl(log, fcntl.F_DUPFD_CLOEXEC, 64)
        self.keep_config()

    def keep_config(self):
        self.kept["broker/config"] = memfd("config", json.dumps(self.config).encode())

    def tell_config(self):
        """As at a reload."""
        os.close(self.kept["broker/config"])
        self.keep_config()
        send(self.guardian, BROKER_FD, name_body("broker/config"), fd=self.kept["broker/config"])

    def start(self, master=True):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fd = fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, 64)
        theirs.close()
        self.pid = os.posix_spawn(BROKER, [BROKER], os.environ, file_actions=[
            (os.POSIX_SPAWN_DUP2, fd, 3), (os.POSIX_SPAWN_DUP2, self.log, 2)])
        os.close(fd)
        self.guardian = ours
        for name, kept in self.kept.items():
            send(ours, BROKER_FD, name_body(name), fd=kept)
        for worker in self.workers:
            self.tell(worker)
        send(ours, BROKER_TOLD)
        self.master = None
        self.guardian_thread = threading.Thread(
            target=self.listen, args=(ours, self.from_guardian_channel), daemon=True)
        self.guardian_thread.start()
        self.master_thread = None
        if master:
            self.connect_master()

    def connect_master(self):
        self.master, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.master_thread = threading.Thread(
            target=self.listen, args=(self.master, self.from_master_channel), daemon=True)
        self.master_thread.start()
        send(self.guardian, PEER, fd=theirs.fileno())
        theirs.close()

    def listen(self, sock, each):
        while True:
            try:
                packet, control, _flags, _address = sock.recvmsg(1 << 16, 1024)
            except OSError:
                return
            if not packet:
                return
            fds = array.array("i")
            for level, kind, data in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
            number, _version, tail = struct.unpack_from("=HHI", packet)
            each(number, packet[8:len(packet) - tail], packet[len(packet) - tail:],
                 fds[0] if fds else None)

    def from_guardian_channel(self, number, body, _tail, fd):
        with self.lock:
            if number == BROKER_KEEP:
                self.kept[body.rstrip(b"\0").decode()] = fd
            elif number == CHANNEL_DONE:
                key = struct.unpack("=II", body)
                for worker in [w for w in self.workers if (w.slot, w.gen) == key]:
                    self.workers.remove(worker)
                    worker.done.set()

    def from_master_channel(self, number, body, tail, _fd):
        text = tail.rstrip(b"\0").decode()
        with self.lock:
            if number == REPLACE:
                asked = struct.unpack("=III", body[:12]) + (text,)
                (self.replaces if asked[2] not in (2, 3) else self.reliefs).append(asked)
            elif number == QUEUE_EVENT:
                self.events.append((body[:80].rstrip(b"\0").decode(), text))
            elif number == SCALE:
                self.scales.append((body[:80].rstrip(b"\0").decode(),
                                    struct.unpack_from("=I", body, 80)[0], text))

    def tell(self, worker):
        send(self.guardian, CHANNEL, struct.pack(
            "=IIiIq80s", worker.slot, worker.gen, worker.pid, worker.threads,
            time.clock_gettime_ns(time.CLOCK_MONOTONIC), worker.name.encode()),
            fd=worker.brokers_end.fileno())
        send(self.guardian, CHANNEL_SLOTS, struct.pack("=II", worker.slot, worker.gen),
             fd=worker.slots.fd)
        if worker.exit:
            self.tell_exit(worker)

    def tell_exit(self, worker):
        code, status = worker.exit
        send(self.guardian, CHANNEL_EXIT, struct.pack(
            "=IIiHHiiiiqqqqqQ80s", worker.slot, worker.gen, worker.pid, 2, 0, code, status,
            0, 0, 0, 0, 0, 0, 0, 0, worker.name.encode()))

    def worker(self, name, threads=1, slot=None, gen=1):
        with self.lock:
            slot = slot if slot is not None else 1 + max([w.slot for w in self.workers], default=0)
            worker = Worker(name, slot, gen, threads)
            self.workers.append(worker)
            self.made.append(worker)
        self.tell(worker)
        return worker

    def end(self, worker, code=EXITED, status=0):
        """The instance has ended."""
        worker.exit = (code, status)
        try:
            worker.socket.shutdown(socket.SHUT_RDWR)  # wakes who reads it
        except OSError:
            pass
        worker.socket.close()
        self.tell_exit(worker)

    def stopping(self, worker, stopping=1):
        send(self.master, STOPPING, struct.pack("=IIII", worker.slot, worker.gen, stopping, 0))

    def words(self, worker, words):
        send(self.master, EXIT_TOLD, struct.pack("=II", worker.slot, worker.gen),
             tail=words.encode())

    def hang_up(self):
        """What is of the broker that has ended goes."""
        for thread in (self.guardian_thread, self.master_thread):
            if thread:
                thread.join()
        self.guardian.close()
        if self.master:
            self.master.close()

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.pid = None
        self.hang_up()

    def finish(self):
        """FINISH, and its exit status."""
        send(self.guardian, FINISH)
        pidfd = os.pidfd_open(self.pid)
        try:
            if not select.select([pidfd], [], [], driver.DEADLINE)[0]:
                os.kill(self.pid, signal.SIGABRT)
                raise driver.Late("the broker does not end")
        finally:
            os.close(pidfd)
            status = os.waitpid(self.pid, 0)[1]
            self.pid = None
        self.hang_up()
        return status

    def close(self):
        if self.pid:
            self.kill()
        for worker in self.made:
            worker.close()
        for fd in self.kept.values():
            os.close(fd)
        os.close(self.log)


class Client:
    """JSON lines on tasks.sock; reconnects when the broker was killed."""

    def __init__(self, path):
        self.path = path
        self.socket = None
        self.id = 0

    def connect(self):
        if self.socket is None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(driver.DEADLINE)
            try:
                sock.connect(self.path)
            except OSError:
                sock.close()
                raise
            self.socket, self.lines = sock, sock.makefile("rwb")

    def close(self):
        sock, self.socket = self.socket, None
        if sock:
            sock.close()
            try:
                self.lines.close()
            except OSError:  # what it had not sent
                pass

    def send(self, method, **params):
        self.connect()
        self.id += 1
        self.lines.write(json.dumps({"jsonrpc": "2.0", "id": self.id, "method": method,
                                     "params": params}).encode() + b"\n")
        self.lines.flush()
        return self.id

    def receive(self):
        line = self.lines.readline()
        if not line:
            raise EOFError
        return json.loads(line)

    def call(self, method, **params):
        number = self.send(method, **params)
        while True:
            answer = self.receive()
            if answer.get("id") == number or answer.get("id", 0) is None:
                if "error" in answer:
                    raise driver.RpcError(answer["error"])
                return answer["result"]

    def insist(self, method, **params):
        """Again until it is answered: the broker may be killed under it."""
        end = time.monotonic() + driver.DEADLINE * 3
        while True:
            try:
                return self.call(method, **params)
            except (EOFError, OSError, ValueError):
                self.close()
                if time.monotonic() > end:
                    raise
