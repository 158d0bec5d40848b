/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM's interrupt fabric.
 *
 * KVM's table of routes is replaced as a whole, so changes are collected and set
 * once per commit.  GSIs 0 to 23 are the machine's: with the whole irqchip pins of
 * PIC and IOAPIC, with the split one what our IOAPIC's pins send (KVM then knows
 * which vectors' EOIs to hand out).  An MSI route has a GSI from 24 up only once it
 * has a descriptor; without one a message goes by KVM_SIGNAL_MSI, which needs no
 * place in the table.
 *
 * A masked route's descriptor is not attached to KVM, so what is rung meanwhile
 * stays in its counter: that is the pending bit.
 *
 * Locking: fabric->lock (LOCK_LEAF) guards the table and every route's fields.
 */
#include "vmm/accel-kvm.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/log.h"

typedef struct KvmRoute {
    MsiRoute route; /* first */
    MsiMessage message, next;
    bool masked, next_masked, changed, pending;
    int fd;         /* -1: none */
    unsigned gsi;   /* with fd */
    bool listed;    /* its message is in KVM's table */
    bool attached;  /* fd is an irqfd */
    bool no_bell;   /* no descriptor could be had */
} KvmRoute;

typedef struct PinFd {
    int fd;
    unsigned pin;
} PinFd;

typedef struct KvmFabric {
    IrqFabric fabric; /* first */
    Kvm *kvm;
    Lock lock;
    GPtrArray *routes;   /* KvmRoute: every one */
    GPtrArray *by_gsi;   /* KvmRoute with a GSI: GSI - IRQ_GSIS is the index; NULL: free */
    /* split irqchip */
    MsiMessage pin[IRQ_GSIS];
    bool pin_known[IRQ_GSIS], pin_masked[IRQ_GSIS];
    GArray *pin_fds;     /* PinFd */
} KvmFabric;

static KvmFabric *fabric_of(IrqFabric *fabric)
{
    return (KvmFabric *)fabric;
}

static KvmRoute *route_of(MsiRoute *route)
{
    return (KvmRoute *)route;
}

static void put_msi(struct kvm_irq_routing_entry *entry, unsigned gsi, MsiMessage message)
{
    *entry = (struct kvm_irq_routing_entry) {
        .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI,
        .u.msi = { (uint32_t)message.address, (uint32_t)(message.address >> 32), message.data, { 0 } },
    };
}

static void put_pin(struct kvm_irq_routing_entry *entry, unsigned gsi, unsigned chip, unsigned pin)
{
    *entry = (struct kvm_irq_routing_entry) {
        .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { chip, pin }
    };
}

/* vmm/irq.h, gsi_line(): the timer is PIC input 0 and IOAPIC pin 2. */
static unsigned put_chip_pins(struct kvm_irq_routing_entry *entry)
{
    unsigned n = 0;

    for (unsigned gsi = 0; gsi < IRQ_GSIS; gsi++) {
        if (gsi == 2) {
            continue;
        }
        if (gsi < 16) {
            put_pin(&entry[n++], gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi % 8);
        }
        put_pin(&entry[n++], gsi, KVM_IRQCHIP_IOAPIC, gsi ? gsi : 2);
    }
    return n;
}

/* lock held. */
static void set_routing(KvmFabric *f)
{
    unsigned max = 2 * IRQ_GSIS + f->by_gsi->len;
    g_autofree struct kvm_irq_routing *table = g_malloc0(sizeof(*table) + max * sizeof(table->entries[0]));
    struct kvm_irq_routing_entry *entry = table->entries;
    unsigned n = 0;

    if (f->kvm->irqchip == IRQCHIP_ON) {
        n = put_chip_pins(entry);
    } else {
        for (unsigned pin = 0; pin < IRQ_GSIS; pin++) {
            if (f->pin_known[pin]) {
                put_msi(&entry[n++], pin, f->pin[pin]);
            }
        }
    }
    for (unsigned i = 0; i < f->by_gsi->len; i++) {
        KvmRoute *r = f->by_gsi->pdata[i];

        if (r) {
            put_msi(&entry[n++], r->gsi, r->message);
            r->listed = true;
        }
    }
    table->nr = n;
    if (kvm_ioctl(f->kvm->vm, KVM_SET_GSI_ROUTING, table) < 0) {
        kvm_fail(f->kvm, "cannot set the interrupt routes: %s", g_strerror(errno));
    }
}

