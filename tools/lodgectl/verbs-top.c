/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * top: what the domains that run take of the host, again and again.  It asks them nothing but their state.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/process.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"

typedef struct Sample { uint64_t cpu_ns; int64_t at_us; } Sample;

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    interrupted = 1;
}

/* Of one CPU of the host, since the sample before; "-": there is none yet. */
static char *share(GHashTable *before, const Dom *dom, uint64_t cpu_ns)
{
    gpointer key = GUINT_TO_POINTER(dom->entry->id);
    Sample *last = g_hash_table_lookup(before, key);
    Sample *now = g_new(Sample, 1);
    char *text = NULL;

    *now = (Sample) { cpu_ns, g_get_monotonic_time() };
    if (last && now->at_us > last->at_us) {
        text = g_strdup_printf("%.1f", (double)(cpu_ns - last->cpu_ns) / 10.0 / (double)(now->at_us - last->at_us));
    }
    g_hash_table_replace(before, key, now);
    return text ? text : g_strdup("-");
}

static void add_row(Table *table, GHashTable *before, const Dom *dom)
{
    g_autofree char *id = g_strdup_printf("%u", dom->entry->id);
    g_autofree char *cpu = NULL, *time = NULL, *memory = NULL;
    ProcessTimes times;
    uint64_t rss;

    if (!process_times(dom->entry->pid, 0, &times) || !process_rss(dom->entry->pid, &rss)) {
        return;
    }
    cpu = share(before, dom, times.total_ns);
    time = g_strdup_printf("%.1fs", (double)times.total_ns / 1e9);
    memory = g_strdup_printf("%.1f MiB", (double)rss / 1048576);
    table_row(table, id, dom->name, dom_state(dom).state, cpu, time, memory);
}

static void print_round(GHashTable *before)
{
    g_autoptr(GPtrArray) all = domains_list();
    Table *table = table_new(6, "Id", "Name", "State", "CPU%", "Time", "Memory");

    for (guint i = 0; i < all->len; i++) {
        if (((Dom *)all->pdata[i])->active) {
            add_row(table, before, all->pdata[i]);
        }
    }
    if (isatty(STDOUT_FILENO)) {
        fputs("\033[H\033[J", stdout);
    }
    table_print_narrow(table, 1);
    fflush(stdout);
}

static bool top(const Cmd *cmd, GError **error)
{
    g_autoptr(GHashTable) before = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    struct sigaction action = { .sa_handler = interrupt };
    uint32_t seconds = MAX(cmd_number(cmd, "interval", 2), 1), rounds = cmd_number(cmd, "rounds", UINT32_MAX);

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    for (uint32_t i = 0; i < rounds && !interrupted && !ferror(stdout); i++) {
        if (i) {
            sleep(seconds); /* a signal ends it */
        }
        print_round(before);
    }
    return true;
}

const Verb top_verbs[] = {
    { "top", ARGS({ "interval", ARG_NUMBER, .help = "Seconds between rounds (2)" },
                  { "rounds", ARG_NUMBER, .help = "How many; not given: until interrupted" }),
      top, "Show what domains take of the host, again and again", "CPU% is of one CPU of the host." },
    { NULL },
};
