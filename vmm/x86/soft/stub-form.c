/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The encoding of an instruction in its stub: for 64-bit mode (SDM 2-2.1 to 2-2.3), with the
 * same operation, operand sizes and immediates, without ignored prefixes, with general
 * registers that a stub is free to use, and with a memory operand [register].
 *
 * What comes out is decoded again before it first runs: it must be the same instruction.
 */
#include "vmm/x86/soft/stub.h"

/* ---- operands ---- */

static bool general_register(ZydisRegister r, uint8_t *ret_index, bool *ret_high)
{
    *ret_high = false;
    if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL) {
        *ret_index = (uint8_t)(r - ZYDIS_REGISTER_AL);
    } else if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH) {
        *ret_index = (uint8_t)(r - ZYDIS_REGISTER_AH);
        *ret_high = true;
    } else if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B) {
        *ret_index = (uint8_t)(r - ZYDIS_REGISTER_SPL + HOST_SP);
    } else if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W) {
        *ret_index = (uint8_t)(r - ZYDIS_REGISTER_AX);
    } else if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D) {
        *ret_index = (uint8_t)(r - ZYDIS_REGISTER_EAX);
    } else if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15) {
        *ret_index = (uint8_t)(r - ZYDIS_REGISTER_RAX);
    } else {
        return false;
    }
    return true;
}

static StubRegister *find_register(StubForm *form, uint8_t guest)
{
    for (unsigned i = 0; i < form->registers; i++) {
        if (form->reg[i].guest == guest) {
            return &form->reg[i];
        }
    }
    if (form->registers == G_N_ELEMENTS(form->reg)) {
        return NULL;
    }
    form->reg[form->registers] = (StubRegister){ .guest = guest, .host = HOST_NONE };
    return &form->reg[form->registers++];
}

