# SPDX-License-Identifier: GPL-2.0-or-later
"""lodgectl saves domains and moves them: managed saves, trials, progress, giving up, and another host, which is one
more pair of folders, where what stands for ssh runs lodgectl.

    test-lodgectl-move.py BUILD/lodge BUILD/lodgectl
"""

import json
import os
import pathlib
import signal
import subprocess
import unittest

from lodgectl_rig import LODGE, LODGECTL, Pretender, Scratch, qmp
from saved_format import put_header, take_header

SSH = """#!/usr/bin/env python3
# Runs what ssh would run there: "lodgectl migrate-receive".  It breaks with the byte that follows so many, in or out.
import os, subprocess, sys, threading
with open("{there}/ssh", "a") as f:
    print(*sys.argv[1:], file=f)
there = dict(os.environ, LODGE_RUNTIME_DIR="{there}/run", LODGE_CONFIG_DIR="{there}/config", LODGE="{lodge}")
with subprocess.Popen(["{lodgectl}", *sys.argv[sys.argv.index("lodgectl") + 1:]], stdin=subprocess.PIPE,
                      stdout=subprocess.PIPE, env=there) as lodgectl:
    def pump(source, sink, limit):
        try:
            while limit >= 0 and (data := os.read(source, 65536)):
                os.write(sink, data[:limit])
                limit -= len(data)
        except BrokenPipeError:
            pass
        os.close(source)
        os.close(sink)
    threading.Thread(target=pump, daemon=True,
                     args=[0, os.dup(lodgectl.stdin.fileno()), int(os.environ.get("CUT_IN", 1 << 40))]).start()
    lodgectl.stdin.close()
    pump(os.dup(lodgectl.stdout.fileno()), 1, int(os.environ.get("CUT_OUT", 1 << 40)))
    lodgectl.stdout.close()
"""

DEAF = """#!/usr/bin/env python3
# A lodge that hears everything but that it is to go on.
import os, pathlib, socket, subprocess, sys, threading
if code := subprocess.call(["{lodge}", *sys.argv[1:]]):
    sys.exit(code)
folder = pathlib.Path(os.environ["LODGE_RUNTIME_DIR"], "d")
pid = (folder / "pid").read_text().strip()
os.rename(folder / "control.sock", folder / "real.sock")
listener = socket.socket(socket.AF_UNIX)
listener.bind(str(folder / "control.sock"))
listener.listen()
if os.fork():
    os._exit(0)
for fd in 0, 1, 2:
    os.close(fd)
def pump(source, sink):
    while (data := source.recv(65536)) and b'"cont"' not in data:
        sink.sendall(data)
listener.settimeout(0.5)
while os.path.exists(f"/proc/{{pid}}") and folder.exists():
    try:
        client, _ = listener.accept()
    except TimeoutError:
        continue
    client.settimeout(None)
    lodge = socket.socket(socket.AF_UNIX)
    lodge.connect(str(folder / "real.sock"))
    for ends in (client, lodge), (lodge, client):
        threading.Thread(target=pump, args=ends, daemon=True).start()
"""


