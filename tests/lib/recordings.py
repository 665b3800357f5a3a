"""The recordings of real agents in ../shared/data/agents, or where these are absent the few in tests/data:
finding them, sending them exactly as they were sent, and what they must become, stated here again and
by hand so that the product's own tables are not the judge of themselves.
"""
import glob
import json
import os
import re
import socket
import subprocess
import tempfile
import unittest

import cluster

# The agents' sample types and what docs/types.md promises that they become.
TYPES = {
    "cpu": "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
    "cpu-time": "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
    "cpu-samples": "process_cpu:samples:count:cpu:nanoseconds",
    "samples of cpu": "process_cpu:samples:count:cpu:nanoseconds",
    "wall": "wall:wall:nanoseconds:wall:nanoseconds",
    "wall-time": "wall:wall:nanoseconds:wall:nanoseconds",
    "wall-samples": "wall:samples:count:wall:nanoseconds",
    "samples of wall": "wall:samples:count:wall:nanoseconds",
    "alloc_objects": "memory:alloc_objects:count:space:bytes",
    "alloc-samples": "memory:alloc_objects:count:space:bytes",
    "alloc_space": "memory:alloc_space:bytes:space:bytes",
    "alloc-space": "memory:alloc_space:bytes:space:bytes",
    "inuse_objects": "memory:inuse_objects:count:space:bytes",
    "heap-live-samples": "memory:inuse_objects:count:space:bytes",
    "inuse_space": "memory:inuse_space:bytes:space:bytes",
    "heap-space": "memory:inuse_space:bytes:space:bytes",
    "contentions of mutex": "mutex:contentions:count:contentions:count",
    "delay of mutex": "mutex:delay:nanoseconds:contentions:count",
    "contentions of block": "block:contentions:count:contentions:count",
    "delay of block": "block:delay:nanoseconds:contentions:count",
    "lock-acquire": "mutex:contentions:count:contentions:count",
    "lock-acquire-wait": "mutex:delay:nanoseconds:contentions:count",
    "lock-release": "lock:lock-release:count::",
    "lock-release-hold": "lock:lock-release-hold:nanoseconds::",
    "goroutine": "goroutines:goroutine:count:goroutine:count",
    "exception-samples": "exception:exception:count::",
    "gpu-time": "gpu:gpu-time:nanoseconds::",
    "gpu-samples": "gpu:gpu-samples:count::",
    "gpu-space": "gpu:gpu-space:bytes::",
    "gpu-alloc-samples": "gpu:gpu-alloc-samples:count::",
    "gpu-flops": "gpu:gpu-flops:count::",
    "gpu-flops-samples": "gpu:gpu-flops-samples:count::",
}
CPU = TYPES["cpu"]
WALL = TYPES["wall"]

# What is sent beside profiles and must be counted as that.
NOT_PROFILES = {"metrics.json": "metrics.json", "code-provenance.json": "code-provenance.json",
                "go.trace": "go.trace", "events.pprof": "timeline"}


def type_of(sample_type, period_type, family):
    """The five parts of an agent's sample type; family: "mutex" or "block" as the request says it."""
    if sample_type in ("samples", "sample"):
        return TYPES["samples of " + re.split("[-/]", period_type)[0]]
    if sample_type in ("contentions", "delay"):
        return TYPES[f"{sample_type} of {family}"]
    return TYPES[sample_type]


class Recording:
    def __init__(self, path):
        self.path = path
        folder = os.path.dirname(path)
        base = os.path.basename(path)
        if base == "grpc-message.bin":
            expected = "expected-grpc.json"
        else:
            expected = base.replace("request", "expected").replace(".http", ".json")
        with open(os.path.join(folder, expected)) as f:
            self.expected = json.load(f)
        self.name = re.sub(r"\W+", "_", os.path.basename(folder) + "_" + expected[8:-5]).strip("_")
        self.is_grpc = base == "grpc-message.bin"
        self.is_datadog = os.path.basename(folder).startswith("dd-")
        request = self.expected.get("request", "")
        self.is_profile = not re.search(r"/v0\.\d/(traces|config)", request)

    def body(self):
        """The body, with chunks joined."""
        with open(self.path, "rb") as f:
            raw = f.read()
        if self.is_grpc:
            return raw[5:]
        head, _, body = raw.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" not in head.lower():
            return body
        out = b""
        while body:
            size, _, body = body.partition(b"\r\n")
            n = int(size.split(b";")[0], 16)
            out, body = out + body[:n], body[n + 2:]
        return out


def recordings():
    try:
        root = cluster.need_data("agents")
    except unittest.SkipTest:       # which has been said
        root = os.path.join(cluster.OWN_DATA, "agents")
    paths = sorted(glob.glob(root + "/*/request*.http") + glob.glob(root + "/*/grpc-message.bin"))
    return [Recording(p) for p in paths]


