/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * event: what happens to domains, as it happens.  Each domain that runs is connected to; those that start later are
 * found by watching the registry's folder.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/reply.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"

#define BURST 64           /* events of one domain before the next is looked at */
#define RESCAN_MS 100      /* how often a domain that starts is looked for ... */
#define RESCAN_SPAN_US (3 * G_USEC_PER_SEC) /* ... and for how long after the folder has changed */

/* ---- what they are called ---- */

static const struct EventName { const char *qmp, *type, *text; } names[] = {
    { "RESUME", "lifecycle", "Resumed Unpaused" },
    { "STOP", "lifecycle", "Suspended Paused" },
    { "GUEST_PANICKED", "lifecycle", "Crashed Panicked" },
    { "RESET", "reboot", "" },
    { "SUSPEND", "pm-suspend", "" },
    { "WAKEUP", "pm-wakeup", "" },
    { "SHUTDOWN", "lifecycle", NULL },
    { "RTC_CHANGE", "rtc-change", NULL },
    { "WATCHDOG", "watchdog", NULL },
    { "BLOCK_IO_ERROR", "io-error", NULL },
    { "BALLOON_CHANGE", "balloon-change", NULL },
    { "DEVICE_DELETED", "device-removed", NULL },
    { "DEVICE_UNPLUG_GUEST_ERROR", "device-removal-failed", NULL },
    { "JOB_STATUS_CHANGE", "block-job", NULL },
    { "MIGRATION_PASS", "migration-iteration", NULL },
};
static const struct EventName other = { NULL, "other", NULL };

static const struct EventName *find_name(const char *qmp)
{
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_str_equal(names[i].qmp, qmp)) {
            return &names[i];
        }
    }
    return &other;
}

/* What virsh prints behind the type; NULL: nothing.  The caller's. */
static char *describe(const char *qmp, const struct EventName *name, const Json *data)
{
    const char *device = reply_text(data, "device");
    const Json *guest = reply_member(data, "guest", JSON_BOOL);
    int64_t n = 0;
    JsonWriter *w;

    if (name->text) {
        return *name->text ? g_strdup(name->text) : NULL;
    }
    if (g_str_equal(qmp, "SHUTDOWN")) {
        return g_strdup_printf("Shutdown Finished after %s request", guest && json_get_bool(guest) ? "guest" : "host");
    }
    if (g_str_equal(qmp, "BALLOON_CHANGE") && reply_int(data, "actual", &n)) {
        return g_strdup_printf("%" G_GINT64_FORMAT "KiB", n / 1024);
    }
    if (g_str_equal(qmp, "RTC_CHANGE") && reply_int(data, "offset", &n)) {
        return g_strdup_printf("%" G_GINT64_FORMAT, n);
    }
    if (g_str_equal(qmp, "WATCHDOG") && reply_text(data, "action")) {
        return g_strdup(reply_text(data, "action"));
    }
    if (name != &other && device && g_str_has_prefix(name->type, "device-")) {
        return g_strdup(device);
    }
    if (!data) {
        return name == &other ? g_strdup(qmp) : NULL;
    }
    w = json_writer_new(false);
    json_write_value(w, NULL, data);
    {
        g_autofree char *text = json_writer_finish(w);

        return name == &other ? g_strdup_printf("%s %s", qmp, text) : g_steal_pointer(&text);
    }
}

static bool is_type(const char *type)
{
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_str_equal(names[i].type, type)) {
            return true;
        }
    }
    return g_str_equal(type, other.type);
}

static void list_types(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        bool listed = false;

        for (size_t k = 0; k < i; k++) {
            listed = listed || g_str_equal(names[k].type, names[i].type);
        }
        if (!listed) {
            puts(names[i].type);
        }
    }
    printf("%s\n\n", other.type);
}

/* ---- watching ---- */

typedef struct Watched {
    char *name;
    unsigned id;
    Client *client;
} Watched;

typedef struct Watch {
    const Cmd *cmd;
    const char *only;     /* this domain; NULL: all */
    const char *type;     /* this type; NULL: all */
    char *root;
    int inotify_fd;       /* -1: there is none, and the folder is looked at again and again */
    int64_t rescan_until; /* monotonic, us */
    GPtrArray *domains;   /* Watched, owned */
    unsigned received;
    bool scanned, once, more;
} Watch;

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    interrupted = 1;
}

static void watched_free(gpointer opaque)
{
    Watched *d = opaque;

    client_free(d->client);
    g_free(d->name);
    g_free(d);
}

