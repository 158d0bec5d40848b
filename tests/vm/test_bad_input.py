# SPDX-License-Identifier: GPL-2.0-or-later
"""Wrong options and files: one sentence that names what is wrong and the way out, exit status 1, no guest."""

from vmtest import BRIEF, kvm_only, lodge_only, needs


def refused(vm, options, *words):
    """The VMM refuses `options` with status 1 and one line that holds all of `words`."""
    result = vm.run(options, 60)
    lines = [line for line in result.output.splitlines() if line.strip()]
    assert result.status == 1, f"exit status {result.status}"
    assert len(lines) == 1, f"{len(lines)} lines instead of one sentence"
    for word in words:
        assert word in lines[0], f"no '{word}' in it"


def kernel(vm):
    return f"-accel {vm.accel} -nodefaults -nographic -kernel {vm.path('cloud/vmlinuz')}"


@lodge_only
def test_unknown_option_names_the_nearest(vm):
    refused(vm, "-kernal x", "-kernal", "-kernel")


@lodge_only
def test_unknown_device_names_the_nearest(vm):
    refused(vm, f"{kernel(vm)} -device virtio-blk-pcii", "virtio-blk-pcii", "virtio-blk-pci")


@lodge_only
def test_unknown_property_names_the_nearest(vm):
    refused(vm, f"{kernel(vm)} -object rng-random,id=r -device virtio-rng-pci,rng=r,max-byte=3", "max-byte", "max-bytes")


@lodge_only
def test_ill_typed_property_names_it(vm):
    refused(vm, f"{kernel(vm)} -device virtio-serial-pci,max_ports=many", "max_ports", "many")


@lodge_only
def test_unknown_machine_names_the_nearest(vm):
    refused(vm, f"{kernel(vm)} -M q36", "q36", "q35")


@lodge_only
def test_unknown_cpu_model(vm):
    refused(vm, f"{kernel(vm)} -cpu nosuch", "nosuch")


@lodge_only
def test_cpu_feature_that_cannot_be_given(vm):
    refused(vm, f"{kernel(vm)} -cpu qemu64,+avx512f,enforce=on", "avx512f")


@lodge_only
def test_no_cpus(vm):
    refused(vm, f"{kernel(vm)} -smp 0", "smp")


@lodge_only
def test_topology_that_does_not_multiply(vm):
    refused(vm, f"{kernel(vm)} -smp 4,sockets=3,cores=1,threads=1", "sockets")


@lodge_only
def test_missing_kernel(vm):
    refused(vm, f"-accel {vm.accel} -nographic -kernel /nonexistent/vmlinuz", "/nonexistent/vmlinuz")


@lodge_only
def test_kernel_that_is_none(vm):
    vm.shell("echo this is no kernel >/tmp/no-kernel")
    refused(vm, f"-accel {vm.accel} -nographic -kernel /tmp/no-kernel", "/tmp/no-kernel")


@lodge_only
def test_directory_as_kernel(vm):
    refused(vm, f"-accel {vm.accel} -nographic -kernel /tmp", "/tmp")


@lodge_only
def test_truncated_kernel(vm):
    vm.shell(f"head -c 20000 {vm.path('cloud/vmlinuz')} >/tmp/half-kernel")
    refused(vm, f"-accel {vm.accel} -nographic -kernel /tmp/half-kernel", "/tmp/half-kernel")


@lodge_only
def test_missing_initrd(vm):
    refused(vm, f"{kernel(vm)} -initrd /nonexistent/initrd", "/nonexistent/initrd")


@lodge_only
def test_initrd_that_does_not_fit(vm):
    initrd = vm.blank("big-initrd", 200)
    refused(vm, f"{kernel(vm)} -m 128M -initrd {initrd}", "big-initrd")


@lodge_only
def test_ram_that_cannot_be_had(vm):
    refused(vm, f"{kernel(vm)} -m 100000G", "-m")


@lodge_only
def test_missing_disk(vm):
    refused(vm, f"{kernel(vm)} -drive file=/nonexistent/disk.raw,format=raw,if=virtio", "/nonexistent/disk.raw")


@lodge_only
def test_disk_without_a_kernel(vm):
    disk = vm.blank("no-kernel", 1)
    refused(vm, f"-accel {vm.accel} -nographic -drive file={disk},format=raw,if=virtio", "-kernel")


@lodge_only
def test_busy_disk(vm):
    disk = vm.blank("busy", 16)
    drive = f"-drive file={disk},format=raw,if=virtio"
    first = vm.start(f"{kernel(vm)} -S {drive} -pidfile {disk}.pid")
    vm.shell(f"for i in $(seq 100); do [ -s {disk}.pid ] && exit; sleep 0.1; done; exit 1")
    refused(vm, f"{kernel(vm)} {drive}", "busy")
    first.kill()


@lodge_only
def test_two_ids_alike(vm):
    refused(vm, f"{kernel(vm)} -object iothread,id=t -object iothread,id=t", "'t'")


@lodge_only
@kvm_only
def test_kvm_that_is_missing_says_the_way_out(vm):
    vm.shell("mv /dev/kvm /dev/kvm-away")
    try:
        refused(vm, f"-accel kvm -nographic -kernel {vm.path('cloud/vmlinuz')}", "/dev/kvm", "module")
    finally:
        vm.shell("mv /dev/kvm-away /dev/kvm")


@lodge_only
def test_help_needs_no_guest(vm):
    for topic, word in [("-machine help", "q35"), ("-device help", "virtio-blk-pci"), ("-cpu help", "qemu64"),
                        ("-device virtio-blk-pci,help", "serial"), ("-accel help", "kvm"), ("-version", "."),
                        ("-object help", "iothread"), ("-chardev help", "socket"), ("-help", "-kernel")]:
        result = vm.run(topic, 60)
        assert result.status == 0, f"{topic}: exit status {result.status}"
        assert word in result.output, f"{topic}: no '{word}' in its output"


@needs("cloud")
@lodge_only
def test_guest_that_touches_nothing_at_all_places(vm):
    # Reads of unclaimed ports and addresses give ones and harm nobody.
    job = vm.guest("-M q35 -m 256M", append=f"console=ttyS0 iomem=relaxed {BRIEF}", run=(
        "dd if=/dev/port bs=1 skip=$((0x500)) count=64 2>/dev/null | xxd -p | head -n 1; "
        "for a in 0xd0000000 0xfe000000 0xfed90000 0xfeb00ffc 0xfffff000; do devmem $a 32; devmem $a 8; "
        "devmem $a 32 0x12345678; devmem $a 64 0; done; echo survived"))
    result = job.wait(150)
    assert "survived" in result.output
    assert result.status == 0, f"exit status {result.status}"
