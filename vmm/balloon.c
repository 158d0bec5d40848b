/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/balloon.h.  Names and members are QEMU 7.2's (qapi/machine.json).
 */
#include "vmm/balloon.h"

#include "vmm/domain-internal.h"
#include "vmm/error.h"
#include "vmm/machine.h"

typedef struct BalloonInfo { uint64_t actual; } BalloonInfo;
static const FieldStruct balloon_info = {
    .name = "BalloonInfo", .size = sizeof(BalloonInfo),
    .fields = (const Field[]) {
        F_UINT("actual", BalloonInfo, actual, 0, .flags = FIELD_REQUIRED, .help = "Memory of the guest now, bytes"),
        FIELD_END
    },
};

const EventType event_balloon_change = { "BALLOON_CHANGE", &balloon_info, .interval_ms = 1000,
                                         .help = "The guest has given or taken memory" };

bool balloon_attach(Domain *domain, const BalloonClass *class, void *opaque, GError **error)
{
    if (domain->balloon.class) {
        return error_set(error, "The domain has a balloon already; there can be only one");
    }
    domain->balloon.class = class;
    domain->balloon.opaque = opaque;
    return true;
}

void balloon_detach(Domain *domain, void *opaque)
{
    if (domain->balloon.opaque == opaque) {
        domain->balloon.class = NULL;
        domain->balloon.opaque = NULL;
    }
}

void balloon_changed(Domain *domain, uint64_t actual)
{
    event_emit(domain, &event_balloon_change, &(BalloonInfo) { actual });
}

static bool has_balloon(Domain *domain, GError **error)
{
    if (!domain->balloon.class) {
        error_set_class(error, ERROR_DEVICE_NOT_ACTIVE, "No balloon device has been activated");
        return error_hint(error, "Add one with -device virtio-balloon-pci.");
    }
    return true;
}

typedef struct BalloonArgs { uint64_t value; } BalloonArgs;
static const FieldStruct balloon_args = {
    .name = "BalloonArguments", .size = sizeof(BalloonArgs),
    .fields = (const Field[]) {
        F_SIZE("value", BalloonArgs, value, 0, .flags = FIELD_REQUIRED, .min = 1, .max = INT64_MAX,
               .help = "Memory that the guest is to have, bytes"),
        FIELD_END
    },
};

static bool balloon(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const BalloonArgs *args = opaque;
    Domain *domain = call->domain;

    if (!has_balloon(domain, error)) {
        return false;
    }
    domain->balloon.class->set_target(domain->balloon.opaque, MIN(args->value, domain_machine(domain)->ram_size));
    return true;
}

static bool query_balloon(CommandCall *call, const void *args, void *ret, GError **error)
{
    Domain *domain = call->domain;

    if (!has_balloon(domain, error)) {
        return false;
    }
    ((BalloonInfo *)ret)->actual = domain->balloon.class->actual(domain->balloon.opaque);
    return true;
}

const Command balloon_commands[] = {
    { "balloon", balloon, &balloon_args, .help = "Ask the guest to have so much memory" },
    { "query-balloon", query_balloon, NULL, COMMAND_RETURNS(BalloonInfo, &balloon_info),
      .help = "Tell how much memory the guest has" },
    COMMAND_END
};
