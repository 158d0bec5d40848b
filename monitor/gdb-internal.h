/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the gdb server share.
 *
 *     chardev -> gdb-server.c -> gdb-packet.c -> gdb-server.c: the command's row
 *                                                  -> gdb-query.c, gdb-state.c, gdb-break.c, gdb-run.c
 *     run states -> gdb-run.c -> a stop reply
 *
 * A command is handed the packet behind its name, and replies, once, by one of the
 * functions below; only what resumes the guest leaves that to the stop.
 */
#pragma once

#include "monitor/gdb-packet.h"
#include "monitor/gdb-registers.h"
#include "monitor/gdb.h"
#include "monitor/hmp.h"
#include "vmm/chardev.h"
#include "vmm/vcpu.h"

#define GDB_BREAKPOINTS_MAX 1024

/* Error numbers of replies, which GDB shows and does not read. */
#define GDB_EINVAL "E22"
#define GDB_EFAULT "E14"

/* A thread-id of the protocol: a vCPU's index plus 1. */
#define GDB_THREAD_ANY UINT64_C(0)
#define GDB_THREAD_ALL UINT64_MAX

struct GdbServer {
    /* Constant. */
    Domain *domain;
    Chardev *chr;
    bool owns_chardev;      /* it was made for it */
    GdbRegisterSet registers;
    char *target_xml;
    HmpSession session;     /* of gdb's command `monitor` */
    /* Of the connection. */
    bool connected;
    bool busy;              /* with a packet */
    GdbWire wire;
    GByteArray *out;        /* what the chardev had no room for */
    unsigned current;       /* index of the vCPU that commands are about (Hg) */
    unsigned stepped;       /* ... and of the one that `s` steps (Hc) */
    unsigned listed;        /* how many vCPUs the list of threads has named */
    bool swbreak, hwbreak;  /* the client knows these reasons */
    bool physical;          /* addresses are guest-physical */
    GArray *breakpoints;    /* AccelBreakpoint */
    /* Run control. */
    bool awaits_stop;       /* it resumed the guest, and has not heard of it since */
    bool stepping;          /* some vCPU has a step to do, or has done it */
    bool paused;            /* the guest stands still because we said so */
    bool resume_on_close;
};

/* ---- gdb-server.c ---- */
void gdb_reply(GdbServer *s, const char *text);
void gdb_reply_ok(GdbServer *s);
void gdb_clear_connection(GdbServer *s);
Vcpu *gdb_vcpu(GdbServer *s, unsigned index); /* NULL: there is none now */
Vcpu *gdb_current(GdbServer *s); /* fetched; NULL: its state cannot be read */
/* "-1", "0", or a vCPU's number plus 1. */
bool gdb_parse_thread(const char **text, uint64_t *ret);

/* A command: `args` ends in NUL, and has that length. */
typedef struct GdbCommand {
    const char *name;
    void (*fn)(GdbServer *s, const char *args, size_t length);
    bool exact; /* nothing may follow the name */
} GdbCommand;
/* The first row whose name the packet begins with; false: none. */
bool gdb_dispatch(GdbServer *s, const GdbCommand *table, const char *data, size_t length);

/* ---- gdb-query.c ---- */
void gdb_query(GdbServer *s, const char *args, size_t length);
void gdb_set(GdbServer *s, const char *args, size_t length);
void gdb_set_thread(GdbServer *s, const char *args, size_t length);
void gdb_is_alive(GdbServer *s, const char *args, size_t length);

/* ---- gdb-state.c: registers and memory ---- */
void gdb_read_registers(GdbServer *s, const char *args, size_t length);
void gdb_write_registers(GdbServer *s, const char *args, size_t length);
void gdb_read_register(GdbServer *s, const char *args, size_t length);
void gdb_write_register(GdbServer *s, const char *args, size_t length);
void gdb_read_memory(GdbServer *s, const char *args, size_t length);
void gdb_write_memory(GdbServer *s, const char *args, size_t length);
void gdb_write_binary(GdbServer *s, const char *args, size_t length);

/* ---- gdb-break.c ---- */
void gdb_insert(GdbServer *s, const char *args, size_t length);
void gdb_remove(GdbServer *s, const char *args, size_t length);
void gdb_remove_breakpoints(GdbServer *s); /* all */
/* Hands a vCPU the breakpoints, and whether it is to step. */
bool gdb_arm(GdbServer *s, Vcpu *vcpu, bool step, GError **error);

/* ---- gdb-run.c ---- */
void gdb_run_attach(GdbServer *s);  /* a client came */
void gdb_run_detach(GdbServer *s);  /* it went: breakpoints and holds go */
void gdb_run_quiet(GdbServer *s);   /* before a command: the guest stands still */
void gdb_run_interrupt(GdbServer *s);
void gdb_run_plugged(Vcpu *vcpu, bool came, void *server);
void gdb_run_observe(Domain *domain, RunEvent event, RequestReason reason, void *server);
void gdb_why(GdbServer *s, const char *args, size_t length);
void gdb_continue(GdbServer *s, const char *args, size_t length);
void gdb_continue_signal(GdbServer *s, const char *args, size_t length);
void gdb_step(GdbServer *s, const char *args, size_t length);
void gdb_step_signal(GdbServer *s, const char *args, size_t length);
void gdb_cont(GdbServer *s, const char *args, size_t length); /* vCont */
void gdb_cont_actions(GdbServer *s, const char *args, size_t length); /* vCont? */
void gdb_detach(GdbServer *s, const char *args, size_t length);
void gdb_kill(GdbServer *s, const char *args, size_t length);
void gdb_kill_process(GdbServer *s, const char *args, size_t length); /* vKill */
