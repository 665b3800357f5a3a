"""The real hearth-collector, as a Datadog agent, given what no profiler should send. Each input has its
answer; after each a good upload goes through, and the process may use 256 MiB above what it uses idle,
enforced by a limit on it.
"""
import json
import os
import re
import sys
import unittest
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster
import pprofgen
import recordings

MIB = 1 << 20
GROWTH_MAX = 256 * MIB
BOUNDARY = "hostile"
TIMES = {"start": "2026-11-24T02:30:05.000000001Z", "end": "2026-11-24T02:30:10Z"}


def part(filename, body, name="x"):
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'
    return head.encode() + body + b"\r\n"


def event(**fields):
    return part("event.json", json.dumps({"version": "4", "tags_profiler": "service:s", **TIMES, **fields}).encode())


def form(*parts):
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def request(body, path="/profiling/v1/input", content_type=f"multipart/form-data; boundary={BOUNDARY}", headers=""):
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n{headers}"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def gzip_bomb(n_mib):
    c = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([c.compress(bytes(MIB)) for _ in range(n_mib)] + [c.flush()])


PROFILE = pprofgen.profile({"main;work": 5})
GOOD = form(event(), part("cpu.pprof", PROFILE))
DEEP = b'{"a":' + b"[" * 100000
BOMB = gzip_bomb(1024)

# name: (request, statuses, what the message must hold)
INPUTS = {
    "no form at all": (request(b"{}", content_type="application/json"), 400, "multipart"),
    "a form without a boundary": (request(GOOD, content_type="multipart/form-data"), 400, "boundary"),
    "a form that was cut off": (request(GOOD[:-12]), 400, "boundary"),
    "a form without parts": (request(form()), 400, "event.json"),
    "a form without event": (request(form(part("cpu.pprof", PROFILE))), 400, "event.json"),
    "65 parts": (request(form(event(), *[part("a.json", b"")] * 64)), 400, "64"),
    "an event that is no JSON": (request(form(part("event.json", b"{"))), 400, "event.json"),
    "an event that is a list": (request(form(part("event.json", b"[]"))), 400, "event.json"),
    "a deep event": (request(form(part("event.json", DEEP))), 413, "32"),
    "a large event": (request(form(part("event.json", b"{" + b" " * 2 * MIB + b"}"))), 413, "1048576"),
    "an event that inflates to a GiB": (request(form(part("event.json", BOMB))), 413, "event.json"),
    "an attachment that inflates to a GiB": (
        request(form(event(), part("wall.pprof", BOMB))), 413, "wall.pprof.*67108864"),
    "62 attachments that inflate to a GiB": (
        request(form(event(), *[part(f"a{i}.pprof", BOMB[:400000]) for i in range(62)])), (400, 413), "a0.pprof"),
    "a body that inflates to a GiB": (
        request(BOMB, headers="Content-Encoding: gzip\r\n"), 413, "67108864"),
    "an attachment that was cut off": (
        request(form(event(), part("cpu.pprof", PROFILE), part("heap.pprof", gzip_bomb(1)[:-9]))), 400, "heap.pprof"),
    "an attachment of noise": (request(form(event(), part("cpu.pprof", os.urandom(5000)))), (400, 415), "cpu.pprof"),
    "a start that is no time": (request(form(event(start="yesterday"), part("cpu.pprof", PROFILE))), 400, "yesterday"),
    "an end before the start": (
        request(form(event(start="2026-11-24T03:00:00Z"), part("cpu.pprof", PROFILE))), 400, "before"),
    "an end in the far future": (
        request(form(event(end="2099-01-01T00:00:00Z"), part("cpu.pprof", PROFILE))), 400, "2099"),
}