static bool set_irqfd(Kvm *kvm, unsigned gsi, int fd, int resample, bool attach)
{
    struct kvm_irqfd irqfd = {
        .fd = fd, .gsi = gsi,
        .flags = (attach ? 0 : KVM_IRQFD_FLAG_DEASSIGN) | (attach && resample >= 0 ? KVM_IRQFD_FLAG_RESAMPLE : 0),
        .resamplefd = resample >= 0 ? resample : 0,
    };

    return kvm_ioctl(kvm->vm, KVM_IRQFD, &irqfd) == 0;
}

static void fabric_send(IrqFabric *fabric, MsiMessage message)
{
    struct kvm_msi msi = {
        .address_lo = (uint32_t)message.address, .address_hi = (uint32_t)(message.address >> 32), .data = message.data
    };

    if (kvm_ioctl(fabric_of(fabric)->kvm->vm, KVM_SIGNAL_MSI, &msi) < 0) {
        guest_error("msi", "no local APIC takes the message %#" PRIx64 ", %#" PRIx32, message.address, message.data);
    }
}

static MsiRoute *fabric_route_new(IrqFabric *fabric, GError **error)
{
    KvmFabric *f = fabric_of(fabric);
    KvmRoute *r = g_new0(KvmRoute, 1);

    r->fd = -1;
    r->masked = r->next_masked = true;
    lock_acquire(&f->lock);
    g_ptr_array_add(f->routes, r);
    lock_release(&f->lock);
    return &r->route;
}

static void fabric_route_free(MsiRoute *route)
{
    KvmFabric *f = fabric_of(route->fabric);
    KvmRoute *r = route_of(route);

    lock_acquire(&f->lock);
    g_ptr_array_remove_fast(f->routes, r);
    if (r->fd >= 0) {
        if (r->attached) {
            set_irqfd(f->kvm, r->gsi, r->fd, -1, false);
        }
        f->by_gsi->pdata[r->gsi - IRQ_GSIS] = NULL;
        close(r->fd);
        if (r->listed) {
            set_routing(f);
        }
    }
    lock_release(&f->lock);
    g_free(r);
}

static void fabric_route_set(MsiRoute *route, MsiMessage message, bool masked)
{
    KvmFabric *f = fabric_of(route->fabric);
    KvmRoute *r = route_of(route);

    lock_acquire(&f->lock);
    r->next = message;
    r->next_masked = masked;
    r->changed = true;
    lock_release(&f->lock);
}

/* lock held. */
static void attach(KvmFabric *f, KvmRoute *r, bool on)
{
    if (r->attached == on) {
        return;
    }
    if (!set_irqfd(f->kvm, r->gsi, r->fd, -1, on)) {
        kvm_fail(f->kvm, "cannot %s the irqfd of route %u: %s", on ? "attach" : "detach", r->gsi, g_strerror(errno));
        return;
    }
    r->attached = on;
}

/* Masked ones leave before the table changes, unmasked ones enter after it. */
static void fabric_routes_commit(IrqFabric *fabric)
{
    KvmFabric *f = fabric_of(fabric);
    bool table_changed = false;

    lock_acquire(&f->lock);
    for (unsigned i = 0; i < f->routes->len; i++) {
        KvmRoute *r = f->routes->pdata[i];

        if (!r->changed) {
            continue;
        }
        if (r->fd >= 0) {
            r->listed &= r->message.address == r->next.address && r->message.data == r->next.data;
            table_changed |= !r->listed && !r->next_masked;
            if (r->next_masked) {
                attach(f, r, false);
            }
        }
        r->message = r->next;
        r->masked = r->next_masked;
    }
    if (table_changed) {
        set_routing(f);
    }
    for (unsigned i = 0; i < f->routes->len; i++) {
        KvmRoute *r = f->routes->pdata[i];

        if (r->changed && r->fd >= 0 && !r->masked) {
            attach(f, r, true);
        }
        r->changed = false;
    }
    lock_release(&f->lock);
}

