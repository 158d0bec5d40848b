/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images of vector and x87 state: what the FXSAVE and XSAVE families and the x87 environment
 * instructions write and read, bit for bit against the host, and what must not get out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "vector-rig.h"
#include "vmm/x86/soft/fpu.h"
#include "vmm/x86/soft/vm.h"

#define AREA (NATIVE_DATA + 0x400)

typedef struct Pair {
    SoftRig *rig;
    uint64_t seed;
    VectorState before;
    unsigned fcs, fds; /* where in the area an environment has selectors; 0: nowhere */
} Pair;

static uint8_t *guest(Pair *p, uint64_t address)
{
    return p->rig->host + address;
}

/* A state with x87 pointers of the guest's own, and memory full of noise. */
static void randomize(Pair *p, unsigned kind)
{
    vector_fill(&p->seed, &p->before, kind);
    *fp_u64(p->before.xsave, FX_FIP) = vector_random(&p->seed) & 0x7fffffffffff;
    *fp_u64(p->before.xsave, FX_FDP) = vector_random(&p->seed) & 0x7fffffffffff;
    *fp_u16(p->before.xsave, FX_FOP) = vector_random(&p->seed) & 0x7ff;
    *fp_u64(p->before.xsave, XS_BV) = kind >> 2 & XFEATURES;
    p->before.gpr[X86_RBX] = AREA;
    p->before.gpr[X86_RAX] = kind >> 5 & XFEATURES;
    p->before.gpr[X86_RDX] = 0;
    for (unsigned i = 0; i < PAGE_SIZE; i += 8) {
        *fp_u64(guest(p, NATIVE_DATA), i) = vector_random(&p->seed);
    }
}

/* A host that keeps FCS and FDS saves those that it was given, where guests have zeroes. */
static void clear_selectors(const Pair *p)
{
    if (p->fcs && native_has_x87_selectors()) {
        *fp_u16((uint8_t *)AREA, p->fcs) = 0;
        *fp_u16((uint8_t *)AREA, p->fds) = 0;
    }
}

/* What differs, as text; NULL: nothing. */
static char *difference(Pair *p, const uint8_t *bytes, unsigned n)
{
    VectorState native, soft;
    const char *what;
    int vector;

    memcpy((void *)NATIVE_DATA, guest(p, NATIVE_DATA), PAGE_SIZE);
    vector = native_vector_run(bytes, n, &p->before, &native);
    if (vector < 0) {
        clear_selectors(p);
    }
    what = vector_difference(vector, &native, vector_run(p->rig, bytes, n, &p->before, &soft), &soft);
    if (what) {
        return g_strdup(what);
    }
    for (unsigned i = 0; i < PAGE_SIZE; i++) {
        uint8_t host = *(uint8_t *)(NATIVE_DATA + i), ours = *guest(p, NATIVE_DATA + i);

        if (host != ours) {
            return g_strdup_printf("byte %d of the area is %02x, not %02x", (int)i - 0x400, ours, host);
        }
    }
    return NULL;
}

/* Which components XSAVEOPT leaves out as initial is not the same for the host where the kernel switched threads in
 * between (SDM 1-13.6: XINUSE may be set or not): what differs is tried again. */
static void run_both(Pair *p, const uint8_t *bytes, unsigned n, const char *name)
{
    g_autofree uint8_t *page = g_memdup2(guest(p, NATIVE_DATA), PAGE_SIZE);
    g_autofree char *wrong = NULL;

    for (unsigned tries = 0; tries < 3; tries++) {
        memcpy(guest(p, NATIVE_DATA), page, PAGE_SIZE);
        g_free(wrong);
        wrong = difference(p, bytes, n);
        if (!wrong) {
            return;
        }
    }
    fail_msg("%s, features %u, in use %u: %s", name, (unsigned)p->before.gpr[X86_RAX], p->before.xsave[XS_BV], wrong);
}
#define RUN_BOTH(p, name, ...) \
    run_both(p, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), name)

/* ---- saving ---- */

