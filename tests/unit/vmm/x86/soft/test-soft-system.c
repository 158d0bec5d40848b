/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System instructions: who may execute them, what they refuse, and what they do.
 */
#include "system-rig.h"

/* ---- privilege ---- */
typedef struct Encoding {
    const char *name;
    uint8_t n, bytes[6];
} Encoding;

static const Encoding privileged[] = {
    { "mov rax, cr0", 3, { 0x0f, 0x20, 0xc0 } },      { "mov cr0, rax", 3, { 0x0f, 0x22, 0xc0 } },
    { "mov rax, cr2", 3, { 0x0f, 0x20, 0xd0 } },      { "mov cr2, rax", 3, { 0x0f, 0x22, 0xd0 } },
    { "mov rax, cr3", 3, { 0x0f, 0x20, 0xd8 } },      { "mov cr3, rax", 3, { 0x0f, 0x22, 0xd8 } },
    { "mov rax, cr4", 3, { 0x0f, 0x20, 0xe0 } },      { "mov cr4, rax", 3, { 0x0f, 0x22, 0xe0 } },
    { "mov rax, dr0", 3, { 0x0f, 0x21, 0xc0 } },      { "mov dr7, rax", 3, { 0x0f, 0x23, 0xf8 } },
    { "clts", 2, { 0x0f, 0x06 } },                    { "lmsw ax", 3, { 0x0f, 0x01, 0xf0 } },
    { "lgdt [rax]", 3, { 0x0f, 0x01, 0x10 } },        { "lidt [rax]", 3, { 0x0f, 0x01, 0x18 } },
    { "invlpg [rax]", 3, { 0x0f, 0x01, 0x38 } },      { "invd", 2, { 0x0f, 0x08 } },
    { "wbinvd", 2, { 0x0f, 0x09 } },                  { "rdmsr", 2, { 0x0f, 0x32 } },
    { "wrmsr", 2, { 0x0f, 0x30 } },                   { "rdpmc", 2, { 0x0f, 0x33 } },
    { "hlt", 1, { 0xf4 } },                           { "invpcid rax, [rax]", 5, { 0x66, 0x0f, 0x38, 0x82, 0x00 } },
    { "xsetbv", 3, { 0x0f, 0x01, 0xd1 } },
};

static const Encoding privileged_64[] = {
    { "mov rax, cr8", 4, { 0x44, 0x0f, 0x20, 0xc0 } }, { "mov cr8, rax", 4, { 0x44, 0x0f, 0x22, 0xc0 } },
};

static void assert_privileged(SoftRig *rig, const Encoding *e)
{
    SoftExit exit;

    soft_rig_enter_64(rig, 3);
    rig->cpu->RAX = RIG_DATA;
    exit = run(rig, e->bytes, e->n);
    if (exit != SOFT_EXIT_EXCEPTION || soft_cpu_exception(rig->cpu)->vector != VECTOR_GP) {
        fail_msg("%s is allowed at CPL 3", e->name);
    }
    assert_fault(rig, exit, VECTOR_GP);
}

static void privileged_instructions_fault_at_cpl_3(void **state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(privileged); i++) {
        assert_privileged(*state, &privileged[i]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(privileged_64); i++) {
        assert_privileged(*state, &privileged_64[i]);
    }
}

static void privileged_instructions_fault_at_cpl_1(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->cpl = 1;
    soft_update_mode(rig->cpu);
    assert_fault(rig, RUN(rig, 0x0f, 0x06), VECTOR_GP);
}

