# SPDX-License-Identifier: GPL-2.0-or-later
"""Domains that are hung, or hostile to lodgectl.

    test-lodgectl-hostile.py BUILD/lodge BUILD/lodgectl
"""

import os
import signal
import time
import unittest

from lodgectl_rig import Pretender, Scratch, qmp


class Hostile(Scratch):
    def survives(self, serve):
        Pretender(self, "x", serve)
        started = time.monotonic()
        self.assertIn(" 77   x      no state\n", self.ctl("list"))
        self.refused("qmp", "x", "--timeout", "1", "query-status", says="Domain 'x'")
        self.assertLess(time.monotonic() - started, 10)

    def test_silence(self):
        self.survives(lambda p, client: time.sleep(20))

    def test_immediate_end(self):
        self.survives(lambda p, client: None)

    def test_garbage(self):
        self.survives(lambda p, client: client.sendall(os.urandom(100000)))

    def test_endless_string(self):
        def serve(p, client):
            client.sendall(b'{"QMP": "')
            while True:
                client.sendall(b"x" * 65536)
        self.survives(serve)

    def test_endless_events(self):
        def serve(p, client):
            client.sendall(b'{"QMP": {}}\n{"return": {}}\n')
            while True:
                client.sendall(b'{"event": "STOP"}\n' * 1000)
        self.survives(serve)

    def test_depth(self):
        self.survives(lambda p, client: client.sendall(b"[" * 1000000))

    def test_wrong_types(self):
        Pretender(self, "x", qmp({"query-status": [1], "query-cpus-fast": {"a": 1},
                                  "query-blockstats": [3, {"stats": 7}], "query-block": [[], None],
                                  "query-memory-size-summary": "much",
                                  "query-balloon": {"actual": "x"}}))
        for verb in ("domstate", "dominfo", "domstats", "vcpuinfo", "vcpucount", "domblklist", "domblkstat",
                     "dommemstat"):
            self.ctl(verb, "x")

    def test_control_characters_do_not_reach_the_terminal(self):
        Pretender(self, "x", qmp({"human-monitor-command": "a\x1b[2Jb\tc\r\n",
                                  "query-block": [{"device": "d\x1b", "inserted": {"file": "f\x07"}}]}))
        self.assertEqual(self.ctl("hmp", "x", "info", "x"), "a?[2Jb\tc\n")
        self.assertIn("f?", self.ctl("domblklist", "x"))
        self.assertNotIn("\x1b", self.ctl("domblklist", "x"))

    def test_stopped_process(self):
        process = self.domain("x")
        process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        self.assertIn("no state", self.ctl("list"))
        self.refused("destroy", "nobody", says="nobody")
        self.assertLess(time.monotonic() - started, 10)


if __name__ == "__main__":
    unittest.main()