static bool add_register(StubForm *form, const ZydisDecodedOperand *o)
{
    bool high, renamable = o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG ||
                           o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM ||
                           o->encoding == ZYDIS_OPERAND_ENCODING_NDSNDD || o->encoding == ZYDIS_OPERAND_ENCODING_OPCODE;
    uint8_t guest;
    StubRegister *r;

    if (!general_register(o->reg.value, &guest, &high)) {
        return false;
    }
    r = find_register(form, guest);
    if (!r) {
        return false;
    }
    r->fixed |= !renamable;
    r->high |= high;
    r->written |= (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
    return true;
}

static bool add_memory(StubForm *form, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *o)
{
    bool line = insn->mnemonic == ZYDIS_MNEMONIC_CLFLUSH || insn->mnemonic == ZYDIS_MNEMONIC_CLFLUSHOPT ||
                insn->mnemonic == ZYDIS_MNEMONIC_CLWB;

    if (form->memory != HOST_NONE || o->mem.type != ZYDIS_MEMOP_TYPE_MEM) {
        return false;
    }
    form->byte_mask = o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN;
    if (form->byte_mask ? insn->mnemonic != ZYDIS_MNEMONIC_MASKMOVQ && insn->mnemonic != ZYDIS_MNEMONIC_MASKMOVDQU &&
                              insn->mnemonic != ZYDIS_MNEMONIC_VMASKMOVDQU
                        : o->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM) {
        return false;
    }
    if (o->size == 0 || o->size % 8 || o->size > 64 * 8) {
        return false;
    }
    form->memory = form->byte_mask ? HOST_DI : HOST_DX;
    form->bytes = line ? 1 : (uint8_t)(o->size / 8);
    form->load = line || o->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
    form->store = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
    form->partial = o->actions & ZYDIS_OPERAND_ACTION_CONDWRITE || insn->meta.isa_set == ZYDIS_ISA_SET_X87 ||
                    insn->mnemonic == ZYDIS_MNEMONIC_FISTTP;
    return form->load || form->store;
}

/* What runs natively touches general, vector and x87 registers, arithmetic flags and one memory operand. */
static bool add_operand(StubForm *form, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *o)
{
    switch (o->type) {
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        return !o->imm.is_relative;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        return add_memory(form, insn, o);
    case ZYDIS_OPERAND_TYPE_REGISTER:
        break;
    default:
        return false;
    }
    switch (ZydisRegisterGetClass(o->reg.value)) {
    case ZYDIS_REGCLASS_GPR8:
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64:
        return add_register(form, o);
    case ZYDIS_REGCLASS_X87:
    case ZYDIS_REGCLASS_MMX:
    case ZYDIS_REGCLASS_XMM:
    case ZYDIS_REGCLASS_YMM:
        form->fp = true;
        return true;
    case ZYDIS_REGCLASS_FLAGS:
        return true;
    default:
        form->fp = true;
        return o->reg.value == ZYDIS_REGISTER_X87CONTROL || o->reg.value == ZYDIS_REGISTER_X87STATUS ||
               o->reg.value == ZYDIS_REGISTER_X87TAG || o->reg.value == ZYDIS_REGISTER_MXCSR;
    }
}

static bool add_flags(StubForm *form, const ZydisDecodedInstruction *insn)
{
    const uint32_t arithmetic = EFLAGS_ARITHMETIC;
    const ZydisAccessedFlags *f = insn->cpu_flags;
    uint32_t read, written;

    if (!f) {
        return true;
    }
    written = f->modified | f->set_0 | f->set_1 | f->undefined;
    read = f->tested;
    if ((read | written) & ~arithmetic) {
        return false;
    }
    /* Flags that it leaves alone, or that this processor leaves although they are undefined, come through it. */
    form->flags_out = written != 0;
    form->flags_in = read || (written && (f->modified | f->set_0 | f->set_1) != arithmetic);
    return true;
}

/* ---- registers of the host ---- */

static bool is_taken(const StubForm *form, uint8_t host)
{
    if (form->memory == host) {
        return true;
    }
    for (unsigned i = 0; i < form->registers; i++) {
        if (form->reg[i].host == host) {
            return true;
        }
    }
    return false;
}

/* Those that a C function may change, but rdi, rsi, and (for the memory operand) rax, which carries flags. */
static uint8_t free_register(const StubForm *form, bool low, bool memory)
{
    static const uint8_t pool[] = { HOST_CX, HOST_DX, HOST_AX, 8, 9, 10, 11 };

    for (unsigned i = 0; i < G_N_ELEMENTS(pool); i++) {
        if (!is_taken(form, pool[i]) && !(low && pool[i] > HOST_DX) && !(memory && pool[i] == HOST_AX)) {
            return pool[i];
        }
    }
    return HOST_NONE;
}

static bool is_free_to_use(uint8_t host)
{
    return host <= HOST_DX || (host >= 8 && host <= 11);
}

/* AH, CH, DH and BH exclude REX prefixes, thus r8-r15. */
static bool assign_registers(StubForm *form)
{
    bool low = false, memory = form->memory == HOST_DX;

    if (memory) {
        form->memory = HOST_NONE; /* chosen last */
    }
    for (unsigned i = 0; i < form->registers; i++) {
        StubRegister *r = &form->reg[i];

        low |= r->high;
        if (is_free_to_use(r->guest)) {
            r->host = r->guest;
        } else if (r->fixed) {
            return false;
        }
    }
    for (unsigned i = 0; i < form->registers; i++) {
        StubRegister *r = &form->reg[i];

        if (low && !r->fixed && r->host > HOST_DX) {
            r->host = HOST_NONE;
        }
        if (r->host == HOST_NONE) {
            r->host = free_register(form, low, false);
        }
        if (r->host == HOST_NONE) {
            return false;
        }
    }
    if (memory) {
        form->memory = is_taken(form, HOST_DX) ? free_register(form, low, true) : HOST_DX;
    }
    return !memory || form->memory != HOST_NONE;
}

/* ---- encoding ---- */

/* The fields of prefixes and ModRM. */
typedef struct Fields { uint8_t reg, rm, vvvv, mod, opcode; bool w, operand_size; uint8_t repeat; } Fields;

static void legacy_prefixes(const SoftDecode *d, const ZydisDecodedInstruction *insn, Fields *f)
{
    for (unsigned i = 0; i < insn->raw.prefix_count; i++) {
        uint8_t value = insn->raw.prefixes[i].value;
        bool mandatory = insn->raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY;
        bool effective = mandatory || insn->raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_EFFECTIVE;

        if (value == 0x66 && (mandatory || (effective && (d->mode & MODE_CODE) != MODE_CODE16))) {
            f->operand_size = true;
        } else if ((value == 0xf2 || value == 0xf3) && mandatory) {
            f->repeat = value;
        }
    }
}

static void raw_fields(const SoftDecode *d, const ZydisDecodedInstruction *insn, Fields *f)
{
    bool code64 = (d->mode & MODE_CODE) == MODE_CODE64;
    bool vex = insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    unsigned r = vex ? !insn->raw.vex.R : insn->raw.rex.R;
    unsigned b = vex ? !insn->raw.vex.B : insn->raw.rex.B;

    f->mod = insn->raw.modrm.mod;
    f->reg = (uint8_t)(insn->raw.modrm.reg | (code64 && r ? 8 : 0));
    f->rm = (uint8_t)(insn->raw.modrm.rm | (code64 && b ? 8 : 0));
    f->opcode = insn->opcode;
    if (vex) {
        f->vvvv = (uint8_t)(~insn->raw.vex.vvvv & (code64 ? 15 : 7));
        f->w = insn->raw.vex.W;
    } else {
        f->w = code64 && insn->raw.rex.W;
        legacy_prefixes(d, insn, f);
    }
}

static void operand_fields(const StubForm *form, const ZydisDecodedInstruction *insn,
                           const ZydisDecodedOperand *operands, Fields *f)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        const ZydisDecodedOperand *o = &operands[i];
        bool high;
        uint8_t guest, host = 0;

        if (o->type == ZYDIS_OPERAND_TYPE_MEMORY && o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM) {
            f->mod = 0;
            f->rm = form->memory;
        }
        if (o->type != ZYDIS_OPERAND_TYPE_REGISTER || !general_register(o->reg.value, &guest, &high)) {
            continue;
        }
        for (unsigned k = 0; k < form->registers; k++) {
            host = form->reg[k].guest == guest ? form->reg[k].host : host;
        }
        host = high ? host + 4 : host;
        if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG) {
            f->reg = host;
        } else if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM) {
            f->rm = host;
        } else if (o->encoding == ZYDIS_OPERAND_ENCODING_NDSNDD) {
            f->vvvv = host;
        } else if (o->encoding == ZYDIS_OPERAND_ENCODING_OPCODE) {
            f->opcode = (uint8_t)((f->opcode & ~7) | (host & 7));
            f->rm = host & 8; /* for REX.B */
        }
    }
}

