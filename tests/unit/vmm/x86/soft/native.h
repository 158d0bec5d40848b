/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pieces of code run by the host's own processor, at the same addresses as in a guest, to
 * compare with: in 64-bit mode, or in compatibility mode through Linux' 32-bit code segment.
 *
 * The code runs in this process, on memory below 2 GiB that native_map() places; it must end
 * in native_exit_code().  What it raises comes back as a vector.  One thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct NativeState {
    uint64_t gpr[16], rip, rflags;
    int vector; /* of the exception that ended it; -1: it came to its end */
} NativeState;

/* In the test itself: before, cmocka installs handlers of its own. */
void native_begin(void);
void native_end(void);
/* Whether 32-bit code can run at all: some kernels and sandboxes have it not. */
bool native_has_compatibility(void);
/* Zeroed memory at that address. */
void *native_map(uint64_t address, uint64_t size, bool writable);
void native_unmap(uint64_t address, uint64_t size);

#define NATIVE_EXIT_BYTES 7
/* Bytes to end code with. */
void native_exit_code(uint8_t *to, bool compatibility);
/* From state->rip on; rflags: the arithmetic flags and DF. */
void native_run(NativeState *state, bool compatibility);
