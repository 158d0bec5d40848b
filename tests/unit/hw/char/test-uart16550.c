/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/char/uart16550.c: registers, FIFOs and interrupts of isa-serial. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/rig.h"
#include "vmm/chardev.h"

enum { RBR = 0x3f8, THR = 0x3f8, DLL = 0x3f8, IER = 0x3f9, DLM = 0x3f9, IIR = 0x3fa, FCR = 0x3fa, LCR = 0x3fb,
       MCR = 0x3fc, LSR = 0x3fd, MSR = 0x3fe, SCR = 0x3ff };
#define COM1 "isa-serial,chardev=c"

static char *path;
static int host = -1; /* the other end of the line */

static void add_socket(Domain *domain)
{
    g_autofree char *text = g_strdup_printf("socket,id=c,path=%s,server=on,wait=off", path);
    g_autoptr(GError) error = NULL;

    assert_non_null(chardev_add_text(domain, text, &error));
}

static void connect_host(Rig *r)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    host = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(host, (struct sockaddr *)&address, sizeof(address)), 0);
    rig_settle(r);
}

static int setup(void **state)
{
    path = g_strdup_printf("/tmp/lodge-uart-%d", getpid());
    *state = rig_new_with(COM1, add_socket);
    connect_host(*state);
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    close(host);
    unlink(path);
    g_free(path);
    return 0;
}

static void type(Rig *r, const char *text)
{
    assert_int_equal(write(host, text, strlen(text)), strlen(text));
    rig_settle(r);
}

static void test_registers_have_their_reset_values(void **state)
{
    Rig *r = *state;

    assert_int_equal(rig_in8(r, IER), 0);
    assert_int_equal(rig_in8(r, IIR), 0x01);
    assert_int_equal(rig_in8(r, LCR), 0);
    assert_int_equal(rig_in8(r, LSR), 0x60);
    assert_int_equal(rig_in8(r, MSR), 0xb0);
}

static void test_the_divisor_hides_behind_dlab(void **state)
{
    Rig *r = *state;

    rig_out8(r, LCR, 0x80);
    rig_out8(r, DLL, 0x34);
    rig_out8(r, DLM, 0x12);
    rig_out8(r, LCR, 0x03);
    assert_int_equal(rig_in8(r, IER), 0);
    rig_out8(r, LCR, 0x83);
    assert_int_equal(rig_in8(r, DLL), 0x34);
    assert_int_equal(rig_in8(r, DLM), 0x12);
}

static void test_the_scratch_register_keeps_what_is_written(void **state)
{
    Rig *r = *state;

    rig_out8(r, SCR, 0xa5);
    assert_int_equal(rig_in8(r, SCR), 0xa5);
}

