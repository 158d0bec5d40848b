/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The system calls of each role: the table that sandbox.c compiles. */
#pragma once

#include <stdbool.h>

/* Which option of -sandbox a row depends on. */
typedef enum SandboxGroup {
    GROUP_ALWAYS,
    GROUP_OPENING, /* not under strict */
    GROUP_OBSOLETE,
    GROUP_PRIVILEGES,
    GROUP_SPAWN,
    GROUP_RESOURCES,
    SANDBOX_GROUPS
} SandboxGroup;

typedef struct SandboxCall {
    int number;
    unsigned roles; /* bits 1 << SandboxRole */
    SandboxGroup group;
} SandboxCall;

extern const SandboxCall sandbox_calls[];
extern const unsigned sandbox_n_calls;
