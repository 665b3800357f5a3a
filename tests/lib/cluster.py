"""The system under test, as processes on loopback: `hearth standalone`, or a collector, aggregators and
a query service over a real Kafka (HEARTH_TEST_KAFKA, from lib/with-services) and a real Redis.

Binaries come from HEARTH_BIN (a build's bin directory). Whatever is started is ended by its pid.
"""
import ctypes
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

BIN = os.environ.get("HEARTH_BIN", os.path.join(os.path.dirname(__file__), "../../build/release/bin"))
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
DATA = os.path.abspath(os.path.join(ROOT, "../shared/data"))
OWN_DATA = os.path.join(ROOT, "tests/data")
ORACLE = os.path.join(ROOT, "build/tools/oracle")
FIXED_PORTS = range(20000, 32000)
_next_port = FIXED_PORTS.start + os.getpid() % 9000


def free_port():
    """A port below the ephemeral range (a client could otherwise connect to itself)."""
    global _next_port
    while True:
        _next_port = _next_port + 1 if _next_port + 1 in FIXED_PORTS else FIXED_PORTS.start
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", _next_port))
                return _next_port
            except OSError:
                continue


def need_data(path=""):
    """Skips loudly, or fails under HEARTH_REQUIRE_DATA, where ../shared/data is absent."""
    full = os.path.join(DATA, path)
    if not os.path.exists(full):
        if os.environ.get("HEARTH_REQUIRE_DATA"):
            raise AssertionError(f"{full} is absent and --require-data was given")
        print(f"SKIPPED: {full} is absent", file=sys.stderr)
        raise unittest.SkipTest(f"{full} is absent")
    return full


def need_services():
    """The bootstrap address of a real Kafka; skips or fails like need_data."""
    kafka = os.environ.get("HEARTH_TEST_KAFKA")
    if kafka and shutil.which("redis-server"):
        return kafka
    if os.environ.get("HEARTH_REQUIRE_SERVICES"):
        raise AssertionError("no Kafka (HEARTH_TEST_KAFKA) or no redis-server")
    print("SKIPPED: no real Kafka or Redis here", file=sys.stderr)
    raise unittest.SkipTest("no real Kafka or Redis")


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status}: {body[:300]}")
        self.status, self.body = status, body


def request(port, method, path, body=None, headers=None, timeout=60):
    """(status, body) of one exchange on 127.0.0.1:port."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        c.request(method, path, body=body, headers=headers or {})
        r = c.getresponse()
        return r.status, r.read()
    finally:
        c.close()


def get(port, path, headers=None, **params):
    """The body of a GET; Refused unless 200."""
    query = urllib.parse.urlencode({k: v for k, v in params.items() if v is not None})
    status, body = request(port, "GET", path + ("?" + query if query else ""), headers=headers)
    if status != 200:
        raise Refused(status, body)
    return body


def until(condition, seconds=60, what="condition", every=0.05):
    """Waits until condition() is true and returns it. The bound only ends a hopeless run."""
    end = time.monotonic() + seconds
    error = None
    while time.monotonic() < end:
        try:
            value = condition()
            if value:
                return value
        except (OSError, http.client.HTTPException, Refused) as e:
            error = e
        time.sleep(every)
    raise AssertionError(f"not reached in {seconds} s: {what} ({error})")


def die_with_parent():
    """Nothing outlives a test, not even one that was killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)      # PR_SET_PDEATHSIG


class Process:
    """A child with a log file; killed at close."""

    def __init__(self, name, argv, workdir, env=None):
        self.name, self.argv, self.workdir = name, argv, workdir
        self.env = {**{k: v for k, v in os.environ.items() if not k.startswith("HEARTH_")},
                    **(env or {})}
        self.log = os.path.join(workdir, name + ".log")
        self.child = None

    def start(self):
        out = open(self.log, "ab")
        self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                      env=self.env, preexec_fn=die_with_parent)
        out.close()
        return self

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def kill9(self):
        if self.alive():
            self.child.send_signal(signal.SIGKILL)
        if self.child:
            self.child.wait()

    def stop(self, seconds=60):
        """SIGTERM and the exit status."""
        if self.alive():
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill9()
                raise AssertionError(f"{self.name} did not stop:\n{self.tail()}")
        return self.child.returncode if self.child else None

    def limit_memory(self, growth):
        """To so many bytes above what it has now. Not under a sanitizer, whose own memory is most of it."""
        with open(self.argv[0], "rb") as f:
            if b"__asan_init" in (program := f.read()) or b"__tsan_init" in program:
                return
        with open(f"/proc/{self.child.pid}/status") as f:
            data = int(re.search(r"VmData:\s+(\d+)", f.read()).group(1)) * 1024
        resource.prlimit(self.child.pid, resource.RLIMIT_DATA, (data + growth, data + growth))

    def tail(self, n=4000):
        try:
            with open(self.log, "rb") as f:
                return f.read()[-n:].decode("utf-8", "replace")
        except OSError:
            return ""


