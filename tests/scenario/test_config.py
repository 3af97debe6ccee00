"""From the command line and the config file: what is refused, and in which
words; --check, --daemon, lookup, a second supervisord."""

import os
import signal
import subprocess

import driver
from driver import fleet


def run(*args, cwd=None, environ=None, timeout=30, program=driver.SUPERVISORD):
    done = subprocess.run([program, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=timeout, check=False,
                          cwd=cwd, env=dict(os.environ, **(environ or {})))
    return done.returncode, done.stdout, done.stderr


class Check(driver.Case):
    def check(self, text, *patterns, environ=None):
        """Every pattern is in what --check says of the text; none: it is good."""
        folder = self.folder()
        path = driver.write(folder + "/fleet.cfg", text.replace("@D", folder).replace("@P/", driver.PROGRAMS + "/"))
        status, out, err = run("--check", "-c", path, environ=environ)
        self.assertEqual(status, 2 if patterns else 0, text + "\n" + out + err)
        for pattern in patterns:
            self.assertRegex(out + err, pattern, text)
        return out + err

    def test_a_good_one(self):
        self.check(fleet(web='command = "@P/pause"; processes = 3;'))

    def test_a_good_one_with_all_the_rest(self):
        self.check(fleet(web='command = "@P/pause"; sockets = [ "http" ];',
                         jobs='command = "@P/pause"; tasks: { retries = 2; }; autoscale: { max = 2; };') + """
            sockets: { http: { listen = "unix://web.sock"; }; };
            schedules: { nightly: { task = "jobs"; func = "sweep"; args = "[ 1 ]"; cron = "0 3 * * *"; timezone = "UTC"; }; };
        """)

    def test_errors_of_sockets_and_schedules(self):
        self.check(fleet(web='command = "@P/pause";') + """
            sockets: { http: { listen = "8080"; }; };
            schedules: { nightly: { task = "web"; func = "f"; cron = "0 25 * * *"; timezone = "Mars/Olympus"; }; };
        """, r"sockets\.http\.listen: .*tcp://HOST:PORT", r"nightly\.task: .*takes no tasks",
            r"nightly\.cron: .*hour \"25\": not within 0 to 23", r'nightly\.timezone: .*"Mars/Olympus"')

    def worker(self, settings, *patterns):
        return self.check('workers: {\n  web: {\n    %s\n  };\n};\n' % settings, *patterns)

    def test_errors_of_a_worker(self):
        cases = [
            ('command = "x"; proceses = 3;', r'fleet\.cfg:3: workers\.web\.proceses: unknown setting \(did you mean "processes"\?\)'),
            ('processes = 3;', r"web.*command"),
            ('command = "";', r"web\.command"),
            ('command = 7;', r"web\.command"),
            ('command = [ ];', r"web\.command"),
            ('command = "unclosed \' quote";', r"web\.command.*closing '"),
            ('command = "x"; processes = "many";', r"web\.processes"),
            ('command = "x"; processes = -1;', r"web\.processes"),
            ('command = "x"; processes = 100000;', r"web\.processes"),
            ('command = "x"; processes = 5000000000;', r":3: "),
            ('command = "x"; processes = 1.5;', r"web\.processes"),
            ('command = "x"; autostart = "yes";', r"web\.autostart"),
            ('command = "x"; restart = "sometimes";', r"web\.restart.*always.*on-failure.*never"),
            ('command = "x"; restart = "onfailure";', r'web\.restart.*on-failure'),
            ('command = "x"; exit_codes = [ 256 ];', r"web\.exit_codes"),
            ('command = "x"; exit_codes = [ "a" ];', r"web\.exit_codes"),
            ('command = "x"; start_seconds = "1 fortnight";', r"web\.start_seconds"),
            ('command = "x"; start_seconds = -1;', r"web\.start_seconds"),
            ('command = "x"; start_retries = -2;', r"web\.start_retries"),
            ('command = "x"; stop_signal = "TREM";', r"web\.stop_signal"),
            ('command = "x"; stop = [ "TERM 1s", "INT 2s" ]; stop_signal = "HUP";', r"web\.stop"),
            ('command = "x"; stop_scope = "forest";', r"web\.stop_scope.*tree"),
            ('command = "x"; umask = "0999";', r"web\.umask"),
            ('command = "x"; backoff: { initial = "1s"; maxx = "2s"; };', r'web\.backoff\.maxx.*"max"'),
            ('command = "x"; backoff: { factor = 0.5; };', r"web\.backoff\.factor"),
            ('command = "x"; stdout: { max_size = "10 bananas"; };', r"web\.stdout\.max_size"),
            ('command = "x"; environment: { A = 1; }; environment_file = "/nonexistent/env";', r"/nonexistent/env"),
            ('command = "x ${NOT_SET_ANYWHERE}";', r"NOT_SET_ANYWHERE"),
            ('command = "x"; command = "y";', r":3: "),
            ('module = "a.so"; command = "x";', r"web\.module: can't be set together with command"),
            ('command = "x"; sockets = [ "http" ];', r'web\.sockets.*there is no socket "http"'),
            ('command = "x"; tasks: { mode = "exec"; }; threads = 2;', r"web\.threads: must be 1"),
            ('command = "x"; autoscale: { min = 2; };', r"web\.autoscale: needs"),
            ('command = "x"; user = "www";', r"web\.user.*not supported"),
            ('command = "x"; requires = [ "db" ];', r"web\.requires.*not supported"),
            ('command = "x"; ready = "notify";', r"web\.ready.*not supported"),
        ]
        for settings, pattern in cases:
            with self.subTest(settings):
                self.worker(settings, pattern)

    def test_every_error_in_one_go(self):
        out = self.check("""master: { lgo = { }; exit_with = "nobody"; };
workers: {
  a: { comand = "x"; };
  b: { command = "x"; processes = "x"; umask = 9; };
  c d: 7;
};
""".replace("  c d: 7;\n", ""), r":1: master\.lgo", r"exit_with.*nobody", r":3: workers\.a\.comand",
                         r":4: workers\.b\.processes", r":4: workers\.b\.umask")
        lines = [int(l.split("fleet.cfg:")[1].split(":")[0]) for l in out.splitlines() if "fleet.cfg:" in l]
        self.assertEqual(lines, sorted(lines))

    def test_syntax(self):
        for text in ("workers: {", "workers: { web: { command = \"x; }; };", "workers: { /* web: {} };",
                     "workers = 7;", "nonsense", "\0", "{" * 5000, "workers: { \"web\": {} };",
                     "wrokers: { };", "http: { };", "groups: { };"):
            with self.subTest(text[:30]):
                self.check(text, r"fleet\.cfg:\d+: ")

    def test_names_that_cannot_be_targets(self):
        for name in ("all", "x" * 80):
            with self.subTest(name):
                self.check('workers: { %s: { command = "x"; }; };' % name, "name|long|reserved|target")
        for name in ("", "a b", "a:b", "../x", "a/b", "-x", "é", "a\\n"):
            with self.subTest(name):
                self.check('workers = ( { name = "%s"; command = "x"; } );' % name, r":1: ")

    def test_workers_as_a_list(self):
        self.check('workers = ( { name = "a"; command = "x"; }, { name = "b.c"; command = "y"; } );')
        self.check('workers = ( { name = "a"; command = "x"; }, { name = "a"; command = "y"; } );', "a.*twice|already|defined")
        self.check('workers = ( { command = "x"; } );', "name")

    def test_includes(self):
        folder = self.folder()
        write = lambda name, text: driver.write(folder + "/" + name, text)
        top = write("top.cfg", 'include = [ "conf.d/*.cfg" ];\nworkers: { a: { command = "x"; }; };\n')
        self.assertEqual(run("--check", "-c", top)[0], 0)
        write("conf.d/b.cfg", 'workers: { b: { command = "./b"; directory = "here"; }; };\n')
        self.assertEqual(run("--check", "-c", top)[0], 0)
        write("conf.d/c.cfg", '\nworkers: { a: { command = "y"; }; };\n')
        status, out, err = run("--check", "-c", top)
        self.assertEqual(status, 2)
        self.assertRegex(out + err, r"c\.cfg:2")
        self.assertRegex(out + err, r"top\.cfg:2")
        write("conf.d/c.cfg", 'workers: { c: { comand = "y"; }; };\n')
        self.assertRegex("".join(run("--check", "-c", top)[1:]), r"conf\.d/c\.cfg:1: workers\.c\.comand")
        write("conf.d/c.cfg", '@include "/"\n')
        self.assertEqual(run("--check", "-c", top)[0], 2)
        write("top.cfg", 'include = [ "missing.cfg" ];\n')
        self.assertRegex("".join(run("--check", "-c", top)[1:]), r"top\.cfg:1: .*missing\.cfg")
        write("top.cfg", 'include = [ "top.cfg" ];\n')
        self.assertEqual(run("--check", "-c", top)[0], 2)

    def test_relative_paths_are_relative_to_the_file_that_names_them(self):
        sup = self.supervisord(start=False)
        os.makedirs(sup.dir + "/conf.d/work")
        shutil_copy(driver.PROGRAMS + "/envdump", sup.dir + "/conf.d/mine")
        driver.write(sup.dir + "/conf.d/w.cfg",
                     'workers: { w: { command = "./mine"; directory = "work"; stdout = "w.log"; }; };')
        sup.top = 'include = [ "conf.d/*.cfg" ];'
        sup.configure("")
        sup.start()
        path = sup.dir + "/conf.d/w.log"
        driver.eventually(lambda: os.path.exists(path) and "end" in driver.read(path))
        self.assertIn("cwd=%s/conf.d/work\n" % sup.dir, driver.read(path))

    def test_check_by_the_client(self):
        sup = self.supervisord(fleet(web='command = "@P/pause";'), start=False)
        self.assertEqual(sup.ctl_with([], "check", sup.config_path)[0], 0)
        sup.configure(fleet(web='comand = "x";'))
        status, out, err = sup.ctl_with([], "check", sup.config_path)
        self.assertEqual(status, 2, out + err)
        self.assertIn("comand", out + err)


def shutil_copy(source, target):
    import shutil # pylint: disable=import-outside-toplevel
    shutil.copy2(source, target)


class CommandLine(driver.Case):
    def test_help_and_version(self):
        for program in (driver.SUPERVISORD, driver.SUPERVISORCTL):
            status, out, _ = run("--help", program=program)
            self.assertEqual(status, 0)
            self.assertIn("sage", out)
            status, out, _ = run("--version", program=program)
            self.assertEqual(status, 0)
            self.assertRegex(out, r"\d+\.\d+\.\d+")

    def test_usage_errors(self):
        for args in (["--nosuch"], ["-c"], ["-c", "/nonexistent/x.cfg"], ["--check", "-c", "/"], ["surplus"]):
            status, out, err = run(*args, cwd=self.folder())
            self.assertEqual(status, 2, (args, out, err))
            self.assertTrue(err, args)

    def test_no_config_at_all(self):
        if os.path.exists("/etc/supervisord/supervisord.cfg"):
            self.skipTest("there is a config in /etc")
        status, _, err = run(cwd=self.folder())
        self.assertEqual(status, 2)
        self.assertIn("supervisord.cfg", err)

    def test_a_bad_config_starts_nothing(self):
        sup = self.supervisord(fleet(a='command = "@P/stamp @D/started";', b='comand = "x";'), start=False)
        sup.start(wait=False)
        self.assertEqual(sup.wait_end(), 2)
        self.assertIn("comand", sup.log())
        self.assertFalse(os.path.exists(sup.dir + "/started"))
        self.assertFalse(os.path.exists(sup.state_dir))

    def test_a_config_in_the_current_folder(self):
        sup = self.supervisord(fleet(web='command = "@P/pause";'), start=False)
        os.rename(sup.config_path, sup.dir + "/supervisord.cfg")
        sup.wrap = ["sh", "-c", 'exec "$1"', "sh"]
        sup.start()
        sup.wait_running()

    def test_a_second_one_on_the_same_state_is_refused_and_names_the_first(self):
        sup = self.supervisord(fleet(web='command = "@P/pause";'))
        sup.wait_running()
        before = sup.pids()
        status, out, err = run("-c", sup.config_path)
        self.assertEqual(status, 1, out + err)
        self.assertIn(str(sup.guardian()), out + err)
        self.assertEqual(sup.pids(), before)
        self.assertEqual(sup.ctl("status")[0], 0, "the first one's socket is its own still")
        master = sup.kill_master()
        self.assertEqual(run("-c", sup.config_path)[0], 1, "the lock outlives a master")
        self.assertEqual(sup.master(), master)
        self.assertEqual(sup.shutdown(), 0)
        sup.start()
        sup.wait_running()

    def test_daemon(self):
        sup = self.supervisord(fleet(web='command = "@P/pause";'), start=False)
        sup.start("--daemon", wait=False)
        self.assertEqual(sup.wait_end(), 0)
        guardian = sup.guardian() # it answers by the time the first one ends
        sup.wait_running()
        self.assertNotEqual(guardian, sup.command_pid)
        self.assertEqual(driver.stat_of(guardian)[1], sup.nursery.process.pid, "nobody's child")
        self.assertNotEqual(driver.stat_of(guardian)[3], driver.stat_of(sup.nursery.process.pid)[3])
        os.kill(guardian, signal.SIGTERM)
        driver.gone(guardian)
        sup.wait_empty()

    def test_daemon_with_a_bad_config_says_so_and_fails(self):
        sup = self.supervisord(fleet(web='comand = "@P/pause";'), start=False)
        sup.start("--daemon", wait=False)
        self.assertEqual(sup.wait_end(), 2)
        self.assertIn("comand", sup.log())
        sup.wait_empty()
