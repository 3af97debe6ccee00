"""What somebody who knows supervisord only from its reference pages tries."""

import os
import signal

import driver
from driver import fleet


class BrokenConfig(driver.Case):
    def test_it_does_not_hide_the_supervisord_that_runs(self):
        good = fleet(web='command = "@P/pause";')
        sup = self.supervisord(good)
        sup.wait_running("web")
        pid = sup.pid("web:0")
        head = driver.read(sup.config_path).split("defaults")[0]
        self.assertIn("run_dir", head)
        for broken in ('workers: { web: { command = "@P/pause";',
                       'workers: { web: { command = "@P/pause; }; };',
                       'workers: { web: { comand = "@P/pause"; }; };',
                       'workers: { web: { command = 5; }; };',
                       '}'):
            driver.write(sup.config_path, '# run_dir = "/no"\n' + head + broken.replace("@P", driver.PROGRAMS))
            code, out, err = sup.ctl_with(["-c", sup.config_path], "pid", "web:0")
            self.assertEqual((code, out.strip(), err), (0, str(pid), ""), broken)
            code, out, err = sup.ctl_with(["-c", sup.config_path], "reload")
            self.assertEqual(code, 2, out + err)
            self.assertRegex(out + err, r"\.cfg:\d+: ")


class CleanEnvironment(driver.Case):
    def test_a_program_is_found_without_a_path(self):
        sup = self.supervisord(fleet(
            out='command = [ "env" ]; clean_environment = true; restart = "never"; start_seconds = 0;'))
        sup.wait_state("out", "EXITED")
        # The logger is another process: it may be a little behind.
        sup.wait_stdout("out:0", "^SUPERVISOR_SOCKET=")
        names = {line.split("=")[0] for line in sup.stdout_of("out:0").splitlines()}
        self.assertTrue({"SUPERVISOR_WORKER", "SUPERVISOR_INSTANCE", "SUPERVISOR_INDEX"} <= names, names)
        self.assertFalse({"PATH", "HOME"} & names, names)


class Events(driver.Case):
    def test_since_tells_all(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 500;'))
        sup.wait_running("web")
        sup.ctl_ok("restart", "web")
        events = [e for e in sup.ctl_json("events", "--since", "1h") if e["kind"] == "state"]
        self.assertEqual({e["name"] for e in events if e["from"] == "STOPPED"}, {"web:%d" % i for i in range(500)})
        self.assertGreater(len(events), 2000)


class History(driver.Case):
    def test_an_end_nobody_saw_is_an_end(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; restart = "never";'))
        sup.wait_running("web")
        sup.kill_guardian()
        sup.start()
        sup.wait_running("web")
        os.kill(sup.pid("web:0"), signal.SIGKILL)
        sup.wait_state("web", "EXITED")
        last = sup.ctl_ok("history", "web").splitlines()[-1]
        self.assertRegex(last, r"  ended \(how is not known")
        self.assertNotIn("runs", last)
