"""Tenants, by X-Scope-OrgID, from the push to the page's API."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import cluster
import pprofgen

FLUSH = {"HEARTH_FLUSH_INTERVAL": "200ms"}


class Tenants:
    @classmethod
    def setUpClass(cls):
        cls.system = cls.make()

    @classmethod
    def tearDownClass(cls):
        cls.system.close()

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
        with self.assertRaises(cluster.Refused) as unread:
            services({"X-Scope-OrgID": "a/b"})
        self.assertEqual(unread.exception.status, 400)
        self.assertEqual(json.loads(unread.exception.body), json.loads(refused.exception.body))

    def hearth(self, *args):
        return subprocess.run([os.path.join(cluster.BIN, "hearth"), *args, "--server",
                               f"http://127.0.0.1:{self.system.query_port}"], capture_output=True, text=True)

    def test_the_command_line_names_the_tenant(self):
        tenant = {"X-Scope-OrgID": "team-b"}
        self.system.push(pprofgen.profile({"main;secret": 3}), headers=tenant, service="cli")
        cluster.until(lambda: cluster.get(self.system.query_port, "/api/v1/top", headers=tenant, service="cli"),
                      30, "the tenant's service")
        for args in (["top", "--service", "cli"], ["query", "--service", "cli"],
                     ["top", "--service", "cli", "-o", "json"], ["diff", "--service", "cli"]):
            with self.subTest(args=args):
                own = self.hearth(*args, "--tenant", "team-b")
                self.assertEqual(own.returncode, 0, own.stderr)
                self.assertIn("secret", own.stdout)
                none = self.hearth(*args, "--tenant", "team-b", "--match", "version:9")
                self.assertEqual(none.returncode, 3)
                self.assertIn("tenant team-b", none.stderr)
                other = self.hearth(*args)
                self.assertEqual(other.returncode, 3)
                self.assertNotIn("secret", other.stdout)


    def test_the_command_line_pushes_for_a_tenant(self):
        path = os.path.join(self.system.dir, "pushed.pb.gz")
        with open(path, "wb") as f:
            f.write(pprofgen.profile({"main;secret": 3}))
        for service, way in ("post", []), ("stream", ["--stream"]):
            with self.subTest(way=way):
                done = subprocess.run([os.path.join(cluster.BIN, "hearth"), "push", path, "--server",
                                       f"http://127.0.0.1:{self.system.push_port}", "--service", service, "--until",
                                       "now", "--tenant", "team-c", *way], capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                cluster.until(lambda: cluster.get(self.system.query_port, "/api/v1/top", service=service,
                                                  headers={"X-Scope-OrgID": "team-c"}), 30, "the tenant's service")
                with self.assertRaises(cluster.Refused):
                    cluster.get(self.system.query_port, "/api/v1/top", service=service)


class StandaloneTenants(Tenants, unittest.TestCase):
    @staticmethod
    def make():
        return cluster.Standalone(env=FLUSH)


class ClusterTenants(Tenants, unittest.TestCase):
    @staticmethod
    def make():
        return cluster.Cluster(env=FLUSH, topic_prefix="tenants")


if __name__ == "__main__":
    unittest.main()
