/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that run natively in stubs, in a guest and on the host side by side: x87, MMX,
 * SSE, AVX, BMI and their like, in every operand form, with operands at the end of a page,
 * misaligned, across pages, with exceptions masked and not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "vector-rig.h"
#include "vmm/x86/soft/fpu.h"
#include "vmm/x86/soft/stub.h"
#include "vmm/x86/soft/vm.h"

typedef struct Bench {
    SoftRig *rig;
    ZydisDecoder decoder;
    uint64_t seed, runs;
} Bench;

/* Zen 3 takes misaligned operands of the SHA instructions, and of no others; guests have #GP, SDM 2A-2.4. */
static bool may_be_misaligned(const ZydisDecodedInstruction *z)
{
    return z->meta.isa_set == ZYDIS_ISA_SET_SHA;
}

static void compare(Bench *b, const ZydisDecodedInstruction *z, const uint8_t *bytes, const VectorState *state,
                    const uint8_t *data, bool misaligned)
{
    VectorState native, guest;
    uint8_t *host_data = (uint8_t *)NATIVE_DATA, *guest_data = b->rig->host + NATIVE_DATA;
    int native_vector, vector;
    const char *what;

    memcpy(host_data, data, PAGE_SIZE);
    memcpy(guest_data, data, PAGE_SIZE);
    native_vector = native_vector_run(bytes, z->length, state, &native);
    vector = vector_run(b->rig, bytes, z->length, state, &guest);
    if (misaligned && may_be_misaligned(z) && vector == VECTOR_GP && native_vector != VECTOR_GP) {
        return;
    }
    what = vector_difference(native_vector, &native, vector, &guest);
    /* The host writes a part before a fault of FSTP m80; a guest has nothing written then. */
    if (!what && memcmp(vector < 0 ? host_data : data, guest_data, PAGE_SIZE)) {
        what = "memory";
    }
    if (what) {
        g_autoptr(GString) hex = g_string_new(NULL);

        for (unsigned i = 0; i < z->length; i++) {
            g_string_append_printf(hex, "%02x", bytes[i]);
        }
        fail_msg("%s, %s: host and guest differ in %s (vectors %d and %d)", ZydisMnemonicGetString(z->mnemonic),
                 hex->str, what, native_vector, vector);
    }
    b->runs++;
}

/* ---- which ---- */

/* Integer instructions of old have handlers, and tests, of their own. */
static bool is_tested(const Bench *b, const ZydisDecodedInstruction *z)
{
    bool nothing;

    switch (z->meta.isa_set) {
    case ZYDIS_ISA_SET_I86:
    case ZYDIS_ISA_SET_I186:
    case ZYDIS_ISA_SET_I386:
    case ZYDIS_ISA_SET_I486:
    case ZYDIS_ISA_SET_I486REAL:
    case ZYDIS_ISA_SET_PENTIUMREAL:
    case ZYDIS_ISA_SET_PPRO:
    case ZYDIS_ISA_SET_CMOV:
    case ZYDIS_ISA_SET_LONGMODE:
    case ZYDIS_ISA_SET_RDRAND:
    case ZYDIS_ISA_SET_RDSEED:
    case ZYDIS_ISA_SET_AVX2GATHER:
        return false;
    default:
        return soft_stub_allowed(z, b->rig->cpu->mode, &nothing) && !nothing &&
               b->rig->vm->isa[z->meta.isa_set / 64] >> (z->meta.isa_set % 64) & 1;
    }
}

static const ZydisDecodedOperand *memory_operand(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o)
{
    for (unsigned i = 0; i < z->operand_count; i++) {
        if (o[i].type == ZYDIS_OPERAND_TYPE_MEMORY) {
            return &o[i];
        }
    }
    return NULL;
}

/* Where the operand is: within the page, misaligned, up to its end, a byte beyond. */
static uint64_t place(const ZydisDecodedOperand *memory, unsigned kind)
{
    unsigned size = memory->size / 8;

    return NATIVE_DATA + (kind == 3 ? 1025 : kind == 4 ? PAGE_SIZE - size : kind == 5 ? PAGE_SIZE - size + 1 : 1024);
}

