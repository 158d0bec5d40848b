/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/link.h.  What comes is hostile: lengths have a bound, and JSON is parsed as any client's.
 */
#include "tools/lodgectl/link.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/lodgectl/print.h"
#include "tools/lodgectl/reply.h"
#include "vmm/bytes.h"
#include "vmm/error.h"

#define HEAD  5
#define CHUNK 65536

static bool gone(GError **error)
{
    return error_set(error, "The connection to the other host is gone");
}

/* ---- the way to lodge ---- */

char *link_make_place(GError **error)
{
    g_autofree char *folder = g_dir_make_tmp("lodge-migrate-XXXXXX", NULL);

    if (!folder) {
        error_set_errno(error, errno, "Cannot make a folder in '%s'", g_get_tmp_dir());
        return NULL;
    }
    return g_build_filename(folder, "stream", NULL);
}

void link_remove_place(const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);

    unlink(path);
    rmdir(folder);
}

/* ---- bytes ---- */

static bool wait_for(int fd, short events)
{
    struct pollfd p = { fd, events, 0 };
    int n;

    do {
        n = poll(&p, 1, -1);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

static bool write_all(int fd, const void *data, size_t length)
{
    const uint8_t *p = data;

    while (length) {
        ssize_t n = write(fd, p, length);

        if (n < 0 && errno == EAGAIN ? !wait_for(fd, POLLOUT) : n < 0 && errno != EINTR) {
            return false;
        }
        p += MAX(n, 0);
        length -= (size_t)MAX(n, 0);
    }
    return true;
}

static bool read_all(int fd, void *data, size_t length)
{
    uint8_t *p = data;

    while (length) {
        ssize_t n = read(fd, p, length);

        if (n == 0 || (n < 0 && errno == EAGAIN ? !wait_for(fd, POLLIN) : n < 0 && errno != EINTR)) {
            return false;
        }
        p += MAX(n, 0);
        length -= (size_t)MAX(n, 0);
    }
    return true;
}

static bool send_frame(const Link *link, LinkKind kind, const void *payload, size_t length)
{
    uint8_t head[HEAD] = { (uint8_t)kind };

    put32(head + 1, (uint32_t)length);
    return write_all(link->out, head, sizeof(head)) && write_all(link->out, payload, length);
}

/* ---- messages ---- */

bool link_send(const Link *link, Json *json, GError **error)
{
    JsonWriter *w = json_writer_new(false);
    g_autofree char *text = NULL;

    json_write_value(w, NULL, json);
    json_unref(json);
    text = json_writer_finish(w);
    if (strlen(text) > LINK_PAYLOAD_MAX) {
        return error_set(error, "The domain is too large to be described to another host");
    }
    return send_frame(link, LINK_JSON, text, strlen(text)) || gone(error);
}

bool link_send_error(const Link *link, const GError *what)
{
    Json *json = json_new_object();
    g_autofree char *text = error_text(what);

    json_object_put_member(json, "error", json_new_string(text));
    return link_send(link, json, NULL);
}

/* ---- the stream ---- */

static void end_stream(Link *link)
{
    if (link->stream >= 0) {
        close(link->stream);
        link->stream = -1;
    }
}

static bool from_lodge(Link *link, GError **error)
{
    uint8_t data[CHUNK];
    ssize_t n = read(link->stream, data, sizeof(data));

    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        return true;
    }
    if (n > 0) {
        return send_frame(link, LINK_STREAM, data, (size_t)n) || gone(error);
    }
    end_stream(link);
    link->end_sent = true;
    return send_frame(link, LINK_END, NULL, 0) || gone(error);
}

static bool take_frame(Link *link, Json **ret, GError **error)
{
    g_autofree uint8_t *payload = NULL;
    uint8_t head[HEAD];
    uint32_t length;

    if (!read_all(link->in, head, sizeof(head))) {
        return gone(error);
    }
    length = get32(head + 1);
    if (length > LINK_PAYLOAD_MAX) {
        return error_set(error, "What the other host says is not lodgectl's");
    }
    payload = g_malloc(length + 1);
    if (!read_all(link->in, payload, length)) {
        return gone(error);
    }
    switch (head[0]) {
    case LINK_JSON:
        *ret = json_parse((const char *)payload, length, error);
        return *ret != NULL;
    case LINK_STREAM:
        if (link->stream >= 0 && !write_all(link->stream, payload, length)) {
            end_stream(link); /* lodge tells why, to who asks it */
        }
        return true;
    case LINK_END:
        if (link->stream >= 0) {
            shutdown(link->stream, SHUT_WR);
        }
        return true;
    default:
        return error_set(error, "What the other host says is not lodgectl's");
    }
}

bool link_relay(Link *link, int also, int ms, Json **ret, GError **error)
{
    int64_t end = g_get_monotonic_time() + (int64_t)ms * 1000;

    *ret = NULL;
    for (;;) {
        struct pollfd p[3] = { { link->in, POLLIN, 0 }, { link->stream, POLLIN, 0 }, { also, POLLIN, 0 } };
        int64_t left = end - g_get_monotonic_time();

        if (poll(p, 3, ms < 0 ? -1 : (int)(MAX(left, 0) / 1000)) < 0) {
            return errno == EINTR || error_set_errno(error, errno, "Cannot wait for the other host");
        }
        if ((p[1].revents && !from_lodge(link, error)) || (p[0].revents && !take_frame(link, ret, error))) {
            return false;
        }
        if (*ret || p[2].revents || (ms >= 0 && g_get_monotonic_time() >= end)) {
            return true;
        }
    }
}

Json *link_receive(Link *link, GError **error)
{
    g_autoptr(Json) json = NULL;
    const char *wrong;

    while (!json) {
        if (!link_relay(link, -1, -1, &json, error)) {
            return NULL;
        }
    }
    wrong = reply_text(json, "error");
    if (wrong) {
        g_autofree char *clean = clean_text(wrong, "");

        error_set(error, "%s", clean);
        return NULL;
    }
    return g_steal_pointer(&json);
}
