/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-serial and its ports (virtio-console.c) on PCI, as a driver sees them:
 * control messages, bytes both ways, what waits, what comes and goes.
 */
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "hw/virtio/virtio-serial.h"
#include "virtio-guest.h"
#include "vmm/chardev.h"
#include "vmm/epoch.h"
#include "vmm/event.h"

#define SERIAL       "virtio-serial-pci,id=s,addr=5,max_ports=3"
#define PORT         "virtserialport,bus=s.0,chardev=c,name=org.test,nr=1"
#define MULTIPORT    (1 << VIRTIO_CONSOLE_F_MULTIPORT)
#define NEEDS_RESET  64
#define MESSAGES     0x10000 /* buffers of control messages to the driver, 64 bytes each */
#define MESSAGE_SIZE 64
#define REQUEST      0x11000 /* a control message from the driver */
#define INPUT        0x20000
#define OUTPUT       0x30000
#define OUTPUT_SIZE  0x8000

enum { PORT_0_IN, PORT_0_OUT, CONTROL_IN, CONTROL_OUT, PORT_1_IN, PORT_1_OUT, QUEUES };

extern const VirtioSerialPortClass virtserialport_class;

typedef struct Guest {
    VirtioGuest g;
    DriverQueue q[QUEUES];
    Device *port;
    int host;            /* the chardev's peer */
    uint16_t message[8]; /* ids of the buffers for messages */
} Guest;

/* ---- the driver ---- */

static void give_message_buffer(Guest *t, unsigned n)
{
    const DriverBuffer buffer = { MESSAGES + MESSAGE_SIZE * n, MESSAGE_SIZE, true };

    memset(rig_ram(t->g.rig, buffer.address), 0, MESSAGE_SIZE);
    t->message[n] = driver_add(&t->q[CONTROL_IN], &buffer, 1);
    guest_kick(&t->g, CONTROL_IN);
}

static void start(Guest *t, uint64_t features)
{
    assert_true(guest_negotiate(&t->g, features));
    for (unsigned n = 0; n < QUEUES; n++) {
        guest_add_queue(&t->g, n, &t->q[n], 32);
    }
    guest_driver_ok(&t->g);
    for (unsigned n = 0; n < G_N_ELEMENTS(t->message); n++) {
        give_message_buffer(t, n);
    }
}

static void tell(Guest *t, uint32_t nr, uint16_t event, uint16_t value)
{
    const struct virtio_console_control message = { GUINT32_TO_LE(nr), GUINT16_TO_LE(event), GUINT16_TO_LE(value) };
    const DriverBuffer buffer = { REQUEST, sizeof(message), false };
    uint32_t length;
    uint16_t id;

    memcpy(rig_ram(t->g.rig, REQUEST), &message, sizeof(message));
    driver_add(&t->q[CONTROL_OUT], &buffer, 1);
    guest_kick(&t->g, CONTROL_OUT);
    guest_wait(&t->g, &t->q[CONTROL_OUT], &id, &length);
}

/* The next message to the driver as "event port value text". */
static char *next_message(Guest *t)
{
    struct virtio_console_control m;
    const char *buffer;
    uint32_t length;
    unsigned n = 0;
    uint16_t id;

    guest_wait(&t->g, &t->q[CONTROL_IN], &id, &length);
    while (t->message[n] != id) {
        n++;
    }
    buffer = rig_ram(t->g.rig, MESSAGES + MESSAGE_SIZE * n);
    memcpy(&m, buffer, sizeof(m));
    return g_strdup_printf("%u %u %u %s", GUINT16_FROM_LE(m.event), GUINT32_FROM_LE(m.id), GUINT16_FROM_LE(m.value),
                           length > sizeof(m) ? buffer + sizeof(m) : "");
}

static void assert_message(Guest *t, uint16_t event, uint32_t nr, uint16_t value, const char *text)
{
    g_autofree char *want = g_strdup_printf("%u %u %u %s", event, nr, value, text);
    g_autofree char *have = next_message(t);

    assert_string_equal(have, want);
}

