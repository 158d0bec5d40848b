/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -drive and disks named without an option: a raw node over a file or block
 * device, a name, and (if=virtio) a device.  Names and meanings as QEMU's -drive.
 *
 * An image without format= is never probed for one: what the guest wrote to its
 * disk would decide how the host reads it.  One that begins like another format is
 * refused, because it was hardly meant to be raw.
 *
 * Locking: main thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/node.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/json.h"
#include "vmm/log.h"
#include "vmm/machine.h"

typedef struct DriveOptions {
    char *id, *file, *format, *interface, *media, *serial, *address;
    int cache, aio, werror, rerror, discard, detect_zeroes;
    bool has_index, has_aio, has_read_only, read_only, snapshot, copy_on_read;
    uint32_t index;
} DriveOptions;

typedef enum DriveCache { CACHE_WRITEBACK, CACHE_NONE, CACHE_WRITETHROUGH, CACHE_DIRECTSYNC, CACHE_UNSAFE } DriveCache;
static const char *const cache_names[] = { "writeback", "none", "writethrough", "directsync", "unsafe", NULL };
static const FieldEnum cache_enum = { "DriveCache", cache_names };
static const char *const aio_names[] = { "threads", "native", "io_uring", NULL };
static const FieldEnum aio_enum = { "BlockdevAioOptions", aio_names };

static const Field drive_fields[] = {
    F_STR("file", DriveOptions, file, NULL, .flags = FIELD_REQUIRED, .help = "Path of the image or block device"),
    F_STR("format", DriveOptions, format, NULL, .help = "Format of the image: raw"),
    F_STR("if", DriveOptions, interface, NULL, .help = "Device to make for it: virtio, or none"),
    F_STR("id", DriveOptions, id, NULL, .help = "Name for -device X,drive=NAME"),
    F_UINT("index", DriveOptions, index, 0, FIELD_HAS(DriveOptions, has_index),
           .help = "Place among the drives of its interface"),
    F_STR("media", DriveOptions, media, "disk", .help = "Kind of drive: disk"),
    F_STR("addr", DriveOptions, address, NULL, .help = "PCI address of the device (if=virtio)"),
    F_ENUM("cache", DriveOptions, cache, &cache_enum, CACHE_WRITEBACK, .help = "How the host caches"),
    F_ENUM("aio", DriveOptions, aio, &aio_enum, 0, FIELD_HAS(DriveOptions, has_aio),
           .help = "How requests reach the kernel; without it the best way there is"),
    F_BOOL("read-only", DriveOptions, read_only, false, FIELD_HAS(DriveOptions, has_read_only),
           .help = "Refuse writes"),
    F_BOOL("readonly", DriveOptions, read_only, false, FIELD_HAS(DriveOptions, has_read_only), .flags = FIELD_HIDDEN,
           .help = "Old name of read-only"),
    F_ENUM("werror", DriveOptions, werror, &block_error_enum, BLOCK_ERROR_AUTO,
           .help = "What to do when a write fails"),
    F_ENUM("rerror", DriveOptions, rerror, &block_error_enum, BLOCK_ERROR_AUTO, .help = "What to do when a read fails"),
    F_ENUM("discard", DriveOptions, discard, &block_discard_enum, BLOCK_DISCARD_IGNORE,
           .help = "What becomes of discarded ranges"),
    F_ENUM("detect-zeroes", DriveOptions, detect_zeroes, &block_detect_zeroes_enum, BLOCK_DETECT_OFF,
           .help = "Turn writes of zeroes into zeroed or unmapped ranges"),
    /* Refused, by a sentence of their own. */
    F_BOOL("snapshot", DriveOptions, snapshot, false, .flags = FIELD_HIDDEN, .help = "Write to a temporary overlay"),
    F_BOOL("copy-on-read", DriveOptions, copy_on_read, false, .flags = FIELD_HIDDEN, .help = "Copy what is read"),
    F_STR("serial", DriveOptions, serial, NULL, .flags = FIELD_HIDDEN, .help = "Serial number"),
    FIELD_END
};

const FieldStruct drive_options = {
    .name = "DriveOptions",
    .size = sizeof(DriveOptions),
    .fields = drive_fields,
    .help = "A disk",
};

/* ---- what is not there ---- */

