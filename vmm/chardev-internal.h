/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the chardev core (chardev.c, chardev-output.c), its option language
 * (chardev-options.c) and its backends share.
 *
 *   chardev_write()  -> [copy to logfile] -> class->write, what does not go out at
 *   (any thread)        once is kept in `out` and follows when the host takes it
 *   class' watch     -> chardev_input_room(), chardev_input() -> front end
 *   (main loop)         with the front end's lock held
 *
 * `lock` protects output: `out`, the flags beside it, and what class->write uses.
 * All else is the main thread's.
 */
#pragma once

#include "vmm/chardev.h"
#include "vmm/domain.h"
#include "vmm/socket-address.h"

typedef struct ChardevClass ChardevClass;

#define CHARDEV_OUT_MAX   65536 /* bytes kept for a host that is slow to take them */
#define CHARDEV_INPUT_MAX 4096  /* bytes read at once */
#define CHARDEV_ENCODE_MAX  512  /* bytes encoded at once, and what becomes of them at most */
#define CHARDEV_ENCODED_MAX (2 * CHARDEV_ENCODE_MAX + 1)

struct ChardevClass {
    const char *name; /* of the backend: "stdio" */
    size_t size;      /* struct with Chardev first */
    /* options: what the backend's row of the language describes.  On failure nothing is left. */
    bool (*open)(Chardev *chr, const void *options, GError **error);
    void (*close)(Chardev *chr);
    void (*keep)(Chardev *chr); /* chardev_keep_connections(); NULL: it has none */
    /* Lock held.  Bytes the host took without waiting; negative: it is gone (the class' own watch
     * notices too, and reports it). */
    ssize_t (*write)(Chardev *chr, const uint8_t *data, size_t length);
    /* Main thread: start or stop reporting that the host can take output, or give input. */
    void (*watch_output)(Chardev *chr, bool on);
    void (*resume_input)(Chardev *chr);
    /* Optional. */
    char *(*filename)(const Chardev *chr); /* NULL: the class' name */
    void (*send_break)(Chardev *chr);
    int (*take_fd)(Chardev *chr);
    int (*borrow_socket)(Chardev *chr);
    void (*hang_up)(Chardev *chr); /* the peer is gone, as write() may have said, or is to go */
    int (*output_fd)(const Chardev *chr); /* polled at the domain's end; -1: closed */
    size_t (*unread)(Chardev *chr); /* what the peer has yet to read, and loses when the chardev is closed */
    /* A mux: front ends and output are its own matter. */
    bool (*attach)(Chardev *chr, const ChardevFrontend *fe, GError **error);
    bool (*detach)(Chardev *chr, void *opaque);
    size_t (*pass)(Chardev *chr, const uint8_t *data, size_t length);
    Chardev *(*below)(Chardev *chr);
};

typedef enum ChardevWork {
    CHARDEV_WORK_OPENED   = 1, /* a front end came to an open backend */
    CHARDEV_WORK_OUTPUT   = 2, /* output waits for the host */
    CHARDEV_WORK_INPUT    = 4, /* the front end may take more */
    CHARDEV_WORK_WRITABLE = 8, /* the front end waits for room */
} ChardevWork;

struct Chardev {
    const ChardevClass *class;
    Domain *domain;
    char *id;
    ChardevFrontend fe;
    bool attached;
    bool frontend_open;
    bool wants_monitor;
    bool announced;      /* the front end knows that it is open */
    unsigned users;      /* links of devices and muxes */
    bool connected;      /* atomic */
    bool lost;           /* atomic: connected, but write() has found the peer gone */
    bool input_blocked;  /* atomic: the front end had no room */
    bool wants_write;    /* atomic: writable() is owed */
    int log_fd;          /* -1: none */
    Lock lock;           /* LOCK_LEAF */
    uint8_t *out;        /* ring of CHARDEV_OUT_MAX; NULL until needed */
    size_t out_head, out_used;
    /* For a line with a language of its own: writes at most CHARDEV_ENCODED_MAX bytes for `length`, which is
     * CHARDEV_ENCODE_MAX or less.  Lock held.  NULL: what is written goes as it is. */
    size_t (*encode)(Chardev *chr, const uint8_t *data, size_t length, uint8_t *out);
    unsigned work;       /* atomic: ChardevWork that a post is under way for */
    LoopBatch commands;  /* input for them, after a wait */
    bool removed;        /* the post frees it */
};

