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
    { "Monitors", monitor_verbs },
    { "Events", event_verbs },
    { "Statistics", stats_verbs },
    { "All of them at a glance", top_verbs },
    { "What they get", tune_verbs },
    { "Hot plug", attach_verbs },
    { "Saved and moving domains", move_verbs },
    { NULL },
};
