/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events on their way to the listeners.
 *
 *     event_emit(), any thread --unlocked--> main loop --> listeners
 *                                               |
 *                          comes too soon after one like it: waits, newest wins, a timer sends it
 *
 * Data is turned into JSON where the event happens, so nothing of the emitter's is needed later.
 * Listeners, and what waits, are the main thread's.
 */
#include "vmm/event.h"

#include <string.h>

#include "vmm/domain-internal.h"

typedef struct Listener {
    EventFn fn;
    void *opaque;
} Listener;

/* Of a type and a value of its key: sent lately, and perhaps another one waits for its time. */
typedef struct Pause {
    EventHub *hub;
    const EventType *type;
    char *key;
    Timer *timer;
    Event *waiting; /* NULL: none */
} Pause;

struct EventHub {
    Domain *domain;
    GArray *listeners; /* Listener */
    GPtrArray *pauses; /* Pause, owned */
    bool stopped;
};

typedef struct Message {
    EventHub *hub;
    Event event;
} Message;

static void event_free(Event *event)
{
    json_unref(event->data);
    g_free(event);
}

static void pause_free(gpointer data)
{
    Pause *p = data;

    timer_free(p->timer);
    g_clear_pointer(&p->waiting, event_free);
    g_free(p->key);
    g_free(p);
}

EventHub *event_hub_new(Domain *domain)
{
    EventHub *hub = g_new0(EventHub, 1);

    hub->domain = domain;
    hub->listeners = g_array_new(FALSE, FALSE, sizeof(Listener));
    hub->pauses = g_ptr_array_new_with_free_func(pause_free);
    return hub;
}

void event_hub_stop(EventHub *hub)
{
    hub->stopped = true;
    g_ptr_array_set_size(hub->pauses, 0);
}

void event_hub_free(EventHub *hub)
{
    g_array_unref(hub->listeners);
    g_ptr_array_unref(hub->pauses);
    g_free(hub);
}

void event_listen(Domain *domain, EventFn fn, void *opaque)
{
    Listener listener = { fn, opaque };

    g_array_append_val(domain->events->listeners, listener);
}

void event_unlisten(Domain *domain, EventFn fn, void *opaque)
{
    GArray *listeners = domain->events->listeners;

    for (unsigned i = 0; i < listeners->len; i++) {
        const Listener *l = &g_array_index(listeners, Listener, i);

        if (l->fn == fn && l->opaque == opaque) {
            g_array_remove_index(listeners, i);
            return;
        }
    }
}

/* A listener may come or go while they are told. */
static void tell(EventHub *hub, const Event *event)
{
    g_autoptr(GArray) now = g_array_copy(hub->listeners);

    for (unsigned i = 0; i < now->len; i++) {
        const Listener *l = &g_array_index(now, Listener, i);

        l->fn(event, l->opaque);
    }
}

/* ---- those that come too fast ---- */

static void pause_over(void *opaque)
{
    Pause *p = opaque;
    Event *event = g_steal_pointer(&p->waiting);

    if (!event) {
        g_ptr_array_remove_fast(p->hub->pauses, p);
        return;
    }
    timer_mod(p->timer, clock_ns(clock_realtime) + p->type->interval_ms * NS_PER_MS);
    tell(p->hub, event);
    event_free(event);
}

static const char *key_of(const Event *event)
{
    const Json *key = event->type->key && event->data ? json_object_get_member(event->data, event->type->key) : NULL;

    return key && json_type_of(key) == JSON_STRING ? json_get_string(key) : "";
}

static Pause *find_pause(EventHub *hub, const Event *event)
{
    for (unsigned i = 0; i < hub->pauses->len; i++) {
        Pause *p = g_ptr_array_index(hub->pauses, i);

        if (p->type == event->type && g_str_equal(p->key, key_of(event))) {
            return p;
        }
    }
    return NULL;
}

static void begin_pause(EventHub *hub, const Event *event)
{
    Pause *p = g_new0(Pause, 1);

    p->hub = hub;
    p->type = event->type;
    p->key = g_strdup(key_of(event));
    p->timer = timer_new(domain_loop(hub->domain), clock_realtime, pause_over, p);
    timer_mod(p->timer, clock_ns(clock_realtime) + event->type->interval_ms * NS_PER_MS);
    g_ptr_array_add(hub->pauses, p);
}

static void keep(Pause *p, const Event *event)
{
    g_clear_pointer(&p->waiting, event_free);
    p->waiting = g_memdup2(event, sizeof(*event));
    if (event->data) {
        json_ref(event->data);
    }
}

/* ---- from the emitter to the main thread ---- */

static void arrive(void *opaque)
{
    Message *m = opaque;
    EventHub *hub = m->hub;
    Pause *p;

    if (!hub->stopped) {
        p = m->event.type->interval_ms ? find_pause(hub, &m->event) : NULL;
        if (p) {
            keep(p, &m->event);
        } else {
            if (m->event.type->interval_ms) {
                begin_pause(hub, &m->event);
            }
            tell(hub, &m->event);
        }
    }
    json_unref(m->event.data);
    g_free(m);
}

static void unlocked(void *opaque)
{
    Message *m = opaque;
    Loop *loop = domain_loop(m->hub->domain);

    if (loop_current() == loop) {
        arrive(m);
    } else {
        loop_post(loop, arrive, m);
    }
}

static Json *to_json(const FieldStruct *desc, const void *data)
{
    JsonWriter *w = json_writer_new(false);
    g_autofree char *text = NULL;

    field_struct_write(desc, data, w, NULL);
    text = json_writer_finish(w);
    return json_parse(text, strlen(text), NULL);
}

void event_emit(Domain *domain, const EventType *type, const void *data)
{
    Message *m = g_new0(Message, 1);

    m->hub = domain->events;
    m->event = (Event) { type, type->data ? to_json(type->data, data) : NULL, g_get_real_time() };
    effect_post(unlocked, m);
}
