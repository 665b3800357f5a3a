"""`hearth standalone` with another --window than its data directory was made with: it does not start, rather than take
uploads that it will not count."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster
import pprofgen

TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"


class Window(unittest.TestCase):
    def setUp(self):
        self.system = cluster.Standalone("--window", "10s")
        self.addCleanup(self.system.close)

    def push(self):
        self.system.push(pprofgen.profile({"main;work": 5}), service="web", until="now")

    def check_counted(self, n):
        cluster.until(lambda: self.system.profiles("web", TYPE, **{"from": "now-1h"}) == n, 30, f"{n} profiles")

    def start_with(self, window):
        argv = self.system.main.argv
        argv[argv.index("--window") + 1] = window
        return argv

    def test_it_does_not_start_with_another_one(self):
        self.push()
        self.check_counted(1)
        self.assertEqual(self.system.main.stop(), 0)
        done = subprocess.run(self.start_with("1m"), capture_output=True, text=True, timeout=30, env=self.system.main.env)
        store = os.path.join(self.system.dir, "data/store")
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertIn("the option window is 60s, but what is stored is in windows of 10s", done.stderr)
        self.assertIn(f"set window to 10s again, or begin with an empty store: without {store} ", done.stderr)
        # As it was:
        self.start_with("10s")
        self.system.start()
        self.push()
        self.check_counted(2)

    def test_without_the_store_all_is_counted_anew(self):
        self.push()
        self.check_counted(1)
        self.assertEqual(self.system.main.stop(), 0)
        store = os.path.join(self.system.dir, "data/store")
        for name in os.listdir(store):
            os.unlink(os.path.join(store, name))
        os.rmdir(store)
        self.start_with("1m")
        self.system.start()
        self.push()
        self.check_counted(2)


if __name__ == "__main__":
    unittest.main()
