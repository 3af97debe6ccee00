"""`make demo` works: the script runs to its end, says what it promises, and
leaves no process and no file behind."""

import os
import shutil
import subprocess

import driver

DEMO = os.path.join(driver.ROOT, "config", "examples", "demo")


class Demo(driver.Case):
    weight = 60

    def test_it_runs_to_its_end(self):
        for program in ("/usr/sbin/nginx", shutil.which("sqlite3")):
            if not program or not os.access(program, os.X_OK):
                self.skipTest("no nginx or sqlite3 here (tests/deps test)")
        folder = self.folder()
        environ = dict(os.environ, BUILD=driver.BUILD, TMPDIR=folder,
                       SUPERVISOR_TEST=folder)
        environ.pop("SUPERVISORCTL_SOCKET", None)
        done = subprocess.run(
            [DEMO], env=environ, cwd="/", timeout=100, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8")
        self.assertEqual(done.returncode, 0, done.stdout)
        for words in (r"hello from nginx", r"moody:0 .*BACKOFF",
                      r"the same pids as before", r"orders:3 +RUNNING",
                      r"did you mean", r"ended with status 0",
                      r"task \d+: [0-9a-f]{16}  /usr/bin", r"is dead", r"crashed",
                      r'state +done' ):
            self.assertRegex(done.stdout, words)
        self.assertEqual(os.listdir(folder), [], done.stdout)
        self.assertEqual(driver.marked(folder), [], "left behind")
