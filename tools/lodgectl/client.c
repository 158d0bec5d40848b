/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/client.h.
 */
#include "tools/lodgectl/client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "monitor/json-stream.h"
#include "vmm/error.h"

#define INPUT_MAX 65536

struct Client {
    char *name;
    int fd;
    unsigned timeout_ms;
    JsonStream *in;
    uint8_t input[INPUT_MAX]; /* what was read and is not parsed yet: from `at`, `left` bytes */
    size_t at, left;
    GQueue events; /* Json */
    unsigned late; /* answers that still come to requests which nobody waits for any more: they come in order */
};

/* ---- time ---- */

static int64_t deadline_in(unsigned ms)
{
    return g_get_monotonic_time() + (int64_t)ms * 1000;
}

static int ms_until(int64_t deadline)
{
    int64_t left = deadline - g_get_monotonic_time();

    return left <= 0 ? 0 : (int)((left + 999) / 1000);
}

static bool too_late(const Client *c, GError **error)
{
    error_set(error, "Domain '%s' does not answer", c->name);
    return error_hint(error, "It may be stopped by a debugger, or very busy.");
}

static bool gone(const Client *c, GError **error)
{
    return error_set(error, "Domain '%s' has ended, or has closed the connection", c->name);
}

/* 1: ready; 0: too late. */
static int wait_for(const Client *c, short events, int64_t deadline)
{
    struct pollfd p = { .fd = c->fd, .events = events };
    int n;

    do {
        n = poll(&p, 1, ms_until(deadline));
    } while (n < 0 && errno == EINTR);
    return n;
}

/* ---- bytes ---- */

static bool send_all(Client *c, const char *text, int64_t deadline, GError **error)
{
    size_t length = strlen(text);

    while (length) {
        ssize_t n = send(c->fd, text, length, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0) {
            text += n;
            length -= (size_t)n;
        } else if (errno == EAGAIN) {
            if (wait_for(c, POLLOUT, deadline) <= 0) {
                return too_late(c, error);
            }
        } else if (errno != EINTR) {
            return gone(c, error);
        }
    }
    return true;
}

/* 1: there are bytes; 0: none in time; -1: error is set. */
static int fill(Client *c, int64_t deadline, GError **error)
{
    ssize_t n;

    if (c->left) {
        return 1;
    }
    for (;;) {
        n = recv(c->fd, c->input, sizeof(c->input), MSG_DONTWAIT);
        if (n > 0) {
            c->at = 0;
            c->left = (size_t)n;
            return 1;
        }
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            gone(c, error);
            return -1;
        }
        if (errno == EAGAIN && wait_for(c, POLLIN, deadline) <= 0) {
            return 0;
        }
    }
}

/* The next value.  1: *ret is it; 0: none in time; -1: error is set.  What comes without end is cut at the deadline. */
static int next_value(Client *c, int64_t deadline, Json **ret, GError **error)
{
    g_autoptr(GError) wrong = NULL;

    for (;;) {
        int n = fill(c, deadline, error);
        size_t used;

        if (n <= 0) {
            return n;
        }
        used = json_stream_read(c->in, c->input + c->at, c->left, ret, &wrong);
        c->at += used;
        c->left -= used;
        if (wrong) {
            error_set(error, "Domain '%s' does not speak QMP: %s", c->name, wrong->message);
            return -1;
        }
        if (*ret) {
            return 1;
        }
        if (ms_until(deadline) == 0) {
            return 0;
        }
    }
}

/* ---- values ---- */

static void keep_event(Client *c, Json *event)
{
    if (c->events.length >= CLIENT_EVENTS_MAX) {
        json_unref(g_queue_pop_head(&c->events));
    }
    g_queue_push_tail(&c->events, event);
}

static bool is_event(const Json *json)
{
    return json_type_of(json) == JSON_OBJECT && json_object_get_member(json, "event");
}

/* One to a request whose time was over, the caller's until then. */
static bool is_late(Client *c, Json *answer)
{
    if (!c->late) {
        return false;
    }
    c->late--;
    json_unref(answer);
    return true;
}

/* The answer to what was asked last: the next value that is no event and not late. */
static Json *next_answer(Client *c, int64_t deadline, GError **error)
{
    for (;;) {
        Json *json = NULL;
        int n = next_value(c, deadline, &json, error);

        if (n < 0) {
            return NULL;
        }
        if (n > 0 && is_event(json)) {
            keep_event(c, json);
        } else if (n > 0 && !is_late(c, json)) {
            return json;
        }
        if (n == 0 || ms_until(deadline) == 0) {
            c->late++;
            too_late(c, error);
            return NULL;
        }
    }
}

Json *client_request(Client *c, const char *text, GError **error)
{
    int64_t deadline = deadline_in(c->timeout_ms);

    if (!send_all(c, text, deadline, error) || !send_all(c, "\n", deadline, error)) {
        shutdown(c->fd, SHUT_RDWR); /* half a request: nothing that follows would be understood */
        return NULL;
    }
    return next_answer(c, deadline, error);
}

static const char *text_member(const Json *object, const char *name)
{
    const Json *value = object && json_type_of(object) == JSON_OBJECT ? json_object_get_member(object, name) : NULL;

    return value && json_type_of(value) == JSON_STRING ? json_get_string(value) : NULL;
}

