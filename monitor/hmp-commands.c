/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What people can type, one line each.  Names are those of QEMU's monitor.
 */
#include "monitor/hmp-info.h"
#include "monitor/hmp-memory.h"
#include "monitor/hmp.h"

const HmpCommand hmp_commands[] = {
    /* ---- running ---- */
    { "stop", "s", "stop" },
    { "cont", "c", "cont" },
    { "system_reset", NULL, "system_reset" },
    { "system_powerdown", NULL, "system_powerdown" },
    { "system_wakeup", NULL, "system_wakeup" },
    { "nmi", NULL, "inject-nmi" },
    { "quit", "q", "quit" },
    /* ---- memory ---- */
    { "x", .run = hmp_x, .params = "/FORMAT ADDRESS", .help = "Show memory as vCPU 0 sees it: x /4xg $rsp, x /10i $pc" },
    { "xp", .run = hmp_xp, .params = "/FORMAT ADDRESS", .help = "Show physical memory" },
    { "print", "p", .run = hmp_print, .params = "/FORMAT EXPRESSION", .help = "Show the value of an expression" },
    { "memsave", NULL, "memsave", .params = "ADDRESS SIZE FILE" },
    { "pmemsave", NULL, "pmemsave", .params = "ADDRESS SIZE FILE" },
    { "gva2gpa", .run = hmp_gva2gpa, .params = "ADDRESS", .help = "Show where an address of vCPU 0 is in physical memory" },
    { NULL }
};

const HmpCommand hmp_info_topics[] = {
    { "fdsets", NULL, "query-fdsets", .print = hmp_print_reply },
    { "mtree", .run = hmp_info_mtree, .help = "Show the memory and port map" },
    { "qtree", .run = hmp_info_qtree, .help = "Show buses, devices and their properties" },
    { "registers", .run = hmp_info_registers, .params = "[-a] [VCPU]",
      .help = "Show a vCPU's registers (default: vCPU 0; -a: of all; with x87 and SSE)" },
    { "status", NULL, "query-status", .print = hmp_print_status },
    { "version", NULL, "query-version", .print = hmp_print_version },
    { NULL }
};