class Answer:
    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {k.strip().lower(): v.strip() for k, v in
                        (line.split(":", 1) for line in lines[1:])}

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


def connect(address):
    """address: a port on loopback, or the path of a unix socket."""
    if isinstance(address, int):
        return socket.create_connection(("127.0.0.1", address), 30)
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(address)
    return s


def receive(s):
    """One whole answer with a Content-Length."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        more = s.recv(65536)
        if not more:
            raise AssertionError(f"the connection closed after {raw!r}")
        raw += more
    want = int(Answer(raw).headers["content-length"]) + raw.index(b"\r\n\r\n") + 4
    while len(raw) < want:
        raw += s.recv(65536)
    return Answer(raw)


def send(raw, address):
    with connect(address) as s:
        s.sendall(raw)
        return receive(s)


def replay(recording, address):
    with open(recording.path, "rb") as f:
        return send(f.read(), address)


def replay_grpc(recording, port):
    """The recorded message over HTTP/2 without TLS, as curl speaks it; (HTTP status, grpc-status)."""
    argv = ["curl", "--silent", "--show-error", "--http2-prior-knowledge", "--max-time", "30", "--dump-header", "-",
            "--output", os.devnull, "--data-binary", "@" + recording.path, "--header", "user-agent:",
            "--header", "accept:"]
    with open(os.path.join(os.path.dirname(recording.path), "grpc-headers.txt")) as f:
        path = f.readline().split()[1]
        for line in f:
            if line.strip() and not line.startswith("host:"):
                argv += ["--header", line.strip()]
    out = subprocess.run([*argv, f"http://127.0.0.1:{port}{path}"], check=True, capture_output=True,
                         text=True).stdout
    status = int(re.search(r"^HTTP/2 (\d+)", out).group(1))
    grpc_status = re.search(r"^grpc-status: *(\d+)", out, re.MULTILINE)
    return status, int(grpc_status.group(1)) if grpc_status else None


# ---- protobuf, as far as it takes to look at a message -------------------------------------------

def fields(message):
    """(number, value) of each field: int for varints, bytes for the rest."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            n = varint() if key & 7 == 2 else {1: 8, 5: 4}[key & 7]
            yield key >> 3, message[at:at + n]
            at += n


def otlp_total(message, values_field):
    """Σ of values that are not packed, of all samples of all profiles of a request."""
    total = 0
    for n, resource in fields(message):
        if n != 1:
            continue
        for n, scope in fields(resource):
            for m, profile in fields(scope) if n == 2 else ():
                for k, sample in fields(profile) if m == 2 else ():
                    if k == 2:
                        total += sum(v for j, v in fields(sample) if j == values_field)
    return total


RECORD_VERSION = 3


def record_headers(data_dir):
    """The headers of the records in a local log: dicts of service, series, instance, agent, format."""
    out = []
    for path in sorted(glob.glob(data_dir + "/**/*", recursive=True)):
        if not os.path.isfile(path):
            continue
        with open(path, "rb") as f:
            data = f.read()
        for match in re.finditer(b"HRec(.)[\\x00\\x01]", data, re.DOTALL):
            version = match.group(1)[0]
            if version != RECORD_VERSION:
                raise ValueError(f"{path}: a record of version {version}, this reads {RECORD_VERSION} (docs/record.md)")
            at = match.start() + 16
            length = shift = 0
            while True:
                length |= (data[at] & 0x7f) << shift
                shift += 7
                at += 1
                if data[at - 1] < 0x80:
                    break
            out.append(read_header(data[at:at + length]))
    return out


def read_header(message):
    header = {"series": {}, "instance": {}}
    names = {6: "service", 11: "format", 12: "agent"}
    for n, value in fields(message):
        if n in (7, 8):
            tag = dict(fields(value))
            header["series" if n == 7 else "instance"][tag[1].decode()] = tag.get(2, b"").decode()
        elif n in names:
            header[names[n]] = value.decode()
    return header


# ---- JFR, by the JDK's own tool --------------------------------------------------------------------

def jfr_chunks(raw):
    """The chunks of a recording; type ids hold within one only, so each is read alone."""
    at = 0
    while raw[at:at + 4] == b"FLR\0":
        size = int.from_bytes(raw[at + 8:at + 16], "big")
        yield raw[at:at + size]
        at += size


def jfr_events(raw, names):
    """[(event name, {field: value})] of one chunk, as `jfr print --json` reads it."""
    with tempfile.NamedTemporaryFile(suffix=".jfr") as f:
        f.write(raw)
        f.flush()
        out = subprocess.run(["jfr", "print", "--json", "--stack-depth", "1", "--events", ",".join(names), f.name],
                             check=True, capture_output=True).stdout
    return [(e["type"], e["values"]) for e in json.loads(out)["recording"]["events"]]
