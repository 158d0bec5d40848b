/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where everything of the modes guest lies, for C and for assembly.
 *
 * All that a probe sees lies in the first 64 KiB at fixed addresses, linear equals physical, so real mode reaches it
 * too and a transcript never depends on how the guest was linked.  Pages 5-8 are the supervisor's, 9 is the user's,
 * 10 (the probe's code) and 11 (a page to play with) belong to whom the mode says.
 */
#pragma once

/* ---- memory ---- */
#define LOW_CODE    0x5000 /* catch.S and switch.S are copied here */
#define LAND        0x5000 /* a UD2: where gates, tasks and far transfers of the tables lead */
#define LAND_IRET   0x5010 /* an IRET */
#define STUBS_16    0x5100 /* an entry for each of VECTORS, 8 bytes each */
#define STUBS_32    0x5300
#define STUBS_64    0x5500 /* 16 bytes each */
#define VECTORS     64
#define CAPTURE     0x7000 /* what catch.S saw */
#define HOME_TSS    0x7d00
#define CATCH_STACK 0x7f00
#define HOME_GDTR   0x7f10
#define HOME_IDTR   0x7f20
#define HOME_RSP    0x7f30
#define HOME_GDT    0x7f40 /* its selectors are the first of a probe's table */
#define HOME_TR     0x20   /* there, but for this one */
#define ARENA       0x8000
#define GDT         0x8000
#define LDT         0x8100
#define TSS         0x8200
#define TSS_IO      0x88   /* offset of the I/O bitmap; the interrupt redirection bitmap is the 32 bytes before it */
#define TSS2        0x82c0
#define TSS16       0x8340
#define IDT         0x8400
#define ENV         0x8800
#define STACK0      0x8c00 /* top of a probe's stack in ring 0 */
#define INNER0      0x8d00 /* of ring 0, by the TSS */
#define INNER1      0x8d80
#define IST1        0x8e80
#define TASK2       0x8f40
#define DATA        0x9000 /* 64 dwords of a pattern */
#define STACK3      0x9800
#define CODE        0xa000
#define PAGE        0xb000
#define PD_32       0x10000
#define PT_32       0x11000
#define PDPT_PAE    0x12000
#define PD_PAE      0x13000
#define PT_PAE      0x14000
#define PML4        0x15000
#define PDPT        0x16000
#define PTE_32(n)   (PT_32 + 4 * (n))
#define PTE_PAE(n)  (PT_PAE + 8 * (n))
#define GATE_32(n)  (IDT + 8 * (n))
#define GATE_64(n)  (IDT + 16 * (n))

/* ---- the global descriptor table ---- */
#define CS32_0 0x08
#define DS_0   0x10
#define CS64_0 0x18
#define CS16_0 0x20
#define DS16_0 0x28
#define CS32_3 0x33
#define DS_3   0x3b
#define CS64_3 0x43
#define CS16_3 0x4b
#define TR     0x50 /* 16 bytes in long mode */
#define LDTR   0x60
#define TR2    0x70 /* an available 32-bit TSS, outside of long mode */
#define TR16   0x78
#define TEST   0x80 /* 16 bytes, for probes */
#define TEST2  0x90
#define CS32_1 0xa1
#define DS_1   0xa9
#define CS32C  0xb0 /* conforming */
#define FAST   0xc0 /* the group of SYSCALL and SYSENTER: code and data of ring 0, code 32, data, code 64, data of ring 3 */
#define SS16_0 0xf0 /* catch.S takes every selector from here on for a 16-bit stack */
#define SS16_3 0xfb

/* ---- a probe's start: the fields of ENV ---- */
#define ENV_CR0    (ENV + 0x00)
#define ENV_CR3    (ENV + 0x04)
#define ENV_CR4    (ENV + 0x08)
#define ENV_EFER   (ENV + 0x0c)
#define ENV_FRAME  (ENV + 0x10) /* what IRET pops to start it; made from the fields below */
#define ENV_ES     (ENV + 0x40)
#define ENV_CS     (ENV + 0x44)
#define ENV_SS     (ENV + 0x48)
#define ENV_DS     (ENV + 0x4c)
#define ENV_FS     (ENV + 0x50)
#define ENV_GS     (ENV + 0x54)
#define ENV_TR     (ENV + 0x58)
#define ENV_LDTR   (ENV + 0x5c)
#define ENV_IP     (ENV + 0x60)
#define ENV_SP     (ENV + 0x68)
#define ENV_FLAGS  (ENV + 0x70)
#define ENV_REGS   (ENV + 0x78) /* rax rcx rdx rbx rsp rbp rsi rdi r8-r15, 8 bytes each; rsp is where the frame is */
#define ENV_RAX    (ENV_REGS + 0x00)
#define ENV_RCX    (ENV_REGS + 0x08)
#define ENV_RDX    (ENV_REGS + 0x10)
#define ENV_RBX    (ENV_REGS + 0x18)
#define ENV_FRAMESP (ENV_REGS + 0x20)
#define ENV_RBP    (ENV_REGS + 0x28)
#define ENV_RSI    (ENV_REGS + 0x30)
#define ENV_RDI    (ENV_REGS + 0x38)
#define ENV_R11    (ENV_REGS + 0x58)
#define ENV_GDTR   (ENV + 0x100)
#define ENV_IDTR   (ENV + 0x110)
#define ENV_DR     (ENV + 0x120) /* dr0-dr3, dr7, 8 bytes each */
#define ENV_FSBASE (ENV + 0x148)
#define ENV_GSBASE (ENV + 0x150)
#define ENV_KGSBASE (ENV + 0x158)
#define ENV_STAR   (ENV + 0x160)
#define ENV_LSTAR  (ENV + 0x168)
#define ENV_CSTAR  (ENV + 0x170)
#define ENV_FMASK  (ENV + 0x178)
#define ENV_SYSENTER_CS  (ENV + 0x180)
#define ENV_SYSENTER_ESP (ENV + 0x188)
#define ENV_SYSENTER_EIP (ENV + 0x190)
#define ENV_UNREAL (ENV + 0x198)

/* ---- what was caught: the fields of CAPTURE ---- */
#define CAP_WIDTH  (CAPTURE + 0x00) /* of the handler: 16, 32, 64; 8 for real mode */
#define CAP_VECTOR (CAPTURE + 0x04)
#define CAP_REGS   (CAPTURE + 0x10)
#define CAP_SEGS   (CAPTURE + 0x90) /* es cs ss ds fs gs, 4 bytes each, 64-bit handlers only */
#define CAP_FLAGS  (CAPTURE + 0xa8)
#define CAP_CR0    (CAPTURE + 0xb0)
#define CAP_CR2    (CAPTURE + 0xb8)
#define CAP_CR3    (CAPTURE + 0xc0)
#define CAP_CR4    (CAPTURE + 0xc8)
#define CAP_TR     (CAPTURE + 0xd0)
#define CAP_LDTR   (CAPTURE + 0xd4)
#define CAP_CS     (CAPTURE + 0xd8) /* of the handler */
#define CAP_SS     (CAPTURE + 0xdc)
#define CAP_BASES  (CAPTURE + 0xe0) /* FS, GS, kernel GS */
#define CAP_SP     (CAPTURE + 0xf8) /* after all that the handler pushed */
#define CAP_STACK  (CAPTURE + 0x100) /* 256 bytes from there */
#define CAP_SIZE   0x200

/* ---- modes, in the order of their code's width ---- */
#define REAL   0
#define UNREAL 1 /* real, with segment limits of 4 GiB */
#define V86    2
#define PROT16 3
#define COMP16 4
#define PROT32 5 /* paging off */
#define PSE32  6 /* two levels */
#define PAE32  7
#define COMP32 8
#define LONG64 9
#define SKIP_RING_0 10
#define FIRST_32_BIT PROT32
#define FIRST_64_BIT LONG64

/* ---- features that a probe may need ---- */
#define NEED_NOTHING  0
#define NEED_SMEP     1
#define NEED_SMAP     2
#define NEED_UMIP     3
#define NEED_PCID     4
#define NEED_INVPCID  5
#define NEED_FSGSBASE 6
#define NEED_1G       7
#define NEED_SYSCALL32 8 /* AMD: SYSCALL outside of 64-bit code */
#define NEED_SYSENTER64 9 /* Intel: SYSENTER in long mode */
#define NEED_SYSENTER 10
#define NEED_RDTSCP   11
#define NEED_INTEL    12
#define NEED_AMD      13
#define NEED_VME      14
#define NEED_CHECKS   NEED_INTEL /* QEMU's emulated SVM, an AMD, lets these by, and the machine is stuck */

/* ---- bits ---- */
#define CR0_PE 0x00000001
#define CR0_MP 0x00000002
#define CR0_EM 0x00000004
#define CR0_TS 0x00000008
#define CR0_ET 0x00000010
#define CR0_NE 0x00000020
#define CR0_WP 0x00010000
#define CR0_AM 0x00040000
#define CR0_NW 0x20000000
#define CR0_CD 0x40000000
#define CR0_PG 0x80000000
#define CR4_VME 0x0001
#define CR4_PVI 0x0002
#define CR4_TSD 0x0004
#define CR4_DE  0x0008
#define CR4_PSE 0x0010
#define CR4_PAE 0x0020
#define CR4_PGE 0x0080
#define CR4_PCE 0x0100
#define CR4_OSFXSR 0x0200
#define CR4_OSXMMEXCPT 0x0400
#define CR4_UMIP 0x0800
#define CR4_FSGSBASE 0x10000
#define CR4_PCIDE 0x20000
#define CR4_SMEP 0x100000
#define CR4_SMAP 0x200000
#define EFER_SCE 0x001
#define EFER_LME 0x100
#define EFER_LMA 0x400
#define EFER_NXE 0x800
#define F_CF  0x00001
#define F_1   0x00002
#define F_ZF  0x00040
#define F_TF  0x00100
#define F_IF  0x00200
#define F_DF  0x00400
#define F_IOPL3 0x3000
#define F_NT  0x04000
#define F_RF  0x10000
#define F_VM  0x20000
#define F_AC  0x40000
#define F_VIF 0x80000
#define F_VIP 0x100000
#define F_ID  0x200000

/* ---- descriptors as numbers: access is bits 8-15 of the upper dword, flags its bits 20-23 ---- */
#define DESCRIPTOR(base, limit, access, flags) \
    (((limit) & 0xffff) | ((base) & 0xffffff) << 16 | (access) << 40 | ((limit) >> 16 & 0xf) << 48 | (flags) << 52 | \
     ((base) >> 24 & 0xff) << 56)
#define GATE(selector, offset, type, count) \
    (((offset) & 0xffff) | (selector) << 16 | (count) << 32 | (type) << 40 | ((offset) >> 16 & 0xffff) << 48)
#define FLAT32 0xc /* 4 GiB, 32 bits */
#define FLAT64 0xa
#define BYTE16 0x0
