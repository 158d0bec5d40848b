/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPU's state as a whole: power-on, INIT, saving and loading, KVM's conventions.
 */
#include "state-rig.h"

/* What was saved loads into a CPU that was elsewhere, and is saved as the same. */
static void assert_round_trip(Fixture *f)
{
    SoftCpu *cpu = f->rig->cpu;
    g_autoptr(GError) error = NULL;

    soft_cpu_save(cpu, &f->state);
    soft_rig_enter_16(f->rig);
    memset(cpu->gpr, 0x5a, sizeof(cpu->gpr));
    memset(cpu->xsave + 32, 0x5a, 200);
    cpu->star = cpu->lstar = cpu->pat = 1;
    cpu->halted = !cpu->halted;
    cpu->pending = 0;
    if (!soft_cpu_load(cpu, &f->state, &error)) {
        fail_msg("%s", error->message);
    }
    memset(&f->again, 0xee, sizeof(f->again));
    f->again.msrs = 0;
    memcpy(f->again.lapic, f->state.lapic, sizeof(f->again.lapic));
    memcpy(f->again.msr, f->state.msr, sizeof(f->again.msr));
    f->again.cr8 = f->state.cr8;
    f->again.apic_base = f->state.apic_base;
    soft_cpu_save(cpu, &f->again);
    assert_memory_equal(f->state.gpr, f->again.gpr, sizeof(f->state.gpr));
    assert_memory_equal(f->state.segment, f->again.segment, sizeof(f->state.segment[0].selector));
    assert_memory_equal(f->state.xsave, f->again.xsave, sizeof(f->state.xsave));
    assert_int_equal(f->state.msrs, f->again.msrs);
    for (unsigned i = 0; i < f->state.msrs; i++) {
        assert_int_equal(f->state.msr[i].index, f->again.msr[i].index);
        assert_int_equal(f->state.msr[i].value, f->again.msr[i].value);
    }
    assert_int_equal(f->state.rip, f->again.rip);
    assert_int_equal(f->state.rflags, f->again.rflags);
    assert_int_equal(f->state.cr0, f->again.cr0);
    assert_int_equal(f->state.cr2, f->again.cr2);
    assert_int_equal(f->state.cr3, f->again.cr3);
    assert_int_equal(f->state.cr4, f->again.cr4);
    assert_int_equal(f->state.efer, f->again.efer);
    assert_int_equal(f->state.xcr0, f->again.xcr0);
    assert_int_equal(f->state.dr6, f->again.dr6);
    assert_int_equal(f->state.dr7, f->again.dr7);
    assert_int_equal(f->state.run_state, f->again.run_state);
    assert_int_equal(f->state.interrupt_shadow, f->again.interrupt_shadow);
    assert_int_equal(f->state.nmi_masked, f->again.nmi_masked);
    assert_int_equal(f->state.nmi_pending, f->again.nmi_pending);
    assert_int_equal(f->state.smi_pending, f->again.smi_pending);
    assert_int_equal(f->state.smi_latched_init, f->again.smi_latched_init);
    assert_int_equal(f->state.triple_fault_pending, f->again.triple_fault_pending);
    assert_int_equal(f->state.sipi_vector, f->again.sipi_vector);
    assert_int_equal(f->state.tsc_khz, f->again.tsc_khz);
    for (unsigned s = 0; s < X86_SEGMENTS; s++) {
        assert_int_equal(f->state.segment[s].selector, f->again.segment[s].selector);
        assert_int_equal(f->state.segment[s].attributes, f->again.segment[s].attributes);
        assert_int_equal(f->state.segment[s].limit, f->again.segment[s].limit);
        assert_int_equal(f->state.segment[s].base, f->again.segment[s].base);
    }
}

