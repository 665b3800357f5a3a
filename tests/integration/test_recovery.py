"""Redis is a derived store: emptied under a running system, it is rebuilt from Kafka, exactly."""
import os
import socket
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster
import pprofgen

TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
RANGE = {"from": "0", "until": "now"}
SERVICES = [f"svc-{i}" for i in range(6)]


class Recovery(unittest.TestCase):
    def setUp(self):
        self.system = cluster.Cluster(env={"HEARTH_FLUSH_INTERVAL": "200ms"}, topic_prefix="recovery")
        self.addCleanup(self.system.kill)

    def push(self, n):
        for i in range(n):
            for service in SERVICES:
                end = time.time_ns() - i * 60 * 10**9
                self.system.push(pprofgen.profile({f"main;f{i}": 7}), service=service,
                                 **{"from": str(end - 10**9), "until": str(end)})

    def counts(self):
        return [self.system.profiles(s, TYPE, **RANGE) for s in SERVICES]

    def redis(self, command):
        with socket.create_connection(("127.0.0.1", self.system.redis.port), 10) as s:
            s.sendall(command + b"\r\n")
            return s.recv(1024)

    def test_an_emptied_redis_is_rebuilt_without_new_profiles(self):
        self.push(20)
        cluster.until(lambda: self.counts() == [20] * len(SERVICES), 30, "all profiles")
        self.assertEqual(self.redis(b"FLUSHALL"), b"+OK\r\n")
        self.assertNotEqual(self.counts(), [20] * len(SERVICES))
        cluster.until(lambda: self.counts() == [20] * len(SERVICES), 60, "all profiles again")
        top = self.system.api("top", service=SERVICES[0], type=TYPE, **RANGE)["functions"]
        self.assertEqual({f["name"]: f["self"] for f in top}, {"main": 0, **{f"f{i}": 7 for i in range(20)}})
        self.system.close()


if __name__ == "__main__":
    unittest.main()