static void test_saved_images_are_the_hosts(void **state)
{
    Pair p = { .rig = vector_rig_new(), .seed = 7 };

    for (unsigned kind = 0; kind < 256; kind++) {
        randomize(&p, kind);
        RUN_BOTH(&p, "fxsave", 0x0f, 0xae, 0x03);
        randomize(&p, kind);
        RUN_BOTH(&p, "fxsave64", 0x48, 0x0f, 0xae, 0x03);
        randomize(&p, kind);
        RUN_BOTH(&p, "xsave", 0x0f, 0xae, 0x23);
        randomize(&p, kind);
        RUN_BOTH(&p, "xsave64", 0x48, 0x0f, 0xae, 0x23);
        randomize(&p, kind);
        RUN_BOTH(&p, "xsaveopt", 0x0f, 0xae, 0x33);
        randomize(&p, kind);
        RUN_BOTH(&p, "xsaveopt64", 0x48, 0x0f, 0xae, 0x33);
        randomize(&p, kind);
        RUN_BOTH(&p, "xsavec", 0x0f, 0xc7, 0x23);
        randomize(&p, kind);
        RUN_BOTH(&p, "xsavec64", 0x48, 0x0f, 0xc7, 0x23);
    }
    vector_rig_free(p.rig);
}

static void test_environments_are_the_hosts(void **state)
{
    Pair p = { .rig = vector_rig_new(), .seed = 8 };

    for (unsigned kind = 0; kind < 64; kind++) {
        randomize(&p, kind);
        RUN_BOTH(&p, "fnstenv", 0xd9, 0x33);
        randomize(&p, kind);
        RUN_BOTH(&p, "fnstenv, 16 bits", 0x66, 0xd9, 0x33);
        randomize(&p, kind);
        RUN_BOTH(&p, "fnsave", 0xdd, 0x33);
        randomize(&p, kind);
        RUN_BOTH(&p, "fnsave, 16 bits", 0x66, 0xdd, 0x33);
    }
    vector_rig_free(p.rig);
}

static void test_environments_are_loaded_as_by_the_host(void **state)
{
    Pair p = { .rig = vector_rig_new(), .seed = 16 };

    for (unsigned kind = 0; kind < 64; kind++) {
        p.fcs = 0x40 + 16;
        p.fds = 0x40 + 24;
        randomize(&p, kind);
        RUN_BOTH(&p, "fldenv; fnstenv", 0xd9, 0x23, 0xd9, 0x73, 0x40);
        randomize(&p, kind);
        RUN_BOTH(&p, "fldenv, 16 bits; fnstenv", 0x66, 0xd9, 0x23, 0xd9, 0x73, 0x40);
        p.fcs = 0x100 + 16;
        p.fds = 0x100 + 24;
        randomize(&p, kind);
        RUN_BOTH(&p, "frstor; fnsave", 0xdd, 0x23, 0xdd, 0xb3, 0, 1, 0, 0);
        randomize(&p, kind);
        RUN_BOTH(&p, "frstor, 16 bits; fnsave", 0x66, 0xdd, 0x23, 0xdd, 0xb3, 0, 1, 0, 0);
    }
    vector_rig_free(p.rig);
}

/* ---- restoring ---- */

/* An image to restore: saved components, compacted or not, sometimes one that is refused. */
static void put_image(Pair *p, unsigned kind)
{
    uint64_t word = vector_random(&p->seed);
    VectorState image;

    vector_fill(&p->seed, &image, 0);
    *fp_u64(image.xsave, FX_FIP) = word & 0x7fffffffffff;
    *fp_u64(image.xsave, XS_BV) = word >> 48 & XFEATURES;
    if (kind & 1) {
        *fp_u64(image.xsave, XS_COMP_BV) = XCOMP_BV_COMPACT | XFEATURES;
    }
    if (kind % 16 == 2) {
        *fp_u32(image.xsave, FX_MXCSR) |= 0x10000;
    }
    if (kind % 16 == 4) {
        image.xsave[XS_COMP_BV + word % 16] ^= 1;
    }
    if (kind % 16 == 7) {
        image.xsave[XS_COMP_BV + word % 56] ^= 8;
    }
    memcpy(guest(p, AREA), image.xsave, XSAVE_BYTES);
}

static void test_images_are_restored_as_by_the_host(void **state)
{
    Pair p = { .rig = vector_rig_new(), .seed = 9 };

    for (unsigned kind = 0; kind < 1024; kind++) {
        randomize(&p, kind);
        put_image(&p, kind >> 3);
        RUN_BOTH(&p, "xrstor", 0x0f, 0xae, 0x2b);
        randomize(&p, kind);
        put_image(&p, kind >> 3);
        RUN_BOTH(&p, "xrstor64", 0x48, 0x0f, 0xae, 0x2b);
        randomize(&p, kind);
        put_image(&p, kind >> 3);
        RUN_BOTH(&p, "fxrstor", 0x0f, 0xae, 0x0b);
        randomize(&p, kind);
        put_image(&p, kind >> 3);
        RUN_BOTH(&p, "fxrstor64; fnstenv", 0x48, 0x0f, 0xae, 0x0b, 0xd9, 0xb3, 0, 2, 0, 0);
    }
    vector_rig_free(p.rig);
}

