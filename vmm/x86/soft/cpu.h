/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of a software CPU, and which file provides what.  Private to the library.
 *
 * The library is built with -mgeneral-regs-only: the guest's x87, SSE and AVX
 * registers stay in the host's while `fp_loaded`, so nothing that may use vector
 * registers (libc, GLib, Zydis, hooks, the memory map) is called before
 * soft_outside_begin(), or soft_fp_leave() where that is enough.  memcpy and the like
 * are libc too: soft_copy() and soft_zero() are ours.
 *
 * Where the CPU is:
 *   rip       offset of the running block's first byte; between blocks the next
 *             instruction.  RIP-relative operands are relative to it.
 *   ip, next_ip   the present instruction and the one after it: valid only after
 *             SOFT_SYNC() (op.h).  Everything that may raise an exception runs
 *             synced; a fault pushes ip, a trap next_ip.
 * "Offset" is EIP or RIP; linear addresses are CS.base + offset.
 *
 * Commit last: an instruction makes all checks (soft_probe(), soft_write_begin(), ...)
 * before its first change of state; then soft_raise() may leave at any point before.
 *
 * Threads: a SoftCpu belongs to its thread, except for what is marked atomic.
 */
#pragma once

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/x86/soft/soft.h"

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

typedef struct Op Op;
typedef struct Block Block;
typedef uint32_t BlockRef; /* its place in the store, block.h; 0: none */

/* ---- slots: 8-byte words that an effective address may be made of ---- */
enum { SLOT_ZERO = X86_GPRS, SLOT_EA, SLOT_RIP, SLOTS = 20 };
/* Segment numbers are X86_ES...; this one has base 0. */
enum { SEG_NONE = X86_SEGMENTS, SEG_BASES = 8 };

/* ---- arithmetic flags: AH as LAHF gives it (SF ZF 0 AF 0 PF 1 CF), AL is OF (0 or 1) ----
 * They are what the host computed, undefined ones too. */
typedef uint16_t SoftCc;
#define CC_CF 0x0100
#define CC_PF 0x0400
#define CC_AF 0x1000
#define CC_ZF 0x4000
#define CC_SF 0x8000
#define CC_OF 0x0001

enum {
    EFLAGS_CF = 1 << 0, EFLAGS_FIXED = 1 << 1, EFLAGS_PF = 1 << 2, EFLAGS_AF = 1 << 4, EFLAGS_ZF = 1 << 6,
    EFLAGS_SF = 1 << 7, EFLAGS_TF = 1 << 8, EFLAGS_IF = 1 << 9, EFLAGS_DF = 1 << 10, EFLAGS_OF = 1 << 11,
    EFLAGS_IOPL = 3 << 12, EFLAGS_NT = 1 << 14, EFLAGS_RF = 1 << 16, EFLAGS_VM = 1 << 17, EFLAGS_AC = 1 << 18,
    EFLAGS_VIF = 1 << 19, EFLAGS_VIP = 1 << 20, EFLAGS_ID = 1 << 21,
    EFLAGS_ARITHMETIC = EFLAGS_CF | EFLAGS_PF | EFLAGS_AF | EFLAGS_ZF | EFLAGS_SF | EFLAGS_OF,
};
#define EFLAGS_IOPL_SHIFT 12

#define CR0_PE (UINT64_C(1) << 0)
#define CR0_MP (UINT64_C(1) << 1)
#define CR0_EM (UINT64_C(1) << 2)
#define CR0_TS (UINT64_C(1) << 3)
#define CR0_ET (UINT64_C(1) << 4)
#define CR0_NE (UINT64_C(1) << 5)
#define CR0_WP (UINT64_C(1) << 16)
#define CR0_AM (UINT64_C(1) << 18)
#define CR0_NW (UINT64_C(1) << 29)
#define CR0_CD (UINT64_C(1) << 30)
#define CR0_PG (UINT64_C(1) << 31)

