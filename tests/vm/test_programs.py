# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs with known answers on a full Debian: ciphers, interpreters, packers, a database, a compiler, signals."""

from vmtest import needs, takes_long, tcg_only


@takes_long
@needs("programs")
@tcg_only
def test_programs_print_what_they_print_on_the_host(vm):
    printed = vm.blank("printed", 1)
    drives = "".join(f" -drive file={file},format=raw,if=virtio" for file in (
        vm.writable("programs/disk.raw"), vm.writable("programs/scripts.raw"), printed))
    job = vm.start(
        f"-accel {vm.accel} -cpu {vm.cpu()} -M q35 -m 1G -smp 2 -kernel {vm.path('programs/vmlinuz')} "
        f"-initrd {vm.path('programs/initrd')} -append 'console=ttyS0 root=/dev/vda'{drives} "
        "-nodefaults -nographic -serial stdio")
    job.expect("guest# ", 500)
    job.send("mount -o ro /dev/vdb /mnt; sh /mnt/run.sh /mnt | dd of=/dev/vdc bs=64k iflag=fullblock conv=fsync; "
             "echo complaints=$(dmesg | grep -cE 'BUG:|WARNING:|Oops|Call Trace'); systemctl poweroff\n")
    result = job.wait(1200)
    assert "complaints=0" in result.output, "the kernel complains"
    assert result.status == 0, f"exit status {result.status}"
    vm.shell(f"tr -d '\\0' <{printed} | diff {vm.path('programs/answers')} -")
