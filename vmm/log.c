/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log.  A line is built whole and written with one write(), so lines of
 * several threads never mix.  Control characters (a guest may choose part of a
 * text) are shown as '?', so that nobody's terminal obeys a guest.
 *
 * Locking: none.  log_mask and the file below are written by log_configure() on
 * the main thread before others exist, and constant afterwards.
 */
#include "vmm/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host.h"

unsigned log_mask;

static int log_fd = STDERR_FILENO;
static bool log_timestamps;

static const struct {
    const char *name;
    const char *help;
} categories_table[LOG_CATEGORIES] = {
    [LOG_GUEST_ERRORS] = { "guest_errors", "what the guest does against a device's specification" },
    [LOG_UNIMP] = { "unimp", "what the guest uses and a device does not model" },
    [LOG_INT] = { "int", "interrupts and exceptions" },
    [LOG_CPU] = { "cpu", "CPU state at each entry" },
    [LOG_EXEC] = { "exec", "blocks of guest code as they are entered" },
    [LOG_IN_ASM] = { "in_asm", "guest code as it is decoded" },
    [LOG_MMU] = { "mmu", "page walks and faults" },
    [LOG_RESET] = { "cpu_reset", "resets of CPUs and devices" },
    [LOG_EXITS] = { "exits", "exits of vCPUs to us" },
    [LOG_PCI] = { "pci", "PCI configuration and BAR moves" },
    [LOG_VIRTIO] = { "virtio", "virtio status and queues" },
    [LOG_BLOCK] = { "block", "block requests" },
    [LOG_LOOP] = { "loop", "event loops" },
    [LOG_REGS] = { "regs", "accesses of registers that a table describes, by name" },
};

static bool parse_category(const char *name, unsigned *mask, GError **error)
{
    const char *names[LOG_CATEGORIES + 1] = { NULL };
    const char *nearest;

    if (strcmp(name, "all") == 0) {
        *mask = (1u << LOG_CATEGORIES) - 1;
        return true;
    }
    for (unsigned i = 0; i < LOG_CATEGORIES; i++) {
        if (strcmp(name, categories_table[i].name) == 0) {
            *mask |= 1u << i;
            return true;
        }
        names[i] = categories_table[i].name;
    }
    error_set(error, "There is no log category '%s'", name);
    nearest = error_nearest(name, names);
    return nearest ? error_hint(error, "Did you mean '%s'?", nearest) : error_hint(error, "See -d help.");
}

bool log_configure(const char *file, const char *categories, bool timestamps, GError **error)
{
    g_auto(GStrv) names = g_strsplit(categories ? categories : "", ",", -1);
    unsigned mask = 0;

    for (char **name = names; *name; name++) {
        if (**name && !parse_category(*name, &mask, error)) {
            return false;
        }
    }
    if (file) {
        int fd = host_open(file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644, error);

        if (fd < 0) {
            return error_subject(error, "log");
        }
        if (log_fd != STDERR_FILENO) {
            close(log_fd);
        }
        log_fd = fd;
    }
    log_timestamps = timestamps;
    log_mask = mask;
    return true;
}

int log_file_fd(void)
{
    return log_fd == STDERR_FILENO ? -1 : log_fd;
}

void log_help(GString *out)
{
    g_string_append(out, "Log categories (-d a,b,...):\n");
    for (unsigned i = 0; i < LOG_CATEGORIES; i++) {
        g_string_append_printf(out, "  %-13s %s\n", categories_table[i].name, categories_table[i].help);
    }
    g_string_append_printf(out, "  %-13s %s\n", "all", "everything above");
}

static void write_line(GString *line)
{
    const char *p;
    size_t left;

    for (size_t i = 0; i < line->len; i++) {
        if (g_ascii_iscntrl(line->str[i]) && line->str[i] != '\t') {
            line->str[i] = '?';
        }
    }
    g_string_append_c(line, '\n');
    p = line->str;
    left = line->len;
    while (left > 0) {
        ssize_t n = write(log_fd, p, left);

        if (n < 0 && errno != EINTR) {
            return; /* a log that cannot be written is no reason to stop a guest */
        }
        if (n > 0) {
            p += n;
            left -= (size_t)n;
        }
    }
}

static void write_text(const char *prefix, const char *fmt, va_list ap)
{
    g_autoptr(GString) line = g_string_new(NULL);

    if (log_timestamps) {
        g_autoptr(GDateTime) now = g_date_time_new_now_utc();
        g_autofree char *text = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S");

        g_string_append_printf(line, "%s.%06dZ ", text, g_date_time_get_microsecond(now));
    }
    g_string_append(line, prefix);
    g_string_append_vprintf(line, fmt, ap);
    write_line(line);
}

void log_info(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    write_text("lodge: ", fmt, ap);
    va_end(ap);
}

void log_warning(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    write_text("lodge: warning: ", fmt, ap);
    va_end(ap);
}

void log_error(const GError *error)
{
    g_autofree char *text = error_text(error);

    log_info("%s", text);
}

void log_category(LogCategory c, const char *fmt, ...)
{
    g_autofree char *prefix = g_strdup_printf("%s: ", categories_table[c].name);
    va_list ap;

    va_start(ap, fmt);
    write_text(prefix, fmt, ap);
    va_end(ap);
}
