/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See monitor/control.h.
 *
 *     listener --accept--> chardev "control-N" on the descriptor --> Qmp
 *                              `--closed: posted, as we are in its callback --> both are freed
 *
 * From CLIENTS_MAX clients on no other is accepted until one leaves; they wait in the socket's queue.
 */
#include "monitor/control.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/qmp.h"
#include "vmm/chardev.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/loop.h"

#define CLIENTS_MAX 64

typedef struct Client {
    Control *control;
    Qmp *qmp;
    char *id; /* of its chardev */
    bool gone;
} Client;

struct Control {
    Domain *domain;
    int listener;
    LoopFd *watch;
    Timer *again; /* listens again, when descriptors had run out */
    GPtrArray *clients; /* Client, owned */
    unsigned number;
    bool reaping;
    bool freed; /* the post frees it */
};

static void client_free(gpointer opaque)
{
    Client *c = opaque;

    qmp_free(c->qmp);
    chardev_remove(c->control->domain, c->id, NULL);
    g_free(c->id);
    g_free(c);
}

static void listen_again(void *opaque)
{
    Control *control = opaque;

    loop_fd_set_events(control->watch, control->clients->len < CLIENTS_MAX ? LOOP_READ : 0);
}

static void reap(void *opaque)
{
    Control *control = opaque;

    control->reaping = false;
    if (control->freed) {
        g_free(control);
        return;
    }
    for (guint i = control->clients->len; i > 0; i--) {
        if (((Client *)control->clients->pdata[i - 1])->gone) {
            g_ptr_array_remove_index(control->clients, i - 1);
        }
    }
    listen_again(control);
}

static void client_left(void *opaque)
{
    Client *c = opaque;

    c->gone = true;
    if (!c->control->reaping) {
        c->control->reaping = true;
        loop_post(domain_loop(c->control->domain), reap, c->control);
    }
}

static char *next_id(Control *control)
{
    char *id = NULL;

    do {
        g_free(id);
        id = g_strdup_printf("control-%u", control->number++);
    } while (g_hash_table_contains(domain_table(control->domain, TABLE_CHARDEVS), id));
    return id;
}

/* Takes fd, by a name: numbers are of what was inherited. */
static Chardev *add_chardev(Domain *domain, const char *id, int fd, GError **error)
{
    g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *text = g_strdup_printf("socket,id=%s,fd=client", id);
    Chardev *chr;

    g_hash_table_insert(names, g_strdup("client"), GINT_TO_POINTER(fd));
    host_set_named_fds(names);
    chr = chardev_add_text(domain, text, error);
    host_set_named_fds(NULL);
    if (g_hash_table_size(names)) {
        close(fd);
    }
    return chr;
}

/* Takes fd. */
static void add_client(Control *control, int fd)
{
    g_autofree char *id = next_id(control);
    g_autoptr(GError) error = NULL;
    Chardev *chr = add_chardev(control->domain, id, fd, &error);
    Client *c;

    if (!chr) {
        log_warning("a client of the control socket is turned away: %s", error->message);
        return;
    }
    c = g_new0(Client, 1);
    c->control = control;
    c->id = g_steal_pointer(&id);
    c->qmp = qmp_new(control->domain, chr, false, NULL); /* a new chardev is not in use */
    qmp_on_close(c->qmp, client_left, c);
    g_ptr_array_add(control->clients, c);
}

static void client_comes(int listener, LoopEvents events, void *opaque)
{
    Control *control = opaque;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd >= 0) {
        add_client(control, fd);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        log_warning("the control socket cannot accept a connection: %s", g_strerror(errno));
        loop_fd_set_events(control->watch, 0);
        timer_mod(control->again, clock_ns(clock_realtime) + NS_PER_SEC);
    }
    if (control->clients->len >= CLIENTS_MAX) {
        loop_fd_set_events(control->watch, 0);
    }
}

Control *control_new(Domain *domain, int listener)
{
    Control *control = g_new0(Control, 1);

    control->domain = domain;
    control->listener = listener;
    control->clients = g_ptr_array_new_with_free_func(client_free);
    fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK);
    control->again = timer_new(domain_loop(domain), clock_realtime, listen_again, control);
    control->watch = loop_add_fd(domain_loop(domain), listener, LOOP_READ, client_comes, control);
    return control;
}

void control_free(Control *control)
{
    if (!control) {
        return;
    }
    g_ptr_array_unref(control->clients);
    timer_free(control->again);
    loop_remove_fd(control->watch);
    close(control->listener);
    if (control->reaping) {
        control->freed = true;
    } else {
        g_free(control);
    }
}