#define CR4_VME        (UINT64_C(1) << 0)
#define CR4_PVI        (UINT64_C(1) << 1)
#define CR4_TSD        (UINT64_C(1) << 2)
#define CR4_DE         (UINT64_C(1) << 3)
#define CR4_PSE        (UINT64_C(1) << 4)
#define CR4_PAE        (UINT64_C(1) << 5)
#define CR4_MCE        (UINT64_C(1) << 6)
#define CR4_PGE        (UINT64_C(1) << 7)
#define CR4_PCE        (UINT64_C(1) << 8)
#define CR4_OSFXSR     (UINT64_C(1) << 9)
#define CR4_OSXMMEXCPT (UINT64_C(1) << 10)
#define CR4_UMIP       (UINT64_C(1) << 11)
#define CR4_FSGSBASE   (UINT64_C(1) << 16)
#define CR4_PCIDE      (UINT64_C(1) << 17)
#define CR4_OSXSAVE    (UINT64_C(1) << 18)
#define CR4_SMEP       (UINT64_C(1) << 20)
#define CR4_SMAP       (UINT64_C(1) << 21)

#define EFER_SCE (UINT64_C(1) << 0)
#define EFER_LME (UINT64_C(1) << 8)
#define EFER_LMA (UINT64_C(1) << 10)
#define EFER_NXE (UINT64_C(1) << 11)

#define DR6_B  (UINT64_C(15) << 0)
#define DR6_BD (UINT64_C(1) << 13)
#define DR6_BS (UINT64_C(1) << 14)
#define DR6_BT (UINT64_C(1) << 15)
#define DR7_GD (UINT64_C(1) << 13)

/* Segment attributes as in X86Segment. */
#define SEG_TYPE   0x000f
#define SEG_S      0x0010
#define SEG_DPL(a) ((a) >> 5 & 3)
#define SEG_P      0x0080
#define SEG_L      0x2000
#define SEG_DB     0x4000
#define SEG_G      0x8000

enum { VECTOR_DE, VECTOR_DB, VECTOR_NMI, VECTOR_BP, VECTOR_OF, VECTOR_BR, VECTOR_UD, VECTOR_NM, VECTOR_DF,
       VECTOR_TS = 10, VECTOR_NP, VECTOR_SS, VECTOR_GP, VECTOR_PF, VECTOR_MF = 16, VECTOR_AC, VECTOR_MC, VECTOR_XM };

/* ---- the mode: everything that decoding depends on; part of a block's key ---- */
enum {
    MODE_CODE16 = 0, MODE_CODE32 = 1, MODE_CODE64 = 2, MODE_CODE = 3, /* CS.D, CS.L */
    MODE_STACK32 = 1 << 2,     /* SS.B; in 64-bit code the stack is 64 bits wide whatever this says */
    MODE_PROTECTED = 1 << 3,   /* CR0.PE and not EFLAGS.VM */
    MODE_VM86 = 1 << 4,
    MODE_USER = 1 << 5,        /* CPL 3: so an entry of the jump cache tells who may use it */
    MODE_FLAT = 1 << 6,        /* ES, SS, DS: base 0, limit 4 GiB, present, readable, writable; always in 64-bit code */
    MODE_CS_FLAT = 1 << 7,     /* CS likewise: blocks may be linked and use the jump cache; always in 64-bit code */
    MODE_SINGLE = 1 << 8,      /* blocks of one instruction: single step, breakpoints, interrupt shadow, limit */
    MODE_NO_FPU = 1 << 9,      /* CR0.EM or CR0.TS: x87 and MMX instructions raise #NM (MMX with EM: #UD) */
    MODE_NO_WAIT = 1 << 10,    /* CR0.MP and CR0.TS: WAIT raises #NM */
    MODE_EM = 1 << 11,         /* CR0.EM */
    MODE_NO_SSE = 1 << 12,     /* CR0.EM or no CR4.OSFXSR: SSE raises #UD; else with CR0.TS #NM (MODE_TS) */
    MODE_TS = 1 << 13,
    MODE_NO_AVX = 1 << 14,     /* no CR4.OSXSAVE, or XCR0 without SSE and AVX: VEX raises #UD */
    MODE_DEAD = 0x7fffffff,    /* of a block that is no longer to be entered */
};

/* ---- TLB ---- */
#define TLB_SIZE  1024
#define TLB_EXEC  256
#define PAGE_SIZE 4096u
#define PAGE_MASK (~(uint64_t)(PAGE_SIZE - 1))

