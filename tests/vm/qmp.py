# SPDX-License-Identifier: GPL-2.0-or-later
"""A QMP client for tests.

    qmp = Qmp(vm.start("-qmp stdio -serial file:F ..."))      over a job's standard streams, wherever it runs
    qmp = Qmp(Socket(path))                                   over a socket of this host
    status = qmp.execute("query-status")["status"]
    qmp.execute("device_del", {"id": "vd"})
    qmp.event("DEVICE_DELETED", 30, device="vd")
    error = qmp.refused("blockdev-del", {"node-name": "x"})   the text; it must fail

Events are kept until they are asked for, in their order.
"""

import array
import json
import socket
import time

from jobs import Ended, Job, Timeout

PATIENCE = 60


class QmpError(Exception):
    """A command failed: `kind` is its class, the text its description."""

    def __init__(self, name, error):
        super().__init__(f"{name}: {error['desc']}")
        self.kind = error["class"]
        self.text = error["desc"]


class JobStream:
    """A VMM's `-qmp stdio`. What else it prints there, such as its log, is passed over."""

    def __init__(self, job):
        self.job = job

    def send(self, data, fds):
        assert not fds, "descriptors need a socket"
        self.job.send(data)

    def line(self, timeout):
        # A job in a first-level guest keeps a line feed back until it knows what follows.
        return self.job.expect(r"^(\{.*\})\r", timeout).group(1)


class Socket:
    """A local socket, which may appear a little later."""

    def __init__(self, path, timeout=PATIENCE):
        deadline = time.monotonic() + timeout
        self._buffer = b""
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.connect(str(path))
                return
            except OSError:
                self._socket.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def send(self, data, fds):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._socket.sendmsg([data.encode()], rights)

    def line(self, timeout):
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self._socket.recv(1 << 20)
            except TimeoutError:
                raise Timeout(f"no line came in {timeout:.0f} s") from None
            if not data:
                raise Ended("the monitor hung up")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def close(self):
        self._socket.close()


class Qmp:
    def __init__(self, stream, timeout=PATIENCE):
        self._stream = JobStream(stream) if isinstance(stream, Job) else stream
        self.events = []
        self.greeting = self._next(timeout)["QMP"]
        self.execute("qmp_capabilities")

    def _next(self, timeout):
        return json.loads(self._stream.line(timeout))

    def execute(self, name, arguments=None, timeout=PATIENCE, fds=()):
        """What it returns. Raises QmpError."""
        request = {"execute": name} | ({"arguments": arguments} if arguments is not None else {})
        self._stream.send(json.dumps(request) + "\n", list(fds))
        deadline = time.monotonic() + timeout
        while True:
            reply = self._next(max(deadline - time.monotonic(), 0.001))
            if "event" in reply:
                self.events.append(reply)
            elif "error" in reply:
                raise QmpError(name, reply["error"])
            else:
                return reply["return"]

    def refused(self, name, arguments=None, timeout=PATIENCE, fds=()):
        """Text of the error with which the command fails."""
        try:
            self.execute(name, arguments, timeout, fds)
        except QmpError as e:
            return e.text
        raise AssertionError(f"{name} {arguments} did not fail")

    def event(self, name, timeout=PATIENCE, **data):
        """The next event of that name whose data has these members; what came before it stays."""
        deadline = time.monotonic() + timeout
        seen = 0
        while True:
            for i in range(seen, len(self.events)):
                event = self.events[i]
                have = event.get("data", {})
                if event["event"] == name and all(have.get(k) == v for k, v in data.items()):
                    return self.events.pop(i)
            seen = len(self.events)
            left = deadline - time.monotonic()
            if left <= 0:
                raise Timeout(f"event {name} {data} did not come in {timeout:.0f} s")
            message = self._next(left)
            assert "event" in message, f"a reply that nobody asked for: {message}"
            self.events.append(message)
