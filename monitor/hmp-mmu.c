/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `info mem` and `info tlb`: what the page tables of a vCPU map.  The guest writes them, and tables that name
 * themselves map without end: what is shown is bounded, and says where it ends.
 */
#include "monitor/hmp-info.h"

#include <inttypes.h>

#include "vmm/domain.h"
#include "vmm/x86/paging.h"

#define TABLES_MAX 16384
#define LINES_MAX  262144

/* Pages that follow one another with the same rights are one range. */
typedef struct Listing {
    GString *out;
    unsigned lines;
    uint64_t begin, size; /* of the range so far; size 0: there is none */
    bool writable, user;
} Listing;

static bool count_line(Listing *l)
{
    return ++l->lines <= LINES_MAX;
}

/* ---- info tlb ---- */

/* Bits of an entry, SDM 3-4.5.4. */
static bool print_page(const X86Mapping *m, void *opaque)
{
    static const struct { char name; uint8_t bit; } bits[] = {
        { 'X', 63 }, { 'G', 8 }, { 'P', 7 }, { 'D', 6 }, { 'A', 5 }, { 'C', 4 }, { 'T', 3 }, { 'U', 2 }, { 'W', 1 },
    };
    Listing *l = opaque;

    if (!count_line(l)) {
        return false;
    }
    g_string_append_printf(l->out, "%016" PRIx64 ": %016" PRIx64 " ", m->linear, m->gpa);
    for (unsigned i = 0; i < G_N_ELEMENTS(bits); i++) {
        g_string_append_c(l->out, m->entry >> bits[i].bit & 1 ? bits[i].name : '-');
    }
    g_string_append_c(l->out, '\n');
    return true;
}

/* ---- info mem ---- */

static void print_range(const Listing *l)
{
    if (l->size) {
        g_string_append_printf(l->out, "%016" PRIx64 "-%016" PRIx64 " %016" PRIx64 " %cr%c\n", l->begin,
                               l->begin + l->size, l->size, l->user ? 'u' : '-', l->writable ? 'w' : '-');
    }
}

static bool add_page(const X86Mapping *m, void *opaque)
{
    Listing *l = opaque;

    if (l->size && l->begin + l->size == m->linear && l->writable == m->writable && l->user == m->user) {
        l->size += m->size;
        return true;
    }
    print_range(l);
    l->begin = m->linear;
    l->size = m->size;
    l->writable = m->writable;
    l->user = m->user;
    return count_line(l);
}

/* ---- both ---- */

static bool list_pages(HmpCall *call, X86MappingFn fn, GError **error)
{
    Listing l = { .out = call->out };
    Vcpu *vcpu = hmp_vcpu(call->session, error);

    if (!vcpu || !vcpu_fetch(vcpu, error)) {
        return false;
    }
    if (!x86_paging_is_on(&vcpu->cpu)) {
        g_string_append(call->out, "PG disabled\n");
    } else if (!x86_paging_each(&vcpu->cpu, domain_memory(call->domain), TABLES_MAX, fn, &l)) {
        print_range(&l);
        g_string_append(call->out, "... and more: there are too many pages to show\n");
    } else {
        print_range(&l);
    }
    return true;
}

static bool list_frozen(HmpCall *call, X86MappingFn fn, GError **error)
{
    bool ran = vcpus_freeze(call->domain), ok = list_pages(call, fn, error);

    vcpus_thaw(call->domain, ran);
    return ok;
}

bool hmp_info_mem(HmpCall *call, GError **error)
{
    return list_frozen(call, add_page, error);
}

bool hmp_info_tlb(HmpCall *call, GError **error)
{
    return list_frozen(call, print_page, error);
}
