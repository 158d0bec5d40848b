# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers, strings and threads in Python: arithmetic.py FACTOR"""

import array
import cmath
import ctypes
import decimal
import fractions
import hashlib
import json
import math
import random
import re
import statistics
import struct
import sys
import threading
import zlib

FACTOR = int(sys.argv[1])
rng = random.Random(20)


def show(name, lines):
    """The hash of many results, and a few of them."""
    lines = list(lines)
    print(name, len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest(), *lines[::max(1, len(lines) // 4)])


def doubles(count):
    """Doubles of every size and kind, mostly moderate ones."""
    values = [0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, -5e-324, sys.float_info.min, sys.float_info.max]
    for n in range(count):
        if n % 3:
            values.append(rng.uniform(-30, 30))
        else:
            values.append(struct.unpack("<d", rng.getrandbits(64).to_bytes(8, "little"))[0])
    return values


def attempt(function, *arguments):
    try:
        return repr(function(*arguments))
    except (ValueError, OverflowError, ZeroDivisionError) as e:
        return type(e).__name__


def mathematics():
    values = doubles(400 * FACTOR)
    one = [math.acos, math.acosh, math.asin, math.asinh, math.atan, math.atanh, math.cbrt, math.ceil, math.cos, math.cosh,
           math.degrees, math.erf, math.erfc, math.exp, math.exp2, math.expm1, math.fabs, math.floor, math.frexp,
           math.gamma, math.lgamma, math.log, math.log10, math.log1p, math.log2, math.modf, math.radians, math.sin,
           math.sinh, math.sqrt, math.tan, math.tanh, math.trunc, math.ulp, round, float.hex, float.as_integer_ratio]
    for f in one:
        show(f.__name__, (attempt(f, v) for v in values))
    show("hash", (repr(hash(v)) for v in values if not math.isnan(v)))
    two = [math.atan2, math.copysign, math.fmod, math.hypot, math.ldexp, math.pow, math.remainder, math.nextafter,
           divmod]
    for f in two:
        second = [rng.randrange(-1200, 1200) for _ in values] if f is math.ldexp else rng.sample(values, len(values))
        show(f.__name__, (attempt(f, a, b) for a, b in zip(values, second)))
    for f in (cmath.sqrt, cmath.exp, cmath.log, cmath.sin, cmath.tanh, cmath.acos):
        show("c" + f.__name__, (attempt(f, complex(a, b)) for a, b in zip(values, values[7:])))
    print(repr(math.fsum(v for v in values if abs(v) < 1e300)), repr(sum(v for v in values if abs(v) < 1e300)))
    print(statistics.fmean(values[9:][1::3]), statistics.stdev(v for v in values if abs(v) < 31))


def formats():
    values = doubles(500 * FACTOR)
    show("format", (f"{v!r} {v:.3f} {v:e} {v:.17g} {v:.30g} {v:+09.2f} {v:%}" for v in values))
    show("parse", (repr(float(f"{v:.{n % 25}e}")) for n, v in enumerate(values)))
    show("half", (attempt(struct.pack, "<e", v) for v in values))
    show("single", (attempt(lambda v: struct.unpack("<f", struct.pack("<f", v)), v) for v in values))
    show("long double", (repr(ctypes.c_longdouble(v).value) for v in values))
    show("integers", (str(rng.getrandbits(n)) for n in range(1, 2000, 7)))


def exact():
    decimal.getcontext().prec = 80
    d = decimal.Decimal
    print(d(2).sqrt(), d(1).exp(), (d(7) / 3) ** d("12.5"), d(10).ln(), d(77).log10())
    show("decimal", (str((d(n) / 7 * d(n + 1).sqrt()).quantize(d("1e-40"))) for n in range(200 * FACTOR)))
    f = fractions.Fraction(1)
    for n in range(2, 150):
        f += fractions.Fraction(1, n)
    print(f, math.factorial(200 * FACTOR) % (10 ** 61 + 7), pow(3, 10 ** 60, 10 ** 50 + 151), math.comb(500, 123))
    a, b = rng.getrandbits(40000), rng.getrandbits(17000)
    results = (a * b) % (a ^ b), a // b, math.gcd(a, b), math.isqrt(a), a ** 3 // (b + 1)
    print(hashlib.sha256("".join(map(hex, results)).encode()).hexdigest())


def codes():
    data = bytes(rng.getrandbits(8) & rng.getrandbits(8) for _ in range(30000 * FACTOR))
    for name in sorted(hashlib.algorithms_guaranteed):
        h = hashlib.new(name, data)
        print(name, h.hexdigest(20) if name.startswith("shake") else h.hexdigest())
    print(hashlib.pbkdf2_hmac("sha256", b"a", b"b", 500).hex())
    print(hashlib.scrypt(b"a", salt=b"b", n=256, r=8, p=1, dklen=20).hex())
    for level in (1, 6, 9):
        packed = zlib.compress(data, level)
        assert zlib.decompress(packed) == data
        print(level, len(packed), zlib.crc32(packed), zlib.adler32(packed))
    table = {f"k{n}": [n / 7, str(n) * (n % 5), None, n % 2 == 0, {"x": -n}] for n in range(400)}
    text = json.dumps(table, sort_keys=True)
    assert json.loads(text) == table
    print(len(text), zlib.crc32(text.encode()))
    words = re.findall(r'(?i)"k(\d+)": \[([\d.e-]+), "(?P<s>(\d*?)\4*)"', text)
    commas = re.sub(r"(\d)(?=(\d{3})+\b)", r"\1,", text)
    print(len(words), zlib.crc32(repr(words).encode()), zlib.crc32(commas.encode()))
    print(len(text.encode("utf-16")), zlib.crc32("žluťoučký kůň ".encode() * 99), "žluťoučký".upper().encode().hex())


def randomness():
    print([rng.random() for _ in range(3)], rng.gauss(0, 1), rng.betavariate(2, 3), rng.vonmisesvariate(0, 4))
    deck = list(range(5000))
    rng.shuffle(deck)
    print(zlib.crc32(repr(deck).encode()), sorted(deck, key=lambda n: (n * 7919) % 5003)[:5])
    print(zlib.crc32(array.array("d", (rng.lognormvariate(0, 1) for _ in range(1000 * FACTOR))).tobytes()))


def threads():
    total, lock = [0], threading.Lock()

    def work(n):
        for k in range(1000 * FACTOR):
            with lock:
                total[0] += n * k % 11
    crew = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in crew:
        t.start()
    for t in crew:
        t.join()
    print("threads", total[0])


mathematics()
formats()
exact()
codes()
randomness()
threads()
