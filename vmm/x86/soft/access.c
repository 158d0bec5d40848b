/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data accesses that the fast path (op.h) does not take: what misses the TLB, crosses a
 * page, hits a device, or is larger than a register.  SDM volume 3, 4.7 (faults), 7.15
 * (#AC), 9.1 (atomicity).
 *
 * An access is one or two places (SoftPlace), each in a page.  All are resolved, so all
 * faults are raised, before the first is written.  One place of RAM is accessed in place, by one
 * host access if it has the size of a register.  Device accesses go outside, one by one:
 * a LOCK prefix does not make two of them one.
 *
 * Writes to pages with flags: first the bytes, then soft_wrote().  No fence is needed between
 * them: who sets a flag waits until every vCPU has served REQUEST_REVOKE, and so sees the bytes
 * of a store that did not see the flag.
 */
#include "vmm/x86/soft/mmu.h"

#define EXCLUSIVE_TRIES 8

typedef struct Span {
    unsigned parts;
    unsigned size[2];
    SoftPlace place[2];
} Span;

/* ---- finding places ---- */

static inline bool crosses(uint64_t linear, unsigned size)
{
    return (linear & (PAGE_SIZE - 1)) + size > PAGE_SIZE;
}

/* In the TLB; false: it may yet be allowed.  Watched pages never are. */
static inline bool find_read(const SoftCpu *cpu, uint64_t linear, unsigned access, SoftPlace *ret)
{
    const TlbSet *tlb = &cpu->tlbs[soft_set_of(cpu, access)];
    const TlbEntry *e = &tlb->read[linear >> 12 & (TLB_SIZE - 1)];

    if (e->tag != ((linear & PAGE_MASK) | tlb->asid) || UNLIKELY(access & ACCESS_EXEC)) {
        return false;
    }
    *ret = (SoftPlace) { .host = (uint8_t *)(linear + e->addend) };
    return true;
}

/* A read entry knows whether stores are allowed: pages with flags have no write entry. */
static inline bool find_write(SoftCpu *cpu, uint64_t linear, unsigned access, SoftPlace *ret)
{
    unsigned set = soft_set_of(cpu, access), at = linear >> 12 & (TLB_SIZE - 1);
    TlbSet *tlb = &cpu->tlbs[set];
    const uint64_t tag = (linear & PAGE_MASK) | tlb->asid;
    uint8_t *flags = NULL;

    if (tlb->write[at].tag == tag) {
        *ret = (SoftPlace) { .host = (uint8_t *)(linear + tlb->write[at].addend) };
        return true;
    }
    if (tlb->read[at].tag == tag) {
        flags = cpu->mmu->flags[set][at];
    }
    if (!flags) {
        return false;
    }
    *ret = (SoftPlace) { .host = (uint8_t *)(linear + tlb->read[at].addend), .flags = flags };
    if (LIKELY(!__atomic_load_n(flags, __ATOMIC_SEQ_CST))) {
        tlb->write[at] = tlb->read[at];
        cpu->mmu->wrote[set] = true;
    }
    return true;
}

static inline void find(SoftCpu *cpu, uint64_t linear, unsigned access, SoftPlace *ret)
{
    if (!(access & ACCESS_WRITE ? find_write(cpu, linear, access, ret) : find_read(cpu, linear, access, ret))) {
        soft_resolve(cpu, linear, access, ret);
    }
}

/* What hardware asks of an operand of that size, SDM 3-7.15 table 7-7, and as Intel's processors do it: vectors are
 * not checked; x87 environments and states (14, 28, 94, 108, 512 bytes) are words of the operand size. */
static unsigned alignment(uint64_t size)
{
    switch (size) {
    case 2:
    case 4:
    case 8:
        return (unsigned)size;
    case 10:
        return 8;
    case 14:
    case 94:
        return 2;
    case 28:
    case 108:
    case 512:
        return 4;
    default:
        return 1;
    }
}

/* #AC comes after the check for canonical form, and before page faults. */
static inline void check_alignment(SoftCpu *cpu, uint64_t linear, uint64_t size, unsigned access)
{
    if (UNLIKELY(cpu->tlb == &cpu->tlbs[TLB_NONE]) && !(access & (ACCESS_SYSTEM | ACCESS_UNALIGNED)) &&
        linear & (alignment(size) - 1)) {
        if (!soft_is_canonical(linear)) {
            soft_raise_error(cpu, access & ACCESS_STACK ? VECTOR_SS : VECTOR_GP, 0);
        }
        soft_raise_error(cpu, VECTOR_AC, 0);
    }
}

/* An access that leaves the canonical addresses says so before any page fault. */
static inline uint64_t second_page(SoftCpu *cpu, uint64_t linear, unsigned access)
{
    uint64_t next = ((linear & PAGE_MASK) + PAGE_SIZE) & cpu->linear_mask;

    if (UNLIKELY(!soft_is_canonical(next))) {
        soft_raise_error(cpu, access & ACCESS_STACK ? VECTOR_SS : VECTOR_GP, 0);
    }
    return next;
}

static bool all_ram(const Span *s)
{
    return s->place[0].host && (s->parts == 1 || s->place[1].host);
}

/* The places of an access of at most a page; both host addresses are good at the same time. */
static void resolve_span(SoftCpu *cpu, uint64_t linear, unsigned size, unsigned access, Span *s)
{
    uint64_t next = crosses(linear, size) ? second_page(cpu, linear, access) : 0;
    uint32_t voids;

    s->parts = crosses(linear, size) ? 2 : 1;
    s->size[0] = s->parts == 2 ? PAGE_SIZE - (unsigned)(linear & (PAGE_SIZE - 1)) : size;
    s->size[1] = size - s->size[0];
    do {
        voids = cpu->mmu->voids;
        soft_resolve(cpu, linear, access, &s->place[0]);
        if (s->parts == 2) {
            soft_resolve(cpu, next, access, &s->place[1]);
        }
    } while (UNLIKELY(cpu->mmu->voids != voids));
}

/* The same, from the TLB if it can be. */
static inline void find_span(SoftCpu *cpu, uint64_t linear, unsigned size, unsigned access, Span *s)
{
    uint64_t next = crosses(linear, size) ? second_page(cpu, linear, access) : 0;
    uint32_t voids = cpu->mmu->voids;

    s->parts = crosses(linear, size) ? 2 : 1;
    s->size[0] = s->parts == 2 ? PAGE_SIZE - (unsigned)(linear & (PAGE_SIZE - 1)) : size;
    s->size[1] = size - s->size[0];
    find(cpu, linear, access, &s->place[0]);
    if (s->parts == 2) {
        find(cpu, next, access, &s->place[1]);
    }
    /* A device's address is in no TLB, so it is not known of a place that was found there. */
    if (UNLIKELY(cpu->mmu->voids != voids) || UNLIKELY(!all_ram(s))) {
        resolve_span(cpu, linear, size, access, s);
    }
}

/* ---- RAM ---- */

static inline uint64_t host_load(const uint8_t *host, unsigned size)
{
    switch (size) {
    case 1:
        return *(const volatile uint8_t *)host;
    case 2:
        return *(const volatile uint16_t *)host;
    case 4:
        return *(const volatile uint32_t *)host;
    default:
        return *(const volatile uint64_t *)host;
    }
}

static inline void host_store(uint8_t *host, unsigned size, uint64_t value)
{
    switch (size) {
    case 1:
        *(volatile uint8_t *)host = (uint8_t)value;
        break;
    case 2:
        *(volatile uint16_t *)host = (uint16_t)value;
        break;
    case 4:
        *(volatile uint32_t *)host = (uint32_t)value;
        break;
    default:
        *(volatile uint64_t *)host = value;
        break;
    }
}

/* The page is dirty when it is no longer CLEAN (map.c), so no bit is set here.  True: look for code made of it. */
static inline bool has_code(uint8_t *flags)
{
    uint8_t now = flags ? __atomic_load_n(flags, __ATOMIC_SEQ_CST) : 0;

    if (now & PAGE_CLEAN) {
        __atomic_fetch_and(flags, (uint8_t)~PAGE_CLEAN, __ATOMIC_SEQ_CST);
    }
    return now & PAGE_CODE;
}

void soft_wrote(SoftCpu *cpu, uint8_t *flags, const uint8_t *host, uint64_t size)
{
    if (UNLIKELY(has_code(flags))) {
        soft_code_written(cpu->vm, cpu, host, size);
    }
}

/* After it the places may be void. */
static void wrote_span(SoftCpu *cpu, const Span *s)
{
    bool code[2] = { has_code(s->place[0].flags), s->parts == 2 && has_code(s->place[1].flags) };

    for (unsigned i = 0; i < s->parts; i++) {
        if (code[i]) {
            soft_code_written(cpu->vm, cpu, s->place[i].host, s->size[i]);
        }
    }
}

/* ---- both ---- */

/* RAM first: going outside makes the places void. */
static void read_span(SoftCpu *cpu, const Span *s, uint8_t *to)
{
    for (unsigned i = 0; i < s->parts; i++) {
        if (s->place[i].host) {
            soft_copy(to + (i ? s->size[0] : 0), s->place[i].host, s->size[i]);
        }
    }
    for (unsigned i = 0; i < s->parts; i++) {
        if (!s->place[i].host) {
            soft_bus_read(cpu, s->place[i].gpa, to + (i ? s->size[0] : 0), s->size[i]);
        }
    }
}

static void write_span(SoftCpu *cpu, const Span *s, const uint8_t *from)
{
    for (unsigned i = 0; i < s->parts; i++) {
        if (s->place[i].host) {
            soft_copy(s->place[i].host, from + (i ? s->size[0] : 0), s->size[i]);
        }
    }
    if (all_ram(s)) {
        wrote_span(cpu, s);
        return;
    }
    for (unsigned i = 0; i < s->parts; i++) {
        if (s->place[i].host) {
            soft_wrote(cpu, s->place[i].flags, s->place[i].host, s->size[i]);
        }
    }
    for (unsigned i = 0; i < s->parts; i++) {
        if (!s->place[i].host) {
            soft_bus_write(cpu, s->place[i].gpa, from + (i ? s->size[0] : 0), s->size[i]);
        }
    }
}

/* ---- registers ---- */

static void watch(SoftCpu *cpu, uint64_t linear, uint64_t size, unsigned access)
{
    if (UNLIKELY(soft_watched_page(cpu, linear) || soft_watched_page(cpu, linear + size - 1))) {
        soft_watch_access(cpu, linear, size, access);
    }
}

static uint64_t load_span(SoftCpu *cpu, uint64_t linear, unsigned size, unsigned access)
{
    uint64_t value = 0;
    Span s;

    find_span(cpu, linear, size, access, &s);
    soft_watch_before(cpu, linear, size, access);
    read_span(cpu, &s, (uint8_t *)&value);
    watch(cpu, linear, size, access);
    return value;
}

uint64_t soft_load(SoftCpu *cpu, uint64_t linear, unsigned size, unsigned access)
{
    SoftPlace place;
    uint64_t value = 0;

    linear &= cpu->linear_mask;
    check_alignment(cpu, linear, size, access);
    if (UNLIKELY(crosses(linear, size))) {
        return load_span(cpu, linear, size, access);
    }
    if (find_read(cpu, linear, access, &place)) {
        return host_load(place.host, size);
    }
    soft_resolve(cpu, linear, access, &place);
    soft_watch_before(cpu, linear, size, access);
    if (LIKELY(place.host)) {
        value = host_load(place.host, size);
    } else {
        soft_bus_read(cpu, place.gpa, &value, size);
    }
    if (!(access & ACCESS_EXEC)) {
        watch(cpu, linear, size, access);
    }
    return value;
}

void soft_store(SoftCpu *cpu, uint64_t linear, unsigned size, uint64_t value, unsigned access)
{
    SoftPlace place;
    Span s;

    linear &= cpu->linear_mask;
    access |= ACCESS_WRITE;
    check_alignment(cpu, linear, size, access);
    if (UNLIKELY(crosses(linear, size))) {
        find_span(cpu, linear, size, access, &s);
        soft_watch_before(cpu, linear, size, access);
        write_span(cpu, &s, (const uint8_t *)&value);
        watch(cpu, linear, size, access);
        return;
    }
    if (find_write(cpu, linear, access, &place)) {
        host_store(place.host, size, value);
        if (UNLIKELY(place.flags)) {
            soft_wrote(cpu, place.flags, place.host, size);
        }
        return;
    }
    soft_resolve(cpu, linear, access, &place);
    soft_watch_before(cpu, linear, size, access);
    if (LIKELY(place.host)) {
        host_store(place.host, size, value);
        soft_wrote(cpu, place.flags, place.host, size);
    } else {
        soft_bus_write(cpu, place.gpa, &value, size);
    }
    watch(cpu, linear, size, access);
}

/* ---- checks ---- */

void soft_probe(SoftCpu *cpu, uint64_t linear, uint64_t size, unsigned access)
{
    SoftPlace place;

    linear &= cpu->linear_mask;
    check_alignment(cpu, linear, size, access);
    for (uint64_t at = linear, rest = size; rest;) {
        uint64_t piece = PAGE_SIZE - (at & (PAGE_SIZE - 1));

        find(cpu, at, access, &place);
        piece = piece < rest ? piece : rest;
        at = (at + piece) & cpu->linear_mask;
        rest -= piece;
    }
    soft_watch_before(cpu, linear, size, access);
}

/* ---- operands of any size ---- */

const void *soft_read_begin(SoftCpu *cpu, uint64_t linear, unsigned size, unsigned access)
{
    Span s;

    linear &= cpu->linear_mask;
    check_alignment(cpu, linear, size, access);
    if (LIKELY(!crosses(linear, size)) && LIKELY(find_read(cpu, linear, access, &s.place[0]))) {
        return s.place[0].host;
    }
    find_span(cpu, linear, size, access, &s);
    soft_watch_before(cpu, linear, size, access);
    watch(cpu, linear, size, access);
    if (s.parts == 1 && s.place[0].host) {
        return s.place[0].host;
    }
    read_span(cpu, &s, cpu->bounce_read);
    return cpu->bounce_read;
}

/* RAM in two pieces, and nobody else running.  False: it cannot be done, by no fault of the access. */
static bool begin_exclusive(SoftCpu *cpu, uint64_t linear, unsigned size, unsigned access, Span *s)
{
    for (unsigned i = 0; i < EXCLUSIVE_TRIES && all_ram(s); i++) {
        uint32_t voids = cpu->mmu->voids;

        soft_exclusive_begin(cpu);
        if (cpu->mmu->voids == voids) {
            return true;
        }
        soft_exclusive_end(cpu);
        find_span(cpu, linear, size, access, s);
    }
    return false;
}

void *soft_write_begin(SoftCpu *cpu, uint64_t linear, unsigned size, unsigned access, bool with_contents, bool locked)
{
    struct SoftMmu *mmu = cpu->mmu;
    bool alone;
    Span s;

    linear &= cpu->linear_mask;
    access |= ACCESS_WRITE;
    check_alignment(cpu, linear, size, access);
    cpu->write.linear = linear;
    cpu->write.size = size;
    cpu->write.access = access;
    cpu->write.bounced = cpu->write.exclusive = false;
    mmu->write_watched = false;
    alone = locked && soft_splits_lock(linear, size);
    if (LIKELY(!crosses(linear, size)) && !alone && LIKELY(find_write(cpu, linear, access, &s.place[0]))) {
        cpu->write.host = s.place[0].host;
        mmu->write_flags = s.place[0].flags;
        return s.place[0].host;
    }
    find_span(cpu, linear, size, access, &s);
    soft_watch_before(cpu, linear, size, access);
    mmu->write_watched = soft_watched_page(cpu, linear) || soft_watched_page(cpu, linear + size - 1);
    if (s.parts == 1 && s.place[0].host && !alone) {
        cpu->write.host = s.place[0].host;
        mmu->write_flags = s.place[0].flags;
        return s.place[0].host;
    }
    cpu->write.bounced = true;
    cpu->write.host = cpu->bounce_write;
    cpu->write.exclusive = locked && begin_exclusive(cpu, linear, size, access, &s);
    if (with_contents) {
        read_span(cpu, &s, cpu->bounce_write);
    }
    mmu->parts = s.parts;
    for (unsigned i = 0; i < s.parts; i++) {
        mmu->part[i] = s.place[i];
        mmu->part_size[i] = s.size[i];
    }
    return cpu->bounce_write;
}

static void write_exclusive(SoftCpu *cpu, const Span *s)
{
    for (unsigned i = 0; i < s->parts; i++) {
        soft_copy(s->place[i].host, cpu->bounce_write + (i ? s->size[0] : 0), s->size[i]);
    }
    soft_exclusive_end(cpu);
    wrote_span(cpu, s);
}

/* Where a device was read for the contents, host addresses are void, so they are looked up once more. */
static void write_bounced(SoftCpu *cpu)
{
    const struct SoftMmu *mmu = cpu->mmu;
    Span s = { .parts = mmu->parts };
    bool mixed = false;

    for (unsigned i = 0; i < s.parts; i++) {
        s.size[i] = mmu->part_size[i];
        s.place[i] = mmu->part[i];
        mixed |= !s.place[i].host;
    }
    for (unsigned i = 0; mixed && i < s.parts; i++) {
        uint64_t gpa = s.place[i].gpa;
        const SoftRange *r = soft_is_apic(cpu, gpa) ? NULL : soft_range(cpu, gpa);

        s.place[i] = (SoftPlace) { .gpa = gpa };
        if (r && !r->readonly) {
            s.place[i].host = r->host + (gpa - r->first);
            s.place[i].flags = r->flags + (gpa - r->first) / PAGE_SIZE;
        }
    }
    if (cpu->write.exclusive) {
        write_exclusive(cpu, &s);
    } else {
        write_span(cpu, &s, cpu->bounce_write);
    }
}

void soft_write_end(SoftCpu *cpu)
{
    if (UNLIKELY(cpu->write.bounced)) {
        write_bounced(cpu);
    } else if (UNLIKELY(cpu->mmu->write_flags)) {
        soft_wrote(cpu, cpu->mmu->write_flags, cpu->write.host, cpu->write.size);
    }
    if (UNLIKELY(cpu->mmu->write_watched)) {
        soft_watch_access(cpu, cpu->write.linear, cpu->write.size, cpu->write.access);
    }
}
