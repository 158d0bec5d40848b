/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line: the table of options, and the parser over it.
 *
 * Options have QEMU's names and meanings; one or two dashes.  What would need
 * something that is not here (a screen, firmware, sound) is refused by name,
 * except for the value that is true ("-display none").
 *
 * Locking: none; main thread, before others exist.
 */
#include "vmm/options.h"

#include <string.h>

#include "vmm/chardev.h"
#include "vmm/error.h"
#include "vmm/machine.h"
#include "vmm/options-internal.h"
#include "vmm/sandbox.h"
#include "vmm/x86/cpu-model.h"

const char *const option_sections[SECTIONS] = {
    [SECTION_MACHINE] = "Machine",
    [SECTION_BOOT] = "Direct kernel boot",
    [SECTION_DEVICES] = "Devices and what stands behind them",
    [SECTION_DISKS] = "Disks",
    [SECTION_NETWORK] = "Network",
    [SECTION_MONITOR] = "Monitors",
    [SECTION_RUN] = "Running",
    [SECTION_PROCESS] = "The process",
    [SECTION_HELP] = "Help",
};

#define FLAG(M)  OPTION_FLAG, offsetof(Options, M)
#define TEXT(M)  OPTION_TEXT, offsetof(Options, M)
#define TEXTS(M) OPTION_TEXTS, offsetof(Options, M)
#define KEYS(M)  OPTION_STRUCT, offsetof(Options, M)
#define CALL     OPTION_CALL, 0

