/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/domstats.h.  Names and units are those of virDomainListGetAllStats().
 */
#include "tools/lodgectl/domstats.h"

#include <string.h>

#include "tools/lodgectl/balloon.h"
#include "tools/lodgectl/process.h"
#include "tools/lodgectl/reply.h"

void stats_put(Json *out, const char *key, int64_t value)
{
    json_object_put_member(out, key, json_new_int(value));
}

static void put_of(Json *out, const char *group, size_t i, const char *name, int64_t value)
{
    g_autofree char *key = g_strdup_printf("%s.%zu.%s", group, i, name);

    stats_put(out, key, value);
}

static void put_text_of(Json *out, const char *group, size_t i, const char *name, const char *text)
{
    g_autofree char *key = g_strdup_printf("%s.%zu.%s", group, i, name);

    json_object_put_member(out, key, json_new_string(text));
}

/* ---- the process ---- */

static void put_cpu(Json *out, Client *client)
{
    ProcessTimes times;

    if (process_times(client_pid(client), 0, &times)) {
        stats_put(out, "cpu.time", (int64_t)times.total_ns);
        stats_put(out, "cpu.user", (int64_t)times.user_ns);
        stats_put(out, "cpu.system", (int64_t)times.system_ns);
    }
}

/* ---- memory ---- */

static void put_balloon_stat(const char *name, const char *key, int64_t value, void *out)
{
    stats_put(out, key, value);
}

static void put_balloon(Json *out, Client *client)
{
    g_autoptr(Json) memory = client_run(client, "query-memory-size-summary", NULL, NULL);
    g_autoptr(Json) balloon = client_run(client, "query-balloon", NULL, NULL);
    uint64_t rss;
    int64_t n;

    if (reply_int(balloon, "actual", &n) || reply_int(memory, "base-memory", &n)) {
        stats_put(out, "balloon.current", n / 1024);
    }
    if (reply_int(memory, "base-memory", &n)) {
        stats_put(out, "balloon.maximum", n / 1024);
    }
    balloon_each_stat(client, put_balloon_stat, out);
    if (process_rss(client_pid(client), &rss)) {
        stats_put(out, "balloon.rss", (int64_t)(rss / 1024));
    }
}

/* ---- what the accelerator counts ---- */

static Json *ask_stats(Client *client, const char *target)
{
    Json *arguments = json_new_object();

    json_object_put_member(arguments, "target", json_new_string(target));
    return client_run(client, "query-stats", arguments, NULL);
}

/* How virsh ends the name of a statistic; NULL: it is none that it shows. */
static const char *suffix_of(const Json *schemas, const char *target, const char *name)
{
    static const struct { const char *type, *suffix; } kinds[] = {
        { "cumulative", "sum" }, { "instant", "cur" }, { "peak", "max" },
    };

    for (size_t i = 0; i < reply_length(schemas); i++) {
        const Json *schema = json_array_get(schemas, i), *stats = reply_member(schema, "stats", JSON_ARRAY);

        for (size_t k = 0; g_strcmp0(reply_text(schema, "target"), target) == 0 && k < reply_length(stats); k++) {
            const Json *stat = json_array_get(stats, k);

            for (size_t n = 0; g_strcmp0(reply_text(stat, "name"), name) == 0 && n < G_N_ELEMENTS(kinds); n++) {
                if (g_strcmp0(reply_text(stat, "type"), kinds[n].type) == 0) {
                    return kinds[n].suffix;
                }
            }
        }
    }
    return NULL;
}

static void put_counts(Json *out, const char *prefix, const char *target, const Json *stats, const Json *schemas)
{
    for (size_t i = 0; i < reply_length(stats); i++) {
        const Json *stat = json_array_get(stats, i);
        const char *name = reply_text(stat, "name"), *suffix = name ? suffix_of(schemas, target, name) : NULL;
        int64_t n;

        if (suffix && reply_int(stat, "value", &n)) {
            g_autofree char *key = g_strdup_printf("%s.%s.%s", prefix, name, suffix);

            stats_put(out, key, n);
        }
    }
}

static void put_vm(Json *out, Client *client)
{
    g_autoptr(Json) schemas = client_run(client, "query-stats-schemas", NULL, NULL);
    g_autoptr(Json) results = ask_stats(client, "vm");

    for (size_t i = 0; i < reply_length(results); i++) {
        put_counts(out, "vm", "vm", reply_member(json_array_get(results, i), "stats", JSON_ARRAY), schemas);
    }
}

