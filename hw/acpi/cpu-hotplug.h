/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU hot plug by ACPI: a part of the LPC bridge, under its lock; the controller of the machine's CPUs (vmm/cpu-bus.h).
 */
#pragma once

#include "vmm/command.h"
#include "vmm/cpu-bus.h"
#include "vmm/event.h"
#include "vmm/state.h"

#define ACPI_CPU_HOTPLUG_SIZE 12 /* ports */
#define ACPI_CPU_HOTPLUG_GPE  2
#define ACPI_CPUS_MAX         288

typedef struct AcpiCpuSlot {
    /* Guest state */
    uint8_t events;                  /* what is not dealt with: see cpu-hotplug.c */
    uint32_t ost_event, ost_status;  /* of the last _OST */
    /* Derived: what is plugged in, as the guest is told */
    bool present;
    char *id;                        /* NULL: it has none */
} AcpiCpuSlot;

typedef struct AcpiCpuHotplug {
    /* Configuration */
    Device *dev;
    CpuBus *bus;
    void (*raise)(Device *dev);      /* lock held: the GPE */
    unsigned count;                  /* slots in use: CPUs that there may be */
    MemoryRegion region;
    /* Guest state, saved by acpi_cpu_hotplug_state */
    uint32_t selected;
    uint8_t command;
    AcpiCpuSlot slot[ACPI_CPUS_MAX];
    /* Derived */
    unsigned reports;                /* of _OST, on their way to the main loop */
} AcpiCpuHotplug;

void acpi_cpu_hotplug_init(AcpiCpuHotplug *h, Device *dev, MemoryRegion *ports, uint16_t base,
                           void (*raise)(Device *dev));
void acpi_cpu_hotplug_finish(AcpiCpuHotplug *h);
/* The guest starts anew, with the CPUs that it finds. */
void acpi_cpu_hotplug_reset(AcpiCpuHotplug *h);
extern const StateDesc acpi_cpu_hotplug_state;

/* ---- the namespace: \_SB.CPUS and the GPE's method; \_SB is open ---- */
struct Aml;
void acpi_cpu_hotplug_aml(const Machine *machine, uint16_t base, struct Aml *aml);

/* ---- for monitor clients ---- */
extern const EventType event_acpi_device_ost;
extern const Command acpi_commands[];
/* What a guest said by _OST about CPU `index`, to whoever listens. */
void acpi_cpu_hotplug_tell(const AcpiCpuHotplug *h, unsigned index);
AcpiCpuHotplug *acpi_cpu_hotplug_of(Domain *domain); /* NULL: there is none */
