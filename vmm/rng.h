/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sources of random bytes: objects rng-builtin (the host kernel's getrandom),
 * rng-random (a file such as /dev/hwrng) and rng-egd (a daemon behind a chardev).
 *
 * Main thread.  Answers come later from the main loop, in order of the requests,
 * never from inside rng_request().
 */
#pragma once

#include "vmm/object.h"

typedef struct Rng Rng;

/* length is from 1 to the size asked for; data is valid during the call. */
typedef void (*RngDone)(void *opaque, const uint8_t *data, size_t length);

/* size: at least 1; more than RNG_REQUEST_MAX is answered by RNG_REQUEST_MAX at most. */
#define RNG_REQUEST_MAX 4096
void rng_request(Rng *rng, size_t size, RngDone done, void *opaque);
void rng_cancel(Rng *rng, void *opaque); /* all requests of that opaque: done is not called any more */

/* For a device whose "rng" property is not set. */
Rng *rng_new_builtin(Domain *domain);
void rng_free_builtin(Rng *rng); /* NULL is fine */

typedef struct RngClass {
    ObjectClass object;
    void (*start)(Rng *rng); /* the first request of an empty queue has come: get as many bytes as all of it wants */
    void (*stop)(Rng *rng);  /* the queue is empty; NULL: nothing to do */
} RngClass;

extern const RngClass rng_builtin_class, rng_egd_class, rng_random_class;
extern const FieldStruct rng_builtin_props, rng_egd_props, rng_random_props;
extern const LinkClass rng_link; /* slot: Rng * */
