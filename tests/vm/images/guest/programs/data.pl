# SPDX-License-Identifier: GPL-2.0-or-later
# Bytes that are neither constant nor random, the same everywhere: data.pl LENGTH
use strict;
use warnings;
use integer;

my ($length, $x, $out) = ($ARGV[0], 12345, '');
while (length $out < $length) {
    $x = ($x * 1103515245 + 12345) & 0x7fffffff;
    $out .= $x & 0x10000 ? chr($x >> 20 & 0xff) : substr("the quick brown fox", $x >> 18 & 7, $x >> 22 & 7);
}
binmode STDOUT;
print substr $out, 0, $length;
