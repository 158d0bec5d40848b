/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a probe finds: descriptor tables, task state, page tables, memory, and the registers it starts with, for each
 * mode and ring.
 */
#include "modes.h"

#define PTE_P  0x01
#define PTE_W  0x02
#define PTE_U  0x04
#define PTE_AD 0x60

typedef struct Mode {
    uint32_t cr0, cr3, cr4, efer, flags;
    uint16_t code[2], data[2], stack[2]; /* for ring 0 and for ring 3 */
} Mode;

#define LONG_MODE                                                                                                      \
    .cr0 = CR0_PG | CR0_NE | CR0_ET | CR0_MP | CR0_PE, .cr3 = PML4, .cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT,      \
    .efer = EFER_SCE | EFER_LME | EFER_NXE
#define PROTECTED CR0_NE | CR0_ET | CR0_MP | CR0_PE
#define FLAT_DATA .data = {DS_0, DS_3}

static const Mode modes[] = {
    [REAL] = {.cr0 = CR0_ET},
    [UNREAL] = {.cr0 = CR0_ET},
    [V86] = {.cr0 = PROTECTED, .flags = F_VM},
    [PROT16] = {.cr0 = PROTECTED, .code = {CS16_0, CS16_3}, FLAT_DATA, .stack = {SS16_0, SS16_3}},
    [COMP16] = {LONG_MODE, .code = {CS16_0, CS16_3}, FLAT_DATA, .stack = {SS16_0, SS16_3}},
    [PROT32] = {.cr0 = PROTECTED, .code = {CS32_0, CS32_3}, FLAT_DATA, .stack = {DS_0, DS_3}},
    [PSE32] = {.cr0 = CR0_PG | PROTECTED,
               .cr3 = PD_32,
               .cr4 = CR4_PSE,
               .code = {CS32_0, CS32_3},
               FLAT_DATA,
               .stack = {DS_0, DS_3}},
    [PAE32] = {.cr0 = CR0_PG | PROTECTED,
               .cr3 = PDPT_PAE,
               .cr4 = CR4_PAE,
               .efer = EFER_NXE,
               .code = {CS32_0, CS32_3},
               FLAT_DATA,
               .stack = {DS_0, DS_3}},
    [COMP32] = {LONG_MODE, .code = {CS32_0, CS32_3}, FLAT_DATA, .stack = {DS_0, DS_3}},
    [LONG64] = {LONG_MODE, .code = {CS64_0, CS64_3}, FLAT_DATA, .stack = {DS_0, DS_3}},
};

static bool is_long(const Probe *probe)
{
    return modes[probe->mode].efer & EFER_LME;
}

static void fill(uint32_t from, uint32_t size)
{
    for (uint32_t i = 0; i < size; i += 8) {
        *at64(from + i) = 0;
    }
}

