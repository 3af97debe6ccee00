"""The hybrid worker with the http example against nginx and Apache's event MPM:
2 processes each, access logs off, a 100-byte answer on loopback, wrk as the
client. All are up at once and measured in turn, in rounds."""

import os
import shutil
import socket
import subprocess
import time

import measure
from cases import attempt, case
from fleets import Fleet, Ours
from measure import BenchError, Result, median, table

BODY = "x" * 99 + "\n"
# name, connections, more headers
LOADS = [("keep-alive, 16", 16, []),
         ("keep-alive, 64", 64, []),
         ("no keep-alive, 16", 16, ["Connection: close"])]
TARGET = round(1 / 1.3, 2)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def program(name):
    """Servers are in sbin, which users have not in PATH."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


class Server(Fleet):
    """A Fleet that serves http on `port`, files below `root`."""

    path = "/"

    def __init__(self, bench):
        self.port = free_port()
        super().__init__(bench, 2)

    def write_root(self):
        # Apache's processes give root's rights up.
        os.chmod(self.bench.dir, 0o711)
        self.root = os.path.join(self.dir, "root")
        os.mkdir(self.root)
        with open(os.path.join(self.root, "page"), "w") as f:
            f.write(BODY)

    def ready(self, timeout=20):
        self.start()
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.process.poll() is None:
            try:
                return self.check()
            except OSError:
                time.sleep(0.02)
        raise BenchError("%s does not serve" % self.name)

    def check(self):
        """It answers what is measured."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
            s.sendall(b"GET %s HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
                      % self.path.encode())
            got = b"".join(iter(lambda: s.recv(4096), b""))
        if not got.startswith(b"HTTP/1.1 200") or len(got.partition(b"\r\n\r\n")[2]) != 100:
            raise BenchError("%s answers %r" % (self.name, got[:300]))
        return self


class Hybrid(Server, Ours):
    name = "supervisord, 2 x 8 threads"
    env = ""

    def prepare(self):
        self.write_root()
        self.config = os.path.join(self.dir, "bench.cfg")
        with open(self.config, "w") as f:
            f.write('master: { state_dir = "%s/state"; run_dir = "%s/run"; log = { level = "warn"; }; };\n'
                    'sockets: { http: { listen = "tcp://127.0.0.1:%d"; }; };\n'
                    'workers: { w: { module = "%s/examples/http.so"; processes = 2; threads = 8;\n'
                    '  sockets = [ "http" ]; stdout = "null"; start_seconds = 0; %s }; };\n'
                    % (self.dir, self.dir, self.port, self.bench.build, self.env % vars(self)))


class HybridFile(Hybrid):
    name = "supervisord, a file"
    path = "/page"
    env = 'environment: { HTTP_ROOT = "%(root)s"; };'


class Nginx(Server):
    name = "nginx"
    location = 'return 200 "%s\\n";' % BODY.strip()

    def prepare(self):
        self.write_root()
        self.config = os.path.join(self.dir, "nginx.conf")
        with open(self.config, "w") as f:
            f.write("daemon off; worker_processes 2; pid %(dir)s/pid; error_log stderr;\n"
                    "%(user)s\n"
                    "events { worker_connections 1024; }\n"
                    "http { access_log off; keepalive_requests 1000000000; default_type text/plain;\n"
                    "  sendfile on; tcp_nopush on;\n"
                    "  client_body_temp_path %(dir)s/body; proxy_temp_path %(dir)s/proxy;\n"
                    "  fastcgi_temp_path %(dir)s/fastcgi; uwsgi_temp_path %(dir)s/uwsgi;\n"
                    "  scgi_temp_path %(dir)s/scgi;\n"
                    "  server { listen 127.0.0.1:%(port)d; root %(root)s;\n"
                    "    location / { %(location)s } } }\n" % {
                        "dir": self.dir, "root": self.root, "port": self.port,
                        "location": self.location,
                        "user": "user root;" if os.geteuid() == 0 else ""})

    def argv(self):
        return [program("nginx"), "-p", self.dir, "-e", "stderr", "-c", self.config]


class NginxFile(Nginx):
    name = "nginx, a file"
    path = "/page"
    location = ""


