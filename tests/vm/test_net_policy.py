# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands between a guest and its network: the egress policy, dumps, rates. The world outside is a network
namespace with addresses, web servers and a name server of the test's own."""

import json
import textwrap

from qmp import Qmp
from test_net import some_port
from vmtest import BOOT, Skip, device_only, lodge_only, needs

NET = ". /scripts/network; lease eth0; "
MACHINE = "-M q35 -m 256M -nodefaults -display none"

# Answers for what is below example.test: "www" by way of another name, the rest with 192.0.2.7.
NAME_SERVER = """
    import socket, struct

    def wire(name):
        return b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\\0"

    def record(owner, kind, data):
        return owner + struct.pack(">HHIH", kind, 1, 60, len(data)) + data

    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 53))
    while True:
        question, peer = s.recvfrom(2048)
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode().lower())
            at += 1 + question[at]
        name, kind = ".".join(labels), struct.unpack(">H", question[at + 1:at + 3])[0]
        answers, owner = [], b"\\xc0\\x0c"
        if name == "www.example.test":
            owner = wire("cdn.example.net")
            answers.append(record(b"\\xc0\\x0c", 5, owner))
        if kind == 1:
            answers.append(record(owner, 1, socket.inet_aton("192.0.2.7")))
        good = name.endswith("example.test")
        header = question[:2] + struct.pack(">HHHHH", 0x8180 if good else 0x8183, 1, len(answers) if good else 0, 0, 0)
        s.sendto(header + question[12:at + 5] + b"".join(answers if good else []), peer)
"""


class World:
    """A folder that becomes the world's: a guest starts within it, its monitor on the job's standard streams."""

    def __init__(self, vm):
        if vm.shell("unshare -n -m true 2>/dev/null && command -v python3 || true").strip() == "":
            raise Skip("no network namespace, or no python3 for a name server")
        self.vm = vm
        self.folder = vm.folder()
        self.audit = f"{self.folder}/audit"
        vm.shell(f"cd {self.folder} && mkdir web && base64 /dev/urandom | head -c 4194304 >web/file && "
                 "echo served >web/page && echo nameserver 127.0.0.1 >resolv.conf && "
                 f"cat >names.py <<'END'\n{textwrap.dedent(NAME_SERVER)}\nEND")

    def start(self, options, run):
        """A guest that runs these commands; the job is its monitor (QMP), its console a file."""
        vm = self.vm
        command = (f"{vm.program} -accel {vm.accel} -cpu {vm.cpu()} {MACHINE} -serial file:{self.folder}/console "
                   f"-qmp stdio {options} {vm.boot(run)}")
        vm.commands.append(command)
        vm.shell(f"cat >{self.folder}/run <<'END'\n"
                 "mount --bind $PWD/resolv.conf $(realpath /etc/resolv.conf)\n"
                 "busybox ip link set lo up; for a in 7 8; do busybox ip addr add 192.0.2.$a/32 dev lo; done\n"
                 "for p in 80 81; do busybox httpd -f -p $p -h $PWD/web & jobs=\"$jobs $!\"; done\n"
                 "(while :; do (while echo tick; do sleep 0.2; done) | busybox nc -l -p 82; done) & jobs=\"$jobs $!\"\n"
                 "python3 names.py & jobs=\"$jobs $!\"\n"
                 f"{command}\nstatus=$?; kill $jobs; exit $status\nEND")
        job = vm.place.start(f"cd {self.folder} && exec unshare -n -m sh run")
        vm.jobs.append(job)
        return job

    def console(self):
        return self.vm.shell(f"tr -d '\\r' <{self.folder}/console")

    def wait_for(self, text):
        self.vm.hear(f"{self.folder}/console", text)

    def end(self, job):
        """The guest has powered off by itself; what it said."""
        result = job.wait(BOOT)
        assert result.status == 0, f"exit status {result.status}"
        return self.console()

    def log(self):
        return [json.loads(line) for line in self.vm.shell(f"cat {self.audit}").splitlines()]


def get(url, name):
    """Commands that say what came of a download, and in how many seconds."""
    return (f"t=$(date +%s); if wget -q -O /tmp/got http://{url}; then r=$(cat /tmp/got); else r=refused; fi; "
            f"echo {name}=$r in $(($(date +%s) - t)); ")


def said(output, name):
    """What `get` said: the word, and whether it came at once."""
    word, _, seconds = output.partition(f"\n{name}=")[2].split("\n")[0].split()
    return word, int(seconds) <= 5


