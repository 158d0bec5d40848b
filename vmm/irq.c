/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt lines, shared lines, GSIs, and the dispatch of MSIs to the fabric.
 *
 * A line's level changes atomically at once; its delivery follows as an effect.
 * Joins (IrqShare, a GSI with its override) are resolved when the level is read, so
 * a tree of lines has one delivery, at its root, under the root's lock:
 *
 *   source.irq_set() -> counters up the tree -> effect: irq_deliver(root) -> sink
 *
 * Two threads that race to set a line both post a delivery.  Whichever delivers
 * last reads the level after both set it, so the sink ends with the newest.
 *
 * Locking: LOCK_IRQ_LINE of the root around its sink.  A sink may take LOCK_INTC.  A
 * sink that sets another line (a router) causes an effect like any other: that line is
 * delivered after this one's lock is dropped.
 */
#include "vmm/irq.h"

#include "vmm/epoch.h"
#include "vmm/error.h"

/* ---- lines ---- */

void irq_line_init(IrqLine *line, IrqSink sink, void *opaque, unsigned n)
{
    *line = (IrqLine) { .sink = sink, .opaque = opaque, .n = n };
    lock_init(&line->lock, LOCK_IRQ_LINE, "interrupt line");
}

void irq_line_finish(IrqLine *line)
{
    lock_finish(&line->lock);
}

static bool newest(const IrqLine *line)
{
    return line->from ? line->from->newest(line->from) : __atomic_load_n(&line->level, __ATOMIC_SEQ_CST);
}

static void sink_level(IrqLine *line, bool level)
{
    __atomic_store_n(&line->delivered, level, __ATOMIC_SEQ_CST);
    line->sink(line->opaque, line->n, level);
}

/* Each pulse and each rise of the level is one rising edge at the sink. */
static void irq_deliver(void *opaque)
{
    IrqLine *line = opaque;
    bool level, resync, fell;
    unsigned pulses;

    if (!line->sink) {
        return;
    }
    lock_acquire(&line->lock);
    pulses = __atomic_exchange_n(&line->pulses, 0, __ATOMIC_SEQ_CST);
    resync = __atomic_exchange_n(&line->resync, false, __ATOMIC_SEQ_CST);
    fell = __atomic_exchange_n(&line->fell, false, __ATOMIC_SEQ_CST);
    level = newest(line);
    if (fell && line->delivered) {
        sink_level(line, false);
    }
    if (level && !line->delivered) {
        sink_level(line, true);
    }
    for (; pulses; pulses--) {
        if (line->delivered) {
            sink_level(line, false);
        }
        sink_level(line, true);
    }
    if (level != line->delivered || resync) {
        sink_level(line, level);
    }
    lock_release(&line->lock);
}

static IrqLine *root_of(IrqLine *line)
{
    while (line->into) {
        line = line->into->target;
    }
    return line;
}

/* The line was lowered: so was the root, unless another source holds it up.  The line may be up again by now. */
static bool has_fallen(const IrqLine *line, const IrqLine *root)
{
    return __atomic_load_n(&line->level, __ATOMIC_SEQ_CST) || !newest(root);
}

/* Who sets what another thread has just set may not go on before the sink knows it: a handler that lowers the line and
 * acknowledges would be interrupted again. */
void irq_set(IrqLine *line, bool level)
{
    IrqLine *root;

    if (!line) {
        return;
    }
    root = root_of(line);
    if (__atomic_exchange_n(&line->level, level, __ATOMIC_SEQ_CST) == level) {
        if (__atomic_load_n(&root->delivered, __ATOMIC_SEQ_CST) == newest(root)) {
            return;
        }
    } else if (line->high) {
        __atomic_fetch_add(line->high, level ? 1u : -1u, __ATOMIC_SEQ_CST);
    }
    if (!level && has_fallen(line, root)) {
        /* Another thread may raise it before this is delivered: the edge is not to be lost. */
        __atomic_store_n(&root->fell, true, __ATOMIC_SEQ_CST);
    }
    effect_post(irq_deliver, root);
}

void irq_pulse(IrqLine *line)
{
    if (line) {
        IrqLine *root = root_of(line);

        __atomic_fetch_add(&root->pulses, 1, __ATOMIC_SEQ_CST);
        effect_post(irq_deliver, root);
    }
}