/* ---- CPUs ---- */

int64_t stats_thread(const Json *cpu)
{
    int64_t tid = 0;

    return reply_int(cpu, "thread-id", &tid) && tid > 0 && tid <= G_MAXINT ? tid : 0;
}

static void put_thread(Json *out, size_t i, pid_t pid, pid_t tid)
{
    ProcessTimes times;

    if (tid && process_times(pid, tid, &times)) {
        put_of(out, "vcpu", i, "state", 1);
        put_of(out, "vcpu", i, "time", (int64_t)times.total_ns);
        put_of(out, "vcpu", i, "wait", (int64_t)times.wait_ns);
        put_of(out, "vcpu", i, "delay", (int64_t)times.delay_ns);
    }
}

static void put_vcpu_counts(Json *out, size_t i, const Json *cpu, const Json *results, const Json *schemas)
{
    const char *path = reply_text(cpu, "qom-path");
    g_autofree char *prefix = g_strdup_printf("vcpu.%zu", i);

    for (size_t k = 0; path && k < reply_length(results); k++) {
        const Json *result = json_array_get(results, k);

        if (g_strcmp0(reply_text(result, "qom-path"), path) == 0) {
            put_counts(out, prefix, "vcpu", reply_member(result, "stats", JSON_ARRAY), schemas);
        }
    }
}

/* Places for CPUs. */
static int64_t count_slots(const Json *slots)
{
    int64_t n = 0, of_one;

    for (size_t i = 0; i < reply_length(slots); i++) {
        n += reply_int(json_array_get(slots, i), "vcpus-count", &of_one) ? of_one : 1;
    }
    return n;
}

static void put_vcpus(Json *out, Client *client)
{
    g_autoptr(Json) cpus = client_run(client, "query-cpus-fast", NULL, NULL);
    g_autoptr(Json) slots = cpus ? client_run(client, "query-hotpluggable-cpus", NULL, NULL) : NULL;
    g_autoptr(Json) schemas = cpus ? client_run(client, "query-stats-schemas", NULL, NULL) : NULL;
    g_autoptr(Json) results = schemas ? ask_stats(client, "vcpu") : NULL;

    if (!cpus) {
        return;
    }
    stats_put(out, "vcpu.current", (int64_t)reply_length(cpus));
    if (slots) {
        stats_put(out, "vcpu.maximum", count_slots(slots));
    }
    for (size_t i = 0; i < reply_length(cpus); i++) {
        const Json *cpu = json_array_get(cpus, i);

        put_thread(out, i, client_pid(client), (pid_t)stats_thread(cpu));
        put_vcpu_counts(out, i, cpu, results, schemas);
    }
}

/* ---- network interfaces ---- */

static const struct { const char *key, *direction, *member; } nic_stats[] = {
    { "rx.bytes", "received", "bytes" }, { "rx.pkts", "received", "packets" }, { "rx.errs", "received", "errors" },
    { "rx.drop", "received", "dropped" }, { "tx.bytes", "sent", "bytes" }, { "tx.pkts", "sent", "packets" },
    { "tx.errs", "sent", "errors" }, { "tx.drop", "sent", "dropped" },
};

/* false: it does not say. */
static bool sum_queues(const Json *queues, const char *direction, const char *member, int64_t *ret)
{
    bool said = false;

    *ret = 0;
    for (size_t i = 0; i < reply_length(queues); i++) {
        int64_t n;

        if (reply_int(reply_member(json_array_get(queues, i), direction, JSON_OBJECT), member, &n)) {
            *ret += n;
            said = true;
        }
    }
    return said;
}

static void put_nic(Json *out, size_t i, const Json *nic)
{
    const char *name = reply_text(nic, "name");
    const Json *queues = reply_member(nic, "queues", JSON_ARRAY);
    int64_t n;

    if (name) {
        put_text_of(out, "net", i, "name", name);
    }
    for (size_t k = 0; k < G_N_ELEMENTS(nic_stats); k++) {
        if (sum_queues(queues, nic_stats[k].direction, nic_stats[k].member, &n)) {
            put_of(out, "net", i, nic_stats[k].key, n);
        }
    }
}

