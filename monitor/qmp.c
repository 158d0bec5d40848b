/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See monitor/qmp.h.  A command runs to its end where its request is read, so `exec-oob` overtakes nothing, and is
 * answered at once like everything else.  Each round of the main loop takes one request of each client: who sends
 * hundreds at once, or expensive ones, does not keep the others waiting.
 */
#include "monitor/qmp.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "monitor/commands.h"
#include "monitor/json-stream.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"

#define OUT_PAUSE (256u << 10) /* unread replies from which on no request is taken */
#define OUT_MAX   (16u << 20)  /* ... and from which on events are lost */
#define INPUT_MAX 4096 /* bytes that wait for their turn */

/* What QEMU's clients look for: the dialect that we speak. */
typedef struct VersionTriple { int64_t major, minor, micro; } VersionTriple;
typedef struct VersionInfo { VersionTriple qemu; char *package; } VersionInfo;
static const Field version_triple_fields[] = {
    F_INT("major", VersionTriple, major, 0, .flags = FIELD_REQUIRED, .help = "Major number"),
    F_INT("minor", VersionTriple, minor, 0, .flags = FIELD_REQUIRED, .help = "Minor number"),
    F_INT("micro", VersionTriple, micro, 0, .flags = FIELD_REQUIRED, .help = "Micro number"),
    FIELD_END
};
static const FieldStruct version_triple = { .name = "VersionTriple", .size = sizeof(VersionTriple),
                                            .fields = version_triple_fields };
static const Field version_fields[] = {
    F_STRUCT("qemu", VersionInfo, qemu, &version_triple, .flags = FIELD_REQUIRED,
             .help = "The version of QEMU whose commands these are"),
    F_STR("package", VersionInfo, package, NULL, .flags = FIELD_REQUIRED, .help = "This program and its version"),
    FIELD_END
};
static const FieldStruct version_info = { .name = "VersionInfo", .size = sizeof(VersionInfo),
                                          .fields = version_fields };

static const FieldEnum capability_enum = { "QMPCapability", (const char *const[]) { "oob", NULL } };
static const Field capability_element = FIELD_VALUE(FIELD_ENUM, int, .of.enumeration = &capability_enum);
typedef struct CapabilitiesArgs { FieldList enable; } CapabilitiesArgs;
static const FieldStruct capabilities_args = {
    .name = "QmpCapabilitiesArguments", .size = sizeof(CapabilitiesArgs),
    .fields = (const Field[]) {
        F_LIST("enable", CapabilitiesArgs, enable, &capability_element, .help = "Capabilities to enable"), FIELD_END
    },
};

typedef struct Request { char *execute, *exec_oob; Json *arguments, *id; } Request;
static const FieldStruct request_desc = {
    .name = "Request", .size = sizeof(Request),
    .fields = (const Field[]) {
        F_STR("execute", Request, execute, NULL, .help = "The command"),
        F_STR("exec-oob", Request, exec_oob, NULL, .help = "The command, to be run out of band"),
        FIELD_AT("arguments", FIELD_ANY, Request, arguments, .help = "Its arguments"),
        FIELD_AT("id", FIELD_ANY, Request, id, .help = "Comes back with the reply"),
        FIELD_END
    },
};

struct Qmp {
    Domain *domain;
    Chardev *chr;
    bool pretty;
    void (*closed)(void *opaque); /* NULL: nobody wants to know */
    void *closed_opaque;
    /* Of the present client. */
    bool open, negotiated, oob, lossy;
    JsonStream *in;
    uint8_t input[INPUT_MAX]; /* not looked at yet */
    size_t input_used;
    LoopBatch turn;           /* the next request of them */
    GString *out;
    CommandFds fds;
    int passed; /* a descriptor that came with its bytes, or -1 */
};

/* ---- output ---- */

static void flush(Qmp *qmp)
{
    size_t taken = chardev_write(qmp->chr, (const uint8_t *)qmp->out->str, qmp->out->len);

    g_string_erase(qmp->out, 0, (gssize)taken);
    if (qmp->out->len) {
        chardev_want_write(qmp->chr);
    }
}