/* Hits when (linear & PAGE_MASK | asid) == tag; then linear + addend is the host address.  A tag of all ones
 * never hits.  A write entry exists only where stores need nothing else: writable, D set, no code, no log, no
 * watch; and implies that reading is allowed. */
typedef struct TlbEntry { uint64_t tag; uintptr_t addend; } TlbEntry;
#define TLB_INVALID UINT64_MAX

typedef struct TlbSet {
    uint64_t asid; /* 0..4094; the supervisor's sets have 0 */
    TlbEntry read[TLB_SIZE], write[TLB_SIZE], exec[TLB_EXEC];
} TlbSet;
/* By permission.  SUPERVISOR: CPL below 3; with CR4.SMAP it has no user pages; _AC: the same with EFLAGS.AC set.
 * NONE stays empty: while alignment is checked (CR0.AM, EFLAGS.AC, CPL 3) every access takes the slow path. */
enum { TLB_USER, TLB_SUPERVISOR, TLB_SUPERVISOR_AC, TLB_NONE, TLB_SETS };

#define JUMP_CACHE 4096
/* Hits when (linear ^ jump_tag) == tag and block->mode == mode; code and its mode are the translator's
 * (translate.h). */
typedef struct JumpEntry { uint64_t tag; Block *block; const void *code; uint32_t mode; } JumpEntry;

#define RETURNS 16
/* Where a near call will return to, if that is in the page of the block that called: then its second link leads there.
 * The tag as above; UINT64_MAX: it is not to be used. */
typedef struct ReturnEntry { uint64_t tag; Block *from; const void *code; uint32_t mode; } ReturnEntry;

/* ---- events ---- */
typedef enum SoftEventKind { EVENT_NONE, EVENT_FAULT, EVENT_TRAP, EVENT_SOFTWARE_INT, EVENT_EXTERNAL, EVENT_NMI,
                             EVENT_ICEBP } SoftEventKind;
typedef struct SoftEvent {
    uint8_t kind, vector; /* SoftEventKind */
    bool has_error;
    uint32_t error;
    uint64_t cr2;         /* of #PF: written to CR2 when it is delivered */
    uint64_t dr6;         /* of #DB: bits to set */
} SoftEvent;

/* Requests of other threads, in SoftCpu.requests; served on the CPU's thread before it touches its TLBs again. */
enum { REQUEST_REVOKE = 1, REQUEST_FLUSH = 2, REQUEST_STOP = 4 };

#define XSAVE_BYTES 1088 /* legacy area, header, AVX */
#define BOUNCE_BYTES 4096

struct SoftCpu {
    /* Hot: byte offsets of these are in Op.dst and Op.src, so they come first. */
    union {
        uint64_t r[SLOTS];
        struct { uint64_t gpr[X86_GPRS], zero, ea, rip, spare; };
    };
    uint64_t seg_base[SEG_BASES]; /* by segment number; [SEG_NONE] is 0.  In 64-bit code ES, CS, SS, DS are not used */
    SoftCc cc;
    uint32_t mode;
    uint32_t attention;           /* atomic: blocks leave to the run loop while it is not 0 */
    uint32_t eflags;              /* without the arithmetic ones; bit 1 set */
    Block *block;                 /* the running one */
    uint64_t instructions;        /* executed, counted at the entry of blocks */
    TlbSet *tlb;                  /* of plain accesses */
    uint64_t ip_mask;             /* 2^16-1, 2^32-1 or all ones */
    uint64_t jump_tag;            /* jump_tags[CPL 3] */
    uint64_t jump_tags[2];        /* tlb.c */
    JumpEntry *jumps;
    ReturnEntry returns[RETURNS]; /* a ring: the last call's is at `last_call` */
    uint64_t last_call;
    const void *unlinked_return;  /* ReturnEntry.code of a call that has no code itself */
    bool fp_loaded;               /* the host's vector and x87 registers are the guest's */
    uint8_t cpl;
    uint8_t tlb_index;            /* which set plain accesses have the rights of */
    bool shadow;                  /* interrupts (and #DB traps) wait one instruction: STI, MOV SS, POP SS */
    bool shadow_sti;              /* ... of STI: #DB does not wait */
    uint8_t linked_slot;
    Block *linked_from;           /* between two blocks: whose link could be made to the next one; NULL: none */
    uint64_t ip, next_ip;
    TlbSet *tlbs;                 /* [TLB_SETS] */

