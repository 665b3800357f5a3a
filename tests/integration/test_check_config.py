"""`hearth check-config` against the programs themselves: what it refuses does not start, for the same reasons; what it
passes starts."""
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster

BAD = {     # options of a collector or of standalone: what is said of them
    ("--socket-mode", "rw"): '"rw" is no mode of a file in octal, such as 0660 (setting: socket_mode)',
    ("--socket", "apm.socket"): 'cannot listen on "unix:apm.socket": a socket path begins with \'/\'',
    ("--listen", "4040"): 'cannot listen on "4040": it is not ADDRESS:PORT or unix:/PATH (setting: listen)',
    ("--listen", "web:4040"): 'cannot listen on "web:4040": the host is not a numeric address (setting: listen)',
    ("--grpc-listen", "127.0.0.1:http"): "(setting: grpc_listen)",
    ("--admin", "127.0.0.1"): "(setting: admin)",
    ("--pull-targets", "http://web:6060"): '"http://web:6060": the service is missing',
    ("--pull-targets", "web@https://web:6060"): "only http:// is spoken",
    ("--pull-targets", "web@http://a:1", "--pull-cpu", "15s"): "pull_cpu (15000 ms) is not less than pull_interval",
    ("--pull-profiles", "heep"): 'there is no profile "heep"',
    ("--pull-allow", "everywhere"): "pull_allow",
}


def run(*argv):
    done = subprocess.run([os.path.join(cluster.BIN, argv[0]), *argv[1:]], capture_output=True, text=True, timeout=30,
                          env={"PATH": os.environ["PATH"]})
    return done.returncode, done.stdout, done.stderr


class CheckConfig(unittest.TestCase):
    def check_refused(self, program, start, options, says):
        status, out, err = run("hearth", "check-config", program, *options)
        self.assertEqual((status, out, len(err.splitlines())), (1, "", 1), err)
        self.assertIn(says, err)
        self.assertEqual(run(*start, *options), (1, "", err))

    def test_what_is_wrong_with_a_collector_is_said_before_it_starts(self):
        with tempfile.TemporaryDirectory() as d:
            for options, says in BAD.items():
                with self.subTest(options=options):
                    self.check_refused("collector", ["hearth-collector", "--log-dir", d], options, says)

    def test_what_is_wrong_with_standalone_is_said_before_it_makes_its_directory(self):
        with tempfile.TemporaryDirectory() as d:
            data = os.path.join(d, "data")
            for options, says in BAD.items():
                with self.subTest(options=options):
                    self.check_refused("standalone", ["hearth", "standalone", "--data-dir", data], options, says)
            self.check_refused("standalone", ["hearth", "standalone", "--data-dir", data], ("--window", "1500ms"),
                               "1500 ms is not a whole number of seconds")
            self.assertFalse(os.path.exists(data))

    def test_what_is_wrong_with_an_aggregator_is_said(self):
        for options, says in {("--window", "1500ms"): "not a whole number of seconds",
                              ("--admin", "4051"): "(setting: admin)",
                              ("--redis-url", "localhost"): "redis_url",
                              ("--kafka-ssl-ca", "/ca.pem"): "kafka_security_protocol is plaintext"}.items():
            with self.subTest(options=options):
                self.check_refused("aggregator", ["hearth-aggregator"], options, says)

    def test_what_is_wrong_with_a_query_service_is_said(self):
        for options, says in {("--listen", "4041"): "(setting: listen)",
                              ("--admin", "web:1"): "(setting: admin)",
                              ("--redis-url", "localhost"): "redis_url"}.items():
            with self.subTest(options=options):
                self.check_refused("query", ["hearth-query"], options, says)

    def test_every_mistake_is_listed(self):
        status, _, err = run("hearth", "check-config", "collector", "--listen", "a:1,127.0.0.1:2,b:3", "--admin", "c:4",
                             "--pull-targets", "web,api@http://b", "--socket-mode", "9")
        self.assertEqual((status, len(err.splitlines())), (1, 6), err)

    def test_mistakes_of_names_hide_no_others(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write("lisen: a\nadmin: c:4\nbody_max: 1MB\n")
            f.flush()
            status, _, err = run("hearth", "check-config", "collector", "--config", f.name)
        self.assertEqual((status, len(err.splitlines())), (1, 3), err)
        for says in "unknown key 'lisen'", "(setting: admin)", "body_max":
            self.assertIn(says, err)

    def test_one_address_is_not_listened_on_twice(self):
        for options in (("--listen", "127.0.0.1:1,localhost:1"), ("--listen", "127.0.0.1:1", "--admin", "127.0.0.1:1"),
                        ("--grpc-listen", "unix:/a", "--listen", "127.0.0.1:2,unix:/a"),
                        ("--admin", "[::1]:3", "--grpc-listen", "[::1]:3")):
            with self.subTest(options=options):
                self.check_refused("collector", ["hearth-collector", "--log-dir", "/nowhere"], options, "twice")
        options = "--listen", "127.0.0.1:0,127.0.0.1:0", "--admin", "127.0.0.1:0", "--grpc-listen", "off"
        self.assertEqual(run("hearth", "check-config", "collector", *options), (0, "ok\n", ""))

    def test_what_it_passes_starts(self):
        port, admin = cluster.free_port(), cluster.free_port()
        with tempfile.TemporaryDirectory() as d:
            options = ["--listen", f"127.0.0.1:{port},unix:{d}/http.socket", "--socket", f"{d}/apm.socket",
                       "--socket-mode", "0660", "--grpc-listen", f"unix:{d}/grpc.socket", "--admin", f"127.0.0.1:{admin}",
                       "--pull-targets", "web@http://127.0.0.1:1", "--pull-allow", "127.0.0.0/8"]
            for program, argv in {"collector": ["hearth-collector", "--log-dir", f"{d}/log"],
                                  "standalone": ["hearth", "standalone", "--data-dir", f"{d}/data"]}.items():
                self.assertEqual(run("hearth", "check-config", program, *options), (0, "ok\n", ""))
                process = cluster.Process(program, [os.path.join(cluster.BIN, argv[0]), *argv[1:], *options], d)
                process.start()
                try:
                    cluster.until(lambda: cluster.get(admin, "/healthz") == b"ok\n", 20, program)
                    for name in "apm", "http", "grpc":
                        self.assertEqual(os.stat(f"{d}/{name}.socket").st_mode & 0o777, 0o660, name)
                finally:
                    self.assertEqual(process.stop(), 0)


if __name__ == "__main__":
    unittest.main()
