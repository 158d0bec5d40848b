/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/machine.c, machine-ram.c, machine-numa.c: a board of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/fake-accel.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/machine.h"
#include "vmm/memory-backend.h"
#include "vmm/object.h"

#define MIB (UINT64_C(1) << 20)

typedef struct Options {
    MachineOptions common;
    bool extra;
} Options;

static const Field option_fields[] = {
    F_BOOL("extra", Options, extra, false, .help = "One device more"), FIELD_END
};
static const FieldStruct options = {
    .name = "TestMachineOptions", .size = sizeof(Options), .base = &machine_options, .fields = option_fields,
};

typedef struct Part {
    Device dev;
    uint32_t number;
    unsigned resets;
} Part;

static void part_reset(Device *dev)
{
    ((Part *)dev)->resets++;
}

static const Property part_props[] = { PROP_UINT("number", Part, number, 1, .help = "Its number"), PROP_END };
static const DeviceClass part_class = {
    .name = "part", .desc = "Part", .size = sizeof(Part), .props = part_props, .state = &state_none, .board_only = true,
    .reset = part_reset,
};
static const DeviceClass *const device_classes[] = { &part_class, NULL };

static bool has_extra(const Machine *machine)
{
    return ((const Options *)machine->options)->extra;
}

static const BoardRow rows[] = {
    { .driver = "part", .id = "first", .props = "number=7" },
    { .driver = "part", .when = has_extra },
    { 0 }
};

typedef struct Board { bool ram_came_first; } Board;

static bool map_ram(Machine *machine, GError **error)
{
    Board *b = machine->board = g_new0(Board, 1);

    b->ram_came_first = !fake_accel(machine->domain)->set_up && domain_vcpus(machine->domain) == 0;
    memory_add(domain_memory_root(machine->domain), 0, &machine->ram, 0);
    return true;
}

static bool build(Machine *machine, GError **error)
{
    return machine_realize_rows(machine, error);
}

static void destroy(Machine *machine)
{
    g_free(machine->board);
}

static const CompatProperty compat_1[] = { { "part", "number", "3" }, { 0 } };

#define TEST_MACHINE \
    .desc = "Test machine", .max_cpus = 8, .default_cpu = "qemu64,check=off", .default_ram = 16 * MIB, \
    .default_ram_id = "test.ram", .options = &options, .rows = rows, .map_ram = map_ram, .build = build, \
    .destroy = destroy

static const MachineClass version_2 = { .name = "pc-test-2", .alias = "test", .is_default = true, TEST_MACHINE };
static const MachineClass version_1 = { .name = "pc-test-1", .compat = compat_1, TEST_MACHINE };
static const MachineClass *const machine_classes[] = { &version_1, &version_2, NULL };

typedef struct Fixture {
    Domain *domain;
    Machine *machine;
    GError *error;
} Fixture;

static void make(Fixture *f, const MachineClass *class)
{
    device_classes_set(device_classes);
    machine_classes_set(machine_classes);
    f->domain = domain_new("test", NULL);
    fake_accel_new(f->domain);
    f->machine = machine_new(f->domain, class);
    domain_set_machine(f->domain, f->machine);
}

static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    make(f, &version_2);
    *state = f;
    return 0;
}

static int set_up_older(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    make(f, &version_1);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    g_clear_error(&f->error);
    machine_free(f->machine);
    objects_free(f->domain);
    domain_free(f->domain);
    g_free(f);
    return 0;
}

static void assert_error(Fixture *f, const char *text)
{
    g_autofree char *said = NULL;

    assert_non_null(f->error);
    said = error_text(f->error);
    assert_string_equal(said, text);
    g_clear_error(&f->error);
}

static void assert_builds(Fixture *f)
{
    if (!machine_build(f->machine, &f->error)) {
        fail_msg("%s", f->error->message);
    }
}

static void add_memory(Fixture *f, const char *text)
{
    g_autoptr(Json) object = keyval_parse(text, "qom-type", NULL);

    assert_non_null(object_add(f->domain, object, NULL));
}

/* ---- classes, options, rows ---- */

static void test_an_alias_names_the_newest_version(void **state)
{
    Fixture *f = *state;

    assert_ptr_equal(machine_class_find("test", NULL), &version_2);
    assert_ptr_equal(machine_class_find("pc-test-1", NULL), &version_1);
    assert_null(machine_class_find("pc-test-3", &f->error));
    assert_non_null(strstr(f->error->message, "unsupported machine type 'pc-test-3'"));
}

