/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every device class must do, checked on each class of hw/devices.c: a row of
 * checks times a list of classes.  Run it under ASan too: leaks and stray accesses
 * are half of what it looks for.
 *
 * A device that the rig's board has is tested in place; a virtio device is tested
 * behind its transport.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/block.h"
#include "hw/devices.h"
#include "net/net.h"
#include "tests/unit/rig.h"
#include "vmm/chardev.h"
#include "vmm/epoch.h"
#include "vmm/error.h"
#include "vmm/state-format.h"

/* What a class needs beside its defaults. */
typedef struct Recipe {
    const char *driver, *options;
    const char *keeps; /* why scribbled registers survive a reset; NULL: they do not */
    const char *behind; /* a device that provides the bus it plugs into; NULL: the board has it */
} Recipe;

static const Recipe recipes[] = {
    { "e1000", "netdev=n0" },
    { "e1000e", "netdev=n0" },
    { "isa-debugcon", "chardev=c0" },
    { "mc146818rtc", NULL, "its RAM is battery backed" },
    { "mch", "addr=00.0" },
    { "ICH9-LPC", "addr=1f.0,multifunction=on" },
    { "virtio-blk-pci", "drive=d0" },
    { "virtio-net-pci", "netdev=n0,mq=on" },
    { "virtio-mmio", "base=0xd0000000,gsi=5" },
    { "virtconsole", "chardev=c0", .behind = "virtio-serial-pci" },
    { "virtserialport", "chardev=c0,name=org.lodge", .behind = "virtio-serial-pci" },
    { NULL }
};

#define SCRIBBLE_MAX  0x1000 /* bytes at each end of a region */
#define CORRUPTIONS   400

static const Recipe *find_recipe(const DeviceClass *class)
{
    static const Recipe none = { 0 };

    for (const Recipe *r = recipes; r->driver; r++) {
        if (strcmp(r->driver, class->name) == 0) {
            return r;
        }
    }
    return &none;
}

static void make_disk(Domain *domain)
{
    char path[] = "/tmp/lodge-conformance-XXXXXX";
    int fd = mkstemp(path);
    g_autofree char *drive = g_strdup_printf("if=none,id=d0,format=raw,file=%s", path);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    assert_true(drive_add(domain, drive, NULL));
    close(fd);
    unlink(path);
}

static void make_backends(Domain *domain)
{
    assert_non_null(chardev_add_text(domain, "null,id=c0", NULL));
    assert_true(netdev_add_text(domain, "hubport,id=n0,hubid=0", NULL));
    make_disk(domain);
}

/* ---- a device of the class, in a fresh rig ---- */

typedef struct Search {
    const DeviceClass *class;
    Device *found;
} Search;

static bool is_of_class(Device *dev, void *opaque)
{
    Search *s = opaque;

    s->found = dev->class == s->class ? dev : NULL;
    return !s->found;
}

static Device *on_board(Rig *r, const DeviceClass *class)
{
    Search s = { class, NULL };

    device_each(r->domain, is_of_class, &s);
    return s.found;
}

static char *device_options(const DeviceClass *class)
{
    const Recipe *recipe = find_recipe(class);

    return recipe->options && *recipe->options ? g_strdup_printf("%s,%s", class->name, recipe->options)
                                               : g_strdup(class->name);
}

/* What a test is about, and its rig, which the teardown frees even if the test fails. */
typedef struct Subject {
    const DeviceClass *class;
    char *name;
    Rig *rig;
} Subject;

static const DeviceClass *class_of(void **state)
{
    return ((Subject *)*state)->class;
}

static Rig *bare_rig(void **state)
{
    const Recipe *recipe = find_recipe(class_of(state));
    Rig *r = ((Subject *)*state)->rig = rig_new_with(NULL, make_backends);

    if (recipe->behind) {
        g_autofree char *failure = rig_try_add(r, recipe->behind);

        assert_null(failure);
        r->dev = NULL;
    }
    return r;
}

static Rig *rig_of(void **state)
{
    const DeviceClass *class = class_of(state);
    Rig *r = bare_rig(state);

    r->dev = on_board(r, class);
    if (!r->dev) {
        g_autofree char *options = device_options(class);
        g_autofree char *failure = rig_try_add(r, options);

        if (failure) {
            fail_msg("%s", failure);
        }
    }
    machine_reset(r->machine);
    return r;
}

