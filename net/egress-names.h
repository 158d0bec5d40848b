/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names as the guest learns them: questions to the network's name server and its answers (DNS, RFC 1035), and which
 * names stand for an address now.  Bounded.  One thread at a time.
 */
#pragma once

#include "net/egress-packet.h"

typedef struct EgressNames EgressNames;

EgressNames *egress_names_new(void);
void egress_names_free(EgressNames *names);

typedef struct EgressQuestion {
    uint16_t id, type;
    char name[256]; /* lower case, without the last dot */
    size_t end;     /* of the question in the message */
} EgressQuestion;
/* A message that asks one question, with at most EDNS options behind it, which nobody here looks at. */
bool egress_question_parse(const uint8_t *dns, size_t length, EgressQuestion *ret);
/* "There is no such name", to that question.  Length; 0: there is no room. */
size_t egress_make_no_such_name(const uint8_t *dns, const EgressQuestion *q, uint8_t *ret, size_t room);

/* A question goes out, from that port. */
void egress_names_ask(EgressNames *names, const EgressPacket *p, const EgressQuestion *q, int64_t now);
/* An answer comes in.  Learns its addresses; false: nobody asked, or it is malformed: it is not to be handed on.
 * *ret_learned: addresses of `name` (of 256 bytes); what cannot be printed in it is a question mark. */
bool egress_names_answer(EgressNames *names, const EgressPacket *p, int64_t now, unsigned *ret_learned, char *name);
/* NULL-terminated, borrowed until the next call of any of these. */
const char *const *egress_names_of(EgressNames *names, const EgressAddress *a, int64_t now);
unsigned egress_names_count(EgressNames *names, int64_t now); /* addresses that are known now */
