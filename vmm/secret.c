/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The secret object, with QEMU's properties.  Secrets that are themselves encrypted (keyid, iv) are not there and are
 * refused by name.  The bytes are wiped when the object goes, but may have been swapped out or dumped before.
 *
 * Locking: none; main thread.
 */
#include "vmm/secret.h"

#include <string.h>

#include "vmm/base64.h"
#include "vmm/error.h"
#include "vmm/host.h"

#define SECRET_MAX (1u << 20)

enum { FORMAT_RAW, FORMAT_BASE64 };
static const FieldEnum format_enum = { "QCryptoSecretFormat", (const char *const[]) { "raw", "base64", NULL } };

typedef struct Secret {
    Object obj;
    /* Configuration */
    char *data, *file, *keyid, *iv;
    int format;
    /* Derived */
    uint8_t *bytes;
    size_t length;
} Secret;

const FieldStruct secret_props = {
    .name = "SecretProperties",
    .size = sizeof(Secret),
    .fields = (const Field[]) {
        F_STR("data", Secret, data, NULL, .flags = FIELD_SECRET,
              .help = "the secret; visible to whoever sees the command"),
        F_STR("file", Secret, file, NULL, .help = "file that holds it"),
        F_ENUM("format", Secret, format, &format_enum, FORMAT_RAW, .help = "how it is written there"),
        /* Refused, by a sentence of their own. */
        F_STR("keyid", Secret, keyid, NULL, .flags = FIELD_HIDDEN, .help = "secret that decrypts this one"),
        F_STR("iv", Secret, iv, NULL, .flags = FIELD_HIDDEN, .help = "initialization vector"),
        FIELD_END,
    },
};

static bool check_options(const Secret *s, GError **error)
{
    if (s->keyid || s->iv) {
        error_set(error, "encrypted secrets ('keyid', 'iv') are not supported");
        return error_hint(error, "Give the secret as it is, in a file that only this process may read.");
    }
    if (!s->data == !s->file) {
        return error_set(error, "a secret needs one of 'data' and 'file'");
    }
    return true;
}

static void wipe(void *bytes, size_t length)
{
    if (bytes) {
        explicit_bzero(bytes, length);
    }
}

static bool decode(Secret *s, GError **error)
{
    g_autofree char *text = g_strndup((const char *)s->bytes, s->length);
    size_t length;
    uint8_t *decoded;

    if (strlen(text) != s->length) {
        wipe(text, s->length);
        return error_set(error, "the base64 text has a zero byte in it");
    }
    decoded = base64_decode(text, &length, error);
    wipe(text, s->length);
    if (!decoded) {
        return false;
    }
    wipe(s->bytes, s->length);
    g_free(s->bytes);
    s->bytes = decoded;
    s->length = length;
    return true;
}

static void secret_destroy(Object *obj)
{
    Secret *s = (Secret *)obj;

    wipe(s->bytes, s->length);
    wipe(s->data, s->data ? strlen(s->data) : 0);
    g_clear_pointer(&s->bytes, g_free);
}

static bool secret_create(Object *obj, GError **error)
{
    Secret *s = (Secret *)obj;

    if (!check_options(s, error)) {
        return false;
    }
    if (s->file) {
        if (!host_read_file(s->file, SECRET_MAX, &s->bytes, &s->length, error)) {
            return false;
        }
    } else {
        s->length = strlen(s->data);
        s->bytes = g_memdup2(s->data, s->length + 1);
    }
    if (s->format == FORMAT_BASE64 && !decode(s, error)) {
        secret_destroy(obj);
        return false;
    }
    return true;
}

const ObjectClass secret_class = {
    .name = "secret",
    .desc = "A password or key",
    .size = sizeof(Secret),
    .props = &secret_props,
    .create = secret_create,
    .destroy = secret_destroy,
    .early = true,
};

const uint8_t *secret_find(Domain *domain, const char *id, size_t *ret_length, GError **error)
{
    const Secret *s = (const Secret *)object_find(domain, id, &secret_class, error);

    if (!s) {
        return NULL;
    }
    *ret_length = s->length;
    return s->bytes;
}
