"""Every recording of a real agent, sent to `hearth standalone` byte for byte as the agent sent it, and what
must have become of it: the answer, service and tags, every total, and the hottest functions.

Each recording has a system of its own, so that what is asserted is all there is.
"""
import collections
import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster
import jfr_rule
import pprofgen
import recordings
from recordings import CPU, NOT_PROFILES, WALL

FLUSH = {"HEARTH_FLUSH_INTERVAL": "200ms"}
RANGE = {"from": "0", "until": "now"}
DEFAULT_SERVICE = "unknown_service"
ANSWER_SECONDS = 3      # the shortest deadline of a Datadog client

SAMPLES = recordings.TYPES["cpu-samples"]

# Types in which the sample services spend 7 : 3 on their two hot functions, as far as a recording has them.
HOT_TYPES = [CPU, SAMPLES, WALL]
# Never added up over time, but shown as a mean.
SNAPSHOT = re.compile("inuse|goroutine|:live:")
# The Rust release build has the two inlined under others: only their totals tell.
HOT_BY_TOTAL = {"pyroscope_rs_2_1_5"}


def pprof_types(recording, part):
    """{five-part name: what google/pprof says of it}."""
    where = part["part"] + os.path.basename(recording.path)
    family = next((word for word in ("mutex", "block") if word in where), None)
    return {recordings.type_of(t["type"], part["period_type"], family): t for t in part["sample_types"]}


def folded_type(part):
    """Samples of 100 Hz, which folded stacks of CPU are by Pyroscope's word."""
    ns = 10_000_000
    return {"total": part["total"] * ns,
            "top_self": [{"function": k, "self": v * ns} for k, v in part["top_self"].items()]}


def otlp_values(profile, factor):
    return {"total": profile["total"] * factor,
            "top_self": [{"function": f["function"], "self": f["value"] * factor} for f in profile["top_self"]],
            "top_total": [{"function": f["function"], "total": f["value"] * factor} for f in profile["top_total"]]}


def otlp_types(recording, profile):
    if not profile["top_self"]:     # the oracle, of layout 1.10, cannot read 1.9: sum the samples' field 2
        return {SAMPLES: {"total": recordings.otlp_total(recording.body(), 2)}}
    if profile["sample_type"].endswith("/ns"):
        return {CPU: otlp_values(profile, 1)}
    # Counts of a CPU timer with a period in nanoseconds are time as well.
    return {SAMPLES: otlp_values(profile, 1), CPU: otlp_values(profile, profile["period"])}


def wanted_types(recording):
    """{five-part name: {"total", and "top_self", "top_total", "slack" where known}} of all that was sent."""
    wanted = {}
    for part in recording.expected.get("profiles", []):
        if "sample_types" in part and part["part"] not in NOT_PROFILES:
            wanted.update(pprof_types(recording, part))
        if "jfr_chunks" in part:
            wanted.update(jfr_rule.of_chunks([c["events"] for c in part["jfr_chunks"]], recording.name))
        if part.get("format") == "folded":
            wanted[CPU] = folded_type(part)
    for resource in recording.expected.get("resource_profiles", []):
        for profile in resource["profiles"]:
            wanted.update(otlp_types(recording, profile))
    return wanted


class System:
    """A standalone with a TCP listener, a unix socket and a listener for gRPC."""

    def __init__(self, grpc=False):
        self.sockets = tempfile.mkdtemp(prefix="hearth-replay-")
        self.socket_path = os.path.join(self.sockets, "apm.socket")
        self.grpc_port = cluster.free_port()
        options = ["--grpc-listen", f"127.0.0.1:{self.grpc_port}"] if grpc else []
        self.all = cluster.Standalone("--socket", self.socket_path, *options, env=FLUSH)

    def close(self):
        self.all.close()
        shutil.rmtree(self.sockets, ignore_errors=True)

    def api(self, path, **params):
        return self.all.api(path, **{**RANGE, **params})

    def services(self):
        return [s["name"] for s in self.all.api("services")["services"]]

    def types(self, service):
        try:
            return [t["name"] for t in self.all.api("types", service=service)["types"]]
        except cluster.Refused:
            return []

    def total(self, service, type_, match=None):
        try:
            answer = self.api("flamegraph", service=service, type=type_, match=match, max_nodes=16)
        except cluster.Refused:
            return None
        total = answer["total"]
        return total[0] if isinstance(total, list) else total

    def top(self, service, type_):
        return self.api("top", service=service, type=type_, limit=100000)["functions"]

    def metric(self, name, label=None):
        text = cluster.get(self.all.admin_port, "/metrics").decode()
        found = re.search("^" + re.escape(name + (label or "")) + r" (\S+)$", text, re.MULTILINE)
        return float(found.group(1)) if found else 0

    def skipped(self, kind):
        return self.metric("hearth_collector_skipped_total", '{kind="%s"}' % kind)


