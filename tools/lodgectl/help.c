/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is made from the table of verbs: help, the manual page, bash completion.
 */
#include "tools/lodgectl/verb.h"

#include <string.h>

/* ---- help ---- */

void help_all(GString *out)
{
    g_string_append(out, "Usage: lodgectl [-q] [--user NAME] COMMAND [ARGUMENT...]\n"
                         "Lists and drives the domains of this user.\n");
    for (const VerbSection *s = verb_sections; s->title; s++) {
        g_string_append_printf(out, "\n %s:\n", s->title);
        for (const Verb *v = s->verbs; v->name; v++) {
            g_string_append_printf(out, "    %-16s %s\n", v->name, v->help);
        }
    }
    g_string_append(out, "\n'lodgectl help COMMAND' says more about one; 'man lodgectl' about all.\n");
}

/* "<domain>", "[--all]", "[--timeout <number>]", "<command>..." */
static char *synopsis(const Arg *a)
{
    const char *type = a->kind == ARG_NUMBER ? "number" : "string";

    switch (a->kind) {
    case ARG_FLAG:
        return g_strdup_printf("[--%s]", a->name);
    case ARG_LIST:
        return g_strdup_printf("[[--%s] <string>]...", a->name);
    case ARG_REST:
        return g_strdup_printf(a->required ? "<%s>..." : "[<%s>...]", a->name);
    default:
        return a->required ? g_strdup_printf("<%s>", a->name) : g_strdup_printf("[--%s <%s>]", a->name, type);
    }
}

static char *left_column(const Arg *a)
{
    switch (a->kind) {
    case ARG_FLAG:
        return g_strdup_printf("--%s", a->name);
    case ARG_LIST:
        return g_strdup_printf("[--%s] <string>", a->name);
    case ARG_REST:
        return g_strdup_printf("<%s>", a->name);
    default:
        return g_strdup_printf(a->required ? "[--%s] <%s>" : "--%s <%s>", a->name,
                               a->kind == ARG_NUMBER ? "number" : "string");
    }
}

static void append_synopsis(const Verb *verb, GString *out)
{
    g_string_append(out, verb->name);
    for (const Arg *a = verb->args; a->kind != ARG_END; a++) {
        g_autofree char *text = synopsis(a);

        g_string_append_printf(out, " %s", text);
    }
}

void help_verb(const Verb *verb, GString *out)
{
    g_string_append_printf(out, "  NAME\n    %s - %s\n\n  SYNOPSIS\n    ", verb->name, verb->help);
    append_synopsis(verb, out);
    g_string_append(out, "\n");
    if (verb->more) {
        g_string_append_printf(out, "\n  DESCRIPTION\n    %s\n", verb->more);
    }
    if (verb->args[0].kind != ARG_END) {
        g_string_append(out, "\n  OPTIONS\n");
    }
    for (const Arg *a = verb->args; a->kind != ARG_END; a++) {
        g_autofree char *left = left_column(a);

        g_string_append_printf(out, "    %-24s %s\n", left, a->help);
    }
    g_string_append(out, "\n");
}

/* ---- the manual page ---- */

/* Roff takes a backslash and a leading dot or quote for its own. */
static void man_text(GString *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\\') {
            g_string_append(out, "\\e");
        } else if (*p == '-') {
            g_string_append(out, "\\-");
        } else if ((*p == '.' || *p == '\'') && p == text) {
            g_string_append_printf(out, "\\&%c", *p);
        } else {
            g_string_append_c(out, *p);
        }
    }
}

static void man_verb(GString *out, const Verb *verb)
{
    g_autoptr(GString) line = g_string_new(NULL);

    append_synopsis(verb, line);
    g_string_append(out, ".TP\n.B ");
    man_text(out, line->str);
    g_string_append(out, "\n");
    man_text(out, verb->help);
    g_string_append(out, ".\n");
    if (verb->more) {
        man_text(out, verb->more);
        g_string_append(out, "\n");
    }
    for (const Arg *a = verb->args; a->kind != ARG_END; a++) {
        g_autofree char *left = left_column(a);

        if (a->of == OF_DOMAIN || a->of == OF_ACTIVE || a->of == OF_INACTIVE || a->of == OF_DEFINED) {
            continue;
        }
        g_string_append(out, ".RS\n.TP\n.B ");
        man_text(out, left);
        g_string_append(out, "\n");
        man_text(out, a->help);
        g_string_append(out, ".\n.RE\n");
    }
}

