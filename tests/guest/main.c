/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's main: runs every test, says how it went, ends.
 */
#include "guest.h"

/* Xen public/arch-x86/hvm/start_info.h, as far as it is used. */
typedef struct StartInfo {
    uint32_t magic, version, flags, modules;
    uint64_t module_list, command_line;
} StartInfo;
#define START_MAGIC 0x336ec578

unsigned cpus_wanted = 1;

static const Test *const tables[] = { cpu_tests, memory_tests, irq_tests, smp_tests, pci_tests };

/* "cpus=N" anywhere in the command line. */
static void read_command_line(const char *text)
{
    static const char name[] = "cpus=";

    for (; *text; text++) {
        unsigned n = 0;

        while (name[n] && text[n] == name[n]) {
            n++;
        }
        if (!name[n]) {
            cpus_wanted = 0;
            for (text += n; *text >= '0' && *text <= '9'; text++) {
                cpus_wanted = cpus_wanted * 10 + (unsigned)(*text - '0');
            }
            return;
        }
    }
}

void guest_main(const StartInfo *info);
void guest_main(const StartInfo *info)
{
    bool good = true;

    console_init();
    print("guest: started\n");
    if (info->magic != START_MAGIC) {
        failed("start_info has magic", info->magic);
        guest_exit(false);
    }
    if (info->command_line) {
        read_command_line((const char *)info->command_line);
    }
    trap_init();
    lapic_enable();
    pic_init(0xffff);
    for (unsigned t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        for (const Test *test = tables[t]; test->name; test++) {
            bool ok = test->run();

            good &= ok;
            print(ok ? "ok " : "FAIL ");
            print(test->name);
            print("\n");
        }
    }
    guest_exit(good);
}
