/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables for tests of segments, far transfers and events: a GDT with code and data of
 * several levels, an IDT with a handler for each vector, TSSs, an LDT; on top of soft-rig.
 * Everything is flat and identity-mapped; the vendor is Intel, unless a test says otherwise.
 */
#pragma once

#include "soft-rig.h"
#include "vmm/x86/soft/transfer.h"

enum { /* selectors, RPL 0 */
    SEL_CODE64 = 0x08, SEL_DATA = 0x10, SEL_CODE32 = 0x18,
    SEL_USER_CODE32 = 0x20, SEL_USER_DATA = 0x28, SEL_USER_CODE64 = 0x30, /* in the order that SYSRET wants */
    SEL_CODE32_1 = 0x38, SEL_DATA_1 = 0x40, SEL_CONFORMING = 0x48,
    SEL_TSS = 0x50, SEL_TSS2 = 0x60, SEL_LDT = 0x70, /* 16 bytes each */
    SEL_FREE = 0x80, SEL_FREE2 = 0x88, SEL_FREE3 = 0x90, SEL_LAST = 0xf8,
};
#define RIG_IDT      UINT64_C(0x21000)
#define RIG_LDT      UINT64_C(0x22000)
#define RIG_TSS      UINT64_C(0x23000)
#define RIG_TSS2     UINT64_C(0x24000)
#define RIG_HANDLERS UINT64_C(0x8000)   /* 16 bytes each; within reach of 16-bit gates */
#define RIG_STACK0   UINT64_C(0x40000)  /* SS0:ESP0, RSP0 */
#define RIG_STACK1   UINT64_C(0x48000)  /* of level 1 */
#define RIG_IST1     UINT64_C(0x50000)
#define RIG_USER     UINT64_C(0x400000) /* code, and the stack below 0x500000: transfer_rig_split() */
#define RIG_HOLE     UINT64_C(0x800000) /* 4 MiB that are not mapped, where paging is on */

/* 32-bit protected mode without paging, or with pages of 4 MiB for everybody. */
void transfer_rig_enter_32(SoftRig *rig, unsigned cpl);
void transfer_rig_page_32(SoftRig *rig);
/* The lowest 2 or 4 MiB, where all the tables are, become the supervisor's; rip and the stack are beyond. */
void transfer_rig_split(SoftRig *rig);
void transfer_rig_enter_64(SoftRig *rig, unsigned cpl);
void transfer_rig_enter_compatibility(SoftRig *rig, unsigned cpl);
/* CS:IP 0x1000:0, where soft_rig_code() puts bytes then; other segments 0x6000 and up, SP 0x1000. */
void transfer_rig_enter_v86(SoftRig *rig, unsigned iopl);

void rig_gdt(SoftRig *rig, unsigned selector, uint64_t descriptor);
uint64_t rig_gdt_entry(const SoftRig *rig, unsigned selector);
/* type: of the gate; selector:offset where to. */
uint64_t rig_gate(unsigned type, unsigned dpl, unsigned selector, uint32_t offset);
void rig_idt32(SoftRig *rig, unsigned vector, uint64_t gate);
void rig_idt64(SoftRig *rig, unsigned vector, unsigned type, unsigned dpl, unsigned selector, uint64_t offset,
               unsigned ist);
uint64_t rig_system(unsigned type, uint64_t base, uint32_t limit); /* a present system descriptor, DPL 0 */

uint64_t rig_read(const SoftRig *rig, uint64_t gpa, unsigned size);
void rig_write(SoftRig *rig, uint64_t gpa, unsigned size, uint64_t value);

/* One instruction, and the delivery of its exception or interrupt if any: stops before the handler's first. */
SoftExit rig_step(SoftRig *rig);
/* The vector whose handler is at rip; -1: none. */
int rig_handler(const SoftRig *rig);

/* For "nothing has changed". */
typedef struct RigState {
    uint64_t gpr[X86_GPRS], rip, rflags;
    X86Segment segment[X86_SEGMENTS], ldt, tr;
    unsigned cpl;
} RigState;
void rig_save_state(const SoftRig *rig, RigState *ret);
bool rig_state_is(const SoftRig *rig, const RigState *state);
/* The code at RIG_CODE (or wherever rip is) raises this and changes nothing. */
#define assert_faults(rig, wanted_vector, wanted_error)                                    \
    do {                                                                                   \
        RigState before;                                                                   \
                                                                                           \
        rig_save_state(rig, &before);                                                      \
        assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);                          \
        assert_int_equal(soft_cpu_exception((rig)->cpu)->vector, wanted_vector);           \
        assert_int_equal(soft_cpu_exception((rig)->cpu)->error, wanted_error);             \
        assert_true(rig_state_is(rig, &before));                                           \
    } while (0)
/* soft_rig_code(), and what was decoded there is forgotten. */
void rig_put_code(SoftRig *rig, const uint8_t *bytes, unsigned n);
#define rig_code(rig, ...)                                                                 \
    rig_put_code(rig, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* Words of `size` bytes from the stack pointer on. */
void rig_put_words(SoftRig *rig, uint64_t gpa, unsigned size, const uint64_t *word, unsigned n);
#define put_stack(rig, size, ...)                                                          \
    rig_put_words(rig, (rig)->cpu->gpr[X86_RSP], size, (const uint64_t[]){ __VA_ARGS__ },  \
                  sizeof((const uint64_t[]){ __VA_ARGS__ }) / 8)
#define assert_at(rig, wanted_cs, wanted_rip, wanted_cpl)                                  \
    do {                                                                                   \
        assert_int_equal((rig)->cpu->segment[X86_CS].selector, wanted_cs);                 \
        assert_int_equal((rig)->cpu->rip, wanted_rip);                                     \
        assert_int_equal((rig)->cpu->cpl, wanted_cpl);                                     \
    } while (0)
#define assert_segment(rig, seg, wanted_selector, wanted_attributes, wanted_limit)         \
    do {                                                                                   \
        const X86Segment *s_ = &(rig)->cpu->segment[seg];                                  \
                                                                                           \
        assert_int_equal(s_->selector, wanted_selector);                                   \
        assert_int_equal(s_->attributes, wanted_attributes);                               \
        assert_int_equal(s_->limit, wanted_limit);                                         \
    } while (0)

/* Code: JMP and CALL selector:offset of 32 bits. */
#define FAR(opcode, selector, offset)                                                      \
    opcode, (offset) & 0xff, (offset) >> 8 & 0xff, (offset) >> 16 & 0xff, (offset) >> 24 & 0xff, (selector) & 0xff, \
        (selector) >> 8
#define JMP_FAR(selector, offset)  FAR(0xea, selector, offset)
#define CALL_FAR(selector, offset) FAR(0x9a, selector, offset)
#define NOT_PRESENT(descriptor) ((descriptor) & ~(UINT64_C(0x80) << 40))
