/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a person types about moving the domain, and what is shown, in the words of QEMU's monitor.
 */
#include "monitor/hmp-migrate.h"

#include <inttypes.h>
#include <string.h>

#include "monitor/hmp-info.h"
#include "vmm/error.h"
#include "vmm/migrate.h"

static bool check_number(int n, int least, int most, const char *usage, GError **error)
{
    if (n < least || n > most) {
        error_set(error, n < least ? "An argument is missing" : "There are too many arguments");
        return error_hint(error, "Write %s.", usage);
    }
    return true;
}

/* At most `most` words, at least `least`, with quotations as a shell has them. */
static char **words_of(const HmpCall *call, int least, int most, const char *usage, GError **error)
{
    g_auto(GStrv) words = NULL;
    int n = 0;

    if (call->rest[0] && !hmp_split(call->rest, &n, &words)) {
        error_set(error, "a quotation in '%s' does not end", call->rest);
        return NULL;
    }
    if (!check_number(n, least, most, usage, error)) {
        return NULL;
    }
    return words ? g_steal_pointer(&words) : g_new0(char *, 1);
}

static bool migrate_ended(HmpSession *session, GError **error)
{
    const char *failure = migrate_failure(session->domain);

    return !failure || error_set(error, "%s", failure);
}

/* Without -d the session waits for the end, if it is one that can. */
bool hmp_migrate(HmpCall *call, GError **error)
{
    static const char usage[] = "migrate [-d] URI, with a URI that has blanks in quotation marks";
    g_auto(GStrv) words = words_of(call, 1, 2, usage, error);
    bool detached = words && g_str_equal(words[0], "-d");
    Json *arguments;

    if (!words) {
        return false;
    }
    if (words[0][0] == '-' && !detached) {
        return error_set(error, "'%s' is no option of migrate", words[0]);
    }
    if (!words[detached] || words[detached + 1]) {
        error_set(error, "There is no URI, or more than one");
        return error_hint(error, "Write %s.", usage);
    }
    arguments = json_new_object();
    json_object_put_member(arguments, "uri", json_new_string(words[detached]));
    if (!hmp_call_qmp(call, "migrate", arguments, NULL, error)) {
        return false;
    }
    if (!detached && call->session->later) {
        call->session->end = migrate_ended;
        migrate_wait(call->domain, call->session->later);
    } else if (!detached) {
        g_string_append(call->out, "It goes on in the background; 'info migrate' shows how far it is.\n");
    }
    return true;
}

bool hmp_migrate_set_capability(HmpCall *call, GError **error)
{
    g_auto(GStrv) words = words_of(call, 2, 2, "migrate_set_capability CAPABILITY on|off", error);
    Json *arguments, *list, *status;

    if (!words) {
        return false;
    }
    arguments = json_new_object();
    list = json_new_array();
    status = json_new_object();
    json_object_put_member(status, "capability", json_new_string(words[0]));
    json_object_put_member(status, "state", json_new_string(words[1]));
    json_array_put(list, status);
    json_object_put_member(arguments, "capabilities", list);
    return hmp_call_qmp(call, "migrate-set-capabilities", arguments, NULL, error);
}

/* A bandwidth without a unit is in MiB here, in bytes there. */
bool hmp_migrate_set_parameter(HmpCall *call, GError **error)
{
    g_auto(GStrv) words = words_of(call, 2, 2, "migrate_set_parameter PARAMETER VALUE", error);
    bool sized = words && g_str_equal(words[0], "max-bandwidth");
    uint64_t size = 0;
    Json *arguments;

    if (!words || (sized && !size_parse(words[1], UINT64_C(1) << 20, &size, error))) {
        return false;
    }
    arguments = json_new_object();
    if (sized) {
        hmp_put_number(arguments, words[0], size);
    } else {
        json_object_put_member(arguments, words[0], json_new_string(words[1]));
    }
    return hmp_call_qmp(call, "migrate-set-parameters", arguments, NULL, error);
}

bool hmp_calc_dirty_rate(HmpCall *call, GError **error)
{
    static const char usage[] = "calc_dirty_rate [-b] SECONDS [SAMPLE-PAGES]";
    g_auto(GStrv) words = words_of(call, 1, 3, usage, error);
    bool bitmap = words && g_str_equal(words[0], "-b");
    Json *arguments;
    char **word;

    if (!words || !check_number((int)g_strv_length(words) - bitmap, 1, 2, usage, error)) {
        return false;
    }
    word = words + bitmap;
    arguments = json_new_object();
    if (bitmap) {
        json_object_put_member(arguments, "mode", json_new_string("dirty-bitmap"));
    }
    json_object_put_member(arguments, "calc-time", json_new_string(word[0]));
    if (word[1]) {
        json_object_put_member(arguments, "sample-pages", json_new_string(word[1]));
    }
    if (!hmp_call_qmp(call, "calc-dirty-rate", arguments, NULL, error)) {
        return false;
    }
    g_string_append(call->out, "'info dirty_rate' shows what comes of it.\n");
    return true;
}

/* ---- shown ---- */

typedef struct Line { const char *member, *text, *unit; unsigned shift; } Line;

