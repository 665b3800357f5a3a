"""A profile is queryable within ten seconds of its end: asserted as an order of events (it is seen
before a marker that is pushed ten seconds after its end), printed as a figure."""
import os
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster
import pprofgen

TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
ROUNDS = 3


class Freshness:
    def setUp(self):
        self.system = self.make()
        self.addCleanup(self.system.kill)

    def push(self, service, end_ns):
        body = pprofgen.profile({"main;work": 5})
        self.system.push(body, service=service, **{"from": str(end_ns - 10**9), "until": str(end_ns)})

    def test_a_profile_is_seen_before_the_marker_ten_seconds_after_its_end(self):
        figures = []
        for i in range(ROUNDS):
            service, events, end = f"fresh-{i}", [], time.time_ns()
            self.push(service, end)
            marker = threading.Timer(end / 1e9 + 10 - time.time(),
                                     lambda e=events: (self.push("marker", time.time_ns()), e.append("marker")))
            marker.start()
            cluster.until(lambda s=service: self.system.profiles(s, TYPE, **{"from": "now-1h", "until": "now"}),
                          30, f"{service} to be queryable", 0.02)
            events.append("seen")
            figures.append(time.time() - end / 1e9)
            marker.cancel()
            marker.join()
            self.assertEqual(events[0], "seen")
        print("%s: profile end to queryable %s s" % (type(self).__name__,
                                                      " ".join(f"{f:.2f}" for f in figures)), file=sys.stderr)
        self.check_metrics()
        self.system.close()

    def check_metrics(self):
        """Every program's exposition is what promtool accepts, and freshness is among it."""
        texts = [cluster.get(port, "/metrics") for port in self.admin_ports()]
        self.assertTrue(any(b"freshness" in t for t in texts))
        for text in texts:
            checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
            self.assertEqual((checked.returncode, checked.stderr.decode()), (0, ""))


class StandaloneFreshness(Freshness, unittest.TestCase):
    @staticmethod
    def make():
        return cluster.Standalone(late_max="24h")

    def admin_ports(self):
        return [self.system.admin_port]


class ClusterFreshness(Freshness, unittest.TestCase):
    @staticmethod
    def make():
        return cluster.Cluster(late_max="24h", topic_prefix="fresh")

    def admin_ports(self):
        return self.system.admin.values()


if __name__ == "__main__":
    unittest.main()