static void test_what_is_misaligned_is_refused(void **state)
{
    Pair p = { .rig = vector_rig_new(), .seed = 10 };

    randomize(&p, 0xff);
    p.before.gpr[X86_RBX] = AREA + 16;
    RUN_BOTH(&p, "fxsave at 16", 0x0f, 0xae, 0x03);
    RUN_BOTH(&p, "xsave at 16", 0x0f, 0xae, 0x23);
    RUN_BOTH(&p, "xrstor at 16", 0x0f, 0xae, 0x2b);
    p.before.gpr[X86_RBX] = AREA + 8;
    RUN_BOTH(&p, "fxsave at 8", 0x0f, 0xae, 0x03);
    RUN_BOTH(&p, "fxrstor at 8", 0x0f, 0xae, 0x0b);
    vector_rig_free(p.rig);
}

static void test_areas_that_end_beyond_memory_fault(void **state)
{
    Pair p = { .rig = vector_rig_new(), .seed = 11 };

    randomize(&p, 0xff);
    p.before.gpr[X86_RBX] = NATIVE_DATA + PAGE_SIZE - 576;
    RUN_BOTH(&p, "xsave of AVX", 0x0f, 0xae, 0x23);
    p.before.gpr[X86_RAX] = 3;
    RUN_BOTH(&p, "xsave without", 0x0f, 0xae, 0x23);
    p.before.gpr[X86_RBX] = NATIVE_DATA + PAGE_SIZE - 496;
    RUN_BOTH(&p, "fxsave", 0x0f, 0xae, 0x03);
    RUN_BOTH(&p, "fxrstor", 0x0f, 0xae, 0x0b);
    p.before.gpr[X86_RBX] = NATIVE_DATA + PAGE_SIZE - 27;
    RUN_BOTH(&p, "fnstenv", 0xd9, 0x33);
    vector_rig_free(p.rig);
}

/* ---- control registers ---- */

static void test_mxcsr_refuses_reserved_bits(void **state)
{
    Pair p = { .rig = vector_rig_new(), .seed = 12 };

    randomize(&p, 0xff);
    *fp_u32(guest(&p, AREA), 0) = 0x3f80;
    *fp_u32(guest(&p, AREA), 4) = 0x11f80;
    RUN_BOTH(&p, "ldmxcsr; stmxcsr", 0x0f, 0xae, 0x13, 0x0f, 0xae, 0x5b, 0x08);
    RUN_BOTH(&p, "vldmxcsr; vstmxcsr", 0xc5, 0xf8, 0xae, 0x13, 0xc5, 0xf8, 0xae, 0x5b, 0x0c);
    RUN_BOTH(&p, "ldmxcsr of 0x11f80", 0x0f, 0xae, 0x53, 0x04);
    vector_rig_free(p.rig);
}

static void test_xgetbv_tells_what_is_enabled_and_in_use(void **state)
{
    Pair p = { .rig = vector_rig_new(), .seed = 13 };
    VectorState after;
    const uint8_t xgetbv[] = { 0x0f, 0x01, 0xd0 };

    randomize(&p, 5 << 2);
    p.before.gpr[X86_RCX] = 0;
    assert_int_equal(vector_run(p.rig, xgetbv, sizeof(xgetbv), &p.before, &after), -1);
    assert_int_equal(after.gpr[X86_RAX], 7);
    assert_int_equal(after.gpr[X86_RDX], 0);
    p.before.gpr[X86_RCX] = 1;
    assert_int_equal(vector_run(p.rig, xgetbv, sizeof(xgetbv), &p.before, &after), -1);
    assert_int_equal(after.gpr[X86_RAX] & 5, 5);
    p.before.gpr[X86_RCX] = 2;
    assert_int_equal(vector_run(p.rig, xgetbv, sizeof(xgetbv), &p.before, &after), VECTOR_GP);
    p.rig->cpu->cr4 &= ~CR4_OSXSAVE;
    p.before.gpr[X86_RCX] = 0;
    assert_int_equal(vector_run(p.rig, xgetbv, sizeof(xgetbv), &p.before, &after), VECTOR_UD);
    vector_rig_free(p.rig);
}