static uint8_t *put_map(uint8_t *p, ZydisOpcodeMap map)
{
    if (map != ZYDIS_OPCODE_MAP_DEFAULT) {
        *p++ = 0x0f;
    }
    if (map == ZYDIS_OPCODE_MAP_0F38) {
        *p++ = 0x38;
    } else if (map == ZYDIS_OPCODE_MAP_0F3A) {
        *p++ = 0x3a;
    }
    return p;
}

static uint8_t *put_legacy(uint8_t *p, const ZydisDecodedInstruction *insn, const Fields *f, bool has_modrm)
{
    uint8_t rex = (uint8_t)(f->w << 3 | (has_modrm ? f->reg >> 3 << 2 : 0) | f->rm >> 3);

    if (f->operand_size) {
        *p++ = 0x66;
    }
    if (f->repeat) {
        *p++ = f->repeat;
    }
    if (rex) {
        *p++ = 0x40 | rex;
    }
    p = put_map(p, insn->opcode_map);
    *p++ = f->opcode;
    return p;
}

static uint8_t *put_vex(uint8_t *p, const ZydisDecodedInstruction *insn, const Fields *f)
{
    *p++ = 0xc4;
    *p++ = (uint8_t)((~f->reg >> 3 & 1) << 7 | 1 << 6 | (~f->rm >> 3 & 1) << 5 | insn->raw.vex.m_mmmm);
    *p++ = (uint8_t)(f->w << 7 | (~f->vvvv & 15) << 3 | insn->raw.vex.L << 2 | insn->raw.vex.pp);
    *p++ = f->opcode;
    return p;
}

static uint8_t *put_immediates(uint8_t *p, const SoftDecode *d, const ZydisDecodedInstruction *insn,
                               const ZydisDecodedOperand *operands)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(insn->raw.imm); i++) {
        uint64_t value = insn->raw.imm[i].value.u;

        for (unsigned k = 0; k < insn->operand_count_visible; k++) {
            if (operands[k].encoding == ZYDIS_OPERAND_ENCODING_IS4 && (d->mode & MODE_CODE) != MODE_CODE64) {
                value &= 0x7f; /* the fourth bit of the register number is ignored there */
            }
        }
        for (unsigned bits = 0; bits < insn->raw.imm[i].size; bits += 8) {
            *p++ = (uint8_t)(value >> bits);
        }
    }
    return p;
}