const Option option_table[] = {
    /* ---- machine ---- */
    { "machine", "M", SECTION_MACHINE, CALL, "[type=]NAME[,KEY=VALUE...]",
      "Choose the machine and its options. -machine help lists machines, -machine NAME,help their keys",
      .group = "machine", .implied = "type", .topic = topic_machine, .call = option_machine },
    { "accel", NULL, SECTION_MACHINE, TEXTS(accel), "[accel=]NAME[,KEY=VALUE...]",
      "Choose what runs the guest: kvm, or tcg, the processor in software. Given more than once, each is tried in "
      "order. Not given, kvm is tried first, tcg first where the processor has no hardware virtualization",
      .group = "accel", .implied = "accel", .topic = topic_accel },
    { "enable-kvm", NULL, SECTION_MACHINE, CALL, NULL, "The same as -accel kvm", .call = option_enable_kvm },
    { "cpu", NULL, SECTION_MACHINE, CALL, "[type=]MODEL[,+FEATURE][,-FEATURE][,FEATURE=on|off...]",
      "Choose the CPU model. -cpu help lists models and features", .group = "cpu", .topic = topic_cpu,
      .call = option_cpu, .plain = true },
    { "smp", NULL, SECTION_MACHINE, TEXTS(smp), "[[cpus=]N][,maxcpus=N][,sockets=N][,dies=N][,cores=N][,threads=N]",
      "Set the number of CPUs and how they are arranged", .group = "smp-opts", .language = &smp_options,
      .implied = "cpus" },
    { "m", NULL, SECTION_MACHINE, TEXTS(memory), "[size=]SIZE[,slots=N,maxmem=SIZE]",
      "Set the size of RAM (MiB unless it has a suffix), and, for later, how far it may grow: nothing adds any yet",
      .group = "memory", .language = &machine_memory_options, .implied = "size" },
    { "numa", NULL, SECTION_MACHINE, TEXTS(numa), "node|dist|cpu,KEY=VALUE...",
      "Describe a NUMA node, a distance between two, or where a CPU belongs",
      .group = "numa", .implied = "type", .topic = topic_numa },
    { "overcommit", NULL, SECTION_MACHINE, KEYS(overcommit), "mem-lock=on|off",
      "Lock guest memory and this process into the host's RAM", .group = "overcommit",
      .language = &overcommit_options },
    { "name", NULL, SECTION_MACHINE, KEYS(name), "[guest=]NAME[,process=NAME]", "Name the domain, and its process",
      .group = "name", .language = &name_options, .implied = "guest" },
    { "uuid", NULL, SECTION_MACHINE, CALL, "UUID", "Set the domain's UUID", .group = "uuid",
      .call = option_uuid, .plain = true },
    { "rtc", NULL, SECTION_MACHINE, KEYS(rtc), "[base=]utc|localtime|DATETIME[,clock=host|rt|vm][,driftfix=none|slew]",
      "Set what the clock of the machine starts from and follows", .group = "rtc", .language = &rtc_options,
      .implied = "base" },
    { "icount", NULL, SECTION_MACHINE, KEYS(icount), "[shift=]N[,sleep=on|off]",
      "Let guest time be a count of instructions, so that runs can be repeated (accelerator tcg, one CPU)",
      .group = "icount", .language = &icount_options, .implied = "shift" },
    { "smbios", NULL, SECTION_MACHINE, TEXTS(smbios), "type=N[,KEY=VALUE...]", "Set fields of an SMBIOS structure",
      .group = "smbios" },
    { "global", NULL, SECTION_MACHINE, CALL, "DRIVER.PROPERTY=VALUE",
      "Set the default of a property for every device of a class; also driver=DRIVER,property=PROPERTY,value=VALUE",
      .group = "global", .language = &global_options, .call = option_global },
    { "no-acpi", NULL, SECTION_MACHINE, CALL, NULL, "The same as -machine acpi=off", .call = option_no_acpi },
    { "no-hpet", NULL, SECTION_MACHINE, CALL, NULL, "The same as -machine hpet=off", .call = option_no_hpet },
    /* ---- boot ---- */
    { "kernel", NULL, SECTION_BOOT, TEXT(kernel), "FILE", "Boot this kernel: bzImage, ELF (PVH, Linux) or Multiboot",
      .plain = true },
    { "initrd", NULL, SECTION_BOOT, TEXT(initrd), "FILE", "Give the kernel this initial RAM disk", .plain = true },
    { "append", NULL, SECTION_BOOT, TEXT(append), "TEXT", "Give the kernel this command line", .plain = true },
    { "dtb", NULL, SECTION_BOOT, TEXT(dtb), "FILE", "Give the kernel this device tree (microvm)", .plain = true },
    { "bios", NULL, SECTION_BOOT, TEXT(bios), "FILE", "There is no firmware yet: machines that boot refuse it",
      .plain = true },
    { "boot", NULL, SECTION_BOOT, CALL, "[strict=on][,menu=off]",
      "Taken with these values, which describe direct kernel boot; the rest needs firmware",
      .group = "boot-opts", .call = option_boot, .language = &boot_options, .implied = "order" },
    /* ---- devices ---- */
    { "device", NULL, SECTION_DEVICES, TEXTS(devices), "DRIVER[,id=NAME][,bus=BUS][,PROPERTY=VALUE...]",
      "Add a device. -device help lists them, -device DRIVER,help their properties",
      .group = "device", .implied = "driver", .topic = topic_device },
    { "object", NULL, SECTION_DEVICES, TEXTS(objects), "TYPE,id=NAME[,PROPERTY=VALUE...]",
      "Add an object: iothread, memory, source of random bytes, secret, what stands between a NIC and its network",
      .group = "object", .implied = "qom-type", .topic = topic_object },
    { "chardev", NULL, SECTION_DEVICES, TEXTS(chardevs), "BACKEND,id=NAME[,KEY=VALUE...]",
      "Add a character device for devices to be connected to", .group = "chardev", .implied = "backend",
      .language = &chardev_text_options, .topic = topic_chardev },
    { "serial", NULL, SECTION_DEVICES, TEXTS(serials),
      "stdio|mon:stdio|pty|file:FILE|pipe:PATH|unix:PATH|tcp:[HOST]:PORT|telnet:[HOST]:PORT|chardev:ID|...|none",
      "Add a serial port, connected to that", .plain = true },
    { "parallel", NULL, SECTION_DEVICES, CALL, "none", "There is no parallel port", .call = option_parallel,
      .plain = true },
    { "display", NULL, SECTION_DEVICES, CALL, "none", "There is no screen yet", .call = option_display, .plain = true },
    { "vga", NULL, SECTION_DEVICES, CALL, "none", "There is no screen yet", .call = option_vga, .plain = true },
    { "audiodev", NULL, SECTION_DEVICES, CALL, "[driver=]none,id=NAME", "There is no sound yet", .group = "audiodev",
      .language = &audiodev_options, .implied = "driver", .call = option_audiodev },
    { "nographic", NULL, SECTION_DEVICES, FLAG(nographic), NULL,
      "No screen; the first serial port and a monitor, unless -serial says otherwise, are on the terminal: Ctrl-A h "
      "lists its keys" },
    { "nodefaults", NULL, SECTION_DEVICES, FLAG(nodefaults), NULL, "Add no device that was not asked for" },
    /* ---- disks ---- */
    { "drive", NULL, SECTION_DISKS, TEXTS(drives), "file=FILE,format=raw,if=virtio|none[,KEY=VALUE...]",
      "Add a disk: a block node and, unless if=none, its device", .group = "drive" },
    { "blockdev", NULL, SECTION_DISKS, TEXTS(blockdevs), "[driver=]DRIVER,node-name=NAME[,KEY=VALUE...]",
      "Add a block node for devices to be connected to", .group = "blockdev", .implied = "driver" },
    /* ---- network ---- */
    { "netdev", NULL, SECTION_NETWORK, TEXTS(netdevs), "TYPE,id=NAME[,KEY=VALUE...]",
      "Add a network backend for NICs to be connected to. -netdev help lists them",
      .group = "netdev", .implied = "type" },
    { "nic", NULL, SECTION_NETWORK, TEXTS(nics), "none|TYPE[,model=DEVICE][,mac=ADDRESS][,KEY=VALUE...]",
      "Add a NIC and the backend behind it, of -netdev's types: -nic user is a network that needs nothing else. "
      "model=help lists models",
      .group = "nic", .implied = "type", .asks = "model" },
    { "net", NULL, SECTION_NETWORK, TEXTS(nets), "none|nic[,model=DEVICE][,macaddr=ADDRESS]|TYPE[,KEY=VALUE...]",
      "Add a NIC, or a backend; all of these are connected to one hub. -nic is better",
      .group = "net", .implied = "type", .asks = "model" },
    /* ---- monitors ---- */
    { "monitor", NULL, SECTION_MONITOR, TEXTS(hmp), "stdio|unix:PATH,server=on,wait=off|...|none",
      "Let people control the domain there. Its command `help` lists the others", .plain = true },
    { "qmp", NULL, SECTION_MONITOR, TEXTS(qmp), "unix:PATH,server=on,wait=off|stdio|...",
      "Let a program control the domain there, in JSON (QMP)", .plain = true },
    { "qmp-pretty", NULL, SECTION_MONITOR, TEXTS(qmp_pretty), "DEV", "The same, with line breaks and indentation",
      .plain = true },
    { "mon", NULL, SECTION_MONITOR, TEXTS(monitors), "[chardev=]ID[,mode=readline|control][,pretty=on]",
      "The monitor for people, or (control) for programs, on a character device of -chardev",
      .group = "mon", .implied = "chardev" },
    /* ---- running ---- */
    { "S", NULL, SECTION_RUN, FLAG(paused), NULL, "Do not start the CPUs" },
    { "incoming", NULL, SECTION_RUN, TEXT(incoming),
      "unix:PATH|tcp:[HOST]:PORT|fd:FD|exec:COMMAND|file:PATH[,lazy=on|off|prefault]|defer",
      "Wait for a domain that moves here, or restore a saved one. defer: the command migrate-incoming says from where. "
      "exec: what the shell's COMMAND writes. lazy: memory of a file is read as it is used (on, as without it), first "
      "(off), or as it is used and all of it meanwhile (prefault)", .plain = true },
    { "only-migratable", NULL, SECTION_RUN, FLAG(only_migratable), NULL,
      "Refuse devices and backends that would keep the domain from moving (migrate), at the start and later" },
    { "gdb", NULL, SECTION_RUN, TEXT(gdb), "tcp:[HOST]:PORT|unix:PATH|stdio|chardev:ID|...|none",
      "Let a gdb debug the guest through that. tcp is a server, on the host itself unless HOST says otherwise",
      .plain = true },
    { "s", NULL, SECTION_RUN, CALL, NULL, "The same as -gdb " GDB_DEFAULT, .call = option_gdb_default },
    { "action", NULL, SECTION_RUN, KEYS(actions), "EVENT=ACTION[,...]",
      "Say what a reboot, shutdown, panic or watchdog does",
      .group = "action", .language = &action_options },
    { "no-reboot", NULL, SECTION_RUN, CALL, NULL, "The same as -action reboot=shutdown", .call = option_no_reboot },
    { "no-shutdown", NULL, SECTION_RUN, CALL, NULL, "The same as -action shutdown=pause", .call = option_no_shutdown },
    { "watchdog-action", NULL, SECTION_RUN, CALL, "ACTION", "The same as -action watchdog=ACTION",
      .call = option_watchdog_action, .plain = true },
    /* ---- process ---- */
    { "daemonize", NULL, SECTION_PROCESS, FLAG(daemonize), NULL, "Go to the background once everything is set up" },
    { "pidfile", NULL, SECTION_PROCESS, TEXT(pidfile), "FILE", "Write the process id there", .plain = true },
    { "sandbox", NULL, SECTION_PROCESS, TEXT(sandbox), "on|off|strict[,KEY=VALUE...]",
      "Restrict the system calls of this process (default: on)",
      .group = "sandbox", .language = &sandbox_options, .implied = "enable" },
    { "add-fd", NULL, SECTION_PROCESS, TEXTS(fds), "fd=FD,set=SET[,opaque=TEXT]",
      "Put an inherited descriptor into a set, which opens as /dev/fdset/SET", .group = "add-fd",
      .language = &add_fd_options },
    { "readconfig", NULL, SECTION_PROCESS, CALL, "FILE", "Read options from a file", .call = options_read_config,
      .plain = true },
    { "no-user-config", NULL, SECTION_PROCESS, CALL, NULL, "Read no configuration of the user, of which there is none",
      .call = option_nothing },
    { "D", NULL, SECTION_PROCESS, TEXT(log_file), "FILE", "Write the log there, not to standard error", .plain = true },
    { "d", NULL, SECTION_PROCESS, TEXT(log_categories), "CATEGORY[,...]", "Log these. -d help lists them",
      .topic = topic_log,
      .plain = true },
    { "msg", NULL, SECTION_PROCESS, KEYS(message), "timestamp=on|off", "Put the time before each message",
      .group = "msg", .language = &message_options },
    /* ---- help ---- */
    { "help", "h", SECTION_HELP, CALL, NULL, "Show this", .call = option_help },
    { "version", NULL, SECTION_HELP, CALL, NULL, "Show the version", .call = option_version },
    { NULL },
};

