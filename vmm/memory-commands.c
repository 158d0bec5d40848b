/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/memory-commands.h.  Names and members are QEMU 7.2's (qapi/machine.json).  vCPUs stand still meanwhile.
 */
#include "vmm/memory-commands.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/vcpu-memory.h"

#define PIECE (64u << 10)

typedef struct SaveArgs {
    uint64_t address, size;
    char *filename;
    uint32_t cpu;
} SaveArgs;
static const Field save_fields[] = {
    F_UINT("size", SaveArgs, size, 0, .flags = FIELD_REQUIRED, .help = "Bytes"),
    F_STR("filename", SaveArgs, filename, NULL, .flags = FIELD_REQUIRED, .help = "The file to write"),
    FIELD_END
};
static const FieldStruct save_args = { .name = "SaveArguments", .size = sizeof(SaveArgs), .fields = save_fields };
static const FieldStruct pmemsave_args = {
    .name = "PmemsaveArguments", .size = sizeof(SaveArgs), .base = &save_args,
    .fields = (const Field[]) {
        F_UINT("val", SaveArgs, address, 0, .flags = FIELD_REQUIRED, .help = "First address"), FIELD_END
    },
};
static const FieldStruct memsave_args = {
    .name = "MemsaveArguments", .size = sizeof(SaveArgs), .base = &save_args,
    .fields = (const Field[]) {
        /* libvirt writes an address of a kernel as a negative number. */
        F_UINT("val", SaveArgs, address, 0, .flags = FIELD_REQUIRED | FIELD_WRAPS, .help = "First address"),
        F_UINT("cpu-index", SaveArgs, cpu, 0, .help = "The vCPU whose addresses these are"), FIELD_END
    },
};

/* A vCPU's addresses, or (NULL) physical ones. */
typedef struct Source {
    AddressSpace *memory;
    Vcpu *vcpu;
} Source;

static bool read_piece(const Source *s, uint64_t address, void *buffer, uint64_t length, GError **error)
{
    bool ok = s->vcpu ? vcpu_read(s->vcpu, address, buffer, length) == length
                      : memory_read(s->memory, address, buffer, length) == MEMORY_OK;

    return ok || error_set(error, "there is no memory for all of 0x%" PRIx64 " and the %" PRIu64 " bytes from it on",
                           address, length);
}

static bool write_piece(int fd, const uint8_t *data, size_t length, GError **error)
{
    int err = host_write_all(fd, data, length);

    return !err || error_set_errno(error, err, "cannot write the file");
}

static bool copy(const Source *s, const SaveArgs *args, int fd, GError **error)
{
    g_autofree uint8_t *piece = g_malloc(PIECE);

    for (uint64_t at = 0; at < args->size; at += PIECE) {
        uint64_t length = MIN(PIECE, args->size - at);

        if (!read_piece(s, args->address + at, piece, length, error) || !write_piece(fd, piece, length, error)) {
            return false;
        }
    }
    return true;
}

static bool save(Domain *domain, Vcpu *vcpu, const SaveArgs *args, GError **error)
{
    Source source = { domain_memory(domain), vcpu };
    bool ran, ok;
    int fd;

    if (args->size && args->address + args->size - 1 < args->address) {
        return error_set(error, "the range goes beyond the end of all addresses");
    }
    fd = host_open(args->filename, O_WRONLY | O_CREAT | O_TRUNC, 0600, error);
    if (fd < 0) {
        return false;
    }
    ran = vcpus_freeze(domain);
    ok = copy(&source, args, fd, error);
    vcpus_thaw(domain, ran);
    if (close(fd) && ok) {
        return error_set_errno(error, errno, "cannot write the file");
    }
    return ok;
}

static bool pmemsave(CommandCall *call, const void *args, void *ret, GError **error)
{
    return save(call->domain, NULL, args, error);
}

static bool memsave(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const SaveArgs *args = opaque;
    Vcpu *vcpu = domain_find_vcpu(call->domain, args->cpu);

    return vcpu ? save(call->domain, vcpu, args, error)
                : error_set(error, "there is no vCPU %u; this domain has %u", args->cpu, domain_vcpus(call->domain));
}

const Command memory_commands[] = {
    { "memsave", memsave, &memsave_args, .help = "Write memory, as a vCPU sees it, to a file" },
    { "pmemsave", pmemsave, &pmemsave_args, .help = "Write physical memory to a file" },
    COMMAND_END
};