static void assert_no_message(Guest *t)
{
    uint32_t length;
    uint16_t id;

    rig_settle(t->g.rig);
    assert_false(driver_take_used(&t->q[CONTROL_IN], &id, &length));
}

/* Until the port is known by name, and open on both sides. */
static void open_port(Guest *t)
{
    start(t, MULTIPORT);
    tell(t, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    assert_message(t, VIRTIO_CONSOLE_PORT_ADD, 1, 1, "");
    tell(t, 1, VIRTIO_CONSOLE_PORT_READY, 1);
    assert_message(t, VIRTIO_CONSOLE_PORT_NAME, 1, 1, "org.test");
    assert_message(t, VIRTIO_CONSOLE_PORT_OPEN, 1, 1, "");
    tell(t, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
}

static void write_output(Guest *t, unsigned queue, const char *text)
{
    const DriverBuffer buffer = { OUTPUT, (uint32_t)strlen(text), false };

    memcpy(rig_ram(t->g.rig, OUTPUT), text, strlen(text));
    driver_add(&t->q[queue], &buffer, 1);
    guest_kick(&t->g, queue);
}

static void give_input_buffer(Guest *t, unsigned queue, uint32_t length)
{
    const DriverBuffer buffer = { INPUT, length, true };

    driver_add(&t->q[queue], &buffer, 1);
    guest_kick(&t->g, queue);
}

static uint32_t wait_for(Guest *t, unsigned queue)
{
    uint32_t length;
    uint16_t id;

    guest_wait(&t->g, &t->q[queue], &id, &length);
    return length;
}

static bool has_used(Guest *t, unsigned queue)
{
    uint32_t length;
    uint16_t id;

    rig_settle(t->g.rig);
    return driver_take_used(&t->q[queue], &id, &length);
}

/* ---- rigs ---- */

static void set_up_port(Guest *t, const char *port)
{
    g_autofree char *text = NULL, *failure = NULL;
    g_autoptr(GError) error = NULL;
    int fds[2];

    guest_init(&t->g, rig_new(SERIAL));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    t->host = fds[1];
    fcntl(t->host, F_SETFL, O_NONBLOCK);
    text = g_strdup_printf("socket,id=c,fd=%d", fds[0]);
    assert_non_null(chardev_add_text(t->g.rig->domain, text, &error));
    failure = rig_try_add(t->g.rig, port);
    assert_null(failure);
    t->port = t->g.rig->dev;
    rig_settle(t->g.rig);
}

static int setup(void **state)
{
    Guest *t = g_new0(Guest, 1);

    set_up_port(t, PORT);
    *state = t;
    return 0;
}

static int setup_console(void **state)
{
    Guest *t = g_new0(Guest, 1);

    set_up_port(t, "virtconsole,bus=s.0,chardev=c");
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    Guest *t = *state;

    rig_free(t->g.rig);
    close(t->host);
    g_free(t);
    return 0;
}

static void assert_host_reads(Guest *t, const char *text)
{
    char have[64] = "";

    assert_int_equal(read(t->host, have, sizeof(have) - 1), strlen(text));
    assert_string_equal(have, text);
}

static void host_writes(Guest *t, const char *text)
{
    assert_int_equal(write(t->host, text, strlen(text)), strlen(text));
    rig_settle(t->g.rig);
}

/* ---- control messages ---- */

static void test_ready_driver_learns_of_ports_by_name_and_state(void **state)
{
    Guest *t = *state;

    open_port(t);
    assert_no_message(t);
}

static void test_driver_that_is_not_ready_is_told_nothing(void **state)
{
    Guest *t = *state;

    start(t, MULTIPORT);
    assert_no_message(t);
}

/* Linux, after a sleep. */
static void test_driver_that_tells_of_its_port_is_told_of_it(void **state)
{
    Guest *t = *state;

    start(t, MULTIPORT);
    tell(t, 1, VIRTIO_CONSOLE_PORT_READY, 1);
    assert_message(t, VIRTIO_CONSOLE_PORT_NAME, 1, 1, "org.test");
    assert_message(t, VIRTIO_CONSOLE_PORT_OPEN, 1, 1, "");
    assert_no_message(t);
}

static void test_console_port_is_announced_as_one_and_is_open(void **state)
{
    Guest *t = *state;

    start(t, MULTIPORT);
    tell(t, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    assert_message(t, VIRTIO_CONSOLE_PORT_ADD, 0, 1, "");
    tell(t, 0, VIRTIO_CONSOLE_PORT_READY, 1);
    assert_message(t, VIRTIO_CONSOLE_CONSOLE_PORT, 0, 1, "");
    assert_message(t, VIRTIO_CONSOLE_PORT_OPEN, 0, 1, "");
}

static void test_message_about_a_port_that_is_not_there_is_ignored(void **state)
{
    Guest *t = *state;

    open_port(t);
    tell(t, 2, VIRTIO_CONSOLE_PORT_OPEN, 1);
    tell(t, UINT32_MAX, VIRTIO_CONSOLE_PORT_READY, 1);
    assert_no_message(t);
    assert_false(guest_status(&t->g) & NEEDS_RESET);
}

static void test_truncated_message_is_ignored(void **state)
{
    const DriverBuffer buffer = { REQUEST, 4, false };
    Guest *t = *state;

    start(t, MULTIPORT);
    driver_add(&t->q[CONTROL_OUT], &buffer, 1);
    guest_kick(&t->g, CONTROL_OUT);
    assert_int_equal(wait_for(t, CONTROL_OUT), 0);
    assert_no_message(t);
}

static void test_host_that_leaves_closes_the_port(void **state)
{
    Guest *t = *state;

    open_port(t);
    give_input_buffer(t, PORT_1_IN, 64); /* it is heard where bytes would be */
    shutdown(t->host, SHUT_RDWR);
    assert_message(t, VIRTIO_CONSOLE_PORT_OPEN, 1, 0, "");
}

static void test_messages_wait_for_buffers(void **state)
{
    Guest *t = *state;
    const unsigned n = G_N_ELEMENTS(t->message);

    start(t, MULTIPORT);
    for (unsigned i = 0; i <= n; i++) {
        tell(t, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    }
    for (unsigned i = 0; i < n; i++) {
        assert_message(t, VIRTIO_CONSOLE_PORT_ADD, 1, 1, "");
    }
    assert_no_message(t);
    give_message_buffer(t, 0);
    assert_message(t, VIRTIO_CONSOLE_PORT_ADD, 1, 1, "");
}

/* ---- bytes ---- */

static void test_output_reaches_the_host(void **state)
{
    Guest *t = *state;

    open_port(t);
    write_output(t, PORT_1_OUT, "hello");
    assert_int_equal(wait_for(t, PORT_1_OUT), 0);
    assert_host_reads(t, "hello");
}

static void test_input_fills_a_buffer(void **state)
{
    Guest *t = *state;

    open_port(t);
    give_input_buffer(t, PORT_1_IN, 64);
    host_writes(t, "hello");
    assert_int_equal(wait_for(t, PORT_1_IN), 5);
    assert_memory_equal(rig_ram(t->g.rig, INPUT), "hello", 5);
}

static void test_input_waits_for_a_buffer(void **state)
{
    Guest *t = *state;

    open_port(t);
    host_writes(t, "hello");
    give_input_buffer(t, PORT_1_IN, 3);
    assert_int_equal(wait_for(t, PORT_1_IN), 3);
    assert_memory_equal(rig_ram(t->g.rig, INPUT), "hel", 3);
    give_input_buffer(t, PORT_1_IN, 64);
    assert_int_equal(wait_for(t, PORT_1_IN), 2);
    assert_memory_equal(rig_ram(t->g.rig, INPUT), "lo", 2);
}

static void test_input_waits_until_the_driver_has_the_port_open(void **state)
{
    Guest *t = *state;

    open_port(t);
    tell(t, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
    give_input_buffer(t, PORT_1_IN, 64);
    host_writes(t, "hello");
    assert_false(has_used(t, PORT_1_IN));
    tell(t, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    assert_int_equal(wait_for(t, PORT_1_IN), 5);
}

/* Until nobody takes it; how much the driver sent. */
static size_t fill_host(Guest *t)
{
    const DriverBuffer buffer = { OUTPUT, OUTPUT_SIZE, false };
    size_t sent = 0;

    memset(rig_ram(t->g.rig, OUTPUT), 'x', OUTPUT_SIZE);
    do {
        driver_add(&t->q[PORT_1_OUT], &buffer, 1);
        guest_kick(&t->g, PORT_1_OUT);
        sent += OUTPUT_SIZE;
    } while (has_used(t, PORT_1_OUT));
    return sent;
}

static void test_output_waits_for_a_slow_host_and_loses_nothing(void **state)
{
    g_autofree char *piece = g_malloc(OUTPUT_SIZE);
    Guest *t = *state;
    size_t sent, got = 0;
    ssize_t n;

    open_port(t);
    sent = fill_host(t);
    while (got < sent) {
        while ((n = read(t->host, piece, OUTPUT_SIZE)) > 0) {
            got += (size_t)n;
        }
        guest_run(&t->g);
    }
    assert_int_equal(got, sent);
    assert_true(has_used(t, PORT_1_OUT));
}

static void test_console_works_without_multiport(void **state)
{
    Guest *t = *state;

    start(t, 0);
    write_output(t, PORT_0_OUT, "hello");
    assert_int_equal(wait_for(t, PORT_0_OUT), 0);
    assert_host_reads(t, "hello");
    give_input_buffer(t, PORT_0_IN, 64);
    host_writes(t, "there");
    assert_int_equal(wait_for(t, PORT_0_IN), 5);
}

static void test_output_of_a_port_that_is_not_there_is_taken_and_lost(void **state)
{
    Guest *t = *state;

    open_port(t);
    write_output(t, PORT_0_OUT, "hello");
    assert_int_equal(wait_for(t, PORT_0_OUT), 0);
    assert_int_equal(read(t->host, (char[8]) { 0 }, 8), -1);
}

/* ---- coming and going ---- */

static void test_reset_closes_the_port(void **state)
{
    Guest *t = *state;

    open_port(t);
    guest_reset(&t->g);
    host_writes(t, "hello");
    start(t, MULTIPORT);
    give_input_buffer(t, PORT_1_IN, 64);
    assert_false(has_used(t, PORT_1_IN)); /* not before the driver opens it again */
}

static void test_unplugged_port_gives_its_buffer_back_and_says_so(void **state)
{
    Guest *t = *state;

    open_port(t);
    fill_host(t);
    device_free(t->port);
    assert_true(has_used(t, PORT_1_OUT));
    assert_message(t, VIRTIO_CONSOLE_PORT_REMOVE, 1, 1, "");
}

static void test_port_that_is_plugged_later_is_announced(void **state)
{
    g_autofree char *failure = NULL;
    Guest *t = *state;

    open_port(t);
    failure = rig_try_add(t->g.rig, "virtserialport,bus=s.0,name=org.late");
    assert_null(failure);
    assert_message(t, VIRTIO_CONSOLE_PORT_ADD, 2, 1, "");
}

/* A port whose realize is interrupted by a driver that starts, as one on another thread may. */
static Guest *starting;

static bool driver_starts(Device *dev, GError **error)
{
    start(starting, MULTIPORT);
    return true;
}

static void test_driver_that_starts_while_a_port_comes_finds_it_whole_or_not_at_all(void **state)
{
    const DeviceClass early = { .name = "early", .bus = &virtio_serial_bus_class, .realize = driver_starts };
    VirtioSerialPortClass class = virtserialport_class;
    Guest *t = *state;
    Device *dev;

    starting = t;
    class.device.base = &early;
    dev = device_new(t->g.rig->domain, &class.device, "late");
    assert_true(device_realize(dev, bus_find(t->g.rig->domain, "s.0"), NULL));
    tell(t, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    assert_message(t, VIRTIO_CONSOLE_PORT_ADD, 1, 1, "");
    assert_message(t, VIRTIO_CONSOLE_PORT_ADD, 2, 1, "");
    device_free(dev);
    assert_message(t, VIRTIO_CONSOLE_PORT_REMOVE, 2, 1, "");
    epoch_synchronize(); /* its class goes */
}

static void test_number_or_name_that_is_taken_is_refused(void **state)
{
    g_autofree char *number = NULL, *name = NULL, *great = NULL;
    Guest *t = *state;

    number = rig_try_add(t->g.rig, "virtserialport,bus=s.0,nr=1");
    assert_non_null(strstr(number, "port number 1 is taken on bus 's.0'"));
    name = rig_try_add(t->g.rig, "virtserialport,bus=s.0,name=org.test");
    assert_non_null(strstr(name, "bus 's.0' has a port named 'org.test' already"));
    great = rig_try_add(t->g.rig, "virtserialport,bus=s.0,nr=3");
    assert_non_null(strstr(great, "port number 3 is too great: bus 's.0' has ports 0 to 2"));
}

/* ---- seen from the host ---- */

static void set_up_named_port(Guest *t)
{
    guest_init(&t->g, rig_new(SERIAL));
    t->host = -1;
    assert_non_null(chardev_add_text(t->g.rig->domain, "null,id=c", NULL));
    assert_null(rig_try_add(t->g.rig, PORT ",id=channel0"));
    t->port = t->g.rig->dev;
    rig_settle(t->g.rig);
}

static int setup_named(void **state)
{
    Guest *t = g_new0(Guest, 1);

    set_up_named_port(t);
    *state = t;
    return 0;
}

static void note_event(const Event *event, void *opaque)
{
    const Json *open = json_object_get_member(event->data, "open");
    const char *id = json_get_string(json_object_get_member(event->data, "id"));

    g_string_append_printf(opaque, "%s %s %d;", event->type->name, id, json_get_bool(open));
}

static void test_port_that_the_driver_opens_is_told_to_the_host(void **state)
{
    Guest *t = *state;
    Domain *domain = t->g.rig->domain;
    g_autoptr(GString) heard = g_string_new(NULL);

    event_listen(domain, note_event, heard);
    assert_false(chardev_frontend_open(chardev_find(domain, "c", NULL)));
    open_port(t);
    rig_settle(t->g.rig);
    assert_true(chardev_frontend_open(chardev_find(domain, "c", NULL)));
    assert_string_equal(heard->str, "VSERPORT_CHANGE channel0 1;");
    event_unlisten(domain, note_event, heard);
}

static void test_console_is_open_before_its_driver_comes(void **state)
{
    Guest *t = *state;

    assert_true(chardev_frontend_open(chardev_find(t->g.rig->domain, "c", NULL)));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup, teardown)
#define NAMED_TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup_named, teardown)
#define CONSOLE_TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup_console, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ready_driver_learns_of_ports_by_name_and_state),
        TEST(driver_that_is_not_ready_is_told_nothing),
        TEST(driver_that_tells_of_its_port_is_told_of_it),
        CONSOLE_TEST(console_port_is_announced_as_one_and_is_open),
        TEST(message_about_a_port_that_is_not_there_is_ignored),
        TEST(truncated_message_is_ignored),
        TEST(host_that_leaves_closes_the_port),
        TEST(messages_wait_for_buffers),
        TEST(output_reaches_the_host),
        TEST(input_fills_a_buffer),
        TEST(input_waits_for_a_buffer),
        TEST(input_waits_until_the_driver_has_the_port_open),
        TEST(output_waits_for_a_slow_host_and_loses_nothing),
        CONSOLE_TEST(console_works_without_multiport),
        TEST(output_of_a_port_that_is_not_there_is_taken_and_lost),
        TEST(reset_closes_the_port),
        TEST(unplugged_port_gives_its_buffer_back_and_says_so),
        TEST(port_that_is_plugged_later_is_announced),
        TEST(driver_that_starts_while_a_port_comes_finds_it_whole_or_not_at_all),
        TEST(number_or_name_that_is_taken_is_refused),
        NAMED_TEST(port_that_the_driver_opens_is_told_to_the_host),
        CONSOLE_TEST(console_is_open_before_its_driver_comes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
