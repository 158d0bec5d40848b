/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The languages of chardevs, over one set of C structs:
 *
 *   chardev_options   chardev-add, nested: { "id", "backend": { "type", "data": {} } }
 *   text_options      -chardev, flat: socket,id=x,path=/p,server=on,wait=off; its older
 *                     spellings `server` and `nowait` too
 *   short forms       of -serial and its like: "mon:stdio", "unix:/p,server"
 *
 * Main thread.
 */
#include <string.h>

#include "vmm/chardev-internal.h"
#include "vmm/error.h"

#define RINGBUF_SIZE_DEFAULT 65536

typedef enum Backend {
    BACKEND_FILE, BACKEND_MUX, BACKEND_NULL, BACKEND_PIPE, BACKEND_PTY, BACKEND_RINGBUF, BACKEND_SOCKET, BACKEND_STDIO,
} Backend;

static const ChardevClass *const classes[] = {
    [BACKEND_FILE] = &chardev_file_class,     [BACKEND_MUX] = &chardev_mux_class,
    [BACKEND_NULL] = &chardev_null_class,     [BACKEND_PIPE] = &chardev_pipe_class,
    [BACKEND_PTY] = &chardev_pty_class,       [BACKEND_RINGBUF] = &chardev_ringbuf_class,
    [BACKEND_SOCKET] = &chardev_socket_class, [BACKEND_STDIO] = &chardev_stdio_class,
};

static const FieldEnum backend_enum = {
    "ChardevBackendKind",
    (const char *const[]) { "file", "mux", "null", "pipe", "pty", "ringbuf", "socket", "stdio", NULL },
};

#define LOG_FIELDS(T)                                                                                                  \
    F_STR("logfile", T, common.logfile, NULL, .help = "File that gets a copy of the output"),                          \
        F_BOOL("logappend", T, common.logappend, false, .help = "Append to the log file instead of truncating it")
#define MUX_FIELD(T) F_BOOL("mux", T, common.mux, false, .help = "Share it between front ends (Ctrl-A h)")

/* ---- chardev-add ---- */

static const FieldStruct add_common = FIELD_TABLE("ChardevCommon", ChardevCommonOptions, "Options of every backend",
    F_STR("logfile", ChardevCommonOptions, logfile, NULL, .help = "File that gets a copy of the output"),
    F_BOOL("logappend", ChardevCommonOptions, logappend, false, .help = "Append to the log file"));

static const FieldStruct add_file = FIELD_TABLE("ChardevFile", ChardevFileOptions, "Files for output and input",
    F_STR("out", ChardevFileOptions, path, NULL, .flags = FIELD_REQUIRED, .help = "File that output goes to"),
    F_STR("in", ChardevFileOptions, input_path, NULL, .help = "File that input comes from"),
    F_BOOL("append", ChardevFileOptions, append, false, .help = "Append to the file instead of truncating it"),
    LOG_FIELDS(ChardevFileOptions));

static const FieldStruct add_pipe = FIELD_TABLE("ChardevHostdev", ChardevPathOptions, "Named pipes",
    F_STR("device", ChardevPathOptions, path, NULL, .flags = FIELD_REQUIRED, .help = "PATH of PATH.in and PATH.out"),
    LOG_FIELDS(ChardevPathOptions));

static const FieldStruct add_stdio = FIELD_TABLE("ChardevStdio", ChardevStdioOptions, "Standard input and output",
    F_BOOL("signal", ChardevStdioOptions, signal, true, .help = "Let keys such as Ctrl-C send signals"),
    LOG_FIELDS(ChardevStdioOptions));

static const FieldStruct add_ringbuf = FIELD_TABLE(
    "ChardevRingbuf", ChardevRingbufOptions, "The newest output, in memory",
    F_SIZE("size", ChardevRingbufOptions, size, RINGBUF_SIZE_DEFAULT, .help = "Bytes kept, a power of two"),
    LOG_FIELDS(ChardevRingbufOptions));

static const FieldStruct add_mux = FIELD_TABLE("ChardevMux", ChardevMuxOptions, "A multiplexer on another chardev",
    F_STR("chardev", ChardevMuxOptions, chardev, NULL, .flags = FIELD_REQUIRED, .help = "Id of the chardev below"),
    LOG_FIELDS(ChardevMuxOptions));

