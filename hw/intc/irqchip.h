/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chips that the accelerator may hold itself (irqchip whole): the devices exist all
 * the same, save and load the same sections, but answer no ports and take no lines.
 */
#pragma once

#include "vmm/domain.h"

static inline bool irqchip_in_accel(const Domain *domain)
{
    Accel *accel = domain_accel(domain);

    return accel && accel->class->irqchip(accel) == IRQCHIP_ON;
}

static inline bool irqchip_get(const Domain *domain, AccelChip chip, void *state, GError **error)
{
    Accel *accel = domain_accel(domain);

    return accel->class->chip_get(accel, chip, state, error);
}

static inline bool irqchip_set(const Domain *domain, AccelChip chip, const void *state, GError **error)
{
    Accel *accel = domain_accel(domain);

    return accel->class->chip_set(accel, chip, state, error);
}