@lodge_only
@needs("cloud")
@device_only
def test_an_egress_policy_lets_through_what_it_names_and_refuses_the_rest_at_once(vm):
    world = World(vm)
    output = world.end(world.start(
        f"-object egress-policy,id=p,allow=*.example.test:80,allow=192.0.2.8:81,audit={world.audit} "
        "-netdev user,id=n,egress=p -device virtio-net-pci,netdev=n",
        NET + get("192.0.2.7/page", "early") + get("www.example.test/page", "name") + get("192.0.2.7/page", "known")
        + get("192.0.2.8:81/page", "address") + get("192.0.2.8/page", "port") + get("10.0.2.2/page", "host")
        + get("127.0.0.1.example.org/page", "other")
        + "ping -c 1 -W 9 192.0.2.7; ping -c 1 -w 5 10.0.2.2 >/tmp/p && echo gateway; nslookup evil.test 10.0.2.3"))
    assert said(output, "early") == ("refused", True)
    assert said(output, "name") == ("served", True)
    assert said(output, "known") == ("served", True)
    assert said(output, "address") == ("served", True)
    assert said(output, "port") == ("refused", True)
    assert said(output, "host") == ("refused", True)
    assert said(output, "other") == ("refused", True)
    assert "Packet filtered" in output or "Destination" in output or "1 packets transmitted, 0" in output
    assert "gateway" in output
    assert "NXDOMAIN" in output or "can't find" in output or "can't resolve" in output
    log = world.log()
    assert any(e["verdict"] == "allow" and e.get("name") == "www.example.test" and e["rule"] == "*.example.test:80"
               for e in log if e["protocol"] == "tcp")
    assert any(e["verdict"] == "closed" and e["destination"] == "192.0.2.8:81" and e["received"] > 100 for e in log)
    assert any(e["verdict"] == "deny" and e["destination"] == "192.0.2.8:80" and e["rule"] == "default" for e in log)
    assert any(e["verdict"] == "deny" and e["protocol"] == "dns" and e["name"] == "evil.test" for e in log)


@lodge_only
@needs("cloud")
@device_only
def test_a_rule_withdrawn_cuts_what_it_allowed_and_nothing_else(vm):
    world = World(vm)
    job = world.start(
        f"-object egress-policy,id=p,allow=192.0.2.7,allow=192.0.2.8:80,audit={world.audit} "
        "-netdev user,id=n,egress=p -device virtio-net-pci,netdev=n",
        NET + "mkfifo /tmp/f; sleep 999 >/tmp/f & nc 192.0.2.7 82 </tmp/f | while read l; do [ $((n += 1)) = 3 ] && "
        "echo @@flows; done; echo @@cut; "
        + get("192.0.2.7/page", "after") + get("192.0.2.8/page", "stays")
        + "echo @@wait; while ! wget -q -O /tmp/got http://192.0.2.7/page; do sleep 1; done; echo again=$(cat /tmp/got)")
    qmp = Qmp(job, BOOT)
    world.wait_for("@@flows")
    [policy] = qmp.execute("query-egress")
    assert [c["remote-port"] for c in policy["connections"] if c["remote"] == "192.0.2.7"] == [82]
    qmp.execute("egress-rule-remove", {"id": "p", "verdict": "allow", "rules": ["192.0.2.7"]})
    world.wait_for("@@cut")
    world.wait_for("@@wait")
    qmp.execute("human-monitor-command", {"command-line": "egress_add p allow tcp:192.0.2.7:80"})
    output = world.end(job)
    assert said(output, "after") == ("refused", True)
    assert said(output, "stays") == ("served", True)
    assert "again=served" in output
    assert any(e["verdict"] == "cut" and e["destination"] == "192.0.2.7:82" for e in world.log())


@lodge_only
@needs("cloud")
@device_only
def test_a_quota_ends_a_download_and_may_be_raised(vm):
    world = World(vm)
    job = world.start(
        f"-object egress-policy,id=p,allow=192.0.2.7,quota-bytes=2M,audit={world.audit} "
        "-netdev user,id=n,egress=p -device virtio-net-pci,netdev=n",
        NET + "wget -q -O /tmp/got http://192.0.2.7/file || echo ended; " + get("192.0.2.7/page", "after")
        + "echo @@wait; while ! wget -q -O /tmp/got http://192.0.2.7/page; do sleep 1; done; echo again=$(cat /tmp/got)")
    qmp = Qmp(job, BOOT)
    world.wait_for("@@wait")
    assert qmp.execute("query-egress")[0]["quota-used-up"]
    qmp.execute("qom-set", {"path": "/objects/p", "property": "quota-bytes", "value": 8 << 20})
    output = world.end(job)
    assert "ended" in output
    assert said(output, "after") == ("refused", True)
    assert "again=served" in output
    assert any(e["verdict"] == "cut" and e["received"] > 1 << 20 for e in world.log())


