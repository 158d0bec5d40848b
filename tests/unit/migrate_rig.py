# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of saving and moving share: a lodge and its monitor, a guest that counts.

    test-migrate-NAME.py BUILD/lodge BUILD/lodgectl
"""

import array
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

LODGE = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
LODGECTL = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
PATIENCE = 30

RECORD = 16
HELLO, LOADED, GO, RUNNING, ABORT = 16, 18, 19, 20, 21


def guest(pages, pause=0, first=0x1000000):
    """A Multiboot image, whose guest counts in the first word of each of so many pages, one after the other, again and
    again, and counts these rounds at 2 MiB.  Whenever it is looked at, all pages up to one have the same number, and
    those behind it one less.  pause: steps of a loop that it waits before each page."""
    wait = b"\xb9" + struct.pack("<I", pause) + b"\xe2\xfe" if pause else b""  # mov ecx, pause; loop $
    step = (wait + b"\xff\x07"                                                 # inc dword [edi]
            + b"\x81\xc7\x00\x10\x00\x00"                                     # add edi, 4096
            + b"\x81\xff" + struct.pack("<I", first + pages * 4096))            # cmp edi, end
    code = b"\xbf" + struct.pack("<I", first) + step + b"\x72" + struct.pack("b", -len(step) - 2)  # jb step
    code += b"\xff\x05\x00\x00\x20\x00"                                       # inc dword [2 MiB]
    code += b"\xe9" + struct.pack("<i", -len(code) - 5)                         # jmp begin
    load, flags = 0x100000, 1 << 16
    header = struct.pack("<8I", 0x1badb002, flags, -(0x1badb002 + flags) & 0xffffffff, load, load, 0, 0, load + 32)
    return header + code


class Process:
    """One lodge, and its monitor."""

    def __init__(self, test, *options, machine="none", fds=(), before=None):
        self.path = test.directory / f"qmp{test.started}"
        test.started += 1
        self.process = subprocess.Popen(
            [LODGE, "-M", machine, "-qmp", f"unix:{self.path},server=on,wait=off", *options], pass_fds=fds,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=before)
        test.processes.append(self)
        self.buffer = b""
        self.events = []
        deadline = time.monotonic() + PATIENCE
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(PATIENCE)
            try:
                self.socket.connect(str(self.path))
                break
            except OSError:
                self.socket.close()
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.01)
        self.line()
        self.ask("qmp_capabilities")

    def line(self):
        while b"\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def ask(self, command, fds=(), **arguments):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        request = {"execute": command, "arguments": {k.replace("_", "-"): v for k, v in arguments.items()}}
        self.socket.sendmsg([json.dumps(request).encode() + b"\n"], rights)
        while True:
            reply = self.line()
            if "event" in reply:
                self.events.append((reply["event"], reply.get("data", {}).get("status")))
            elif "error" in reply:
                return reply["error"]["desc"]
            else:
                return reply["return"]

    def wait(self, *statuses):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            info = self.ask("query-migrate")
            if info.get("status") in statuses:
                return info
            time.sleep(0.01)
        raise AssertionError(info)

    def state(self):
        return self.ask("query-status")["status"]

    def ends(self):
        _, said = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, said


class MigrateCase(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.processes = []
        self.started = 0
        self.addCleanup(self.end_all)

    def end_all(self):
        while self.processes:
            p = self.processes.pop()
            p.process.kill()
            p.process.wait()
            p.process.stderr.close()
            p.socket.close()

    def guest_options(self, pages, **options):
        """Of a machine with 64 MiB that runs guest()."""
        kernel = self.directory / f"guest{pages}"
        kernel.write_bytes(guest(pages, **options))
        self.pages = pages
        return ["-m", "64", "-accel", "tcg", "-display", "none", "-serial", "none", "-nodefaults",
                "-kernel", str(kernel)]

    def numbers(self, process):
        """What the guest has counted in each page; it is paused."""
        path = self.directory / "memory"
        self.assertEqual(process.ask("pmemsave", val=0x1000000, size=self.pages * 4096, filename=str(path)), {})
        memory = path.read_bytes()
        return [struct.unpack_from("<I", memory, at)[0] for at in range(0, len(memory), 4096)]

    def assert_in_order(self, process):
        """Every page has its latest content.  Returns how often the guest has been through them."""
        numbers = self.numbers(process)
        self.assertEqual(numbers, sorted(numbers, reverse=True))
        self.assertLessEqual(numbers[0] - numbers[-1], 1)
        return numbers[0]

    def saved(self):
        path = self.directory / "saved"
        p = Process(self)
        self.assertEqual(p.ask("migrate", uri=f"file:{path}"), {})
        p.wait("completed")
        return path

    def refused(self, *options, machine="none"):
        done = subprocess.run([LODGE, "-M", machine, *options], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 1)
        return done.stderr

    def inline_stream(self):
        """What a domain sends into a pipe."""
        p = Process(self)
        read, write = os.pipe()
        p.ask("getfd", fdname="x", fds=[write])
        os.close(write)
        self.assertEqual(p.ask("migrate", uri="fd:x"), {})
        with os.fdopen(read, "rb") as pipe:
            return pipe.read()
