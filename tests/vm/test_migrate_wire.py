# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock kernel that moves in other ways than one stream: through commands, and through several connections."""

from test_migrate import Moving, check
from vmtest import device_only, lodge_only, needs


@needs("cloud")
@device_only
@lodge_only
def test_a_guest_goes_through_gzip_and_comes_back(vm):
    file = f"{vm.folder()}/saved.gz"
    first = Moving(vm)
    first.goes_on()
    first.migrate(f"exec:gzip -1 -c > {file}")
    assert first.state() == "postmigrate"
    first.quit()
    second = Moving(vm, incoming=f"'exec:gzip -dc {file}'")
    second.goes_on()
    second.quit()
    check([first, second])


@needs("cloud")
@device_only
@lodge_only
def test_a_guest_moves_through_several_connections(vm):
    disk = vm.blank("disk", 8)
    guests = [Moving(vm, disk)]
    guests[0].goes_on()
    for n, method in enumerate(("none", "zlib", "zstd")):
        source = guests[-1]
        where = f"unix:{vm.scratch()}/{n}.move" if n % 2 else f"tcp:127.0.0.1:{20100 + n}"
        guests.append(Moving(vm, disk, incoming=where))
        source.qmp.execute("migrate-set-capabilities", {"capabilities": [{"capability": "multifd", "state": True}]})
        source.qmp.execute("migrate-set-parameters", {"max-bandwidth": 0, "multifd-channels": 4,
                                                      "multifd-compression": method})
        info = source.migrate(where)
        assert 0 < info["ram"]["multifd-bytes"] < info["ram"]["transferred"]
        assert (info["ram"]["multifd-bytes"] < info["ram"]["normal-bytes"]) == (method != "none"), info
        source.quit()
        guests[-1].goes_on()
    guests[-1].quit()
    check(guests)