static const FieldStruct add_socket = FIELD_TABLE("ChardevSocket", ChardevSocketOptions, "A stream socket",
    F_STRUCT("addr", ChardevSocketOptions, addr, &socket_address_legacy_struct, .flags = FIELD_REQUIRED,
             .help = "Its address"),
    F_BOOL("server", ChardevSocketOptions, server, true, .help = "Listen instead of connecting"),
    F_BOOL("wait", ChardevSocketOptions, wait, false, FIELD_HAS(ChardevSocketOptions, has_wait),
        .help = "False: whoever comes later is welcome"),
    F_BOOL("nodelay", ChardevSocketOptions, nodelay, false, .help = "Send small packets at once"),
    F_BOOL("telnet", ChardevSocketOptions, telnet, false, .help = "Speak the TELNET protocol"),
    F_UINT("reconnect", ChardevSocketOptions, reconnect, 0,
           .help = "Seconds between attempts to connect; 0: one attempt"),
    LOG_FIELDS(ChardevSocketOptions));

FIELD_DATA(common_wrapper, "ChardevCommonWrapper", ChardevCommonOptions, add_common, "The options");
FIELD_DATA(file_wrapper, "ChardevFileWrapper", ChardevFileOptions, add_file, "The options");
FIELD_DATA(pipe_wrapper, "ChardevHostdevWrapper", ChardevPathOptions, add_pipe, "The options");
FIELD_DATA(stdio_wrapper, "ChardevStdioWrapper", ChardevStdioOptions, add_stdio, "The options");
FIELD_DATA(ringbuf_wrapper, "ChardevRingbufWrapper", ChardevRingbufOptions, add_ringbuf, "The options");
FIELD_DATA(mux_wrapper, "ChardevMuxWrapper", ChardevMuxOptions, add_mux, "The options");
FIELD_DATA(socket_wrapper, "ChardevSocketWrapper", ChardevSocketOptions, add_socket, "The options");

typedef struct AddBackend {
    int type;
    void *data;
} AddBackend;
typedef struct AddOptions {
    char *id;
    AddBackend backend;
} AddOptions;

static const FieldStruct add_backend = {
    .name = "ChardevBackend", .size = sizeof(AddBackend), .help = "The host's end of a chardev",
    .fields = (const Field[]) {
        F_ENUM("type", AddBackend, type, &backend_enum, 0, .flags = FIELD_REQUIRED,
               .help = "Kind of backend"),
        FIELD_END,
    },
    .tag = "type",
    .cases = (const FieldCase[]) {
        { "file", &file_wrapper }, { "mux", &mux_wrapper }, { "null", &common_wrapper }, { "pipe", &pipe_wrapper },
        { "pty", &common_wrapper }, { "ringbuf", &ringbuf_wrapper }, { "socket", &socket_wrapper },
        { "stdio", &stdio_wrapper }, { NULL, NULL },
    },
    .variant_offset = offsetof(AddBackend, data),
};

const FieldStruct chardev_options = FIELD_TABLE("q_obj_chardev-add-arg", AddOptions, "A character device",
    F_STR("id", AddOptions, id, NULL, .flags = FIELD_REQUIRED, .help = "Its id"),
    F_STRUCT("backend", AddOptions, backend, &add_backend, .flags = FIELD_REQUIRED, .help = "Its backend"));

/* ---- -chardev ---- */

static const Field text_common_fields[] = {
    F_STR("logfile", ChardevCommonOptions, logfile, NULL, .help = "File that gets a copy of the output"),
    F_BOOL("logappend", ChardevCommonOptions, logappend, false,
           .help = "Append to the log file instead of truncating it"),
    F_BOOL("mux", ChardevCommonOptions, mux, false, .help = "Share it between front ends (Ctrl-A h)"), FIELD_END
};

static const FieldStruct text_null = {
    .name = "ChardevTextNull", .size = sizeof(ChardevCommonOptions), .help = "Nothing: output is dropped",
    .fields = text_common_fields,
};
static const FieldStruct text_pty = {
    .name = "ChardevTextPty", .size = sizeof(ChardevCommonOptions), .help = "A new pseudo-terminal of the host",
    .fields = text_common_fields,
};

static const FieldStruct text_file = FIELD_TABLE("ChardevTextFile", ChardevFileOptions, "Output to a file",
    F_STR("path", ChardevFileOptions, path, NULL, .flags = FIELD_REQUIRED, .help = "File that output goes to"),
    F_STR("input-path", ChardevFileOptions, input_path, NULL, .help = "File that input comes from"),
    F_BOOL("append", ChardevFileOptions, append, false, .help = "Append to the file instead of truncating it"),
    LOG_FIELDS(ChardevFileOptions), MUX_FIELD(ChardevFileOptions));

