/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integer instructions where the host cannot be asked: 16-bit code and segments with bases
 * and limits, FS and GS, addresses that are not canonical, devices, operands across pages
 * under LOCK, code that changes itself.
 */
#include "soft-rig.h"

#include <stdarg.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/x86/soft/cpu.h"

typedef struct Fixture {
    SoftRig *rig;
    SoftCpu *cpu;
} Fixture;

static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->rig = soft_rig_new();
    f->cpu = f->rig->cpu;
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

/* The bytes and a HLT.  -1, or the vector of the exception. */
static int run(Fixture *f, const void *bytes, unsigned n)
{
    uint8_t code[64];

    memcpy(code, bytes, n);
    code[n] = 0xf4;
    soft_rig_code(f->rig, code, n + 1);
    soft_code_written(f->rig->vm, NULL, f->rig->host + 0x10000, 0x100000);
    return soft_rig_run(f->rig) == SOFT_EXIT_EXCEPTION ? soft_cpu_exception(f->cpu)->vector : -1;
}
#define RUN(...) run(f, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void write_word(Fixture *f, uint64_t gpa, uint16_t value)
{
    memcpy(f->rig->host + gpa, &value, sizeof(value));
}

static uint16_t word(Fixture *f, uint64_t gpa)
{
    uint16_t value;

    memcpy(&value, f->rig->host + gpa, sizeof(value));
    return value;
}

static uint64_t quad(Fixture *f, uint64_t gpa)
{
    uint64_t value;

    memcpy(&value, f->rig->host + gpa, sizeof(value));
    return value;
}

static void set_base(Fixture *f, unsigned segment, uint64_t base)
{
    f->cpu->segment[segment].base = base;
    soft_update_mode(f->cpu);
}

/* ---- 16-bit addresses ---- */

static void test_16_bit_address_is_a_sum_of_two_registers_and_a_segment(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    set_base(f, X86_DS, 0x20000);
    f->cpu->gpr[X86_RBX] = 0xdead0100;
    f->cpu->gpr[X86_RSI] = 0xdead0020;
    write_word(f, 0x20122, 0x1234);
    assert_int_equal(RUN(0x8b, 0x40, 0x02), -1); /* MOV AX, [BX+SI+2] */
    assert_int_equal(f->cpu->gpr[X86_RAX] & 0xffff, 0x1234);
}

static void test_16_bit_address_wraps_within_its_segment(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    set_base(f, X86_DS, 0x20000);
    f->cpu->gpr[X86_RBX] = 0xfff0;
    f->cpu->gpr[X86_RSI] = 0x0020;
    write_word(f, 0x20010, 0x1234);
    assert_int_equal(RUN(0x8b, 0x00), -1); /* MOV AX, [BX+SI] */
    assert_int_equal(f->cpu->gpr[X86_RAX] & 0xffff, 0x1234);
}

static void test_a_word_at_the_end_of_a_segment_is_beyond_its_limit(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    f->cpu->gpr[X86_RBX] = 0xffff;
    assert_int_equal(RUN(0x8b, 0x07), VECTOR_GP); /* MOV AX, [BX] */
    f->cpu->gpr[X86_RBP] = 0xffff;
    f->cpu->rip = 0;
    assert_int_equal(RUN(0x89, 0x46, 0x00), VECTOR_SS); /* MOV [BP], AX */
    f->cpu->rip = 0;
    assert_int_equal(RUN(0x8a, 0x07), -1); /* MOV AL, [BX] */
}

static void test_32_bit_address_in_real_mode_is_held_against_the_limit(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    f->cpu->gpr[X86_RBX] = 0x10000;
    assert_int_equal(RUN(0x67, 0x8b, 0x03), VECTOR_GP); /* MOV AX, [EBX] */
}

static void test_overrides_choose_the_segment(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    set_base(f, X86_ES, 0x30000);
    set_base(f, X86_SS, 0x40000);
    write_word(f, 0x30010, 0x1111);
    write_word(f, 0x40010, 0x2222);
    write_word(f, 0x10100, 0x3333);
    f->cpu->gpr[X86_RBP] = 0x10;
    f->cpu->gpr[X86_RBX] = 0x100;
    assert_int_equal(RUN(0x26, 0x8b, 0x46, 0x00, 0x8b, 0x4e, 0x00, 0x2e, 0x8b, 0x17), -1); /* ES:, SS, CS: */
    assert_int_equal(f->cpu->gpr[X86_RAX] & 0xffff, 0x1111);
    assert_int_equal(f->cpu->gpr[X86_RCX] & 0xffff, 0x2222);
    assert_int_equal(f->cpu->gpr[X86_RDX] & 0xffff, 0x3333);
}

