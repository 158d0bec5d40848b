#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves a guest that counts (moving.c) through a relay, as `ssh -L` or socat is one, that breaks at every stage.

    relay.py LODGE MOVING.ELF [--accel tcg] [--random 10] [--seed 1]

To either end a relay that breaks looks like the death of the other, on a socket of this host too. Whatever the stage,
the guest never runs twice, and a source that does not know waits in postmigrate and can go on.

Exit status: 0 all well, 1 not.
"""

import argparse
import socket
import struct
import sys
import threading
import time
from pathlib import Path

import move

LOADED, GO, RUNNING = 18, 19, 20        # vmm/migrate-format.h
RECORD = 16


class Relay:
    """From `here`, a unix socket, to `there`. `cut`: the record that it breaks in place of; None: when it is told to."""

    def __init__(self, here, there, cut):
        self.there, self.cut = there, cut
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(here)
        self.listener.listen(1)
        self.pair = []
        self.threads = [threading.Thread(target=self.connect, daemon=True)]
        self.threads[0].start()

    def connect(self):
        source, _ = self.listener.accept()
        destination = socket.socket(socket.AF_UNIX)
        destination.connect(self.there)
        self.pair = [source, destination]
        back = threading.Thread(target=self.pass_answers, daemon=True)
        self.threads.append(back)
        back.start()
        try:
            while data := source.recv(1 << 16):
                destination.sendall(data)
        except OSError:
            pass
        self.break_off()

    def pass_answers(self):
        """From the destination. GO is what comes from the source when LOADED has gone there."""
        source, destination = self.pair
        try:
            while head := destination.recv(RECORD, socket.MSG_WAITALL):
                kind, length = struct.unpack("<II", head[:8])
                payload = destination.recv(length, socket.MSG_WAITALL) if length else b""
                if kind == self.cut:
                    break
                if kind == LOADED and self.cut == GO:
                    destination.shutdown(socket.SHUT_WR)    # what comes is lost
                    source.sendall(head + payload)
                    time.sleep(0.2)
                    break
                source.sendall(head + payload)
        except OSError:
            pass
        self.break_off()

    def break_off(self):
        for end in self.pair:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.break_off()
        for thread in self.threads:
            thread.join(10)
        for end in [*self.pair, self.listener]:
            end.close()


class Run(move.Run):
    def through(self, cut, after=None):
        """A move through a relay that breaks. Returns source and destination, and how the migration ends there."""
        source, destination, where = self.pair()
        here = self.directory / "relay"
        relay = Relay(str(here), where.removeprefix("unix:"), cut)
        source.ask("migrate", uri=f"unix:{here}")
        if after is not None:
            time.sleep(after)
            relay.break_off()
        status = source.ends_up("completed", "failed")
        relay.close()
        here.unlink()
        return source, destination, status

    def ends(self, destination):
        move.until(lambda: destination.process.poll() is not None, "the end of a destination that must not run", 15)
        if (end := destination.end())[0] != 1:
            raise move.Wrong(f"a destination that was never told to run ends with {end}")

    def runs_there(self, source, destination):
        move.until(lambda: destination.state() == "running", "a destination that runs")
        if source.state() != "postmigrate":
            raise move.Wrong(f"the guest runs at its destination, and its source is {source.state()}")
        source.quit()
        self.vmm = destination
        self.counts_on()

    def before_it_is_told(self):
        source, destination, status = self.through(LOADED)
        self.ends(destination)
        move.until(lambda: source.state() == "running", "a source that runs")
        self.counts_on()
        return status

    def on_the_way_there(self):
        source, destination, status = self.through(GO)
        self.ends(destination)
        if source.state() != "postmigrate":
            raise move.Wrong(f"nobody can know, and the source is {source.state()}")
        source.ask("cont")
        self.counts_on()
        return status

    def on_the_way_back(self):
        source, destination, status = self.through(RUNNING)
        self.runs_there(source, destination)
        return status

    def not_at_all(self):
        source, destination, status = self.through(None)
        self.runs_there(source, destination)
        return status

    def sometime(self):
        source, destination, status = self.through(None, self.random.random() * 0.15)
        if status == "failed" and source.state() != "postmigrate":
            self.ends(destination)
            move.until(lambda: source.state() == "running", "a source that runs")
            self.counts_on()
            return "source runs"
        while destination.process.poll() is None and destination.migration() != "completed":
            time.sleep(0.01)
        if destination.process.poll() is None:
            self.runs_there(source, destination)
            return f"{status} at the source, destination runs"
        self.ends(destination)
        source.ask("cont")
        self.counts_on()
        return "source goes on when it is told to"

    def play(self):
        stages = [(self.not_at_all, "completed"), (self.before_it_is_told, "failed"), (self.on_the_way_there, "failed"),
                  (self.on_the_way_back, "failed")]
        for stage, wanted in stages:
            if (status := stage()) != wanted:
                raise move.Wrong(f"{stage.__name__}: the source calls that {status}")
            self.check()
            print(f"{stage.__name__}: {status}, as it should", flush=True)
        outcomes = [self.sometime() for _ in range(self.args.random)]
        self.check()
        print({outcome: outcomes.count(outcome) for outcome in outcomes})
        self.vmm.quit()
        print(f"{self.compare()} rounds as in a guest that stays")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lodge", type=Path)
    parser.add_argument("guest", type=Path)
    parser.add_argument("--accel", default="tcg")
    parser.add_argument("--random", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.cpu, args.cpus, args.tsc_hz, args.shared = "x86-64-v1", 1, 0, False
    return move.play(Run, args)


if __name__ == "__main__":
    sys.exit(main())