static const FieldStruct text_pipe = FIELD_TABLE("ChardevTextPipe", ChardevPathOptions, "Named pipes",
    F_STR("path", ChardevPathOptions, path, NULL, .flags = FIELD_REQUIRED, .help = "PATH of PATH.in and PATH.out"),
    LOG_FIELDS(ChardevPathOptions), MUX_FIELD(ChardevPathOptions));

static const FieldStruct text_stdio = FIELD_TABLE("ChardevTextStdio", ChardevStdioOptions, "Standard input and output",
    F_BOOL("signal", ChardevStdioOptions, signal, true, .help = "Let keys such as Ctrl-C send signals"),
    LOG_FIELDS(ChardevStdioOptions), MUX_FIELD(ChardevStdioOptions));

static const FieldStruct text_ringbuf = FIELD_TABLE(
    "ChardevTextRingbuf", ChardevRingbufOptions, "The newest output, in memory",
    F_SIZE("size", ChardevRingbufOptions, size, RINGBUF_SIZE_DEFAULT, .help = "Bytes kept, a power of two"),
    LOG_FIELDS(ChardevRingbufOptions), MUX_FIELD(ChardevRingbufOptions));

static const FieldStruct text_mux = FIELD_TABLE("ChardevTextMux", ChardevMuxOptions, "A multiplexer on another chardev",
    F_STR("chardev", ChardevMuxOptions, chardev, NULL, .flags = FIELD_REQUIRED, .help = "Id of the chardev below"),
    LOG_FIELDS(ChardevMuxOptions));

static const FieldStruct text_socket = FIELD_TABLE(
    "ChardevTextSocket", ChardevSocketOptions, "A stream socket, local or TCP",
    F_STR("path", ChardevSocketOptions, local.path, NULL, .help = "Path of a local socket"),
    F_BOOL("abstract", ChardevSocketOptions, local.abstract, false,
           .help = "The path is a name in the abstract namespace"),
    F_STR("host", ChardevSocketOptions, inet.host, NULL, .help = "Host name or address; empty: any"),
    F_STR("port", ChardevSocketOptions, inet.port, NULL, .help = "TCP port number or service"),
    F_BOOL("ipv4", ChardevSocketOptions, inet.ipv4, false, FIELD_HAS(ChardevSocketOptions, inet.has_ipv4),
           .help = "Use IPv4"),
    F_BOOL("ipv6", ChardevSocketOptions, inet.ipv6, false, FIELD_HAS(ChardevSocketOptions, inet.has_ipv6),
           .help = "Use IPv6"),
    F_STR("fd", ChardevSocketOptions, fd, NULL, .help = "Number of an inherited descriptor"),
    F_BOOL("server", ChardevSocketOptions, server, false, .help = "Listen instead of connecting"),
    F_BOOL("wait", ChardevSocketOptions, wait, true, FIELD_HAS(ChardevSocketOptions, has_wait),
        .help = "Wait for a peer before going on (servers; default: on)"),
    F_BOOL("nowait", ChardevSocketOptions, nowait, false, .flags = FIELD_HIDDEN, .help = "Older spelling of wait=off"),
    F_BOOL("nodelay", ChardevSocketOptions, nodelay, false, .help = "Send small packets at once"),
    F_BOOL("telnet", ChardevSocketOptions, telnet, false, .help = "Speak the TELNET protocol"),
    F_UINT("reconnect", ChardevSocketOptions, reconnect, 0,
           .help = "Seconds between attempts to connect; 0: one attempt"),
    LOG_FIELDS(ChardevSocketOptions), MUX_FIELD(ChardevSocketOptions));

typedef struct TextOptions {
    int backend;
    char *id;
    void *options;
} TextOptions;

const FieldStruct chardev_text_options = {
    .name = "ChardevTextOptions", .size = sizeof(TextOptions), .help = "-chardev",
    .fields = (const Field[]) {
        F_ENUM("backend", TextOptions, backend, &backend_enum, 0, .flags = FIELD_REQUIRED, .help = "Kind of backend"),
        F_STR("id", TextOptions, id, NULL, .flags = FIELD_REQUIRED, .help = "Its id"),
        FIELD_END,
    },
    .tag = "backend",
    .cases = (const FieldCase[]) {
        { "file", &text_file }, { "mux", &text_mux }, { "null", &text_null }, { "pipe", &text_pipe },
        { "pty", &text_pty }, { "ringbuf", &text_ringbuf }, { "socket", &text_socket }, { "stdio", &text_stdio },
        { NULL, NULL },
    },
    .variant_offset = offsetof(TextOptions, options),
};