static void test_ts_keeps_images_from_being_taken(void **state)
{
    static const uint8_t codes[][4] = {{0x0f, 0xae, 0x03, 0x90}, {0x0f, 0xae, 0x0b, 0x90}, {0x0f, 0xae, 0x23, 0x90},
                                       {0x0f, 0xae, 0x2b, 0x90}, {0xd9, 0x33, 0x90, 0x90}, {0xdd, 0x23, 0x90, 0x90},
                                       {0x0f, 0xae, 0x13, 0x90}, {0x9b, 0x90, 0x90, 0x90}};
    Pair p = { .rig = vector_rig_new(), .seed = 14 };
    VectorState after;

    randomize(&p, 0xff);
    p.rig->cpu->cr0 |= CR0_TS;
    for (unsigned i = 0; i < G_N_ELEMENTS(codes); i++) {
        assert_int_equal(vector_run(p.rig, codes[i], 4, &p.before, &after), VECTOR_NM);
    }
    vector_rig_free(p.rig);
}

/* ---- pointers ---- */

static void test_pointers(Pair *p, bool intel)
{
    /* fninit; fld1; fld qword [rbx]; fadd qword [rbx]; fnclex; emms; then every way to look */
    static const uint8_t code[] = {
        0xdb, 0xe3, 0xd9, 0xe8, 0xdd, 0x03, 0xdc, 0x03, 0xdb, 0xe2, 0x0f, 0x77,
        0x48, 0x0f, 0xae, 0x43, 0x40,             /* 12: fxsave64 [rbx + 0x40] */
        0x48, 0x0f, 0xae, 0xa3, 0, 4, 0, 0,       /* 17: xsave64 [rbx + 0x400] */
        0xd9, 0xd0, 0x66, 0xd9, 0x73, 0x20,       /* 25: fnop; fnstenv [rbx + 0x20], 16 bits */
        0xd9, 0xe8, 0xd9, 0x33,                   /* 31: fld1; fnstenv [rbx] */
    };
    static const uint8_t zeroes[10];
    VectorState after;

    p->rig->vm->intel = intel;
    randomize(p, 0xff);
    p->before.gpr[X86_RBX] = NATIVE_DATA;
    assert_int_equal(vector_run(p->rig, code, sizeof(code), &p->before, &after), -1);
    assert_int_equal(*fp_u64(guest(p, NATIVE_DATA + 0x40), FX_FIP), intel ? RIG_CODE + 6 : 0);
    assert_int_equal(*fp_u64(guest(p, NATIVE_DATA + 0x400), FX_FIP), intel ? RIG_CODE + 6 : 0);
    assert_memory_equal(guest(p, NATIVE_DATA + 0x40 + FX_FDP), zeroes, 8);
    assert_memory_equal(guest(p, NATIVE_DATA + 0x40 + FX_FOP), zeroes, 2);
    assert_int_equal(*fp_u16(guest(p, NATIVE_DATA + 0x20), 6), (RIG_CODE + 25) & 0xffff);
    assert_memory_equal(guest(p, NATIVE_DATA + 0x20 + 8), zeroes, 6);
    assert_int_equal(*fp_u32(guest(p, NATIVE_DATA), 12), RIG_CODE + 31);
    assert_memory_equal(guest(p, NATIVE_DATA + 16), zeroes, 10);
    assert_int_equal(*fp_u64(after.xsave, FX_FIP), RIG_CODE + 31);
    assert_memory_equal(after.xsave + FX_FDP, zeroes, 8);
}

static void test_pointers_are_the_guests_and_never_the_hosts(void **state)
{
    Pair p = { .rig = vector_rig_new(), .seed = 15 };

    test_pointers(&p, true);
    test_pointers(&p, false);
    vector_rig_free(p.rig);
}

