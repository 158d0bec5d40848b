/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Register tables: dispatch of reads, writes and reset over the rows of vmm/reg.h.
 *
 * An access is walked byte by byte: the row that covers a byte answers for as much
 * of it as the access needs, so wide and narrow accesses are one code path.  Two
 * rows may share an offset when one is only read and the other only written (a
 * UART's RBR and THR).
 *
 * The caller holds the device's lock.
 */
#include "vmm/reg.h"

#include <inttypes.h>
#include <string.h>

#include "vmm/device.h"
#include "vmm/log.h"

/* A register hit: the row, which of its array, and how far into the register. */
typedef struct RegHit {
    const Reg *reg;
    unsigned n;
    unsigned skip; /* bytes of the register before the access */
} RegHit;

static unsigned reg_size(const Reg *reg)
{
    return reg->size ? reg->size : 1;
}

static unsigned reg_count(const Reg *reg)
{
    return reg->count ? reg->count : 1;
}

static unsigned reg_stride(const Reg *reg)
{
    return reg->stride ? reg->stride : reg_size(reg);
}

static bool reg_is_readable(const Reg *reg)
{
    return reg->has_field || reg->read || reg->read_n;
}

static bool reg_is_writable(const Reg *reg)
{
    return reg->has_field || reg->write || reg->write_n;
}

static uint64_t byte_mask(unsigned bytes)
{
    return bytes >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * bytes)) - 1;
}

static bool reg_find(Device *dev, const RegBank *bank, uint64_t offset, bool write, RegHit *ret)
{
    unsigned current = BANK(bank->bank ? bank->bank(dev) : 0);

    for (size_t i = 0; i < bank->n; i++) {
        const Reg *reg = &bank->regs[i];
        uint64_t into = offset - reg->at;

        if (offset < reg->at || (reg->banks != BANK_ANY && !(reg->banks & current)) ||
            into >= (uint64_t)reg_stride(reg) * reg_count(reg) || into % reg_stride(reg) >= reg_size(reg) ||
            !(write ? reg_is_writable(reg) : reg_is_readable(reg))) {
            continue;
        }
        ret->reg = reg;
        ret->n = (unsigned)(into / reg_stride(reg));
        ret->skip = (unsigned)(into % reg_stride(reg));
        return true;
    }
    return false;
}

static uint8_t *reg_field(Device *dev, const RegHit *hit)
{
    unsigned stride = hit->reg->field_stride ? hit->reg->field_stride : reg_size(hit->reg);

    return (uint8_t *)dev + hit->reg->field + (size_t)hit->n * stride;
}

static uint64_t reg_load_field(Device *dev, const RegHit *hit)
{
    uint64_t value = 0;

    memcpy(&value, reg_field(dev, hit), reg_size(hit->reg)); /* little-endian hosts only */
    return value;
}

static void reg_store_field(Device *dev, const RegHit *hit, uint64_t value)
{
    memcpy(reg_field(dev, hit), &value, reg_size(hit->reg));
}

static uint64_t reg_read_whole(Device *dev, const RegHit *hit)
{
    uint64_t value;

    if (hit->reg->read_n) {
        value = hit->reg->read_n(dev, hit->n);
    } else if (hit->reg->read) {
        value = hit->reg->read(dev);
    } else {
        value = reg_load_field(dev, hit);
    }
    if (hit->reg->read_done) {
        hit->reg->read_done(dev);
    }
    return value & byte_mask(reg_size(hit->reg));
}

/* `written` has ones in the bits of the bytes that the access covers. */
static void reg_write_whole(Device *dev, const RegHit *hit, uint64_t value, uint64_t written)
{
    const Reg *reg = hit->reg;
    uint64_t old = reg->has_field ? reg_load_field(dev, hit) : 0;

    if (reg->write || reg->write_n) {
        uint64_t merged = (value & written) | (old & ~written & ~reg->w1c);

        if (reg->write_n) {
            reg->write_n(dev, hit->n, merged);
        } else {
            reg->write(dev, merged);
        }
        return;
    }
    reg_store_field(dev, hit, ((old & ~(reg->writable & written)) | (value & reg->writable & written)) &
                                  ~(value & reg->w1c & written));
    if (reg->wrote) {
        reg->wrote(dev, old);
    }
}

static void trace(const Device *dev, const RegHit *hit, const char *how, uint64_t value)
{
    log_category(LOG_REGS, "%s: %s %s[%u]+%u 0x%" PRIx64, device_name(dev), how, hit->reg->name, hit->n, hit->skip,
                 value);
}

static uint64_t absent_value(const RegBank *bank)
{
    return bank->absent || bank->absent_is_zero ? bank->absent : UINT64_MAX;
}

uint64_t reg_read(Device *dev, const RegBank *bank, uint64_t offset, unsigned size)
{
    uint64_t value = absent_value(bank);

    for (unsigned done = 0; done < size;) {
        RegHit hit;
        unsigned part = 1;

        if (reg_find(dev, bank, offset + done, false, &hit)) {
            uint64_t bits;

            part = MIN(reg_size(hit.reg) - hit.skip, size - done);
            bits = byte_mask(part) << (8 * done);
            value = (value & ~bits) | (((reg_read_whole(dev, &hit) >> (8 * hit.skip)) << (8 * done)) & bits);
            if (log_on(LOG_REGS)) {
                trace(dev, &hit, "read", (value & bits) >> (8 * done));
            }
        }
        done += part;
    }
    return value & byte_mask(size);
}

void reg_write(Device *dev, const RegBank *bank, uint64_t offset, uint64_t value, unsigned size)
{
    for (unsigned done = 0; done < size;) {
        RegHit hit;
        unsigned part = 1;

        if (reg_find(dev, bank, offset + done, true, &hit)) {
            part = MIN(reg_size(hit.reg) - hit.skip, size - done);
            if (log_on(LOG_REGS)) {
                trace(dev, &hit, "write", value >> (8 * done) & byte_mask(part));
            }
            reg_write_whole(dev, &hit, value >> (8 * done) << (8 * hit.skip), byte_mask(part) << (8 * hit.skip));
        }
        done += part;
    }
}

void reg_reset(Device *dev, const RegBank *bank)
{
    for (size_t i = 0; i < bank->n; i++) {
        RegHit hit = { .reg = &bank->regs[i] };

        for (hit.n = 0; hit.reg->has_field && hit.n < reg_count(hit.reg); hit.n++) {
            reg_store_field(dev, &hit, hit.reg->reset);
        }
    }
}