class Replay:
    """The checks; a subclass says where to."""

    def check(self, recording):
        self.recording, self.expected = recording, recording.expected
        self.system = System(recording.is_grpc)
        self.addCleanup(self.system.close)
        if recording.is_grpc:
            self.assertEqual(recordings.replay_grpc(recording, self.system.grpc_port), (200, 0))
        else:
            began = time.monotonic()
            self.check_answer(recordings.replay(recording, self.address()))
            self.assertLess(time.monotonic() - began, ANSWER_SECONDS)
        if not recording.is_profile:
            self.check_is_no_profile()
            return
        self.service = self.expected.get("service") or DEFAULT_SERVICE
        self.check_profiles()
        self.check_tags()
        self.check_hot_functions()

    def check_answer(self, answer):
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(int(answer.headers["content-length"]), len(answer.body))

    def check_is_no_profile(self):
        kind = "traces" if "traces" in self.expected["request"] else "config"
        self.assertEqual(self.system.skipped(kind), 1)
        self.assertEqual(self.system.metric("hearth_collector_records_total"), 0)
        self.assertEqual(self.system.services(), [])

    def check_profiles(self):
        self.check_types(wanted_types(self.recording))
        for part in self.expected.get("profiles", []):
            if part["part"] in NOT_PROFILES and self.recording.is_datadog:
                self.assertEqual(self.system.skipped(NOT_PROFILES[part["part"]]), 1, part["part"])

    def check_types(self, wanted):
        def there():
            listed = self.system.types(self.service)
            return all(t in listed for t, w in wanted.items() if w["total"])
        try:
            cluster.until(there, 15, "all types")
        except AssertionError:
            self.assertEqual(sorted(t for t, w in wanted.items() if w["total"]),
                             sorted(self.system.types(self.service)))
        for type_, want in wanted.items():
            with self.subTest(type=type_):
                self.check_type(type_, want)
        extra = [t for t in self.system.types(self.service) if t not in wanted]
        self.assertEqual(extra, [], "types that nothing in the recording explains")

    def check_type(self, type_, want):
        if not want["total"] and not want.get("nonzero_samples"):
            self.assertIn(self.system.total(self.service, type_), (0, None))
            return
        # Fractions are rounded event by event.
        self.assertAlmostEqual(self.system.total(self.service, type_), want["total"], delta=want.get("slack", 0))
        rows = self.system.top(self.service, type_)
        for f in want.get("top_self") or []:
            found = [r for r in rows if r["name"] == f["function"]]
            self.assertEqual(sum(r["self"] for r in found), f["self"], f["function"])
        for f in (want.get("top_self") or []) + (want.get("top_total") or []):
            found = [r["total"] for r in rows if r["name"] == f["function"]]
            if "total" in f and len(found) == 1:
                self.assertEqual(found[0], f["total"], f["function"])
            elif "total" in f:      # one name in several files: the oracle counted it once per sample
                self.assertLessEqual(max(found, default=0), f["total"], f["function"])
                self.assertGreaterEqual(sum(found), f["total"], f["function"])

    def check_tags(self):
        self.assertEqual(self.system.services(), [self.service])
        tags = dict(self.expected.get("tags") or {})
        for key in ("env", "version"):
            if self.expected.get(key):
                tags[key] = self.expected[key]
        in_key = {k: v for k, v in tags.items() if k in ("env", "version", "region")}
        match = "{%s}" % ",".join(f'{k}="{v}"' for k, v in in_key.items())
        for type_ in self.system.types(self.service):
            self.assertEqual(self.system.total(self.service, type_, match), self.system.total(self.service, type_))
        headers = recordings.record_headers(os.path.join(self.system.all.dir, "data"))
        self.assertGreater(len(headers), 0)
        for header in headers:
            self.assertEqual(header["service"], self.service)
            self.assertEqual({**header["series"], **header["instance"]}, {**header["series"],
                             **header["instance"], **tags})
            self.assertEqual(in_key, header["series"])
            if self.recording.is_datadog:
                self.assertTrue(header["instance"]["runtime-id"])
                self.assertIn("dd-trace", header["agent"])

    def check_hot_functions(self):
        if "hot_a" not in self.expected["load"] and "OTLP" not in self.expected["load"]:
            return
        judged = 0
        column = "total" if self.recording.name in HOT_BY_TOTAL else "self"
        for type_ in set(HOT_TYPES) & set(self.system.types(self.service)):
            rows = self.system.top(self.service, type_)
            a, b = (sum(r[column] for r in rows if re.search(name, r["name"]))
                    for name in (r"\bhot_?[aA]\b", r"\bhot_?[bB]\b"))
            self.assertGreater(a, b, type_)
            judged += 1
        no_time = re.search("heap|block|mutex|goroutine", os.path.basename(self.recording.path))
        self.assertTrue(judged or no_time)


