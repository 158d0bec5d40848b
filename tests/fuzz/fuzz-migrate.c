/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A container from a hostile file or peer: header, records, the places of the mapped layout, a channel of multifd.  Whatever
 * comes is loaded or refused with a sentence, and nothing outside of the block is written.  Checksums are made right first, so that
 * what lies behind them is reached.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/bytes.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/migrate-multifd.h"
#include "vmm/migrate-ram.h"
#include "vmm/state-format.h"

#define SIZE (8 * GUEST_PAGE_SIZE)
#define CHANNEL_MAX 65536 /* fits into a socket */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Buffer {
    const uint8_t *data;
    size_t left;
} Buffer;

static bool read_buffer(void *opaque, void *data, size_t length, GError **error)
{
    Buffer *b = opaque;

    if (length > b->left) {
        return error_set(error, "cut off");
    }
    memcpy(data, b->data, length);
    b->data += length;
    b->left -= length;
    return true;
}

static size_t seal_prefix(uint8_t *data, size_t size)
{
    uint32_t length;

    if (size < MIGRATE_PREFIX) {
        return size;
    }
    memcpy(data, MIGRATE_MAGIC, 8);
    put32(data + 8, MIGRATE_VERSION);
    length = MIN(get32(data + 12) % 4096, (uint32_t)(size - MIGRATE_PREFIX));
    put32(data + 12, length);
    put32(data + 16, state_crc32c(data + MIGRATE_PREFIX, length));
    put32(data + 20, state_crc32c(data, 20));
    return MIGRATE_PREFIX + length;
}

static void seal_records(uint8_t *data, size_t size)
{
    for (size_t at = 0; size - at >= MIGRATE_RECORD;) {
        uint32_t length = get32(data + at + 4);

        if (length <= size - at - MIGRATE_RECORD) {
            put32(data + at + 8, state_crc32c(data + at + MIGRATE_RECORD, length));
        }
        put32(data + at + 12, state_crc32c(data + at, 12));
        if (length > size - at - MIGRATE_RECORD) {
            return;
        }
        at += MIGRATE_RECORD + length;
    }
}

static MigrateRam *new_ram(void)
{
    RamBlock *block = ram_block_new("pc.ram", SIZE, &(RamBacking) { .kind = RAM_ANONYMOUS, .reserve = true }, NULL);
    MigrateRam *ram = g_new0(MigrateRam, 1);

    g_assert(block);
    migrate_ram_add(ram, "pc.ram", block);
    ram_block_unref(block);
    return ram;
}

static void try_header(Buffer *b, MigrateRam *ram)
{
    g_autoptr(GError) error = NULL;
    MigrateHeader header;

    if (!migrate_take_header(read_buffer, b, &header, &error)) {
        g_assert(error);
        return;
    }
    migrate_header_fits(&header, &header, NULL);
    if (migrate_check_mapped(&header, SIZE, NULL)) {
        for (size_t i = 0; i < header.ram.n; i++) {
            const MigrateBlockInfo *info = &FIELD_LIST_AT(header.ram, MigrateBlockInfo, i);

            g_assert(info->offset <= SIZE && info->size <= SIZE - info->offset);
        }
    }
    migrate_ram_arrange(ram, &header, NULL);
    migrate_header_clear(&header);
}

static void cancel(void *opaque)
{
    migrate_channel_cancel(opaque);
}

/* The records come through the only channel, whose greeting is right. */
static void try_channel(const uint8_t *data, size_t size)
{
    uint8_t greeting[MIGRATE_GREETING];
    MigrateChannel *first = migrate_channel_new();
    MigrateRam *ram = new_ram();
    MultifdIn *in = multifd_in_new(ram, first, 1, 1, cancel, first);
    g_autoptr(GError) error = NULL;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        abort();
    }
    migrate_greeting_write(greeting, 1, 0);
    if (host_write_all(fds[1], greeting, sizeof(greeting)) < 0 || host_write_all(fds[1], data, size) < 0) {
        abort();
    }
    close(fds[1]);
    multifd_in_add(in, fds[0]);
    if (!multifd_in_wait(in, &error)) {
        multifd_in_explain(in, &error);
        g_assert(error);
    }
    multifd_in_free(in);
    migrate_ram_free(ram);
    migrate_channel_free(first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree uint8_t *copy = g_memdup2(data, size);
    size_t header = seal_prefix(copy, size);
    Buffer b = { copy, header };
    g_autoptr(GError) error = NULL;
    MigrateRam *ram = new_ram();
    MigrateEnd end;

    try_header(&b, ram);
    if (size > header) {
        seal_records(copy + header, size - header);
        b = (Buffer) { copy + header, size - header };
        if (migrate_take_records(ram, read_buffer, NULL, &b, &end, &error)) {
            g_byte_array_unref(end.state);
            g_free(end.run_state);
        } else {
            g_assert(error);
        }
    }
    migrate_ram_free(ram); /* there may be but one of its name */
    if (size > header && size < CHANNEL_MAX) {
        try_channel(copy + header, size - header);
    }
    return 0;
}