/* ---- finding ---- */

const Option *option_find(const char *name)
{
    for (const Option *o = option_table; o->name; o++) {
        if (strcmp(o->name, name) == 0 || (o->alias && strcmp(o->alias, name) == 0)) {
            return o;
        }
    }
    return NULL;
}

static bool unknown_option(const char *name, GError **error)
{
    const char *names[G_N_ELEMENTS(option_table)] = { NULL };
    const char *nearest;

    for (size_t i = 0; option_table[i].name; i++) {
        names[i] = option_table[i].name;
    }
    error_set(error, "There is no option '-%s'", name);
    nearest = error_nearest(name, names);
    return nearest ? error_hint(error, "Did you mean '-%s'?", nearest) : error_hint(error, "See lodge -help.");
}

/* ---- one option ---- */

static bool merge_member(const char *name, Json *value, void *opaque)
{
    json_object_put_member(opaque, name, json_ref(value));
    return true;
}

/* Adds text to what was said before, and reads it all into the struct. */
static bool apply_struct(Options *options, const Option *o, const char *argument, GError **error)
{
    void *value = (char *)options + o->offset;
    g_autofree void *fresh = g_malloc0(o->language->size);
    g_autoptr(Json) more = keyval_parse(argument, o->implied, error);
    Json *all = g_hash_table_lookup(options->merged, o->name);

    if (!more) {
        return false;
    }
    if (!all) {
        all = json_new_object();
        g_hash_table_insert(options->merged, (gpointer)o->name, all);
    }
    json_object_each(more, merge_member, all);
    if (!field_struct_parse(o->language, all, FIELD_LENIENT, fresh, error)) {
        return false;
    }
    field_struct_clear(o->language, value);
    memcpy(value, fresh, o->language->size);
    return true;
}

