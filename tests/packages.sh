# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by quickstart and check: the Debian packages that each thing needs, and their installation by name.

# To build lodge.
BUILD_PACKAGES="meson ninja-build pkg-config gcc libc6-dev python3 libglib2.0-dev liburing-dev libjson-c-dev
    libseccomp-dev libnuma-dev libfdt-dev libzydis-dev zlib1g-dev libzstd-dev libslirp-dev"
# To make guests from stock kernels.
GUEST_PACKAGES="python3 busybox-static kmod xz-utils zstd e2fsprogs"
# To boot them where the host has no hardware virtualization.
NESTED_PACKAGES="qemu-system-x86"
# To run every test.
CHECK_PACKAGES="clang libclang-rt-14-dev lld llvm libcmocka-dev acpica-tools device-tree-compiler qemu-utils cpio
    mmdebstrap fio iperf3 strace socat gdb libvirt-daemon-system libvirt-clients iproute2 passt tcpdump man-db
    qemu-system-common"

# install_packages NAME...: install those that are missing.
install_packages()
{
    missing=
    for package in "$@"; do
        case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
        "install ok installed") ;;
        *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    as_root=
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "These packages are missing:$missing. Run this as root, or install sudo." >&2
            return 1
        fi
        as_root=sudo
    fi
    log=$(mktemp)
    # shellcheck disable=SC2086
    if $as_root apt-get update >"$log" 2>&1 &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >>"$log" 2>&1; then
        rm -f "$log"
        return 0
    fi
    tail -n 15 "$log" >&2
    rm -f "$log"
    echo "These packages could not be installed:$missing" >&2
    return 1
}
