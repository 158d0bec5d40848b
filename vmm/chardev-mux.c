/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A multiplexer: several front ends on one chardev.  All may write; what is typed
 * goes to the one in focus, but for the commands that begin with Ctrl-A (Ctrl-A h
 * lists them).  Main thread, but for output.
 *
 * Each front end has a buffer of what was typed, so that commands are still read
 * when a guest does not take its input.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/chardev-internal.h"
#include "vmm/error.h"

#define FRONTS_MAX  8
#define BUFFER_SIZE 4096
#define ESCAPE      0x01 /* Ctrl-A */

typedef struct MuxFront {
    ChardevFrontend fe;
    bool used;
    bool unannounced; /* has not been told yet that the chardev is open */
    uint8_t buffer[BUFFER_SIZE];
    size_t head, n;
} MuxFront;

typedef struct Mux {
    Chardev chr; /* first */
    Chardev *base;
    MuxFront fronts[FRONTS_MAX];
    unsigned focus;
    bool escaped;       /* Ctrl-A was typed */
    bool timestamps;    /* atomic */
    bool line_start;    /* atomic */
    int64_t started_ns; /* timestamps count from here */
} Mux;

/* ---- front ends ---- */

static void enter_front(MuxFront *front)
{
    if (front->fe.lock) {
        lock_acquire(front->fe.lock);
    }
}

static void leave_front(MuxFront *front)
{
    if (front->fe.lock) {
        lock_release(front->fe.lock);
    }
}

static void tell(MuxFront *front, ChardevEvent event)
{
    if (front->used && front->fe.event) {
        enter_front(front);
        front->fe.event(front->fe.opaque, event);
        leave_front(front);
    }
}

static void set_focus(Mux *mux, unsigned n)
{
    if (n != mux->focus) {
        tell(&mux->fronts[mux->focus], CHARDEV_MUX_OUT);
    }
    mux->focus = n;
    tell(&mux->fronts[n], CHARDEV_MUX_IN);
}

static void focus_next(Mux *mux)
{
    for (unsigned i = 1; i <= FRONTS_MAX; i++) {
        unsigned n = (mux->focus + i) % FRONTS_MAX;

        if (mux->fronts[n].used) {
            set_focus(mux, n);
            return;
        }
    }
}

/* The newest has the focus, but for a monitor, which comes after a machine's serial port. */
static bool mux_attach(Chardev *chr, const ChardevFrontend *fe, GError **error)
{
    Mux *mux = (Mux *)chr;

    for (unsigned i = 0; i < FRONTS_MAX; i++) {
        if (!mux->fronts[i].used) {
            mux->fronts[i].fe = *fe;
            mux->fronts[i].used = true;
            mux->fronts[i].unannounced = true;
            mux->fronts[i].n = 0;
            if (!fe->background || !mux->fronts[mux->focus].used || mux->focus == i) {
                mux->focus = i;
            }
            chr->attached = true;
            chr->frontend_open = true;
            chardev_accept_input(chr); /* announces it, on the main loop */
            return true;
        }
    }
    return error_set(error, "chardev '%s' is shared by %d front ends, which is the most", chr->id, FRONTS_MAX);
}

static bool mux_detach(Chardev *chr, void *opaque)
{
    Mux *mux = (Mux *)chr;
    bool left = false;

    for (unsigned i = 0; i < FRONTS_MAX; i++) {
        if (mux->fronts[i].used && mux->fronts[i].fe.opaque == opaque) {
            mux->fronts[i].used = false;
        }
        left |= mux->fronts[i].used;
    }
    chr->attached = left;
    chr->frontend_open = left;
    if (!mux->fronts[mux->focus].used && left) {
        focus_next(mux);
    }
    return true;
}

/* ---- input ---- */

static void deliver(Mux *mux, MuxFront *front)
{
    while (front->used && front->n && front->fe.receive) {
        size_t run = MIN(front->n, BUFFER_SIZE - front->head);
        size_t room;

        enter_front(front);
        room = chardev_front_room(&mux->chr, &front->fe);
        run = MIN(run, room);
        if (run) {
            front->fe.receive(front->fe.opaque, front->buffer + front->head, run);
        }
        leave_front(front);
        if (!run) {
            break;
        }
        front->head = (front->head + run) % BUFFER_SIZE;
        front->n -= run;
    }
}

/* Also to those that have lost the focus: what was typed before is theirs. */
static void deliver_all(Mux *mux)
{
    for (unsigned i = 0; i < FRONTS_MAX; i++) {
        deliver(mux, &mux->fronts[i]);
    }
}

static void buffer_byte(MuxFront *front, uint8_t byte)
{
    if (front->used && front->n < BUFFER_SIZE) {
        front->buffer[(front->head + front->n++) % BUFFER_SIZE] = byte;
    }
}

static void print(Mux *mux, const char *text)
{
    chardev_write(mux->base, (const uint8_t *)text, strlen(text));
}

static void command_help(Mux *mux)
{
    print(mux, "\r\n"
               "Ctrl-A h       this help\r\n"
               "Ctrl-A x       end the virtual machine\r\n"
               "Ctrl-A c       switch to the next front end\r\n"
               "Ctrl-A b       send a break\r\n"
               "Ctrl-A t       timestamps on or off\r\n"
               "Ctrl-A Ctrl-A  send Ctrl-A\r\n");
}

static void command_quit(Mux *mux)
{
    print(mux, "\r\nlodge: terminated\r\n");
    domain_request_shutdown(mux->chr.domain, REASON_HOST_UI);
}

static void command_switch(Mux *mux)
{
    focus_next(mux);
}

static void command_break(Mux *mux)
{
    tell(&mux->fronts[mux->focus], CHARDEV_BREAK);
}

