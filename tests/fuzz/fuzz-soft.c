/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software CPU given anything to run, in every mode, with anything in its registers.
 *
 * The input is a mode, bits of control registers, a seed of the other registers, then code.
 * Exceptions are delivered, through descriptor tables that lead back to the code, or end the
 * run. Checked: it ends (a guest whose handler of a fault faults the same way for ever is kicked),
 * nothing beside RAM is touched (guard pages, sanitizers), and the state it leaves is one that can
 * be saved, loaded, and saved again the same.
 */
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "soft-rig.h"
#include "vmm/x86/soft/vm.h"

#define INSTRUCTIONS 400
#define PATIENCE_US  500000
#define IDT          UINT64_C(0x30000)
#define TSS          UINT64_C(0x31000)
#define TABLES_32    UINT64_C(0x34000) /* page directory of 4 MiB pages */

typedef struct Input { const uint8_t *data; size_t length; } Input;

static uint64_t take(Input *in, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes && in->length; i++) {
        value |= (uint64_t)*in->data++ << (8 * i);
        in->length--;
    }
    return value;
}

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void put(SoftRig *rig, uint64_t gpa, uint64_t value, unsigned bytes)
{
    memcpy(rig->host + gpa, &value, bytes);
}

/* Every vector leads to a place in the code, by an interrupt gate of the privilege and width of the code. */
static void make_idt(SoftRig *rig, bool wide, uint16_t selector)
{
    for (unsigned v = 0; v < 256; v++) {
        uint64_t to = RIG_CODE + (v & 31) * 16;
        uint64_t gate = (to & 0xffff) | (uint64_t)selector << 16 | (to & 0xffff0000) << 32 | UINT64_C(0xee0000000000);

        put(rig, IDT + v * (wide ? 16 : 8), gate, 8);
    }
    rig->cpu->idt = (X86Table){ IDT, wide ? 0xfff : 0x7ff };
}

static void make_tss(SoftRig *rig, bool wide)
{
    put(rig, TSS + 4, RIG_STACK - 0x1000, wide ? 8 : 4);
    put(rig, TSS + (wide ? 0x24 : 8), wide ? RIG_STACK - 0x2000 : 0x20, wide ? 8 : 4);
    rig->cpu->tr = (X86Segment){ 0x40, 0x8b, 0x2067, TSS };
}

static void enter_long(SoftRig *rig, unsigned cpl, bool compatibility)
{
    soft_rig_enter_64(rig, cpl);
    make_idt(rig, true, 0x08);
    make_tss(rig, true);
    if (compatibility) {
        rig->cpu->segment[X86_CS].attributes = cpl ? 0xc0fb : 0xc09b;
    }
}

static void enter_protected(SoftRig *rig, bool paging, bool code16)
{
    soft_rig_enter_32(rig);
    make_idt(rig, false, 0x18);
    make_tss(rig, false);
    for (unsigned i = 0; i < 4; i++) {
        put(rig, TABLES_32 + 4 * i, i << 22 | 0x87, 4);
    }
    rig->cpu->cr3 = TABLES_32;
    rig->cpu->cr4 |= CR4_PSE;
    rig->cpu->cr0 |= paging ? CR0_PG : 0;
    rig->cpu->segment[X86_CS].attributes &= code16 ? ~(uint32_t)SEG_DB : UINT32_MAX;
}

static void enter_v86(SoftRig *rig)
{
    enter_protected(rig, false, false);
    for (unsigned s = 0; s < X86_SEGMENTS; s++) {
        rig->cpu->segment[s] = (X86Segment){ 0x1000, 0xf3, 0xffff, 0x10000 };
    }
    rig->cpu->cpl = 3;
    rig->cpu->eflags |= EFLAGS_VM;
    rig->cpu->rip = 0;
}

static void enter(SoftRig *rig, unsigned mode)
{
    switch (mode % 9) {
    case 0:
    case 1:
        enter_long(rig, mode % 9 ? 3 : 0, false);
        break;
    case 2:
    case 3:
        enter_long(rig, mode % 9 == 3 ? 3 : 0, true);
        break;
    case 4:
    case 5:
    case 6:
        enter_protected(rig, mode % 9 == 5, mode % 9 == 6);
        break;
    case 7:
        enter_v86(rig);
        break;
    default:
        soft_rig_enter_16(rig);
        break;
    }
}