static void build_gdt(bool long_mode)
{
    fill(GDT, 0x100);
    *at64(GDT + CS32_0) = DESCRIPTOR(UINT64_C(0), 0xfffffULL, 0x9bULL, 0xcULL);
    *at64(GDT + DS_0) = DESCRIPTOR(UINT64_C(0), 0xfffffULL, 0x93ULL, 0xcULL);
    *at64(GDT + CS64_0) = DESCRIPTOR(UINT64_C(0), 0xfffffULL, 0x9bULL, 0xaULL);
    *at64(GDT + CS16_0) = DESCRIPTOR(UINT64_C(0), 0xffffULL, 0x9bULL, 0ULL);
    *at64(GDT + DS16_0) = DESCRIPTOR(UINT64_C(0), 0xffffULL, 0x93ULL, 0ULL);
    *at64(GDT + (CS32_3 & ~7)) = DESCRIPTOR(UINT64_C(0), 0xfffffULL, 0xfbULL, 0xcULL);
    *at64(GDT + (DS_3 & ~7)) = DESCRIPTOR(UINT64_C(0), 0xfffffULL, 0xf3ULL, 0xcULL);
    *at64(GDT + (CS64_3 & ~7)) = DESCRIPTOR(UINT64_C(0), 0xfffffULL, 0xfbULL, 0xaULL);
    *at64(GDT + (CS16_3 & ~7)) = DESCRIPTOR(UINT64_C(0), 0xffffULL, 0xfbULL, 0ULL);
    *at64(GDT + TR) = DESCRIPTOR((uint64_t)TSS, 0xa8ULL, 0x89ULL, 0ULL);
    *at64(GDT + LDTR) = DESCRIPTOR((uint64_t)LDT, 0x3fULL, 0x82ULL, 0ULL);
    if (!long_mode) {
        *at64(GDT + TR2) = DESCRIPTOR((uint64_t)TSS2, 0x67ULL, 0x89ULL, 0ULL);
        *at64(GDT + TR16) = DESCRIPTOR((uint64_t)TSS16, 0x2bULL, 0x81ULL, 0ULL);
    }
    *at64(GDT + (CS32_1 & ~7)) = DESCRIPTOR(UINT64_C(0), 0xfffffULL, 0xbbULL, 0xcULL);
    *at64(GDT + (DS_1 & ~7)) = DESCRIPTOR(UINT64_C(0), 0xfffffULL, 0xb3ULL, 0xcULL);
    *at64(GDT + CS32C) = DESCRIPTOR(UINT64_C(0), 0xfffffULL, 0x9fULL, 0xcULL);
    *at64(GDT + FAST) = *at64(GDT + (long_mode ? CS64_0 : CS32_0));
    *at64(GDT + FAST + 0x08) = *at64(GDT + DS_0);
    *at64(GDT + FAST + 0x10) = *at64(GDT + (CS32_3 & ~7));
    *at64(GDT + FAST + 0x18) = *at64(GDT + (DS_3 & ~7));
    *at64(GDT + FAST + 0x20) = *at64(GDT + (CS64_3 & ~7));
    *at64(GDT + FAST + 0x28) = *at64(GDT + (DS_3 & ~7));
    *at64(GDT + SS16_0) = DESCRIPTOR(UINT64_C(0), 0xffffULL, 0x93ULL, 0ULL);
    *at64(GDT + (SS16_3 & ~7)) = DESCRIPTOR(UINT64_C(0), 0xffffULL, 0xf3ULL, 0ULL);
    fill(LDT, 0x40);
    *at64(LDT + 0x08) = *at64(GDT + (DS_3 & ~7));
    *at64(LDT + 0x10) = *at64(GDT + (CS32_3 & ~7));
}

static void build_idt(bool long_mode)
{
    for (unsigned i = 0; i < VECTORS; i++) {
        bool user = i == 3 || i == 4 || i >= 0x30;
        uint64_t type = user ? 0xee : 0x8e;

        if (long_mode) {
            *at64(IDT + 16 * i) = GATE((uint64_t)CS64_0, STUBS_64 + 16ULL * i, type, 0ULL);
            *at64(IDT + 16 * i + 8) = 0;
        } else {
            *at64(IDT + 8 * i) = GATE((uint64_t)CS32_0, STUBS_32 + 8ULL * i, type, 0ULL);
        }
        *at32(4 * i) = STUBS_16 + 8 * i; /* real mode's: segment 0 */
    }
}

static void build_tss(bool long_mode)
{
    fill(TSS, 0x200);
    if (long_mode) {
        *at64(TSS + 4) = INNER0;
        *at64(TSS + 0xc) = INNER1;
        *at64(TSS + 0x24) = IST1;
    } else {
        *at32(TSS + 4) = INNER0;
        *at32(TSS + 8) = DS_0;
        *at32(TSS + 0xc) = INNER1;
        *at32(TSS + 0x10) = DS_1;
        /* A task that lands on LAND in ring 0. */
        *at32(TSS2 + 0x1c) = 0;
        *at32(TSS2 + 0x20) = LAND;
        *at32(TSS2 + 0x24) = F_1;
        for (unsigned i = 0; i < 8; i++) {
            *at32(TSS2 + 0x28 + 4 * i) = 0x2a0 + i;
            *at16(TSS16 + 0x12 + 2 * i) = (uint16_t)(0x160 + i);
        }
        *at32(TSS2 + 0x38) = TASK2;
        for (unsigned i = 0; i < 6; i++) {
            *at32(TSS2 + 0x48 + 4 * i) = i == 1 ? CS32_0 : DS_0;
        }
        *at32(TSS2 + 0x64) = 0x680000;
        *at16(TSS16 + 0x0e) = LAND;
        *at16(TSS16 + 0x10) = F_1;
        *at16(TSS16 + 0x1a) = TASK2;
        for (unsigned i = 0; i < 4; i++) {
            *at16(TSS16 + 0x22 + 2 * i) = i == 1 ? CS16_0 : i == 2 ? SS16_0 : DS_0;
        }
    }
    *at16(TSS + 0x66) = TSS_IO;
    *at8(TSS + TSS_IO + 0x20) = 0xff;
}

