# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests of lodgectl share: folders of their own for what runs and for what is defined, so that they see no other
domain; real domains (`lodge -M none`), and such as only pretend."""

import fcntl
import json
import os
import pathlib
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

LODGE = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
LODGECTL = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
UUID = "550e8400-e29b-41d4-a716-446655440000"
F_OFD_SETLK = 37
NONE = '[machine]\n  type = "none"\n'


class Scratch(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.run_dir = self.directory / "run"
        self.config = self.directory / "config"
        self.environment = {**os.environ, "LODGE_RUNTIME_DIR": str(self.run_dir), "LODGE_CONFIG_DIR": str(self.config),
                            "LODGE": str(LODGE), "LC_ALL": "C.UTF-8"}
        self.addCleanup(self.end_all)

    def end_all(self):
        for pid in self.run_dir.glob("*/pid"):
            try:
                os.kill(int(pid.read_text()), signal.SIGKILL)
            except (OSError, ValueError):
                pass

    def call(self, *arguments, **keywords):
        return subprocess.run([LODGECTL, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=40, check=False, env=self.environment, **keywords)

    def ctl(self, *arguments, **keywords):
        """What it prints; it must succeed and say nothing else."""
        result = self.call(*arguments, **keywords)
        self.assertEqual(result.stderr, "", result.stdout)
        self.assertEqual(result.returncode, 0)
        return result.stdout

    def refused(self, *arguments, says="", **keywords):
        """One sentence that holds what is said."""
        result = self.call(*arguments, **keywords)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertTrue(result.stderr.startswith("error: "), result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertIn(says, result.stderr)
        return result.stderr

    def domain(self, name, *arguments, **keywords):
        """Starts a plain lodge and waits until it is listed."""
        process = subprocess.Popen([LODGE, "-M", "none", "-accel", "tcg", "-name", name, *arguments],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   text=True, env=self.environment, **keywords)
        self.addCleanup(self.end, process)
        self.eventually(lambda: name in self.names() or process.poll() is not None)
        return process

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()

    def names(self, *arguments):
        return self.ctl("list", "--name", *arguments).split()

    def eventually(self, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, "it did not happen in time")
            time.sleep(0.02)

    def file(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return str(path)

    def define(self, name, text=NONE):
        self.ctl("define", self.file(f"{name}.conf", text))

    def define_guest(self, name, text, more=""):
        """A q35 whose kernel writes text to the serial port and halts."""
        code = b"\x66\xba\xf8\x03" + b"".join(bytes([0xb0, c, 0xee]) for c in text) + b"\xf4\xeb\xfd"
        elf = struct.pack("<4s5B7xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 0, 2, 62, 1, 1 << 20, 64, 0, 0, 64, 56,
                          1, 0, 0, 0)
        elf += struct.pack("<IIQQQQQQ", 1, 5, 4096, 1 << 20, 1 << 20, len(code), len(code), 4096)
        kernel = self.directory / "kernel"
        kernel.write_bytes(elf.ljust(4096, b"\0") + code)
        self.define(name, f'[machine]\n  type = "q35"\n  kernel = "{kernel}"\n[accel]\n  accel = "tcg"\n'
                          f'[memory]\n  size = "16M"\n{more}')

    def on_a_terminal(self, *arguments):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(LODGECTL, [LODGECTL, *arguments], self.environment)
        self.addCleanup(os.close, terminal)
        return terminal, lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def heard(self, terminal, words):
        text = b""
        while words not in text:
            self.assertTrue(select.select([terminal], [], [], 30)[0], text)
            text += os.read(terminal, 1024)
        return text.decode()


class Pretender:
    """Holds an entry of the registry as a domain does, and answers as the test says."""

    def __init__(self, test, name, serve):
        self.folder = test.run_dir / name
        self.folder.mkdir(mode=0o700, parents=True)
        test.run_dir.chmod(0o700)
        for file, text in (("pid", "999999999"), ("id", "77"), ("uuid", UUID), ("lock", "")):
            (self.folder / file).write_text(text)
        self.lock = open(self.folder / "lock", "r+b")
        fcntl.fcntl(self.lock, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.folder / "control.sock"))
        self.listener.listen(8)
        self.serve = serve
        self.said = []
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()
        test.addCleanup(self.close)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.acceptor.join()    # otherwise it may accept from another's listener, whose descriptor has the same number
        self.listener.close()
        self.lock.close()

    def accept(self):
        try:
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.guard, args=[client], daemon=True).start()
        except OSError:
            pass

    def guard(self, client):
        try:
            with client:
                self.serve(self, client)
        except OSError:
            pass


def qmp(answers):
    """A server that greets, and answers each command by answers[name] (a value, or a function of its arguments)."""
    def serve(pretender, client):
        client.sendall(b'{"QMP": {"version": {}, "capabilities": []}}\r\n')
        for line in client.makefile():
            request = json.loads(line)
            name = request["execute"]
            pretender.said.append((name, request.get("arguments")))
            if name == "qmp_capabilities":
                reply = {"return": {}}
            elif name in answers:
                reply = {"return": answers[name]}
            else:
                reply = {"error": {"class": "CommandNotFound", "desc": f"The command {name} has not been found"}}
            client.sendall(json.dumps(reply).encode() + b"\r\n")
            for event in EVENTS_AFTER.get(name, []):
                client.sendall(json.dumps({"event": event, "data": {"guest": True}}).encode() + b"\r\n")
    return serve


EVENTS_AFTER = {"system_powerdown": ["POWERDOWN", "SHUTDOWN"]}
