/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How replies of QMP commands look to people: as in QEMU's monitor where people know them, else a line for each member.
 */
#include <inttypes.h>

#include "monitor/hmp-info.h"

static void print_inline(const Json *value, GString *out)
{
    JsonWriter *w;
    g_autofree char *text = NULL;

    if (json_type_of(value) == JSON_STRING) {
        g_string_append(out, json_get_string(value));
        return;
    }
    w = json_writer_new(false);
    json_write_value(w, NULL, value);
    text = json_writer_finish(w);
    g_string_append(out, text);
}

static bool print_member(const char *name, Json *value, void *opaque)
{
    GString *out = opaque;

    g_string_append_printf(out, "%s: ", name);
    print_inline(value, out);
    g_string_append_c(out, '\n');
    return true;
}

static bool print_item(const char *name, Json *value, void *opaque)
{
    GString *out = opaque;

    g_string_append_printf(out, "%s%s=", out->len && out->str[out->len - 1] != '\n' ? " " : "", name);
    print_inline(value, out);
    return true;
}

/* An object is a line for each member; an array a line for each element. */
void hmp_print_reply(const Json *reply, GString *out)
{
    if (json_type_of(reply) == JSON_OBJECT) {
        json_object_each(reply, print_member, out);
        return;
    }
    for (size_t i = 0; json_type_of(reply) == JSON_ARRAY && i < json_array_length(reply); i++) {
        const Json *element = json_array_get(reply, i);

        if (json_type_of(element) == JSON_OBJECT) {
            json_object_each(element, print_item, out);
        } else {
            print_inline(element, out);
        }
        g_string_append_c(out, '\n');
    }
}

const char *hmp_text_of(const Json *object, const char *name)
{
    const Json *value = json_object_get_member(object, name);

    return value && json_type_of(value) == JSON_STRING ? json_get_string(value) : "";
}

int64_t hmp_number_of(const Json *object, const char *name)
{
    const Json *value = json_object_get_member(object, name);

    return value ? json_get_int(value) : 0;
}

bool hmp_flag_of(const Json *object, const char *name)
{
    const Json *value = json_object_get_member(object, name);

    return value && json_get_bool(value);
}

void hmp_print_status(const Json *reply, GString *out)
{
    bool running = hmp_flag_of(reply, "running");
    const char *status = hmp_text_of(reply, "status");

    g_string_append_printf(out, "VM status: %s", running ? "running" : "paused");
    if (!running && !g_str_equal(status, "paused")) {
        g_string_append_printf(out, " (%s)", status);
    }
    g_string_append_c(out, '\n');
}

void hmp_print_version(const Json *reply, GString *out)
{
    const Json *qemu = json_object_get_member(reply, "qemu");

    g_string_append_printf(out, "%" PRId64 ".%" PRId64 ".%" PRId64 " (%s)\n", hmp_number_of(qemu, "major"),
                           hmp_number_of(qemu, "minor"), hmp_number_of(qemu, "micro"), hmp_text_of(reply, "package"));
}

void hmp_print_name(const Json *reply, GString *out)
{
    if (hmp_text_of(reply, "name")[0]) {
        g_string_append_printf(out, "%s\n", hmp_text_of(reply, "name"));
    }
}

void hmp_print_uuid(const Json *reply, GString *out)
{
    g_string_append_printf(out, "%s\n", hmp_text_of(reply, "UUID"));
}

void hmp_print_kvm(const Json *reply, GString *out)
{
    g_string_append_printf(out, "kvm support: %s\n", hmp_flag_of(reply, "enabled") ? "enabled" : "disabled");
}

void hmp_print_balloon(const Json *reply, GString *out)
{
    g_string_append_printf(out, "balloon: actual=%" PRId64 "\n", hmp_number_of(reply, "actual") >> 20);
}

void hmp_print_chardev(const Json *reply, GString *out)
{
    for (size_t i = 0; i < json_array_length(reply); i++) {
        const Json *chr = json_array_get(reply, i);

        g_string_append_printf(out, "%s: filename=%s\n", hmp_text_of(chr, "label"), hmp_text_of(chr, "filename"));
    }
}

void hmp_print_memory_size(const Json *reply, GString *out)
{
    g_string_append_printf(out, "base memory: %" PRId64 "\n", hmp_number_of(reply, "base-memory"));
}

void hmp_print_iothreads(const Json *reply, GString *out)
{
    static const char *const numbers[] = { "poll-max-ns", "poll-grow", "poll-shrink", "aio-max-batch" };

    for (size_t i = 0; i < json_array_length(reply); i++) {
        const Json *thread = json_array_get(reply, i);

        g_string_append_printf(out, "%s:\n  thread_id=%" PRId64 "\n", hmp_text_of(thread, "id"),
                               hmp_number_of(thread, "thread-id"));
        for (unsigned n = 0; n < G_N_ELEMENTS(numbers); n++) {
            g_string_append_printf(out, "  %s=%" PRId64 "\n", numbers[n], hmp_number_of(thread, numbers[n]));
        }
    }
}

void hmp_print_memdev(const Json *reply, GString *out)
{
    static const char *const flags[] = { "merge", "dump", "prealloc", "share", "reserve" };

    for (size_t i = 0; i < json_array_length(reply); i++) {
        const Json *m = json_array_get(reply, i), *nodes = json_object_get_member(m, "host-nodes");

        g_string_append_printf(out, "memory backend: %s\n  size:  %" PRId64 "\n", hmp_text_of(m, "id"),
                               hmp_number_of(m, "size"));
        for (unsigned n = 0; n < G_N_ELEMENTS(flags); n++) {
            g_string_append_printf(out, "  %s: %s\n", flags[n], hmp_flag_of(m, flags[n]) ? "true" : "false");
        }
        g_string_append_printf(out, "  policy: %s\n  host nodes: ", hmp_text_of(m, "policy"));
        for (size_t n = 0; nodes && n < json_array_length(nodes); n++) {
            g_string_append_printf(out, "%s%" PRId64, n ? "," : "", json_get_int(json_array_get(nodes, n)));
        }
        g_string_append(out, "\n\n");
    }
}
