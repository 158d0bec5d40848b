# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock libvirt talks to a stock guest agent, through a port of virtio-serial."""

import subprocess

from libvirt_domains import domain, events, libvirt, wait_until
from vmtest import lodge_only, needs, one_at_a_time, tcg_only


def state_of_agent(daemon, name):
    return "state='connected'" in daemon.virsh("dumpxml", name)


@needs("agent")
@lodge_only
@tcg_only
@one_at_a_time
def test_guest_agent_freezes_tells_and_ends(vm):
    with libvirt(vm, "agent") as daemon, events(daemon) as heard:
        virsh = daemon.virsh
        xml = domain(daemon, "guest", what="script=agent")
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", str(daemon.top / "guest.img")], check=True)
        virsh("create", xml)
        wait_until(lambda: state_of_agent(daemon, "guest"), "agent")

        assert virsh("qemu-agent-command", "guest", '{"execute": "guest-ping"}') == '{"return":{}}'
        assert '"version":"7.2' in virsh("qemu-agent-command", "guest", '{"execute": "guest-info"}')
        virsh("domfsfreeze", "guest")
        assert "frozen" in virsh("qemu-agent-command", "guest", '{"execute": "guest-fsfreeze-status"}')
        virsh("domfsthaw", "guest")
        assert virsh("domfsinfo", "guest").split() == ["/mnt", "vda", "ext4", "vda"]
        assert "os.machine          : x86_64" in virsh("guestinfo", "guest")
        virsh("domtime", "guest", "--time", "1900000000")
        assert virsh("domtime", "guest").startswith("Time: 19000000")
        virsh("set-user-password", "guest", "root", "secret")
        wait_until(lambda: "password root:secret" in daemon.serial.read_text(errors="replace"), "password", 10)

        virsh("reboot", "guest", "--mode", "agent")
        wait_until(lambda: "event 'reboot' for domain 'guest'" in heard.read_text(), "reboot")
        wait_until(lambda: not state_of_agent(daemon, "guest"), "end of the agent", 20)
        wait_until(lambda: state_of_agent(daemon, "guest"), "agent after the reboot")
        virsh("shutdown", "guest", "--mode", "agent")
        wait_until(lambda: "guest" not in virsh("list", "--name"), "end of the domain", 30)
        for event in ("agent-lifecycle' for domain 'guest': state: 'connected' reason: 'channel event'",
                      "agent-lifecycle' for domain 'guest': state: 'disconnected' reason: 'channel event'",
                      "lifecycle' for domain 'guest': Shutdown Finished after guest request",
                      "lifecycle' for domain 'guest': Stopped Shutdown"):
            assert f"event '{event}" in heard.read_text(), f"'{event}' is not in: {heard.read_text()}"