static void test_an_older_version_has_its_own_defaults(void **state)
{
    Fixture *f = *state;
    Device *dev = device_new(f->domain, &part_class, NULL);

    assert_int_equal(((Part *)dev)->number, 3);
    device_free(dev);
}

static void test_ram_is_mapped_before_the_accelerator_is_set_up(void **state)
{
    Fixture *f = *state;

    assert_builds(f);
    assert_true(((Board *)f->machine->board)->ram_came_first);
    assert_true(fake_accel(f->domain)->set_up);
}

static void test_underscores_in_keys_are_dashes(void **state)
{
    Fixture *f = *state;

    assert_true(machine_set_options(f->machine, "kernel_irqchip=split,extra=on", NULL));
    assert_int_equal(machine_common(f->machine)->kernel_irqchip, IRQCHIP_SPLIT);
}

static void test_an_unknown_option_leaves_the_defaults(void **state)
{
    Fixture *f = *state;

    assert_false(machine_set_options(f->machine, "extra=on,extar=on", &f->error));
    assert_non_null(strstr(f->error->message, "extar"));
    assert_false(has_extra(f->machine));
}

static void test_rows_become_devices_when_they_apply(void **state)
{
    Fixture *f = *state;
    Device *first;

    assert_builds(f);
    first = device_find(f->domain, "/machine/first");
    assert_int_equal(((Part *)first)->number, 7);
    assert_null(device_find(f->domain, "/machine/unattached/device[0]"));
}

static void test_an_option_adds_its_row(void **state)
{
    Fixture *f = *state;

    assert_true(machine_set_options(f->machine, "extra=on", NULL));
    assert_builds(f);
    assert_non_null(device_find(f->domain, "/machine/unattached/device[0]"));
}

static void test_reset_reaches_devices_and_puts_roms_back(void **state)
{
    Fixture *f = *state;
    uint32_t word = 0;

    assert_builds(f);
    machine_add_rom(f->machine, "table", 0x1000, "rom!", 4);
    machine_reset(f->machine);
    memory_write(domain_memory(f->domain), 0x1000, "over", 4);
    machine_reset(f->machine);
    assert_int_equal(memory_read(domain_memory(f->domain), 0x1000, &word, 4), MEMORY_OK);
    assert_memory_equal(&word, "rom!", 4);
    assert_int_equal(((Part *)device_find(f->domain, "/machine/first"))->resets, 2);
}

static void test_more_cpus_than_the_accelerator_gives_are_refused(void **state)
{
    Fixture *f = *state;

    assert_false(machine_set_smp(f->machine, "9", &f->error));
}

/* ---- -m ---- */

static void test_a_bare_size_is_mib(void **state)
{
    Fixture *f = *state;

    assert_true(machine_set_memory(f->machine, "32", NULL));
    assert_int_equal(f->machine->ram_size, 32 * MIB);
}

static void test_slots_reserve_room(void **state)
{
    Fixture *f = *state;

    assert_true(machine_set_memory(f->machine, "size=32M,slots=2,maxmem=1G", NULL));
    assert_builds(f);
    assert_int_equal(f->machine->max_ram_size, 1024 * MIB);
    assert_int_equal(f->machine->ram_slots, 2);
}

static void test_bad_sizes_are_refused(void **state)
{
    Fixture *f = *state;

    assert_false(machine_set_memory(f->machine, "64,slots=2", &f->error));
    assert_error(f, "-m: 'slots' is given without 'maxmem'. Give both, as in -m 1G,slots=2,maxmem=4G.");
    assert_false(machine_set_memory(f->machine, "64,slots=2,maxmem=32M", &f->error));
    assert_error(f, "-m: maxmem is smaller than the RAM at start");
    assert_false(machine_set_memory(f->machine, "64,slots=2,maxmem=64M", &f->error));
    assert_error(f, "-m: there are slots, but maxmem leaves nothing to put into them");
    assert_false(machine_set_memory(f->machine, "lots", &f->error));
}

static void test_ram_has_the_default_size(void **state)
{
    Fixture *f = *state;

    assert_builds(f);
    assert_int_equal(f->machine->ram_size, 16 * MIB);
    assert_int_equal(memory_write(domain_memory(f->domain), 16 * MIB - 4, "last", 4), MEMORY_OK);
    assert_int_not_equal(memory_write(domain_memory(f->domain), 16 * MIB, "over", 4), MEMORY_OK);
}

static void test_size_0_is_the_default(void **state)
{
    Fixture *f = *state;

    assert_true(machine_set_memory(f->machine, "0", NULL));
    assert_builds(f);
    assert_int_equal(f->machine->ram_size, 16 * MIB);
}

