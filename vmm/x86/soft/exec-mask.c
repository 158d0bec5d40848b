/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that access elements of memory under a mask: VMASKMOVPS/PD, VPMASKMOVD/Q,
 * MASKMOVDQU, MASKMOVQ, and gathers (SDM 2C VGATHERDPS ...).
 *
 * Only enabled elements are accessed and can fault; but MASKMOVDQU and MASKMOVQ fault wherever
 * their operand does, as SDM 2B allows and processors do.  A masked move runs natively on its whole
 * operand where that is in the TLB, since then no element can fault; else on a buffer that is
 * loaded or stored element by element.  A gather loads element by element: in registers
 * while the TLB hits, else in the image, where each element that was loaded is committed, its
 * mask bit cleared, before the next one may fault; the instruction is then restarted with the
 * rest.
 */
#include "vmm/x86/soft/fpu.h"
#include "vmm/x86/soft/stub.h"

enum { VECTOR_BYTES = 32, OP_MMX = 1 << 4 };

static unsigned element_bytes(const Op *op)
{
    return op->src >> STUB_ELEMENT_SHIFT & 0xf;
}

/* ---- registers in the image ---- */

/* Bytes [offset, offset + 8) of a vector register; 8-aligned. */
static uint64_t *vector_word(uint8_t *image, unsigned reg, unsigned offset)
{
    return (uint64_t *)(offset < 16 ? image + FX_XMM + reg * 16 + offset : image + XS_AVX + reg * 16 + offset - 16);
}

/* MMi is physical register i; the image has them from the top of the stack on. */
static uint64_t *mmx_word(uint8_t *image, unsigned reg)
{
    unsigned top = *fp_u16(image, FX_FSW) >> 11 & 7;

    return (uint64_t *)(image + FX_ST + ((reg - top) & 7) * 16);
}

/* One bit an element: the sign of the mask's. */
static uint32_t mask_bits(SoftCpu *cpu, const Op *op)
{
    uint8_t *image = soft_fp_image(cpu);
    unsigned bytes = element_bytes(op);
    uint32_t bits = 0;

    for (unsigned i = 0; i < op->size / bytes; i++) {
        unsigned sign = (i + 1) * bytes - 1;
        uint64_t word =
            op->dst & OP_MMX ? *mmx_word(image, op->dst & 7) : *vector_word(image, op->dst & 15, sign & ~7u);

        bits |= (uint32_t)(word >> ((sign & 7) * 8 + 7) & 1) << i;
    }
    return bits;
}

/* ---- masked moves ---- */

static void put_element(uint8_t *to, unsigned bytes, uint64_t value)
{
    if (bytes == 8) {
        *(uint64_t *)to = value;
    } else if (bytes == 4) {
        *(uint32_t *)to = (uint32_t)value;
    } else {
        *to = (uint8_t)value;
    }
}

static uint64_t get_element(const uint8_t *from, unsigned bytes)
{
    return bytes == 8 ? *(const uint64_t *)from : bytes == 4 ? *(const uint32_t *)from : *from;
}

/* Vectors are not checked for alignment. */
static unsigned access_of(const Op *op)
{
    return ACCESS_UNALIGNED | soft_op_access(op);
}

static __attribute__((noinline)) void load_masked(SoftCpu *cpu, const Op *op, uint64_t linear)
{
    uint64_t buffer[VECTOR_BYTES / 8] = { 0, 0, 0, 0 };
    unsigned bytes = element_bytes(op);
    uint32_t bits;

    soft_sync(cpu, op);
    bits = mask_bits(cpu, op);
    for (unsigned i = 0; i < op->size / bytes; i++) {
        if (bits >> i & 1) {
            put_element((uint8_t *)buffer + i * bytes, bytes, soft_load(cpu, linear + i * bytes, bytes, access_of(op)));
        }
    }
    soft_stub_run(cpu, op, buffer);
}

