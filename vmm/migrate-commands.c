/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of migrations.  Names and members are QEMU 7.2's (qapi/migration.json); capabilities and parameters are
 * those that have an effect here.  A destination takes what it needs to know of them from the stream.
 */
#include "vmm/error.h"
#include "vmm/migrate-internal.h"
#include "vmm/socket-address.h"
#include "vmm/timer.h"

/* ---- query-migrate ---- */

typedef struct RamStats {
    uint64_t transferred, remaining, total, duplicate, normal, normal_bytes, dirty_rate, passes, page_size, pages_rate,
        multifd_bytes, precopy_bytes, downtime_bytes, never;
    double mbps;
} RamStats;
#define STAT(NAME, M, HELP) F_UINT(NAME, RamStats, M, 0, .flags = FIELD_REQUIRED, .help = HELP)
static const FieldStruct ram_stats = {
    .name = "MigrationStats", .size = sizeof(RamStats),
    .fields = (const Field[]) {
        STAT("transferred", transferred, "Bytes that have gone out"),
        STAT("remaining", remaining, "Bytes of memory still to go"),
        STAT("total", total, "Bytes of memory there are"),
        STAT("duplicate", duplicate, "Pages that were zero"),
        STAT("normal", normal, "Other pages"),
        STAT("normal-bytes", normal_bytes, "Bytes of those"),
        STAT("dirty-pages-rate", dirty_rate, "Pages that the guest changes in a second"),
        FIELD_AT("mbps", FIELD_NUMBER, RamStats, mbps, .flags = FIELD_REQUIRED, .help = "Megabits a second"),
        STAT("dirty-sync-count", passes, "How often memory was gone through"),
        STAT("page-size", page_size, "Bytes of a page"),
        STAT("multifd-bytes", multifd_bytes, "Bytes that have gone out through channels of multifd"),
        /* What clients that are made from QEMU's schema need: there is none of it here. */
        STAT("skipped", never, "Pages left out: none"),
        STAT("postcopy-requests", never, "Pages that the destination has asked for: none"),
        STAT("postcopy-bytes", never, "Bytes of those"),
        STAT("dirty-sync-missed-zero-copy", never, "Passes that were copied in spite of zero copy: none"),
        STAT("pages-per-second", pages_rate, "Pages that go out in a second"),
        STAT("precopy-bytes", precopy_bytes, "Bytes that went out while the guest ran"),
        STAT("downtime-bytes", downtime_bytes, "Bytes that went out while it stood still"),
        FIELD_END
    },
};

typedef struct MigrateInfo {
    bool has_status, has_blocked, has_addresses;
    int status;
    RamStats *ram;
    int64_t total_time, expected_downtime, downtime, setup_time, throttle;
    bool has_total, has_expected, has_downtime, has_setup, has_throttle;
    char *error;
    FieldList blocked, addresses;
} MigrateInfo;
static const Field reason_element = FIELD_VALUE(FIELD_STR, char *);
static const Field address_element =
    FIELD_VALUE(FIELD_STRUCT, SocketAddress, .of.structure = &socket_address_struct);
static const FieldStruct migrate_info = {
    .name = "MigrationInfo", .size = sizeof(MigrateInfo),
    .fields = (const Field[]) {
        F_ENUM("status", MigrateInfo, status, &migrate_status_enum, 0, FIELD_HAS(MigrateInfo, has_status),
               .help = "How far it is; absent: there was none"),
        F_STRUCT("ram", MigrateInfo, ram, &ram_stats, .flags = FIELD_POINTER, .help = "What has become of memory"),
        F_INT("total-time", MigrateInfo, total_time, 0, FIELD_HAS(MigrateInfo, has_total), .help = "ms since it began"),
        F_INT("expected-downtime", MigrateInfo, expected_downtime, 0, FIELD_HAS(MigrateInfo, has_expected),
              .help = "ms that the guest would stand still, if it stopped now"),
        F_INT("downtime", MigrateInfo, downtime, 0, FIELD_HAS(MigrateInfo, has_downtime),
              .help = "ms that the guest stood still"),
        F_INT("setup-time", MigrateInfo, setup_time, 0, FIELD_HAS(MigrateInfo, has_setup), .help = "ms until it began"),
        F_INT("cpu-throttle-percentage", MigrateInfo, throttle, 0, FIELD_HAS(MigrateInfo, has_throttle),
              .help = "Of the time the guest is kept from running (auto-converge)"),
        F_STR("error-desc", MigrateInfo, error, NULL, .help = "Why it failed"),
        F_LIST("blocked-reasons", MigrateInfo, blocked, &reason_element, FIELD_HAS(MigrateInfo, has_blocked),
               .help = "Why the domain cannot move"),
        F_LIST("socket-address", MigrateInfo, addresses, &address_element, FIELD_HAS(MigrateInfo, has_addresses),
               .help = "Where a domain that is to come is waited for"),
        FIELD_END
    },
};

