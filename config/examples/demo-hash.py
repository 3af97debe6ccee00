#!/usr/bin/env python3
"""The hybrid worker of the demo: hashes files in several threads (hashlib lets
the others run meanwhile). Speaks JSON lines; workers/examples/worker.py shows
the same with nothing around it.

    sum    {"file": ...}     the file's SHA-256
    tree   {"dir": ...}      of all files below, telling how far it is
    risky  anything          a bug: it takes its whole process with it
"""

import hashlib
import json
import os
import queue
import signal
import socket
import sys
import threading

THREADS = int(os.environ.get("WORKER_THREADS", "1"))
link = socket.socket(fileno=int(os.environ["WORKER_FD"]))
lock = threading.RLock()
tasks = queue.SimpleQueue()
held = {}


def say(**message):
    with lock:
        for answer in ("done", "failed"):
            held.pop(message.get(answer), None)
        try:
            link.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass # supervisord is gone


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def sum_(task):
    return {"file": task["args"]["file"], "sha256": digest(task["args"]["file"])}


def tree(task):
    found = [os.path.join(at, name) for at, _, names in os.walk(task["args"]["dir"])
             for name in names if os.path.isfile(os.path.join(at, name))]
    whole = hashlib.sha256()
    for n, path in enumerate(sorted(found)):
        if task["task"] not in held or held[task["task"]].is_set():
            raise RuntimeError("asked to end")
        whole.update(digest(path).encode())
        if n % 50 == 0:
            say(progress=task["task"], share=n / len(found), text=os.path.basename(path))
    return {"files": len(found), "sha256": whole.hexdigest()}


def risky(task):
    print("task %d: reading beyond the end of everything" % task["task"], file=sys.stderr,
          flush=True)
    signal.raise_signal(signal.SIGSEGV)


FUNCTIONS = {"sum": sum_, "tree": tree, "risky": risky}


def work(number):
    while task := tasks.get():
        say(start=task["task"], thread=number)
        try:
            say(done=task["task"], result=FUNCTIONS[task["func"]](task))
        except Exception as error: # pylint: disable=broad-except
            say(failed=task["task"], error=str(error))


def end(*_):
    say(draining=True)
    for _ in range(THREADS):
        tasks.put(None)


def listen():
    for line in link.makefile("rb"):
        try:
            message = json.loads(line)
        except ValueError:
            continue
        with lock:
            if "task" in message:
                held[message["task"]] = threading.Event()
                tasks.put(message)
            elif "sync" in message:
                say(sync=message["sync"], held=list(held))
            elif message.get("cancel") in held:
                held[message["cancel"]].set()
            elif "drain" in message:
                end()
    end()


signal.signal(signal.SIGTERM, end)
say(hello=1, threads=THREADS, functions=dict.fromkeys(FUNCTIONS, "json"))
threading.Thread(target=listen, daemon=True).start()
for thread in range(THREADS):
    threading.Thread(target=work, args=(thread,)).start()