def kill(process):
    """Whether it still ran."""
    try:
        runs = pathlib.Path(f"/proc/{int(process)}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
    if runs:
        os.kill(int(process), signal.SIGKILL)
    return runs


def change_header(path, **members):
    """Of a saved domain; what is inside of it stays where it is."""
    data = path.read_bytes()
    head = put_header(take_header(data)[0] | members)
    path.write_bytes(head + data[len(head):])


class Saved(Scratch):
    def managed(self, name="d"):
        return self.config / "save" / f"{name}.save"

    def start_one(self):
        self.define_guest("d", b"hello")
        self.ctl("start", "d")

    def test_start_goes_on_from_a_managed_save(self):
        self.start_one()
        self.assertIn("state saved", self.ctl("managedsave", "d"))
        self.assertTrue(self.managed().exists())
        self.assertEqual(self.ctl("domstate", "d", "--reason").strip(), "shut off (saved)")
        self.assertRegex(self.ctl("list", "--all", "--managed-save"), r"d +saved")
        self.assertEqual(self.names("--all", "--without-managed-save"), [])
        self.assertIn("Managed save:   yes", self.ctl("dominfo", "d"))
        self.refused("undefine", "d", says="--managed-save")
        self.ctl("start", "d", "--paused")
        self.assertEqual(self.ctl("domstate", "d").strip(), "paused")
        self.assertRegex(self.ctl("domjobinfo", "d"), "Job status: +completed")     # it did come from there
        self.assertFalse(self.managed().exists())
        self.ctl("resume", "d")
        self.assertEqual(self.ctl("domstate", "d").strip(), "running")

    def test_what_runs_is_saved_with_a_definition_that_it_fits(self):
        file = self.directory / "saved"
        self.start_one()
        definition = self.config / "domains/d.conf"
        definition.write_text(definition.read_text().replace("16M", "32M"))
        self.ctl("save", "d", str(file))
        self.assertIn("16M", self.ctl("inspect", "--definition", str(file)))
        self.ctl("undefine", "d")
        self.ctl("restore", str(file))
        self.refused("managedsave", "d", says="is transient")
        self.ctl("save", "d", str(file))
        self.ctl("restore", str(file))
        self.assertEqual(self.ctl("domstate", "d").strip(), "running")

    def test_what_no_definition_fits_is_not_saved_and_runs_on(self):
        file = self.directory / "saved"
        self.define_guest("d", b"hello", '[device "port"]\n  driver = "pcie-root-port"\n  chassis = "1"\n')
        self.ctl("start", "d")
        self.ctl("qmp", "d", "device_add", '{"driver": "virtio-rng-pci", "bus": "port", "id": "late"}')
        self.refused("save", "d", str(file), says="late")
        self.refused("managedsave", "d", says="late")
        self.assertFalse(file.exists() or self.managed().exists())
        self.assertEqual(self.ctl("domstate", "d").strip(), "running")

    def test_a_managed_save_can_be_forgotten(self):
        self.start_one()
        self.ctl("managedsave", "d")
        self.assertIn("Removed", self.ctl("managedsave-remove", "d"))
        self.assertIn("skipped", self.ctl("managedsave-remove", "d"))
        self.ctl("start", "d")
        self.assertRegex(self.ctl("domjobinfo", "d"), "Job status: +none")
        self.ctl("managedsave", "d")
        self.ctl("undefine", "--managed-save", "d")
        self.assertFalse(self.managed().exists())

    def test_a_damaged_managed_save_is_refused_and_kept(self):
        self.start_one()
        self.ctl("managedsave", "d")
        whole = self.managed().read_bytes()
        self.managed().write_bytes(whole[:len(whole) // 2])
        self.assertIn("--force-boot", self.refused("start", "d", says=str(self.managed())))
        self.assertTrue(self.managed().exists())
        self.ctl("start", "d", "--force-boot")
        self.assertFalse(self.managed().exists())
        self.assertRegex(self.ctl("domjobinfo", "d"), "Job status: +none")

    def test_a_trial_tells_what_does_not_fit_and_starts_nothing(self):
        self.start_one()
        file = self.directory / "d, saved"
        self.ctl("save", "d", str(file))
        self.assertIn("could be restored", self.ctl("restore", "--check", str(file)))
        self.assertEqual(self.names(), [])
        self.assertEqual([p.name for p in self.run_dir.iterdir() if p.is_dir()], [])
        header, _ = take_header(file.read_bytes())
        for changed, words in (
                ({"machine": "pc-q35-99"}, "its machine is 'pc-q35-99', that of this domain"),
                ({"cpus": 3}, "it has 3 CPUs, this domain 1"),
                ({"ram": [block | {"size": block["size"] * 2} for block in header["ram"]]}, "MiB, that of this domain"),
                ({"features": [f | {"bits": 0xffffffff} for f in header["features"]]}, "its CPU has features that"),
                ({"tsc-khz": header["tsc-khz"] * 2}, f"needs a TSC of {header['tsc-khz'] * 2} kHz"),
                ({"devices": header["devices"][1:]}, "which it does not have"),
                ({"devices": [d | {"version": 99} for d in header["devices"]]}, "has version 99")):
            change_header(file, **{k: header[k] for k in ("machine", "cpus", "ram", "features", "tsc-khz", "devices")} | changed)
            with self.subTest(changed=list(changed)):
                if "ram" not in changed:    # the file would not be long enough
                    self.refused("restore", "--check", str(file), says=words)
        change_header(file, **{k: header[k] for k in ("machine", "cpus", "ram", "features", "tsc-khz", "devices")})
        self.assertIn("could be restored", self.ctl("restore", "--check", str(file)))
        data = bytearray(file.read_bytes())
        data[header["state-offset"] + 100] ^= 1
        file.write_bytes(data)
        self.refused("restore", "--check", str(file), says="the devices' state has a wrong checksum")

    def test_a_trial_leaves_what_the_domain_reaches_alone(self):
        log, socket = self.directory / "log", self.directory / "socket"
        self.define_guest("d", b"hello", f"""
[chardev "log"]
  backend = "file"
  path = "{log}"
[chardev "other"]
  backend = "socket"
  path = "{socket}"
  server = "on"
  wait = "off"
[device]
  driver = "isa-serial"
  chardev = "log"
[device]
  driver = "isa-serial"
  chardev = "other"
[mon]
  chardev = "other2"
[chardev "other2"]
  backend = "null"
[netdev "net"]
  type = "socket"
  listen = "127.0.0.1:0"
[device]
  driver = "virtio-net-pci"
  netdev = "net"
""")
        self.ctl("start", "d")
        file = self.directory / "saved"
        self.ctl("save", "d", str(file))
        log.write_text("what it has said")
        socket.unlink(missing_ok=True)
        self.assertIn("could be restored", self.ctl("restore", "--check", str(file)))
        self.assertEqual(log.read_text(), "what it has said")
        self.assertFalse(socket.exists())

    def test_a_trial_has_memory_of_its_own(self):
        memory, capture, audit = (self.directory / name for name in ("memory", "capture", "audit"))
        self.define_guest("d", b"hello", f"""
[machine]
  memory-backend = "ram"
[object "ram"]
  qom-type = "memory-backend-file"
  size = "16M"
  mem-path = "{memory}"
  share = "on"
  discard-data = "on"
  prealloc = "on"
[object "capture"]
  qom-type = "filter-dump"
  netdev = "net"
  file = "{capture}"
[object "rate"]
  qom-type = "filter-rate"
  netdev = "net"
  position = "id=capture"
  bps = "1000000"
[object "policy"]
  qom-type = "egress-policy"
  audit = "{audit}"
[netdev "net"]
  type = "user"
  egress = "policy"
[device]
  driver = "virtio-net-pci"
  netdev = "net"
[object "entropy"]
  qom-type = "rng-egd"
  chardev = "shared"
[chardev "shared"]
  backend = "null"
  mux = "on"
[device]
  driver = "virtio-rng-pci"
  rng = "entropy"
[device]
  driver = "isa-serial"
  chardev = "shared"
""")
        self.ctl("start", "d")
        file = self.directory / "saved"
        self.ctl("save", "d", str(file))
        content = bytes(range(256)) * (16 << 12)
        memory.write_bytes(content)
        capture.write_bytes(b"captured")
        audit.unlink(missing_ok=True)
        self.assertIn("could be restored", self.ctl("restore", "--check", str(file)))
        self.assertTrue(memory.read_bytes() == content)
        self.assertEqual(capture.read_bytes(), b"captured")
        self.assertFalse(audit.exists())

    def trial(self, then):
        """A trial by a lodge that runs, and then that shell command is done; `$pid` is its process."""
        tried, there = self.directory / "tried", f"{self.directory}/lodge-check-*/d/pid"
        script = self.file("lodge", f'#!/bin/sh\n{LODGE} "$@" || exit\npid=$(cat {there})\n'
                                    f"echo $pid >{tried}.part\nmv {tried}.part {tried}\n{then}\n")
        pathlib.Path(script).chmod(0o755)
        return subprocess.Popen([LODGECTL, "restore", "--check", self.directory / "saved"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                env=self.environment | {"LODGE": script, "TMPDIR": str(self.directory)})

    def assert_nothing_is_left(self, trial, says):
        self.addCleanup(self.end, trial)
        said = trial.communicate(timeout=40)[1]
        self.assertFalse(kill((self.directory / "tried").read_text()), "the trial's lodge still runs")
        self.assertIn(says, said)
        self.assertEqual(trial.returncode, 1)
        self.assertEqual(list(self.directory.glob("lodge-check-*")), [])

    def test_an_interrupted_trial_leaves_nothing(self):
        self.start_one()
        self.ctl("save", "d", str(self.directory / "saved"))
        trial = self.trial("sleep 1")
        self.eventually((self.directory / "tried").exists)
        trial.send_signal(signal.SIGINT)
        self.assert_nothing_is_left(trial, "it was given up")

    def test_a_trial_that_hangs_leaves_nothing(self):
        self.start_one()
        self.ctl("save", "d", str(self.directory / "saved"))
        self.assert_nothing_is_left(self.trial("kill -STOP $pid"), "does not answer")

    def test_a_save_replaces_nothing_but_a_file(self):
        self.start_one()
        self.refused("save", "d", str(self.directory), says="is no regular file")
        fifo = self.directory / "fifo"
        os.mkfifo(fifo)
        self.refused("save", "d", str(fifo), says="is no regular file")
        self.assertEqual(self.ctl("domstate", "d").strip(), "running")

    def test_a_save_waits_for_no_other_client(self):
        self.start_one()
        self.ctl("hmp", "d", "migrate_set_capability pause-before-switchover on")
        self.ctl("hmp", "d", "migrate_set_capability multifd on")
        self.ctl("managedsave", "d")
        self.ctl("start", "d")

    def test_a_save_leaves_alone_what_is_under_way(self):
        self.start_one()
        self.ctl("qmp", "d", "migrate-set-parameters", '{"max-bandwidth": 12345678}')
        self.ctl("hmp", "d", "migrate_set_capability pause-before-switchover on")
        self.ctl("qmp", "d", "migrate", json.dumps({"uri": f"file:{self.directory}/other"}))
        self.refused("save", "d", str(self.directory / "saved"), says="There's a migration process in progress")
        self.assertIn('"max-bandwidth": 12345678', self.ctl("qmp", "d", "query-migrate-parameters"))

    def test_what_is_under_way_is_followed_and_given_up(self):
        status = {"status": "active", "total-time": 2000,
                  "ram": {"total": 400 << 20, "remaining": 300 << 20, "transferred": 100 << 20}}

        def cancel():
            status["status"] = "cancelled"
            return {}
        server = qmp({"query-migrate": status, "migrate-set-parameters": {}, "migrate-set-capabilities": {},
                      "migrate": {}, "migrate_cancel": {}})
        Pretender(self, "x", server)
        terminal, wait = self.on_a_terminal("migrate", "x", "tcp:nowhere:1")
        self.heard(terminal, b"Migration: [#######                       ]  25 %, 50.0 MiB/s")
        status["ram"]["remaining"] = 0
        status["status"] = "cancelled"
        self.assertNotIn("100 %", self.heard(terminal, b"it was given up"))
        self.assertEqual(wait(), 1)
        self.refused("domjobabort", "x", says="is not being saved or moved")
        status["status"] = "completed"
        self.refused("domjobabort", "x", says="is not being saved or moved")


class Moved(Scratch):
    def setUp(self):
        super().setUp()
        self.there = self.directory / "there"
        self.there.mkdir()
        ssh = pathlib.Path(self.file("ssh", SSH.format(there=self.there, lodge=LODGE, lodgectl=LODGECTL)))
        ssh.chmod(0o755)
        self.here_environment = self.environment | {"LODGE_SSH": str(ssh)}
        self.there_environment = self.environment | {"LODGE_RUNTIME_DIR": str(self.there / "run"),
                                                     "LODGE_CONFIG_DIR": str(self.there / "config")}
        self.environment = self.here_environment
        self.addCleanup(self.end_there)

    def end_there(self):
        here, self.run_dir = self.run_dir, self.there / "run"
        self.end_all()
        self.run_dir = here

    def at(self, there, *arguments):
        self.environment = self.there_environment if there else self.here_environment
        try:
            return self.ctl(*arguments)
        finally:
            self.environment = self.here_environment

    def where(self):
        """Its state on both hosts."""
        return [self.at(there, "list", "--name", "--state-running").split() for there in (False, True)]

    def test_a_domain_moves_by_ssh_with_its_definition(self):
        self.define_guest("d", b"hello")
        self.ctl("start", "d")
        self.assertIn("could move", self.ctl("migrate", "--check", "d", "ssh://me@there:2222"))
        self.assertEqual((self.there / "ssh").read_text(), "-p 2222 -l me there lodgectl migrate-receive\n")
        self.assertEqual(self.where(), [["d"], []])
        self.assertIn("moved to", self.ctl("migrate", "d", "ssh://there", "--persistent", "--undefinesource"))
        self.assertEqual(self.where(), [[], ["d"]])
        self.assertEqual(self.names("--all"), [])
        self.assertIn('type = "q35"', self.at(True, "dumpconfig", "d"))

    def test_a_domain_without_a_definition_has_none_to_remove(self):
        self.define_guest("d", b"hello")
        self.ctl("start", "d")
        self.ctl("undefine", "d")
        self.ctl("migrate", "d", "ssh://there", "--undefinesource")
        self.assertEqual(self.where(), [[], ["d"]])

    def test_a_paused_domain_stays_so_and_one_is_paused_on_its_way(self):
        self.define_guest("d", b"hello")
        self.ctl("start", "d")
        self.ctl("migrate", "d", "ssh://there", "--suspend")
        self.assertEqual(self.at(True, "domstate", "d").strip(), "paused")
        self.assertRegex(self.ctl("list", "--all"), r"- +d +shut off")

    def test_what_does_not_fit_there_runs_on_here(self):
        self.define_guest("d", b"hello")
        self.ctl("start", "d")
        for definition in self.config / "domains/d.conf", self.run_dir / "d/definition.conf":
            definition.write_text(definition.read_text().replace("16M", "32M"))
        self.refused("migrate", "--check", "d", "ssh://there", says="that of this domain 32 MiB")
        self.refused("migrate", "d", "ssh://there", says="that of this domain 32 MiB")
        self.eventually(lambda: self.where() == [["d"], []])
        (self.directory / "kernel").unlink()
        self.refused("migrate", "d", "ssh://there", says="kernel")
        self.assertEqual(self.where(), [["d"], []])

    def test_a_connection_that_breaks_leaves_the_domain_here(self):
        self.define_guest("d", b"hello")
        self.ctl("start", "d")
        for variable, cut in ("CUT_IN", 20000), ("CUT_IN", 60000), ("CUT_OUT", 10), ("CUT_OUT", 7 + 21):
            self.environment[variable] = str(cut)
            self.refused("migrate", "d", "ssh://there", says="Failed to move domain 'd'")
            self.eventually(lambda: self.where() == [["d"], []])
            del self.environment[variable]
        self.ctl("migrate", "d", "ssh://there")
        self.assertEqual(self.where(), [[], ["d"]])

    def test_a_move_leaves_alone_what_is_under_way(self):
        self.define_guest("d", b"hello")
        self.ctl("start", "d")
        self.ctl("hmp", "d", "migrate_set_capability pause-before-switchover on")
        self.ctl("qmp", "d", "migrate", json.dumps({"uri": f"file:{self.directory}/other"}))
        self.eventually(lambda: "pre-switchover" in self.ctl("domjobinfo", "d"))
        self.refused("migrate", "d", "ssh://there", says="There's a migration process in progress")
        self.assertIn("pre-switchover", self.ctl("domjobinfo", "d"))
        self.ctl("qmp", "d", "migrate-continue", json.dumps({"state": "pre-switchover"}))
        self.eventually(lambda: "completed" in self.ctl("domjobinfo", "d"))

    def test_a_slow_move_is_given_up_by_somebody_else(self):
        self.define_guest("d", bytes(range(1, 256)) * 4096)     # 3 MiB of code
        self.ctl("start", "d")
        move = subprocess.Popen([LODGECTL, "migrate", "d", "ssh://there", "--bandwidth", "1"], env=self.environment,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, move)
        self.eventually(lambda: "active" in self.ctl("domjobinfo", "d"))
        self.ctl("domjobabort", "d")
        self.assertIn("Failed to move domain 'd'", move.communicate(timeout=40)[1])
        self.assertEqual(move.returncode, 1)
        self.assertRegex(self.ctl("domjobinfo", "d"), "Job status: +cancelled")
        self.eventually(lambda: self.where() == [["d"], []])

    def test_a_domain_that_may_run_there_does_not_run_here(self):
        """What comes back: {} (7 bytes), three records of lodge (21 each) and its end (5), and {} when it runs."""
        self.define_guest("d", b"hello")
        self.ctl("start", "d")
        self.environment["CUT_OUT"] = str(7 + 3 * 21 + 5)
        self.refused("migrate", "d", "ssh://there", says="Nobody knows whether domain 'd' runs there")
        self.eventually(lambda: self.where() == [[], ["d"]])
        self.assertEqual(self.ctl("domstate", "d", "--reason").strip(), "paused (migrating)")
        self.ctl("destroy", "d")

    def lodge_there(self, text):
        script = pathlib.Path(self.file("lodge", text))
        script.chmod(0o755)
        ssh = self.directory / "ssh"
        ssh.write_text(ssh.read_text().replace(f'LODGE="{LODGE}"', f'LODGE="{script}"'))

    def test_what_hangs_there_from_the_start_is_ended(self):
        self.lodge_there(f'#!/bin/sh\n{LODGE} "$@" || exit\ncp {self.there}/run/d/pid {self.directory}/pid\n'
                         f"kill -STOP $(cat {self.directory}/pid)\n")
        self.define_guest("d", b"hello")
        self.ctl("start", "d")
        self.refused("migrate", "d", "ssh://there", says="does not answer")
        self.assertFalse(kill((self.directory / "pid").read_text()), "it still waits there")
        self.assertEqual(self.where(), [["d"], []])

    def test_a_domain_that_may_go_on_there_late_does_not_go_on_here(self):
        self.lodge_there(DEAF.format(lodge=LODGE))
        self.define_guest("d", b"hello")
        self.ctl("start", "d")
        self.refused("migrate", "d", "ssh://there", says="Nobody knows whether domain 'd' runs there")
        self.assertEqual(self.ctl("domstate", "d", "--reason").strip(), "paused (migrating)")
        self.assertEqual(self.at(True, "domstate", "d").strip(), "paused")

    def test_what_keeps_a_domain_from_moving_is_said_before_it_tries(self):
        server = qmp({"query-migrate": {"blocked-reasons": ["/machine/x cannot be saved: it has a card"]}})
        x = Pretender(self, "x", server)
        self.define("x")
        for words in (), ("--check",):
            self.refused("migrate", "x", "ssh://there", *words, says="cannot be saved: it has a card")
        self.assertNotIn("migrate", [name for name, _ in x.said])

    def test_another_host_that_talks_nonsense_is_refused(self):
        self.define("n")
        self.ctl("start", "n")
        for said, words in ((b"Last login: yesterday\n", "is not lodgectl's"), (b"J\2\0\0\0{]", "JSON"),
                            (b"J\xff\xff\xff\xff", "is not lodgectl's"), (b"J\7\0\0", "is gone"),
                            (b'J\x11\0\0\0{"error":"\\u001bno"}', "no")):
            with self.subTest(said=said):
                (self.directory / "said").write_bytes(said)
                self.environment["LODGE_SSH"] = self.file("nonsense", f"#!/bin/sh\ncat {self.directory}/said\n")
                (self.directory / "nonsense").chmod(0o755)
                self.assertNotIn("\x1b", self.refused("migrate", "n", "ssh://there", says=words))
                self.assertEqual(self.ctl("domstate", "n").strip(), "running")
                receiver = subprocess.run([LODGECTL, "migrate-receive"], input=said, capture_output=True, timeout=30,
                                          check=False, env=self.environment)
                self.assertEqual(receiver.returncode, 1, receiver.stderr)

    def test_a_host_that_is_none_is_refused(self):
        self.domain("x")
        self.refused("migrate", "x", "ssh://there", says="is transient")
        self.refused("save", "x", str(self.directory / "x"), says="is transient")
        self.define("n")
        self.ctl("start", "n")
        self.refused("migrate", "n", "ssh://", says="names no host")
        self.refused("migrate", "n", "ssh://-oProxyCommand=x", says="names no host")
        self.refused("migrate", "n", "tcp:there:1", "--persistent", says="--persistent needs a lodgectl")
        self.environment["LODGE_SSH"] = "/nowhere/ssh"
        self.refused("migrate", "n", "ssh://there", says="Cannot reach 'ssh://there'")
        self.environment["LODGE_SSH"] = "/bin/false"
        self.refused("migrate", "n", "ssh://there", says="The connection to the other host is gone")
        self.assertEqual(self.ctl("domstate", "n").strip(), "running")


if __name__ == "__main__":
    unittest.main()
