/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What else is mapped where cases run natively: libraries, stacks and the kernel's pages of a process.  An address made
 * of random numbers may lie there, where the software CPU's case has nothing.
 */
#include "diff.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define STACK_MAX   (UINT64_C(1) << 30) /* where there is no limit */
#define OPERAND_MAX 1024 /* of an instruction (XSAVE): how far from its address the fault may be reported */

typedef struct Range { uint64_t start, end; } Range;

static bool is_of_the_cases(const Range *r)
{
    return r->start == CODE_BASE || (r->start >= DATA_BASE && r->end <= DATA_BASE + DATA_PAGES * PAGE);
}

/* The stack grows where it is touched. */
static uint64_t stack_bytes(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_STACK, &limit) || limit.rlim_cur > STACK_MAX ? STACK_MAX : limit.rlim_cur;
}

GArray *mapped_read(pid_t process)
{
    GArray *ranges = g_array_new(FALSE, FALSE, sizeof(Range));
    g_autofree char *path = g_strdup_printf("/proc/%d/maps", (int)process);
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;

    if (!g_file_get_contents(path, &text, NULL, &error)) {
        g_error("%s", error->message);
    }
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        g_autofree char *one = g_strndup(line, strcspn(line, "\n"));
        Range r;

        if (sscanf(one, "%" SCNx64 "-%" SCNx64, &r.start, &r.end) == 2 && !is_of_the_cases(&r)) {
            r.start = strstr(one, "[stack]") ? r.end - MAX(r.end - r.start, stack_bytes()) : r.start;
            g_array_append_val(ranges, r);
        }
    }
    return ranges;
}

bool mapped_reaches(const GArray *ranges, uint64_t address)
{
    for (unsigned i = 0; i < ranges->len; i++) {
        const Range *r = &g_array_index(ranges, Range, i);

        if (address + OPERAND_MAX > r->start && address < r->end + OPERAND_MAX) {
            return true;
        }
    }
    return false;
}
