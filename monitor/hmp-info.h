/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `info`: what is shown, and how.
 */
#pragma once

#include "monitor/hmp.h"

/* Replies of QMP commands (monitor/hmp-print.c). */
void hmp_print_status(const Json *reply, GString *out);
void hmp_print_version(const Json *reply, GString *out);
void hmp_print_name(const Json *reply, GString *out);
void hmp_print_uuid(const Json *reply, GString *out);
void hmp_print_kvm(const Json *reply, GString *out);
void hmp_print_balloon(const Json *reply, GString *out);
void hmp_print_cpus(const Json *reply, GString *out);
void hmp_print_chardev(const Json *reply, GString *out);
void hmp_print_block(const Json *reply, GString *out);
void hmp_print_pci(const Json *reply, GString *out);

/* What has no QMP command. */
bool hmp_info_mtree(HmpCall *call, GError **error);
bool hmp_info_qtree(HmpCall *call, GError **error);
bool hmp_info_registers(HmpCall *call, GError **error);
