/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System management mode: SMI, the save area, RSM, what waits meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "soft-rig.h"
#include "vmm/epoch.h"
#include "vmm/x86/soft/system.h"

#define SMRAM      UINT64_C(0x30000) /* where it starts, and SMBASE after power-on */
#define SMRAM_SIZE UINT64_C(0x40000)

typedef struct Fixture {
    SoftRig *rig;
    MemoryRegion root, all, smram;
    AddressSpace *space;
    RamBlock *block;
    uint8_t *host;  /* of SMRAM */
    X86Cpu before, after;
} Fixture;

static int setup(void **state)
{
    const RamBacking backing = { .kind = RAM_ANONYMOUS };
    Fixture *f = g_new0(Fixture, 1);
    X86Cpuid cpuid[X86_CPUID_MAX];
    const SoftHooks *hooks;

    f->rig = soft_rig_new();
    f->block = ram_block_new("smram", SMRAM_SIZE, &backing, NULL);
    f->host = ram_block_host(f->block);
    memory_region_init(&f->root, "smm", UINT64_MAX);
    memory_region_init_alias(&f->all, "all", &f->rig->root, 0, UINT64_MAX);
    memory_region_init_ram(&f->smram, "smram", f->block, 0, SMRAM_SIZE);
    memory_add(&f->root, 0, &f->all, 0);
    memory_add(&f->root, SMRAM, &f->smram, 1);
    f->space = address_space_new("smm", &f->root, false);
    hooks = f->rig->cpu->hooks;
    soft_cpu_free(f->rig->cpu);
    soft_vm_set_smm(f->rig->vm, f->space);
    f->rig->cpu = soft_cpu_new(f->rig->vm, hooks, f->rig, NULL);
    soft_cpu_set_cpuid(f->rig->cpu, cpuid, soft_supported_cpuid(cpuid, X86_CPUID_MAX));
    soft_cpu_begin(f->rig->cpu);
    soft_vm_set_deterministic(f->rig->vm, 1);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    soft_cpu_free(f->rig->cpu);
    f->rig->cpu = NULL;
    soft_vm_free(f->rig->vm);
    f->rig->vm = NULL;
    memory_remove(&f->all);
    memory_remove(&f->smram);
    address_space_free(f->space);
    epoch_synchronize();
    memory_region_finish(&f->all);
    memory_region_finish(&f->smram);
    memory_region_finish(&f->root);
    ram_block_unref(f->block);
    soft_rig_free(f->rig);
    g_free(f);
    return 0;
}

/* The handler, at SMBASE + 0x8000. */
static void handler(Fixture *f, uint32_t smbase, const void *code, unsigned n)
{
    memcpy(f->host + (smbase - SMRAM) + 0x8000, code, n);
    soft_code_written(f->rig->vm, NULL, f->host + (smbase - SMRAM) + 0x8000, n);
}
#define HANDLER(f, smbase, ...) \
    handler(f, smbase, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static const uint8_t nops[] = { 0x90, 0x90, 0x90, 0x90, 0xf4 };

static void enter_64(Fixture *f)
{
    soft_rig_enter_64(f->rig, 0);
    soft_rig_code(f->rig, nops, sizeof(nops));
    for (unsigned i = 0; i < X86_GPRS; i++) {
        f->rig->cpu->gpr[i] = UINT64_C(0x1111111111111111) * i;
    }
    f->rig->cpu->segment[X86_FS].base = UINT64_C(0xffff888000001000);
    f->rig->cpu->segment[X86_GS] = (X86Segment) { 0, X86_SEG_UNUSABLE, 0, 0x7f0000001000 };
    f->rig->cpu->dr[0] = 0x1234;
    soft_set_rflags(f->rig->cpu, 0x202 | EFLAGS_CF | EFLAGS_OF);
}

static uint64_t area(const Fixture *f, unsigned at, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, f->host + at, size);
    return value;
}

/* ---- in ---- */
static void an_smi_enters_the_handler_with_the_state_of_the_manual(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    enter_64(f);
    cpu->dr7 = 0x401;
    HANDLER(f, SMRAM, 0xf4);
    soft_signal(cpu, SOFT_SMI);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    assert_true(cpu->in_smm);
    assert_true(cpu->nmi_masked);
    assert_int_equal(cpu->rip, 0x8001);
    assert_int_equal(cpu->cr0, CR0_MP | CR0_ET | CR0_NE | CR0_WP);
    assert_int_equal(cpu->cr4, 0);
    assert_int_equal(cpu->efer, 0);
    assert_int_equal(cpu->dr7, 0x400);
    assert_int_equal(soft_get_rflags(cpu), 2);
    assert_int_equal(cpu->segment[X86_CS].selector, 0x3000);
    assert_int_equal(cpu->segment[X86_CS].base, 0x30000);
    assert_int_equal(cpu->segment[X86_DS].base, 0);
    assert_int_equal(cpu->segment[X86_DS].limit, UINT32_MAX);
    assert_int_equal(cpu->smi_count, 1);
}

