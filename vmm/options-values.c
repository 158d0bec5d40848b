/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line: languages of options that belong to no other part, handlers of
 * those that are more than a value, and checks of what only combinations show.
 *
 * Locking: none; main thread.
 */
#include <string.h>

#include "vmm/error.h"
#include "vmm/options-internal.h"

/* ---- languages ---- */

const FieldStruct overcommit_options = {
    .name = "OvercommitOptions",
    .size = sizeof(OvercommitOptions),
    .fields = (const Field[]){
        F_BOOL("mem-lock", OvercommitOptions, mem_lock, false, .help = "keep all memory in RAM (mlockall)"),
        FIELD_END,
    },
};

static bool parse_only_on(const char *text, void *value, GError **error)
{
    if (g_str_equal(text, "on") || g_str_equal(text, "yes") || g_str_equal(text, "true")) {
        *(bool *)value = true;
        return true;
    }
    return error_set(error, "threads always have names here");
}

static char *format_only_on(const void *value)
{
    return g_strdup("on");
}

static const FieldCodec only_on_codec = {
    .name = "'on'", .example = "on", .size = sizeof(bool), .parse = parse_only_on, .format = format_only_on,
};

const FieldStruct name_options = {
    .name = "NameOptions",
    .size = sizeof(NameOptions),
    .fields = (const Field[]){
        F_STR("guest", NameOptions, guest, NULL, .help = "name of the domain"),
        F_STR("process", NameOptions, process, NULL, .help = "name of this process"),
        F_CODED("debug-threads", NameOptions, always, &only_on_codec, .help = "name the threads, which is always done"),
        FIELD_END,
    },
};

static const FieldEnum rtc_clock_enum = { "RtcClock", (const char *const[]){ "host", "rt", "vm", NULL } };
static const FieldEnum rtc_driftfix_enum = { "RtcDriftfix", (const char *const[]){ "none", "slew", NULL } };

const FieldStruct rtc_options = {
    .name = "RtcOptions",
    .size = sizeof(RtcOptions),
    .fields = (const Field[]){
        F_STR("base", RtcOptions, base, "utc", .help = "utc, localtime, or a time such as 2006-06-17T16:01:21"),
        F_ENUM("clock", RtcOptions, clock, &rtc_clock_enum, 0,
               .help = "what it follows: the host's clock, its time since start, or the guest's (vm), "
                       "which then stands still while the guest is saved"),
        F_ENUM("driftfix", RtcOptions, driftfix, &rtc_driftfix_enum, 0, .help = "inject lost ticks again"),
        FIELD_END,
    },
};

const FieldStruct icount_options = {
    .name = "IcountOptions",
    .size = sizeof(IcountOptions),
    .fields = (const Field[]){
        F_STR("shift", IcountOptions, shift, NULL, .flags = FIELD_REQUIRED,
              .help = "an instruction takes 2^shift ns of guest time, 0 to 10"),
        F_BOOL("sleep", IcountOptions, sleep, true, .help = "wait where the guest does; off: its time jumps there"),
        FIELD_END,
    },
};

const FieldStruct global_options = {
    .name = "GlobalOptions",
    .size = sizeof(GlobalOptions),
    .fields = (const Field[]){
        F_STR("driver", GlobalOptions, driver, NULL, .flags = FIELD_REQUIRED, .help = "class of devices"),
        F_STR("property", GlobalOptions, property, NULL, .flags = FIELD_REQUIRED, .help = "its property"),
        F_STR("value", GlobalOptions, value, NULL, .flags = FIELD_REQUIRED, .help = "default"),
        FIELD_END,
    },
};

const FieldStruct add_fd_options = {
    .name = "AddFdOptions",
    .size = sizeof(AddFdOptions),
    .fields = (const Field[]){
        F_STR("fd", AddFdOptions, fd, NULL, .flags = FIELD_REQUIRED, .help = "number of an inherited descriptor"),
        F_UINT("set", AddFdOptions, set, 0, .flags = FIELD_REQUIRED, .help = "number of the set"),
        F_STR("opaque", AddFdOptions, opaque, NULL, .help = "text that is kept with it"),
        FIELD_END,
    },
};

