# SPDX-License-Identifier: GPL-2.0-or-later
"""A command of the human monitor that takes its time: migrate without -d.

    test-hmp-wait.py BUILD/lodge

The domain has no machine.  Its migration goes to a command that reads all of it once the test lets it.
"""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

LODGE = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
PROMPT = "\r(lodge) \033[K"


class Waiting(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.gate = self.directory / "gate"
        os.mkfifo(self.gate)
        self.uri = f'"exec:read x < {self.gate}; cat > /dev/null"'

    def start(self):
        arguments = ["-M", "none", "-display", "none", "-nodefaults"]
        for name in "first", "second":
            arguments += ["-monitor", f"unix:{self.directory / name},server=on,wait=off"]
        process = subprocess.Popen([LODGE, *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait, 30)
        self.addCleanup(process.kill)
        return process

    def connect(self, name):
        monitor = socket.socket(socket.AF_UNIX)
        self.addCleanup(monitor.close)
        monitor.settimeout(30)
        for _ in range(300):
            try:
                monitor.connect(str(self.directory / name))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.05)
        self.hear(monitor)
        return monitor

    def hear(self, monitor, end=PROMPT):
        """What comes up to `end`, without it and the echo of the first line."""
        text = ""
        while not text.endswith(end):
            part = monitor.recv(65536)
            self.assertTrue(part, text)
            text += part.decode()
        return text.removesuffix(end).partition("\r\n")[2]

    def say(self, monitor, line):
        monitor.sendall(line.encode() + b"\n")
        return self.hear(monitor)

    def begin(self, monitor, *lines):
        monitor.sendall("\n".join([f"migrate {self.uri}", *lines, ""]).encode())
        self.assertEqual(self.hear(monitor, f"migrate {self.uri}\033[K\r\n"), "")

    def assert_silent(self, monitor):
        monitor.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            monitor.recv(1)
        monitor.settimeout(30)

    def let_go(self):
        self.gate.write_text("\n")

    def test_the_prompt_comes_back_when_the_migration_is_over(self):
        self.start()
        first, second = self.connect("first"), self.connect("second")
        self.begin(first, "info status")
        self.assert_silent(first)
        self.assertRegex(self.say(second, "info migrate"), "Migration status: (setup|active|device)")
        self.assertIn("in progress", self.say(second, "migrate tcp:127.0.0.1:1"))
        self.let_go()
        self.hear(first, "VM status: paused (postmigrate)\r\n" + PROMPT)

    def test_a_failure_is_told(self):
        self.start()
        first = self.connect("first")
        self.assertEqual(self.say(first, "migrate nowhere:"), "Error: 'nowhere:' is no place that a domain can move to. "
                         "Use unix:PATH, tcp:HOST:PORT, fd:NAME, exec:COMMAND or file:PATH.\r\n")
        self.assertEqual(self.say(first, "migrate exec:false"), "Error: 'false' failed with status 1\r\n")

    def test_somebody_else_may_cancel_it(self):
        self.start()
        first, second = self.connect("first"), self.connect("second")
        self.begin(first)
        self.say(second, "migrate_cancel")
        self.hear(first, "Error: the migration was cancelled\r\n" + PROMPT)
        self.assertIn("running", self.say(second, "info status"))

    def test_with_d_nobody_waits(self):
        self.start()
        first = self.connect("first")
        self.assertEqual(self.say(first, f"migrate -d {self.uri}"), "")
        self.say(first, "migrate_cancel")

    def test_who_waits_may_go(self):
        self.start()
        first, second = self.connect("first"), self.connect("second")
        self.begin(first)
        first.close()
        again = self.connect("first")
        self.assertRegex(self.say(again, "info migrate"), "Migration status: (setup|active|device)")
        self.let_go()
        while "completed" not in self.say(second, "info migrate"):
            time.sleep(0.05)
        self.assertIn("paused (postmigrate)", self.say(again, "info status"))

    def test_the_domain_may_end_meanwhile(self):
        process = self.start()
        first = self.connect("first")
        self.begin(first)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