bool irq_level(const IrqLine *line)
{
    return line && newest(line);
}

void irq_resync(IrqLine *line)
{
    if (line) {
        IrqLine *root = root_of(line);

        __atomic_store_n(&root->resync, true, __ATOMIC_SEQ_CST);
        effect_post(irq_deliver, root);
    }
}

/* ---- shared lines ---- */

struct IrqShare {
    IrqJoin join; /* first */
    unsigned high; /* atomic: sources that are high */
    unsigned sources;
};

/* A counter can lag behind the levels it counts, but each change of it is followed by a delivery. */
static bool share_newest(const IrqJoin *join)
{
    const IrqShare *share = (const IrqShare *)join;

    return (int)__atomic_load_n(&share->high, __ATOMIC_SEQ_CST) > 0;
}

IrqShare *irq_share_new(IrqLine *target)
{
    IrqShare *share = g_new0(IrqShare, 1);

    g_assert(!target->from);
    share->join = (IrqJoin) { target, share_newest };
    target->from = &share->join;
    return share;
}

void irq_share_free(IrqShare *share)
{
    if (share) {
        g_assert(share->sources == 0);
        share->join.target->from = NULL;
        epoch_retire(g_free, share);
    }
}

IrqLine *irq_share_add(IrqShare *share)
{
    IrqLine *source = g_new0(IrqLine, 1);

    irq_line_init(source, NULL, NULL, 0);
    source->into = &share->join;
    source->high = &share->high;
    share->sources++;
    return source;
}

static void source_free(void *opaque)
{
    IrqLine *source = opaque;

    irq_line_finish(source);
    g_free(source);
}

void irq_share_remove(IrqShare *share, IrqLine *source)
{
    g_assert(source->into == &share->join && share->sources > 0);
    irq_set(source, false);
    share->sources--;
    epoch_retire(source_free, source);
}

/* ---- GSIs ---- */

static bool gsi_newest(const IrqJoin *join)
{
    const Gsi *gsi = (const Gsi *)join;

    if (__atomic_load_n(&gsi->overridden, __ATOMIC_SEQ_CST)) {
        return newest(&gsi->override);
    }
    return newest(&gsi->line) || (int)__atomic_load_n(&gsi->high, __ATOMIC_SEQ_CST) > 0;
}

static void gsi_sink(void *opaque, unsigned n, bool level)
{
    Gsi *gsi = opaque;

    if (level) {
        __atomic_fetch_add(&gsi->raised, 1, __ATOMIC_RELAXED);
    }
    if (gsi->fabric->ops->gsi_set) {
        gsi->fabric->ops->gsi_set(gsi->fabric, n, level);
    }
    for (unsigned i = 0; i < gsi->sinks->len; i++) {
        const GsiSink *s = &g_array_index(gsi->sinks, GsiSink, i);

        s->sink(s->opaque, s->n, level);
    }
}

void irq_fabric_init(IrqFabric *fabric, const IrqFabricOps *ops)
{
    fabric->ops = ops;
    for (unsigned n = 0; n < IRQ_GSIS; n++) {
        Gsi *gsi = &fabric->gsi[n];

        *gsi = (Gsi) { .join = { &gsi->out, gsi_newest }, .fabric = fabric };
        gsi->sinks = g_array_new(false, false, sizeof(GsiSink));
        irq_line_init(&gsi->line, NULL, NULL, n);
        irq_line_init(&gsi->override, NULL, NULL, n);
        irq_line_init(&gsi->out, gsi_sink, gsi, n);
        gsi->line.into = gsi->override.into = &gsi->join;
        gsi->out.from = &gsi->join;
    }
}

void irq_fabric_finish(IrqFabric *fabric)
{
    for (unsigned n = 0; n < IRQ_GSIS; n++) {
        Gsi *gsi = &fabric->gsi[n];

        irq_line_finish(&gsi->line);
        irq_line_finish(&gsi->override);
        irq_line_finish(&gsi->out);
        g_array_unref(gsi->sinks);
    }
}

IrqLine *gsi_line(IrqFabric *fabric, unsigned gsi)
{
    g_assert(gsi < IRQ_GSIS);
    return &fabric->gsi[gsi].line;
}

