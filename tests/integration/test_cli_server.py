"""The command line asks a server: what it says, and ends with, where nothing matches."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster
import pprofgen

CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
NOTHING = 3


class NothingMatches(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.system = cluster.Standalone(env={"HEARTH_FLUSH_INTERVAL": "200ms"})
        cls.system.push(pprofgen.profile({"main;work": 3}), service="web", version="1", until="now")
        cls.system.push(pprofgen.profile({}), service="idle", until="now")
        for service in ("web", "idle"):
            cluster.until(lambda: cls.system.profiles(service, None) == 1, 30, service)

    @classmethod
    def tearDownClass(cls):
        cls.system.close()

    def hearth(self, *args, service="web", text=True):
        return subprocess.run([os.path.join(cluster.BIN, "hearth"), *args, "--service", service, "--server",
                               f"http://127.0.0.1:{self.system.query_port}"], capture_output=True, text=text)

    def check_nothing(self, answer, verb, *parts):
        self.assertEqual(answer.returncode, NOTHING, answer)
        self.assertTrue(answer.stderr.startswith(f"hearth {verb}: "), answer.stderr)
        for part in parts:
            self.assertIn(part, answer.stderr)

    def test_a_table_without_rows_is_not_printed_and_what_was_asked_is_said(self):
        for more in ([], ["--type", "cpu"]):
            answer = self.hearth("top", "--match", "version:9", *more)
            self.check_nothing(answer, "top", 'nothing of service "web"', CPU, "match version:9", "from 20", "UTC",
                               "than the last hour")
            self.assertEqual(answer.stdout, "")
        self.check_nothing(self.hearth("top", "--from", "2020-01-01T10:00:00Z", "--until", "2020-01-01T11:00:00Z"),
                           "top", "from 2020-01-01 10:00 to 2020-01-01 11:00 UTC")

    def test_profiles_without_samples_are_another_matter(self):
        self.check_nothing(self.hearth("top", service="idle"), "top", 'no samples in service "idle"')

    def test_other_forms_are_written_empty_and_end_the_same_way(self):
        for verb in ("top", "query"):
            answer = self.hearth(verb, "--match", "version:9", "-o", "json")
            self.check_nothing(answer, verb, "version:9")
            self.assertEqual(json.loads(answer.stdout)["profiles"], 0)
        folded = self.hearth("query", "--match", "version:9")
        self.check_nothing(folded, "query", "version:9")
        self.assertEqual(folded.stdout, "")
        pprof = self.hearth("query", "--match", "version:9", "-o", "pprof", text=False)
        self.assertEqual(pprof.returncode, NOTHING)
        self.assertTrue(pprof.stdout.startswith(b"\x1f\x8b"))

    def test_of_a_difference_each_side_is_told_and_both_must_be_empty(self):
        for form in ([], ["-o", "json"], ["-o", "folded"]):
            with self.subTest(form=form):
                both = self.hearth("diff", "--a", "version:8", "--b", "version:9", *form)
                self.check_nothing(both, "diff", "a: nothing of", "match version:8", "b: nothing of", "match version:9")
                one = self.hearth("diff", "--a", "version:8", "--b", "version:1", *form)
                self.assertEqual(one.returncode, 0)
                self.assertIn("work", one.stdout)
                self.assertIn("a: nothing of", one.stderr)
                self.assertNotIn("b: ", one.stderr)

    def test_a_service_or_type_that_is_not_known_ends_the_same_way(self):
        for verb in ("top", "query", "diff"):
            for form in ([], ["-o", "json"]):
                with self.subTest(verb=verb, form=form):
                    service = self.hearth(verb, *form, service="nosuch")
                    self.check_nothing(service, verb, 'no profile of a service "nosuch" has been counted')
                    type_ = self.hearth(verb, "--type", "nosuch", *form)
                    self.check_nothing(type_, verb, 'type "nosuch" of service "web": there is none', CPU)
                    self.assertEqual(service.stdout + type_.stdout, "")

    def test_hints_name_options(self):
        for args, service, hint in ((["top"], "nosuch", "(--service says which; http://127.0.0.1:"),
                                    (["query", "--type", "nosuch"], "web", "(--type says which)")):
            with self.subTest(args=args):
                said = self.hearth(*args, service=service).stderr
                self.assertIn(hint, said)
                self.assertNotIn("GET ", said)

    def test_what_did_not_work_ends_with_1(self):
        self.assertEqual(self.hearth("top", "--match", "{").returncode, 1)

    def test_what_matches_ends_with_0_in_silence(self):
        for args in (["top"], ["query"], ["top", "-o", "json"], ["query", "-o", "json"], ["diff"]):
            with self.subTest(args=args):
                answer = self.hearth(*args)
                self.assertEqual((answer.returncode, answer.stderr), (0, ""))
                self.assertIn("work", answer.stdout)


if __name__ == "__main__":
    unittest.main()
