/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPUs, for monitor clients.
 */
#pragma once

#include "vmm/command.h"
#include "vmm/vcpu.h"

extern const Command vcpu_commands[];

/* Its QOM path; the caller frees. */
char *vcpu_path(const Vcpu *vcpu);
