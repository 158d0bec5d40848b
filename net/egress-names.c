/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See net/egress-names.h.  Documents: RFC 1035 (DNS), RFC 2181.
 *
 * Learned are A and AAAA records that lead from the question's name, over CNAMEs, in an answer to a question of the
 * guest's that it came in time for.  What a name must never stand for is not learned: this host, links, groups.  An
 * address stays for the record's time to live, at least KEEP_MIN: a client uses it after it has asked, not at once.
 */
#include "net/egress-names.h"

#include <string.h>

#include "net/egress-rule.h"
#include "vmm/bytes.h"
#include "vmm/timer.h"

#define HEADER       12
#define QUESTION_MAX 512 /* of a question's message */
#define OPT_MIN      11  /* without options */
#define PENDING_MAX  256
#define PENDING_TIME (30 * NS_PER_SEC)
#define KNOWN_MAX    4096
#define KEEP_MIN     (60 * NS_PER_SEC)
#define KEEP_MAX     (24 * 3600 * NS_PER_SEC)
#define RECORDS_MAX  128 /* of an answer */
#define JUMPS_MAX    16  /* of a compressed name */
#define NAMES_MAX    16  /* of an address, at a time */

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_AAAA = 28, TYPE_OPT = 41, CLASS_IN = 1 };
enum { FLAG_RESPONSE = 0x80, RCODE_NO_NAME = 3 };

typedef struct Pending {
    EgressAddress guest, server;
    uint16_t port, id;
    EgressQuestion question;
    int64_t until;
} Pending;

typedef struct Known {
    EgressAddress address;
    char *name;
    int64_t until;
} Known;

struct EgressNames {
    Pending pending[PENDING_MAX]; /* a ring: the oldest goes */
    unsigned next;
    GHashTable *known;            /* Known by address and name */
    GHashTable *by_address;       /* EgressAddress to GPtrArray of Known */
    const char *names[NAMES_MAX + 1];
};

/* ---- names within messages ---- */

/* At *at, which moves behind it.  compressed: whether it may be. */
static bool read_name(const uint8_t *dns, size_t length, size_t *at, bool compressed, char name[256])
{
    size_t from = *at, n = 0;
    unsigned jumps = 0;

    for (;;) {
        uint8_t label;

        if (from >= length) {
            return false;
        }
        label = dns[from++];
        if ((label & 0xc0) == 0xc0) {
            if (!compressed || from >= length || ++jumps > JUMPS_MAX) {
                return false;
            }
            *at = jumps == 1 ? from + 1 : *at;
            from = (size_t)(label & 0x3f) << 8 | dns[from];
            continue;
        }
        if (label & 0xc0 || from + label > length || n + label + 1 > 255) {
            return false;
        }
        if (!label) {
            break;
        }
        for (unsigned i = 0; i < label; i++) {
            name[n++] = g_ascii_tolower((char)dns[from + i]);
            if (dns[from + i] == '.') { /* it would read as two labels */
                return false;
            }
        }
        name[n++] = '.';
        from += label;
    }
    *at = jumps ? *at : from;
    name[n ? n - 1 : 0] = '\0';
    return memchr(name, '\0', n ? n - 1 : 0) == NULL;
}

/* Behind the question: nothing, or one OPT record (EDNS, RFC 6891) up to the end. */
static bool is_tail(const uint8_t *dns, size_t length, size_t at)
{
    return get_be16(dns + 10) ? length >= at + OPT_MIN && !dns[at] && get_be16(dns + at + 1) == TYPE_OPT &&
                                get_be16(dns + at + 9) == length - at - OPT_MIN
                          : length == at;
}

bool egress_question_parse(const uint8_t *dns, size_t length, EgressQuestion *ret)
{
    size_t at = HEADER;

    /* One question, no answers; at most one additional record (EDNS). */
    if (length < HEADER || length > QUESTION_MAX || dns[2] & (FLAG_RESPONSE | 0x78) || get_be16(dns + 4) != 1 ||
        get_be16(dns + 6) || get_be16(dns + 8) || get_be16(dns + 10) > 1) {
        return false;
    }
    if (!read_name(dns, length, &at, false, ret->name) || at + 4 > length || get_be16(dns + at + 2) != CLASS_IN) {
        return false;
    }
    ret->id = get_be16(dns);
    ret->type = get_be16(dns + at);
    ret->end = at + 4;
    return is_tail(dns, length, ret->end);
}