void chardev_help(GString *out)
{
    g_string_append(out, "Character devices (-chardev BACKEND,id=ID,...; -chardev BACKEND,help lists the options):\n");
    for (const FieldCase *c = chardev_text_options.cases; c->value; c++) {
        g_string_append_printf(out, "  %-8s %s\n", c->value, c->structure->help);
    }
}

bool chardev_backend_help(const char *backend, GString *out, GError **error)
{
    const char *nearest;

    for (const FieldCase *c = chardev_text_options.cases; c->value; c++) {
        if (g_str_equal(c->value, backend)) {
            g_autofree char *title = g_strdup_printf("%s options", backend);

            field_struct_help(c->structure, title, out);
            return true;
        }
    }
    error_set(error, "There is no character device '%s'", backend);
    nearest = error_nearest(backend, backend_enum.values);
    return nearest ? error_hint(error, "Did you mean '%s'?", nearest) : error_hint(error, "See -chardev help.");
}

/* ---- what a socket is told ---- */

static bool check_socket(const ChardevSocketOptions *o, GError **error)
{
    if (!o->server && (o->has_wait || o->nowait)) {
        return error_set(error, "'wait' needs 'server=on'");
    }
    if (o->server && o->reconnect) {
        return error_set(error, "'reconnect' is for clients, 'server=on' makes a server");
    }
    return true;
}

static bool check_address(const ChardevSocketOptions *o, const SocketAddress *a, GError **error)
{
    if (a->type == SOCKET_ADDRESS_FD && o->reconnect) {
        return error_set(error, "'reconnect' needs an address, 'fd' has none");
    }
    if (a->type == SOCKET_ADDRESS_UNIX && o->nodelay) {
        return error_set(error, "'nodelay' is for TCP");
    }
    return true;
}

/* What the flat form says: one of three.  Borrowed. */
static bool flat_address(const ChardevSocketOptions *o, InetSocketAddress *inet, FdSocketAddress *fd,
                         SocketAddress *ret, GError **error)
{
    bool tcp = o->inet.host || o->inet.port;

    if ((o->local.path != NULL) + tcp + (o->fd != NULL) != 1) {
        error_set(error, "a socket needs one of 'path', 'host' with 'port', and 'fd'");
        return error_hint(error, "For example path=/run/x.sock,server=on,wait=off.");
    }
    if (tcp && !o->inet.port) {
        return error_set(error, "'port' is missing");
    }
    if (!tcp && (o->inet.has_ipv4 || o->inet.has_ipv6)) {
        return error_set(error, "'ipv4' and 'ipv6' are for TCP");
    }
    if (!o->local.path && o->local.abstract) {
        return error_set(error, "'abstract' needs 'path'");
    }
    *inet = o->inet;
    inet->host = inet->host ? inet->host : (char *)"";
    *fd = (FdSocketAddress) { o->fd };
    *ret = (SocketAddress) { tcp ? SOCKET_ADDRESS_INET : o->fd ? SOCKET_ADDRESS_FD : SOCKET_ADDRESS_UNIX,
                             tcp ? (void *)inet : o->fd ? (void *)fd : (void *)&o->local };
    return true;
}

bool chardev_socket_address(const ChardevSocketOptions *o, SocketAddress *ret, GError **error)
{
    SocketAddress address = o->addr;
    InetSocketAddress inet;
    FdSocketAddress fd;

    if ((!address.data && !flat_address(o, &inet, &fd, &address, error)) || !check_socket(o, error) ||
        !check_address(o, &address, error)) {
        return false;
    }
    *ret = socket_address_copy(&address);
    return true;
}

/* ---- making them ---- */

/* Nobody waits while the domain runs. */
static bool check_added_socket(ChardevSocketOptions *o, GError **error)
{
    if (o->has_wait && o->wait) {
        error_set(error, "'wait' is for the start: the domain would stand still until somebody connects");
        return error_hint(error, "Say wait=false.");
    }
    o->nowait = o->server && !o->has_wait;
    return true;
}

Chardev *chardev_add(Domain *domain, const Json *json, GError **error)
{
    AddOptions options;
    Chardev *chr = NULL;

    if (!field_struct_parse(&chardev_options, json, FIELD_STRICT, &options, error)) {
        return NULL;
    }
    if (options.backend.type != BACKEND_SOCKET || check_added_socket(options.backend.data, error)) {
        chr = chardev_create(domain, options.id, classes[options.backend.type], options.backend.data, error);
    }
    field_struct_clear(&chardev_options, &options);
    return chr;
}

