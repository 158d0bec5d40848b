/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Statistics: vcpuinfo, vcpucount, domblklist, domblkstat, dommemstat, domstats.  What a domain cannot tell, as it
 * lacks the command, is an error of those that show one thing, and left out by those that show all.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/lodgectl/balloon.h"
#include "tools/lodgectl/definitions.h"
#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/domstats.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/process.h"
#include "tools/lodgectl/reply.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"

/* ---- CPUs ---- */

static char *affinity_text(pid_t tid)
{
    long n = sysconf(_SC_NPROCESSORS_CONF);
    GString *text = g_string_new(NULL);
    cpu_set_t set;

    if (sched_getaffinity(tid, sizeof(set), &set) < 0) {
        return g_string_free(text, FALSE);
    }
    for (int i = 0; i < n && i < CPU_SETSIZE; i++) {
        g_string_append_c(text, CPU_ISSET(i, &set) ? 'y' : '-');
    }
    return g_string_free(text, FALSE);
}

static bool vcpuinfo(const Cmd *cmd, GError **error)
{
    g_autoptr(Client) client = cmd_connect(cmd, NULL, error);
    g_autoptr(Json) cpus = client ? client_run(client, "query-cpus-fast", NULL, error) : NULL;
    DomState state;

    if (!cpus) {
        return false;
    }
    state = dom_state_by(client);
    for (size_t i = 0; i < reply_length(cpus); i++) {
        pid_t tid = (pid_t)stats_thread(json_array_get(cpus, i));
        g_autofree char *affinity = tid ? affinity_text(tid) : NULL;
        int64_t index = (int64_t)i;
        ProcessTimes times;

        reply_int(json_array_get(cpus, i), "cpu-index", &index);
        printf("%-15s %" G_GINT64_FORMAT "\n", "VCPU:", index);
        if (tid && process_times(client_pid(client), tid, &times)) {
            printf("%-15s %d\n%-15s %s\n%-15s %.1fs\n", "CPU:", times.cpu, "State:", state.state, "CPU time:",
                   (double)times.total_ns / 1e9);
        }
        if (affinity) {
            printf("%-15s %s\n", "CPU Affinity:", affinity);
        }
        puts("");
    }
    return true;
}

static bool vcpucount(const Cmd *cmd, GError **error)
{
    g_autoptr(Client) client = cmd_connect(cmd, NULL, error);
    g_autoptr(Json) cpus = client ? client_run(client, "query-cpus-fast", NULL, error) : NULL;
    g_autoptr(Json) slots = cpus ? client_run(client, "query-hotpluggable-cpus", NULL, NULL) : NULL;

    if (!cpus) {
        return false;
    }
    if (slots) {
        printf("%-12s %-12s %3zu\n", "maximum", "live", reply_length(slots));
    }
    printf("%-12s %-12s %3zu\n\n", "current", "live", reply_length(cpus));
    return true;
}

/* ---- disks ---- */

static const char *disk_source(const Json *item)
{
    const Json *inserted = reply_member(item, "inserted", JSON_OBJECT);
    const char *file = reply_text(inserted, "file");

    return file ? file : "-";
}

static bool list_live_disks(const Dom *dom, Table *table, GError **error)
{
    g_autoptr(Client) client = dom_connect(dom, DOM_TIMEOUT_MS, error);
    g_autoptr(Json) disks = client ? client_run(client, "query-block", NULL, error) : NULL;

    for (size_t i = 0; i < reply_length(disks); i++) {
        const Json *item = json_array_get(disks, i);
        g_autofree char *name = stats_disk_name(item);

        table_row(table, name, disk_source(item));
    }
    return disks != NULL;
}

/* The file of a drive or a node, or of the node below it; the caller's.  NULL: it has none. */
static char *file_of(const Options *options, const char *name, unsigned depth)
{
    for (guint i = 0; i < options->drives->len; i++) {
        g_autoptr(Json) json = keyval_parse(options->drives->pdata[i], NULL, NULL);

        if (g_strcmp0(reply_text(json, "id"), name) == 0) {
            return g_strdup(reply_text(json, "file"));
        }
    }
    for (guint i = 0; i < options->blockdevs->len; i++) {
        g_autoptr(Json) json = keyval_parse(options->blockdevs->pdata[i], "driver", NULL);
        const char *own = reply_text(json, "filename"), *below = reply_text(json, "file");

        if (g_strcmp0(reply_text(json, "node-name"), name) != 0) {
            continue;
        }
        own = own ? own : reply_text(reply_member(json, "file", JSON_OBJECT), "filename");
        return own || !below || !depth ? g_strdup(own) : file_of(options, below, depth - 1);
    }
    return NULL;
}

