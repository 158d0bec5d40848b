/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See monitor/line-editor.h.  The line is redrawn as a whole after each key: a terminal that is slower than people does
 * not exist any more, and so nothing has to be known of the cursor but its column.
 */
#include "monitor/line-editor.h"

#include <string.h>

#define LIST_WIDTH 79 /* columns that every terminal has */

struct LineEditor {
    char *prompt;
    LineEditorHost host;
    void *opaque;
    GString *line;
    size_t cursor;        /* bytes */
    GPtrArray *history;   /* char *, oldest first */
    unsigned recalled;    /* index into it; its length: the new line */
    char *kept;           /* the new line, while one of the history is shown */
    enum { KEY, ESCAPED, CONTROL } state;
    unsigned parameter;   /* the number of CSI 3 ~ */
    bool more_parameters; /* others follow, which are ignored */
    bool after_return;    /* CR was Enter: LF behind it is not */
    bool waits;           /* for line_editor_go_on() */
};

LineEditor *line_editor_new(const char *prompt, const LineEditorHost *host, void *opaque)
{
    LineEditor *e = g_new0(LineEditor, 1);

    e->prompt = g_strdup(prompt);
    e->host = *host;
    e->opaque = opaque;
    e->line = g_string_new(NULL);
    e->history = g_ptr_array_new_with_free_func(g_free);
    return e;
}

void line_editor_free(LineEditor *e)
{
    if (e) {
        g_string_free(e->line, TRUE);
        g_ptr_array_unref(e->history);
        g_free(e->kept);
        g_free(e->prompt);
        g_free(e);
    }
}

static void show(LineEditor *e, const char *text)
{
    e->host.show(text, e->opaque);
}

static bool is_continuation(char c)
{
    return (c & 0xc0) == 0x80;
}

/* Prompt and line on the cursor's line of the screen, and the cursor where it belongs. */
static void draw(LineEditor *e)
{
    g_autoptr(GString) text = g_string_new("\r");
    unsigned back = 0;

    g_string_append_printf(text, "%s%s\033[K", e->prompt, e->line->str);
    for (size_t i = e->cursor; i < e->line->len; i++) {
        back += !is_continuation(e->line->str[i]);
    }
    if (back) {
        g_string_append_printf(text, "\033[%uD", back);
    }
    show(e, text->str);
}

const GPtrArray *line_editor_history(const LineEditor *e)
{
    return e->history;
}

void line_editor_prompt(LineEditor *e)
{
    draw(e);
}

static void set_line(LineEditor *e, const char *text)
{
    g_string_assign(e->line, text);
    e->cursor = e->line->len;
}

void line_editor_reset(LineEditor *e)
{
    set_line(e, "");
    e->recalled = e->history->len;
    g_clear_pointer(&e->kept, g_free);
    e->state = KEY;
    e->waits = false;
}

void line_editor_go_on(LineEditor *e)
{
    e->waits = false;
}

/* ---- moving and deleting ---- */

static size_t left_of(const LineEditor *e, size_t at)
{
    while (at > 0 && is_continuation(e->line->str[--at])) {
    }
    return at;
}

static size_t right_of(const LineEditor *e, size_t at)
{
    if (at < e->line->len) {
        at++;
    }
    while (at < e->line->len && is_continuation(e->line->str[at])) {
        at++;
    }
    return at;
}

/* Deletes [from, to); the cursor stands at one of them. */
static void erase(LineEditor *e, size_t from, size_t to)
{
    g_string_erase(e->line, (gssize)from, (gssize)(to - from));
    e->cursor = from;
}

static size_t word_begin(const LineEditor *e)
{
    size_t at = e->cursor;

    while (at > 0 && e->line->str[at - 1] == ' ') {
        at--;
    }
    while (at > 0 && e->line->str[at - 1] != ' ') {
        at--;
    }
    return at;
}

static void insert(LineEditor *e, const char *text, size_t n)
{
    if (e->line->len + n <= LINE_MAX_BYTES) {
        g_string_insert_len(e->line, (gssize)e->cursor, text, (gssize)n);
        e->cursor += n;
    }
}

/* ---- history ---- */

static void recall(LineEditor *e, unsigned n)
{
    if (n > e->history->len) {
        return;
    }
    if (e->recalled == e->history->len) {
        g_free(e->kept);
        e->kept = g_strdup(e->line->str);
    }
    set_line(e, n == e->history->len ? e->kept : e->history->pdata[n]);
    e->recalled = n;
}

static void remember(LineEditor *e)
{
    const char *last = e->history->len ? e->history->pdata[e->history->len - 1] : "";

    if (e->line->len && !g_str_equal(last, e->line->str)) {
        if (e->history->len == HISTORY_MAX) {
            g_ptr_array_remove_index(e->history, 0);
        }
        g_ptr_array_add(e->history, g_strdup(e->line->str));
    }
}

static void enter(LineEditor *e)
{
    g_autofree char *line = g_strdup(e->line->str);

    remember(e);
    line_editor_reset(e);
    show(e, "\r\n");
    e->waits = !e->host.line(line, e->opaque);
    if (!e->waits) {
        draw(e);
    }
}

/* ---- completion ---- */

