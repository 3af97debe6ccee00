#!/usr/bin/env python3
"""Submits tasks from Python, waits for them, and shows what came of it."""

import glob
import os
import sys

sys.path[:0] = [os.environ["DEMO_CLIENT"]]
from supervisor_tasks import Client # noqa: E402

with Client(os.path.join(os.environ["DEMO_DIR"], "run", "tasks.sock")) as tasks:
    files = sorted(glob.glob("/usr/bin/*sum"))[:6]
    numbers = [tasks.submit("hash", "sum", {"file": name}, priority="high") for name in files]
    for number in numbers:
        result = tasks.wait(number, timeout=60)["result"]
        print("task %d: %s  %s" % (number, result["sha256"][:16], result["file"]))
