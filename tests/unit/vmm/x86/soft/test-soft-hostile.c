/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * States that no processor could be in, and states by accident: refused, or harmless.
 */
#include <signal.h>

#include "state-rig.h"

/* The library's handlers: cmocka puts its own in their place during a test. */
static const int traps[] = { SIGFPE, SIGILL, SIGSEGV };
static struct sigaction handlers[G_N_ELEMENTS(traps)];

#define REFUSED(f, says, change)                        \
    do {                                                \
        X86Cpu *s = &(f)->state;                        \
                                                        \
        soft_rig_enter_64((f)->rig, 0);                 \
        soft_cpu_save((f)->rig->cpu, s);                \
        change;                                         \
        refuse(f, says);                                \
    } while (0)

static void impossible_control_registers_are_refused(void **state)
{
    Fixture *f = *state;

    REFUSED(f, "CR0 has bits", s->cr0 = CR0_PG);
    REFUSED(f, "CR0 has bits", s->cr0 |= CR0_NW);
    REFUSED(f, "CR0 has bits", s->cr0 |= UINT64_C(1) << 32);
    REFUSED(f, "CR4 has bits", s->cr4 |= 1 << 13);
    REFUSED(f, "CR4 has bits", s->cr4 |= UINT64_C(1) << 63);
    REFUSED(f, "EFER has bits", s->efer |= 1 << 12);
    REFUSED(f, "EFER.LMA", s->efer &= ~EFER_LMA);
    REFUSED(f, "EFER.LMA", s->cr0 &= ~CR0_PG);
    REFUSED(f, "without CR4.PAE", s->cr4 &= ~CR4_PAE);
    REFUSED(f, "CR3 has bits", s->cr3 |= UINT64_C(1) << 52);
    REFUSED(f, "virtual-8086 mode is on in long mode", s->rflags |= EFLAGS_VM);
    REFUSED(f, "CS has both L and D", s->segment[X86_CS].attributes |= SEG_DB);
    REFUSED(f, "XCR0", s->xcr0 = 0);
    REFUSED(f, "XCR0", s->xcr0 = 5);
    REFUSED(f, "XCR0", s->xcr0 = 0xe7);
    REFUSED(f, "RFLAGS", s->rflags |= 1 << 15);
    REFUSED(f, "RFLAGS", s->rflags |= UINT64_C(1) << 40);
    REFUSED(f, "DR6 or DR7", s->dr7 |= UINT64_C(1) << 32);
    soft_rig_enter_32(f->rig);
    f->rig->cpu->efer = 0;
    soft_cpu_save(f->rig->cpu, &f->state);
    f->state.cr4 |= CR4_PCIDE;
    refuse(f, "CR4.PCIDE");
    f->state.cr4 &= ~CR4_PCIDE;
    f->state.cr0 &= ~CR0_PE;
    f->state.rflags |= EFLAGS_VM;
    refuse(f, "virtual-8086 mode is on in real mode");
}

static void impossible_segments_are_refused(void **state)
{
    Fixture *f = *state;

    REFUSED(f, "FS", s->segment[X86_FS].base = UINT64_C(1) << 47);
    REFUSED(f, "SS", s->segment[X86_SS].base = UINT64_C(1) << 32);
    REFUSED(f, "DS", s->segment[X86_DS].attributes |= 1 << 8);
    REFUSED(f, "TR", s->tr.base = UINT64_C(1) << 63);
    REFUSED(f, "LDTR", s->ldt.attributes |= 1 << 20);
    REFUSED(f, "GDTR", s->gdt.base = UINT64_C(0x8000) << 32);
    REFUSED(f, "IDTR", s->idt.base = UINT64_C(0x8000) << 32);
}

static void impossible_vector_state_is_refused(void **state)
{
    Fixture *f = *state;

    REFUSED(f, "XSAVE area has reserved bits", s->xsave[24 + 3] = 1); /* MXCSR */
    REFUSED(f, "XSAVE area has reserved bits", s->xsave[520 + 7] = 0x80); /* compacted */
    REFUSED(f, "XSAVE area has reserved bits", s->xsave[530] = 1);
    REFUSED(f, "XSAVE area has 100 bytes", s->xsave_size = 100);
    REFUSED(f, "XSAVE area has 100000 bytes", s->xsave_size = 100000);
}

static void impossible_events_are_refused(void **state)
{
    Fixture *f = *state;

    REFUSED(f, "system management mode", s->smm = 1);
    REFUSED(f, "exception 32", (s->exception_injected = 1, s->exception_vector = 32));
    REFUSED(f, "both being delivered", s->exception_injected = s->interrupt_injected = 1);
    REFUSED(f, "run state 9", s->run_state = 9);
}

