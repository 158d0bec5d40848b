/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/state.c, state-load.c, state-describe.c: sections of tables over plain structs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/error.h"
#include "vmm/state-format.h"
#include "vmm/state.h"

typedef struct Inner {
    uint16_t x;
    bool set;
} Inner;

typedef struct Outer {
    uint8_t byte;
    int32_t number;
    uint64_t words[3];
    uint32_t used;
    Inner slots[4];
    uint8_t raw[5];
    GByteArray *blob;
    uint32_t extra;   /* subsection */
    uint64_t late;    /* version 2 */
    unsigned loads;
    bool refuse;
} Outer;

static bool inner_loaded(void *struct_, GError **error)
{
    ((Inner *)struct_)->set = !((Inner *)struct_)->set;
    return true;
}

static bool outer_loaded(void *struct_, GError **error)
{
    ((Outer *)struct_)->loads++;
    return true;
}

static bool outer_check(const void *struct_, GError **error)
{
    const Outer *o = struct_;

    return o->number != 666 || error_set(error, "666 is no number");
}

static bool extra_needed(const void *struct_)
{
    return ((const Outer *)struct_)->extra != 0;
}

static const StateDesc inner_state = {
    .name = "inner", .version = 1,
    .fields = (const StateField[]) { STATE_U16(Inner, x), STATE_BOOL(Inner, set), STATE_END },
};

static const StateDesc inner_flipping = {
    .name = "inner", .version = 1, .loaded = inner_loaded,
    .fields = (const StateField[]) { STATE_U16(Inner, x), STATE_BOOL(Inner, set), STATE_END },
};

static const StateDesc extra_state = {
    .name = "outer/extra", .version = 1, .needed = extra_needed,
    .fields = (const StateField[]) { STATE_U32(Outer, extra), STATE_END },
};

#define OUTER_FIELDS(INNER) \
    STATE_U8(Outer, byte), STATE_I32(Outer, number), STATE_ARRAY(Outer, words, STATE_TYPE_U64), \
    { .name = "slots", .type = STATE_TYPE_STRUCT, .offset = offsetof(Outer, slots), .count = 4, \
      .count_offset = offsetof(Outer, used), .stride = sizeof(Inner), .nested = INNER }, \
    STATE_BYTES(Outer, raw), STATE_BLOB(Outer, blob, 16)

static const StateDesc *const subsections[] = { &extra_state, NULL };

static const StateDesc outer_v1 = {
    .name = "outer", .version = 1, .check = outer_check, .loaded = outer_loaded, .subsections = subsections,
    .fields = (const StateField[]) { OUTER_FIELDS(&inner_state), STATE_END },
};

static const StateDesc outer_v2 = {
    .name = "outer", .version = 2, .check = outer_check, .loaded = outer_loaded, .subsections = subsections,
    .fields = (const StateField[]) {
        OUTER_FIELDS(&inner_flipping), STATE_ROW(Outer, late, STATE_TYPE_U64, .since = 2, .max = 1000), STATE_END
    },
};

typedef struct Fixture {
    Outer from, to;
    StateList *source, *target;
    GByteArray *stream;
} Fixture;

static Outer example(void)
{
    Outer o = { .byte = 0xab, .number = -5, .words = { 1, 2, UINT64_MAX }, .used = 2, .raw = "abcd" };

    o.slots[0] = (Inner){ 0x1234, true };
    o.slots[1] = (Inner){ 0x5678, false };
    o.blob = g_byte_array_new();
    g_byte_array_append(o.blob, (const uint8_t *)"blob", 4);
    return o;
}

static Fixture *fixture_new(const StateDesc *from, const StateDesc *to)
{
    Fixture *f = g_new0(Fixture, 1);

    f->from = example();
    f->source = state_list_new();
    f->target = state_list_new();
    f->stream = g_byte_array_new();
    state_list_add(f->source, "/machine/outer", from, &f->from, sizeof(f->from), NULL);
    state_list_add(f->target, "/machine/outer", to, &f->to, sizeof(f->to), NULL);
    return f;
}

