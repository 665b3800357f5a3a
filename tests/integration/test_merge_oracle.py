"""`hearth merge` makes what google/pprof's Merge makes, in whole: locations, lines, mappings, labels, header.
Of every real profile, and of profiles that were broken at random; of those that one of the two refuses,
the reasons are known. HEARTH_SEED and HEARTH_MUTANTS choose others."""
import collections
import glob
import gzip
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster
import recordings

HEARTH = os.path.join(cluster.BIN, "hearth")
SMALL = 60000  # bytes of a profile that is worth breaking

# What we refuse and google/pprof takes (common/formats/pprof.c says why); beside these a field of
# number 0, which no protobuf may have.
STRICTER = [
    "one id for two different entries",  # it takes the last
    "no sample types",  # it takes a profile without samples and types
    "a second",  # it takes two profiles in a row as one, with the strings of both
]
MESSAGES = {(): (1, 2, 3, 4, 5, 11), (2,): (3,), (4,): (4,)}


def plain(path):
    with open(path, "rb") as f:
        body = f.read()
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


def has_field_0(body, path=()):
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = body[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return value

    while at < len(body):
        number, kind = divmod(varint(), 8)
        if number == 0:
            return True
        if kind == 0:
            varint()
            continue
        size = varint() if kind == 2 else {1: 8, 5: 4}[kind]
        if kind == 2 and number in MESSAGES.get(path, ()) and has_field_0(body[at:at + size], path + (number,)):
            return True
        at += size
    return False


def mutant(rng, body):
    """Bytes changed, a piece lost, repeated or cut off."""
    body = bytearray(body)
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(body))
        kind = rng.randrange(6)
        if kind < 3:
            body[at] = rng.choice([0, 1, body[at] ^ 1 << rng.randrange(8), rng.randrange(256)])
        elif kind == 3:
            del body[at:at + rng.randint(1, 4)]
        elif kind == 4:
            body[at:at] = body[at:at + rng.randint(1, 30)]
        elif rng.random() < 0.1:
            del body[at:]
        if not body:
            break
    return bytes(body)


def parts_of(body):
    """Of a form its parts, else the whole."""
    if not body.startswith(b"--"):
        return [body]
    boundary = body[:body.index(b"\r\n")]
    return [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in body.split(boundary)[1:]]


def each(files):
    out = subprocess.run([cluster.ORACLE, "-each", *files], check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


class MergeInWhole(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kept = tempfile.TemporaryDirectory()
        files = glob.glob(cluster.need_data("go") + "/**/*.pb.gz", recursive=True)
        for recording in recordings.recordings():
            for i, part in enumerate(parts_of(recording.body())):
                files.append(os.path.join(cls.kept.name, f"{recording.name}-{i}.pb"))
                with open(files[-1], "wb") as f:
                    f.write(part)
        files.sort()
        cls.files = [f for f, read in zip(files, each(files)) if not read["error"]]

    @classmethod
    def tearDownClass(cls):
        cls.kept.cleanup()

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def merge(self, *files, out="merged.pb.gz"):
        """The merged file and None, or what hearth says."""
        done = subprocess.run([HEARTH, "merge", "--input-format", "pprof", *files, "-o", self.path(out)], capture_output=True, text=True)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return self.path(out), done.stderr if done.returncode else None

    def test_real_profiles(self):
        self.assertGreater(len(self.files), 20)
        for path in self.files:
            with self.subTest(path=path):
                merged, refused = self.merge(path, path)
                self.assertIsNone(refused)
                self.assertEqual(cluster.whole(path, path), cluster.whole(merged))

    def test_many(self):
        files = sorted(glob.glob(cluster.need_data("go") + "/heap-series/*.pb.gz"))
        self.assertGreater(len(files), 2)
        merged, refused = self.merge(*files)
        self.assertIsNone(refused)
        self.assertEqual(cluster.whole(*files), cluster.whole(merged))

    def break_some(self, rng, n):
        bodies = [b for b in map(plain, self.files) if len(b) < SMALL]
        paths = []
        for i in range(n):
            paths.append(self.path(f"mutant-{i}.pb"))
            with open(paths[-1], "wb") as f:
                f.write(mutant(rng, rng.choice(bodies)))
        return paths

    def test_broken_profiles(self):
        seed = int(os.environ.get("HEARTH_SEED", random.randrange(1 << 32)))
        paths = self.break_some(random.Random(seed), int(os.environ.get("HEARTH_MUTANTS", 400)))
        count = collections.Counter()
        ours, same = [], []
        for path, theirs in zip(paths, each(paths)):
            merged, refused = self.merge(path, out=os.path.basename(path) + ".gz")
            if refused and not theirs["error"]:
                self.assertTrue(any(s in refused for s in STRICTER) or has_field_0(plain(path)),
                                f"seed {seed}: {path}: {refused}")
            count["refused" if refused else "taken", "refused" if theirs["error"] else "taken"] += 1
            if not refused and not theirs["error"] and not theirs["huge"]:
                ours.append(merged)
                same.append((path, theirs["hash"]))
        for (path, hash_), mine, merged in zip(same, each(ours), ours):
            if mine["hash"] != hash_:
                self.assertEqual(cluster.whole(path), cluster.whole(merged), f"seed {seed}")
        print(f"seed {seed}: (ours, theirs): {dict(count)}", file=sys.stderr)
        self.assertGreater(len(same), len(paths) // 20)


if __name__ == "__main__":
    unittest.main()
