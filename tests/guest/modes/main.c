/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The modes guest's main: runs every probe with every choice of its settings.
 *
 * "from=N" on the command line begins with the N-th line, so a runner can go on behind a probe that ended the machine;
 * "skip=MASK" leaves out modes by their numbers in layout.h, and ring 0 with bit SKIP_RING_0.
 */
#include "modes.h"

#define SETS_MAX 32

/* Xen public/arch-x86/hvm/start_info.h, as far as it is used. */
typedef struct StartInfo {
    uint32_t magic, version, flags, modules;
    uint64_t module_list, command_line;
} StartInfo;

extern const Probe probes_start[], probes_end[];
extern const uint8_t low_load[], low_size[];

/* The decimal number behind `name` on the command line, or 0. */
static unsigned option(const char *text, const char *name)
{
    for (; text && *text; text++) {
        unsigned n = 0, value = 0;

        while (name[n] && text[n] == name[n]) {
            n++;
        }
        if (!name[n]) {
            for (text += n; *text >= '0' && *text <= '9'; text++) {
                value = value * 10 + (unsigned)(*text - '0');
            }
            return value;
        }
    }
    return 0;
}

static void copy_low_code(void)
{
    uint8_t *to = (uint8_t *)LOW_CODE;

    for (uintptr_t i = 0; i < (uintptr_t)low_size; i++) {
        to[i] = low_load[i];
    }
}

static void apply(const Probe *probe, const unsigned *pick)
{
    for (const ProbeSet *set = probe->sets; set != probe->sets_end; set = next_set(set), pick++) {
        uint64_t value = set->value[*pick];

        switch (set->size) {
        case 1:
            *at8(set->address) = (uint8_t)value;
            break;
        case 2:
            *at16(set->address) = (uint16_t)value;
            break;
        case 4:
            *at32(set->address) = (uint32_t)value;
            break;
        default:
            *at64(set->address) = value;
            break;
        }
    }
}

/* The next choice, the last list first; false after the last one. */
static bool advance(const Probe *probe, unsigned *pick)
{
    const ProbeSet *sets[SETS_MAX];
    unsigned count = 0;

    for (const ProbeSet *set = probe->sets; set != probe->sets_end; set = next_set(set)) {
        sets[count++] = set;
    }
    while (count--) {
        if (++pick[count] < sets[count]->count) {
            return true;
        }
        pick[count] = 0;
    }
    return false;
}

static void run(const Probe *probe, const unsigned *pick)
{
    report_name(probe, pick);
    if (!have_feature(probe->needs)) {
        print(" absent\n");
        return;
    }
    tables_build(probe);
    apply(probe, pick);
    tables_arm(probe);
    for (uint32_t i = 0; i < CAP_SIZE; i += 8) {
        *at64(CAPTURE + i) = 0;
    }
    report_snapshot();
    __asm__ volatile("mov %0, %%dr7" : : "r"(*at64(ENV_DR + 0x20)) : "memory");
    probe_run();
    __asm__ volatile("mov %0, %%dr7" : : "r"(0x400UL) : "memory");
    report_outcome(probe);
}

void guest_main(const StartInfo *info);
void guest_main(const StartInfo *info)
{
    const char *command_line = (const char *)info->command_line;
    unsigned line = 0, from = option(command_line, "from="), skip = option(command_line, "skip=");

    console_init();
    out8(0x21, 0xff); /* the PIC's interrupts would be part of what is seen */
    out8(0xa1, 0xff);
    copy_low_code();
    features_init();
    tables_init();
    print("modes: started\n");
    for (const Probe *probe = probes_start; probe != probes_end; probe++) {
        unsigned pick[SETS_MAX] = {0};

        do {
            if (skip >> probe->mode & 1 || (skip >> SKIP_RING_0 & 1 && !probe->ring)) {
                continue;
            }
            if (line++ >= from) {
                run(probe, pick);
            }
        } while (advance(probe, pick));
    }
    guest_exit(true);
}