static void fabric_route_notify(MsiRoute *route)
{
    KvmFabric *f = fabric_of(route->fabric);
    KvmRoute *r = route_of(route);
    MsiMessage message;
    bool masked;

    lock_acquire(&f->lock);
    message = r->message;
    masked = r->masked;
    r->pending |= masked;
    lock_release(&f->lock);
    if (!masked) {
        fabric_send(route->fabric, message);
    }
}

static bool fabric_route_take_pending(MsiRoute *route)
{
    KvmFabric *f = fabric_of(route->fabric);
    KvmRoute *r = route_of(route);
    uint64_t count = 0;
    bool pending;

    lock_acquire(&f->lock);
    pending = r->pending;
    r->pending = false;
    if (r->fd >= 0 && !r->attached && read(r->fd, &count, sizeof(count)) == sizeof(count)) {
        pending |= count > 0;
    }
    lock_release(&f->lock);
    return pending;
}

/* lock held; the lowest free GSI, or 0. */
static unsigned gsi_take(KvmFabric *f, KvmRoute *r)
{
    unsigned i = 0;

    while (i < f->by_gsi->len && f->by_gsi->pdata[i]) {
        i++;
    }
    if (IRQ_GSIS + i >= f->kvm->gsis_max) {
        return 0;
    }
    if (i == f->by_gsi->len) {
        g_ptr_array_add(f->by_gsi, NULL);
    }
    f->by_gsi->pdata[i] = r;
    return IRQ_GSIS + i;
}

static int fabric_route_fd(MsiRoute *route, GError **error)
{
    KvmFabric *f = fabric_of(route->fabric);
    KvmRoute *r = route_of(route);

    lock_acquire(&f->lock);
    if (r->fd < 0) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

        if (fd < 0) {
            error_set_errno(error, errno, "cannot make an eventfd for an interrupt");
        } else if (!(r->gsi = gsi_take(f, r))) {
            error_set(error, "this host's KVM has no more than %u interrupt routes", f->kvm->gsis_max);
            close(fd);
        } else {
            r->fd = fd;
            if (!r->masked) { /* else when it is unmasked */
                set_routing(f);
                attach(f, r, true);
            }
        }
    }
    lock_release(&f->lock);
    return r->fd;
}

/* Only routes that are used have a place in KVM's table: to set it takes long. */
static int fabric_route_bell(MsiRoute *route)
{
    KvmFabric *f = fabric_of(route->fabric);
    KvmRoute *r = route_of(route);
    bool missing;
    int fd;

    lock_acquire(&f->lock);
    missing = r->fd < 0 && !r->masked && !r->no_bell;
    lock_release(&f->lock);
    missing = missing && fabric_route_fd(route, NULL) < 0;
    lock_acquire(&f->lock);
    r->no_bell |= missing;
    fd = r->attached ? r->fd : -1;
    lock_release(&f->lock);
    return fd;
}

static void fabric_gsi_set(IrqFabric *fabric, unsigned gsi, bool level)
{
    Kvm *kvm = fabric_of(fabric)->kvm;
    struct kvm_irq_level line = { .irq = gsi, .level = level };

    if (kvm_ioctl(kvm->vm, KVM_IRQ_LINE, &line) < 0) {
        kvm_fail(kvm, "cannot set interrupt line %u: %s", gsi, g_strerror(errno));
    }
}

static bool whole_gsi_irqfd(IrqFabric *fabric, unsigned gsi, int eventfd, int resample, bool attach_it, GError **error)
{
    if (!set_irqfd(fabric_of(fabric)->kvm, gsi, eventfd, resample, attach_it)) {
        return error_set_errno(error, errno, "cannot %s an irqfd on interrupt %u", attach_it ? "attach" : "detach",
                               gsi);
    }
    return true;
}

static unsigned pin_of_gsi(unsigned gsi)
{
    return gsi ? gsi : 2;
}