/* Finds mistakes of the language now, though the text is used later. */
static bool check_text(const Option *o, const char *argument, GError **error)
{
    g_autofree void *value = NULL;

    if (!o->language || o->plain) {
        return true;
    }
    value = g_malloc0(o->language->size);
    if (!field_struct_parse_text(o->language, argument, o->implied, value, error)) {
        return false;
    }
    field_struct_clear(o->language, value);
    return true;
}

bool options_apply(Options *options, const Option *o, const char *argument, GError **error)
{
    void *slot = (char *)options + o->offset;

    switch (o->kind) {
    case OPTION_FLAG:
        *(bool *)slot = true;
        return true;
    case OPTION_TEXT:
        if (!check_text(o, argument, error)) {
            return false;
        }
        g_free(*(char **)slot);
        *(char **)slot = g_strdup(argument);
        return true;
    case OPTION_TEXTS:
        if (!check_text(o, argument, error)) {
            return false;
        }
        g_ptr_array_add(*(GPtrArray **)slot, g_strdup(argument));
        return true;
    case OPTION_STRUCT:
        return apply_struct(options, o, argument, error);
    case OPTION_CALL:
        return o->call(options, argument, error);
    }
    return false;
}

/* ---- help in an argument ---- */

static const OptionLanguage *find_language(const OptionLanguage *languages, const char *option)
{
    for (; languages && languages->option; languages++) {
        if (strcmp(languages->option, option) == 0) {
            return languages;
        }
    }
    return NULL;
}

