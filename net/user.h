/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `user` backend, between its files: user.c (frames, descriptors, timers), user-config.c (addresses),
 * user-forward.c (hostfwd, guestfwd), user-command.c (guestfwd to programs), user-log.c (what libslirp logs),
 * user-state.c (what is saved).
 */
#pragma once

#include <slirp/libslirp.h>

#include "net/coalesce.h"
#include "net/egress.h"
#include "net/netdev-options.h"
#include "net/usernet.h"
#include "vmm/chardev.h"

typedef struct NetUser NetUser;
typedef struct NetUserSaved NetUserSaved;
typedef struct NetGuestCommand NetGuestCommand;

/* What guestfwd connects an address of the network with. */
typedef struct NetGuestForward {
    NetUser *user;
    Chardev *chr;
    bool made; /* by its short form: it goes with the forward */
    struct in_addr address;
    int port;
} NetGuestForward;

struct NetUser {
    NetBackend backend; /* first */
    /* Constant once open */
    Slirp *slirp;
    Loop *loop;         /* the main loop */
    bool ipv4;
    char **dnssearch;
    uint8_t *flat;      /* a frame in one piece */
    NetEgress *egress;  /* NULL: the guest may reach everything */
    /* The loop's */
    NetQueue *queue;    /* NULL: no NIC */
    NetCoalescer coalescer;
    GQueue waiting;     /* GByteArray: frames that the NIC had no room for */
    LoopBatch batch;    /* slirp is to be asked for its descriptors */
    bool happened;      /* and first told what became of them */
    GHashTable *watches; /* descriptor to NetUserWatch */
    GArray *polled;     /* int: descriptors in the order in which slirp knows them */
    unsigned round;
    Timer *timeout;
    GPtrArray *forwards; /* NetGuestForward */
    GPtrArray *commands; /* NetGuestCommand */
    GArray *opened;     /* EgressForward */
    NetUserSaved *saved;
    GQueue resets;      /* GByteArray: what the egress policy sends in the guest's name */
};

/* user-config.c: fills *ret, which points into *o and *ret_dnssearch (the caller's). */
bool net_user_configure(const NetUserOptions *o, SlirpConfig *ret, char ***ret_dnssearch, GError **error);

/* Where it is, for an egress policy; what is the network's own. */
EgressPlace net_user_place(const NetUser *u, const SlirpConfig *config);

/* user-forward.c */
bool net_user_add_hostfwd(NetUser *u, const char *rule, GError **error);
bool net_user_remove_hostfwd(NetUser *u, const char *rule, GError **error);
bool net_user_add_guestfwd(NetUser *u, const char *rule, GError **error);
void net_user_remove_guestfwds(NetUser *u);
/* What guestfwds' chardevs have waiting may be taken now. */
void net_user_poll_guestfwds(NetUser *u);
/* The error of a guestfwd whose address cannot be one. */
bool net_user_no_place(struct in_addr address, int port, GError **error);

/* user-command.c: a guestfwd that leads to a program (libslirp keeps it until its own end).  NULL: error. */
NetGuestCommand *net_guest_command_new(NetUser *u, const char *text, struct in_addr address, int port, GError **error);
void net_guest_command_free(NetGuestCommand *c);
/* libslirp may have connected to it. */
void net_guest_command_accept(NetGuestCommand *c);

/* user-log.c: what libslirp logs becomes lines of our log, for the process' life. */
void net_user_hear_slirp(void);

/* user-state.c: its state is the domain's from now on. */
void net_user_save_state(NetUser *u);
void net_user_forget_state(NetUser *u);
/* A frame passes. */
void net_user_note_frame(NetUser *u, const uint8_t *frame, size_t length, bool from_guest);

/* user.c: a frame that slirp has not made. */
void net_user_tell_guest(NetUser *u, const uint8_t *frame, size_t length);
/* slirp's sockets or its need for time may have changed. */
void net_user_changed(NetUser *u);
