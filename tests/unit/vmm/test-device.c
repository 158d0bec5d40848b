/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/device.c, device-props.c, device-add.c, bus.c: classes of the test's own on a rig. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/rig.h"
#include "vmm/epoch.h"
#include "vmm/error.h"
#include "vmm/migrate.h"

/* What hooks did, in order: one letter each, of the whole test. */
static GString *events;

static const BusClass slot_bus_class = { .name = "slot", .size = sizeof(Bus) };

typedef struct Gadget {
    Device dev;
    uint32_t level, early;
    char *label;
    void *target;  /* link */
    bool fail;
    uint8_t reg;
    MemoryRegion region;
    Timer *timer;
    Bus inner;
    bool has_inner;
} Gadget;

static Gadget *gadget(Device *dev)
{
    return (Gadget *)dev;
}

/* ---- hooks ---- */

static bool link_attach(Device *dev, const char *id, void **slot, GError **error)
{
    if (strcmp(id, "good") != 0) {
        return error_set(error, "there is no target '%s'", id);
    }
    *slot = events;
    g_string_append_c(events, 'A');
    return true;
}

static void link_detach(Device *dev, void **slot)
{
    g_string_append_c(events, 'D');
}

static const LinkClass target_link = { "target", link_attach, link_detach };

static bool base_realize(Device *dev, GError **error)
{
    g_string_append_c(events, 'r');
    return true;
}

static void base_unrealize(Device *dev)
{
    g_string_append_c(events, 'u');
}

static void base_reset(Device *dev)
{
    lock_assert_held(dev->lock);
    g_string_append_c(events, 'z');
}

static const Reg gadget_regs[] = { { "REG", 0, BANK_ANY, REG_FIELD(Gadget, reg), .reset = 0x42, .writable = 0xff } };

static bool gadget_realize(Device *dev, GError **error)
{
    Gadget *g = gadget(dev);

    g_string_append_c(events, 'R');
    if (g->fail) {
        return error_set(error, "told to fail");
    }
    device_init_regs(dev, &g->region, "gadget", &dev->class->regs, 16);
    memory_add(domain_port_root(dev->domain), 0x500, &g->region, 0);
    if (g->has_inner) {
        bus_init(&g->inner, &slot_bus_class, dev->domain, dev, "inner");
        g->inner.hotplug = true;
    }
    return true;
}

static void gadget_unrealize(Device *dev)
{
    Gadget *g = gadget(dev);

    g_string_append_c(events, 'U');
    timer_free(g->timer);
    if (g->has_inner) {
        bus_finish(&g->inner);
    }
}

static void gadget_reset(Device *dev)
{
    assert_int_equal(gadget(dev)->reg, 0x42);
    g_string_append_c(events, 'Z');
}

static void gadget_pause(Device *dev)
{
    g_string_append_c(events, 'P');
}

static void gadget_resume(Device *dev)
{
    g_string_append_c(events, 'C');
}

static void level_changed(Device *dev)
{
    lock_assert_held(dev->lock);
    g_string_append_c(events, 'L');
}

/* ---- classes ---- */

static const Property base_props[] = {
    PROP_UINT("early", Gadget, early, 1, .help = "Of the base"), PROP_END
};

static const DeviceClass base_class = {
    .name = "gadget-base", .desc = "What gadgets have in common", .size = sizeof(Gadget), .abstract = true,
    .props = base_props, .realize = base_realize, .unrealize = base_unrealize, .reset = base_reset,
};

static const Property gadget_props[] = {
    { .field = F_UINT("level", Gadget, level, 5, .min = 0, .max = 100, .flags = FIELD_RUNTIME, .help = "How much"),
      .changed = level_changed },
    PROP_STR("label", Gadget, label, NULL, .help = "What it says"),
    PROP_LINK("target", Gadget, target, &target_link, .help = "What it drives"),
    PROP_BOOL("fail", Gadget, fail, false, .help = "Fails to realize"),
    PROP_BOOL("has-inner", Gadget, has_inner, false, .help = "Has a bus of its own"),
    PROP_END
};