static bool is_done(const Watch *w)
{
    return interrupted || (w->once && w->received);
}

static void tell(Watch *w, const char *domain, const char *type, const char *text)
{
    g_autoptr(GString) line = g_string_new(NULL);
    g_autofree char *clean = NULL;

    if (is_done(w) || (w->type && !g_str_equal(w->type, type))) {
        return;
    }
    if (cmd_flag(w->cmd, "timestamp")) {
        g_autoptr(GDateTime) now = g_date_time_new_now_utc();
        g_autofree char *time = g_date_time_format(now, "%Y-%m-%d %H:%M:%S.%f+0000");

        g_string_append_printf(line, "%s: ", time);
    }
    g_string_append_printf(line, "event '%s' for domain '%s'", type, domain);
    if (text) {
        g_string_append_printf(line, ": %s", text);
    }
    clean = clean_text(line->str, "");
    puts(clean);
    fflush(stdout);
    w->received++;
}

static void tell_event(Watch *w, const Watched *d, const Json *event)
{
    const char *qmp = reply_text(event, "event");
    const struct EventName *name = qmp ? find_name(qmp) : NULL;
    g_autofree char *text = name ? describe(qmp, name, reply_member(event, "data", JSON_OBJECT)) : NULL;

    if (name) {
        tell(w, d->name, name->type, text);
    }
}

/* ---- coming and going ---- */

static bool is_watched(const Watch *w, const RegistryEntry *entry)
{
    for (guint i = 0; i < w->domains->len; i++) {
        const Watched *d = w->domains->pdata[i];

        if (d->id == entry->id && g_str_equal(d->name, entry->name)) {
            return true;
        }
    }
    return false;
}

static bool is_wanted(const Watch *w, const RegistryEntry *entry)
{
    guint64 id = 0;

    return !w->only || g_str_equal(w->only, entry->name) ||
           (entry->uuid && g_ascii_strcasecmp(w->only, entry->uuid) == 0) ||
           (g_ascii_string_to_unsigned(w->only, 10, 1, G_MAXINT, &id, NULL) && id == entry->id);
}

static void add_domain(Watch *w, const RegistryEntry *entry)
{
    g_autofree char *path = g_build_filename(entry->folder, REGISTRY_CONTROL, NULL);
    Client *client = client_open(entry->name, path, DOM_STATE_TIMEOUT_MS, NULL);
    Watched *d;

    if (!client) {
        w->rescan_until = g_get_monotonic_time() + RESCAN_SPAN_US; /* it may not be ready yet */
        return;
    }
    d = g_new0(Watched, 1);
    d->name = g_strdup(entry->name);
    d->id = entry->id;
    d->client = client;
    g_ptr_array_add(w->domains, d);
    if (w->scanned) {
        tell(w, d->name, "lifecycle", "Started Booted");
    }
}

static void scan(Watch *w)
{
    g_autoptr(GPtrArray) entries = registry_list(w->root);

    for (guint i = 0; i < entries->len; i++) {
        const RegistryEntry *entry = entries->pdata[i];

        if (entry->alive && is_wanted(w, entry) && !is_watched(w, entry)) {
            add_domain(w, entry);
        }
    }
    w->scanned = true;
}

/* Its entry stays if it was killed. */
static void domain_left(Watch *w, guint i)
{
    Watched *d = w->domains->pdata[i];
    g_autoptr(RegistryEntry) entry = NULL;
    bool alive = true;

    for (unsigned ms = 0; ms < 1000 && alive; ms += 20) { /* the socket goes a moment before the lock */
        g_clear_pointer(&entry, registry_entry_free);
        entry = registry_read(w->root, d->name);
        alive = entry && entry->alive && entry->id == d->id;
        if (alive) {
            g_usleep(20000);
        }
    }
    if (alive) { /* it has only turned us away */
        w->rescan_until = g_get_monotonic_time() + RESCAN_SPAN_US;
    } else {
        tell(w, d->name, "lifecycle", entry && entry->id == d->id ? "Stopped Crashed" : "Stopped Shutdown");
    }
    g_ptr_array_remove_index(w->domains, i);
}

/* ---- the loop ---- */

static void read_events(Watch *w, guint i)
{
    Watched *d = w->domains->pdata[i];

    for (unsigned n = 0; n < BURST; n++) {
        g_autoptr(Json) event = NULL;

        if (!client_event(d->client, 0, &event, NULL)) {
            domain_left(w, i);
            return;
        }
        if (!event) {
            return;
        }
        tell_event(w, d, event);
    }
    w->more = true;
}