static bool encode(const SoftDecode *d, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands,
                   const Fields *f, StubForm *form)
{
    bool has_modrm = insn->attributes & ZYDIS_ATTRIB_HAS_MODRM;
    uint8_t code[32], *p = code;

    p = insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ? put_vex(p, insn, f) : put_legacy(p, insn, f, has_modrm);
    if (has_modrm) {
        *p++ = (uint8_t)(f->mod << 6 | (f->reg & 7) << 3 | (f->rm & 7));
    }
    p = put_immediates(p, d, insn, operands);
    if (p - code > 15) {
        return false;
    }
    form->length = (uint8_t)(p - code);
    soft_zero(form->code, sizeof(form->code));
    soft_copy(form->code, code, form->length);
    return true;
}

/* ---- checking ---- */

static bool same_operand(const ZydisDecodedOperand *a, const ZydisDecodedOperand *b, const StubForm *form)
{
    uint8_t guest, host;
    bool high_a, high_b;

    if (a->type != b->type || a->size != b->size || a->actions != b->actions) {
        return false;
    }
    if (a->type == ZYDIS_OPERAND_TYPE_MEMORY) {
        return form->byte_mask || (b->mem.base == (ZydisRegister)(ZYDIS_REGISTER_RAX + form->memory) &&
                                   b->mem.index == ZYDIS_REGISTER_NONE && !b->mem.disp.value);
    }
    if (a->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        return a->imm.value.u == b->imm.value.u;
    }
    if (!general_register(a->reg.value, &guest, &high_a)) {
        return a->reg.value == b->reg.value || ZydisRegisterGetClass(a->reg.value) == ZYDIS_REGCLASS_FLAGS;
    }
    if (!general_register(b->reg.value, &host, &high_b) || high_a != high_b) {
        return false;
    }
    for (unsigned i = 0; i < form->registers; i++) {
        if (form->reg[i].guest == guest) {
            return form->reg[i].host == host;
        }
    }
    return false;
}

bool soft_stub_form_check(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands,
                          const StubForm *form)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction native;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, form->code, form->length, &native, o)) ||
        native.length != form->length || native.mnemonic != insn->mnemonic ||
        native.operand_count_visible != insn->operand_count_visible) {
        return false;
    }
    for (unsigned i = 0; i < native.operand_count_visible; i++) {
        if (!same_operand(&operands[i], &o[i], form)) {
            return false;
        }
    }
    return true;
}

/* What sizes depend on differs between modes: in 16-bit code the meaning of 66, outside of 64-bit code that of VEX.W.
 * The form that decodes as the same instruction is the right one. */
static bool encode_for_mode(const SoftDecode *d, const ZydisDecodedInstruction *insn,
                            const ZydisDecodedOperand *operands, Fields *f, StubForm *form)
{
    unsigned code = d->mode & MODE_CODE;

    if (code != MODE_CODE64 && f->w) {
        f->w = false;
        if (encode(d, insn, operands, f, form) && soft_stub_form_check(insn, operands, form)) {
            return true;
        }
        f->w = true;
    }
    if (code == MODE_CODE16 && !f->operand_size && insn->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
        if (encode(d, insn, operands, f, form) && soft_stub_form_check(insn, operands, form)) {
            return true;
        }
        f->operand_size = true;
    }
    return encode(d, insn, operands, f, form);
}

bool soft_stub_form(const SoftDecode *d, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands,
                    StubForm *ret)
{
    Fields fields = { 0 };

    *ret = (StubForm){ .memory = HOST_NONE };
    if (!soft_stub_allowed(insn, d->mode, &ret->nothing) || ret->nothing) {
        return ret->nothing;
    }
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (!add_operand(ret, insn, &operands[i])) {
            return false;
        }
    }
    if (ret->memory != HOST_NONE && soft_stub_special(insn, ret)) {
        return false;
    }
    ret->fp |= soft_stub_uses_vectors(insn);
    ret->waits = soft_stub_waits(insn, operands);
    ret->pointer = soft_stub_sets_pointer(insn);
    ret->aligned = ret->memory != HOST_NONE && soft_stub_aligned(insn, ret);
    if (!add_flags(ret, insn) || !assign_registers(ret)) {
        return false;
    }
    raw_fields(d, insn, &fields);
    operand_fields(ret, insn, operands, &fields);
    return encode_for_mode(d, insn, operands, &fields, ret);
}