@needs("cloud")
@device_only
def test_a_dump_taken_while_the_guest_runs_is_read_by_tcpdump(vm):
    if vm.shell("command -v tcpdump || true").strip() == "":
        raise Skip("no tcpdump")
    folder = vm.folder()
    console = f"{folder}/console"
    job = vm.start(f"-accel {vm.accel} -cpu {vm.cpu()} {MACHINE} -serial file:{console} -qmp stdio -sandbox on "
                   f"-netdev user,id=n -device virtio-net-pci,netdev=n "
                   f"-object filter-dump,id=f0,netdev=n,file={folder}/0 "
                   + vm.boot(NET + "echo @@up; while ping -c 1 -w 2 10.0.2.2 >/tmp/p; do sleep 0.2; done"))
    qmp = Qmp(job, BOOT)
    vm.hear(console, "@@up")
    qmp.execute("object-add", {"qom-type": "filter-dump", "id": "f1", "netdev": "n", "file": f"{folder}/1", "maxlen": 60})
    vm.shell("sleep 3")
    qmp.execute("object-del", {"id": "f1"})
    size = vm.shell(f"stat -c %s {folder}/1")
    vm.shell("sleep 1")
    assert vm.shell(f"stat -c %s {folder}/1") == size
    qmp.execute("quit")
    assert job.wait(60).status == 0
    whole = vm.shell(f"tcpdump -nr {folder}/0 2>&1")
    assert "BOOTP/DHCP, Request" in whole and "BOOTP/DHCP, Reply" in whole
    assert whole.index("BOOTP/DHCP, Request") < whole.index("BOOTP/DHCP, Reply")
    part = vm.shell(f"tcpdump -nr {folder}/1 2>&1")
    assert "10.0.2.15 > 10.0.2.2: ICMP echo request" in part and "10.0.2.2 > 10.0.2.15: ICMP echo reply" in part
    assert "BOOTP" not in part and "truncated" not in whole + part


@lodge_only
@needs("cloud")
@device_only
def test_a_rate_holds_and_is_changed_while_the_guest_runs(vm):
    world = World(vm)
    job = world.start("-netdev user,id=n -device virtio-net-pci,netdev=n "
                      "-object filter-rate,id=r,netdev=n,queue=tx,bps=256k,burst=64k",
                      NET + "t() { a=$(cut -d. -f1 /proc/uptime); wget -q -O /tmp/got http://192.0.2.7/$1; "
                            "echo took=$(($(cut -d. -f1 /proc/uptime) - a)); }; "
                            "t file; echo @@slow; sleep 5; t file")
    qmp = Qmp(job, 2 * BOOT)
    world.wait_for("@@slow")
    qmp.execute("qom-set", {"path": "/objects/r", "property": "bps", "value": 0})
    took = [int(line.partition("=")[2]) for line in world.end(job).splitlines() if line.startswith("took=")]
    assert 13 <= took[0] <= 40 and took[1] <= 8, took


@lodge_only
@needs("cloud")
@device_only
def test_a_restored_guest_learns_that_its_connections_are_gone(vm):
    port, file = some_port(), vm.blank("saved")
    consoles = [vm.console(), vm.console()]
    vm.jobs.append(vm.place.start(f"(echo hello; sleep 600) | busybox nc -l -p {port}"))

    boot = vm.boot(NET + f"mkfifo /tmp/f; sleep 999 >/tmp/f & nc 10.0.2.2 {port} </tmp/f; echo @@gone; "
                         "ping -c 1 -w 20 10.0.2.2")

    def start(console, more):
        job = vm.start(f"-accel {vm.accel} -cpu {vm.cpu()} {MACHINE} -serial file:{console} -qmp stdio "
                       f"-netdev user,id=n -device virtio-net-pci,netdev=n {boot} {more}")
        return job, Qmp(job, BOOT)

    job, qmp = start(consoles[0], "")
    vm.hear(consoles[0], "hello")
    qmp.execute("migrate", {"uri": f"file:{file}"})
    while qmp.execute("query-migrate")["status"] != "completed":
        vm.shell("sleep 0.2")
    qmp.execute("quit")
    assert job.wait(60).status == 0
    job, qmp = start(consoles[1], f"-incoming file:{file}")
    vm.hear(consoles[1], "@@gone")
    assert job.wait(BOOT).status == 0
    assert "1 packets received" in vm.shell(f"cat {consoles[1]}")
