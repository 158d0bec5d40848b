/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything that was written to the domain's disks, made durable: before somebody else,
 * perhaps another host's process, opens their images.
 *
 * Main thread, which goes on with its rounds until all flushes have ended; the nodes
 * are referenced meanwhile.
 */
#include "block/node.h"
#include "vmm/coroutine.h"
#include "vmm/domain.h"
#include "vmm/error.h"

typedef struct Flush {
    BlockNode *node;
    int result;
    unsigned *left; /* of all that were started */
} Flush;

static bool is_written(const BlockNode *node)
{
    for (unsigned i = 0; i < node->users->len; i++) {
        if (((const BlockUser *)node->users->pdata[i])->permissions & BLOCK_WRITE) {
            return true;
        }
    }
    return false;
}

static void flush_free(void *opaque)
{
    Flush *flush = opaque;

    block_node_unref(flush->node);
    g_free(flush);
}

static bool add_node(BlockNode *node, void *opaque)
{
    if (is_written(node)) {
        Flush *flush = g_new0(Flush, 1);

        flush->node = node;
        node->references++;
        g_ptr_array_add(opaque, flush);
    }
    return true;
}

static void run_flush(void *opaque)
{
    Flush *flush = opaque;

    flush->result = block_co_flush(flush->node);
    (*flush->left)--;
}

bool block_flush_all(Domain *domain, GError **error)
{
    g_autoptr(GPtrArray) flushes = g_ptr_array_new_with_free_func(flush_free);
    unsigned left;

    block_each(domain, add_node, flushes);
    left = flushes->len;
    for (unsigned i = 0; i < flushes->len; i++) {
        ((Flush *)flushes->pdata[i])->left = &left;
        coroutine_start(run_flush, flushes->pdata[i]);
    }
    while (left) {
        loop_run_once(domain_loop(domain), true);
    }
    for (unsigned i = 0; i < flushes->len; i++) {
        const Flush *flush = flushes->pdata[i];

        if (flush->result < 0) {
            return error_set_errno(error, flush->result, "cannot make durable what was written to '%s'",
                                   block_filename(flush->node));
        }
    }
    return true;
}
