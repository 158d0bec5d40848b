/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line and -readconfig: what is collected, what is refused, what help says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/error.h"
#include "vmm/options.h"

#define ARGV(...) (const char *[]){ "lodge", __VA_ARGS__, NULL }

static Options parse(const char **argv)
{
    g_autoptr(GError) error = NULL;
    Options o;

    if (!options_parse((int)g_strv_length((char **)argv), (char **)argv, NULL, &o, &error)) {
        fail_msg("%s", error->message);
    }
    return o;
}

static void assert_refused(const char **argv, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    Options o;

    assert_false(options_parse((int)g_strv_length((char **)argv), (char **)argv, NULL, &o, &error));
    text = error_text(error);
    assert_string_equal(text, expected);
}

static const char *item(const GPtrArray *texts, guint i)
{
    assert_true(i < texts->len);
    return texts->pdata[i];
}

/* ---- collecting ---- */

static void test_one_dash_or_two(void **state)
{
    Options o = parse(ARGV("--kernel", "a", "-initrd", "b"));

    assert_string_equal(o.kernel, "a");
    assert_string_equal(o.initrd, "b");
    options_clear(&o);
}

static void test_the_last_of_a_single_value_counts(void **state)
{
    Options o = parse(ARGV("-kernel", "a", "-kernel", "b"));

    assert_string_equal(o.kernel, "b");
    options_clear(&o);
}

static void test_repeatable_options_keep_their_order(void **state)
{
    Options o = parse(ARGV("-device", "pvpanic", "-device", "isa-serial,index=1"));

    assert_string_equal(item(o.devices, 0), "pvpanic");
    assert_string_equal(item(o.devices, 1), "isa-serial,index=1");
    options_clear(&o);
}

static void test_an_argument_may_begin_with_a_dash(void **state)
{
    Options o = parse(ARGV("-kernel", "k", "-append", "-- init"));

    assert_string_equal(o.append, "-- init");
    options_clear(&o);
}

static void test_machine_type_and_keys_add_up(void **state)
{
    Options o = parse(ARGV("-M", "q35,accel=kvm", "-machine", "acpi=off", "-machine", "type=microvm"));

    assert_string_equal(o.machine_type, "microvm");
    assert_string_equal(item(o.machine, 0), "accel=kvm");
    assert_string_equal(item(o.machine, 1), "acpi=off");
    options_clear(&o);
}

static void test_machine_may_hold_the_boot_options(void **state)
{
    Options o = parse(ARGV("-machine", "q35,kernel=vm,,linuz,append=a b,acpi=off"));

    assert_string_equal(o.kernel, "vm,linuz");
    assert_string_equal(o.append, "a b");
    assert_string_equal(item(o.machine, 0), "acpi=off");
    options_clear(&o);
}

static void test_struct_options_add_up(void **state)
{
    Options o = parse(ARGV("-name", "web", "-name", "process=lodge-web,debug-threads=on"));

    assert_string_equal(o.name.guest, "web");
    assert_string_equal(o.name.process, "lodge-web");
    options_clear(&o);
}

static void test_short_globals_become_long(void **state)
{
    Options o = parse(ARGV("-global", "isa-serial.index=1", "-global", "x.y=a,b", "-global",
                           "driver=x,property=y,value=z"));

    assert_string_equal(item(o.globals, 0), "driver=isa-serial,property=index,value=1");
    assert_string_equal(item(o.globals, 1), "driver=x,property=y,value=a,,b");
    assert_string_equal(item(o.globals, 2), "driver=x,property=y,value=z");
    options_clear(&o);
}

static void test_older_spellings_are_actions(void **state)
{
    Options plain = parse(ARGV("-no-reboot", "-no-shutdown", "-watchdog-action", "poweroff"));
    Options keys = parse(ARGV("-action", "reboot=shutdown,watchdog=poweroff", "-action", "shutdown=pause"));

    assert_memory_equal(&plain.actions, &keys.actions, sizeof(Actions));
    options_clear(&plain);
    options_clear(&keys);
}

static void test_enable_kvm_is_an_accelerator(void **state)
{
    Options o = parse(ARGV("-enable-kvm"));

    assert_string_equal(item(o.accel, 0), "kvm");
    options_clear(&o);
}

