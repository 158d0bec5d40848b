/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes of a monitor's client: the first names a command, every value that comes out of the rest is its arguments, on a domain
 * without a machine.  Nothing but a reply or an error may come of it.
 */
#include <string.h>

#include "monitor/commands.h"
#include "monitor/json-stream.h"
#include "vmm/domain.h"
#include "vmm/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Domain *domain;

/* What opens files, or runs lines of text that may: their arguments are parsed, no more. */
static const char *const only_parsed[] = {
    "add-fd", "blockdev-add", "chardev-add", "chardev-change", "dump-guest-memory", "human-monitor-command", "memsave",
    "migrate", "migrate-incoming", "netdev_add", "object-add", "pmemsave", NULL
};

static void parse(const Command *command, const Json *arguments)
{
    g_autofree void *args = g_malloc0(MAX(command->args->size, 1));
    g_autoptr(GError) error = NULL;

    if (field_struct_parse(command->args, arguments, FIELD_STRICT, args, &error)) {
        field_struct_clear(command->args, args);
    } else {
        g_assert(error);
    }
}

static void run(const Command *command, const Json *arguments)
{
    CommandCall call = { .domain = domain, .arguments = arguments };
    g_autoptr(GError) error = NULL;
    JsonWriter *w = json_writer_new(false);

    json_write_begin_object(w, NULL);
    g_assert(command_run(command, &call, w, "return", &error) == !error);
    json_write_end_object(w);
    g_free(json_writer_finish(w));
    while (loop_run_once(domain_loop(domain), false)) {
    }
}

static void collect(const Command *command, void *opaque)
{
    g_ptr_array_add(opaque, (gpointer)command);
}

/* By number, so that a change of one byte is another command. */
static const Command *choose(unsigned n)
{
    static GPtrArray *commands;

    if (!commands) {
        commands = g_ptr_array_new();
        command_each(collect, commands);
    }
    return commands->pdata[n % commands->len];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    JsonStream *s = json_stream_new();
    const Command *command = choose(size ? data[0] : 0);

    if (!domain) {
        domain = domain_new("fuzz", NULL);
    }
    data += size > 0;
    size -= size > 0;
    while (size) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Json) json = NULL;
        size_t n = json_stream_read(s, data, size, &json, &error);

        g_assert(n && n <= size && !(json && error));
        data += n;
        size -= n;
        if (json && json_type_of(json) == JSON_OBJECT && g_strv_contains(only_parsed, command->name)) {
            parse(command, json);
        } else if (json && json_type_of(json) == JSON_OBJECT) {
            run(command, json);
        }
    }
    json_stream_free(s);
    return 0;
}
