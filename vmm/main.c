/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lodge: the order of start-up and shutdown, nothing else.
 */
#include <stdio.h>

int main(void)
{
    puts("lodge " LODGE_VERSION);
    return 0;
}
