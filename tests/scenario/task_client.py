"""A client for the scenarios that is to be killed: submits numbered tasks one
after the other and writes down each that was acknowledged.

    task_client.py SOCKET ACKNOWLEDGED NAME

A line "N ID" is written once a task is acknowledged. One that is started anew
goes on behind the last of them: what it may have submitted without writing it
down is submitted again under the same key.
"""

import json
import os
import socket
import sys
import threading

PATH, ACKNOWLEDGED, NAME = sys.argv[1:]
PAUSE = threading.Event().wait


def submit(lines, n):
    """The task's id, or None: it was refused for now."""
    lines.write(json.dumps({"jsonrpc": "2.0", "id": n, "method": "submit", "params": {
        "worker": "w", "func": "mark", "args": {"n": n, "for": 0.001},
        "key": "%s-%d" % (NAME, n)}}).encode() + b"\n")
    lines.flush()
    line = lines.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    answer = json.loads(line)
    if "error" in answer:
        return None
    return answer["result"]["id"]


def main():
    fd = os.open(ACKNOWLEDGED, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    n = os.read(fd, 1 << 24).count(b"\n")
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(PATH)
                lines = sock.makefile("rwb")
                while True:
                    task = submit(lines, n)
                    if task is None:
                        PAUSE(0.02)
                        continue
                    os.write(fd, b"%d %d\n" % (n, task))
                    n += 1
        except (OSError, EOFError):
            PAUSE(0.01)


if __name__ == "__main__":
    main()
