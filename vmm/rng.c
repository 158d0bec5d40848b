/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sources of random bytes.  A source works for the first request of its queue; an
 * answer takes it off and goes on with the next one.
 *
 * rng-egd speaks the protocol of the Entropy Gathering Daemon (egd.pl 0.9, "non-
 * blocking read" is not used): command 0x02 and a count asks for 1 to 255 bytes,
 * which come back without a header.
 *
 * Locking: none; main thread.
 */
#include "vmm/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "vmm/chardev.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"

typedef struct RngRequest {
    size_t size;
    RngDone done;
    void *opaque;
} RngRequest;

struct Rng {
    Object obj;
    /* Configuration */
    char *filename; /* rng-random */
    char *chardev;  /* rng-egd */
    /* Derived */
    GQueue requests;
    struct Tick *tick; /* rng-builtin: a posted answer on its way */
    int fd;
    LoopFd *watch;
    Chardev *chr;
    size_t expected;  /* rng-egd: bytes asked for that have not come */
};

static const RngClass *rng_class(const Rng *rng)
{
    return (const RngClass *)rng->obj.class; /* ObjectClass comes first in it */
}

/* ---- requests ---- */

void rng_request(Rng *rng, size_t size, RngDone done, void *opaque)
{
    RngRequest *r = g_new(RngRequest, 1);

    *r = (RngRequest){ .size = CLAMP(size, 1, RNG_REQUEST_MAX), .done = done, .opaque = opaque };
    g_queue_push_tail(&rng->requests, r);
    if (rng->requests.length == 1) {
        rng_class(rng)->start(rng);
    }
}

static void stop_if_idle(Rng *rng)
{
    if (g_queue_is_empty(&rng->requests) && rng_class(rng)->stop) {
        rng_class(rng)->stop(rng);
    }
}

void rng_cancel(Rng *rng, void *opaque)
{
    for (GList *l = rng->requests.head, *next; l; l = next) {
        RngRequest *r = l->data;

        next = l->next;
        if (r->opaque == opaque) {
            g_free(r);
            g_queue_delete_link(&rng->requests, l);
        }
    }
    stop_if_idle(rng);
}

static size_t wanted(const Rng *rng)
{
    const RngRequest *first = g_queue_peek_head((GQueue *)&rng->requests);

    return first ? first->size : 0;
}

/* Answers the first request with length bytes, at most what it wants. */
static void answer(Rng *rng, const uint8_t *data, size_t length)
{
    g_autofree RngRequest *r = g_queue_pop_head(&rng->requests);
    bool more = !g_queue_is_empty(&rng->requests);

    r->done(r->opaque, data, length);
    /* If done() asked again on an empty queue, rng_request() has started it. */
    if (more && !g_queue_is_empty(&rng->requests)) {
        rng_class(rng)->start(rng);
    }
    stop_if_idle(rng);
}

static void drop_requests(Rng *rng)
{
    g_queue_clear_full(&rng->requests, g_free);
}

/* ---- rng-builtin ---- */

/* A posted call cannot be taken back: it outlives its source if it must. */
typedef struct Tick {
    Rng *rng; /* NULL: gone */
} Tick;

static void tick_run(void *opaque)
{
    Tick *tick = opaque;
    Rng *rng = tick->rng;
    uint8_t data[RNG_REQUEST_MAX];
    size_t size;
    ssize_t n;

    g_free(tick);
    if (!rng) {
        return;
    }
    rng->tick = NULL;
    size = wanted(rng);
    if (size == 0) {
        return; /* cancelled */
    }
    do {
        n = getrandom(data, size, 0);
    } while (n < 0 && errno == EINTR);
    g_assert(n > 0); /* getrandom(2) knows no other failure for a good buffer */
    answer(rng, data, (size_t)n);
    explicit_bzero(data, sizeof(data));
}

static void builtin_start(Rng *rng)
{
    if (!rng->tick) {
        rng->tick = g_new(Tick, 1);
        rng->tick->rng = rng;
        loop_post(domain_loop(rng->obj.domain), tick_run, rng->tick);
    }
}

static bool builtin_create(Object *obj, GError **error)
{
    return true;
}

static void builtin_destroy(Object *obj)
{
    Rng *rng = (Rng *)obj;

    if (rng->tick) {
        rng->tick->rng = NULL;
    }
    drop_requests(rng);
}

const FieldStruct rng_builtin_props = {
    .name = "RngBuiltinProperties",
    .size = sizeof(Rng),
    .fields = (const Field[]){ FIELD_END },
};

const RngClass rng_builtin_class = {
    .object = {
        .name = "rng-builtin",
        .desc = "Random bytes from the host's kernel",
        .size = sizeof(Rng),
        .props = &rng_builtin_props,
        .create = builtin_create,
        .destroy = builtin_destroy,
    },
    .start = builtin_start,
};

Rng *rng_new_builtin(Domain *domain)
{
    Rng *rng = g_new0(Rng, 1);

    rng->obj.class = &rng_builtin_class.object;
    rng->obj.domain = domain;
    return rng;
}

void rng_free_builtin(Rng *rng)
{
    if (rng) {
        builtin_destroy(&rng->obj);
        g_free(rng);
    }
}

/* ---- rng-random ---- */

static void random_ready(int fd, LoopEvents events, void *opaque)
{
    Rng *rng = opaque;
    uint8_t data[RNG_REQUEST_MAX];
    ssize_t n = read(fd, data, wanted(rng));

    if (n > 0) {
        answer(rng, data, (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        log_warning("%s: '%s' gives no more random bytes: %s", rng->obj.id, rng->filename,
                    n == 0 ? "its end is reached" : g_strerror(errno));
        loop_fd_set_events(rng->watch, 0);
    }
    explicit_bzero(data, sizeof(data));
}

static void random_start(Rng *rng)
{
    loop_fd_set_events(rng->watch, LOOP_READ);
}

static void random_stop(Rng *rng)
{
    loop_fd_set_events(rng->watch, 0);
}

static bool random_create(Object *obj, GError **error)
{
    Rng *rng = (Rng *)obj;

    rng->fd = host_open(rng->filename, O_RDONLY | O_NONBLOCK, 0, error);
    if (rng->fd < 0) {
        return false;
    }
    rng->watch = loop_add_fd(domain_loop(obj->domain), rng->fd, 0, random_ready, rng);
    return true;
}

static void random_destroy(Object *obj)
{
    Rng *rng = (Rng *)obj;

    loop_remove_fd(rng->watch);
    close(rng->fd);
    drop_requests(rng);
}

const FieldStruct rng_random_props = {
    .name = "RngRandomProperties",
    .size = sizeof(Rng),
    .fields = (const Field[]){
        F_STR("filename", Rng, filename, "/dev/urandom", .help = "file to read from"),
        FIELD_END,
    },
};

const RngClass rng_random_class = {
    .object = {
        .name = "rng-random",
        .desc = "Random bytes from a file",
        .size = sizeof(Rng),
        .props = &rng_random_props,
        .create = random_create,
        .destroy = random_destroy,
    },
    .start = random_start,
    .stop = random_stop,
};

/* ---- rng-egd ---- */

#define EGD_READ     0x02
#define EGD_READ_MAX 255

/* Asks for what the first request wants, unless bytes are on their way already. */
static void egd_start(Rng *rng)
{
    uint8_t command[2] = { EGD_READ, (uint8_t)MIN(wanted(rng), EGD_READ_MAX) };

    if (rng->expected || wanted(rng) == 0) {
        return;
    }
    if (chardev_write(rng->chr, command, sizeof(command)) == sizeof(command)) {
        rng->expected = command[1];
    } else {
        chardev_want_write(rng->chr);
    }
}

static void egd_writable(void *opaque)
{
    egd_start(opaque);
}

static size_t egd_can_receive(void *opaque)
{
    Rng *rng = opaque;

    return rng->expected;
}

static void egd_receive(void *opaque, const uint8_t *data, size_t length)
{
    Rng *rng = opaque;
    size_t use = MIN(length, wanted(rng));

    rng->expected -= MIN(length, rng->expected);
    if (use) {
        answer(rng, data, use); /* more than one cancelled request wanted is dropped */
    }
    egd_start(rng);
}

static void egd_event(void *opaque, ChardevEvent event)
{
    Rng *rng = opaque;

    if (event == CHARDEV_OPENED || event == CHARDEV_CLOSED) {
        rng->expected = 0; /* what an old connection owed does not come */
    }
    if (event == CHARDEV_OPENED) {
        egd_start(rng);
    }
}

static bool egd_create(Object *obj, GError **error)
{
    Rng *rng = (Rng *)obj;
    ChardevFrontend fe = {
        .can_receive = egd_can_receive,
        .receive = egd_receive,
        .event = egd_event,
        .writable = egd_writable,
        .opaque = rng,
    };

    rng->chr = chardev_find(obj->domain, rng->chardev, error);
    return rng->chr && chardev_attach(rng->chr, &fe, error);
}

static void egd_destroy(Object *obj)
{
    Rng *rng = (Rng *)obj;

    chardev_detach(rng->chr, rng);
    drop_requests(rng);
}

const FieldStruct rng_egd_props = {
    .name = "RngEgdProperties",
    .size = sizeof(Rng),
    .fields = (const Field[]){
        F_STR("chardev", Rng, chardev, NULL, .flags = FIELD_REQUIRED, .help = "connection to the daemon"),
        FIELD_END,
    },
};

const RngClass rng_egd_class = {
    .object = {
        .name = "rng-egd",
        .desc = "Random bytes from an entropy gathering daemon",
        .size = sizeof(Rng),
        .props = &rng_egd_props,
        .create = egd_create,
        .destroy = egd_destroy,
    },
    .start = egd_start,
};

/* ---- links ---- */

static bool rng_attach(Device *dev, const char *id, void **slot, GError **error)
{
    Object *obj = object_find(dev->domain, id, NULL, error);

    if (!obj) {
        return error_hint(error, "Add -object rng-builtin,id=%s.", id);
    }
    if (obj->class != &rng_builtin_class.object && obj->class != &rng_random_class.object &&
        obj->class != &rng_egd_class.object) {
        return error_set(error, "Object '%s' is no source of random bytes but an %s", id, obj->class->name);
    }
    return object_link_attach(dev, id, obj->class, slot, error);
}

const LinkClass rng_link = { .kind = "rng", .attach = rng_attach, .detach = object_link_detach };
