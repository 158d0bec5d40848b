/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest for moving about: it counts, and looks after everything that it has.  Each round
 * it says "n COUNT SUM", all of it in hexadecimal, where SUM follows from COUNT alone: from
 * memory, of which a page is rewritten and a few are read each round, and from x87 and SSE
 * registers, which nobody but ring 3 uses and which live on from round to round.  So two
 * runs that are as long say the same, whoever ran them.  Every 16th round it says what its
 * clocks show, "c TSC HPET PM-TIMER RTC-SECOND INTERRUPTS".
 *
 * A round begins with an interrupt of the local APIC's timer.  With cpus=N every other
 * processor answers a ping in each round.  What is wrong is said by "FAIL", and ends it.
 *
 * The host ends it; "rounds=N" does so too; "pages=N" is how much memory it uses.  N is
 * hexadecimal.
 */
#include "guest.h"

#define TRAMPOLINE  0x8000
#define MEMORY      0x800000 /* after the guest itself */
#define PAGES_MOST  2048u
#define LOOKED_AT   16u      /* pages a round */
#define LVT_TIMER   0x320
#define PERIODIC    0x20000
#define HPET        0xfed00000
#define PM_TIMER    0x608
#define PATIENCE    400000000u

typedef struct StartInfo {
    uint32_t magic, version, flags, modules;
    uint64_t module_list, command_line;
} StartInfo;

unsigned cpus_wanted = 1;
static uint8_t ap_stacks[CPUS_MAX][8192] __attribute__((aligned(16)));
static volatile uint32_t started;
static uint32_t written[PAGES_MOST]; /* the round that wrote it */
static uint64_t rounds;         /* 0: any number */
static uint64_t pages = PAGES_MOST;

static bool option(const char *text, const char *name, uint64_t *ret)
{
    for (; *text; text++) {
        unsigned n = 0;

        while (name[n] && text[n] == name[n]) {
            n++;
        }
        if (!name[n]) {
            *ret = 0;
            for (text += n; (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'f'); text++) {
                *ret = *ret * 16 + (unsigned)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
            }
            return true;
        }
    }
    return false;
}

static void stop(const char *why, uint64_t a, uint64_t b)
{
    print("FAIL ");
    print(why);
    print(" ");
    print_hex(a);
    print(" ");
    print_hex(b);
    print("\n");
    guest_exit(false);
}

/* ---- the other processors ---- */

void ap_main(void)
{
    uint32_t n = started + 1;

    trap_init_cpu(n);
    lapic_enable();
    __atomic_store_n(&started, n, __ATOMIC_SEQ_CST);
    for (uint32_t pinged = 0;; pinged++) {
        interrupts_off();
        while (__atomic_load_n(&pings[n], __ATOMIC_SEQ_CST) == pinged) {
            __asm__ volatile("sti; hlt; cli" : : : "memory");
        }
        lapic_ipi(0, VECTOR_SELF | 0x4000);
    }
}

static void start_others(void)
{
    volatile uint8_t *to = (volatile uint8_t *)TRAMPOLINE;

    for (unsigned i = 0; i < (unsigned)(ap_trampoline_end - ap_trampoline); i++) {
        to[i] = ap_trampoline[i];
    }
    for (unsigned n = 1; n < cpus_wanted; n++) {
        ap_stack = (uint64_t)ap_stacks[n] + sizeof(ap_stacks[n]);
        lapic_ipi(n, 0x4500);
        lapic_ipi(n, 0x4600 | TRAMPOLINE >> 12);
        for (unsigned i = 0; __atomic_load_n(&started, __ATOMIC_SEQ_CST) != n; i++) {
            if (i == PATIENCE) {
                stop("a processor does not start:", n, 0);
            }
            __asm__ volatile("pause");
        }
    }
}

static void ping_others(void)
{
    for (unsigned n = 1; n < cpus_wanted; n++) {
        uint32_t before = interrupts[VECTOR_SELF];

        lapic_ipi(n, VECTOR_PING | 0x4000);
        wait_interrupt(VECTOR_SELF, before + 1);
    }
}

/* ---- memory: ring 3, at the host's speed ---- */

static uint64_t mix(uint64_t v)
{
    v ^= v >> 33;
    v *= UINT64_C(0xff51afd7ed558ccd);
    v ^= v >> 29;
    return v * UINT64_C(0xc4ceb9fe1a85ec53);
}