static void the_save_area_has_amds_layout(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    enter_64(f);
    HANDLER(f, SMRAM, 0xf4);
    soft_signal(cpu, SOFT_SMI);
    soft_run(cpu);
    assert_int_equal(area(f, 0xfefc, 4), 0x20064);
    assert_int_equal(area(f, 0xff00, 4), 0x30000);
    assert_int_equal(area(f, 0xff78, 8), RIG_CODE);
    assert_int_equal(area(f, 0xff70, 8), 0xa03);
    assert_int_equal(area(f, 0xff58, 8), 0x80010033);
    assert_int_equal(area(f, 0xff50, 8), RIG_PML4);
    assert_int_equal(area(f, 0xfed0, 8), EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE);
    assert_int_equal(area(f, 0xfff8, 8), 0);                          /* RAX */
    assert_int_equal(area(f, 0xfff0, 8), UINT64_C(0x1111111111111111)); /* RCX */
    assert_int_equal(area(f, 0xff80, 8), UINT64_MAX);                 /* R15 */
    assert_int_equal(area(f, 0xfe10, 2), 8);                          /* CS: selector, attributes, limit, base */
    assert_int_equal(area(f, 0xfe12, 2), 0xa09b);
    assert_int_equal(area(f, 0xfe14, 4), UINT32_MAX);
    assert_int_equal(area(f, 0xfe48, 8), UINT64_C(0xffff888000001000)); /* FS base */
    assert_int_equal(area(f, 0xfe64, 4), cpu->gdt.limit);
    assert_int_equal(area(f, 0xfe68, 8), RIG_GDT);
}

static void the_save_area_is_seen_in_smm_only(void **state)
{
    Fixture *f = *state;

    enter_64(f);
    memset(f->rig->host + SMRAM, 0x77, 0x10000);
    HANDLER(f, SMRAM, 0x0f, 0xaa); /* rsm */
    soft_signal(f->rig->cpu, SOFT_SMI);
    assert_int_equal(soft_run(f->rig->cpu), SOFT_EXIT_HALTED);
    assert_int_equal(f->rig->host[SMRAM + 0xff00], 0x77);
    assert_int_equal(f->host[0xff02], 3);
}

/* ---- out ---- */
static void assert_same(Fixture *f)
{
    X86Cpu *a = &f->before, *b = &f->after;

    /* Time has passed, and SMIs are counted. */
    assert_true(x86_cpu_set_msr(a, 0x10, 0) && x86_cpu_set_msr(b, 0x10, 0));
    assert_true(x86_cpu_set_msr(a, 0x34, 0) && x86_cpu_set_msr(b, 0x34, 0));
    assert_memory_equal(a->gpr, b->gpr, sizeof(a->gpr));
    assert_memory_equal(a, b, sizeof(*a));
}

/* SMI, RSM, and stops before the next instruction. */
static void round_trip(Fixture *f)
{
    SoftCpu *cpu = f->rig->cpu;

    soft_cpu_save(cpu, &f->before);
    soft_signal(cpu, SOFT_SMI);
    soft_cpu_limit(cpu, 1); /* RSM */
    assert_int_equal(soft_run(cpu), SOFT_EXIT_KICKED);
    soft_cpu_limit(cpu, 0);
    soft_cpu_save(cpu, &f->after);
    assert_int_equal(cpu->smi_count, 1);
    assert_false(cpu->in_smm);
}

static void rsm_restores_64_bit_mode(void **state)
{
    Fixture *f = *state;

    enter_64(f);
    HANDLER(f, SMRAM, 0x0f, 0xaa);
    round_trip(f);
    assert_same(f);
    assert_int_equal(soft_run(f->rig->cpu), SOFT_EXIT_HALTED);
    assert_int_equal(f->rig->cpu->rip, RIG_CODE + 5);
}

static void rsm_restores_cpl_3(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_64(f->rig, 3);
    HANDLER(f, SMRAM, 0x0f, 0xaa);
    round_trip(f);
    assert_int_equal(f->rig->cpu->cpl, 3);
    assert_same(f);
}