/* fninit; fldcw [rbx + 0x3f0]; fld1; fdiv dword [rbx + 0x3f8]; then ways to look: an unmasked #Z is pending */
static void test_pointers_of_an_exception(Pair *p, bool intel)
{
    static const uint8_t code[] = { 0xdb, 0xe3, 0xd9, 0xab, 0xf0, 3, 0, 0, 0xd9, 0xe8, 0xd8, 0xb3, 0xf8, 3, 0, 0,
                                    0x48, 0x0f, 0xae, 0x43, 0x40,        /* 16: fxsave64 [rbx + 0x40] */
                                    0x48, 0x0f, 0xae, 0xa3, 0, 4, 0, 0,  /* 21: xsave64 [rbx + 0x400] */
                                    0xd9, 0x33,                          /* 29: fnstenv [rbx] */
                                    0xdb, 0xe3, 0xd9, 0x73, 0x20 };      /* 31: fninit; fnstenv [rbx + 0x20] */
    VectorState after;

    p->rig->vm->intel = intel;
    randomize(p, 0xff);
    p->before.gpr[X86_RBX] = NATIVE_DATA;
    *fp_u16(guest(p, NATIVE_DATA), 0x3f0) = 0x37b;
    *fp_u32(guest(p, NATIVE_DATA), 0x3f8) = 0;
    assert_int_equal(vector_run(p->rig, code, sizeof(code), &p->before, &after), -1);
    assert_int_equal(*fp_u64(guest(p, NATIVE_DATA + 0x40), FX_FIP), RIG_CODE + 10);
    assert_int_equal(*fp_u64(guest(p, NATIVE_DATA + 0x400), FX_FIP), RIG_CODE + 10);
    assert_int_equal(*fp_u32(guest(p, NATIVE_DATA), 12), RIG_CODE + 10);
    assert_int_equal(*fp_u32(guest(p, NATIVE_DATA + 0x20), 12), 0);
    assert_int_equal(*fp_u64(after.xsave, FX_FIP), 0);
}

static void test_pointers_of_a_pending_exception_are_saved(void **state)
{
    Pair p = { .rig = vector_rig_new(), .seed = 17 };

    test_pointers_of_an_exception(&p, true);
    test_pointers_of_an_exception(&p, false);
    vector_rig_free(p.rig);
}

static void test_pointers_are_of_the_instruction_that_is_reported(void **state)
{
    /* fninit; fldcw [rbx]; fld1; fdiv dword [rbx + 8]; fld1, which raises #MF */
    static const uint8_t code[] = { 0xdb, 0xe3, 0xd9, 0x2b, 0xd9, 0xe8, 0xd8, 0x73, 0x08, 0xd9, 0xe8 };
    Pair p = { .rig = vector_rig_new(), .seed = 18 };
    VectorState after;

    randomize(&p, 0xff);
    *fp_u16(guest(&p, AREA), 0) = 0x37b;
    *fp_u32(guest(&p, AREA), 8) = 0;
    assert_int_equal(vector_run(p.rig, code, sizeof(code), &p.before, &after), VECTOR_MF);
    assert_int_equal(*fp_u64(after.xsave, FX_FIP), RIG_CODE + 6);
    vector_rig_free(p.rig);
}

static void test_pointers_outlive_a_switch_of_threads(void **state)
{
    /* fldenv [rbx]; hlt; fnstenv [rbx + 0x40]; hlt */
    static const uint8_t code[] = { 0xd9, 0x23, 0xf4, 0xd9, 0x73, 0x40, 0xf4 };
    static const uint32_t env[] = { 0xffff037f, 0xffff0000, 0xffffffff, 0x12345678,
                                    0x05a50000, 0x789abcde, 0xffff0000 };
    SoftRig *rig = soft_rig_new();

    soft_rig_enter_64(rig, 0);
    soft_rig_code(rig, code, sizeof(code));
    memcpy(rig->host + RIG_DATA, env, sizeof(env));
    rig->cpu->gpr[X86_RBX] = RIG_DATA;
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_HALTED);
    soft_fp_leave(rig->cpu);
    rig->cpu->halted = false;
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_HALTED);
    assert_memory_equal(rig->host + RIG_DATA + 0x40, env, sizeof(env));
    soft_rig_free(rig);
}

