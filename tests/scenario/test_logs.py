"""A line of output: from the worker into its file, and to who asks for it."""

import gzip
import os
import re
import signal
import subprocess

import driver
from driver import fleet


def numbers(text):
    """The N of each "line N"."""
    return [int(n) for n in re.findall(r"^line 0*(\d+)$", text, re.M)]


class Files(driver.Case):
    def test_by_default_both_streams_share_one_file(self):
        sup = self.supervisord(fleet(web='command = "@P/floods 201"; processes = 2;'))
        for name in ("web:0", "web:1"):
            sup.wait_stdout(name, "^err 200$")
            sup.wait_stdout(name, "^line 200$")
            self.assertEqual(numbers(sup.stdout_of(name)), list(range(201)))

    def test_stderr_of_its_own(self):
        sup = self.supervisord(fleet(
            web='command = "@P/floods 150"; stderr = "@D/errors-${index}.log"; stdout = "@D/out-${worker}.log";'))
        path = sup.dir + "/errors-0.log"
        driver.eventually(lambda: os.path.exists(path) and driver.read(path) == "err 0\nerr 100\n")
        driver.eventually(lambda: numbers(driver.read(sup.dir + "/out-web.log")) == list(range(150)))
        self.assertEqual(sup.ctl_ok("logs", "--stderr", "web:0"), "err 0\nerr 100\n")

    def test_stderr_null_and_stdout_null(self):
        sup = self.supervisord(fleet(
            quiet='command = "@P/floods 10"; stdout = "null"; stderr = "null";',
            half='command = "@P/floods 10"; stderr = "null";'))
        sup.wait_running()
        sup.wait_stdout("half:0", "^line 9$")
        self.assertNotIn("err", sup.stdout_of("half:0"))
        self.assertEqual(sup.stdout_of("quiet:0"), "")
        self.assertEqual(os.readlink("/proc/%d/fd/1" % sup.pid("quiet:0")), "/dev/null")

    def test_inherit_is_supervisords_own_output(self):
        sup = self.supervisord(fleet(web='command = "@P/floods 10"; stdout = "inherit";'))
        driver.eventually(lambda: numbers(sup.log()) == list(range(10)))

    def test_rotation_keeps_every_byte_and_so_many_files(self):
        sup = self.supervisord(fleet(
            web='command = "@P/floods 5000 0 40"; stderr = "null"; stdout: { file = "@D/web.log"; max_size = "20K"; keep = 20; };',
            few='command = "@P/floods 5000 0 40"; stderr = "null"; stdout: { file = "@D/few.log"; max_size = "20K"; keep = 3; };'))
        for name in ("web", "few"):
            driver.eventually(lambda: "%034d" % 4999 in driver.read("%s/%s.log" % (sup.dir, name)))

        def files(name):
            found = [f for f in os.listdir(sup.dir) if re.fullmatch(name + r"\.log\.\d+", f)]
            return sorted(found, key=lambda f: -int(f.rsplit(".", 1)[1])) + [name + ".log"]
        text = "".join(driver.read(sup.dir + "/" + f) for f in files("web"))
        self.assertEqual(numbers(text), list(range(5000)))
        self.assertEqual(len(files("few")), 4)
        for f in files("web") + files("few"):
            self.assertLessEqual(os.path.getsize(sup.dir + "/" + f), 20 << 10, f)
            self.assertTrue(driver.read(sup.dir + "/" + f).endswith("\n"), "a line is not torn apart")

    def test_rotated_files_are_compressed(self):
        sup = self.supervisord(fleet(
            web='command = "@P/floods 3000 0 40"; stderr = "null"; stdout: { file = "@D/web.log"; max_size = "20K"; keep = 20; compress = true; };'))

        def all_text():
            packed = [f for f in os.listdir(sup.dir) if re.fullmatch(r"web\.log\.\d+\.gz", f)]
            packed.sort(key=lambda f: -int(f.split(".")[2]))
            try:
                return "".join(gzip.open(sup.dir + "/" + f, "rt").read() for f in packed) + \
                    driver.read(sup.dir + "/web.log")
            except (OSError, EOFError):
                return ""
        driver.eventually(lambda: numbers(all_text()) == list(range(3000)))

    def test_timestamps(self):
        sup = self.supervisord(fleet(web='command = "@P/floods 3"; stderr = "null"; stdout: { timestamps = true; };'))
        sup.wait_stdout("web:0", "line 2$")
        for line in sup.stdout_of("web:0").splitlines():
            self.assertRegex(line, r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\S* line \d$")

    def test_usr2_reopens_what_logrotate_moved(self):
        sup = self.supervisord(fleet(web='command = "@P/floods 0 5"; stderr = "null";'))
        sup.wait_stdout("web:0", "^line 9$")
        path = os.path.join(sup.log_dir, "web:0.log")
        os.rename(path, path + ".moved")
        os.kill(sup.guardian(), signal.SIGUSR2)
        driver.eventually(lambda: os.path.exists(path) and len(numbers(driver.read(path))) > 5)
        seen = numbers(driver.read(path + ".moved")) + numbers(driver.read(path))
        self.assertEqual(seen, list(range(len(seen))))

    def test_the_file_goes_on_across_restarts(self):
        sup = self.supervisord(fleet(web='command = "@P/floods 5"; stderr = "null";'))
        sup.wait_stdout("web:0", "^line 4$")
        sup.wait_running()
        sup.ctl_ok("restart", "web")
        driver.eventually(lambda: numbers(sup.stdout_of("web:0")) == list(range(5)) * 2)

    def test_a_last_word_is_not_lost(self):
        sup = self.supervisord(fleet(
            web='command = [ "/bin/sh", "-c", "printf %s unfinished; kill -9 $$" ]; restart = "never"; start_seconds = "0s"; start_retries = 0;'))
        sup.wait_stdout("web:0", "unfinished")

    def test_supervisords_own_log_file_and_json(self):
        sup = self.supervisord(fleet(web='command = "@P/pause";'),
                               master='log: { file = "@D/own.log"; format = "json"; level = "debug"; };')
        sup.wait_running()
        lines = driver.eventually(lambda: driver.read(sup.dir + "/own.log").splitlines())
        for line in lines:
            self.assertIn("message", driver.json.loads(line))


class Asking(driver.Case):
    def test_the_last_lines(self):
        sup = self.supervisord(fleet(web='command = "@P/floods 50"; stderr = "null";'))
        sup.wait_stdout("web:0", "^line 49$")
        self.assertEqual(numbers(sup.ctl_ok("logs", "-n", "3", "web:0")), [47, 48, 49])
        self.assertEqual(sup.ctl("logs", "nobody")[0], 4)

    def test_following(self):
        sup = self.supervisord(fleet(web='command = "@P/floods 0 5"; stderr = "null";'))
        sup.wait_stdout("web:0", "^line 3$")
        follow = subprocess.Popen(
            [driver.SUPERVISORCTL, "-s", sup.socket_path, "logs", "-f", "-n", "2", "web:0"],
            stdout=subprocess.PIPE, text=True, env=sup.environ)
        try:
            seen = [int(follow.stdout.readline().split()[-1]) for _ in range(10)]
            self.assertEqual(seen, list(range(seen[0], seen[0] + 10)))
            sup.kill_master()
            seen = [int(follow.stdout.readline().split()[-1]) for _ in range(30)]
            self.assertEqual(seen, list(range(seen[0], seen[0] + 30)))
        finally:
            follow.kill()
            follow.wait()
            follow.stdout.close()

    def test_a_slow_reader_of_an_inherited_output_holds_nobody_up(self):
        sup = self.supervisord(fleet(
            loud='command = "@P/floods 0"; stdout = "null";', web='command = "@P/pause";'))
        sup.wait_running()
        sup.ctl_ok("restart", "web", timeout=20)
