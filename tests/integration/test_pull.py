"""Pull mode, against a server that answers as recorded Go services did, byte for byte, and against a real
one. Totals by google/pprof (expected*.json, tests/oracle)."""
import glob
import json
import os
import re
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster
import pprofgen

FLUSH = {"HEARTH_FLUSH_INTERVAL": "200ms"}
RANGE = {"from": "0", "until": "now"}
FAST = ("--pull-interval", "1100ms", "--pull-cpu", "1s", "--pull-timeout", "2s")
FAMILY = {"cpu": "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
          "samples": "process_cpu:samples:count:cpu:nanoseconds",
          "goroutine": "goroutines:goroutine:count:goroutine:count"}


def http(body, status="200 OK", *headers):
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class Service(socketserver.ThreadingTCPServer):
    """Answers each path by a list of whole answers, the last one over and over."""
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, answers):
        self.answers, self.asked, self.now, self.most = answers, [], 0, 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def answer(self, target):
        path = target.split("?")[0].rsplit("/", 1)[1]
        with self.lock:
            n = sum(a.split("?")[0].endswith("/" + path) for a in self.asked)
            self.asked.append(target)
        queue = self.answers.get(path)
        return queue[min(n, len(queue) - 1)] if queue else http(b"", "404 Not Found")

    def rounds(self, path):
        return sum(a.split("?")[0].endswith("/" + path) for a in self.asked)

    def __exit__(self, *a):
        self.shutdown()
        self.server_close()


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        s = self.server
        with s.lock:
            s.now += 1
            s.most = max(s.most, s.now)
        try:
            line = self.rfile.readline().decode().split()
            while self.rfile.readline().strip():
                pass
            answer = s.answer(line[1])
            for i in range(0, len(answer), 700):    # in pieces, as a network would
                self.wfile.write(answer[i:i + 700])
        except (OSError, IndexError):
            pass
        finally:
            with s.lock:
                s.now -= 1


def recorded(name):
    root = cluster.need_data("agents/go-pprof-1.26.8")
    with open(f"{root}/response-{name}.http", "rb") as f:
        answer = f.read()
    with open(f"{root}/expected-{name}.json") as f:
        return answer, json.load(f)["profiles"][0]


def nothing(*types):
    """A Go profile in which nothing has happened yet."""
    strings = [""]

    def string(s):
        strings.append(s)
        return len(strings) - 1

    value_types = [pprofgen.field(1, string(t)) + pprofgen.field(2, string(u)) for t, u in types]
    out = b"".join(pprofgen.field(1, v) for v in value_types)
    out += pprofgen.field(11, value_types[0]) + pprofgen.field(9, 1)
    return http(out + b"".join(pprofgen.field(6, s.encode()) for s in strings))


HEAP = (("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes"))
CONTENTION = (("contentions", "count"), ("delay", "nanoseconds"))


class Pulling(unittest.TestCase):
    def start(self, *targets, options=FAST):
        system = cluster.Standalone("--pull-targets", ",".join(targets), *options, env=FLUSH)
        self.addCleanup(system.close)
        return system

    def figure(self, system, service, type_):
        try:
            return system.api("flamegraph", service=service, type=type_, max_nodes=16, **RANGE)
        except cluster.Refused:
            return {"total": 0, "profiles": 0}

    def total(self, system, service, type_):
        total = self.figure(system, service, type_)["total"]
        return total[0] if isinstance(total, list) else total

    def heap(self, path):
        with open(path, "rb") as f:
            return http(f.read())

    def metric(self, system, result):
        text = cluster.request(system.admin_port, "GET", "/metrics")[1].decode()
        return int(re.search(r'hearth_collector_scrapes_total\{result="%s"\} (\d+)' % result, text).group(1))


