/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Epochs: reclaim what lock-free readers may still see.
 *
 * Readers are registered threads (vCPUs, loops).  A thread holds no reference to
 * epoch-protected memory when it says epoch_quiescent() (a vCPU at each exit, a
 * loop at its top) or while it is offline (blocked in KVM_RUN or in a wait).
 * What was unpublished is freed once every registered thread has been quiescent
 * or offline since.  Any thread.  The registry of threads is the process' (file-scope
 * state in epoch.c): epochs order threads, not domains.
 */
#pragma once

#include <stdbool.h>

void epoch_thread_begin(void); /* registers the calling thread, online */
void epoch_thread_end(void);
bool epoch_thread_registered(void);
void epoch_quiescent(void);
/* A thread that blocks outside goes offline first; online is a full barrier. Nested calls count. */
void epoch_offline(void);
void epoch_online(void);
/* Runs fn(opaque) on some registered thread (or in epoch_synchronize) when no reader can see it, at
 * one of its quiescent points: no lock is held there. */
void epoch_retire(void (*fn)(void *opaque), void *opaque);
/* Waits until everything retired before has been run.  The caller is quiescent and holds no lock. */
void epoch_synchronize(void);