static void build_memory(void)
{
    fill(ARENA + 0x900, 0x700);
    for (unsigned i = 0; i < 64; i++) {
        *at32(DATA + 4 * i) = 0xd0d00000 + i;
    }
    fill(STACK3 - 0x100, 0x140);
    for (unsigned i = 0; i < 0x100; i += 8) {
        *at64(CODE + i) = 0x0b0f0b0f0b0f0b0f; /* UD2 */
    }
    for (unsigned i = 0; i < 16; i++) {
        *at32(PAGE + 4 * i) = 0xf0f00000 + i;
    }
}

static void build_pages(uint32_t ring)
{
    for (unsigned i = 0; i < 16; i++) {
        uint32_t entry = i << 12 | PTE_AD | PTE_W | PTE_P;

        if (i == STACK3 >> 12 || (ring && i == CODE >> 12) || i == PAGE >> 12) {
            entry |= PTE_U;
        }
        *at32(PT_32 + 4 * i) = entry;
        *at64(PT_PAE + 8 * i) = entry;
        *at32(PD_32 + 4 * i) = 0;
        *at64(PD_PAE + 8 * i) = 0;
        *at64(PDPT + 8 * i) = 0;
        *at64(PML4 + 8 * i) = 0;
        *at64(PDPT_PAE + 8 * (i & 3)) = 0;
    }
    *at32(PD_32) = PT_32 | PTE_AD | PTE_U | PTE_W | PTE_P;
    *at64(PD_PAE) = PT_PAE | PTE_AD | PTE_U | PTE_W | PTE_P;
    *at64(PDPT_PAE) = PD_PAE | PTE_P;
    *at64(PDPT) = PD_PAE | PTE_AD | PTE_U | PTE_W | PTE_P;
    *at64(PML4) = PDPT | PTE_AD | PTE_U | PTE_W | PTE_P;
}

void tables_init(void)
{
    *at64(HOME_GDT) = 0;
    *at64(HOME_GDT + CS32_0) = DESCRIPTOR(UINT64_C(0), 0xfffffULL, 0x9bULL, 0xcULL);
    *at64(HOME_GDT + DS_0) = DESCRIPTOR(UINT64_C(0), 0xfffffULL, 0x93ULL, 0xcULL);
    *at64(HOME_GDT + CS64_0) = DESCRIPTOR(UINT64_C(0), 0xfffffULL, 0x9bULL, 0xaULL);
    *at64(HOME_GDT + HOME_TR) = DESCRIPTOR((uint64_t)HOME_TSS, 0x67ULL, 0x89ULL, 0ULL);
    *at16(HOME_GDTR) = HOME_TR + 7;
    *at64(HOME_GDTR + 2) = HOME_GDT;
    for (uint32_t page = PD_32; page <= PDPT; page += 0x1000) {
        fill(page, 0x1000);
    }
    for (unsigned i = 16; i < 256; i++) {
        *at32(PT_32 + 4 * i) = i << 12 | PTE_AD | PTE_W | PTE_P;
        *at64(PT_PAE + 8 * i) = i << 12 | PTE_AD | PTE_W | PTE_P;
    }
}

