# SPDX-License-Identifier: GPL-2.0-or-later
"""A job: a shell script that runs somewhere (in a first-level guest, or on this host), whose output a test follows."""

import os
import re
import select
import sys
import termios
import time
import tty


class Died(Exception):
    """The first-level guest, or its connection, ended while something still wanted it."""


class Ended(Exception):
    """A job ended before it said what was expected of it."""


class Timeout(Exception):
    """Something took longer than it was given."""


class Result:
    """How a job ended: `status` as of the shell, `output` as text, `seconds` as the machine that ran it counts."""

    def __init__(self, status, output, seconds):
        self.status = status
        self.output = output
        self.seconds = seconds


class Job:
    """A running script. `expect` waits for a pattern in its output, `send` types to it, `wait` waits for its end."""

    def __init__(self, kill):
        self.output = ""
        self.echo = None                # a function that is given the output as it comes
        self._seen = 0                  # where the next expect() begins
        self._result = None
        self._kill = kill

    def expect(self, pattern, timeout):
        """The match of `pattern` in output not yet matched. Raises Timeout, or Ended when the job does so first."""
        deadline = time.monotonic() + timeout
        while True:
            m = re.compile(pattern, re.MULTILINE).search(self.output, self._seen)
            if m:
                self._seen = m.end()
                return m
            if self._result:
                raise Ended(f"it ended (status {self._result.status}) before printing {pattern!r}")
            if not self._read(deadline):
                raise Timeout(f"{pattern!r} did not come in {timeout:.0f} s")

    def wait(self, timeout):
        """The Result. A job that takes longer is killed, and Timeout raised."""
        if not self.ends_within(timeout):
            self.kill()
            raise Timeout(f"it did not end in {timeout:.0f} s")
        return self._result

    def ends_within(self, timeout):
        """Whether it does; its output is read meanwhile."""
        deadline = time.monotonic() + timeout
        while not self._result and self._read(deadline):
            pass
        return self._result is not None

    def kill(self):
        """Kill it with everything it started, and collect its end. Raises Timeout where it survives."""
        if self._result:
            return
        self._kill(self)
        if not self.ends_within(60):
            raise Timeout("it does not end when it is killed")

    def send(self, data):
        self._write(data.encode() if isinstance(data, str) else data)

    def _heard(self, data):
        self.output += data
        if self.echo and data:
            self.echo(data)


def interact(job, escape=b"\x1d"):
    """Join the terminal and the job until the job ends or Ctrl-] is typed. Returns its Result, or None."""
    stdin = sys.stdin.fileno()
    job.echo = lambda text: (sys.stdout.write(text), sys.stdout.flush())
    saved = termios.tcgetattr(stdin) if os.isatty(stdin) else None
    try:
        if saved:
            tty.setraw(stdin)
        wanted = [job, stdin]
        while not job._result:
            for ready in select.select(wanted, [], [])[0]:
                if ready is job:
                    job._read(time.monotonic() + 1)
                    continue
                typed = os.read(stdin, 4096)
                if not typed:
                    wanted = [job]
                elif escape in typed:
                    job.kill()
                    return None
                else:
                    job.send(typed)
        return job._result
    finally:
        if saved:
            termios.tcsetattr(stdin, termios.TCSADRAIN, saved)
