# SPDX-License-Identifier: GPL-2.0-or-later
"""The lodge program from outside: what it prints, where, and its exit status.

    test-command-line.py BUILD/lodge

Bad input is one sentence on standard error that begins with "lodge: " and exit status 1; help is on standard output
with status 0.
"""

import json
import os
import pathlib
import pty
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

LODGE = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None


def run(*arguments, **keywords):
    return subprocess.run([LODGE, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          check=False, **keywords)


class Scratch(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def file(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return str(path)


class Help(Scratch):
    def answers(self, arguments, *words):
        result = run(*arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr, "")
        for word in words:
            self.assertIn(word, result.stdout)

    def test_usage_names_sections_and_options(self):
        self.answers(["-help"], "Usage: lodge", "Direct kernel boot", "-kernel FILE", "-machine, -M")

    def test_version(self):
        self.answers(["--version"], "lodge version")

    def test_machines(self):
        self.answers(["-machine", "help"], "q35", "microvm", "none")

    def test_keys_of_a_machine(self):
        self.answers(["-M", "q35,help"], "kernel-irqchip=")

    def test_devices_and_their_properties(self):
        self.answers(["-device", "help"], "virtio-blk-pci", "isa-serial")
        self.answers(["-device", "isa-serial,help"], "chardev=", "iobase=")

    def test_backends(self):
        self.answers(["-chardev", "help"], "socket")
        self.answers(["-netdev", "help"], "vhost-user")
        self.answers(["-netdev", "tap,help"], "vhostforce=")
        self.answers(["-nic", "model=help"], "virtio-net-pci", "e1000")
        self.answers(["-nic", "tap,model=help"], "virtio-net-pci", "vhostforce=")
        self.answers(["-net", "nic,model=help"], "virtio-net-pci", "e1000")
        self.answers(["-drive", "help"], "format=")
        self.answers(["-blockdev", "help"], "raw")
        self.answers(["-object", "memory-backend-file,help"], "mem-path=")

    def test_cpus_accelerators_and_log(self):
        self.answers(["-cpu", "help"], "qemu64")
        self.answers(["-accel", "help"], "kvm")
        self.answers(["-d", "help"], "guest_errors")

    @unittest.skipUnless(shutil.which("man"), "no man program")
    def test_manual_page_is_clean_roff(self):
        page = run("--man").stdout
        result = subprocess.run(["man", "--warnings", "-l", "-"], input=page, capture_output=True, text=True, check=False)
        self.assertEqual(result.stderr, "")


class Refusals(Scratch):
    def refused(self, arguments, *words):
        result = run("-sandbox", "off", *arguments)  # a build with sanitizers says that it has none
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertTrue(result.stderr.startswith("lodge: "), result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)

    def test_unknown_option(self):
        self.refused(["-kernal", "x"], "'-kernal'", "Did you mean '-kernel'?")

    def test_unknown_machine(self):
        self.refused(["-M", "q36"], "'q36'", "Did you mean 'q35'?")

    def test_unknown_global(self):
        self.refused(["-M", "none", "-global", "isa-serail.index=1"], "isa-serail", "isa-serial")

    def test_disk_without_kernel(self):
        self.refused(["disk.img"], "disk.img", "-kernel")

    def test_missing_kernel_initrd_and_dtb(self):
        kernel = self.file("kernel", "")
        self.refused(["-kernel", "/nonexistent/k"], "/nonexistent/k")
        self.refused(["-kernel", kernel, "-initrd", "/nonexistent/i"], "/nonexistent/i")
        self.refused(["-kernel", kernel, "-dtb", "/nonexistent/d"], "/nonexistent/d")

    def test_descriptor_that_is_not_open(self):
        self.refused(["-add-fd", "fd=77,set=1"], "fd=77")

    def test_log_that_cannot_be_written(self):
        self.refused(["-D", "/nonexistent/log"], "/nonexistent/log")

    def test_configuration_with_a_mistake(self):
        config = self.file("vm.cfg", "[machine]\n  typ = q35\n")
        self.refused(["-readconfig", config], "vm.cfg:2", "double quotes")

    def test_configuration_with_a_nic_that_cannot_be(self):
        for group in "nic", "net":
            config = self.file("vm.cfg", f'[{group}]\n  type = "usr"\n')
            self.refused(["-M", "none", "-accel", "tcg", "-readconfig", config], "'usr'")

    def test_control_characters_are_not_repeated_to_the_terminal(self):
        self.refused(["-\x1b[2J"], "?[2J")

    def test_gdb_server_on_nothing(self):
        machine = ["-M", "none", "-accel", "tcg"]
        self.refused([*machine, "-gdb", "nonsense"], "-gdb", "'nonsense'")
        self.refused([*machine, "-gdb", "tcp:1234"], "'tcp:1234' has no port")
        self.refused([*machine, "-gdb", "tcp::99999"], "99999", "65535")
        self.refused([*machine, "-gdb", "chardev:x"], "chardev 'x'")

    def test_the_machine_without_a_board_takes_nothing_to_boot(self):
        for option, value in ("bios", "/dev/null"), ("kernel", "/dev/null"), ("smbios", "type=1"):
            self.refused(["-accel", "tcg", "-M", "none", f"-{option}", value], "machine 'none'", f"-{option}")
        self.refused(["-accel", "tcg", "-M", "none,firmware=/dev/null"], "machine 'none'", "-bios")

    def test_one_thread_for_all_vcpus_is_refused(self):
        self.refused(["-accel", "tcg,thread=single", "-M", "none"], "thread=single")

    def test_interrupt_controllers_in_the_kernel_are_kvms(self):
        self.refused(["-accel", "tcg", "-M", "q35,kernel-irqchip=on", "-kernel", "/dev/null"], "kernel-irqchip=on", "kvm")

    def test_daemon_reports_before_it_detaches(self):
        self.refused(["-daemonize", "-display", "none", "-kernel", "/nonexistent/k"], "/nonexistent/k")


class Running(Scratch):
    """An empty machine, stopped: enough to see the process come and go."""

    def start(self, *arguments):
        pidfile = self.directory / "pid"
        process = subprocess.Popen([LODGE, "-accel", "tcg", "-M", "none", "-S", "-pidfile", pidfile, *arguments],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        for _ in range(200):
            if pidfile.exists() and pidfile.read_text():
                return process, pidfile
            if process.poll() is not None:
                break
            time.sleep(0.05)
        self.fail(f"it did not start: {process.communicate()}")

    def ends_in_order(self, number):
        process, pidfile = self.start()
        self.assertEqual(int(pidfile.read_text()), process.pid)
        process.send_signal(number)
        self.assertEqual(process.wait(30), 0)
        self.assertFalse(pidfile.exists())

    def test_sigint_ends_it(self):
        self.ends_in_order(signal.SIGINT)

    def test_sigterm_ends_it(self):
        self.ends_in_order(signal.SIGTERM)

    def test_terminal_interrupts_without_a_process(self):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(LODGE, [LODGE, "-M", "none", "-accel", "tcg", "-nodefaults", "-monitor", "stdio"])
        said = b""
        while b"(lodge)" not in said:
            said += os.read(terminal, 1024)
        os.write(terminal, b"\x03")
        while b"asks for" not in said:
            said += os.read(terminal, 1024)
        self.assertIn(b"lodge: ending, as signal 2 (Interrupt) asks for\r\n", said)
        os.waitpid(pid, 0)
        os.close(terminal)

    def test_sighup_ends_it(self):
        self.ends_in_order(signal.SIGHUP)

    def test_objects_and_chardevs_are_made_and_freed(self):
        process, _ = self.start("-object", "iothread,id=t", "-object", "memory-backend-memfd,id=m,size=1M",
                                "-chardev", "null,id=c", "-object", "rng-random,id=r,filename=/dev/urandom")
        process.terminate()
        self.assertEqual(process.wait(30), 0)

    def test_log_goes_to_its_file_with_the_time(self):
        log = self.directory / "log"
        process, _ = self.start("-D", log, "-msg", "timestamp=on")
        process.terminate()
        process.wait(30)
        self.assertRegex(log.read_text(), r"(?m)^\d{4}-\d\d-\d\dT[\d:.]+Z lodge: ending, as signal 15")

    def test_second_one_with_the_same_pidfile_is_refused(self):
        _, pidfile = self.start()
        result = run("-accel", "tcg", "-M", "none", "-S", "-pidfile", pidfile)
        self.assertEqual(result.returncode, 1)
        self.assertIn(str(pidfile), result.stderr)
        self.assertTrue(pidfile.exists())

    def test_daemon_leaves_and_ends_on_a_signal(self):
        pidfile = self.directory / "pid"
        result = run("-accel", "tcg", "-M", "none", "-S", "-display", "none", "-daemonize", "-pidfile", pidfile)
        self.assertEqual(result.returncode, 0, result.stderr)
        pid = int(pidfile.read_text())
        os.kill(pid, signal.SIGTERM)
        for _ in range(200):
            if not pidfile.exists():
                return
            time.sleep(0.05)
        self.fail("the daemon did not end")

    def test_says_which_accelerator_is_used_and_why_if_it_is_not_kvm(self):
        flags = pathlib.Path("/proc/cpuinfo").read_text()
        process = subprocess.Popen([LODGE, "-M", "none", "-S", "-pidfile", self.directory / "default.pid"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        virtualizes = " vmx" in flags or " svm" in flags
        if virtualizes and os.access("/dev/kvm", os.R_OK | os.W_OK):
            return
        said = process.stderr.readline()
        if "sandbox" in said: # a build with a sanitizer says first that it has none
            said = process.stderr.readline()
        self.assertRegex(said, "using accelerator tcg, because .*" + ("/dev/kvm" if virtualizes else "neither vmx nor svm"))

    def test_named_process(self):
        os.environ["LODGE_RUNTIME_DIR"] = str(self.directory / "run")  # apart from the names of real domains
        self.addCleanup(os.environ.pop, "LODGE_RUNTIME_DIR")
        process, _ = self.start("-name", "web,process=lodge-web")
        self.assertEqual(pathlib.Path(f"/proc/{process.pid}/comm").read_text(), "lodge-web\n")


class LastWords(Scratch):
    """What was said before the end reaches who reads slowly."""

    def connect(self, name):
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.settimeout(30)
        for _ in range(600):
            try:
                client.connect(str(self.directory / name))
                break
            except OSError:
                time.sleep(0.05)
        client.sendall(b'{"execute": "qmp_capabilities"}')
        return client

    def start(self):
        monitors = [f"unix:{self.directory / name},server=on,wait=off" for name in ("slow", "other")]
        process = subprocess.Popen([LODGE, "-accel", "tcg", "-M", "none", "-S", "-display", "none", "-qmp", monitors[0],
                                    "-qmp", monitors[1]], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_slow_client_hears_all_that_it_asked_for_and_the_end(self):
        process = self.start()
        slow = self.connect("slow")
        slow.sendall(b'{"execute": "query-qmp-schema"}' * 8)
        time.sleep(0.5)
        self.connect("other").sendall(b'{"execute": "quit"}')
        time.sleep(0.2)
        replies = b"".join(iter(lambda: slow.recv(1 << 16), b"")).decode().split("\r\n")
        self.assertEqual(replies.pop(), "")
        self.assertGreater(sum(map(len, replies)), 1 << 18, "no more than the socket holds, which proves nothing")
        self.assertEqual(json.loads(replies[-1])["event"], "SHUTDOWN")
        self.assertEqual(process.wait(30), 0)

    def test_client_that_never_reads_delays_the_end_by_a_second_and_is_named(self):
        process = self.start()
        self.connect("slow").sendall(b'{"execute": "query-qmp-schema"}' * 8)
        time.sleep(0.5)
        began = time.monotonic()
        self.connect("other").sendall(b'{"execute": "quit"}')
        self.assertEqual(process.wait(30), 0)
        self.assertLess(time.monotonic() - began, 5)
        self.assertRegex(process.stderr.read(),
                         r"warning: compat_monitor0: its reader is slow: the last \d+ bytes are lost")


class DeviceTree(Scratch):
    def test_that_is_none_is_refused(self):
        kernel = self.file("kernel", "")
        tree = self.file("tree.dtb", "no tree")
        result = run("-accel", "tcg", "-cpu", "host", "-M", "microvm", "-kernel", kernel, "-dtb", tree, "-display", "none")
        self.assertEqual(result.returncode, 1)
        self.assertIn("is not a flattened device tree", result.stderr)

    def test_is_written_without_a_kernel_and_nothing_runs(self):
        path = self.directory / "tree.dtb"
        result = run("-accel", "tcg", "-cpu", "host", "-M", f"microvm,dumpdtb={path}", "-display", "none")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(path.read_bytes()[:4], b"\xd0\x0d\xfe\xed")


if __name__ == "__main__":
    unittest.main()