static int tear_down(void **state)
{
    Subject *subject = *state;

    if (subject->rig) {
        rig_settle(subject->rig);
        rig_free(g_steal_pointer(&subject->rig));
    }
    return 0;
}

/* ---- every register, every size ---- */

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

typedef void (*AccessFn)(AddressSpace *as, uint64_t offset, unsigned size, uint32_t *seed);

static void read_one(AddressSpace *as, uint64_t offset, unsigned size, uint32_t *seed)
{
    uint64_t value;

    memory_load(as, offset, size, &value);
}

static void write_one(AddressSpace *as, uint64_t offset, unsigned size, uint32_t *seed)
{
    memory_store(as, offset, size, (uint64_t)next_random(seed) << 32 | next_random(seed));
}

static void each_access(MemoryRegion *mr, AccessFn fn, uint32_t *seed)
{
    MemoryRegion root, alias;
    AddressSpace *as;
    uint64_t size = mr->size;

    memory_region_init(&root, "conformance", UINT64_MAX);
    memory_region_init_alias(&alias, "region", mr, 0, size);
    memory_add(&root, 0, &alias, 0);
    as = address_space_new("conformance", &root, false);
    for (uint64_t at = 0; at < size; at++) {
        if (at == SCRIBBLE_MAX && size > 2 * SCRIBBLE_MAX) {
            at = size - SCRIBBLE_MAX;
        }
        fn(as, at, 1, seed);
        fn(as, at, 2, seed);
        fn(as, at, 4, seed);
        fn(as, at, 8, seed);
    }
    address_space_free(as);
    memory_remove(&alias);
    epoch_synchronize();
    memory_region_finish(&alias);
    memory_region_finish(&root);
}

static bool is_pci(const Device *dev)
{
    return device_class_is(dev->class, &pci_device_class);
}

static void each_register(Rig *r, AccessFn fn)
{
    uint32_t seed = 1;

    for (unsigned i = 0; i < r->dev->regions->len; i++) {
        each_access(g_ptr_array_index(r->dev->regions, i), fn, &seed);
    }
}

static void scribble(Rig *r)
{
    uint32_t seed = 7;

    each_register(r, write_one);
    for (unsigned at = 0; is_pci(r->dev) && at < PCIE_CONFIG_SIZE; at++) {
        rig_config_write(r, pci_device(r->dev)->devfn, at, next_random(&seed), 1);
        rig_config_write(r, pci_device(r->dev)->devfn, at & ~1u, next_random(&seed), 2);
        rig_config_write(r, pci_device(r->dev)->devfn, at & ~3u, next_random(&seed), 4);
    }
}

static void test_every_register_answers_at_every_size(void **state)
{
    Rig *r = rig_of(state);

    each_register(r, read_one);
    scribble(r);
    each_register(r, read_one);
    for (unsigned at = 0; is_pci(r->dev) && at < PCIE_CONFIG_SIZE; at++) {
        rig_config_read(r, pci_device(r->dev)->devfn, at, 1);
        rig_config_read(r, pci_device(r->dev)->devfn, at & ~1u, 2);
        rig_config_read(r, pci_device(r->dev)->devfn, at & ~3u, 4);
    }
}

/* ---- tables ---- */

static char *check_properties(const DeviceClass *class)
{
    g_autoptr(GArray) fields = g_array_new(TRUE, TRUE, sizeof(Field));
    FieldStruct table = { .name = class->name, .size = class->size };

    for (const Property *p = class->props; p && p->field.type != FIELD_END_OF_TABLE; p++) {
        g_array_append_val(fields, p->field);
    }
    table.fields = (const Field *)fields->data;
    return field_struct_check(&table);
}

static void test_tables_are_sound(void **state)
{
    const DeviceClass *class = class_of(state);
    g_autofree char *mistakes = check_properties(class);

    assert_true(class->size >= sizeof(Device));
    assert_non_null(class->desc);
    assert_true(*class->desc && !g_str_has_suffix(class->desc, "."));
    assert_true(class->abstract || class->state);
    assert_true(!class->base || class->size >= class->base->size);
    if (mistakes) {
        fail_msg("%s", mistakes);
    }
}

