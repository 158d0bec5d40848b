# SPDX-License-Identifier: GPL-2.0-or-later
"""Saving, restoring and moving from outside, of domains without a guest (`lodge -M none`): descriptors as libvirt gives
them, what is refused and how, and lodgectl.

    test-migrate-process.py BUILD/lodge BUILD/lodgectl
"""

import fcntl
import os
import signal
import socket
import subprocess
import time
import unittest

from migrate_rig import (ABORT, GO, HELLO, LODGE, LODGECTL, LOADED, PATIENCE, RECORD, RUNNING, MigrateCase, Process, guest)
from saved_format import put_header, record, take_header


class MigrateTest(MigrateCase):
    def test_a_stream_in_a_pipe_after_somebody_elses_header_is_restored_from_a_descriptor(self):
        source = Process(self)
        with open(self.directory / "image", "wb") as image:
            image.write(b"header of its own".ljust(100))
            image.flush()
            read, write = os.pipe()
            cat = subprocess.Popen(["cat"], stdin=read, stdout=image)
            os.close(read)
            self.assertEqual(source.ask("stop"), {})
            self.assertEqual(source.ask("getfd", fdname="migrate", fds=[write]), {})
            os.close(write)
            self.assertEqual(source.ask("migrate", uri="fd:migrate", detach=True, resume=False), {})
            source.wait("completed")
            self.assertEqual(cat.wait(PATIENCE), 0)
        self.assertEqual(source.state(), "postmigrate")
        self.assertEqual([e for e in source.events if e[0] != "MIGRATION_PASS"],
                         [("STOP", None), ("MIGRATION", "setup"), ("MIGRATION", "active"), ("MIGRATION", "completed")])
        fd = os.open(self.directory / "image", os.O_RDONLY)
        os.lseek(fd, 100, os.SEEK_SET)
        destination = Process(self, "-S", "-incoming", "defer", fds=[fd])
        self.assertEqual(destination.state(), "inmigrate")
        self.assertEqual(destination.ask("system_reset"), {})
        self.assertEqual(destination.state(), "inmigrate")
        self.assertEqual(destination.ask("migrate-incoming", uri=f"fd:{fd}"), {})
        os.close(fd)
        destination.wait("completed")
        self.assertEqual(destination.state(), "paused")
        self.assertEqual(destination.ask("cont"), {})
        self.assertEqual(destination.state(), "running")

    def test_nobody_cancels_what_a_destination_without_answers_runs(self):
        stream = self.inline_stream()
        end = RECORD + 16 + len("running")
        source = Process(self)
        read, write = os.pipe()
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
        before = b"x" * (4096 - (len(stream) - end))  # only END has no place
        os.write(write, before)
        source.ask("getfd", fdname="x", fds=[write])
        os.close(write)
        self.assertEqual(source.ask("migrate", uri="fd:x"), {})
        deadline = time.monotonic() + PATIENCE
        while source.wait("active")["ram"]["transferred"] < len(stream) - end and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        self.assertEqual(source.ask("migrate_cancel"), {})
        with os.fdopen(read, "rb") as pipe:
            self.assertEqual(len(pipe.read()), len(before) + len(stream))
        source.wait("completed")
        self.assertEqual(source.state(), "postmigrate")

    def test_a_domain_moves_over_a_socket_pair_and_waits_where_it_is_told_to(self):
        ours, theirs = socket.socketpair()
        source = Process(self)
        destination = Process(self, "-incoming", f"fd:{theirs.fileno()}", fds=[theirs.fileno()])
        theirs.close()
        source.ask("migrate-set-capabilities",
                   capabilities=[{"capability": "pause-before-switchover", "state": True}])
        source.ask("getfd", fdname="x", fds=[ours.fileno()])
        ours.close()
        self.assertEqual(source.ask("migrate", uri="fd:x"), {})
        source.wait("pre-switchover")
        self.assertEqual((source.state(), destination.state()), ("finish-migrate", "inmigrate"))
        self.assertIn("in progress", source.ask("migrate", uri="unix:/nowhere"))
        self.assertEqual(source.ask("migrate-continue", state="pre-switchover"), {})
        source.wait("completed")
        destination.wait("completed")
        self.assertEqual((source.state(), destination.state()), ("postmigrate", "running"))
        self.assertIn("has moved already", source.ask("migrate", uri="unix:/nowhere"))

    def arrives(self, *before, options=()):
        """A running domain, restored after these commands; the state it is in then."""
        p = Process(self, *options, "-incoming", "defer")
        for command in before:
            self.assertEqual(p.ask(command), {})
            self.assertEqual(p.state(), "inmigrate")
        self.assertEqual(p.ask("migrate-incoming", uri=f"file:{self.directory}/saved"), {})
        p.wait("completed")
        return p.state()

    def test_cont_and_stop_before_the_state_has_come_say_what_is_to_be_then(self):
        self.saved()
        self.assertEqual(self.arrives(), "running")
        self.assertEqual(self.arrives("stop"), "paused")
        self.assertEqual(self.arrives("stop", "cont"), "running")
        self.assertEqual(self.arrives(options=["-S"]), "paused")
        self.assertEqual(self.arrives("cont", options=["-S"]), "running")
        self.assertEqual(self.arrives("cont", "stop", options=["-S"]), "paused")

    def test_cont_lets_a_domain_run_that_was_paused_when_it_was_saved(self):
        source = Process(self)
        self.assertEqual(source.ask("stop"), {})
        self.assertEqual(source.ask("migrate", uri=f"file:{self.directory}/saved"), {})
        source.wait("completed")
        self.assertEqual(self.arrives(), "paused")
        self.assertEqual(self.arrives("cont"), "running")

    def test_cont_lets_a_domain_run_that_had_not_begun_when_it_was_saved(self):
        source = Process(self, "-S")
        self.assertEqual(source.ask("migrate", uri=f"file:{self.directory}/saved"), {})
        source.wait("completed")
        self.assertEqual(self.arrives(), "prelaunch")
        self.assertEqual(self.arrives("cont"), "running")
        self.assertEqual(self.arrives("cont", "stop"), "prelaunch")

    def waits_before_switchover(self):
        """A source that has gone through memory and waits, and its destination."""
        where = f"unix:{self.directory}/move{len(self.processes)}"
        destination = Process(self, "-incoming", where)
        source = Process(self)
        source.ask("migrate-set-capabilities",
                   capabilities=[{"capability": "pause-before-switchover", "state": True}])
        self.assertEqual(source.ask("migrate", uri=where), {})
        source.wait("pre-switchover")
        return source, destination

    def test_stop_before_the_switchover_pauses_it_wherever_it_goes_on(self):
        source, _ = self.waits_before_switchover()
        self.assertEqual(source.ask("stop"), {})
        self.assertEqual(source.state(), "finish-migrate")
        self.assertEqual(source.ask("migrate_cancel"), {})
        source.wait("cancelled")
        self.assertEqual(source.state(), "paused")
        source, destination = self.waits_before_switchover()
        self.assertEqual(source.ask("stop"), {})
        self.assertEqual(source.ask("migrate-continue", state="pre-switchover"), {})
        source.wait("completed")
        destination.wait("completed")
        self.assertEqual((source.state(), destination.state()), ("postmigrate", "paused"))

    def test_a_cancelled_migration_can_be_repeated(self):
        source, destination = self.waits_before_switchover()
        self.assertEqual(source.ask("migrate_cancel"), {})
        source.wait("cancelled")
        self.assertEqual(destination.ends()[0], 1)
        self.assertEqual(source.state(), "running")
        source.ask("migrate-set-capabilities",
                   capabilities=[{"capability": "pause-before-switchover", "state": False}])
        again = Process(self, "-incoming", f"unix:{self.directory}/again")
        self.assertEqual(source.ask("migrate", uri=f"unix:{self.directory}/again"), {})
        source.wait("completed")
        again.wait("completed")
        self.assertEqual((source.state(), again.state()), ("postmigrate", "running"))
        self.assertEqual(source.ask("migrate_cancel"), {})
        self.assertEqual((source.state(), again.state()), ("postmigrate", "running"))

    def test_a_migration_is_cancelled_while_it_connects(self):
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(f"{self.directory}/deaf")
        listener.listen(1)
        source = Process(self)
        self.assertEqual(source.ask("migrate", uri=f"unix:{self.directory}/deaf"), {})
        source.wait("setup")
        self.assertEqual(source.ask("migrate_cancel"), {})
        source.wait("cancelled")
        self.assertEqual(source.state(), "running")

    def test_devices_neither_come_nor_go_while_the_domain_migrates(self):
        source, _ = self.waits_before_switchover()
        for command, arguments in (("device_add", {"driver": "virtio-rng-pci"}), ("device_del", {"id": "x"})):
            self.assertIn(f"{command} is not allowed while the domain migrates", source.ask(command, **arguments))
        self.assertEqual(source.ask("blockdev-add", driver="null-co", node_name="n"), {})
        self.assertEqual(source.ask("migrate-continue", state="pre-switchover"), {})
        source.wait("completed")
        self.assertNotIn("migrates", source.ask("device_del", id="x"))

    def test_devices_may_come_while_a_domain_waits_for_its_source(self):
        waiting = Process(self, "-incoming", f"unix:{self.directory}/wait")
        self.assertNotIn("migrates", waiting.ask("device_add", driver="virtio-rng-pci"))

    def test_a_destination_tells_where_it_waits_and_hears_of_capabilities_meanwhile(self):
        destination = Process(self, "-incoming", "tcp:127.0.0.1:0")
        address, = destination.ask("query-migrate")["socket-address"]
        self.assertEqual((address["type"], address["host"]), ("inet", "127.0.0.1"))
        capabilities = [{"capability": "multifd", "state": True}, {"capability": "events", "state": False}]
        source = Process(self)
        for process in destination, source:
            self.assertEqual(process.ask("migrate-set-capabilities", capabilities=capabilities), {})
        self.assertEqual(source.ask("migrate", uri=f"tcp:127.0.0.1:{address['port']}", blk=False, inc=False), {})
        source.wait("completed")
        self.assertNotIn("socket-address", destination.wait("completed"))
        self.assertNotIn("MIGRATION", {name for name, _ in source.events})
        self.assertEqual(source.ask("migrate", uri="unix:/nowhere", blk=True).split(":")[0], "'blk' is not supported")

    def test_where_a_destination_waits_may_be_a_path_or_a_name(self):
        for uri, said in ((f"unix:{self.directory}/here", {"path": f"{self.directory}/here", "abstract": False}),
                          ("unix:@lodge-test-here", {"path": "lodge-test-here", "abstract": True})):
            address, = Process(self, "-incoming", uri).ask("query-migrate")["socket-address"]
            self.assertEqual(address, {"type": "unix", **said})

    def test_a_migration_that_reaches_nobody_leaves_the_domain_running(self):
        source = Process(self)
        source.ask("migrate", uri=f"unix:{self.directory}/nobody")
        self.assertIn("cannot connect", source.wait("failed")["error-desc"])
        self.assertEqual(source.state(), "running")
        source.ask("migrate", uri=f"file:{self.directory}/no/such/folder")
        self.assertIn("No such file", source.wait("failed")["error-desc"])
        self.assertEqual(source.state(), "running")

    def test_a_destination_that_breaks_off_is_asked_why(self):
        source = Process(self, *self.guest_options(4096), machine="q35")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{self.directory}/move")
            listener.listen()
            source.ask("migrate", uri=f"unix:{self.directory}/move")
            connection, _ = listener.accept()
        with connection:
            connection.sendall(record(HELLO))
            connection.recv(1000)
            connection.sendall(record(17, b"because"))
        self.assertEqual(source.wait("failed")["error-desc"], "the destination refuses: because")
        self.assertEqual(source.state(), "running")

    def test_a_guest_that_stands_still_waits_for_no_limit(self):
        source = Process(self)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{self.directory}/move")
            listener.listen()
            source.ask("migrate", uri=f"unix:{self.directory}/move")
            connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            connection.sendall(record(HELLO))
            data = b""
            while not data.endswith(b"running"):
                data += connection.recv(65536)
            self.assertEqual(source.ask("migrate-set-parameters", max_bandwidth=1), {})
            connection.sendall(record(LOADED))
            self.assertEqual(connection.recv(RECORD, socket.MSG_WAITALL), record(GO))
            connection.sendall(record(RUNNING))
            source.wait("completed")

    def test_a_frequency_that_cannot_be_had_is_named_before_anything_comes(self):
        process = Process(self, *self.guest_options(16), machine="q35")
        header = process.ask("x-query-migrate-header")
        self.assertEqual(process.ask("x-migrate-check", header=header), {})
        header["tsc-khz"] += header["tsc-khz"] // 100
        self.assertIn(f"needs a TSC of {header['tsc-khz']} kHz", process.ask("x-migrate-check", header=header))
        del header["tsc-khz"]   # an earlier release does not say
        self.assertEqual(process.ask("x-migrate-check", header=header), {})

    def to_the_last_word(self, passed=()):
        """A destination that has everything, and this test, its source, which has not said GO."""
        header, rest = take_header(self.inline_stream())
        destination = Process(self, "-incoming", f"unix:{self.directory}/move")
        source = socket.socket(socket.AF_UNIX)
        self.addCleanup(source.close)
        source.settimeout(PATIENCE)
        source.connect(f"{self.directory}/move")
        socket.send_fds(source, [put_header(header | {"return-path": True})], [end.fileno() for end in passed])
        self.assertEqual(source.recv(RECORD, socket.MSG_WAITALL), record(HELLO))
        source.sendall(rest)
        self.assertEqual(source.recv(RECORD, socket.MSG_WAITALL), record(LOADED))
        self.assertEqual(destination.state(), "inmigrate")
        return source, destination

    def test_a_destination_runs_when_it_is_told_to(self):
        source, destination = self.to_the_last_word()
        source.sendall(record(GO))
        self.assertEqual(source.recv(RECORD, socket.MSG_WAITALL), record(RUNNING))
        destination.wait("completed")
        self.assertEqual(destination.state(), "running")

    def with_lifeline(self):
        """The same by a source that shows whether it lives, and its end of that."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        with theirs:
            source, destination = self.to_the_last_word([theirs])
        self.assertEqual(ours.recv(2, socket.MSG_DONTWAIT), b"T")
        return ours, source, destination

    def test_a_destination_whose_source_dies_after_it_has_sent_everything_runs(self):
        lifeline, source, destination = self.with_lifeline()
        lifeline.close()
        source.close()
        destination.wait("completed")
        self.assertEqual(destination.state(), "running")

    def test_a_destination_whose_connection_ends_while_its_source_lives_does_not_run(self):
        lifeline, source, destination = self.with_lifeline()
        source.close()
        self.assertEqual(destination.process.wait(PATIENCE), 1)
        lifeline.close()

    def test_a_destination_that_cannot_know_of_its_source_does_not_run(self):
        source, destination = self.to_the_last_word()
        source.close()
        self.assertEqual(destination.process.wait(PATIENCE), 1)

    def test_a_destination_whose_source_goes_on_does_not_run(self):
        lifeline, source, destination = self.with_lifeline()
        lifeline.send(b"A")
        lifeline.close()
        source.close()
        self.assertEqual(destination.process.wait(PATIENCE), 1)

    def test_a_destination_whose_source_dies_after_its_last_word_runs(self):
        source, destination = self.to_the_last_word()
        os.kill(destination.process.pid, signal.SIGSTOP)
        source.sendall(record(GO))
        source.close()
        os.kill(destination.process.pid, signal.SIGCONT)
        destination.wait("completed")
        self.assertEqual(destination.state(), "running")

    def with_disk(self, name, *options):
        """A guest with a disk of this name."""
        image = self.directory / name
        image.touch()
        os.truncate(image, 1 << 20)
        return Process(self, *self.guest_options(16), "-drive", f"file={image},format=raw,if=none,id=d",
                       "-device", "virtio-blk-pci,drive=d", *options, machine="q35")

    def test_a_destination_that_cannot_have_the_images_leaves_the_guest_running(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        source = self.with_disk("ours")
        owner = self.with_disk("theirs")
        for uri in f"unix:{self.directory}/move", f"tcp:127.0.0.1:{port}":
            destination = self.with_disk("theirs", "-incoming", uri)
            source.ask("migrate", uri=uri)
            self.assertRegex(source.wait("failed")["error-desc"], "the destination refuses: .*theirs.*in use")
            self.assertEqual(source.state(), "running")
            self.assertEqual(destination.ends()[0], 1)
        owner.ask("quit")
        owner.ends()
        destination = self.with_disk("theirs", "-incoming", f"unix:{self.directory}/again")
        source.ask("migrate", uri=f"unix:{self.directory}/again")
        source.wait("completed")
        destination.wait("completed")

    def test_a_destination_whose_source_gives_up_does_not_run(self):
        source, destination = self.to_the_last_word()
        source.sendall(record(ABORT, b"no more"))
        source.close()
        self.assertEqual(destination.ends()[0], 1)

    def test_what_is_no_saved_domain_is_refused_with_a_sentence(self):
        path = self.saved()
        self.assertIn("no saved domain", self.refused("-incoming", "file:/bin/sh"))
        self.assertIn("No such file", self.refused("-incoming", f"file:{self.directory}/nothing"))
        self.assertIn("is no place", self.refused("-incoming", "gopher:x"))
        whole = path.read_bytes()
        for length in (0, 10, 23, 100, len(whole) - 1):
            path.write_bytes(whole[:length])
            self.assertRegex(self.refused("-incoming", f"file:{path}"), "cut off|no saved domain")
        for at in (0, 9, 30, 200, len(whole) - 5):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1:])
            self.assertRegex(self.refused("-incoming", f"file:{path}"), "damaged|no saved domain")

    def test_commands_at_the_wrong_time_are_refused(self):
        p = Process(self)
        self.assertEqual(p.ask("query-migrate"), {})
        self.assertIn("-incoming", p.ask("migrate-incoming", uri="unix:/x"))
        self.assertIn("not in expected state", p.ask("migrate-continue", state="pre-switchover"))
        self.assertEqual(p.ask("migrate_cancel"), {})
        self.assertIn("is no place", p.ask("migrate", uri="gopher:x"))
        self.assertIn("names no port", p.ask("migrate", uri="tcp:host"))
        self.assertEqual(p.ask("migrate-set-parameters", max_bandwidth=5, downtime_limit=7), {})
        self.assertLessEqual({"max-bandwidth": 5, "downtime-limit": 7, "announce-initial": 50, "announce-max": 550,
                              "announce-rounds": 5, "announce-step": 100}.items(),
                             p.ask("query-migrate-parameters").items())
        self.assertEqual(p.ask("migrate-set-parameters", announce_rounds=9, announce_step=1), {})
        self.assertEqual(p.ask("query-migrate-parameters")["announce-rounds"], 9)
        self.assertIn("announce-step", p.ask("migrate-set-parameters", announce_step=0))
        waiting = Process(self, "-incoming", "defer")
        self.assertIn("waiting for an incoming", waiting.ask("migrate", uri="unix:/x"))

    def ctl(self, *words, status=0):
        environment = {**os.environ, "LODGE_RUNTIME_DIR": str(self.directory / "run"), "LODGE": str(LODGE),
                       "LODGE_CONFIG_DIR": str(self.directory / "config"), "LC_ALL": "C.UTF-8"}
        done = subprocess.run([LODGECTL, *words], capture_output=True, text=True, env=environment, timeout=PATIENCE)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout + done.stderr

    def test_a_destination_that_is_only_asked_waits_on(self):
        definition = self.directory / "d.conf"
        definition.write_text('[machine]\n  type = "none"\n[name]\n  guest = "d"\n')
        self.ctl("define", str(definition))
        self.ctl("start", "d")
        try:
            waits = Process(self, "-incoming", "tcp:127.0.0.1:0")
            place = f"tcp:127.0.0.1:{waits.ask('query-migrate')['socket-address'][0]['port']}"
            elsewhere = f"unix:{self.directory}/elsewhere"
            kernel = self.directory / "kernel"
            kernel.write_bytes(guest(1))
            other = Process(self, "-accel", "tcg", "-kernel", str(kernel), "-nodefaults", "-display", "none",
                            "-incoming", elsewhere, machine="microvm")
            for _ in range(3):
                self.assertIn("could move to tcp:", self.ctl("migrate", "d", place, "--check"))
                self.assertIn("could not move: its machine is 'none', that of this domain",
                              self.ctl("migrate", "d", elsewhere, "--check", status=1))
            self.assertEqual((other.state(), waits.state()), ("inmigrate", "inmigrate"))
            self.assertEqual(waits.ask("query-migrate")["status"], "setup")
            self.assertIn("cannot connect", self.ctl("migrate", "d", f"unix:{self.directory}/x", "--check", status=1))
            self.assertIn("no place that can be asked", self.ctl("migrate", "d", "fd:3", "--check", status=1))
            self.assertIn("running", self.ctl("domstate", "d"))
            self.assertIn("moved to", self.ctl("migrate", "d", place))
            waits.wait("completed")
            self.assertEqual(waits.state(), "running")
        finally:
            if "d" in self.ctl("list", "--name"):
                self.ctl("destroy", "d")

    def test_who_is_only_asked_by_a_descriptor_ends_with_a_sentence(self):
        ours, theirs = socket.socketpair()
        header = Process(self).ask("x-query-migrate-header")
        destination = Process(self, "-incoming", f"fd:{theirs.fileno()}", fds=[theirs.fileno()])
        theirs.close()
        ours.sendall(put_header(header | {"return-path": True, "check": True}))
        ours.settimeout(PATIENCE)
        self.assertEqual(ours.recv(RECORD)[0], HELLO)
        ours.close()
        self.assertEqual(destination.ends()[0], 1)

    def test_lodgectl_saves_inspects_and_restores(self):
        definition = self.directory / "d.conf"
        definition.write_text('[machine]\n  type = "none"\n[name]\n  guest = "d"\n')
        file = self.directory / "file, with a comma"
        self.ctl("define", str(definition))
        self.ctl("start", "d")
        try:
            self.assertIn("saved to", self.ctl("save", "d", str(file)))
            self.assertIn("shut off", self.ctl("list", "--all"))
            self.assertRegex(self.ctl("inspect", str(file)), "(?s)Name: +d\n.*Machine: +none\n")
            self.assertIn('guest = "d"', self.ctl("inspect", "--definition", str(file)))
            self.ctl("undefine", "d")
            self.assertIn("restored from", self.ctl("restore", str(file)))
            self.assertRegex(self.ctl("domjobinfo", "d"), "Job status: +completed")
            self.assertIn("running", self.ctl("list"))
            self.assertIn("saved to", self.ctl("save", "d", str(file)))  # it has the definition that it came with
            self.ctl("restore", str(file))
        finally:
            self.ctl("destroy", "d")
        file.write_bytes(file.read_bytes()[:40])
        self.assertIn("cut off", self.ctl("restore", str(file), status=1))


if __name__ == "__main__":
    unittest.main()