static int set_up(void **state)
{
    *state = fixture_new(&outer_v1, &outer_v1);
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    g_clear_pointer(&f->from.blob, g_byte_array_unref);
    g_clear_pointer(&f->to.blob, g_byte_array_unref);
    state_list_free(f->source);
    state_list_free(f->target);
    g_byte_array_unref(f->stream);
    g_free(f);
    return 0;
}

static void save(Fixture *f)
{
    assert_true(state_save(f->source, f->stream, NULL));
}

static bool load(Fixture *f)
{
    return state_load(f->target, f->stream->data, f->stream->len, NULL);
}

static void assert_refused(Fixture *f, const char *why)
{
    GError *error = NULL;
    Outer before = f->to;

    assert_false(state_load(f->target, f->stream->data, f->stream->len, &error));
    assert_non_null(strstr(error->message, why));
    assert_memory_equal(&before, &f->to, sizeof(before));
    g_error_free(error);
}

/* Makes the section's checksum right again after a test changed it. */
static void seal(Fixture *f)
{
    uint32_t crc = state_crc32c(f->stream->data + STATE_HEADER, f->stream->len - STATE_HEADER);

    memcpy(f->stream->data + 8, &crc, sizeof(crc));
}

static uint8_t *find(Fixture *f, const char *bytes, size_t length)
{
    uint8_t *p = memmem(f->stream->data, f->stream->len, bytes, length);

    assert_non_null(p);
    return p;
}

/* RFC 3720 B.4 and the usual check value. */
static void test_checksum_is_crc32c(void **state)
{
    uint8_t zeros[32] = { 0 };

    assert_int_equal(state_crc32c((const uint8_t *)"123456789", 9), 0xe3069283);
    assert_int_equal(state_crc32c(zeros, sizeof(zeros)), 0x8a9136aa);
}

/* However long it is, and in whatever pieces it comes. */
static void test_checksum_of_much_is_that_of_its_pieces(void **state)
{
    enum { LENGTH = 20000 };
    g_autofree uint8_t *data = g_malloc(LENGTH);
    uint32_t bits = UINT32_MAX, x = 1;

    for (unsigned i = 0; i < LENGTH; i++) {
        x = x * 1664525 + 1013904223;
        data[i] = (uint8_t)(x >> 24);
        bits ^= data[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            bits = bits >> 1 ^ (bits & 1 ? 0x82f63b78 : 0);
        }
        if (i % 97 == 0 || i > LENGTH - 10) {
            assert_int_equal(state_crc32c(data, i + 1), ~bits);
            assert_int_equal(state_crc32c_more(state_crc32c(data, i / 3), data + i / 3, i + 1 - i / 3), ~bits);
        }
    }
}

static void test_what_was_saved_is_loaded(void **state)
{
    Fixture *f = *state;

    save(f);
    assert_true(load(f));
    assert_int_equal(f->to.byte, 0xab);
    assert_int_equal(f->to.number, -5);
    assert_true(f->to.words[2] == UINT64_MAX);
    assert_int_equal(f->to.used, 2);
    assert_int_equal(f->to.slots[1].x, 0x5678);
    assert_true(f->to.slots[0].set);
    assert_memory_equal(f->to.raw, "abcd", 5);
    assert_int_equal(f->to.blob->len, 4);
    assert_memory_equal(f->to.blob->data, "blob", 4);
    assert_int_equal(f->to.loads, 1);
}

static void test_saving_what_was_loaded_gives_equal_bytes(void **state)
{
    Fixture *f = *state;
    g_autoptr(GByteArray) again = g_byte_array_new();

    save(f);
    assert_true(load(f));
    assert_true(state_save(f->target, again, NULL));
    assert_int_equal(again->len, f->stream->len);
    assert_memory_equal(again->data, f->stream->data, again->len);
}

static void test_a_subsection_is_sent_only_when_needed(void **state)
{
    Fixture *f = *state;
    guint without;

    save(f);
    without = f->stream->len;
    g_byte_array_set_size(f->stream, 0);
    f->from.extra = 77;
    save(f);
    assert_true(f->stream->len > without);
    assert_true(load(f));
    assert_int_equal(f->to.extra, 77);
}

