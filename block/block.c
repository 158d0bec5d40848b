/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block graph: opening, naming, closing of nodes; who may use them.
 *
 * A node is referenced by what made it (blockdev_add, a drive), by its parents and
 * by the properties of devices that name it; the last reference closes it.  A user
 * is registered with every node from its own down to the protocol, so that two
 * formats over one file are seen to share it; the protocol turns the sum of what
 * its users need into locks that other processes see.
 *
 * Locking: main thread.
 */
#include <string.h>

#include "block/node.h"
#include "vmm/domain.h"
#include "vmm/error.h"

const BlockDriver *const block_drivers[] = {
    &block_file,
    &block_host_device,
    &block_null_co,
    &block_raw,
    NULL,
};

/* ---- closing ---- */

static void node_free(BlockNode *node)
{
    block_node_unref(node->child);
    g_hash_table_remove(domain_table(node->domain, TABLE_BLOCK), node->name);
    g_ptr_array_unref(node->users);
    lock_finish(&node->lock);
    g_free(node->filename);
    g_free(node->name);
    g_free(node->state);
    g_free(node);
}

void block_node_unref(BlockNode *node)
{
    if (!node || --node->references) {
        return;
    }
    g_assert(node->users->len == 0);
    if (node->driver->close) {
        node->driver->close(node);
    }
    node_free(node);
}

/* ---- opening ---- */

static void inherit(BlockNode *node, const BlockdevOptions *o, const BlockNode *parent)
{
    node->read_only = o->has_read_only ? o->read_only : parent && parent->read_only;
    node->auto_read_only = o->has_auto_read_only ? o->auto_read_only : parent && parent->auto_read_only;
    node->direct = o->cache.has_direct ? o->cache.direct : parent && parent->direct;
    node->no_flush = o->cache.has_no_flush ? o->cache.no_flush : parent && parent->no_flush;
    /* What a format passes down was decided there. */
    node->discard = o->has_discard ? (BlockDiscard)o->discard : parent ? BLOCK_DISCARD_UNMAP : BLOCK_DISCARD_IGNORE;
    node->force_share = o->force_share || (parent && parent->force_share);
    node->detect_zeroes = (BlockDetectZeroes)o->detect_zeroes;
}

static bool check_options(const BlockNode *node, GError **error)
{
    if (node->detect_zeroes == BLOCK_DETECT_UNMAP && node->discard != BLOCK_DISCARD_UNMAP) {
        return error_set(error, "detect-zeroes=unmap needs discard=unmap");
    }
    if (node->force_share && !node->read_only) {
        return error_set(error, "force-share=on needs read-only=on");
    }
    return true;
}

static BlockNode *node_open(Domain *domain, const BlockdevOptions *o, const BlockNode *parent, GError **error)
{
    BlockNode *node;
    char *name;

    if (o->node_name) {
        if (!domain_check_id(domain, TABLE_BLOCK, o->node_name, "node-name", error)) {
            return NULL;
        }
        name = g_strdup(o->node_name);
    } else {
        name = g_strdup_printf("#block%u", domain_next_number(domain));
    }
    node = g_new0(BlockNode, 1);
    node->domain = domain;
    node->driver = block_drivers[o->driver];
    node->state = g_malloc0(node->driver->size);
    node->name = name;
    node->references = 1;
    node->users = g_ptr_array_new();
    node->limits = (BlockLimits) { .request_alignment = 1, .memory_alignment = 1, .max_transfer = UINT64_C(1) << 30,
                                   .max_iov = 1024, .discard_alignment = 1, .zeroes_alignment = 1 };
    lock_init(&node->lock, LOCK_LEAF, "block node");
    inherit(node, o, parent);
    g_hash_table_insert(domain_table(domain, TABLE_BLOCK), g_strdup(name), node);
    if (!check_options(node, error) || !node->driver->open(node, o->variant, error)) {
        if (o->node_name) {
            error_subject(error, o->node_name);
        }
        node_free(node); /* it is not open: without close() */
        return NULL;
    }
    return node;
}

bool block_open_child(BlockNode *node, const FieldAlternate *reference, GError **error)
{
    if (reference->branch == blockdev_reference.string_branch) {
        node->child = block_find(node->domain, *(char *const *)reference->value, error);
        if (node->child) {
            node->child->references++;
        }
    } else {
        node->child = node_open(node->domain, reference->value, node, error);
    }
    if (!node->child) {
        return false;
    }
    if (node->child->read_only && !node->read_only) {
        if (!node->auto_read_only) {
            error_set(error, "'%s' below it is read-only", block_filename(node->child));
            return error_hint(error, "Say read-only=on.");
        }
        node->read_only = true;
    }
    return true;
}