static volatile uint64_t *page(uint64_t n)
{
    return (volatile uint64_t *)(MEMORY + n % pages * 4096);
}

static uint64_t fill_page(uint64_t round)
{
    uint64_t n = round * 7 % pages;

    for (unsigned i = 0; i < 512; i++) {
        page(n)[i] = mix(round << 16 ^ n << 9 ^ i);
    }
    written[n] = (uint32_t)round;
    return n;
}

/* The sum of some pages; 0 if one is not what was written. */
static uint64_t look(uint64_t round)
{
    uint64_t sum = 1;

    for (uint64_t n = round * LOOKED_AT; n < (round + 1) * LOOKED_AT && sum; n++) {
        uint64_t of = written[n % pages];

        for (unsigned i = 0; i < 512 && of; i++) {
            uint64_t v = page(n)[i];

            sum = v == mix(of << 16 ^ (n % pages) << 9 ^ i) ? mix(sum ^ v) | 1 : 0;
            if (!sum) {
                break;
            }
        }
    }
    return sum;
}

/* ---- registers that live on ---- */

static uint64_t first_registers(uint64_t seed)
{
    __asm__ volatile("fninit; fldpi; fld1\n\t"
                     "movq %0, %%xmm5; movq %0, %%xmm13; punpcklqdq %%xmm13, %%xmm13" : : "r"(seed));
    return seed;
}

/* x87: st0 = st0 * pi modulo 2; SSE: xmm5 and xmm13 mix each other. */
static uint64_t next_registers(uint64_t round)
{
    uint64_t a, b, x;

    __asm__ volatile("fmul %%st(1), %%st; fld1; fadd %%st(0), %%st; fxch; fprem; fstp %%st(1); fstl %0\n\t"
                     "movq %3, %%xmm7; paddq %%xmm7, %%xmm5; pmuludq %%xmm13, %%xmm5; paddq %%xmm5, %%xmm13\n\t"
                     "pshufd $0x1b, %%xmm13, %%xmm13; movq %%xmm5, %1; movq %%xmm13, %2"
                     : "=m"(x), "=r"(a), "=r"(b) : "r"(round) : "memory");
    return mix(a) ^ b ^ x;
}

/* ---- clocks ---- */

static uint8_t rtc_second(void)
{
    out8(0x70, 0);
    return in8(0x71);
}

static void say_clocks(void)
{
    print("c ");
    print_hex(read_tsc());
    print(" ");
    print_hex(mmio_read(HPET + 0xf0));
    print(" ");
    print_hex(in32(PM_TIMER) & 0xffffff);
    print(" ");
    print_hex(rtc_second());
    print(" ");
    print_hex(interrupts[VECTOR_TIMER]);
    print("\n");
}

static void play(uint64_t round)
{
    uint32_t before = interrupts[VECTOR_TIMER];
    uint64_t sum, registers;

    wait_interrupt(VECTOR_TIMER, before + 1);
    ping_others();
    user_run(fill_page, round);
    sum = user_run(look, round);
    if (!sum) {
        stop("memory is not what was written: round", round, 0);
    }
    registers = user_run(next_registers, round);
    print("n ");
    print_hex(round);
    print(" ");
    print_hex(mix(sum) ^ registers);
    print("\n");
    if (!(round & 15)) {
        say_clocks();
    }
}

void guest_main(const StartInfo *info);
void guest_main(const StartInfo *info)
{
    const char *line = info->command_line ? (const char *)info->command_line : "";
    uint64_t value = 1;

    console_init();
    if (option(line, "cpus=", &value)) {
        cpus_wanted = (unsigned)value;
    }
    option(line, "rounds=", &rounds);
    if (option(line, "pages=", &value) && value && value <= PAGES_MOST) {
        pages = value;
    }
    trap_init();
    lapic_enable();
    pic_init(0xffff);
    start_others();
    if (mmio_read(HPET) >> 16 == 0x8086) {
        mmio_write(HPET + 0x10, 1);
    }
    lapic_write(0x3e0, 0xb); /* divide by 1 */
    lapic_write(LVT_TIMER, VECTOR_TIMER | PERIODIC);
    lapic_write(0x380, 1000000);
    user_run(first_registers, 0x9e3779b97f4a7c15);
    print("guest: started\n");
    for (uint64_t round = 1; !rounds || round <= rounds; round++) {
        play(round);
    }
    guest_exit(true);
}
