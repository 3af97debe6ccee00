"""A client of supervisord's task queue; the standard library is enough.

    from supervisor_tasks import Client

    with Client() as queue:
        number = queue.submit("thumbs", "resize", {"file": "a.jpg"}, priority="high")
        print(queue.wait(number, timeout=60)["result"])

One client may be used by many threads. It connects again when supervisord's
broker was restarted and asks for what it still waits for: see README.md.
"""

import base64
import itertools
import json
import os
import re
import socket
import sys
import threading
import time
import traceback
import uuid

__all__ = ["Client", "Error", "Lost", "Refused", "TaskFailed", "Unsendable", "find_path"]

LINE_MAX = 1 << 20
# What may be asked twice; a submit may if it has a key.
SAFE = frozenset(["task", "tasks", "cancel", "pause", "resume", "queue", "threads", "why",
                  "schedules"])
MACHINE = "/run/supervisord/tasks.sock"
# A NUL in a string, as JSON writes it (and not a backslash before "u0000").
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# Answers to a request that could not even be read, and has no id for that.
UNREAD = {-32700: "not-json", -32600: "too-large"}


class Error(Exception):
    """Whatever goes wrong with the queue. answers: of a submit_many that raised this,
    each task's id or error, in order."""

    answers = ()


class Refused(Error):
    """supervisord's answer is an error: code, name ("queue-full"), and words."""

    def __init__(self, code, name, words):
        super().__init__(words)
        self.code, self.name = code, name


class Unsendable(Refused, ValueError):
    """Refused by the client itself, before anything was sent: "not-json" (what JSON, or
    supervisord's reading of it, has no words for), "too-large" or "bad-value"."""

    def __init__(self, name, words):
        super().__init__(2, name, words)


class Lost(Error, ConnectionError):
    """Nobody answers, or the connection ended before the answer, and then what was
    asked for may have been done or not."""


class TaskFailed(Error):
    """The task has ended, but is not done; `task` is all about it."""

    def __init__(self, task):
        super().__init__("task %d of %s is %s: %s" % (
            task["id"], task["worker"], task["state"], task["error"]))
        self.task = task


def find_path():
    """Where tasks.sock is: of this worker's supervisord, of the user, of the machine."""
    path = os.environ.get("SUPERVISOR_TASKS")
    if path:
        return path
    if os.geteuid() != 0:
        run = os.environ.get("XDG_RUNTIME_DIR", "")
        own = (os.path.join(run, "supervisord") if run.startswith("/")
               else "/tmp/supervisord-%d" % os.geteuid())
        own = os.path.join(own, "tasks.sock")
        if os.path.exists(own):
            return own
    return MACHINE


def _plain(value):
    """What a task object has as {"base64": ...} is bytes."""
    if isinstance(value, dict) and value.keys() == {"base64"}:
        return base64.b64decode(value["base64"])
    return value


def _int(digits):
    if not -1 << 63 <= int(digits) < 1 << 63:
        raise ValueError("%s has more than 64 bits" % digits)


def _members(pairs):
    if len(dict(pairs)) < len(pairs):
        raise ValueError("an object has one key twice: %s" % [k for k, _ in pairs])


