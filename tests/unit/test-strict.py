# SPDX-License-Identifier: GPL-2.0-or-later
"""-sandbox strict: what would open something once lodge has started is refused in a sentence, and lodge goes on.

    test-strict.py BUILD/lodge BUILD/lodgectl
"""

import subprocess
import unittest

from migrate_rig import LODGE, PATIENCE, MigrateCase, Process

WHY = "with -sandbox strict nothing is opened once lodge has started"


def inet(port):
    return {"type": "inet", "host": "127.0.0.1", "port": port}


def has_sandbox():
    """A build with a sanitizer says that it has none."""
    result = subprocess.run([LODGE, "-M", "none", "-sandbox", "strict", "-incoming", "file:/none"], text=True,
                            capture_output=True, timeout=PATIENCE)
    return "/none" in result.stderr and WHY in result.stderr


class StrictTest(MigrateCase):
    def setUp(self):
        super().setUp()
        if not has_sandbox():
            self.skipTest("this build has no sandbox")

    def refused(self, process, command, **arguments):
        self.assertIn(WHY, process.ask(command, **arguments), (command, arguments))

    def test_commands_that_open_are_refused(self):
        process = Process(self, "-sandbox", "strict", "-S")
        path = str(self.directory / "file")
        for command, arguments in (
                ("migrate", {"uri": f"file:{path}"}),
                ("pmemsave", {"val": 0, "size": 1, "filename": path}),
                ("chardev-add", {"id": "a", "backend": {"type": "file", "data": {"out": path}}}),
                ("chardev-add", {"id": "a", "backend": {"type": "pty", "data": {}}}),
                ("chardev-add", {"id": "a", "backend": {"type": "socket", "data": {
                    "addr": {"type": "unix", "data": {"path": path}}, "server": True, "wait": False}}}),
                ("chardev-add", {"id": "a", "backend": {"type": "socket", "data": {
                    "addr": {"type": "inet", "data": {"host": "localhost", "port": "1"}}, "server": False}}}),
                ("netdev_add", {"type": "tap", "id": "a"}),
                ("netdev_add", {"type": "stream", "id": "a", "server": True, "addr": inet("1")}),
                ("netdev_add", {"type": "dgram", "id": "a", "local": inet("1"), "remote": inet("2")}),
                ("netdev_add", {"type": "socket", "id": "a", "mcast": "230.0.0.1:1234"}),
                ("blockdev-add", {"driver": "file", "node_name": "a", "filename": path}),
                ("object-add", {"qom_type": "rng-random", "id": "a", "filename": "/dev/urandom"}),
                ("object-add", {"qom_type": "memory-backend-file", "id": "a", "size": 4096, "mem_path": path})):
            self.refused(process, command, **arguments)
        self.assertIn("forbids to start programs", process.ask("netdev_add", type="bridge", id="a"))
        self.assertIn("does not allow", process.ask("netdev_add", type="user", id="a"))
        for uri in f"unix:{path}", "tcp:127.0.0.1:1":
            process.ask("migrate", uri=uri)
            self.assertEqual(process.wait("failed")["status"], "failed")
        self.assertEqual(process.ask("object-add", qom_type="rng-builtin", id="a"), {})
        self.assertEqual(process.state(), "prelaunch")

    def test_a_domain_that_is_to_come_in_by_path_is_refused(self):
        for uri in f"file:{self.directory}/a", f"unix:{self.directory}/a", "tcp:127.0.0.1:0":
            result = subprocess.run([LODGE, "-M", "none", "-sandbox", "strict", "-incoming", uri], text=True,
                                    capture_output=True, timeout=PATIENCE)
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertIn(WHY, result.stderr)


if __name__ == "__main__":
    unittest.main()