static void privileged_instructions_fault_in_virtual_8086_mode(void **state)
{
    SoftRig *rig = *state;
    SoftCpu *cpu = rig->cpu;

    for (unsigned i = 0; i < G_N_ELEMENTS(privileged); i++) {
        SoftExit exit;

        soft_rig_enter_32(rig);
        for (unsigned s = 0; s < X86_SEGMENTS; s++) {
            cpu->segment[s] = (X86Segment) { 0, 0xf3, 0xffff, 0 };
        }
        cpu->cpl = 3;
        cpu->segment[X86_CS] = (X86Segment) { RIG_CODE >> 4 & 0xffff, 0xf3, 0xffff, RIG_CODE };
        cpu->rip = 0;
        soft_set_rflags(cpu, EFLAGS_FIXED | EFLAGS_VM | 3 << EFLAGS_IOPL_SHIFT);
        cpu->cr4 |= CR4_OSXSAVE;
        cpu->halted = false;
        memcpy(rig->host + RIG_CODE, privileged[i].bytes, privileged[i].n);
        soft_code_written(rig->vm, NULL, rig->host + RIG_CODE, 16);
        exit = soft_rig_run(rig);
        if (exit != SOFT_EXIT_EXCEPTION || soft_cpu_exception(cpu)->vector != VECTOR_GP || cpu->rip) {
            fail_msg("%s: exit %d, exception %u, at %#" G_GINT64_MODIFIER "x", privileged[i].name, exit,
                     soft_cpu_exception(cpu)->vector, cpu->rip);
        }
    }
}

/* ---- debug registers ---- */
static void dr4_and_dr5_depend_on_debugging_extensions(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->RBX = rig->cpu->RCX = 0;
    assert_int_equal(RUN(rig, 0x0f, 0x21, 0xe3, 0x0f, 0x21, 0xe9), SOFT_EXIT_HALTED); /* rbx, dr4; rcx, dr5 */
    assert_int_equal(rig->cpu->RBX, 0xffff0ff0);
    assert_int_equal(rig->cpu->RCX, 0x400);
    soft_rig_enter_64(rig, 0);
    rig->cpu->cr4 |= CR4_DE;
    assert_fault(rig, RUN(rig, 0x0f, 0x21, 0xe3), VECTOR_UD);
    soft_rig_enter_64(rig, 0);
    rig->cpu->cr4 |= CR4_DE;
    assert_fault(rig, RUN(rig, 0x0f, 0x23, 0xe8), VECTOR_UD);
}

static void debug_registers_keep_their_fixed_bits(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = 0xffffffff;
    rig->cpu->RBX = UINT64_C(0xffff) << 48 | 0x1234;
    /* mov dr6, rax; mov dr1, rbx */
    assert_int_equal(RUN(rig, 0x0f, 0x23, 0xf0, 0x0f, 0x23, 0xcb), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->dr6, 0xffffefff);
    assert_int_equal(rig->cpu->dr[1], UINT64_C(0xffff) << 48 | 0x1234);
    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = 0xd800; /* only what is fixed */
    assert_int_equal(RUN(rig, 0x0f, 0x23, 0xf8), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->dr7, 0x400);
    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = UINT64_C(1) << 32;
    assert_fault(rig, RUN(rig, 0x0f, 0x23, 0xf8), VECTOR_GP);
}

static void general_detect_stops_any_access(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->dr7 = DR7_FIXED | DR7_GD;
    rig->cpu->RAX = 1;
    assert_fault(rig, RUN(rig, 0x0f, 0x23, 0xc0), VECTOR_DB);
    assert_int_equal(rig->cpu->event.dr6, DR6_BD);
    assert_int_equal(rig->cpu->dr[0], 0);
}

static void data_breakpoints_are_armed_at_once(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = RIG_DATA;
    rig->cpu->RBX = 0x000f0402; /* reads and writes of four bytes, global */
    rig->cpu->dr[0] = RIG_DATA;
    /* mov cl, [rax]; mov dr7, rbx; mov cl, [rax]; nop */
    assert_int_equal(RUN(rig, 0x8a, 0x08, 0x0f, 0x23, 0xfb, 0x8a, 0x08, 0x90), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_DB);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 7);
}