static const StateDesc gadget_state = {
    .name = "gadget", .version = 1, .fields = (const StateField[]){ STATE_U8(Gadget, reg), STATE_END }
};

static const char *const gadget_aliases[] = { "gizmo", NULL };

static const DeviceClass gadget_class = {
    .name = "gadget", .desc = "Test device", .aliases = gadget_aliases, .category = "Misc", .base = &base_class,
    .size = sizeof(Gadget), .bus = &slot_bus_class, .props = gadget_props, .state = &gadget_state,
    .regs = REG_BANK(gadget_regs), .hotpluggable = true, .realize = gadget_realize, .unrealize = gadget_unrealize,
    .reset = gadget_reset, .pause = gadget_pause, .resume = gadget_resume,
};

static const Property need_props[] = {
    PROP_STR("label", Gadget, label, NULL, .flags = FIELD_REQUIRED, .help = "What it says"), PROP_END
};

static const DeviceClass need_class = {
    .name = "needy", .desc = "Needs a label", .size = sizeof(Gadget), .props = need_props, .state = &state_none,
};

static const DeviceClass part_class = {
    .name = "part", .desc = "Part of a board", .size = sizeof(Device), .state = &state_none, .board_only = true,
};

static const DeviceClass *const classes[] = { &base_class, &gadget_class, &need_class, &part_class, NULL };

/* ---- composite ---- */

static bool front_realize(Device *dev, GError **error)
{
    return device_realize(dev->backend, NULL, error);
}

static const Property front_props[] = { PROP_UINT("early", Gadget, early, 9, .help = "Of the front"), PROP_END };
static const DeviceClass back_class = {
    .name = "back", .desc = "Backend", .size = sizeof(Gadget), .props = gadget_props, .state = &state_none,
};
static const DeviceClass front_class = {
    .name = "front", .desc = "Front", .size = sizeof(Gadget), .props = front_props, .state = &state_none,
    .backend = &back_class, .realize = front_realize,
};

/* ---- fixture ---- */

typedef struct Fixture {
    Rig *rig;
    Domain *domain;
    Bus slot;
    GError *error;
} Fixture;

static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    events = g_string_new(NULL);
    f->rig = rig_new(NULL);
    f->domain = f->rig->domain;
    device_classes_set(classes);
    bus_init(&f->slot, &slot_bus_class, f->domain, NULL, "slot.0");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    g_clear_error(&f->error);
    bus_finish(&f->slot);
    rig_settle(f->rig);
    rig_free(f->rig);
    g_string_free(events, TRUE);
    g_free(f);
    return 0;
}

static Device *add(Fixture *f, const char *text)
{
    g_autoptr(Json) options = keyval_parse(text, "driver", NULL);

    g_clear_error(&f->error);
    return device_add(f->domain, options, &f->error);
}

static void assert_fails(Fixture *f, const char *text, const char *message)
{
    unsigned before = f->slot.children->len;
    g_autofree char *said = NULL;

    assert_null(add(f, text));
    said = error_text(f->error);
    assert_string_equal(said, message);
    assert_int_equal(f->slot.children->len, before);
}

/* ---- properties ---- */

static void test_properties_have_their_defaults(void **state)
{
    Fixture *f = *state;
    Gadget *g = gadget(add(f, "gadget"));

    assert_int_equal(g->level, 5);
    assert_int_equal(g->early, 1);
    assert_null(g->label);
}

static void test_global_goes_over_the_default_and_under_the_user(void **state)
{
    Fixture *f = *state;

    assert_true(device_global_add(f->domain, "gadget", "level", "7", NULL));
    assert_int_equal(gadget(add(f, "gadget"))->level, 7);
    assert_int_equal(gadget(add(f, "gadget,level=8"))->level, 8);
}