    /* Segments and tables. */
    X86Segment segment[X86_SEGMENTS], ldt, tr;
    X86Table gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, efer;
    uint64_t pdptr[4];
    uint64_t dr[4], dr6, dr7;
    uint64_t xcr0;
    uint64_t linear_mask;         /* 2^32-1 unless EFER.LMA; of what segmentation gives */

    /* MSRs of the library's own; msr.c has the table. */
    uint64_t star, lstar, cstar, fmask, kernel_gs_base, tsc_aux, pat, sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t misc_enable, spec_ctrl, tsc_offset, tsc_adjust, mtrr_def_type, mtrr_fixed[11], mtrr_variable[32];
    uint64_t mcg_status, mcg_ctl, mce_banks[40], debugctl, smbase, microcode, xss;
    uint64_t platform_info, arch_capabilities, misc_features, hwcr, smi_count;

    /* Events. */
    SoftEvent event;              /* being raised or delivered */
    SoftEvent delivering;         /* interrupt.c: what was being delivered, while in_delivery */
    bool in_delivery;             /* an exception now is one during the delivery of `event` */
    bool nmi_masked, in_smm, smi_inside_nmi;
    bool halted, wait_sipi, shutdown;
    bool event_waits;             /* `event` came with a loaded state: soft_run() delivers it before anything else */
    uint64_t halted_at;           /* ticks of the host's TSC: code-rest.c */
    uint8_t sipi_vector;          /* atomic */
    uint32_t pending;             /* atomic: SoftSignal bits */
    uint32_t requests;            /* atomic: REQUEST_* */
    uint32_t inside;              /* atomic: between soft_outside_end() and _begin(), uses its TLBs */
    uint32_t running;             /* atomic: in soft_run() */
    uint32_t code_generation;     /* atomic: of the blocks it may know; vm.h */
    SoftExit exit;                /* why soft_leave() was called */
    uint32_t flushes;             /* how often what linear addresses mean has changed: older translations are void */
    jmp_buf jump;                 /* of the run loop */

    /* Debugging. */
    bool step, trap;              /* a debugger's; soft_cpu_trap() */
    SoftWatch *watch;
    unsigned watches, breaks;     /* breaks: those of them on execution only */
    bool passes;                  /* ... but not at `pass`, once */
    uint64_t pass;
    bool on_break_page;           /* of such a one */
    bool watch_single;            /* the instruction is about to access what is watched */
    unsigned watch_hit;           /* the instruction accessed what a debugger watches: its number in `watch`, plus 1 */
    int debug_hit;                /* why SOFT_EXIT_DEBUG: the number, -1: the step */
    uint32_t began_eflags;        /* RF and TF when it began; SYSCALL and SYSRET set TF to the new one */
    uint64_t began_count;         /* `instructions` then */
    uint64_t debug_hits;          /* DR6 bits of its data and port accesses */
    uint64_t debug_pending;       /* DR6 bits of traps to take before the next instruction */
    SoftException exception;
    uint64_t limit;               /* of `instructions`; 0: none */

    /* Owners of more state keep it here, each defined in its file. */
    struct SoftMmu *mmu;          /* mmu.c */
    Block *scratch;               /* block.c: of an instruction outside of RAM; NULL: none yet */
    struct SoftVm *vm;
    const SoftHooks *hooks;
    void *opaque;
    uint64_t apic_page;           /* guest-physical; UINT64_MAX: none */
    X86Cpuid cpuid[X86_CPUID_MAX];
    unsigned cpuids;
    uint32_t feature[16];         /* cpuid.c: the words that soft_has() is asked for; system.h */
    unsigned phys_bits;
    uint32_t tsc_khz;
    uint64_t count[32];           /* SoftCounter */

