"""make install, and what a container image does with the result.

A tree installed by DESTDIR and PREFIX runs where it is put; uninstall leaves
nothing of it. supervisord alone, copied into an image with nothing else in it,
is a whole init.
"""

import base64
import errno
import os
import re
import shutil
import stat
import subprocess

import driver

FLAVOUR = os.path.basename(driver.BUILD) if driver.SANITIZED else "release"
PREFIX = "/opt/sup"
PROGRAMS = ["bin/supervisord", "bin/supervisorctl",
            "libexec/supervisord/master", "libexec/supervisord/logger",
            "libexec/supervisord/broker", "libexec/supervisord/worker"]
TEXTS = ["share/man/man1/supervisorctl.1", "share/man/man5/supervisord.cfg.5",
         "share/man/man8/supervisord.8", "share/doc/supervisord/README.md",
         "share/doc/supervisord/LICENSE", "share/doc/supervisord/SCHEMA.md",
         "share/doc/supervisord/TASKS.md", "share/doc/supervisord/redis/README.md",
         "share/doc/supervisord/PROTOCOL.md", "share/doc/supervisord/CONTROL.md",
         "share/doc/supervisord/client/README.md", "share/doc/supervisord/folders",
         "share/man/man7/worker.7", "lib/libsupervisor.a", "lib/pkgconfig/supervisor.pc",
         "include/supervisor/worker.h", "include/supervisor/client.h"] + [
             "share/doc/supervisord/examples/" + name for name in (
                 "cpu.c", "crash.c", "hello.c", "http.c", "worker.py", "supervisor_tasks.py", "demo.cfg",
                 "demo-hash.py", "demo-moody.py", "demo-orders.py", "demo-submit.py")]


def files_below(folder):
    return sorted(os.path.relpath(os.path.join(at, name), folder)
                  for at, _, names in os.walk(folder) for name in names)


# A module that is a client, too: it submits what comes next.
MODULE = """
#include <supervisor/client.h>
#include <supervisor/worker.h>

#include <stdio.h>
#include <string.h>

static void
next(struct sv_task *task)
{
	struct sv_job job = SV_TASK("chain", "last"), other = SV_TASK("nobody", "last");
	struct sv_client *queue;
	struct sv_result result = { .data = NULL };
	uint64_t id;
	char text[256];
	int r = sv_client_new(NULL, &queue);

	if (r < 0) {
		sv_fail(task, "no client: %s", strerror(-r));
		return;
	}
	r = sv_submit(queue, &other, &id);
	snprintf(text, sizeof text, "%d %s", r, sv_client_error(queue)->name);
	if (sv_run(queue, &job, 20000, &result) < 0)
		sv_fail(task, "%s", sv_client_error(queue)->words);
	else
		snprintf(text + strlen(text), 64, " %s", result.data);
	sv_result(task, text, strlen(text));
	sv_result_done(&result);
	sv_client_free(queue);
}

static void
last(struct sv_task *task)
{
	sv_result_json(task, "true");
}

static const struct sv_handler handlers[] = {
	{ "next", SV_BYTES, next },
	{ "last", SV_BYTES, last },
	{ NULL, SV_JSON, NULL },
};

const struct sv_module supervisor_module = {
	.abi = SV_ABI, .name = "chain", .handlers = handlers,
};
"""