size_t egress_make_no_such_name(const uint8_t *dns, const EgressQuestion *q, uint8_t *ret, size_t room)
{
    if (q->end > room) {
        return 0;
    }
    memcpy(ret, dns, q->end);
    ret[2] = (uint8_t)(FLAG_RESPONSE | (dns[2] & 1)); /* recursion was desired */
    ret[3] = 0x80 | RCODE_NO_NAME;                    /* ... and is available */
    memset(ret + 6, 0, HEADER - 6);
    return q->end;
}

/* ---- questions under way ---- */

void egress_names_ask(EgressNames *names, const EgressPacket *p, const EgressQuestion *q, int64_t now)
{
    names->pending[names->next] = (Pending) { .guest = p->source, .server = p->destination, .port = p->source_port,
                                              .id = q->id, .question = *q, .until = now + PENDING_TIME };
    names->next = (names->next + 1) % PENDING_MAX;
}

static Pending *find_pending(EgressNames *names, const EgressPacket *p, uint16_t id, int64_t now)
{
    for (unsigned i = 0; i < PENDING_MAX; i++) {
        Pending *one = &names->pending[i];

        if (one->until > now && one->id == id && one->port == p->destination_port &&
            egress_same(&one->guest, &p->destination) && egress_same(&one->server, &p->source)) {
            return one;
        }
    }
    return NULL;
}

/* ---- what is known ---- */

static guint address_hash(gconstpointer key)
{
    return egress_hash(EGRESS_HASH, key, sizeof(EgressAddress));
}

static gboolean address_equal(gconstpointer a, gconstpointer b)
{
    return egress_same(a, b);
}

static guint known_hash(gconstpointer key)
{
    const Known *k = key;

    return address_hash(&k->address) ^ g_str_hash(k->name);
}

static gboolean known_equal(gconstpointer a, gconstpointer b)
{
    const Known *x = a, *y = b;

    return egress_same(&x->address, &y->address) && strcmp(x->name, y->name) == 0;
}

static void known_free(gpointer data)
{
    Known *k = data;

    g_free(k->name);
    g_free(k);
}

EgressNames *egress_names_new(void)
{
    EgressNames *names = g_new0(EgressNames, 1);

    names->known = g_hash_table_new_full(known_hash, known_equal, known_free, NULL);
    names->by_address = g_hash_table_new_full(address_hash, address_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    return names;
}

void egress_names_free(EgressNames *names)
{
    g_hash_table_unref(names->by_address);
    g_hash_table_unref(names->known);
    g_free(names);
}

static void forget(EgressNames *names, Known *k)
{
    GPtrArray *all = g_hash_table_lookup(names->by_address, &k->address);

    g_ptr_array_remove_fast(all, k);
    if (!all->len) {
        g_hash_table_remove(names->by_address, &k->address);
    }
    g_hash_table_remove(names->known, k);
}

/* Makes room: what is over; else what would be first. */
static void make_room(EgressNames *names, int64_t now)
{
    g_autoptr(GList) all = g_hash_table_get_keys(names->known);
    Known *first = NULL;

    for (GList *l = all; l; l = l->next) {
        Known *k = l->data;

        if (k->until <= now) {
            forget(names, k);
        } else if (!first || k->until < first->until) {
            first = k;
        }
    }
    if (g_hash_table_size(names->known) >= KNOWN_MAX) {
        forget(names, first);
    }
}

static bool may_be_learned(const EgressAddress *a)
{
    const uint8_t *b = a->bytes;
    static const uint8_t zero[15];

    if (egress_is_multicast(a)) {
        return false;
    }
    if (egress_is_ipv4(a)) {
        return b[12] != 0 && b[12] != 127 && !(b[12] == 169 && b[13] == 254) && b[12] < 240;
    }
    return !(b[0] == 0xfe && (b[1] & 0xc0) == 0x80) && memcmp(b, zero, sizeof(zero)) != 0;
}

static void learn(EgressNames *names, const EgressAddress *a, const char *name, uint32_t ttl, int64_t now)
{
    Known key = { .address = *a, .name = (char *)name }, *k = g_hash_table_lookup(names->known, &key);
    GPtrArray *all;

    if (!k) {
        if (g_hash_table_size(names->known) >= KNOWN_MAX) {
            make_room(names, now);
        }
        k = g_new(Known, 1);
        *k = (Known) { *a, g_strdup(name), 0 };
        g_hash_table_add(names->known, k);
        all = g_hash_table_lookup(names->by_address, a);
        if (!all) {
            all = g_ptr_array_new();
            g_hash_table_insert(names->by_address, g_memdup2(a, sizeof(*a)), all);
        }
        g_ptr_array_add(all, k);
    }
    k->until = MAX(k->until, now + CLAMP((int64_t)ttl * NS_PER_SEC, KEEP_MIN, KEEP_MAX));
}

const char *const *egress_names_of(EgressNames *names, const EgressAddress *a, int64_t now)
{
    GPtrArray *all = g_hash_table_lookup(names->by_address, a);
    unsigned n = 0;

    for (unsigned i = 0; all && i < all->len && n < NAMES_MAX; i++) {
        const Known *k = all->pdata[i];

        if (k->until > now) {
            names->names[n++] = k->name;
        }
    }
    names->names[n] = NULL;
    return names->names;
}

unsigned egress_names_count(EgressNames *names, int64_t now)
{
    GHashTableIter iter;
    unsigned n = 0;
    gpointer key;

    g_hash_table_iter_init(&iter, names->known);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        n += ((Known *)key)->until > now;
    }
    return n;
}

