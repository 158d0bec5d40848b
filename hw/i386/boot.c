/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct kernel boot: placement, the zero page (Documentation/arch/x86/zero-page.rst),
 * PVH's hvm_start_info, and the boot processor's state.  See hw/i386/boot.h.
 */
#include "hw/i386/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hw/i386/boot-image.h"
#include "hw/i386/boot-internal.h"
#include "vmm/bytes.h"
#include "vmm/error.h"
#include "vmm/host.h"

#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLE       0x800
#define MTRR_WRITE_BACK   6

#define GDT_ADDRESS        0x500
#define START_INFO_ADDRESS 0x6000
#define ZERO_PAGE_ADDRESS  0x7000
#define PAGE_TABLES        0x9000 /* PML4, PDPT, four page directories */
#define CMDLINE_ADDRESS    0x20000
#define CMDLINE_MAX        0xffff /* with its zero */
#define SETUP_DATA_ADDRESS 0x30000
#define SETUP_DATA_END     0x90000
#define EBDA_ADDRESS       0x9fc00
#define BIOS_ADDRESS       0xe0000
#define HIGH_MEMORY        0x100000

/* Zero page offsets. */
enum {
    BP_ACPI_RSDP = 0x070,
    BP_E820_ENTRIES = 0x1e8,
    BP_HEADER = 0x1f1,
    BP_TYPE_OF_LOADER = 0x210,
    BP_LOADFLAGS = 0x211,
    BP_CODE32_START = 0x214,
    BP_RAMDISK_IMAGE = 0x218,
    BP_RAMDISK_SIZE = 0x21c,
    BP_CMD_LINE_PTR = 0x228,
    BP_SETUP_DATA = 0x250,
    BP_E820_TABLE = 0x2d0,
};
#define LOADER_UNDEFINED 0xff
#define SETUP_DTB        2
#define SETUP_RNG_SEED   9
#define RNG_SEED_BYTES   32

#define START_INFO_MAGIC 0x336ec578

struct X86Boot {
    Machine *machine;
    KernelImage image;
    E820Entry e820[E820_MAX];
    unsigned e820_entries;
    uint64_t below_4g, rsdp;
    int kernel_fd, initrd_fd; /* initrd_fd -1: none */
    uint64_t initrd_address, initrd_size;
    char *cmdline;
    uint8_t *dtb;
    size_t dtb_length;
};

static int compare_entries(const void *a, const void *b)
{
    const E820Entry *x = a, *y = b;

    return x->address < y->address ? -1 : x->address > y->address;
}

unsigned x86_boot_e820(uint64_t below_4g, uint64_t above_4g, const E820Entry *extra, unsigned n_extra,
                       E820Entry ret[E820_MAX])
{
    unsigned n = 0;

    ret[n++] = (E820Entry){ 0, EBDA_ADDRESS, E820_RAM };
    ret[n++] = (E820Entry){ EBDA_ADDRESS, 0xa0000 - EBDA_ADDRESS, E820_RESERVED };
    ret[n++] = (E820Entry){ BIOS_ADDRESS, HIGH_MEMORY - BIOS_ADDRESS, E820_RESERVED };
    ret[n++] = (E820Entry){ HIGH_MEMORY, below_4g - HIGH_MEMORY, E820_RAM };
    if (above_4g) {
        ret[n++] = (E820Entry){ UINT64_C(1) << 32, above_4g, E820_RAM };
    }
    for (unsigned i = 0; i < n_extra && n < E820_MAX; i++) {
        ret[n++] = extra[i];
    }
    qsort(ret, n, sizeof(ret[0]), compare_entries);
    return n;
}

