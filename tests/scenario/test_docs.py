"""What README.md and the man pages show is run, so that it stays true.

README: a block marked cfg is the config, a block marked sh is run line by line
in a folder with that config. Man pages: the configs of supervisord.cfg(5) are
checked; every command and setting a page must name is asked of the program.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import unittest

import driver

README = os.path.join(driver.ROOT, "README.md")
CONFIG_PAGE = os.path.join(driver.ROOT, "config", "supervisord.cfg.5")
CTL_PAGE = os.path.join(driver.ROOT, "supervisord", "ctl", "supervisorctl.1")

# Exit statuses of a line of README other than 0.
OTHER = {"supervisorctl status": (0, 3), "supervisorctl --json status": (0, 3)}


def blocks(text, kind):
    return re.findall(r"^```%s\n(.*?)^```$" % kind, text, re.M | re.S)


def literals(page):
    """The .Bd -literal blocks of a man page, as a reader sees them."""
    found = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", driver.read(page),
                       re.M | re.S)
    return [re.sub(r"\\&", "", block).replace("\\e", "\\").replace("\\(dq", '"')
            for block in found]


def looks_like_config(block):
    return re.match(r"\s*(//.*\n\s*|#.*\n\s*|/\*.*?\*/\s*)*"
                    r"(include|master|control|defaults|workers)\s*[:=]",
                    block, re.S)


class Docs(driver.Case):
    """Runs programs in a folder, with the build first in PATH."""

    def setUp(self):
        self.dir = self.folder()
        self.environ = {k: v for k, v in os.environ.items()
                        if not k.startswith(("SUPERVISOR", "XDG_"))}
        self.environ.update(
            PATH=driver.BUILD + os.pathsep + os.environ["PATH"],
            SUPERVISOR_TEST=self.dir, LC_ALL="C.UTF-8")
        self.addCleanup(self.end_all)

    def end_all(self):
        for pid in driver.marked(self.dir):
            os.kill(pid, signal.SIGKILL)

    def sh(self, line, ok=(0,)):
        # Into a file: a daemon that keeps the descriptor holds up nobody.
        path = os.path.join(self.dir, "said")
        with open(path, "w+", encoding="utf-8") as out:
            status = subprocess.run(
                ["sh", "-c", line], cwd=self.dir, env=self.environ, timeout=60,
                stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, check=False).returncode
        text = driver.read(path)
        self.assertIn(status, ok, "%s\n%s" % (line, text))
        return text


class Readme(Docs):
    def test_what_it_shows_works(self):
        text = driver.read(README)
        configs = blocks(text, "cfg")
        self.assertEqual(len(configs), 1)
        driver.write(os.path.join(self.dir, "supervisord.cfg"), configs[0])
        for block in blocks(text, "sh"):
            for line in block.splitlines():
                line = line.partition("#")[0].strip()
                if line.startswith("make "):
                    self.check_target(line.split()[1])
                elif line:
                    self.sh(line, OTHER.get(line, (0,)))
        self.assertEqual(driver.marked(self.dir), [], "left behind")

    def check_target(self, name):
        makefile = driver.read(os.path.join(driver.ROOT, "Makefile"))
        self.assertRegex(makefile, r"(?m)^%s:" % re.escape(name))

    def test_its_links_lead_somewhere(self):
        for link in re.findall(r"\]\(([^)#]+)\)", driver.read(README)):
            if "://" not in link:
                self.assertTrue(
                    os.path.exists(os.path.join(driver.ROOT, link)), link)

    def test_the_tests_it_names_exist(self):
        for module, name in re.findall(r"`(test_\w+)\.(\w+)",
                                       driver.read(README)):
            path = os.path.join(driver.ROOT, "tests", "scenario",
                                module + ".py")
            self.assertRegex(driver.read(path),
                             r"(?m)^class %s\b|def %s\b" % (name, name))

    def test_it_is_short(self):
        self.assertLess(len(driver.read(README).splitlines()), 200)


class ManPages(Docs):
    def test_configs_of_the_config_page_are_valid(self):
        found = [b for b in literals(CONFIG_PAGE) if looks_like_config(b)]
        self.assertGreater(len(found), 0)
        os.mkdir(os.path.join(self.dir, "conf.d"))
        self.environ.update(HOME=self.dir)
        for number, block in enumerate(found):
            path = os.path.join(self.dir, "%d.cfg" % number)
            driver.write(path, block)
            said = self.sh("supervisord --check -c %s" % shlex.quote(path),
                           ok=(0, 1, 2))
            self.assertNotRegex(said, r":\d+: ", block)

    def test_every_command_is_described(self):
        page = driver.read(CTL_PAGE)
        usage = self.sh("supervisorctl --help")
        commands = re.findall(r"(?m)^  ([a-z]+)\b", usage)
        self.assertIn("status", commands)
        for command in commands:
            self.assertRegex(page, r"\b%s\b" % command)

    def test_every_error_of_the_queue_is_described(self):
        page = driver.read(CTL_PAGE)
        rows = re.findall(r'(?m)^QERR\(\w+, *"([a-z-]+)", *(\d)', driver.read(
            os.path.join(driver.ROOT, "supervisord", "broker", "errors.def")))
        self.assertGreater(len(rows), 10)
        for name, status in rows:
            if status != "0":
                self.assertTrue(".It Li %s Pq %s\n" % (name, status) in page, name)

    def test_the_queries_of_the_schema_page_run(self):
        sup = self.supervisord('workers: { web: { command = "@P/pause"; }; };')
        sup.wait_running()
        sup.wait_db("select * from recent_events")
        page = driver.read(os.path.join(driver.ROOT, "state", "SCHEMA.md"))
        queries = re.findall(r"(?m)^    (sqlite3 .*)$", page)
        self.assertGreater(len(queries), 0)
        for query in queries:
            self.sh(query.replace("/var/lib/supervisord/state.db", sup.db_path))

    def test_json_after_the_command_as_its_page_has_it(self):
        sup = self.supervisord('workers: { web: { command = "@P/pause"; }; };')
        sup.wait_running()
        self.environ["SUPERVISORCTL_SOCKET"] = sup.socket_path
        for line in ("supervisorctl status --json",
                     "supervisorctl --json status"):
            names = [row["name"] for row in json.loads(self.sh(line))]
            self.assertEqual(names, ["web:0"])


if __name__ == "__main__":
    unittest.main()
