/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SIGINT, SIGTERM and SIGHUP end the domain in order.  Main thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct Domain Domain;
typedef struct Signals Signals;

/* Blocks them on the calling thread; threads made later inherit that.  SIGPIPE is ignored. */
void signals_block(void);
/* From now on they ask the domain to shut down. */
Signals *signals_attach(Domain *domain, GError **error);
void signals_detach(Signals *signals); /* NULL is fine */
