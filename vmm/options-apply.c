/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does what the command line asks for, part by part.
 *
 * Locking: none; main thread.
 */
#include "vmm/options-apply.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "vmm/chardev.h"
#include "vmm/device.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/machine.h"
#include "vmm/migrate.h"
#include "vmm/object.h"
#include "vmm/options-internal.h"

/* Puts "-NAME TEXT: " before the error; returns false. */
static bool fail_option(GError **error, const char *name, const char *text)
{
    g_autofree char *subject = g_strdup_printf("-%s %s", name, text);

    return error_subject(error, subject);
}

/* ---- process ---- */

static bool add_fd(const char *text, GError **error)
{
    AddFdOptions o;
    bool ok;
    int fd;

    if (!field_struct_parse_text(&add_fd_options, text, NULL, &o, error)) {
        return false;
    }
    fd = host_passed_fd(o.fd, error);
    ok = fd >= 0 && host_fdset_add(o.set, fd, o.opaque, error);
    field_struct_clear(&add_fd_options, &o);
    return ok;
}

static bool lock_memory(GError **error)
{
    if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0) {
        error_set_errno(error, errno, "-overcommit mem-lock=on: cannot lock memory");
        return error_hint(error, "Raise the limit (ulimit -l unlimited), or leave it out.");
    }
    return true;
}

bool options_prepare_process(const Options *options, GError **error)
{
    for (guint i = 0; i < options->fds->len; i++) { /* the log may be one of them */
        if (!add_fd(options->fds->pdata[i], error)) {
            return fail_option(error, "add-fd", options->fds->pdata[i]);
        }
    }
    if (!log_configure(options->log_file, options->log_categories, options->message.timestamp, error)) {
        return false;
    }
    if (options->name.process) {
        prctl(PR_SET_NAME, options->name.process);
    }
    return !options->overcommit.mem_lock || lock_memory(error);
}