static gint by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t common_prefix(const GPtrArray *words)
{
    const char *first = words->pdata[0];
    size_t n = strlen(first);

    for (guint i = 1; i < words->len; i++) {
        const char *other = words->pdata[i];
        size_t same = 0;

        while (same < n && other[same] == first[same]) {
            same++;
        }
        n = same;
    }
    return n;
}

/* In columns, as ls shows names. */
static void list(LineEditor *e, const GPtrArray *words)
{
    g_autoptr(GString) text = g_string_new("\r\n");
    size_t width = 1;
    guint columns;

    for (guint i = 0; i < words->len; i++) {
        width = MAX(width, strlen(words->pdata[i]) + 2);
    }
    columns = (guint)MAX(LIST_WIDTH / width, 1);
    for (guint i = 0; i < words->len; i++) {
        bool last = i % columns == columns - 1 || i == words->len - 1;

        g_string_append_printf(text, "%-*s%s", last ? 0 : (int)width, (const char *)words->pdata[i],
                               last ? "\r\n" : "");
    }
    show(e, text->str);
}

/* Behind a key comes its value, and a path may go on. */
static bool may_end(const char *word)
{
    return word[0] != '/' && !g_str_has_suffix(word, "=");
}

static void complete(LineEditor *e)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *before = g_strndup(e->line->str, e->cursor);
    const char *space = strrchr(before, ' ');
    size_t typed = strlen(space ? space + 1 : before), common;

    e->host.complete(before, words, e->opaque);
    if (!words->len) {
        return;
    }
    g_ptr_array_sort(words, by_text);
    common = common_prefix(words);
    if (common > typed) {
        insert(e, (const char *)words->pdata[0] + typed, common - typed);
    }
    if (words->len == 1 && may_end(words->pdata[0])) {
        insert(e, " ", 1);
    } else if (words->len > 1 && common <= typed) {
        list(e, words);
    }
}

/* ---- keys ---- */

#define CTRL(C) ((C) & 0x1f)

static void control_key(LineEditor *e, uint8_t key)
{
    switch (key) {
    case CTRL('A'):
        e->cursor = 0;
        break;
    case CTRL('E'):
        e->cursor = e->line->len;
        break;
    case CTRL('B'):
        e->cursor = left_of(e, e->cursor);
        break;
    case CTRL('F'):
        e->cursor = right_of(e, e->cursor);
        break;
    case CTRL('H'):
    case 0x7f:
        erase(e, left_of(e, e->cursor), e->cursor);
        break;
    case CTRL('D'):
        erase(e, e->cursor, right_of(e, e->cursor));
        break;
    case CTRL('K'):
        erase(e, e->cursor, e->line->len);
        break;
    case CTRL('U'):
        erase(e, 0, e->cursor);
        break;
    case CTRL('W'):
        erase(e, word_begin(e), e->cursor);
        break;
    case CTRL('P'):
        recall(e, e->recalled ? e->recalled - 1 : 0);
        break;
    case CTRL('N'):
        recall(e, e->recalled + 1);
        break;
    case CTRL('L'):
        show(e, "\033[H\033[2J");
        break;
    case '\t':
        complete(e);
        break;
    }
}

/* The last byte of ESC [ or ESC O. */
static void cursor_key(LineEditor *e, uint8_t key)
{
    static const char keys[] = "ABCDHF";
    static const char controls[] = { CTRL('P'), CTRL('N'), CTRL('F'), CTRL('B'), CTRL('A'), CTRL('E') };
    const char *found = key ? strchr(keys, key) : NULL;

    if (found) {
        control_key(e, (uint8_t)controls[found - keys]);
    } else if (key == '~') {
        control_key(e, e->parameter == 3 ? CTRL('D') :
                       e->parameter == 1 ? CTRL('A') :
                       e->parameter == 4 ? CTRL('E') : 0);
    }
}

static void control_sequence(LineEditor *e, uint8_t byte)
{
    if (byte >= 0x40 && byte < 0x7f) {
        e->state = KEY;
        cursor_key(e, byte);
    } else if (g_ascii_isdigit(byte) && !e->more_parameters) {
        e->parameter = MIN(e->parameter * 10 + (byte - '0'), 1000);
    } else {
        e->more_parameters = true;
    }
}

static void type(LineEditor *e, uint8_t byte)
{
    char c = (char)byte;

    if (e->state == ESCAPED) {
        e->state = byte == '[' || byte == 'O' ? CONTROL : KEY;
        e->parameter = 0;
        e->more_parameters = false;
    } else if (e->state == CONTROL) {
        control_sequence(e, byte);
    } else if (byte == 0x1b) {
        e->state = ESCAPED;
    } else if (byte < ' ' || byte == 0x7f) {
        control_key(e, byte);
    } else {
        insert(e, &c, 1);
    }
}

size_t line_editor_type(LineEditor *e, const uint8_t *bytes, size_t n)
{
    bool drawn = true;
    size_t i;

    for (i = 0; i < n && !e->waits; i++) {
        bool is_return = bytes[i] == '\r', is_enter = is_return || (bytes[i] == '\n' && !e->after_return);

        if (is_enter && !drawn) {
            draw(e);
        }
        drawn = is_enter;
        if (is_enter) {
            enter(e);
        } else if (bytes[i] != '\n') {
            type(e, bytes[i]);
        }
        e->after_return = is_return;
    }
    if (!drawn) {
        draw(e);
    }
    return i;
}
