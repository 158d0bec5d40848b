/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/host-commands.h.  Names and members are QEMU 7.2's (qapi/misc.json).
 */
#include "vmm/host-commands.h"

#include <fcntl.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host.h"

static int receive(CommandCall *call, GError **error)
{
    int fd = call->fds && call->fds->receive ? call->fds->receive(call->fds->opaque) : -1;

    if (fd < 0) {
        error_set(error, "No file descriptor supplied via SCM_RIGHTS");
    }
    return fd;
}

/* ---- by name ---- */

typedef struct NameArgs { char *fdname; } NameArgs;
static const FieldStruct name_args = {
    .name = "FdNameArguments", .size = sizeof(NameArgs),
    .fields = (const Field[]) {
        F_STR("fdname", NameArgs, fdname, NULL, .flags = FIELD_REQUIRED, .help = "The name of the descriptor"),
        FIELD_END
    },
};

static bool getfd(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const NameArgs *args = opaque;
    int fd = receive(call, error);

    if (fd < 0) {
        return false;
    }
    if (!args->fdname[0] || g_ascii_isdigit(args->fdname[0])) {
        close(fd);
        return error_set(error, "'%s' is no name for a descriptor: it must not begin with a digit", args->fdname);
    }
    g_hash_table_replace(call->fds->named, g_strdup(args->fdname), GINT_TO_POINTER(fd));
    return true;
}

static bool closefd(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const NameArgs *args = opaque;

    return (call->fds && g_hash_table_remove(call->fds->named, args->fdname)) ||
           error_set(error, "File descriptor named '%s' not found", args->fdname);
}

/* ---- in sets ---- */

typedef struct AddArgs { bool has_set; uint32_t set; char *opaque; } AddArgs;
static const FieldStruct add_args = {
    .name = "AddFdArguments", .size = sizeof(AddArgs),
    .fields = (const Field[]) {
        F_UINT("fdset-id", AddArgs, set, 0, FIELD_HAS(AddArgs, has_set), .help = "The set (default: a new one)"),
        F_STR("opaque", AddArgs, opaque, NULL, .help = "Comes back in query-fdsets"),
        FIELD_END
    },
};

typedef struct AddInfo { uint32_t set; int32_t fd; } AddInfo;
static const FieldStruct add_info = {
    .name = "AddfdInfo", .size = sizeof(AddInfo),
    .fields = (const Field[]) {
        F_UINT("fdset-id", AddInfo, set, 0, .flags = FIELD_REQUIRED, .help = "The set"),
        F_INT("fd", AddInfo, fd, 0, .flags = FIELD_REQUIRED, .help = "The descriptor's number here"),
        FIELD_END
    },
};

static bool add_fd(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const AddArgs *args = opaque;
    unsigned set = args->has_set ? args->set : host_fdset_next();
    int fd = receive(call, error);

    if (fd < 0) {
        return false;
    }
    if (!host_fdset_add(set, fd, args->opaque, error)) {
        close(fd);
        return false;
    }
    *(AddInfo *)ret = (AddInfo) { set, fd };
    return true;
}

typedef struct RemoveArgs { uint32_t set; bool has_fd; int32_t fd; } RemoveArgs;
static const FieldStruct remove_args = {
    .name = "RemoveFdArguments", .size = sizeof(RemoveArgs),
    .fields = (const Field[]) {
        F_UINT("fdset-id", RemoveArgs, set, 0, .flags = FIELD_REQUIRED, .help = "The set"),
        F_INT("fd", RemoveArgs, fd, 0, FIELD_HAS(RemoveArgs, has_fd), .min = 0, .max = INT32_MAX,
              .help = "One of it (default: all)"),
        FIELD_END
    },
};

static bool remove_fd(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const RemoveArgs *args = opaque;

    return host_fdset_remove(args->set, args->has_fd ? args->fd : -1, error);
}

typedef struct FdInfo { int32_t fd; char *opaque; } FdInfo;
static const FieldStruct fd_info = {
    .name = "FdsetFdInfo", .size = sizeof(FdInfo),
    .fields = (const Field[]) {
        F_INT("fd", FdInfo, fd, 0, .flags = FIELD_REQUIRED, .help = "The descriptor's number here"),
        F_STR("opaque", FdInfo, opaque, NULL, .help = "What was said of it"),
        FIELD_END
    },
};
static const Field fd_info_element = FIELD_VALUE(FIELD_STRUCT, FdInfo, .of.structure = &fd_info);

typedef struct SetInfo { uint32_t set; FieldList fds; } SetInfo;
static const FieldStruct set_info = {
    .name = "FdsetInfo", .size = sizeof(SetInfo),
    .fields = (const Field[]) {
        F_UINT("fdset-id", SetInfo, set, 0, .flags = FIELD_REQUIRED, .help = "The set"),
        F_LIST("fds", SetInfo, fds, &fd_info_element, .flags = FIELD_REQUIRED, .help = "What is in it"),
        FIELD_END
    },
};
static const Field set_info_element = FIELD_VALUE(FIELD_STRUCT, SetInfo, .of.structure = &set_info);

static SetInfo *find_or_add(FieldList *sets, unsigned set)
{
    for (size_t i = 0; i < sets->n; i++) {
        if (FIELD_LIST_AT(*sets, SetInfo, i).set == set) {
            return &FIELD_LIST_AT(*sets, SetInfo, i);
        }
    }
    sets->items = g_renew(SetInfo, sets->items, sets->n + 1);
    FIELD_LIST_AT(*sets, SetInfo, sets->n) = (SetInfo) { .set = set };
    return &FIELD_LIST_AT(*sets, SetInfo, sets->n++);
}

static void list_fd(unsigned set, int fd, const char *text, void *opaque)
{
    FieldList *fds = &find_or_add(opaque, set)->fds;

    fds->items = g_renew(FdInfo, fds->items, fds->n + 1);
    FIELD_LIST_AT(*fds, FdInfo, fds->n++) = (FdInfo) { fd, g_strdup(text) };
}

static bool query_fdsets(CommandCall *call, const void *args, void *ret, GError **error)
{
    host_fdset_each(list_fd, ret);
    return true;
}

const Command host_commands[] = {
    { "getfd", getfd, &name_args, .help = "Give a name to the descriptor that comes with this command" },
    { "closefd", closefd, &name_args, .help = "Close a descriptor that getfd gave a name" },
    { "add-fd", add_fd, &add_args, COMMAND_RETURNS(AddInfo, &add_info),
      .help = "Put the descriptor that comes with this command into a set" },
    { "remove-fd", remove_fd, &remove_args, .help = "Close descriptors of a set" },
    { "query-fdsets", query_fdsets, NULL, COMMAND_RETURNS_LIST(&set_info_element), .help = "List the sets" },
    COMMAND_END
};
