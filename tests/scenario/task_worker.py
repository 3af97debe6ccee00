"""A worker in Python for the scenarios of the queue: each function has a vice
or leaves a trace. Speaks JSON lines over WORKER_FD (workers/PROTOCOL.md).

    task_worker.py LEDGER

`mark` writes "begin ID ATTEMPT PID" and "end ID ATTEMPT PID" into the ledger,
a line in one write, so that lines of several processes do not mix.
"""

import json
import os
import queue
import signal
import socket
import sys
import threading

THREADS = int(os.environ.get("WORKER_THREADS", "1"))
SOCK = socket.socket(fileno=int(os.environ["WORKER_FD"]))
LOCK = threading.Lock()
TODO = queue.SimpleQueue()
HELD, CANCELLED = {}, set()
ENDING = threading.Event()
LAST_FOR = threading.Event().wait  # a task that takes its time


def say(**message):
    with LOCK:
        SOCK.sendall(json.dumps(message).encode() + b"\n")


def note(word, task):
    if len(sys.argv) > 1:
        fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(fd, b"%s %d %d %d\n" % (word.encode(), task["task"], task["attempt"], os.getpid()))
        os.close(fd)


def echo(task, args):
    return args


def add(task, args):
    return sum(args)


def mark(task, args):
    note("begin", task)
    LAST_FOR((args or {}).get("for", 0))
    note("end", task)
    return (args or {}).get("n")


def fail(task, args):
    note("begin", task)
    raise RuntimeError(args or "it went wrong")


def flaky(task, args):
    """Fails until its third attempt."""
    note("begin", task)
    if task["attempt"] < 3:
        raise RuntimeError("attempt %d" % task["attempt"])
    return task["attempt"]


def crash(task, args):
    note("begin", task)
    print("about to crash in task %d" % task["task"], flush=True)
    os.kill(os.getpid(), args or signal.SIGSEGV)
    LAST_FOR(60)


def polite(task, args):
    """Runs until it is asked to end."""
    note("begin", task)
    say(progress=task["task"], share=0.25, text="waiting")
    while task["task"] not in CANCELLED:
        LAST_FOR(0.005)
    raise RuntimeError("asked to end")


def stubborn(task, args):
    note("begin", task)
    LAST_FOR(3600)


def big(task, args):
    return "x" * args


FUNCTIONS = {f.__name__: f for f in (echo, add, mark, fail, flaky, crash, polite, stubborn, big)}


def work(number):
    while True:
        task = TODO.get()
        if task is None:
            return
        say(start=task["task"], thread=number)
        try:
            answer = {"done": task["task"],
                      "result": FUNCTIONS[task["func"]](task, task.get("args"))}
        except Exception as error: # pylint: disable=broad-except
            answer = {"failed": task["task"], "error": str(error)}
        with LOCK:
            SOCK.sendall(json.dumps(answer).encode() + b"\n")
            HELD.pop(task["task"], None)
            CANCELLED.discard(task["task"])


def drain(*_):
    ENDING.set()
    SOCK.shutdown(socket.SHUT_RD)


def take(message):
    if "task" in message:
        HELD[message["task"]] = message
        TODO.put(message)
    elif "cancel" in message:
        CANCELLED.add(message["cancel"])
    elif "sync" in message:
        with LOCK:
            held = list(HELD)
            SOCK.sendall(json.dumps({"sync": message["sync"], "held": held}).encode() + b"\n")
    elif "drain" in message:
        ENDING.set()


def main():
    signal.signal(signal.SIGTERM, drain)
    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    say(hello=1, threads=THREADS, functions={name: "json" for name in FUNCTIONS})
    for line in SOCK.makefile("rb"):
        try:
            message = json.loads(line)
        except ValueError:
            continue # the start of one by a broker that was killed
        take(message)
        if ENDING.is_set():
            break
    if ENDING.is_set():
        say(draining=True)
    for _ in threads:
        TODO.put(None)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