static void put_nics(Json *out, Client *client)
{
    g_autoptr(Json) nics = client_run(client, "query-nics", NULL, NULL);

    if (nics) {
        stats_put(out, "net.count", (int64_t)reply_length(nics));
    }
    for (size_t i = 0; i < reply_length(nics); i++) {
        put_nic(out, i, json_array_get(nics, i));
    }
}

/* ---- disks ---- */

const DiskStat disk_stats[] = {
    { "rd_req", "rd.reqs", "rd_operations" },
    { "rd_bytes", "rd.bytes", "rd_bytes" },
    { "rd_total_times", "rd.times", "rd_total_time_ns" },
    { "wr_req", "wr.reqs", "wr_operations" },
    { "wr_bytes", "wr.bytes", "wr_bytes" },
    { "wr_total_times", "wr.times", "wr_total_time_ns" },
    { "flush_operations", "fl.reqs", "flush_operations" },
    { "flush_total_times", "fl.times", "flush_total_time_ns" },
    { NULL, NULL, NULL },
};

/* Of "/machine/peripheral/vda/virtio-backend" the "vda"; the caller's.  NULL: it has none. */
static char *id_in_path(const char *path)
{
    static const char folder[] = "/machine/peripheral/";
    const char *id = g_str_has_prefix(path, folder) ? path + strlen(folder) : NULL;

    return id ? g_strndup(id, strcspn(id, "/")) : NULL;
}

char *stats_disk_name(const Json *item)
{
    static const char *const members[] = { "device", "qdev", "node-name" };

    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        const char *name = reply_text(item, members[i]);
        char *id = name ? id_in_path(name) : NULL;

        if (name && *name) {
            return id ? id : g_strdup(name);
        }
    }
    return g_strdup("-");
}

/* What query-block says of the disk of that name; NULL: nothing, or it has no medium. */
static const Json *find_medium(const Json *disks, const char *name)
{
    for (size_t i = 0; i < reply_length(disks); i++) {
        const Json *item = json_array_get(disks, i);
        g_autofree char *its_name = stats_disk_name(item);

        if (g_str_equal(its_name, name)) {
            return reply_member(item, "inserted", JSON_OBJECT);
        }
    }
    return NULL;
}

static void put_disk(Json *out, size_t i, const Json *item, const Json *media)
{
    g_autofree char *name = stats_disk_name(item);
    const Json *medium = find_medium(media, name);
    const Json *stats = reply_member(item, "stats", JSON_OBJECT), *image = reply_member(medium, "image", JSON_OBJECT);
    const Json *below = reply_member(reply_member(item, "parent", JSON_OBJECT), "stats", JSON_OBJECT);
    const char *file = reply_text(medium, "file");
    int64_t n;

    put_text_of(out, "block", i, "name", name);
    if (file && *file == '/') {
        put_text_of(out, "block", i, "path", file);
    }
    for (const DiskStat *k = disk_stats; k->stat; k++) {
        if (reply_int(stats, k->member, &n)) {
            put_of(out, "block", i, k->key, n);
        }
    }
    if (reply_int(below, "wr_highest_offset", &n)) {
        put_of(out, "block", i, "allocation", n);
    }
    if (reply_int(image, "virtual-size", &n)) {
        put_of(out, "block", i, "capacity", n);
    }
    if (reply_int(image, "actual-size", &n)) {
        put_of(out, "block", i, "physical", n);
    }
    if (reply_int(medium, "write_threshold", &n) && n > 0) {
        put_of(out, "block", i, "threshold", n);
    }
}

static void put_disks(Json *out, Client *client)
{
    g_autoptr(Json) disks = client_run(client, "query-blockstats", NULL, NULL);
    g_autoptr(Json) media = disks ? client_run(client, "query-block", NULL, NULL) : NULL;

    if (disks) {
        stats_put(out, "block.count", (int64_t)reply_length(disks));
    }
    for (size_t i = 0; i < reply_length(disks); i++) {
        put_disk(out, i, json_array_get(disks, i), media);
    }
}

/* In virsh's order. */
const StatsGroup stats_groups[] = {
    { "cpu-total", put_cpu }, { "balloon", put_balloon }, { "vcpu", put_vcpus }, { "interface", put_nics },
    { "block", put_disks }, { "vm", put_vm }, { NULL, NULL },
};