static void test_one(Bench *b, const uint8_t *bytes, unsigned n)
{
    ZydisDecodedInstruction z;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
    const ZydisDecodedOperand *memory;
    uint8_t data[PAGE_SIZE];

    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&b->decoder, bytes, n, &z, o)) || !is_tested(b, &z)) {
        return;
    }
    memory = memory_operand(&z, o);
    for (unsigned kind = 0; kind < (memory ? 6 : 4); kind++) {
        VectorState state;

        /* An unmasked exception keeps an x87 store from memory, so it does not fault; that is not modelled. */
        vector_fill(&b->seed, &state, kind == 5 ? 0 : kind);
        for (unsigned i = 0; i < PAGE_SIZE; i += 16) {
            vector_fill_register(&b->seed, data + i);
        }
        if (memory) {
            state.gpr[ZydisRegisterGetId(memory->mem.base)] = place(memory, kind);
        }
        compare(b, &z, bytes, &state, data, memory && place(memory, kind) & 15);
    }
}

/* Registers of every number; memory [rbx], [r11], [rdx] and what REX or VEX makes of them. */
static const uint8_t modrm[] = { 0xc0, 0xc1, 0xca, 0xd3, 0xdc, 0xe5, 0xee, 0xf7, 0xfb, 0xf8,
                                 0x03, 0x0a, 0x13, 0x1a, 0x23, 0x2b, 0x32, 0x3b };

static void test_legacy(Bench *b, unsigned map)
{
    static const uint8_t prefixes[] = { 0, 0x66, 0xf3, 0xf2 }, rex[] = { 0, 0x48, 0x45 };

    for (unsigned i = 0; i < 256 * 4 * 3; i++) {
        for (unsigned k = 0; k < G_N_ELEMENTS(modrm); k++) {
            uint8_t bytes[16] = { 0 };
            unsigned n = 0, prefix = i >> 8 & 3, r = i >> 10;

            bytes[n] = prefixes[prefix];
            n += prefix != 0;
            bytes[n] = rex[r];
            n += r != 0;
            bytes[n++] = 0x0f;
            bytes[n] = map == 2 ? 0x38 : 0x3a;
            n += map > 1;
            bytes[n++] = i & 0xff;
            bytes[n++] = modrm[k];
            bytes[n++] = vector_random(&b->seed) & 0xff;
            test_one(b, bytes, n);
        }
    }
}

static void test_vex(Bench *b, unsigned map)
{
    for (unsigned i = 0; i < 256 * 16 * 2; i++) {
        for (unsigned k = 0; k < G_N_ELEMENTS(modrm); k++) {
            unsigned wlpp = i >> 8 & 15, rxb = i >> 12 ? 2 : 7, vvvv = vector_random(&b->seed) & 1 ? 15 : i % 15;
            const uint8_t bytes[] = {0xc4,     rxb << 5 | map, (wlpp >> 3) << 7 | vvvv << 3 | (wlpp & 7),
                                     i & 0xff, modrm[k],       vector_random(&b->seed) & 0xff};

            test_one(b, bytes, sizeof(bytes));
        }
    }
}

static Bench new_bench(void)
{
    Bench b = { .rig = vector_rig_new(), .seed = 0x1234567 };
    const uint8_t nop = 0x90;
    VectorState state = { .xsave = { 0 } };

    *fp_u32(state.xsave, FX_MXCSR) = MXCSR_INIT;
    ZydisDecoderInit(&b.decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    vector_run(b.rig, &nop, 1, &state, &state); /* decodes once, so what the guest has is known */
    return b;
}

static void test_sse_and_mmx(void **state)
{
    Bench b = new_bench();

    test_legacy(&b, 1);
    test_legacy(&b, 2);
    test_legacy(&b, 3);
    assert_true(b.runs > 50000);
    vector_rig_free(b.rig);
}

static void test_avx_and_bmi(void **state)
{
    Bench b = new_bench();

    test_vex(&b, 1);
    test_vex(&b, 2);
    test_vex(&b, 3);
    assert_true(b.runs > 50000);
    vector_rig_free(b.rig);
}

static void test_x87(void **state)
{
    Bench b = new_bench();

    for (unsigned i = 0; i < 8 * 256 * 4; i++) {
        const uint8_t bytes[] = { 0xd8 + (i >> 8 & 7), i & 0xff };

        test_one(&b, bytes, (i & 0xc7) < 0x40 && (i & 7) != 4 && (i & 7) != 5 ? 2 : (i & 0xc0) == 0xc0 ? 2 : 0);
    }
    assert_true(b.runs > 10000);
    vector_rig_free(b.rig);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sse_and_mmx),
        cmocka_unit_test(test_avx_and_bmi),
        cmocka_unit_test(test_x87),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