/* ---- power-on, INIT ---- */
static void power_on_is_what_x86cpu_says(void **state)
{
    Fixture *f = *state;
    const X86Cpuid *c = soft_cpuid(f->rig->cpu, 1, 0);

    x86_cpu_reset(&f->state, 0, true, c->eax);
    soft_cpu_init_state(f->rig->cpu, true);
    soft_cpu_save(f->rig->cpu, &f->again);
    assert_memory_equal(f->state.gpr, f->again.gpr, sizeof(f->state.gpr));
    assert_int_equal(f->state.rip, f->again.rip);
    assert_int_equal(f->state.cr0, f->again.cr0);
    assert_int_equal(f->state.dr6, f->again.dr6);
    assert_int_equal(f->state.dr7, f->again.dr7);
    assert_int_equal(f->state.xcr0, f->again.xcr0);
    assert_int_equal(f->state.gdt.limit, f->again.gdt.limit);
    assert_int_equal(f->state.idt.limit, f->again.idt.limit);
    for (unsigned s = 0; s < X86_SEGMENTS; s++) {
        assert_int_equal(f->state.segment[s].selector, f->again.segment[s].selector);
        assert_int_equal(f->state.segment[s].attributes, f->again.segment[s].attributes);
        assert_int_equal(f->state.segment[s].limit, f->again.segment[s].limit);
        assert_int_equal(f->state.segment[s].base, f->again.segment[s].base);
    }
    assert_int_equal(f->state.tr.attributes, f->again.tr.attributes);
    assert_int_equal(f->state.ldt.attributes, f->again.ldt.attributes);
    assert_memory_equal(f->state.xsave, f->again.xsave, 28); /* x87 controls, MXCSR */
    assert_int_equal(*x86_cpu_msr(&f->again, 0x277), 0x0007040600070406);
}

static void a_reset_state_loads(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_64(f->rig, 3);
    x86_cpu_reset(&f->state, 0, true, 0x623);
    assert_true(soft_cpu_load(f->rig->cpu, &f->state, NULL));
    assert_int_equal(f->rig->cpu->cpl, 0);
    assert_int_equal(f->rig->cpu->mode & (MODE_CODE | MODE_PROTECTED | MODE_USER), 0);
    assert_int_equal(f->rig->cpu->gpr[X86_RDX], 0x623);
}

static bool is_application_processor(SoftCpu *cpu, void *opaque, uint32_t index, uint64_t *ret_value)
{
    *ret_value = 0xfee00800;
    return index == MSR_APIC_BASE;
}

static void init_leaves_what_the_manual_leaves(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    soft_rig_enter_64(f->rig, 3);
    cpu->cr0 |= CR0_CD | CR0_NW;
    cpu->pat = 0x0102030405060700;
    cpu->lstar = 0x1234;
    cpu->tsc_aux = 5;
    cpu->nmi_masked = cpu->halted = true;
    cpu->xsave[160] = 0x77; /* XMM0 */
    soft_signal(cpu, SOFT_INIT);
    assert_int_equal(soft_rig_run(f->rig), SOFT_EXIT_EXCEPTION); /* at the reset vector, where nothing is */
    assert_int_equal(f->rig->inits, 1);
    assert_int_equal(cpu->rip, 0xfff0);
    assert_int_equal(cpu->cr0, CR0_CD | CR0_NW | CR0_ET);
    assert_int_equal(cpu->efer, 0);
    assert_int_equal(cpu->cr4, 0);
    assert_int_equal(cpu->cpl, 0);
    assert_int_equal(cpu->xcr0, 7);
    assert_int_equal(cpu->pat, 0x0102030405060700);
    assert_int_equal(cpu->lstar, 0x1234);
    assert_int_equal(cpu->tsc_aux, 5);
    assert_int_equal(cpu->xsave[160], 0x77);
    assert_int_equal(cpu->gdt.base, 0);
    assert_int_equal(cpu->segment[X86_CS].base, 0xffff0000);
    assert_false(cpu->wait_sipi);
}

static void an_application_processor_waits_for_its_sipi(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;
    SoftHooks hooks = *cpu->hooks;

    hooks.msr_read = is_application_processor;
    cpu->hooks = &hooks;
    soft_rig_enter_64(f->rig, 0);
    soft_signal(cpu, SOFT_INIT);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    assert_true(cpu->wait_sipi);
    soft_cpu_save(cpu, &f->state);
    assert_int_equal(f->state.run_state, X86_INIT_RECEIVED);
    assert_round_trip(f);
    memcpy(f->rig->host + 0x9a000, "\xf4", 1);
    soft_cpu_sipi(cpu, 0x9a);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    assert_int_equal(cpu->segment[X86_CS].selector, 0x9a00);
    assert_int_equal(cpu->rip, 1);
    assert_false(cpu->wait_sipi);
}