static bool place_initrd(X86Boot *boot, uint64_t below_4g, GError **error)
{
    const char *path = boot->machine->boot.initrd;
    uint64_t top = MIN(boot->image.initrd_max + 1, below_4g), first = (boot->image.end + 4095) & ~UINT64_C(4095);
    struct stat st;

    boot->initrd_fd = host_open(path, O_RDONLY, 0, error);
    if (boot->initrd_fd < 0) {
        g_prefix_error(error, "initrd: ");
        return false;
    }
    if (fstat(boot->initrd_fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return error_set(error, "initrd '%s' is not a regular file", path);
    }
    boot->initrd_size = (uint64_t)st.st_size;
    if (boot->initrd_size > top || ((top - boot->initrd_size) & ~UINT64_C(4095)) < first) {
        uint64_t needed = first + boot->initrd_size + 4095;

        error_set(error,
                  "initrd '%s' (%" G_GUINT64_FORMAT " MiB) does not fit beside the kernel into %" G_GUINT64_FORMAT
                  " MiB of RAM",
                  path, (boot->initrd_size >> 20) + 1, below_4g >> 20);
        return needed <= boot->image.initrd_max
                   ? error_hint(error, "Give at least -m %" G_GUINT64_FORMAT ".", (needed >> 20) + 1)
                   : error_hint(error, "This kernel takes no initrd of that size.");
    }
    boot->initrd_address = (top - boot->initrd_size) & ~UINT64_C(4095);
    return true;
}

static bool place_cmdline(X86Boot *boot, const char *more, GError **error)
{
    const char *append = boot->machine->boot.append ? boot->machine->boot.append : "";
    size_t length, max = MIN(boot->image.cmdline_max, CMDLINE_MAX - 1);

    boot->cmdline = more && *more ? g_strjoin(*append ? " " : "", append, more, NULL) : g_strdup(append);
    if (boot->image.kind == KERNEL_ENTRY_MULTIBOOT) { /* these expect their own name first */
        g_autofree char *line = g_steal_pointer(&boot->cmdline);

        boot->cmdline = g_strconcat(boot->machine->boot.kernel, *line ? " " : NULL, line, NULL);
    }
    length = strlen(boot->cmdline);
    if (length > max) {
        error_set(error, "the kernel's command line is %zu bytes long, this kernel takes at most %zu", length, max);
        return error_hint(error, "Shorten -append.");
    }
    return true;
}

X86Boot *x86_boot_new(Machine *machine, const X86BootLayout *layout, GError **error)
{
    const char *kernel = machine->boot.kernel;
    X86Boot *boot = g_new0(X86Boot, 1);

    boot->machine = machine;
    boot->initrd_fd = -1;
    boot->below_4g = layout->below_4g;
    boot->rsdp = layout->rsdp;
    boot->e820_entries = MIN(layout->e820_entries, E820_MAX);
    memcpy(boot->e820, layout->e820, boot->e820_entries * sizeof(E820Entry));
    boot->dtb_length = layout->dtb_length;
    boot->dtb = layout->dtb ? g_memdup2(layout->dtb, layout->dtb_length) : NULL;
    boot->kernel_fd = host_open(kernel, O_RDONLY, 0, error);
    if (boot->kernel_fd < 0) {
        g_prefix_error(error, "kernel: ");
    } else if (boot->dtb_length > SETUP_DATA_END - SETUP_DATA_ADDRESS - 64) {
        error_set(error, "the device tree is %zu bytes large, at most %d fit", boot->dtb_length,
                  SETUP_DATA_END - SETUP_DATA_ADDRESS - 64);
    } else if (kernel_image_probe(boot->kernel_fd, kernel, layout->below_4g, &boot->image, error) &&
               (!machine->boot.initrd || place_initrd(boot, layout->below_4g, error)) &&
               place_cmdline(boot, layout->append_more, error)) {
        return boot;
    }
    x86_boot_free(boot);
    return NULL;
}

void x86_boot_free(X86Boot *boot)
{
    if (!boot) {
        return;
    }
    if (boot->kernel_fd >= 0) {
        close(boot->kernel_fd);
    }
    if (boot->initrd_fd >= 0) {
        close(boot->initrd_fd);
    }
    g_free(boot->cmdline);
    g_free(boot->dtb);
    g_free(boot);
}

/* ---- into guest RAM ---- */

/* Everything below was placed inside RAM, so a hole is a mistake of the board. */
static uint8_t *guest(X86Boot *boot, uint64_t address, uint64_t length)
{
    uint64_t got = length;
    uint8_t *p = memory_ram_pointer(domain_memory(boot->machine->domain), address, &got, true);

    return p && got == length ? p : NULL;
}

static bool load_file(X86Boot *boot, int fd, const char *path, uint64_t offset, uint64_t file_size, uint64_t address,
                      uint64_t memory_size, GError **error)
{
    uint8_t *p = guest(boot, address, memory_size);
    int rc;

    if (!p) {
        return error_set(error, "cannot load '%s': there is no RAM at 0x%" G_GINT64_MODIFIER "x", path, address);
    }
    rc = kernel_image_read(fd, p, file_size, offset);
    if (rc < 0) {
        return error_set_errno(error, rc, "cannot read '%s' into the guest", path);
    }
    memset(p + file_size, 0, memory_size - file_size);
    memory_ram_written(p, memory_size);
    return true;
}

static bool write_setup_data(X86Boot *boot, uint8_t *zero_page, GError **error)
{
    uint8_t *p = guest(boot, SETUP_DATA_ADDRESS, SETUP_DATA_END - SETUP_DATA_ADDRESS);
    uint64_t dtb_at = 0;

    if (!p) {
        return error_set(error, "there is no RAM at 0x%x for setup data", SETUP_DATA_ADDRESS);
    }
    /* struct setup_data: next, type, length, bytes. */
    put64(zero_page + BP_SETUP_DATA, SETUP_DATA_ADDRESS);
    if (boot->dtb) {
        dtb_at = SETUP_DATA_ADDRESS + 16 + RNG_SEED_BYTES;
        put64(p + 16 + RNG_SEED_BYTES, 0);
        put32(p + 24 + RNG_SEED_BYTES, SETUP_DTB);
        put32(p + 28 + RNG_SEED_BYTES, (uint32_t)boot->dtb_length);
        memcpy(p + 32 + RNG_SEED_BYTES, boot->dtb, boot->dtb_length);
    }
    put64(p, dtb_at);
    put32(p + 8, SETUP_RNG_SEED);
    put32(p + 12, RNG_SEED_BYTES);
    memset(p + 16, 0, RNG_SEED_BYTES); /* the seed under -icount, whose runs are to be the same */
    if (!clock_is_counted(domain_clock(boot->machine->domain)) &&
        getrandom(p + 16, RNG_SEED_BYTES, 0) != RNG_SEED_BYTES) {
        return error_set_errno(error, errno, "cannot get random bytes for the kernel");
    }
    memory_ram_written(p, SETUP_DATA_END - SETUP_DATA_ADDRESS);
    return true;
}

static bool write_zero_page(X86Boot *boot, GError **error)
{
    uint8_t *p = guest(boot, ZERO_PAGE_ADDRESS, 4096);

    if (!p) {
        return error_set(error, "there is no RAM at 0x%x for the zero page", ZERO_PAGE_ADDRESS);
    }
    memset(p, 0, 4096);
    memcpy(p + BP_HEADER, boot->image.header, boot->image.header_length);
    put64(p + BP_ACPI_RSDP, boot->rsdp);
    p[BP_TYPE_OF_LOADER] = LOADER_UNDEFINED;
    p[BP_LOADFLAGS] |= 1;
    put32(p + BP_CODE32_START, (uint32_t)boot->image.segment[0].address);
    put32(p + BP_RAMDISK_IMAGE, (uint32_t)boot->initrd_address);
    put32(p + BP_RAMDISK_SIZE, (uint32_t)boot->initrd_size);
    put32(p + BP_CMD_LINE_PTR, CMDLINE_ADDRESS);
    p[BP_E820_ENTRIES] = (uint8_t)boot->e820_entries;
    for (unsigned i = 0; i < boot->e820_entries; i++) {
        uint8_t *e = p + BP_E820_TABLE + i * 20;

        put64(e, boot->e820[i].address);
        put64(e + 8, boot->e820[i].size);
        put32(e + 16, boot->e820[i].type);
    }
    if (!write_setup_data(boot, p, error)) {
        return false;
    }
    memory_ram_written(p, 4096);
    return true;
}

/* struct hvm_start_info version 1, its module list and memory map, in one page. */
static bool write_start_info(X86Boot *boot, GError **error)
{
    enum { MODLIST = 0x40, MEMMAP = 0x80 };
    uint8_t *p = guest(boot, START_INFO_ADDRESS, 4096);

    if (!p) {
        return error_set(error, "there is no RAM at 0x%x for the PVH start info", START_INFO_ADDRESS);
    }
    memset(p, 0, 4096);
    put32(p, START_INFO_MAGIC);
    put32(p + 4, 1);
    put32(p + 12, boot->initrd_size ? 1 : 0);
    put64(p + 16, START_INFO_ADDRESS + MODLIST);
    put64(p + 24, CMDLINE_ADDRESS);
    put64(p + 32, boot->rsdp);
    put64(p + 40, START_INFO_ADDRESS + MEMMAP);
    put32(p + 48, boot->e820_entries);
    put64(p + MODLIST, boot->initrd_address);
    put64(p + MODLIST + 8, boot->initrd_size);
    for (unsigned i = 0; i < boot->e820_entries; i++) {
        uint8_t *e = p + MEMMAP + i * 24;

        put64(e, boot->e820[i].address);
        put64(e + 8, boot->e820[i].size);
        put32(e + 16, boot->e820[i].type);
    }
    memory_ram_written(p, 4096);
    return true;
}

static bool write_multiboot(X86Boot *boot, GError **error)
{
    const MultibootInfo info = {
        .address = START_INFO_ADDRESS, .cmdline = CMDLINE_ADDRESS, .module_start = (uint32_t)boot->initrd_address,
        .module_end = boot->initrd_size ? (uint32_t)(boot->initrd_address + boot->initrd_size) : 0,
        .below_4g = boot->below_4g, .e820 = boot->e820, .e820_entries = boot->e820_entries,
    };
    uint8_t *p = guest(boot, START_INFO_ADDRESS, 4096);

    if (!p) {
        return error_set(error, "there is no RAM at 0x%x for the Multiboot information", START_INFO_ADDRESS);
    }
    multiboot_write_info(p, &info);
    memory_ram_written(p, 4096);
    return true;
}

/* What the kernel is told, in the way that it is entered. */
static bool write_info(X86Boot *boot, GError **error)
{
    switch (boot->image.kind) {
    case KERNEL_ENTRY_PVH:
        return write_start_info(boot, error);
    case KERNEL_ENTRY_MULTIBOOT:
        return write_multiboot(boot, error);
    default:
        return write_zero_page(boot, error);
    }
}

/* SDM 3-4.5 */
void x86_boot_identity_map(uint8_t *p, uint64_t address)
{
    memset(p, 0, 2 * 4096);
    put64(p, (address + 4096) | 3);
    for (unsigned i = 0; i < 4; i++) {
        put64(p + 4096 + i * 8, (address + (2 + i) * 4096) | 3);
    }
    for (unsigned i = 0; i < 4 * 512; i++) {
        put64(p + 2 * 4096 + i * 8, (uint64_t)i << 21 | 0x83);
    }
}

static bool write_page_tables(X86Boot *boot, GError **error)
{
    uint8_t *p = guest(boot, PAGE_TABLES, X86_IDENTITY_MAP_SIZE);

    if (!p) {
        return error_set(error, "there is no RAM at 0x%x for page tables", PAGE_TABLES);
    }
    x86_boot_identity_map(p, PAGE_TABLES);
    memory_ram_written(p, X86_IDENTITY_MAP_SIZE);
    return true;
}

/* Selectors 0x10 and 0x18 are what boot.rst calls __BOOT_CS and __BOOT_DS. */
static bool write_gdt(X86Boot *boot, GError **error)
{
    bool long_mode = boot->image.kind == KERNEL_ENTRY_LINUX64;
    uint8_t *p = guest(boot, GDT_ADDRESS, 40);

    if (!p) {
        return error_set(error, "there is no RAM at 0x%x for the GDT", GDT_ADDRESS);
    }
    memset(p, 0, 40);
    put64(p + 0x10, long_mode ? UINT64_C(0x00af9b000000ffff) : UINT64_C(0x00cf9b000000ffff));
    put64(p + 0x18, UINT64_C(0x00cf93000000ffff));
    put64(p + 0x20, UINT64_C(0x00008b0000000067)); /* TSS, 104 bytes at 0 */
    memory_ram_written(p, 40);
    return true;
}

/* What firmware leaves behind: MTRRs on, write-back by default (SDM 3-12.11.2).  Linux takes MTRRs that
 * are off as a reason to leave the PAT alone. */
void x86_boot_reset_cpu(Vcpu *vcpu)
{
    x86_cpu_set_msr(&vcpu->cpu, MSR_MTRR_DEF_TYPE, MTRR_ENABLE | MTRR_WRITE_BACK);
    vcpu_set_dirty(vcpu);
}

void x86_boot_enable_mtrrs(Domain *domain)
{
    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        x86_boot_reset_cpu(domain_vcpu(domain, i));
    }
}

