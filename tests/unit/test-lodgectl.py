# SPDX-License-Identifier: GPL-2.0-or-later
"""lodgectl and the registry from outside: real domains (`lodge -M none`), killed ones, and such as only pretend.

    test-lodgectl.py BUILD/lodge BUILD/lodgectl

Each test has folders of its own for what runs and for what is defined, so it sees no other domain.
"""

import json
import os
import pathlib
import resource
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

from lodgectl_rig import LODGE, LODGECTL, NONE, UUID, Pretender, Scratch, qmp


class Registered(Scratch):
    def test_plain_domain_is_listed_and_gone_when_it_ends(self):
        process = self.domain("x", "-uuid", UUID)
        self.assertEqual(self.ctl("list"), " Id   Name   State\n----------------------\n 1    x      running\n\n")
        self.assertEqual(self.ctl("domuuid", "x").strip(), UUID)
        self.assertEqual(self.ctl("domname", UUID.upper()).strip(), "x")
        self.assertEqual(self.ctl("domname", "1").strip(), "x")
        self.assertEqual(self.ctl("domid", "x").strip(), "1")
        self.assertEqual((self.run_dir / "x").stat().st_mode & 0o777, 0o700)
        self.assertEqual((self.run_dir / "x/control.sock").stat().st_mode & 0o777, 0o600)
        process.terminate()
        process.communicate(timeout=10)
        self.assertEqual(self.names("--all"), [])
        self.assertEqual([p.name for p in self.run_dir.iterdir()], [".lock"])

    def test_ids_are_not_given_twice(self):
        self.domain("a")
        killed = self.domain("b")
        killed.kill()
        killed.wait()
        self.domain("c")
        self.assertEqual(self.ctl("list", "--id").split(), ["1", "3"])
        (self.run_dir / ".lock").unlink()
        self.domain("d")
        self.assertEqual(self.ctl("domid", "d").strip(), "4")

    def test_name_and_uuid_are_unique(self):
        self.domain("x", "-uuid", UUID)
        for arguments, word in ((["x"], "runs already"), (["y", "-uuid", UUID], "'x' has the UUID")):
            other = self.domain(*arguments)
            self.assertIn(word, other.communicate(timeout=10)[1].splitlines()[-1])
            self.assertEqual(other.returncode, 1)
        self.assertEqual(self.names(), ["x"])
        self.assertFalse((self.run_dir / "y").exists())

    def test_killed_domain_is_taken_over(self):
        process = self.domain("x", "-uuid", UUID)
        process.kill()
        process.communicate()
        self.assertTrue((self.run_dir / "x/control.sock").exists())
        self.assertEqual(self.names("--all"), [])
        self.domain("x")
        self.assertEqual(self.ctl("domid", "x").strip(), "2")
        self.refused("domuuid", "x", says="no UUID")
        self.domain("y", "-uuid", UUID)
        self.assertEqual(self.names(), ["x", "y"])

    def test_of_starters_at_once_one_wins(self):
        (self.run_dir / "x").mkdir(mode=0o700, parents=True)  # a stale folder, too
        (self.run_dir / "x/pid").write_text("1\n")
        argv = [LODGE, "-M", "none", "-accel", "tcg", "-name", "x"]
        all_of_them = [subprocess.Popen(argv, env=self.environment, stderr=subprocess.PIPE, text=True)
                       for _ in range(6)]
        for process in all_of_them:
            self.addCleanup(self.end, process)
        self.eventually(lambda: sum(p.poll() is not None for p in all_of_them) >= 5)
        self.eventually(lambda: self.names() == ["x"])
        winner = [p for p in all_of_them if p.poll() is None]
        self.assertEqual(len(winner), 1)
        self.assertEqual(int((self.run_dir / "x/pid").read_text()), winner[0].pid)
        for loser in all_of_them:
            if loser is not winner[0]:
                self.assertEqual(loser.returncode, 1)
                self.assertIn("runs already", loser.communicate()[1])

    def test_control_socket_has_several_clients(self):
        self.domain("x")
        clients = []
        for _ in range(70):  # more than are served at once: the rest waits
            client = socket.socket(socket.AF_UNIX)
            self.addCleanup(client.close)
            client.connect(str(self.run_dir / "x/control.sock"))
            client.settimeout(5)
            clients.append(client)
            if len(clients) >= 80:
                break
        for client in clients[:64]:
            self.assertIn(b"QMP", client.recv(4096))
        for client in clients[:64]:
            client.close()
        for client in clients[64:]:
            self.assertIn(b"QMP", client.recv(4096))
        self.assertEqual(self.ctl("domstate", "x").strip(), "running")

    def test_domain_runs_unlisted_where_nothing_can_be_written(self):
        self.run_dir.write_text("in the way")
        process = subprocess.Popen([LODGE, "-M", "none", "-accel", "tcg", "-name", "x", "-qmp",
                                    f"unix:{self.directory}/q,server=on,wait=off"],
                                   env=self.environment, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, process)
        self.eventually((self.directory / "q").exists)
        self.assertIsNone(process.poll())
        process.terminate()
        self.assertIn("domain 'x' is not listed", process.communicate(timeout=10)[1])
        self.assertEqual(self.names("--all"), [])

    def read_until(self, stream, words):
        for line in stream:
            if words in line:
                return line
        return ""

    def test_names_that_are_no_folders(self):
        process = subprocess.Popen([LODGE, "-M", "none", "-accel", "tcg", "-name", "../x"], env=self.environment,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, process)
        self.assertIn("not listed", self.read_until(process.stderr, "not listed"))
        self.assertFalse((self.directory / "x").exists())