/* ---- round trips ---- */
static void enter_64(Fixture *f)
{
    SoftCpu *cpu = f->rig->cpu;

    soft_rig_enter_64(f->rig, 0);
    for (unsigned i = 0; i < X86_GPRS; i++) {
        cpu->gpr[i] = UINT64_C(0x0123456789abcdef) * (i + 1);
    }
    cpu->cr2 = 0xffff800012345678;
    cpu->segment[X86_FS] = (X86Segment) { 0, X86_SEG_UNUSABLE, 0, 0x7fff12345678 };
    cpu->segment[X86_GS].base = 0xffff888012345678;
    cpu->kernel_gs_base = 0x1000;
    cpu->star = 0x23001000000000;
    cpu->lstar = 0xffffffff81000000;
    cpu->fmask = 0x47700;
    cpu->tsc_aux = 3;
    cpu->spec_ctrl = 1;
    cpu->mtrr_fixed[10] = 6;
    cpu->mtrr_variable[15] = 0x800;
    cpu->mce_banks[39] = 7;
    cpu->dr[3] = 0x77;
    cpu->dr6 = 0xffff4ff1;
    cpu->dr7 = 0x400;
    soft_set_rflags(cpu, 0x200ed7);
}

static void sixty_four_bit_mode_survives(void **state)
{
    Fixture *f = *state;

    enter_64(f);
    assert_round_trip(f);
    assert_int_equal(f->rig->cpu->segment[X86_FS].base, 0x7fff12345678);
    assert_int_equal(f->rig->cpu->seg_base[X86_GS], 0xffff888012345678);
}

static void user_mode_survives(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_64(f->rig, 3);
    assert_round_trip(f);
    assert_int_equal(f->rig->cpu->cpl, 3);
}

static void real_and_protected_mode_survive(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    assert_round_trip(f);
    soft_rig_enter_32(f->rig);
    f->rig->cpu->segment[X86_SS] = (X86Segment) { 0x10, 0x4093, 0xfff, 0x12345000 };
    assert_round_trip(f);
}

static void virtual_8086_mode_survives(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_32(f->rig);
    for (unsigned s = 0; s < X86_SEGMENTS; s++) {
        f->rig->cpu->segment[s] = (X86Segment) { 0x100, 0xf3, 0xffff, 0x1000 };
    }
    f->rig->cpu->cpl = 3;
    soft_set_rflags(f->rig->cpu, EFLAGS_FIXED | EFLAGS_VM);
    assert_round_trip(f);
    assert_int_equal(f->rig->cpu->cpl, 3);
    assert_true(f->rig->cpu->mode & MODE_VM86);
}

static void vector_registers_survive(void **state)
{
    /* movaps xmm5, [rax]; vmovaps ymm6, [rax]; fld1; hlt */
    static const uint8_t code[] = { 0x0f, 0x28, 0x28, 0xc5, 0xfc, 0x28, 0x30, 0xd9, 0xe8, 0xf4 };
    Fixture *f = *state;
    SoftRig *rig = f->rig;

    if (!soft_has(rig->cpu, 1, 0, 2, 28)) {
        skip(); /* a host without AVX */
    }
    soft_rig_enter_64(rig, 0);
    soft_rig_code(rig, code, sizeof(code));
    rig->cpu->gpr[X86_RAX] = RIG_DATA;
    memset(rig->host + RIG_DATA, 0x31, 32);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_HALTED);
    assert_round_trip(f);
    assert_int_equal(f->state.xsave_size, 832);
    assert_int_equal(f->state.xsave[160 + 5 * 16 + 15], 0x31);
    assert_int_equal(f->state.xsave[160 + 6 * 16], 0x31);
    assert_int_equal(f->state.xsave[576 + 6 * 16 + 15], 0x31);
    assert_int_equal(f->state.xsave[4], 0x80); /* one x87 register is in use */
}

static void waiting_events_survive(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    enter_64(f);
    cpu->nmi_masked = cpu->halted = true;
    soft_set_shadow(cpu, SHADOW_STI);
    soft_signal(cpu, SOFT_NMI | SOFT_SMI | SOFT_INIT);
    soft_cpu_save(cpu, &f->state);
    assert_int_equal(f->state.run_state, X86_HALTED);
    assert_int_equal(f->state.interrupt_shadow, SHADOW_STI);
    assert_int_equal(f->state.nmi_pending, 1);
    assert_int_equal(f->state.smi_latched_init, 1);
    assert_round_trip(f);
    soft_set_shadow(cpu, SHADOW_MOV_SS);
    cpu->shutdown = true;
    assert_round_trip(f);
}

