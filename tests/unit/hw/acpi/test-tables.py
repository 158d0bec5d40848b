# SPDX-License-Identifier: GPL-2.0-or-later
"""The ACPI, SMBIOS and MP tables of whole machines, as a guest would find them, judged by iasl.

    test-tables.py BUILD/lodge

Guest RAM is a shared file and the machine is stopped before its first instruction, so the tables can be read from
outside.
"""

import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest

LODGE = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
MIB = 1 << 20


def tiny_kernel(path):
    """A bzImage header that is complete enough to be loaded; it never runs."""
    image = bytearray(1536)
    image[0x1F1] = 1
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x201] = 0x6A
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, 0x020F)
    image[0x211] = 1
    struct.pack_into("<I", image, 0x22C, 0x7FFFFFFF)
    image[0x236] = 1
    struct.pack_into("<I", image, 0x238, 2047)
    struct.pack_into("<Q", image, 0x258, 0x1000000)
    struct.pack_into("<I", image, 0x260, MIB)
    path.write_bytes(image)


class Tables(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        tiny_kernel(self.folder / "kernel")

    def low_memory(self, *arguments):
        """The first MiB of the machine's RAM after its first reset."""
        ram = self.folder / "ram"
        log = self.folder / "log"
        command = [LODGE, "-accel", "tcg", "-cpu", "host", "-S", "-nodefaults", "-display", "none", "-m", "256",
                   "-kernel", self.folder / "kernel", *arguments]
        if "-numa" not in arguments:
            command += ["-object", f"memory-backend-file,id=ram,size=256M,share=on,mem-path={ram}"]
        with log.open("w") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            end = time.monotonic() + 30
            while time.monotonic() < end and process.poll() is None:
                if ram.exists() and self.complete(ram.read_bytes()[:MIB]):
                    return ram.read_bytes()[:MIB]
                time.sleep(0.02)
            self.fail(log.read_text())
        finally:
            process.terminate()
            process.wait()

    @staticmethod
    def complete(memory):
        """The kernel first, then SMBIOS, then what a table's last bytes are: the RSDP, or MP tables."""
        if memory[0x7202:0x7206] != b"HdrS" or memory[0xF0000:0xF0004] != b"_SM_":
            return False
        rsdp = struct.unpack_from("<Q", memory, 0x7070)[0]
        return memory[rsdp:rsdp + 8] == b"RSD PTR " if rsdp else memory[0xF8000:0xF8004] == b"_MP_"

    def acpi(self, memory):
        """Signature to table, by the pointers a kernel follows."""
        rsdp = struct.unpack_from("<Q", memory, 0x7000 + 0x70)[0]
        self.assertEqual(memory[rsdp:rsdp + 8], b"RSD PTR ")
        self.assertEqual(sum(memory[rsdp:rsdp + 36]) % 256, 0)
        xsdt = struct.unpack_from("<Q", memory, rsdp + 24)[0]
        length = struct.unpack_from("<I", memory, xsdt + 4)[0]
        tables = {}
        for at in struct.unpack_from(f"<{(length - 36) // 8}Q", memory, xsdt + 36):
            tables[memory[at:at + 4].decode()] = self.table(memory, at)
        dsdt = struct.unpack_from("<Q", tables["FACP"], 140)[0]
        tables["DSDT"] = self.table(memory, dsdt)
        return tables

    def table(self, memory, at):
        length = struct.unpack_from("<I", memory, at + 4)[0]
        table = memory[at:at + length]
        self.assertEqual(sum(table) % 256, 0, f"checksum of {table[:4]}")
        return table

    def assert_iasl_is_content(self, tables):
        for name, table in tables.items():
            path = self.folder / f"{name}.aml"
            path.write_bytes(table)
            done = subprocess.run(["iasl", "-d", path], cwd=self.folder, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            text = (self.folder / f"{name}.dsl").read_text()
            self.assertNotRegex(text, r"(?i)invalid|unknown|\bexternal\s*\(", f"{name} disassembled")
            done = subprocess.run(["iasl", "-p", self.folder / f"{name}-again", self.folder / f"{name}.dsl"],
                                  cwd=self.folder, capture_output=True, text=True, check=False)
            self.assertRegex(done.stdout + done.stderr, r"0 Errors, 0 Warnings", f"{name}: {done.stdout}")

    def check(self, *arguments):
        tables = self.acpi(self.low_memory(*arguments))
        self.assert_iasl_is_content(tables)
        return tables

    def test_q35(self):
        tables = self.check("-M", "q35,memory-backend=ram")
        self.assertEqual(set(tables), {"FACP", "DSDT", "APIC", "MCFG", "HPET"})

    def test_processors_halt_in_c1(self):
        for board, options in (("q35", "2,maxcpus=4"), ("q35", "4"), ("microvm", "4")):
            self.check("-M", f"{board},memory-backend=ram", "-smp", options)
            text = re.sub(r"/\*.*?\*/|//.*|\s+", "", (self.folder / "DSDT.dsl").read_text())
            c1 = "Register(FFixedHW,0x00,0x00,0x0000000000000000,,)"
            self.assertIn(f"Name(CSTS,Package(0x02){{One,Package(0x04){{ResourceTemplate(){{{c1}}},One,One,Zero}}}})", text)
            self.assertEqual(text.count("Method(_CST,0,NotSerialized){Return(CSTS)}"), 4, text[:5000])

    def test_q35_with_everything_that_describes_itself(self):
        tables = self.check("-M", "q35,memory-backend=ram", "-smp", "2,maxcpus=8", "-device", "pvpanic", "-serial", "null",
                            "-serial", "null", "-device", "pcie-root-port,id=p1")
        self.assertIn(b"PEVT", tables["DSDT"])

    def test_q35_without_hpet(self):
        self.assertNotIn("HPET", self.check("-M", "q35,memory-backend=ram,hpet=off"))

    def test_q35_with_apic_ids_beyond_255(self):
        tables = self.check("-M", "q35,memory-backend=ram", "-smp", "1,maxcpus=288,sockets=1,cores=288,threads=1")
        self.assertEqual(len(re.findall(rb"\x09\x10\x00\x00....\x02\x00\x00\x00", tables["APIC"], re.DOTALL)), 33)

    def test_q35_tells_which_of_the_possible_cpus_are_there(self):
        tables = self.check("-M", "q35,memory-backend=ram", "-smp", "2,maxcpus=4", "-device",
                            "host-x86_64-cpu,socket-id=0,core-id=3,thread-id=0")
        flags = [tables["APIC"][44 + 8 * n + 4] for n in range(4)]
        self.assertEqual(flags, [1, 1, 2, 1])   # bit 0: enabled, bit 1: can be
        for name in (b"CPUS", b"C000", b"C001", b"C002", b"C003", b"_E02", b"CSCN", b"_MAT", b"_OST"):
            self.assertIn(name, tables["DSDT"])
        self.assertEqual(tables["DSDT"].count(b"_EJ0"), 3)  # the boot CPU stays

    def test_one_cpu_for_ever_needs_no_hot_plug(self):
        tables = self.check("-M", "q35,memory-backend=ram", "-smp", "1")
        self.assertNotIn(b"CPUS", tables["DSDT"])
        self.assertIn(b"C000", tables["DSDT"])

    def test_microvm(self):
        tables = self.check("-M", "microvm,memory-backend=ram", "-smp", "2", "-serial", "null")
        self.assertEqual(set(tables), {"FACP", "DSDT", "APIC"})
        self.assertTrue(struct.unpack_from("<I", tables["FACP"], 112)[0] & 1 << 20)

    def test_microvm_with_rtc_and_pit(self):
        self.check("-M", "microvm,memory-backend=ram,rtc=on,pit=on")

    def test_without_acpi_there_are_mp_tables(self):
        memory = self.low_memory("-M", "q35,memory-backend=ram,acpi=off", "-smp", "2")
        self.assertEqual(struct.unpack_from("<Q", memory, 0x7070)[0], 0)
        self.assertEqual(memory[0xF8000:0xF8004], b"_MP_")
        self.assertEqual(memory[0xF8010:0xF8014], b"PCMP")

    def test_smbios_says_what_the_user_said(self):
        memory = self.low_memory("-M", "q35,memory-backend=ram", "-smbios", "type=1,manufacturer=Acme,,Inc",
                                 "-smbios", "type=11,value=one,value=two")
        self.assertEqual(memory[0xF0000:0xF0004], b"_SM_")
        self.assertEqual(sum(memory[0xF0000:0xF001F]) % 256, 0)
        self.assertEqual(memory[0xF0020:0xF0025], b"_SM3_")
        self.assertEqual(sum(memory[0xF0020:0xF0038]) % 256, 0)
        self.assertIn(b"Acme,Inc\0", memory[0xF0000:0xF8000])
        self.assertIn(b"one\0two\0\0", memory[0xF0000:0xF8000])

    def test_nodes_have_an_srat_and_a_slit(self):
        ram = self.folder / "ram"
        tables = self.check("-M", "q35", "-smp", "2",
                            "-object", f"memory-backend-file,id=n0,size=128M,share=on,mem-path={ram}",
                            "-object", "memory-backend-ram,id=n1,size=128M",
                            "-numa", "node,nodeid=0,cpus=0,memdev=n0", "-numa", "node,nodeid=1,cpus=1,memdev=n1",
                            "-numa", "dist,src=0,dst=1,val=21")
        self.assertEqual(tables["SLIT"][44:48], bytes([10, 21, 21, 10]))
        self.assertIn("SRAT", tables)


if __name__ == "__main__":
    if not shutil.which("iasl"):
        print("iasl is not installed")
        sys.exit(77)
    unittest.main(verbosity=2)