static uint64_t random64(GRand *rand)
{
    return (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
}

/* One thing of the state becomes something: a bit flipped, or anything. */
static void mutate(X86Cpu *s, GRand *rand)
{
    uint64_t *words[] = {
        &s->cr0, &s->cr3, &s->cr4, &s->efer, &s->rflags, &s->rip, &s->gpr[X86_RSP], &s->xcr0, &s->dr6, &s->dr7,
        &s->dr[0], &s->gdt.base, &s->idt.base, &s->tr.base, &s->ldt.base, &s->pdptr[0], &s->segment[X86_FS].base,
        &s->segment[g_rand_int_range(rand, 0, X86_SEGMENTS)].base, &s->gpr[g_rand_int_range(rand, 0, X86_GPRS)],
        &s->exception_payload, (uint64_t *)&s->xsave[8 * g_rand_int_range(rand, 0, 104)],
    };
    uint32_t *halves[] = {
        &s->segment[g_rand_int_range(rand, 0, X86_SEGMENTS)].attributes,
        &s->segment[g_rand_int_range(rand, 0, X86_SEGMENTS)].limit, &s->tr.attributes, &s->ldt.attributes, &s->tr.limit,
        &s->exception_error, &s->run_state, &s->sipi_vector,
    };
    uint8_t *bytes[] = {
        &s->exception_pending, &s->exception_injected, &s->exception_vector, &s->exception_has_error,
        &s->exception_has_payload, &s->interrupt_injected, &s->interrupt_vector, &s->interrupt_shadow, &s->nmi_injected,
        &s->nmi_pending, &s->nmi_masked, &s->smi_pending, &s->smi_inside_nmi, &s->smi_latched_init,
        &s->triple_fault_pending, (uint8_t *)&s->gdt.limit, (uint8_t *)&s->idt.limit + 1,
        (uint8_t *)&s->segment[g_rand_int_range(rand, 0, X86_SEGMENTS)].selector,
    };

    switch (g_rand_int_range(rand, 0, 5)) {
    case 0:
    case 1:
        *words[g_rand_int_range(rand, 0, G_N_ELEMENTS(words))] ^= UINT64_C(1) << g_rand_int_range(rand, 0, 64);
        break;
    case 2:
        *words[g_rand_int_range(rand, 0, G_N_ELEMENTS(words))] = random64(rand) >> g_rand_int_range(rand, 0, 64);
        break;
    case 3:
        *halves[g_rand_int_range(rand, 0, G_N_ELEMENTS(halves))] ^= 1u << g_rand_int_range(rand, 0, 32);
        break;
    default:
        *bytes[g_rand_int_range(rand, 0, G_N_ELEMENTS(bytes))] = (uint8_t)g_rand_int_range(rand, 0, 34);
        break;
    }
}

typedef struct Kicker {
    SoftCpu *cpu;
    int stop; /* atomic */
} Kicker;

/* Some states execute nothing, for ever: a handler that faults, an x87 exception that waits for an interrupt. */
static void *kick(void *opaque)
{
    Kicker *k = opaque;

    while (!g_atomic_int_get(&k->stop)) {
        soft_signal(k->cpu, SOFT_KICK);
        g_usleep(2000);
    }
    return NULL;
}

/* Whatever loads runs, to wherever, and is saved as something that loads. */
static void mutated_states_are_refused_or_run(void **state)
{
    static void (*const enter[])(SoftRig *) = { soft_rig_enter_16, soft_rig_enter_32 };
    GRand *rand = g_rand_new_with_seed(3);
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;
    Kicker kicker = { .cpu = cpu };
    GThread *thread = g_thread_new("kicker", kick, &kicker);
    unsigned loaded = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(traps); i++) {
        sigaction(traps[i], &handlers[i], NULL);
    }
    for (unsigned i = 0; i < 20000; i++) {
        g_autoptr(GError) error = NULL;

        cpu->efer = cpu->cr4 = 0;
        soft_unsignal(cpu, ~0u);
        cpu->shutdown = cpu->wait_sipi = cpu->halted = false;
        soft_set_rflags(cpu, 2);
        if (i % 3 < 2) {
            enter[i % 3](f->rig);
        } else {
            soft_rig_enter_64(f->rig, i % 2 ? 3 : 0);
            make_idt(f->rig);
        }
        soft_cpu_save(cpu, &f->state);
        for (int n = g_rand_int_range(rand, 1, 5); n; n--) {
            mutate(&f->state, rand);
        }
        if (!soft_cpu_load(cpu, &f->state, &error)) {
            assert_non_null(error);
            continue;
        }
        loaded++;
        soft_cpu_trap(cpu, i & 1);
        soft_cpu_limit(cpu, 20);
        soft_run(cpu);
        soft_cpu_save(cpu, &f->again);
        if (!soft_cpu_load(cpu, &f->again, &error)) {
            fail_msg("state %u, run and saved, does not load: %s", i, error->message);
        }
        memset(f->rig->host + RIG_PML4, 0, 0x3000);
    }
    g_atomic_int_set(&kicker.stop, 1);
    g_thread_join(thread);
    assert_in_range(loaded, 4000, 16000);
    g_rand_free(rand);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(impossible_control_registers_are_refused),
        TEST(impossible_segments_are_refused),
        TEST(impossible_vector_state_is_refused),
        TEST(impossible_events_are_refused),
        TEST(mutated_states_are_refused_or_run),
    };

    soft_rig_free(soft_rig_new());
    for (unsigned i = 0; i < G_N_ELEMENTS(traps); i++) {
        sigaction(traps[i], NULL, &handlers[i]);
    }
    return cmocka_run_group_tests_name("soft-hostile", tests, NULL, NULL);
}
