/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which handlers have code instead (translate.h): a table by the handler's address, made once
 * in a process from those of exec-int.h.
 */
#include <pthread.h>
#include <stdlib.h>

#include "vmm/x86/soft/translate.h"

#define SHAPES_MAX 3072

static Shape shapes[SHAPES_MAX];
static unsigned n_shapes;
static pthread_once_t once = PTHREAD_ONCE_INIT;

void translate_shape(Shape shape)
{
    if (shape.fn) {
        g_assert(n_shapes < SHAPES_MAX);
        shapes[n_shapes++] = shape;
    }
}

static int compare(const void *a, const void *b)
{
    uintptr_t left = (uintptr_t)((const Shape *)a)->fn, right = (uintptr_t)((const Shape *)b)->fn;

    return left < right ? -1 : left > right;
}

static void collect(void)
{
    translate_int_shapes();
    translate_alu_shapes();
    translate_branch_shapes();
    translate_stack_shapes();
    qsort(shapes, n_shapes, sizeof(*shapes), compare);
}

/* Not later, when the sandbox is closed: qsort() asks the kernel how much memory there is. */
void translate_collect_shapes(void)
{
    pthread_once(&once, collect);
}

const Shape *translate_find_shape(OpFn *fn)
{
    return bsearch(&(Shape) { .fn = fn }, shapes, n_shapes, sizeof(*shapes), compare);
}
