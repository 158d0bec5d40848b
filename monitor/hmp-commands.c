/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What people can type, one line each.  Names are those of QEMU's monitor.
 */
#include "monitor/gdb.h"
#include "monitor/hmp-complete.h"
#include "monitor/hmp-info.h"
#include "monitor/hmp-memory.h"
#include "monitor/hmp-migrate.h"
#include "monitor/hmp-net.h"
#include "monitor/hmp-qom.h"
#include "monitor/hmp.h"
#include "vmm/options.h"

/* The text of -chardev, which is not that of the QMP command. */
static bool hmp_chardev_add(HmpCall *call, GError **error)
{
    return chardev_add_text(call->domain, call->rest, error) != NULL;
}

/* MiB here, bytes there. */
static bool hmp_balloon(HmpCall *call, GError **error)
{
    Json *arguments;
    uint64_t size;

    if (!size_parse(call->rest, UINT64_C(1) << 20, &size, error)) {
        return false;
    }
    arguments = json_new_object();
    hmp_put_number(arguments, "value", size);
    return hmp_call_qmp(call, "balloon", arguments, NULL, error);
}

static bool hmp_gdbserver(HmpCall *call, GError **error)
{
    const char *device = call->rest[0] ? call->rest : GDB_DEFAULT;

    if (!gdb_server_open(call->domain, device, error)) {
        return false;
    }
    g_string_append_printf(call->out, domain_gdb_server(call->domain) ? "Waiting for gdb connection on device '%s'\n"
                                                                      : "Disabled gdbserver\n", device);
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
    { "watchdog_action", NULL, "watchdog-set-action", .params = "ACTION" },
    { "quit", "q", "quit" },
    /* ---- devices and what stands behind them ---- */
    { "device_add", NULL, "device_add", "driver", .params = "DRIVER[,id=ID][,bus=BUS][,PROPERTY=VALUE...]",
      .complete = hmp_complete_new_device, .option = "device" },
    { "device_del", NULL, "device_del", .params = "ID", .complete = hmp_complete_device },
    { "object_add", NULL, "object-add", "qom-type", .params = "TYPE,id=ID[,PROPERTY=VALUE...]",
      .complete = hmp_complete_new_object, .option = "object" },
    { "object_del", NULL, "object-del", .params = "ID", .complete = hmp_complete_object },
    { "chardev-add", .run = hmp_chardev_add, .params = "BACKEND,id=ID[,KEY=VALUE...]",
      .help = "Add a character device, as -chardev does", .complete = hmp_complete_new_chardev, .option = "chardev" },
    { "chardev-remove", NULL, "chardev-remove", .params = "ID", .complete = hmp_complete_chardev },
    { "chardev-send-break", NULL, "chardev-send-break", .params = "ID", .complete = hmp_complete_chardev },
    { "netdev_add", .run = hmp_netdev_add, .params = "TYPE,id=ID[,KEY=VALUE...]",
      .help = "Add a network backend, as -netdev does", .complete = hmp_complete_new_netdev, .option = "netdev" },
    { "netdev_del", NULL, "netdev_del", .params = "ID", .complete = hmp_complete_netdev },
    { "set_link", .run = hmp_set_link, .params = "NAME on|off", .help = "Plug in or pull the cable of a NIC",
      .complete = hmp_complete_link },
    { "announce_self", .run = hmp_announce_self, .params = "[NIC,...] [ID]",
      .help = "Tell switches and neighbours where the NICs are", .complete = hmp_complete_nics },
    { "hostfwd_add", .run = hmp_hostfwd_add, .params = "[NETDEV] [tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT",
      .help = "Forward a port of the host to the guest", .complete = hmp_complete_user_netdev },
    { "hostfwd_remove", .run = hmp_hostfwd_remove, .params = "[NETDEV] [tcp|udp]:[HOSTADDR]:HOSTPORT",
      .help = "Stop to forward a port of the host", .complete = hmp_complete_user_netdev },
    { "egress_add", .run = hmp_egress_add, .params = "POLICY allow|deny RULE", .help = "Add a rule to an egress policy",
      .complete = hmp_complete_policy },
    { "egress_remove", .run = hmp_egress_remove, .params = "POLICY allow|deny RULE",
      .help = "Remove a rule from an egress policy, and cut what is not allowed any more",
      .complete = hmp_complete_policy },
    { "balloon", .run = hmp_balloon, .params = "MIB", .help = "Ask the guest to have so much memory" },
    { "closefd", NULL, "closefd", .params = "NAME" },
    { "qom-list", .run = hmp_qom_list, .params = "PATH", .help = "Show an object's properties and children",
      .complete = hmp_complete_qom_path },
    { "qom-get", .run = hmp_qom_get, .params = "PATH PROPERTY", .help = "Show a property",
      .complete = hmp_complete_qom_property },
    { "qom-set", .run = hmp_qom_set, .params = "PATH PROPERTY VALUE", .help = "Change a property",
      .complete = hmp_complete_qom_property },
    /* ---- moving ---- */
    { "migrate", .run = hmp_migrate, .params = "[-d] URI",
      .help = "Move the domain (-d: in the background): unix:PATH, tcp:HOST:PORT, fd:NAME, file:PATH, "
              "\"exec:COMMAND\"" },
    { "migrate_cancel", NULL, "migrate_cancel" },
    { "migrate_continue", NULL, "migrate-continue", .params = "pre-switchover" },
    { "migrate_incoming", NULL, "migrate-incoming", .params = "URI" },
    { "migrate_set_capability", .run = hmp_migrate_set_capability, .params = "CAPABILITY on|off",
      .help = "Choose what migrations do", .complete = hmp_complete_capability },
    { "migrate_set_parameter", .run = hmp_migrate_set_parameter, .params = "PARAMETER VALUE",
      .help = "Say how migrations are done", .complete = hmp_complete_parameter },
    { "calc_dirty_rate", .run = hmp_calc_dirty_rate, .params = "[-b] SECONDS [SAMPLE-PAGES]",
      .help = "Measure how fast the guest changes its memory (-b: by the dirty log)" },
    /* ---- vCPUs and memory ---- */
    { "cpu", .run = hmp_cpu, .params = "INDEX", .help = "Choose the vCPU that x, print, info registers ... are about",
      .complete = hmp_complete_vcpu },
    { "x", .run = hmp_x, .params = "/FORMAT ADDRESS",
      .help = "Show memory as the vCPU sees it: x /4xg $rsp, x /10i $pc" },
    { "xp", .run = hmp_xp, .params = "/FORMAT ADDRESS", .help = "Show physical memory" },
    { "print", "p", .run = hmp_print, .params = "/FORMAT EXPRESSION", .help = "Show the value of an expression" },
    { "i", .run = hmp_in, .params = "/FORMAT PORT", .help = "Read a port: i /b 0x64" },
    { "o", .run = hmp_out, .params = "/FORMAT PORT VALUE", .help = "Write a port" },
    { "sum", .run = hmp_sum, .params = "ADDRESS SIZE", .help = "Show the checksum (as of sum -r) of physical memory" },
    { "memsave", .run = hmp_memsave, .params = "ADDRESS SIZE FILE",
      .help = "Write memory, as the vCPU sees it, to a file" },
    { "pmemsave", .run = hmp_pmemsave, .params = "ADDRESS SIZE FILE", .help = "Write physical memory to a file" },
    { "dump-guest-memory", .run = hmp_dump_guest_memory, .params = "[-p] [-d] [-z] FILE [BEGIN LENGTH]",
      .help = "Dump memory for crash or gdb: -p with paging, -d in the background, -z kdump-zlib" },
    { "gdbserver", .run = hmp_gdbserver, .params = "[DEVICE]",
      .help = "Wait for gdb there (" GDB_DEFAULT "), as -gdb does; none: no longer" },
    { "gva2gpa", .run = hmp_gva2gpa, .params = "ADDRESS",
      .help = "Show where an address of the vCPU is in physical memory" },
    { "gpa2hva", .run = hmp_gpa2hva, .params = "ADDRESS", .help = "Show where physical memory is in this process" },
    { NULL }
};