static void wait_for_something(Watch *w, int ms)
{
    g_autofree struct pollfd *p = g_new0(struct pollfd, w->domains->len + 1);
    char changes[4096];

    for (guint i = 0; i < w->domains->len; i++) {
        p[i] = (struct pollfd) { .fd = client_fd(((Watched *)w->domains->pdata[i])->client), .events = POLLIN };
    }
    p[w->domains->len] = (struct pollfd) { .fd = w->inotify_fd, .events = POLLIN };
    if (poll(p, w->domains->len + 1, w->more ? 0 : ms) > 0 && p[w->domains->len].revents &&
        read(w->inotify_fd, changes, sizeof(changes)) > 0) {
        w->rescan_until = g_get_monotonic_time() + RESCAN_SPAN_US;
    }
}

/* false: the time is over. */
static bool watch(Watch *w, int64_t deadline)
{
    while (!is_done(w)) {
        int64_t now = g_get_monotonic_time();
        int ms = w->inotify_fd < 0 ? 1000 : -1;

        if (now >= deadline) {
            return false;
        }
        if (now < w->rescan_until || w->inotify_fd < 0) {
            scan(w);
            ms = RESCAN_MS;
        }
        if (deadline != G_MAXINT64) {
            int64_t left = (deadline - now) / 1000 + 1;

            ms = ms < 0 || left < ms ? (int)MIN(left, G_MAXINT) : ms;
        }
        wait_for_something(w, ms);
        w->more = false;
        for (guint i = w->domains->len; i > 0 && !is_done(w); i--) {
            read_events(w, i - 1);
        }
    }
    return true;
}

static void start_watching(Watch *w)
{
    struct sigaction action = { .sa_handler = interrupt };

    w->root = registry_root();
    g_mkdir_with_parents(w->root, 0700); /* to be watched, also when no domain was ever started */
    w->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (w->inotify_fd >= 0 && inotify_add_watch(w->inotify_fd, w->root, IN_CREATE | IN_MOVED_TO | IN_MODIFY) < 0) {
        close(w->inotify_fd);
        w->inotify_fd = -1;
    }
    w->domains = g_ptr_array_new_with_free_func(watched_free);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    scan(w);
}

static bool event(const Cmd *cmd, GError **error)
{
    Watch w = { .cmd = cmd, .only = cmd_text(cmd, "domain"), .type = cmd_text(cmd, "event"), .inotify_fd = -1,
                .once = !cmd_flag(cmd, "loop") };
    uint32_t seconds = cmd_number(cmd, "timeout", 0);
    g_autoptr(Dom) dom = NULL;
    bool in_time;

    if (cmd_flag(cmd, "list")) {
        list_types();
        return true;
    }
    if (w.type && !is_type(w.type)) {
        error_set(error, "There is no event type '%s'", w.type);
        return error_hint(error, "lodgectl event --list shows them.");
    }
    if (w.only) {
        dom = domains_find(w.only, error);
        if (!dom) {
            return false;
        }
        w.only = dom->name;
    }
    start_watching(&w);
    in_time = watch(&w, seconds ? g_get_monotonic_time() + (int64_t)seconds * G_USEC_PER_SEC : G_MAXINT64);
    if (!cmd->quiet) {
        printf("%sevents received: %u\n\n", interrupted ? "event loop interrupted\n" : in_time ? ""
               : "event loop timed out\n", w.received);
    }
    g_ptr_array_unref(w.domains);
    if (w.inotify_fd >= 0) {
        close(w.inotify_fd);
    }
    g_free(w.root);
    return true;
}

const Verb event_verbs[] = {
    { "event", ARGS({ "domain", ARG_TEXT, false, OF_DOMAIN, "Only of this domain" },
                    { "event", ARG_TEXT, false, OF_EVENT, "Only of this type" },
                    { "all", ARG_FLAG, .help = "Of all types, as without --event" },
                    { "loop", ARG_FLAG, .help = "Go on after the first, until interrupted" },
                    { "timeout", ARG_NUMBER, .help = "End after so many seconds" },
                    { "list", ARG_FLAG, .help = "List the types" },
                    { "timestamp", ARG_FLAG, .help = "Print the time before each" }),
      event, "Wait for something to happen to a domain, and print it",
      "What has no name with virsh is of type \"other\", and printed as QMP has it." },
    { NULL },
};
