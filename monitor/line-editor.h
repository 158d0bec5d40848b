/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line of text, edited on a terminal (ECMA-48's cursor keys, Emacs' control keys), with history and completion.
 * It knows no terminal: bytes come in, text to be shown goes out.  Main thread.
 *
 *     Ctrl-A Ctrl-E Home End   begin, end        Ctrl-B Ctrl-F Left Right   a character back, on
 *     Ctrl-H Backspace Delete Ctrl-D  delete     Ctrl-K Ctrl-U Ctrl-W       delete to the end, the begin, a word
 *     Ctrl-P Ctrl-N Up Down    history           Tab                        complete the word
 *     Ctrl-L                   clear the screen
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_MAX_BYTES 4095
#define HISTORY_MAX    64

typedef struct LineEditor LineEditor;
typedef struct LineEditorHost {
    void (*show)(const char *text, void *opaque);
    /* Enter was pressed; then the prompt is shown again.  False: it takes its time, until line_editor_go_on(). */
    bool (*line)(const char *line, void *opaque);
    /* Adds the words (owned) that `before`, the line up to the cursor, may end in. */
    void (*complete)(const char *before, GPtrArray *words, void *opaque);
} LineEditorHost;

LineEditor *line_editor_new(const char *prompt, const LineEditorHost *host, void *opaque);
void line_editor_free(LineEditor *e); /* NULL is fine */
const GPtrArray *line_editor_history(const LineEditor *e); /* char *, oldest first; as long as the editor lives */
void line_editor_prompt(LineEditor *e); /* on a new line: prompt and what is typed so far */
void line_editor_reset(LineEditor *e);  /* forgets what is typed, not the history */
size_t line_editor_type(LineEditor *e, const uint8_t *bytes, size_t n); /* how many it took: those up to such a line */
void line_editor_go_on(LineEditor *e);  /* shows nothing */
