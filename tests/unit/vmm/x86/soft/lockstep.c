/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lockstep.h"

#include <inttypes.h>
#include <string.h>

#include "vmm/x86/soft/cpu.h"

typedef struct Snapshot {
    X86Cpu cpu;
    uint8_t *ram;
} Snapshot;

SoftExit lockstep_by_blocks(SoftRig *rig, uint64_t n)
{
    soft_cpu_limit(rig->cpu, n);
    return soft_run(rig->cpu);
}

SoftExit lockstep_by_instructions(SoftRig *rig, uint64_t n)
{
    SoftExit why = SOFT_EXIT_KICKED;

    for (uint64_t i = 0; i < n && why == SOFT_EXIT_KICKED; i++) {
        soft_cpu_limit(rig->cpu, 1);
        why = soft_run(rig->cpu);
    }
    return why;
}

static void take(SoftRig *rig, Snapshot *s)
{
    memset(&s->cpu, 0, sizeof(s->cpu));
    soft_cpu_save(rig->cpu, &s->cpu);
    memcpy(s->ram, rig->host, RIG_RAM);
}

static void put_back(SoftRig *rig, const Snapshot *s)
{
    memcpy(rig->host, s->ram, RIG_RAM);
    soft_code_written(rig->vm, NULL, rig->host, RIG_RAM);
    g_assert(soft_cpu_load(rig->cpu, &s->cpu, NULL));
}

static void compare_words(GString *out, const char *what, const uint64_t *a, const uint64_t *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (a[i] != b[i]) {
            g_string_append_printf(out, "  %s[%u]: %#" PRIx64 " and %#" PRIx64 "\n", what, i, a[i], b[i]);
        }
    }
}

static void compare_rest(GString *out, const X86Cpu *a, const X86Cpu *b)
{
    const uint8_t *x = (const uint8_t *)a, *y = (const uint8_t *)b;

    for (size_t i = 0; i < sizeof(*a) && !out->len; i++) {
        if (x[i] != y[i]) {
            g_string_append_printf(out, "  X86Cpu differs first at byte %zu: %#x and %#x\n", i, x[i], y[i]);
        }
    }
}

/* Appends what differs between the two now; nothing if they are equal. */
static void compare(const LockstepEngine *a, const LockstepEngine *b, Snapshot *sa, Snapshot *sb, GString *out)
{
    take(a->rig, sa);
    take(b->rig, sb);
    compare_words(out, "gpr", sa->cpu.gpr, sb->cpu.gpr, X86_GPRS);
    compare_words(out, "rip", &sa->cpu.rip, &sb->cpu.rip, 1);
    compare_words(out, "rflags", &sa->cpu.rflags, &sb->cpu.rflags, 1);
    compare_rest(out, &sa->cpu, &sb->cpu);
    for (uint64_t i = 0; i < RIG_RAM && memcmp(sa->ram, sb->ram, RIG_RAM); i++) {
        if (sa->ram[i] != sb->ram[i]) {
            g_string_append_printf(out, "  RAM at %#" PRIx64 ": %#x and %#x\n", i, sa->ram[i], sb->ram[i]);
            break;
        }
    }
}

/* From equal states by steps of that size, to the first after which they differ; then `from` is the state before it.
 * Returns how many instructions before it, or `most`: they do not differ this way. */
static uint64_t narrow(LockstepEngine *a, LockstepEngine *b, Snapshot *from, Snapshot *sa, Snapshot *sb, uint64_t most,
                       uint64_t step, GString *out)
{
    put_back(a->rig, from);
    put_back(b->rig, from);
    for (uint64_t done = 0; done < most; done += step) {
        a->advance(a->rig, step);
        b->advance(b->rig, step);
        g_string_truncate(out, 0);
        compare(a, b, sa, sb, out);
        if (out->len) {
            return done;
        }
        from->cpu = sa->cpu;
        memcpy(from->ram, sa->ram, RIG_RAM);
    }
    return most;
}

static char *report(LockstepEngine *a, LockstepEngine *b, Snapshot *equal, Snapshot *sa, Snapshot *sb, uint64_t done,
                    uint64_t stride, const GString *first)
{
    g_autoptr(GString) out = g_string_new(NULL);
    uint64_t coarse = narrow(a, b, equal, sa, sb, stride, 64, out);
    uint64_t fine = coarse == stride ? 64 : narrow(a, b, equal, sa, sb, 64, 1, out);

    if (fine == 64) {
        return g_strdup_printf("%s and %s differ after %" PRIu64 " instructions, but not one by one\n%s", a->name, b->name,
                               done + stride, first->str);
    }
    return g_strdup_printf("instruction %" PRIu64 ", at %#" PRIx64 ": %s and %s differ\n%s", done + coarse + fine + 1,
                           equal->cpu.rip, a->name, b->name, out->str);
}

bool lockstep_run(LockstepEngine *a, LockstepEngine *b, uint64_t total, uint64_t stride, char **ret_report)
{
    Snapshot equal = { .ram = g_malloc(RIG_RAM) }, sa = { .ram = g_malloc(RIG_RAM) }, sb = { .ram = g_malloc(RIG_RAM) };
    g_autoptr(GString) out = g_string_new(NULL);
    SoftExit ea = SOFT_EXIT_KICKED, eb = SOFT_EXIT_KICKED;
    uint64_t done = 0;

    soft_cpu_trap(a->rig->cpu, true);
    soft_cpu_trap(b->rig->cpu, true);
    take(a->rig, &equal);
    for (; done < total && ea == SOFT_EXIT_KICKED && !out->len; done += stride) {
        ea = a->advance(a->rig, stride);
        eb = b->advance(b->rig, stride);
        compare(a, b, &sa, &sb, out);
        if (ea != eb) {
            g_string_append_printf(out, "  left for reasons %d and %d\n", ea, eb);
        }
        if (out->len) {
            *ret_report = report(a, b, &equal, &sa, &sb, done, stride, out);
        }
        if (!out->len) {
            equal.cpu = sa.cpu;
            memcpy(equal.ram, sa.ram, RIG_RAM);
        }
    }
    g_free(equal.ram);
    g_free(sa.ram);
    g_free(sb.ram);
    return !out->len;
}