static void test_the_later_global_wins(void **state)
{
    Fixture *f = *state;

    assert_true(device_global_add(f->domain, "gadget", "level", "7", NULL));
    assert_true(device_global_add(f->domain, "gadget", "level", "9", NULL));
    assert_int_equal(gadget(add(f, "gadget"))->level, 9);
}

static void test_a_global_of_the_base_goes_under_that_of_the_class(void **state)
{
    Fixture *f = *state;

    assert_true(device_global_add(f->domain, "gadget", "early", "3", NULL));
    assert_true(device_global_add(f->domain, "gadget-base", "early", "2", NULL));
    assert_int_equal(gadget(add(f, "gadget"))->early, 3);
}

static void test_compat_rows_go_under_globals(void **state)
{
    static const CompatProperty compat[] = { { "gadget", "level", "11" }, { "gadget", "label", "old" }, { 0 } };
    Fixture *f = *state;
    const MachineClass *class = f->rig->machine->class;
    MachineClass older = *class;
    Gadget *g;

    older.compat = compat;
    f->rig->machine->class = &older;
    assert_true(device_global_add(f->domain, "gadget", "level", "7", NULL));
    g = gadget(add(f, "gadget"));
    assert_int_equal(g->level, 7);
    assert_string_equal(g->label, "old");
    f->rig->machine->class = class;
}

static void test_a_bad_global_is_refused_when_it_is_given(void **state)
{
    Fixture *f = *state;

    assert_false(device_global_add(f->domain, "gadget", "levle", "7", NULL));
    assert_false(device_global_add(f->domain, "gadget", "level", "many", NULL));
    assert_false(device_global_add(f->domain, "gadgit", "level", "7", NULL));
}

static void test_an_unknown_property_names_the_nearest(void **state)
{
    assert_fails(*state, "gadget,levle=3", "Property 'gadget.levle' not found. Did you mean 'level'?");
}

static void test_a_value_out_of_range_is_refused(void **state)
{
    Fixture *f = *state;

    assert_null(add(f, "gadget,level=101"));
    assert_non_null(strstr(f->error->message, "level"));
}

static void test_a_required_property_must_be_given(void **state)
{
    assert_fails(*state, "needy", "Device 'needy' needs property 'label'. Add label=<label>.");
}

static void test_only_runtime_properties_change_in_use(void **state)
{
    Fixture *f = *state;
    Device *dev = add(f, "gadget,id=g0");
    g_autoptr(GError) error = NULL;

    assert_true(device_set_text(dev, "level", "6", NULL));
    assert_int_equal(gadget(dev)->level, 6);
    assert_string_equal(events->str, "rRL");
    assert_false(device_set_text(dev, "label", "x", &error));
    assert_string_equal(error->message, "Property 'label' of device 'g0' cannot be changed any more once the device is in use");
}

static void test_a_link_lasts_from_realize_to_unrealize(void **state)
{
    Fixture *f = *state;
    Device *dev = add(f, "gadget,target=good");

    assert_ptr_equal(gadget(dev)->target, events);
    device_unrealize(dev);
    assert_null(gadget(dev)->target);
    assert_string_equal(events->str, "ArRPUuD");
    device_free(dev);
}

static void test_what_cannot_be_saved_may_be_refused(void **state)
{
    static const StateDesc here = { .name = "pinned", .unmigratable = "it is pinned to this host" };
    static const DeviceClass pinned = {
        .name = "pinned", .desc = "Cannot move", .size = sizeof(Device), .bus = &slot_bus_class, .state = &here,
        .hotpluggable = true,
    };
    static const DeviceClass *const list[] = { &pinned, NULL };
    Fixture *f = *state;

    device_classes_set(list);
    device_free(add(f, "pinned,id=p0"));
    migrate_set_only(f->domain);
    assert_fails(f, "pinned,id=p0", "p0: -only-migratable forbids what keeps the domain from moving: it is pinned to "
                                    "this host. Leave one of both out.");
}