static void test_an_unknown_subsection_is_refused(void **state)
{
    Fixture *f = *state;

    f->from.extra = 1;
    save(f);
    memcpy(find(f, "outer/extra", 11), "outer/extro", 11);
    seal(f);
    assert_refused(f, "outer/extro");
}

static void test_an_older_version_leaves_later_fields_alone(void **state)
{
    Fixture *f = fixture_new(&outer_v1, &outer_v2);
    void *cleanup = f;

    f->to.late = 42;
    save(f);
    assert_true(load(f));
    assert_int_equal(f->to.late, 42);
    assert_int_equal(f->to.byte, 0xab);
    tear_down(&cleanup);
}

static void test_hooks_of_nested_structs_run_for_elements_in_use(void **state)
{
    Fixture *f = fixture_new(&outer_v1, &outer_v2);
    void *cleanup = f;

    save(f);
    assert_true(load(f));
    assert_false(f->to.slots[0].set);
    assert_true(f->to.slots[1].set);
    assert_false(f->to.slots[2].set);
    tear_down(&cleanup);
}

static void test_a_newer_version_is_refused(void **state)
{
    Fixture *f = fixture_new(&outer_v2, &outer_v1);
    void *cleanup = f;

    save(f);
    assert_refused(f, "version 2");
    tear_down(&cleanup);
}

static void test_more_than_max_is_refused(void **state)
{
    Fixture *f = fixture_new(&outer_v2, &outer_v2);
    void *cleanup = f;

    f->from.late = 1001;
    save(f);
    assert_refused(f, "'late'");
    tear_down(&cleanup);
}

static void test_check_refuses_nonsense_before_anything_changes(void **state)
{
    Fixture *f = *state;

    f->from.number = 666;
    save(f);
    assert_refused(f, "666 is no number");
}

static void test_a_bool_is_0_or_1(void **state)
{
    Fixture *f = *state;

    save(f);
    find(f, "\x34\x12\x01", 3)[2] = 2;
    seal(f);
    assert_refused(f, "no boolean");
}

static void test_a_count_beyond_the_array_is_refused(void **state)
{
    Fixture *f = *state;

    save(f);
    find(f, "\x02\x00\x00\x00\x34\x12", 6)[0] = 5;
    seal(f);
    assert_refused(f, "5 elements");
}

static void test_a_count_beyond_the_stream_is_refused(void **state)
{
    Fixture *f = *state;

    save(f);
    find(f, "\x02\x00\x00\x00\x34\x12", 6)[0] = 4;
    seal(f);
    assert_refused(f, "");
}

static void test_a_blob_beyond_its_bound_is_refused(void **state)
{
    Fixture *f = *state;

    save(f);
    find(f, "\x04\x00\x00\x00" "blob", 8)[0] = 17;
    seal(f);
    assert_refused(f, "17 bytes");
}

static void test_another_shape_is_refused_by_the_fields_name(void **state)
{
    Fixture *f = *state;

    save(f);
    memcpy(find(f, "number", 6), "nimber", 6);
    seal(f);
    assert_refused(f, "'nimber'");
}

static void test_a_flipped_bit_is_refused(void **state)
{
    Fixture *f = *state;

    save(f);
    find(f, "blob", 4)[1] ^= 1;
    assert_refused(f, "checksum");
}

static void test_every_truncation_is_refused(void **state)
{
    Fixture *f = *state;
    guint whole;

    save(f);
    whole = f->stream->len;
    for (guint length = 0; length < whole; length++) {
        Outer before = f->to;

        assert_false(state_load(f->target, f->stream->data, length, NULL));
        assert_memory_equal(&before, &f->to, sizeof(before));
    }
}

static void test_a_missing_section_is_refused_by_path(void **state)
{
    Fixture *f = *state;
    Inner other = { 0 };

    state_list_add(f->target, "/machine/other", &inner_state, &other, sizeof(other), NULL);
    save(f);
    assert_refused(f, "/machine/other");
}

