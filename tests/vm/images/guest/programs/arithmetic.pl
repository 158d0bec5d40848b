# SPDX-License-Identifier: GPL-2.0-or-later
# Numbers and patterns in Perl: arithmetic.pl FACTOR
use strict;
use warnings;
use Math::BigInt;
use Digest::SHA qw(sha1_hex sha512_hex);

my $factor = $ARGV[0];

my ($x, $s) = (0.1, 0);
for my $i (1 .. 20000 * $factor) {
    $x = 3.99 * $x * (1 - $x);
    $s += sin($x) * exp(-$x) + atan2($x, $i) + sqrt($i) + log($i) + $i ** 0.3 + $i % 7 + ($i << 3 ^ $i >> 1);
}
printf "%.17g %.17g\n", $x, $s;

my @primes = grep { my $n = $_; !grep { $n % $_ == 0 } 2 .. sqrt $n } 2 .. 1500;
print scalar(@primes), " $primes[-1]\n";
print Math::BigInt->new(3)->bpow(400 * $factor)->bstr(), "\n";
print Math::BigInt->new("123456789" x 12)->bmodpow("65537" x 3, "1000000007" x 4), "\n";

my $text = join ' ', map { sprintf "%x-%s%05d", $_ * 7919, chr(97 + $_ % 26), $_ ** 2 % 99991 } 1 .. 3000;
my %seen;
$seen{$1}++ while $text =~ /([a-f]+\d*)(?=-[m-z](\d)(?!\2))/g;
print join(',', map { "$_=$seen{$_}" } sort keys %seen), "\n";
(my $copy = $text) =~ s/(\d)(\d)/$2$1/g;
print sha1_hex($copy), ' ', sha512_hex(join ' ', sort { $b cmp $a } split / /, $copy), "\n";
my $packed = pack 'w/a C/a n N v V q> d< f>', 'ab', 'cde', 1, 2, 3, 4, -5, 0.1, 0.5;
print join(' ', unpack 'w/a C/a n N v V q> d< f>', $packed), "\n";
print unpack('%32C*', $text), ' ', unpack('%64q*', pack 'q*', map { $_ ** 5 } 1 .. 1000), "\n";
printf "%s %.0f %e %g %a\n", 1e15 + 0.3, 2 ** 63, 1 / 3, 1e-310, 0.1;
