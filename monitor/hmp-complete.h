/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may stand behind a command: HmpCommand.complete.
 */
#pragma once

#include "monitor/hmp.h"

void hmp_complete_device(HmpSession *session, const char *begin, GPtrArray *words);      /* an id */
void hmp_complete_object(HmpSession *session, const char *begin, GPtrArray *words);      /* an id */
void hmp_complete_chardev(HmpSession *session, const char *begin, GPtrArray *words);     /* an id */
void hmp_complete_capability(HmpSession *session, const char *begin, GPtrArray *words);  /* of migrations */
void hmp_complete_parameter(HmpSession *session, const char *begin, GPtrArray *words);   /* of migrations */
void hmp_complete_new_device(HmpSession *session, const char *begin, GPtrArray *words);  /* DRIVER[,PROPERTY=...] */
void hmp_complete_new_object(HmpSession *session, const char *begin, GPtrArray *words);  /* TYPE[,PROPERTY=...] */
void hmp_complete_new_chardev(HmpSession *session, const char *begin, GPtrArray *words); /* BACKEND */
void hmp_complete_netdev(HmpSession *session, const char *begin, GPtrArray *words);      /* an id */
void hmp_complete_link(HmpSession *session, const char *begin, GPtrArray *words);        /* a NIC, or its netdev's id */
void hmp_complete_watchdog(HmpSession *session, const char *begin, GPtrArray *words);    /* an action */