static BlockNode *add(Domain *domain, BlockdevOptions *o, GError **error)
{
    BlockNode *node;

    if (!o->node_name) {
        error_set(error, "Parameter 'node-name' is missing: nothing could use the node");
        return NULL;
    }
    node = node_open(domain, o, NULL, error);
    if (node) {
        node->named = true;
    }
    return node;
}

BlockNode *block_open(Domain *domain, const Json *options, GError **error)
{
    BlockdevOptions o;
    BlockNode *node;

    if (!field_struct_parse(&blockdev_options, options, FIELD_STRICT, &o, error)) {
        return NULL;
    }
    node = node_open(domain, &o, NULL, error);
    field_struct_clear(&blockdev_options, &o);
    return node;
}

BlockNode *blockdev_add(Domain *domain, const Json *options, GError **error)
{
    BlockdevOptions o;
    BlockNode *node;

    if (!field_struct_parse(&blockdev_options, options, FIELD_STRICT, &o, error)) {
        return NULL;
    }
    node = add(domain, &o, error);
    field_struct_clear(&blockdev_options, &o);
    return node;
}

BlockNode *blockdev_add_text(Domain *domain, const char *text, GError **error)
{
    BlockdevOptions o;
    BlockNode *node;

    if (!field_struct_parse_text(&blockdev_options, text, "driver", &o, error)) {
        return NULL;
    }
    node = add(domain, &o, error);
    field_struct_clear(&blockdev_options, &o);
    return node;
}

static bool refuse_used(const BlockNode *node, GError **error)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, domain_table(node->domain, TABLE_BLOCK));
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const BlockNode *parent = value;

        if (parent->child == node) {
            error_set(error, "block node '%s' is in use: '%s' lies over it", node->name, parent->name);
            return error_hint(error, "Remove that one first.");
        }
    }
    if (node->users->len) {
        error_set(error, "block node '%s' is in use by '%s'", node->name, ((BlockUser *)node->users->pdata[0])->name);
        return error_hint(error,
                          "Remove the device with device_del, and wait until DEVICE_DELETED says that it is gone.");
    }
    return error_set(error, "block node '%s' is in use", node->name);
}

bool blockdev_del(Domain *domain, const char *node_name, GError **error)
{
    BlockNode *node = g_hash_table_lookup(domain_table(domain, TABLE_BLOCK), node_name);

    if (!node) {
        return error_set(error, "there is no block node '%s'", node_name);
    }
    if (!node->named) {
        return error_set(error, "block node '%s' was not made by blockdev-add", node_name);
    }
    if (node->references > 1) {
        return refuse_used(node, error);
    }
    block_node_unref(node);
    return true;
}

void block_close_all(Domain *domain)
{
    GHashTable *drives = domain_table(domain, TABLE_DRIVES);
    GHashTable *nodes = domain_table(domain, TABLE_BLOCK);
    g_autoptr(GPtrArray) named = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, drives);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Drive *drive = value;

        block_node_unref(drive->node);
        drive_free(drive);
        g_hash_table_iter_remove(&iter);
    }
    g_hash_table_iter_init(&iter, nodes);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (((BlockNode *)value)->named) {
            g_ptr_array_add(named, value);
        }
    }
    for (unsigned i = 0; i < named->len; i++) {
        BlockNode *node = named->pdata[i];

        node->named = false;
        block_node_unref(node);
    }
}

/* ---- looking ---- */

BlockNode *block_find(Domain *domain, const char *name, GError **error)
{
    const Drive *drive = g_hash_table_lookup(domain_table(domain, TABLE_DRIVES), name);
    BlockNode *node = drive ? drive->node : g_hash_table_lookup(domain_table(domain, TABLE_BLOCK), name);

    if (!node) {
        error_set_class(error, ERROR_DEVICE_NOT_FOUND, "there is no drive or block node '%s'", name);
        error_hint(error, "Make one with -drive if=none,id=%s,file=... or -blockdev node-name=%s,...", name, name);
    }
    return node;
}

const Drive *drive_of_node(const BlockNode *node)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, domain_table(node->domain, TABLE_DRIVES));
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Drive *drive = value;

        if (drive->node == node) {
            return drive;
        }
    }
    return NULL;
}

const char *block_node_name(const BlockNode *node)
{
    return node->name;
}