void gsi_connect(IrqFabric *fabric, unsigned gsi, IrqSink sink, void *opaque, unsigned n)
{
    GsiSink s = { sink, opaque, n };

    g_assert(gsi < IRQ_GSIS);
    g_array_append_val(fabric->gsi[gsi].sinks, s);
}

void gsi_disconnect(IrqFabric *fabric, unsigned gsi, IrqSink sink, void *opaque)
{
    GArray *sinks = fabric->gsi[gsi].sinks;

    for (unsigned i = sinks->len; i-- > 0;) {
        const GsiSink *s = &g_array_index(sinks, GsiSink, i);

        if (s->sink == sink && s->opaque == opaque) {
            g_array_remove_index(sinks, i);
        }
    }
}

IrqLine *gsi_override_line(IrqFabric *fabric, unsigned gsi)
{
    g_assert(gsi < IRQ_GSIS);
    return &fabric->gsi[gsi].override;
}

void gsi_override(IrqFabric *fabric, unsigned gsi, bool on)
{
    g_assert(gsi < IRQ_GSIS);
    if (__atomic_exchange_n(&fabric->gsi[gsi].overridden, on, __ATOMIC_SEQ_CST) == on) {
        return;
    }
    if (fabric->ops->gsi_override) {
        fabric->ops->gsi_override(fabric, gsi, on);
    }
    effect_post(irq_deliver, &fabric->gsi[gsi].out);
}

bool gsi_overridden(const IrqFabric *fabric, unsigned gsi)
{
    return __atomic_load_n(&fabric->gsi[gsi].overridden, __ATOMIC_SEQ_CST);
}

uint64_t gsi_raised(const IrqFabric *fabric, unsigned gsi)
{
    g_assert(gsi < IRQ_GSIS);
    return __atomic_load_n(&fabric->gsi[gsi].raised, __ATOMIC_RELAXED);
}

IrqLine *gsi_add_source(IrqFabric *fabric, unsigned gsi)
{
    IrqLine *source = g_new0(IrqLine, 1);

    g_assert(gsi < IRQ_GSIS);
    irq_line_init(source, NULL, NULL, gsi);
    source->into = &fabric->gsi[gsi].join;
    source->high = &fabric->gsi[gsi].high;
    return source;
}

void gsi_remove_source(IrqLine *source)
{
    if (source) {
        irq_set(source, false);
        epoch_retire(source_free, source);
    }
}

bool gsi_irqfd(IrqFabric *fabric, unsigned gsi, int eventfd, int resample, bool attach, GError **error)
{
    g_assert(gsi < IRQ_GSIS);
    if (!fabric->ops->gsi_irqfd) {
        return error_set(error, "this accelerator cannot raise GSI %u from a descriptor", gsi);
    }
    return fabric->ops->gsi_irqfd(fabric, gsi, eventfd, resample, attach, error);
}

void irq_pin_set(IrqFabric *fabric, unsigned pin, MsiMessage message, bool masked)
{
    if (fabric->ops->pin_set) {
        fabric->ops->pin_set(fabric, pin, message, masked);
    }
}

/* ---- MSIs ---- */

void msi_send(IrqFabric *fabric, MsiMessage message)
{
    fabric->ops->send(fabric, message);
}

MsiRoute *msi_route_new(IrqFabric *fabric, GError **error)
{
    MsiRoute *route = fabric->ops->route_new(fabric, error);

    if (route) {
        route->fabric = fabric;
    }
    return route;
}

void msi_route_free(MsiRoute *route)
{
    if (route) {
        route->fabric->ops->route_free(route);
    }
}

void msi_route_set(MsiRoute *route, MsiMessage message, bool masked)
{
    route->fabric->ops->route_set(route, message, masked);
}

void msi_routes_commit(IrqFabric *fabric)
{
    fabric->ops->routes_commit(fabric);
}

void msi_route_notify(MsiRoute *route)
{
    route->fabric->ops->route_notify(route);
}

bool msi_route_take_pending(MsiRoute *route)
{
    return route->fabric->ops->route_take_pending(route);
}

int msi_route_fd(MsiRoute *route, GError **error)
{
    return route->fabric->ops->route_fd(route, error);
}

int msi_route_bell(MsiRoute *route)
{
    return route->fabric->ops->route_bell ? route->fabric->ops->route_bell(route) : -1;
}