static void rsm_restores_real_mode(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    HANDLER(f, SMRAM, 0x0f, 0xaa);
    round_trip(f);
    assert_same(f);
}

static void rsm_restores_virtual_8086_mode(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    soft_rig_enter_32(f->rig);
    for (unsigned s = 0; s < X86_SEGMENTS; s++) {
        cpu->segment[s] = (X86Segment) { 0x100, 0xf3, 0xffff, 0x1000 };
    }
    cpu->cpl = 3;
    cpu->rip = 0x10;
    soft_set_rflags(cpu, EFLAGS_FIXED | EFLAGS_VM | EFLAGS_IF);
    HANDLER(f, SMRAM, 0x0f, 0xaa);
    round_trip(f);
    assert_same(f);
}

static void rsm_reloads_the_pointers_of_pae_paging(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;
    uint64_t pointer = (RIG_PML4 + 0x2000) | 1;

    soft_rig_enter_64(f->rig, 0); /* for its page directory */
    soft_rig_enter_32(f->rig);
    cpu->efer = 0;
    cpu->cr3 = RIG_DATA;
    memset(f->rig->host + RIG_DATA, 0, 32);
    memcpy(f->rig->host + RIG_DATA, &pointer, 8);
    cpu->pdptr[0] = pointer;
    cpu->cr4 |= CR4_PAE;
    cpu->cr0 |= CR0_PG;
    soft_tlb_flush(cpu);
    soft_update_mode(cpu);
    HANDLER(f, SMRAM, 0x0f, 0xaa);
    round_trip(f);
    assert_same(f);
    f->rig->host[RIG_DATA] = 3; /* reserved */
    soft_signal(cpu, SOFT_SMI);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_TRIPLE_FAULT);
}

static void without_long_mode_the_area_is_the_p6s(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;
    X86Cpuid list[X86_CPUID_MAX];

    memcpy(list, cpu->cpuid, sizeof(list));
    for (unsigned i = 0; i < cpu->cpuids; i++) {
        list[i].edx &= list[i].leaf == 0x80000001 ? ~(1u << 29) : UINT32_MAX;
    }
    soft_cpu_set_cpuid(cpu, list, cpu->cpuids);
    soft_rig_enter_32(f->rig);
    cpu->gpr[X86_RAX] = 0x12345678;
    cpu->gpr[X86_RDI] = 0x87654321;
    cpu->ldt = (X86Segment) { 0x48, 0x82, 0x1ff, 0x123000 };
    cpu->tr = (X86Segment) { 0x40, 0x8b, 0x67, 0x124000 };
    HANDLER(f, SMRAM, 0x0f, 0xaa);
    round_trip(f);
    assert_same(f);
    assert_int_equal(area(f, 0xfefc, 4), 0x20000);
    assert_int_equal(area(f, 0xfef8, 4), 0x30000);
    assert_int_equal(area(f, 0xfff0, 4), RIG_CODE);
    assert_int_equal(area(f, 0xfff4, 4), 2);
    assert_int_equal(area(f, 0xffd0, 4), 0x12345678);
    assert_int_equal(area(f, 0xffec, 4), 0x87654321);
    assert_int_equal(area(f, 0xffac, 4), 0x18);      /* CS */
    assert_int_equal(area(f, 0xff90, 4), 0xc09b00);
    assert_int_equal(area(f, 0xffc4, 4), 0x40);      /* TR */
    assert_int_equal(area(f, 0xff64, 4), 0x124000);
    assert_int_equal(area(f, 0xff80, 4), 0x123000);  /* LDTR's base */
    assert_int_equal(area(f, 0xff74, 4), RIG_GDT);
}

static void the_handler_moves_smbase(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    enter_64(f);
    /* mov dword ptr cs:[0xff00], 0x40000; rsm */
    HANDLER(f, SMRAM, 0x2e, 0x66, 0xc7, 0x06, 0x00, 0xff, 0x00, 0x00, 0x04, 0x00, 0x0f, 0xaa);
    soft_signal(cpu, SOFT_SMI);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    assert_int_equal(cpu->smbase, 0x40000);
    HANDLER(f, 0x40000, 0xf4);
    soft_signal(cpu, SOFT_SMI);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    assert_true(cpu->in_smm);
    assert_int_equal(cpu->segment[X86_CS].base, 0x40000);
    assert_int_equal(cpu->segment[X86_CS].selector, 0x4000);
    assert_int_equal(area(f, 0x10000 + 0xff00, 4), 0x40000);
}

