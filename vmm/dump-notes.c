/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU as ELF notes: NT_PRSTATUS of Linux ("CORE", <sys/procfs.h>), which gdb reads, and QEMU's note of the registers
 * that it has no room for (docs of `crash`, qemu.c: "QEMU", type 0, version 1), by which crash finds a kernel that was
 * moved.
 */
#include <elf.h>
#include <string.h>
#include <sys/procfs.h>

#include "vmm/dump.h"
#include "vmm/x86/cpu.h"

#define MSR_KERNEL_GS_BASE 0xc0000102

typedef struct QemuSegment { uint32_t selector, limit, flags, pad; uint64_t base; } QemuSegment;
typedef struct QemuCpu {
    uint32_t version, size;
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8_r15[8], rip, rflags;
    QemuSegment cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt;
    uint64_t cr[5], kernel_gs_base;
} QemuCpu;
G_STATIC_ASSERT(sizeof(QemuCpu) == 440);

static void pad(GByteArray *notes)
{
    static const uint8_t zeroes[4];

    g_byte_array_append(notes, zeroes, -notes->len & 3);
}

static void add(GByteArray *notes, const char *name, uint32_t type, const void *data, uint32_t length)
{
    Elf64_Nhdr header = { (uint32_t)strlen(name) + 1, length, type };

    g_byte_array_append(notes, (const uint8_t *)&header, sizeof(header));
    g_byte_array_append(notes, (const uint8_t *)name, header.n_namesz);
    pad(notes);
    g_byte_array_append(notes, data, length);
    pad(notes);
}

static void add_prstatus(GByteArray *notes, const X86Cpu *cpu, unsigned number)
{
    /* In the order of struct user_regs_struct. */
    const uint64_t regs[] = {
        cpu->gpr[X86_R15], cpu->gpr[X86_R14], cpu->gpr[X86_R13], cpu->gpr[X86_R12], cpu->gpr[X86_RBP],
        cpu->gpr[X86_RBX], cpu->gpr[X86_R11], cpu->gpr[X86_R10], cpu->gpr[X86_R9], cpu->gpr[X86_R8],
        cpu->gpr[X86_RAX], cpu->gpr[X86_RCX], cpu->gpr[X86_RDX], cpu->gpr[X86_RSI], cpu->gpr[X86_RDI],
        UINT64_MAX, cpu->rip, cpu->segment[X86_CS].selector,
        cpu->rflags, cpu->gpr[X86_RSP], cpu->segment[X86_SS].selector, cpu->segment[X86_FS].base,
        cpu->segment[X86_GS].base, cpu->segment[X86_DS].selector, cpu->segment[X86_ES].selector,
        cpu->segment[X86_FS].selector, cpu->segment[X86_GS].selector,
    };
    struct elf_prstatus status = { .pr_pid = (pid_t)number + 1 };

    G_STATIC_ASSERT(sizeof(regs) == sizeof(status.pr_reg));
    memcpy(&status.pr_reg, regs, sizeof(regs));
    add(notes, "CORE", NT_PRSTATUS, &status, sizeof(status));
}

static QemuSegment segment(const X86Segment *s)
{
    return (QemuSegment) { s->selector, s->limit, (s->attributes & ~X86_SEG_UNUSABLE) << 8, 0, s->base };
}

static void add_qemu(GByteArray *notes, const X86Cpu *cpu)
{
    const uint64_t *gpr = cpu->gpr, *gs = x86_cpu_msr((X86Cpu *)(uintptr_t)cpu, MSR_KERNEL_GS_BASE);
    QemuCpu q = {
        .version = 1, .size = sizeof(q),
        .rax = gpr[X86_RAX], .rbx = gpr[X86_RBX], .rcx = gpr[X86_RCX], .rdx = gpr[X86_RDX],
        .rsi = gpr[X86_RSI], .rdi = gpr[X86_RDI], .rsp = gpr[X86_RSP], .rbp = gpr[X86_RBP],
        .rip = cpu->rip, .rflags = cpu->rflags,
        .cs = segment(&cpu->segment[X86_CS]), .ds = segment(&cpu->segment[X86_DS]),
        .es = segment(&cpu->segment[X86_ES]), .fs = segment(&cpu->segment[X86_FS]),
        .gs = segment(&cpu->segment[X86_GS]), .ss = segment(&cpu->segment[X86_SS]),
        .ldt = segment(&cpu->ldt), .tr = segment(&cpu->tr),
        .gdt = { .limit = cpu->gdt.limit, .base = cpu->gdt.base },
        .idt = { .limit = cpu->idt.limit, .base = cpu->idt.base },
        .cr = { cpu->cr0, 0, cpu->cr2, cpu->cr3, cpu->cr4 },
        .kernel_gs_base = gs ? *gs : 0,
    };

    memcpy(q.r8_r15, &gpr[X86_R8], sizeof(q.r8_r15));
    add(notes, "QEMU", 0, &q, sizeof(q));
}

void dump_add_notes(GByteArray *notes, const X86Cpu *cpu, unsigned number)
{
    add_prstatus(notes, cpu, number);
    add_qemu(notes, cpu);
}