static void test_a_link_to_nothing_fails_before_realize(void **state)
{
    assert_fails(*state, "gadget,id=g0,target=bad", "g0: there is no target 'bad'");
    assert_string_equal(events->str, "");
}

/* ---- lifecycle ---- */

static void test_a_failed_realize_undoes_the_base(void **state)
{
    Fixture *f = *state;

    assert_fails(f, "gadget,id=g0,target=good,fail=on", "g0: told to fail");
    assert_string_equal(events->str, "ArRuD");
    assert_null(device_find(f->domain, "g0"));
}

static void test_the_id_of_a_failed_device_is_free_again(void **state)
{
    Fixture *f = *state;

    assert_null(add(f, "gadget,id=g0,fail=on"));
    assert_non_null(add(f, "gadget,id=g0"));
}

static void test_reset_sets_registers_then_calls_base_first(void **state)
{
    Fixture *f = *state;
    Device *dev = add(f, "gadget");

    g_string_truncate(events, 0);
    rig_out8(f->rig, 0x500, 0x99);
    assert_int_equal(rig_in8(f->rig, 0x500), 0x99);
    device_reset(dev);
    assert_string_equal(events->str, "zZ");
    assert_int_equal(rig_in8(f->rig, 0x500), 0x42);
}

static void test_pause_and_resume_do_not_nest(void **state)
{
    Fixture *f = *state;
    Device *dev = add(f, "gadget");

    g_string_truncate(events, 0);
    device_pause(dev);
    device_pause(dev);
    device_resume(dev);
    device_resume(dev);
    assert_string_equal(events->str, "PC");
}

static void test_a_freed_device_is_out_of_the_map(void **state)
{
    Fixture *f = *state;

    device_free(add(f, "gadget"));
    assert_int_equal(rig_in8(f->rig, 0x500), 0xff);
}

static void test_freeing_a_bridge_frees_what_is_behind_it(void **state)
{
    Fixture *f = *state;
    Device *bridge = add(f, "gadget,has-inner=on,id=b");

    assert_non_null(add(f, "gadget,bus=inner,id=g"));
    device_free(bridge);
    assert_null(device_find(f->domain, "g"));
    assert_null(bus_find(f->domain, "inner"));
}

static void note_post(Device *dev)
{
    lock_assert_held(dev->lock);
    g_string_append_c(events, '!');
}

static void test_a_posted_call_holds_the_lock(void **state)
{
    Fixture *f = *state;
    Device *dev = add(f, "gadget");

    g_string_truncate(events, 0);
    device_post(dev, note_post);
    assert_string_equal(events->str, "");
    rig_settle(f->rig);
    assert_string_equal(events->str, "!");
}

static void test_a_posted_call_to_a_freed_device_is_dropped(void **state)
{
    Fixture *f = *state;
    Device *dev = add(f, "gadget");

    device_post(dev, note_post);
    device_free(dev);
    epoch_synchronize();
    g_string_truncate(events, 0);
    rig_settle(f->rig);
    assert_string_equal(events->str, "");
}

static void test_a_timer_holds_the_lock(void **state)
{
    Fixture *f = *state;
    Device *dev = add(f, "gadget");

    g_string_truncate(events, 0);
    gadget(dev)->timer = device_timer_new(dev, domain_clock(f->domain), note_post);
    timer_mod(gadget(dev)->timer, 1000);
    rig_advance(f->rig, 999);
    assert_string_equal(events->str, "");
    rig_advance(f->rig, 1);
    assert_string_equal(events->str, "!");
}

/* ---- names ---- */

static void test_paths_tell_where_a_device_comes_from(void **state)
{
    Fixture *f = *state;
    Device *plain = device_new(f->domain, &gadget_class, NULL);

    assert_string_equal(add(f, "gadget,id=g0")->path, "/machine/peripheral/g0");
    assert_string_equal(add(f, "gadget")->path, "/machine/peripheral-anon/device[0]");
    assert_string_equal(add(f, "gadget")->path, "/machine/peripheral-anon/device[1]");
    assert_true(device_realize(plain, &f->slot, NULL));
    assert_true(g_str_has_prefix(plain->path, "/machine/unattached/device["));
    assert_ptr_equal(device_find(f->domain, "/machine/peripheral/g0"), device_find(f->domain, "g0"));
}

