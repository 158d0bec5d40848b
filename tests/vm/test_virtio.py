# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio devices under stock drivers."""

from vmtest import BOOT, QUIET, device_only, ended_well, needs, takes_long

# fio with its libraries from the tools disk; the small guest has no dynamic loader of its own.
FIO = ("mount -t ext4 -o ro /dev/disk-tools /mnt; "
       "/mnt/lib/ld-linux-x86-64.so.2 --library-path /mnt/lib /mnt/bin/fio --randseed=1 "
       "--minimal --direct=1 --ioengine=libaio ")


@needs("cloud")
def test_rng_gives_bytes(vm):
    output = ended_well(vm.guest(
        "-M q35 -m 256M -object rng-random,id=r,filename=/dev/urandom -device virtio-rng-pci,rng=r",
        run="cat /sys/class/misc/hw_random/rng_current; echo bytes=$(dd if=/dev/hwrng bs=512 count=4 | wc -c)"))
    assert "virtio_rng" in output
    assert "bytes=2048" in output


@needs("cloud")
def test_serial_port_carries_both_directions(vm):
    # The serial console goes to a file, the port to standard streams.
    job = vm.start(
        f"-accel {vm.accel} -cpu {vm.cpu()} -M q35 -m 256M -nodefaults -display none -serial file:/tmp/port-console "
        f"-device virtio-serial-pci -chardev stdio,id=c -device virtserialport,chardev=c,name=org.example "
        f"-kernel {vm.path('cloud/vmlinuz')} -initrd {vm.path('cloud/initrd')} -append '{QUIET} "
        f"run=\"p=/dev/$(grep -l org.example /sys/class/virtio-ports/*/name | cut -d/ -f5); "
        f"exec 3<>$p; echo guest speaks >&3; read -r x <&3; echo heard: $x >&3; sleep 1\"'")
    job.expect("guest speaks", BOOT)
    job.send("host answers\n")
    job.expect("heard: host answers", BOOT)
    assert job.wait(BOOT).status == 0


@device_only
@needs("cloud")
def test_console_prints(vm):
    ended_well(vm.guest(
        "-M q35 -m 256M -device virtio-serial-pci -chardev file,id=c,path=/tmp/hvc0 -device virtconsole,chardev=c",
        run="echo through hvc0 >/dev/hvc0; sleep 1"))
    assert "through hvc0" in vm.shell("cat /tmp/hvc0")


@needs("cloud")
def test_disk_keeps_what_is_written(vm):
    disk = vm.blank("keeps", 32)
    drive = f"-M q35 -m 256M -drive file={disk},format=raw,if=virtio"
    written = ended_well(vm.guest(drive, run="dd if=/dev/urandom of=/dev/vda bs=1M count=32 conv=fsync; "
                                             "echo sum=$(sha256sum </dev/vda)"))
    digest = written.partition("sum=")[2].split()[0]
    assert len(digest) == 64
    assert digest in vm.shell(f"sha256sum {disk}")


@device_only
@needs("cloud")
def test_disk_serial_and_read_only_reach_the_guest(vm):
    disk = vm.blank("serial", 16)
    output = ended_well(vm.guest(
        f"-M q35 -m 256M -drive file={disk},format=raw,if=none,id=d,read-only=on "
        "-device virtio-blk-pci,drive=d,serial=NUMBER-7",
        run="echo serial=$(cat /sys/block/vda/serial) ro=$(cat /sys/block/vda/ro)"))
    assert "serial=NUMBER-7 ro=1" in output


@device_only
@needs("cloud")
def test_disk_discards(vm):
    disk = vm.blank("discard", 64)
    ended_well(vm.guest(
        f"-M q35 -m 256M -drive file={disk},format=raw,if=virtio,discard=unmap",
        run="dd if=/dev/urandom of=/dev/vda bs=1M count=64 conv=fsync && blkdiscard /dev/vda && sync"))
    used_kib = int(vm.shell(f"du -k {disk}").split()[0])
    assert used_kib < 1024, f"{used_kib} KiB are still allocated"


@takes_long
@needs("cloud", "tools")
def test_two_disks_with_iothreads_verify_under_fio(vm):
    a, b = vm.blank("fio-a", 64), vm.blank("fio-b", 64)
    output = ended_well(vm.guest(
        "-M q35 -m 512M -smp 2 -object iothread,id=t0 -object iothread,id=t1 "
        f"-blockdev driver=file,filename={a},node-name=fa,cache.direct=on -blockdev driver=raw,file=fa,node-name=a "
        f"-blockdev driver=file,filename={b},node-name=fb -blockdev driver=raw,file=fb,node-name=b "
        "-device virtio-blk-pci,drive=a,iothread=t0,num-queues=2 "
        "-device virtio-blk-pci,drive=b,iothread=t1 "
        f"-drive file={vm.path('tools.raw')},format=raw,if=none,id=t,read-only=on -device virtio-blk-pci,drive=t",
        run="ln -s vdc /dev/disk-tools; " + FIO +
            "--rw=randrw --bs=4k --iodepth=16 --size=64M --io_size=8M --verify=crc32c --verify_fatal=1 "
            "--name=a --filename=/dev/vda --name=b --filename=/dev/vdb"), 2 * BOOT)
    assert "verify:" not in output