/* ---- between the parts of the core ---- */
void chardev_lock_front(Chardev *chr);
void chardev_unlock_front(Chardev *chr);
void chardev_leave_work(Chardev *chr, ChardevWork work);
void chardev_tell_writable(Chardev *chr);

/* ---- for backends, main thread ---- */
void chardev_event(Chardev *chr, ChardevEvent event);
/* What a front end of this chardev says that it takes. */
size_t chardev_front_room(Chardev *chr, const ChardevFrontend *fe);
/* What the front end takes now; 0 blocks input until it asks for more. */
size_t chardev_input_room(Chardev *chr);
void chardev_input(Chardev *chr, const uint8_t *data, size_t length);
/* Words of the line's own, behind what waits, not encoded: all or, where there is no room, none.  Any thread. */
void chardev_say(Chardev *chr, const uint8_t *data, size_t length);
/* The host takes output again. */
void chardev_output_ready(Chardev *chr);
/* The peer is gone: what waits for it is dropped. */
void chardev_drop_output(Chardev *chr);
bool chardev_output_pending(Chardev *chr);
/* Nobody uses it any more. */
void chardev_destroy(Chardev *chr);
/* Makes a chardev that no option language describes: the one below a mux. */
Chardev *chardev_create(Domain *domain, const char *id, const ChardevClass *class, const void *options, GError **error);

/* ---- options, one struct a backend ---- */
typedef struct ChardevCommonOptions {
    char *logfile;
    bool logappend;
    bool mux; /* of the flat form */
} ChardevCommonOptions;
typedef struct ChardevFileOptions {
    ChardevCommonOptions common;
    char *path, *input_path;
    bool append;
} ChardevFileOptions;
typedef struct ChardevPathOptions { /* pipe */
    ChardevCommonOptions common;
    char *path;
} ChardevPathOptions;
typedef struct ChardevStdioOptions {
    ChardevCommonOptions common;
    bool signal;
} ChardevStdioOptions;
typedef struct ChardevRingbufOptions {
    ChardevCommonOptions common;
    uint64_t size;
} ChardevRingbufOptions;
typedef struct ChardevSocketOptions {
    ChardevCommonOptions common;
    SocketAddress addr;     /* of chardev-add; without data: one of the next three */
    UnixSocketAddress local;
    InetSocketAddress inet;
    char *fd;
    bool server, wait, has_wait, nowait, nodelay, telnet;
    uint32_t reconnect; /* s; 0: never */
} ChardevSocketOptions;
/* Checks them, and says what address they name; the caller clears it.  Untouched on failure. */
bool chardev_socket_address(const ChardevSocketOptions *o, SocketAddress *ret, GError **error);
typedef struct ChardevMuxOptions {
    ChardevCommonOptions common;
    char *chardev;
} ChardevMuxOptions;

extern const ChardevClass chardev_null_class, chardev_ringbuf_class, chardev_file_class, chardev_pipe_class,
    chardev_stdio_class, chardev_pty_class, chardev_socket_class, chardev_mux_class;

/* The bytes a ringbuf holds, oldest first; they are taken out.  Main thread. */
size_t chardev_ringbuf_read(Chardev *chr, uint8_t *data, size_t length);

/* ---- for backends on descriptors: chardev-fd.c ---- */
typedef struct ChardevFd {
    Chardev chr; /* first */
    int in, out; /* owned; the same, or -1: none */
    LoopFd *in_watch, *out_watch;
    bool input_on, output_on; /* what is watched for */
    bool half_closes;         /* the peer may end its side, and read on */
    bool ended;               /* it has; it hangs up once it has been sent everything */
    /* What else input may tell; NULL: plain read().  As recvmsg() returns. */
    ssize_t (*receive)(struct ChardevFd *c, uint8_t *data, size_t length);
    ssize_t (*send)(struct ChardevFd *c, const uint8_t *data, size_t length);
    void (*hung_up)(struct ChardevFd *c); /* main thread: the peer is gone, or a read failed */
} ChardevFd;
/* Takes the descriptors and watches them. */
void chardev_fd_open(ChardevFd *c, int in, int out);
void chardev_fd_close(ChardevFd *c);
ssize_t chardev_fd_write(Chardev *chr, const uint8_t *data, size_t length);
void chardev_fd_watch_output(Chardev *chr, bool on);
void chardev_fd_resume_input(Chardev *chr);
int chardev_fd_output_fd(const Chardev *chr);