static void test_lea_truncates_to_the_address_size(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    f->cpu->gpr[X86_RBX] = 0xffff;
    f->cpu->gpr[X86_RSI] = 0x0003;
    f->cpu->gpr[X86_RAX] = f->cpu->gpr[X86_RCX] = UINT64_MAX;
    assert_int_equal(RUN(0x8d, 0x00, 0x66, 0x8d, 0x08), -1); /* LEA AX, ECX, [BX+SI] */
    assert_int_equal(f->cpu->gpr[X86_RAX] & 0xffffffff, 0xffff0002);
    assert_int_equal(f->cpu->gpr[X86_RCX] & 0xffffffff, 2);
}

static void test_a_bit_far_from_its_operand_is_within_16_bits(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    set_base(f, X86_DS, 0x20000);
    f->cpu->gpr[X86_RBX] = 2;
    f->cpu->gpr[X86_RAX] = 0xffd3; /* -45: 6 bytes below, bit 3 */
    assert_int_equal(RUN(0x0f, 0xab, 0x07), -1); /* BTS [BX], AX */
    assert_int_equal(word(f, 0x2fffc), 1 << 3);
}

static void test_xlat_is_of_the_address_size(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    set_base(f, X86_DS, 0x20000);
    f->cpu->gpr[X86_RBX] = 0xdeadfff0;
    f->cpu->gpr[X86_RAX] = 0x20;
    f->rig->host[0x20010] = 0x5a;
    assert_int_equal(RUN(0xd7), -1);
    assert_int_equal(f->cpu->gpr[X86_RAX], 0x5a);
}

/* ---- the stack and branches in 16 bits ---- */

static void test_the_stack_wraps_at_64_kib(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    set_base(f, X86_SS, 0x20000);
    f->cpu->gpr[X86_RSP] = 0xabcd0000;
    f->cpu->gpr[X86_RAX] = 0x1234;
    assert_int_equal(RUN(0x50), -1); /* PUSH AX */
    assert_int_equal(f->cpu->gpr[X86_RSP], 0xabcdfffe);
    assert_int_equal(word(f, 0x2fffe), 0x1234);
}

static void test_pusha_and_popa_of_16_bits(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    for (unsigned i = 0; i < 8; i++) {
        f->cpu->gpr[i] = 0x11110000 + i;
    }
    f->cpu->gpr[X86_RSP] = 0x8000;
    assert_int_equal(RUN(0x60, 0x33, 0xc0, 0x33, 0xff, 0x61), -1); /* PUSHA; XOR AX; XOR DI; POPA */
    assert_int_equal(f->cpu->gpr[X86_RAX], 0x11110000);
    assert_int_equal(f->cpu->gpr[X86_RDI], 0x11110007);
    assert_int_equal(f->cpu->gpr[X86_RSP], 0x8000);
    assert_int_equal(word(f, 0x7ff6), 0x8000);
}

static void test_call_and_ret_of_16_bits(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    /* CALL 5; HLT; NOP; MOV AX, 7; RET */
    assert_int_equal(RUN(0xe8, 0x02, 0x00, 0xf4, 0x90, 0xb8, 0x07, 0x00, 0xc3), -1);
    assert_int_equal(f->cpu->gpr[X86_RAX] & 0xffff, 7);
    assert_int_equal(f->cpu->rip, 4);
    assert_int_equal(word(f, 0x7ffe), 3);
    assert_int_equal(f->cpu->gpr[X86_RSP], 0x8000);
}

static void test_a_jump_wraps_the_instruction_pointer(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    f->rig->host[0x1fff0] = 0xf4;
    assert_int_equal(RUN(0xe9, 0xed, 0xff), -1); /* JMP 0xfff0 */
    assert_int_equal(f->cpu->rip, 0xfff1);
}

static void test_a_target_beyond_the_limit_faults_before_the_push(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    assert_int_equal(RUN(0x66, 0xe8, 0x00, 0x00, 0x01, 0x00), VECTOR_GP); /* CALL 0x10006 */
    assert_int_equal(f->cpu->rip, 0);
    assert_int_equal(f->cpu->gpr[X86_RSP], 0x8000);
}