static uint64_t number(const uint64_t *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static int64_t moment(const int64_t *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static RamStats *describe_ram(const Migration *m)
{
    RamStats *s = g_new0(RamStats, 1);
    int64_t end = moment(&m->end_ns), from = moment(&m->active_ns);
    double seconds = (double)((end ? end : clock_ns(clock_realtime)) - from) / NS_PER_SEC;

    s->normal = number(&m->ram->count.normal);
    s->duplicate = number(&m->ram->count.zero);
    s->normal_bytes = s->normal * GUEST_PAGE_SIZE;
    s->transferred = migrate_channel_written(m->channel);
    s->remaining = end ? 0 : number(&m->ram->count.remaining) * GUEST_PAGE_SIZE;
    s->total = m->ram->pages * GUEST_PAGE_SIZE;
    s->dirty_rate = number(&m->dirty_rate);
    s->passes = number(&m->passes);
    s->page_size = GUEST_PAGE_SIZE;
    s->multifd_bytes = number(&m->multifd_bytes);
    s->precopy_bytes = number(&m->precopy_bytes);
    s->downtime_bytes = s->precopy_bytes ? s->transferred - s->precopy_bytes : 0;
    if (from && seconds > 0) {
        s->mbps = (double)s->transferred * 8 / 1e6 / seconds;
        s->pages_rate = (uint64_t)((double)(s->normal + s->duplicate) / seconds);
    }
    return s;
}

static int64_t ms(int64_t from, int64_t to)
{
    return (to - from + NS_PER_MS / 2) / NS_PER_MS;
}

static void describe(const struct MigrateControl *control, MigrateInfo *info)
{
    const Migration *m = control->migration;
    int64_t end, stop;

    info->has_status = true;
    info->status = (int)migrate_status(control);
    if (info->status == MIGRATE_FAILED) {
        info->error = g_strdup(control->error);
    }
    if (!m) {
        return;
    }
    end = moment(&m->end_ns);
    stop = moment(&m->stop_ns);
    info->has_total = true;
    info->total_time = ms(m->begin_ns, end ? end : clock_ns(clock_realtime));
    if (moment(&m->active_ns)) {
        info->has_setup = true;
        info->setup_time = ms(m->begin_ns, moment(&m->active_ns));
        info->ram = describe_ram(m);
    }
    info->has_expected = info->has_setup && !end;
    info->expected_downtime = (int64_t)number(&m->expected_ms);
    info->throttle = vcpus_throttled(m->domain);
    info->has_throttle = info->throttle > 0;
    info->has_downtime = stop && end;
    info->downtime = ms(stop, end);
}

static void describe_listener(int fd, MigrateInfo *info)
{
    SocketAddress address;

    if (socket_address_of(fd, &address)) {
        info->has_addresses = true;
        info->addresses.items = g_new0(SocketAddress, 1);
        FIELD_LIST_AT(info->addresses, SocketAddress, info->addresses.n++) = address;
    }
}

static bool query_migrate(CommandCall *call, const void *args, void *ret, GError **error)
{
    const struct MigrateControl *control = call->domain->migration;
    g_autoptr(GPtrArray) reasons = migrate_blocked_reasons(call->domain);
    MigrateInfo *info = ret;

    if (control && migrate_status(control) != MIGRATE_NONE) {
        describe(control, info);
    }
    if (control && control->listen_fd >= 0) {
        describe_listener(control->listen_fd, info);
    }
    if (reasons->len) {
        info->has_blocked = true;
        info->blocked.n = reasons->len;
        info->blocked.items = g_new0(char *, reasons->len);
        for (unsigned i = 0; i < reasons->len; i++) {
            FIELD_LIST_AT(info->blocked, char *, i) = g_steal_pointer((char **)&reasons->pdata[i]);
        }
    }
    return true;
}

/* ---- capabilities ---- */

const FieldEnum migrate_capability_enum = {
    "MigrationCapability", (const char *const[]) { "events", "pause-before-switchover", "return-path", "multifd",
                                                   "auto-converge", NULL }
};
typedef struct CapabilityStatus { int capability; bool state; } CapabilityStatus;
static const FieldStruct capability_status = {
    .name = "MigrationCapabilityStatus", .size = sizeof(CapabilityStatus),
    .fields = (const Field[]) {
        F_ENUM("capability", CapabilityStatus, capability, &migrate_capability_enum, 0, .flags = FIELD_REQUIRED,
               .help = "The capability"),
        F_BOOL("state", CapabilityStatus, state, false, .flags = FIELD_REQUIRED, .help = "Whether it is enabled"),
        FIELD_END
    },
};
static const Field capability_element = FIELD_VALUE(FIELD_STRUCT, CapabilityStatus, .of.structure = &capability_status);

static bool query_capabilities(CommandCall *call, const void *args, void *ret, GError **error)
{
    const struct MigrateControl *control = migrate_control(call->domain);
    FieldList *list = ret;

    list->items = g_new0(CapabilityStatus, MIGRATE_CAPABILITIES);
    for (int c = 0; c < MIGRATE_CAPABILITIES; c++) {
        FIELD_LIST_AT(*list, CapabilityStatus, list->n++) = (CapabilityStatus) { c, control->capability[c] };
    }
    return true;
}

typedef struct SetCapabilities { FieldList capabilities; } SetCapabilities;
static const FieldStruct set_capabilities_args = {
    .name = "MigrateSetCapabilitiesArguments", .size = sizeof(SetCapabilities),
    .fields = (const Field[]) {
        F_LIST("capabilities", SetCapabilities, capabilities, &capability_element, .flags = FIELD_REQUIRED,
               .help = "Which to change"),
        FIELD_END
    },
};

static bool refuse_under_way(const struct MigrateControl *control, GError **error)
{
    return !migration_under_way(control) || error_set(error, "There's a migration process in progress");
}

static bool set_capabilities(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    struct MigrateControl *control = migrate_control(call->domain);
    const SetCapabilities *args = opaque;

    if (!control->incoming && !refuse_under_way(control, error)) {
        return false;
    }
    for (size_t i = 0; i < args->capabilities.n; i++) {
        const CapabilityStatus *c = &FIELD_LIST_AT(args->capabilities, CapabilityStatus, i);

        control->capability[c->capability] = c->state;
    }
    return true;
}

/* ---- the way out ---- */

typedef struct MigrateArgs { char *uri, *definition; bool detach, resume, disks, increments; } MigrateArgs;
static const FieldStruct migrate_args = {
    .name = "MigrateArguments", .size = sizeof(MigrateArgs),
    .fields = (const Field[]) {
        F_STR("uri", MigrateArgs, uri, NULL, .flags = FIELD_REQUIRED,
              .help = "Where to: unix:PATH, tcp:HOST:PORT, fd:NAME, exec:COMMAND or file:PATH"),
        F_STR("definition", MigrateArgs, definition, NULL, .help = "A -readconfig file to be kept with it (Lodge)"),
        F_BOOL("detach", MigrateArgs, detach, true, .help = "It is always detached: MIGRATION tells the end"),
        F_BOOL("resume", MigrateArgs, resume, false, .help = "Only false: there is nothing to resume"),
        F_BOOL("blk", MigrateArgs, disks, false, .help = "Only false: disks stay where they are"),
        F_BOOL("inc", MigrateArgs, increments, false, .help = "Only false: likewise"),
        FIELD_END
    },
};

static bool may_go(Domain *domain, GError **error)
{
    const struct MigrateControl *control = migrate_control(domain);
    g_autoptr(GPtrArray) reasons = migrate_blocked_reasons(domain);

    if (!refuse_under_way(control, error)) {
        return false;
    }
    if (control->incoming) {
        return error_set(error, "Guest is waiting for an incoming migration");
    }
    if (domain_run_state(domain) == RUN_STATE_POSTMIGRATE) {
        error_set(error, "The domain has moved already");
        return error_hint(error, "If it does not run there, let it go on here first (cont).");
    }
    return !reasons->len || error_set(error, "%s", (const char *)reasons->pdata[0]);
}

static bool migrate(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const MigrateArgs *args = opaque;
    MigrateUri uri;

    if (args->resume) {
        return error_set(error, "There is no migration that could be resumed");
    }
    if (args->disks || args->increments) {
        error_set(error, "'%s' is not supported: disks do not move with the domain", args->disks ? "blk" : "inc");
        return error_hint(error, "Let both hosts see the same images.");
    }
    return may_go(call->domain, error) && migrate_uri_parse(args->uri, false, &uri, error) &&
           migrate_outgoing_begin(call->domain, &uri, args->definition, error);
}

static bool migrate_cancel(CommandCall *call, const void *args, void *ret, GError **error)
{
    struct MigrateControl *control = migrate_control(call->domain);
    Migration *m = control->migration;

    if (m && !control->incoming && !m->committed && migration_under_way(control) &&
        migrate_status(control) != MIGRATE_CANCELLING) {
        migrate_set_status(control, MIGRATE_CANCELLING);
        migration_cancel(m);
    }
    return true;
}

typedef struct ContinueArgs { int state; } ContinueArgs;
static const FieldStruct continue_args = {
    .name = "MigrateContinueArguments", .size = sizeof(ContinueArgs),
    .fields = (const Field[]) {
        F_ENUM("state", ContinueArgs, state, &migrate_status_enum, 0, .flags = FIELD_REQUIRED,
               .help = "What it waits in: pre-switchover"),
        FIELD_END
    },
};

static bool migrate_continue(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    struct MigrateControl *control = migrate_control(call->domain);
    const ContinueArgs *args = opaque;
    Migration *m = control->migration;

    if ((int)migrate_status(control) != args->state || args->state != MIGRATE_PRE_SWITCHOVER || !m) {
        return error_set(error, "Migration not in expected state: %s",
                         migrate_status_enum.values[migrate_status(control)]);
    }
    pthread_mutex_lock(&m->mutex);
    m->cont = true;
    pthread_cond_broadcast(&m->cond);
    pthread_mutex_unlock(&m->mutex);
    return true;
}

/* ---- the way in ---- */

typedef struct IncomingArgs { char *uri; } IncomingArgs;
static const FieldStruct incoming_args = {
    .name = "MigrateIncomingArguments", .size = sizeof(IncomingArgs),
    .fields = (const Field[]) {
        F_STR("uri", IncomingArgs, uri, NULL, .flags = FIELD_REQUIRED,
              .help = "Where from: unix:PATH, tcp:HOST:PORT, fd:NAME, exec:COMMAND, or "
                      "file:PATH[,lazy=on|off|prefault]"),
        FIELD_END
    },
};

static bool incoming(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const struct MigrateControl *control = migrate_control(call->domain);
    const IncomingArgs *args = opaque;
    MigrateUri uri;

    if (!control->incoming) {
        return error_set(error, "'-incoming' was not specified on the command line");
    }
    if (migrate_status(control) != MIGRATE_NONE) {
        return error_set(error, "The incoming migration has already been started");
    }
    return migrate_uri_parse(args->uri, true, &uri, error) && migrate_incoming_begin(call->domain, &uri, error);
}

const Command migrate_commands[] = {
    { "migrate", migrate, &migrate_args, .help = "Move the domain to another process, or to a file" },
    { "migrate_cancel", migrate_cancel, .help = "Give up the migration; the guest goes on" },
    { "migrate-continue", migrate_continue, &continue_args, .help = "Go on with a migration that waits" },
    { "migrate-incoming", incoming, &incoming_args, .help = "Say where the domain of -incoming defer comes from" },
    { "query-migrate", query_migrate, NULL, COMMAND_RETURNS(MigrateInfo, &migrate_info),
      .help = "Tell how far the last migration is" },
    { "query-migrate-capabilities", query_capabilities, NULL, COMMAND_RETURNS_LIST(&capability_element),
      .help = "List what a migration can do" },
    { "migrate-set-capabilities", set_capabilities, &set_capabilities_args, .help = "Choose what migrations do" },
    COMMAND_END
};
