/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iothread: an event loop on a thread of its own, to which devices give queues.
 *
 * Locking: none; made and changed on the main thread, the loop guards itself.
 */
#include "vmm/error.h"
#include "vmm/iothread-commands.h"
#include "vmm/object.h"

struct IoThread {
    Object obj;
    /* Configuration */
    int64_t poll_max_ns, poll_grow, poll_shrink;
    /* Derived */
    Loop *loop;
};

const FieldStruct iothread_props = {
    .name = "IothreadProperties",
    .size = sizeof(IoThread),
    .fields = (const Field[]){
        F_INT("poll-max-ns", IoThread, poll_max_ns, 32768, .min = 0, .max = 1000000000, .flags = FIELD_RUNTIME,
              .help = "longest time to poll for new work before the thread sleeps, 0: it never polls"),
        F_INT("poll-grow", IoThread, poll_grow, 0, .min = 0, .max = INT64_MAX, .flags = FIELD_RUNTIME,
              .help = "factor by which polling grows, 0: chosen"),
        F_INT("poll-shrink", IoThread, poll_shrink, 0, .min = 0, .max = INT64_MAX, .flags = FIELD_RUNTIME,
              .help = "divisor by which polling shrinks, 0: at once to none"),
        FIELD_END,
    },
};

static void apply_poll(void *opaque)
{
    IoThread *t = opaque;

    loop_set_poll(t->loop, (uint64_t)t->poll_max_ns, (uint64_t)t->poll_grow, (uint64_t)t->poll_shrink);
}

static bool iothread_create(Object *obj, GError **error)
{
    IoThread *t = (IoThread *)obj;

    t->loop = loop_new(obj->id, LOOP_ENGINE_AUTO, error);
    if (!t->loop) {
        return false;
    }
    if (!loop_thread_start(t->loop, error)) {
        loop_free(t->loop);
        return false;
    }
    loop_call(t->loop, apply_poll, t); /* and so the thread runs, and has an id, when the object is there */
    return true;
}

static void iothread_destroy(Object *obj)
{
    IoThread *t = (IoThread *)obj;

    loop_thread_join(t->loop);
    loop_free(t->loop);
}

static bool iothread_changed(Object *obj, const char *name, GError **error)
{
    IoThread *t = (IoThread *)obj;

    loop_call(t->loop, apply_poll, t);
    return true;
}

const ObjectClass iothread_class = {
    .name = "iothread",
    .desc = "A thread with an event loop, for queues of devices",
    .size = sizeof(IoThread),
    .props = &iothread_props,
    .create = iothread_create,
    .destroy = iothread_destroy,
    .changed = iothread_changed,
    .early = true,
};

static bool iothread_attach(Device *dev, const char *id, void **slot, GError **error)
{
    return object_link_attach(dev, id, &iothread_class, slot, error);
}

const LinkClass iothread_link = { .kind = "iothread", .attach = iothread_attach, .detach = object_link_detach };

Loop *iothread_loop(IoThread *thread)
{
    return thread->loop;
}

/* ---- query-iothreads (QEMU 7.2, qapi/misc.json) ---- */

typedef struct IoThreadInfo {
    char *id;
    int64_t thread_id, poll_max_ns, poll_grow, poll_shrink, aio_max_batch;
} IoThreadInfo;
static const FieldStruct iothread_info = {
    .name = "IOThreadInfo",
    .size = sizeof(IoThreadInfo),
    .fields = (const Field[]){
        F_STR("id", IoThreadInfo, id, NULL, .flags = FIELD_REQUIRED, .help = "its id"),
        F_INT("thread-id", IoThreadInfo, thread_id, 0, .flags = FIELD_REQUIRED, .help = "the host's thread"),
        F_INT("poll-max-ns", IoThreadInfo, poll_max_ns, 0, .flags = FIELD_REQUIRED,
              .help = "as -object iothread has it"),
        F_INT("poll-grow", IoThreadInfo, poll_grow, 0, .flags = FIELD_REQUIRED, .help = "as -object iothread has it"),
        F_INT("poll-shrink", IoThreadInfo, poll_shrink, 0, .flags = FIELD_REQUIRED,
              .help = "as -object iothread has it"),
        F_INT("aio-max-batch", IoThreadInfo, aio_max_batch, 0, .flags = FIELD_REQUIRED,
              .help = "requests that go to the kernel at once; 0: as many as there are"),
        FIELD_END,
    },
};
static const Field iothread_info_element = FIELD_VALUE(FIELD_STRUCT, IoThreadInfo, .of.structure = &iothread_info);

static bool add_info(Object *obj, void *list)
{
    const IoThread *t = (const IoThread *)obj;
    IoThreadInfo info;

    if (obj->class == &iothread_class) {
        info = (IoThreadInfo){
            g_strdup(obj->id), loop_thread_id(t->loop), t->poll_max_ns, t->poll_grow, t->poll_shrink, 0
        };
        g_array_append_val((GArray *)list, info);
    }
    return true;
}

static bool query_iothreads(CommandCall *call, const void *args, void *ret, GError **error)
{
    GArray *all = g_array_new(FALSE, FALSE, sizeof(IoThreadInfo));
    FieldList *list = ret;

    object_each(call->domain, add_info, all);
    list->n = all->len;
    list->items = g_array_free(all, FALSE);
    return true;
}

const Command iothread_commands[] = {
    { "query-iothreads", query_iothreads, NULL, COMMAND_RETURNS_LIST(&iothread_info_element),
      .help = "List the iothreads" },
    COMMAND_END
};
