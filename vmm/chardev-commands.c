/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/chardev-commands.h.  Names and members are QEMU 7.2's (qapi/char.json).
 */
#include "vmm/chardev-commands.h"

#include <string.h>

#include "vmm/base64.h"
#include "vmm/chardev-internal.h"
#include "vmm/error.h"

#define PIECE 65536 /* bytes taken out of a ring buffer at once */

/* ---- looking ---- */

typedef struct ChardevInfo { char *label, *filename; bool frontend_open; } ChardevInfo;
static const FieldStruct chardev_info = {
    .name = "ChardevInfo", .size = sizeof(ChardevInfo),
    .fields = (const Field[]) {
        F_STR("label", ChardevInfo, label, NULL, .flags = FIELD_REQUIRED, .help = "Its id"),
        F_STR("filename", ChardevInfo, filename, NULL, .flags = FIELD_REQUIRED, .help = "Where it ends on the host"),
        F_BOOL("frontend-open", ChardevInfo, frontend_open, false, .flags = FIELD_REQUIRED,
               .help = "Whether the guest's side listens"),
        FIELD_END
    },
};
static const Field chardev_info_element = FIELD_VALUE(FIELD_STRUCT, ChardevInfo, .of.structure = &chardev_info);

static bool add_info(Chardev *chr, void *opaque)
{
    FieldList *list = opaque;

    list->items = g_renew(ChardevInfo, list->items, list->n + 1);
    FIELD_LIST_AT(*list, ChardevInfo, list->n++) =
        (ChardevInfo) { g_strdup(chardev_id(chr)), chardev_filename(chr), chardev_frontend_open(chr) };
    return true;
}

static bool query_chardev(CommandCall *call, const void *args, void *ret, GError **error)
{
    chardev_each(call->domain, add_info, ret);
    return true;
}

typedef struct BackendInfo { char *name; } BackendInfo;
static const FieldStruct backend_info = {
    .name = "ChardevBackendInfo", .size = sizeof(BackendInfo),
    .fields = (const Field[]) {
        F_STR("name", BackendInfo, name, NULL, .flags = FIELD_REQUIRED, .help = "Kind of backend"), FIELD_END
    },
};
static const Field backend_info_element = FIELD_VALUE(FIELD_STRUCT, BackendInfo, .of.structure = &backend_info);

static bool query_chardev_backends(CommandCall *call, const void *args, void *ret, GError **error)
{
    FieldList *list = ret;

    for (const FieldCase *c = chardev_text_options.cases; c->value; c++) {
        list->items = g_renew(BackendInfo, list->items, list->n + 1);
        FIELD_LIST_AT(*list, BackendInfo, list->n++) = (BackendInfo) { g_strdup(c->value) };
    }
    return true;
}

/* ---- making and removing ---- */

typedef struct ChardevReturn { char *pty; } ChardevReturn;
static const FieldStruct chardev_return = {
    .name = "ChardevReturn", .size = sizeof(ChardevReturn),
    .fields = (const Field[]) {
        F_STR("pty", ChardevReturn, pty, NULL, .help = "Name of the pseudo-terminal that was made"), FIELD_END
    },
};

/* chr NULL: it failed. */
static bool tell_pty(const Chardev *chr, ChardevReturn *ret)
{
    g_autofree char *filename = chr ? chardev_filename(chr) : NULL;

    if (chr && g_str_has_prefix(filename, "pty:")) {
        ret->pty = g_strdup(filename + strlen("pty:"));
    }
    return chr != NULL;
}

static bool add(CommandCall *call, const void *args, void *ret, GError **error)
{
    g_autoptr(Json) none = json_new_object();

    return tell_pty(chardev_add(call->domain, call->arguments ? call->arguments : none, error), ret);
}

static bool change(CommandCall *call, const void *args, void *ret, GError **error)
{
    g_autoptr(Json) none = json_new_object();

    return tell_pty(chardev_change(call->domain, call->arguments ? call->arguments : none, error), ret);
}

typedef struct IdArgs { char *id; } IdArgs;
static const FieldStruct id_args = {
    .name = "ChardevIdArguments", .size = sizeof(IdArgs),
    .fields = (const Field[]) {
        F_STR("id", IdArgs, id, NULL, .flags = FIELD_REQUIRED, .help = "Id of the chardev"), FIELD_END
    },
};

static bool remove_chardev(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const IdArgs *args = opaque;

    return chardev_remove(call->domain, args->id, error);
}

static bool send_break(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const IdArgs *args = opaque;
    Chardev *chr = chardev_find(call->domain, args->id, error);

    if (!chr) {
        return false;
    }
    while (chr->class->below) { /* whose keys a mux hands on */
        chr = chr->class->below(chr);
    }
    chardev_event(chr, CHARDEV_BREAK);
    return true;
}

