# SPDX-License-Identifier: GPL-2.0-or-later
"""The KVM accelerator without a stock kernel, where KVM runs ring 0 on hardware: its unit tests, our bare-metal guest.

On a host whose /dev/kvm emulates ring 0 the same programs run in `meson test`. They skip what a host cannot do: breakpoints
where ring 0 or SVM is emulated.
"""

from vmtest import Skip, kvm_only, lodge_only, needs

GUEST_OK = 0x10 << 1 | 1  # what isa-debug-exit makes of the guest's 0x10


def needs_program(vm, name):
    if vm.place.run(f"command -v {name}").status != 0:
        raise Skip(f"{name} is not built; it stands beside a lodge that is built with tests")


def unit_tests(vm, name):
    needs_program(vm, name)
    result = vm.place.run(f"timeout 60 {name}", 120)
    assert result.status == 0, result.output


@needs()
@lodge_only
@kvm_only
def test_running_state_and_memory(vm):
    unit_tests(vm, "test-accel-kvm")


@needs()
@lodge_only
@kvm_only
def test_interrupts(vm):
    unit_tests(vm, "test-accel-kvm-irq")


@needs()
@lodge_only
@kvm_only
def test_debugging_statistics_and_msrs(vm):
    unit_tests(vm, "test-accel-kvm-debug")


def bare_metal(vm, options, cpus=1):
    needs_program(vm, "guest.elf")
    result = vm.run(f"{options} -m 128M -smp {cpus} -nodefaults -display none -kernel $(command -v guest.elf) "
                    f"-append cpus={cpus} -device isa-debug-exit,iobase=0xf4,iosize=4 -chardev stdio,id=out "
                    "-device isa-debugcon,iobase=0x402,chardev=out", 120)
    assert "guest: all well" in result.output, result.output
    assert result.status == GUEST_OK, f"exit status {result.status}"


@needs()
@lodge_only
@kvm_only
def test_bare_metal_guest_with_the_whole_irqchip(vm):
    bare_metal(vm, "-accel kvm -M q35 -device virtio-rng-pci", cpus=2)


@needs()
@lodge_only
@kvm_only
def test_bare_metal_guest_with_the_split_irqchip_and_a_dirty_ring(vm):
    bare_metal(vm, "-accel kvm,dirty-ring-size=4096 -M q35,kernel-irqchip=split -device virtio-rng-pci")
