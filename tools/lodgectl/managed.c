/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/managed.h.
 */
#include "tools/lodgectl/managed.h"

#include <errno.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/registry.h"

static char *folder(GError **error)
{
    char *path = registry_saves();

    if (!path) {
        error_set(error, "There is no folder for saved domains: neither XDG_STATE_HOME nor HOME is set");
    }
    return path;
}

char *managed_path(const char *name, GError **error)
{
    g_autofree char *saves = folder(error), *file = g_strconcat(name, ".save", NULL);

    return saves ? g_build_filename(saves, file, NULL) : NULL;
}

bool managed_exists(const char *name)
{
    g_autofree char *path = managed_path(name, NULL);

    return path && access(path, F_OK) == 0;
}

bool managed_prepare(GError **error)
{
    g_autofree char *saves = folder(error);

    return saves && (g_mkdir_with_parents(saves, 0700) == 0 ||
                     error_set_errno(error, errno, "Cannot make the folder '%s'", saves));
}

bool managed_remove(const char *name, GError **error)
{
    g_autofree char *path = managed_path(name, NULL);

    return !path || unlink(path) == 0 || errno == ENOENT || error_set_errno(error, errno, "Cannot remove '%s'", path);
}
