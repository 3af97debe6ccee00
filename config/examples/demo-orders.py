"""A worker of the demo: takes orders until it is told to stop."""

import os
import signal
import sys


def stop(signo, frame):
    print("%s: closing the shop" % os.environ["SUPERVISOR_INSTANCE"])
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
print("%s: selling %s" % (os.environ["SUPERVISOR_INSTANCE"], os.environ["SHOP"]))
while True:
    signal.pause()
