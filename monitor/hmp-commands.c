/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What people can type, one line each.  Names are those of QEMU's monitor.
 */
#include <inttypes.h>

#include "monitor/hmp-info.h"
#include "monitor/hmp-memory.h"
#include "monitor/hmp.h"
#include "net/net-commands.h"
#include "net/usernet.h"
#include "vmm/error.h"

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

/* The text of -netdev. */
static bool hmp_netdev_add(HmpCall *call, GError **error)
{
    return netdev_add_text(call->domain, call->rest, error);
}

static bool hmp_set_link(HmpCall *call, GError **error)
{
    g_auto(GStrv) words = g_strsplit(call->rest, " ", 2);
    const char *state = words[0] && words[1] ? g_strstrip(words[1]) : "";
    bool on = g_str_equal(state, "on");

    if (!on && !g_str_equal(state, "off")) {
        error_set(error, "The state of the link is missing, or neither 'on' nor 'off'");
        return error_hint(error, "Write set_link NAME on|off.");
    }
    return net_set_link(call->domain, words[0], on, error);
}

/* One word, or two of which the first is a netdev. */
static bool hmp_hostfwd(HmpCall *call, bool (*change)(Domain *, const char *, const char *, GError **), GError **error)
{
    g_auto(GStrv) words = g_strsplit(call->rest, " ", 2);
    bool named = words[0] && words[1];

    return change(call->domain, named ? words[0] : NULL, named ? g_strstrip(words[1]) : call->rest, error);
}

static bool hmp_hostfwd_add(HmpCall *call, GError **error)
{
    return hmp_hostfwd(call, net_hostfwd_add, error);
}

static bool hmp_hostfwd_remove(HmpCall *call, GError **error)
{
    return hmp_hostfwd(call, net_hostfwd_remove, error);
}

static bool hmp_info_network(HmpCall *call, GError **error)
{
    net_info(call->domain, call->out);
    return true;
}

static bool hmp_info_usernet(HmpCall *call, GError **error)
{
    net_usernet_info(call->domain, call->out);
    return true;
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
    { "netdev_add", .run = hmp_netdev_add, .params = "TYPE,id=ID[,KEY=VALUE...]",
      .help = "Add a network backend, as -netdev does" },
    { "netdev_del", NULL, "netdev_del", .params = "ID" },
    { "set_link", .run = hmp_set_link, .params = "NAME on|off", .help = "Plug in or pull the cable of a NIC" },
    { "hostfwd_add", .run = hmp_hostfwd_add, .params = "[NETDEV] [tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT",
      .help = "Forward a port of the host to the guest" },
    { "hostfwd_remove", .run = hmp_hostfwd_remove, .params = "[NETDEV] [tcp|udp]:[HOSTADDR]:HOSTPORT",
      .help = "Stop to forward a port of the host" },
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
    { "iothreads", NULL, "query-iothreads", .print = hmp_print_reply },
    { "kvm", NULL, "query-kvm", .print = hmp_print_kvm },
    { "memdev", NULL, "query-memdev", .print = hmp_print_reply },
    { "memory_size_summary", NULL, "query-memory-size-summary", .print = hmp_print_reply },
    { "mtree", .run = hmp_info_mtree, .help = "Show the memory and port map" },
    { "name", NULL, "query-name", .print = hmp_print_name },
    { "named-block-nodes", NULL, "query-named-block-nodes", .print = hmp_print_reply },
    { "network", .run = hmp_info_network, .help = "Show NICs and what stands behind them" },
    { "pci", NULL, "query-pci", .print = hmp_print_pci },
    { "qtree", .run = hmp_info_qtree, .help = "Show buses, devices and their properties" },
    { "registers", .run = hmp_info_registers, .params = "[-a] [VCPU]",
      .help = "Show a vCPU's registers (default: vCPU 0; -a: of all), with x87 and SSE" },
    { "stats", NULL, "query-stats", .params = "vm|vcpu", .print = hmp_print_reply },
    { "status", NULL, "query-status", .print = hmp_print_status },
    { "usernet", .run = hmp_info_usernet, .help = "Show the connections of user networks" },
    { "uuid", NULL, "query-uuid", .print = hmp_print_uuid },
    { "version", NULL, "query-version", .print = hmp_print_version },
    { NULL }
};