/* ---- ring buffers ---- */

enum { FORMAT_UTF8, FORMAT_BASE64 };
static const FieldEnum format_enum = { "DataFormat", (const char *const[]) { "utf8", "base64", NULL } };

static Chardev *find_ringbuf(CommandCall *call, const char *id, GError **error)
{
    Chardev *chr = chardev_find(call->domain, id, error);

    if (chr && chr->class != &chardev_ringbuf_class) {
        error_set(error, "chardev '%s' is no ringbuf but a %s", id, chr->class->name);
        chr = NULL;
    }
    return chr;
}

typedef struct ReadArgs { char *device; int64_t size; int format; } ReadArgs;
static const FieldStruct read_args = {
    .name = "RingbufReadArguments", .size = sizeof(ReadArgs),
    .fields = (const Field[]) {
        F_STR("device", ReadArgs, device, NULL, .flags = FIELD_REQUIRED, .help = "Id of the ringbuf"),
        F_INT("size", ReadArgs, size, 0, .flags = FIELD_REQUIRED, .min = 1, .max = INT64_MAX,
              .help = "Most bytes that are wanted"),
        F_ENUM("format", ReadArgs, format, &format_enum, FORMAT_UTF8,
               .help = "How they come: utf8, where what is no text is replaced, or base64"),
        FIELD_END
    },
};
static const Field text_value = FIELD_VALUE(FIELD_STR, char *, .flags = FIELD_REQUIRED);

static bool ringbuf_read(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const ReadArgs *args = opaque;
    Chardev *chr = find_ringbuf(call, args->device, error);
    g_autoptr(GByteArray) all = g_byte_array_new();
    g_autofree uint8_t *piece = NULL;
    uint64_t left = (uint64_t)args->size;
    size_t n = 1;

    if (!chr) {
        return false;
    }
    piece = g_malloc(PIECE);
    while (left && n) {
        n = chardev_ringbuf_read(chr, piece, MIN(left, PIECE));
        g_byte_array_append(all, piece, (guint)n);
        left -= n;
    }
    *(char **)ret = args->format == FORMAT_BASE64 ? g_base64_encode(all->data, all->len)
                                                  : g_utf8_make_valid(all->len ? (char *)all->data : "", all->len);
    return true;
}

typedef struct WriteArgs { char *device, *data; int format; } WriteArgs;
static const FieldStruct write_args = {
    .name = "RingbufWriteArguments", .size = sizeof(WriteArgs),
    .fields = (const Field[]) {
        F_STR("device", WriteArgs, device, NULL, .flags = FIELD_REQUIRED, .help = "Id of the ringbuf"),
        F_STR("data", WriteArgs, data, NULL, .flags = FIELD_REQUIRED,
              .help = "The bytes, as if the guest had sent them"),
        F_ENUM("format", WriteArgs, format, &format_enum, FORMAT_UTF8, .help = "How they are given"),
        FIELD_END
    },
};

static bool ringbuf_write(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const WriteArgs *args = opaque;
    Chardev *chr = find_ringbuf(call, args->device, error);
    g_autofree uint8_t *decoded = NULL;
    gsize length = strlen(args->data);

    if (!chr) {
        return false;
    }
    if (args->format == FORMAT_BASE64) {
        decoded = base64_decode(args->data, &length, error);
        if (!decoded) {
            return error_subject(error, "data");
        }
    }
    chardev_write(chr, decoded ? decoded : (const uint8_t *)args->data, length);
    return true;
}

const Command chardev_commands[] = {
    { "query-chardev", query_chardev, NULL, COMMAND_RETURNS_LIST(&chardev_info_element), .help = "List the chardevs" },
    { "query-chardev-backends", query_chardev_backends, NULL, COMMAND_RETURNS_LIST(&backend_info_element),
      .help = "List the kinds of chardevs" },
    { "chardev-add", add, &chardev_options, COMMAND_RETURNS(ChardevReturn, &chardev_return),
      .flags = COMMAND_UNCHECKED, .help = "Make a chardev" },
    { "chardev-change", change, &chardev_options, COMMAND_RETURNS(ChardevReturn, &chardev_return),
      .flags = COMMAND_UNCHECKED, .help = "Give a chardev another backend, also while a device uses it" },
    { "chardev-remove", remove_chardev, &id_args, .help = "Remove a chardev that nothing uses" },
    { "chardev-send-break", send_break, &id_args, .help = "Let the guest's side see a break" },
    { "ringbuf-read", ringbuf_read, &read_args, &text_value, .help = "Take bytes out of a ring buffer" },
    { "ringbuf-write", ringbuf_write, &write_args, .help = "Put bytes into a ring buffer" },
    COMMAND_END
};
