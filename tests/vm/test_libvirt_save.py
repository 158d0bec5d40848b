# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock libvirt saves a domain and goes on with it, dumps it, and wakes it where it sleeps."""

import time

from libvirt_domains import domain, fails, libvirt, next_count, wait_for_serial, wait_for_state
from vmtest import lodge_only, needs, one_at_a_time, tcg_only

SERIAL = "<serial type='pty'><log file='{log}' append='on'/></serial>"
COUNT = "i=0; while :; do i=$((i + 1)); echo count=$i=; sleep 0.5; done"
SLEEP = "while :; do echo tired; echo mem > /sys/power/state; echo awake; sleep 60; done"


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1:]


def ended(said):
    """libvirt saw the process end, while it waited for an answer or for an event, before it read what that said."""
    return "no longer running" in said or "domain is not running" in said


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
def test_libvirt_keeps_what_it_saved_until_it_runs(vm):
    with libvirt(vm) as daemon:
        virsh = daemon.virsh
        saved = daemon.top / "root/var/lib/libvirt/kept.save"
        managed = daemon.top / "root/var/lib/libvirt/qemu/save/kept.save"
        virsh("define", domain(daemon, "kept", run=COUNT, serial=SERIAL))
        virsh("start", "kept")
        next_count(daemon)

        virsh("save", "kept", "/var/lib/libvirt/kept.save", "--bypass-cache", "--paused")
        whole = saved.read_bytes()
        for damaged, words in ((whole[:len(whole) // 2], "the saved domain is cut off"),
                               (flipped(whole, whole.index(b"LODGESAV") + 300), "its header has a wrong checksum"),
                               (flipped(whole, len(whole) // 2), "a record has a wrong checksum"),
                               (flipped(whole, len(whole) - 2000), "the devices' state has a wrong checksum")):
            saved.write_bytes(damaged)
            before = len(daemon.domain_log("kept"))
            said = fails(daemon, "restore", "/var/lib/libvirt/kept.save")
            # Where libvirt sees the end first, the words are in its log only.
            assert words in said or (ended(said) and words in daemon.domain_log("kept")[before:]), said
            assert saved.read_bytes() == damaged
        saved.write_bytes(whole)
        xml = virsh("save-image-dumpxml", "/var/lib/libvirt/kept.save", "--security-info")
        virsh("save-image-define", "/var/lib/libvirt/kept.save", "--running",
              daemon.file("later.xml", xml.replace("<vcpu", "<title>later</title><vcpu", 1)))
        virsh("restore", "/var/lib/libvirt/kept.save", "--bypass-cache")
        wait_for_state(daemon, "kept", "running (restored)")
        assert "later" in virsh("dumpxml", "kept", "--xpath", "//title")
        next_count(daemon)
        virsh("dump", "kept", "/var/lib/libvirt/kept.core", "--live")
        next_count(daemon)

        virsh("managedsave", "kept", "--paused")
        assert "saved" in virsh("list", "--all", "--managed-save")
        whole = managed.read_bytes()
        managed.write_bytes(whole[:-1])
        said = fails(daemon, "start", "kept")
        assert "the saved domain is cut off" in said or ended(said), said
        managed.write_bytes(whole)
        virsh("autostart", "kept")
        daemon.stop("libvirtd")
        (daemon.top / "root/run/libvirt/qemu/autostarted").unlink()     # as after a boot of the host
        daemon.start("libvirtd")
        wait_for_state(daemon, "kept", "paused (migrating)")
        virsh("resume", "kept")
        next_count(daemon)
        assert daemon.serial.read_text(errors="replace").count("count=1=") == 1, "it began anew"
        virsh("managedsave", "kept")
        virsh("managedsave-remove", "kept")
        virsh("start", "kept", "--paused")
        wait_for_state(daemon, "kept", "paused (user)")


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
