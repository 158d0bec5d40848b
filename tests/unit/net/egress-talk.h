/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest behind an egress policy and its network say to each other, in one word each, for the test that runs: its
 * rig is `rig`.  Those that send say whether it was handed on.
 */
#pragma once

#include "tests/unit/net/egress-rig.h"

#define OUT  "192.0.2.7"
#define OUT6 "2001:db8::7"

extern EgressRig *rig; /* of the test that runs */

void with(const char *policy);
int egress_teardown(void **state);
bool guest(const uint8_t *frame, size_t length);
bool syn_from(const char *from, const char *to, unsigned port);
bool syn(const char *to, unsigned port);
bool segment(const char *to, unsigned port, uint32_t seq, uint32_t ack, size_t payload);
bool datagram(const char *to, unsigned port);
bool ping(const char *to);
bool answer_segment(const char *from, unsigned port, unsigned flags, uint32_t seq, uint32_t ack, size_t payload);
bool answer_datagram(const char *from, unsigned port, unsigned guest_port);
bool ask(const char *name);
bool told(const char *name, unsigned ttl, const char *const *records);
void resolve(const char *name, unsigned ttl, const char *address);
void change(bool deny, bool add, const char *rule);
bool reset_told(void);
bool prohibition_told(void);
void audited(const char *text);
