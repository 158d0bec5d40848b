# SPDX-License-Identifier: GPL-2.0-or-later
"""The place for guest tests on a host that has hardware virtualization: jobs run on it directly."""

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from images import cache
from jobs import Job, Result


class _HostJob(Job):
    """A script in a session of its own, its standard streams one socket."""

    def __init__(self, script, env, cwd):
        super().__init__(lambda job: os.killpg(job._process.pid, signal.SIGKILL))
        self._began = time.monotonic()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(["sh", "-c", script], stdin=theirs, stdout=theirs, stderr=theirs, env=env,
                                             cwd=cwd, start_new_session=True)

    def fileno(self):
        return self._socket.fileno()

    def _write(self, data):
        self._socket.sendall(data)

    def _read(self, deadline):
        # The socket ends only with the last process that holds it; a daemon outlives the script.
        # What the script wrote before its end is there once its end is known.
        while not select.select([self._socket], [], [], 0.05)[0]:
            if self._process.poll() is not None and not select.select([self._socket], [], [], 0)[0]:
                self._ended()
                return True
            if time.monotonic() > deadline:
                return False
        try:
            data = self._socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if data:
            self._heard(data.decode(errors="replace"))
        else:
            self._process.wait()
            self._ended()
        return True

    def _ended(self):
        status = self._process.returncode
        self._result = Result(128 - status if status < 0 else status, self.output, time.monotonic() - self._began)
        self._socket.close()


class Direct:
    """Jobs on this host; a context manager. The trees' files are links in a directory of its own."""

    def __init__(self, images, program, log=None):
        self._trees = (images, program)
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        self._work = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="vm-", dir=cache.root())))
        for n, tree in enumerate(self._trees):
            tree.link_into(self._work / f"disk{n}")
        return self

    def __exit__(self, *exc):
        self._stack.close()

    def path(self, name):
        return str(self._work / "disk0" / name)

    def writable(self, name):
        """A copy of the file that a test may write to."""
        copy = self._work / "copies" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        cache.run("cp", "--sparse=always", "--reflink=auto", self.path(name), copy)
        return str(copy)

    def start(self, script):
        paths = [str(self._work / f"disk{n}" / "bin") for n in (0, 1)]
        return _HostJob(script, {**os.environ, "PATH": ":".join([*paths, os.environ["PATH"]])}, self._work)

    def run(self, script, timeout=60):
        return self.start(script).wait(timeout)

    def console_tail(self, lines=30):
        return ""


def usable_kvm():
    """Whether this host can run stock guests under KVM: the processor says so, and the device opens."""
    flags = Path("/proc/cpuinfo").read_text()
    if " vmx" not in flags and " svm" not in flags:
        return False
    return os.access("/dev/kvm", os.R_OK | os.W_OK)


def program_path(name):
    """Where a program of the host is, or Unavailable with the way out."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise cache.Unavailable(f"the program '{name}' is not installed")
    return path
