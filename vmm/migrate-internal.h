/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of a migration share (vmm/migrate.h):
 *
 *   migrate.c           the control: status, the thread, steps on the main thread, URIs
 *   migrate-blockers.c  what stands in the way
 *   migrate-outgoing.c  the source's thread
 *   migrate-incoming.c  the destination's
 *   migrate-listen.c    where it waits for it
 *   migrate-connect.c   more connections (vmm/migrate-multifd.h)
 *   migrate-converge.c  auto-converge
 *   migrate-exec.c      exec:
 *   migrate-file.c      file:, outgoing
 *   migrate-lifeline.c  whether the other end lives (vmm/migrate-lifeline.h)
 *   migrate-commands.c  QMP
 */
#pragma once

#include <pthread.h>

#include "vmm/domain-internal.h"
#include "vmm/migrate-lifeline.h"
#include "vmm/migrate-multifd.h"
#include "vmm/migrate-ram.h"
#include "vmm/migrate.h"

typedef enum MigrateStatus {
    MIGRATE_NONE, MIGRATE_SETUP, MIGRATE_CANCELLING, MIGRATE_CANCELLED, MIGRATE_ACTIVE, MIGRATE_PRE_SWITCHOVER,
    MIGRATE_DEVICE, MIGRATE_COMPLETED, MIGRATE_FAILED, MIGRATE_STATUSES
} MigrateStatus;
extern const FieldEnum migrate_status_enum;

/* Of auto-converge, percent. */
typedef struct MigrateThrottle {
    uint8_t initial, increment, max;
    uint8_t trigger; /* of what goes out in a pass, the guest may change */
    bool tailslow;
} MigrateThrottle;

/* What migrate-set-parameters says.  What a migration's thread reads is atomic, each for itself. */
typedef struct MigrateParameters {
    uint64_t max_bandwidth;  /* bytes a second; 0: any */
    uint64_t downtime_limit; /* ms */
    uint8_t multifd_channels, zlib_level, zstd_level;
    int compression;         /* MigrateCompression */
    MigrateThrottle throttle;
    MigrateAnnounce announce; /* main thread */
} MigrateParameters;

typedef enum MigrateCapability {
    MIGRATE_EVENTS, MIGRATE_PAUSE, MIGRATE_RETURN_PATH, MIGRATE_MULTIFD, MIGRATE_AUTO_CONVERGE, MIGRATE_CAPABILITIES
} MigrateCapability;
extern const FieldEnum migrate_capability_enum;

typedef struct Migration Migration;
/* On the main thread; false fails the migration. */
typedef bool (*MigrateStepFn)(Migration *m, GError **error);

typedef enum MigrateKind { MIGRATE_TO_CHANNEL, MIGRATE_TO_FILE } MigrateKind;
typedef struct MigrateUri {
    MigrateKind kind;
    bool unix_socket;
    char *path, *host, *port; /* of unix: and file:, of tcp: */
    char *command;            /* of exec: */
    int fd;                   /* of fd:; -1 */
    int lazy;                 /* MigrateLazy; of an incoming file: */
} MigrateUri;

/* One migration.  The main thread's, but for what the thread works with until it has ended. */
struct Migration {
    struct MigrateControl *control;
    Domain *domain;
    bool (*work)(Migration *m, GError **error);  /* the thread */
    MigrateStepFn succeeded;                     /* its last step */
    void (*failed)(Migration *m, GError *error); /* main thread */
    MigrateUri uri;
    MigrateChannel *channel;
    MigrateLifeline *lifeline; /* NULL: nothing proves that the channel ends in the other process */
    struct HostCommand *command; /* exec:, it has the channel's other end; NULL: none */
    MultifdOptions multifd_options;
    MultifdOut *out;          /* the thread's; NULL: one channel is all */
    MultifdIn *in;            /* the thread sets it under mutex; NULL: likewise */
    int file;                 /* mapped; -1 */
    bool created;             /* the file was not there before */
    MigrateRam *ram;
    MigrateHeader header;     /* of this domain */
    GByteArray *state;
    char *run_state;          /* that the container says */
    bool committed;           /* by a step: the other end may run, nobody can cancel any more */
    bool sent_all;            /* the source only waits for an answer */
    bool refused;             /* the destination has said that it does not run */
    bool asked;               /* destination: the source only wants to know whether it could go on here */
    bool uncertain;           /* nobody knows whether the other end runs */
    bool stopped;             /* source: by a step, to send the rest */
    unsigned too_dirty, throttle; /* auto-converge: passes after which too much was dirty; percent */
    /* The thread, and its step. */
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool quit, cont;          /* mutex: the domain ends; migrate-continue */
    struct Step *step;        /* mutex; NULL: none */
    GError *failure;          /* the thread's, until its last step */
    /* For query-migrate: atomic. */
    int64_t begin_ns, active_ns, stop_ns, end_ns;
    uint64_t passes, bandwidth, dirty_rate, expected_ms, precopy_bytes, multifd_bytes;
};

