"""Other projects' recordings in ../shared/data that google/pprof cannot read (test_oracle.py has those it
can): perf script's text against a reading in a few lines of Python, JFR against the JDK's own `jfr`.
"""
import collections
import glob
import gzip
import os
import re
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster
import jfr_rule
import recordings
from recordings import CPU, TYPES

FLUSH = {"HEARTH_FLUSH_INTERVAL": "200ms"}
RANGE = {"from": "0", "until": "now"}


class Data(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.system = cluster.Standalone(env=FLUSH)

    @classmethod
    def tearDownClass(cls):
        cls.system.close()

    def push(self, path, **params):
        service = re.sub(r"\W+", "-", os.path.basename(path).split(".")[0])
        with open(path, "rb") as f:
            answer = self.system.push(f.read(), service=service, **params)
        return service, answer

    def total(self, service, type_):
        try:
            total = self.system.api("flamegraph", service=service, type=type_, max_nodes=16, **RANGE)["total"]
        except cluster.Refused:
            return None
        return total[0] if isinstance(total, list) else total

    def top(self, service, type_):
        rows = self.system.api("top", service=service, type=type_, limit=1000000, **RANGE)["functions"]
        self_, total = collections.Counter(), {}
        for r in rows:
            self_[r["name"]] += r["self"]
            total.setdefault(r["name"], []).append(r["total"])
        return self_, total

    def wait_for(self, service, type_, want, slack=0):
        def there():
            total = self.total(service, type_)
            return total is not None and abs(total - want) <= slack
        try:
            cluster.until(there, 20, f"{service} {type_}")
        except AssertionError:
            self.assertEqual(self.total(service, type_), want, f"{service} {type_}")


# ---- perf script -----------------------------------------------------------------------------------

class PerfScript:
    """As perf's own documentation lays the text out: a head, frames leaf first, an empty line."""

    def __init__(self, path):
        self.samples = self.ns = 0
        self.self_, self.total = collections.Counter(), collections.Counter()
        with open(path) as f:
            for block in re.split(r"\n\s*\n", f.read().strip()):
                self.add(block.split("\n"))

    def add(self, lines):
        head = re.match(r"\s*(.+?)\s+\d+(?:/\d+)?\s+(?:\[\d+\]\s+)?[\d.]+:\s+(\d+)\s+\S+:", lines[0])
        period = int(head.group(2))
        names = [re.match(r"\s+[0-9a-f]+ (.*) \(", line).group(1) for line in lines[1:]]
        names = [re.sub(r"\+0x[0-9a-f]+$", "", n) for n in names]
        self.samples += 1
        self.ns += period
        if names:
            self.self_[names[0]] += period
        for name in {*names, head.group(1)}:
            self.total[name] += period


class Perf(Data):
    def test_perf_script_equals_an_independent_reading(self):
        paths = sorted(glob.glob(cluster.need_data("perf") + "/*.txt"))
        self.assertEqual(len(paths), 2)
        for path in paths:
            with self.subTest(path=os.path.basename(path)):
                want = PerfScript(path)
                service, _ = self.push(path)
                self.wait_for(service, CPU, want.ns)
                self.wait_for(service, TYPES["cpu-samples"], want.samples)
                self_, total = self.top(service, CPU)
                names = [n for n in want.total if n != "[unknown]"]     # these are shown by their module
                self.assertGreater(len(names), 3)
                for name in names:
                    self.assertEqual(self_[name], want.self_[name], name)
                    if len(total[name]) == 1:       # else of one name in several modules
                        self.assertEqual(total[name][0], want.total[name], name)


# ---- JFR ---------------------------------------------------------------------------------------------

class Jfr(Data):
    def setUp(self):
        if not shutil.which("jfr"):
            if os.environ.get("HEARTH_REQUIRE_DATA"):
                self.fail("no jfr (openjdk-17-jdk-headless)")
            print("SKIPPED: no jfr tool here", file=sys.stderr)
            self.skipTest("no jfr tool")

    def check(self, path):
        with gzip.open(path) as f:
            raw = f.read()
        wanted = jfr_rule.of_file(raw, os.path.basename(path).split(".")[0])
        self.assertTrue(wanted)
        service, answer = self.push(path)
        self.assertEqual(sorted(answer["types"]), sorted(wanted))
        for type_, want in wanted.items():
            with self.subTest(type=type_):
                self.wait_for(service, type_, want["total"], want["slack"])

    def test_each_recording_counts_what_the_jdk_reads(self):
        paths = sorted(glob.glob(cluster.need_data("jfr") + "/*.jfr.gz"))
        self.assertEqual(len(paths), 9)
        for path in paths:
            with self.subTest(path=os.path.basename(path)):
                self.check(path)


if __name__ == "__main__":
    unittest.main()
