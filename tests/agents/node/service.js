// A service with known hot functions for Node's agents: hotA does 7 parts of the work, hotB 3.
//
//     node -r dd-trace/init service.js SECONDS         dd-trace, by DD_* alone
//     node service.js SECONDS pyroscope                @pyroscope/nodejs, configured below
'use strict';

// V8 shows what it inlined under the caller's name.
require('v8').setFlagsFromString('--max-inlined-bytecode-size=0');

function hotA(n) {
    let x = 1;
    for (let i = 0; i < n; i++) {
        x = (Math.imul(x, 31) + i) ^ (x >>> 7);
    }
    return x;
}

function hotB(n) {
    let x = 1;
    for (let i = 0; i < n; i++) {
        x = (Math.imul(x, 37) + i) ^ (x >>> 7);
    }
    return x;
}

// Short turns: a turn near the sampler's period would beat with it.
function work() {
    for (let turn = 0; turn < 20; turn++) {
        hotA(350_000);
        hotB(150_000);
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