static void test_help_names_the_class(void **state)
{
    const DeviceClass *class = class_of(state);
    g_autoptr(GString) help = g_string_new(NULL);

    device_class_help(class, help);
    assert_true(g_str_has_prefix(help->str, class->name));
}

/* ---- reset ---- */

/* Shows the first line that differs, under its section's path. */
static void assert_equal_lines(const char *a, const char *b)
{
    g_auto(GStrv) lines_a = g_strsplit(a, "\n", -1), lines_b = g_strsplit(b, "\n", -1);
    const char *path = "";

    for (unsigned i = 0; lines_a[i] && lines_b[i]; i++) {
        path = lines_a[i][0] == '/' ? lines_a[i] : path;
        if (strcmp(lines_a[i], lines_b[i]) != 0) {
            fail_msg("%s\n%s\n%s", path, lines_a[i], lines_b[i]);
        }
    }
}

static void assert_equal(const GByteArray *a, const GByteArray *b)
{
    g_autoptr(GString) text_a = g_string_new(NULL), text_b = g_string_new(NULL);

    assert_true(state_describe(a->data, a->len, text_a, NULL));
    assert_true(state_describe(b->data, b->len, text_b, NULL));
    assert_equal_lines(text_a->str, text_b->str);
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->data, b->data, a->len);
}

static void test_reset_twice_is_reset_once(void **state)
{
    Rig *r = rig_of(state);
    g_autoptr(GByteArray) once = rig_save(r), twice = NULL;

    machine_reset(r->machine);
    twice = rig_save(r);
    assert_equal(once, twice);
}

static void test_reset_is_complete(void **state)
{
    const DeviceClass *class = class_of(state);
    Rig *r = rig_of(state);
    g_autoptr(GByteArray) before = rig_save(r), after = NULL;

    scribble(r);
    machine_reset(r->machine);
    after = rig_save(r);
    if (!find_recipe(class)->keeps) {
        assert_equal(before, after);
    }
}

/* ---- saved state ---- */

static void test_a_restored_device_saves_equal_bytes(void **state)
{
    Rig *r = rig_of(state);
    g_autoptr(GByteArray) saved = NULL, again = NULL;
    g_autofree char *failure = NULL;

    scribble(r);
    saved = rig_save(r);
    tear_down(state);
    r = rig_of(state);
    failure = rig_load(r, saved);
    if (failure) {
        fail_msg("%s", failure);
    }
    again = rig_save(r);
    assert_equal(saved, again);
}

/* Makes every checksum right again, as an attacker would. */
static void seal(GByteArray *stream)
{
    for (guint at = 0; at + STATE_HEADER <= stream->len;) {
        uint32_t length, crc;

        memcpy(&length, stream->data + at + 4, sizeof(length));
        if (length > stream->len - at - STATE_HEADER) {
            return;
        }
        crc = state_crc32c(stream->data + at + STATE_HEADER, length);
        memcpy(stream->data + at + 8, &crc, sizeof(crc));
        at += STATE_HEADER + length;
    }
}

static void test_corrupt_state_is_refused_unchanged(void **state)
{
    Rig *r = rig_of(state);
    g_autoptr(GByteArray) good = rig_save(r), now = NULL;
    uint32_t seed = 3;

    for (unsigned i = 0; i < CORRUPTIONS; i++) {
        unsigned at = next_random(&seed) % good->len;
        uint8_t old = good->data[at];
        g_autofree char *failure = NULL;

        good->data[at] ^= (uint8_t)(1 + next_random(&seed) % 255);
        failure = rig_load(r, good);
        assert_non_null(failure);
        good->data[at] = old;
    }
    now = rig_save(r);
    assert_equal(good, now);
}

static void test_truncated_state_is_refused_unchanged(void **state)
{
    Rig *r = rig_of(state);
    g_autoptr(GByteArray) good = rig_save(r), now = NULL;
    guint whole = good->len;

    for (guint length = 0; length < whole; length += 1 + whole / CORRUPTIONS) {
        g_autofree char *failure = NULL;

        good->len = length;
        failure = rig_load(r, good);
        assert_non_null(failure);
    }
    good->len = whole;
    now = rig_save(r);
    assert_equal(good, now);
}

