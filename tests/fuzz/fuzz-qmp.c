/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes of a monitor's client: every value that comes out of the stream is run as a command would be, on a domain without a
 * machine.  Nothing but a reply or an error may come of it.
 */
#include <string.h>

#include "monitor/commands.h"
#include "monitor/json-stream.h"
#include "vmm/domain.h"
#include "vmm/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Domain *domain;

static void run(const Json *request)
{
    const Json *name = json_type_of(request) == JSON_OBJECT ? json_object_get_member(request, "execute") : NULL;
    const Json *arguments = name ? json_object_get_member(request, "arguments") : NULL;
    CommandCall call = { .domain = domain, .arguments = arguments && json_type_of(arguments) == JSON_OBJECT ? arguments
                                                                                                           : NULL };
    const Command *command = name && json_type_of(name) == JSON_STRING ? command_find(json_get_string(name), NULL) : NULL;
    g_autoptr(GError) error = NULL;
    JsonWriter *w;

    if (!command) {
        return;
    }
    w = json_writer_new(false);
    json_write_begin_object(w, NULL);
    g_assert(command_run(command, &call, w, "return", &error) == !error);
    json_write_end_object(w);
    g_free(json_writer_finish(w));
    while (loop_run_once(domain_loop(domain), false)) {
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    JsonStream *s = json_stream_new();

    if (!domain) {
        domain = domain_new("fuzz", NULL);
    }
    while (size) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Json) json = NULL;
        size_t n = json_stream_read(s, data, size, &json, &error);

        g_assert(n && n <= size && !(json && error));
        data += n;
        size -= n;
        if (json) {
            run(json);
        }
    }
    json_stream_free(s);
    return 0;
}
