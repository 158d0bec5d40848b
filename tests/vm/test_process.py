# SPDX-License-Identifier: GPL-2.0-or-later
"""The process: signals, pid file, daemon, configuration file, sandbox, terminal keys."""

from vmtest import BOOT, QUIET, device_only, ended_well, lodge_only, needs


def small(vm, options, append=f"{QUIET} run=\"sleep 1000\""):
    return (f"-accel {vm.accel} -cpu {vm.cpu()} -M q35 -m 256M -nodefaults {options} -kernel {vm.path('cloud/vmlinuz')} "
            f"-initrd {vm.path('cloud/initrd')} -append '{append}'")


@needs("cloud")
def test_sigterm_ends_a_running_guest_in_order(vm):
    job = vm.start(small(vm, "-nographic -serial stdio -pidfile /tmp/term.pid"))
    job.expect("@@ready", BOOT)
    vm.shell("kill -TERM $(cat /tmp/term.pid)")
    result = job.wait(30)
    assert result.status == 0, f"exit status {result.status}"
    vm.shell("! [ -e /tmp/term.pid ]")


@needs("cloud")
def test_sigint_and_sighup_end_it_in_order(vm):
    for signal in ("INT", "HUP"):
        job = vm.start(small(vm, f"-nographic -serial stdio -S -pidfile /tmp/{signal}.pid"))
        vm.shell(f"for i in $(seq 100); do [ -s /tmp/{signal}.pid ] && break; sleep 0.1; done; "
                 f"sleep 0.5; kill -{signal} $(cat /tmp/{signal}.pid)")
        result = job.wait(30)
        assert result.status == 0, f"SIG{signal}: exit status {result.status}"


@needs("cloud")
def test_daemon_leaves_the_terminal_and_runs(vm):
    result = vm.run(small(vm, "-display none -daemonize -pidfile /tmp/daemon.pid -serial file:/tmp/daemon.console",
                          f"{QUIET} run=true"), 60)
    assert result.status == 0, f"exit status {result.status}"
    vm.shell("p=$(cat /tmp/daemon.pid) && while [ -d /proc/$p ]; do sleep 1; done", 150)
    assert "@@exit 0" in vm.shell("cat /tmp/daemon.console")


@needs("cloud")
def test_daemon_reports_a_failure_before_it_detaches(vm):
    result = vm.run("-M q35 -display none -daemonize -kernel /nonexistent", 60)
    assert result.status == 1, f"exit status {result.status}"
    assert "/nonexistent" in result.output


@device_only
@needs("cloud")
def test_ctrl_a_x_ends_it(vm):
    job = vm.start(small(vm, "-nographic -serial mon:stdio"))
    job.expect("@@ready", BOOT)
    job.send(b"\x01x")
    result = job.wait(30)
    assert result.status == 0, f"exit status {result.status}"


@device_only
@needs("cloud")
def test_configuration_file_gives_options(vm):
    disk = vm.blank("readconfig", 16)
    vm.shell("cat >/tmp/vm.cfg <<'END'\n[memory]\n  size = \"256M\"\n\n[smp-opts]\n  cpus = \"2\"\n\n"
             f"[drive]\n  file = \"{disk}\"\n  format = \"raw\"\n  if = \"virtio\"\nEND")
    output = ended_well(vm.guest("-M q35 -readconfig /tmp/vm.cfg",
                                 run="echo cpus=$(nproc) size=$(cat /sys/block/vda/size)"))
    assert "cpus=2 size=32768" in output


@needs("cloud")
@lodge_only
def test_every_thread_is_in_the_sandbox(vm):
    job = vm.start(small(vm, "-nographic -serial stdio -object iothread,id=t0 -pidfile /tmp/sandboxed.pid"))
    job.expect("@@ready", BOOT)
    threads = vm.shell("cd /proc/$(cat /tmp/sandboxed.pid)/task; grep -H Seccomp: */status").splitlines()
    assert len(threads) >= 3
    assert all(line.endswith("2") for line in threads), f"not filtered: {threads}"


@device_only
@needs("cloud")
def test_chardev_socket_serves_the_serial_port(vm):
    job = vm.start(small(vm, "-display none -chardev socket,id=c,host=127.0.0.1,port=4555,server=on,wait=on "
                         "-serial chardev:c", f'{QUIET} run="read -r x; echo heard:$x"'))
    result = vm.place.run("rm -f /tmp/socket.out; "
                          "for i in $(seq 50); do busybox nc -z 127.0.0.1 4555 && break; sleep 0.1; done; sleep 0.3; "
                          "(sleep 1000 | busybox nc 127.0.0.1 4555) >/tmp/socket.out & n=$!; "
                          "for i in $(seq 60); do grep -q @@ready /tmp/socket.out && break; sleep 1; done; "
                          "kill $n; cat /tmp/socket.out", 120)
    assert "@@ready" in result.output
    job.kill()
