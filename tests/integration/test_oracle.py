"""Every real pprof, through the whole system, equals google/pprof's reading of the same file exactly."""
import glob
import gzip
import io
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster

FLUSH = {"HEARTH_FLUSH_INTERVAL": "200ms"}
SNAPSHOTS = {"inuse_objects", "inuse_space"}


def by_key(functions, type_index=None):
    """{(name, file): (self, total)} without what is zero on both."""
    out = {}
    for f in functions:
        self_, total = f["self"], f["total"]
        if type_index is not None:
            self_, total = self_[type_index], total[type_index]
        if self_ or total:
            out[(f["name"], f["file"])] = (self_, total)
    return out


class Oracle:
    """The tests, over the system that make() starts."""

    @classmethod
    def setUpClass(cls):
        cls.system = cls.make()

    @classmethod
    def tearDownClass(cls):
        cls.system.close()

    def types_of(self, service, expected):
        """Five-part names in the order of the oracle's types."""
        listed = self.system.api("types", service=service)["types"]
        names = [t["name"] if isinstance(t, dict) else t for t in listed]
        found = []
        for want in expected["types"]:
            match = [n for n in names if tuple(n.split(":")[1:3]) == tuple(want.split("/"))]
            self.assertEqual(len(match), 1, f"{want} in {names}")
            found.append(match[0])
        return found

    def check(self, service, expected, profiles, only=None):
        if not expected["samples"]:
            return
        self.wait(service, expected, profiles)
        for i, type_ in enumerate(self.types_of(service, expected)):
            if only and type_.split(":")[1] not in only:
                continue
            where = dict(service=service, type=type_, **{"from": "0", "until": "now"})
            flame = self.system.api("flamegraph", **where)
            self.assertEqual(flame["total"][0] if isinstance(flame["total"], list) else flame["total"],
                             expected["totals"][i], f"{service} {type_}")
            want = by_key(expected["functions"] or [], i)
            top = self.system.api("top", limit=1000000, **where)["functions"]
            got = {k: v for k, v in by_key(top).items() if "+0x" not in k[0]}
            self.assertEqual(got, want, f"top of {service} {type_}")
            body = cluster.get(self.system.query_port, "/api/v1/flamegraph", format="pprof", **where)
            with tempfile.NamedTemporaryFile(suffix=".pb.gz") as f:
                f.write(body)
                f.flush()
                back = cluster.oracle(f.name)
            self.assertEqual(back["totals"], [expected["totals"][i]], f"pprof of {service} {type_}")
            got = {k: v for k, v in by_key(back["functions"] or [], 0).items() if "+0x" not in k[0]}
            self.assertEqual(got, want, f"pprof of {service} {type_}")

    def wait(self, service, expected, profiles):
        def there():
            types = self.types_of(service, expected)
            return self.system.profiles(service, types[0], **{"from": "0", "until": "now"}) == profiles
        cluster.until(lambda: self.known(service) and there(), 60, f"{profiles} profiles of {service}")

    def known(self, service):
        names = [s["name"] if isinstance(s, dict) else s for s in self.system.api("services")["services"]]
        return service in names

    def push(self, path, service):
        with open(path, "rb") as f:
            self.system.push(f.read(), service=service)

    def test_each_real_go_profile_equals_google_pprof(self):
        root = cluster.need_data("go")
        files = sorted(glob.glob(root + "/*.pb.gz") + glob.glob(root + "/heap-series/*.pb.gz"))
        self.assertGreater(len(files), 20)
        services = {path: "each-" + os.path.basename(path).split(".")[0] for path in files}
        for path, service in services.items():
            self.push(path, service)
        for path, service in services.items():
            with self.subTest(path=os.path.basename(path)):
                self.check(service, cluster.oracle(path), 1)

    def test_ten_heap_profiles_equal_their_google_pprof_merge(self):
        files = sorted(glob.glob(cluster.need_data("go/heap-series") + "/*.pb.gz"))
        self.assertEqual(len(files), 10)
        for path in files:
            self.push(path, "heap-series")
        merged = cluster.oracle(*files)
        flows = {t.split("/")[0] for t in merged["types"]} - SNAPSHOTS
        self.check("heap-series", merged, 10, only=flows)

    def test_own_recordings_equal_google_pprof(self):
        files = sorted(glob.glob(cluster.OWN_DATA + "/pprof/*.pb.gz"))
        self.assertGreater(len(files), 3)
        for path in files:
            service = "own-" + os.path.basename(path).split(".")[0]
            self.push(path, service)
            with self.subTest(path=os.path.basename(path)):
                self.check(service, cluster.oracle(path), 1)

    def test_two_profiles_of_one_time_stamp_are_two(self):
        path = sorted(glob.glob(cluster.OWN_DATA + "/pprof/*cpu*.pb.gz"))[0]
        expected = cluster.oracle(path)
        for _ in range(2):
            self.push(path, "twice")
        self.wait("twice", expected, 2)
        for i, type_ in enumerate(self.types_of("twice", expected)):
            flame = self.system.api("flamegraph", service="twice", type=type_, **{"from": "0", "until": "now"})
            self.assertEqual(flame["profiles"], 2)
            got = flame["total"][0] if isinstance(flame["total"], list) else flame["total"]
            self.assertEqual(got, 2 * expected["totals"][i])


class StandaloneOracle(Oracle, unittest.TestCase):
    @staticmethod
    def make():
        return cluster.Standalone(env=FLUSH)


class ClusterOracle(Oracle, unittest.TestCase):
    @staticmethod
    def make():
        return cluster.Cluster(env=FLUSH)


if __name__ == "__main__":
    unittest.main()
