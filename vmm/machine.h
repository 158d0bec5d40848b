/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machines: a class is a table (options, compat properties, board rows) and one
 * build function that reads aloud.  Versioned names (pc-q35-7.2) are rows of the
 * same class with their compat properties.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/cpu-bus.h"
#include "vmm/device.h"
#include "vmm/domain.h"
#include "vmm/x86/cpu-model.h"

typedef struct MachineClass MachineClass;

/* One property default of a device class, for machines of an older version. */
typedef struct CompatProperty { const char *driver, *property, *value; } CompatProperty;

/* One fixed device of a board: what, where, and under which machine option. */
typedef struct BoardRow {
    const char *driver;
    const char *id;      /* of its path: /machine/ID; NULL: numbered */
    const char *bus;     /* name; NULL: default for the class */
    const char *props;   /* "iobase=0x3f8,irq=4" */
    bool (*when)(const Machine *machine); /* NULL: always */
} BoardRow;

typedef enum RtcBase { RTC_BASE_UTC, RTC_BASE_LOCALTIME, RTC_BASE_DATE } RtcBase;
typedef enum RtcClock { RTC_CLOCK_HOST, RTC_CLOCK_RT, RTC_CLOCK_VM } RtcClock;

typedef struct BootOptions { /* -kernel, -initrd, -append, -dtb, -bios: owned strings */
    char *kernel, *initrd, *append, *dtb, *bios;
} BootOptions;

#define NUMA_NODES_MAX 128
typedef struct NumaNode {
    bool given;
    uint64_t memory;   /* bytes */
    char *memdev;      /* id of its memory backend; NULL: a part of the machine's RAM */
    GArray *cpus;      /* unsigned: vCPU indexes */
} NumaNode;
typedef struct NumaDistance { uint8_t src, dst, value; } NumaDistance; /* ACPI 5.2.17: 10 is "itself" */

/* -machine keys of every machine: the base of each class' own struct of options. */
typedef struct MachineOptions {
    char *accel;            /* "kvm:tcg"; NULL: not said */
    int kernel_irqchip;     /* IrqchipMode */
    char *memory_backend;   /* id of an object; NULL: one is made */
    bool dump_guest_core, mem_merge;
    int acpi;               /* OnOffAuto */
} MachineOptions;
extern const FieldStruct machine_options;
/* For keys of what a machine does not have: takes only "off"; .of.codec of a FIELD_CODED row. */
extern const FieldCodec machine_absent_codec;

static inline MachineOptions *machine_common(const Machine *machine);

struct Machine {
    const MachineClass *class;
    Domain *domain;
    void *options;      /* laid out by class->options, which begins with MachineOptions */
    char *cpu_type;     /* -cpu text; NULL: class->default_cpu */
    CpuModel *cpu_model;
    CpuTopology topology;
    CpuBus cpus;
    uint64_t ram_size, max_ram_size;
    unsigned ram_slots;
    MemoryRegion ram;   /* container of ram_size bytes: all of RAM from 0 on (one block, or one per NUMA node);
                         * boards put aliases of its parts where they belong */
    BootOptions boot;
    GArray *numa;       /* NumaNode, in order of node id; empty: none asked for */
    GArray *distances;  /* NumaDistance; both directions of every pair, or empty */
    GPtrArray *smbios;  /* -smbios texts */
    struct {            /* -rtc */
        int base;           /* RtcBase */
        __int128 offset_ns; /* of the clock's time from UTC of the host at start; DATE: the time itself, of any year */
        int clock;          /* RtcClock: what it follows from then on */
        bool slew;          /* inject lost periodic interrupts again */
    } rtc;
    unsigned serial_ports; /* how many -serial may have; set by the board */
    bool can_sleep;     /* ACPI S3, and class->wakeup with it; set by the board */
    void *board;        /* the class' */
    GPtrArray *ram_parts; /* of vmm/machine-ram.c */
    GPtrArray *roms;      /* of machine_add_rom() */
};

static inline MachineOptions *machine_common(const Machine *machine)
{
    return machine->options;
}

