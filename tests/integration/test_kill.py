"""kill -9 in mid-stream changes no total: every acknowledged profile is counted exactly once.

Each profile has a function of its own, so that a lost or a doubled one is named. A push that got no
answer may be counted or not, but not twice. The seed is printed; HEARTH_SEED repeats a run.
"""
import os
import random
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster
import pprofgen

KILLS = int(os.environ.get("HEARTH_KILLS", "50"))
PUSHERS = 4
FLUSH = {"HEARTH_FLUSH_INTERVAL": "100ms"}
TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"


class Load:
    """Threads that push until stopped, and what became of each profile."""

    def __init__(self, system, rng):
        self.system, self.stopping = system, False
        self.acked, self.unknown, self.refused = set(), set(), set()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i, rng.random())) for i in range(PUSHERS)]
        for t in self.threads:
            t.start()

    def run(self, pusher, seed):
        rng, n = random.Random(seed), 0
        while not self.stopping:
            name, n = f"p{pusher}_{n}", n + 1
            now = time.time_ns()
            # Some stand in older windows, so that closed ones are reopened too.
            end = now - rng.choice([0, 0, 0, 60, 600]) * 10**9
            body = pprofgen.profile({f"main;{name}": 7, "main;shared": 1})
            try:
                self.system.push(body, timeout=30, service="kill", version=str(rng.randrange(3)),
                                 **{"from": str(end - 10**9), "until": str(end)})
                self.note(self.acked, name)
            except cluster.Refused as e:
                if e.status != 503:
                    raise
                self.note(self.unknown, name)       # 503: may or may not be in the log
            except (OSError, cluster.http.client.HTTPException):
                self.note(self.unknown, name)
                time.sleep(0.02)

    def note(self, where, name):
        with self.lock:
            where.add(name)

    def stop(self):
        self.stopping = True
        for t in self.threads:
            t.join()


class Kill:
    def setUp(self):
        seed = int(os.environ.get("HEARTH_SEED", random.randrange(1 << 30)))
        print(f"seed {seed}, {KILLS} kills", file=sys.stderr)
        self.rng = random.Random(seed)
        self.system = self.make()

    def counted(self):
        """{function: self} of the whole service."""
        top = self.system.api("top", service="kill", type=TYPE, limit=10**6, **{"from": "0", "until": "now"})
        return {f["name"]: f["self"] for f in top["functions"]}

    def test_every_acknowledged_profile_counts_once(self):
        load = Load(self.system, self.rng)
        try:
            for _ in range(KILLS):
                time.sleep(self.rng.uniform(0.05, 0.8))
                self.kill_one()
        finally:
            load.stop()
        print(f"acknowledged {len(load.acked)}, without an answer {len(load.unknown)}", file=sys.stderr)
        self.assertGreater(len(load.acked), KILLS)

        def all_there():
            got = self.counted()
            return got if load.acked <= got.keys() else None
        got = cluster.until(all_there, 90, "every acknowledged profile to be queryable")
        time.sleep(1)                               # a double would come late
        got = self.counted()
        shared = got.pop("shared")
        doubled = {name: v for name, v in got.items() if v != 7 and name != "main"}
        self.assertEqual(doubled, {}, "counted more than once")
        names = got.keys() - {"main"}
        self.assertEqual(names - load.acked - load.unknown, set(), "never pushed")
        self.assertEqual(shared, len(names))
        self.system.close()


class StandaloneKill(Kill, unittest.TestCase):
    @staticmethod
    def make():
        return cluster.Standalone(env=FLUSH, late_max="24h")

    def kill_one(self):
        self.system.restart_after_kill()


class ClusterKill(Kill, unittest.TestCase):
    @staticmethod
    def make():
        return cluster.Cluster(env=FLUSH, late_max="24h", topic_prefix="kill")

    def kill_one(self):
        victims = self.rng.sample(self.system.aggregators, self.rng.choice([1, 1, 2]))
        for v in victims:
            v.kill9()
        time.sleep(self.rng.uniform(0, 0.3))
        for v in victims:
            v.start()


if __name__ == "__main__":
    unittest.main()