static bool error_of(const Client *c, const Json *reply, GError **error)
{
    static const ErrorClass classes[] = { ERROR_COMMAND_NOT_FOUND, ERROR_DEVICE_NOT_FOUND, ERROR_DEVICE_NOT_ACTIVE,
                                          ERROR_KVM_MISSING_CAP };
    const Json *what = json_type_of(reply) == JSON_OBJECT ? json_object_get_member(reply, "error") : NULL;
    const char *desc = text_member(what, "desc"), *class = text_member(what, "class");

    if (!desc || !class) {
        return error_set(error, "Domain '%s' does not speak QMP: it answers neither 'return' nor 'error'", c->name);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(classes); i++) {
        g_autoptr(GError) sample = NULL;

        error_set_class(&sample, classes[i], "sample");
        if (g_str_equal(error_class_name(sample), class)) {
            return error_set_class(error, classes[i], "Domain '%s': %s", c->name, desc);
        }
    }
    return error_set(error, "Domain '%s': %s", c->name, desc);
}

Json *client_run(Client *c, const char *command, Json *arguments, GError **error)
{
    JsonWriter *w = json_writer_new(false);
    g_autoptr(Json) taken = arguments;
    g_autoptr(Json) reply = NULL;
    g_autofree char *text = NULL;
    Json *value;

    json_write_begin_object(w, NULL);
    json_write_string(w, "execute", command);
    if (taken) {
        json_write_value(w, "arguments", taken);
    }
    json_write_end_object(w);
    text = json_writer_finish(w);
    reply = client_request(c, text, error);
    if (!reply) {
        return NULL;
    }
    value = json_type_of(reply) == JSON_OBJECT ? json_object_get_member(reply, "return") : NULL;
    if (!value) {
        error_of(c, reply, error);
    }
    return value ? json_ref(value) : NULL;
}

bool client_do(Client *c, const char *command, GError **error)
{
    g_autoptr(Json) value = client_run(c, command, NULL, error);

    return value != NULL;
}

bool client_event(Client *c, unsigned wait_ms, Json **ret, GError **error)
{
    int64_t deadline = deadline_in(wait_ms);
    int n;

    *ret = g_queue_pop_head(&c->events);
    while (!*ret) {
        n = next_value(c, deadline, ret, error);
        if (n <= 0) {
            return n == 0;
        }
        if (!is_event(*ret)) { /* an answer that came too late for its request */
            c->late -= c->late > 0;
            g_clear_pointer(ret, json_unref);
        }
    }
    return true;
}

/* ---- connecting ---- */

static bool connect_to(Client *c, const char *path, GError **error)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int64_t deadline = deadline_in(c->timeout_ms);

    if (strlen(path) >= sizeof(address.sun_path)) {
        return error_set(error, "The path of the socket of domain '%s' is too long", c->name);
    }
    strcpy(address.sun_path, path);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        return error_set_errno(error, errno, "Cannot make a socket");
    }
    /* A full queue of connections is EAGAIN here, and nothing tells when it is not. */
    while (connect(c->fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        if (errno == EAGAIN && ms_until(deadline) > 0) {
            g_usleep(10000);
        } else if (errno == EAGAIN) {
            return too_late(c, error);
        } else if (errno == ECONNREFUSED || errno == ENOENT) {
            return error_set(error, "Domain '%s' is not running", c->name);
        } else if (errno != EINTR) {
            return error_set_errno(error, errno, "Cannot connect to domain '%s'", c->name);
        }
    }
    return true;
}

static bool negotiate(Client *c, GError **error)
{
    g_autoptr(Json) greeting = next_answer(c, deadline_in(c->timeout_ms), error);

    if (!greeting) {
        return false;
    }
    if (json_type_of(greeting) != JSON_OBJECT || !json_object_get_member(greeting, "QMP")) {
        return error_set(error, "Domain '%s' does not speak QMP: it does not greet", c->name);
    }
    return client_do(c, "qmp_capabilities", error);
}

Client *client_open(const char *name, const char *path, unsigned timeout_ms, GError **error)
{
    Client *c = g_new0(Client, 1);

    c->name = g_strdup(name);
    c->timeout_ms = timeout_ms;
    c->in = json_stream_new();
    c->fd = -1;
    g_queue_init(&c->events);
    if (!connect_to(c, path, error) || !negotiate(c, error)) {
        g_clear_pointer(&c, client_free);
    }
    return c;
}

void client_free(Client *c)
{
    if (!c) {
        return;
    }
    if (c->fd >= 0) {
        close(c->fd);
    }
    g_queue_clear_full(&c->events, (GDestroyNotify)json_unref);
    json_stream_free(c->in);
    g_free(c->name);
    g_free(c);
}

int client_fd(const Client *c)
{
    return c->fd;
}

pid_t client_pid(const Client *c)
{
    struct ucred peer = { .pid = 0 };
    socklen_t length = sizeof(peer);

    return getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 ? peer.pid : 0;
}

void client_set_timeout(Client *c, unsigned timeout_ms)
{
    c->timeout_ms = timeout_ms;
}
