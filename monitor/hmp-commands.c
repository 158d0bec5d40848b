/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What people can type, one line each.  Names are those of QEMU's monitor.
 */
#include <inttypes.h>

#include "monitor/hmp-info.h"
#include "monitor/hmp-memory.h"
#include "monitor/hmp.h"

/* The text of -chardev, which is not that of the QMP command. */
static bool hmp_chardev_add(HmpCall *call, GError **error)
{
    return chardev_add_text(call->domain, call->rest, error) != NULL;
}

/* MiB here, bytes there. */
static bool hmp_balloon(HmpCall *call, GError **error)
{
    g_autofree char *bytes = NULL;
    uint64_t size;

    if (!size_parse(call->rest, UINT64_C(1) << 20, &size, error)) {
        return false;
    }
    bytes = g_strdup_printf("value=%" PRIu64, size);
    return hmp_call_qmp(call, "balloon", bytes, error);
}

const HmpCommand hmp_commands[] = {
    /* ---- running ---- */
    { "stop", "s", "stop" },
    { "cont", "c", "cont" },
    { "system_reset", NULL, "system_reset" },
    { "system_powerdown", NULL, "system_powerdown" },
    { "system_wakeup", NULL, "system_wakeup" },
    { "nmi", NULL, "inject-nmi" },
    { "quit", "q", "quit" },
    /* ---- devices and what stands behind them ---- */
    { "device_add", NULL, "device_add", "driver", .params = "DRIVER[,id=ID][,bus=BUS][,PROPERTY=VALUE...]" },
    { "device_del", NULL, "device_del", .params = "ID" },
    { "object_add", NULL, "object-add", "qom-type", .params = "TYPE,id=ID[,PROPERTY=VALUE...]" },
    { "object_del", NULL, "object-del", .params = "ID" },
    { "chardev-add", .run = hmp_chardev_add, .params = "BACKEND,id=ID[,KEY=VALUE...]",
      .help = "Add a character device, as -chardev does" },
    { "chardev-remove", NULL, "chardev-remove", .params = "ID" },
    { "chardev-send-break", NULL, "chardev-send-break", .params = "ID" },
    { "balloon", .run = hmp_balloon, .params = "MIB", .help = "Ask the guest to have so much memory" },
    { "closefd", NULL, "closefd", .params = "NAME" },
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
    { "balloon", NULL, "query-balloon", .print = hmp_print_balloon },
    { "block", NULL, "query-block", .print = hmp_print_block },
    { "blockstats", NULL, "query-blockstats", .print = hmp_print_reply },
    { "chardev", NULL, "query-chardev", .print = hmp_print_chardev },
    { "cpus", NULL, "query-cpus-fast", .print = hmp_print_cpus },
    { "dump", NULL, "query-dump", .print = hmp_print_reply },
    { "fdsets", NULL, "query-fdsets", .print = hmp_print_reply },
    { "hotpluggable-cpus", NULL, "query-hotpluggable-cpus", .print = hmp_print_reply },
    { "iothreads", NULL, "query-iothreads", .print = hmp_print_reply },
    { "kvm", NULL, "query-kvm", .print = hmp_print_kvm },
    { "memdev", NULL, "query-memdev", .print = hmp_print_reply },
    { "memory_size_summary", NULL, "query-memory-size-summary", .print = hmp_print_reply },
    { "mtree", .run = hmp_info_mtree, .help = "Show the memory and port map" },
    { "name", NULL, "query-name", .print = hmp_print_name },
    { "named-block-nodes", NULL, "query-named-block-nodes", .print = hmp_print_reply },
    { "pci", NULL, "query-pci", .print = hmp_print_pci },
    { "qtree", .run = hmp_info_qtree, .help = "Show buses, devices and their properties" },
    { "registers", .run = hmp_info_registers, .params = "[-a] [VCPU]",
      .help = "Show a vCPU's registers (default: vCPU 0; -a: of all), with x87 and SSE" },
    { "stats", NULL, "query-stats", .params = "vm|vcpu", .print = hmp_print_reply },
    { "status", NULL, "query-status", .print = hmp_print_status },
    { "uuid", NULL, "query-uuid", .print = hmp_print_uuid },
    { "version", NULL, "query-version", .print = hmp_print_version },
    { NULL }
};
