"""The real hearth-collector, given text formats that were made to hurt. Each is refused by a limit it
names, or taken; after each a good one goes through, and the process may use 256 MiB above what it uses
idle, enforced by a limit on it.
"""
import gzip
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster
import pprofgen

MIB = 1 << 20
GROWTH_MAX = 256 * MIB
BODY = 60 * MIB         # under inflated_max


def fill(piece, head=b"", tail=b""):
    return head + piece * ((BODY - len(head) - len(tail)) // len(piece)) + tail


def numbered(form, n, head=b"", tail=b"", glue=b""):
    return head + glue.join(form % i for i in range(n)) + tail


def node(name, value, children):
    return pprofgen.varint(len(name)) + name + pprofgen.varint(value) + pprofgen.varint(children)


SHARED = b'{"shared":{"frames":[{"name":"a"},{"name":"b"}]},"profiles":[{"unit":"none",'
HEAP = b'{"selfSize":1,"callFrame":{"functionName":"f"},"children":['

# name: (format or None, body, what refuses it; None: it is taken)
INPUTS = {
    "names without end": (None, lambda: numbered(b"f%d 1\n", 4000000), "functions_max"),
    "lines without end": ("lines", lambda: fill(b"a\n"), "samples_max"),
    "one stack as deep as the body": (None, lambda: fill(b"a;", b"", b"a 1\n"), "depth_max"),
    "one name as long as the body": (None, lambda: fill(b"a", b"", b" 1\n"), None),
    "one line that is no stack": (None, lambda: b"a 1\n" + fill(b"a b;"), None),
    "stacks that share nothing": (
        None, lambda: b"".join(b"%d;%s 1\n" % (i, b";".join(b"%d" % (i % 997 + j) for j in range(40))) for i in range(60000)),
        "stack_nodes_max"),
    "heads of perf without end": (None, lambda: fill(b"a 1 2.5: 3 x:\n\n"), "samples_max"),
    "events of perf without end": (None, lambda: numbered(b"a 1 2.5: 3 e%d:\n\n", 100), "limit"),
    "a sample of perf without end": (None, lambda: fill(b"\t1 f (/x)\n", b"a 1 2.5: 3 x:\n"), "depth_max"),
    "a head of perf that is all numbers": (None, lambda: fill(b"1 ", b"a 1 2.5: 3 x:\n\n", b"\n"), None),
    "frames of speedscope without end": (
        None, lambda: fill(b"{},", b'{"shared":{"frames":[', b'{}]},"profiles":[]}'), "locations_max"),
    "samples of speedscope without end": (None, lambda: fill(b"[],", SHARED + b'"samples":[', b"[]]}]}"), "samples_max"),
    "weights of speedscope without end": (None, lambda: fill(b"1,", SHARED + b'"weights":[', b"1]}]}"), "samples_max"),
    "events of speedscope that open and never close": (
        None, lambda: fill(b'{"type":"O","frame":0,"at":1},', SHARED + b'"events":[', b"{}]}]}"), "depth_max"),
    "events of speedscope without end": (
        None, lambda: numbered(b'{"type":"O","frame":0,"at":%d},{"type":"C","frame":0,"at":1e9}', 1,
                               SHARED + b'"events":[', b"]}]}"), None),
    "nodes of V8 without end": (None, lambda: fill(b"{},", b'{"nodes":[', b"{}]}"), "locations_max"),
    "children of V8 without end": (None, lambda: fill(b"1,", b'{"nodes":[{"children":[', b"1]}]}"), "locations_max"),
    "deltas of V8 without end": (None, lambda: fill(b"1,", b'{"nodes":[{"id":1}],"timeDeltas":[', b"1]}"), "samples_max"),
    "a chain of V8 nodes": (
        None, lambda: numbered(b'{"id":%d,"children":[%%d]}', 300000, b'{"nodes":[', b"]}", b",").replace(b"%d", b"0"),
        "malformed|depth_max"),
    "a heapprofile as deep as the body": (None, lambda: fill(HEAP, b'{"head":'), "nested|depth_max"),
    "JSON as deep as the body": (None, lambda: fill(b"[", b'{"nodes":'), "nested"),
    "a trie that unfolds": ("trie", lambda: b"".join(node(b"x", 1, 1) for _ in range(60000)) + node(b"x", 1, 0), "names"),
    "a tree as deep as the body": ("tree", lambda: fill(node(b"x", 1, 1)), "depth_max"),
    "a tree of more children than there are": ("tree", lambda: node(b"x", 1, (1 << 64) - 1), "node"),
    "a trie of empty names": ("trie", lambda: fill(node(b"", 0, 1)), "levels"),
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

    def push(self, body, format_=None):
        path = "/api/v1/profiles?service=s" + (f"&format={format_}" if format_ else "")
        return cluster.request(self.port, "POST", path, gzip.compress(body, 1))

    def test_what_was_made_to_hurt_does_not(self):
        for name, (format_, make, refusal) in INPUTS.items():
            with self.subTest(name):
                status, text = self.push(make(), format_)
                self.assertTrue(self.process.alive(), self.process.tail())
                if refusal is None:
                    self.assertEqual(status, 200, text)
                else:
                    self.assertEqual(status, 400, text)
                    failure = json.loads(text)
                    self.assertRegex(failure["code"] + failure["message"] + failure["hint"], refusal)
                self.assertEqual(self.push(b"main;work 5\n")[0], 200)


if __name__ == "__main__":
    unittest.main()
