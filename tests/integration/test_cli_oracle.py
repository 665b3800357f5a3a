"""The command line over files computes what `go tool pprof` computes: merge as -proto, diff as -base, top
as -top. Both results are read by google/pprof's own package (tests/oracle)."""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster

HEARTH = os.path.join(cluster.BIN, "hearth")


def by_name(functions, index):
    """{(name, file): (self, total)} of what a type has anything of."""
    out = {}
    for f in functions or []:
        if f["self"][index] or f["total"][index]:
            out[(f["name"], f["file"])] = (f["self"][index], f["total"][index])
    return out


def symbolised(table):
    return {k: v for k, v in table.items() if "+0x" not in k[0]}


class CommandLine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("go"):
            if os.environ.get("HEARTH_REQUIRE_SERVICES"):
                raise AssertionError("no go")
            print("SKIPPED: no go toolchain for go tool pprof", file=sys.stderr)
            raise unittest.SkipTest("no go")
        cls.go = cluster.need_data("go")

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def hearth(self, *args):
        return subprocess.run([HEARTH, *args], check=True, capture_output=True, text=True).stdout

    def pprof(self, *args):
        env = dict(os.environ, PPROF_TMPDIR=self.dir.name, GOTOOLCHAIN="local")
        return subprocess.run(["go", "tool", "pprof", "-symbolize=none", *args], check=True, env=env,
                              capture_output=True, text=True).stdout

    def check_merge(self, files):
        ours, theirs = self.path("ours.pb.gz"), self.path("theirs.pb.gz")
        self.hearth("merge", *files, "-o", ours)
        self.pprof("-proto", "-output", theirs, *files)
        a, b = cluster.oracle(ours), cluster.oracle(theirs)
        for what in ("types", "totals", "labels", "time_nanos", "duration_nanos", "comments", "doc_url",
                     "drop_frames", "keep_frames"):
            self.assertEqual(a[what], b[what], what)
        for i, _ in enumerate(a["types"]):
            self.assertEqual(by_name(a["functions"], i), by_name(b["functions"], i))

    def test_merge_of_each_file_with_itself(self):
        files = [f for f in sorted(glob.glob(self.go + "/*.pb.gz")) if cluster.oracle(f)["samples"]]
        self.assertGreater(len(files), 8)
        for path in files:
            with self.subTest(path=os.path.basename(path)):
                self.check_merge([path, path])

    def test_merge_of_many(self):
        self.check_merge(sorted(glob.glob(self.go + "/heap-series/*.pb.gz")))
        self.check_merge(sorted(glob.glob(self.go + "/collector-cpu-*.pb.gz")))

    def check_diff(self, before, after, type_):
        ours, theirs = self.path("ours.pb.gz"), self.path("theirs.pb.gz")
        self.hearth("diff", before, after, "--type", type_, "-o", ours)
        self.pprof("-proto", "-base", before, "-output", theirs, after)
        a, b = cluster.oracle(ours), cluster.oracle(theirs)
        i = [t.split("/")[0] for t in b["types"]].index(type_)
        self.assertEqual(a["totals"][0], b["totals"][i])
        self.assertEqual(symbolised(by_name(a["functions"], 0)), by_name(b["functions"], i))

    def check_whole_diff(self, before, after):
        ours, theirs = self.path("ours.pb.gz"), self.path("theirs.pb.gz")
        self.hearth("diff", before, after, "-o", ours)
        self.pprof("-proto", "-base", before, "-output", theirs, after)
        self.assertEqual(cluster.whole(ours), cluster.whole(theirs))

    def test_diff_is_the_second_less_the_first(self):
        heaps = sorted(glob.glob(self.go + "/heap-series/*.pb.gz"))
        cpus = [f"{self.go}/collector-cpu-{i}.pb.gz" for i in (1, 2, 3)]
        labels = self.go + "/profile-with-labels.pb.gz"
        for before, after in ((cpus[0], cpus[1]), (cpus[2], cpus[0]), (heaps[0], heaps[-1]), (labels, labels)):
            self.check_whole_diff(before, after)
        self.check_diff(cpus[0], cpus[1], "cpu")
        self.check_diff(cpus[0], cpus[2], "samples")
        for type_ in ("alloc_objects", "alloc_space", "inuse_objects", "inuse_space"):
            self.check_diff(heaps[0], heaps[-1], type_)

    def test_top_shows_the_same_type_and_total(self):
        for path in sorted(glob.glob(self.go + "/*.pb.gz")):
            if not cluster.oracle(path)["samples"]:
                continue
            with self.subTest(path=os.path.basename(path)):
                head = re.search(r"^Type: (.*)$", self.pprof("-top", path), re.M).group(1)
                ours = self.hearth("top", path).split("\n")[0]
                self.assertEqual(ours.split("  ")[0].split(":")[1], head)

    def test_top_has_the_figures_of_every_function(self):
        for path in sorted(glob.glob(self.go + "/*.pb.gz")):
            theirs = cluster.oracle(path)
            if not theirs["samples"]:
                continue
            with self.subTest(path=os.path.basename(path)):
                ours = json.loads(self.hearth("top", path, "-o", "json", "--limit", "100000"))
                i = [t.split("/")[0] for t in theirs["types"]].index(ours["type"].split(":")[1])
                self.assertEqual(ours["sum"], theirs["totals"][i])
                mine = {(f["name"], f["file"]): (f["self"], f["total"]) for f in ours["functions"]}
                self.assertEqual(symbolised(mine), by_name(theirs["functions"], i))


if __name__ == "__main__":
    unittest.main()