void help_man(GString *out)
{
    g_string_append(out,
        ".\\\" Made from the table of commands by lodgectl --man.\n"
        ".TH LODGECTL 1 \"\" \"lodge " LODGE_VERSION "\" \"User Commands\"\n"
        ".SH NAME\nlodgectl \\- list and drive the domains of lodge\n"
        ".SH SYNOPSIS\n.B lodgectl\n[\\fB\\-q\\fR] [\\fB\\-\\-user\\fR \\fINAME\\fR] \\fICOMMAND\\fR [\\fIARGUMENT\\fR...]\n"
        ".SH DESCRIPTION\n"
        "A domain is a virtual machine that\n.BR lodge (1)\n"
        "runs. One that has a name is listed while it runs, however it was started. One that is defined, by a file\n"
        "that lodge reads with\n.BR \\-readconfig ,\n"
        "is persistent: it is known also when it does not run. There is no daemon: lodgectl reads files, and talks to\n"
        "the domains' own sockets. Each user has domains of his own.\n"
        ".PP\n"
        "Where a command takes a domain, that is its id (of a running one), its name or its UUID. The commands and\n"
        "what they print are those of virsh, where virsh has them.\n"
        ".SH OPTIONS\n"
        ".TP\n.B \\-q, \\-\\-quiet\nSay nothing about what went well.\n"
        ".TP\n.BI \\-\\-user \\ NAME\nAct for that user, as that user: of two domains of one name, one is root's, and one\n"
        "is seen like this. Only for root.\n"
        ".TP\n.B \\-h, \\-\\-help\nShow the commands.\n"
        ".TP\n.B \\-v, \\-\\-version\nShow the version.\n"
        ".TP\n.B \\-\\-man, \\-\\-completion\nShow this page, or what bash needs to complete commands.\n");
    for (const VerbSection *s = verb_sections; s->title; s++) {
        g_string_append_printf(out, ".SH %s\n", s->title);
        for (const Verb *v = s->verbs; v->name; v++) {
            man_verb(out, v);
        }
    }
    g_string_append(out,
        ".SH FILES\n"
        ".TP\n.I $XDG_RUNTIME_DIR/lodge/NAME, /run/lodge/NAME\n"
        "What is known of a running domain; the second is root's. Without the variable it is\n"
        "/run/user/UID, and where that is not there, $XDG_CACHE_HOME or ~/.cache.\n"
        ".TP\n.I $XDG_CONFIG_HOME/lodge/domains/NAME.conf, /etc/lodge/domains/NAME.conf\n"
        "The definition of a persistent domain.\n"
        ".TP\n.I $XDG_CONFIG_HOME/lodge/autostart, /etc/lodge/autostart\n"
        "Links to the definitions of those that are started with the host.\n"
        ".TP\n.I $XDG_CONFIG_HOME/lodge/tuning/NAME.conf, /etc/lodge/tuning/NAME.conf\n"
        "What it gets of the host's CPUs from its next start on.\n"
        ".TP\n.I $XDG_STATE_HOME/lodge/NAME.log, /var/log/lodge/NAME.log\n"
        "What lodge has said since lodgectl started the domain; .log.1 is that of the start before.\n"
        ".TP\n.I $XDG_STATE_HOME/lodge/save/NAME.save, /var/lib/lodge/save/NAME.save\n"
        "What managedsave has saved.\n"
        ".SH ENVIRONMENT\n"
        ".TP\n.B LODGE_RUNTIME_DIR, LODGE_CONFIG_DIR\n"
        "Take the place of the folders above, for any user; with the second, logs are in its folder log, and\n"
        "what managedsave saves in save.\n"
        ".TP\n.B LODGE_LOG_DIR\nTakes the place of the folder of logs.\n"
        ".TP\n.B LODGE\nThe program that is started, instead of the lodge beside lodgectl or in the path.\n"
        ".TP\n.B LODGE_SSH\nThe program that migrate runs instead of ssh.\n"
        ".TP\n.B VISUAL, EDITOR\nWhat edit uses.\n"
        ".SH EXIT STATUS\n0, or 1 if it could not be done; then one sentence on standard error says why.\n"
        ".SH EXAMPLES\n.nf\n"
        "lodgectl define vm.conf\nlodgectl run vm\nlodgectl list \\-\\-all\nlodgectl event \\-\\-all \\-\\-loop\n.fi\n"
        ".SH SEE ALSO\n.BR lodge (1)\n");
}

/* ---- completion ---- */