static void test_loop_counts_in_the_address_size(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    f->cpu->gpr[X86_RCX] = 0x50003;
    assert_int_equal(RUN(0x40, 0xe2, 0xfd), -1); /* INC AX; LOOP */
    assert_int_equal(f->cpu->gpr[X86_RAX], 3);
    assert_int_equal(f->cpu->gpr[X86_RCX], 0x50000);
}

static void test_jcxz_looks_at_the_address_size(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    f->cpu->gpr[X86_RCX] = 0x50000;
    /* JECXZ over INC AX; JCXZ over INC BX */
    assert_int_equal(RUN(0x67, 0xe3, 0x01, 0x40, 0xe3, 0x01, 0x43), -1);
    assert_int_equal(f->cpu->gpr[X86_RAX], 1);
    assert_int_equal(f->cpu->gpr[X86_RBX], 0);
}

static void test_a_16_bit_target_in_32_bit_code_is_truncated(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_32(f->rig);
    f->cpu->gpr[X86_RAX] = 0;
    f->rig->host[0x0005] = 0xf4;
    assert_int_equal(RUN(0x66, 0xeb, 0x02), -1); /* JMP 0x100005, of which 5 is left */
    assert_int_equal(f->cpu->rip, 6);
}

static void test_enter_and_leave_in_16_bits(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_16(f->rig);
    f->cpu->gpr[X86_RBP] = 0x12345678;
    assert_int_equal(RUN(0xc8, 0x10, 0x00, 0x00, 0x89, 0xe0, 0x89, 0xeb, 0xc9), -1); /* MOV AX, SP; MOV BX, BP; LEAVE */
    assert_int_equal(f->cpu->gpr[X86_RAX], 0x7fee);
    assert_int_equal(f->cpu->gpr[X86_RBX], 0x7ffe);
    assert_int_equal(f->cpu->gpr[X86_RBP], 0x12345678);
    assert_int_equal(f->cpu->gpr[X86_RSP], 0x8000);
}

/* ---- 64-bit code ---- */