/* ---- descriptor table registers ---- */
static void lgdt_and_sgdt_move_ten_bytes(void **state)
{
    SoftRig *rig = *state;
    uint8_t *data = rig->host + RIG_DATA;

    soft_rig_enter_64(rig, 0);
    memset(data, 0xaa, 64);
    memcpy(data, "\x34\x12\x00\x00\x05\x00\xff\xff\xff\xff", 10);
    rig->cpu->RAX = RIG_DATA;
    rig->cpu->RBX = RIG_DATA + 32;
    assert_int_equal(RUN(rig, 0x0f, 0x01, 0x18, 0x0f, 0x01, 0x0b), SOFT_EXIT_HALTED); /* lidt [rax]; sidt [rbx] */
    assert_int_equal(rig->cpu->idt.limit, 0x1234);
    assert_int_equal(rig->cpu->idt.base, 0xffffffff00050000);
    assert_memory_equal(data + 32, data, 10);
    assert_int_equal(data[42], 0xaa);
}

static void lgdt_refuses_a_base_that_is_not_canonical(void **state)
{
    SoftRig *rig = *state;
    X86Table before;

    soft_rig_enter_64(rig, 0);
    before = rig->cpu->gdt;
    memcpy(rig->host + RIG_DATA, "\x34\x12\x00\x00\x05\x00\x00\x00\x80\x00", 10);
    rig->cpu->RAX = RIG_DATA;
    assert_fault(rig, RUN(rig, 0x0f, 0x01, 0x10), VECTOR_GP);
    assert_int_equal(rig->cpu->gdt.limit, before.limit);
}

static void lgdt_with_16_bit_operands_loads_24_bits_of_base(void **state)
{
    SoftRig *rig = *state;
    uint8_t *data = rig->host + RIG_DATA;

    soft_rig_enter_32(rig);
    memcpy(data, "\x34\x12\x78\x56\x34\x12", 6);
    memset(data + 32, 0xaa, 16);
    rig->cpu->RAX = RIG_DATA;
    rig->cpu->RBX = RIG_DATA + 32;
    assert_int_equal(RUN(rig, 0x66, 0x0f, 0x01, 0x10), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->gdt.base, 0x345678);
    soft_rig_enter_32(rig);
    rig->cpu->gdt.base = 0x12345678;
    rig->cpu->gdt.limit = 0x1234;
    assert_int_equal(RUN(rig, 0x66, 0x0f, 0x01, 0x03), SOFT_EXIT_HALTED); /* sgdt [ebx] */
    assert_memory_equal(data + 32, "\x34\x12\x78\x56\x34\x12\xaa", 7);
}

static void sgdt_changes_nothing_where_it_faults(void **state)
{
    SoftRig *rig = *state;
    uint64_t none = 0;

    soft_rig_enter_64(rig, 0);
    memcpy(rig->host + RIG_PML4 + 0x2000 + 8, &none, 8); /* the second 2 MiB are not mapped */
    memset(rig->host + 0x1ffff0, 0x55, 16);
    rig->cpu->RAX = 0x1ffffc;
    assert_int_equal(RUN(rig, 0x0f, 0x01, 0x00), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_PF);
    assert_int_equal(soft_cpu_exception(rig->cpu)->address, 0x200000);
    assert_int_equal(rig->host[0x1ffffc], 0x55);
}

static void umip_hides_tables_from_programs(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 3);
    rig->cpu->cr4 |= CR4_UMIP;
    rig->cpu->RAX = RIG_DATA;
    assert_fault(rig, RUN(rig, 0x0f, 0x01, 0x00), VECTOR_GP);
    soft_rig_enter_64(rig, 3);
    rig->cpu->cr4 |= CR4_UMIP;
    assert_fault(rig, RUN(rig, 0x0f, 0x01, 0xe0), VECTOR_GP); /* smsw */
    soft_rig_enter_64(rig, 3);
    rig->cpu->RAX = RIG_DATA;
    assert_int_equal(RUN(rig, 0x0f, 0x01, 0x00, 0xcc), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_BP);
    assert_int_equal(*(uint16_t *)(rig->host + RIG_DATA), rig->cpu->gdt.limit);
}

