# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock kernels from start to clean power-off."""

from vmtest import BOOT, BRIEF, QUIET, device_only, ended_well, needs, takes_long, tcg_only

WHOLE = "console=ttyS0"     # all that a kernel does when it boots; others leave out what takes long (BRIEF)
IDLE = "cat /sys/devices/system/cpu/cpu[0-9]*/cpuidle/state1/desc"


@needs("cloud")
def test_cloud_kernel_with_one_cpu(vm):
    output = ended_well(vm.guest("-M q35 -m 256M -smp 1", append=WHOLE, run="echo cpus=$(nproc)"))
    assert "cpus=1" in output


@needs("cloud")
def test_cloud_kernel_with_two_cpus(vm):
    output = ended_well(vm.guest("-M q35 -m 256M -smp 2", run=f"echo cpus=$(nproc); {IDLE}"))
    assert "cpus=2" in output
    assert output.count("ACPI HLT") == 2


@needs("cloud")
def test_cloud_kernel_with_four_cpus(vm):
    output = ended_well(vm.guest("-M q35 -m 256M -smp 4,sockets=2,cores=2", run="echo cpus=$(nproc)"), 2 * BOOT)
    assert "cpus=4" in output


@needs("generic")
def test_generic_kernel(vm):
    ended_well(vm.guest("-M q35 -m 384M", kernel="generic", append=WHOLE), 2 * BOOT)


@needs("cloud-6.12")
def test_kernel_6_12(vm):
    output = ended_well(vm.guest("-M q35 -m 256M", kernel="cloud-6.12", append=WHOLE, run="uname -r"), 2 * BOOT)
    assert "6.12." in output


@device_only
@needs("cloud")
def test_plain_nographic_puts_the_first_serial_port_on_the_terminal(vm):
    job = vm.start(f"-accel {vm.accel} -cpu {vm.cpu()} -M q35 -m 256M -nographic -kernel {vm.path('cloud/vmlinuz')} "
                   f"-initrd {vm.path('cloud/initrd')} -append '{QUIET} run=true'")
    ended_well(job)


@needs("cloud")
def test_memory_above_4_gib_is_usable(vm):
    # 3 GiB at most lie below the PCI hole, so the rest is above 4 GiB; the backing is never touched whole.
    output = ended_well(vm.guest("-M q35 -m 5G", run="grep MemTotal /proc/meminfo; grep 'System RAM' /proc/iomem"))
    total = int(output.partition("MemTotal:")[2].split()[0])
    assert 4.5 * (1 << 20) < total < 5 * (1 << 20), f"MemTotal is {total} kB"


@needs("cloud")
def test_reboot_restarts_the_guest(vm):
    job = vm.guest("-M q35 -m 256M", append=f"console=ttyS0 quiet-init {BRIEF}", run="reboot -f")
    job.expect("@@ready", BOOT)
    job.expect("@@ready", BOOT)


@needs("cloud")
def test_reboot_ends_the_vmm_under_no_reboot(vm):
    result = vm.guest("-M q35 -m 256M -no-reboot", append=f"console=ttyS0 quiet-init {BRIEF}", run="reboot -f").wait(BOOT)
    assert result.output.count("@@ready") == 1
    assert result.status == 0, f"exit status {result.status}"


@needs("cloud")
def test_microvm(vm):
    disk = vm.blank("microvm", 16)
    output = ended_well(vm.guest(
        f"-M microvm -m 256M -drive file={disk},format=raw,if=none,id=d -device virtio-blk-device,drive=d",
        run=f"echo size=$(cat /sys/block/vda/size); {IDLE}"))
    assert "size=32768" in output
    assert output.count("ACPI HLT") == 1


@needs("cloud")
def test_s_holds_the_guest_until_told(vm):
    pid = vm.blank("held", 1) + ".pid"
    job = vm.start(f"-accel {vm.accel} -cpu {vm.cpu()} -M q35 -m 256M -nodefaults -nographic -serial stdio -S "
                   f"-pidfile {pid} -kernel {vm.path('cloud/vmlinuz')} -append console=ttyS0,earlyprintk=ttyS0")
    vm.shell(f"for i in $(seq 100); do [ -s {pid} ] && break; sleep 0.1; done; sleep 3; kill $(cat {pid})")
    result = job.wait(30)
    assert "Linux version" not in result.output and "SeaBIOS" not in result.output, "the guest ran"
    assert result.status == 0, f"exit status {result.status}"


@takes_long
@needs("pae")
@tcg_only  # under the emulated SVM of the first level it does not come up, with QEMU inside as little
def test_32_bit_kernel_with_pae(vm):
    job = vm.guest("-M q35 -m 5G -smp 2", kernel="pae", append=WHOLE,
                   run="uname -m; grep MemTotal /proc/meminfo; sha512sum /bin/busybox")
    output = ended_well(job, 3 * BOOT)
    assert "i686" in output
    total = int(output.partition("MemTotal:")[2].split()[0])
    assert 4.5 * (1 << 20) < total < 5 * (1 << 20), f"MemTotal is {total} kB"
    assert vm.shell(f"sha512sum {vm.path('pae/busybox')}").split()[0] in output, "the digest is not the host's"