/* Frees the writer. */
static void send(Qmp *qmp, JsonWriter *w)
{
    g_autofree char *text = json_writer_finish(w);

    g_string_append(qmp->out, text);
    g_string_append(qmp->out, "\r\n");
    flush(qmp);
}

/* Goes on where the client may: with what it has sent, or by reading more.  Who has left gets what was read of it done,
 * since many send a request and go, and not the thousands behind that, for which the next client would wait. */
static void take_turn(Qmp *qmp)
{
    if (qmp->out->len >= OUT_PAUSE) {
        return; /* on_writable() goes on */
    }
    if (qmp->input_used) {
        loop_batch(domain_loop(qmp->domain), &qmp->turn);
    } else if (!chardev_end_lost(qmp->chr)) {
        chardev_accept_input(qmp->chr);
    }
}

static void on_writable(void *opaque)
{
    Qmp *qmp = opaque;

    flush(qmp);
    if (qmp->out->len < OUT_PAUSE) {
        qmp->lossy = false;
        take_turn(qmp);
    }
}

static void version(VersionInfo *ret)
{
    *ret = (VersionInfo) { { 7, 2, 0 }, g_strdup("lodge " LODGE_VERSION) };
}

static void greet(Qmp *qmp)
{
    JsonWriter *w = json_writer_new(qmp->pretty);
    VersionInfo info;

    version(&info);
    json_write_begin_object(w, NULL);
    json_write_begin_object(w, "QMP");
    field_struct_write(&version_info, &info, w, "version");
    json_write_begin_array(w, "capabilities");
    json_write_string(w, NULL, "oob");
    json_write_end_array(w);
    json_write_end_object(w);
    json_write_end_object(w);
    field_struct_clear(&version_info, &info);
    send(qmp, w);
}

static void on_domain_event(const Event *event, void *opaque)
{
    Qmp *qmp = opaque;
    JsonWriter *w;

    if (!qmp->negotiated) {
        return;
    }
    if (qmp->out->len > OUT_MAX) {
        if (!qmp->lossy) {
            log_warning("%s: the monitor's client does not read; events are lost", chardev_id(qmp->chr));
        }
        qmp->lossy = true;
        return;
    }
    w = json_writer_new(qmp->pretty);
    json_write_begin_object(w, NULL);
    json_write_begin_object(w, "timestamp");
    json_write_int(w, "seconds", event->time_us / G_USEC_PER_SEC);
    json_write_int(w, "microseconds", event->time_us % G_USEC_PER_SEC);
    json_write_end_object(w);
    json_write_string(w, "event", event->type->name);
    if (event->data) {
        json_write_value(w, "data", event->data);
    }
    json_write_end_object(w);
    send(qmp, w);
}

/* ---- requests ---- */

/* *ret_id is set where there is one, also on failure. */
static bool parse_request(const Json *json, Request *ret, Json **ret_id, GError **error)
{
    Json *id;

    if (json_type_of(json) != JSON_OBJECT) {
        return error_set(error, "QMP input must be a JSON object");
    }
    id = json_object_get_member(json, "id");
    *ret_id = id ? json_ref(id) : NULL;
    if (!field_struct_parse(&request_desc, json, FIELD_STRICT, ret, error)) {
        return false;
    }
    if (!ret->execute == !ret->exec_oob) {
        error_set(error, ret->execute ? "QMP input has both 'execute' and 'exec-oob'"
                                      : "QMP input lacks member 'execute'");
    } else if (ret->arguments && json_type_of(ret->arguments) != JSON_OBJECT) {
        error_set(error, "QMP input member 'arguments' must be an object");
    } else {
        return true;
    }
    field_struct_clear(&request_desc, ret);
    return false;
}