def one_test_each(chosen):
    """A test method for each recording, for a class statement."""
    return {"test_" + r.name: (lambda self, r=r: self.check(r)) for r in recordings.recordings() if chosen(r)}


class Tcp(Replay):
    def address(self):
        return self.system.all.push_port


class Unix(Replay):
    def address(self):
        return self.system.socket_path


EveryRecordingOverTcp = type("EveryRecordingOverTcp", (Tcp, unittest.TestCase), one_test_each(lambda r: True))
DatadogRecordingsOverUnix = type("DatadogRecordingsOverUnix", (Unix, unittest.TestCase),
                                 one_test_each(lambda r: r.is_datadog))


class Together:
    """All recordings in one system: what flows adds up, by service and type."""

    def test_totals_are_the_sums_of_all_recordings(self):
        system = self.make()
        self.addCleanup(system.close)
        wanted = collections.Counter()
        slack = collections.Counter()
        for recording in recordings.recordings():
            if recording.is_grpc:
                continue
            self.assertEqual(recordings.replay(recording, system.push_port).status, 200, recording.name)
            service = recording.expected.get("service") or DEFAULT_SERVICE
            for type_, want in wanted_types(recording).items() if recording.is_profile else ():
                if not SNAPSHOT.search(type_):
                    wanted[service, type_] += want["total"]
                    slack[service, type_] += want.get("slack", 0)
        self.assertGreater(len(wanted), 20)

        def all_there():
            return all(abs(self.total(system, *key) - want) <= slack[key] for key, want in wanted.items())
        try:
            cluster.until(all_there, 60, "all totals")
        except AssertionError:
            for key, want in wanted.items():
                self.assertAlmostEqual(self.total(system, *key), want, delta=slack[key], msg=str(key))

    @staticmethod
    def total(system, service, type_):
        try:
            total = system.api("flamegraph", service=service, type=type_, max_nodes=16, **RANGE)["total"]
        except cluster.Refused:
            return 0
        return total[0] if isinstance(total, list) else total


class TogetherInStandalone(Together, unittest.TestCase):
    @staticmethod
    def make():
        return cluster.Standalone(env=FLUSH)


class TogetherInCluster(Together, unittest.TestCase):
    @staticmethod
    def make():
        return cluster.Cluster(env=FLUSH, topic_prefix="replay")