/* Said now, it is the only sentence; later a half-made machine would have others before it. */
bool options_check_files(const Options *options, GError **error)
{
    const struct {
        const char *option, *path;
    } files[] = {
        { "kernel", options->kernel },
        { "initrd", options->initrd },
        { "dtb", options->dtb },
        { "bios", options->bios },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        int fd = files[i].path ? host_open(files[i].path, O_RDONLY, 0, error) : -1;

        if (files[i].path && fd < 0) {
            return fail_option(error, files[i].option, files[i].path);
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    return true;
}

/* ---- domain ---- */

static bool add_global(Domain *domain, const char *text, GError **error)
{
    GlobalOptions o;
    bool ok;

    if (!field_struct_parse_text(&global_options, text, NULL, &o, error)) {
        return false;
    }
    ok = device_global_add(domain, o.driver, o.property, o.value, error);
    field_struct_clear(&global_options, &o);
    return ok;
}

bool options_set_domain(const Options *options, Domain *domain, GError **error)
{
    if (options->has_uuid) {
        domain_set_uuid(domain, options->uuid);
    }
    *domain_actions(domain) = options->actions;
    if (options->only_migratable) {
        migrate_set_only(domain);
    }
    for (guint i = 0; i < options->globals->len; i++) {
        if (!add_global(domain, options->globals->pdata[i], error)) {
            return fail_option(error, "global", options->globals->pdata[i]);
        }
    }
    return true;
}

/* ---- machine ---- */

static void pick_default(const MachineClass *class, void *opaque)
{
    const MachineClass **ret = opaque;

    if (class->is_default) {
        *ret = class;
    }
}

const MachineClass *options_machine_class(const Options *options, GError **error)
{
    const MachineClass *class = NULL;

    if (options->machine_type) {
        class = machine_class_find(options->machine_type, error);
        if (!class) {
            fail_option(error, "machine", options->machine_type);
        }
        return class;
    }
    machine_class_each(pick_default, &class);
    if (!class) {
        error_set(error, "There is no default machine");
        error_hint(error, "Choose one with -machine; -machine help lists them.");
    }
    return class;
}

/* "2006-06-17T16:01:21" or "2006-06-17", in UTC. */
static bool parse_date(const char *text, int64_t *ret_seconds, GError **error)
{
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autofree char *whole = strchr(text, 'T') ? g_strdup(text) : g_strconcat(text, "T00:00:00", NULL);
    g_autoptr(GDateTime) date = g_date_time_new_from_iso8601(whole, utc);

    if (!date) {
        error_set(error, "-rtc base=%s: this is no time", text);
        return error_hint(error, "It is utc, localtime, or a form like 2006-06-17T16:01:21.");
    }
    *ret_seconds = g_date_time_to_unix(date);
    return true;
}

static bool set_rtc(const Options *options, Machine *machine, GError **error)
{
    const char *base = options->rtc.base;
    int64_t now = g_get_real_time() / G_USEC_PER_SEC, start = now;

    machine->rtc.base = RTC_BASE_UTC;
    if (g_str_equal(base, "localtime")) {
        time_t t = (time_t)now;
        struct tm local;

        localtime_r(&t, &local);
        machine->rtc.base = RTC_BASE_LOCALTIME;
        start = now + local.tm_gmtoff;
    } else if (!g_str_equal(base, "utc")) {
        machine->rtc.base = RTC_BASE_DATE;
        if (!parse_date(base, &start, error)) {
            return false;
        }
        now = 0;
    }
    machine->rtc.offset_ns = (__int128)(start - now) * NS_PER_SEC;
    machine->rtc.clock = options->rtc.clock;
    machine->rtc.slew = options->rtc.driftfix != 0;
    return true;
}

typedef bool (*MachineTextFn)(Machine *machine, const char *text, GError **error);

static bool apply_texts(Machine *machine, const GPtrArray *texts, const char *option, MachineTextFn fn, GError **error)
{
    for (guint i = 0; i < texts->len; i++) {
        if (!fn(machine, texts->pdata[i], error)) {
            return fail_option(error, option, texts->pdata[i]);
        }
    }
    return true;
}

/* Each adds to what the ones before it said; -no-acpi and the like are such, too. */
static bool set_machine_options(Machine *machine, const GPtrArray *texts, GError **error)
{
    g_autoptr(GString) all = g_string_new(NULL);

    for (guint i = 0; i < texts->len; i++) {
        g_string_append_printf(all, "%s%s", i ? "," : "", (const char *)texts->pdata[i]);
    }
    return !all->len || machine_set_options(machine, all->str, error) || fail_option(error, "machine", all->str);
}

static bool add_smbios(Machine *machine, const char *text, GError **error)
{
    g_ptr_array_add(machine->smbios, g_strdup(text));
    return true;
}

static void set_boot(const Options *options, Machine *machine)
{
    machine->boot = (BootOptions){
        .kernel = g_strdup(options->kernel), .initrd = g_strdup(options->initrd), .append = g_strdup(options->append),
        .dtb = g_strdup(options->dtb),       .bios = g_strdup(options->bios),
    };
}

Machine *options_new_machine(const Options *options, Domain *domain, const MachineClass *class, GError **error)
{
    Machine *machine = machine_new(domain, class);

    machine->cpu_type = g_strdup(options->cpu);
    set_boot(options, machine);
    if (set_machine_options(machine, options->machine, error) &&
        apply_texts(machine, options->memory, "m", machine_set_memory, error) &&
        apply_texts(machine, options->smp, "smp", machine_set_smp, error) &&
        apply_texts(machine, options->numa, "numa", machine_add_numa, error) &&
        apply_texts(machine, options->smbios, "smbios", add_smbios, error) && set_rtc(options, machine, error)) {
        return machine;
    }
    machine_free(machine);
    return NULL;
}

static bool set_icount(const Options *options, const Machine *machine, Accel *accel, GError **error)
{
    const IcountOptions *icount = &options->icount;
    guint64 shift;

    if (!icount->shift) {
        return true;
    }
    if (!strcmp(icount->shift, "auto")) {
        error_set(error, "-icount shift=auto is not supported: guest time would depend on the host's");
        return error_hint(error, "Give a number: shift=3 makes a guest of 125 million instructions a second.");
    }
    if (!g_ascii_string_to_unsigned(icount->shift, 10, 0, ICOUNT_SHIFT_MAX, &shift, NULL)) {
        return error_set(error, "-icount: '%s' is no shift from 0 to %d", icount->shift, ICOUNT_SHIFT_MAX);
    }
    if (!accel->class->count) {
        error_set(error, "-icount: accelerator %s cannot count instructions", accel->class->name);
        return error_hint(error, "Add -accel tcg.");
    }
    if (machine->topology.maxcpus > 1) {
        error_set(error, "-icount counts the instructions of one CPU, and this machine may have %u",
                  machine->topology.maxcpus);
        return error_hint(error, "Use -smp 1.");
    }
    return accel->class->count(accel, (unsigned)shift, icount->sleep, error);
}

Accel *options_open_accel(const Options *options, const Machine *machine, GError **error)
{
    const char *text = machine_common(machine)->accel;
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    g_auto(GStrv) split = g_strsplit(text ? text : "", ":", -1);
    Accel *accel;

    if (text && options->accel->len) {
        error_set(error, "-machine accel=%s and -accel %s both choose the accelerator", text,
                  (const char *)options->accel->pdata[0]);
        error_hint(error, "Use one of them.");
        return NULL;
    }
    for (guint i = 0; i < options->accel->len; i++) {
        g_ptr_array_add(names, options->accel->pdata[i]);
    }
    for (char **name = split; *name; name++) {
        g_ptr_array_add(names, *name);
    }
    g_ptr_array_add(names, NULL);
    accel = accel_open(machine->domain, names->len > 1 ? (const char *const *)names->pdata : NULL, error);
    if (accel && !set_icount(options, machine, accel, error)) {
        accel->class->close(accel);
        return NULL;
    }
    return accel;
}

/* ---- objects, chardevs, devices ---- */

static ObjectTime time_of(const ObjectClass *class)
{
    return class->early ? OBJECTS_EARLY : class->late ? OBJECTS_LATE : OBJECTS_BETWEEN;
}

static bool add_object(Domain *domain, const char *text, ObjectTime time, GError **error)
{
    g_autoptr(Json) json = keyval_parse(text, "qom-type", error);
    const Json *type = json ? json_object_get_member(json, "qom-type") : NULL;
    const ObjectClass *class;

    if (!json) {
        return false;
    }
    if (!type || json_type_of(type) != JSON_STRING) {
        error_set(error, "The type is missing");
        return error_hint(error, "Write -object TYPE,id=NAME.");
    }
    class = object_class_find(json_get_string(type), error);
    return class && (time_of(class) != time || object_add(domain, json, error));
}

bool options_add_objects(const Options *options, Domain *domain, ObjectTime time, GError **error)
{
    for (guint i = 0; i < options->objects->len; i++) {
        if (!add_object(domain, options->objects->pdata[i], time, error)) {
            return fail_option(error, "object", options->objects->pdata[i]);
        }
    }
    return true;
}

bool options_add_chardevs(const Options *options, Domain *domain, GError **error)
{
    for (guint i = 0; i < options->chardevs->len; i++) {
        if (!chardev_add_text(domain, options->chardevs->pdata[i], error)) {
            return fail_option(error, "chardev", options->chardevs->pdata[i]);
        }
    }
    return true;
}

/* COM port n of the machine, on what text says; "none" leaves its place empty. */
static bool add_serial(Domain *domain, guint n, const char *text, GError **error)
{
    g_autofree char *id = g_strdup_printf("serial%u", n);
    g_autoptr(Json) options = json_new_object();
    Chardev *chr;

    if (!chardev_add_short(domain, id, text, &chr, error)) {
        return false;
    }
    if (!chr) {
        return true;
    }
    if (n >= domain_machine(domain)->serial_ports) {
        return error_set(error, "machine '%s' has %u serial ports here", domain_machine(domain)->class->name,
                         domain_machine(domain)->serial_ports);
    }
    json_object_put_member(options, "driver", json_new_string("isa-serial"));
    json_object_put_member(options, "index", json_new_int(n));
    json_object_put_member(options, "chardev", json_new_string(chardev_id(chr)));
    return device_add(domain, options, error) != NULL;
}

bool options_add_serials(const Options *options, Domain *domain, GError **error)
{
    if (options->serials->len == 0 && options->nographic && !options->nodefaults) {
        return !domain_machine(domain)->serial_ports || add_serial(domain, 0, "mon:stdio", error) ||
               error_subject(error, "-nographic");
    }
    for (guint i = 0; i < options->serials->len; i++) {
        if (!add_serial(domain, i, options->serials->pdata[i], error)) {
            return fail_option(error, "serial", options->serials->pdata[i]);
        }
    }
    return true;
}

bool options_add_devices(const Options *options, Domain *domain, GError **error)
{
    for (guint i = 0; i < options->devices->len; i++) {
        g_autoptr(Json) json = keyval_parse(options->devices->pdata[i], "driver", error);

        if (!json || !device_add(domain, json, error)) {
            return fail_option(error, "device", options->devices->pdata[i]);
        }
    }
    return true;
}
