// A real `hearth standalone` on a free port with a data directory of its own, and pushes to it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

async function freePort() {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address();
    server.close();
    return port;
}

export async function until(what, check, timeoutMs = 20_000) {
    const end = Date.now() + timeoutMs;
    while (Date.now() < end) {
        const result = await check().catch(() => null);
        if (result) {
            return result;
        }
        await new Promise((wake) => setTimeout(wake, 100));
    }
    throw new Error(`waited ${timeoutMs} ms for ${what}`);
}

export async function startHearth() {
    const dir = await mkdtemp(join(tmpdir(), 'hearth-e2e-'));
    const url = `http://127.0.0.1:${await freePort()}`;
    const child = spawn(process.env.HEARTH_BIN,
        ['standalone', '--data-dir', join(dir, 'data'), '--listen', new URL(url).host],
        { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env.PATH } });
    let log = '';
    child.stderr.on('data', (text) => (log += text));
    const ended = once(child, 'exit');

    await until('hearth standalone to answer', async () => {
        if (child.exitCode !== null) {
            throw new Error('it ended');
        }
        return (await fetch(`${url}/api/v1/services`)).ok;
    }).catch((cause) => {
        child.kill('SIGKILL');
        throw new Error(`${cause.message}\n${log}`);
    });
    return {
        url,
        async stop() {
            child.kill('SIGTERM');
            const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
            await ended;
            clearTimeout(late);
            await rm(dir, { recursive: true, force: true });
        },
    };
}

// Sends a recording as its agent did, as if it had been taken agoS seconds ago.
export async function push(url, file, version, agoS) {
    const from = Math.floor(Date.now() / 1000) - agoS;
    const query = new URLSearchParams({
        format: 'pprof', from, until: from + 3, name: `shop{version=${version},env=demo}`, spyName: 'nodespy',
    });
    const body = await readFile(new URL(`data/${file}.pb.gz`, import.meta.url));
    const answer = await fetch(`${url}/ingest?${query}`, { method: 'POST', body });
    if (answer.status !== 200) {
        throw new Error(`push of ${file}: ${answer.status} ${await answer.text()}`);
    }
}
