/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/reg.c: register tables over a plain struct. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/device.h"
#include "vmm/reg.h"

typedef struct Chip {
    Device dev;
    uint8_t data, mask, status;
    uint32_t wide;
    uint16_t array[3];
    uint64_t written, old;
    unsigned reads, bank;
} Chip;

static uint64_t count_read(Device *dev)
{
    return ++((Chip *)dev)->reads;
}

static void note_write(Device *dev, uint64_t value)
{
    ((Chip *)dev)->written = value;
}

static void note_old(Device *dev, uint64_t old)
{
    ((Chip *)dev)->old = old;
}

static void clear_status(Device *dev)
{
    ((Chip *)dev)->status = 0;
}

static uint64_t read_n(Device *dev, unsigned n)
{
    return 0x1000 + n;
}

static void write_n(Device *dev, unsigned n, uint64_t value)
{
    ((Chip *)dev)->written = n << 16 | value;
}

static unsigned chip_bank(const Device *dev)
{
    return ((const Chip *)dev)->bank;
}

static const Reg regs[] = {
    { "DATA", 0x00, BANK(0), REG_FIELD(Chip, data), .reset = 0x12, .writable = 0xff },
    { "ALT", 0x00, BANK(1), REG_FIELD(Chip, mask), .reset = 0x34, .writable = 0x0f, .wrote = note_old },
    { "COUNT", 0x01, BANK_ANY, .size = 1, .read = count_read },
    { "COMMAND", 0x01, BANK_ANY, .size = 1, .write = note_write },
    { "STATUS", 0x02, BANK_ANY, REG_FIELD(Chip, status), .reset = 0xc3, .w1c = 0xf0, .read_done = clear_status },
    { "WIDE", 0x04, BANK_ANY, REG_FIELD(Chip, wide), .reset = 0x11223344, .writable = 0x00ffffff, .w1c = 0xff000000 },
    { "ARRAY", 0x10, BANK_ANY, REG_ARRAY(Chip, array), .reset = 7, .writable = 0xffff, .stride = 4 },
    { "HOOKS", 0x20, BANK_ANY, .size = 2, .read_n = read_n, .write_n = write_n, .count = 2 },
};
static const RegBank bank = { .regs = regs, .n = G_N_ELEMENTS(regs), .bank = chip_bank };

static int set_up(void **state)
{
    static Chip chip;

    memset(&chip, 0, sizeof(chip));
    reg_reset(&chip.dev, &bank);
    *state = &chip;
    return 0;
}

static void test_reset_sets_every_field_of_every_bank(void **state)
{
    Chip *c = *state;

    assert_int_equal(c->data, 0x12);
    assert_int_equal(c->mask, 0x34);
    assert_int_equal(c->wide, 0x11223344);
    assert_int_equal(c->array[2], 7);
}

static void test_bank_chooses_the_row(void **state)
{
    Chip *c = *state;

    assert_int_equal(reg_read(&c->dev, &bank, 0, 1), 0x12);
    c->bank = 1;
    assert_int_equal(reg_read(&c->dev, &bank, 0, 1), 0x34);
}

static void test_only_writable_bits_change_and_wrote_sees_the_old_value(void **state)
{
    Chip *c = *state;

    c->bank = 1;
    reg_write(&c->dev, &bank, 0, 0xff, 1);
    assert_int_equal(c->mask, 0x3f);
    assert_int_equal(c->old, 0x34);
}

static void test_reads_and_writes_of_one_offset_may_be_different_registers(void **state)
{
    Chip *c = *state;

    reg_write(&c->dev, &bank, 1, 0x5a, 1);
    assert_int_equal(c->written, 0x5a);
    assert_int_equal(reg_read(&c->dev, &bank, 1, 1), 1);
    assert_int_equal(reg_read(&c->dev, &bank, 1, 1), 2);
}

static void test_written_ones_clear(void **state)
{
    Chip *c = *state;

    reg_write(&c->dev, &bank, 2, 0x41, 1);
    assert_int_equal(c->status, 0x83);
}