static void test_uuid_in_order_of_its_text(void **state)
{
    static const uint8_t expected[16] = { 0x55, 0x0e, 0x84, 0x00, 0xe2, 0x9b, 0x41, 0xd4,
                                          0xa7, 0x16, 0x44, 0x66, 0x55, 0x44, 0x00, 0x00 };
    Options o = parse(ARGV("-uuid", "550e8400-e29b-41d4-a716-446655440000"));

    assert_true(o.has_uuid);
    assert_memory_equal(o.uuid, expected, 16);
    options_clear(&o);
}

static void test_rtc_has_an_implied_base(void **state)
{
    Options o = parse(ARGV("-rtc", "localtime,clock=vm,driftfix=slew"));

    assert_string_equal(o.rtc.base, "localtime");
    assert_int_equal(o.rtc.clock, 2);
    assert_int_equal(o.rtc.driftfix, 1);
    options_clear(&o);
}

static void test_a_disk_gets_a_console_and_a_root(void **state)
{
    Options o = parse(ARGV("--kernel", "vmlinuz", "disk.img"));

    assert_string_equal(item(o.images, 0), "disk.img");
    assert_string_equal(o.append, "console=ttyS0 root=/dev/vda");
    assert_true(o.nographic);
    options_clear(&o);
}

static void test_a_disk_leaves_a_given_command_line_alone(void **state)
{
    Options o = parse(ARGV("disk.img", "-kernel", "k", "-append", "ro"));

    assert_string_equal(o.append, "ro");
    options_clear(&o);
}

static void test_what_is_not_there_may_be_said(void **state)
{
    Options o = parse(ARGV("-display", "none", "-vga", "none", "-net", "none", "-nic", "none", "-monitor", "none",
                           "-parallel", "none", "-no-user-config", "-boot", "strict=on,menu=off"));

    options_clear(&o);
}

/* ---- refusing ---- */

static void test_unknown_option_names_the_nearest(void **state)
{
    assert_refused(ARGV("-kernal", "x"), "There is no option '-kernal'. Did you mean '-kernel'?");
    assert_refused(ARGV("--xyzzyx"), "There is no option '-xyzzyx'. See lodge -help.");
}

static void test_missing_argument_shows_the_form(void **state)
{
    assert_refused(ARGV("-kernel"), "Option '-kernel' needs an argument. Write -kernel FILE.");
}

static void test_unknown_key_names_option_and_nearest(void **state)
{
    assert_refused(ARGV("-rtc", "clok=vm"), "-rtc clok=vm: Parameter 'clok' is unknown. Did you mean 'clock'?");
}

static void test_unknown_value_names_the_nearest(void **state)
{
    assert_refused(ARGV("-rtc", "clock=hots"),
                   "-rtc clock=hots: Parameter 'clock' does not accept 'hots'. Did you mean 'host'?");
}

static void test_malformed_global(void **state)
{
    assert_refused(ARGV("-global", "isa-serial"),
                   "-global isa-serial: This is not DRIVER.PROPERTY=VALUE. "
                   "For example: -global virtio-blk-pci.packed=on.");
    assert_refused(ARGV("-global", "driver=isa-serial"), "-global driver=isa-serial: Parameter 'property' is missing");
}

static void test_malformed_uuid(void **state)
{
    assert_refused(ARGV("-uuid", "550e8400"),
                   "-uuid 550e8400: This is no UUID. Expected is a form like 550e8400-e29b-41d4-a716-446655440000.");
}

static void test_what_needs_firmware_is_refused_by_name(void **state)
{
    assert_refused(ARGV("-boot", "order=c"), "-boot order=c: 'order' is for firmware, and there is none yet. "
                   "Boot a kernel with -kernel, and leave it out.");
    assert_refused(ARGV("-boot", "d"), "-boot d: 'order' is for firmware, and there is none yet. "
                   "Boot a kernel with -kernel, and leave it out.");
    assert_refused(ARGV("-boot", "menu=on"), "-boot menu=on: 'menu' is for firmware, and there is none yet. "
                   "Boot a kernel with -kernel, and leave it out.");
}

static void test_what_is_not_there_is_refused_by_name(void **state)
{
    assert_refused(ARGV("-display", "gtk"), "-display gtk: There is no screen yet. Only 'none' is possible.");
}

static void test_a_disk_needs_a_kernel(void **state)
{
    assert_refused(ARGV("disk.img"), "There is no firmware yet that could boot the disk 'disk.img'. "
                   "Give its kernel: lodge -kernel vmlinuz -initrd initrd.img disk.img.");
}