static const Command *find_command(Qmp *qmp, const Request *request, GError **error)
{
    const char *name = request->execute ? request->execute : request->exec_oob;
    const Command *command = command_find(name, NULL);
    bool negotiates = command && command == qmp_commands;

    if (!qmp->negotiated && !negotiates) {
        error_set_class(error, ERROR_COMMAND_NOT_FOUND, "Expecting capabilities negotiation with 'qmp_capabilities'");
        return NULL;
    }
    if (qmp->negotiated && negotiates) {
        error_set_class(error, ERROR_COMMAND_NOT_FOUND,
                        "Capabilities negotiation is already complete, command ignored");
        return NULL;
    }
    if (!command) {
        return command_find(name, error);
    }
    if (request->exec_oob && !qmp->oob) {
        error_set(error, "Out-of-band execution is not enabled");
        error_hint(error, "Enable the capability 'oob' with qmp_capabilities.");
        return NULL;
    }
    if (request->exec_oob && !(command->flags & COMMAND_OOB)) {
        error_set(error, "The command %s does not support OOB", name);
        return NULL;
    }
    return command;
}

static bool execute(Qmp *qmp, const Json *json, JsonWriter *w, Json **ret_id, GError **error)
{
    CommandCall call = { .domain = qmp->domain, .fds = &qmp->fds, .session = qmp };
    const Command *command;
    Request request;
    bool ok = false;

    if (!parse_request(json, &request, ret_id, error)) {
        return false;
    }
    call.arguments = request.arguments;
    command = find_command(qmp, &request, error);
    if (command) {
        host_set_named_fds(qmp->fds.named);
        ok = command_run(command, &call, w, "return", error);
        host_set_named_fds(NULL);
    }
    field_struct_clear(&request_desc, &request);
    return ok;
}

static void write_error(JsonWriter *w, const GError *error)
{
    g_autofree char *text = error_text(error);

    json_write_begin_object(w, "error");
    json_write_string(w, "class", error_class_name(error));
    json_write_string(w, "desc", text);
    json_write_end_object(w);
}

/* json NULL: error says why it is none. */
static void answer(Qmp *qmp, const Json *json, GError *error)
{
    JsonWriter *w = json_writer_new(qmp->pretty);
    g_autoptr(GError) wrong = error;
    g_autoptr(Json) id = NULL;

    json_write_begin_object(w, NULL);
    if (!json || !execute(qmp, json, w, &id, &wrong)) {
        write_error(w, wrong);
    }
    if (id) {
        json_write_value(w, "id", id);
    }
    json_write_end_object(w);
    send(qmp, w);
}

/* ---- input ---- */

static size_t can_receive(void *opaque)
{
    const Qmp *qmp = opaque;

    return qmp->open && !qmp->input_used && qmp->out->len < OUT_PAUSE ? INPUT_MAX : 0;
}

static int take_passed(void *opaque)
{
    Qmp *qmp = opaque;
    int fd = qmp->passed;

    qmp->passed = -1;
    return fd;
}

static void drop_passed(Qmp *qmp)
{
    if (qmp->passed >= 0) {
        close(take_passed(qmp));
    }
}

/* They come with the first bytes of a request, which may be in pieces: the chardev forgets them with the next piece.  A
 * request takes one; the others of its message go, and so does what no request took when newer ones come. */
static void keep_passed(Qmp *qmp)
{
    int fd = chardev_take_fd(qmp->chr);

    if (fd < 0) {
        return;
    }
    drop_passed(qmp);
    qmp->passed = fd;
    while ((fd = chardev_take_fd(qmp->chr)) >= 0) {
        close(fd);
    }
}

static void serve(void *opaque)
{
    Qmp *qmp = opaque;
    g_autoptr(Json) json = NULL;
    GError *error = NULL;
    size_t n;

    if (loop_defer(domain_loop(qmp->domain), &qmp->turn)) {
        return; /* a command waits for requests to end */
    }
    n = json_stream_read(qmp->in, qmp->input, qmp->input_used, &json, &error);
    qmp->input_used -= n;
    memmove(qmp->input, qmp->input + n, qmp->input_used);
    if (json || error) {
        answer(qmp, json, error);
    }
    take_turn(qmp);
}