    /* Operands that are not one piece of RAM are put together here. */
    _Alignas(64) uint8_t bounce_read[BOUNCE_BYTES];
    _Alignas(64) uint8_t bounce_write[BOUNCE_BYTES];
    struct { uint64_t linear; uint32_t size, access; uint8_t *host; bool bounced, exclusive; } write; /* of
                                   * soft_write_begin() */
    uint64_t x87_ip;              /* offset of the last x87 instruction that ran natively */
    _Alignas(64) uint8_t xsave[XSAVE_BYTES]; /* x87, SSE, AVX in the standard form, unless fp_loaded */
};

typedef enum SoftCounter { COUNT_BLOCKS, COUNT_BLOCKS_DROPPED, COUNT_LOOKUPS, COUNT_TLB_FILLS, COUNT_WALKS, COUNT_MMIO,
                           COUNT_PIO, COUNT_EXCEPTIONS, COUNT_INTERRUPTS, COUNT_HALTS, COUNT_EXCLUSIVE,
                           COUNT_REQUESTS, COUNTERS } SoftCounter;

/* ---- run.c: the loop, leaving it, and who may go on meanwhile ---- */
_Noreturn void soft_raise(SoftCpu *cpu, unsigned vector);                       /* fault, no error code */
_Noreturn void soft_raise_error(SoftCpu *cpu, unsigned vector, uint32_t error); /* fault */
_Noreturn void soft_raise_event(SoftCpu *cpu, const SoftEvent *event);
/* Ends soft_run(); rip must be the next instruction's. */
_Noreturn void soft_leave(SoftCpu *cpu, SoftExit why);
/* The present instruction, which has done nothing yet, is decoded and executed once more. */
_Noreturn void soft_begin_anew(SoftCpu *cpu);
/* Around everything that is not the library's, or may wait: puts the vector registers away and lets requests of other
 * threads pass; _end() serves what has come.  Pointers and TLB entries from before are void after it. Nests not. */
void soft_outside_begin(SoftCpu *cpu);
void soft_outside_end(SoftCpu *cpu);
/* Makes every other vCPU serve the request (REQUEST_*) and returns when none can still be using what it had; self: the
 * calling vCPU, which must be outside, or NULL. */
void soft_broadcast(SoftVm *vm, SoftCpu *self, unsigned request);
/* Alone: every other vCPU is outside until _end().  The caller is inside; on return it is inside, alone, and its own
 * requests are served.  For a few accesses to RAM: no device, no hook, no soft_code_written() in between. */
void soft_exclusive_begin(SoftCpu *cpu);
void soft_exclusive_end(SoftCpu *cpu);
/* vm->lock.  The vCPU is inside before, outside while it holds it, inside again (requests served) after. */
void soft_vm_lock(SoftCpu *cpu);
void soft_vm_unlock(SoftCpu *cpu);
/* After any change of CR0, CR4, EFER, XCR0, CPL, a segment register, EFLAGS.VM/TF/AC/IF, DR7, `shadow`, `halted`: mode,
 * tlb, ip_mask, linear_mask, seg_base, attention.  The instruction ends its block. */
void soft_update_mode(SoftCpu *cpu);
/* After EFLAGS.IF, shadow or pending changed only. */
void soft_update_attention(SoftCpu *cpu);

/* ---- block.c: decoded code ---- */
/* Bytes were written, by whom ever, after the fact: blocks made of them are dropped.  Any thread, cpu NULL if it is no
 * vCPU's; no lock held. */
void soft_code_written(SoftVm *vm, SoftCpu *cpu, const void *host, uint64_t size);

/* ---- mmu.c and friends: linear memory.  The CPU is synced; faults do not return ---- */
enum { ACCESS_READ = 0, ACCESS_WRITE = 1, ACCESS_EXEC = 2, ACCESS_SYSTEM = 4 /* supervisor's rights at any CPL */,
       ACCESS_STACK = 8 /* a bad address is #SS */, ACCESS_UNALIGNED = 16 /* alignment is not checked */ };
