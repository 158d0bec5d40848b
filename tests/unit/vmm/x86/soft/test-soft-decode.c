/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From bytes to ops: where blocks end, what is undefined in which mode, how operands are
 * packed, and which flags are dropped.
 */
#include "soft-rig.h"

#include <stdarg.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/x86/soft/decode-int.h"

typedef struct Fixture {
    SoftRig *rig;
    SoftDecode d;
} Fixture;

#define MODE_64   (MODE_CODE64 | MODE_PROTECTED | MODE_FLAT | MODE_CS_FLAT)
#define MODE_32   (MODE_CODE32 | MODE_STACK32 | MODE_PROTECTED | MODE_FLAT | MODE_CS_FLAT)
#define MODE_REAL (MODE_CODE16)

static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->rig = soft_rig_new();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    soft_rig_free(f->rig);
    g_free(f);
    return 0;
}

static const SoftDecode *decode_at(void **state, uint32_t mode, unsigned offset, const void *bytes, unsigned n)
{
    Fixture *f = *state;

    f->d = (SoftDecode){ .cpu = f->rig->cpu, .bytes = bytes, .available = n, .mode = mode, .page_offset = offset };
    soft_decode(&f->d);
    return &f->d;
}
#define DECODE(mode, ...) \
    decode_at(state, mode, 0, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
#define DECODE_AT(mode, offset, ...) \
    decode_at(state, mode, offset, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static bool raises(const SoftDecode *d, unsigned vector)
{
    return d->count == 1 && d->op[0].fn == soft_op_raise && d->op[0].imm == vector;
}
#define assert_undefined(...) assert_true(raises(DECODE(__VA_ARGS__), VECTOR_UD))
#define assert_defined(...)   assert_false(raises(DECODE(__VA_ARGS__), VECTOR_UD))
#define REGISTER(n)           ((n) * 8)

/* ---- where blocks end ---- */

static void test_a_block_ends_with_a_branch(void **state)
{
    /* NOT EAX; JMP next; NOT EAX */
    const SoftDecode *d = DECODE(MODE_64, 0xf7, 0xd0, 0xeb, 0x00, 0xf7, 0xd0);

    assert_int_equal(d->count, 2);
    assert_int_equal(d->length, 4);
    assert_int_equal(d->n, 2);
    assert_ptr_equal(d->op[1].fn, branch_jmp_near);
    assert_int_equal(d->op[1].imm, 4);
}

static void test_a_block_ends_with_the_page(void **state)
{
    const SoftDecode *d = DECODE_AT(MODE_64, 0xffc, 0xf7, 0xd0, 0xf7, 0xd0);

    assert_int_equal(d->count, 2);
    assert_int_equal(d->length, 4);
    assert_ptr_equal(d->op[2].fn, soft_op_goto);
    assert_int_equal(d->op[2].imm, 4);
    assert_int_equal(d->op[2].ip, 4);
}

static void test_a_block_has_64_instructions_at_most(void **state)
{
    uint8_t bytes[256];
    const SoftDecode *d;

    for (unsigned i = 0; i < sizeof(bytes); i += 2) {
        memcpy(bytes + i, "\xf7\xd0", 2);
    }
    d = decode_at(state, MODE_64, 0, bytes, sizeof(bytes));
    assert_int_equal(d->count, BLOCK_INSTRUCTIONS);
    assert_int_equal(d->n, BLOCK_INSTRUCTIONS + 1);
    assert_int_equal(d->op[BLOCK_INSTRUCTIONS].imm, 2 * BLOCK_INSTRUCTIONS);
}

static void test_a_block_of_a_single_step_is_one_instruction(void **state)
{
    const SoftDecode *d = DECODE(MODE_64 | MODE_SINGLE, 0xf7, 0xd0, 0xf7, 0xd0);

    assert_int_equal(d->count, 1);
    assert_int_equal(d->length, 2);
    assert_int_equal(d->n, 2);
}

static void test_an_instruction_that_crosses_is_left_to_its_own_block(void **state)
{
    /* NOT EAX; MOV EAX, imm32 without its last byte */
    const SoftDecode *d = DECODE_AT(MODE_64, 0xffa, 0xf7, 0xd0, 0xb8, 1, 2, 3);

    assert_int_equal(d->count, 1);
    assert_int_equal(d->length, 2);
    d = DECODE_AT(MODE_64, 0xffc, 0xb8, 1, 2, 3);
    assert_true(d->crosses);
    assert_int_equal(d->n, 0);
}

static void test_a_crossing_instruction_is_a_block(void **state)
{
    Fixture *f = *state;
    const uint8_t bytes[15] = { 0xb8, 1, 2, 3, 4, 0xf7, 0xd0 };

    f->d = (SoftDecode){ .cpu = f->rig->cpu, .bytes = bytes, .available = 15, .crossing = true, .mode = MODE_64,
                         .page_offset = 0xffd };
    assert_true(soft_decode(&f->d));
    assert_int_equal(f->d.count, 1);
    assert_int_equal(f->d.length, 5);
    assert_int_equal(f->d.op[0].imm, 0x04030201);
    assert_ptr_equal(f->d.op[1].fn, soft_op_goto);
}

static void test_more_than_15_bytes_raise_a_general_protection_fault(void **state)
{
    const SoftDecode *d = DECODE(MODE_64, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
                                 0x66, 0x66, 0x90);

    assert_true(raises(d, VECTOR_GP));
    assert_int_equal(d->length, 15);
}

static void test_instructions_before_an_undefined_one_come_first(void **state)
{
    const SoftDecode *d = DECODE(MODE_64, 0xf7, 0xd0, 0x0f, 0x0b);

    assert_int_equal(d->count, 2);
    assert_ptr_equal(d->op[1].fn, soft_op_raise);
    assert_int_equal(d->op[1].ip, 2);
    assert_int_equal(d->length, 4);
}

static void test_what_changes_the_mode_ends_a_block(void **state)
{
    assert_int_equal(DECODE(MODE_64, 0x0f, 0x22, 0xd8, 0xf7, 0xd0)->count, 1); /* MOV CR3, RAX */
    assert_int_equal(DECODE(MODE_64, 0x0f, 0x05, 0xf7, 0xd0)->count, 1);       /* SYSCALL */
    assert_int_equal(DECODE(MODE_64, 0xf4, 0xf7, 0xd0)->count, 1);             /* HLT */
    assert_int_equal(DECODE(MODE_64, 0x8e, 0xd8, 0xf7, 0xd0)->count, 1);       /* MOV DS, EAX */
    assert_int_equal(DECODE(MODE_64, 0xec, 0xf7, 0xd0)->count, 1);             /* IN AL, DX */
}

static void test_lone_nops_have_no_op(void **state)
{
    const SoftDecode *d = DECODE(MODE_64, 0xf7, 0xd0, 0x90, 0xf7, 0xd0, 0x90, 0x0f, 0x1f, 0x00, 0xeb, 0);

    assert_int_equal(d->count, 6);
    assert_int_equal(d->n, 4);
    assert_int_equal(d->op[1].ip, 3);
    assert_int_equal(d->op[2].ip, 6); /* one after another */
    assert_int_equal(d->op[3].ip, 9);
}

/* ---- what is undefined ---- */

static void test_lock_wants_a_memory_destination(void **state)
{
    assert_undefined(MODE_64, 0xf0, 0x01, 0xd8);       /* LOCK ADD EAX, EBX */
    assert_undefined(MODE_64, 0xf0, 0x03, 0x00);       /* LOCK ADD EAX, [RAX] */
    assert_undefined(MODE_64, 0xf0, 0x39, 0x00);       /* LOCK CMP [RAX], EAX */
    assert_undefined(MODE_64, 0xf0, 0x89, 0x00);       /* LOCK MOV [RAX], EAX */
    assert_undefined(MODE_64, 0xf0, 0x0f, 0xa3, 0x00); /* LOCK BT [RAX], EAX */
    assert_undefined(MODE_64, 0xf0, 0x90);
    assert_undefined(MODE_64, 0xf0, 0x0f, 0x20, 0xc0); /* LOCK MOV RAX, CR0 */
    assert_undefined(MODE_64, 0xf0, 0x0f, 0x58, 0x00); /* LOCK ADDPS */
    assert_undefined(MODE_64, 0xf0, 0xa4);             /* LOCK MOVSB */
    assert_defined(MODE_64, 0xf0, 0x01, 0x00);
    assert_defined(MODE_64, 0xf0, 0x0f, 0xab, 0x00);
    assert_defined(MODE_64, 0xf0, 0x48, 0x0f, 0xc7, 0x08);
}

static void test_undefined_opcodes(void **state)
{
    assert_undefined(MODE_64, 0x0f, 0x0b);       /* UD2 */
    assert_undefined(MODE_64, 0x0f, 0xb9, 0xc0); /* UD1 */
    assert_undefined(MODE_64, 0x0f, 0xff, 0xc0); /* UD0 */
    assert_undefined(MODE_64, 0x06);             /* PUSH ES */
    assert_undefined(MODE_64, 0x27);             /* DAA */
    assert_undefined(MODE_64, 0xd6);             /* SALC */
    assert_undefined(MODE_64, 0xd4, 10);         /* AAM */
    assert_undefined(MODE_64, 0x60);             /* PUSHA */
    assert_undefined(MODE_64, 0x9a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_undefined(MODE_64, 0xc7, 0xc8, 0, 0, 0, 0);
    assert_undefined(MODE_64, 0xfe, 0xd0);
    assert_undefined(MODE_64, 0x8d, 0xc0);             /* LEA EAX, EAX */
    assert_undefined(MODE_64, 0x0f, 0xc7, 0xc8);       /* CMPXCHG8B EAX */
    assert_undefined(MODE_64, 0x8c, 0xf0);             /* MOV EAX, sixth segment */
    assert_undefined(MODE_64, 0x8e, 0xc8);             /* MOV CS, EAX */
    assert_undefined(MODE_64, 0x0f, 0x20, 0xc8);       /* MOV RAX, CR1 */
    assert_defined(MODE_32, 0x27);
    assert_defined(MODE_32, 0xd6);
    assert_defined(MODE_32, 0x82, 0xc0, 1);            /* ADD AL, 1: another name */
    assert_undefined(MODE_64, 0x82, 0xc0, 1);
}

static void test_instruction_sets_that_are_not_offered_are_undefined(void **state)
{
    assert_undefined(MODE_64, 0x0f, 0x01, 0xc2);                         /* VMLAUNCH */
    assert_undefined(MODE_64, 0x0f, 0x01, 0xd8);                         /* VMRUN */
    assert_undefined(MODE_64, 0x0f, 0x01, 0xd5);                         /* XEND */
    assert_undefined(MODE_64, 0xc7, 0xf8, 0, 0, 0, 0);                   /* XBEGIN */
    assert_undefined(MODE_64, 0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc0);       /* VADDPS ZMM */
    assert_undefined(MODE_64, 0x0f, 0x0f, 0xc0, 0x9e);                   /* PFADD */
    assert_undefined(MODE_64, 0x0f, 0x01, 0xc8);                         /* MONITOR */
    assert_undefined(MODE_64, 0x0f, 0x01, 0xee);                         /* RDPKRU */
    assert_undefined(MODE_64, 0xf3, 0x0f, 0x01, 0xe8);                   /* SETSSBSY */
    assert_undefined(MODE_64, 0x0f, 0x01, 0xcf);                         /* ENCLS */
    assert_undefined(MODE_64, 0x66, 0x0f, 0xae, 0xf0);                   /* TPAUSE */
    assert_undefined(MODE_32, 0x0f, 0x00, 0xff);
}

static void test_what_is_a_hint_without_its_feature_does_nothing(void **state)
{
    assert_defined(MODE_64, 0xf3, 0x0f, 0x1e, 0xfa);       /* ENDBR64 */
    assert_defined(MODE_64, 0xf3, 0x48, 0x0f, 0x1e, 0xc8); /* RDSSPQ */
    assert_defined(MODE_64, 0xf3, 0x0f, 0x1a, 0xc8);       /* BNDCL */
    assert_defined(MODE_64, 0x0f, 0x1c, 0x00);             /* CLDEMOTE */
    assert_defined(MODE_64, 0x0f, 0x0d, 0x10);             /* PREFETCHWT1 */
    assert_defined(MODE_64, 0xf2, 0xf3, 0x90);
}

static void test_protected_mode_instructions_are_undefined_in_real_mode(void **state)
{
    assert_undefined(MODE_REAL, 0x0f, 0x00, 0xc0);             /* SLDT AX */
    assert_undefined(MODE_REAL, 0x63, 0xc0);                   /* ARPL */
    assert_undefined(MODE_REAL, 0xc4, 0xe2, 0x78, 0xf2, 0xc0); /* ANDN */
    assert_undefined(MODE_REAL | MODE_VM86, 0xc5, 0xf8, 0x77); /* VZEROUPPER */
    assert_defined(MODE_REAL, 0xc5, 0x00);                     /* LDS AX, [BX+SI] */
    assert_defined(MODE_REAL, 0x0f, 0x01, 0xe0);               /* SMSW AX */
}

static void test_vector_instructions_follow_control_registers(void **state)
{
    const uint8_t fadd[] = { 0xd8, 0xc1 }, paddb[] = { 0x0f, 0xfc, 0xc1 }, addps[] = { 0x0f, 0x58, 0xc1 },
                  vaddps[] = { 0xc5, 0xf8, 0x58, 0xc1 }, wait[] = { 0x9b };

#define VECTOR_OF(flag, bytes) ({ const SoftDecode *d = decode_at(state, MODE_64 | (flag), 0, bytes, sizeof(bytes)); \
                                  d->op[0].fn == soft_op_raise ? (int)d->op[0].imm : -1; })
    assert_int_equal(VECTOR_OF(MODE_NO_FPU | MODE_TS, fadd), VECTOR_NM);
    assert_int_equal(VECTOR_OF(MODE_NO_FPU | MODE_EM, fadd), VECTOR_NM);
    assert_int_equal(VECTOR_OF(MODE_NO_FPU | MODE_TS, paddb), VECTOR_NM);
    assert_int_equal(VECTOR_OF(MODE_NO_FPU | MODE_EM | MODE_TS, paddb), VECTOR_UD);
    assert_int_equal(VECTOR_OF(MODE_NO_SSE | MODE_TS, addps), VECTOR_UD);
    assert_int_equal(VECTOR_OF(MODE_TS, addps), VECTOR_NM);
    assert_int_equal(VECTOR_OF(MODE_NO_AVX | MODE_TS, vaddps), VECTOR_UD);
    assert_int_equal(VECTOR_OF(MODE_TS, vaddps), VECTOR_NM);
    assert_int_equal(VECTOR_OF(MODE_TS, wait), -1);
    assert_int_equal(VECTOR_OF(MODE_TS | MODE_NO_WAIT, wait), VECTOR_NM);
    assert_int_equal(VECTOR_OF(0, fadd), -1);
    assert_int_equal(VECTOR_OF(0, addps), -1);
}

static void test_general_registers_need_no_vector_unit(void **state)
{
    const uint32_t none = MODE_64 | MODE_NO_SSE | MODE_NO_AVX | MODE_TS | MODE_NO_FPU;

    assert_ptr_not_equal(DECODE(none, 0x0f, 0xc3, 0x00)->op[0].fn, soft_op_raise);                   /* MOVNTI */
    assert_ptr_not_equal(DECODE(none, 0xf2, 0x0f, 0x38, 0xf1, 0xc0)->op[0].fn, soft_op_raise);       /* CRC32 */
    assert_ptr_not_equal(DECODE(none, 0xc4, 0xe2, 0x78, 0xf2, 0xc0)->op[0].fn, soft_op_raise);       /* ANDN */
    assert_ptr_not_equal(DECODE(none, 0x0f, 0xae, 0xf0)->op[0].fn, soft_op_raise);                   /* MFENCE */
}

/* ---- operands ---- */

static void test_a_64_bit_address_is_a_sum_of_slots(void **state)
{
    /* MOV RDX, GS:[RBX + R12 * 8 - 16] */
    const Op *op = &DECODE(MODE_64, 0x65, 0x4a, 0x8b, 0x54, 0xe3, 0xf0)->op[0];

    assert_int_equal(op->dst, REGISTER(X86_RDX));
    assert_int_equal(op->base, X86_RBX);
    assert_int_equal(op->index, X86_R12);
    assert_int_equal(op->scale, 3);
    assert_int_equal(op->seg, X86_GS);
    assert_int_equal(op->disp, -16);
    assert_int_equal(op->size, 8);
    assert_int_equal(op->flags, OP_MEM | 3);
}

static void test_an_address_relative_to_rip_is_relative_to_the_block(void **state)
{
    /* NOT EAX; MOV EAX, [RIP + 0x10] */
    const Op *op = &DECODE(MODE_64, 0xf7, 0xd0, 0x8b, 0x05, 0x10, 0, 0, 0)->op[1];

    assert_int_equal(op->base, SLOT_RIP);
    assert_int_equal(op->disp, 8 + 0x10);
    /* MOV EAX, [RIP + INT32_MAX] */
    op = DECODE(MODE_64, 0x8b, 0x05, 0xff, 0xff, 0xff, 0x7f)->op;
    assert_int_equal(op[0].base, SLOT_RIP);
    assert_int_equal(op[0].imm, INT64_C(6) + INT32_MAX);
    assert_int_equal(op[1].base, SLOT_EA);
    assert_int_equal(op[1].disp, 0);
}

static void test_an_offset_of_64_bits_has_an_op_of_its_own(void **state)
{
    const Op *op = DECODE(MODE_64, 0x48, 0xa1, 8, 7, 6, 5, 4, 3, 2, 1)->op;

    assert_int_equal(op[0].imm, 0x0102030405060708);
    assert_int_equal(op[1].base, SLOT_EA);
    assert_int_equal(op[0].ip, op[1].ip);
    assert_int_equal(op[1].dst, REGISTER(X86_RAX));
}

static void test_an_address_of_32_bits_has_an_op_of_its_own(void **state)
{
    /* MOV EAX, FS:[EBX + ECX] */
    const Op *op = DECODE(MODE_64, 0x67, 0x64, 0x8b, 0x04, 0x0b)->op;

    assert_int_equal(op[0].base, X86_RBX);
    assert_int_equal(op[0].index, X86_RCX);
    assert_int_equal(op[1].base, SLOT_EA);
    assert_int_equal(op[1].seg, X86_FS);
}

static void test_the_stack_is_known_by_its_pointers(void **state)
{
    assert_true(DECODE(MODE_64, 0x8b, 0x45, 0x08)->op[0].flags & OP_STACK);             /* [RBP + 8] */
    assert_true(DECODE(MODE_64, 0x8b, 0x04, 0x24)->op[0].flags & OP_STACK);             /* [RSP] */
    assert_true(DECODE(MODE_64, 0x3e, 0x8b, 0x04, 0x24)->op[0].flags & OP_STACK);       /* DS:[RSP] */
    assert_false(DECODE(MODE_64, 0x64, 0x8b, 0x04, 0x24)->op[0].flags & OP_STACK);      /* FS:[RSP] */
    assert_false(DECODE(MODE_64, 0x41, 0x8b, 0x45, 0x08)->op[0].flags & OP_STACK);      /* [R13 + 8] */
    assert_true(DECODE(MODE_32, 0x8b, 0x45, 0x08)->op[1].flags & OP_STACK);
    assert_false(DECODE(MODE_32, 0x3e, 0x8b, 0x45, 0x08)->op[1].flags & OP_STACK);      /* DS:[EBP + 8] */
    assert_true(DECODE(MODE_32, 0x36, 0x8b, 0x03)->op[1].flags & OP_STACK);             /* SS:[EBX] */
}

static void test_high_bytes_and_rex_bytes_differ(void **state)
{
    assert_int_equal(DECODE(MODE_64, 0x88, 0xe0)->op[0].src, REGISTER(X86_RAX) + 1); /* AH */
    assert_int_equal(DECODE(MODE_64, 0x40, 0x88, 0xe0)->op[0].src, REGISTER(X86_RSP));
    assert_int_equal(DECODE(MODE_64, 0x88, 0xf8)->op[0].src, REGISTER(X86_RBX) + 1); /* BH */
    assert_int_equal(DECODE(MODE_64, 0x45, 0x88, 0xf8)->op[0].src, REGISTER(X86_R15));
}

static void test_immediates_are_sign_extended(void **state)
{
    assert_int_equal(DECODE(MODE_64, 0x48, 0x83, 0xc0, 0xff)->op[0].imm, -1);
    assert_int_equal(DECODE(MODE_64, 0x48, 0xc7, 0xc0, 0, 0, 0, 0x80)->op[0].imm, INT32_MIN);
    assert_int_equal(DECODE(MODE_64, 0x6a, 0x80)->op[0].imm, -128);
    assert_int_equal(DECODE(MODE_64, 0x48, 0xb8, 8, 7, 6, 5, 4, 3, 2, 0x81)->op[0].imm, (int64_t)0x8102030405060708);
}

static void test_far_pointers_are_selector_and_offset(void **state)
{
    const Op *op = &DECODE(MODE_32, 0xea, 0x44, 0x33, 0x22, 0x11, 0x66, 0x55)->op[0];

    assert_int_equal(op->imm, INT64_C(0x556611223344));
    assert_int_equal(op->size, 4);
}

static void test_numbers_of_segment_and_control_registers(void **state)
{
    const Op *op = &DECODE(MODE_64, 0x8e, 0xe0)->op[0]; /* MOV FS, EAX */

    assert_int_equal(op->dst, X86_FS);
    assert_int_equal(op->src, REGISTER(X86_RAX));
    op = &DECODE(MODE_64, 0x44, 0x0f, 0x22, 0xc1)->op[0]; /* MOV CR8, RCX */
    assert_int_equal(op->dst, 8);
    assert_int_equal(op->src, REGISTER(X86_RCX));
    op = &DECODE(MODE_64, 0x0f, 0x21, 0xfa)->op[0]; /* MOV RDX, DR7 */
    assert_int_equal(op->dst, REGISTER(X86_RDX));
    assert_int_equal(op->src, 7);
}

static void test_string_instructions_know_their_segment(void **state)
{
    assert_int_equal(DECODE(MODE_32, 0xa4)->op[0].seg, X86_DS);
    assert_int_equal(DECODE(MODE_32, 0x26, 0xa4)->op[0].seg, X86_ES);
    assert_int_equal(DECODE(MODE_64, 0x65, 0xa4)->op[0].seg, X86_GS);
    assert_int_equal(DECODE(MODE_64, 0xa4)->op[0].seg, SEG_NONE);
    assert_int_equal(DECODE(MODE_64, 0xf3, 0x48, 0xa5)->op[0].flags, OP_REP | 3);
    assert_int_equal(DECODE(MODE_64, 0x67, 0xf2, 0xae)->op[0].flags, OP_REPNE | 2);
    assert_int_equal(DECODE(MODE_64, 0xf3, 0x48, 0xa5)->op[0].size, 8);
}

/* ---- branches ---- */

static void test_jumps_within_the_page_may_be_linked(void **state)
{
    const SoftDecode *d = DECODE_AT(MODE_64, 0x10, 0x74, 0xee); /* JZ to the page's start */

    assert_ptr_equal(d->op[0].fn, branch_jcc[4][1]);
    assert_int_equal(d->op[0].imm, -0x10);
    assert_int_equal(d->op[0].disp, 2);
    assert_ptr_equal(DECODE_AT(MODE_64, 0x10, 0x74, 0xed)->op[0].fn, branch_jcc[4][0]);
    assert_ptr_equal(DECODE_AT(MODE_64, 0xffe, 0x74, 0xee)->op[0].fn, branch_jcc[4][0]); /* the next is not in it */
    assert_int_equal(DECODE_AT(MODE_64, 0xffe, 0x74, 0xee)->op[0].scale, 0);
    assert_ptr_equal(DECODE_AT(MODE_32 & ~MODE_CS_FLAT, 0x10, 0x74, 0xee)->op[0].fn, branch_jcc[4][0]);
    assert_ptr_equal(DECODE_AT(MODE_32, 0x10, 0x66, 0x74, 0xee)->op[0].fn, branch_jcc[4][0]); /* truncated to 16 bits */
}

static unsigned size_for(void **state, bool intel, const uint8_t *bytes, unsigned n)
{
    Fixture *f = *state;

    f->rig->cpu->vm->intel = intel;
    return decode_at(state, MODE_64, 0, bytes, n)->op[0].size;
}

/* SDM 2A, 2.2.1.2 and "Near branches"; APM 3, 1.2.3: a prefix of 66H has a meaning. */
static void test_near_branches_have_16_bits_on_amd_only(void **state)
{
    static const uint8_t branches[][4] = {
        { 0x66, 0xeb, 0 }, { 0x66, 0x75, 0 }, { 0x66, 0xe2, 0 }, { 0x66, 0xe3, 0 }, { 0x66, 0xc3 }, { 0x66, 0xc2, 8, 0 },
        { 0x66, 0xff, 0xd2 }, { 0x66, 0xff, 0xe2 }, { 0x66, 0xff, 0x12 }, { 0x66, 0x41, 0xff, 0x22 },
    };
    static const uint8_t wide[] = { 0x66, 0x48, 0xff, 0xd2 }; /* REX.W */

    for (unsigned i = 0; i < G_N_ELEMENTS(branches); i++) {
        assert_int_equal(size_for(state, false, branches[i], sizeof(branches[i])), 2);
        assert_int_equal(size_for(state, true, branches[i], sizeof(branches[i])), 8);
    }
    assert_int_equal(size_for(state, false, wide, sizeof(wide)), 8);
}

static void test_a_prefetch_of_a_register_is_undefined_on_amd(void **state)
{
    Fixture *f = *state;

    f->rig->cpu->vm->intel = false;
    assert_undefined(MODE_64, 0x0f, 0x0d, 0xc8);
    assert_defined(MODE_64, 0x0f, 0x0d, 0x08);
    assert_defined(MODE_64, 0x0f, 0x1f, 0xc0);
    f->rig->cpu->vm->intel = true;
    assert_defined(MODE_64, 0x0f, 0x0d, 0xc8);
}

static void test_a_compare_and_its_jump_are_fused(void **state)
{
    const SoftDecode *d = DECODE(MODE_64, 0x48, 0x39, 0xd8, 0x75, 0x10); /* CMP RAX, RBX; JNZ */

    assert_int_equal(d->count, 2);
    assert_int_equal(d->n, 2);
    assert_ptr_equal(d->op[0].fn, int_fused[0][SIZE_64][FORM_RR][5]);
    assert_int_equal(d->op[1].imm, 0x15);
    d = DECODE(MODE_64, 0xf6, 0x40, 0x10, 0x01, 0x74, 0x10); /* TEST BYTE [RAX + 16], 1; JZ */
    assert_ptr_equal(d->op[0].fn, int_fused[1][SIZE_8][FORM_MI][4]);
    d = DECODE(MODE_64, 0x48, 0x39, 0xd8, 0xf8, 0x75, 0x10); /* CLC in between */
    assert_ptr_equal(d->op[0].fn, int_alu[ALU_CMP][SIZE_64][FORM_RR][EA_BASE][WITH_FLAGS]);
}

static void test_flags_that_are_overwritten_are_not_made(void **state)
{
    OpFn *quiet = int_alu[ALU_ADD][SIZE_32][FORM_RR][EA_BASE][NO_FLAGS];
    OpFn *loud = int_alu[ALU_ADD][SIZE_32][FORM_RR][EA_BASE][WITH_FLAGS];

    assert_ptr_equal(DECODE(MODE_64, 0x01, 0xd8, 0x01, 0xd8)->op[0].fn, quiet);             /* ADD, ADD */
    assert_ptr_equal(DECODE(MODE_64, 0x01, 0xd8, 0x01, 0xd8)->op[1].fn, loud);
    assert_ptr_equal(DECODE(MODE_64, 0x01, 0xd8, 0x89, 0xd8, 0x01, 0xd8)->op[0].fn, quiet); /* MOV in between */
    assert_ptr_equal(DECODE(MODE_64, 0x01, 0xd8, 0x11, 0xd8)->op[0].fn, loud);              /* ADC */
    assert_ptr_equal(DECODE(MODE_64, 0x01, 0xd8, 0x8b, 0x03, 0x01, 0xd8)->op[0].fn, loud);  /* a load may fault */
    assert_ptr_equal(DECODE(MODE_64, 0x01, 0xd8, 0xff, 0xc0)->op[0].fn, loud);              /* INC keeps CF */
    assert_ptr_equal(DECODE(MODE_64, 0x01, 0xd8, 0xd3, 0xe0, 0x01, 0xd8)->op[0].fn, quiet); /* SHL EAX, CL */
    assert_ptr_equal(DECODE(MODE_64, 0x01, 0xd8, 0xd3, 0xe0)->op[0].fn, loud);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_block_ends_with_a_branch),
        cmocka_unit_test(test_a_block_ends_with_the_page),
        cmocka_unit_test(test_a_block_has_64_instructions_at_most),
        cmocka_unit_test(test_a_block_of_a_single_step_is_one_instruction),
        cmocka_unit_test(test_an_instruction_that_crosses_is_left_to_its_own_block),
        cmocka_unit_test(test_a_crossing_instruction_is_a_block),
        cmocka_unit_test(test_more_than_15_bytes_raise_a_general_protection_fault),
        cmocka_unit_test(test_instructions_before_an_undefined_one_come_first),
        cmocka_unit_test(test_what_changes_the_mode_ends_a_block),
        cmocka_unit_test(test_lone_nops_have_no_op),
        cmocka_unit_test(test_lock_wants_a_memory_destination),
        cmocka_unit_test(test_undefined_opcodes),
        cmocka_unit_test(test_instruction_sets_that_are_not_offered_are_undefined),
        cmocka_unit_test(test_what_is_a_hint_without_its_feature_does_nothing),
        cmocka_unit_test(test_protected_mode_instructions_are_undefined_in_real_mode),
        cmocka_unit_test(test_vector_instructions_follow_control_registers),
        cmocka_unit_test(test_general_registers_need_no_vector_unit),
        cmocka_unit_test(test_a_64_bit_address_is_a_sum_of_slots),
        cmocka_unit_test(test_an_address_relative_to_rip_is_relative_to_the_block),
        cmocka_unit_test(test_an_offset_of_64_bits_has_an_op_of_its_own),
        cmocka_unit_test(test_an_address_of_32_bits_has_an_op_of_its_own),
        cmocka_unit_test(test_the_stack_is_known_by_its_pointers),
        cmocka_unit_test(test_high_bytes_and_rex_bytes_differ),
        cmocka_unit_test(test_immediates_are_sign_extended),
        cmocka_unit_test(test_far_pointers_are_selector_and_offset),
        cmocka_unit_test(test_numbers_of_segment_and_control_registers),
        cmocka_unit_test(test_string_instructions_know_their_segment),
        cmocka_unit_test(test_jumps_within_the_page_may_be_linked),
        cmocka_unit_test(test_near_branches_have_16_bits_on_amd_only),
        cmocka_unit_test(test_a_prefetch_of_a_register_is_undefined_on_amd),
        cmocka_unit_test(test_a_compare_and_its_jump_are_fused),
        cmocka_unit_test(test_flags_that_are_overwritten_are_not_made),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
