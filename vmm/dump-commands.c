/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/dump.h.  Names and members are QEMU 7.2's (qapi/dump.json).  The domain is frozen while its memory is
 * written.  Main thread.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "vmm/domain-internal.h"
#include "vmm/dump.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/migrate-internal.h"

static const FieldEnum format_enum = { "DumpGuestMemoryFormat", (const char *const[]) { "elf", "kdump-zlib", NULL } };
static const FieldEnum status_enum = { "DumpStatus",
                                       (const char *const[]) { "none", "active", "completed", "failed", NULL } };

typedef struct DumpInfo { int status; int64_t completed, total; } DumpInfo;
static const FieldStruct dump_info = {
    .name = "DumpQueryResult", .size = sizeof(DumpInfo),
    .fields = (const Field[]) {
        F_ENUM("status", DumpInfo, status, &status_enum, DUMP_NONE, .flags = FIELD_REQUIRED, .help = "How far it is"),
        F_INT("completed", DumpInfo, completed, 0, .flags = FIELD_REQUIRED, .help = "Bytes of memory written"),
        F_INT("total", DumpInfo, total, 0, .flags = FIELD_REQUIRED, .help = "Bytes of memory to write"),
        FIELD_END
    },
};

typedef struct CompletedData { DumpInfo result; char *error; } CompletedData;
static const FieldStruct completed_data = {
    .name = "DumpCompletedData", .size = sizeof(CompletedData),
    .fields = (const Field[]) {
        F_STRUCT("result", CompletedData, result, &dump_info, .flags = FIELD_REQUIRED, .help = "What came of it"),
        F_STR("error", CompletedData, error, NULL, .help = "Why it failed"),
        FIELD_END
    },
};
const EventType event_dump_completed = { "DUMP_COMPLETED", &completed_data, .help = "A detached dump has ended" };

struct DumpControl {
    Domain *domain;
    Dump *dump; /* NULL: none is under way */
    DumpInfo info;
};

void dump_control_free(struct DumpControl *control)
{
    if (control) {
        dump_free(control->dump);
        g_free(control);
    }
}

/* ---- the end ---- */

static void end(struct DumpControl *control, bool ok)
{
    control->info.status = ok ? DUMP_COMPLETED : DUMP_FAILED;
    if (control->dump) {
        control->info.completed = (int64_t)dump_written(control->dump);
    }
    g_clear_pointer(&control->dump, dump_free);
}

static void detached_done(const GError *error, void *opaque)
{
    struct DumpControl *control = opaque;
    g_autofree char *text = error ? error_text(error) : NULL;

    end(control, !error);
    event_emit(control->domain, &event_dump_completed, &(CompletedData) { control->info, text });
    domain_thaw(control->domain);
}

/* ---- dump-guest-memory ---- */

typedef struct DumpArgs {
    bool paging, detach, has_begin, has_length;
    char *protocol;
    uint64_t begin, length;
    int format;
} DumpArgs;
static const FieldStruct dump_args = {
    .name = "DumpGuestMemoryArguments", .size = sizeof(DumpArgs),
    .fields = (const Field[]) {
        F_BOOL("paging", DumpArgs, paging, false, .flags = FIELD_REQUIRED,
               .help = "false: what is dumped is told by physical addresses only"),
        F_STR("protocol", DumpArgs, protocol, NULL, .flags = FIELD_REQUIRED,
              .help = "file:PATH, or fd:NAME of a descriptor of getfd"),
        F_BOOL("detach", DumpArgs, detach, false, .help = "Answer at once, and tell the end by DUMP_COMPLETED"),
        F_UINT("begin", DumpArgs, begin, 0, FIELD_HAS(DumpArgs, has_begin), .help = "First physical address"),
        F_UINT("length", DumpArgs, length, 0, FIELD_HAS(DumpArgs, has_length), .help = "Bytes from there on"),
        F_ENUM("format", DumpArgs, format, &format_enum, DUMP_ELF, .help = "Of the file"),
        FIELD_END
    },
};

