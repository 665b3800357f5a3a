"""Real agents, unmodified, end to end: each in a service whose hot function is known, through a
collector, real Kafka, two aggregators and real Redis, to what the query service answers.

HEARTH_AGENTS (a regular expression) runs only the agents whose name matches. HEARTH_REQUIRE_AGENTS=1:
an agent that cannot be installed fails instead of being skipped.
"""
import collections
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../lib"))
import agents
import cluster

# CPU profilers measure CPU time and both hot functions wait alike for a core, so a few services at once
# do not disturb each other's shares.
AT_ONCE = 3
RUN_SECONDS_MAX = 120       # these two only end a hopeless run
SEEN_SECONDS_MAX = 30
SHARE = (0.55, 0.85)        # of hot_a in hot_a + hot_b: 7 : 3 by work, sampled some hundred times
RANGE = {"from": "0", "until": "now"}

Run = collections.namedtuple("Run", ["agent", "transport", "service"])


def selected():
    """Every agent over each of its transports, as services of their own."""
    wanted = re.compile(os.environ.get("HEARTH_AGENTS", ""))
    for agent in agents.AGENTS:
        if not wanted.search(agent.name):
            continue
        for transport in agent.transports:
            plain = re.sub(r"[^a-z0-9]+", "-", f"{agent.name}-{agent.version}-{transport}".lower())
            yield Run(agent, transport, plain.strip("-") if agent.named else "unknown_service")


def install(homes):
    """{home: directory} of those that can be had here."""
    made = subprocess.run([os.path.join(HERE, "install"), *sorted(homes)], stdout=subprocess.PIPE, text=True)
    return dict(line.split("=", 1) for line in made.stdout.splitlines())


