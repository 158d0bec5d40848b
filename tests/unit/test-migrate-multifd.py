# SPDX-License-Identifier: GPL-2.0-or-later
"""Capability multifd: several connections, with a guest that writes to memory all the time, compressed and not; what is
refused; hostile peers.

    test-migrate-multifd.py BUILD/lodge BUILD/lodgectl
"""

import socket
import struct
import time
import unittest

from migrate_rig import HELLO, PATIENCE, RECORD, MigrateCase, Process
from saved_format import crc32c, put_header, record, take_header

RAM, ZERO, PASS, STATE, END, ZLIB, ZSTD, LAST = range(1, 9)
REFUSED = 17
PAGES = 4096


def capability(process, name, state=True):
    return process.ask("migrate-set-capabilities", capabilities=[{"capability": name, "state": state}])


def greeting(token, number):
    head = b"LODGECHN" + struct.pack("<QI", token, number)
    return head + struct.pack("<I", crc32c(head))


class MultifdTest(MigrateCase):
    def move(self, uri, pages=PAGES, **parameters):
        """A guest that writes moves, and goes on, with every page as it was."""
        options = self.guest_options(pages, pause=2000)
        source = Process(self, *options, machine="q35")
        destination = Process(self, *options, "-incoming", "defer", machine="q35")
        for process in source, destination:
            self.assertEqual(capability(process, "multifd"), {})
            self.assertEqual(process.ask("migrate-set-parameters", **parameters), {})
        self.assertEqual(destination.ask("migrate-incoming", uri=uri), {})
        while source.ask("stop") or not self.numbers(source)[-1]:
            source.ask("cont")
        source.ask("cont")
        self.assertEqual(source.ask("migrate", uri=uri), {})
        info = source.wait("completed", "failed")
        self.assertEqual(info["status"], "completed", info)
        destination.wait("completed")
        self.assertEqual(destination.state(), "running")
        destination.ask("stop")
        rounds = self.assert_in_order(destination)
        self.assertGreaterEqual(rounds, self.assert_in_order(source))
        destination.ask("cont")
        deadline = time.monotonic() + PATIENCE
        while destination.ask("stop") or self.numbers(destination)[0] == rounds:
            destination.ask("cont")
            self.assertLess(time.monotonic(), deadline)
        self.assert_in_order(destination)
        return info

    def unix(self):
        return f"unix:{self.directory}/move"

    def test_a_guest_that_writes_moves_over_several_unix_sockets(self):
        info = self.move(self.unix(), multifd_channels=4)
        self.assertGreater(info["ram"]["multifd-bytes"], PAGES * 4096)
        self.assertGreater(info["ram"]["transferred"], info["ram"]["multifd-bytes"])

    def test_a_guest_that_writes_moves_over_several_tcp_connections(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.move(f"tcp:127.0.0.1:{port}", multifd_channels=3)

    def test_one_channel_is_enough(self):
        self.move(self.unix(), multifd_channels=1)

    def test_compression_makes_it_less(self):
        for method in "zlib", "zstd":
            info = self.move(self.unix(), multifd_channels=2, multifd_compression=method)
            self.assertLess(info["ram"]["multifd-bytes"], info["ram"]["normal-bytes"] / 10)
            self.end_all()

    def test_without_a_return_path_it_works_as_well(self):
        source = Process(self)
        destination = Process(self, "-incoming", self.unix())
        capability(source, "multifd")
        capability(source, "return-path", False)
        source.ask("migrate", uri=self.unix())
        source.wait("completed")
        destination.wait("completed")

    def test_what_has_but_one_connection_is_refused_by_name(self):
        source = Process(self)
        capability(source, "multifd")
        ours, theirs = socket.socketpair()
        source.ask("getfd", fdname="x", fds=[ours.fileno()])
        for uri in "fd:x", "exec:cat >/dev/null", f"file:{self.directory}/f":
            self.assertIn("capability 'multifd' needs several connections", source.ask("migrate", uri=uri))
            self.assertEqual(source.state(), "running")
        self.assertFalse((self.directory / "f").exists())
        ours.close()
        theirs.close()

    def test_parameters_have_bounds_and_are_told(self):
        p = Process(self)
        self.assertIn("multifd-channels", p.ask("migrate-set-parameters", multifd_channels=0))
        self.assertIn("multifd-channels", p.ask("migrate-set-parameters", multifd_channels=256))
        self.assertIn("multifd-zlib-level", p.ask("migrate-set-parameters", multifd_zlib_level=10))
        self.assertIn("multifd-zstd-level", p.ask("migrate-set-parameters", multifd_zstd_level=21))
        self.assertIn("zstd", p.ask("migrate-set-parameters", multifd_compression="zst"))
        p.ask("migrate-set-parameters", multifd_channels=255, multifd_compression="zstd", multifd_zstd_level=20)
        told = p.ask("query-migrate-parameters")
        self.assertEqual((told["multifd-channels"], told["multifd-compression"], told["multifd-zstd-level"]),
                         (255, "zstd", 20))

    # ---- hostile peers ----

    def stand_in(self, channels=2):
        """A destination, and this test, its source: the connection that the header has gone through."""
        header, rest = take_header(self.inline_stream())
        destination = Process(self, "-incoming", self.unix())
        source = self.connect()
        source.sendall(put_header(header | {"return-path": True, "channels": channels, "token": 77}))
        self.assertEqual(source.recv(RECORD, socket.MSG_WAITALL), record(HELLO))
        return source, destination, rest

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        self.addCleanup(s.close)
        s.settimeout(PATIENCE)
        s.connect(f"{self.directory}/move")
        return s

    def refuses(self, source, destination, sentence):
        head = source.recv(RECORD, socket.MSG_WAITALL)
        kind, length = struct.unpack_from("<II", head)
        self.assertEqual(kind, REFUSED)
        self.assertIn(sentence, source.recv(length, socket.MSG_WAITALL).decode())
        status, said = destination.ends()
        self.assertEqual(status, 1)
        self.assertIn(sentence, said)

    def test_a_channel_of_somebody_else_ends_it(self):
        source, destination, _ = self.stand_in()
        self.connect().sendall(greeting(78, 0))
        self.refuses(source, destination, "somebody else has connected")

    def test_a_channel_that_is_there_twice_ends_it(self):
        source, destination, _ = self.stand_in()
        self.connect().sendall(greeting(77, 1))
        self.connect().sendall(greeting(77, 1))
        self.refuses(source, destination, "no channel 1, or there are two")

    def test_a_channel_with_a_number_too_high_ends_it(self):
        source, destination, _ = self.stand_in()
        self.connect().sendall(greeting(77, 2))
        self.refuses(source, destination, "no channel 2")

    def test_channels_that_go_different_ways_end_it(self):
        source, destination, _ = self.stand_in()
        self.connect().sendall(greeting(77, 0) + record(PASS, struct.pack("<I", 1)))
        self.connect().sendall(greeting(77, 1) + record(LAST))
        self.refuses(source, destination, "in different order")

    def test_a_pass_that_is_left_out_ends_it(self):
        source, destination, _ = self.stand_in(1)
        self.connect().sendall(greeting(77, 0) + record(PASS, struct.pack("<I", 2)))
        self.refuses(source, destination, "in different order")

    def test_memory_that_is_not_there_ends_it(self):
        source, destination, _ = self.stand_in(1)
        self.connect().sendall(greeting(77, 0) + record(PASS, struct.pack("<I", 1))
                               + record(ZSTD, struct.pack("<IIQ", 0, 1, 0) + b"x" * 100))
        self.refuses(source, destination, "no memory")

    def test_a_channel_that_breaks_ends_it(self):
        source, destination, _ = self.stand_in()
        self.connect().close()
        self.refuses(source, destination, "closed the channel too early")

    def test_a_stream_that_ends_before_its_channels_waits_for_them(self):
        source, destination, rest = self.stand_in(1)
        source.sendall(rest)
        channel = self.connect()
        channel.sendall(greeting(77, 0) + record(PASS, struct.pack("<I", 1)))
        time.sleep(0.2)
        self.assertEqual(destination.state(), "inmigrate")
        channel.sendall(record(LAST))
        self.assertEqual(source.recv(RECORD, socket.MSG_WAITALL), record(18))

    def test_a_destination_that_waits_for_channels_can_be_ended(self):
        _, destination, _ = self.stand_in()
        self.connect().sendall(greeting(77, 0) + record(PASS, struct.pack("<I", 1)))
        destination.ask("quit")
        self.assertEqual(destination.ends()[0], 0)

    def test_a_destination_that_dies_leaves_the_guest_running(self):
        options = self.guest_options(PAGES, pause=2000)
        source = Process(self, *options, machine="q35")
        destination = Process(self, *options, "-incoming", self.unix(), machine="q35")
        capability(source, "multifd")
        source.ask("migrate-set-parameters", multifd_channels=4, max_bandwidth=1 << 20)
        source.ask("migrate", uri=self.unix())
        source.wait("active")
        destination.process.kill()
        self.assertNotEqual(source.wait("failed")["error-desc"], "")
        self.assertEqual(source.state(), "running")
        # Another try goes well.
        destination = Process(self, *options, "-incoming", f"{self.unix()}2", machine="q35")
        source.ask("migrate-set-parameters", max_bandwidth=0)
        source.ask("migrate", uri=f"{self.unix()}2")
        source.wait("completed")
        destination.wait("completed")
        destination.ask("stop")
        self.assert_in_order(destination)

    def test_cancelling_leaves_the_guest_running(self):
        options = self.guest_options(PAGES, pause=2000)
        source = Process(self, *options, machine="q35")
        destination = Process(self, *options, "-incoming", self.unix(), machine="q35")
        capability(source, "multifd")
        source.ask("migrate-set-parameters", multifd_channels=3, max_bandwidth=1 << 20)
        source.ask("migrate", uri=self.unix())
        source.wait("active")
        source.ask("migrate_cancel")
        source.wait("cancelled")
        self.assertEqual(source.state(), "running")
        self.assertEqual(destination.ends()[0], 1)


if __name__ == "__main__":
    unittest.main()