/* With right checksums a stream may say anything: it is refused or taken, and the device stays sane. */
static void test_hostile_state_does_no_harm(void **state)
{
    Rig *r = rig_of(state);
    g_autoptr(GByteArray) good = rig_save(r);
    uint32_t seed = 11;

    for (unsigned i = 0; i < CORRUPTIONS; i++) {
        unsigned at = next_random(&seed) % good->len;
        uint8_t old = good->data[at];
        g_autofree char *failure = NULL;

        good->data[at] ^= (uint8_t)(1 + next_random(&seed) % 255);
        seal(good);
        failure = rig_load(r, good);
        if (i % 16 == 0) {
            each_register(r, read_one);
            rig_advance(r, NS_PER_MS);
        }
        good->data[at] = old;
    }
    machine_reset(r->machine);
}

/* ---- coming and going ---- */

static void test_a_link_to_nothing_fails_and_leaves_nothing(void **state)
{
    const DeviceClass *class = class_of(state);
    Rig *r = bare_rig(state);

    for (const Property *p = class->props; p && p->field.type != FIELD_END_OF_TABLE; p++) {
        g_autofree char *options = g_strdup_printf("%s,%s=nosuch", class->name, p->field.name);
        g_autofree char *failure = p->link ? rig_try_add(r, options) : NULL;

        assert_true(!p->link || (failure && strstr(failure, "nosuch")));
    }
}

static void test_a_second_one_takes_the_place_of_the_first(void **state)
{
    const DeviceClass *class = class_of(state);
    Rig *r = rig_of(state);
    g_autofree char *options = device_options(class);
    g_autofree char *failure = NULL;

    if (class->bus) { /* what has none is wired to the board */
        device_free(r->dev);
        failure = rig_try_add(r, options);
        if (failure) {
            fail_msg("%s", failure);
        }
    }
}

/* ---- the list of checks, for each class ---- */

typedef struct Check {
    const char *name;
    CMUnitTestFunction fn;
    bool needs_device;
} Check;

static const Check checks[] = {
    { "tables are sound", test_tables_are_sound, false },
    { "help names the class", test_help_names_the_class, false },
    { "every register answers at every size", test_every_register_answers_at_every_size, true },
    { "reset twice is reset once", test_reset_twice_is_reset_once, true },
    { "reset is complete", test_reset_is_complete, true },
    { "a restored device saves equal bytes", test_a_restored_device_saves_equal_bytes, true },
    { "corrupt state is refused unchanged", test_corrupt_state_is_refused_unchanged, true },
    { "truncated state is refused unchanged", test_truncated_state_is_refused_unchanged, true },
    { "hostile state does no harm", test_hostile_state_does_no_harm, true },
    { "a link to nothing fails and leaves nothing", test_a_link_to_nothing_fails_and_leaves_nothing, true },
    { "a second one takes the place of the first", test_a_second_one_takes_the_place_of_the_first, true },
};

static bool can_stand_alone(const DeviceClass *class)
{
    return !class->abstract && (!class->bus || strcmp(class->bus->name, "virtio-bus") != 0);
}

static void add_checks(const DeviceClass *class, void *opaque)
{
    GArray *tests = opaque;

    for (unsigned i = 0; i < G_N_ELEMENTS(checks); i++) {
        struct CMUnitTest test = { .test_func = checks[i].fn, .teardown_func = tear_down };
        Subject *subject;

        if (checks[i].needs_device && !can_stand_alone(class)) {
            continue;
        }
        subject = g_new0(Subject, 1);
        subject->class = class;
        subject->name = g_strdup_printf("%s: %s", class->name, checks[i].name);
        test.name = subject->name;
        test.initial_state = subject;
        g_array_append_val(tests, test);
    }
}

int main(void)
{
    g_autoptr(GArray) tests = g_array_new(FALSE, FALSE, sizeof(struct CMUnitTest));
    int failed;

    devices_register();
    device_class_each(add_checks, tests);
    failed = _cmocka_run_group_tests("conformance", (const struct CMUnitTest *)tests->data, tests->len, NULL, NULL);
    for (unsigned i = 0; i < tests->len; i++) {
        Subject *subject = g_array_index(tests, struct CMUnitTest, i).initial_state;

        g_free(subject->name);
        g_free(subject);
    }
    return failed;
}