static bool list_defined_disks(const Dom *dom, Table *table, GError **error)
{
    unsigned unnamed = 0;
    Options options;

    if (!definition_load(dom->name, &options, error)) {
        return false;
    }
    for (guint i = 0; i < options.drives->len; i++) {
        g_autoptr(Json) json = keyval_parse(options.drives->pdata[i], NULL, NULL);
        const char *id = reply_text(json, "id"), *file = reply_text(json, "file");
        g_autofree char *name = NULL;

        if (g_strcmp0(reply_text(json, "if"), "none") != 0) {
            name = id ? g_strdup(id) : g_strdup_printf("virtio%u", unnamed++);
            table_row(table, name, file ? file : "-");
        }
    }
    for (guint i = 0; i < options.devices->len; i++) {
        g_autoptr(Json) json = keyval_parse(options.devices->pdata[i], "driver", NULL);
        const char *drive = reply_text(json, "drive"), *id = reply_text(json, "id");
        g_autofree char *file = drive ? file_of(&options, drive, options.blockdevs->len) : NULL;

        if (drive) {
            table_row(table, id ? id : drive, file ? file : "-");
        }
    }
    options_clear(&options);
    return true;
}

static bool domblklist(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = cmd_domain(cmd, error);
    Table *table;
    bool ok;

    if (!dom) {
        return false;
    }
    table = table_new(2, "Target", "Source");
    ok = dom->active ? list_live_disks(dom, table, error) : list_defined_disks(dom, table, error);
    if (ok) {
        table_print(table);
    } else {
        table_free(table);
    }
    return ok;
}

static bool domblkstat(const Cmd *cmd, GError **error)
{
    const char *device = cmd_text(cmd, "device");
    g_autoptr(Client) client = cmd_connect(cmd, NULL, error);
    g_autoptr(Json) disks = client ? client_run(client, "query-blockstats", NULL, error) : NULL;
    bool found = false;

    if (!disks) {
        return false;
    }
    for (size_t i = 0; i < reply_length(disks); i++) {
        const Json *item = json_array_get(disks, i), *stats = reply_member(item, "stats", JSON_OBJECT);
        g_autofree char *name = stats_disk_name(item), *clean = clean_text(name, "");

        if (device && !g_str_equal(device, name)) {
            continue;
        }
        found = true;
        for (const DiskStat *k = disk_stats; k->stat; k++) {
            int64_t n;

            if (reply_int(stats, k->member, &n)) {
                printf("%s %s %" G_GINT64_FORMAT "\n", clean, k->stat, n);
            }
        }
    }
    if (!found && device) {
        error_set(error, "The domain has no disk '%s'", device);
        return error_hint(error, "lodgectl domblklist shows those it has.");
    }
    puts("");
    return true;
}

/* ---- memory ---- */

static void print_balloon_stat(const char *name, const char *key, int64_t value, void *opaque)
{
    printf("%s %" G_GINT64_FORMAT "\n", name, value);
}

static bool dommemstat(const Cmd *cmd, GError **error)
{
    g_autoptr(Client) client = cmd_connect(cmd, NULL, error);
    g_autoptr(Json) balloon = client ? client_run(client, "query-balloon", NULL, NULL) : NULL;
    uint64_t rss;
    int64_t n;

    if (!client) {
        return false;
    }
    if (cmd_text(cmd, "period")) {
        return balloon_set_period(client, cmd_number(cmd, "period", 0), error) && puts("") >= 0;
    }
    if (reply_int(balloon, "actual", &n)) {
        printf("actual %" G_GINT64_FORMAT "\n", n / 1024);
    }
    balloon_each_stat(client, print_balloon_stat, NULL);
    if (process_rss(client_pid(client), &rss)) {
        printf("rss %" G_GUINT64_FORMAT "\n", rss / 1024);
    }
    puts("");
    return true;
}

/* ---- domstats ---- */

static bool wants(const Cmd *cmd, const char *flag)
{
    bool any = cmd_flag(cmd, "state");

    for (const StatsGroup *g = stats_groups; g->flag; g++) {
        any = any || cmd_flag(cmd, g->flag);
    }
    return !any || cmd_flag(cmd, flag);
}

static Json *collect(const Cmd *cmd, const Dom *dom)
{
    g_autoptr(Client) client = dom->active ? dom_connect(dom, DOM_STATE_TIMEOUT_MS, NULL) : NULL;
    Json *out = json_new_object();

    if (wants(cmd, "state")) {
        DomState state = client ? dom_state_by(client) : dom_state(dom);

        stats_put(out, "state.state", state.number);
        stats_put(out, "state.reason", state.reason_number);
    }
    for (const StatsGroup *g = stats_groups; client && g->flag; g++) {
        if (wants(cmd, g->flag)) {
            g->put(out, client);
        }
    }
    return out;
}