static __attribute__((noinline)) void store_masked(SoftCpu *cpu, const Op *op, uint64_t linear)
{
    uint64_t buffer[VECTOR_BYTES / 8] = { 0, 0, 0, 0 };
    unsigned bytes = element_bytes(op);
    uint32_t bits;

    soft_sync(cpu, op);
    bits = mask_bits(cpu, op);
    if (bytes == 1) {
        soft_probe(cpu, linear, op->size, ACCESS_WRITE | access_of(op));
    }
    for (unsigned i = 0; i < op->size / bytes; i++) {
        if (bits >> i & 1) {
            soft_probe(cpu, linear + i * bytes, bytes, ACCESS_WRITE | access_of(op));
        }
    }
    soft_stub_run(cpu, op, buffer);
    for (unsigned i = 0; i < op->size / bytes; i++) {
        if (bits >> i & 1) {
            soft_store(cpu, linear + i * bytes, bytes, get_element((uint8_t *)buffer + i * bytes, bytes),
                       access_of(op));
        }
    }
}

static const Op *op_masked_load(SoftCpu *cpu, const Op *op)
{
    uint64_t linear = soft_ea(cpu, op);
    void *memory = soft_tlb_read(cpu, linear, op->size);

    if (LIKELY(memory)) {
        return soft_stub_run(cpu, op, memory);
    }
    load_masked(cpu, op, linear);
    SOFT_NEXT(cpu, op);
}

static const Op *op_masked_store(SoftCpu *cpu, const Op *op)
{
    uint64_t linear = soft_ea(cpu, op);
    void *memory = soft_tlb_write(cpu, linear, op->size);

    if (LIKELY(memory)) {
        return soft_stub_run(cpu, op, memory);
    }
    if (op->src & STUB_WAITS && soft_fp_pending(cpu)) {
        soft_sync(cpu, op);
        soft_fp_error(cpu);
    }
    store_masked(cpu, op, linear);
    SOFT_NEXT(cpu, op);
}

/* ---- vector registers of the host ---- */

typedef void VectorFn(unsigned unused, void *memory);

/* Sixteen functions each, of 8 bytes. */
extern const uint8_t soft_vector_get[], soft_vector_set[];
__asm__(".pushsection .text\n"
        ".hidden soft_vector_get, soft_vector_set\n"
        ".globl soft_vector_get, soft_vector_set\n"
        ".p2align 4\n"
        "soft_vector_get:\n"
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
        "    .p2align 3\n"
        "    vmovdqu %ymm\\n, (%rsi)\n"
        "    ret\n"
        ".endr\n"
        ".p2align 4\n"
        "soft_vector_set:\n"
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
        "    .p2align 3\n"
        "    vmovdqu (%rsi), %ymm\\n\n"
        "    ret\n"
        ".endr\n"
        ".popsection\n");

static void vector_get(unsigned reg, void *to)
{
    ((VectorFn *)(uintptr_t)(soft_vector_get + 8 * reg))(0, to);
}

static void vector_set(unsigned reg, void *from)
{
    ((VectorFn *)(uintptr_t)(soft_vector_set + 8 * reg))(0, from);
}

/* ---- gathers: size is the number of elements, dst the registers, src the sizes ---- */

enum { GATHER_INDEX_8 = 1 }; /* in src: indices of 8 bytes, not 4 */

static unsigned destination(const Op *op) { return op->dst & 15; }
static unsigned mask(const Op *op) { return op->dst >> 4 & 15; }
static unsigned indices(const Op *op) { return op->dst >> 8 & 15; }

static uint64_t gather_offset(const SoftCpu *cpu, const Op *op, int64_t index)
{
    unsigned bits = 8 * op_address_bytes(op);
    uint64_t offset = cpu->r[op->base] + ((uint64_t)index << op->scale) + (uint64_t)(int64_t)op->disp;

    return bits == 64 ? offset : offset & ((UINT64_C(1) << bits) - 1);
}

static int64_t index_of(const Op *op, const uint64_t *vector, unsigned i)
{
    return op->src & GATHER_INDEX_8 ? (int64_t)vector[i] : (int32_t)(vector[i / 2] >> i % 2 * 32);
}