uint64_t soft_load(SoftCpu *cpu, uint64_t linear, unsigned size, unsigned access);              /* 1, 2, 4, 8 bytes */
void soft_store(SoftCpu *cpu, uint64_t linear, unsigned size, uint64_t value, unsigned access);
/* Raises what such an access would raise, and changes nothing but A and D bits. */
void soft_probe(SoftCpu *cpu, uint64_t linear, uint64_t size, unsigned access);
/* The bytes at linear, up to BOUNCE_BYTES: in guest RAM, or copied (bounce_read; one such at a time). */
const void *soft_read_begin(SoftCpu *cpu, uint64_t linear, unsigned size, unsigned access);
/* Where to write them: guest RAM, or bounce_write; permission is checked and nothing raises until soft_write_end(),
 * which makes it so.  with_contents: the old bytes are there (read-modify-write).  locked: and no other vCPU can come
 * between; on RAM in one piece the caller's own LOCK prefix does that.  The vCPU does not go outside before
 * soft_write_end(). */
void *soft_write_begin(SoftCpu *cpu, uint64_t linear, unsigned size, unsigned access, bool with_contents, bool locked);
void soft_write_end(SoftCpu *cpu);
/* Host address of the code at linear and bytes to the end of its page; NULL: no RAM is there (fetch by soft_load with
 * ACCESS_EXEC). */
const uint8_t *soft_code(SoftCpu *cpu, uint64_t linear);
/* Flags of the page of RAM at a host address; atomic.  CLEAN: the next store must be logged. */
enum { PAGE_CODE = 1, PAGE_CLEAN = 2 };
uint8_t *soft_page_flags(SoftVm *vm, const void *host);
/* Drops write entries in all of this CPU's sets: at least those that lead to this page of host memory; NULL: all. */
void soft_tlb_revoke(SoftCpu *cpu, const void *host);
/* The jump cache and the noted returns: no entry knows a block any more. */
void soft_jumps_forget(SoftCpu *cpu);
void soft_tlb_flush(SoftCpu *cpu);                    /* everything, and the jump cache */
void soft_tlb_flush_page(SoftCpu *cpu, uint64_t linear); /* INVLPG, and the jump cache */
/* MOV to CR3 (value without bit 63; keep: bit 63 with CR4.PCIDE); loads PDPTEs in PAE paging, #GP.  Flushes what it
 * must. */
void soft_set_cr3(SoftCpu *cpu, uint64_t value, bool keep);
/* INVPCID, SDM 2A: types 0-3; descriptor checked by the caller. */
void soft_invpcid(SoftCpu *cpu, unsigned type, uint64_t pcid, uint64_t linear);
bool soft_mmu_init(SoftCpu *cpu, GError **error);
void soft_mmu_finish(SoftCpu *cpu);

/* ---- segment.c ---- */
/* The linear address of [seg:offset] for an access of size bytes: limit, type, canonical form; #GP(0) or #SS(0). */
uint64_t soft_linear(SoftCpu *cpu, unsigned seg, uint64_t offset, unsigned size, unsigned access);
/* MOV/POP/LDS... to a segment register (not CS); all of SDM 3-5. */
void soft_load_segment(SoftCpu *cpu, unsigned seg, uint16_t selector);
/* Sets the hidden part too; base of FS, GS and TR in full. */
void soft_set_segment(SoftCpu *cpu, unsigned seg, const X86Segment *value);
/* The stack, as SS.B or 64-bit code makes it.  size 2, 4, 8. */
void soft_push(SoftCpu *cpu, uint64_t value, unsigned size);
uint64_t soft_pop(SoftCpu *cpu, unsigned size);
/* The same without changing (E/R)SP, `depth` bytes beyond; for commit-last.  soft_stack_move() commits. */
uint64_t soft_stack_read(SoftCpu *cpu, int64_t depth, unsigned size);
void soft_stack_move(SoftCpu *cpu, int64_t bytes);

/* ---- interrupt.c: events ---- */
/* Delivers cpu->event through IVT or IDT: stack switch, gates, task gates, error code, CR2, DR6; combines with one in
 * delivery to #DF, or the shutdown state.  rip is the new one's afterwards.  Called by the run loop. */
void soft_deliver(SoftCpu *cpu);

