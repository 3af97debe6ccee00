"""A worker of the demo: handles a few requests, then breaks."""

import os
import random
import resource
import signal
import time

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def price(order):
    return 100 / (order % 3)


for order in (4, 5, 6):
    time.sleep(0.6)
    if order == 6 and random.random() < 0.3:
        print("order 6: about to follow a bad pointer")
        os.kill(os.getpid(), signal.SIGSEGV)
    print("order %d: %.2f" % (order, price(order)))