class Installed(driver.Case):
    def setUp(self):
        self.dest = self.folder()
        self.tree = self.dest + PREFIX
        self.make("install")

    def make(self, target, **variables):
        variables = {"DESTDIR": self.dest, "PREFIX": PREFIX, "FLAVOUR": FLAVOUR, **variables}
        # -o all: what is tested is this build, not one made on the way.
        done = subprocess.run(
            ["make", "-s", "-C", driver.ROOT, "-o", "all", target,
             *("%s=%s" % pair for pair in variables.items())],
            env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=driver.DEADLINE * 3, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)

    def runs(self, tree, program=None):
        """A fleet, a master killed on the way, the client, the end."""
        sup = self.supervisord('workers: { web: { command = "@P/pause"; processes = 2; }; };',
                               program=program or os.path.join(tree, "bin/supervisord"))
        sup.wait_running()
        info = sup.info()
        for name, path in (("master_pid", "libexec/supervisord/master"),
                           ("logger_pid", "libexec/supervisord/logger")):
            self.assertEqual(os.readlink("/proc/%d/exe" % info[name]),
                             os.path.realpath(os.path.join(tree, path)))
        sup.kill_master()
        out = subprocess.run([os.path.join(tree, "bin/supervisorctl"), "-c", sup.config_path,
                              "status"], stdout=subprocess.PIPE, text=True, check=True,
                             timeout=driver.DEADLINE).stdout
        self.assertEqual(out.count("RUNNING"), 2)
        self.assertEqual(sup.shutdown(), 0)

    def test_every_file_is_there_and_readable_by_all(self):
        self.assertEqual(files_below(self.tree), sorted(PROGRAMS + TEXTS))
        for name in PROGRAMS + TEXTS:
            mode = stat.S_IMODE(os.stat(os.path.join(self.tree, name)).st_mode)
            self.assertEqual(mode, 0o755 if name in PROGRAMS else 0o644, name)

    def flags(self, *what):
        """As the man pages say, by pkg-config."""
        return subprocess.run(
            ["pkg-config", *what, "supervisor"], stdout=subprocess.PIPE, text=True, check=True,
            env={**os.environ, "PKG_CONFIG_PATH": self.tree + "/lib/pkgconfig",
                 "PKG_CONFIG_SYSROOT_DIR": self.dest}).stdout.split()

    def compile(self, *args):
        done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""), args)

    def test_each_example_is_built_as_worker_7_says(self):
        examples = self.tree + "/share/doc/supervisord/examples/"
        for name in ("cpu", "crash", "hello", "http"):
            self.compile("cc", "-shared", "-fPIC", "-Wall", "-Werror=implicit-function-declaration",
                         *self.flags("--cflags"), "-o", "%s/%s.so" % (self.dest, name),
                         examples + name + ".c")

    def test_a_module_may_submit_tasks(self):
        """Both headers in one file, in C and in C++."""
        source = driver.write(self.dest + "/both.c", """
            #include <supervisor/client.h>
            #include <supervisor/worker.h>
            int both(struct sv_task *task, struct sv_client *queue);
            int both(struct sv_task *task, struct sv_client *queue)
            {
                struct sv_job next = SV_TASK("web", task->func);
                struct sv_result result;
                int r = sv_run(queue, &next, -1, &result);
                if (r == 0)
                    r = sv_result(task, result.data, result.size);
                sv_result_done(&result);
                return r;
            }
            """)
        for cc in (["cc", "-std=c11"], ["c++", "-std=c++11", "-x", "c++"]):
            self.compile(*cc, "-shared", "-fPIC", "-Wall", "-Wextra", *self.flags("--cflags"),
                         "-o", self.dest + "/both.so", source, *self.flags("--libs"))

    def test_the_tree_runs_where_it_is(self):
        self.runs(self.tree)

    def test_a_module_is_built_against_it_and_may_be_a_client(self):
        environ = dict(os.environ, PKG_CONFIG_SYSROOT_DIR=self.dest,
                       PKG_CONFIG_PATH=os.path.join(self.tree, "lib/pkgconfig"))
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "supervisor"], env=environ,
                               stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        flags += {"asan": ["-fsanitize=address,undefined"], "tsan": ["-fsanitize=thread"]}.get(
            FLAVOUR, [])
        folder = self.folder()
        source = driver.write(os.path.join(folder, "chain.c"), MODULE)
        module = source[:-2] + ".so"
        subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", module, source,
                        *flags], check=True)
        sup = self.supervisord('workers: { chain: { module = "%s"; threads = 2; processes = 1; '
                               'tasks: {}; }; };' % module,
                               program=os.path.join(self.tree, "bin/supervisord"))
        sup.wait_running()
        task = sup.rpc("submit", worker="chain", func="next", wait=True)
        self.assertEqual(task["state"], "done", task["error"])
        self.assertEqual(base64.b64decode(task["result"]["base64"]).decode(),
                         "%d unknown-worker true" % -errno.EREMOTEIO)

    def test_the_tree_may_be_moved(self):
        other = os.path.join(self.folder(), "else where")
        os.rename(self.tree, other)
        self.runs(other)

    def test_a_link_to_the_program_runs(self):
        link = os.path.join(self.folder(), "supervisord")
        os.symlink(os.path.join(self.tree, "bin/supervisord"), link)
        self.runs(self.tree, program=link)

    def test_the_build_folder_has_the_same_layout(self):
        copy = os.path.join(self.folder(), "build")
        os.makedirs(os.path.join(copy, "libexec/supervisord"))
        for name in ("supervisord", "libexec/supervisord/master", "libexec/supervisord/logger"):
            shutil.copy(os.path.join(driver.BUILD, name), os.path.join(copy, name))
        sup = self.supervisord(driver.fleet(web='command = "@P/pause";'),
                               program=os.path.join(copy, "supervisord"))
        sup.wait_running()
        self.assertEqual(sup.shutdown(), 0)

    def test_links_of_the_pages_lead_somewhere(self):
        for page in (name for name in TEXTS if name.endswith(".md")):
            text = driver.read(os.path.join(self.tree, page))
            links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if ":" not in link]
            for link in links:
                path = os.path.join(self.tree, os.path.dirname(page), link)
                self.assertTrue(os.path.exists(path), "%s: %s" % (page, link))
            self.assertTrue(links or not page.endswith("supervisord/README.md"))

    def test_uninstall_removes_the_folders_it_made(self):
        kept = os.path.join(self.tree, "share/man")
        self.make("uninstall")
        self.assertEqual(os.listdir(self.dest), ["opt"])
        self.assertEqual(os.listdir(os.path.join(self.dest, "opt")), [])
        os.makedirs(kept)
        self.make("install")
        self.make("install") # once more does not make them anybody's own
        self.make("uninstall")
        self.assertEqual([at for at, _, _ in os.walk(self.tree)],
                         [self.tree, self.tree + "/share", kept])

    def test_uninstall_leaves_nothing(self):
        self.make("uninstall")
        self.assertEqual(files_below(self.dest), [])
        self.assertFalse(os.path.exists(self.tree + "/libexec/supervisord"))
        self.assertFalse(os.path.exists(self.tree + "/share/doc/supervisord"))
        self.make("uninstall") # and may be called again

    def test_uninstall_leaves_what_is_not_its_own(self):
        other = driver.write(os.path.join(self.tree, "bin/other"), "")
        self.make("uninstall")
        self.assertEqual(files_below(self.dest), [os.path.relpath(other, self.dest)])

    def test_install_over_a_running_one_disturbs_nobody(self):
        sup = self.supervisord(driver.fleet(web='command = "@P/pause";'),
                               program=os.path.join(self.tree, "bin/supervisord"))
        sup.wait_running()
        before = sup.pids()
        self.make("install")
        sup.kill_master()
        self.assert_same_pids(sup, before)
        self.assertEqual(sup.shutdown(), 0)

    def test_the_prefix_is_usr_local_if_none_is_given(self):
        done = subprocess.run(["make", "-n", "-C", driver.ROOT, "-o", "all", "install",
                               "DESTDIR=" + self.dest, "FLAVOUR=" + FLAVOUR],
                              env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")},
                              stdout=subprocess.PIPE, text=True, check=True)
        self.assertIn(self.dest + "/usr/local/bin/", done.stdout)