static void test_initrd_needs_a_kernel(void **state)
{
    assert_refused(ARGV("-initrd", "i"), "-initrd is for a kernel, and there is none. Add -kernel FILE.");
}

static void test_a_daemon_has_no_terminal(void **state)
{
    assert_refused(ARGV("-daemonize", "-nographic"), "-daemonize leaves the terminal, and -nographic uses it. "
                   "Use -display none, and -serial file:FILE or another backend.");
}

static void test_a_daemon_may_be_nographic_where_nothing_needs_the_terminal(void **state)
{
    Options bare = parse(ARGV("-daemonize", "-nographic", "-nodefaults"));
    Options elsewhere = parse(ARGV("-daemonize", "-nographic", "-serial", "file:log"));

    assert_true(bare.daemonize && elsewhere.daemonize);
    options_clear(&bare);
    options_clear(&elsewhere);
}

static void test_sound_goes_nowhere(void **state)
{
    Options o = parse(ARGV("-audiodev", "{\"id\": \"audio1\", \"driver\": \"none\"}"));

    options_clear(&o);
    assert_refused(ARGV("-audiodev", "pa,id=a"), "-audiodev pa,id=a: Parameter 'driver' does not accept 'pa'. "
                   "It is one of: none.");
}

static void test_thread_names_cannot_be_switched_off(void **state)
{
    assert_refused(ARGV("-name", "x,debug-threads=off"),
                   "-name x,debug-threads=off: Parameter 'debug-threads' does not accept 'off': "
                   "threads always have names here. "
                   "Expected is: 'on', for example on.");
}

/* ---- help ---- */

static void assert_help(const char **argv, const char *part)
{
    Options o = parse(argv);

    assert_non_null(o.output);
    if (!strstr(o.output->str, part)) {
        fail_msg("no '%s' in: %s", part, o.output->str);
    }
    options_clear(&o);
}

static void test_help_lists_every_option(void **state)
{
    Options o = parse(ARGV("-help"));

    for (const Option *row = option_table; row->name; row++) {
        g_autofree char *head = g_strdup_printf("  -%s", row->name);

        assert_non_null(strstr(o.output->str, head));
    }
    options_clear(&o);
}

static void test_help_of_single_options(void **state)
{
    assert_help(ARGV("-object", "help"), "iothread");
    assert_help(ARGV("-object", "iothread,help"), "poll-max-ns=<int64>");
    assert_help(ARGV("-object", "rng-random,filename=x,help"), "filename=<str>");
    assert_help(ARGV("-accel", "help"), "kvm");
    assert_help(ARGV("-cpu", "?"), "qemu64");
    assert_help(ARGV("-d", "help"), "guest_errors");
    assert_help(ARGV("-m", "help"), "maxmem");
    assert_help(ARGV("-rtc", "clock=?"), "clock=<host|rt|vm>");
    assert_help(ARGV("-numa", "help"), "node");
    assert_help(ARGV("-chardev", "help"), "socket");
    assert_help(ARGV("-chardev", "file,help"), "input-path=<str>");
    assert_help(ARGV("-object", "rng-builtin,help"), "(none)");
    assert_help(ARGV("-version"), "lodge version");
}

static void test_help_about_what_is_not_there(void **state)
{
    assert_refused(ARGV("-object", "iothraed,help"),
                   "-object iothraed,help: There is no object type 'iothraed'. Did you mean 'iothread'?");
    assert_refused(ARGV("-chardev", "ptty,help"),
                   "-chardev ptty,help: There is no character device 'ptty'. Did you mean 'pty'?");
}

static void test_help_ends_the_line(void **state)
{
    assert_help(ARGV("-version", "-nonsense"), "lodge version");
}

static void test_every_option_with_an_argument_explains_itself(void **state)
{
    for (const Option *row = option_table; row->name; row++) {
        g_autofree char *dashed = g_strconcat("-", row->name, NULL);

        if (row->argument && (row->plain || row->language)) { /* the others' words come from elsewhere */
            Options o = parse(ARGV(dashed, "help"));

            assert_non_null(o.output);
            assert_true(o.output->len > 0);
            options_clear(&o);
        }
    }
    assert_help(ARGV("-serial", "help"), "unix:PATH");
}