static void command_timestamps(Mux *mux)
{
    mux->started_ns = clock_ns(clock_realtime);
    __atomic_store_n(&mux->line_start, true, __ATOMIC_SEQ_CST);
    __atomic_store_n(&mux->timestamps, !mux->timestamps, __ATOMIC_SEQ_CST);
}

static void command_escape(Mux *mux)
{
    buffer_byte(&mux->fronts[mux->focus], ESCAPE);
}

static const struct {
    uint8_t key;
    void (*run)(Mux *mux);
} commands[] = {
    { 'h', command_help }, { '?', command_help }, { 'x', command_quit }, { 'c', command_switch },
    { 'b', command_break }, { 't', command_timestamps }, { ESCAPE, command_escape },
};

/* An unknown key is swallowed with its Ctrl-A. */
static void run_command(Mux *mux, uint8_t key)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (commands[i].key == key) {
            commands[i].run(mux);
            return;
        }
    }
}

static size_t base_can_receive(void *opaque)
{
    Mux *mux = opaque;

    return BUFFER_SIZE - mux->fronts[mux->focus].n;
}

static void base_receive(void *opaque, const uint8_t *data, size_t length)
{
    Mux *mux = opaque;

    for (size_t i = 0; i < length; i++) {
        if (mux->escaped) {
            mux->escaped = false;
            run_command(mux, data[i]);
        } else if (data[i] == ESCAPE) {
            mux->escaped = true;
        } else {
            buffer_byte(&mux->fronts[mux->focus], data[i]);
        }
    }
    deliver_all(mux);
}

static void mux_resume_input(Chardev *chr)
{
    Mux *mux = (Mux *)chr;

    for (unsigned i = 0; i < FRONTS_MAX; i++) {
        MuxFront *front = &mux->fronts[i];

        if (front->used && front->unannounced) {
            front->unannounced = false;
            if (chardev_connected(mux->base)) {
                tell(front, CHARDEV_OPENED);
            }
            if (i == mux->focus) {
                tell(front, CHARDEV_MUX_IN);
            }
        }
    }
    deliver_all(mux);
    chardev_accept_input(mux->base);
}

static void base_event(void *opaque, ChardevEvent event)
{
    Mux *mux = opaque;

    if (event == CHARDEV_BREAK) {
        tell(&mux->fronts[mux->focus], event);
        return;
    }
    for (unsigned i = 0; i < FRONTS_MAX; i++) {
        if (!mux->fronts[i].unannounced) {
            tell(&mux->fronts[i], event);
        }
    }
}

/* ---- output ---- */

static void base_writable(void *opaque)
{
    Mux *mux = opaque;

    if (!__atomic_exchange_n(&mux->chr.wants_write, false, __ATOMIC_SEQ_CST)) {
        return;
    }
    for (unsigned i = 0; i < FRONTS_MAX; i++) {
        MuxFront *front = &mux->fronts[i];

        if (front->used && front->fe.writable) {
            enter_front(front);
            front->fe.writable(front->fe.opaque);
            leave_front(front);
        }
    }
}

static void write_timestamp(Mux *mux)
{
    int64_t ms = (clock_ns(clock_realtime) - mux->started_ns) / NS_PER_MS;
    char text[32];

    snprintf(text, sizeof(text), "[%02d:%02d:%02d.%03d] ", (int)(ms / 3600000), (int)(ms / 60000 % 60),
        (int)(ms / 1000 % 60), (int)(ms % 1000));
    print(mux, text);
}

static size_t write_lines(Mux *mux, const uint8_t *data, size_t length)
{
    size_t done = 0;

    while (done < length) {
        const uint8_t *newline = memchr(data + done, '\n', length - done);
        size_t part = newline ? (size_t)(newline - (data + done)) + 1 : length - done;
        size_t n;

        if (__atomic_exchange_n(&mux->line_start, false, __ATOMIC_SEQ_CST)) {
            write_timestamp(mux);
        }
        n = chardev_write(mux->base, data + done, part);
        done += n;
        if (n < part) {
            break;
        }
        __atomic_store_n(&mux->line_start, newline != NULL, __ATOMIC_SEQ_CST);
    }
    return done;
}

static size_t mux_pass(Chardev *chr, const uint8_t *data, size_t length)
{
    Mux *mux = (Mux *)chr;

    return __atomic_load_n(&mux->timestamps, __ATOMIC_SEQ_CST) ? write_lines(mux, data, length)
                                                               : chardev_write(mux->base, data, length);
}

/* ---- life ---- */

static bool mux_open(Chardev *chr, const void *opaque, GError **error)
{
    const ChardevMuxOptions *options = opaque;
    Mux *mux = (Mux *)chr;
    const ChardevFrontend fe = {
        .can_receive = base_can_receive,
        .receive = base_receive,
        .event = base_event,
        .writable = base_writable,
        .opaque = mux,
    };

    mux->base = chardev_find(chr->domain, options->chardev, error);
    if (!mux->base || !chardev_attach(mux->base, &fe, error)) {
        return false;
    }
    mux->base->users++;
    return true;
}

static void mux_close(Chardev *chr)
{
    Mux *mux = (Mux *)chr;

    chardev_detach(mux->base, mux);
    mux->base->users--;
}

static char *mux_filename(const Chardev *chr)
{
    return chardev_filename(((const Mux *)chr)->base);
}

static Chardev *mux_below(Chardev *chr)
{
    return ((Mux *)chr)->base;
}

const ChardevClass chardev_mux_class = {
    .name = "mux",
    .size = sizeof(Mux),
    .open = mux_open,
    .close = mux_close,
    .resume_input = mux_resume_input,
    .filename = mux_filename,
    .attach = mux_attach,
    .detach = mux_detach,
    .pass = mux_pass,
    .below = mux_below,
};
