# SPDX-License-Identifier: GPL-2.0-or-later
"""Two stock libvirts move a domain between them: its guest counts on, and nothing of it is lost or there twice."""

import contextlib
import signal
import subprocess

from libvirt_domains import domain, fails, next_count, wait_for_state, wait_until
from libvirt_hosts import hosts
from vmtest import BOOT, lodge_only, needs, one_at_a_time, tcg_only

SERIAL = "<serial type='pty'><log file='{log}' append='on'/></serial>"
COUNT = "i=0; while :; do i=$((i + 1)); echo count=$i=; sleep 0.1; done"
ANY_SPEED = "8796093022207"     # libvirt's own default, in MiB a second


@contextlib.contextmanager
def counting(vm, name):
    """Two hosts, of which the first has a domain, whose guest has begun to count."""
    with hosts(vm) as (one, other):
        one.virsh("define", domain(one, name, run=COUNT, serial=SERIAL))
        one.virsh("start", name)
        next_count(one)
        yield one, other


def move(name, source, target, *options, by="tcp"):
    """The files are on both hosts, though libvirt cannot know that (--unsafe)."""
    source.virsh("migrate", "--live", "--unsafe", *options, name, target.uri(by), timeout=BOOT)
    wait_until(lambda: name not in source.virsh("list", "--name"), "end at the source")
    assert name in target.virsh("list", "--name")


def all_numbers_came_once(host):
    """Those up to one that the guest has yet to reach; of two hosts the first may be the last to write its own."""
    last = next_count(host)
    said = host.serial.read_text(errors="replace")
    numbers = [int(line[6:-1]) for line in said.splitlines() if line.startswith("count=") and line.endswith("=")]
    assert sorted(numbers)[:last] == list(range(1, last + 1)), f"the guest counted {numbers}"


@contextlib.contextmanager
def moving_slowly(name, source, target, *options):
    """While it moves, at 1 MiB a second. It is not to get there. Yields a list that has virsh's words in the end."""
    source.virsh("migrate-setspeed", name, "1")
    mover = subprocess.Popen(source.virsh_command("migrate", "--live", "--unsafe", *options, name, target.uri("tcp")),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    words = []
    try:
        wait_until(lambda: "Memory remaining" in source.virsh("domjobinfo", name), "migration")
        yield words
        words.append(mover.communicate(timeout=BOOT)[1])
        assert mover.returncode, "it has moved"
    finally:
        mover.kill()
        mover.wait()


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_moves_a_domain_there_and_back(vm):
    with counting(vm, "mover") as (one, other):
        sockets = one.top / "sockets"
        sockets.mkdir()
        sockets.chmod(0o777)
        move("mover", one, other, "--persistent", "--undefinesource")
        assert not one.virsh("list", "--all", "--name")
        assert "Total downtime:" in other.virsh("domjobinfo", "mover", "--completed")
        move("mover", other, one, "--p2p", "--migrateuri", f"unix://{sockets}/p2p", by="unix")
        move("mover", one, other, "--migrateuri", f"unix://{sockets}/direct", by="unix")
        move("mover", other, one, "--p2p", "--abort-on-error")
        move("mover", one, other, "--p2p", "--tunnelled")
        all_numbers_came_once(one)

        other.virsh("suspend", "mover")
        move("mover", other, one)
        wait_for_state(one, "mover", "paused (user)")
        one.virsh("resume", "mover")
        all_numbers_came_once(one)


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_gives_a_migration_up_and_tries_again(vm):
    with counting(vm, "mover") as (one, other):
        to = other.uri("tcp")
        said = fails(one, "migrate", "--live", "--unsafe", "--postcopy", "mover", to)
        assert "'postcopy-ram' is not supported" in said
        for options in ((), ("--p2p",), ("--p2p", "--tunnelled")):
            with moving_slowly("mover", one, other, *options) as words:
                one.virsh("migrate-setmaxdowntime", "mover", "100")
                assert "Outgoing migration" in one.virsh("domjobinfo", "mover")
                one.virsh("domjobabort", "mover")
            assert "canceled by client" in words[0]
            assert "running" in one.virsh("domstate", "mover")
            wait_until(lambda: not other.virsh("list", "--name"), "end at the target")
        all_numbers_came_once(one)
        one.virsh("migrate-setspeed", "mover", ANY_SPEED)
        move("mover", one, other, "--timeout", "60")
        all_numbers_came_once(one)


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_a_domain_outlives_a_host_that_fails_while_it_moves(vm):
    with counting(vm, "mover") as (one, other):
        with moving_slowly("mover", one, other):
            other.kill_emulator("mover")
        all_numbers_came_once(one)
        with moving_slowly("mover", one, other, "--p2p"):
            other.stop("libvirtd", signal.SIGKILL)
        other.start("libvirtd")
        wait_until(lambda: not other.virsh("list", "--name"), "end at the target")
        all_numbers_came_once(one)
        with moving_slowly("mover", one, other):
            one.stop("libvirtd", signal.SIGKILL)
        one.start("libvirtd")
        wait_until(lambda: "running" in one.virsh("domstate", "mover"), "domain at the source")
        wait_until(lambda: not other.virsh("list", "--name"), "end at the target")
        all_numbers_came_once(one)
        one.virsh("migrate-setspeed", "mover", ANY_SPEED)
        move("mover", one, other)
        all_numbers_came_once(one)
