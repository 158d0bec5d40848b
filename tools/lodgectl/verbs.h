/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tables of verbs, one a file.
 */
#pragma once

#include "tools/lodgectl/verb.h"

extern const Verb list_verbs[], define_verbs[], run_verbs[], log_verbs[], console_verbs[], monitor_verbs[],
    event_verbs[], stats_verbs[], top_verbs[], tune_verbs[], pin_verbs[], sched_verbs[], net_verbs[],
    vcpus_verbs[], attach_verbs[], save_verbs[], move_verbs[],
    receive_verbs[];