/* mux=on: the backend is called ID-base, and a mux on it has the id. */
static Chardev *create_shared(Domain *domain, const TextOptions *options, GError **error)
{
    g_autofree char *base_id = g_strconcat(options->id, "-base", NULL);
    ChardevMuxOptions mux = { .chardev = base_id };
    Chardev *base = chardev_create(domain, base_id, classes[options->backend], options->options, error);
    Chardev *chr;

    if (!base) {
        return NULL;
    }
    chr = chardev_create(domain, options->id, &chardev_mux_class, &mux, error);
    if (!chr) {
        chardev_remove(domain, base_id, NULL);
    }
    return chr;
}

/* Every struct of options begins with the common ones. */
static Chardev *create_from_text(Domain *domain, const TextOptions *options, GError **error)
{
    const ChardevCommonOptions *common = options->options;

    return common->mux ? create_shared(domain, options, error)
                       : chardev_create(domain, options->id, classes[options->backend], common, error);
}

Chardev *chardev_add_text(Domain *domain, const char *text, GError **error)
{
    TextOptions options;
    Chardev *chr;

    if (!field_struct_parse_text(&chardev_text_options, text, "backend", &options, error)) {
        return NULL;
    }
    chr = create_from_text(domain, &options, error);
    field_struct_clear(&chardev_text_options, &options);
    return chr;
}

/* ---- short forms ---- */

static char *expand_path(const char *backend, const char *path)
{
    g_autofree char *escaped = keyval_quote(path);

    return g_strdup_printf("%s,path=%s", backend, escaped);
}

/* tcp:HOST:PORT[,...] or telnet:; an IPv6 address is in brackets. */
static char *expand_tcp(const char *text, GError **error)
{
    const char *rest = strchr(text, ':') + 1;
    size_t length = strcspn(rest, ",");
    const char *colon = g_strrstr_len(rest, length, ":");
    const char *host = rest;
    size_t host_length;

    if (!colon) {
        error_set(error, "'%s' has no port", text);
        error_hint(error, "Use %.*sHOST:PORT[,server=on][,wait=off].", (int)(rest - text), text);
        return NULL;
    }
    host_length = colon - rest;
    if (host_length >= 2 && host[0] == '[' && host[host_length - 1] == ']') {
        host++;
        host_length -= 2;
    }
    return g_strdup_printf("socket,host=%.*s,port=%s%s", (int)host_length, host, colon + 1,
                           g_str_has_prefix(text, "telnet:") ? ",telnet=on" : "");
}

/* The -chardev text of a short form, still without id. */
static char *expand(const char *text, GError **error)
{
    static const char *const plain[] = { "null", "pty", "stdio", NULL };

    if (g_strv_contains(plain, text)) {
        return g_strdup(text);
    }
    if (g_str_has_prefix(text, "file:")) {
        return expand_path("file", text + strlen("file:"));
    }
    if (g_str_has_prefix(text, "pipe:")) {
        return expand_path("pipe", text + strlen("pipe:"));
    }
    if (g_str_has_prefix(text, "unix:")) {
        return g_strdup_printf("socket,path=%s", text + strlen("unix:"));
    }
    if (g_str_has_prefix(text, "tcp:") || g_str_has_prefix(text, "telnet:")) {
        return expand_tcp(text, error);
    }
    error_set(error, "'%s' is no character device", text);
    error_hint(error,
        "Use none, null, stdio, pty, file:PATH, pipe:PATH, unix:PATH[,server=on], tcp:HOST:PORT[,server=on], "
        "telnet:HOST:PORT[,server=on], mon: before one of these, or chardev:ID.");
    return NULL;
}

/* With mon: in front, keys such as Ctrl-C are the guest's. */
bool chardev_add_short(Domain *domain, const char *id, const char *text, Chardev **ret, GError **error)
{
    bool shared = g_str_has_prefix(text, "mon:");
    const char *inner = shared ? text + strlen("mon:") : text;
    g_autofree char *expanded = NULL, *full = NULL;
    Chardev *chr;

    if (g_str_equal(text, "none")) {
        *ret = NULL;
        return true;
    }
    if (g_str_has_prefix(text, "chardev:")) {
        chr = chardev_find(domain, text + strlen("chardev:"), error);
    } else {
        expanded = expand(inner, error);
        if (!expanded) {
            return false;
        }
        full = g_strdup_printf("%s,id=%s%s%s", expanded, id, shared ? ",mux=on" : "",
            shared && g_str_equal(inner, "stdio") ? ",signal=off" : "");
        chr = chardev_add_text(domain, full, error);
    }
    if (chr) {
        chr->wants_monitor |= shared;
        *ret = chr;
    }
    return chr != NULL;
}