class Image(driver.Case):
    """A folder with one or two static programs in it, as the root of all."""

    def setUp(self):
        if driver.SANITIZED:
            self.skipTest("a sanitized supervisord is not static")
        self.root = self.folder()

    def put(self, path, name):
        shutil.copy(path, os.path.join(self.root, name))

    def test_supervisord_is_static(self):
        headers = subprocess.run(["readelf", "-l", driver.SUPERVISORD], stdout=subprocess.PIPE,
                                 text=True, check=True).stdout
        self.assertNotIn("INTERP", headers)

    def test_alone_it_is_a_whole_init(self):
        self.as_root("chroot")
        self.put(os.path.join(driver.PROGRAMS, "exits"), "exits")
        for name, options in (("supervisord", ["--init", "-s", "--"]), ("tini", ["-s", "--"]),
                              ("dumb-init", [])):
            self.put(driver.SUPERVISORD, name)
            for command, status in ((["/exits", "7"], 7), (["exits", "0"], 0), (["/nix"], 127)):
                done = subprocess.run(["/" + name, *options, *command], env={"PATH": "/"},
                                      preexec_fn=lambda: (os.chroot(self.root), os.chdir("/")),
                                      stderr=subprocess.PIPE, timeout=driver.DEADLINE,
                                      check=False)
                self.assertEqual(done.returncode, status, done.stderr)

    def test_alone_with_a_config_it_says_what_is_missing(self):
        self.put(driver.SUPERVISORD, "supervisord")
        config = driver.write(os.path.join(self.root, "fleet.cfg"), "workers: {};")
        for args in ([], ["--check"]):
            done = subprocess.run([os.path.join(self.root, "supervisord"), "-c", config, *args],
                                  stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                                  timeout=driver.DEADLINE, check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("libexec/supervisord", done.stderr)
            self.assertIn("master", done.stderr)