const FieldStruct message_options = {
    .name = "MessageOptions",
    .size = sizeof(MessageOptions),
    .fields = (const Field[]){
        F_BOOL("timestamp", MessageOptions, timestamp, false, .help = "put the time before each message"),
        FIELD_END,
    },
};

typedef struct BootOptionsText {
    char *order, *once, *menu, *splash, *splash_time, *reboot_timeout, *strict;
} BootOptionsText;

const FieldStruct boot_options = {
    .name = "BootOptions",
    .size = sizeof(BootOptionsText),
    .fields = (const Field[]){
        F_STR("strict", BootOptionsText, strict, NULL, .help = "on: boot nothing else"),
        F_STR("menu", BootOptionsText, menu, NULL, .help = "off: show no menu"),
        F_STR("order", BootOptionsText, order, NULL, .flags = FIELD_HIDDEN, .help = "needs firmware"),
        F_STR("once", BootOptionsText, once, NULL, .flags = FIELD_HIDDEN, .help = "needs firmware"),
        F_STR("splash", BootOptionsText, splash, NULL, .flags = FIELD_HIDDEN, .help = "needs firmware"),
        F_STR("splash-time", BootOptionsText, splash_time, NULL, .flags = FIELD_HIDDEN, .help = "needs firmware"),
        F_STR("reboot-timeout", BootOptionsText, reboot_timeout, NULL, .flags = FIELD_HIDDEN, .help = "needs firmware"),
        FIELD_END,
    },
};

typedef struct AudiodevOptions { char *id; int driver; } AudiodevOptions;
static const FieldEnum audiodev_driver_enum = { "AudiodevDriver", (const char *const[]){ "none", NULL } };

const FieldStruct audiodev_options = {
    .name = "Audiodev",
    .size = sizeof(AudiodevOptions),
    .fields = (const Field[]){
        F_STR("id", AudiodevOptions, id, NULL, .flags = FIELD_REQUIRED, .help = "name for a sound device to refer to"),
        F_ENUM("driver", AudiodevOptions, driver, &audiodev_driver_enum, 0, .flags = FIELD_REQUIRED,
               .help = "where sound goes: nowhere"),
        FIELD_END,
    },
};

/* ---- handlers ---- */

static bool add_text(GPtrArray *texts, const char *text)
{
    g_ptr_array_add(texts, g_strdup(text));
    return true;
}

/* The item at *text, up to a comma that is not doubled; *text moves behind it.  Caller frees. */
static char *next_item(const char **text)
{
    const char *p = *text, *end;
    char *item;

    while (*p && (*p != ',' || p[1] == ',')) {
        p += 1 + (*p == ',');
    }
    end = p;
    item = g_strndup(*text, (size_t)(end - *text));
    *text = *end ? end + 1 : end;
    return item;
}

/* The -machine key that stands for an option of its own; NULL: it is the machine's. */
static const char *option_of_machine_key(const char *key)
{
    static const char *const same[] = { "kernel", "initrd", "append", "dtb", NULL };

    if (g_str_equal(key, "firmware")) {
        return "bios";
    }
    return g_strv_contains(same, key) ? key : NULL;
}

/* The type, and keys that have an option of their own, are taken out; the rest is the machine's. */
bool option_machine(Options *options, const char *argument, GError **error)
{
    g_autoptr(GString) rest = g_string_new(NULL);
    bool first = true;

    for (const char *p = argument; *p; first = false) {
        g_autofree char *item = next_item(&p);
        char *equals = strchr(item, '=');
        g_autofree char *key = equals ? g_strndup(item, (size_t)(equals - item)) : g_strdup(first ? "type" : item);
        const char *name = option_of_machine_key(key);

        if (g_str_equal(key, "type")) {
            g_free(options->machine_type);
            options->machine_type = g_strdup(equals ? equals + 1 : item);
        } else if (name && equals) {
            g_auto(GStrv) parts = g_strsplit(equals + 1, ",,", -1);
            g_autofree char *value = g_strjoinv(",", parts);

            if (!options_apply(options, option_find(name), value, error)) {
                return false;
            }
        } else {
            g_string_append_printf(rest, "%s%s", rest->len ? "," : "", item);
        }
    }
    return rest->len == 0 || add_text(options->machine, rest->str);
}