class RealAgents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="hearth-agents-")
        cls.homes = install({home for run in RUNS for home in run.agent.homes})
        cls.socket = os.path.join(cls.dir, "apm.socket")
        grpc = f"127.0.0.1:{cluster.free_port()}"
        settings = {"HEARTH_FLUSH_INTERVAL": "200ms", "HEARTH_SOCKET": cls.socket, "HEARTH_GRPC_LISTEN": grpc,
                    "HEARTH_SERIES_TAGS": ",".join(agents.TAGS)}
        cls.system = cluster.Cluster(env=settings, topic_prefix="agents")
        cls.addresses = {"tcp": f"http://127.0.0.1:{cls.system.push_port}", "unix": f"unix://{cls.socket}",
                         "grpc": f"http://{grpc}"}
        cls.pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        cls.ended = {run.service: cls.pool.submit(cls.serve, run) for run in RUNS if not cls.lacks(run)}

    @classmethod
    def tearDownClass(cls):
        try:
            cls.pool.shutdown(cancel_futures=True)
            cls.system.close()
        finally:
            shutil.rmtree(cls.dir, ignore_errors=True)

    @classmethod
    def environment(cls, run):
        """An environment of its own, so that nothing of ours leaks in."""
        return {"PATH": "/usr/bin:/bin", "HOME": cls.dir, "TMPDIR": cls.dir, "LANG": "C.UTF-8",
                **run.agent.env(run.service, cls.addresses[run.transport], *cls.directories(run))}

    @classmethod
    def lacks(cls, run):
        return [home for home in run.agent.homes if home not in cls.homes]

    @classmethod
    def directories(cls, run):
        return [cls.homes[home] for home in run.agent.homes]

    @classmethod
    def serve(cls, run):
        """Runs the service to its end; what it said, or an AssertionError."""
        child = subprocess.Popen(run.agent.argv(*cls.directories(run)), env=cls.environment(run),
                                 cwd=cls.dir, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, preexec_fn=cluster.die_with_parent)
        try:
            said = child.communicate(timeout=RUN_SECONDS_MAX)[0].decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            child.kill()
            said = child.communicate()[0].decode("utf-8", "replace")
            raise AssertionError(f"{run.service} did not end in {RUN_SECONDS_MAX} s:\n{said[-3000:]}") from None
        if child.returncode != 0:
            raise AssertionError(f"{run.service} ended with {child.returncode}:\n{said[-3000:]}")
        return said

    def match(self, run):
        if not run.agent.named:
            return None
        tags = {"env": agents.ENV, "version": agents.VERSION, **agents.TAGS}
        return "{%s}" % ",".join(f'{k}="{v}"' for k, v in tags.items())

    def listed(self, run):
        """{first three parts: whole name} of the types that the service is known to have."""
        types = self.system.api("types", service=run.service)["types"]
        names = [t["name"] if isinstance(t, dict) else t for t in types]
        return {":".join(name.split(":")[:3]): name for name in names}

    def seen(self, run):
        """The types of which there is something under the run's own tags."""
        def total(type_):
            graph = self.system.api("flamegraph", service=run.service, type=type_, match=self.match(run),
                                    max_nodes=16, **RANGE)
            return graph["total"][0] if isinstance(graph["total"], list) else graph["total"]
        return {short for short, name in self.listed(run).items() if total(name) > 0}

    def functions(self, run):
        """(name, self, total) of what the service did, the most first."""
        type_ = self.listed(run).get(run.agent.share)
        if not type_:
            return []
        top = self.system.api("top", service=run.service, type=type_, match=self.match(run), limit=100000,
                              sort="total", **RANGE)["functions"]
        return [(f["name"], f["self"], f["total"]) for f in top]

    def hot(self, run):
        """(hot_a's part, hot_b's part), by total: an agent may show what was inlined as leaves. None
        until both are there."""
        parts = [sum(total for name, _, total in self.functions(run) if names(name, hot))
                 for hot in (run.agent.hot, other(run.agent.hot))]
        return parts if all(parts) else None

    def named(self, run):
        """Whether both hot functions come."""
        try:
            return cluster.until(lambda: self.hot(run), SEEN_SECONDS_MAX, "hot functions")
        except AssertionError:
            return False

    def check(self, run):
        if self.lacks(run):
            why = f"{', '.join(self.lacks(run))} cannot be installed"
            if os.environ.get("HEARTH_REQUIRE_AGENTS"):
                self.fail(why)
            print(f"SKIPPED: {run.service}: {why}", file=sys.stderr)
            self.skipTest(why)
        said = self.ended[run.service].result()
        if run.agent.misnames and not self.named(run):
            print(f"AGAIN: {run.service} named other functions: {self.functions(run)[:20]}", file=sys.stderr)
            run = run._replace(service=f"{run.service}-again")
            said = self.serve(run)
        try:
            a, b = cluster.until(lambda: self.hot(run), SEEN_SECONDS_MAX, f"hot functions of {run.service}")
            cluster.until(lambda: run.agent.types <= self.seen(run), SEEN_SECONDS_MAX, f"types of {run.service}")
        except AssertionError as e:
            seen = sorted(self.seen(run))
            raise AssertionError(f"{e}\nseen: {seen}\nlacking: {sorted(run.agent.types - set(seen))}\n"
                                 f"functions: {self.functions(run)}\nit said:\n{said[-2000:]}") from None
        share = a / (a + b)
        print(f"{run.service}: hot_a {share:.2f}; {', '.join(sorted(self.seen(run)))}", file=sys.stderr)
        self.assertGreater(share, SHARE[0])
        self.assertLess(share, SHARE[1])

    def test_every_upload_was_taken(self):
        concurrent.futures.wait(self.ended.values())
        port = self.system.admin[self.system.collector]
        metrics = cluster.get(port, "/metrics").decode().splitlines()
        refused = [line for line in metrics if line.startswith("hearth_collector_refused_total")
                   and float(line.split()[-1]) > 0]
        self.assertEqual(refused, [])


def other(hot):
    return hot[:-1] + {"a": "b", "A": "B"}[hot[-1]]


def names(function, hot):
    """Whether an agent's spelling of a function is this one: main.hotA, ./app.js:hotA:20, service::hot_a."""
    return re.search(rf"(^|\W){re.escape(hot)}(\W|$)", function) is not None


def case(run):
    return lambda self: self.check(run)


RUNS = list(selected())
for each in RUNS:
    name = re.sub(r"\W", "_", f"{each.agent.name}_{each.agent.version}")
    setattr(RealAgents, f"test_{name}_over_{each.transport}", case(each))

if __name__ == "__main__":
    unittest.main()