static void test_a_kernel_called_help_needs_its_folder(void **state)
{
    Options o = parse(ARGV("-kernel", "./help"));

    assert_string_equal(o.kernel, "./help");
    options_clear(&o);
}

static void test_manual_page_has_every_option(void **state)
{
    Options o = parse(ARGV("--man"));

    assert_true(g_str_has_prefix(o.output->str, ".\\\""));
    for (const Option *row = option_table; row->name; row++) {
        g_auto(GStrv) parts = g_strsplit(row->name, "-", -1);
        g_autofree char *name = g_strjoinv("\\-", parts);
        g_autofree char *head = g_strdup_printf(".B \\-%s", name);

        assert_non_null(strstr(o.output->str, head));
    }
    assert_non_null(strstr(o.output->str, "socket,reconnect= "));
    assert_non_null(strstr(o.output->str, "memory\\-backend\\-memfd"));
    options_clear(&o);
}

static void test_languages_of_the_table_have_no_mistakes(void **state)
{
    for (const Option *row = option_table; row->name; row++) {
        if (row->language) {
            g_autofree char *mistakes = field_struct_check(row->language);

            if (mistakes) {
                fail_msg("-%s: %s", row->name, mistakes);
            }
        }
        assert_false(g_str_has_suffix(row->help, "."));
    }
}

/* ---- -readconfig ---- */

static bool read_config(Options *o, const char *text, GError **error)
{
    *o = parse(ARGV("-S"));
    return options_read_config_text(o, "vm.cfg", text, error);
}

static void assert_config_refused(const char *text, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *message = NULL;
    Options o;

    assert_false(read_config(&o, text, &error));
    message = error_text(error);
    assert_string_equal(message, expected);
    options_clear(&o);
}

static void test_config_groups_are_options(void **state)
{
    g_autoptr(GError) error = NULL;
    Options o;

    assert_true(read_config(&o,
                            "# a comment\n\n[machine]\n  type = \"q35\"\n  kernel = \"k\"\n"
                            "[device \"net0\"]\n  driver = \"virtio-net-pci\"\n"
                            "[drive]\n file = \"a,b.img\"\n  if=\"virtio\"\n"
                            "[nic]\n type = \"user\"\n model = \"e1000\"\n"
                            "[net]\n type = \"nic\"\n[net \"b\"]\n type = \"user\"\n"
                            "[cpu]\n aes = \"off\"\n type = \"max\"\n family = \"6\"\n"
                            "[name]\n guest = \"web\"\n", &error));
    assert_string_equal(o.machine_type, "q35");
    assert_string_equal(o.kernel, "k");
    assert_string_equal(item(o.devices, 0), "id=net0,driver=virtio-net-pci");
    assert_string_equal(item(o.drives, 0), "file=a,,b.img,if=virtio");
    assert_string_equal(item(o.nics, 0), "type=user,model=e1000");
    assert_string_equal(item(o.nets, 0), "type=nic");
    assert_string_equal(item(o.nets, 1), "id=b,type=user");
    assert_string_equal(o.cpu, "max,aes=off,family=6");
    assert_string_equal(o.name.guest, "web");
    options_clear(&o);
}

static void test_config_values_may_hold_quotes_and_comments_follow(void **state)
{
    Options o;

    assert_true(read_config(&o,
                            "[device \"a\"] # first\n  driver = \"x\" # of \"a\"\n"
                            "  note = \"say \"hi\", \\n #1\"\n  empty = \"\"\n  hash = \"a#b\"\t# \"c\"\r\n", NULL));
    assert_string_equal(item(o.devices, 0), "id=a,driver=x,note=say \"hi\",, \\n #1,empty=,hash=a#b");
    options_clear(&o);
}

