#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Programs with known answers: the same text on every processor that computes right.
#
#     run.sh DIRECTORY [FACTOR]     scripts are in DIRECTORY; FACTOR multiplies the amount of work
#
# "== name" opens a part. The parts whose names end in "-avx2" need that feature; without it they are absent.
here=$1
factor=${2:-1}
work=$(mktemp -d)
cd "$work" || exit 1
trap 'rm -rf "$work"' EXIT
unset NODE_EXTRA_CA_CERTS
export LC_ALL=C HOME="$work" PYTHONHASHSEED=1 FACTOR="$factor"

part() {
    echo "== $1"
    shift
    "$@" 2>&1 || echo "status $?"
}

digests() {
    for d in $(openssl list -digest-commands); do
        openssl dgst -provider default -provider legacy "-$d" data
    done
    openssl dgst -hmac key -sha256 data
    openssl dgst -mac poly1305 -macopt hexkey:$key data
    openssl dgst -mac siphash -macopt hexkey:00112233445566778899aabbccddeeff data
}

ciphers() {
    for c in $(openssl enc -list | grep -o -- '-[a-z][a-z0-9-]*' | cut -c2-); do
        case $factor-$c in
            *192* | *wrap*) continue ;;
            1-aes-128-c[bft]? | 1-aes-256-[eo]* | 1-aria-256-cbc | 1-camellia-256-c[bt]? | 1-chacha20 | 1-sm4-cbc) ;;
            1-des-cfb8 | 1-des-ede3-cbc | 1-bf-cbc | 1-cast5-ofb | 1-rc2-cbc | 1-rc4 | 1-seed-cbc) ;;
            1-*) continue ;;
        esac
        options="-$c -provider default -provider legacy -K $key -iv 0f0e0d0c0b0a09080706050403020100"
        openssl enc $options -in data -out coded 2>error || { echo "$c: none"; continue; }
        openssl enc -d $options -in coded 2>error | cmp - data
        echo "$c $(sha256sum <coded)"
    done
}

keys() {
    openssl genrsa -out rsa 1024
    openssl ecparam -name prime256v1 -genkey -noout -out p256
    openssl ecparam -name secp384r1 -genkey -noout -out p384
    openssl genpkey -algorithm ed25519 -out ed25519
    openssl genpkey -algorithm x25519 -out x25519
    for k in rsa p256 p384; do
        openssl pkey -in $k -pubout -out public
        openssl dgst -sha256 -sign $k -out signature data
        openssl dgst -sha256 -verify public -signature signature data
        openssl dgst -sha256 -verify public -signature signature coded
    done
    openssl rsa -in rsa -check -noout
    head -c 1000 data >short
    openssl pkey -in ed25519 -pubout -out public
    openssl pkeyutl -sign -inkey ed25519 -rawin -in short -out signature
    openssl pkeyutl -verify -pubin -inkey public -rawin -in short -sigfile signature
    openssl pkey -in x25519 -pubout -out public
    openssl pkeyutl -derive -inkey x25519 -peerkey public -out secret && wc -c <secret
    openssl prime -generate -bits 256 | xargs openssl prime | grep -c 'is prime'
}

# What does not depend on chance: an Ed25519 signature by a key in its shortest encoding, and long numbers.
fixed_numbers() {
    echo "302e020100300506032b657004220420$key" | perl -ne 'chomp; print pack "H*", $_' >fixed
    openssl pkeyutl -sign -inkey fixed -keyform DER -rawin -in data | sha256sum
    openssl prime 170141183460469231731687303715884105727
    echo "2^1000 % 12345678901; scale=$((60 * factor)); 4*a(1); e(1); sqrt(2)" | BC_LINE_LENGTH=0 bc -l
}

packers() {
    for p in "gzip -n1" "gzip -n9" "xz -0" "xz -6" "xz --x86 --lzma2=preset=1" "bzip2 -9" "zstd -1" "zstd -12 -T2"; do
        case $p in zstd*) q="$p -q" ;; *) q=$p ;; esac
        $q -c <text >packed
        echo "$p $(wc -c <packed) $(sha256sum <packed)"
        ${p%% *} -dc <packed | cmp - text
    done
}

database() {
    sqlite3 base.db <"$here/work.sql"
    sqlite3 base.db "pragma integrity_check; pragma quick_check; select count(*), sum(length(t)) from item;"
}

compiled() {
    gcc "$@" -o program "$here/programs.c" -lm -lpthread && ./program "$factor"
    gcc "$@" -o program "$here/signals.c" -lm && ./program
}

compiled32() {
    gcc -m32 -march=i686 -O2 -ffreestanding -fno-pic -fno-stack-protector -nostdlib -static -o program \
        "$here/program32.c" && ./program
}

key=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
perl "$here/data.pl" $((60000 * factor)) >data
cat "$here"/*.py "$here"/*.pl "$here"/*.c "$here"/*.sql data "$here"/*.c >text

part data sha256sum data
part digests digests
part ciphers ciphers
part keys keys | grep -v ':error:'
part fixed-numbers fixed_numbers
part python python3 "$here/arithmetic.py" "$factor"
part perl perl "$here/arithmetic.pl" "$factor"
part packers packers
part database database
[ $factor = 1 ] || part c-O0 compiled -O0
part c-O2 compiled -O2
part c-x87 compiled -O2 -mfpmath=387 -ffloat-store
if grep -qw avx2 /proc/cpuinfo && [ -z "$NO_AVX2" ]; then
    part c-avx2 compiled -O3 -march=haswell -ffp-contract=off
fi
part c-32 compiled32
if command -v node >/dev/null && [ -z "$NO_NODE" ]; then
    part node node "$here/arithmetic.js" "$factor"
fi
echo "== end"
