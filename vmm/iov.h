/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arithmetic on iovecs, as devices and backends need it.  Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* Copies between [offset, offset + length) of iov and a buffer; bytes done (less at the end of iov). */
uint64_t iov_to_buffer(const struct iovec *iov, unsigned n, uint64_t offset, void *buffer, uint64_t length);
uint64_t iov_from_buffer(const struct iovec *iov, unsigned n, uint64_t offset, const void *buffer, uint64_t length);
uint64_t iov_fill(const struct iovec *iov, unsigned n, uint64_t offset, int byte, uint64_t length);
uint64_t iov_total(const struct iovec *iov, unsigned n);
/* That part of iov as iovecs which point into it; ret has room for n; how many there are. */
unsigned iov_slice(const struct iovec *iov, unsigned n, uint64_t offset, uint64_t length, struct iovec *ret);
bool iov_is_zero(const struct iovec *iov, unsigned n);
/* Every piece begins at, and is as long as, a multiple of alignment (a power of two). */
bool iov_is_aligned(const struct iovec *iov, unsigned n, uint64_t alignment);
