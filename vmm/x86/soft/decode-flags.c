/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flags that nobody sees.  Going backwards through a block, an op whose flags are all
 * overwritten before anything reads them becomes its variant that leaves them alone.
 *
 * Whoever comes after the block sees them all; so does whoever comes in between: an
 * exception, or, after a store, what the block was changed to.  (When another vCPU changes
 * code while it runs here, it may be left anywhere; then flags that were dead in the old code
 * are not what they would have been.)
 */
#include "vmm/x86/soft/decode-int.h"

void decode_quiet_flags(Decode *x)
{
    SoftDecode *d = x->d;
    unsigned live = CC_ALL;

    for (unsigned i = d->n; i-- > 0;) {
        const OpEffects *e = &x->effects[i];

        if (e->may_leave_after) {
            live = CC_ALL;
        }
        if (e->quiet && !(e->changes & live)) {
            d->op[i].fn = e->quiet;
        }
        live = (live & ~(unsigned)e->kills) | e->reads;
        if (e->may_leave) {
            live = CC_ALL;
        }
    }
}