static void test_a_backend_gives_ram_its_size(void **state)
{
    Fixture *f = *state;

    add_memory(f, "memory-backend-ram,id=m0,size=8M");
    assert_true(machine_set_options(f->machine, "memory-backend=m0", NULL));
    assert_builds(f);
    assert_int_equal(f->machine->ram_size, 8 * MIB);
}

static void test_ram_without_a_backend_has_one_of_its_own(void **state)
{
    Fixture *f = *state;

    assert_true(machine_set_options(f->machine, "mem-merge=off", NULL));
    assert_builds(f);
    assert_true(object_find(f->domain, "test.ram", NULL, NULL)->class == &memory_backend_ram_class);
    assert_string_equal(machine_common(f->machine)->memory_backend, "test.ram");
    assert_false(object_del(f->domain, "test.ram", &f->error));
    assert_error(f, "Object 'test.ram' is in use. Remove what uses it first.");
    machine_free(f->machine);
    f->machine = NULL;
    assert_null(object_find(f->domain, "test.ram", NULL, NULL));
}

static void test_its_name_is_taken(void **state)
{
    Fixture *f = *state;

    add_memory(f, "memory-backend-ram,id=test.ram,size=8M");
    assert_false(machine_build(f->machine, &f->error));
    assert_error(f, "object id 'test.ram' is the name of the machine's own RAM. Give the object another id or, if it is "
                    "to be that RAM, add -machine memory-backend=test.ram.");
}

static void test_a_backend_of_another_size_is_refused(void **state)
{
    Fixture *f = *state;

    add_memory(f, "memory-backend-ram,id=m0,size=8M");
    assert_true(machine_set_options(f->machine, "memory-backend=m0", NULL));
    assert_true(machine_set_memory(f->machine, "16M", NULL));
    assert_false(machine_build(f->machine, &f->error));
    assert_error(f, "memory backend 'm0' has 8 MiB, -m says 16. Leave out -m, or give the same size.");
}

/* ---- -numa ---- */

static bool numa(Fixture *f, const char *text)
{
    return machine_add_numa(f->machine, text, &f->error);
}

static unsigned node_cpu(Fixture *f, unsigned node, unsigned i)
{
    return g_array_index(g_array_index(f->machine->numa, NumaNode, node).cpus, unsigned, i);
}

static void test_nodes_divide_ram_and_cpus(void **state)
{
    Fixture *f = *state;

    add_memory(f, "memory-backend-ram,id=m0,size=8M");
    add_memory(f, "memory-backend-ram,id=m1,size=4M");
    assert_true(machine_set_smp(f->machine, "4", NULL));
    assert_true(numa(f, "node,nodeid=0,cpus=0,cpus=2-3,memdev=m0"));
    assert_true(numa(f, "node,cpus=1,memdev=m1"));
    assert_builds(f);
    assert_int_equal(f->machine->ram_size, 12 * MIB);
    assert_int_equal(node_cpu(f, 0, 2), 3);
    assert_int_equal(domain_vcpu(f->domain, 1)->node, 1);
    assert_int_equal(domain_vcpu(f->domain, 3)->node, 0);
}

static void test_sockets_go_round_the_nodes_when_nobody_says(void **state)
{
    Fixture *f = *state;

    assert_true(machine_set_smp(f->machine, "4,sockets=2", NULL));
    assert_true(numa(f, "node,mem=8M"));
    assert_true(numa(f, "node,mem=8M"));
    assert_builds(f);
    assert_int_equal(domain_vcpu(f->domain, 1)->node, 0);
    assert_int_equal(domain_vcpu(f->domain, 2)->node, 1);
}

static void test_cpus_are_found_by_topology(void **state)
{
    Fixture *f = *state;

    assert_true(machine_set_smp(f->machine, "4,sockets=2,cores=2", NULL));
    assert_true(numa(f, "node,mem=8M"));
    assert_true(numa(f, "node,mem=8M"));
    assert_true(numa(f, "cpu,node-id=1,socket-id=0"));
    assert_true(numa(f, "cpu,node-id=0,socket-id=1,core-id=1"));
    assert_int_equal(node_cpu(f, 1, 1), 1);
    assert_int_equal(node_cpu(f, 0, 0), 3);
    assert_false(numa(f, "cpu,node-id=0,socket-id=5"));
}

static void test_nodes_must_cover_ram(void **state)
{
    Fixture *f = *state;

    assert_true(machine_set_memory(f->machine, "16M", NULL));
    assert_true(numa(f, "node,mem=8M"));
    assert_false(machine_build(f->machine, &f->error));
    assert_error(f, "-numa: the nodes have 8 MiB of memory, the machine has 16. "
                    "Give the nodes' memdev= backends sizes that add up to -m.");
}

