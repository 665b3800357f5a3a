// A service with known hot functions for Node's agents: hotA does 7 parts of the work, hotB 3.
//
//     node -r dd-trace/init service.js SECONDS         dd-trace, by DD_* alone
//     node service.js SECONDS pyroscope                @pyroscope/nodejs, configured below
'use strict';

// V8 shows what it inlined under the caller's name.
require('v8').setFlagsFromString('--max-inlined-bytecode-size=0');

// By time, not by turns: V8 may keep one of two functions that are alike in a slower tier.
function hotA(ms) {
    const end = performance.now() + ms;
    let x = 1;
    while (performance.now() < end) {
        for (let i = 0; i < 2000; i++) {
            x = (Math.imul(x, 31) + i) | 0;
        }
    }
    return x;
}

function hotB(ms) {
    const end = performance.now() + ms;
    let x = 1;
    while (performance.now() < end) {
        for (let i = 0; i < 2000; i++) {
            x = (Math.imul(x, 37) + i) | 0;
        }
    }
    return x;
}

// Short turns of changing length: a regular turn would beat with the sampler's period.
function work() {
    for (let turn = 0; turn < 20; turn++) {
        const ms = 0.05 + Math.random() / 10;
        hotA(7 * ms);
        hotB(3 * ms);
    }
}

function allocate() {
    return Array.from({ length: 2000 }, (_, i) => ({ i, text: `item ${i}` }));
}

function startPyroscope() {
    const Pyroscope = require('@pyroscope/nodejs');
    const flushMs = 2000;
    Pyroscope.init({
        appName: process.env.PYROSCOPE_APPLICATION_NAME,
        serverAddress: process.env.PYROSCOPE_SERVER_ADDRESS,
        tags: Object.fromEntries(process.env.PYROSCOPE_LABELS.split(',').map((tag) => tag.split('='))),
        flushIntervalMs: flushMs,
        wall: { samplingDurationMs: flushMs, collectCpuTime: true },
        heap: { samplingIntervalBytes: 64 * 1024, stackDepth: 64 },
    });
    Pyroscope.start();
    return () => Pyroscope.stop();
}

function serve(until, stop) {
    let kept = [];
    const turn = setInterval(() => {
        work();
        kept = [...kept.slice(-20), allocate()];
        if (Date.now() >= until) {
            clearInterval(turn);
            stop?.();
        }
    }, 20);
}

const stop = process.argv[3] === 'pyroscope' ? startPyroscope() : undefined;
serve(Date.now() + Number(process.argv[2]) * 1000, stop);
