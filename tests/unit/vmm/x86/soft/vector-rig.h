/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest beside the host (native-vector.h): states of vector, x87 and general registers,
 * instructions executed from them, and what differs afterwards.
 */
#pragma once

#include "native-vector.h"
#include "soft-rig.h"

/* In 64-bit mode; its memory is at the same linear addresses as the host's: a page at NATIVE_DATA, then nothing.  In
 * the test itself, as native_vector_begin(). */
SoftRig *vector_rig_new(void);
void vector_rig_free(SoftRig *rig);
/* -1: the guest came to the HLT behind the instructions; else the vector of the exception. */
int vector_run(SoftRig *rig, const uint8_t *bytes, unsigned n, const VectorState *before, VectorState *ret_after);

uint64_t vector_random(uint64_t *seed);
/* 16 bytes: numbers of every class. */
void vector_fill_register(uint64_t *seed, uint8_t *to);
/* kind & 1: x87 exceptions are not masked, one may be pending; kind & 2: nor are those of SSE. */
void vector_fill(uint64_t *seed, VectorState *state, unsigned kind);
/* What differs, NULL: nothing.  Changes both images to their canonical form; x87 pointers are not compared. */
const char *vector_difference(int native_vector, VectorState *native, int vector, VectorState *guest);