const HmpCommand hmp_info_topics[] = {
    { "balloon", NULL, "query-balloon", .print = hmp_print_balloon },
    { "block", .run = hmp_info_block, .params = "[-n] [-v] [DEVICE]",
      .help = "List the disks (-n: block nodes; -v: images, too)", .complete = hmp_complete_block },
    { "blockstats", NULL, "query-blockstats", .print = hmp_print_blockstats },
    { "chardev", NULL, "query-chardev", .print = hmp_print_chardev },
    { "cpus", .run = hmp_info_cpus, .help = "List the vCPUs" },
    { "dirty_rate", NULL, "query-dirty-rate", .print = hmp_print_dirty_rate },
    { "dump", NULL, "query-dump", .print = hmp_print_reply },
    { "fdsets", NULL, "query-fdsets", .print = hmp_print_reply },
    { "history", .run = hmp_info_history, .help = "Show what was typed" },
    { "egress", .run = hmp_info_egress, .help = "Show egress policies and the connections there are" },
    { "hotpluggable-cpus", NULL, "query-hotpluggable-cpus", .print = hmp_print_reply },
    { "iothreads", NULL, "query-iothreads", .print = hmp_print_iothreads },
    { "irq", .run = hmp_info_irq, .help = "Show how often each interrupt line rose" },
    { "jit", .run = hmp_info_jit, .help = "Show the counters of the software CPU" },
    { "kvm", NULL, "query-kvm", .print = hmp_print_kvm },
    { "lapic", .run = hmp_info_lapic, .params = "[APIC-ID]", .help = "Show the vCPU's local APIC",
      .complete = hmp_complete_apic },
    { "mem", .run = hmp_info_mem, .help = "Show the ranges that the vCPU's page tables map" },
    { "memdev", NULL, "query-memdev", .print = hmp_print_memdev },
    { "memory_size_summary", NULL, "query-memory-size-summary", .print = hmp_print_memory_size },
    { "migrate", NULL, "query-migrate", .print = hmp_print_migrate },
    { "migrate_capabilities", NULL, "query-migrate-capabilities", .print = hmp_print_capabilities },
    { "migrate_parameters", NULL, "query-migrate-parameters", .print = hmp_print_parameters },
    { "mtree", .run = hmp_info_mtree, .params = "[-f] [-D]",
      .help = "Show the memory and port map (-f: as the guest sees it; -D: what is switched off, too)" },
    { "name", NULL, "query-name", .print = hmp_print_name },
    { "named-block-nodes", NULL, "query-named-block-nodes", .print = hmp_print_reply },
    { "network", .run = hmp_info_network, .help = "Show NICs and what stands behind them" },
    { "nics", NULL, "query-nics", .print = hmp_print_reply },
    { "numa", .run = hmp_info_numa, .help = "Show NUMA nodes" },
    { "pci", NULL, "query-pci", .print = hmp_print_pci },
    { "pic", .run = hmp_info_pic, .help = "Show the interrupt controllers (8259A, I/O APIC)" },
    { "qom-tree", .run = hmp_info_qom_tree, .params = "[PATH]", .help = "Show the objects",
      .complete = hmp_complete_qom_path },
    { "qtree", .run = hmp_info_qtree, .help = "Show buses, devices and their properties" },
    { "registers", .run = hmp_info_registers, .params = "[-a] [VCPU]",
      .help = "Show a vCPU's registers (-a: of all), with x87 and SSE", .complete = hmp_complete_vcpu },
    { "stats", NULL, "query-stats", .params = "vm|vcpu", .print = hmp_print_reply },
    { "status", NULL, "query-status", .print = hmp_print_status },
    { "tcg", .run = hmp_info_jit, .help = "The same as info jit" },
    { "tlb", .run = hmp_info_tlb, .help = "Show the pages that the vCPU's page tables map" },
    { "usernet", .run = hmp_info_usernet, .help = "Show the connections of user networks" },
    { "uuid", NULL, "query-uuid", .print = hmp_print_uuid },
    { "version", NULL, "query-version", .print = hmp_print_version },
    { NULL }
};