class Apache(Server):
    name = "Apache event, a file"
    path = "/page"

    def prepare(self):
        self.write_root()
        self.config = os.path.join(self.dir, "apache.conf")
        with open(self.config, "w") as f:
            f.write("""ServerRoot %(dir)s
ServerName localhost
Listen 127.0.0.1:%(port)d
PidFile %(dir)s/pid
ErrorLog %(dir)s/error.log
LoadModule mpm_event_module %(modules)s/mod_mpm_event.so
LoadModule authz_core_module %(modules)s/mod_authz_core.so
%(user)s
StartServers 2
ServerLimit 2
ThreadsPerChild 25
MaxRequestWorkers 50
MinSpareThreads 1
MaxSpareThreads 50
KeepAlive On
MaxKeepAliveRequests 0
DocumentRoot %(root)s
<Directory %(root)s>
Require all granted
AllowOverride None
</Directory>
""" % {"dir": self.dir, "root": self.root, "port": self.port, "modules": apache_modules(),
       "user": "User nobody\nGroup nogroup" if os.geteuid() == 0 else ""})
        os.chmod(self.dir, 0o755)

    def argv(self):
        return [program("apache2"), "-DFOREGROUND", "-f", self.config]


def apache_modules():
    return "/usr/lib/apache2/modules"


def servers(bench):
    kinds = [Hybrid, HybridFile] if bench.have_ours() else []
    if bench.peers and program("nginx"):
        kinds += [Nginx, NginxFile]
    if bench.peers and program("apache2") and os.path.isdir(apache_modules()):
        kinds += [Apache]
    return kinds


def processor_time(server):
    return sum(measure.cpu_seconds(pid) for pid in server.supervisors(()))


def wrk(bench, server, connections, headers, seconds):
    """(requests a second, us of processor time for each, p99 in ms)"""
    argv = ["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds, "--latency"]
    for header in headers:
        argv += ["-H", header]
    before = processor_time(server)
    done = subprocess.run(argv + ["http://127.0.0.1:%d%s" % (server.port, server.path)],
                          stdout=subprocess.PIPE, stderr=bench.stderr, text=True, timeout=60)
    took = processor_time(server) - before
    said = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.split()}
    if done.returncode != 0 or "Requests/sec:" not in said or "Non-2xx" in said:
        raise BenchError("wrk against %s: %s" % (server.name, done.stdout))
    if "Socket" in said:
        print("  (%s: %s)" % (server.name, " ".join(said["Socket"])))
    count = next(int(line.split()[0]) for line in done.stdout.splitlines()
                 if " requests in " in line)
    return (float(said["Requests/sec:"][1]), took / max(1, count) * 1e6,
            milliseconds(said["99%"][1]))


def milliseconds(text):
    for unit, factor in (("us", 0.001), ("ms", 1), ("s", 1000), ("m", 60000)):
        if text.endswith(unit):
            return float(text[:-len(unit)]) * factor
    raise BenchError("wrk says %s" % text)


def compare(name, runs):
    """The table of one load, and its line of the summary."""
    rates = {kind: median([r[0] for r in got]) for kind, got in runs.items() if got}
    if Hybrid not in rates:
        return []
    table([name + " connections", "requests", "ratio", "processor", "p99"],
          [[kind.name, "%.0f/s" % rate, "%.2f" % (rates[Hybrid] / rate),
            "%.1f us" % median([r[1] for r in runs[kind]]),
            "%.1f ms" % median([r[2] for r in runs[kind]])] for kind, rate in rates.items()])
    against = {kind: rates[Hybrid] / rates[kind] for kind in (Nginx, Apache) if kind in rates}
    if not against:
        return []
    # The target is the cost of a request within 1.3 times that of one of them.
    words = ", ".join("%.2fx %s" % (ratio, kind.name.split()[0])
                      for kind, ratio in against.items())
    return [Result("http, " + name, max(against.values()), TARGET, words, at_least=True)]


@case("http")
def http(bench):
    """A static answer of 100 bytes, against nginx and Apache's event MPM."""
    if not program("wrk"):
        print("  (left out: there is no wrk)\n")
        return []
    up, results = [], []
    try:
        for kind in servers(bench):
            server = kind(bench)
            up.append(server)
            server.ready()
        for name, connections, headers in LOADS:
            runs = {type(server): [] for server in up}
            for _ in range(bench.rounds(3, 5)):
                for server in up:
                    got = attempt(wrk, bench, server, connections, headers,
                                  bench.rounds(1, 2))
                    runs[type(server)] += [got] if got else []
            results += compare(name, runs)
    finally:
        for server in up:
            server.stop()
    return results