/* DRIVER.PROPERTY=VALUE becomes the long form; its value is taken as it is, commas too. */
static char *long_global(const char *text)
{
    const char *dot = strchr(text, '.'), *equals = strchr(text, '=');
    g_autofree char *value = NULL;

    if (!dot || !equals || dot > equals) {
        return NULL;
    }
    value = keyval_quote(equals + 1);
    return g_strdup_printf("driver=%.*s,property=%.*s,value=%s", (int)(dot - text), text, (int)(equals - dot - 1),
                           dot + 1, value);
}

bool option_global(Options *options, const char *argument, GError **error)
{
    bool is_long = g_str_has_prefix(argument, "driver=") || g_str_has_prefix(argument, "property=") ||
                   g_str_has_prefix(argument, "value=") || *argument == '{';
    g_autofree char *text = is_long ? g_strdup(argument) : long_global(argument);
    GlobalOptions o;

    if (!text) {
        error_set(error, "This is not DRIVER.PROPERTY=VALUE");
        return error_hint(error, "For example: -global virtio-blk-pci.packed=on.");
    }
    if (!field_struct_parse_text(&global_options, text, NULL, &o, error)) {
        return false;
    }
    field_struct_clear(&global_options, &o);
    return add_text(options->globals, text);
}

bool option_enable_kvm(Options *options, const char *argument, GError **error)
{
    return add_text(options->accel, "kvm");
}

bool option_no_acpi(Options *options, const char *argument, GError **error)
{
    return add_text(options->machine, "acpi=off");
}

bool option_no_hpet(Options *options, const char *argument, GError **error)
{
    return add_text(options->machine, "hpet=off");
}

static bool apply_to(Options *options, const char *name, const char *argument, GError **error)
{
    return options_apply(options, option_find(name), argument, error);
}

bool option_gdb_default(Options *options, const char *argument, GError **error)
{
    g_free(options->gdb);
    options->gdb = g_strdup(GDB_DEFAULT);
    return true;
}

bool option_no_reboot(Options *options, const char *argument, GError **error)
{
    return apply_to(options, "action", "reboot=shutdown", error);
}

bool option_no_shutdown(Options *options, const char *argument, GError **error)
{
    return apply_to(options, "action", "shutdown=pause", error);
}

bool option_watchdog_action(Options *options, const char *argument, GError **error)
{
    g_autofree char *action = g_strconcat("watchdog=", argument, NULL);

    return apply_to(options, "action", action, error);
}

bool option_nothing(Options *options, const char *argument, GError **error)
{
    return true;
}

/* The model stands first; in a -readconfig file it is a key like the features, at any place. */
bool option_cpu(Options *options, const char *argument, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(argument, ",", -1);
    g_autofree char *model = NULL;
    GString *text = g_string_new(NULL);

    for (char **part = parts; *part; part++) {
        if (!model && g_str_has_prefix(*part, "type=")) {
            model = g_strdup(*part + strlen("type="));
        } else {
            g_string_append_printf(text, "%s%s", text->len ? "," : "", *part);
        }
    }
    if (model) {
        g_string_prepend(text, text->len ? "," : "");
        g_string_prepend(text, model);
    } else if (parts[0] && strchr(parts[0], '=')) {
        g_string_free(text, TRUE);
        error_set(error, "'%s' does not begin with a CPU model", argument);
        return error_hint(error, "Name one with type=. -cpu help lists them.");
    }
    g_free(options->cpu);
    options->cpu = g_string_free(text, FALSE);
    return true;
}

