"""Real agents' uploads, replayed byte for byte. (The agents themselves run in tests/agents.)"""
import glob
import json
import os
import socket
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster
import pprofgen

FLUSH = {"HEARTH_FLUSH_INTERVAL": "200ms"}
RANGE = {"from": "0", "until": "now"}


def replay(port, path):
    """Sends a recorded request exactly as it was sent; the status of the answer."""
    with open(path, "rb") as f:
        raw = f.read()
    with socket.create_connection(("127.0.0.1", port), 30) as s:
        s.sendall(raw)
        s.settimeout(30)
        head = b""
        while b"\r\n" not in head:
            more = s.recv(4096)
            if not more:
                break
            head += more
    return int(head.split()[1])


class Agents:
    @classmethod
    def setUpClass(cls):
        cls.system = cls.make()

    @classmethod
    def tearDownClass(cls):
        cls.system.close()

    def types(self, service):
        try:
            listed = self.system.api("types", service=service)["types"]
        except cluster.Refused:
            return []
        return [t["name"] if isinstance(t, dict) else t for t in listed]

    def test_recordings_are_accepted_and_totals_match(self):
        requests = sorted(glob.glob(cluster.OWN_DATA + "/agents/*/request*.http"))
        self.assertEqual(len(requests), 7)
        wanted = []
        for path in requests:
            self.assertEqual(replay(self.system.push_port, path), 200, path)
            with open(path.replace("request", "expected").replace(".http", ".json")) as f:
                wanted.append((path, json.load(f)))
        for path, expected in wanted:
            with self.subTest(path=os.path.relpath(path, cluster.OWN_DATA)):
                self.check(expected)

    def check(self, expected):
        service = expected["service"]
        for profile in expected["profiles"]:
            for sample_type in profile.get("sample_types", []):      # a part may be no profile
                name = (sample_type["type"], sample_type["unit"])

                def found():
                    totals = [self.total(service, t, expected) for t in self.types(service)
                              if tuple(t.split(":")[1:3]) == name]
                    return sample_type["total"] in totals
                cluster.until(found, 30, f"{service} {name} with total {sample_type['total']}")

    def total(self, service, type_, expected):
        match = '{env="%s",version="%s"}' % (expected["env"], expected["version"])
        total = self.system.api("flamegraph", service=service, type=type_, match=match, max_nodes=64,
                                **RANGE)["total"]
        return total[0] if isinstance(total, list) else total

    def test_a_tenant_sees_its_own_profiles_only(self):
        tenant = {"X-Scope-OrgID": "team-a"}
        self.system.push(pprofgen.profile({"main;secret": 3}), headers=tenant, service="private")

        def services(headers):
            listed = json.loads(cluster.get(self.system.query_port, "/api/v1/services", headers=headers))
            return [s["name"] for s in listed["services"]]
        cluster.until(lambda: services(tenant) == ["private"], 30, "the tenant's own service")
        self.assertNotIn("private", services(None))
        with self.assertRaises(cluster.Refused) as refused:
            self.system.push(b"", headers={"X-Scope-OrgID": "a/b"}, service="private")
        self.assertEqual(refused.exception.status, 400)


class StandaloneAgents(Agents, unittest.TestCase):
    @staticmethod
    def make():
        return cluster.Standalone(env=FLUSH)


class ClusterAgents(Agents, unittest.TestCase):
    @staticmethod
    def make():
        return cluster.Cluster(env=FLUSH, topic_prefix="agents")


if __name__ == "__main__":
    unittest.main()