static void test_a_section_too_many_is_refused_by_path(void **state)
{
    Fixture *f = *state;
    Inner other = { 0 };

    state_list_add(f->source, "/machine/other", &inner_state, &other, sizeof(other), NULL);
    save(f);
    assert_refused(f, "/machine/other");
}

static void test_two_sections_of_one_path_are_refused(void **state)
{
    Fixture *f = *state;

    save(f);
    save(f);
    assert_refused(f, "two sections");
}

static void test_unmigratable_state_fails_with_its_reason(void **state)
{
    static const StateDesc pinned = { .name = "pinned", .unmigratable = "it is pinned to this host" };
    Fixture *f = *state;
    GError *error = NULL;

    state_list_add(f->source, "/machine/pinned", &pinned, &f->to, sizeof(f->to), NULL);
    assert_false(state_save(f->source, f->stream, &error));
    assert_string_equal(error->message, "/machine/pinned: state cannot be saved: it is pinned to this host");
    assert_int_equal(f->stream->len, 0);
    g_error_free(error);
}

static void test_removed_items_are_not_saved(void **state)
{
    Fixture *f = *state;

    state_list_remove(f->source, &f->from);
    save(f);
    assert_int_equal(f->stream->len, 0);
}

static void test_a_stream_describes_itself(void **state)
{
    Fixture *f = *state;
    g_autoptr(GString) text = g_string_new(NULL);

    f->from.extra = 5;
    save(f);
    assert_true(state_describe(f->stream->data, f->stream->len, text, NULL));
    assert_string_equal(text->str,
                        "/machine/outer: outer version 1\n"
                        "  byte: 0xab\n"
                        "  number: -5\n"
                        "  words: 0x1 0x2 0xffffffffffffffff\n"
                        "  slots: inner version 1\n"
                        "    [0]\n"
                        "    x: 0x1234\n"
                        "    set: true\n"
                        "    [1]\n"
                        "    x: 0x5678\n"
                        "    set: false\n"
                        "  raw: 6162636400 (5 bytes)\n"
                        "  blob: 626c6f62 (4 bytes)\n"
                        "  + outer/extra version 1\n"
                        "    extra: 0x5\n");
}

static void test_describing_a_truncated_stream_fails(void **state)
{
    Fixture *f = *state;
    g_autoptr(GString) text = g_string_new(NULL);

    save(f);
    assert_false(state_describe(f->stream->data, f->stream->len - 1, text, NULL));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksum_is_crc32c),
        cmocka_unit_test(test_checksum_of_much_is_that_of_its_pieces),
        TEST(test_what_was_saved_is_loaded),
        TEST(test_saving_what_was_loaded_gives_equal_bytes),
        TEST(test_a_subsection_is_sent_only_when_needed),
        TEST(test_an_unknown_subsection_is_refused),
        cmocka_unit_test(test_an_older_version_leaves_later_fields_alone),
        cmocka_unit_test(test_hooks_of_nested_structs_run_for_elements_in_use),
        cmocka_unit_test(test_a_newer_version_is_refused),
        cmocka_unit_test(test_more_than_max_is_refused),
        TEST(test_check_refuses_nonsense_before_anything_changes),
        TEST(test_a_bool_is_0_or_1),
        TEST(test_a_count_beyond_the_array_is_refused),
        TEST(test_a_count_beyond_the_stream_is_refused),
        TEST(test_a_blob_beyond_its_bound_is_refused),
        TEST(test_another_shape_is_refused_by_the_fields_name),
        TEST(test_a_flipped_bit_is_refused),
        TEST(test_every_truncation_is_refused),
        TEST(test_a_missing_section_is_refused_by_path),
        TEST(test_a_section_too_many_is_refused_by_path),
        TEST(test_two_sections_of_one_path_are_refused),
        TEST(test_unmigratable_state_fails_with_its_reason),
        TEST(test_removed_items_are_not_saved),
        TEST(test_a_stream_describes_itself),
        TEST(test_describing_a_truncated_stream_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