class System:
    """What both shapes of Hearth have in common: push to one port, read from another."""

    def __init__(self, late_max="unlimited", env=None):
        self.dir = tempfile.mkdtemp(prefix="hearth-test-")
        self.env = {"HEARTH_LATE_MAX": late_max, **(env or {})}
        self.processes = []

    def process(self, name, *argv, env=None):
        p = Process(name, [os.path.join(BIN, argv[0]), *argv[1:]], self.dir, {**self.env, **(env or {})})
        self.processes.append(p)
        return p

    def close(self):
        """Stops all, asserting that each ends cleanly (sanitizers report at exit)."""
        bad = []
        for p in self.processes:
            if p.alive():
                if p.stop() != 0:
                    bad.append(f"{p.name} ended with {p.child.returncode}:\n{p.tail()}")
            elif p.child and p.child.returncode not in (0, -signal.SIGKILL):
                bad.append(f"{p.name} had ended with {p.child.returncode}:\n{p.tail()}")
        if not bad:
            shutil.rmtree(self.dir, ignore_errors=True)
        if bad:
            raise AssertionError("\n".join(bad))

    def kill(self):
        for p in self.processes:
            p.kill9()
        shutil.rmtree(self.dir, ignore_errors=True)

    def push(self, body, timeout=60, headers=None, **params):
        """POST /api/v1/profiles; the answer's JSON, or Refused."""
        status, text = request(self.push_port, "POST", "/api/v1/profiles?" + urllib.parse.urlencode(params),
                               body, headers, timeout)
        if status != 200:
            raise Refused(status, text)
        return json.loads(text)

    def api(self, path, **params):
        return json.loads(get(self.query_port, "/api/v1/" + path, **params))

    def profiles(self, service, type_, **params):
        """How many profiles are queryable; 0 where the service is not known yet."""
        try:
            return self.api("flamegraph", service=service, type=type_, max_nodes=16, **params)["profiles"]
        except Refused as e:
            if e.status in (404, 503):
                return 0
            raise

    def wait_ready(self, process, admin_port, seconds=60):
        def ready():
            if not process.alive():
                raise AssertionError(f"{process.name} ended with {process.child.returncode}:\n"
                                     f"{process.tail()}")
            return request(admin_port, "GET", "/readyz")[0] == 200
        try:
            until(ready, seconds, f"{process.name} ready", 0.02)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{process.tail()}") from None


class Standalone(System):
    def __init__(self, *options, **kw):
        super().__init__(**kw)
        self.push_port = self.query_port = free_port()
        self.admin_port = free_port()
        self.main = self.process(
            "standalone", "hearth", "standalone", "--data-dir", os.path.join(self.dir, "data"),
            "--listen", f"127.0.0.1:{self.push_port}", "--admin", f"127.0.0.1:{self.admin_port}", *options)
        self.start()

    def start(self):
        self.main.start()
        self.wait_ready(self.main, self.admin_port)

    def restart_after_kill(self):
        self.main.kill9()
        self.start()


class Redis:
    def __init__(self, workdir):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process = Process("redis", ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
                                         "--save", "", "--appendonly", "no", "--dir", workdir], workdir)
        self.process.start()
        until(lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() is None, 20, "redis", 0.01)


class Cluster(System):
    """One collector, n aggregators, one query service on a topic and a Redis of their own."""

    def __init__(self, aggregators=2, partitions=8, topic_prefix="test", **kw):
        kafka = need_services()
        super().__init__(**kw)
        self.redis = Redis(self.dir)
        self.processes.append(self.redis.process)
        topic = f"{topic_prefix}-{os.getpid()}-{time.monotonic_ns()}"
        self.env.update({"HEARTH_KAFKA_BROKERS": kafka, "HEARTH_KAFKA_TOPIC": topic,
                         "HEARTH_KAFKA_GROUP": topic, "HEARTH_REDIS_URL": self.redis.url})
        made = subprocess.run([os.path.join(BIN, "hearth"), "create-topic", "--partitions", str(partitions)],
                              env={**os.environ, **self.env}, capture_output=True, text=True, timeout=120)
        if made.returncode != 0:
            raise AssertionError("create-topic: " + made.stdout + made.stderr)
        self.push_port, self.query_port = free_port(), free_port()
        ports = [free_port() for _ in range(2 + aggregators)]
        self.collector = self.process("collector", "hearth-collector", "--listen",
                                      f"127.0.0.1:{self.push_port}", "--admin", f"127.0.0.1:{ports[0]}")
        self.query = self.process("query", "hearth-query", "--listen", f"127.0.0.1:{self.query_port}",
                                  "--admin", f"127.0.0.1:{ports[1]}")
        self.aggregators = [self.process(f"aggregator-{i}", "hearth-aggregator", "--instance", f"{topic}-{i}",
                                         "--admin", f"127.0.0.1:{ports[2 + i]}") for i in range(aggregators)]
        self.admin = dict(zip([self.collector, self.query, *self.aggregators], ports))
        for p in self.admin:
            p.start()
        for p, port in self.admin.items():
            self.wait_ready(p, port)

    def close(self):
        # Redis last, so that the aggregators can flush.
        self.processes.remove(self.redis.process)
        try:
            super().close()
        finally:
            self.redis.process.kill9()
            shutil.rmtree(self.dir, ignore_errors=True)


def oracle(*paths):
    """google/pprof's reading of the files, merged."""
    return json.loads(subprocess.run([ORACLE, *paths], check=True, capture_output=True).stdout)


def whole(*paths):
    """All that the merged files hold, as google/pprof tells it apart; equal texts are equal profiles."""
    return subprocess.run([ORACLE, "-whole", *paths], check=True, capture_output=True, text=True).stdout
