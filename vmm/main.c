/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lodge: the order of start-up and shutdown, nothing else.
 *
 *   1. parse the command line; answer help
 *   2. fork into the background, if asked; open the log; fork the launcher; enter the registry
 *   3. domain, machine (not built), accelerator
 *   4. objects, character devices, block nodes, network backends
 *   5. build the machine, plug serial ports, devices, drives and NICs, finalize; monitors and gdb
 *   6. sandbox, run, and the way back
 *
 * This is the only file of vmm/ that knows hw/, block/, net/ and monitor/.
 */
#include <stdio.h>
#include <stdlib.h>

#include "block/block.h"
#include "hw/devices.h"
#include "monitor/command-line.h"
#include "monitor/monitor.h"
#include "net/net.h"
#include "vmm/chardev.h"
#include "vmm/error.h"
#include "vmm/host-launcher.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/migrate.h"
#include "vmm/object.h"
#include "vmm/options-apply.h"
#include "vmm/registry.h"
#include "vmm/sandbox.h"
#include "vmm/signals.h"

static bool add_blocks(const Options *options, Domain *domain, GError **error)
{
    for (guint i = 0; i < options->blockdevs->len; i++) {
        if (!blockdev_add_text(domain, options->blockdevs->pdata[i], error)) {
            return error_subject(error, "-blockdev");
        }
    }
    for (guint i = 0; i < options->images->len; i++) {
        if (!drive_add_positional(domain, options->images->pdata[i], error)) {
            return false;
        }
    }
    for (guint i = 0; i < options->drives->len; i++) {
        if (!drive_add(domain, options->drives->pdata[i], error)) {
            return error_subject(error, "-drive");
        }
    }
    return true;
}

static bool add_networks(const Options *options, Domain *domain, GError **error)
{
    for (guint i = 0; i < options->netdevs->len; i++) {
        if (!netdev_add_text(domain, options->netdevs->pdata[i], error)) {
            return error_subject(error, "-netdev");
        }
    }
    for (guint i = 0; i < options->nics->len; i++) {
        if (!net_add_nic(domain, i, options->nics->pdata[i], error)) {
            return error_subject(error, "-nic");
        }
    }
    for (guint i = 0; i < options->nets->len; i++) {
        if (!net_add_net(domain, i, options->nets->pdata[i], error)) {
            return error_subject(error, "-net");
        }
    }
    return true;
}

static bool plug_networks(const Options *options, Domain *domain, GError **error)
{
    for (guint i = 0; i < options->nics->len; i++) {
        if (!net_plug_nic(domain, i, options->nics->pdata[i], error)) {
            return error_subject(error, "-nic");
        }
    }
    for (guint i = 0; i < options->nets->len; i++) {
        if (!net_plug_net(domain, i, options->nets->pdata[i], error)) {
            return error_subject(error, "-net");
        }
    }
    return true;
}

/* Steps 3 and 4.  The machine is the domain's from the moment it exists. */
static bool add_backends(const Options *options, Domain *domain, const MachineClass *class, GError **error)
{
    Machine *machine = options_new_machine(options, domain, class, error);
    Accel *accel;

    if (!machine) {
        return false;
    }
    domain_set_machine(domain, machine);
    accel = options_open_accel(options, machine, error);
    if (!accel) {
        return false;
    }
    domain_set_accel(domain, accel);
    return options_add_objects(options, domain, OBJECTS_EARLY, error) && options_add_chardevs(options, domain, error) &&
           options_add_objects(options, domain, OBJECTS_BETWEEN, error) && add_blocks(options, domain, error) &&
           add_networks(options, domain, error) && options_add_objects(options, domain, OBJECTS_LATE, error);
}

static bool build(const Options *options, Domain *domain, GError **error)
{
    Machine *machine = domain_machine(domain);

    return machine_build(machine, error) && options_add_serials(options, domain, error) &&
           options_add_devices(options, domain, error) && drives_plug(domain, error) &&
           plug_networks(options, domain, error) && machine_finalize(machine, error) &&
           migrate_check_only(domain, error);
}

/* The domain's place in the registry, or why it has none. */
typedef struct Listing {
    Registry *registry;
    char *why_not;
} Listing;

static const MigrateStorage storage = { block_flush_all, block_inactivate_all, block_activate_all };

static void tell_started(void)
{
    host_daemonize_done(log_file_fd());
}