bool option_uuid(Options *options, const char *argument, GError **error)
{
    uint8_t uuid[16];
    const char *p;

    argument += g_str_has_prefix(argument, "uuid=") ? strlen("uuid=") : 0; /* of a -readconfig file */
    p = argument;
    for (size_t i = 0; i < sizeof(uuid); i++) {
        int high, low;

        p += (i == 4 || i == 6 || i == 8 || i == 10) && *p == '-';
        high = g_ascii_xdigit_value(p[0]);
        low = high < 0 ? -1 : g_ascii_xdigit_value(p[1]);
        if (low < 0) {
            break;
        }
        uuid[i] = (uint8_t)(high << 4 | low);
        p += 2;
    }
    if (*p || !g_uuid_string_is_valid(argument)) {
        error_set(error, "This is no UUID");
        return error_hint(error, "Expected is a form like 550e8400-e29b-41d4-a716-446655440000.");
    }
    memcpy(options->uuid, uuid, sizeof(uuid));
    options->has_uuid = true;
    return true;
}

bool option_boot(Options *options, const char *argument, GError **error)
{
    BootOptionsText boot;
    const char *wants = NULL;

    if (!field_struct_parse_text(&boot_options, argument, "order", &boot, error)) {
        return false;
    }
    wants = boot.order ? "order" : boot.once ? "once" : boot.splash ? "splash" : boot.splash_time ? "splash-time"
          : boot.reboot_timeout ? "reboot-timeout" : boot.strict && !g_str_equal(boot.strict, "on") ? "strict"
          : boot.menu && !g_str_equal(boot.menu, "off") ? "menu" : NULL;
    field_struct_clear(&boot_options, &boot);
    if (wants) {
        error_set(error, "'%s' is for firmware, and there is none yet", wants);
        return error_hint(error, "Boot a kernel with -kernel, and leave it out.");
    }
    return true;
}

/* Options whose only value is "none". */
static bool only_none(const char *argument, const char *what, const char *hint, GError **error)
{
    if (g_str_equal(argument, "none")) {
        return true;
    }
    error_set(error, "There is no %s%s", what, hint ? "" : " yet");
    return hint ? error_hint(error, "%s", hint) : error_hint(error, "Only 'none' is possible.");
}

bool option_parallel(Options *options, const char *argument, GError **error)
{
    return only_none(argument, "parallel port", "Use -serial.", error);
}

bool option_display(Options *options, const char *argument, GError **error)
{
    return only_none(argument, "screen", NULL, error);
}

bool option_vga(Options *options, const char *argument, GError **error)
{
    return only_none(argument, "screen", NULL, error);
}

bool option_audiodev(Options *options, const char *argument, GError **error)
{
    AudiodevOptions o;

    if (!field_struct_parse_text(&audiodev_options, argument, "driver", &o, error)) {
        return false;
    }
    field_struct_clear(&audiodev_options, &o);
    return true;
}

bool option_help(Options *options, const char *argument, GError **error)
{
    options->output = g_string_new(NULL);
    options_help(options->output);
    return true;
}

bool option_version(Options *options, const char *argument, GError **error)
{
    options->output = g_string_new("lodge version " LODGE_VERSION "\n");
    return true;
}

/* ---- combinations ---- */

/* `lodge --kernel vmlinuz disk.img`: the rest of what it takes to log in. */
static bool check_images(Options *options, GError **error)
{
    const char *image = options->images->len ? options->images->pdata[0] : NULL;

    if (!image) {
        return true;
    }
    if (!options->kernel && !options->bios) {
        error_set(error, "There is no firmware yet that could boot the disk '%s'", image);
        return error_hint(error, "Give its kernel: lodge -kernel vmlinuz -initrd initrd.img %s.", image);
    }
    if (!options->append) {
        options->append = g_strdup("console=ttyS0 root=/dev/vda");
    }
    options->nographic = options->nographic || !options->daemonize;
    return true;
}

bool options_check(Options *options, GError **error)
{
    if (!check_images(options, error)) {
        return false;
    }
    if (!options->kernel && (options->initrd || options->append || options->dtb)) {
        error_set(error, "-%s is for a kernel, and there is none",
                  options->initrd ? "initrd" : options->append ? "append" : "dtb");
        return error_hint(error, "Add -kernel FILE.");
    }
    if (options->daemonize && options->nographic && !options->nodefaults && !options->serials->len) {
        error_set(error, "-daemonize leaves the terminal, and -nographic uses it");
        return error_hint(error, "Use -display none, and -serial file:FILE or another backend.");
    }
    return true;
}