const char *block_filename(const BlockNode *node)
{
    while (!node->filename && node->child) {
        node = node->child;
    }
    return node->filename ? node->filename : node->name;
}

bool block_read_only(const BlockNode *node)
{
    return node->read_only;
}

bool block_discards(const BlockNode *node)
{
    return node->discard == BLOCK_DISCARD_UNMAP;
}

int64_t block_length(BlockNode *node)
{
    int64_t length = node->driver->length(node);

    return length < 0 ? length : (length + 511) & ~INT64_C(511);
}

bool block_each(Domain *domain, BlockNodeFn fn, void *opaque)
{
    GHashTable *table = domain_table(domain, TABLE_BLOCK);
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(table), (GCompareFunc)strcmp);

    for (GList *l = names; l; l = l->next) {
        if (!fn(g_hash_table_lookup(table, l->data), opaque)) {
            return false;
        }
    }
    return true;
}

/* ---- users ---- */

static bool update_locks(BlockNode *node, GError **error)
{
    unsigned used = 0, unshared = 0;

    if (!node->driver->lock || node->force_share) {
        return true;
    }
    for (unsigned i = 0; i < node->users->len && !domain_storage_is_inactive(node->domain); i++) {
        const BlockUser *user = node->users->pdata[i];

        used |= user->permissions;
        unshared |= BLOCK_RESIZE | (user->share_rw ? 0 : BLOCK_WRITE);
    }
    return node->driver->lock(node, used, unshared, error);
}

static bool update_node(BlockNode *node, void *opaque)
{
    for (BlockNode *n = node; n; n = n->child) {
        if (!update_locks(n, opaque)) {
            return false;
        }
    }
    return true;
}

static void inactivate_all(Domain *domain)
{
    domain_set_storage_inactive(domain, true);
    block_each(domain, update_node, NULL); /* giving locks back cannot fail */
}

bool block_inactivate_all(Domain *domain, GError **error)
{
    if (!block_flush_all(domain, error)) {
        return false;
    }
    inactivate_all(domain);
    return true;
}

bool block_activate_all(Domain *domain, GError **error)
{
    domain_set_storage_inactive(domain, false);
    return block_each(domain, update_node, error) || (inactivate_all(domain), false);
}

/* As QEMU: who does not share refuses every other writer, also when it only reads itself. */
static bool users_agree(const BlockNode *node, const BlockUser *user, GError **error)
{
    for (unsigned i = 0; i < node->users->len; i++) {
        const BlockUser *other = node->users->pdata[i];

        if ((user->permissions & BLOCK_WRITE && !other->share_rw) ||
            (other->permissions & BLOCK_WRITE && !user->share_rw)) {
            error_set(error, "'%s' is used by %s already", block_filename(node), other->name);
            return error_hint(error, "Say share-rw=on for both if the guest can cope with it.");
        }
    }
    return true;
}

bool block_user_attach(BlockUser *user, const char *name, BlockNode *node, unsigned permissions, bool share_rw,
                       GError **error)
{
    if (node->read_only && permissions & BLOCK_WRITE) {
        error_set(error, "'%s' is read-only", block_filename(node));
        return error_hint(error, "Open it with read-only=off, if it can be written.");
    }
    *user = (BlockUser) { .name = name, .permissions = permissions, .share_rw = share_rw };
    user->drive = drive_of_node(node) ? drive_of_node(node)->id : NULL;
    for (BlockNode *n = node; n; n = n->child) {
        if (!users_agree(n, user, error)) {
            return false;
        }
    }
    user->node = node;
    for (BlockNode *n = node; n; n = n->child) {
        g_ptr_array_add(n->users, user);
    }
    for (BlockNode *n = node; n; n = n->child) {
        if (!update_locks(n, error)) {
            block_user_detach(user);
            return false;
        }
    }
    return true;
}

void block_user_detach(BlockUser *user)
{
    BlockNode *node = user->node;

    if (!node) {
        return;
    }
    user->node = NULL;
    for (BlockNode *n = node; n; n = n->child) {
        g_ptr_array_remove(n->users, user);
        update_locks(n, NULL); /* giving locks back cannot fail */
    }
}

static bool link_attach(Device *dev, const char *id, void **slot, GError **error)
{
    BlockNode *node = block_find(dev->domain, id, error);

    if (!node) {
        return false;
    }
    node->references++;
    *slot = node;
    return true;
}

static void link_detach(Device *dev, void **slot)
{
    block_node_unref(*slot);
    *slot = NULL;
}

const LinkClass block_link = { .kind = "drive or block node", .attach = link_attach, .detach = link_detach };
