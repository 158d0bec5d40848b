/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where is a command?  Every table of verbs, one line each.
 */
#include "tools/lodgectl/verbs.h"

const VerbSection verb_sections[] = {
    { "Which domains there are", list_verbs },
    { "Definitions", define_verbs },
    { "Running", run_verbs },
    { "Consoles", console_verbs },
    { "Logs", log_verbs },
    { "Monitors", monitor_verbs },
    { "Events", event_verbs },
    { "Statistics", stats_verbs },
    { "Network interfaces", net_verbs },
    { "All of them at a glance", top_verbs },
    { "What they get", tune_verbs },
    { "Shares of the host's CPUs", sched_verbs },
    { "Places on the host's CPUs", pin_verbs },
    { "Hot plug", attach_verbs },
    { "Hot plug of CPUs", vcpus_verbs },
    { "Saved domains", save_verbs },
    { "Moving domains", move_verbs },
    { "Arriving domains", receive_verbs },
    { NULL },
};
