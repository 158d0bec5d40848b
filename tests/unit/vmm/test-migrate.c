/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/migrate-*.c: the container, both layouts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/bytes.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/migrate-ram.h"
#include "vmm/state-format.h"

#define PAGES 200
#define SIZE  (PAGES * GUEST_PAGE_SIZE)

/* ---- two domains' RAM in one process ---- */

static MigrateRam *new_ram(const char *id)
{
    RamBacking backing = { .kind = RAM_ANONYMOUS, .reserve = true, .dump = true };
    RamBlock *block = ram_block_new(id, SIZE, &backing, NULL);
    MigrateRam *ram = g_new0(MigrateRam, 1);

    assert_non_null(block);
    migrate_ram_add(ram, "pc.ram", block);
    ram_block_unref(block);
    return ram;
}

static uint8_t *host_of(MigrateRam *ram)
{
    return ram_block_host(ram->block[0].block);
}

/* Every third page is zero. */
static void fill(MigrateRam *ram)
{
    uint64_t x = 1;

    for (size_t i = 0; i < SIZE / 8; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
        memcpy(host_of(ram) + i * 8, &(uint64_t) { i / 512 % 3 ? x : 0 }, 8);
    }
}

typedef struct Buffer {
    const uint8_t *data;
    size_t left;
} Buffer;

static bool read_buffer(void *opaque, void *data, size_t length, GError **error)
{
    Buffer *b = opaque;

    if (length > b->left) {
        return error_set(error, "the saved domain is cut off");
    }
    memcpy(data, b->data, length);
    b->data += length;
    b->left -= length;
    return true;
}

/* What the source writes in two passes; between them a page changes and another becomes zero. */
static bool send_all(MigrateRam *ram, MigrateChannel *channel)
{
    g_autoptr(GByteArray) state = g_byte_array_new();

    g_byte_array_append(state, (const uint8_t *)"state", 5);
    migrate_ram_log_start(ram);
    assert_int_equal(migrate_ram_sync(ram), PAGES);
    assert_true(migrate_ram_send(ram, channel, NULL));
    memset(host_of(ram) + 7 * GUEST_PAGE_SIZE, 0xee, 100);
    memset(host_of(ram) + 8 * GUEST_PAGE_SIZE, 0, GUEST_PAGE_SIZE);
    ram_dirty_set(ram->block[0].block, 7 * GUEST_PAGE_SIZE, GUEST_PAGE_SIZE + 1);
    assert_int_equal(migrate_ram_sync(ram), 2);
    return migrate_ram_send(ram, channel, NULL) && migrate_send_state(channel, state, NULL) &&
           migrate_send_end(ram, channel, "running", NULL);
}

static MigrateChannel *channel_on(int fd)
{
    MigrateChannel *channel = migrate_channel_new();

    assert_true(migrate_channel_adopt(channel, fd, NULL));
    return channel;
}

