/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random programs of an operating system that keeps the rules: after each change of its
 * tables it invalidates what SDM volume 3, 4.10.4 asks for, one way or another, and no more.  Then
 * every access must find what the tables say, and so must the jump cache.
 *
 * Three address spaces with PCIDs share the upper half.  Each half has sixteen pages, the last
 * eight of them in a region that is now and then one page of 2 MiB.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mmu-rig.h"

#define SPACES 3
#define PAGES  16
#define FRAMES 512
#define ROUNDS 1000000

#define USER   UINT64_C(0x0000000040000000)
#define KERNEL UINT64_C(0xffff800040000000)
#define LARGE  (UINT64_C(2) << 20) /* of the region with the last eight pages, from the half's start */

/* What the tables say, as a test sees it. */
typedef struct Page {
    unsigned frame; /* of FRAMES from FRAME */
    bool present, writable, user, global, no_exec;
} Page;

typedef struct Half {
    uint64_t pd, pt, pt_large; /* tables */
    Page page[PAGES];
    bool large;                /* the region is one page, with the rights of page 8 */
} Half;

typedef struct Jump { bool known; uint64_t tag; const uint8_t *host; } Jump;

typedef struct Os {
    SoftRig *rig;
    uint64_t seed;
    Half user[SPACES], kernel;
    unsigned space;         /* the present one */
    bool stale[SPACES];     /* its PCID may have old translations: not to be kept */
    Jump jump[2][2 * PAGES][64]; /* what the jump cache would hold, some tags back */
    unsigned accesses, faults;
} Os;

static unsigned draw(Os *os, unsigned n)
{
    os->seed = os->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(os->seed >> 33) % n;
}

/* Some pages more than others, so that something happens to them between two uses. */
static unsigned draw_page(Os *os)
{
    static const unsigned hot[] = { 0, 1, 8, 9 };

    return draw(os, 4) ? hot[draw(os, G_N_ELEMENTS(hot))] : draw(os, PAGES);
}

/* ---- tables ---- */

static uint64_t table(unsigned n)
{
    return TABLES + n * UINT64_C(0x1000);
}

static uint64_t bits(const Page *p)
{
    return (p->present ? P : 0) | (p->writable ? W : 0) | (p->user ? U : 0) | (p->global ? G : 0) |
           (p->no_exec ? XD : 0);
}

static uint64_t offset(unsigned page)
{
    return page < 8 ? page * PAGE_SIZE : LARGE + (page - 8) * UINT64_C(0x11000);
}

static void write_half(Os *os, const Half *h)
{
    for (unsigned i = 0; i < PAGES; i++) {
        uint64_t pt = i < 8 ? h->pt : h->pt_large;

        mmu_put64(os->rig, pt + (offset(i) >> 12 & 511) * 8,
                  (FRAME + h->page[i].frame * PAGE_SIZE) | bits(&h->page[i]));
    }
    mmu_put64(os->rig, h->pd, h->pt | P | W | U);
    mmu_put64(os->rig, h->pd + 8, h->large ? FRAME | PS | bits(&h->page[8]) : h->pt_large | P | W | U);
}

static void half_init(Os *os, Half *h, unsigned first)
{
    *h = (Half) { .pd = table(first), .pt = table(first + 1), .pt_large = table(first + 2) };
    write_half(os, h);
}

static void os_init(Os *os)
{
    half_init(os, &os->kernel, 40);
    mmu_put64(os->rig, table(39) + 8, os->kernel.pd | P | W | U);
    for (unsigned s = 0; s < SPACES; s++) {
        half_init(os, &os->user[s], 8 * s + 8);
        mmu_put64(os->rig, table(s), table(8 * s + 12) | P | W | U);
        mmu_put64(os->rig, table(8 * s + 12) + 8, os->user[s].pd | P | W | U);
        mmu_put64(os->rig, table(s) + 256 * 8, table(39) | P | W | U);
    }
    for (unsigned f = 0; f < FRAMES; f++) {
        mmu_put64(os->rig, FRAME + f * PAGE_SIZE, f);
    }
    os->rig->cpu->cr3 = table(0) | 1;
    os->rig->cpu->cr4 |= CR4_PCIDE | CR4_PGE | CR4_SMEP;
    mmu_changed(os->rig);
}

/* ---- invalidating ---- */

static void flush_by_pge(Os *os)
{
    soft_write_cr4(os->rig->cpu, os->rig->cpu->cr4 ^ CR4_PGE);
    soft_write_cr4(os->rig->cpu, os->rig->cpu->cr4 ^ CR4_PGE);
}

static void forget_all(Os *os)
{
    if (draw(os, 2)) {
        soft_invpcid(os->rig->cpu, 2, 0, 0);
    } else {
        flush_by_pge(os);
    }
    memset(os->stale, 0, sizeof(os->stale));
}

/* A page of a user half is local to its address space. */
static void invalidate_user(Os *os, unsigned space, uint64_t linear)
{
    SoftCpu *cpu = os->rig->cpu;

    if (draw(os, 16) == 0) {
        forget_all(os);
        return;
    }
    switch (draw(os, space == os->space ? 4 : 3)) {
    case 0:
        soft_invpcid(cpu, 0, space + 1, linear);
        break;
    case 1:
        soft_invpcid(cpu, 1, space + 1, 0);
        os->stale[space] = false;
        break;
    case 2:
        if (space == os->space) {
            soft_set_cr3(cpu, cpu->cr3, false);
            os->stale[space] = false;
        } else {
            os->stale[space] = true; /* later */
        }
        break;
    default:
        soft_tlb_flush_page(cpu, linear);
        break;
    }
}