static void the_handler_changes_what_is_returned_to(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    enter_64(f);
    /* mov dword ptr cs:[0xfff8], 0x55aa; rsm */
    HANDLER(f, SMRAM, 0x2e, 0x66, 0xc7, 0x06, 0xf8, 0xff, 0xaa, 0x55, 0x00, 0x00, 0x0f, 0xaa);
    soft_signal(cpu, SOFT_SMI);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    assert_int_equal(cpu->gpr[X86_RAX], 0x55aa);
}

static void the_handler_turns_long_mode_off(void **state)
{
    Fixture *f = *state;

    enter_64(f);
    f->rig->cpu->segment[X86_CS].attributes = 0xc09b;
    soft_update_mode(f->rig->cpu);
    /* mov dword ptr cs:[0xff58], 0x31 (no paging); rsm.  EFER in the area still says LMA. */
    HANDLER(f, SMRAM, 0x2e, 0x66, 0xc7, 0x06, 0x58, 0xff, 0x31, 0x00, 0x00, 0x00, 0x0f, 0xaa);
    soft_signal(f->rig->cpu, SOFT_SMI);
    assert_int_equal(soft_run(f->rig->cpu), SOFT_EXIT_HALTED);
    assert_int_equal(f->rig->cpu->rip, RIG_CODE + 5);
    assert_int_equal(f->rig->cpu->efer, EFER_SCE | EFER_LME | EFER_NXE);
}

static void translations_from_outside_do_not_count_inside(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    soft_rig_enter_16(f->rig);
    cpu->segment[X86_DS].limit = UINT32_MAX;
    memcpy(f->rig->host + 0x10000, "\x67\x8a\x18\x90\xf4", 5); /* mov bl, [eax]; nop; hlt */
    soft_code_written(f->rig->vm, NULL, f->rig->host + 0x10000, 5);
    cpu->gpr[X86_RAX] = 0x3f000;
    f->rig->host[0x3f000] = 0x77;
    f->host[0xf000] = 0x99;
    soft_cpu_limit(cpu, 1);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_KICKED);
    assert_int_equal(cpu->gpr[X86_RBX], 0x77);
    soft_cpu_limit(cpu, 0);
    HANDLER(f, SMRAM, 0x67, 0x8a, 0x18, 0xf4);
    soft_signal(cpu, SOFT_SMI);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    assert_true(cpu->in_smm);
    assert_int_equal(cpu->gpr[X86_RBX], 0x99);
}

static void a_state_that_cannot_be_shuts_down(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    enter_64(f);
    /* mov dword ptr cs:[0xff58], 0x80000000 (PG without PE); rsm */
    HANDLER(f, SMRAM, 0x2e, 0x66, 0xc7, 0x06, 0x58, 0xff, 0x00, 0x00, 0x00, 0x80, 0x0f, 0xaa);
    soft_signal(cpu, SOFT_SMI);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_TRIPLE_FAULT);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_TRIPLE_FAULT);
}

static void a_base_that_is_not_canonical_shuts_down(void **state)
{
    Fixture *f = *state;

    enter_64(f);
    /* mov dword ptr cs:[0xfe4c], 0x00010000 (upper half of FS' base); rsm */
    HANDLER(f, SMRAM, 0x2e, 0x66, 0xc7, 0x06, 0x4c, 0xfe, 0x00, 0x00, 0x01, 0x00, 0x0f, 0xaa);
    soft_signal(f->rig->cpu, SOFT_SMI);
    assert_int_equal(soft_run(f->rig->cpu), SOFT_EXIT_TRIPLE_FAULT);
}

/* ---- what waits ---- */
static void a_halted_cpu_halts_again(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    enter_64(f);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    HANDLER(f, SMRAM, 0x0f, 0xaa);
    soft_signal(cpu, SOFT_SMI);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    assert_int_equal(cpu->rip, RIG_CODE + 5);
    assert_int_equal(cpu->smi_count, 1);
}

static void the_handler_may_end_the_halt(void **state)
{
    static const uint8_t code[] = { 0xf4, 0xb0, 0x77, 0xf4 }; /* hlt; mov al, 0x77; hlt */
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    enter_64(f);
    soft_rig_code(f->rig, code, sizeof(code));
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    /* mov byte ptr cs:[0xfec9], 0; rsm */
    HANDLER(f, SMRAM, 0x2e, 0xc6, 0x06, 0xc9, 0xfe, 0x00, 0x0f, 0xaa);
    soft_signal(cpu, SOFT_SMI);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    assert_int_equal(cpu->gpr[X86_RAX] & 0xff, 0x77);
    assert_int_equal(cpu->rip, RIG_CODE + 4);
}