/* The records of a source, in memory. */
static GByteArray *stream_of(MigrateRam *ram)
{
    g_autofree char *path = g_strdup_printf("%s/lodge-migrate-%d", g_get_tmp_dir(), (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    MigrateChannel *channel = channel_on(dup(fd));
    GByteArray *out = g_byte_array_new();

    unlink(path);
    assert_true(send_all(ram, channel));
    g_byte_array_set_size(out, (unsigned)migrate_channel_written(channel));
    assert_int_equal(pread(fd, out->data, out->len, 0), out->len);
    migrate_channel_free(channel);
    close(fd);
    return out;
}

static bool load(MigrateRam *ram, const uint8_t *data, size_t length, GError **error)
{
    Buffer b = { data, length };
    MigrateEnd end;

    ram->count = (MigrateCount) { 0 };
    if (!migrate_take_records(ram, read_buffer, NULL, &b, &end, error)) {
        return false;
    }
    assert_string_equal(end.run_state, "running");
    assert_memory_equal(end.state->data, "state", 5);
    g_byte_array_unref(end.state);
    g_free(end.run_state);
    return true;
}

/* ---- inline ---- */

typedef struct Receiver {
    MigrateRam *ram;
    MigrateChannel *channel;
    bool ok;
} Receiver;

static bool read_channel(void *opaque, void *data, size_t length, GError **error)
{
    return migrate_channel_read(opaque, data, length, error);
}

static void *receive(void *opaque)
{
    Receiver *r = opaque;
    MigrateEnd end;

    r->ok = migrate_take_records(r->ram, read_channel, NULL, r->channel, &end, NULL);
    if (r->ok) {
        g_byte_array_unref(end.state);
        g_free(end.run_state);
    }
    return NULL;
}

static void test_memory_that_changes_while_it_goes_through_a_socket_arrives(void **state)
{
    MigrateRam *source = new_ram("source");
    Receiver r = { .ram = new_ram("destination") };
    MigrateChannel *channel;
    pthread_t thread;
    int fds[2];

    fill(source);
    memset(host_of(r.ram), 0xff, SIZE); /* a kernel that a reset put there */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    channel = channel_on(fds[0]);
    r.channel = channel_on(fds[1]);
    assert_true(migrate_channel_is_unix(channel));
    assert_int_equal(pthread_create(&thread, NULL, receive, &r), 0);
    assert_true(send_all(source, channel));
    pthread_join(thread, NULL);
    assert_true(r.ok);
    assert_memory_equal(host_of(source), host_of(r.ram), SIZE);
    assert_int_equal(source->count.normal + source->count.zero, PAGES + 2);
    migrate_channel_free(channel);
    migrate_channel_free(r.channel);
    migrate_ram_free(source);
    migrate_ram_free(r.ram);
}

static void test_a_stream_that_is_cut_anywhere_is_refused(void **state)
{
    MigrateRam *source = new_ram("source"), *destination = new_ram("destination");
    g_autoptr(GByteArray) stream = NULL;

    fill(source);
    stream = stream_of(source);
    assert_true(load(destination, stream->data, stream->len, NULL));
    for (size_t length = 0; length < stream->len; length += length < 100 || stream->len - length < 200 ? 1 : 4001) {
        g_autoptr(GError) error = NULL;

        assert_false(load(destination, stream->data, length, &error));
        assert_non_null(error);
    }
    migrate_ram_free(source);
    migrate_ram_free(destination);
}

static void test_a_flipped_bit_is_found(void **state)
{
    MigrateRam *source = new_ram("source"), *destination = new_ram("destination");
    g_autoptr(GByteArray) stream = NULL;

    fill(source);
    stream = stream_of(source);
    for (size_t at = 0; at < stream->len; at += at < 100 || stream->len - at < 200 ? 1 : 3989) {
        g_autoptr(GError) error = NULL;

        stream->data[at] ^= (uint8_t)(1u << at % 8);
        assert_false(load(destination, stream->data, stream->len, &error));
        assert_non_null(strstr(error->message, "damaged"));
        stream->data[at] ^= (uint8_t)(1u << at % 8);
    }
    migrate_ram_free(source);
    migrate_ram_free(destination);
}

static void test_pages_outside_of_memory_are_refused(void **state)
{
    MigrateRam *ram = new_ram("destination");
    uint8_t record[MIGRATE_RECORD + MIGRATE_RUN_HEADER];
    const struct { uint32_t block, n; uint64_t page; } runs[] = {
        { 1, 1, 0 }, { 0, 0, 0 }, { 0, 1, PAGES }, { 0, PAGES, 1 }, { 0, UINT32_MAX, 0 }, { 0, 2, UINT64_MAX },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(runs); i++) {
        g_autoptr(GError) error = NULL;

        put32(record + MIGRATE_RECORD, runs[i].block);
        put32(record + MIGRATE_RECORD + 4, runs[i].n);
        put64(record + MIGRATE_RECORD + 8, runs[i].page);
        migrate_record_write(record, MIGRATE_ZERO, MIGRATE_RUN_HEADER,
                             state_crc32c(record + MIGRATE_RECORD, MIGRATE_RUN_HEADER));
        assert_false(load(ram, record, sizeof(record), &error));
        assert_string_equal(error->message,
                            "the saved domain is damaged: it has pages where this domain has no memory");
    }
    migrate_ram_free(ram);
}

/* ---- mapped ---- */

static int stored_file(MigrateRam *ram, MigrateHeader *header)
{
    g_autofree char *path = g_strdup_printf("%s/lodge-mapped-%d", g_get_tmp_dir(), (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    MigrateChannel *pace = migrate_channel_new();

    unlink(path);
    field_struct_init(&migrate_header, header);
    header->layout = MIGRATE_MAPPED;
    migrate_ram_describe(ram, MIGRATE_ALIGN, header);
    migrate_ram_log_start(ram);
    migrate_ram_sync(ram);
    assert_true(migrate_ram_store(ram, fd, true, pace, NULL));
    memset(host_of(ram) + 8 * GUEST_PAGE_SIZE, 0, GUEST_PAGE_SIZE);
    ram_dirty_set(ram->block[0].block, 8 * GUEST_PAGE_SIZE, 1);
    assert_true(migrate_ram_store(ram, fd, false, pace, NULL));
    header->run_state = g_strdup("running");
    header->state_offset = MIGRATE_ALIGN + SIZE;
    assert_int_equal(ftruncate(fd, (off_t)header->state_offset), 0);
    migrate_channel_free(pace);
    return fd;
}

static void check_mapped(MigrateLazy lazy, uint64_t eager)
{
    MigrateRam *source = new_ram("source"), *destination = new_ram("destination");
    MigrateHeader header;
    MigrateMapped mapped;
    uint8_t there;
    int fd;

    fill(source);
    memset(host_of(destination), 0xff, SIZE);
    fd = stored_file(source, &header);
    assert_true(migrate_check_mapped(&header, header.state_offset, NULL));
    assert_true(migrate_ram_arrange(destination, &header, NULL));
    assert_true(migrate_ram_map(destination, fd, lazy, NULL, &mapped, NULL));
    assert_int_equal(mapped.read, eager);
    assert_int_equal(mapped.filled, 0);
    assert_memory_equal(host_of(source), host_of(destination), SIZE);
    host_of(destination)[GUEST_PAGE_SIZE] ^= 0xff;
    assert_int_equal(pread(fd, &there, 1, (off_t)(MIGRATE_ALIGN + GUEST_PAGE_SIZE)), 1);
    assert_int_equal(there, host_of(source)[GUEST_PAGE_SIZE]);
    assert_int_equal(ram_block_discard(destination->block[0].block, GUEST_PAGE_SIZE, GUEST_PAGE_SIZE), 0);
    assert_int_equal(host_of(destination)[GUEST_PAGE_SIZE], 0);
    close(fd);
    migrate_header_clear(&header);
    migrate_ram_free(source);
    migrate_ram_free(destination);
}

static void test_a_mapped_file_is_memory_that_changes_alone(void **state)
{
    check_mapped(MIGRATE_LAZY_ON, 0);
    check_mapped(MIGRATE_LAZY_PREFAULT, 0);
}

#define MIB (UINT64_C(1) << 20)

/* To look at a hole of a file makes pages of it, here as in the host's cache. */
static void test_large_holes_of_a_mapped_file_stay_holes(void **state)
{
    RamBacking backing = { .kind = RAM_ANONYMOUS, .reserve = true, .dump = true };
    RamBlock *block = ram_block_new("destination", 16 * MIB, &backing, NULL);
    MigrateRam *ram = g_new0(MigrateRam, 1);
    g_autofree uint8_t *there = g_malloc(16 * MIB);
    const uint64_t written[] = { MIB / 2, 9 * MIB, 14 * MIB };
    MigrateHeader header = { .layout = MIGRATE_MAPPED };
    MigrateMapped mapped;
    struct stat before, after;
    int fd = memfd_create("saved", MFD_CLOEXEC);

    migrate_ram_add(ram, "pc.ram", block);
    ram_block_unref(block);
    migrate_ram_describe(ram, MIGRATE_ALIGN, &header);
    memset(host_of(ram), 0xff, 16 * MIB); /* what a reset left there */
    assert_int_equal(ftruncate(fd, (off_t)(MIGRATE_ALIGN + 16 * MIB)), 0);
    for (size_t i = 0; i < G_N_ELEMENTS(written); i++) {
        assert_int_equal(pwrite(fd, "content", 7, (off_t)(MIGRATE_ALIGN + written[i])), 7);
    }
    assert_true(migrate_ram_map(ram, fd, MIGRATE_LAZY_ON, NULL, &mapped, NULL));
    assert_int_equal(mapped.read, 0);
    assert_int_equal(pread(fd, there, 16 * MIB, MIGRATE_ALIGN), 16 * MIB);
    assert_int_equal(fstat(fd, &before), 0);
    assert_memory_equal(host_of(ram) + 2 * MIB, there + 2 * MIB, 14 * MIB);
    assert_int_equal(fstat(fd, &after), 0);
    assert_in_range((after.st_blocks - before.st_blocks) * 512, 0, 4 * MIB - 1); /* not the 12 MiB that hold nothing */
    assert_memory_equal(host_of(ram), there, 2 * MIB);
    close(fd);
    migrate_header_clear(&header);
    migrate_ram_free(ram);
}

static void test_a_mapped_file_can_be_read_at_once(void **state)
{
    check_mapped(MIGRATE_LAZY_OFF, SIZE);
}

static void test_a_mapped_file_that_is_cut_or_overlaps_is_refused(void **state)
{
    MigrateRam *source = new_ram("source");
    MigrateHeader header;
    int fd = stored_file(source, &header);

    assert_true(migrate_check_mapped(&header, header.state_offset, NULL));
    assert_false(migrate_check_mapped(&header, header.state_offset - 1, NULL));
    assert_false(migrate_check_mapped(&header, MIGRATE_ALIGN + SIZE - 1, NULL));
    assert_false(migrate_check_mapped(&header, 0, NULL));
    header.state_offset--;
    assert_false(migrate_check_mapped(&header, UINT64_MAX, NULL));
    header.state_offset = UINT64_MAX;
    header.state_length = 2;
    assert_false(migrate_check_mapped(&header, UINT64_MAX, NULL));
    FIELD_LIST_AT(header.ram, MigrateBlockInfo, 0).offset = 0;
    assert_false(migrate_check_mapped(&header, UINT64_MAX, NULL));
    close(fd);
    migrate_header_clear(&header);
    migrate_ram_free(source);
}

/* It was whole when it was examined. */
static void test_a_file_that_is_cut_while_it_is_read_is_refused(void **state)
{
    MigrateRam *source = new_ram("source"), *destination = new_ram("destination");
    g_autoptr(GError) error = NULL;
    MigrateHeader header;
    MigrateMapped mapped;
    int fd;

    fill(source);
    fd = stored_file(source, &header);
    assert_true(migrate_ram_arrange(destination, &header, NULL));
    assert_int_equal(ftruncate(fd, MIGRATE_ALIGN + SIZE / 2), 0);
    assert_false(migrate_ram_map(destination, fd, MIGRATE_LAZY_OFF, NULL, &mapped, &error));
    assert_string_equal(error->message, "the saved domain is cut off: memory 'pc.ram' ends behind the file");
    close(fd);
    migrate_header_clear(&header);
    migrate_ram_free(source);
    migrate_ram_free(destination);
}

/* ---- the header ---- */

static const char base_header[] =
    "{\"program\": \"lodge 1\", \"machine\": \"pc-q35-7.2\", \"accelerator\": \"kvm\", \"cpu\": \"max\", \"cpus\": 2, "
    "\"features\": [{\"leaf\": 1, \"subleaf\": 0, \"register\": \"ecx\", \"bits\": 1}], "
    "\"ram\": [{\"id\": \"pc.ram\", \"size\": 1073741824}], "
    "\"devices\": [{\"path\": \"/machine/clock\", \"state\": \"clock\", \"version\": 2}], \"layout\": \"inline\"}";

static MigrateHeader header_with(const char *from, const char *to)
{
    g_autoptr(GString) text = g_string_new(base_header);
    MigrateHeader header;

    assert_true(!from || g_string_replace(text, from, to, 1) == 1);
    assert_true(migrate_header_read((const uint8_t *)text->str, (uint32_t)text->len,
                                    state_crc32c((const uint8_t *)text->str, text->len), &header, NULL));
    return header;
}

/* Whether `theirs` fits, sentence NULL, or why not; clears both. */
static void check_headers(MigrateHeader theirs, MigrateHeader ours, const char *sentence)
{
    g_autoptr(GError) error = NULL;

    assert_int_equal(migrate_header_fits(&theirs, &ours, &error), sentence == NULL);
    if (sentence) {
        assert_string_equal(error->message, sentence);
    }
    migrate_header_clear(&theirs);
    migrate_header_clear(&ours);
}

static void check_difference(const char *from, const char *to, const char *sentence)
{
    check_headers(header_with(NULL, NULL), header_with(from, to), sentence);
}

static void test_a_difference_is_named(void **state)
{
    check_difference("kvm", "tcg", NULL);
    check_difference("\"bits\": 1", "\"bits\": 3", NULL);
    check_difference("\"bits\": 1", "\"bits\": 2",
                     "its CPU has features that this one ('max', accelerator 'kvm') has not: pni");
    check_difference("q35-7.2", "q35-7.1", "its machine is 'pc-q35-7.2', that of this domain 'pc-q35-7.1'");
    check_difference("\"cpus\": 2", "\"cpus\": 1", "it has 2 CPUs, this domain 1");
    check_difference("1073741824", "536870912", "its memory 'pc.ram' has 1024 MiB, that of this domain 512 MiB");
    check_difference("pc.ram", "ram", "it has memory 'pc.ram', which this domain does not have");
    check_difference("/machine/clock", "/machine/other",
                     "it has '/machine/clock' (clock), which this domain does not have");
    check_difference("\"state\": \"clock\"", "\"state\": \"x\"",
                     "'/machine/clock' is 'clock' there, and 'x' in this domain");
    check_difference("\"version\": 2", "\"version\": 1",
                     "the state of '/machine/clock' has version 2, and this program knows versions up to 1");
}

static void check_devices(const char *there, const char *here, const char *sentence)
{
    static const char clock_device[] = "{\"path\": \"/machine/clock\", \"state\": \"clock\", \"version\": 2}";

    check_headers(header_with(clock_device, there), header_with(clock_device, here), sentence);
}

#define DEVICE(PATH, STATE) "{\"path\": \"" PATH "\", \"state\": \"" STATE "\", \"version\": 1}"
#define DEVICE_AT(PATH, STATE, AT) \
    "{\"path\": \"" PATH "\", \"state\": \"" STATE "\", \"version\": 1, \"at\": \"" AT "\"}"

static void test_a_card_that_the_guest_would_find_elsewhere_is_named(void **state)
{
    check_devices(DEVICE_AT("/c", "card", "pcie.0/02.0"), DEVICE_AT("/c", "card", "pcie.0/02.0"), NULL);
    check_devices(DEVICE_AT("/c", "card", "pcie.0/02.0"), DEVICE_AT("/c", "card", "pcie.0/10.0"),
                  "'/c' is at pcie.0/02.0 there, and at pcie.0/10.0 in this domain");
    check_devices(DEVICE("/c", "card"), DEVICE_AT("/c", "card", "pcie.0/10.0"), NULL); /* saved before that was said */
}

#define NUMBER(N, STATE) DEVICE("/machine/unattached/device[" #N "]", STATE)
#define ANON(N, STATE) DEVICE("/machine/peripheral-anon/device[" #N "]/virtio-backend", STATE)

/* The numbers of those behind it are others, too. */
static void test_what_is_lacking_is_named_not_who_has_its_number(void **state)
{
    check_devices(NUMBER(0, "hpet") ", " NUMBER(1, "i8042"), NUMBER(0, "i8042"),
                  "it has '/machine/unattached/device[0]' (hpet), which this domain does not have");
    check_devices(NUMBER(0, "i8042"), NUMBER(0, "hpet") ", " NUMBER(1, "i8042"),
                  "this domain has '/machine/unattached/device[0]' (hpet), which it does not have");
    check_devices(NUMBER(0, "pit") ", " NUMBER(1, "hpet") ", " ANON(0, "blk"), NUMBER(0, "hpet") ", " NUMBER(2, "pit"),
                  "it has '/machine/peripheral-anon/device[0]/virtio-backend' (blk), which this domain does not have");
    check_devices(ANON(0, "rng") ", " ANON(1, "blk"), ANON(0, "blk") ", " ANON(1, "rng"),
                  "'/machine/peripheral-anon/device[0]/virtio-backend' is 'rng' there, and 'blk' in this domain");
    check_devices(ANON(0, "blk") ", " ANON(1, "blk"), ANON(0, "blk"),
                  "it has '/machine/peripheral-anon/device[1]/virtio-backend' (blk), which this domain does not have");
}

static void test_a_header_comes_back_as_it_was_and_no_bit_of_it_can_change(void **state)
{
    MigrateHeader header = header_with(NULL, NULL), again;
    g_autoptr(GByteArray) out = migrate_header_write(&header);
    Buffer b = { out->data, out->len };

    assert_true(migrate_take_header(read_buffer, &b, &again, NULL));
    assert_int_equal(b.left, 0);
    assert_string_equal(again.machine, "pc-q35-7.2");
    assert_int_equal(FIELD_LIST_AT(again.ram, MigrateBlockInfo, 0).size, 1073741824);
    migrate_header_clear(&again);
    for (unsigned at = 0; at < out->len; at++) {
        b = (Buffer) { out->data, out->len };
        out->data[at] ^= 1;
        assert_false(migrate_take_header(read_buffer, &b, &again, NULL));
        out->data[at] ^= 1;
    }
    migrate_header_clear(&header);
}

static void test_a_header_that_says_more_than_is_known_is_a_later_versions(void **state)
{
    g_autofree char *text = g_strconcat("{\"future\": 1, ", base_header + 1, NULL), *said = NULL;
    uint32_t length = (uint32_t)strlen(text);
    g_autoptr(GError) error = NULL;
    MigrateHeader header;

    assert_false(migrate_header_read((const uint8_t *)text, length, state_crc32c((const uint8_t *)text, length),
                                     &header, &error));
    said = error_text(error);
    assert_non_null(strstr(said, "'future' is unknown"));
    assert_non_null(strstr(said, "Use the version of Lodge that saved it, or a later one."));
}

/* ---- devices that come and go ---- */

static void test_a_device_that_went_meanwhile_is_missed(void **state)
{
    Domain *domain = domain_new("test", NULL);
    MigrateHeader header = { 0 };
    g_autoptr(GError) error = NULL;
    uint32_t device = 0;

    state_list_add(domain_state(domain), "/dev", &state_none, &device, sizeof(device), NULL);
    migrate_header_collect(domain, &header);
    assert_true(migrate_header_holds(&header, domain, NULL));
    state_list_remove(domain_state(domain), &device);
    assert_false(migrate_header_holds(&header, domain, &error));
    assert_non_null(strstr(error->message, "since the migration began"));
    assert_non_null(strstr(error->message, "'/dev'"));
    migrate_header_clear(&header);
    domain_free(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_that_changes_while_it_goes_through_a_socket_arrives),
        cmocka_unit_test(test_a_stream_that_is_cut_anywhere_is_refused),
        cmocka_unit_test(test_a_flipped_bit_is_found),
        cmocka_unit_test(test_pages_outside_of_memory_are_refused),
        cmocka_unit_test(test_a_mapped_file_is_memory_that_changes_alone),
        cmocka_unit_test(test_large_holes_of_a_mapped_file_stay_holes),
        cmocka_unit_test(test_a_mapped_file_can_be_read_at_once),
        cmocka_unit_test(test_a_mapped_file_that_is_cut_or_overlaps_is_refused),
        cmocka_unit_test(test_a_file_that_is_cut_while_it_is_read_is_refused),
        cmocka_unit_test(test_a_difference_is_named),
        cmocka_unit_test(test_a_card_that_the_guest_would_find_elsewhere_is_named),
        cmocka_unit_test(test_what_is_lacking_is_named_not_who_has_its_number),
        cmocka_unit_test(test_a_header_comes_back_as_it_was_and_no_bit_of_it_can_change),
        cmocka_unit_test(test_a_header_that_says_more_than_is_known_is_a_later_versions),
        cmocka_unit_test(test_a_device_that_went_meanwhile_is_missed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
