# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds from one start of a domain to the next: logs, tuning, devices in definitions; and what is printed of it.

    test-lodgectl-config.py BUILD/lodge BUILD/lodgectl
"""

import fcntl
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import termios
import time
import unittest

from lodgectl_rig import LODGECTL, NONE, Pretender, Scratch

# Its guest never runs: by ACPI it would keep its cards.
RP = ('[device "rp1"]\n  driver = "pcie-root-port"\n[global]\n  driver = "ICH9-LPC"\n'
      '  property = "acpi-pci-hotplug-with-bridge-support"\n  value = "off"\n')


class Logs(Scratch):
    def test_log_of_a_start_and_of_the_one_before(self):
        self.define("x", '[machine]\n  type = "q35"\n  kernel = "/nonexistent/k"\n')
        self.refused("domlog", "x", says="has no log")
        self.refused("start", "x", says="Failed to start domain 'x': -kernel /nonexistent/k")
        self.assertRegex(self.ctl("domlog", "x"), r"^\d{4}-\d\d-\d\dT.*Z lodge: -kernel /nonexistent/k: .*\n$")
        self.ctl("define", self.file("x.conf", NONE))
        self.ctl("start", "x")
        self.assertNotIn("/nonexistent/k", self.ctl("domlog", "x"))
        self.assertIn("/nonexistent/k", self.ctl("domlog", "x", "--previous"))
        log = pathlib.Path(self.ctl("domlog", "x", "--path").strip())
        self.assertEqual((log.stat().st_mode & 0o777, log.parent.stat().st_mode & 0o777), (0o600, 0o700))
        self.refused("start", "x", says="already active")
        self.ctl("undefine", "x")
        self.ctl("destroy", "x")
        self.assertTrue(log.exists())
        self.assertEqual(list(log.parent.glob(".start-*")), [])

    def test_what_a_library_writes_is_in_the_log(self):
        self.define("x")
        self.ctl("start", "x")
        pid = int((self.run_dir / "x/pid").read_text())
        self.assertEqual(os.readlink(f"/proc/{pid}/fd/2"), self.ctl("domlog", "x", "--path").strip())

    def test_domain_starts_without_a_log_where_there_is_no_room(self):
        self.define("x")
        (self.config / "log").write_text("in the way")
        result = self.call("start", "x")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("warning: Domain 'x' has no log: ", result.stderr)
        self.assertEqual(self.names(), ["x"])

    def test_plain_domain_has_none(self):
        self.domain("x")
        self.refused("domlog", "x", says="Only what lodgectl starts")


class Tuning(Scratch):
    def setUp(self):
        super().setUp()
        self.cpu = str(min(os.sched_getaffinity(0)))

    def test_pins_hold_from_the_next_start_on(self):
        self.define_guest("x", b"", '[object "io1"]\n  qom-type = "iothread"\n')
        self.ctl("vcpupin", "x", "0", self.cpu)
        self.ctl("emulatorpin", "x", self.cpu, "--config")
        self.ctl("iothreadpin", "x", "io1", self.cpu, "--config")
        self.assertIn(f" 0      {self.cpu}\n", self.ctl("vcpupin", "x"))
        self.ctl("start", "x")
        for task in pathlib.Path(f"/proc/{int((self.run_dir / 'x/pid').read_text())}/task").iterdir():
            self.assertEqual(os.sched_getaffinity(int(task.name)), {int(self.cpu)}, (task / "comm").read_text())
        self.ctl("vcpupin", "x", "0", "r", "--config", "--live")
        self.assertNotIn(f" 0      {self.cpu}\n", self.ctl("vcpupin", "x", "--config"))

    def test_scopes(self):
        self.define_guest("x", b"")
        self.refused("vcpupin", "x", "0", self.cpu, "--live", says="not running")
        self.refused("vcpupin", "x", "0", self.cpu, "--live", "--current", says="--current")
        self.ctl("start", "x")
        self.ctl("vcpupin", "x", "0", self.cpu)
        self.assertEqual(self.ctl("vcpupin", "x", "--config").count("\n"), 3)
        self.ctl("vcpupin", "x", "0", self.cpu, "--persistent")
        self.assertIn(f" 0      {self.cpu}\n", self.ctl("vcpupin", "x", "--config"))
        self.ctl("undefine", "x")
        self.refused("vcpupin", "x", "0", self.cpu, "--config", says="transient")
        self.assertEqual(list((self.config / "tuning").iterdir()), [])

    def test_wrong_pins_are_refused(self):
        self.define_guest("x", b"")
        self.refused("vcpupin", "x", "zero", self.cpu, says="'zero' is no number")
        self.refused("iothreadpin", "x", "a=b", self.cpu, says="'a=b' is no id")
        self.refused("vcpupin", "x", "0", says="CPUs is missing")
        self.refused("vcpupin", "x", "--cpulist", self.cpu, says="--vcpu is missing")
        self.refused("emulatorpin", "x", "one", says="no list of CPUs")

    def test_pin_that_cannot_be_is_a_warning_of_the_start(self):
        self.define_guest("x", b"")
        self.ctl("vcpupin", "x", "5", self.cpu)
        result = self.call("start", "x")
        self.assertEqual(result.returncode, 0)
        self.assertEqual(result.stderr, "warning: Domain 'x' runs without its vcpupin 5: it has no such thread\n")

    def nice(self, name):
        tasks = pathlib.Path(f"/proc/{int((self.run_dir / name / 'pid').read_text())}/task")
        return {os.getpriority(os.PRIO_PROCESS, int(t.name)) for t in tasks.iterdir()}

    def test_shares(self):
        self.define_guest("x", b"")
        self.ctl("schedinfo", "x", "--set", "cpu_shares=50")
        self.assertIn("cpu_shares     : 50\n", self.ctl("schedinfo", "x"))
        self.assertIn("vcpu_quota     : not set\n", self.ctl("schedinfo", "x"))
        self.ctl("start", "x")
        said = self.ctl("schedinfo", "x")
        self.assertIn("Scheduler      : posix\nMeans          : ", said)
        if "Means          : nice, as " not in said:
            self.skipTest("this host delegates cgroup v2")
        self.assertEqual(self.nice("x"), {3})  # 100 / 1.25^3 is 51, the nearest
        self.assertIn("cpu_shares     : 51\n", said)
        self.assertNotIn("vcpu_quota", said)
        self.assertIn("cpu_shares     : 11\n", self.ctl("schedinfo", "x", "cpu_shares=11", "--live"))
        self.assertEqual(self.nice("x"), {10})
        self.refused("schedinfo", "x", "vcpu_quota=50000", says="vcpu_quota needs cgroup v2, and ")
        self.ctl("schedinfo", "x", "vcpu_quota=50000", "vcpu_period=20000", "--config")
        self.assertIn("vcpu_period    : 20000\n", self.ctl("schedinfo", "x", "--config"))

    def test_shares_that_are_none(self):
        self.define("x")
        for word, says in (("cpu_shares=0", "1 to 10000"), ("cpu_shares", "no PARAMETER=VALUE"), ("cpu_share=1", "Did you"),
                           ("vcpu_quota=5", "-1"), ("vcpu_period=1", "1000 to"), ("cpu_shares=1e3", "1e3"),
                           ("=", "no scheduler parameter"), ("", "no PARAMETER")):
            self.refused("schedinfo", "x", "cpu_shares=7", word, says=says)
        self.assertNotIn(": 7", self.ctl("schedinfo", "x"))


class Devices(Scratch):
    def setUp(self):
        super().setUp()
        image = self.file("disk.img", "x" * 4096)
        self.disk = self.file("d.conf", f'# a disk\n[blockdev]\n  driver = "file"\n  node-name = "n1"\n'
                              f'  filename = "{image}"\n  read-only = "on"\n'
                              '[device "d1"]\n  driver = "virtio-blk-pci"\n  drive = "n1"\n  bus = "rp1"\n')
        self.define_guest("x", b"", RP + "# the end\n")
        self.before = self.ctl("dumpconfig", "x")

    def nodes(self):
        return [n["node-name"] for n in json.loads(self.ctl("qmp", "x", "query-named-block-nodes"))["return"]]

    def test_definition_takes_a_device_and_gives_it_back(self):
        self.ctl("attach-device", "x", self.disk)
        self.assertIn('[device "d1"]', self.ctl("dumpconfig", "x"))
        self.refused("attach-device", "x", self.disk, "--config", says="has a blockdev 'n1' already")
        self.ctl("start", "x")
        self.assertEqual(self.nodes(), ["n1"])
        self.ctl("detach-device", "x", self.disk, "--config")
        self.assertEqual(self.nodes(), ["n1"])
        self.assertEqual(self.ctl("dumpconfig", "x").replace("# a disk\n", ""), self.before)
        self.refused("detach-device", "x", "d1", "--config", says="has no device 'd1'")

    def test_both_at_once(self):
        self.ctl("start", "x")
        self.ctl("attach-device", "x", self.disk, "--persistent")
        self.assertEqual(self.nodes(), ["n1"])
        self.assertIn('node-name = "n1"', self.ctl("dumpconfig", "x"))
        self.ctl("detach-device", "x", self.disk, "--live", "--config")
        self.assertEqual(self.nodes(), [])
        self.assertNotIn('node-name = "n1"', self.ctl("dumpconfig", "x"))
        self.ctl("attach-device", "x", self.disk)
        self.assertEqual(self.nodes(), ["n1"])
        self.assertNotIn('node-name = "n1"', self.ctl("dumpconfig", "x"))

    def test_definition_is_not_changed_where_the_domain_refuses(self):
        self.ctl("start", "x")
        wrong = self.file("w.conf", pathlib.Path(self.disk).read_text().replace("rp1", "rp9"))
        self.refused("attach-device", "x", wrong, "--persistent", says="rp9")
        self.assertEqual(self.ctl("dumpconfig", "x"), self.before)
        self.assertEqual(self.nodes(), [])

    def test_mistakes(self):
        self.refused("attach-device", "x", "/nonexistent.conf", says="/nonexistent.conf")
        self.refused("detach-device", "x", "/nonexistent.conf", says="/nonexistent.conf")
        self.refused("attach-device", "x", self.disk, "--live", says="not running")
        self.refused("attach-device", "x", self.file("e.conf", "[device\n"), says="e.conf:1")
        self.assertEqual(self.ctl("dumpconfig", "x"), self.before)

    def test_disks(self):
        self.define("y", NONE + '[drive]\n  file = "/d/a"\n  format = "raw"\n  if = "virtio"\n'
                                '[drive "b"]\n  file = "/d/b"\n  format = "raw"\n  if = "none"\n'
                                '[device "vdb"]\n  driver = "virtio-blk-pci"\n  drive = "b"\n'
                                '[blockdev]\n  driver = "file"\n  node-name = "f"\n  filename = "/d/c"\n'
                                '[blockdev]\n  driver = "raw"\n  node-name = "c"\n  file = "f"\n'
                                '[blockdev]\n  driver = "raw"\n  node-name = "d"\n  file.driver = "file"\n'
                                '  file.filename = "/d/d"\n[device]\n  driver = "virtio-blk-pci"\n  drive = "c"\n'
                                '[device "vdd"]\n  driver = "virtio-blk-pci"\n  drive = "d"\n'
                                '[blockdev]\n  driver = "raw"\n  node-name = "e"\n  file = "e"\n'
                                '[device "vde"]\n  driver = "virtio-blk-pci"\n  drive = "e"\n')
        self.assertEqual([line.split() for line in self.ctl("domblklist", "y").splitlines()[2:-1]],
                         [["virtio0", "/d/a"], ["vdb", "/d/b"], ["c", "/d/c"], ["vdd", "/d/d"], ["vde", "-"]])

    def test_interfaces(self):
        self.assertEqual(self.ctl("domiflist", "x"), " Interface   Source   Model   MAC\n" + "-" * 35 + "\n\n")
        self.ctl("start", "x")
        self.assertEqual(self.ctl("domiflist", "x").count("\n"), 3)
        self.define("y", NONE + '[netdev "h"]\n  type = "user"\n[device "net0"]\n  driver = "e1000"\n  netdev = "h"\n'
                                '[nic]\n  type = "user"\n  id = "u"\n  mac = "52:54:00:00:00:02"\n[nic]\n  type = "none"\n'
                                '[net]\n  type = "nic"\n  model = "e1000"\n[net]\n  type = "user"\n')
        self.assertEqual([line.split() for line in self.ctl("domiflist", "y").splitlines()[2:-1]],
                         [["net0", "h", "e1000", "-"], ["-", "u", "-", "52:54:00:00:00:02"], ["-", "-", "e1000", "-"]])


class Printed(Scratch):
    def test_interfaces_are_devices_with_a_netdev_and_a_mac(self):
        answers = {"/machine/peripheral": [{"name": "net0", "type": "child<virtio-net-pci>"},
                                           {"name": "type", "type": "string"}, 7, {"name": "rp", "type": "child<x>"}],
                   "/machine/peripheral-anon": "nonsense",
                   "/machine/peripheral/net0": [{"name": "mac", "type": "str"}, {"name": "netdev", "type": "str"}]}

        def serve(pretender, client):
            client.sendall(b'{"QMP": {}}\r\n')
            for line in client.makefile():
                request = json.loads(line)
                arguments = request.get("arguments", {})
                reply = {"mac": "52:54:00:00:00:01", "netdev": "h\x1b"}.get(arguments.get("property"))
                reply = reply or answers.get(arguments.get("path"), {})
                client.sendall(json.dumps({"return": reply}).encode() + b"\r\n")
        Pretender(self, "x", serve)
        self.assertIn(" net0        h?       virtio-net-pci   52:54:00:00:00:01\n", self.ctl("domiflist", "x"))

    def test_top_fits_the_terminal_and_a_pipe_gets_all(self):
        name = "n" * 60
        self.domain(name)
        terminal, status = self.on_a_terminal("top", "--rounds", "2", "--interval", "1")
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        text = self.heard(terminal, b"Memory")
        time.sleep(1.5)
        text = self.heard(terminal, b"MiB")
        rows = [re.sub(r"\x1b\[[HJ]", "", row) for row in text.replace("\r", "").split("\n")]
        self.assertTrue(any("nnn~" in row for row in rows), rows)
        self.assertEqual(status(), 0)
        self.assertIn(name, self.ctl("top", "--rounds", "1"))

    def test_statistics_that_are_watched_are_one_object_a_line(self):
        self.domain("x")
        self.domain("y")
        process = subprocess.Popen([LODGECTL, "domstats", "--watch", "--json"], stdout=subprocess.PIPE, text=True,
                                   env=self.environment)
        self.addCleanup(self.end, process)
        lines = [json.loads(process.stdout.readline()) for _ in range(4)]
        self.assertEqual([o["name"] for o in lines], ["x", "y", "x", "y"])
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=10), 0)

    def test_watching_ends_when_nobody_reads(self):
        self.domain("x")
        process = subprocess.Popen([LODGECTL, "domstats", "--watch", "--json"], stdout=subprocess.PIPE,
                                   env=self.environment)
        self.addCleanup(self.end, process)
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.wait(timeout=10), 1)


if __name__ == "__main__":
    unittest.main()