static void nmi_and_smi_wait_for_rsm(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    enter_64(f);
    HANDLER(f, SMRAM, 0xf4, 0x0f, 0xaa);
    soft_signal(cpu, SOFT_SMI);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    soft_signal(cpu, SOFT_NMI | SOFT_SMI | SOFT_INIT);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED); /* none of them ends it */
    assert_true(cpu->in_smm);
    assert_int_equal(cpu->rip, 0x8001);
    assert_int_equal(f->rig->inits, 0);
    assert_int_equal(cpu->pending & (SOFT_NMI | SOFT_SMI | SOFT_INIT), SOFT_NMI | SOFT_SMI | SOFT_INIT);
}

static void init_is_taken_after_rsm(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    enter_64(f);
    HANDLER(f, SMRAM, 0x90, 0x0f, 0xaa);
    soft_signal(cpu, SOFT_SMI);
    soft_cpu_limit(cpu, 1);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_KICKED);
    assert_true(cpu->in_smm);
    soft_signal(cpu, SOFT_INIT);
    soft_cpu_limit(cpu, 1);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_KICKED);
    assert_false(cpu->in_smm);
    assert_int_equal(f->rig->inits, 0);
    soft_cpu_limit(cpu, 1);
    soft_run(cpu);
    assert_int_equal(f->rig->inits, 1);
}

static void nmi_stays_masked_if_it_was(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    enter_64(f);
    cpu->nmi_masked = true;
    HANDLER(f, SMRAM, 0x0f, 0xaa);
    round_trip(f);
    assert_true(cpu->nmi_masked);
    cpu->nmi_masked = false;
    cpu->smi_count = 0;
    round_trip(f);
    assert_false(cpu->nmi_masked);
}

static void a_state_saved_inside_goes_on_inside(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;

    enter_64(f);
    HANDLER(f, SMRAM, 0x90, 0x0f, 0xaa);
    soft_signal(cpu, SOFT_SMI);
    soft_cpu_limit(cpu, 1);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_KICKED);
    soft_cpu_save(cpu, &f->before);
    assert_int_equal(f->before.smm, 1);
    enter_64(f);
    cpu->in_smm = false;
    assert_true(soft_cpu_load(cpu, &f->before, NULL));
    assert_true(cpu->in_smm);
    soft_cpu_limit(cpu, 0);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_HALTED);
    assert_int_equal(cpu->rip, RIG_CODE + 5);
}

static void smbase_is_read_inside_only(void **state)
{
    Fixture *f = *state;
    SoftCpu *cpu = f->rig->cpu;
    uint64_t value = 0;

    soft_outside_end(cpu);
    assert_false(soft_msr_read(cpu, 0x9e, &value));
    cpu->in_smm = true;
    assert_true(soft_msr_read(cpu, 0x9e, &value));
    assert_int_equal(value, 0x30000);
    assert_false(soft_msr_write(cpu, 0x9e, 0x30000));
    cpu->in_smm = false;
    soft_outside_begin(cpu);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_smi_enters_the_handler_with_the_state_of_the_manual),
        TEST(the_save_area_has_amds_layout),
        TEST(the_save_area_is_seen_in_smm_only),
        TEST(rsm_restores_64_bit_mode),
        TEST(rsm_restores_cpl_3),
        TEST(rsm_restores_real_mode),
        TEST(rsm_restores_virtual_8086_mode),
        TEST(rsm_reloads_the_pointers_of_pae_paging),
        TEST(without_long_mode_the_area_is_the_p6s),
        TEST(the_handler_moves_smbase),
        TEST(the_handler_changes_what_is_returned_to),
        TEST(the_handler_turns_long_mode_off),
        TEST(translations_from_outside_do_not_count_inside),
        TEST(a_state_that_cannot_be_shuts_down),
        TEST(a_base_that_is_not_canonical_shuts_down),
        TEST(a_halted_cpu_halts_again),
        TEST(the_handler_may_end_the_halt),
        TEST(nmi_and_smi_wait_for_rsm),
        TEST(init_is_taken_after_rsm),
        TEST(nmi_stays_masked_if_it_was),
        TEST(a_state_saved_inside_goes_on_inside),
        TEST(smbase_is_read_inside_only),
    };

    return cmocka_run_group_tests_name("soft-smm", tests, NULL, NULL);
}
