/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/user.h.
 */
#include "tools/lodgectl/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "vmm/error.h"

static const struct passwd *find_user(const char *who)
{
    const struct passwd *user = getpwnam(who);
    guint64 uid;

    return user || !g_ascii_string_to_unsigned(who, 10, 0, G_MAXINT, &uid, NULL) ? user : getpwuid((uid_t)uid);
}

bool user_become(const char *who, GError **error)
{
    static const char *const of_ours[] = { "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME",
                                           "XDG_CACHE_HOME", "DBUS_SESSION_BUS_ADDRESS" };
    const struct passwd *user = find_user(who);
    g_autofree char *runtime = user ? g_strdup_printf("/run/user/%u", user->pw_uid) : NULL;

    if (!user) {
        return error_set(error, "There is no user '%s'", who);
    }
    if (user->pw_uid == geteuid()) {
        return true;
    }
    if (geteuid() != 0) {
        error_set(error, "Only root can act for another user");
        return error_hint(error, "Each user sees the own domains, without --user.");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(of_ours); i++) {
        g_unsetenv(of_ours[i]);
    }
    if (g_file_test(runtime, G_FILE_TEST_IS_DIR)) {
        g_setenv("XDG_RUNTIME_DIR", runtime, TRUE); /* systemctl --user looks for it */
    }
    g_setenv("HOME", user->pw_dir, TRUE);
    g_setenv("USER", user->pw_name, TRUE);
    if (initgroups(user->pw_name, user->pw_gid) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
        setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0) {
        return error_set_errno(error, errno, "Cannot become user '%s'", who);
    }
    return true;
}