static void set_boot_processor(X86Boot *boot)
{
    Vcpu *vcpu = domain_vcpu(boot->machine->domain, 0);
    X86Cpu *cpu = &vcpu->cpu;
    bool long_mode = boot->image.kind == KERNEL_ENTRY_LINUX64;
    X86Segment data = { .selector = 0x18, .attributes = 0xc093, .limit = UINT32_MAX };

    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        cpu->segment[i] = data;
    }
    cpu->segment[X86_CS] =
        (X86Segment){ .selector = 0x10, .attributes = long_mode ? 0xa09b : 0xc09b, .limit = UINT32_MAX };
    cpu->tr = (X86Segment){ .selector = 0x20, .attributes = 0x8b, .limit = 0x67 };
    cpu->gdt = (X86Table){ .base = GDT_ADDRESS, .limit = 39 };
    cpu->idt = (X86Table){ .base = 0, .limit = 0 };
    cpu->cr0 = 0x11; /* PE, ET */
    cpu->cr4 = 0;
    cpu->rflags = 2;
    cpu->rip = boot->image.entry;
    memset(cpu->gpr, 0, sizeof(cpu->gpr));
    cpu->gpr[X86_RSP] = GDT_ADDRESS; /* not used before the kernel sets its own */
    if (long_mode) {
        cpu->cr0 |= UINT64_C(1) << 31; /* PG */
        cpu->cr3 = PAGE_TABLES;
        cpu->cr4 = 0x20;   /* PAE */
        cpu->efer = 0x500; /* LME, LMA */
    }
    if (boot->image.kind == KERNEL_ENTRY_PVH || boot->image.kind == KERNEL_ENTRY_MULTIBOOT) {
        cpu->gpr[X86_RBX] = START_INFO_ADDRESS;
        cpu->gpr[X86_RAX] = boot->image.kind == KERNEL_ENTRY_MULTIBOOT ? MULTIBOOT_LOADER_MAGIC : 0;
    } else {
        cpu->gpr[X86_RSI] = ZERO_PAGE_ADDRESS;
    }
    vcpu_set_dirty(vcpu);
    x86_boot_enable_mtrrs(boot->machine->domain);
}

