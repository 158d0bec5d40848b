/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What keeps a domain from moving, and -only-migratable, which refuses it.
 *
 * Nothing is kept of it: the reasons are looked up when somebody asks.  What may come while the domain runs is asked
 * about before it is there.  Main thread.
 */
#include "vmm/error.h"
#include "vmm/migrate-internal.h"
#include "vmm/state-format.h"

GPtrArray *migrate_blocked_reasons(Domain *domain)
{
    GPtrArray *reasons = g_ptr_array_new_with_free_func(g_free);
    const Accel *accel = domain_accel(domain);

    for (unsigned i = 0; i < domain->state->items->len; i++) {
        const StateItem *item = g_ptr_array_index(domain->state->items, i);

        if (item->desc->unmigratable) {
            g_ptr_array_add(reasons, g_strdup_printf("%s cannot be saved: %s", item->path, item->desc->unmigratable));
        }
    }
    if (accel && accel->class->dirty_log && !accel->class->dirty_log(domain_accel(domain))) {
        g_ptr_array_add(reasons, g_strdup_printf("accelerator '%s' cannot tell here which memory the guest changes",
                                                 accel->class->name));
    }
    if (domain_is_frozen(domain)) {
        g_ptr_array_add(reasons, g_strdup("a dump of its memory is under way (dump-guest-memory)"));
    }
    return reasons;
}

/* ---- -only-migratable ---- */

void migrate_set_only(Domain *domain)
{
    migrate_control(domain)->only = true;
}

static bool refuse_only(const char *reason, GError **error)
{
    error_set(error, "-only-migratable forbids what keeps the domain from moving: %s", reason);
    return error_hint(error, "Leave one of both out.");
}

bool migrate_may_add(Domain *domain, const StateDesc *desc, GError **error)
{
    return !desc->unmigratable || !domain->migration || !domain->migration->only ||
           refuse_only(desc->unmigratable, error);
}

bool migrate_check_only(Domain *domain, GError **error)
{
    g_autoptr(GPtrArray) reasons = migrate_control(domain)->only ? migrate_blocked_reasons(domain) : NULL;

    return !reasons || !reasons->len || refuse_only(reasons->pdata[0], error);
}