class Pull(Pulling):
    def test_recorded_answers_have_their_totals(self):
        answers, wanted = {}, {}
        for name, path, first in (("profile-seconds-5", "profile", None), ("goroutine", "goroutine", None),
                                  ("heap", "heap", nothing(*HEAP)), ("mutex", "mutex", nothing(*CONTENTION)),
                                  ("block", "block", nothing(*CONTENTION))):
            answer, expected = recorded(name)
            # Counts from the start of the process: all since an answer in which nothing had happened.
            answers[path] = [first, answer] if first else [answer, http(b"", "503 later")]
            for t in expected["sample_types"]:
                wanted[path, t["type"]] = t["total"]
        with Service(answers) as service:
            system = self.start(f"web@http://127.0.0.1:{service.port};env=prod;version=7")
            for (path, type_), total in wanted.items():
                full = FAMILY.get(type_) or next((f"memory:{t}:{u}:space:bytes" for t, u in HEAP if t == type_), None)
                full = full or f"{path}:{type_}:{dict(CONTENTION)[type_]}:contentions:count"
                with self.subTest(path=path, type=type_):
                    if type_.startswith("inuse") or type_ == "goroutine":
                        # A snapshot: the mean over the profiles, of which one said nothing was in use.
                        cluster.until(lambda: self.total(system, "web", full), 30, full)
                        figure = self.figure(system, "web", full)
                        self.assertGreater(figure["profiles"], 0)
                        continue
                    cluster.until(lambda: self.total(system, "web", full) == total, 30,
                                  f"{full} is {total}, not {self.total(system, 'web', full)}")
            # Once more of the same adds nothing to what counts from the start.
            n = service.rounds("heap")
            cluster.until(lambda: service.rounds("heap") >= n + 2, 20)
            time.sleep(0.5)
            self.assertEqual(self.total(system, "web", "memory:alloc_space:bytes:space:bytes"),
                             wanted["heap", "alloc_space"])
            top = system.api("top", service="web", type=FAMILY["cpu"], limit=100, **RANGE)["functions"]
            self_ = {f["name"]: f["self"] for f in top}
            self.assertGreater(self_["main.hotA"] if "main.hotA" in self_ else self_["main.hot_a"], 0)
            series = system.api("flamegraph", service="web", type=FAMILY["cpu"], match='{env="prod",version="7"}',
                                max_nodes=16, **RANGE)
            self.assertEqual(series["profiles"], 1)
            self.assertEqual(service.most, 1, "one scrape of a target at a time")
            self.assertTrue(any(a.endswith("/debug/pprof/profile?seconds=1") for a in service.asked))

    def test_ten_heaps_count_what_came_between_the_first_and_the_last(self):
        files = sorted(glob.glob(cluster.need_data("go/heap-series") + "/*.pb.gz"))
        self.assertEqual(len(files), 10)
        first, last = cluster.oracle(files[0]), cluster.oracle(files[-1])
        bodies = [self.heap(path) for path in files]
        with Service({"heap": bodies}) as service:
            system = self.start(f"heaps@http://127.0.0.1:{service.port}",
                                options=(*FAST, "--pull-profiles", "heap"))
            for i, type_ in enumerate(first["types"]):
                name, unit = type_.split("/")
                if not name.startswith("alloc"):
                    continue
                want = last["totals"][i] - first["totals"][i]
                cluster.until(lambda: service.rounds("heap") >= 11, 60, "eleven rounds", 0.2)
                full = f"memory:{name}:{unit}:space:bytes"
                cluster.until(lambda: self.total(system, "heaps", full) == want, 20, f"{full} is {want}")

    def test_what_must_not_be_read_is_not(self):
        ok, _ = recorded("goroutine")
        with Service({"goroutine": [ok]}) as service:
            at = f"http://127.0.0.1:{service.port}"
            moved = http(b"", "302 Found", f"Location: {at}/debug/pprof/goroutine")
            cases = {"status": moved, "too_large": http(b"x" * 5000), "malformed": b"SSH-2.0-x\r\n\r\n",
                     "refused": http(b"<html>"), "timeout": b"", "ok": ok}
            services = {name: Service({"goroutine": [a]}) for name, a in cases.items()}
            # Says nothing, and keeps the connection.
            services["timeout"].answer = lambda target: time.sleep(20) or b""
            targets = [f"{name.replace('_', '-')}@http://127.0.0.1:{s.port}" for name, s in services.items()]
            dead = socketserver.TCPServer(("127.0.0.1", 0), None)
            targets += [f"connect@http://127.0.0.1:{dead.server_address[1]}", "metadata@http://169.254.169.254:80",
                        "resolve@http://no-such-host.invalid:80"]
            dead.server_close()
            try:
                system = self.start(*targets, options=(*FAST, "--pull-profiles", "goroutine", "--pull-body-max", "4KiB"))
                for result in (*cases, "connect", "not_allowed", "resolve"):
                    cluster.until(lambda: self.metric(system, result) >= 2, 20, result)
                self.assertFalse(service.asked, "a redirect was followed")
                names = [s["name"] if isinstance(s, dict) else s for s in system.api("services")["services"]]
                self.assertEqual(names, ["ok"])
                log = system.main.tail(20000)
                self.assertIn("redirects are not followed", log)
                self.assertEqual(log.count("scrape_failed"), 8, log)      # each once, while it lasts
            finally:
                for s in services.values():
                    s.__exit__()

    def test_a_failure_costs_nothing_that_counts_from_the_start(self):
        files = sorted(glob.glob(cluster.need_data("go/heap-series") + "/*.pb.gz"))
        first, last = cluster.oracle(files[0]), cluster.oracle(files[-1])
        broken = http(b"", "500 Internal Server Error")
        with Service({"heap": [self.heap(files[0]), broken, broken, self.heap(files[-1])]}) as service:
            system = self.start(f"web@http://127.0.0.1:{service.port}", options=(*FAST, "--pull-profiles", "heap"))
            i = first["types"].index("alloc_space/bytes")
            want = last["totals"][i] - first["totals"][i]
            cluster.until(lambda: self.total(system, "web", "memory:alloc_space:bytes:space:bytes") == want, 30)
            self.assertIn("scrape_recovered", system.main.tail(20000))

    def test_bad_options_are_told_at_the_start(self):
        for option, value, part in (("--pull-targets", "web@ftp://x:1", "only http"),
                                    ("--pull-allow", "everything", "pull_allow"),
                                    ("--pull-profiles", "heep", "heep")):
            with self.subTest(option=option), tempfile.TemporaryDirectory() as dir_:
                r = subprocess.run([os.path.join(cluster.BIN, "hearth"), "standalone", "--data-dir", dir_, option, value],
                                   capture_output=True, text=True, timeout=30)
                self.assertEqual(r.returncode, 1)
                self.assertIn(part, r.stderr)