static void test_real_mode_has_linear_pointers(void **state)
{
    /* fldenv [bx]; fnstenv [bx + 0x20]; o32 fnstenv [bx + 0x40]; o32 fldenv [bx + 0x40]; fnstenv [bx + 0x60]; hlt */
    static const uint8_t code[] = {0xd9, 0x27, 0xd9, 0x77, 0x20, 0x66, 0xd9, 0x77, 0x40,
                                   0x66, 0xd9, 0x67, 0x40, 0xd9, 0x77, 0x60, 0xf4};
    static const uint16_t env[] = { 0x37f, 0x0100, 0xffff, 0x2345, 0x1000 | 0x5a5, 0x789a, 0x6000 };
    SoftRig *rig = soft_rig_new();
    const uint32_t *wide = (const uint32_t *)(rig->host + 0x2040);

    soft_rig_enter_16(rig);
    soft_rig_code(rig, code, sizeof(code));
    memcpy(rig->host + 0x2000, env, sizeof(env));
    rig->cpu->gpr[X86_RBX] = 0x2000;
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_HALTED);
    assert_memory_equal(rig->host + 0x2020, env, sizeof(env));
    assert_memory_equal(rig->host + 0x2060, env, sizeof(env));
    assert_int_equal(wide[3] & 0xffff, 0x2345);
    assert_int_equal(wide[4], 0x15a5);
    assert_int_equal(wide[5] & 0xffff, 0x789a);
    assert_int_equal(wide[6], 0x6000);
    soft_rig_free(rig);
}

static void test_32_bit_code_leaves_the_upper_registers_alone(void **state)
{
    /* fxsave [ebx]; fxrstor [ebx + 0x400]; hlt */
    static const uint8_t code[] = { 0x0f, 0xae, 0x03, 0x0f, 0xae, 0x8b, 0, 4, 0, 0, 0xf4 };
    SoftRig *rig = soft_rig_new();
    uint8_t *image = soft_fp_image(rig->cpu), *memory = rig->host + RIG_DATA;

    soft_rig_enter_32(rig);
    soft_rig_code(rig, code, sizeof(code));
    memset(image + FX_XMM, 0x11, 256);
    memset(memory, 0x22, 0x600);
    *fp_u32(memory, 0x400 + FX_MXCSR) = MXCSR_INIT;
    rig->cpu->gpr[X86_RBX] = RIG_DATA;
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_HALTED);
    assert_int_equal(memory[FX_XMM + 8 * 16 - 1], 0x11);
    assert_int_equal(memory[FX_XMM + 8 * 16], 0x22);
    image = soft_fp_image(rig->cpu);
    assert_int_equal(image[FX_XMM + 8 * 16 - 1], 0x22);
    assert_int_equal(image[FX_XMM + 8 * 16], 0x11);
    soft_rig_free(rig);
}

static void test_states_that_the_host_would_refuse_are_not_valid(void **state)
{
    SoftRig *rig = soft_rig_new();
    _Alignas(64) uint8_t image[XSAVE_BYTES] = { 0 };

    assert_true(soft_fp_valid(rig->vm, image));
    *fp_u32(image, FX_MXCSR) = 0x10000;
    assert_false(soft_fp_valid(rig->vm, image));
    *fp_u32(image, FX_MXCSR) = MXCSR_INIT;
    image[XS_BV] = 8;
    assert_false(soft_fp_valid(rig->vm, image));
    image[XS_BV] = 7;
    image[XS_COMP_BV + 7] = 0x80;
    assert_false(soft_fp_valid(rig->vm, image));
    soft_rig_free(rig);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_saved_images_are_the_hosts),
        cmocka_unit_test(test_environments_are_the_hosts),
        cmocka_unit_test(test_environments_are_loaded_as_by_the_host),
        cmocka_unit_test(test_images_are_restored_as_by_the_host),
        cmocka_unit_test(test_what_is_misaligned_is_refused),
        cmocka_unit_test(test_areas_that_end_beyond_memory_fault),
        cmocka_unit_test(test_mxcsr_refuses_reserved_bits),
        cmocka_unit_test(test_xgetbv_tells_what_is_enabled_and_in_use),
        cmocka_unit_test(test_ts_keeps_images_from_being_taken),
        cmocka_unit_test(test_pointers_are_the_guests_and_never_the_hosts),
        cmocka_unit_test(test_pointers_of_a_pending_exception_are_saved),
        cmocka_unit_test(test_pointers_are_of_the_instruction_that_is_reported),
        cmocka_unit_test(test_pointers_outlive_a_switch_of_threads),
        cmocka_unit_test(test_real_mode_has_linear_pointers),
        cmocka_unit_test(test_32_bit_code_leaves_the_upper_registers_alone),
        cmocka_unit_test(test_states_that_the_host_would_refuse_are_not_valid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