static void pdptes_are_saved_and_come_from_memory_if_they_are_not(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;
    uint64_t pointer = (RIG_PML4 + 0x2000) | 1;

    soft_rig_enter_64(f->rig, 0);
    soft_rig_enter_32(f->rig);
    cpu->efer = 0;
    cpu->cr3 = RIG_DATA;
    cpu->cr4 |= CR4_PAE;
    cpu->cr0 |= CR0_PG;
    cpu->pdptr[2] = pointer;
    soft_cpu_save(cpu, &f->state);
    assert_true(f->state.pdptrs_valid);
    cpu->pdptr[2] = 0;
    assert_true(soft_cpu_load(cpu, &f->state, NULL));
    assert_int_equal(cpu->pdptr[2], pointer);
    f->state.pdptrs_valid = false; /* an old KVM */
    memset(f->rig->host + RIG_DATA, 0, 32);
    memcpy(f->rig->host + RIG_DATA + 8, &pointer, 8);
    assert_true(soft_cpu_load(cpu, &f->state, NULL));
    assert_int_equal(cpu->pdptr[1], pointer);
    assert_int_equal(cpu->pdptr[2], 0);
    f->rig->host[RIG_DATA + 8] = 3;
    refuse(f, "leads to no page directory pointers");
    f->state.pdptrs_valid = true;
    f->state.pdptr[0] = 0x21;
    refuse(f, "page directory pointer has reserved bits");
}

/* ---- KVM's conventions ---- */
static void what_is_not_present_is_unusable(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_64(f->rig, 0);
    soft_cpu_save(f->rig->cpu, &f->state);
    f->state.segment[X86_ES].attributes = 0x13;
    f->state.ldt.attributes = 0x2;
    assert_true(soft_cpu_load(f->rig->cpu, &f->state, NULL));
    assert_true(f->rig->cpu->segment[X86_ES].attributes & X86_SEG_UNUSABLE);
    assert_true(f->rig->cpu->ldt.attributes & X86_SEG_UNUSABLE);
}

static void the_cpl_is_in_ss(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_64(f->rig, 3);
    f->rig->cpu->segment[X86_SS] = (X86Segment) { 3, X86_SEG_UNUSABLE, 0, 0 };
    soft_cpu_save(f->rig->cpu, &f->state);
    assert_int_equal(f->state.segment[X86_SS].attributes, X86_SEG_UNUSABLE | 0x60);
    f->rig->cpu->cpl = 0;
    assert_true(soft_cpu_load(f->rig->cpu, &f->state, NULL));
    assert_int_equal(f->rig->cpu->cpl, 3);
}

static void a_larger_xsave_area_loads_if_the_rest_is_initial(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_64(f->rig, 0);
    soft_cpu_save(f->rig->cpu, &f->state);
    f->state.xsave_size = 2696;
    f->state.xsave[512 + 1] = 2; /* XSTATE_BV: PKRU */
    assert_true(soft_cpu_load(f->rig->cpu, &f->state, NULL));
    f->state.xsave[2688] = 1;
    refuse(f, "registers that the CPU model does not offer");
}

static const uint64_t *stack(Fixture *f)
{
    return (const uint64_t *)(f->rig->host + f->rig->cpu->gpr[X86_RSP]);
}

static void an_injected_exception_is_delivered_first(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    soft_rig_enter_64(f->rig, 0);
    make_idt(f->rig);
    soft_cpu_save(cpu, &f->state);
    f->state.exception_injected = 1;
    f->state.exception_vector = VECTOR_PF;
    f->state.exception_has_error = 1;
    f->state.exception_error = 2;
    f->state.cr2 = 0x1234;
    assert_true(soft_cpu_load(cpu, &f->state, NULL));
    soft_cpu_save(cpu, &f->again);
    assert_int_equal(f->again.exception_injected, 1);
    assert_int_equal(f->again.exception_vector, VECTOR_PF);
    assert_int_equal(f->again.exception_error, 2);
    assert_true(f->again.rflags & EFLAGS_RF); /* as it will be pushed */
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    assert_int_equal(cpu->rip, 0x300000 + 16 * VECTOR_PF + 1);
    assert_int_equal(cpu->cr2, 0x1234);
    assert_int_equal(stack(f)[0], 2);
    assert_int_equal(stack(f)[1], RIG_CODE);
    soft_cpu_save(cpu, &f->again);
    assert_int_equal(f->again.exception_injected, 0);
}

static void the_payload_of_a_pending_exception_counts(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    soft_rig_enter_64(f->rig, 0);
    make_idt(f->rig);
    soft_cpu_save(cpu, &f->state);
    f->state.exception_pending = f->state.exception_has_payload = 1;
    f->state.exception_vector = VECTOR_DB;
    f->state.exception_payload = 0x4000;
    assert_true(soft_cpu_load(cpu, &f->state, NULL));
    soft_cpu_save(cpu, &f->again);
    assert_int_equal(f->again.dr6, 0xffff4ff0);
    assert_int_equal(f->again.exception_injected, 1);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    assert_int_equal(cpu->rip, 0x300000 + 16 * VECTOR_DB + 1);
    assert_int_equal(cpu->dr6, 0xffff4ff0);
    assert_int_equal(stack(f)[0], RIG_CODE);
    f->state.exception_vector = VECTOR_PF;
    f->state.exception_payload = 0x5678;
    assert_true(soft_cpu_load(cpu, &f->state, NULL));
    soft_cpu_save(cpu, &f->again);
    assert_int_equal(f->again.cr2, 0x5678);
}

