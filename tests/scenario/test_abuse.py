"""Modules that abuse the process they live in, through all of supervisord: the
task is answered or blamed, and whoever comes next is served."""

import os
import unittest

import driver
import test_queue

MODULE = os.path.join(driver.BUILD, "examples", "crash.so")


class Abuse(test_queue.Queue):
    def start(self, settings=""):
        self.sup = self.fleet(w='module = "%s"; threads = 2; processes = 1; stop_timeout = "30s"; %s %s '
                                'tasks: { max_crashes = 1; grace = "200ms"; };' % (
                                    MODULE, test_queue.QUICK, settings))
        self.own = [self.sup.guardian(), self.sup.master(), self.broker(self.sup)]
        return self.sup

    def do(self, func, *args):
        return self.ended(self.sup, self.submit(self.sup, "w", func, *args))

    def still_serves(self):
        """Nobody of supervisord's own has noticed."""
        task = self.do("echo", '"x"')
        self.assertEqual((task["state"], task["result"]), ("done", "x"))
        self.sup.wait_running("w")
        self.assertEqual([self.sup.guardian(), self.sup.master(), self.broker(self.sup)], self.own)

    def test_another_process_writes_into_the_task_socket(self):
        sup = self.start()
        pid = sup.pid("w:0")
        self.assertIn(self.do("garbage")["state"], ("done", "dead"))
        sup.wait_other_pid("w:0", pid)
        self.assertIn("broke the worker protocol", sup.ctl_ok("events"))
        self.still_serves()

    def test_the_slots_are_scribbled_on(self):
        self.start()
        self.assertEqual(self.do("scribble")["result"], "scribbled")
        self.sup.ctl_ok("status", "--threads", "w")
        self.still_serves()
        self.do("scribble")
        self.assertEqual(self.do("abort")["state"], "dead")
        self.still_serves()

    def test_a_task_that_overruns_though_the_slots_say_nothing_true(self):
        self.start()
        self.do("scribble")
        number = self.submit(self.sup, "w", "hang", "--timeout", "100ms")
        self.assertEqual(self.ended(self.sup, number)["state"], "failed")
        self.still_serves()

    def test_signals_are_ignored_and_blocked(self):
        sup = self.start()
        self.assertEqual(self.do("deafen")["result"], "deaf")
        self.still_serves()
        sup.ctl_ok("stop", "w")
        sup.ctl_ok("start", "w")
        self.still_serves()

    @unittest.skipIf(driver.SANITIZED, "a sanitizer needs memory of its own")
    def test_limits_of_nothing(self):
        self.start()
        self.assertEqual(self.do("starve")["result"], "starved")
        for _ in range(3):
            self.do("large", "300000")
        self.still_serves()

    def test_standard_input_is_empty_and_closing_it_harms_nobody(self):
        self.start()
        self.assertEqual(self.do("standard")["result"], 0)
        self.still_serves()

    def test_a_handler_that_ends_its_thread(self):
        sup = self.start()
        pid = sup.pid("w:0")
        task = self.do("leave")
        self.assertEqual(task["state"], "dead")
        self.assertNotEqual(sup.wait_other_pid("w:0", pid), pid)
        self.assertIn("ended its thread", sup.stdout_of("w:0") + sup.stdout_of("w:0", err=True))
        self.still_serves()

    def test_a_result_of_ten_megabytes_and_one_too_large(self):
        self.start()
        self.assertEqual(self.do("large", "10000000")["state"], "done")
        task = self.do("large", "17000000")
        self.assertEqual(task["state"], "failed")
        self.assertIn("result too large", task["error"])
        self.still_serves()

    def test_descriptors_closed_processes_forked_answers_invented(self):
        self.start()
        self.assertEqual(self.do("close-all")["state"], "dead")
        self.assertEqual(self.do("replace-all")["state"], "dead")
        self.assertEqual(self.do("exit", "0")["state"], "dead")
        self.assertEqual(self.do("overflow" if not driver.SANITIZED else "abort")["state"], "dead")
        for func in ("fork", "invented", "twice"):
            self.assertEqual(self.do(func)["state"], "done")
        self.still_serves()
