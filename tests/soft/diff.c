/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * soft-diff: generated cases on this host's processor and on the software CPU.
 *
 *     soft-diff [--seed N] [--count N] [--seconds N]      N cases from a seed on, or as many as go in the time
 *     soft-diff --case SEED                               one, as a difference prints it
 *
 * Ends with 1 if anything differs.
 */
#include "diff.h"
#include "soft-rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct Options {
    gint64 seed, count, seconds;
    gint min, max, failures;
    gboolean only64, brief, interpret;
    gchar *one, *only;
} Options;

typedef struct Run {
    const Options *options;
    Generator generator;
    Native *native;
    Engine *engine;
    Result *soft;
    GHashTable *known;  /* mnemonics that have differed already: shown in brief */
    uint64_t cases, failures, lost, hung, astray;
    uint64_t vectors[32];
} Run;

static unsigned longest(const Run *run, uint64_t n)
{
    /* Three of four are single instructions, whose failures say most. */
    return run->options->max ? (unsigned)run->options->max : n % 4 == 3 ? INSTRUCTIONS_MAX : 1;
}

static void draw(Run *run, uint64_t seed, Case *c)
{
    unsigned max = longest(run, seed);

    generate(&run->generator, seed, run->options->min ? (unsigned)run->options->min : max > 1 ? 2 : 1, max,
             run->options->only64, c);
}

static const char *first_mnemonic(Run *run, const Case *c)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

    return c->instructions == 1 && decode(&run->generator, c->mode, c->code, c->code_length, &insn, operands)
               ? ZydisMnemonicGetString(insn.mnemonic)
               : "sequence";
}

static void report(Run *run, const Case *c, const Result *native, const Result *soft, const GString *differences)
{
    const char *mnemonic = first_mnemonic(run, c);
    g_autoptr(GString) text = g_string_new(NULL);
    bool known = run->options->brief && g_hash_table_contains(run->known, mnemonic);

    g_hash_table_add(run->known, (gpointer)mnemonic);
    g_string_append_printf(text, "---- %s: --case %" PRIu64, mnemonic, c->seed);
    if (run->options->min || run->options->max) {
        g_string_append_printf(text, " --min %d --max %d", run->options->min, run->options->max);
    }
    g_string_append_c(text, '\n');
    describe_case(&run->generator, c, text);
    g_string_append_printf(text, "%s", differences->str);
    if (!known) {
        g_string_append(text, " before\n");
        describe_state(&c->in, text);
        g_string_append_printf(text, " native: vector %u error %x address %" PRIx64 "\n", native->vector, native->error,
                               native->address);
        describe_state(&native->out, text);
        g_string_append_printf(text, " soft: vector %u error %x address %" PRIx64 "\n", soft->vector, soft->error,
                               soft->address);
        describe_state(&soft->out, text);
    }
    fputs(text->str, stdout);
    fflush(stdout);
}

static void check(Run *run, const Case *c, const Result *native, const Result *soft)
{
    g_autoptr(GString) text = g_string_new(NULL);

    run->cases++;
    run->lost += native->vector == VECTOR_LOST;
    run->hung += native->vector == VECTOR_HUNG;
    if (native->vector < G_N_ELEMENTS(run->vectors)) {
        run->vectors[native->vector]++;
    }
    if (soft->vector == 14 && native_has_there(run->native, soft->address)) {
        run->astray++;
        return;
    }
    if (compare(&run->generator, c, native, soft, text)) {
        run->failures++;
        report(run, c, native, soft, text);
    }
}

static bool enough(const Run *run, gint64 started)
{
    const Options *o = run->options;

    if (o->failures && run->failures >= (uint64_t)o->failures) {
        return true;
    }
    return (o->seconds && g_get_monotonic_time() - started > o->seconds * G_USEC_PER_SEC) ||
           (o->count && run->cases >= (uint64_t)o->count);
}

static void run_batch(Run *run, const uint64_t *seeds, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        draw(run, seeds[i], native_case(run->native, i));
    }
    native_start(run->native, n);
    for (unsigned i = 0; i < n; i++) {
        engine_run(run->engine, native_case(run->native, i), &run->soft[i]);
    }
    native_wait(run->native);
    for (unsigned i = 0; i < n; i++) {
        check(run, native_case(run->native, i), native_result(run->native, i), &run->soft[i]);
    }
}