static bool check(const Domain *domain, const DumpArgs *args, GError **error)
{
    if (domain->dump && domain->dump->dump) {
        error_set(error, "a dump is under way");
        return error_hint(error, "Wait for DUMP_COMPLETED.");
    }
    if (domain_run_state(domain) == RUN_STATE_INMIGRATE ||
        (domain->migration && migration_under_way(domain->migration))) {
        return error_set(error, "dump-guest-memory is not allowed while the domain migrates");
    }
    if (args->paging) {
        error_set(error, "'paging' is not possible");
        return error_hint(error, "Use false: crash and gdb translate addresses themselves.");
    }
    if (args->has_begin != args->has_length) {
        return error_set(error, "'begin' and 'length' go together");
    }
    if (args->has_length && (!args->length || (args->begin | args->length) % GUEST_PAGE_SIZE ||
                             args->begin + args->length < args->begin)) {
        return error_set(error, "'begin' and 'length' must be whole pages of 4096 bytes, at least one");
    }
    if (args->has_length && args->format != DUMP_ELF) {
        return error_set(error, "'begin' and 'length' are possible with format 'elf' only");
    }
    return true;
}

static int open_target(const char *protocol, GError **error)
{
    if (g_str_has_prefix(protocol, "file:")) {
        return host_open(protocol + strlen("file:"), O_WRONLY | O_CREAT | O_TRUNC, 0600, error);
    }
    if (g_str_has_prefix(protocol, "fd:")) {
        return host_passed_fd(protocol + strlen("fd:"), error);
    }
    error_set(error, "'%s' is no place for a dump", protocol);
    error_hint(error, "Use file:PATH or fd:NAME.");
    return -1;
}

static struct DumpControl *control_of(Domain *domain)
{
    if (!domain->dump) {
        domain->dump = g_new0(struct DumpControl, 1);
        domain->dump->domain = domain;
    }
    return domain->dump;
}

static bool dump_memory(struct DumpControl *control, const DumpArgs *args, int fd, GError **error)
{
    const DumpOptions options = { args->format, args->begin, args->length, fd };

    control->dump = dump_new(control->domain, &options, error);
    if (!control->dump) {
        close(fd);
        return false;
    }
    control->info = (DumpInfo) { DUMP_ACTIVE, 0, (int64_t)dump_total(control->dump) };
    return args->detach ? dump_start(control->dump, detached_done, control, error) : dump_run(control->dump, error);
}

static bool dump_guest_memory(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    struct DumpControl *control = control_of(call->domain);
    const DumpArgs *args = opaque;
    bool ok;
    int fd;

    if (!check(call->domain, args, error)) {
        return false;
    }
    fd = open_target(args->protocol, error);
    if (fd < 0) {
        return false;
    }
    domain_freeze(call->domain);
    ok = dump_memory(control, args, fd, error);
    if (!ok || !args->detach) {
        end(control, ok);
        domain_thaw(call->domain);
    }
    return ok;
}

static bool query_dump(CommandCall *call, const void *args, void *ret, GError **error)
{
    const struct DumpControl *control = call->domain->dump;
    DumpInfo *info = ret;

    if (control) {
        *info = control->info;
        info->completed = control->dump ? (int64_t)dump_written(control->dump) : info->completed;
    }
    return true;
}

typedef struct CapabilityInfo { FieldList formats; } CapabilityInfo;
static const Field format_element = FIELD_VALUE(FIELD_ENUM, int, .of.enumeration = &format_enum);
static const FieldStruct capability_info = {
    .name = "DumpGuestMemoryCapability", .size = sizeof(CapabilityInfo),
    .fields = (const Field[]) {
        F_LIST("formats", CapabilityInfo, formats, &format_element, .flags = FIELD_REQUIRED, .help = "Those there are"),
        FIELD_END
    },
};

static bool query_capability(CommandCall *call, const void *args, void *ret, GError **error)
{
    FieldList *formats = &((CapabilityInfo *)ret)->formats;

    formats->items = g_new(int, DUMP_FORMATS);
    for (int i = 0; i < DUMP_FORMATS; i++) {
        FIELD_LIST_AT(*formats, int, formats->n++) = i;
    }
    return true;
}

const Command dump_commands[] = {
    { "dump-guest-memory", dump_guest_memory, &dump_args, .help = "Write memory and registers of the guest to a file" },
    { "query-dump", query_dump, NULL, COMMAND_RETURNS(DumpInfo, &dump_info), .help = "Tell how far the last dump is" },
    { "query-dump-guest-memory-capability", query_capability, NULL, COMMAND_RETURNS(CapabilityInfo, &capability_info),
      .help = "List the formats of dumps" },
    COMMAND_END
};