static void test_fs_and_gs_have_bases_in_64_bit_code(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_64(f->rig, 3);
    set_base(f, X86_FS, RIG_DATA);
    set_base(f, X86_GS, RIG_DATA + 0x1000);
    set_base(f, X86_ES, 0x5000); /* has no effect */
    f->cpu->gpr[X86_RBX] = 0x10;
    f->cpu->gpr[X86_RAX] = 0x1122334455667788;
    /* MOV FS:[RBX], RAX; MOV GS:[RBX+8], EAX; MOV RCX, FS:[RBX]; MOV ES:[0x200100], RAX */
    soft_rig_code(f->rig, "\x64\x48\x89\x03\x65\x89\x43\x08\x64\x48\x8b\x0b\x26\x48\x89\x04\x25\x00\x01\x20\x00"
                          "\x0f\x0b", 23);
    assert_int_equal(soft_rig_run(f->rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(f->cpu)->vector, VECTOR_UD);
    assert_int_equal(quad(f, RIG_DATA + 0x10), 0x1122334455667788);
    assert_int_equal(quad(f, RIG_DATA + 0x1018), 0x55667788);
    assert_int_equal(f->cpu->gpr[X86_RCX], 0x1122334455667788);
    assert_int_equal(quad(f, RIG_DATA + 0x100), 0x1122334455667788);
}

static void test_a_32_bit_address_is_truncated_before_the_base(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_64(f->rig, 0);
    set_base(f, X86_FS, RIG_DATA);
    f->cpu->gpr[X86_RBX] = 0xabcd00000010;
    f->cpu->gpr[X86_RAX] = 0x77;
    assert_int_equal(RUN(0x67, 0x64, 0x88, 0x43, 0xf8), -1); /* MOV FS:[EBX-8], AL */
    assert_int_equal(quad(f, RIG_DATA + 8), 0x77);
}

static void test_an_address_that_is_not_canonical(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_64(f->rig, 0);
    f->cpu->gpr[X86_RBX] = UINT64_C(1) << 47;
    assert_int_equal(RUN(0x48, 0x8b, 0x03), VECTOR_GP); /* MOV RAX, [RBX] */
    f->cpu->gpr[X86_RBP] = UINT64_C(1) << 47;
    assert_int_equal(RUN(0x48, 0x8b, 0x45, 0x00), VECTOR_SS); /* MOV RAX, [RBP] */
    f->cpu->gpr[X86_RSP] = UINT64_C(1) << 47;
    assert_int_equal(RUN(0x50), VECTOR_PF); /* PUSH RAX: just below, canonical, not mapped */
    f->cpu->gpr[X86_RSP] = (UINT64_C(1) << 47) + 8;
    assert_int_equal(RUN(0x50), VECTOR_SS);
}

/* What processors do; SDM 2A, ENTER says only that the registers stay. */
static void test_an_enter_that_faults_has_pushed(void **state)
{
    Fixture *f = *state;
    const uint64_t bp = UINT64_C(0x0000800000000000), top = RIG_STACK;

    soft_rig_enter_64(f->rig, 0);
    f->cpu->gpr[X86_RSP] = top;
    f->cpu->gpr[X86_RBP] = bp + 8;
    assert_int_equal(RUN(0xc8, 0x08, 0x00, 0x02), VECTOR_SS); /* ENTER 8, 2 reads at bp */
    assert_int_equal(quad(f, top - 8), bp + 8);
    assert_int_equal(quad(f, top - 16), 0);
    assert_int_equal(f->cpu->gpr[X86_RSP], top);
    assert_int_equal(f->cpu->gpr[X86_RBP], bp + 8);
}

static void test_a_target_that_is_not_canonical_faults_at_the_branch(void **state)
{
    Fixture *f = *state;
    const uint64_t bad = UINT64_C(1) << 47;

    soft_rig_enter_64(f->rig, 0);
    f->cpu->gpr[X86_RBX] = bad;
    assert_int_equal(RUN(0xff, 0xe3), VECTOR_GP); /* JMP RBX */
    assert_int_equal(f->cpu->rip, RIG_CODE);
    assert_int_equal(RUN(0xff, 0xd3), VECTOR_GP); /* CALL RBX */
    assert_int_equal(f->cpu->rip, RIG_CODE);
    assert_int_equal(f->cpu->gpr[X86_RSP], RIG_STACK);
    memcpy(f->rig->host + RIG_STACK, &bad, sizeof(bad));
    assert_int_equal(RUN(0xc3), VECTOR_GP); /* RET */
    assert_int_equal(f->cpu->rip, RIG_CODE);
    assert_int_equal(f->cpu->gpr[X86_RSP], RIG_STACK);
}

static void test_cmpxchg16b_wants_an_aligned_operand(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_64(f->rig, 0);
    f->cpu->gpr[X86_RSI] = RIG_DATA + 8;
    assert_int_equal(RUN(0xf0, 0x48, 0x0f, 0xc7, 0x0e), VECTOR_GP);
    f->cpu->gpr[X86_RSI] = RIG_DATA + 0x10;
    f->cpu->gpr[X86_RBX] = 5;
    f->cpu->gpr[X86_RCX] = 6;
    f->cpu->gpr[X86_RAX] = f->cpu->gpr[X86_RDX] = 0;
    assert_int_equal(RUN(0xf0, 0x48, 0x0f, 0xc7, 0x0e), -1);
    assert_int_equal(quad(f, RIG_DATA + 0x10), 5);
    assert_int_equal(quad(f, RIG_DATA + 0x18), 6);
}

static void test_lock_across_a_page(void **state)
{
    Fixture *f = *state;
    const uint64_t at = RIG_DATA + 0xffc;

    soft_rig_enter_64(f->rig, 0);
    f->cpu->gpr[X86_RSI] = at;
    f->cpu->gpr[X86_RAX] = 0x1000000000000001;
    f->cpu->gpr[X86_RBX] = 0x2000000000000002;
    /* LOCK ADD [RSI], RAX; XCHG [RSI], RBX; LOCK BTS QWORD [RSI], 63; LOCK DEC QWORD [RSI] */
    assert_int_equal(RUN(0xf0, 0x48, 0x01, 0x06, 0x48, 0x87, 0x1e, 0xf0, 0x48, 0x0f, 0xba, 0x2e, 63,
                         0xf0, 0x48, 0xff, 0x0e), -1);
    assert_int_equal(f->cpu->gpr[X86_RBX], 0x1000000000000001);
    assert_int_equal(quad(f, at), 0xa000000000000001);
}

/* ---- devices ---- */

static void test_a_device_is_read_and_then_written(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_32(f->rig);
    f->rig->device_value = 0x1234;
    f->cpu->gpr[X86_RSI] = RIG_DEVICE + 8;
    f->cpu->gpr[X86_RAX] = 1;
    assert_int_equal(RUN(0xf0, 0x01, 0x06), -1); /* LOCK ADD [ESI], EAX */
    assert_int_equal(f->rig->reads, 1);
    assert_int_equal(f->rig->writes, 1);
    assert_int_equal(f->rig->last_offset, 8);
    assert_int_equal(f->rig->last_size, 4);
    assert_int_equal(f->rig->last_value, 0x1235);
}

static void test_a_device_is_only_read_by_a_comparison(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_32(f->rig);
    f->rig->device_value = 0x1234;
    f->cpu->gpr[X86_RSI] = RIG_DEVICE;
    /* CMP WORD [ESI], 0x1234; JNZ; INC EAX */
    assert_int_equal(RUN(0x66, 0x81, 0x3e, 0x34, 0x12, 0x75, 0x01, 0x40), -1);
    assert_int_equal(f->cpu->gpr[X86_RAX], 1);
    assert_int_equal(f->rig->reads, 1);
    assert_int_equal(f->rig->writes, 0);
    assert_int_equal(f->rig->last_size, 2);
}

static void test_a_compare_with_a_device_and_its_jump(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_32(f->rig);
    f->rig->device_value = 5;
    f->cpu->gpr[X86_RSI] = RIG_DEVICE;
    assert_int_equal(RUN(0x83, 0x3e, 0x05, 0x74, 0x01, 0x40), -1); /* CMP DWORD [ESI], 5; JZ over INC EAX */
    assert_int_equal(f->cpu->gpr[X86_RAX], 0);
    assert_int_equal(f->rig->reads, 1);
}

/* ---- code that changes ---- */

static void test_a_store_into_the_next_instruction_is_obeyed(void **state)
{
    Fixture *f = *state;

    soft_rig_enter_64(f->rig, 0);
    f->cpu->gpr[X86_RSI] = RIG_CODE;
    /* ADD [RSI+5], BL; NOP; NOP; CMP ECX, ECX; SETZ DL: but the first has made CLC and LEAVE of the comparison, so SETZ
     * sees the flags of the addition, although they were dead in the code as it was. */
    f->cpu->gpr[X86_RBX] = 0xf8 - 0x39;
    f->cpu->gpr[X86_RBP] = RIG_DATA;
    assert_int_equal(RUN(0x00, 0x5e, 0x05, 0x90, 0x90, 0x39, 0xc9, 0x0f, 0x94, 0xc2), -1);
    assert_int_equal(f->cpu->rip, RIG_CODE + 11);
    assert_int_equal(f->cpu->gpr[X86_RDX] & 0xff, 0);
    assert_int_equal(f->cpu->gpr[X86_RSP], RIG_DATA + 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_16_bit_address_is_a_sum_of_two_registers_and_a_segment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_16_bit_address_wraps_within_its_segment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_word_at_the_end_of_a_segment_is_beyond_its_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_32_bit_address_in_real_mode_is_held_against_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_overrides_choose_the_segment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lea_truncates_to_the_address_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_bit_far_from_its_operand_is_within_16_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_xlat_is_of_the_address_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_stack_wraps_at_64_kib, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pusha_and_popa_of_16_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_call_and_ret_of_16_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_jump_wraps_the_instruction_pointer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_target_beyond_the_limit_faults_before_the_push, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_loop_counts_in_the_address_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_jcxz_looks_at_the_address_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_16_bit_target_in_32_bit_code_is_truncated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_enter_and_leave_in_16_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fs_and_gs_have_bases_in_64_bit_code, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_32_bit_address_is_truncated_before_the_base, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_address_that_is_not_canonical, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_enter_that_faults_has_pushed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_target_that_is_not_canonical_faults_at_the_branch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cmpxchg16b_wants_an_aligned_operand, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lock_across_a_page, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_device_is_read_and_then_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_device_is_only_read_by_a_comparison, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_compare_with_a_device_and_its_jump, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_store_into_the_next_instruction_is_obeyed, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
