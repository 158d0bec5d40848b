/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared guest memory that comes from a file as it is touched: userfaultfd(2).
 *
 * A private mapping of the file would show its pages, but shared memory (a memfd) has
 * pages of its own.  They are missing at first, and a thread puts in what the file has
 * when the guest, a device or the kernel on their behalf comes to one.  That holds for
 * this process only: in another that has the memfd a missing page is zero.  So who wants
 * the descriptor (ram_block_fd()) waits until everything is there.
 *
 * A page that cannot be read later is memory that the guest has lost, and whoever
 * touched it waits for ever: the process ends, with one sentence.
 *
 * Locking: a mutex of its own, a leaf.  Who waits for it gets it before the thread, which
 * would keep it until all is there.  The thread touches no memory of guests.
 */
#pragma once

#include <stdbool.h>

#include "vmm/ram.h"

typedef struct RamFill RamFill;

/* A descriptor, or negative errno: this user may not, this kernel cannot.  Before the sandbox. */
int ram_fill_open(void);
/* Takes userfault; it has a descriptor of its own of the file.  NULL: there are none left. */
RamFill *ram_fill_new(int userfault, int file);
/* What is touched comes from here on; so before the first block, whose pages would not.  Negative errno. */
int ram_fill_start(RamFill *fill);
/* The block's pages are those of the file from `offset` on; what was in them is lost.  Negative errno: this block
 * cannot have that. */
int ram_fill_add(RamFill *fill, RamBlock *block, uint64_t offset);
void ram_fill_all(RamFill *fill); /* everything comes, by and by; no more blocks */
/* After everybody who may touch the memory. NULL is fine. */
void ram_fill_free(RamFill *fill);

/* ---- for vmm/ram.c: of a block that is being filled ---- */
typedef struct RamFillPart RamFillPart;
void ram_fill_wait(RamFillPart *part); /* until everything is there */
/* Pages that are zero from now on: discard() gives them back while nothing is put there. */
int ram_fill_discard(RamFillPart *part, uint64_t offset, uint64_t length, int (*discard)(void *opaque), void *opaque);
