/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Secrets.  The properties are QEMU's (qapi/crypto.json, SecretProperties), without keyid and iv: a secret encrypted
 * by another one is refused, as the option is unknown.
 *
 * Locking: none; main thread.
 */
#include "vmm/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host.h"

#define SECRET_MAX (64u << 10)

typedef struct Secret {
    Object obj;
    /* Configuration */
    char *data, *file;
    int format;
    /* Derived */
    GBytes *bytes;
} Secret;

typedef enum SecretFormat { SECRET_RAW, SECRET_BASE64 } SecretFormat;
static const FieldEnum format_enum = { "QCryptoSecretFormat", (const char *const[]){ "raw", "base64", NULL } };

static const FieldStruct secret_props = {
    .name = "SecretProperties",
    .size = sizeof(Secret),
    .fields = (const Field[]){
        F_STR("data", Secret, data, NULL, .flags = FIELD_SECRET, .help = "the secret itself, which others can read here"),
        F_STR("file", Secret, file, NULL, .help = "file that it is in"),
        F_ENUM("format", Secret, format, &format_enum, SECRET_RAW, .help = "how it is written there"),
        FIELD_END,
    },
};

/* Pages of its own, which a core dump does not get; their size comes first. */
static void let_go(gpointer pages)
{
    size_t size = *(size_t *)pages;

    explicit_bzero(pages, size);
    munmap(pages, size);
}

static GBytes *keep(const void *data, size_t length, GError **error)
{
    size_t size = sizeof(size_t) + length;
    size_t *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pages == MAP_FAILED) {
        error_set_errno(error, errno, "cannot get memory for it");
        return NULL;
    }
    madvise(pages, size, MADV_DONTDUMP);
    *pages = size;
    memcpy(pages + 1, data, length);
    return g_bytes_new_with_free_func(pages + 1, length, let_go, pages);
}

/* The caller frees; *ret_length bytes. */
static char *read_file(const char *path, size_t *ret_length, GError **error)
{
    g_autofree char *buffer = g_malloc0(SECRET_MAX + 1);
    int fd = host_open(path, O_RDONLY, 0, error);
    size_t length = 0;
    ssize_t n = 1;

    while (fd >= 0 && n > 0 && length <= SECRET_MAX) {
        n = read(fd, buffer + length, SECRET_MAX + 1 - length);
        length += n > 0 ? (size_t)n : 0;
    }
    if (fd < 0) {
        return NULL;
    }
    if (n < 0) {
        error_set_errno(error, errno, "cannot read '%s'", path);
    }
    close(fd);
    if (length > SECRET_MAX) {
        error_set(error, "'%s' is larger than a secret can be, %u KiB", path, SECRET_MAX >> 10);
    }
    *ret_length = length;
    return n < 0 || length > SECRET_MAX ? NULL : g_steal_pointer(&buffer);
}

static bool decode(char *text, size_t *length, GError **error)
{
    gsize n;

    g_strstrip(text);
    if (!*text || strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n") != strlen(text)) {
        return error_set(error, "the secret is not in base64");
    }
    g_base64_decode_inplace(text, &n);
    *length = n;
    return true;
}

static bool secret_create(Object *obj, GError **error)
{
    Secret *s = (Secret *)obj;
    g_autofree char *text = NULL;
    size_t length;
    bool ok;

    if (!s->data == !s->file) {
        error_set(error, s->data ? "'data' and 'file' both give the secret" : "there is no secret in it");
        return error_hint(error, "Give data= or file=, one of them.");
    }
    text = s->data ? g_strdup(s->data) : read_file(s->file, &length, error);
    if (!text) {
        return false;
    }
    length = s->data ? strlen(text) : length;
    ok = s->format == SECRET_RAW || decode(text, &length, error);
    s->bytes = ok ? keep(text, length, error) : NULL;
    explicit_bzero(text, length);
    if (s->data) {
        explicit_bzero(s->data, strlen(s->data));
    }
    return s->bytes != NULL;
}

static void secret_destroy(Object *obj)
{
    g_bytes_unref(((Secret *)obj)->bytes);
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

GBytes *secret_find(Domain *domain, const char *id, GError **error)
{
    const Secret *s = (const Secret *)object_find(domain, id, &secret_class, error);

    return s ? s->bytes : NULL;
}
