/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may stand behind a command: HmpCommand.complete.
 */
#pragma once

#include "monitor/hmp.h"

/* Ids and names of what there is. */
void hmp_complete_device(HmpSession *session, const char *begin, GPtrArray *words);
void hmp_complete_object(HmpSession *session, const char *begin, GPtrArray *words);
void hmp_complete_policy(HmpSession *session, const char *begin, GPtrArray *words); /* objects of egress-policy */
void hmp_complete_chardev(HmpSession *session, const char *begin, GPtrArray *words);
void hmp_complete_netdev(HmpSession *session, const char *begin, GPtrArray *words);
void hmp_complete_user_netdev(HmpSession *session, const char *begin, GPtrArray *words);
void hmp_complete_link(HmpSession *session, const char *begin, GPtrArray *words);  /* a NIC, or its netdev */
void hmp_complete_nics(HmpSession *session, const char *begin, GPtrArray *words);  /* NIC,NIC ... */
void hmp_complete_block(HmpSession *session, const char *begin, GPtrArray *words); /* [-n] [-v] DISK */
void hmp_complete_vcpu(HmpSession *session, const char *begin, GPtrArray *words);  /* its index */
void hmp_complete_apic(HmpSession *session, const char *begin, GPtrArray *words);  /* a vCPU's APIC ID */
/* Of migrations. */
void hmp_complete_capability(HmpSession *session, const char *begin, GPtrArray *words);
void hmp_complete_parameter(HmpSession *session, const char *begin, GPtrArray *words); /* PARAMETER VALUE */
/* TYPE,key=value: hmp-complete-make.c */
void hmp_complete_new_device(HmpSession *session, const char *begin, GPtrArray *words);
void hmp_complete_new_object(HmpSession *session, const char *begin, GPtrArray *words);
void hmp_complete_new_chardev(HmpSession *session, const char *begin, GPtrArray *words);
void hmp_complete_new_netdev(HmpSession *session, const char *begin, GPtrArray *words);

/* ---- for these, and for every command ---- */
/* The values of a field, where it has a list of them, each behind `before`. */
void hmp_complete_field(const Field *field, const char *before, const char *begin, GPtrArray *words);
/* What params says literally at the place where the arguments end: "on|off", and "[-d]" once a '-' is typed. */
void hmp_complete_place(const HmpCommand *c, const char *begin, GPtrArray *words);