/* ---- TLB ---- */
static void invlpg_makes_a_new_mapping_seen(void **state)
{
    SoftRig *rig = *state;
    uint64_t *pd;

    soft_rig_enter_64(rig, 0);
    pd = (uint64_t *)(rig->host + RIG_PML4 + 0x2000);
    rig->host[0x400000] = 1;
    rig->host[0x600000] = 2;
    rig->cpu->RAX = 0x400000;
    rig->cpu->RDX = RIG_PML4 + 0x2000 + 16; /* the entry of 0x400000 */
    rig->cpu->gpr[X86_RSI] = pd[3];
    /* mov bl, [rax]; mov [rdx], rsi; invlpg [rax]; mov cl, [rax] */
    assert_int_equal(RUN(rig, 0x8a, 0x18, 0x48, 0x89, 0x32, 0x0f, 0x01, 0x38, 0x8a, 0x08), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->RBX & 0xff, 1);
    assert_int_equal(rig->cpu->RCX & 0xff, 2);
}

static void invlpg_of_no_canonical_address_does_nothing(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = UINT64_C(1) << 47;
    assert_int_equal(RUN(rig, 0x0f, 0x01, 0x38), SOFT_EXIT_HALTED);
}

static SoftExit invpcid(SoftRig *rig, uint64_t type, uint64_t pcid, uint64_t linear, uint64_t cr4)
{
    soft_rig_enter_64(rig, 0);
    rig->cpu->cr4 |= cr4;
    memcpy(rig->host + RIG_DATA, &pcid, 8);
    memcpy(rig->host + RIG_DATA + 8, &linear, 8);
    rig->cpu->RAX = RIG_DATA;
    rig->cpu->RBX = type;
    return RUN(rig, 0x66, 0x0f, 0x38, 0x82, 0x18);
}

static void invpcid_checks_type_and_descriptor(void **state)
{
    SoftRig *rig = *state;

    assert_fault(rig, invpcid(rig, 4, 0, 0, 0), VECTOR_GP);
    assert_fault(rig, invpcid(rig, UINT64_C(1) << 32, 0, 0, 0), VECTOR_GP);
    assert_fault(rig, invpcid(rig, 2, 0x1000, 0, CR4_PCIDE), VECTOR_GP);
    assert_fault(rig, invpcid(rig, 1, 5, 0, 0), VECTOR_GP);
    assert_fault(rig, invpcid(rig, 0, 0, UINT64_C(1) << 47, 0), VECTOR_GP);
    assert_int_equal(invpcid(rig, 0, 5, 0x400000, CR4_PCIDE), SOFT_EXIT_HALTED);
    assert_int_equal(invpcid(rig, 1, 5, UINT64_C(1) << 47, CR4_PCIDE), SOFT_EXIT_HALTED);
    assert_int_equal(invpcid(rig, 2, 0, 0, 0), SOFT_EXIT_HALTED);
    assert_int_equal(invpcid(rig, 3, 0, 0, 0), SOFT_EXIT_HALTED);
}

/* ---- CPUID and time ---- */
static void cpuid_follows_osxsave_and_xcr0(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = 1;
    assert_int_equal(RUN(rig, 0x0f, 0xa2), SOFT_EXIT_HALTED);
    assert_true(rig->cpu->RCX & 1 << 27);
    soft_rig_enter_64(rig, 0);
    rig->cpu->cr4 &= ~CR4_OSXSAVE;
    rig->cpu->RAX = 1;
    assert_int_equal(RUN(rig, 0x0f, 0xa2), SOFT_EXIT_HALTED);
    assert_false(rig->cpu->RCX & 1 << 27);
    soft_rig_enter_64(rig, 0);
    rig->cpu->xcr0 = 3;
    rig->cpu->RAX = 0xd;
    rig->cpu->RCX = 0;
    assert_int_equal(RUN(rig, 0x0f, 0xa2), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->RBX, 576);
}

static void cpuid_clears_the_upper_halves(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = UINT64_MAX << 32;
    rig->cpu->RBX = rig->cpu->RCX = rig->cpu->RDX = UINT64_MAX;
    assert_int_equal(RUN(rig, 0x0f, 0xa2), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->RAX, 0xd);
    assert_int_equal(rig->cpu->RBX >> 32 | rig->cpu->RCX >> 32 | rig->cpu->RDX >> 32, 0);
}