static void on_receive(void *opaque, const uint8_t *data, size_t length)
{
    Qmp *qmp = opaque;

    keep_passed(qmp);
    memcpy(qmp->input, data, length);
    qmp->input_used = length;
    serve(qmp);
}

static void close_named(gpointer fd)
{
    close(GPOINTER_TO_INT(fd));
}

/* What belongs to a client goes, the next one begins with nothing. */
static void begin_client(Qmp *qmp)
{
    json_stream_reset(qmp->in);
    loop_batch_cancel(domain_loop(qmp->domain), &qmp->turn);
    qmp->input_used = 0;
    g_string_truncate(qmp->out, 0);
    g_hash_table_remove_all(qmp->fds.named);
    drop_passed(qmp);
    qmp->negotiated = qmp->oob = qmp->lossy = false;
}

static void set_open(Qmp *qmp, bool open)
{
    if (open && !qmp->open) {
        host_fdset_client_came();
    } else if (!open && qmp->open) {
        host_fdset_client_left(domain_is_running(qmp->domain));
    }
    qmp->open = open;
}

static void on_chardev_event(void *opaque, ChardevEvent event)
{
    Qmp *qmp = opaque;

    if (event == CHARDEV_OPENED || event == CHARDEV_CLOSED) {
        set_open(qmp, event == CHARDEV_OPENED);
        begin_client(qmp);
    }
    if (event == CHARDEV_OPENED) {
        greet(qmp);
        chardev_accept_input(qmp->chr);
    } else if (event == CHARDEV_CLOSED && qmp->closed) {
        qmp->closed(qmp->closed_opaque);
    }
}

void qmp_on_close(Qmp *qmp, void (*fn)(void *opaque), void *opaque)
{
    qmp->closed = fn;
    qmp->closed_opaque = opaque;
}

Qmp *qmp_new(Domain *domain, Chardev *chr, bool pretty, GError **error)
{
    Qmp *qmp = g_new0(Qmp, 1);
    ChardevFrontend front = { .can_receive = can_receive, .receive = on_receive, .event = on_chardev_event,
                              .writable = on_writable, .opaque = qmp, .commands = true };

    qmp->domain = domain;
    qmp->chr = chr;
    qmp->pretty = pretty;
    qmp->passed = -1;
    qmp->turn = (LoopBatch) { .fn = serve, .opaque = qmp };
    qmp->in = json_stream_new();
    qmp->out = g_string_new(NULL);
    qmp->fds = (CommandFds) { take_passed, qmp, g_hash_table_new_full(g_str_hash, g_str_equal, g_free, close_named) };
    event_listen(domain, on_domain_event, qmp);
    if (!chardev_attach(chr, &front, error)) {
        qmp->chr = NULL;
        qmp_free(qmp);
        return NULL;
    }
    return qmp;
}

void qmp_free(Qmp *qmp)
{
    if (!qmp) {
        return;
    }
    if (qmp->chr) {
        chardev_detach(qmp->chr, qmp);
    }
    event_unlisten(qmp->domain, on_domain_event, qmp);
    set_open(qmp, false);
    begin_client(qmp); /* nothing of the last one's is left open */
    json_stream_free(qmp->in);
    g_string_free(qmp->out, TRUE);
    g_hash_table_unref(qmp->fds.named);
    g_free(qmp);
}

/* ---- commands ---- */

static bool qmp_capabilities(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const CapabilitiesArgs *args = opaque;
    Qmp *qmp = call->session;

    if (!qmp) {
        return error_set(error, "There is nothing to negotiate on this monitor");
    }
    qmp->negotiated = true;
    qmp->oob = args->enable.n > 0; /* it is the only one */
    return true;
}

static bool query_version(CommandCall *call, const void *args, void *ret, GError **error)
{
    version(ret);
    return true;
}

const Command qmp_commands[] = {
    { "qmp_capabilities", qmp_capabilities, &capabilities_args, .help = "Begin to take commands" },
    { "query-version", query_version, NULL, COMMAND_RETURNS(VersionInfo, &version_info),
      .help = "Tell the version of the dialect and of the program" },
    COMMAND_END
};
