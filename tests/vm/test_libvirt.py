# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock libvirt drives domains of type qemu, with the VMM under test as their emulator."""

import signal
import time
from pathlib import Path

from libvirt_domains import (UUID, SERIAL_FILE, domain, events, fails, libvirt, type_at_console, wait_for_serial,
                             wait_for_state, wait_until)
from vmtest import lodge_only, needs, one_at_a_time, tcg_only


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_runs_a_domain_from_its_definition_to_its_end(vm):
    with libvirt(vm) as daemon, events(daemon) as heard:
        virsh = daemon.virsh
        capabilities = virsh("domcapabilities", "--emulatorbin", str(daemon.emulator), "--virttype", "qemu",
                             "--arch", "x86_64")
        assert "<machine>pc-q35-7.2</machine>" in capabilities
        assert "<mode name='maximum' supported='yes'>" in capabilities
        virsh("define", domain(daemon, "journey"))
        virsh("start", "journey", "--paused")
        wait_for_state(daemon, "journey", "paused (user)")
        virsh("resume", "journey")
        wait_for_serial(daemon, "@@ready")
        type_at_console(daemon, "journey", b"ahoy")

        assert "State:          running" in virsh("dominfo", "journey")
        assert virsh("vcpuinfo", "journey").count("State:          running") == 2
        stats = virsh("domstats", "journey")
        assert "vcpu.1.state=1" in stats and "block.0.rd.reqs=" in stats and "vcpu.0.instructions.sum=" in stats, stats
        assert f'"{UUID}"' in virsh("qemu-monitor-command", "journey", '{"execute": "query-uuid"}')
        virsh("suspend", "journey")
        wait_for_state(daemon, "journey", "paused (user)")
        virsh("resume", "journey")
        wait_for_state(daemon, "journey", "running (unpaused)")
        assert "VM status: running" in virsh("qemu-monitor-command", "journey", "--hmp", "info status")
        virsh("dump", "journey", "--memory-only", "/var/lib/libvirt/journey.dump")
        virsh("setmem", "journey", "160M")
        wait_until(lambda: "actual 163840" in virsh("dommemstat", "journey"), "smaller balloon", 30)
        second = daemon.top / "second.img"
        second.write_bytes(bytes(1 << 20))
        virsh("attach-disk", "journey", str(second), "vdb", "--driver", "qemu", "--subdriver", "raw", "--targetbus",
              "virtio")
        time.sleep(2)   # until the guest has it
        virsh("detach-disk", "journey", "vdb")
        wait_until(lambda: "vdb" not in virsh("domblklist", "journey"), "end of the second disk", 30)

        daemon.stop("libvirtd")
        daemon.start("libvirtd")
        assert "journey   running" in virsh("list")
        virsh("reset", "journey")
        wait_for_serial(daemon, "@@ready", 2)
        type_at_console(daemon, "journey", b"again")
        time.sleep(1)   # until the guest listens to its power button
        virsh("shutdown", "journey", "--mode", "acpi")
        wait_for_state(daemon, "journey", "shut off (shutdown)")
        happened = heard.read_text()
        for event in ("Defined Added", "Resumed Unpaused", "Started Booted", "Suspended Paused"):
            assert f"event 'lifecycle' for domain 'journey': {event}" in happened, f"{event} is not in: {happened}"

        virsh("start", "journey", "--paused")
        virsh("destroy", "journey")
        wait_for_state(daemon, "journey", "shut off (destroyed)")
        virsh("undefine", "journey")


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_gives_memory_iothreads_and_files_to_a_domain(vm):
    with libvirt(vm) as daemon:
        memory = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
        daemon.virsh("create", "--paused", domain(
            daemon, "parts", serial=SERIAL_FILE, cpu="host-model", more=memory + "<iothreads>1</iothreads>",
            driver=" iothread='1' cache='none' io='io_uring'"))
        assert "1" in daemon.virsh("iothreadinfo", "parts").split()
        daemon.virsh("iothreadadd", "parts", "2")
        daemon.virsh("iothreadset", "parts", "2", "--poll-max-ns", "1000")
        assert "iothread.2.poll-max-ns=1000" in daemon.virsh("domstats", "--iothread", "parts")
        daemon.virsh("iothreaddel", "parts", "2")
        assert "check='full'" in daemon.virsh("dumpxml", "parts")   # it has asked for every feature
        daemon.virsh("destroy", "parts")


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_starts_domains_of_every_kind(vm):
    """Each has options of the command line of its own."""
    with libvirt(vm) as daemon:
        timers = "<clock offset='{}'><timer name='hpet' present='{}'/><timer name='rtc' tickpolicy='catchup'/></clock>"
        on_root = "<address type='pci' domain='0' bus='0' slot='0x10' function='0'/>"
        kinds = {
            "no-acpi": {"features": "", "vcpus": 1},
            "hpet": {"more": timers.format("utc", "yes")},
            "no-hpet": {"more": timers.format("localtime", "no"), "features": "<acpi/><apic/><pae/>"},
            "watched": {"devices": f"<watchdog model='i6300esb' action='poweroff'>{on_root}</watchdog>"},
            "crash": {"more": "<on_crash>preserve</on_crash>", "devices": "<panic model='isa'/>"},
        }
        for name, values in kinds.items():
            daemon.virsh("create", "--paused", domain(daemon, name, **values))
            wait_for_state(daemon, name, "paused (user)")
            daemon.virsh("destroy", name)


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_places_conventional_cards_where_the_guest_finds_them(vm):
    """Without an address they go behind a bridge to conventional PCI, which libvirt adds."""
    cards = "<interface type='user'><model type='e1000'/></interface><watchdog model='i6300esb' action='poweroff'/>"
    with libvirt(vm) as daemon:
        daemon.virsh("create", domain(daemon, "cards", serial=SERIAL_FILE, devices=cards,
                                      run="cat /sys/bus/pci/devices/*/device; sleep 1000"))
        assert "model='pcie-to-pci-bridge'" in daemon.virsh("dumpxml", "cards")
        for device in ("0x000e", "0x100e", "0x25ab"):
            wait_for_serial(daemon, device)
        daemon.virsh("destroy", "cards")


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_outlives_its_domain_and_the_domain_outlives_libvirt(vm):
    with libvirt(vm) as daemon:
        daemon.virsh("define", domain(daemon, "hardy"))
        daemon.virsh("autostart", "hardy")
        daemon.stop("libvirtd")
        (daemon.top / "root/run/libvirt/qemu/autostarted").unlink()     # as after a boot of the host
        daemon.start("libvirtd")
        wait_for_state(daemon, "hardy", "running (booted)")
        daemon.virsh("suspend", "hardy")
        daemon.stop("libvirtd", signal.SIGKILL)
        daemon.start("libvirtd")
        daemon.virsh("resume", "hardy")
        wait_for_state(daemon, "hardy", "running (unpaused)")
        daemon.kill_emulator("hardy")
        wait_for_state(daemon, "hardy", "shut off (crashed)")
        daemon.virsh("start", "hardy", "--paused")
        daemon.kill_emulator("hardy", signal.SIGTERM)
        wait_for_state(daemon, "hardy", "shut off (shutdown)")


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_tells_why_a_domain_does_not_start(vm):
    with libvirt(vm) as daemon:
        nothing = daemon.file("nothing", "no kernel")
        Path(nothing).chmod(0o644)
        broken = domain(daemon, "broken", kernel=nothing)
        text = fails(daemon, "create", broken)
        assert "is not a kernel that Lodge can boot" in text, text
        assert "is not a kernel that Lodge can boot" in daemon.domain_log("broken")
        bridge = "<controller type='scsi' model='virtio-scsi'/>"
        assert "doesn't support virtio scsi" in fails(daemon, "create", domain(daemon, "scsi", devices=bridge))
        text = fails(daemon, "create", domain(
            daemon, "hyperv", features="<acpi/><hyperv><relaxed state='on'/></hyperv>"))
        assert "hv-relaxed" in text, text
        assert not daemon.virsh("list", "--all")