static void cpuid_faults_for_programs_when_told_to(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 3);
    rig->cpu->misc_features = 1;
    assert_fault(rig, RUN(rig, 0x0f, 0xa2), VECTOR_GP);
    soft_rig_enter_64(rig, 0);
    assert_int_equal(RUN(rig, 0x0f, 0xa2), SOFT_EXIT_HALTED);
}

static void tsd_keeps_programs_from_the_tsc(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 3);
    rig->cpu->cr4 |= CR4_TSD;
    assert_fault(rig, RUN(rig, 0x0f, 0x31), VECTOR_GP);
    soft_rig_enter_64(rig, 3);
    rig->cpu->cr4 |= CR4_TSD;
    assert_fault(rig, RUN(rig, 0x0f, 0x01, 0xf9), VECTOR_GP);
    soft_rig_enter_64(rig, 0);
    rig->cpu->cr4 |= CR4_TSD;
    assert_int_equal(RUN(rig, 0x0f, 0x31), SOFT_EXIT_HALTED);
}

static void rdtscp_and_rdpid_tell_tsc_aux(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->tsc_aux = 0x12345678;
    rig->cpu->RCX = rig->cpu->RBX = UINT64_MAX;
    assert_int_equal(RUN(rig, 0x0f, 0x01, 0xf9, 0xf3, 0x0f, 0xc7, 0xfb), SOFT_EXIT_HALTED); /* rdtscp; rdpid rbx */
    assert_int_equal(rig->cpu->RCX, 0x12345678);
    assert_int_equal(rig->cpu->RBX, 0x12345678);
}

static void time_in_deterministic_mode_counts_instructions(void **state)
{
    SoftRig *rig = *state;
    uint64_t first;

    soft_vm_set_deterministic(rig->vm, 10);
    soft_rig_enter_64(rig, 0);
    /* rdtsc; mov rbx, rax; nop; nop; rdtsc; nop */
    assert_int_equal(RUN(rig, 0x0f, 0x31, 0x48, 0x89, 0xc3, 0x90, 0x90, 0x0f, 0x31, 0x90), SOFT_EXIT_HALTED);
    first = rig->cpu->RBX;
    assert_int_equal(rig->cpu->RAX - first, 40); /* mov, nop, nop, rdtsc */
}

/* ---- the rest ---- */
static void hlt_stops_behind_itself(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    assert_int_equal(RUN(rig, 0x90, 0xf4, 0x90), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 2);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_HALTED); /* nothing came */
    assert_int_equal(rig->cpu->rip, RIG_CODE + 2);
}

static void hypercalls_are_kvms(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = 5;
    assert_int_equal(RUN(rig, 0x0f, 0x01, 0xc1), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->RAX, (uint64_t)-1000);
    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = 5;
    assert_int_equal(RUN(rig, 0x0f, 0x01, 0xd9), SOFT_EXIT_HALTED); /* vmmcall */
    assert_int_equal(rig->cpu->RAX, (uint64_t)-1000);
}

static void hypercalls_are_undefined_without_kvms_signature(void **state)
{
    SoftRig *rig = *state;

    clear_cpuid(rig, 0x40000000, 0, UINT32_MAX, UINT32_MAX, UINT32_MAX);
    soft_rig_enter_64(rig, 0);
    assert_fault(rig, RUN(rig, 0x0f, 0x01, 0xc1), VECTOR_UD);
}

