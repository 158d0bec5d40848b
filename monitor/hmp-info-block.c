/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `info block [-n] [-v] [DEVICE]`, `info blockstats`: disks, or (-n) block nodes, in the words of QEMU's monitor.
 */
#include "monitor/hmp-info.h"

#include <inttypes.h>

#include "vmm/error.h"

typedef struct Wanted {
    bool nodes, verbose;
    const char *device; /* or node; NULL: each */
} Wanted;

/* ---- one disk or node ---- */

static void append_size(int64_t bytes, GString *out)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double value = (double)bytes;
    unsigned n = 0;

    for (; value >= 1000 && n < G_N_ELEMENTS(units) - 1; n++) {
        value /= 1024;
    }
    g_string_append_printf(out, "%.3g %s", value, units[n]);
}

static void print_name(const Json *disk, const Json *inserted, GString *out)
{
    const char *node = inserted ? hmp_text_of(inserted, "node-name") : "";

    if (disk && hmp_text_of(disk, "device")[0]) {
        g_string_append(out, hmp_text_of(disk, "device"));
        if (node[0]) {
            g_string_append_printf(out, " (%s)", node);
        }
    } else {
        g_string_append(out, node[0] ? node : disk ? hmp_text_of(disk, "qdev") : "<anonymous>");
    }
}

static void print_cache(const Json *inserted, GString *out)
{
    const Json *cache = json_object_get_member(inserted, "cache");

    if (cache) {
        g_string_append_printf(out, "    Cache mode:       %s%s%s\n",
                               hmp_flag_of(cache, "writeback") ? "writeback" : "writethrough",
                               hmp_flag_of(cache, "direct") ? ", direct" : "",
                               hmp_flag_of(cache, "no-flush") ? ", ignore flushes" : "");
    }
}

static void print_image(const Json *inserted, GString *out)
{
    const Json *image = json_object_get_member(inserted, "image");

    if (!image) {
        return;
    }
    g_string_append_printf(out, "\nImages:\nimage: %s\nfile format: %s\nvirtual size: ", hmp_text_of(image, "filename"),
                           hmp_text_of(image, "format"));
    append_size(hmp_number_of(image, "virtual-size"), out);
    g_string_append_printf(out, " (%" PRId64 " bytes)\n", hmp_number_of(image, "virtual-size"));
    if (json_object_get_member(image, "actual-size")) {
        g_string_append(out, "disk size: ");
        append_size(hmp_number_of(image, "actual-size"), out);
        g_string_append_c(out, '\n');
    }
}

/* disk NULL: a node. */
static void print_block(const Json *disk, const Json *inserted, bool verbose, GString *out)
{
    print_name(disk, inserted, out);
    if (inserted) {
        g_string_append_printf(out, ": %s (%s%s)\n", hmp_text_of(inserted, "file"), hmp_text_of(inserted, "drv"),
                               hmp_flag_of(inserted, "ro") ? ", read-only" : "");
    } else {
        g_string_append(out, ": [not inserted]\n");
    }
    if (disk && hmp_text_of(disk, "qdev")[0]) {
        g_string_append_printf(out, "    Attached to:      %s\n", hmp_text_of(disk, "qdev"));
    }
    if (disk && json_object_get_member(disk, "io-status") && !g_str_equal(hmp_text_of(disk, "io-status"), "ok")) {
        g_string_append_printf(out, "    I/O status:       %s\n", hmp_text_of(disk, "io-status"));
    }
    if (disk && hmp_flag_of(disk, "removable")) {
        g_string_append_printf(out, "    Removable device: %slocked, tray %s\n",
                               hmp_flag_of(disk, "locked") ? "" : "not ",
                               hmp_flag_of(disk, "tray_open") ? "open" : "closed");
    }
    if (inserted) {
        print_cache(inserted, out);
    }
    if (inserted && !g_str_equal(hmp_text_of(inserted, "detect_zeroes"), "off")) {
        g_string_append_printf(out, "    Detect zeroes:    %s\n", hmp_text_of(inserted, "detect_zeroes"));
    }
    if (inserted && verbose) {
        print_image(inserted, out);
    }
}

/* ---- info block ---- */

static bool is_wanted(const Wanted *wanted, const Json *disk, const Json *inserted)
{
    const char *name = wanted->device;

    return !name || (disk && g_str_equal(hmp_text_of(disk, "device"), name)) ||
           (inserted && g_str_equal(hmp_text_of(inserted, "node-name"), name));
}

static bool print_all(const Wanted *wanted, const Json *reply, GString *out, GError **error)
{
    unsigned printed = 0;

    for (size_t i = 0; i < json_array_length(reply); i++) {
        const Json *disk = wanted->nodes ? NULL : json_array_get(reply, i);
        const Json *inserted = wanted->nodes ? json_array_get(reply, i) : json_object_get_member(disk, "inserted");

        if (is_wanted(wanted, disk, inserted)) {
            g_string_append(out, printed++ ? "\n" : "");
            print_block(disk, inserted, wanted->verbose, out);
        }
    }
    return printed || !wanted->device || error_set(error, "there is no %s '%s'", wanted->nodes ? "block node" : "disk",
                                                   wanted->device);
}

bool hmp_info_block(HmpCall *call, GError **error)
{
    g_auto(GStrv) words = g_strsplit_set(call->rest, " \t", -1);
    g_autoptr(Json) reply = NULL;
    Wanted wanted = { 0 };

    for (char **word = words; *word; word++) {
        if (g_str_equal(*word, "-n")) {
            wanted.nodes = true;
        } else if (g_str_equal(*word, "-v")) {
            wanted.verbose = true;
        } else if (**word == '-') {
            return error_set(error, "'%s' is no option of info block", *word);
        } else if (**word) {
            wanted.device = *word;
        }
    }
    return hmp_call_qmp(call, wanted.nodes ? "query-named-block-nodes" : "query-block", json_new_object(), &reply,
                        error) &&
           print_all(&wanted, reply, call->out, error);
}

/* ---- info blockstats ---- */

static void print_counter(const Json *stats, const char *name, GString *out)
{
    if (json_object_get_member(stats, name)) {
        g_string_append_printf(out, " %s=%" PRId64, name, hmp_number_of(stats, name));
    }
}

void hmp_print_blockstats(const Json *reply, GString *out)
{
    static const char *const names[] = {
        "rd_bytes", "wr_bytes", "rd_operations", "wr_operations", "flush_operations", "wr_total_time_ns",
        "rd_total_time_ns", "flush_total_time_ns", "rd_merged", "wr_merged", "idle_time_ns",
    };

    for (size_t i = 0; i < json_array_length(reply); i++) {
        const Json *disk = json_array_get(reply, i), *stats = json_object_get_member(disk, "stats");
        const char *device = hmp_text_of(disk, "device");

        g_string_append_printf(out, "%s:", device[0] ? device : hmp_text_of(disk, "node-name"));
        for (unsigned n = 0; stats && n < G_N_ELEMENTS(names); n++) {
            print_counter(stats, names[n], out);
        }
        g_string_append_c(out, '\n');
    }
}