const FieldStruct *option_language(const Option *o, const OptionLanguage *languages)
{
    const OptionLanguage *upper = find_language(languages, o->name);

    return upper ? upper->language : o->language;
}

static bool language_help(const Option *o, const FieldStruct *language, const char *key, GString *out, GError **error)
{
    g_autofree char *title = g_strdup_printf("-%s options", o->name);
    const Field *field;

    if (!key) {
        field_struct_help(language, title, out);
        return true;
    }
    field = field_struct_find(language, key);
    if (!field) {
        return field_unknown(error, key, language);
    }
    field_help(field, out);
    return true;
}

/* Answers "-X help", "-X SUBJECT,help", "-X key=?" into options->output; *ret_asked: it was one. */
static bool answer_help(Options *options, const Option *o, const char *argument, const OptionLanguage *languages,
                        bool *ret_asked, GError **error)
{
    const OptionLanguage *upper = find_language(languages, o->name);
    const FieldStruct *language = option_language(o, languages);
    g_autofree char *subject = NULL;
    g_autofree char *key = NULL;

    *ret_asked = false;
    if (!o->topic && !language && !upper) {
        if (g_str_equal(argument, "help")) {
            *ret_asked = true;
            options->output = g_string_new(NULL);
            option_describe(o, options->output);
        }
        return true;
    }
    if (o->plain ? !g_str_equal(argument, "help") && !g_str_equal(argument, "?")
                 : !keyval_wants_help(argument, o->implied, o->asks, &subject, &key)) {
        return true;
    }
    *ret_asked = true;
    options->output = g_string_new(NULL);
    if (upper && !language) {
        option_describe(o, options->output);
    }
    if (upper && upper->help && (!key || !language)) {
        return upper->help(subject, options->output, error);
    }
    if (o->topic) {
        return o->topic(subject, options->output, error);
    }
    return language_help(o, language, key, options->output, error);
}

