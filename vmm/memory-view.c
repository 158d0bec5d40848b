/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Views: a region tree flattened into sorted ranges and doorbells, and the
 * differences between two of them as listeners see them.
 *
 * Rendering goes from what hides to what is hidden: a region's children by falling
 * priority, then the region itself; each one fills only what is still free.
 * Positions are computed in 128 bits, so neither a region of 2^64 bytes nor an alias
 * that starts below 0 overflows.
 *
 * Locking: LOCK_MAPPING while a view is made or compared; none to read one.
 */
#include "vmm/memory-view.h"

#include <string.h>

typedef __int128 Wide;

/* ---- flattening ---- */

typedef struct Window { /* inclusive; empty when first > last */
    Wide first, last;
} Window;

static Window window_cut(Window w, Wide first, Wide last)
{
    return (Window) { MAX(w.first, first), MIN(w.last, last) };
}

/* Index of the first range that ends at or above address. */
static unsigned ranges_at(const ViewRange *ranges, unsigned n, uint64_t address)
{
    unsigned low = 0, high = n;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (ranges[middle].last < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static ViewRange make_range(MemoryRegion *mr, Wide start, Wide first, Wide last, bool readonly)
{
    ViewRange r = {
        .first = (uint64_t)first,
        .last = (uint64_t)last,
        .region = mr,
        .offset = (uint64_t)(first - start),
        .readonly = readonly,
        .romd = mr->kind == MEMORY_ROM_DEVICE && mr->romd,
    };

    if (mr->ram) {
        r.ram = mr->ram;
        r.ram_offset = mr->ram_offset + r.offset;
        r.host = ram_block_host(mr->ram) + r.ram_offset;
    }
    return r;
}

/* Puts mr, whose offset 0 is at start, wherever the window is still free. */
static void fill_gaps(GArray *ranges, MemoryRegion *mr, Wide start, Window w, bool readonly)
{
    unsigned i = ranges_at((const ViewRange *)ranges->data, ranges->len, (uint64_t)w.first);

    while (w.first <= w.last) {
        Wide last = w.last;
        Wide next = w.last + 1;

        if (i < ranges->len) {
            const ViewRange *taken = &g_array_index(ranges, ViewRange, i);

            if (taken->first <= w.last) {
                last = (Wide)taken->first - 1;
                next = (Wide)taken->last + 1;
            }
        }
        if (w.first <= last) {
            ViewRange r = make_range(mr, start, w.first, last, readonly);

            g_array_insert_val(ranges, i, r);
            i++;
        }
        i++;
        w.first = next;
    }
}

/* mr's offset 0 lies at start. */
static void render(GArray *ranges, MemoryRegion *mr, Wide start, Window w, bool readonly)
{
    if (!mr->enabled || mr->size == 0) {
        return;
    }
    w = window_cut(w, start, start + region_last(mr));
    if (w.first > w.last) {
        return;
    }
    readonly |= mr->readonly;
    if (mr->alias) {
        render(ranges, mr->alias, start - mr->alias_offset, w, readonly);
        return;
    }
    for (unsigned i = 0; mr->children && i < mr->children->len; i++) {
        MemoryRegion *child = mr->children->pdata[i];

        render(ranges, child, start + child->address, w, readonly);
    }
    if (mr->kind != MEMORY_CONTAINER) {
        fill_gaps(ranges, mr, start, w, readonly);
    }
}

static bool continues(const ViewRange *a, const ViewRange *b)
{
    return a->last + 1 == b->first && a->region == b->region && a->offset + (b->first - a->first) == b->offset &&
           a->readonly == b->readonly;
}

/* Joins neighbours that show successive parts of one region (split by what is gone, or by aliases). */
static void join(GArray *ranges)
{
    unsigned n = 0;

    for (unsigned i = 0; i < ranges->len; i++) {
        ViewRange r = g_array_index(ranges, ViewRange, i);
        ViewRange *previous = n ? &g_array_index(ranges, ViewRange, n - 1) : NULL;

        if (previous && continues(previous, &r)) {
            previous->last = r.last;
        } else {
            g_array_index(ranges, ViewRange, n++) = r;
        }
    }
    g_array_set_size(ranges, n);
}

static int bell_compare(const void *a, const void *b)
{
    const ViewBell *x = a, *y = b;

    if (x->address != y->address) {
        return x->address < y->address ? -1 : 1;
    }
    if (x->bell.size != y->bell.size) {
        return x->bell.size < y->bell.size ? -1 : 1;
    }
    if (x->bell.match != y->bell.match) {
        return x->bell.match ? 1 : -1;
    }
    if (x->bell.match && x->bell.data != y->bell.data) {
        return x->bell.data < y->bell.data ? -1 : 1;
    }
    return (x->bell.eventfd > y->bell.eventfd) - (x->bell.eventfd < y->bell.eventfd);
}

static void collect_bells(GArray *bells, ViewRange *r)
{
    for (unsigned i = 0; r->region->doorbells && i < r->region->doorbells->len; i++) {
        const MemoryDoorbell *d = &g_array_index(r->region->doorbells, MemoryDoorbell, i);
        uint64_t span = r->last - r->first;

        if (d->offset >= r->offset && d->offset - r->offset <= span &&
            MAX(d->size, 1u) - 1 <= span - (d->offset - r->offset)) {
            ViewBell bell = { r->first + (d->offset - r->offset), *d };

            g_array_append_val(bells, bell);
            r->bells = true;
        }
    }
}

/* A doorbell that two regions or one device twice ask for is one doorbell. */
static void drop_equal_bells(GArray *bells)
{
    unsigned n = 0;

    for (unsigned i = 0; i < bells->len; i++) {
        ViewBell bell = g_array_index(bells, ViewBell, i);

        if (n == 0 || bell_compare(&g_array_index(bells, ViewBell, n - 1), &bell) != 0) {
            g_array_index(bells, ViewBell, n++) = bell;
        }
    }
    g_array_set_size(bells, n);
}

View *view_new(MemoryRegion *root)
{
    GArray *ranges = g_array_new(false, false, sizeof(ViewRange));
    GArray *bells = g_array_new(false, false, sizeof(ViewBell));
    View *view = g_new(View, 1);

    render(ranges, root, root->address, (Window) { 0, UINT64_MAX }, false);
    join(ranges);
    for (unsigned i = 0; i < ranges->len; i++) {
        ViewRange *r = &g_array_index(ranges, ViewRange, i);

        collect_bells(bells, r);
        if (r->ram) {
            ram_block_ref(r->ram);
        }
    }
    g_array_sort(bells, bell_compare);
    drop_equal_bells(bells);
    view->n_ranges = ranges->len;
    view->n_bells = bells->len;
    view->ranges = (ViewRange *)g_array_free(ranges, false);
    view->bells = (ViewBell *)g_array_free(bells, false);
    return view;
}

void view_free(void *opaque)
{
    View *view = opaque;

    if (!view) {
        return;
    }
    for (unsigned i = 0; i < view->n_ranges; i++) {
        ram_block_unref(view->ranges[i].ram);
    }
    g_free(view->ranges);
    g_free(view->bells);
    g_free(view);
}

/* ---- lookup ---- */

const ViewRange *view_next(const View *view, uint64_t address)
{
    unsigned i = ranges_at(view->ranges, view->n_ranges, address);

    return i < view->n_ranges ? &view->ranges[i] : NULL;
}

const ViewRange *view_find(const View *view, uint64_t address)
{
    const ViewRange *r = view_next(view, address);

    return r && r->first <= address ? r : NULL;
}

const ViewBell *view_bell(const View *view, uint64_t address)
{
    unsigned low = 0, high = view->n_bells;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (view->bells[middle].address < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < view->n_bells && view->bells[low].address == address ? &view->bells[low] : NULL;
}

MemoryRange view_range_export(const ViewRange *r)
{
    uint64_t size = r->last - r->first + 1;

    return (MemoryRange) {
        .address = r->first,
        .size = size ? size : UINT64_MAX,
        .region = r->region,
        .offset = r->offset,
        .readonly = r->readonly,
        .romd = r->romd,
    };
}

/* ---- differences ---- */

static bool range_equal(const ViewRange *a, const ViewRange *b)
{
    return a->first == b->first && a->last == b->last && a->region == b->region && a->offset == b->offset &&
           a->ram == b->ram && a->ram_offset == b->ram_offset && a->readonly == b->readonly && a->romd == b->romd;
}

static bool has_range(const View *view, const ViewRange *r)
{
    const ViewRange *there = view_find(view, r->first);

    return there && range_equal(there, r);
}

static bool has_bell(const View *view, const ViewBell *bell)
{
    const ViewBell *b = view_bell(view, bell->address);

    for (; b && b < view->bells + view->n_bells && b->address == bell->address; b++) {
        if (bell_compare(b, bell) == 0) {
            return true;
        }
    }
    return false;
}

bool view_equal(const View *a, const View *b)
{
    if (a->n_ranges != b->n_ranges || a->n_bells != b->n_bells) {
        return false;
    }
    for (unsigned i = 0; i < a->n_ranges; i++) {
        if (!range_equal(&a->ranges[i], &b->ranges[i])) {
            return false;
        }
    }
    for (unsigned i = 0; i < a->n_bells; i++) {
        if (bell_compare(&a->bells[i], &b->bells[i]) != 0) {
            return false;
        }
    }
    return true;
}

static bool logged(const ViewRange *r)
{
    return r->ram && ram_dirty_clients(r->ram);
}

static void tell_removed(MemoryListener *l, const View *old, const View *new)
{
    for (unsigned i = 0; l->doorbell_remove && i < old->n_bells; i++) {
        if (!has_bell(new, &old->bells[i])) {
            l->doorbell_remove(l, old->bells[i].address, &old->bells[i].bell);
        }
    }
    for (unsigned i = 0; i < old->n_ranges; i++) {
        const ViewRange *r = &old->ranges[i];
        MemoryRange range = view_range_export(r);

        if (has_range(new, r)) {
            continue;
        }
        if (l->log_sync && logged(r)) {
            l->log_sync(l, &range);
        }
        if (l->remove) {
            l->remove(l, &range);
        }
    }
}

static void tell_added(MemoryListener *l, const View *old, const View *new)
{
    for (unsigned i = 0; i < new->n_ranges; i++) {
        const ViewRange *r = &new->ranges[i];
        MemoryRange range = view_range_export(r);

        if (has_range(old, r)) {
            if (l->keep) {
                l->keep(l, &range);
            }
            continue;
        }
        if (l->add) {
            l->add(l, &range);
        }
        if (l->log_start && logged(r)) {
            l->log_start(l, &range);
        }
    }
    for (unsigned i = 0; l->doorbell_add && i < new->n_bells; i++) {
        if (!has_bell(old, &new->bells[i])) {
            l->doorbell_add(l, new->bells[i].address, &new->bells[i].bell);
        }
    }
}

void view_removed(GPtrArray *listeners, const View *old, const View *new)
{
    for (unsigned i = listeners->len; i-- > 0;) {
        tell_removed(listeners->pdata[i], old, new);
    }
}

void view_added(GPtrArray *listeners, const View *old, const View *new)
{
    for (unsigned i = 0; i < listeners->len; i++) {
        tell_added(listeners->pdata[i], old, new);
    }
}
