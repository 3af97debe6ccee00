#!/usr/bin/env python3
"""A hybrid worker in Python's standard library: JSON lines on the socket WORKER_FD (PROTOCOL.md).

    workers: { py: { command = "python3 worker.py"; threads = 4; tasks: { }; }; };

FUNCTIONS take (arguments, threading.Event set when to end); an exception fails the task."""
import contextlib, json, os, queue, signal, socket, threading

FUNCTIONS = {"add": lambda args, stop: sum(args), "wait": lambda args, stop: not stop.wait(args)}
THREADS = int(os.environ.get("WORKER_THREADS", "1"))
link = socket.socket(fileno=int(os.environ["WORKER_FD"]))
lock = threading.RLock()  # for the two that follow and the order of lines
held = {}                 # id: Event of each task from its line to its answer
draining, tasks = False, queue.SimpleQueue()

def say(**message):
    with lock, contextlib.suppress(OSError):  # supervisord may be gone
        for answer in ("done", "failed", "returned"):
            held.pop(message.get(answer), None)
        link.sendall(json.dumps(message, allow_nan=False).encode() + b"\n")

def drain(*_):  # begin nothing more, finish what runs, end
    global draining
    with lock:
        say(draining=True)
        draining = [tasks.put(None) for _ in range(THREADS)]

def work(number):
    while task := tasks.get():
        name, id = task["func"], task["task"]
        if draining:
            say(returned=id)
            continue
        say(start=id, thread=number)
        try:
            say(done=id, result=FUNCTIONS[name](task.get("args"), held[id]))
        except Exception as e:
            say(failed=id, error=f"{type(e).__name__}: {e}", retry=name in FUNCTIONS)

def listen():
    for line in link.makefile("rb"):
        with lock, contextlib.suppress(ValueError):  # no JSON: its writer was killed
            message = json.loads(line)
            if "task" in message:
                held[message["task"]] = threading.Event()
                tasks.put(message)
            elif "sync" in message:
                say(sync=message["sync"], held=list(held))
            elif message.get("cancel") in held:
                held[message["cancel"]].set()
            elif "drain" in message:
                drain()
    drain()  # supervisord is gone

signal.signal(signal.SIGTERM, drain)
say(hello=1, threads=THREADS, prefetch=0, functions=dict.fromkeys(FUNCTIONS, "json"))
threading.Thread(target=listen, daemon=True).start()
for n in range(THREADS):
    threading.Thread(target=work, args=(n,)).start()