class Retries(unittest.TestCase):
    """An agent that did not hear the answer sends the same upload again."""

    @classmethod
    def setUpClass(cls):
        cls.recording = next(r for r in recordings.recordings() if r.name == "dd_trace_go_2_12_0")

    def setUp(self):
        self.system = System()

    def tearDown(self):
        self.system.close()

    def check_counted_once(self, retries):
        parts = [p for p in self.recording.expected["profiles"] if "sample_types" in p]
        self.assertEqual(self.system.metric("hearth_collector_records_total"), len(parts))
        self.assertEqual(self.system.metric("hearth_collector_retries_total"), retries)
        want = wanted_types(self.recording)[CPU]["total"]
        cluster.until(lambda: self.system.total("demo-go", CPU) == want, 30, f"CPU of {want}")

    def test_one_that_was_acknowledged_is_answered_and_counted_once(self):
        for _ in range(3):
            self.assertEqual(recordings.replay(self.recording, self.system.all.push_port).status, 200)
        self.check_counted_once(2)

    def test_two_at_the_same_time_are_counted_once(self):
        answers = []

        def push():
            answers.append(recordings.replay(self.recording, self.system.all.push_port).status)
        threads = [threading.Thread(target=push) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(answers, [200] * 8)
        self.check_counted_once(7)

    def test_one_that_was_refused_is_counted_when_it_comes_whole(self):
        with open(self.recording.path, "rb") as f:
            raw = f.read()
        zstd = raw.index(b"\x28\xb5\x2f\xfd", raw.index(b'filename="cpu.pprof"'))
        broken = raw[:zstd + 40] + b"\xff" * 16 + raw[zstd + 56:]
        answer = recordings.send(broken, self.system.all.push_port)
        self.assertEqual(answer.status, 400, answer)
        self.assertIn("cpu.pprof", json.loads(answer.body)["message"])
        self.assertEqual(recordings.send(raw, self.system.all.push_port).status, 200)
        self.check_counted_once(0)


BOUNDARY = "made"


def part(filename, body):
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="x"; filename="{filename}"\r\n\r\n'
    return head.encode() + body + b"\r\n"


def event(service, number=0, tags=""):
    return json.dumps({"version": "4", "family": "test", "start": f"2026-11-24T02:30:{number:02}Z",
                       "end": "2026-11-24T02:31:00Z", "tags_profiler": f"service:{service},{tags}"}).encode()


def request(*parts, headers=""):
    body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    return (f"POST /profiling/v1/input HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{headers}"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n").encode() + body


class Uploads(unittest.TestCase):
    """What no recording has."""

    def setUp(self):
        self.system = System()
        self.addCleanup(self.system.close)

    def send(self, raw):
        answer = recordings.send(raw, self.system.all.push_port)
        self.assertEqual(answer.status, 200, answer)

    def wait_for_total(self, service, type_, total):
        cluster.until(lambda: self.system.total(service, type_) == total, 30, f"{service} {type_} {total}")

    def test_each_compression_is_told_by_its_first_bytes(self):
        plain = pprofgen.profile({"main;work": 5}, compress=False)
        tools = {"gzip": ["gzip", "-c"], "zstd": ["zstd", "-qc"], "lz4": ["lz4", "-qc"], "none": ["cat"]}
        tools = {name: argv for name, argv in tools.items() if shutil.which(argv[0])}
        for i, (name, argv) in enumerate(tools.items()):
            profile, json_ = (subprocess.run(argv, input=x, check=True, capture_output=True).stdout
                              for x in (plain, event("compressed", i)))
            with self.subTest(name):
                self.send(request(part("event.json", json_), part("cpu.pprof", profile)))
        self.wait_for_total("compressed", CPU, 5 * len(tools))

    def test_a_form_that_was_compressed_as_a_whole_is_read(self):
        raw = request(part("event.json", event("whole")), part("cpu.pprof", pprofgen.profile({"a": 3})))
        head, _, body = raw.partition(b"\r\n\r\n")
        packed = gzip.compress(body)
        head = re.sub(rb"Content-Length: \d+", b"Content-Encoding: gzip\r\nContent-Length: %d" % len(packed), head)
        self.send(head + b"\r\n\r\n" + packed)
        self.wait_for_total("whole", CPU, 3)

    def test_values_for_a_time_line_are_left_out(self):
        """As .NET, PHP and Ruby send them: a type of its own, on a nameless frame."""
        field = pprofgen.field
        profile = b"".join(field(1, field(1, name) + field(2, 2)) for name in (1, 3))
        profile += field(2, field(1, b"\x01") + field(2, b"\x05\x00"))
        profile += field(2, field(1, b"\x02") + field(2, b"\x00\x07"))
        for number, name in ((1, 4), (2, 0)):
            profile += field(4, field(1, number) + field(4, field(1, number)))
            profile += field(5, field(1, number) + field(2, name))
        profile += b"".join(field(6, s) for s in (b"", b"cpu", b"nanoseconds", b"timeline", b"work"))
        self.send(request(part("event.json", event("time")), part("profile.pprof", profile)))
        self.wait_for_total("time", CPU, 5)
        self.assertEqual(self.system.types("time"), [CPU])
        self.assertEqual(self.system.skipped("timeline"), 1)

    def test_what_the_agent_does_not_collect_is_no_type(self):
        """As ddtrace has it: exceptions are always listed, and collected by CPython 3.12 and newer."""
        field, exception = pprofgen.field, recordings.TYPES["exception-samples"]
        profile = b"".join(field(1, field(1, name) + field(2, 2)) for name in (1, 3))
        profile += field(2, field(1, b"\x01") + field(2, b"\x05\x00")) + field(4, field(1, 1) + field(4, field(1, 1)))
        profile += field(5, field(1, 1) + field(2, 4))
        profile += b"".join(field(6, s) for s in (b"", b"cpu", b"count", b"exception-samples", b"work"))
        for service, config, types in (("py311", "stack_v2_lock_mem_heap_exp_dd_CAP1.0_MAXF64", [SAMPLES]),
                                       ("py313", "stack_v2_lock_mem_heap_exception_exp_dd_CAP1.0", [exception, SAMPLES]),
                                       ("unsaid", None, [exception, SAMPLES])):
            tags = "profiler_config:" + config if config else ""
            self.send(request(part("event.json", event(service, tags=tags)), part("profile.pprof", profile)))
            self.wait_for_total(service, SAMPLES, 5)
            self.assertEqual(self.system.types(service), types)

    def test_headers_of_an_agent_on_the_way_become_tags(self):
        headers = ("X-Datadog-Container-Tags: kube_namespace:shop,pod_name:web-1\r\n"
                   "X-Datadog-Additional-Tags: host:node-7,default_env:staging\r\n"
                   "Datadog-Container-ID: c-1\r\nDatadog-Entity-ID: in-7\r\nDD-EVP-ORIGIN: dd-trace-x\r\n")
        self.send(request(part("event.json", event("headers")), part("cpu.pprof", pprofgen.profile({"a": 1})),
                          headers=headers))
        self.wait_for_total("headers", CPU, 1)
        (header,) = recordings.record_headers(os.path.join(self.system.all.dir, "data"))
        self.assertEqual(header["series"], {"env": "staging", "namespace": "shop"})
        for key, value in {"pod": "web-1", "host": "node-7", "container_id": "c-1", "entity_id": "in-7",
                           "language": "test"}.items():
            self.assertEqual(header["instance"][key], value)
        self.assertEqual(header["agent"], "dd-trace-x")

    def test_how_the_network_cuts_the_bytes_does_not_matter(self):
        recording = next(r for r in recordings.recordings() if r.name == "dd_trace_js_6_21_0")      # chunked
        with open(recording.path, "rb") as f:
            raw = f.read()
        with recordings.connect(self.system.all.push_port) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(raw), 97):
                s.sendall(raw[at:at + 97])
            self.assertEqual(recordings.receive(s).status, 200)
        self.wait_for_total("demo-node", WALL, wanted_types(recording)[WALL]["total"])


class Siblings(unittest.TestCase):
    """What tracers ask of their agent."""

    @classmethod
    def setUpClass(cls):
        cls.system = System()

    @classmethod
    def tearDownClass(cls):
        cls.system.close()

    def ask(self, method, path, body=b"{}"):
        raw = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        return recordings.send(raw, self.system.all.push_port)

    def test_info_tells_the_paths_that_are_served(self):
        answer = self.ask("GET", "/info", b"")
        self.assertEqual(answer.status, 200)
        info = json.loads(answer.body)
        self.assertIn("/profiling/v1/input", info["endpoints"])
        for path in ("/v0.4/traces", "/debugger/v2/input"):     # without one, a client warns or worse
            self.assertIn(path, info["endpoints"])
        self.assertIs(info["client_drop_p0s"], False)
        self.assertIsInstance(info["version"], str)
        self.assertRegex(answer.headers["datadog-agent-state"], "^[0-9a-f]{32,64}$")

    def test_everything_a_tracer_sends_is_answered_and_counted(self):
        for method, path, kind in [
                ("PUT", "/v0.3/traces", "traces"), ("POST", "/v0.4/traces", "traces"),
                ("PUT", "/v0.5/traces", "traces"), ("PUT", "/v0.7/traces", "traces"),
                ("POST", "/v0.6/stats", "stats"), ("GET", "/v0.7/config", "config"),
                ("POST", "/v0.7/config", "config"), ("POST", "/v0.1/pipeline_stats", "stats"),
                ("POST", "/telemetry/proxy/api/v2/apmtelemetry", "telemetry"),
                ("POST", "/dogstatsd/v2/proxy", "metrics"), ("POST", "/evp_proxy/v2/api/v2/x", "evp"),
                ("POST", "/debugger/v1/input", "debugger"), ("POST", "/symdb/v1/input", "symbols"),
                ("POST", "/tracer_flare/v1", "logs")]:
            with self.subTest(path=path, method=method):
                before = self.system.skipped(kind)
                answer = self.ask(method, path)
                self.assertEqual(answer.status, 200)
                self.assertIsInstance(json.loads(answer.body), dict)
                self.assertEqual(self.system.skipped(kind), before + 1)

    def test_a_path_prefix_in_the_agents_url_is_no_matter(self):
        for path in ("/profiling/v1/input", "/team-a/profiling/v1/input", "/v1/input", "/api/v2/profile",
                     "/x/y/api/v2/profile"):
            with self.subTest(path=path):
                answer = self.ask("POST", path)
                self.assertEqual(answer.status, 400)        # read as an upload, which {} is not
                self.assertEqual(json.loads(answer.body)["code"], "bad_multipart")


if __name__ == "__main__":
    unittest.main()
