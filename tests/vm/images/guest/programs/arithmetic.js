// SPDX-License-Identifier: GPL-2.0-or-later
// Code that a compiler makes while it runs, and makes again when its guesses fail: arithmetic.js FACTOR
'use strict';
const factor = Number(process.argv[2]);
const { createHash } = require('crypto');

function hot(n, add) {
    let a = 1, b = 0;
    for (let i = 0; i < n; i++) {
        a = (Math.imul(a, 1664525) + 1013904223) | 0;
        b = add(b, (a >>> 8) % 1000);
    }
    return b;
}

function mandelbrot(size) {
    const rows = new Uint8Array(size * size);
    for (let y = 0; y < size; y++) {
        for (let x = 0; x < size; x++) {
            const cr = 3 * x / size - 2, ci = 2 * y / size - 1;
            let r = 0, i = 0, n = 0;
            while (n < 100 && r * r + i * i < 4) {
                [r, i] = [r * r - i * i + cr, 2 * r * i + ci];
                n++;
            }
            rows[y * size + x] = n;
        }
    }
    return createHash('sha256').update(rows).digest('hex');
}

console.log(hot(300000 * factor, (x, y) => (x + y) | 0));
console.log(hot(100000 * factor, (x, y) => x * 0.5 + y));
console.log(hot(20000, (x, y) => String(x + y).slice(-6) * 1));
console.log(mandelbrot(60 * factor));
const made = (i) => eval(`(function f${i}(x) { return x * ${i} + Math.sin(x) })(${i} / 3)`);
console.log(Array.from({ length: 40 }, (_, i) => made(i)).join());
const fib = (n) => n < 2 ? BigInt(n) : fib(n - 1) + fib(n - 2);
console.log(fib(19), 3n ** 500n % 1000000007n, (12345678901234567890n ** 20n / 987654321n).toString(36));
const map = new Map();
for (let i = 0; i < 20000; i++) {
    map.set(`k${i % 977}`, (map.get(`k${i % 977}`) || 0) + i / 3);
}
console.log(createHash('md5').update(JSON.stringify([...map].sort())).digest('hex'));
console.log('a1b22c333'.replace(/([a-z])(\d+)/g, (m, l, d) => d * 2 + l),
    [3, 1, 2].sort().concat([..."žš"]).join('|'));
// The module adds its two arguments.
const bytes = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1,
    102, 0, 0, 10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11]);
const { f } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
let sum = 0;
for (let i = 0; i < 10000; i++) {
    sum = f(sum, i * 3);
}
console.log(sum);
const atomics = new Int32Array(new SharedArrayBuffer(4));
const { Worker } = require('worker_threads');
let running = 3;
for (let i = 0; i < 3; i++) {
    new Worker(`const a = require('worker_threads').workerData;
        for (let i = 0; i < 20000; i++) Atomics.add(a, 0, 3);`, { eval: true, workerData: atomics })
        .on('exit', () => --running || console.log('atomics', atomics[0]));
}