GO = """package main

import (
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof"
	"runtime"
	"sync"
	"time"
)

var sink [][]byte

//go:noinline
func hotA(n int) (x int) {
	for i := 0; i < n*70000; i++ {
		x += i % 7
	}
	return
}

//go:noinline
func hotB(n int) (x int) {
	for i := 0; i < n*30000; i++ {
		x += i % 7
	}
	return
}

//go:noinline
func allocate() { sink = append(sink[:0], make([]byte, 1<<20)) }

func contend(m *sync.Mutex) {
	for {
		m.Lock()
		time.Sleep(time.Millisecond)
		m.Unlock()
	}
}

func main() {
	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	var m sync.Mutex
	go contend(&m)
	go contend(&m)
	go func() {
		for x := 0; ; {
			x += hotA(10) + hotB(10)
			allocate()
		}
	}()
	panic(http.Serve(l, nil))
}
"""


class RealGo(Pulling):
    def test_a_real_go_service_is_read(self):
        if not shutil.which("go"):
            print("SKIPPED: no go toolchain", file=sys.stderr)
            self.skipTest("no go")
        dir_ = tempfile.TemporaryDirectory()
        self.addCleanup(dir_.cleanup)
        with open(dir_.name + "/main.go", "w") as f:
            f.write(GO)
        subprocess.run(["go", "build", "-o", dir_.name + "/service", dir_.name + "/main.go"], check=True,
                       env=dict(os.environ, GOFLAGS="-mod=mod", GOTOOLCHAIN="local", GO111MODULE="off"))
        child = subprocess.Popen([dir_.name + "/service"], stdout=subprocess.PIPE, text=True,
                                 preexec_fn=cluster.die_with_parent)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        system = self.start(f"go@http://localhost:{int(child.stdout.readline())}/debug/pprof")
        for type_ in (FAMILY["cpu"], FAMILY["samples"], FAMILY["goroutine"], "memory:alloc_space:bytes:space:bytes",
                      "memory:inuse_space:bytes:space:bytes", "mutex:delay:nanoseconds:contentions:count",
                      "mutex:contentions:count:contentions:count", "block:delay:nanoseconds:contentions:count"):
            cluster.until(lambda: self.total(system, "go", type_) > 0, 30, type_)
        top = system.api("top", service="go", type=FAMILY["cpu"], limit=100, **RANGE)["functions"]
        self_ = {f["name"]: f["self"] for f in top}
        share = self_["main.hotA"] / (self_["main.hotA"] + self_["main.hotB"])
        self.assertTrue(0.5 < share < 0.9, share)
        top = system.api("top", service="go", type="memory:alloc_space:bytes:space:bytes", limit=100, **RANGE)["functions"]
        self.assertEqual(max(top, key=lambda f: f["self"])["name"], "main.allocate")


if __name__ == "__main__":
    unittest.main()