static bool run_or_wait(const Options *options, Domain *domain, GError **error)
{
    if (options->incoming) {
        return migrate_incoming(domain, options->incoming, !options->paused, options->daemonize ? tell_started : NULL,
                                error);
    }
    if (!options->paused && !domain_cont(domain, error)) {
        return false;
    }
    if (options->daemonize) {
        tell_started();
    }
    return true;
}

static bool start(const Options *options, Domain *domain, const MachineClass *class, const Listing *listing,
                  Monitors **ret_monitors, GError **error)
{
    migrate_set_storage(domain, &storage);
    domain_set_storage_inactive(domain, options->incoming != NULL);
    if (!options_set_domain(options, domain, error) || !add_backends(options, domain, class, error) ||
        !build(options, domain, error)) {
        return false;
    }
    *ret_monitors = monitors_new(domain, options, error);
    if (!*ret_monitors) {
        return false;
    }
    if (listing->registry) {
        monitors_serve(*ret_monitors, registry_take_listener(listing->registry));
    }
    if (options->pidfile && !host_write_pidfile(options->pidfile, error)) {
        return false;
    }
    if (!sandbox_permits_launcher()) {
        host_launcher_forbid(); /* scripts of the start may have needed one */
    }
    if (!sandbox_permits_privileges()) {
        host_launcher_drop_privileges(); /* the bridge helper of the start may have needed them */
    }
    if (options->incoming) {
        migrate_prepare_incoming(domain, options->incoming, options->overcommit.mem_lock);
    }
    if (!sandbox_enter(SANDBOX_MAIN, error)) {
        return false;
    }
    if (listing->why_not) { /* now only: where a start fails, the reason is all that is said */
        log_info("domain '%s' is not listed: %s", options->name.guest, listing->why_not);
    }
    net_warn_unlinked(domain);
    return run_or_wait(options, domain, error);
}

/* What was made last goes first: devices, what stood behind them, the rest. */
static void stop(Domain *domain, Monitors *monitors)
{
    migrate_stop(domain);
    monitors_free(monitors);
    machine_free(domain_machine(domain));
    domain_set_machine(domain, NULL);
    net_remove_all(domain);
    block_close_all(domain);
    objects_free(domain);
    chardev_remove_all(domain);
    domain_free(domain);
}

static void on_run_event(Domain *domain, RunEvent event, RequestReason reason, void *opaque)
{
    if (event == RUN_EVENT_EXIT) {
        chardev_flush_all(domain);
    }
}

static int run_domain(const Options *options, const MachineClass *class, const Listing *listing, GError **error)
{
    int status = EXIT_FAILURE;
    Monitors *monitors = NULL;
    Signals *signals;
    Domain *domain;

    signals_block(); /* before there are threads */
    domain = domain_new(options->name.guest, error);
    if (!domain) {
        return EXIT_FAILURE;
    }
    signals = signals_attach(domain, error);
    if (signals && start(options, domain, class, listing, &monitors, error)) {
        domain_observe(domain, on_run_event, NULL); /* the last: monitors have had their say */
        status = domain_main(domain);
    } else if (*error) { /* before a monitor's connection ends: who is at its other end reads the log then */
        log_error(*error);
        g_clear_error(error);
        chardev_keep_connections(domain);
    }
    signals_detach(signals);
    stop(domain, monitors);
    return status;
}

static int run(const Options *options, GError **error)
{
    const MachineClass *class = options_machine_class(options, error);
    Listing listing = { 0 };
    int status;

    if (!class || (options->daemonize && !host_daemonize(error)) || !options_prepare_process(options, error) ||
        !options_check_files(options, error) || !sandbox_configure(options->sandbox, error) ||
        (sandbox_permits_launcher() && !host_launcher_start(error)) ||
        (options->name.guest && !registry_enter(options->name.guest, options->has_uuid ? options->uuid : NULL,
                                                &listing.registry, &listing.why_not, error))) {
        return EXIT_FAILURE;
    }
    status = run_domain(options, class, &listing, error);
    registry_leave(listing.registry);
    g_free(listing.why_not);
    return status;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    int status = EXIT_SUCCESS;
    Options options;

    host_inherit();
    devices_register();
    if (options_parse(argc, argv, option_languages, &options, &error)) {
        if (options.output) {
            fputs(options.output->str, stdout);
        } else {
            status = run(&options, &error);
        }
        options_clear(&options);
    }
    if (error) {
        log_error(error);
        status = EXIT_FAILURE;
    }
    host_cleanup();
    return status;
}