static bool print_line(const char *name, Json *value, void *opaque)
{
    if (json_type_of(value) == JSON_STRING) {
        g_autofree char *clean = clean_text(json_get_string(value), "");

        printf("  %s=%s\n", name, clean);
    } else {
        printf("  %s=%" G_GINT64_FORMAT "\n", name, json_get_int(value));
    }
    return true;
}

static void print_stats(const Cmd *cmd, const Dom *dom)
{
    g_autoptr(Json) stats = collect(cmd, dom);
    g_autofree char *name = clean_text(dom->name, "");

    if (cmd_flag(cmd, "json")) {
        JsonWriter *w = json_writer_new(false);

        json_write_begin_object(w, NULL);
        json_write_string(w, "name", dom->name);
        json_write_int(w, "time_us", g_get_real_time());
        json_write_value(w, "stats", stats);
        json_write_end_object(w);
        print_json(w);
    } else {
        printf("Domain: '%s'\n", name);
        json_object_each(stats, print_line, NULL);
        puts("");
    }
}

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    interrupted = 1;
}

/* Of one domain, or of all that run.  false: there is none any more. */
static bool print_round(const Cmd *cmd, GError **error)
{
    g_autoptr(GPtrArray) all = cmd_text(cmd, "domain") ? NULL : domains_list();
    g_autoptr(Dom) dom = all ? NULL : cmd_domain(cmd, error);

    for (guint i = 0; all && i < all->len; i++) {
        if (((Dom *)all->pdata[i])->active) {
            print_stats(cmd, all->pdata[i]);
        }
    }
    if (dom) {
        print_stats(cmd, dom);
    }
    fflush(stdout);
    return all || dom;
}

static bool domstats(const Cmd *cmd, GError **error)
{
    struct sigaction action = { .sa_handler = interrupt };
    uint32_t seconds = cmd_number(cmd, "interval", 1);

    if (!cmd_flag(cmd, "watch")) {
        return print_round(cmd, error);
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    while (!interrupted && !ferror(stdout)) {
        if (!print_round(cmd, error)) {
            return false;
        }
        sleep(MAX(seconds, 1)); /* a signal ends it */
    }
    return true;
}

const Verb stats_verbs[] = {
    { "vcpuinfo", ARGS(ARG_DOMAIN(OF_ACTIVE)), vcpuinfo, "Tell of each virtual CPU where it runs" },
    { "vcpucount", ARGS(ARG_DOMAIN(OF_ACTIVE)), vcpucount, "Count the virtual CPUs" },
    { "domblklist", ARGS(ARG_DOMAIN(OF_DOMAIN)), domblklist, "List the disks",
      "Target is the id of the drive or of the device. Of a domain that does not run, they are those of its definition." },
    { "domblkstat", ARGS(ARG_DOMAIN(OF_ACTIVE), { "device", ARG_TEXT, .help = "One of domblklist; not given: all" }),
      domblkstat, "Count what disks have done" },
    { "dommemstat", ARGS(ARG_DOMAIN(OF_ACTIVE),
                         { "period", ARG_NUMBER, .help = "Ask the guest every so many seconds from now on; 0: never" }),
      dommemstat, "Tell how much memory is used, in KiB", "A guest with a balloon tells more when it is asked: --period." },
    { "domstats", ARGS({ "domain", ARG_TEXT, false, OF_DOMAIN, "One domain; not given: all that run" },
                       { "state", ARG_FLAG, .help = "Its state" },
                       { "cpu-total", ARG_FLAG, .help = "Time of its process, in ns" },
                       { "balloon", ARG_FLAG, .help = "Memory, in KiB" },
                       { "vcpu", ARG_FLAG, .help = "Its CPUs" },
                       { "interface", ARG_FLAG, .help = "Its network interfaces" },
                       { "block", ARG_FLAG, .help = "Its disks" },
                       { "vm", ARG_FLAG, .help = "What its accelerator counts for all of it" },
                       { "json", ARG_FLAG, .help = "Print an object a line" },
                       { "watch", ARG_FLAG, .help = "Again and again, until interrupted" },
                       { "interval", ARG_NUMBER, .help = "Seconds between rounds of --watch (1)" }),
      domstats, "Print statistics as KEY=VALUE", "Without a choice of groups, all that the domain can tell." },
    { NULL },
};
