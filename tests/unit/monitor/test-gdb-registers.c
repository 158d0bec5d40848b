/* SPDX-License-Identifier: GPL-2.0-or-later */
/* monitor/gdb-registers.c: what a debugger reads and writes of a vCPU's state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/gdb-registers.h"
#include "tests/unit/rig.h"
#include "vmm/bytes.h"

enum { RAX = 0, R8 = 8, RIP = 16, EFLAGS = 17, CS = 18, ST0 = 24, FTAG = 34, XMM0 = 40, MXCSR = 56, CR0 = 60, CR4 = 63 };

#define CR0_PE   1
#define EFER_LMA 0x400
#define SEG_L    0x2000
#define XS_BV    512

static int setup(void **state)
{
    *state = rig_new_cpus("1");
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

static Vcpu *vcpu_of(void **state)
{
    return domain_vcpu(((Rig *)*state)->domain, 0);
}

static void enter_64bit_code(Vcpu *vcpu)
{
    vcpu->cpu.cr0 |= CR0_PE;
    vcpu->cpu.efer |= EFER_LMA;
    vcpu->cpu.segment[X86_CS].attributes |= SEG_L;
}

static uint64_t read64(Vcpu *vcpu, unsigned n)
{
    uint8_t value[GDB_REGISTER_MAX] = { 0 };

    gdb_register_read(vcpu, n, value);
    return get64(value);
}

static bool write64(Vcpu *vcpu, unsigned n, uint64_t number)
{
    uint8_t value[GDB_REGISTER_MAX] = { 0 };

    put64(value, number);
    return gdb_register_write(vcpu, n, value);
}

static void test_description_names_registers_in_their_order(void **state)
{
    g_autofree char *xml = NULL;
    const char *p;
    GdbRegisterSet set;
    unsigned n = 0;

    gdb_registers_init(&set, vcpu_of(state));
    xml = gdb_registers_describe(&set);
    for (p = strstr(xml, "<reg "); p; p = strstr(p + 1, "<reg ")) {
        n++;
    }
    assert_int_equal(n, set.count);
    assert_true(strstr(xml, "name=\"rip\"") < strstr(xml, "name=\"eflags\""));
    assert_non_null(strstr(xml, "<architecture>i386:x86-64</architecture>"));
}

static void test_general_registers_have_64_bits_in_64bit_code(void **state)
{
    Vcpu *vcpu = vcpu_of(state);

    enter_64bit_code(vcpu);
    assert_true(write64(vcpu, RAX, 0x123456789abcdef0));
    assert_true(write64(vcpu, R8, 0xffffffffffffffff));
    assert_int_equal(vcpu->cpu.gpr[X86_RAX], 0x123456789abcdef0);
    assert_int_equal(read64(vcpu, R8), UINT64_MAX);
    assert_true(vcpu->dirty);
}

static void test_general_registers_have_32_bits_elsewhere(void **state)
{
    Vcpu *vcpu = vcpu_of(state);

    vcpu->cpu.gpr[X86_RAX] = vcpu->cpu.gpr[X86_R8] = 0x123456789abcdef0;
    assert_int_equal(read64(vcpu, RAX), 0x9abcdef0);
    assert_int_equal(read64(vcpu, R8), 0);
    assert_false(write64(vcpu, R8, 1));
    assert_int_equal(vcpu->cpu.gpr[X86_R8], 0x123456789abcdef0);
}

static void test_a_selector_moves_its_segment_in_real_mode_only(void **state)
{
    Vcpu *vcpu = vcpu_of(state);

    assert_true(write64(vcpu, CS, 0x1234));
    assert_int_equal(vcpu->cpu.segment[X86_CS].base, 0x12340);
    vcpu->cpu.cr0 |= CR0_PE;
    assert_false(write64(vcpu, CS, 8));
    assert_true(write64(vcpu, CS, 0x1234)); /* as it is */
}

static void test_what_the_accelerator_refuses_is_not_kept(void **state)
{
    Rig *r = *state;
    Vcpu *vcpu = vcpu_of(state);
    uint64_t cr4 = vcpu->cpu.cr4;

    fake_accel(r->domain)->fail_store = true;
    assert_false(write64(vcpu, CR4, ~cr4));
    assert_int_equal(vcpu->cpu.cr4, cr4);
    fake_accel(r->domain)->fail_store = false;
    assert_true(write64(vcpu, CR4, 0x20));
    assert_int_equal(vcpu->cpu.cr4, 0x20);
}

static void test_unused_vector_registers_have_their_initial_values(void **state)
{
    Vcpu *vcpu = vcpu_of(state);

    memset(vcpu->cpu.xsave, 0xee, XS_BV); /* left from whoever had them */
    put64(vcpu->cpu.xsave + XS_BV, 0);
    assert_int_equal(read64(vcpu, XMM0), 0);
    assert_int_equal(read64(vcpu, MXCSR), 0x1f80);
    assert_int_equal(read64(vcpu, ST0), 0);
    assert_int_equal(read64(vcpu, FTAG), 0xffff);
}

static void test_a_written_vector_register_is_in_use(void **state)
{
    Vcpu *vcpu = vcpu_of(state);

    put64(vcpu->cpu.xsave + XS_BV, 0);
    assert_true(write64(vcpu, XMM0, 0x1122334455667788));
    assert_int_equal(get64(vcpu->cpu.xsave + 160), 0x1122334455667788);
    assert_int_equal(get64(vcpu->cpu.xsave + XS_BV) & 2, 2);
}

static void test_x87_tags_say_what_is_in_the_registers(void **state)
{
    Vcpu *vcpu = vcpu_of(state);
    uint8_t *xsave = vcpu->cpu.xsave;

    put64(xsave + XS_BV, 1);
    memset(xsave, 0, 160);
    xsave[4] = 0x07;                         /* registers 0, 1 and 2 are full */
    put64(xsave + 32, UINT64_C(1) << 63);    /* 1.0 */
    put16(xsave + 32 + 8, 0x3fff);
    put16(xsave + 32 + 2 * 16 + 8, 0x7fff);  /* register 2: infinite; register 1 is 0 */
    assert_int_equal(read64(vcpu, FTAG), 0xffe4);
    assert_true(write64(vcpu, FTAG, 0xfffc));
    assert_int_equal(xsave[4], 0x01);
}

#define TEST(F) cmocka_unit_test_setup_teardown(F, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_description_names_registers_in_their_order),
        TEST(test_general_registers_have_64_bits_in_64bit_code),
        TEST(test_general_registers_have_32_bits_elsewhere),
        TEST(test_a_selector_moves_its_segment_in_real_mode_only),
        TEST(test_what_the_accelerator_refuses_is_not_kept),
        TEST(test_unused_vector_registers_have_their_initial_values),
        TEST(test_a_written_vector_register_is_in_use),
        TEST(test_x87_tags_say_what_is_in_the_registers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