# Repaired, or passed over, and counted all the same.
ACCEPTED = {
    "a good one": GOOD,
    "the event last": form(part("cpu.pprof", PROFILE), event()),
    "two events: the first holds": form(event(), part("event.json", b"{"), part("cpu.pprof", PROFILE)),
    "50,000 tags": form(event(tags_profiler="service:s," + ",".join(f"t{i}:{i}" for i in range(50000))),
                         part("cpu.pprof", PROFILE)),
    "tags with control bytes": form(event(tags_profiler="service:s\u0007,a\u0000b:c,d:e\nf"),
                                    part("cpu.pprof", PROFILE)),
    "tags of no type": form(event(tags_profiler={"service": [7, None]}), part("cpu.pprof", PROFILE)),
    "empty attachments": form(event(), part("cpu.pprof", b""), part("metrics.json", b"")),
    "a name that climbs": form(event(), part("../../etc/cpu.pprof", PROFILE)),
    "the same name twice": form(event(), part("cpu.pprof", PROFILE), part("cpu.pprof", PROFILE)),
    "what is no profile": form(event(), part("histogram.json", b"{"), part("x.bin", os.urandom(100))),
    "a compressed event": form(part("event.json", zlib.compress(json.dumps(TIMES).encode(), 9, 31)),
                               part("cpu.pprof", PROFILE)),
}


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.system = cluster.System()
        cls.port, admin = cluster.free_port(), cluster.free_port()
        cls.process = cls.system.process(
            "collector", "hearth-collector", "--listen", f"127.0.0.1:{cls.port}", "--admin", f"127.0.0.1:{admin}",
            "--socket", "off", "--log-dir", os.path.join(cls.system.dir, "log"))
        cls.process.start()
        cls.system.wait_ready(cls.process, admin)
        cls.process.limit_memory(GROWTH_MAX)

    @classmethod
    def tearDownClass(cls):
        cls.system.close()      # asserts a clean end

    def check_good_goes_through(self):
        self.assertEqual(recordings.send(request(GOOD), self.port).status, 200)

    def test_every_bad_upload_has_its_answer(self):
        for name, (raw, status, text) in INPUTS.items():
            with self.subTest(name):
                answer = recordings.send(raw, self.port)
                self.assertIn(answer.status, status if isinstance(status, tuple) else (status,), answer)
                failure = json.loads(answer.body)
                self.assertRegex(failure["message"] + failure["hint"], re.compile(text, re.DOTALL))
                self.check_good_goes_through()

    def test_a_body_above_the_limit_is_refused_as_the_protocol_has_it(self):
        for path, type_, status, check in (
                ("/api/v1/profiles?service=s", "application/octet-stream", 413,
                 lambda body: json.loads(body)["code"] == "body_too_large"),
                ("/ingest?name=s", "application/octet-stream", 413,
                 lambda body: json.loads(body)["code"] == "resource_exhausted"),
                ("/push.v1.PusherService/Push", "application/proto", 400,
                 lambda body: json.loads(body)["code"] == "invalid_argument"),
                ("/v1development/profiles", "application/json", 413,
                 lambda body: "body_too_large" in json.loads(body)["message"]),
                ("/v1development/profiles", "application/x-protobuf", 413,
                 lambda body: body[0] == 2 << 3 | 2 and b"body_too_large" in body)):
            with self.subTest(path + " " + type_):
                raw = (f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: {type_}\r\n"
                       f"Content-Length: {1 << 40}\r\n\r\n").encode()
                answer = recordings.send(raw, self.port)
                self.assertEqual(answer.status, status)
                self.assertTrue(check(answer.body), answer.body)

    def test_what_can_be_taken_is_taken(self):
        for name, body in ACCEPTED.items():
            with self.subTest(name):
                self.assertEqual(recordings.send(request(body), self.port).status, 200)

    def test_bad_uploads_side_by_side_change_nothing(self):
        bad = [raw for raw, *_ in INPUTS.values()]
        for i in range(0, len(bad), 4):
            connections = [recordings.connect(self.port) for _ in bad[i:i + 4]]
            for c, raw in zip(connections, bad[i:i + 4]):
                c.sendall(raw)
            for c in connections:
                self.assertIn(recordings.receive(c).status, (400, 413, 415, 503))
                c.close()
            self.check_good_goes_through()


if __name__ == "__main__":
    unittest.main()