static bool split_gsi_irqfd(IrqFabric *fabric, unsigned gsi, int eventfd, int resample, bool attach_it, GError **error)
{
    KvmFabric *f = fabric_of(fabric);
    PinFd entry = { eventfd, pin_of_gsi(gsi) };
    bool ok = true;

    if (resample >= 0) {
        error_set(error, "an irqfd with resampling on interrupt %u needs the whole interrupt controller in the kernel",
                  gsi);
        return error_hint(error, "Use kernel-irqchip=on.");
    }
    lock_acquire(&f->lock);
    for (unsigned i = 0; !attach_it && i < f->pin_fds->len; i++) {
        PinFd *p = &g_array_index(f->pin_fds, PinFd, i);

        if (p->fd == entry.fd && p->pin == entry.pin) {
            g_array_remove_index_fast(f->pin_fds, i);
            break;
        }
    }
    if (attach_it) {
        g_array_append_val(f->pin_fds, entry);
    }
    if (!f->pin_masked[entry.pin] && !set_irqfd(f->kvm, entry.pin, eventfd, -1, attach_it)) {
        ok = error_set_errno(error, errno, "cannot %s an irqfd on interrupt %u", attach_it ? "attach" : "detach", gsi);
    }
    lock_release(&f->lock);
    return ok;
}

/* A masked pin keeps its last message: the EOI of what was sent with it is still to come. */
static void split_pin_set(IrqFabric *fabric, unsigned pin, MsiMessage message, bool masked)
{
    KvmFabric *f = fabric_of(fabric);
    bool turned;

    lock_acquire(&f->lock);
    turned = f->pin_masked[pin] != masked;
    f->pin_masked[pin] = masked;
    if (!masked && (!f->pin_known[pin] || f->pin[pin].address != message.address || f->pin[pin].data != message.data)) {
        f->pin[pin] = message;
        f->pin_known[pin] = true;
        set_routing(f);
    }
    for (unsigned i = 0; turned && i < f->pin_fds->len; i++) {
        const PinFd *p = &g_array_index(f->pin_fds, PinFd, i);

        if (p->pin == pin && !set_irqfd(f->kvm, pin, p->fd, -1, !masked)) {
            kvm_fail(f->kvm, "cannot move the irqfd of pin %u: %s", pin, g_strerror(errno));
        }
    }
    lock_release(&f->lock);
}

static void whole_gsi_override(IrqFabric *fabric, unsigned gsi, bool on)
{
    if (gsi == 0) {
        kvm_pit_legacy(fabric_of(fabric)->kvm, on);
    }
}

#define COMMON_OPS \
    .send = fabric_send, .route_new = fabric_route_new, .route_free = fabric_route_free, \
    .route_set = fabric_route_set, .routes_commit = fabric_routes_commit, .route_notify = fabric_route_notify, \
    .route_take_pending = fabric_route_take_pending, .route_fd = fabric_route_fd, \
    .route_bell = fabric_route_bell

static const IrqFabricOps whole_ops = {
    COMMON_OPS, .gsi_set = fabric_gsi_set, .gsi_irqfd = whole_gsi_irqfd, .gsi_override = whole_gsi_override,
};

static const IrqFabricOps split_ops = {
    COMMON_OPS, .gsi_irqfd = split_gsi_irqfd, .pin_set = split_pin_set,
};

bool kvm_fabric_create(Kvm *kvm, GError **error)
{
    KvmFabric *f = g_new0(KvmFabric, 1);

    f->kvm = kvm;
    lock_init(&f->lock, LOCK_LEAF, "kvm routes");
    f->routes = g_ptr_array_new();
    f->by_gsi = g_ptr_array_new();
    f->pin_fds = g_array_new(false, false, sizeof(PinFd));
    for (unsigned pin = 0; pin < IRQ_GSIS; pin++) {
        f->pin_masked[pin] = true; /* until our IOAPIC says otherwise */
    }
    irq_fabric_init(&f->fabric, kvm->irqchip == IRQCHIP_ON ? &whole_ops : &split_ops);
    kvm->fabric = &f->fabric;
    set_routing(f);
    return true;
}

void kvm_fabric_free(Kvm *kvm)
{
    KvmFabric *f = (KvmFabric *)kvm->fabric;

    if (!f) {
        return;
    }
    irq_fabric_finish(&f->fabric);
    g_ptr_array_unref(f->routes);
    g_ptr_array_unref(f->by_gsi);
    g_array_unref(f->pin_fds);
    lock_finish(&f->lock);
    g_free(f);
    kvm->fabric = NULL;
}
