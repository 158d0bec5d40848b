/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log: standard error, or the file of -D.  Categories are switched by -d
 * (comma separated names, "help" lists them).  Any thread; a line is written
 * with one write().
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum LogCategory {
    LOG_GUEST_ERRORS,
    LOG_UNIMP,
    LOG_INT,
    LOG_CPU,
    LOG_EXEC,
    LOG_IN_ASM,
    LOG_MMU,
    LOG_RESET,
    LOG_EXITS,
    LOG_PCI,
    LOG_VIRTIO,
    LOG_BLOCK,
    LOG_LOOP,
    LOG_REGS,
    LOG_CATEGORIES
} LogCategory;

extern unsigned log_mask; /* written by log_configure() before threads exist, constant afterwards */

static inline bool log_on(LogCategory c)
{
    return G_UNLIKELY(log_mask & (1u << c));
}

/* file NULL: standard error; categories NULL: none. */
bool log_configure(const char *file, const char *categories, bool timestamps, GError **error);
void log_help(GString *out);
int log_file_fd(void); /* of `file`, to the end of the process; -1: standard error is the log */

void log_info(const char *fmt, ...) G_GNUC_PRINTF(1, 2);    /* "lodge: ..." */
void log_warning(const char *fmt, ...) G_GNUC_PRINTF(1, 2); /* "lodge: warning: ..." */
void log_error(const GError *error);                         /* "lodge: message" and the hint */
void log_category(LogCategory c, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
#define log_if(c, ...) do { if (log_on(c)) log_category(c, __VA_ARGS__); } while (0)