static bool check_options(const DriveOptions *o, GError **error)
{
    if (o->snapshot) {
        error_set(error, "snapshot=on is not supported: there is no format with overlays yet");
        return error_hint(error, "Copy the image (cp --reflink=auto) and use the copy.");
    }
    if (o->copy_on_read) {
        return error_set(error, "copy-on-read=on is not supported: there is no format with overlays yet");
    }
    if (o->serial) {
        error_set(error, "serial= belongs to the device, not to the drive");
        return error_hint(error, "Use -drive if=none,id=X,... -device virtio-blk-pci,drive=X,serial=%s.", o->serial);
    }
    if (strcmp(o->media, "disk") != 0) {
        return error_set(error, "media=%s is not supported: media is disk", o->media);
    }
    if (o->format && strcmp(o->format, "raw") != 0) {
        error_set(error, "format '%s' is not supported: format is raw", o->format);
        return error_hint(error, "Convert the image: qemu-img convert -O raw %s NEW.img", o->file);
    }
    if (o->rerror == BLOCK_ERROR_ENOSPC) {
        return error_set(error, "rerror=enospc makes no sense: reading needs no space");
    }
    return true;
}

/* ---- formats ---- */

typedef struct Magic { const char *format; unsigned offset, length; const char *bytes; } Magic;
static const Magic magics[] = {
    { "qcow2", 0, 4, "QFI\xfb" },
    { "qed", 0, 4, "QED\0" },
    { "vmdk", 0, 4, "KDMV" },
    { "vhdx", 0, 8, "vhdxfile" },
    { "vpc", 0, 8, "conectix" },
    { "vdi", 64, 4, "\x7f\x10\xda\xbe" },
    { "luks", 0, 6, "LUKS\xba\xbe" },
};

/* What the image looks like, and whether it is a block device.  It is not made to be that. */
static bool look_at(const char *path, const char **ret_format, bool *ret_device, GError **error)
{
    char head[512] = { 0 };
    int fd = host_open(path, O_RDONLY, 0, error);
    struct stat st;

    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &st) < 0 || pread(fd, head, sizeof(head), 0) < 0) {
        int saved = errno;

        close(fd);
        return error_set_errno(error, saved, "cannot read '%s'", path);
    }
    close(fd);
    *ret_device = S_ISBLK(st.st_mode);
    *ret_format = NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(magics); i++) {
        if (memcmp(head + magics[i].offset, magics[i].bytes, magics[i].length) == 0) {
            *ret_format = magics[i].format;
        }
    }
    return true;
}

static bool check_format(const DriveOptions *o, const char *seen, GError **error)
{
    if (o->format) {
        return true;
    }
    if (seen) {
        error_set(error, "'%s' looks like a %s image, and no format was given", o->file, seen);
        return error_hint(error, "Convert it (qemu-img convert -O raw %s NEW.img), or say format=raw if the guest is "
                          "to see these bytes.", o->file);
    }
    log_warning("'%s' is taken as raw; say format=raw to make sure", o->file);
    return true;
}

/* ---- nodes ---- */

static void put_string(Json *object, const char *name, const char *value)
{
    json_object_put_member(object, name, json_new_string(value));
}

static Json *node_options(const DriveOptions *o, bool device)
{
    Json *file = json_new_object(), *raw = json_new_object(), *cache = json_new_object();

    put_string(file, "driver", device ? "host_device" : "file");
    put_string(file, "filename", o->file);
    if (o->has_aio) {
        put_string(file, "aio", aio_names[o->aio]);
    }
    json_object_put_member(cache, "direct", json_new_bool(o->cache == CACHE_NONE || o->cache == CACHE_DIRECTSYNC));
    json_object_put_member(cache, "no-flush", json_new_bool(o->cache == CACHE_UNSAFE));
    put_string(raw, "driver", "raw");
    json_object_put_member(raw, "cache", cache);
    json_object_put_member(raw, "read-only", json_new_bool(o->read_only));
    put_string(raw, "discard", block_discard_enum.values[o->discard]);
    put_string(raw, "detect-zeroes", block_detect_zeroes_enum.values[o->detect_zeroes]);
    json_object_put_member(raw, "file", file);
    return raw;
}

/* ---- drives ---- */

static bool index_taken(Domain *domain, const char *interface, unsigned index)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, domain_table(domain, TABLE_DRIVES));
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Drive *drive = value;

        if (drive->index == index && strcmp(drive->interface, interface) == 0) {
            return true;
        }
    }
    return false;
}