def no_more_bytes():
    """As a full disk: writing to a file fails."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


class Defined(Scratch):
    def test_life_of_a_persistent_domain(self):
        self.define("x")
        self.assertEqual(self.names(), [])
        self.assertEqual(self.ctl("list", "--all"),
                         " Id   Name   State\n-----------------------\n -    x      shut off\n\n")
        uuid = self.ctl("domuuid", "x").strip()
        self.assertEqual(self.ctl("start", "x"), "Domain 'x' started\n\n")
        self.assertEqual(self.ctl("domuuid", "x").strip(), uuid)
        self.refused("start", "x", says="already active")
        self.assertEqual(self.ctl("suspend", "x"), "Domain 'x' suspended\n\n")
        self.assertEqual(self.ctl("domstate", "x", "--reason").strip(), "paused (user)")
        self.assertEqual(self.ctl("resume", "x"), "Domain 'x' resumed\n\n")
        self.assertEqual(self.ctl("domstate", "x", "--reason").strip(), "running (booted)")
        self.assertEqual(self.ctl("reset", uuid), "Domain 'x' was reset\n\n")
        self.assertEqual(self.ctl("shutdown", "x"), "Domain 'x' is being shutdown\n\n")
        self.assertEqual(self.ctl("destroy", "x", "--graceful"), "Domain 'x' destroyed\n\n")
        self.assertEqual(self.ctl("domstate", "x").strip(), "shut off")
        self.refused("suspend", "x", says="not running")
        self.refused("destroy", "x", says="not running")
        self.assertEqual(self.ctl("undefine", "x"), "Domain 'x' has been undefined\n\n")
        self.refused("dominfo", "x", says="none of that name")

    def test_start_paused(self):
        self.define("x")
        self.ctl("start", "--paused", "x")
        self.assertEqual(self.ctl("domstate", "x", "--reason").strip(), "paused (starting up)")

    def test_killed_domain_has_crashed(self):
        self.define("x")
        self.ctl("start", "x")
        os.kill(int((self.run_dir / "x/pid").read_text()), signal.SIGKILL)
        self.eventually(lambda: self.names() == [])
        self.assertEqual(self.ctl("domstate", "x", "--reason").strip(), "shut off (crashed)")
        self.ctl("start", "x")
        self.assertEqual(self.names(), ["x"])

    def test_definition_comes_and_goes_while_it_runs(self):
        self.domain("x", "-uuid", UUID)
        self.assertEqual(self.names("--transient"), ["x"])
        self.refused("dumpconfig", "x", says="transient")
        self.define("x")
        self.assertEqual((self.names("--persistent"), self.names("--transient")), (["x"], []))
        self.assertIn(UUID, self.ctl("dumpconfig", "x"))
        self.ctl("undefine", "x")
        self.refused("define", self.file("x.conf", NONE + f'[uuid]\n  uuid = "{UUID[:-1]}1"\n'), says="exists already")
        self.assertEqual(self.names("--transient"), ["x"])

    def test_mistake_in_a_definition_is_told_and_nothing_is_written(self):
        self.refused("define", self.file("x.conf", "[machine]\n  typ = none\n"), says="x.conf:2: the value of 'typ'")
        self.refused("define", self.file("x.conf", '[overcommit]\n  mem-lock = "maybe"\n'), says="x.conf: [overcommit]")
        self.refused("define", self.file("x.conf", '[name]\n  guest = "a/b"\n'), says="'a/b'")
        self.refused("define", "/nonexistent/x.conf", says="/nonexistent/x.conf")
        self.assertEqual([p.name for p in (self.config / "domains").iterdir() if p.name != ".lock"], [])

    def test_name_and_uuid_of_a_definition(self):
        self.ctl("define", self.file("other.conf", NONE + f'[name]\n  guest = "x"\n[uuid]\n  uuid = "{UUID}"\n'))
        self.assertEqual(self.ctl("domuuid", "x").strip(), UUID)
        self.refused("define", self.file("y.conf", NONE + f'[uuid]\n  uuid = "{UUID}"\n'), says="'x' has the UUID")
        self.refused("define", self.file("x.conf", NONE + f'[uuid]\n  uuid = "{UUID[:-1]}1"\n'), says="exists already")
        self.define("x", NONE + '[memory]\n  size = "64M"\n')
        self.assertEqual(self.ctl("domuuid", "x").strip(), UUID)

    def test_full_disk_loses_no_definition(self):
        self.define("x")
        before = self.ctl("dumpconfig", "x")
        bigger = self.file("x.conf", NONE + "# more\n")
        self.refused("define", bigger, says="Cannot write", preexec_fn=no_more_bytes)
        self.assertEqual(self.ctl("dumpconfig", "x"), before)
        self.assertEqual(sorted(p.name for p in (self.config / "domains").iterdir()), [".lock", "x.conf"])

    def test_failed_start_is_told_in_lodges_words(self):
        self.define("x", '[machine]\n  type = "q35"\n  kernel = "/nonexistent/k"\n')
        self.refused("start", "x", says="Failed to start domain 'x': -kernel /nonexistent/k")
        self.assertEqual(self.names(), [])

    def test_domain_that_cannot_be_listed_is_not_started(self):
        self.define("x")
        self.run_dir.write_text("in the way")
        self.refused("start", "x", says="cannot be listed")

    def test_two_at_once(self):
        definitions = [self.file(f"{name}.conf", NONE + f'[uuid]\n  uuid = "{UUID}"\n') for name in "abcd"]
        self.at_once([["define", d] for d in definitions], "UUID")
        self.define("x")
        self.at_once([["start", "x"]] * 4, "x")
        self.assertEqual(self.names(), ["x"])

    def at_once(self, commands, losers_say):
        """Of these exactly one succeeds."""
        all_of_them = [subprocess.Popen([LODGECTL, *c], env=self.environment, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True) for c in commands]
        said = [p.communicate(timeout=30)[1] for p in all_of_them]
        self.assertEqual([p.returncode for p in all_of_them].count(0), 1, said)
        self.assertEqual([losers_say in text for text in said].count(True), len(commands) - 1, said)

    def test_edit(self):
        self.define("x")
        self.assertIn("not changed", self.edit("true"))
        self.assertIn("edited", self.edit("""sh -c 'printf "\\n[memory]\\n  size = \\"64M\\"\\n" >> "$0"'"""))
        after = self.ctl("dumpconfig", "x")
        self.assertIn("64M", after)
        self.environment["EDITOR"] = """sh -c 'echo nonsense >> "$0"'"""
        result = self.call("edit", "x")
        self.assertEqual(result.returncode, 1)
        kept = pathlib.Path(result.stderr.rsplit("'", 2)[1])
        self.assertIn("nonsense", kept.read_text())
        kept.unlink()
        self.assertEqual(self.ctl("dumpconfig", "x"), after)
        self.environment["EDITOR"] = """sh -c 'echo > "$0"'"""
        result = self.call("edit", "x")
        self.assertIn("is empty", result.stderr)
        pathlib.Path(result.stderr.rsplit("'", 2)[1]).unlink()
        self.assertEqual(self.ctl("dumpconfig", "x"), after)
        self.environment["EDITOR"] = """sh -c 'printf "[name]\\n  guest = \\"y\\"\\n" >> "$0"'"""
        result = self.call("edit", "x")
        self.assertIn("cannot rename", result.stderr)
        pathlib.Path(result.stderr.rsplit("'", 2)[1]).unlink()
        bigger = self.file("x.conf", NONE + '[memory]\n  size = "128M"\n')
        self.environment["EDITOR"] = f"""sh -c '{LODGECTL} -q define {bigger}; echo "# mine" >> "$0"'"""
        result = self.call("edit", "x")
        self.assertIn("changed meanwhile", result.stderr)
        pathlib.Path(result.stderr.rsplit("'", 2)[1]).unlink()
        self.assertIn("128M", self.ctl("dumpconfig", "x"))
        self.assertEqual(self.names("--all"), ["x"])
        self.environment["VISUAL"] = ""
        self.environment["EDITOR"] = "true"
        self.assertIn("not changed", self.ctl("edit", "x"))

    def test_what_killed_writers_left_goes(self):
        self.define("x")
        old, new = self.config / "domains/.new-aaaaaa", self.config / "domains/.new-bbbbbb"
        old.write_text("")
        new.write_text("")
        os.utime(old, (1, 1))
        self.define("y")
        self.assertEqual([old.exists(), new.exists()], [False, True])
        self.assertEqual(self.names("--all"), ["x", "y"])

    def edit(self, editor):
        self.environment["EDITOR"] = editor
        self.environment.pop("VISUAL", None)
        return self.ctl("edit", "x")

    def test_autostart(self):
        for name in "abc":
            self.define(name)
        self.assertEqual(self.ctl("autostart", "a"), "Domain 'a' marked as autostarted\n\n")
        self.ctl("autostart", "b")
        self.ctl("autostart", "c")
        self.assertEqual(self.ctl("autostart", "--disable", "b"), "Domain 'b' unmarked as autostarted\n\n")
        self.assertEqual(self.names("--all", "--autostart"), ["a", "c"])
        self.ctl("start", "c")
        self.assertEqual(self.ctl("autostart", "--run"), "Domain 'a' started\n\n")
        self.assertEqual(sorted(self.names()), ["a", "c"])
        self.ctl("undefine", "a")
        self.assertEqual(list((self.config / "autostart").glob("a*")), [])
        self.refused("autostart", "a", says="transient")

    def test_domain_gets_a_console(self):
        self.define_guest("x", b"hello\r\n")
        self.ctl("start", "--paused", "x")
        self.assertTrue((self.run_dir / "x/console.sock").is_socket())
        self.refused("console", "x", says="terminal")
        self.ctl("destroy", "x")
        self.assertFalse((self.run_dir / "x").exists())

    def test_console_is_the_serial_port_whatever_its_chardev_is_called(self):
        chardevs = "".join(f'[chardev "{name}"]\n  backend = "socket"\n  path = "{self.directory}/{name}"\n'
                           '  server = "on"\n  wait = "off"\n' for name in ("aux", "com"))
        self.define_guest("x", b"hello\r\n", chardevs + '[device]\n  driver = "virtio-serial-pci"\n'
                          '[device "vc"]\n  driver = "virtconsole"\n  chardev = "aux"\n'
                          '[device]\n  driver = "isa-serial"\n  chardev = "com"\n')
        self.ctl("start", "--paused", "x")
        terminal, status = self.on_a_terminal("console", "x")
        self.heard(terminal, b"Escape character")
        self.ctl("resume", "x")
        self.heard(terminal, b"hello")
        os.write(terminal, b"\x1d")
        self.assertEqual(status(), 0)

    def test_console_is_found_where_the_domain_was_started(self):
        self.domain("x", "-chardev", "socket,id=c,path=c.sock,server=on,wait=off", cwd=self.directory)
        terminal, status = self.on_a_terminal("console", "x", "--devname", "c")
        self.heard(terminal, b"Escape character")
        os.write(terminal, b"\x1d")
        self.assertEqual(status(), 0)

    def test_run_shows_all_that_the_guest_says(self):
        self.define_guest("x", b"hello\r\n")
        terminal, status = self.on_a_terminal("run", "x")
        self.assertIn("Domain 'x' started\r\n\r\nConnected to domain 'x'", self.heard(terminal, b"hello"))
        os.write(terminal, b"\x1d")
        self.assertEqual(status(), 0)
        self.assertEqual(self.ctl("domstate", "x").strip(), "running")


class Driven(Scratch):
    def test_reboot_is_power_off_and_reset(self):
        x = Pretender(self, "x", qmp({"set-action": {}, "system_powerdown": {}, "system_reset": {}, "cont": {}}))
        self.assertEqual(self.ctl("reboot", "x"), "Domain 'x' is being rebooted\n\n")
        self.assertEqual(x.said[1:], [("x-query-actions", None), ("set-action", {"shutdown": "pause"}),
                                      ("system_powerdown", None), ("system_reset", None), ("cont", None),
                                      ("set-action", {"shutdown": "poweroff"})])

    def test_reboot_keeps_what_a_shutdown_does(self):
        x = Pretender(self, "x", qmp({"set-action": {}, "system_powerdown": {}, "system_reset": {}, "cont": {},
                                      "x-query-actions": {"shutdown": "pause", "reboot": "reset"}}))
        self.ctl("reboot", "x")
        self.assertEqual(x.said[-1], ("set-action", {"shutdown": "pause"}))

    def test_reboot_that_fails_keeps_no_shutdown(self):
        self.domain("x", "-no-shutdown")
        self.refused("reboot", "x", "--timeout", "1", says="has not shut down")
        said = json.loads(self.ctl("qmp", "x", "x-query-actions"))["return"]
        self.assertEqual(said, {"reboot": "reset", "shutdown": "pause", "panic": "shutdown", "watchdog": "reset"})

    def test_reboot_of_a_deaf_guest_is_given_up(self):
        self.domain("x")
        self.refused("reboot", "x", "--timeout", "1", says="has not shut down within 1 s")
        self.assertEqual(self.ctl("domstate", "x").strip(), "running")

    def test_statistics(self):
        cpus = [{"cpu-index": 0, "thread-id": os.getpid()}]
        stats = {"rd_operations": 5, "rd_bytes": 4096, "wr_operations": 0, "flush_total_time_ns": 9}
        path = "/machine/peripheral/vdb/virtio-backend"
        Pretender(self, "x", qmp({"query-cpus-fast": cpus, "query-memory-size-summary": {"base-memory": 1 << 30},
                                  "query-status": {"running": True, "status": "running"},
                                  "query-block": [{"device": "virtio0", "inserted": {"file": "/d/x.img"}},
                                                  {"device": "", "qdev": path, "inserted": {"file": "/d/y.img"}}],
                                  "query-blockstats": [{"device": "virtio0", "stats": stats},
                                                       {"device": "", "qdev": path, "node-name": "n", "stats": stats}]}))
        said = self.ctl("domstats", "x")
        for line in ("Domain: 'x'\n  state.state=1\n", "balloon.maximum=1048576\n", "vcpu.current=1\n",
                     "block.count=2\n", "block.0.name=virtio0\n", "block.1.name=vdb\n", "block.1.path=/d/y.img\n",
                     "block.0.rd.reqs=5\n", "block.0.fl.times=9\n"):
            self.assertIn(line, said)
        self.assertEqual(json.loads(self.ctl("domstats", "--json", "--block"))["stats"]["block.0.rd.bytes"], 4096)
        self.assertNotIn("block", self.ctl("domstats", "--state", "x"))
        self.assertIn("virtio0 rd_req 5\n", self.ctl("domblkstat", "x", "virtio0"))
        self.refused("domblkstat", "x", "sda", says="'sda'")
        self.assertIn("vdb rd_req 5\n", self.ctl("domblkstat", "x", "vdb"))
        self.assertIn(" virtio0   /d/x.img\n vdb       /d/y.img\n", self.ctl("domblklist", "x"))
        self.assertIn("CPU(s):         1\n", self.ctl("dominfo", "x"))
        self.assertRegex(self.ctl("vcpuinfo", "x"),
                         r"VCPU:           0\nCPU:            \d+\nState:          running\n")
        self.assertEqual(self.ctl("vcpucount", "x"), "current      live           1\n\n")

    def test_statistics_have_the_names_of_virsh(self):
        schema = [{"provider": "tcg", "target": "vcpu", "stats": [{"name": "halts", "type": "cumulative"},
                                                                  {"name": "odd", "type": "log2-histogram"}]},
                  {"provider": "tcg", "target": "vm", "stats": [{"name": "code_bytes", "type": "instant"},
                                                                {"name": "most", "type": "peak"}]}]
        values = [{"provider": "tcg", "qom-path": "/c0", "stats": [{"name": "halts", "value": 3}, {"name": "code_bytes",
                   "value": 5}, {"name": "most", "value": 6}, {"name": "odd", "value": [1, 2]}]}]
        counters = {"packets": 2, "bytes": 300, "dropped": 1, "errors": 0}
        queue = {"sent": counters, "received": counters | {"bytes": 4000}}
        Pretender(self, "x", qmp({
            "query-status": {"running": True, "status": "running"},
            "query-cpus-fast": [{"cpu-index": 0, "thread-id": os.getpid(), "qom-path": "/c0"}],
            "query-hotpluggable-cpus": [{"vcpus-count": 1}] * 4, "query-stats-schemas": schema, "query-stats": values,
            "query-nics": [{"name": "net0", "queues": [queue, queue]}],
            "query-block": [{"device": "", "qdev": "/d", "inserted": {
                "file": "/d/x.img", "write_threshold": 0, "image": {"virtual-size": 1 << 20, "actual-size": 4096}}}],
            "query-blockstats": [{"device": "", "qdev": "/d", "stats": {"rd_operations": 5},
                                  "parent": {"stats": {"wr_highest_offset": 512}}}]}))
        said = json.loads(self.ctl("domstats", "x", "--json"))["stats"]
        for name, value in {"vcpu.current": 1, "vcpu.maximum": 4, "vcpu.0.state": 1, "vcpu.0.halts.sum": 3,
                            "net.count": 1, "net.0.name": "net0", "net.0.rx.bytes": 8000, "net.0.rx.pkts": 4,
                            "net.0.rx.errs": 0, "net.0.rx.drop": 2, "net.0.tx.bytes": 600, "net.0.tx.pkts": 4,
                            "net.0.tx.errs": 0, "net.0.tx.drop": 2, "block.0.name": "/d", "block.0.path": "/d/x.img",
                            "block.0.rd.reqs": 5,
                            "block.0.allocation": 512, "block.0.capacity": 1 << 20, "block.0.physical": 4096,
                            "vm.code_bytes.cur": 5, "vm.most.max": 6}.items():
            self.assertEqual(said.get(name), value, name)
        self.assertLessEqual({"vcpu.0.time", "vcpu.0.wait", "vcpu.0.delay"}, set(said))
        self.assertFalse({name for name in said if "odd" in name or "threshold" in name})
        lines = self.ctl("domstats", "x", "--interface").splitlines()
        self.assertEqual([line.split("=")[0] for line in lines[:3]], ["Domain: 'x'", "  net.count", "  net.0.name"])

    def test_pinning(self):
        self.define_guest("x", b"")
        self.ctl("start", "x")
        cpu = str(min(os.sched_getaffinity(0)))
        self.assertIn(" VCPU   CPU Affinity\n", self.ctl("vcpupin", "x"))
        self.ctl("vcpupin", "x", "0", cpu)
        self.assertRegex(self.ctl("vcpupin", "x"), rf" 0      {cpu}\n")
        tid = json.loads(self.ctl("qmp", "x", "query-cpus-fast"))["return"][0]["thread-id"]
        self.assertEqual(os.sched_getaffinity(tid), {int(cpu)})
        self.ctl("emulatorpin", "x", cpu)
        self.assertRegex(self.ctl("emulatorpin", "x"), rf" \*          {cpu}\n")
        self.assertEqual(os.sched_getaffinity(int((self.run_dir / "x/pid").read_text())), {int(cpu)})
        self.assertIn("IOThread", self.ctl("iothreadpin", "x"))
        self.refused("vcpupin", "x", "0", "1-0", says="no list of CPUs")
        self.refused("vcpupin", "x", "0", "0,^0", says="leaves no CPU")
        self.refused("vcpupin", "x", "9", cpu, says="'9'")
        self.refused("iothreadpin", "x", "io0", cpu, says="'io0'")

    def test_another_process_is_not_pinned(self):
        # What a domain says of its threads is checked against its process.
        Pretender(self, "x", qmp({"query-cpus-fast": [{"cpu-index": 0, "thread-id": os.getppid()}],
                                  "query-iothreads": []}))
        before = os.sched_getaffinity(os.getppid())
        self.refused("vcpupin", "x", "0", str(min(before)), says="no VCPU '0'")
        self.assertEqual(os.sched_getaffinity(os.getppid()), before)

    def test_setmem(self):
        x = Pretender(self, "x", qmp({"balloon": {}, "query-memory-size-summary": {"base-memory": 1 << 30}}))
        for size, number in (("1024", 1 << 20), ("5M", 5 << 20), ("1GiB", 1 << 30), ("7b", 7)):
            self.ctl("setmem", "x", size)
            self.assertEqual(x.said[-1], ("balloon", {"value": number}))
        for size in ("much", "-1", "1X", "99999999999999999999", ""):
            self.refused("setmem", "x", size, says="no size")
        self.refused("setmem", "x", "1025M", says="has a memory of 1048576 KiB")
        self.assertNotEqual(x.said[-1][0], "balloon")

    def test_memory_as_the_guest_tells_it(self):
        told = {"stats": {"stat-free-memory": 5 << 20, "stat-minor-faults": 7, "stat-swap-in": -1}, "last-update": 99}
        x = Pretender(self, "x", qmp({"query-balloon": {"actual": 1 << 30}, "qom-get": told, "qom-set": {},
                                      "qom-list": [{"name": "b", "type": "child<virtio-balloon-pci>"}]}))
        said = self.ctl("dommemstat", "x")
        self.assertTrue(said.startswith("actual 1048576\nminor_fault 7\nunused 5120\nlast_update 99\nrss "), said)
        said = self.ctl("domstats", "x", "--balloon")
        self.assertIn("  balloon.minor_fault=7\n  balloon.unused=5120\n  balloon.last-update=99\n", said)
        self.assertEqual(self.ctl("dommemstat", "x", "--period", "2"), "\n")
        self.assertEqual(x.said[-1], ("qom-set", {"path": "/machine/peripheral/b", "value": 2,
                                                  "property": "guest-stats-polling-interval"}))
        self.domain("plain")
        self.refused("dommemstat", "plain", "--period", "2", says="has no balloon")

    def places(self, *paths):
        """As a domain lists them, for CPUs from the first on; None: that one is not there."""
        return [{"type": "t-cpu", "vcpus-count": 1, "props": {"socket-id": n, "core-id": 0}}
                | ({"qom-path": path} if path else {}) for n, path in enumerate(paths)][::-1]

    def test_setvcpus_fills_free_places_from_the_first_on(self):
        x = Pretender(self, "x", qmp({"query-hotpluggable-cpus": self.places("/machine/cpu[0]", None, "/m/p/c", None),
                                      "device_add": {}}))
        self.assertEqual(self.ctl("setvcpus", "x", "4", "--live"), "")
        self.assertEqual(x.said[2:4], [("device_add", {"driver": "t-cpu", "id": f"vcpu{n}", "socket-id": n, "core-id": 0})
                                       for n in (1, 3)])
        self.assertEqual(self.ctl("setvcpus", "x", "2"), "")
        for count, way_out in (("0", ""), ("two", ""), ("5", ". Start it with a greater -smp maxcpus=.")):
            self.refused("setvcpus", "x", count, says=f"can have 1 to 4 CPUs, not {count}{way_out}\n")
        self.refused("setvcpus", "x", "1", "--timeout", "1", says="device_del")

    def test_setvcpus_takes_the_last_out_and_tells_of_a_guest_that_keeps_it(self):
        self.define_guest("x", b"", '[smp-opts]\n  cpus = "2"\n  maxcpus = "4"\n')
        self.ctl("start", "--paused", "x")
        anywhere = self.ctl("vcpupin", "x").splitlines()[2].split()[1]
        self.ctl("emulatorpin", "x", str(min(os.sched_getaffinity(0))))
        self.ctl("vcpupin", "x", "3", str(max(os.sched_getaffinity(0))), "--config")
        self.ctl("setvcpus", "x", "4")
        places = [line.split()[1] for line in self.ctl("vcpupin", "x").splitlines()[2:] if line]
        self.assertEqual(places, [anywhere] * 3 + [str(max(os.sched_getaffinity(0)))])
        self.assertIn("maximum      live           4\ncurrent      live           4\n", self.ctl("vcpucount", "x"))
        self.assertEqual(self.ctl("vcpuinfo", "x").count("VCPU:"), 4)
        self.ctl("setvcpus", "x", "1")      # no guest has seen them
        self.assertIn("current      live           1\n", self.ctl("vcpucount", "x"))
        self.ctl("resume", "x")
        self.ctl("setvcpus", "x", "2")
        self.refused("setvcpus", "x", "1", "--timeout", "1", says="The guest has not let go of device "
                                                                  "'/machine/peripheral/vcpu1' within 1 s")

    def test_attach_and_detach(self):
        # A port of its own mind lets a card go that no guest has switched on; by ACPI a guest would have to say so.
        self.define_guest("x", b"", '[device "rp1"]\n  driver = "pcie-root-port"\n[global]\n  driver = "ICH9-LPC"\n'
                                    '  property = "acpi-pci-hotplug-with-bridge-support"\n  value = "off"\n')
        self.ctl("start", "x")
        image = self.file("disk.img", "x" * 4096)
        disk = f'[blockdev]\n  driver = "file"\n  node-name = "n1"\n  filename = "{image}"\n  read-only = "on"\n'
        device = '[device "d1"]\n  driver = "virtio-blk-pci"\n  drive = "n1"\n  bus = "rp1"\n'
        wrong = self.file("wrong.conf", disk + device.replace("rp1", "rp9"))
        self.refused("attach-device", "x", wrong, says="rp9")
        self.assertEqual(self.nodes(), [])
        self.assertEqual(self.ctl("attach-device", "x", self.file("d.conf", disk + device)),
                         "Device attached successfully\n\n")
        self.assertEqual(self.nodes(), ["n1"])
        self.assertIn(image, self.ctl("domblklist", "x"))
        self.assertEqual(self.ctl("detach-device", "x", "d1"), "Device detached successfully\n\n")
        self.refused("detach-device", "x", "d1", says="'d1'")
        self.refused("attach-device", "x", self.file("e.conf", "# empty\n"), says="nothing to attach")
        self.refused("attach-device", "x", self.file("c.conf", '[chardev "c"]\n  backend = "null"\n'), says="chardev")

    def nodes(self):
        return [n["node-name"] for n in json.loads(self.ctl("qmp", "x", "query-named-block-nodes"))["return"]]

    def test_detach_that_the_guest_refuses_or_ignores(self):
        Pretender(self, "x", qmp({"device_del": {}}))
        self.refused("detach-device", "x", "d1", "--timeout", "1", says="within 1 s")

    def test_top(self):
        self.domain("x")
        said = self.ctl("top", "--rounds", "2", "--interval", "1")
        self.assertEqual(said.count(" Id   Name   State     CPU%   Time"), 2)
        self.assertRegex(said, r" 1    x      running   \d+\.\d   ")

    def test_command_that_a_domain_lacks_is_one_sentence(self):
        Pretender(self, "x", qmp({}))
        self.refused("domblklist", "x", says="The command query-block has not been found")

    def test_qmp(self):
        self.domain("x")
        self.assertEqual(json.loads(self.ctl("qmp", "x", "query-status"))["return"]["status"], "running")
        self.ctl("qmp", "x", "set-action", '{"reboot": "shutdown"}')
        self.ctl("qmp", "x", '{"execute": "stop"}')
        self.assertIn("paused", self.ctl("hmp", "x", "info", "status"))
        result = self.call("qmp", "x", "nonsense")
        self.assertEqual((result.returncode, json.loads(result.stdout)["error"]["class"]), (1, "CommandNotFound"))
        self.refused("qmp", "x", "stop", "{", says="arguments")

    def test_list_filters(self):
        self.define("off")
        self.define("on")
        self.ctl("start", "--paused", "on")
        self.domain("t")
        self.assertEqual(self.names("--all"), ["on", "t", "off"])
        self.assertEqual(self.names("--inactive"), ["off"])
        self.assertEqual(self.names("--state-paused"), ["on"])
        self.assertEqual(self.names("--all", "--state-shutoff"), ["off"])
        self.assertEqual(self.names("--all", "--persistent"), ["on", "off"])
        listed = {d["name"]: d for d in json.loads(self.ctl("list", "--all", "--json"))}
        self.assertEqual(listed["off"]["id"], None)
        self.assertEqual((listed["on"]["state"], listed["on"]["persistent"], listed["t"]["persistent"]),
                         ("paused", True, False))

    def test_events_as_they_happen(self):
        self.domain("x")
        watcher = subprocess.Popen([LODGECTL, "event", "--all", "--loop"], stdout=subprocess.PIPE, text=True,
                                   env=self.environment)
        self.addCleanup(self.end, watcher)
        while not select.select([watcher.stdout], [], [], 0.2)[0]:  # until it listens
            self.ctl("reset", "x")
        self.ctl("suspend", "x")
        resets = 0
        while "reboot" in (line := watcher.stdout.readline()):
            resets += 1
        self.assertEqual(line.strip(), "event 'lifecycle' for domain 'x': Suspended Paused")
        self.ctl("resume", "x")
        self.ctl("reset", "x")
        y = self.domain("y")
        wanted = ["event 'lifecycle' for domain 'x': Resumed Unpaused", "event 'reboot' for domain 'x'",
                  "event 'lifecycle' for domain 'y': Started Booted",
                  "event 'lifecycle' for domain 'y': Stopped Crashed",
                  "event 'lifecycle' for domain 'x': Shutdown Finished after host request",
                  "event 'lifecycle' for domain 'x': Stopped Shutdown"]
        for line in wanted[:3]:
            self.assertEqual(watcher.stdout.readline().strip(), line)
        y.kill()
        y.communicate()
        self.assertEqual(watcher.stdout.readline().strip(), wanted[3])
        self.ctl("destroy", "x")
        for line in wanted[4:]:
            self.assertEqual(watcher.stdout.readline().strip(), line)
        watcher.send_signal(signal.SIGINT)
        self.assertIn(f"events received: {resets + 7}", watcher.communicate(timeout=10)[0])

    def test_event_of_a_type_and_timeout(self):
        self.domain("x")
        self.assertEqual(self.ctl("event", "x", "--event", "reboot", "--timeout", "1"),
                         "event loop timed out\nevents received: 0\n\n")
        self.refused("event", "--event", "nonsense", says="nonsense")
        self.assertIn("lifecycle\n", self.ctl("event", "--list"))

    def test_console(self):
        def echo(listener):
            client, _ = listener.accept()
            with client:
                client.sendall(b"welcome\r\n")
                while data := client.recv(1024):
                    client.sendall(data.upper())
        x = Pretender(self, "x", qmp({}))
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(x.folder / "console.sock"))
        listener.listen(1)
        threading.Thread(target=echo, args=[listener], daemon=True).start()
        terminal, status = self.on_a_terminal("console", "x")
        self.assertIn("Escape character is ^]", self.heard(terminal, b"welcome"))
        os.write(terminal, b"hello\x03")
        self.assertIn("HELLO\x03", self.heard(terminal, b"HELLO\x03"))
        other, other_status = self.on_a_terminal("console", "x")
        self.heard(other, b"Active console session exists")
        self.assertEqual(other_status(), 1)
        os.write(terminal, b"\x1d")
        self.assertEqual(status(), 0)


class Tables(Scratch):
    def verbs(self):
        return [line.split()[0] for line in self.ctl("help").splitlines() if line.startswith("    ")]

    def test_each_verb_has_help(self):
        verbs = self.verbs()
        self.assertIn("list", verbs)
        for verb in verbs:
            self.assertIn(f"    {verb} - ", self.ctl("help", verb))
            self.assertEqual(self.ctl("help", verb), self.ctl(verb, "--help"))
        self.assertIn("lodgectl version", self.ctl("--version"))

    def test_options_of_a_monitor_verb_may_come_last(self):
        self.domain("x")
        said = self.ctl("qmp", "x", "query-status", "--pretty")
        self.assertIn('\n        "status": "running"', said)
        self.assertEqual(self.ctl("qmp", "--pretty", "x", "query-status"), said)
        self.refused("qmp", "x", "query-status", "--", "--pretty", says="They are one JSON object")
        self.assertIn("running", self.ctl("hmp", "x", "info", "status", "--timeout", "5"))

    def test_mistakes_name_what_is_near(self):
        self.refused("lst", says="Did you mean 'list'?")
        self.refused("list", "--al", says="Did you mean '--all'?")
        self.refused("list", "x", says="one word too many")
        self.refused("start", says="needs a domain")
        self.refused("event", "--timeout", "soon", says="'soon'")
        self.refused(says="A command is missing")

    @unittest.skipUnless(shutil.which("man"), "no man program")
    def test_manual_page_is_clean_roff(self):
        page = self.ctl("--man")
        result = subprocess.run(["man", "--warnings", "-l", "-"], input=page, capture_output=True, text=True,
                                check=False)
        self.assertEqual(result.stderr, "")
        for verb in self.verbs():
            self.assertTrue("\n.B " + verb.replace("-", "\\-") in page, verb)

    def test_completion(self):
        self.define("alpha")
        self.define("alto")
        self.assertEqual(self.complete("lodgectl", "domst"), ["domstate", "domstats"])
        self.assertEqual(self.complete("lodgectl", "start", "al"), ["alpha", "alto"])
        self.assertEqual(self.complete("lodgectl", "suspend", "al"), [])
        self.assertEqual(self.complete("lodgectl", "start", "--co"), ["--console"])
        self.assertEqual(self.complete("lodgectl", "hel"), ["help"])
        self.assertEqual(self.complete("lodgectl", "help", "domst"), ["domstate", "domstats"])
        self.assertEqual(self.complete("lodgectl", "he"), ["help"])
        self.assertEqual(self.complete("lodgectl", "help", "undef"), ["undefine"])
        self.assertEqual(self.complete("lodgectl", "--us"), ["--user"])
        self.assertEqual(self.complete("lodgectl", "event", "--loop", "alp"), ["alpha"])
        self.assertEqual(self.complete("lodgectl", "event", "--event", "life"), ["lifecycle"])
        file = self.file("alpha.conf", "")
        for words in (("define",), ("define", "--file"), ("attach-device", "alpha"), ("attach-device", "--live", "alpha")):
            self.assertEqual(self.complete("lodgectl", *words, file[:-2]), [file])
        self.assertEqual(self.complete("lodgectl", "vcpupin", "alpha", "al"), [])

    def complete(self, *words):
        script = f'. <({LODGECTL} --completion); COMP_WORDS=({LODGECTL} "${{@:2}}"); COMP_CWORD=$(($# - 1)); ' \
                 '_lodgectl; printf "%s\\n" "${COMPREPLY[@]}"'
        result = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, check=True,
                                env=self.environment)
        self.assertEqual(result.stderr, "")
        return result.stdout.split()

    def test_output_that_cannot_be_written_is_a_failure(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            status = subprocess.run([LODGECTL, "help"], stdout=full, env=self.environment, check=False).returncode
        self.assertEqual(status, 1)


if __name__ == "__main__":
    unittest.main()