static void test_a_written_byte_reaches_the_host(void **state)
{
    Rig *r = *state;
    char byte = 0;

    rig_out8(r, THR, 'x');
    assert_int_equal(read(host, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(rig_in8(r, LSR), 0x60);
}

static void test_an_empty_transmitter_interrupts_until_iir_is_read(void **state)
{
    Rig *r = *state;

    rig_out8(r, IER, 0x02);
    assert_true(rig_irq(r, 4));
    assert_int_equal(rig_in8(r, IIR), 0x02);
    assert_false(rig_irq(r, 4));
    assert_int_equal(rig_in8(r, IIR), 0x01);
    rig_out8(r, THR, 'x');
    assert_true(rig_irq(r, 4));
}

static void test_received_bytes_come_in_order(void **state)
{
    Rig *r = *state;

    rig_out8(r, FCR, 0x01);
    type(r, "hi");
    assert_int_equal(rig_in8(r, LSR), 0x61);
    assert_int_equal(rig_in8(r, RBR), 'h');
    assert_int_equal(rig_in8(r, RBR), 'i');
    assert_int_equal(rig_in8(r, LSR), 0x60);
}

static void test_fewer_bytes_than_the_trigger_time_out(void **state)
{
    Rig *r = *state;

    rig_out8(r, FCR, 0x41); /* four bytes */
    rig_out8(r, IER, 0x01);
    type(r, "abc");
    assert_true(rig_irq(r, 4));
    assert_int_equal(rig_in8(r, IIR), 0xcc);
    type(r, "d");
    assert_int_equal(rig_in8(r, IIR), 0xc4);
}

static void test_reading_the_last_byte_ends_the_interrupt(void **state)
{
    Rig *r = *state;

    rig_out8(r, IER, 0x01);
    type(r, "a");
    assert_true(rig_irq(r, 4));
    rig_in8(r, RBR);
    assert_false(rig_irq(r, 4));
}

static void test_what_does_not_fit_waits_on_the_host(void **state)
{
    Rig *r = *state;

    rig_out8(r, FCR, 0x01);
    type(r, "0123456789abcdefXY");
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(rig_in8(r, RBR), "0123456789abcdef"[i]);
    }
    rig_settle(r);
    assert_int_equal(rig_in8(r, RBR), 'X');
    rig_settle(r);
    assert_int_equal(rig_in8(r, RBR), 'Y');
    assert_false(rig_in8(r, LSR) & 0x02); /* no overrun */
}

static void test_the_fifo_can_be_cleared(void **state)
{
    Rig *r = *state;

    rig_out8(r, FCR, 0x01);
    type(r, "abc");
    rig_out8(r, FCR, 0x03);
    assert_int_equal(rig_in8(r, LSR), 0x60);
}

static void test_loopback_returns_the_byte_and_keeps_it_from_the_host(void **state)
{
    Rig *r = *state;
    char byte;

    rig_out8(r, MCR, 0x10);
    rig_out8(r, THR, 0x5c);
    assert_int_equal(rig_in8(r, RBR), 0x5c);
    assert_int_equal(read(host, &byte, 1), -1);
}

static void test_an_unread_looped_byte_is_overrun(void **state)
{
    Rig *r = *state;

    rig_out8(r, MCR, 0x10);
    rig_out8(r, THR, 1);
    rig_out8(r, THR, 2);
    assert_int_equal(rig_in8(r, LSR), 0x63);
    assert_int_equal(rig_in8(r, LSR), 0x61); /* reading clears it */
    assert_int_equal(rig_in8(r, RBR), 2);
}

static void test_modem_outputs_loop_to_inputs_with_deltas(void **state)
{
    Rig *r = *state;

    rig_out8(r, IER, 0x08);
    rig_out8(r, MCR, 0x1f);
    assert_int_equal(rig_in8(r, MSR) & 0xf0, 0xf0);
    rig_out8(r, MCR, 0x10);
    assert_true(rig_irq(r, 4));
    assert_int_equal(rig_in8(r, MSR), 0x0f);
    assert_int_equal(rig_in8(r, MSR), 0x00);
    assert_false(rig_irq(r, 4));
}

static void test_a_full_host_delays_thre_and_loses_nothing(void **state)
{
    Rig *r = *state;
    unsigned sent = 0, got = 0;
    uint8_t byte;

    while (rig_in8(r, LSR) & 0x20) {
        rig_out8(r, THR, (uint8_t)sent++);
        assert_true(sent < 10u << 20);
    }
    for (unsigned idle = 0; idle < 3; idle++) {
        while (read(host, &byte, 1) == 1) {
            assert_int_equal(byte, (uint8_t)got);
            got++;
            idle = 0;
        }
        rig_settle(r);
    }
    assert_int_equal(got, sent);
    assert_true(rig_in8(r, LSR) & 0x20);
}

static void test_unread_input_survives_save_and_restore(void **state)
{
    Rig *r = *state;

    rig_out8(r, FCR, 0x01);
    rig_out8(r, IER, 0x01);
    type(r, "hi");
    {
        g_autoptr(GByteArray) saved = rig_save(r);

        device_reset(r->dev);
        assert_false(rig_irq(r, 4));
        assert_null(rig_load(r, saved));
    }
    assert_true(rig_irq(r, 4));
    assert_int_equal(rig_in8(r, RBR), 'h');
    assert_int_equal(rig_in8(r, RBR), 'i');
}

static void test_the_second_port_is_com2(void **state)
{
    Rig *r = *state;

    assert_null(rig_try_add(r, "isa-serial"));
    rig_out8(r, 0x2ff, 0x77);
    assert_int_equal(rig_in8(r, 0x2ff), 0x77);
    rig_out8(r, 0x2f9, 0x02);
    assert_true(rig_irq(r, 3));
}

static void test_ports_in_use_are_refused(void **state)
{
    Rig *r = *state;
    g_autofree char *text = rig_try_add(r, "isa-serial,iobase=0x3fc,irq=5");

    assert_string_equal(text, "isa-serial: 'isa-serial' cannot use ports 0x3fc to 0x403: 'isa-serial' does. "
                              "Set iobase= to another address.");
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_registers_have_their_reset_values),
        TEST(test_the_divisor_hides_behind_dlab),
        TEST(test_the_scratch_register_keeps_what_is_written),
        TEST(test_a_written_byte_reaches_the_host),
        TEST(test_an_empty_transmitter_interrupts_until_iir_is_read),
        TEST(test_received_bytes_come_in_order),
        TEST(test_fewer_bytes_than_the_trigger_time_out),
        TEST(test_reading_the_last_byte_ends_the_interrupt),
        TEST(test_what_does_not_fit_waits_on_the_host),
        TEST(test_the_fifo_can_be_cleared),
        TEST(test_loopback_returns_the_byte_and_keeps_it_from_the_host),
        TEST(test_an_unread_looped_byte_is_overrun),
        TEST(test_modem_outputs_loop_to_inputs_with_deltas),
        TEST(test_a_full_host_delays_thre_and_loses_nothing),
        TEST(test_unread_input_survives_save_and_restore),
        TEST(test_the_second_port_is_com2),
        TEST(test_ports_in_use_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