static void test_an_alias_names_the_class(void **state)
{
    assert_ptr_equal(add(*state, "gizmo")->class, &gadget_class);
}

static void test_an_unknown_driver_names_the_nearest(void **state)
{
    Fixture *f = *state;

    assert_fails(f, "gadgit", "'gadgit' is not a valid device model name. Did you mean 'gadget'?");
    assert_string_equal(error_class_name(f->error), "GenericError");
}

static void test_bases_and_parts_of_boards_cannot_be_added(void **state)
{
    assert_fails(*state, "gadget-base",
                 "Device 'gadget-base' cannot be added, it is only a base of others. Use -device help to list those that can.");
    assert_fails(*state, "part",
                 "Device 'part' cannot be added, it is part of a machine. Use -device help to list those that can.");
}

static void test_an_id_is_used_once(void **state)
{
    Fixture *f = *state;

    assert_non_null(add(f, "gadget,id=g0"));
    assert_fails(f, "gadget,id=g0", "Duplicate device id 'g0'");
}

static void test_an_id_is_well_formed(void **state)
{
    Fixture *f = *state;

    assert_null(add(f, "gadget,id=0g"));
    assert_null(add(f, "gadget,id=g/0"));
}

/* ---- buses ---- */

static void test_an_unknown_bus_names_the_nearest(void **state)
{
    assert_fails(*state, "gadget,bus=slot.1", "Bus 'slot.1' not found. Did you mean 'slot.0'?");
}

static void test_a_bus_of_another_kind_is_refused(void **state)
{
    assert_fails(*state, "gadget,bus=isa.0", "Device 'gadget' can't go on ISA bus 'isa.0', it needs a slot bus");
}

static void test_a_full_bus_is_passed_over(void **state)
{
    Fixture *f = *state;

    assert_non_null(add(f, "gadget,has-inner=on"));
    f->slot.full = true;
    assert_string_equal(add(f, "gadget")->bus->name, "inner");
    assert_null(add(f, "gadget,bus=slot.0"));
    assert_string_equal(f->error->message, "Bus 'slot.0' is full");
}

static void test_removal_needs_a_bus_that_can(void **state)
{
    Fixture *f = *state;

    assert_non_null(add(f, "gadget,id=g0"));
    assert_false(device_del(f->domain, "g0", &f->error));
    assert_string_equal(f->error->message, "Bus 'slot.0' does not support hotplugging");
    f->slot.hotplug = true;
    assert_true(device_del(f->domain, "g0", NULL));
    assert_null(device_find(f->domain, "g0"));
}

static void test_removing_what_is_not_there_is_device_not_found(void **state)
{
    Fixture *f = *state;

    assert_false(device_del(f->domain, "g0", &f->error));
    assert_int_equal(f->error->code, ERROR_DEVICE_NOT_FOUND);
}

/* ---- composites ---- */

static void test_a_composite_passes_properties_to_its_backend(void **state)
{
    Fixture *f = *state;
    Device *dev = device_new(f->domain, &front_class, "f0");

    assert_true(device_set_text(dev, "level", "6", NULL));
    assert_true(device_set_text(dev, "early", "4", NULL));
    assert_int_equal(gadget(dev->backend)->level, 6);
    assert_int_equal(gadget(dev)->early, 4);
    device_free(dev);
}

static void test_a_composite_and_its_backend_share_lock_and_name(void **state)
{
    Fixture *f = *state;
    Device *dev = device_new(f->domain, &front_class, "f0");

    assert_true(device_realize(dev, NULL, NULL));
    assert_ptr_equal(dev->backend->lock, dev->lock);
    assert_string_equal(dev->backend->path, "/machine/peripheral/f0/virtio-backend");
    assert_string_equal(device_name(dev->backend), "f0");
}