static bool choose_index(Domain *domain, const DriveOptions *o, const char *interface, unsigned *ret, GError **error)
{
    *ret = o->index;
    if (o->has_index && index_taken(domain, interface, o->index)) {
        return error_set(error, "there are two drives with if=%s,index=%u", interface, o->index);
    }
    while (!o->has_index && index_taken(domain, interface, *ret)) {
        ++*ret;
    }
    return true;
}

static const char *choose_interface(Domain *domain, const DriveOptions *o)
{
    const Machine *machine = domain_machine(domain);

    if (o->interface) {
        return o->interface;
    }
    return machine && machine->class->default_drive_bus ? machine->class->default_drive_bus : "virtio";
}

static bool add(Domain *domain, const DriveOptions *o, GError **error)
{
    const char *interface = choose_interface(domain, o);
    g_autofree char *id = NULL;
    g_autoptr(Json) json = NULL;
    const char *seen;
    unsigned index;
    BlockNode *node;
    bool device;
    Drive *drive;

    if (!check_options(o, error)) {
        return false;
    }
    if (strcmp(interface, "virtio") != 0 && strcmp(interface, "none") != 0) {
        error_set(error, "if=%s is not supported: if is virtio or none", interface);
        return error_hint(error, "Say if=virtio.");
    }
    if (!choose_index(domain, o, interface, &index, error)) {
        return false;
    }
    id = o->id ? g_strdup(o->id) : g_strdup_printf("%s%u", interface, index);
    if (!domain_check_id(domain, TABLE_DRIVES, id, "drive", error) || !look_at(o->file, &seen, &device, error) ||
        !check_format(o, seen, error)) {
        return false;
    }
    json = node_options(o, device);
    node = block_open(domain, json, error);
    if (!node) {
        return false;
    }
    drive = g_new(Drive, 1);
    *drive = (Drive) { .id = g_steal_pointer(&id), .interface = g_strdup(interface), .address = g_strdup(o->address),
                       .index = index, .node = node, .werror = o->werror, .rerror = o->rerror,
                       .write_cache = o->cache != CACHE_WRITETHROUGH && o->cache != CACHE_DIRECTSYNC };
    g_hash_table_insert(domain_table(domain, TABLE_DRIVES), g_strdup(drive->id), drive);
    return true;
}

bool drive_add(Domain *domain, const char *text, GError **error)
{
    DriveOptions o;
    bool ok;

    if (!field_struct_parse_text(&drive_options, text, NULL, &o, error)) {
        return false;
    }
    ok = add(domain, &o, error);
    if (!ok) {
        error_subject(error, o.id ? o.id : o.file);
    }
    field_struct_clear(&drive_options, &o);
    return ok;
}

bool drive_add_positional(Domain *domain, const char *path, GError **error)
{
    DriveOptions o;
    bool ok;

    field_struct_init(&drive_options, &o);
    o.file = g_strdup(path);
    o.interface = g_strdup("virtio");
    ok = add(domain, &o, error);
    field_struct_clear(&drive_options, &o);
    return ok;
}

/* ---- devices ---- */

static int by_index(const void *a, const void *b)
{
    const Drive *x = *(const Drive *const *)a, *y = *(const Drive *const *)b;

    return x->index < y->index ? -1 : x->index > y->index;
}

static bool plug(Domain *domain, const Drive *drive, GError **error)
{
    g_autoptr(Json) options = json_new_object();
    bool pci = domain_machine(domain)->class->has_pci;

    put_string(options, "driver", pci ? "virtio-blk-pci" : "virtio-blk-device");
    put_string(options, "drive", drive->id);
    if (drive->address) {
        put_string(options, "addr", drive->address);
    }
    return device_add(domain, options, error);
}

bool drives_plug(Domain *domain, GError **error)
{
    g_autoptr(GPtrArray) drives = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, domain_table(domain, TABLE_DRIVES));
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (strcmp(((Drive *)value)->interface, "virtio") == 0) {
            g_ptr_array_add(drives, value);
        }
    }
    g_ptr_array_sort(drives, by_index);
    for (unsigned i = 0; i < drives->len; i++) {
        if (!plug(domain, drives->pdata[i], error)) {
            return false;
        }
    }
    return true;
}

void drive_free(Drive *drive)
{
    g_free(drive->id);
    g_free(drive->interface);
    g_free(drive->address);
    g_free(drive);
}
