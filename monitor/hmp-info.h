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
void hmp_print_chardev(const Json *reply, GString *out);
void hmp_print_blockstats(const Json *reply, GString *out);
void hmp_print_iothreads(const Json *reply, GString *out);
void hmp_print_memdev(const Json *reply, GString *out);
void hmp_print_memory_size(const Json *reply, GString *out);
void hmp_print_pci(const Json *reply, GString *out);

/* Members of a reply; "", 0 and false where there are none. */
const char *hmp_text_of(const Json *object, const char *name);
int64_t hmp_number_of(const Json *object, const char *name);
bool hmp_flag_of(const Json *object, const char *name);

bool hmp_cpu(HmpCall *call, GError **error);

/* What has no QMP command, or needs more than its reply. */
bool hmp_info_block(HmpCall *call, GError **error);
bool hmp_info_cpus(HmpCall *call, GError **error);
bool hmp_info_history(HmpCall *call, GError **error);
bool hmp_info_irq(HmpCall *call, GError **error);
bool hmp_info_jit(HmpCall *call, GError **error);
bool hmp_info_lapic(HmpCall *call, GError **error);
bool hmp_info_mem(HmpCall *call, GError **error);
bool hmp_info_mtree(HmpCall *call, GError **error);
bool hmp_info_numa(HmpCall *call, GError **error);
bool hmp_info_pic(HmpCall *call, GError **error);
bool hmp_info_qom_tree(HmpCall *call, GError **error);
bool hmp_info_qtree(HmpCall *call, GError **error);
bool hmp_info_registers(HmpCall *call, GError **error);
bool hmp_info_tlb(HmpCall *call, GError **error);