struct MachineClass {
    const char *name, *alias, *desc;
    bool is_default, deprecated;
    unsigned max_cpus;
    const char *default_cpu;
    uint64_t default_ram; /* bytes */
    const char *default_ram_id; /* "pc.ram" */
    const FieldStruct *options; /* -machine NAME,key=value; based on machine_options */
    const CompatProperty *compat; /* driver NULL ends */
    const BoardRow *rows; /* driver NULL ends */
    bool has_pci;
    /* The board, and RAM in the map: before the accelerator has interrupt controllers and vCPUs. */
    bool (*map_ram)(Machine *machine, GError **error);
    bool (*build)(Machine *machine, GError **error);
    /* CPUs may come and go: the tables that a guest finds are to be those of the CPUs that are there now.  NULL: the
     * machine has those of -smp. */
    void (*cpus_changed)(Machine *machine);
    void (*reset_cpu)(Machine *machine, Vcpu *vcpu); /* what firmware does to one that comes; NULL: nothing */
    /* After every device was reset: make low memory RAM, copy the kernel, set the boot vCPU. */
    void (*reset)(Machine *machine);
    /* The same after ACPI S3, with RAM as the guest left it: what firmware does, and the boot vCPU into the guest.
     * false: the guest cannot be entered.  NULL: the machine has no such state. */
    bool (*wakeup)(Machine *machine, GError **error);
    /* All devices are there: tables of ACPI, SMBIOS, device tree. */
    bool (*finalize)(Machine *machine, GError **error);
    void (*destroy)(Machine *machine); /* the board itself; every realized device has been freed */
    const char *default_drive_bus; /* for -drive if=none absent: "ide", "virtio" */
};

void machine_classes_set(const MachineClass *const *classes); /* hw/devices.c; NULL ends */
const MachineClass *machine_class_find(const char *name, GError **error);
typedef void (*MachineClassFn)(const MachineClass *class, void *opaque);
void machine_class_each(MachineClassFn fn, void *opaque);
void machines_help(GString *out);

Machine *machine_new(Domain *domain, const MachineClass *class);
/* -machine text after the name; '_' in a key stands for '-' (kernel_irqchip) */
bool machine_set_options(Machine *machine, const char *text, GError **error);
extern const FieldStruct machine_memory_options; /* the keys of -m */
/* -m: "1G", "size=1G,slots=2,maxmem=4G"; a bare number is MiB. */
bool machine_set_memory(Machine *machine, const char *text, GError **error);
/* -smp; not given: one CPU. */
bool machine_set_smp(Machine *machine, const char *text, GError **error);
/* One -numa: "node,cpus=0-1,memdev=m0", "dist,src=0,dst=1,val=20", "cpu,node-id=1,socket-id=1". */
bool machine_add_numa(Machine *machine, const char *text, GError **error);
void machine_numa_help(GString *out);
int machine_cpu_node(const Machine *machine, unsigned index); /* -1: there are no nodes */
/* RAM, vCPUs, board rows: what the command line asked for must be in the struct. */
bool machine_build(Machine *machine, GError **error);
/* After the last -device: tables, vCPU threads (parked), the first reset.  Then the domain can run. */
bool machine_finalize(Machine *machine, GError **error);
void machine_reset(Machine *machine); /* vCPUs parked, queues quiet */
/* Likewise, at the end of ACPI S3: keeps RAM.  false, error set: the guest cannot go on, only be reset. */
bool machine_wakeup(Machine *machine, GError **error);
bool machine_can_sleep(const Domain *domain); /* false, too, while there is no machine */
void machine_free(Machine *machine);
/* Realizes the class' board rows in order; for build functions. */
bool machine_realize_rows(Machine *machine, GError **error);
/* Contents that a reset puts back: firmware, kernel, tables.  data is copied. */
void machine_add_rom(Machine *machine, const char *name, uint64_t address, const void *data, size_t length);
/* Other contents for one, of the same length; now: at once, not by the next reset. */
void machine_replace_rom(Machine *machine, const char *name, const void *data, bool now);
