/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code store of a guest at rest: what is no longer needed goes, the host gets its
 * memory, what is needed works on; and none of it while the guest has work.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "soft-rig.h"
#include "vmm/x86/soft/block.h"

#define JUMPS 16000 /* blocks, of more than a megabyte */
#define BUSY  (UINT64_C(1) << 32)
#define SMALL_REGION (176 * 1024)

static int setup(void **state)
{
    SoftRig *rig = soft_rig_new();

    soft_rig_enter_64(rig, 0);
    for (unsigned i = 0; i < JUMPS; i++) {
        memcpy(rig->host + RIG_DATA + 2 * i, "\xeb\x00", 2); /* jmp to the next */
    }
    rig->host[RIG_DATA + 2 * JUMPS] = 0xf4; /* hlt */
    rig->host[RIG_CODE] = 0xf4;
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    soft_rig_free(*state);
    return 0;
}

static void run_to_halt(SoftRig *rig, uint64_t rip)
{
    rig->cpu->halted = false;
    rig->cpu->rip = rip;
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_HALTED);
}

/* The next halt takes a look. */
static void make_due(SoftRig *rig)
{
    rig->vm->code->rest.looked_at = 0;
}

static uint64_t used(const SoftRig *rig)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < CODE_REGIONS; i++) {
        sum += (uint64_t)(rig->vm->code->region[i].next - rig->vm->code->region[i].start);
    }
    return sum;
}

static void test_a_guest_at_rest_keeps_what_it_uses(void **state)
{
    SoftRig *rig = *state;
    SoftCode *code = rig->vm->code;
    const CodeRegion *first = &code->region[0];
    uint64_t before, full;

    run_to_halt(rig, RIG_DATA); /* the first halt looks */
    full = used(rig);
    assert_true(full > 1 << 20);
    assert_int_equal(code->rest.left, CODE_REGIONS - 1);
    for (unsigned i = 1; i < CODE_REGIONS; i++) {
        run_to_halt(rig, RIG_CODE);
        assert_int_equal(code->rest.left, CODE_REGIONS - 1 - i);
    }
    assert_true(used(rig) < 1024);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_HALTED); /* knows nothing of what was dropped */
    make_due(rig);
    run_to_halt(rig, RIG_CODE);
    assert_false(first->touched);
    for (const uint8_t *at = first->start; at < first->start + full; at++) {
        assert_int_equal(*at, 0);
    }
    before = rig->cpu->instructions;
    run_to_halt(rig, RIG_DATA);
    assert_int_equal(rig->cpu->instructions - before, JUMPS + 1);
    assert_int_equal(used(rig) / 1024, full / 1024);
}

static void test_a_guest_that_needs_as_much_again_is_left_alone(void **state)
{
    SoftRig *rig = *state;
    SoftCode *code = rig->vm->code;

    run_to_halt(rig, RIG_DATA);
    for (unsigned i = 1; i < CODE_REGIONS; i++) {
        run_to_halt(rig, RIG_DATA);
    }
    make_due(rig);
    run_to_halt(rig, RIG_DATA);
    assert_true(used(rig) > 1 << 20);
    make_due(rig);
    run_to_halt(rig, RIG_DATA);
    assert_int_equal(code->rest.left, 0);
}

static void test_a_guest_that_wakes_while_it_is_tidied_has_room(void **state)
{
    SoftRig *rig = *state;
    SoftCode *code = rig->vm->code;
    uint64_t before;

    for (unsigned i = 0; i < CODE_REGIONS; i++) { /* so that the store has been through all of them */
        code->region[i].end = code->region[i].start + SMALL_REGION;
    }
    run_to_halt(rig, RIG_DATA);
    assert_true(code->regions_reused >= CODE_REGIONS);
    assert_int_equal(code->rest.left, CODE_REGIONS - 1);
    before = rig->cpu->instructions;
    run_to_halt(rig, RIG_DATA); /* more than a region, at one go */
    assert_int_equal(rig->cpu->instructions - before, JUMPS + 1);
    for (unsigned i = 0; i < CODE_REGIONS; i++) {
        assert_in_range(code->region[i].next - code->region[i].start, 0, SMALL_REGION);
    }
}

static void test_a_guest_with_work_is_left_alone(void **state)
{
    SoftRig *rig = *state;

    rig->vm->code->rest.instructions -= BUSY; /* as if it had executed so many since the last look */
    run_to_halt(rig, RIG_DATA);
    assert_true(used(rig) > 1 << 20);
    assert_int_equal(rig->vm->code->rest.left, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_guest_at_rest_keeps_what_it_uses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_guest_that_needs_as_much_again_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_guest_that_wakes_while_it_is_tidied_has_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_guest_with_work_is_left_alone, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