static void run_all(Run *run)
{
    uint64_t seeds[BATCH], next = 0;
    gint64 started = g_get_monotonic_time();

    do {
        unsigned n = run->options->count ? (unsigned)MIN(BATCH, (uint64_t)run->options->count - run->cases) : BATCH;

        for (unsigned i = 0; i < n; i++) {
            seeds[i] = mix((uint64_t)run->options->seed, next++);
        }
        run_batch(run, seeds, n);
    } while (!enough(run, started));
    printf("%" PRIu64 " cases from seed %" PRId64 " in %.1f s: ", run->cases, run->options->seed,
           (double)(g_get_monotonic_time() - started) / G_USEC_PER_SEC);
    printf("%" PRIu64 " differ, %" PRIu64 " killed the child, %" PRIu64 " did not end, %" PRIu64 " went astray\n",
           run->failures, run->lost, run->hung, run->astray);
    for (unsigned i = 0; i < G_N_ELEMENTS(run->vectors); i++) {
        if (run->vectors[i]) {
            printf("  vector %u: %" PRIu64 "\n", i, run->vectors[i]);
        }
    }
}

static bool parse(int argc, char **argv, Options *o)
{
    const GOptionEntry entries[] = {
        { "seed", 0, 0, G_OPTION_ARG_INT64, &o->seed, "Of the run (default: 1)", "N" },
        { "count", 0, 0, G_OPTION_ARG_INT64, &o->count, "Cases to run (default: 100000, or as many as go)", "N" },
        { "seconds", 0, 0, G_OPTION_ARG_INT64, &o->seconds, "Run no longer than this", "N" },
        { "case", 0, 0, G_OPTION_ARG_STRING, &o->one, "Run the one case with this seed", "SEED" },
        { "min", 0, 0, G_OPTION_ARG_INT, &o->min, "Instructions at least", "N" },
        { "max", 0, 0, G_OPTION_ARG_INT, &o->max, "Instructions at most (default: 1, every fourth case 20)", "N" },
        { "only", 0, 0, G_OPTION_ARG_STRING, &o->only, "Only these instructions", "MNEMONIC,..." },
        { "only-64", 0, 0, G_OPTION_ARG_NONE, &o->only64, "64-bit code only", NULL },
        { "failures", 0, 0, G_OPTION_ARG_INT, &o->failures, "Stop after so many (default: 20; 0: never)", "N" },
        { "brief", 0, 0, G_OPTION_ARG_NONE, &o->brief, "States only of the first of each mnemonic", NULL },
        { "interpret", 0, 0, G_OPTION_ARG_NONE, &o->interpret, "Without the translator", NULL },
        { 0 },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fprintf(stderr, "soft-diff: %s\n", error->message);
        return false;
    }
    if (o->interpret) {
        g_setenv(RIG_INTERPRET, "1", TRUE);
    }
    o->max = MIN(o->max, INSTRUCTIONS_MAX);
    o->count = o->count || o->seconds ? o->count : 100000;
    return true;
}

int main(int argc, char **argv)
{
    Options options = { .seed = 1, .failures = 20 };
    Run run = { .options = &options };

    if (!parse(argc, argv, &options)) {
        return 2;
    }
    generator_init(&run.generator);
    run.generator.only = options.only;
    run.native = native_new(); /* forks, so before anything else is there */
    run.engine = engine_new();
    run.soft = g_new0(Result, BATCH);
    run.known = g_hash_table_new(g_str_hash, g_str_equal);
    engine_isa(run.engine, run.generator.isa);
    if (options.one) {
        uint64_t seed = strtoull(options.one, NULL, 0);

        run_batch(&run, &seed, 1);
        printf("%s\n", run.failures ? "differs" : "equal");
    } else {
        run_all(&run);
    }
    g_hash_table_destroy(run.known);
    g_free(run.soft);
    engine_free(run.engine);
    native_free(run.native);
    return run.failures != 0;
}
