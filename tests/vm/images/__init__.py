# SPDX-License-Identifier: GPL-2.0-or-later
"""Images for guest tests, made from the distribution's packages: kernels, initramfs archives, disks."""