/* ---- the whole line ---- */

static void options_init(Options *o)
{
    GPtrArray **lists[] = { &o->machine, &o->accel,   &o->smp,      &o->memory,  &o->numa,
                            &o->smbios,  &o->globals, &o->devices,  &o->objects, &o->chardevs,
                            &o->serials, &o->drives,  &o->blockdevs, &o->images, &o->fds,
                            &o->monitors, &o->hmp, &o->qmp, &o->qmp_pretty,
                            &o->netdevs, &o->nics, &o->nets };

    memset(o, 0, sizeof(*o));
    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
        *lists[i] = g_ptr_array_new_with_free_func(g_free);
    }
    o->merged = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)json_unref);
    for (const Option *row = option_table; row->name; row++) {
        if (row->kind == OPTION_STRUCT) {
            field_struct_init(row->language, (char *)o + row->offset);
        }
    }
}

void options_clear(Options *o)
{
    for (const Option *row = option_table; row->name; row++) {
        void *slot = (char *)o + row->offset;

        if (row->kind == OPTION_TEXT) {
            g_clear_pointer((char **)slot, g_free);
        } else if (row->kind == OPTION_TEXTS) {
            g_clear_pointer((GPtrArray **)slot, g_ptr_array_unref);
        } else if (row->kind == OPTION_STRUCT) {
            field_struct_clear(row->language, slot);
        }
    }
    g_clear_pointer(&o->machine_type, g_free);
    g_clear_pointer(&o->cpu, g_free);
    g_clear_pointer(&o->machine, g_ptr_array_unref);
    g_clear_pointer(&o->globals, g_ptr_array_unref);
    g_clear_pointer(&o->images, g_ptr_array_unref);
    g_clear_pointer(&o->merged, g_hash_table_unref);
    if (o->output) {
        g_string_free(o->output, TRUE);
    }
    memset(o, 0, sizeof(*o));
}

static bool parse_option(Options *options, const char *name, const char *argument, const Option *o,
                         const OptionLanguage *languages, GError **error)
{
    g_autofree char *subject = NULL;
    bool asked = false;

    if (o->argument && !argument) {
        error_set(error, "Option '-%s' needs an argument", name);
        return error_hint(error, "Write -%s %s.", o->name, o->argument);
    }
    if (!o->argument) {
        return options_apply(options, o, NULL, error);
    }
    if (answer_help(options, o, argument, languages, &asked, error) &&
        (asked || options_apply(options, o, argument, error))) {
        return true;
    }
    subject = g_strdup_printf("-%s %s", name, argument);
    return error_subject(error, subject);
}

static bool parse_arguments(int argc, char **argv, const OptionLanguage *languages, Options *options, GError **error)
{
    for (int i = 1; i < argc && !options->output; i++) {
        const char *name = argv[i];
        const Option *o;

        if (*name != '-') {
            g_ptr_array_add(options->images, g_strdup(name));
            continue;
        }
        name += g_str_has_prefix(name, "--") ? 2 : 1;
        if (g_str_equal(argv[i], "--man")) {
            options->output = g_string_new(NULL);
            options_man(options->output, languages);
            continue;
        }
        o = option_find(name);
        if (!o) {
            return unknown_option(name, error);
        }
        if (!parse_option(options, name, i + 1 < argc ? argv[i + 1] : NULL, o, languages, error)) {
            return false;
        }
        i += o->argument != NULL;
    }
    return true;
}

bool options_parse(int argc, char **argv, const OptionLanguage *languages, Options *ret, GError **error)
{
    options_init(ret);
    if (!parse_arguments(argc, argv, languages, ret, error) || (!ret->output && !options_check(ret, error))) {
        options_clear(ret);
        return false;
    }
    return true;
}