static void a_debug_trap_waits_for_the_shadow_of_mov_ss(void **state)
{
    static const uint8_t code[] = { 0x8e, 0xd0, 0x90, 0x90, 0xf4 }; /* mov ss, eax; nop; nop; hlt */
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    soft_rig_enter_64(f->rig, 0);
    make_idt(f->rig);
    soft_rig_code(f->rig, code, sizeof(code));
    cpu->gpr[X86_RAX] = 0x10;
    cpu->dr[0] = RIG_GDT + 0x10;
    cpu->dr7 = 0x000f0402; /* reads of the descriptor */
    soft_tlb_flush(cpu);
    soft_update_mode(cpu);
    soft_cpu_limit(cpu, 1);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_KICKED);
    assert_int_equal(cpu->debug_pending, 1);
    soft_cpu_limit(cpu, 0);
    soft_cpu_save(cpu, &f->state);
    assert_int_equal(f->state.exception_pending, 1);
    assert_int_equal(f->state.exception_payload, 1);
    assert_int_equal(f->state.interrupt_shadow, SHADOW_MOV_SS);
    cpu->debug_pending = 0;
    soft_set_shadow(cpu, 0);
    assert_true(soft_cpu_load(cpu, &f->state, NULL));
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    assert_int_equal(cpu->rip, 0x300000 + 16 * VECTOR_DB + 1);
    assert_int_equal(stack(f)[0], RIG_CODE + 3);
    assert_int_equal(cpu->dr6, 0xffff0ff1);
}

static void an_injected_interrupt_and_nmi_are_delivered_first(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    soft_rig_enter_64(f->rig, 0);
    make_idt(f->rig);
    soft_cpu_save(cpu, &f->state);
    f->state.interrupt_injected = 1;
    f->state.interrupt_vector = 0x41;
    assert_true(soft_cpu_load(cpu, &f->state, NULL));
    soft_cpu_save(cpu, &f->again);
    assert_int_equal(f->again.interrupt_injected, 1);
    assert_int_equal(f->again.interrupt_vector, 0x41);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED); /* although IF is clear */
    assert_int_equal(cpu->rip, 0x300000 + 16 * 0x41 + 1);
    f->state.interrupt_injected = 0;
    f->state.nmi_injected = 1;
    f->state.run_state = X86_HALTED;
    assert_true(soft_cpu_load(cpu, &f->state, NULL));
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    assert_int_equal(cpu->rip, 0x300000 + 16 * 2 + 1);
    assert_true(cpu->nmi_masked);
}

static void a_software_interrupt_is_its_instructions(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_64(f->rig, 0);
    soft_cpu_save(f->rig->cpu, &f->state);
    f->state.interrupt_injected = f->state.interrupt_soft = 1;
    f->state.interrupt_vector = 0x80;
    assert_true(soft_cpu_load(f->rig->cpu, &f->state, NULL));
    assert_false(f->rig->cpu->event_waits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(power_on_is_what_x86cpu_says),
        TEST(a_reset_state_loads),
        TEST(init_leaves_what_the_manual_leaves),
        TEST(an_application_processor_waits_for_its_sipi),
        TEST(sixty_four_bit_mode_survives),
        TEST(user_mode_survives),
        TEST(real_and_protected_mode_survive),
        TEST(virtual_8086_mode_survives),
        TEST(vector_registers_survive),
        TEST(waiting_events_survive),
        TEST(pdptes_are_saved_and_come_from_memory_if_they_are_not),
        TEST(what_is_not_present_is_unusable),
        TEST(the_cpl_is_in_ss),
        TEST(a_larger_xsave_area_loads_if_the_rest_is_initial),
        TEST(an_injected_exception_is_delivered_first),
        TEST(the_payload_of_a_pending_exception_counts),
        TEST(a_debug_trap_waits_for_the_shadow_of_mov_ss),
        TEST(an_injected_interrupt_and_nmi_are_delivered_first),
        TEST(a_software_interrupt_is_its_instructions),
    };

    return cmocka_run_group_tests_name("soft-state", tests, NULL, NULL);
}