bool x86_boot_reset(X86Boot *boot, GError **error)
{
    const BootOptions *files = &boot->machine->boot;
    size_t length = strlen(boot->cmdline) + 1;
    uint8_t *cmdline;

    for (unsigned i = 0; i < boot->image.segments; i++) {
        const KernelSegment *s = &boot->image.segment[i];

        if (!load_file(boot, boot->kernel_fd, files->kernel, s->file_offset, s->file_size, s->address, s->memory_size,
                       error)) {
            return false;
        }
    }
    if (boot->initrd_size && !load_file(boot, boot->initrd_fd, files->initrd, 0, boot->initrd_size,
                                        boot->initrd_address, boot->initrd_size, error)) {
        return false;
    }
    cmdline = guest(boot, CMDLINE_ADDRESS, length);
    if (!cmdline) {
        return error_set(error, "there is no RAM at 0x%x for the command line", CMDLINE_ADDRESS);
    }
    memcpy(cmdline, boot->cmdline, length);
    memory_ram_written(cmdline, length);
    if (!write_info(boot, error)) {
        return false;
    }
    if (!write_gdt(boot, error) || (boot->image.kind == KERNEL_ENTRY_LINUX64 && !write_page_tables(boot, error))) {
        return false;
    }
    set_boot_processor(boot);
    return true;
}