/* splitmix64 */
static uint64_t draw(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void set_registers(SoftRig *rig, unsigned how, uint64_t seed)
{
    SoftCpu *cpu = rig->cpu;

    cpu->cr0 |= how & 1 ? CR0_AM : 0;
    cpu->cr0 |= how & 2 ? CR0_TS : 0;
    cpu->cr0 |= how & 4 ? CR0_EM : 0;
    cpu->cr4 |= how & 8 ? CR4_SMAP | CR4_SMEP | CR4_UMIP : 0;
    cpu->cr4 |= how & 16 ? CR4_VME | CR4_PVI | CR4_DE : 0;
    cpu->dr7 = 0x400 | (how & 32 ? draw(&seed) & 0xffff23ff : 0);
    for (unsigned i = 0; i < 4; i++) {
        cpu->dr[i] = how & 32 ? (i % 2 ? RIG_CODE : RIG_DATA) + draw(&seed) % 64 : 0;
    }
    for (unsigned i = 0; i < X86_GPRS; i++) {
        uint64_t value = draw(&seed);

        /* Most are addresses in RAM. */
        cpu->gpr[i] = i == X86_RSP ? RIG_STACK - (value & 0xff8) : value >> 62 ? RIG_DATA + (value & 0xfff) : value;
    }
    soft_set_rflags(cpu, (cpu->eflags & EFLAGS_VM) | (how & 64 ? draw(&seed) & ~(uint64_t)EFLAGS_VM : EFLAGS_FIXED));
    soft_tlb_flush(cpu);
    soft_update_mode(cpu);
}

static void check_state(SoftRig *rig)
{
    static X86Cpu first, second;

    memset(&first, 0, sizeof(first));
    memset(&second, 0, sizeof(second));
    check(!rig->cpu->fp_loaded && !rig->cpu->inside && rig->cpu->cpl <= 3);
    soft_cpu_save(rig->cpu, &first);
    check(soft_cpu_load(rig->cpu, &first, NULL));
    soft_cpu_save(rig->cpu, &second);
    for (unsigned i = 0; i < second.msrs; i++) { /* time goes on */
        if (second.msr[i].index == 0x10) {
            second.msr[i].value = first.msr[i].value;
        }
    }
    check(!memcmp(&first, &second, sizeof(first)));
}

static unsigned runs; /* atomic: how many have begun */

/* Faults do not count as instructions, and what a stack that grows for ever overwrites need not end them. */
static void *kick_who_runs_long(void *opaque)
{
    SoftRig *rig = opaque;

    for (unsigned seen = 0;;) {
        usleep(PATIENCE_US);
        if (__atomic_load_n(&runs, __ATOMIC_RELAXED) == seen) {
            soft_signal(rig->cpu, SOFT_KICK);
        }
        seen = __atomic_load_n(&runs, __ATOMIC_RELAXED);
    }
    return NULL;
}

static SoftRig *make_rig(void)
{
    pthread_t kicker;
    SoftRig *rig = soft_rig_new();
    long page = sysconf(_SC_PAGESIZE);

    mmap(rig->host - page, (size_t)page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    mmap(rig->host + RIG_RAM, (size_t)page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    rig->host[0] = 1;
    check(!madvise(rig->host, RIG_RAM, MADV_DONTNEED) && !rig->host[0]);
    check(!pthread_create(&kicker, NULL, kick_who_runs_long, rig));
    return rig;
}

static void clear_ram(SoftRig *rig)
{
    madvise(rig->host, RIG_RAM, MADV_DONTNEED); /* private and anonymous: zeros, make_rig() has made sure */
    for (uint8_t *page = rig->host; page < rig->host + RIG_RAM; page += PAGE_SIZE) {
        if (*soft_page_flags(rig->vm, page) & PAGE_CODE) {
            soft_code_written(rig->vm, NULL, page, PAGE_SIZE);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static SoftRig *rig;
    Input in = { data, length };
    unsigned mode, how;

    if (!rig) {
        rig = make_rig();
    }
    mode = (unsigned)take(&in, 1);
    how = (unsigned)take(&in, 1);
    clear_ram(rig);
    soft_cpu_init_state(rig->cpu, true);
    enter(rig, mode / 2);
    set_registers(rig, how, take(&in, 2));
    soft_rig_code(rig, in.data, (unsigned)MIN(in.length, 0x4000));
    soft_cpu_trap(rig->cpu, mode & 1);
    soft_cpu_limit(rig->cpu, INSTRUCTIONS);
    soft_unsignal(rig->cpu, SOFT_KICK);
    __atomic_add_fetch(&runs, 1, __ATOMIC_RELAXED);
    soft_run(rig->cpu);
    check_state(rig);
    return 0;
}