void tables_build(const Probe *probe)
{
    const Mode *mode = &modes[probe->mode];
    bool long_mode = is_long(probe), outer = probe->ring == 3;

    build_gdt(long_mode);
    build_idt(long_mode);
    build_tss(long_mode);
    build_memory();
    build_pages(probe->ring);
    fill(ENV, 0x200);
    *at32(ENV_CR0) = mode->cr0;
    *at32(ENV_CR3) = mode->cr3;
    *at32(ENV_CR4) = mode->cr4;
    *at32(ENV_EFER) = mode->efer;
    *at32(ENV_CS) = mode->code[outer];
    *at32(ENV_SS) = mode->stack[outer];
    *at32(ENV_DS) = *at32(ENV_ES) = *at32(ENV_FS) = *at32(ENV_GS) = mode->data[outer];
    *at32(ENV_TR) = TR;
    *at32(ENV_LDTR) = LDTR;
    *at64(ENV_IP) = CODE;
    *at64(ENV_SP) = probe->ring ? STACK3 : STACK0;
    *at64(ENV_FLAGS) = mode->flags | F_1;
    for (unsigned i = 0; i < 16; i++) {
        *at64(ENV_REGS + 8 * i) = i;
    }
    *at16(ENV_GDTR) = 0xff;
    *at64(ENV_GDTR + 2) = GDT;
    *at16(ENV_IDTR) = (uint16_t)(mode->cr0 & CR0_PE ? VECTORS * (long_mode ? 16 : 8) - 1 : 0x3ff);
    *at64(ENV_IDTR + 2) = mode->cr0 & CR0_PE ? IDT : 0;
    *at64(ENV_DR + 0x20) = 0x400;
    *at64(ENV_STAR) = (FAST + 0x13ULL) << 48 | (uint64_t)FAST << 32 | LAND;
    *at64(ENV_LSTAR) = *at64(ENV_CSTAR) = *at64(ENV_SYSENTER_EIP) = LAND;
    *at64(ENV_FMASK) = 0x700;
    *at64(ENV_SYSENTER_CS) = FAST;
    *at64(ENV_SYSENTER_ESP) = INNER0;
    *at32(ENV_UNREAL) = probe->mode == UNREAL;
}

static void write_frame(const Probe *probe)
{
    uint32_t sp = (uint32_t)*at64(ENV_SP), flags = *at32(ENV_FLAGS);
    uint16_t cs = *at16(ENV_CS);

    if (is_long(probe)) {
        *at64(ENV_FRAME) = *at64(ENV_IP);
        *at64(ENV_FRAME + 8) = cs;
        *at64(ENV_FRAME + 16) = *at64(ENV_FLAGS);
        *at64(ENV_FRAME + 24) = *at64(ENV_SP);
        *at64(ENV_FRAME + 32) = *at16(ENV_SS);
        *at64(ENV_FRAMESP) = ENV_FRAME;
    } else if (!(*at32(ENV_CR0) & CR0_PE)) {
        *at16(sp - 6) = *at16(ENV_IP);
        *at16(sp - 4) = cs;
        *at16(sp - 2) = (uint16_t)flags;
        *at64(ENV_FRAMESP) = sp - 6;
    } else {
        bool same = !(flags & F_VM) && !(cs & 3);
        uint32_t frame = same ? sp - 12 : ENV_FRAME;

        *at32(frame) = *at32(ENV_IP);
        *at32(frame + 4) = cs;
        *at32(frame + 8) = flags;
        *at64(ENV_FRAMESP) = frame;
        if (!same) {
            *at32(frame + 12) = sp;
            *at32(frame + 16) = *at16(ENV_SS);
        }
        if (flags & F_VM) { /* IRET loads what the probe starts with; switch.S loads null selectors before */
            static const uint8_t order[] = {0, 3, 4, 5};

            for (unsigned i = 0; i < 4; i++) {
                *at32(frame + 20 + 4 * i) = *at16(ENV_ES + 4U * order[i]);
            }
            *at32(ENV_ES) = *at32(ENV_FS) = *at32(ENV_GS) = 0;
            *at32(ENV_DS) = DS_0;
        }
    }
}

void tables_arm(const Probe *probe)
{
    static const struct {
        uint32_t msr, field;
    } msrs[] = {
        {0xc0000081, ENV_STAR},   {0xc0000082, ENV_LSTAR},   {0xc0000083, ENV_CSTAR},   {0xc0000084, ENV_FMASK},
        {0x174, ENV_SYSENTER_CS}, {0x175, ENV_SYSENTER_ESP}, {0x176, ENV_SYSENTER_EIP},
    };
    uint8_t *to = (uint8_t *)CODE;
    const uint8_t *from = probe->code;

    while (from != probe->end + 2) {
        *to++ = *from++;
    }
    write_frame(probe);
    for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
        write_msr(msrs[i].msr, *at64(msrs[i].field));
    }
    __asm__ volatile("mov %0, %%cr2" : : "r"(0UL));
    __asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0UL));
    __asm__ volatile("mov %0, %%dr0" : : "r"(*at64(ENV_DR)));
    __asm__ volatile("mov %0, %%dr1" : : "r"(*at64(ENV_DR + 8)));
    __asm__ volatile("mov %0, %%dr2" : : "r"(*at64(ENV_DR + 16)));
    __asm__ volatile("mov %0, %%dr3" : : "r"(*at64(ENV_DR + 24)));
    __asm__ volatile("fninit");
}
