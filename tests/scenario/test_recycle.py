"""Recycling: processes that are well are replaced before they grow old."""

import sys

import driver
from driver import eventually, fleet


class Recycle(driver.Case):
    def test_the_old_go_one_after_the_other(self):
        sup = self.supervisord(fleet(
            web='command = "@P/pause"; processes = 3; start_seconds = "0s"; stop_signal = "TERM"; '
                'recycle: { max_age = "1s"; jitter = 0.0; };',
            other='command = "@P/pause"; start_seconds = "0s";'))
        sup.wait_running()
        before = sup.pids()
        eventually(lambda: all(sup.pids()[n] not in (before[n], None)
                               for n in ("web:0", "web:1", "web:2")))
        self.assertEqual(sup.pid("other:0"), before["other:0"])
        # Never two of them at once: one is up again before the next one stops.
        down = set()
        for event in sup.rpc("events", targets=["web"]):
            if event["to"] == "STOPPING":
                self.assertIn("recycle.max_age", event["reason"])
                down.add(event["name"])
            elif event["to"] == "RUNNING":
                down.discard(event["name"])
            self.assertLessEqual(len(down), 1)
        self.assertIn("killed by SIGTERM (recycled: up for 1s (recycle.max_age))", sup.ctl_ok("why", "web:0"))
        self.assertIn("recycle.max_age", sup.ctl_ok("history", "web:0"))
        # Settings are taken live, and what was drawn is forgotten.
        sup.configure(fleet(web='command = "@P/pause"; processes = 3; start_seconds = "0s"; stop_signal = "TERM";',
                            other='command = "@P/pause"; start_seconds = "0s";'))
        plan = {row["worker"]: row["action"] for row in sup.rpc("reload")["plan"]}
        self.assertEqual(plan, {"web": "changed", "other": "kept"})
        sup.wait_running()

    def test_the_large_go(self):
        sup = self.supervisord(fleet(
            big='command = [ "%s", "-c", "import signal; held = bytearray(40 << 20); signal.pause()" ]; '
                'recycle: { max_memory = "32M"; };' % sys.executable,
            small='command = "@P/pause"; recycle: { max_memory = "1G"; };'))
        sup.wait_running()
        before = sup.pids()
        sup.wait_other_pid("big:0", before["big:0"])
        self.assertEqual(sup.pid("small:0"), before["small:0"])
        self.assertIn("of memory (recycle.max_memory)", sup.ctl_ok("why", "big:0"))
