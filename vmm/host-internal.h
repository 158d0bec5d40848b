/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What host.c and host-daemon.c share. */
#pragma once

/* Closes every descriptor of every set. */
void host_fdsets_free(void);