static void test_config_mistakes_name_file_and_line(void **state)
{
    assert_config_refused("\n[devcie]\n", "vm.cfg:2: there is no group 'devcie'. Did you mean 'device'?");
    assert_config_refused("[device\n", "vm.cfg:1: a group does not end in ']'");
    assert_config_refused("a = \"b\"\n", "vm.cfg:1: a key stands before the first [group]");
    assert_config_refused("[device]\na = b\n", "vm.cfg:2: the value of 'a' stands in double quotes");
    assert_config_refused("[device]\na = \"b\n", "vm.cfg:2: the value of 'a' stands in double quotes");
    assert_config_refused("[device]\na = \"b\"c\n", "vm.cfg:2: the value of 'a' stands in double quotes");
    assert_config_refused("[device]\na = \"\n", "vm.cfg:2: the value of 'a' stands in double quotes");
    assert_config_refused("[device \"\"]\n", "vm.cfg:1: the id of a group stands in double quotes");
    assert_config_refused("[device]\nnonsense\n", "vm.cfg:2: this is neither [group] nor key = \"value\"");
    assert_config_refused("[device x]\n", "vm.cfg:1: the id of a group stands in double quotes");
    assert_config_refused("[device]\na,b = \"c\"\n", "vm.cfg:2: 'a,b' is no key");
}

static void test_config_values_are_checked(void **state)
{
    assert_config_refused("[cpu]\n aes = \"off\"\n",
                          "vm.cfg: [cpu]: 'aes=off' does not begin with a CPU model. Name one with type=. -cpu help lists "
                          "them.");
    assert_config_refused("[rtc]\n clok = \"vm\"\n",
                          "vm.cfg: [rtc]: Parameter 'clok' is unknown. Did you mean 'clock'?");
}

static void test_missing_config_file(void **state)
{
    g_autoptr(GError) error = NULL;
    Options o;

    assert_false(options_parse(3, (char **)ARGV("-readconfig", "/nonexistent/vm.cfg"), NULL, &o, &error));
    assert_non_null(strstr(error->message, "/nonexistent/vm.cfg"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_dash_or_two),
        cmocka_unit_test(test_the_last_of_a_single_value_counts),
        cmocka_unit_test(test_repeatable_options_keep_their_order),
        cmocka_unit_test(test_an_argument_may_begin_with_a_dash),
        cmocka_unit_test(test_machine_type_and_keys_add_up),
        cmocka_unit_test(test_machine_may_hold_the_boot_options),
        cmocka_unit_test(test_struct_options_add_up),
        cmocka_unit_test(test_short_globals_become_long),
        cmocka_unit_test(test_older_spellings_are_actions),
        cmocka_unit_test(test_enable_kvm_is_an_accelerator),
        cmocka_unit_test(test_uuid_in_order_of_its_text),
        cmocka_unit_test(test_rtc_has_an_implied_base),
        cmocka_unit_test(test_a_disk_gets_a_console_and_a_root),
        cmocka_unit_test(test_a_disk_leaves_a_given_command_line_alone),
        cmocka_unit_test(test_what_is_not_there_may_be_said),
        cmocka_unit_test(test_unknown_option_names_the_nearest),
        cmocka_unit_test(test_missing_argument_shows_the_form),
        cmocka_unit_test(test_unknown_key_names_option_and_nearest),
        cmocka_unit_test(test_unknown_value_names_the_nearest),
        cmocka_unit_test(test_malformed_global),
        cmocka_unit_test(test_malformed_uuid),
        cmocka_unit_test(test_what_needs_firmware_is_refused_by_name),
        cmocka_unit_test(test_what_is_not_there_is_refused_by_name),
        cmocka_unit_test(test_a_disk_needs_a_kernel),
        cmocka_unit_test(test_initrd_needs_a_kernel),
        cmocka_unit_test(test_a_daemon_has_no_terminal),
        cmocka_unit_test(test_a_daemon_may_be_nographic_where_nothing_needs_the_terminal),
        cmocka_unit_test(test_sound_goes_nowhere),
        cmocka_unit_test(test_thread_names_cannot_be_switched_off),
        cmocka_unit_test(test_help_lists_every_option),
        cmocka_unit_test(test_help_of_single_options),
        cmocka_unit_test(test_help_about_what_is_not_there),
        cmocka_unit_test(test_help_ends_the_line),
        cmocka_unit_test(test_every_option_with_an_argument_explains_itself),
        cmocka_unit_test(test_a_kernel_called_help_needs_its_folder),
        cmocka_unit_test(test_manual_page_has_every_option),
        cmocka_unit_test(test_languages_of_the_table_have_no_mistakes),
        cmocka_unit_test(test_config_groups_are_options),
        cmocka_unit_test(test_config_values_may_hold_quotes_and_comments_follow),
        cmocka_unit_test(test_config_mistakes_name_file_and_line),
        cmocka_unit_test(test_config_values_are_checked),
        cmocka_unit_test(test_missing_config_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
