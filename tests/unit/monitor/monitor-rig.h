/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QMP client at the other end of a socket, of a domain without a machine or of one that the test has.
 */
#pragma once

#include "monitor/qmp.h"
#include "vmm/domain.h"

typedef struct MonitorRig {
    Domain *domain;
    Qmp *qmp;
    char *folder, *path;
    int client;     /* its socket; -1: not connected */
    GString *heard; /* what came and was not asked for yet */
} MonitorRig;

MonitorRig *monitor_rig_new(Domain *domain); /* of a domain that there is; connected, nothing read */
void monitor_rig_free(MonitorRig *r);        /* the domain stays */
int monitor_rig_setup(void **state);    /* connected, nothing read */
int monitor_rig_negotiated(void **state); /* ... greeted, and capabilities negotiated */
int monitor_rig_teardown(void **state);
void monitor_rig_connect(MonitorRig *r);
void monitor_rig_disconnect(MonitorRig *r);
void monitor_rig_send(MonitorRig *r, const char *bytes, size_t length, int fd); /* fd -1: none */
char *monitor_rig_line(MonitorRig *r); /* the next, without CR LF; the caller's */
bool monitor_rig_is_silent(MonitorRig *r);
/* One request; what comes next is expected.  "..." at the end of it: anything follows. */
void monitor_rig_ask(MonitorRig *r, const char *request, const char *expected);
