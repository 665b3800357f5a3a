"""`hearth push --stream` against a real server: what is counted is what was sent, once, also when the server is
restarted, or the connection is cut, in the middle."""
import os
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster
import pprofgen

TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
FILES = 120
EACH = 5


class CuttingProxy:
    """Passes connections on to a port; cut() breaks all that are open, without a word."""

    def __init__(self, port, delay):
        self.port, self.delay, self.open, self.cuts = port, delay, [], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.port))
            except OSError:         # it is being restarted
                client.close()
                continue
            self.open += [client, server]
            for a, b in (client, server), (server, client):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    def pump(self, a, b):
        try:
            while data := a.recv(512):
                b.sendall(data)
                time.sleep(self.delay)
        except OSError:
            pass
        for s in a, b:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        a.close()

    def cut(self):
        for s in self.open:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.cuts += len(self.open) > 0
        self.open = []


class Stream(unittest.TestCase):
    def setUp(self):
        self.system = cluster.Standalone()
        self.addCleanup(self.system.close)
        self.paths = []
        for i in range(FILES):
            self.paths.append(os.path.join(self.system.dir, f"{i}.pb"))
            with open(self.paths[-1], "wb") as f:
                f.write(pprofgen.profile({f"main;work_{i % 7}": EACH}))

    def begin(self, server, *paths):
        argv = [os.path.join(cluster.BIN, "hearth"), "push", "--stream", "--server", server, "--service", "shop",
                "--tag", "version=1", "--until", "now", *paths]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                preexec_fn=cluster.die_with_parent)

    def end(self, push):
        out, err = push.communicate(timeout=120)
        return push.returncode, out, err

    def server(self):
        return f"http://127.0.0.1:{self.system.push_port}"

    def check_all_counted_once(self):
        bounds = {"from": "now-1h", "until": "now+1m"}
        cluster.until(lambda: self.system.profiles("shop", TYPE, **bounds) >= FILES, 30, "all to be queryable")
        # Whatever was counted twice would be seen by now: it was acknowledged before.
        answer = self.system.api("flamegraph", service="shop", type=TYPE, max_nodes=16, **bounds)
        self.assertEqual(answer["profiles"], FILES)
        self.assertEqual(answer["total"][0], FILES * EACH)

    def test_every_file_is_counted_and_said_to_be_taken(self):
        status, out, err = self.end(self.begin(self.server(), *self.paths))
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(sorted(line.partition(": taken: from ")[0] for line in out.splitlines()), sorted(self.paths))
        self.check_all_counted_once()

    def test_a_bad_file_and_a_missing_one_do_not_keep_the_others_back(self):
        bad = os.path.join(self.system.dir, "bad")
        with open(bad, "w") as f:
            f.write("no profile")
        status, out, err = self.end(self.begin(self.server(), bad, bad + "-none", *self.paths))
        self.assertEqual(status, 1)
        self.assertEqual(out.count(": taken"), FILES)
        self.assertEqual(len(err.splitlines()), 2, err)
        self.assertIn(f"{bad}: not a profile in a known format", err)
        self.check_all_counted_once()

    def test_a_connection_that_is_cut_again_and_again_counts_each_once(self):
        proxy = CuttingProxy(self.system.push_port, 0.02)   # so that there is a middle to cut
        push = self.begin(proxy.address, *self.paths)
        while push.poll() is None and proxy.cuts < 6:
            time.sleep(0.15)
            proxy.cut()
        status, out, err = self.end(push)
        proxy.listener.close()
        self.assertEqual(status, 0, err)
        self.assertEqual(out.count(": taken"), FILES)
        self.assertGreaterEqual(proxy.cuts, 3)
        self.check_all_counted_once()

    def test_a_server_that_is_restarted_meanwhile_counts_each_once(self):
        proxy = CuttingProxy(self.system.push_port, 0.05)   # so that the restart falls into the middle
        push = self.begin(proxy.address, *self.paths)
        time.sleep(0.3)
        self.assertEqual(self.system.main.stop(), 0)
        self.assertIsNone(push.poll(), "the push was over before the restart")
        self.system.start()
        status, out, err = self.end(push)
        proxy.listener.close()
        self.assertEqual(status, 0, err)
        self.assertEqual(out.count(": taken"), FILES)
        self.check_all_counted_once()

    def test_without_a_server_it_says_so(self):
        status, out, err = self.end(self.begin(f"http://127.0.0.1:{cluster.free_port()}", self.paths[0]))
        self.assertEqual((status, out), (1, ""))
        self.assertIn("is it running?", err)


if __name__ == "__main__":
    unittest.main()
