/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/ask.h.  A lodge that waits gets the header of a migration, which says that it is only a question
 * (vmm/migrate-format.h).  What it answers is hostile, as all that comes from elsewhere is.
 */
#include "tools/lodgectl/ask.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tools/lodgectl/print.h"
#include "tools/lodgectl/reply.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/migrate-ram.h"
#include "vmm/socket-address.h"

#define ANSWER_S 10

bool ask_may_move(Client *client, GError **error)
{
    g_autoptr(Json) info = client_run(client, "query-migrate", NULL, error);
    const Json *reasons = reply_member(info, "blocked-reasons", JSON_ARRAY);
    const Json *first = reply_length(reasons) ? json_array_get(reasons, 0) : NULL;

    if (first && json_type_of(first) == JSON_STRING) {
        g_autofree char *why = clean_text(json_get_string(first), "");

        return error_set(error, "%s", why);
    }
    return info != NULL;
}

/* ---- a lodge that waits ---- */

static int connect_to(const char *uri, GError **error)
{
    const struct timeval patience = { .tv_sec = ANSWER_S };
    SocketAddress address = { 0 };
    int fd = -1;

    if (g_str_has_prefix(uri, "unix:") && uri[5]) {
        fd = host_connect_unix(uri + strlen("unix:"), error);
    } else if (!g_str_has_prefix(uri, "tcp:")) {
        error_set(error, "'%s' is no place that can be asked", uri);
        error_hint(error, "Write ssh://HOST, or of a lodge that waits, unix:PATH or tcp:HOST:PORT.");
    } else if (socket_address_parse(uri + strlen("tcp:"), &address, error)) {
        fd = socket_address_connect(&address, error);
        socket_address_clear(&address);
    }
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    }
    return fd;
}

static bool read_answer(void *opaque, void *data, size_t length, GError **error)
{
    ssize_t n = recv(*(int *)opaque, data, length, MSG_WAITALL);

    return n == (ssize_t)length || error_set(error, n < 0 && errno == EAGAIN ? "it does not answer"
                                                                             : "it has hung up without an answer");
}

/* There is no end of it: a lodge waits for the next one. */
static bool hear(int fd, GError **error)
{
    g_autofree char *text = NULL, *why = NULL;
    MigrateType type;

    if (!migrate_take_answer(read_answer, &fd, &type, &text, error)) {
        return false;
    }
    why = clean_text(text, "");
    return type == MIGRATE_HELLO ||
           error_set(error, "%s", type == MIGRATE_REFUSED ? why : "what is there is no lodge that waits");
}

static GByteArray *question(Client *client, GError **error)
{
    g_autoptr(Json) json = client_run(client, "x-query-migrate-header", NULL, error);
    MigrateHeader header = { 0 };
    GByteArray *bytes = NULL;

    if (json && field_struct_parse(&migrate_header, json, FIELD_STRICT, &header, error)) {
        header.return_path = header.check = header.has_check = true;
        bytes = migrate_header_write(&header);
        migrate_header_clear(&header);
    }
    return bytes;
}

bool ask_destination(Client *client, const char *uri, GError **error)
{
    g_autoptr(GByteArray) asks = ask_may_move(client, error) ? question(client, error) : NULL;
    int fd = asks ? connect_to(uri, error) : -1;
    bool ok;

    if (fd < 0) {
        return false;
    }
    ok = send(fd, asks->data, asks->len, MSG_NOSIGNAL) == (ssize_t)asks->len ||
         error_set(error, "it does not take what it is asked");
    ok = ok && hear(fd, error);
    close(fd);
    return ok;
}
