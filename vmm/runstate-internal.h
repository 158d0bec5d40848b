/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between runstate.c and runstate-requests.c; nothing else includes it.  Main thread.
 */
#pragma once

#include "vmm/runstate.h"

/* What was requested; of a domain. */
void run_handle_requests(void *opaque);
void run_handle_kept(Domain *domain); /* that were not while it was frozen, and new ones */
/* A guest that asked to be suspended before its domain was stopped, which is quiet now, would wait for a wake-up that
 * never comes if that were lost: then it is suspended. */
bool run_fell_asleep(Domain *domain);

void run_set_state(Domain *domain, RunState state);
/* That which follows finish-migrate, while it is in that. */
RunState run_state_to_be(const Domain *domain);
void run_set_state_to_be(Domain *domain, RunState state);
/* Tells observers.  One may come or go meanwhile. */
void run_notify(Domain *domain, RunEvent event, RequestReason reason);
/* Quiet, and back; a domain that is so already stays so. */
void run_go_quiet(Domain *domain);
void run_go_on(Domain *domain);
/* Guest time. */
void run_stop_time(Domain *domain);
void run_start_time(Domain *domain);