/* What a word of that kind can be: what lodgectl lists by these words, or ":" and a kind of the shell's own. */
static const char *completes(ArgOf of)
{
    switch (of) {
    case OF_DOMAIN:
        return "list --all --name";
    case OF_ACTIVE:
        return "list --name";
    case OF_INACTIVE:
        return "list --inactive --name";
    case OF_DEFINED:
        return "list --all --persistent --name";
    case OF_EVENT:
        return "event --list";
    case OF_FILE:
        return ":file";
    case OF_ANY:
        break;
    }
    return ":";
}

/* options: all; named: those that take a value, each with what it can be; places: the same of words by themselves. */
static void completion_case(GString *out, const Verb *v)
{
    g_autoptr(GString) named = g_string_new(NULL), places = g_string_new(NULL);

    g_string_append_printf(out, "    %s)\n        options='", v->name);
    for (const Arg *a = v->args; a->kind != ARG_END; a++) {
        if (a->kind != ARG_REST) {
            g_string_append_printf(out, "%s--%s", a == v->args ? "" : " ", a->name);
        }
        if (a->kind != ARG_REST && a->kind != ARG_FLAG) {
            g_string_append_printf(named, "--%s '%s' ", a->name, completes(a->of));
        }
        if (a->kind == ARG_TEXT) {
            g_string_append_printf(places, "'%s' ", completes(a->of));
        }
    }
    g_string_append_printf(out, "'\n        named=(%s) places=(%s)\n        ;;\n", named->str, places->str);
}

/* compgen -W would expand what domains are called, as the shell does. */
static const char completion_end[] =
    "    help) places=(:verb) ;;\n"
    "    esac\n"
    "    for ((i++; i < COMP_CWORD; i++)); do\n"
    "        case ${COMP_WORDS[i]} in\n"
    "        -*)\n"
    "            for ((n = 0; n < ${#named[@]}; n += 2)); do\n"
    "                [[ ${COMP_WORDS[i]} == \"${named[n]}\" ]] && value=${named[n + 1]} && ((i++)) && break\n"
    "            done\n"
    "            ;;\n"
    "        *) ((place++)) ;;\n"
    "        esac\n"
    "    done\n"
    "    COMPREPLY=()\n"
    "    of=${places[place]}\n"
    "    if [[ ! $verb || $cur == -* ]]; then\n"
    "        [[ $cur == -* ]] && verbs=$options\n"
    "        of=:verb\n"
    "    elif ((i > COMP_CWORD)); then\n"
    "        of=$value\n"
    "    fi\n"
    "    case $of in\n"
    "    :verb) COMPREPLY=($(compgen -W \"$verbs\" -- \"$cur\")) ;;\n"
    "    :file) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
    "    '' | :*) ;;\n"
    "    *)\n"
    "        while IFS= read -r name; do\n"
    "            if [[ $name == \"$cur\"* || $(printf %q \"$name\") == \"$cur\"* ]]; then\n"
    "                COMPREPLY+=(\"$(printf %q \"$name\")\")\n"
    "            fi\n"
    "        done < <(\"${COMP_WORDS[0]}\" \"${user[@]}\" $of 2>/dev/null)\n"
    "        ;;\n"
    "    esac\n"
    "}\n"
    "complete -F _lodgectl lodgectl\n";

void help_completion(GString *out)
{
    g_string_append(out, "# Made from the table of commands by lodgectl --completion.\n"
                         "_lodgectl()\n{\n"
                         "    local cur=${COMP_WORDS[COMP_CWORD]} verb= i n verbs options= name of value= place=0\n"
                         "    local IFS=$' \\t\\n' user=() named=() places=()\n"
                         "    verbs='help");
    for (const VerbSection *s = verb_sections; s->title; s++) {
        for (const Verb *v = s->verbs; v->name; v++) {
            g_string_append_printf(out, " %s", v->name);
        }
    }
    g_string_append(out, "'\n"
                         "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                         "        case ${COMP_WORDS[i]} in\n"
                         "        --user) user=(--user \"${COMP_WORDS[++i]}\") ;;\n"
                         "        -*) ;;\n"
                         "        *) verb=${COMP_WORDS[i]}; break ;;\n"
                         "        esac\n"
                         "    done\n"
                         "    case $verb in\n"
                         "    '') options='--quiet --user --help --version' ;;\n");
    for (const VerbSection *s = verb_sections; s->title; s++) {
        for (const Verb *v = s->verbs; v->name; v++) {
            completion_case(out, v);
        }
    }
    g_string_append(out, completion_end);
}