static void test_node_numbers_have_no_gaps(void **state)
{
    Fixture *f = *state;

    assert_true(numa(f, "node,nodeid=1,mem=16M"));
    assert_false(machine_build(f->machine, &f->error));
    assert_error(f, "-numa: node 0 is missing. Number the nodes from 0 without gaps.");
}

static void test_mistakes_in_nodes_are_refused(void **state)
{
    Fixture *f = *state;

    assert_true(numa(f, "node,cpus=0-1,mem=8M"));
    assert_false(numa(f, "node,cpus=1,mem=8M"));
    assert_error(f, "-numa: CPU 1 is given to a node twice");
    assert_false(numa(f, "node,nodeid=0"));
    assert_error(f, "-numa: there are two nodes 0");
    assert_false(numa(f, "node,cpus=3-2"));
    assert_error(f, "-numa node: Parameter 'cpus[0]' expects a number from 0 to 4294967295, not '3-2'");
    assert_false(numa(f, "node,cpus=99999999999"));
    g_clear_error(&f->error);
    assert_false(numa(f, "nod"));
    assert_error(f, "-numa: 'nod' is not known. Did you mean 'node'?");
}

static void test_one_distance_stands_for_both_directions(void **state)
{
    Fixture *f = *state;
    const NumaDistance *d;

    assert_true(numa(f, "node,mem=8M"));
    assert_true(numa(f, "node,mem=8M"));
    assert_true(numa(f, "dist,src=0,dst=1,val=31"));
    assert_builds(f);
    assert_int_equal(f->machine->distances->len, 4);
    d = &g_array_index(f->machine->distances, NumaDistance, 2);
    assert_int_equal(d->src, 1);
    assert_int_equal(d->dst, 0);
    assert_int_equal(d->value, 31);
}

static void test_a_missing_distance_is_refused(void **state)
{
    Fixture *f = *state;

    assert_true(numa(f, "node,mem=8M"));
    assert_true(numa(f, "node,mem=4M"));
    assert_true(numa(f, "node,mem=4M"));
    assert_true(numa(f, "dist,src=0,dst=1,val=31"));
    assert_false(machine_build(f->machine, &f->error));
    assert_error(f, "-numa: the distance between nodes 0 and 2 is missing. Give one for each pair of nodes, or none at all.");
}

static void test_bad_distances_are_refused(void **state)
{
    Fixture *f = *state;

    assert_true(numa(f, "node,mem=16M"));
    assert_false(numa(f, "dist,src=0,dst=0,val=20"));
    assert_error(f, "-numa: the distance of node 0 to itself is 10");
    assert_false(numa(f, "dist,src=0,dst=1,val=20"));
    assert_error(f, "-numa: there is no node 1. Give -numa node,nodeid=1 before it.");
    assert_false(numa(f, "dist,src=0,dst=0,val=9"));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_alias_names_the_newest_version),
        cmocka_unit_test_setup_teardown(test_an_older_version_has_its_own_defaults, set_up_older, tear_down),
        TEST(test_ram_is_mapped_before_the_accelerator_is_set_up),
        TEST(test_underscores_in_keys_are_dashes),
        TEST(test_an_unknown_option_leaves_the_defaults),
        TEST(test_rows_become_devices_when_they_apply),
        TEST(test_an_option_adds_its_row),
        TEST(test_reset_reaches_devices_and_puts_roms_back),
        TEST(test_more_cpus_than_the_accelerator_gives_are_refused),
        TEST(test_a_bare_size_is_mib),
        TEST(test_slots_reserve_room),
        TEST(test_bad_sizes_are_refused),
        TEST(test_ram_has_the_default_size),
        TEST(test_size_0_is_the_default),
        TEST(test_a_backend_gives_ram_its_size),
        TEST(test_ram_without_a_backend_has_one_of_its_own),
        TEST(test_its_name_is_taken),
        TEST(test_a_backend_of_another_size_is_refused),
        TEST(test_nodes_divide_ram_and_cpus),
        TEST(test_sockets_go_round_the_nodes_when_nobody_says),
        TEST(test_cpus_are_found_by_topology),
        TEST(test_nodes_must_cover_ram),
        TEST(test_node_numbers_have_no_gaps),
        TEST(test_mistakes_in_nodes_are_refused),
        TEST(test_one_distance_stands_for_both_directions),
        TEST(test_a_missing_distance_is_refused),
        TEST(test_bad_distances_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