static bool is_flat(const SoftCpu *cpu, const Op *op)
{
    return soft_in_64bit_code(cpu) || (cpu->mode & MODE_FLAT && op->seg != X86_CS && op->seg < X86_FS);
}

/* All in registers and in the TLB.  False: nothing was done. */
static bool gather_quickly(SoftCpu *cpu, const Op *op)
{
    uint64_t index[4], enabled[4], value[4], base = soft_in_64bit_code(cpu) ? cpu->seg_base[op->seg] : 0;
    unsigned bytes = element_bytes(op);

    if (!is_flat(cpu, op)) {
        return false;
    }
    soft_fp_enter(cpu);
    vector_get(indices(op), index);
    vector_get(mask(op), enabled);
    vector_get(destination(op), value);
    if (op->size * bytes < 32) {
        value[2] = value[3] = 0;
    }
    if (op->size * bytes < 16) {
        value[1] = 0;
    }
    for (unsigned i = 0; i < op->size; i++) {
        if (get_element((uint8_t *)enabled + i * bytes, bytes) >> (8 * bytes - 1)) {
            uint64_t linear = base + gather_offset(cpu, op, index_of(op, index, i));
            const void *p = soft_tlb_read(cpu, linear, bytes);

            if (!p) {
                return false;
            }
            put_element((uint8_t *)value + i * bytes, bytes, get_element(p, bytes));
        }
    }
    enabled[0] = enabled[1] = enabled[2] = enabled[3] = 0;
    vector_set(destination(op), value);
    vector_set(mask(op), enabled);
    return true;
}

static uint64_t gather_load(SoftCpu *cpu, const Op *op, int64_t index)
{
    uint64_t offset = gather_offset(cpu, op, index);
    uint64_t linear = soft_in_64bit_code(cpu)
                          ? offset + cpu->seg_base[op->seg]
                          : soft_linear(cpu, op->seg, offset, element_bytes(op), soft_op_access(op));

    return soft_load(cpu, linear, element_bytes(op), access_of(op));
}

static void gather_slowly(SoftCpu *cpu, const Op *op)
{
    uint8_t *image = soft_fp_image(cpu);
    unsigned bytes = element_bytes(op);

    for (unsigned i = 0; i < op->size; i++) {
        unsigned at = i * bytes, in_word = at & 7;
        uint8_t *enabled = (uint8_t *)vector_word(image, mask(op), at - in_word) + in_word;
        uint64_t index[4];

        if (get_element(enabled, bytes) >> (8 * bytes - 1)) {
            for (unsigned w = 0; w < 4; w++) {
                index[w] = *vector_word(image, indices(op), w * 8);
            }
            put_element((uint8_t *)vector_word(image, destination(op), at - in_word) + in_word, bytes,
                        gather_load(cpu, op, index_of(op, index, i)));
            put_element(enabled, bytes, 0);
        }
    }
    for (unsigned at = 0; at < VECTOR_BYTES; at += 4) {
        if (at >= op->size * bytes) {
            ((uint32_t *)vector_word(image, destination(op), at & ~7u))[at / 4 & 1] = 0;
        }
        ((uint32_t *)vector_word(image, mask(op), at & ~7u))[at / 4 & 1] = 0;
    }
}

static __attribute__((noinline)) void gather(SoftCpu *cpu, const Op *op)
{
    if (!gather_quickly(cpu, op)) {
        soft_sync(cpu, op);
        gather_slowly(cpu, op);
    }
}

static const Op *op_gather(SoftCpu *cpu, const Op *op)
{
    gather(cpu, op);
    SOFT_NEXT(cpu, op);
}

/* ---- from the instruction ---- */

static uint8_t register_slot(ZydisRegister r)
{
    return r == ZYDIS_REGISTER_NONE ? SLOT_ZERO : (uint8_t)ZydisRegisterGetId(r);
}

static unsigned log2_of(unsigned scale)
{
    return scale == 8 ? 3 : scale == 4 ? 2 : scale == 2;
}