static void print_lines(const Json *object, const Line *lines, GString *out)
{
    for (const Line *l = lines; object && l->member; l++) {
        if (json_object_get_member(object, l->member)) {
            g_string_append_printf(out, "%s: %" PRId64 "%s\n", l->text, hmp_number_of(object, l->member) >> l->shift,
                                   l->unit);
        }
    }
}

static void print_addresses(const Json *list, GString *out)
{
    g_string_append(out, "socket address: [\n");
    for (size_t i = 0; i < json_array_length(list); i++) {
        const Json *a = json_array_get(list, i);

        if (g_str_equal(hmp_text_of(a, "type"), "unix")) {
            g_string_append_printf(out, "\tunix:%s\n", hmp_text_of(a, "path"));
        } else {
            g_string_append_printf(out, "\ttcp:%s:%s\n", hmp_text_of(a, "host"), hmp_text_of(a, "port"));
        }
    }
    g_string_append(out, "]\n");
}

void hmp_print_migrate(const Json *reply, GString *out)
{
    static const Line times[] = {
        { "total-time", "total time", " ms" }, { "expected-downtime", "expected downtime", " ms" },
        { "downtime", "downtime", " ms" }, { "setup-time", "setup", " ms" },
        { "cpu-throttle-percentage", "cpu throttle percentage", "" }, { NULL }
    };
    static const Line memory[] = {
        { "transferred", "transferred ram", " kbytes", 10 }, { "remaining", "remaining ram", " kbytes", 10 },
        { "total", "total ram", " kbytes", 10 }, { "duplicate", "duplicate", " pages" },
        { "normal", "normal", " pages" },
        { "normal-bytes", "normal bytes", " kbytes", 10 }, { "dirty-sync-count", "dirty sync count", "" },
        { "page-size", "page size", " kbytes", 10 }, { "multifd-bytes", "multifd bytes", " kbytes", 10 },
        { "pages-per-second", "pages-per-second", "" }, { "precopy-bytes", "precopy ram", " kbytes", 10 },
        { "downtime-bytes", "downtime ram", " kbytes", 10 }, { "dirty-pages-rate", "dirty pages rate", " pages" },
        { NULL }
    };
    const Json *blocked = json_object_get_member(reply, "blocked-reasons"), *ram = json_object_get_member(reply, "ram");
    const Json *addresses = json_object_get_member(reply, "socket-address");

    for (size_t i = 0; blocked && i < json_array_length(blocked); i++) {
        g_string_append_printf(out, "Outgoing migration blocked: %s\n", json_get_string(json_array_get(blocked, i)));
    }
    if (hmp_text_of(reply, "status")[0]) {
        g_string_append_printf(out, "Migration status: %s", hmp_text_of(reply, "status"));
        if (hmp_text_of(reply, "error-desc")[0]) {
            g_string_append_printf(out, " (%s)", hmp_text_of(reply, "error-desc"));
        }
        g_string_append_c(out, '\n');
    }
    print_lines(reply, times, out);
    print_lines(ram, memory, out);
    if (addresses) {
        print_addresses(addresses, out);
    }
}

void hmp_print_capabilities(const Json *reply, GString *out)
{
    for (size_t i = 0; i < json_array_length(reply); i++) {
        const Json *c = json_array_get(reply, i);

        g_string_append_printf(out, "%s: %s\n", hmp_text_of(c, "capability"), hmp_flag_of(c, "state") ? "on" : "off");
    }
}

static const char *unit_of(const char *parameter)
{
    static const char *const times[] = { "downtime-limit", "announce-initial", "announce-max", "announce-step", NULL };

    return g_str_equal(parameter, "max-bandwidth") ? " bytes/second" : g_strv_contains(times, parameter) ? " ms" : "";
}

static bool print_parameter(const char *name, Json *value, void *opaque)
{
    GString *out = opaque;

    switch (json_type_of(value)) {
    case JSON_STRING:
        g_string_append_printf(out, "%s: %s\n", name, json_get_string(value));
        break;
    case JSON_BOOL:
        g_string_append_printf(out, "%s: %s\n", name, json_get_bool(value) ? "on" : "off");
        break;
    default:
        g_string_append_printf(out, "%s: %" PRId64 "%s\n", name, json_get_int(value), unit_of(name));
    }
    return true;
}

void hmp_print_parameters(const Json *reply, GString *out)
{
    json_object_each(reply, print_parameter, out);
}

void hmp_print_dirty_rate(const Json *reply, GString *out)
{
    static const Line lines[] = {
        { "start-time", "Start Time", " (s)" }, { "sample-pages", "Sample Pages", " (per GB)" },
        { "calc-time", "Period", " (sec)" }, { NULL }
    };

    g_string_append_printf(out, "Status: %s\n", hmp_text_of(reply, "status"));
    print_lines(reply, lines, out);
    g_string_append_printf(out, "Mode: %s\nDirty rate: ", hmp_text_of(reply, "mode"));
    if (json_object_get_member(reply, "dirty-rate")) {
        g_string_append_printf(out, "%" PRId64 " (MB/s)\n", hmp_number_of(reply, "dirty-rate"));
    } else {
        g_string_append(out, "(not ready)\n");
    }
}