static void test_reading_may_have_a_side_effect(void **state)
{
    Chip *c = *state;

    assert_int_equal(reg_read(&c->dev, &bank, 2, 1), 0xc3);
    assert_int_equal(c->status, 0);
}

static void test_a_narrow_read_is_cut_out(void **state)
{
    Chip *c = *state;

    assert_int_equal(reg_read(&c->dev, &bank, 5, 1), 0x33);
    assert_int_equal(reg_read(&c->dev, &bank, 6, 2), 0x1122);
}

static void test_a_narrow_write_leaves_the_other_bytes(void **state)
{
    Chip *c = *state;

    reg_write(&c->dev, &bank, 5, 0xff, 1);
    assert_int_equal(c->wide, 0x1122ff44);
}

static void test_a_narrow_write_does_not_clear_bits_it_does_not_cover(void **state)
{
    Chip *c = *state;

    reg_write(&c->dev, &bank, 4, 0xff, 1);
    assert_int_equal(c->wide, 0x112233ff);
    reg_write(&c->dev, &bank, 7, 0x10, 1);
    assert_int_equal(c->wide, 0x012233ff);
}

static void test_a_wide_access_spans_rows_and_gaps(void **state)
{
    Chip *c = *state;

    /* DATA, COUNT, STATUS, nothing */
    assert_int_equal(reg_read(&c->dev, &bank, 0, 4), 0xffc30112);
    reg_write(&c->dev, &bank, 0, 0xaa554477, 4);
    assert_int_equal(c->data, 0x77);
    assert_int_equal(c->written, 0x44);
}

static void test_eight_bytes_at_once(void **state)
{
    Chip *c = *state;

    assert_int_equal(reg_read(&c->dev, &bank, 0, 8), 0x11223344ffc30112);
}

static void test_arrays_by_stride(void **state)
{
    Chip *c = *state;

    reg_write(&c->dev, &bank, 0x14, 0xbeef, 2);
    assert_int_equal(c->array[1], 0xbeef);
    assert_int_equal(reg_read(&c->dev, &bank, 0x14, 4), 0xffffbeef);
    assert_int_equal(reg_read(&c->dev, &bank, 0x1c, 2), 0xffff);
}

static void test_hooks_of_arrays_get_the_index(void **state)
{
    Chip *c = *state;

    assert_int_equal(reg_read(&c->dev, &bank, 0x22, 2), 0x1001);
    reg_write(&c->dev, &bank, 0x22, 0x55, 1);
    assert_int_equal(c->written, 0x10055);
}

static void test_nothing_reads_as_the_absent_value(void **state)
{
    Chip *c = *state;
    RegBank zero = bank;

    zero.absent_is_zero = true;
    assert_int_equal(reg_read(&c->dev, &bank, 0x80, 4), 0xffffffff);
    assert_int_equal(reg_read(&c->dev, &zero, 0x80, 4), 0);
    reg_write(&c->dev, &bank, UINT64_MAX, 1, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_reset_sets_every_field_of_every_bank, set_up),
        cmocka_unit_test_setup(test_bank_chooses_the_row, set_up),
        cmocka_unit_test_setup(test_only_writable_bits_change_and_wrote_sees_the_old_value, set_up),
        cmocka_unit_test_setup(test_reads_and_writes_of_one_offset_may_be_different_registers, set_up),
        cmocka_unit_test_setup(test_written_ones_clear, set_up),
        cmocka_unit_test_setup(test_reading_may_have_a_side_effect, set_up),
        cmocka_unit_test_setup(test_a_narrow_read_is_cut_out, set_up),
        cmocka_unit_test_setup(test_a_narrow_write_leaves_the_other_bytes, set_up),
        cmocka_unit_test_setup(test_a_narrow_write_does_not_clear_bits_it_does_not_cover, set_up),
        cmocka_unit_test_setup(test_a_wide_access_spans_rows_and_gaps, set_up),
        cmocka_unit_test_setup(test_eight_bytes_at_once, set_up),
        cmocka_unit_test_setup(test_arrays_by_stride, set_up),
        cmocka_unit_test_setup(test_hooks_of_arrays_get_the_index, set_up),
        cmocka_unit_test_setup(test_nothing_reads_as_the_absent_value, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
