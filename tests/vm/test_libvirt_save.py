# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock libvirt saves a domain and goes on with it, dumps it, and wakes it where it sleeps."""

import time

from libvirt_domains import domain, libvirt, wait_for_serial, wait_for_state
from vmtest import lodge_only, needs, one_at_a_time, tcg_only

SERIAL = "<serial type='pty'><log file='{log}' append='on'/></serial>"
COUNT = "i=0; while :; do i=$((i + 1)); echo count=$i=; sleep 0.5; done"
SLEEP = "while :; do echo tired; echo mem > /sys/power/state; echo awake; sleep 60; done"


def next_count(daemon):
    """The guest counts on, from where it was: the number that it reaches next but one."""
    said = daemon.serial.read_text(errors="replace")
    number = int(said.rpartition("count=")[2].partition("=")[0]) if "count=" in said else 0
    wait_for_serial(daemon, f"count={number + 2}=")
    return number + 2


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_saves_restores_and_dumps_a_domain(vm):
    with libvirt(vm) as daemon:
        virsh = daemon.virsh
        virsh("define", domain(daemon, "saved", run=COUNT, serial=SERIAL))
        virsh("start", "saved")
        first = next_count(daemon)

        virsh("save", "saved", "/var/lib/libvirt/saved.save")
        wait_for_state(daemon, "saved", "shut off (saved)")
        assert "<name>saved</name>" in virsh("save-image-dumpxml", "/var/lib/libvirt/saved.save")
        virsh("restore", "/var/lib/libvirt/saved.save")
        assert next_count(daemon) > first

        virsh("managedsave", "saved")
        wait_for_state(daemon, "saved", "shut off (saved)")
        virsh("start", "saved", "--paused")
        wait_for_state(daemon, "saved", "paused (migrating)")   # libvirt's word for what came from a file
        virsh("resume", "saved")
        next_count(daemon)

        virsh("dump", "saved", "/var/lib/libvirt/saved.core")
        wait_for_state(daemon, "saved", "running (unpaused)")
        next_count(daemon)
        said = daemon.serial.read_text(errors="replace")
        assert said.count("count=1=") == 1, "it began anew"
        virsh("destroy", "saved")


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_wakes_a_domain_that_sleeps(vm):
    with libvirt(vm) as daemon:
        virsh = daemon.virsh
        virsh("create", domain(daemon, "asleep", run=SLEEP))
        wait_for_serial(daemon, "tired")
        wait_for_state(daemon, "asleep", "pmsuspended (unknown)")
        time.sleep(1)
        virsh("dompmwakeup", "asleep")
        wait_for_serial(daemon, "awake")
        wait_for_state(daemon, "asleep", "running (event wakeup)")
        virsh("destroy", "asleep")
