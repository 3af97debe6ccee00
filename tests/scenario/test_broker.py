"""The broker alone, with guardian, master and workers played by the test: what
it promises though it is killed at any moment, and what becomes of tasks whose
process dies, overruns, is stopped or speaks nonsense."""

import json
import random
import signal
import threading
import time
import unittest

import broker_rig
import driver
from broker_rig import DONE, FAILED, JSON, LATER, MORE
from driver import eventually


def pool(name="w", **settings):
    return dict({"name": name, "threads": 1, "grace_ms": 100, "sibling_grace_ms": 300,
                 "max_crashes": 3, "backoff": {"initial_ms": 10, "max_ms": 50,
                                               "factor": 2.0, "jitter": 0.0}}, **settings)


class Case(driver.Case):
    def rig(self, *pools, start=True, **config):
        rig = broker_rig.Rig(self.folder(), list(pools) or [pool()], **config)
        self.addCleanup(self.show, rig)
        self.addCleanup(rig.close)
        if start:
            rig.start()
        return rig

    def show(self, rig):
        """Where the test has failed, the broker's log belongs to why."""
        if any(error for _test, error in getattr(self._outcome, "errors", ())) or \
                not getattr(self._outcome, "success", True):
            print(driver.read(rig.folder + "/broker.log")[-3000:])

    def client(self, rig):
        client = broker_rig.Client(rig.path)
        self.addCleanup(client.close)
        eventually(lambda: self.connects(client))
        return client

    @staticmethod
    def connects(client):
        try:
            client.connect()
            return True
        except OSError:
            return False


class Tasks(Case):
    def test_a_task_goes_to_a_worker_and_its_result_comes_back(self):
        rig = self.rig()
        worker = rig.worker("w:0").hello()
        client = self.client(rig)
        number = client.send("submit", worker="w", func="f", args={"a": 1}, wait=True)
        task, attempt, func, payload = worker.hear_task()
        self.assertEqual((attempt, func, json.loads(payload)), (1, "f", {"a": 1}))
        worker.say(DONE, task, b'{"b":\n2}', JSON)
        answer = client.receive()
        while answer.get("id") != number:
            answer = client.receive()
        self.assertEqual(answer["result"]["state"], "done")
        self.assertEqual(answer["result"]["result"], {"b": 2})
        self.assertEqual(rig.finish(), 0)


if __name__ == "__main__":
    unittest.main()