static bool gather_emit(SoftDecode *d, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *o, bool index8,
                        unsigned bytes, Op *op)
{
    bool code64 = (d->mode & MODE_CODE) == MODE_CODE64;
    unsigned to = (unsigned)ZydisRegisterGetId(o[0].reg.value), under = (unsigned)ZydisRegisterGetId(o[2].reg.value);
    unsigned index = (unsigned)ZydisRegisterGetId(o[1].mem.index), widest = index8 ? 8 : bytes;
    ZydisRegister segment = o[1].mem.segment;

    if (!(d->mode & MODE_PROTECTED) || to == under || to == index || under == index) {
        return false; /* #UD */
    }
    soft_stub_drop_address(op); /* there is one for each element */
    op->fn = op_gather;
    op->dst = (uint16_t)(to | under << 4 | index << 8);
    op->src = (uint16_t)(bytes << STUB_ELEMENT_SHIFT | (index8 ? GATHER_INDEX_8 : 0));
    op->size = (uint8_t)((insn->raw.vex.L ? 32 : 16) / widest);
    op->base = register_slot(o[1].mem.base);
    op->index = SLOT_ZERO;
    op->scale = (uint8_t)log2_of(o[1].mem.scale);
    op->disp = (int32_t)o[1].mem.disp.value;
    op->seg = (uint8_t)(segment - ZYDIS_REGISTER_ES);
    if (code64 && segment != ZYDIS_REGISTER_FS && segment != ZYDIS_REGISTER_GS) {
        op->seg = SEG_NONE;
    }
    op->flags = (uint8_t)(OP_MEM | OP_FP | (insn->address_width == 64 ? 3 : insn->address_width == 32 ? 2 : 1) |
                          (segment == ZYDIS_REGISTER_SS ? OP_STACK : 0));
    return true;
}

static bool masked_emit(SoftDecode *d, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *o,
                        const ZydisDecodedOperand *by, unsigned bytes, Op *op)
{
    StubForm form;
    void *stub = soft_stub_make(d, insn, o, &form);

    if (!stub) {
        return false;
    }
    op->fn = form.store ? op_masked_store : op_masked_load;
    op->ptr = stub;
    op->size = form.bytes;
    op->dst = (uint16_t)((unsigned)ZydisRegisterGetId(by->reg.value) |
                         (insn->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ ? OP_MMX : 0));
    op->src = (uint16_t)(bytes << STUB_ELEMENT_SHIFT | STUB_PARTIAL | (form.waits ? STUB_WAITS : 0));
    op->flags |= OP_FP;
    return true;
}

bool soft_mask_emit(SoftDecode *d, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *o, Op *op)
{
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_MASKMOVQ:
    case ZYDIS_MNEMONIC_MASKMOVDQU:
    case ZYDIS_MNEMONIC_VMASKMOVDQU:
        return masked_emit(d, insn, o, &o[1], 1, op);
    case ZYDIS_MNEMONIC_VMASKMOVPS:
    case ZYDIS_MNEMONIC_VPMASKMOVD:
        return masked_emit(d, insn, o, &o[1], 4, op);
    case ZYDIS_MNEMONIC_VMASKMOVPD:
    case ZYDIS_MNEMONIC_VPMASKMOVQ:
        return masked_emit(d, insn, o, &o[1], 8, op);
    case ZYDIS_MNEMONIC_VGATHERDPS:
    case ZYDIS_MNEMONIC_VPGATHERDD:
        return gather_emit(d, insn, o, false, 4, op);
    case ZYDIS_MNEMONIC_VGATHERDPD:
    case ZYDIS_MNEMONIC_VPGATHERDQ:
        return gather_emit(d, insn, o, false, 8, op);
    case ZYDIS_MNEMONIC_VGATHERQPS:
    case ZYDIS_MNEMONIC_VPGATHERQD:
        return gather_emit(d, insn, o, true, 4, op);
    case ZYDIS_MNEMONIC_VGATHERQPD:
    case ZYDIS_MNEMONIC_VPGATHERQQ:
        return gather_emit(d, insn, o, true, 8, op);
    default:
        return false;
    }
}