def _json(value):
    """One line of JSON that supervisord can read; Unsendable."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        line = text.encode() + b"\n" # a lone surrogate is refused here
        if NUL.search(text):
            raise ValueError("a string has a NUL in it")
        json.loads(text, parse_int=_int, object_pairs_hook=_members)
    except (TypeError, ValueError, RecursionError) as error:
        raise Unsendable("not-json", "this can't be said in JSON: %s" % error) from error
    if len(line) > LINE_MAX:
        raise Unsendable("too-large", "a request may have 1 MiB, this has %d bytes" % len(line))
    return line


def _task(found):
    found["args"], found["result"] = _plain(found.get("args")), _plain(found.get("result"))
    return found


def _params(worker, func, args=None, **options):
    params = {"worker": worker, "func": func}
    if isinstance(args, (bytes, bytearray, memoryview)):
        params["data"] = base64.b64encode(args).decode()
    elif args is not None:
        params["args"] = args
    params.update((k, v) for k, v in options.items() if v is not None)
    return params


def _task_params(task):
    """Of (worker, func), (worker, func, args) or a dictionary with these and options."""
    return _params(**task) if isinstance(task, dict) else _params(*task)


class _Request:
    def __init__(self, number, method, params, answered=None, progress=None):
        self.line = _json({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        self.number = number
        self.task = params.get("id")
        self.safe = method in SAFE or (method == "submit" and "key" in params)
        self.sent = False
        self.answered, self.progress = answered, progress
        self.over = None if answered else threading.Event()
        self.result = self.error = None

    def end(self, result=None, error=None):
        self.result, self.error = result, error
        if self.over:
            self.over.set()
            return
        try:
            self.answered(result, error)
        except Exception:
            traceback.print_exc(file=sys.stderr)


class Client:
    """path: of tasks.sock; patience: seconds to try to connect again; keys: each
    submit without a key gets one of its own, so that it may be sent again."""

    def __init__(self, path=None, patience=10.0, keys=False):
        self.path = path or find_path()
        self.patience, self.keys = patience, keys
        self._numbers = itertools.count(1)
        self._lock = threading.Lock() # of all below
        self._sending = threading.Lock()
        self._requests = {}
        self._waits = {} # of them those of wait(), by the task's id
        self._socket = None
        self._reader = None
        self._closed = False
        self._closing = threading.Event()
        try:
            self._socket = self._connect()
        except OSError as error:
            raise Lost("no supervisord answers at %s: %s" % (self.path, error)) from error
        with self._lock:
            self._start()

    # --- tasks ---------------------------------------------------------------

    def submit(self, worker, func, args=None, **options):
        """The task's id; it is on disk by then. args: anything JSON can say, or bytes.
        Options: priority, delay, at, timeout, retries, key, limit_key, result_ttl, then."""
        return self._call("submit", self._keyed(_params(worker, func, args, **options)))["id"]

    def submit_many(self, tasks, return_errors=False):
        """ids of many, sent at once. A task is (worker, func), (worker, func, args) or a
        dictionary with these and options. With return_errors a refusal is in its task's
        place; without, the first one is raised when all are answered, and has all that in
        `answers` (an Unsendable is raised at once: nothing has been sent then)."""
        requests = []
        for task in tasks:
            params = self._keyed(_task_params(task))
            try:
                requests.append(_Request(next(self._numbers), "submit", params))
            except Unsendable as error:
                if not return_errors:
                    raise
                requests.append(error)
        sent = [r for r in requests if isinstance(r, _Request)]
        self._send(sent)
        for r in sent:
            self._wait_for(r)
        answers = [r if isinstance(r, Unsendable) else r.error or r.result["id"] for r in requests]
        errors = [r.error for r in sent if r.error]
        if errors and not return_errors:
            errors[0].answers = answers
            raise errors[0]
        return answers

    def submit_group(self, tasks, then=None):
        """All or none of these tasks (as submit_many's): (group, ids)."""
        params = {"tasks": [_task_params(task) for task in tasks]}
        if not params["tasks"]:
            raise Unsendable("bad-value", "a group has at least one task")
        if then is not None:
            params["then"] = then
        found = self._call("submit.group", params)
        return found["group"], found["ids"]

    def wait(self, number, timeout=None):
        """The task, once it has ended, whatever its end. TimeoutError."""
        with self._lock:
            request = self._waits.get(number)
        if request is None:
            request = _Request(next(self._numbers), "task", {"id": number, "wait": True})
            self._send([request])
            with self._lock:
                if request.number in self._requests:
                    self._waits[number] = request
        # After a TimeoutError it stays, for who waits for that task the next time: many
        # questions that nobody waits for would be too many to supervisord.
        return _task(dict(self._result(request, timeout)))

    def call(self, worker, func, args=None, wait_timeout=None, **options):
        """Submits, waits, gives the result; TaskFailed if there is none."""
        task = self.wait(self.submit(worker, func, args, **options), wait_timeout)
        if task["state"] != "done":
            raise TaskFailed(task)
        return task["result"]

    def on_done(self, number, done, progress=None):
        """Calls done(task, error) when the task has ended, progress({"share", "text"})
        before, in a thread of the client's own: they must not wait for the client."""
        def answered(result, error):
            done(None if error else _task(result), error)
        self._send([_Request(next(self._numbers), "task", {"id": number, "wait": True},
                             answered, progress)])

    def cancel(self, number):
        self._call("cancel", {"id": number})

    def requeue(self, number):
        return _task(self._call("requeue", {"id": number}))

    def task(self, number):
        return _task(self._call("task", {"id": number}))

    def tasks(self, worker=None, state=None, limit=100, after=None):
        """Newest first; after: only those older than this id."""
        return self._call("tasks", {k: v for k, v in (
            ("worker", worker), ("state", state), ("limit", limit), ("after", after))
            if v is not None})

    def queue(self, worker=None):
        return self._call("queue", {"worker": worker} if worker else {})

    def pause(self, worker, seconds=None):
        self._call("pause", {"worker": worker, "for": seconds} if seconds else
                   {"worker": worker})

    def resume(self, worker):
        self._call("resume", {"worker": worker})

    # --- the connection ------------------------------------------------------

    def close(self):
        with self._lock:
            self._closed = True
            self._closing.set()
            reader, self._reader = self._reader, None
            if self._socket:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass # it is gone already
        if reader and reader is not threading.current_thread():
            reader.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _keyed(self, params):
        if self.keys and "key" not in params:
            params["key"] = uuid.uuid4().hex
        return params

    def _call(self, method, params):
        request = _Request(next(self._numbers), method, params)
        self._send([request])
        return self._result(request)

    def _result(self, request, timeout=None):
        self._wait_for(request, timeout)
        if request.error:
            raise request.error
        return request.result

    def _wait_for(self, request, timeout=None):
        if threading.current_thread() is self._reader:
            raise RuntimeError("a callback must not wait for its client")
        if not request.over.wait(timeout):
            raise TimeoutError("no answer within %s seconds" % timeout)

    def _remove(self, number):
        """The request of that number, which is over; with the lock held."""
        request = self._requests.pop(number, None)
        if request and self._waits.get(request.task) is request:
            del self._waits[request.task]
        return request

    def _start(self):
        """Has what comes read, on a new connection if there is none; with the lock held."""
        self._reader = threading.Thread(target=self._read, args=(self._socket,), daemon=True)
        self._reader.start()

    def _connect(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            s.connect(self.path)
        except OSError:
            s.close()
            raise
        return s

    def _send(self, requests):
        with self._lock:
            if self._closed:
                raise Lost("the client is closed")
            s = self._socket
            for r in requests:
                r.sent = s is not None
                self._requests[r.number] = r
            if self._reader is None:
                self._start()
        # Without one the reader is connecting again, and sends them then.
        if s:
            self._write(s, requests)

    def _write(self, s, requests):
        try:
            with self._sending:
                s.sendall(b"".join(r.line for r in requests))
        except OSError:
            pass # the reader sees it, too, and knows what to do

    def _read(self, s):
        while s or (s := self._again()):
            try:
                with s.makefile("rb") as lines:
                    for line in lines:
                        if line.endswith(b"\n"):
                            self._take(json.loads(line))
            except (OSError, ValueError):
                pass # it is over, or what is there speaks something else
            s.close()
            s = None

    def _take(self, message):
        if "id" not in message:
            self._tell_progress(message.get("params", {}))
            return
        error = message.get("error")
        with self._lock:
            if error and message["id"] is None:
                # Of what could not be read nobody knows which it was.
                ended = [self._remove(n) for n in list(self._requests)]
            else:
                ended = [self._remove(message["id"])]
        for request in filter(None, ended):
            if error:
                name = (error.get("data") or {}).get("error", UNREAD.get(error["code"], ""))
                request.end(error=Refused(error["code"], name, error["message"]))
            else:
                request.end(result=message["result"])

    def _tell_progress(self, params):
        with self._lock:
            told = [r.progress for r in self._requests.values()
                    if r.progress and r.task == params.get("id")]
        for progress in told:
            try:
                progress(params)
            except Exception:
                traceback.print_exc(file=sys.stderr)

    def _again(self):
        """The connection is lost: another one, or None when there is nothing to wait for
        or patience is over."""
        with self._lock:
            self._socket = None
            lost = [r for r in self._requests.values() if r.sent and not r.safe]
            for r in lost:
                self._remove(r.number)
        for r in lost:
            r.end(error=Lost("the connection was lost before the answer: it may have been "
                             "done or not (a key makes it safe to ask again)"))
        until = time.monotonic() + self.patience
        pause, why = 0.02, "the client is closed"
        while True:
            with self._lock:
                if self._closed or not self._requests:
                    self._reader = None
                    left = [self._remove(n) for n in list(self._requests)]
                    break
                try:
                    s = self._socket = self._connect()
                    left = list(self._requests.values())
                    for r in left:
                        r.sent = True
                except OSError as error:
                    s, why = None, "%s: %s" % (self.path, error)
                    if time.monotonic() > until:
                        self._reader = None
                        left = [self._remove(n) for n in list(self._requests)]
                        break
            if s:
                # A thread of its own: whoever sends must not keep us from reading.
                threading.Thread(target=self._write, args=(s, left), daemon=True).start()
                return s
            self._closing.wait(pause)
            pause = min(pause * 2, 0.5)
        for r in left:
            r.end(error=Lost("the connection to supervisord is lost: %s" % why))
        return None
