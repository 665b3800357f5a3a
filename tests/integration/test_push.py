"""`hearth push`, with and without --stream: both take the same options and say the same."""
import os
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster
import pprofgen

CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
BYTES = "memory:alloc_space:bytes:space:bytes"


class Push(unittest.TestCase):
    def setUp(self):
        self.system = cluster.Standalone(late_max="24h")
        self.addCleanup(self.system.close)

    def push(self, service, body, *options):
        """(exit status, stdout, stderr), the file's path taken out."""
        path = os.path.join(self.system.dir, "file")
        with open(path, "wb") as f:
            f.write(body)
        done = subprocess.run([os.path.join(cluster.BIN, "hearth"), "push", path, "--server",
                               f"http://127.0.0.1:{self.system.push_port}", "--service", service, *options],
                              capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout.replace(path, "FILE"), done.stderr.replace(path, "FILE")

    def both(self, name):
        for way in (), ("--stream",):
            with self.subTest(way=way):
                yield name + "".join(way), way

    def check_taken(self, done):
        status, out, err = done
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"\AFILE: taken: .*from \d.* UTC.*\n\Z")

    def check_total(self, service, type_, total):
        self.assertEqual(self.system.profiles(service, type_, **{"from": "now-1h"}), 1)
        answer = self.system.api("flamegraph", service=service, type=type_, **{"from": "now-1h"})
        self.assertEqual(answer["total"][0], total)

    def test_what_a_file_does_not_say_is_said_by_options(self):
        lines, folded = b"main;work\nmain;work\nmain\n", b"main;work 5\nmain 2\n"
        for service, way in self.both("web"):
            self.check_taken(self.push(service + "-lines", lines, "--format", "lines", "--sample-type", "cpu", *way))
            self.check_taken(self.push(service + "-rate", folded, "--sample-type", "cpu", "--sample-rate", "1000", *way))
            self.check_taken(self.push(service + "-unit", folded, "--sample-type", "alloc_space", "--unit", "bytes", *way))
            cluster.until(lambda: self.system.profiles(service + "-unit", BYTES, **{"from": "now-1h"}), 20, "the last one")
            self.check_total(service + "-lines", CPU, 30_000_000)
            self.check_total(service + "-rate", CPU, 7_000_000)
            self.check_total(service + "-unit", BYTES, 7)

    def test_what_was_taken_is_told(self):
        body = pprofgen.profile({"main;work": 5, "main": 0}, time_ns=int(time.time() - 60) * 10**9, duration_ns=30 * 10**9)
        time_range = r"from \d+-\d\d-\d\d \d\d:\d\d:\d\d to \d+-\d\d-\d\d \d\d:\d\d:\d\d UTC"
        status, out, err = self.push("web", body)
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, rf"\AFILE: taken: 1 profile, \d samples?, {CPU}, {time_range}; "
                              r"repaired or skipped: zero_samples 1\n\Z")
        self.assertEqual(self.push("web", body, "--quiet"), (0, "", ""))
        status, out, err = self.push("web", body, "--stream")    # an ACK says when a profile counts
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, rf"\AFILE: taken: {time_range}\n\Z")

    def test_without_them_it_is_refused(self):
        for service, way in self.both("web"):
            status, out, err = self.push(service, b"main;work\nmain\n", *way)
            self.assertEqual((status, out), (1, ""))
            self.assertIn("FILE: not a profile in a known format", err)
            status, out, err = self.push(service, b"main;work\nmain\n", "--format", "line", *way)
            self.assertEqual((status, out), (1, ""))
            self.assertIn('FILE: there is no format "line"', err)

    def test_a_profile_that_will_not_be_counted_is_told_of(self):
        day = 24 * 3600
        old = pprofgen.profile({"main;work": 5}, time_ns=int(time.time() - 3 * day) * 10**9, duration_ns=10**9)
        for service, way in self.both("web"):
            status, out, err = self.push(service, old, *way)
            self.check_taken((status, out, ""))
            self.assertRegex(err, r"\Ahearth push: FILE: it was recorded at \d+-\d\d-\d\d \d\d:\d\d UTC; what is older "
                                  r"than late_max \(default 24h\) is not counted. --until now gives it today's time\n\Z")
            self.check_taken(self.push(service, old, "--until", "now", *way))

    def test_they_are_no_tags(self):
        for service, way in self.both("web"):
            status, out, err = self.push(service, b"main;work\n", "--tag", "format=lines", *way)
            self.assertEqual((status, out), (2, ""))
            self.assertIn("--tag format=lines: that is no tag, but the option --format", err)


if __name__ == "__main__":
    unittest.main()