/* One of the kernel's may be known to any address space, and be global. */
static void invalidate_kernel(Os *os, uint64_t linear, bool global)
{
    SoftCpu *cpu = os->rig->cpu;

    if (draw(os, 16) == 0) {
        forget_all(os);
    } else if (!global && draw(os, 4) == 0) {
        soft_invpcid(cpu, 3, 0, 0);
        memset(os->stale, 0, sizeof(os->stale));
    } else {
        soft_tlb_flush_page(cpu, linear);
        for (unsigned s = 0; !global && s < SPACES; s++) {
            os->stale[s] |= s != os->space;
        }
    }
}

/* ---- what the system does ---- */

static void change_page(Os *os, bool kernel)
{
    unsigned space = draw(os, SPACES), n = draw_page(os);
    Half *h = kernel ? &os->kernel : &os->user[space];
    uint64_t linear = (kernel ? KERNEL : USER) + offset(n);
    bool was_global = h->page[n].global || (h->large && h->page[8].global), large = h->large;

    h->page[n] = (Page) {
        .frame = draw(os, FRAMES), .present = draw(os, 8) != 0, .writable = draw(os, 4) != 0, .user = !kernel,
        .global = kernel && draw(os, 2), .no_exec = draw(os, 4) == 0,
    };
    if (n >= 8 && draw(os, 4) == 0) {
        h->large = !h->large;
        was_global = kernel; /* some page of it may have been */
    }
    write_half(os, h);
    if (large != h->large && !large) { /* eight pages go, each of its own */
        forget_all(os);
    } else if (kernel) {
        invalidate_kernel(os, linear, was_global);
    } else {
        invalidate_user(os, space, linear);
    }
}

static void switch_space(Os *os)
{
    unsigned to = draw(os, SPACES);
    bool keep = draw(os, 3) && !os->stale[to];

    soft_set_cr3(os->rig->cpu, table(to) | (to + 1), keep);
    os->space = to;
    os->stale[to] = false;
}

/* ---- what must come of it ---- */

static bool allowed(const SoftCpu *cpu, const Page *p, bool write, bool exec)
{
    if (!p->present || (exec && p->no_exec) || (cpu->cpl == 3 && !p->user)) {
        return false;
    }
    return exec ? cpu->cpl == 3 || !p->user : !write || p->writable; /* SMEP, WP */
}

static const Page *says(const Os *os, unsigned n, uint64_t *linear, const uint8_t **host)
{
    bool kernel = n >= PAGES;
    const Half *h = kernel ? &os->kernel : &os->user[os->space];
    const Page *p = &h->page[n % PAGES];

    *linear = (kernel ? KERNEL : USER) + offset(n % PAGES);
    *host = os->rig->host + FRAME + p->frame * PAGE_SIZE;
    if (h->large && n % PAGES >= 8) {
        *host = os->rig->host + FRAME + (offset(n % PAGES) - LARGE);
        return &h->page[8];
    }
    return p;
}

static void check_jump(Os *os, unsigned n, const uint8_t *host)
{
    SoftCpu *cpu = os->rig->cpu;
    Jump *known = os->jump[cpu->cpl == 3][n];
    unsigned oldest = draw(os, 64);

    if (cpu->jumps[0].tag == UINT64_MAX) { /* the cache was emptied */
        memset(os->jump, 0, sizeof(os->jump));
        cpu->jumps[0].tag = 0;
    }
    for (unsigned i = 0; i < 64; i++) {
        if (known[i].known && known[i].tag == cpu->jump_tag) {
            assert_ptr_equal(known[i].host, host);
            return;
        }
    }
    known[oldest] = (Jump) { true, cpu->jump_tag, host };
}

static void check_access(Os *os)
{
    SoftRig *rig = os->rig;
    unsigned n = draw_page(os) + draw(os, 2) * PAGES, kind = draw(os, 3);
    const uint8_t *host, *code = NULL;
    uint64_t linear, value = 0;
    const Page *p = says(os, n, &linear, &host);
    const SoftEvent *e;

    if (kind == 0) {
        e = mmu_load(rig, linear, 8, 0, &value);
    } else if (kind == 1) {
        e = mmu_store(rig, linear + 8, 8, ++os->accesses, 0);
    } else {
        e = mmu_fetch(rig, linear, &code);
    }
    os->faults += e != NULL;
    assert_int_equal(e != NULL, !allowed(rig->cpu, p, kind == 1, kind == 2));
    if (e) {
        assert_int_equal(e->vector, VECTOR_PF);
        assert_int_equal(e->error & FAULT_P, p->present);
    } else if (kind == 0) {
        assert_int_equal(value, (uint64_t)(host - rig->host - FRAME) / PAGE_SIZE);
    } else if (kind == 1) {
        assert_int_equal(mmu_get64(rig, (uint64_t)(host - rig->host) + 8), os->accesses);
    } else {
        assert_ptr_equal(code, host);
        check_jump(os, n, host);
    }
}

static void test_what_is_invalidated_by_the_rules_is_never_found(void **state)
{
    Os *os = g_new0(Os, 1);

    os->rig = mmu_rig_new();
    os->seed = 20;
    os_init(os);
    for (unsigned round = 0; round < ROUNDS; round++) {
        switch (draw(os, 16)) {
        case 0:
            change_page(os, draw(os, 2));
            break;
        case 1:
            switch_space(os);
            break;
        case 2:
            os->rig->cpu->cpl ^= 3;
            soft_update_mode(os->rig->cpu);
            break;
        default:
            check_access(os);
            break;
        }
    }
    assert_true(os->faults > ROUNDS / 20 && os->faults < ROUNDS / 2);
    mmu_rig_free(os->rig);
    g_free(os);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_invalidated_by_the_rules_is_never_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