/* ---- flags.c ---- */
uint64_t soft_get_rflags(const SoftCpu *cpu);
/* All of them, unchecked; then soft_update_mode(). */
void soft_set_rflags(SoftCpu *cpu, uint64_t rflags);

/* ---- control.c: CR0, CR3, CR4, EFER, XCR0 with their checks (#GP) and flushes ---- */
void soft_write_cr0(SoftCpu *cpu, uint64_t value);
void soft_write_cr4(SoftCpu *cpu, uint64_t value);
void soft_write_efer(SoftCpu *cpu, uint64_t value);
void soft_write_xcr0(SoftCpu *cpu, uint64_t value);

/* ---- state.c ---- */
void soft_cpu_init_state(SoftCpu *cpu, bool power_on); /* power-on or INIT, SDM 3-10.1.1 */

/* ---- smm.c ---- */
void soft_enter_smm(SoftCpu *cpu);

/* ---- debug.c ---- */
/* While there are cpu->watches: before each block. */
void soft_debug_page(SoftCpu *cpu);
/* An access that nothing was done for yet, but that will not fault: if a debugger watches it, the instruction begins
 * anew with MODE_SINGLE. */
void soft_watch_before(SoftCpu *cpu, uint64_t linear, uint64_t size, unsigned access);
/* An event has been delivered instead of the instruction: a step ends there. */
bool soft_debug_event(SoftCpu *cpu);
/* Before the instruction at cpu->rip: raises #DB, or leaves for a debugger.  Only called with MODE_SINGLE. */
void soft_debug_before(SoftCpu *cpu);
/* After it: single step, data breakpoints that were hit. */
void soft_debug_after(SoftCpu *cpu);
/* A data access that missed the TLB, on a page with breakpoints or watches (soft_watched_page). */
bool soft_watched_page(const SoftCpu *cpu, uint64_t linear);
void soft_watch_access(SoftCpu *cpu, uint64_t linear, uint64_t size, unsigned access);
void soft_debug_port(SoftCpu *cpu, unsigned port, unsigned size); /* IN, OUT */
/* Any breakpoint in DR7 or of a debugger, or anything else than TF and step, that needs MODE_SINGLE. */
bool soft_debug_single(const SoftCpu *cpu);
/* One instruction at a time, and one iteration of a repeated one: single step, data breakpoints. */
bool soft_debug_iterates(const SoftCpu *cpu);

/* ---- fpu.c ---- */
void soft_fp_load(SoftCpu *cpu); /* registers of the host become the guest's */
void soft_fp_save(SoftCpu *cpu);
void soft_fp_init(SoftCpu *cpu); /* power-on state */
/* Whether an image of XSAVE_BYTES may become cpu->xsave: no more components than the host has, no reserved bits. */
bool soft_fp_valid(const SoftVm *vm, const uint8_t *image);
static inline void soft_fp_enter(SoftCpu *cpu)
{
    if (UNLIKELY(!cpu->fp_loaded)) {
        soft_fp_load(cpu);
    }
}
static inline void soft_fp_leave(SoftCpu *cpu)
{
    if (UNLIKELY(cpu->fp_loaded)) {
        soft_fp_save(cpu);
    }
}

/* ---- cpuid.c ---- */
const X86Cpuid *soft_cpuid(const SoftCpu *cpu, uint32_t leaf, uint32_t subleaf); /* NULL: zeroes */
/* The feature bit, of what the guest was given. */
bool soft_has(const SoftCpu *cpu, uint32_t leaf, uint32_t subleaf, unsigned reg /* 0: EAX ... */, unsigned bit);

/* ---- small things ---- */
static inline void soft_copy(void *to, const void *from, uint64_t size)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

static inline void soft_zero(void *to, uint64_t size)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(0) : "memory");
}

static inline bool soft_is_canonical(uint64_t linear)
{
    return (uint64_t)((int64_t)(linear << 16) >> 16) == linear;
}

/* Not in one cache line: the host must not be asked to lock it. */
static inline bool soft_splits_lock(uint64_t address, unsigned size)
{
    return (address & 63) + size > 64;
}

static inline bool soft_in_64bit_code(const SoftCpu *cpu)
{
    return (cpu->mode & MODE_CODE) == MODE_CODE64;
}
