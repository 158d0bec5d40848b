/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A character device with a front end of the test, on a domain without a machine.
 */
#pragma once

#include "vmm/chardev.h"
#include "vmm/domain.h"

typedef struct Rig {
    Domain *domain;
    char *folder, *path; /* a name in it that does not exist yet */
    Chardev *chr;
    /* the front end */
    char in[256], events[64];
    size_t room;
    int writable;
    Lock lock;
    int fd; /* taken in receive */
} Rig;

int rig_setup(void **state);
int rig_teardown(void **state);
ChardevFrontend rig_front(Rig *r);
/* Rounds of the main loop until nothing more happens; until the front end has had these events. */
void rig_settle(Rig *r);
void rig_run_until(Rig *r, const char *events);
/* Makes a chardev and attaches the front end. */
void rig_add(Rig *r, const char *text);
void rig_say(Rig *r, const char *text);
/* Why it cannot be made; freed by the caller, as are the next two. */
char *rig_error(Rig *r, const char *text);
char *rig_contents(const char *path);
char *rig_drain(int fd); /* everything that can be read now */