struct MigrateControl {
    Domain *domain;
    const MigrateStorage *storage; /* NULL: there are no disks */
    unsigned status;               /* atomic; MigrateStatus */
    char *error;                   /* of the last migration */
    MigrateParameters parameters;
    bool capability[MIGRATE_CAPABILITIES]; /* a source's stay while it has a thread */
    Migration *migration;          /* the last one; NULL: there was none */
    GPtrArray *waiters;            /* LoopBatch: for its end */
    bool only;                     /* -only-migratable */
    bool incoming, run;            /* -incoming; run when it is there, if it ran */
    bool cont;                     /* somebody has said so since: it runs even if it was paused */
    void (*ready)(void);           /* of migrate_incoming(), until it is called */
    int userfault;                 /* for shared memory; negative errno: it cannot be had */
    RamFill *fill;                 /* what comes as it is touched; NULL: nothing */
    struct LoopFd *listener;
    int listen_fd;
    char *listen_path;
};

/* ---- main thread ---- */
struct MigrateControl *migrate_control(Domain *domain);
bool migrate_uri_parse(const char *text, bool incoming, MigrateUri *ret, GError **error);
void migrate_uri_clear(MigrateUri *uri);
Migration *migration_new(Domain *domain, MigrateUri *uri); /* takes what is in uri; forgets the last one */
bool migration_start(Migration *m, GError **error);
bool migration_under_way(const struct MigrateControl *control);
void migration_cancel(Migration *m);
/* Why this domain cannot move; each a sentence.  Freed by the caller. */
GPtrArray *migrate_blocked_reasons(Domain *domain);
/* Its thread takes its last step: the other end sees that this one is done. */
void migration_close(Migration *m);
bool migrate_outgoing_begin(Domain *domain, MigrateUri *uri, const char *definition, GError **error);
bool migrate_incoming_begin(Domain *domain, MigrateUri *uri, GError **error);
bool migrate_incoming_start(Migration *m, bool file, GError **error);
void migrate_incoming_failed(Migration *m, GError *error);
/* At m->uri; again, when somebody has only asked. */
bool migrate_listen(Migration *m, GError **error);
void migrate_listen_again(Migration *m);
void migrate_incoming_unlisten(struct MigrateControl *control);
bool migrate_storage_inactivate(struct MigrateControl *control, GError **error);
bool migrate_storage_activate(struct MigrateControl *control, GError **error);

/* exec: starts m->uri.command, which reads the stream or writes it. */
bool migrate_command_start(Migration *m, bool reads, GError **error);

/* Source, file: */
bool migrate_file_open(Migration *m, GError **error);

/* Source: whether several connections are asked for, and possible. */
bool migrate_prepare_multifd(Migration *m, GError **error);

void migrate_set_status(struct MigrateControl *control, MigrateStatus status); /* and tells of it */

/* ---- any thread ---- */
int migrate_uri_connect(const MigrateUri *uri, GError **error); /* of unix: and tcp: */
MigrateStatus migrate_status(const struct MigrateControl *control);

/* ---- the migration's thread ---- */
bool migration_on_main(Migration *m, MigrateStepFn step, GError **error);
/* Until migrate-continue. */
bool migration_wait_continue(Migration *m, GError **error);
/* Source, destination: the other connections, if there are to be some. */
bool migrate_connect_channels(Migration *m, GError **error);
bool migrate_accept_channels(Migration *m, const MigrateHeader *theirs, GError **error);
bool migrate_wait_channels(void *migration, GError **error); /* a MigrateCompleteFn */
/* Source: after a pass in which so many bytes went out, so many are dirty. */
bool migrate_converge(Migration *m, uint64_t dirty, uint64_t sent, GError **error);
/* Source, file: what is in it is on the disk, before the guest has to wait for that. */
bool migrate_file_sync(Migration *m, GError **error);
/* ... the devices' state, then what makes it whole. */
bool migrate_file_finish(Migration *m, GError **error);
/* exec: all is written; waits for the command's end.  True at once where there is no command. */
bool migrate_command_finish(Migration *m, GError **error);
/* exec: if the command has failed, that takes the place of the error that its pipe gave. */
void migrate_command_explain(Migration *m, GError **error);
bool migration_read(void *migration, void *data, size_t length, GError **error); /* a MigrateReadFn */