/* ---- answers ---- */

typedef struct Record {
    char owner[256];
    uint16_t type, class, length;
    uint32_t ttl;
    size_t data;
} Record;

static bool read_record(const uint8_t *dns, size_t length, size_t *at, Record *r)
{
    if (!read_name(dns, length, at, true, r->owner) || *at + 10 > length) {
        return false;
    }
    r->type = get_be16(dns + *at);
    r->class = get_be16(dns + *at + 2);
    r->ttl = get_be32(dns + *at + 4);
    r->length = get_be16(dns + *at + 8);
    r->data = *at + 10;
    *at = r->data + r->length;
    return *at <= length;
}

/* `alias` is the name that the question's has led to so far; servers send a chain in its order. */
static bool follow(EgressNames *names, const uint8_t *dns, size_t length, const Record *r, const char *name,
                   char alias[256], int64_t now)
{
    EgressAddress a;
    size_t at = r->data;

    if (r->class != CLASS_IN || strcmp(r->owner, alias) != 0) {
        return false;
    }
    if (r->type == TYPE_CNAME) {
        char target[256];

        if (read_name(dns, length, &at, true, target)) {
            strcpy(alias, target);
        }
        return false;
    }
    if (r->type == TYPE_A && r->length == 4) {
        uint32_t four;

        memcpy(&four, dns + r->data, sizeof(four));
        a = egress_address4(four);
    } else if (r->type == TYPE_AAAA && r->length == 16) {
        a = egress_address6(dns + r->data);
        if (egress_is_ipv4(&a)) {
            return false;
        }
    } else {
        return false;
    }
    if (!may_be_learned(&a)) {
        return false;
    }
    learn(names, &a, name, r->ttl > INT32_MAX ? 0 : r->ttl, now);
    return true;
}

/* What monitors print is no control sequence of a guest's choosing; rules about the name's end still find it. */
static void make_printable(char *name)
{
    for (; *name; name++) {
        *name = g_ascii_isgraph(*name) ? *name : '?';
    }
}

bool egress_names_answer(EgressNames *names, const EgressPacket *p, int64_t now, unsigned *ret_learned, char *name)
{
    const uint8_t *dns = p->frame + p->payload;
    size_t length = p->end - p->payload, at = HEADER;
    char asked[256], alias[256];
    Pending *pending;
    Record r;

    *ret_learned = 0;
    if (length < HEADER || !(dns[2] & FLAG_RESPONSE) || get_be16(dns + 4) != 1 ||
        !read_name(dns, length, &at, false, asked) || at + 4 > length) {
        return false;
    }
    pending = find_pending(names, p, get_be16(dns), now);
    if (!pending || strcmp(pending->question.name, asked) != 0 || pending->question.type != get_be16(dns + at)) {
        return false;
    }
    at += 4;
    strcpy(alias, asked);
    strcpy(name, asked);
    make_printable(name);
    for (unsigned i = 0; i < MIN(get_be16(dns + 6), RECORDS_MAX); i++) {
        if (!read_record(dns, length, &at, &r)) {
            break;
        }
        *ret_learned += follow(names, dns, length, &r, name, alias, now);
    }
    pending->until = 0;
    return true;
}