static void what_is_not_there_is_undefined(void **state)
{
    static const Encoding absent[] = {
        { "monitor", 3, { 0x0f, 0x01, 0xc8 } }, { "mwait", 3, { 0x0f, 0x01, 0xc9 } },
        { "vmxoff", 3, { 0x0f, 0x01, 0xc4 } },  { "vmrun", 3, { 0x0f, 0x01, 0xd8 } },
        { "getsec", 2, { 0x0f, 0x37 } },        { "encls", 3, { 0x0f, 0x01, 0xcf } },
        { "xbegin", 6, { 0xc7, 0xf8, 0, 0, 0, 0 } }, { "rsm", 2, { 0x0f, 0xaa } },
        { "mov cr1", 3, { 0x0f, 0x22, 0xc8 } }, { "mov cr5", 3, { 0x0f, 0x22, 0xe8 } },
        { "rdpkru", 3, { 0x0f, 0x01, 0xee } },  { "xsaves [rax]", 3, { 0x0f, 0xc7, 0x28 } },
        { "umonitor", 4, { 0xf3, 0x0f, 0xae, 0xf0 } }, { "clzero", 3, { 0x0f, 0x01, 0xfc } },
    };
    SoftRig *rig = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(absent); i++) {
        SoftExit exit;

        soft_rig_enter_64(rig, 0);
        rig->cpu->RAX = RIG_DATA;
        exit = run(rig, absent[i].bytes, absent[i].n);
        if (exit != SOFT_EXIT_EXCEPTION || soft_cpu_exception(rig->cpu)->vector != VECTOR_UD) {
            fail_msg("%s: exit %d, exception %u", absent[i].name, exit, soft_cpu_exception(rig->cpu)->vector);
        }
    }
}

static void clflush_faults_like_a_load(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = RIG_DATA;
    assert_int_equal(RUN(rig, 0x0f, 0xae, 0x38, 0x66, 0x0f, 0xae, 0x38, 0x66, 0x0f, 0xae, 0x30), SOFT_EXIT_HALTED);
    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = RIG_RAM;
    assert_fault(rig, RUN(rig, 0x0f, 0xae, 0x38), VECTOR_PF);
    assert_int_equal(soft_cpu_exception(rig->cpu)->address, RIG_RAM);
}

static void fences_and_cache_control_pass(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    /* mfence; lfence; sfence; serialize; wbinvd; wbnoinvd; invd */
    assert_int_equal(RUN(rig, 0x0f, 0xae, 0xf0, 0x0f, 0xae, 0xe8, 0x0f, 0xae, 0xf8, 0x0f, 0x01, 0xe8, 0x0f, 0x09, 0xf3,
                         0x0f, 0x09, 0x0f, 0x08), SOFT_EXIT_HALTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(privileged_instructions_fault_at_cpl_3),
        TEST(privileged_instructions_fault_at_cpl_1),
        TEST(privileged_instructions_fault_in_virtual_8086_mode),
        TEST(dr4_and_dr5_depend_on_debugging_extensions),
        TEST(debug_registers_keep_their_fixed_bits),
        TEST(general_detect_stops_any_access),
        TEST(data_breakpoints_are_armed_at_once),
        TEST(lgdt_and_sgdt_move_ten_bytes),
        TEST(lgdt_refuses_a_base_that_is_not_canonical),
        TEST(lgdt_with_16_bit_operands_loads_24_bits_of_base),
        TEST(sgdt_changes_nothing_where_it_faults),
        TEST(umip_hides_tables_from_programs),
        TEST(invlpg_makes_a_new_mapping_seen),
        TEST(invlpg_of_no_canonical_address_does_nothing),
        TEST(invpcid_checks_type_and_descriptor),
        TEST(cpuid_follows_osxsave_and_xcr0),
        TEST(cpuid_clears_the_upper_halves),
        TEST(cpuid_faults_for_programs_when_told_to),
        TEST(tsd_keeps_programs_from_the_tsc),
        TEST(rdtscp_and_rdpid_tell_tsc_aux),
        TEST(time_in_deterministic_mode_counts_instructions),
        TEST(hlt_stops_behind_itself),
        TEST(hypercalls_are_kvms),
        TEST(hypercalls_are_undefined_without_kvms_signature),
        TEST(what_is_not_there_is_undefined),
        TEST(clflush_faults_like_a_load),
        TEST(fences_and_cache_control_pass),
    };

    return cmocka_run_group_tests_name("soft-system", tests, NULL, NULL);
}
