/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A character device with a front end of the test.
 */
#include "chardev-rig.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib.h>

#include "vmm/epoch.h"

int rig_setup(void **state)
{
    Rig *r = g_new0(Rig, 1);

    r->domain = domain_new("test", NULL);
    r->folder = g_dir_make_tmp("lodge-chardev-XXXXXX", NULL);
    r->path = g_build_filename(r->folder, "x", NULL);
    r->room = sizeof(r->in) - 1;
    r->fd = -1;
    lock_init(&r->lock, LOCK_DEVICE, "test");
    *state = r;
    return 0;
}

int rig_teardown(void **state)
{
    Rig *r = *state;
    g_autofree char *remove = g_strdup_printf("rm -rf %s", r->folder);

    if (r->chr) {
        chardev_detach(r->chr, r);
    }
    chardev_remove_all(r->domain);
    domain_free(r->domain);
    epoch_synchronize();
    g_spawn_command_line_sync(remove, NULL, NULL, NULL, NULL);
    lock_finish(&r->lock);
    g_free(r->folder);
    g_free(r->path);
    g_free(r);
    return 0;
}

/* ---- the front end ---- */

static size_t front_can_receive(void *opaque)
{
    Rig *r = opaque;

    lock_assert_held(&r->lock);
    return r->room;
}

static void front_receive(void *opaque, const uint8_t *data, size_t length)
{
    Rig *r = opaque;

    lock_assert_held(&r->lock);
    assert_true(length <= r->room && strlen(r->in) + length < sizeof(r->in));
    strncat(r->in, (const char *)data, length);
    r->room -= length;
    if (r->fd < 0) {
        r->fd = chardev_take_fd(r->chr);
    }
}

static void front_event(void *opaque, ChardevEvent event)
{
    static const char names[] = "OCBIo"; /* opened, closed, break, mux in, mux out */
    Rig *r = opaque;

    lock_assert_held(&r->lock);
    strncat(r->events, &names[event], 1);
}

static void front_writable(void *opaque)
{
    ((Rig *)opaque)->writable++;
}

ChardevFrontend rig_front(Rig *r)
{
    return (ChardevFrontend) {
        .lock = &r->lock,
        .can_receive = front_can_receive,
        .receive = front_receive,
        .event = front_event,
        .writable = front_writable,
        .opaque = r,
    };
}

/* Rounds of the main loop until nothing more happens. */
void rig_settle(Rig *r)
{
    for (int quiet = 0; quiet < 5; quiet++) {
        while (loop_run_once(domain_loop(r->domain), false)) {
            quiet = 0;
        }
        g_usleep(1000);
    }
}

void rig_add(Rig *r, const char *text)
{
    g_autoptr(GError) error = NULL;
    ChardevFrontend fe = rig_front(r);

    r->chr = chardev_add_text(r->domain, text, &error);
    if (!r->chr) {
        fail_msg("%s: %s", text, error->message);
    }
    assert_true(chardev_attach(r->chr, &fe, NULL));
    rig_settle(r);
}

void rig_say(Rig *r, const char *text)
{
    assert_int_equal(chardev_write(r->chr, (const uint8_t *)text, strlen(text)), strlen(text));
    rig_settle(r);
}

char *rig_contents(const char *path)
{
    char *text = NULL;

    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

/* Everything that can be read from fd now. */
char *rig_drain(int fd)
{
    GString *text = g_string_new(NULL);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char buffer[4096];
    ssize_t n;

    while (poll(&p, 1, 50) > 0 && (n = read(fd, buffer, sizeof(buffer))) > 0) {
        g_string_append_len(text, buffer, n);
    }
    return g_string_free(text, FALSE);
}

char *rig_error(Rig *r, const char *text)
{
    g_autoptr(GError) error = NULL;

    assert_null(chardev_add_text(r->domain, text, &error));
    return g_strdup(error->message);
}

void rig_run_until(Rig *r, const char *events)
{
    for (int i = 0; i < 400 && !g_str_equal(r->events, events); i++) {
        rig_settle(r);
        g_usleep(10000);
    }
    assert_string_equal(r->events, events);
}