static void test_a_post_to_a_backend_outlives_its_composite(void **state)
{
    Fixture *f = *state;
    Device *dev = device_new(f->domain, &front_class, "f0");

    assert_true(device_realize(dev, NULL, NULL));
    device_post(dev->backend, note_post);
    device_free(dev);
    epoch_synchronize();
    g_string_truncate(events, 0);
    rig_settle(f->rig);
    assert_string_equal(events->str, "");
}

/* ---- help ---- */

static void test_help_lists_properties_by_name(void **state)
{
    g_autoptr(GString) help = g_string_new(NULL);
    g_auto(GStrv) lines = NULL;

    device_class_help(&gadget_class, help);
    lines = g_strsplit(help->str, "\n", -1);
    assert_string_equal(lines[0], "gadget options:");
    assert_true(g_str_has_prefix(lines[1], "  early=<uint32>"));
    assert_true(g_str_has_prefix(lines[5], "  level=<uint32>"));
    assert_string_equal(lines[6], "  target=<target>  - What it drives");
}

static void test_help_leaves_out_what_cannot_be_added(void **state)
{
    g_autoptr(GString) help = g_string_new(NULL);

    device_classes_help(help);
    assert_string_equal(help->str,
                        "Misc devices:\n"
                        "name \"gadget\", bus slot, alias \"gizmo\", desc \"Test device\"\n"
                        "name \"needy\", desc \"Needs a label\"\n");
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_properties_have_their_defaults),
        TEST(test_global_goes_over_the_default_and_under_the_user),
        TEST(test_the_later_global_wins),
        TEST(test_a_global_of_the_base_goes_under_that_of_the_class),
        TEST(test_compat_rows_go_under_globals),
        TEST(test_a_bad_global_is_refused_when_it_is_given),
        TEST(test_an_unknown_property_names_the_nearest),
        TEST(test_a_value_out_of_range_is_refused),
        TEST(test_a_required_property_must_be_given),
        TEST(test_only_runtime_properties_change_in_use),
        TEST(test_a_link_lasts_from_realize_to_unrealize),
        TEST(test_what_cannot_be_saved_may_be_refused),
        TEST(test_a_link_to_nothing_fails_before_realize),
        TEST(test_a_failed_realize_undoes_the_base),
        TEST(test_the_id_of_a_failed_device_is_free_again),
        TEST(test_reset_sets_registers_then_calls_base_first),
        TEST(test_pause_and_resume_do_not_nest),
        TEST(test_a_freed_device_is_out_of_the_map),
        TEST(test_freeing_a_bridge_frees_what_is_behind_it),
        TEST(test_a_posted_call_holds_the_lock),
        TEST(test_a_posted_call_to_a_freed_device_is_dropped),
        TEST(test_a_timer_holds_the_lock),
        TEST(test_paths_tell_where_a_device_comes_from),
        TEST(test_an_alias_names_the_class),
        TEST(test_an_unknown_driver_names_the_nearest),
        TEST(test_bases_and_parts_of_boards_cannot_be_added),
        TEST(test_an_id_is_used_once),
        TEST(test_an_id_is_well_formed),
        TEST(test_an_unknown_bus_names_the_nearest),
        TEST(test_a_bus_of_another_kind_is_refused),
        TEST(test_a_full_bus_is_passed_over),
        TEST(test_removal_needs_a_bus_that_can),
        TEST(test_removing_what_is_not_there_is_device_not_found),
        TEST(test_a_composite_passes_properties_to_its_backend),
        TEST(test_a_composite_and_its_backend_share_lock_and_name),
        TEST(test_a_post_to_a_backend_outlives_its_composite),
        TEST(test_help_lists_properties_by_name),
        TEST(test_help_leaves_out_what_cannot_be_added),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
