// The web page in a real browser against a real `hearth standalone`, fed with recordings of the sample
// service in two versions. What is drawn is judged by the pixels of screenshots. Ends with
// "N passed, N failed".
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { push, startHearth, until } from './hearth.mjs';
import { decodePng } from './png.mjs';

const rowHeight = 21;
const versionsUrl = '/?service=shop&page=compare&a.match=%7Bversion%3D%221%22%7D&b.match=%7Bversion%3D%222%22%7D';
let hearth, browser, page;
const complaints = [];

const tests = [];
const test = (name, body) => tests.push([name, body]);

// ---- helpers ------------------------------------------------------------------------------------

async function newPage(options = {}) {
    const context = await browser.newContext({
        viewport: { width: 1440, height: 900 }, locale: 'en-GB', timezoneId: 'UTC', reducedMotion: 'reduce', ...options,
    });
    const opened = await context.newPage();
    opened.on('pageerror', (error) => complaints.push(`page error: ${error.message}`));
    opened.on('console', (message) => {
        if (['error', 'warning'].includes(message.type())) {
            complaints.push(`console: ${message.text()}`);
        }
    });
    return opened;
}

async function open(path, where = page) {
    await where.goto(hearth.url + path);
    await where.waitForSelector('.panes');
    await settled(where);
}

// Nothing is being loaded, and what was loaded has been painted.
async function settled(where = page) {
    await where.waitForFunction(() => !document.querySelector('main[aria-busy=true]'));
    await where.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

async function canvasBox(where = page) {
    return where.locator('.flame-base').boundingBox();
}

async function canvasPixels(where = page) {
    await where.mouse.move(2, 2);
    await settled(where);
    return decodePng(await where.screenshot({ clip: await canvasBox(where) }));
}

function colours(image, y) {
    const seen = new Map();
    for (let x = 0; x < image.width; x++) {
        const key = image.at(x, y).join();
        seen.set(key, (seen.get(key) ?? 0) + 1);
    }
    return seen;
}

function drawnColours(image) {
    const seen = new Map();
    for (let row = 0; (row + 1) * rowHeight < image.height; row++) {
        for (const [key, n] of colours(image, row * rowHeight + 2)) {
            seen.set(key, (seen.get(key) ?? 0) + n);
        }
    }
    return [...seen].filter(([, n]) => n > 8).map(([key]) => key);
}

const isPaper = ([r, g, b]) => Math.min(r, g, b) > 250;

// Moves the pointer over the graph until the tooltip names the frame; where it was then.
async function hoverOn(label, where = page) {
    const box = await canvasBox(where);
    const seen = new Set();
    for (let y = rowHeight / 2; y < box.height && y < 40 * rowHeight; y += rowHeight) {
        for (let x = 3; x < box.width; x += 12) {
            await where.mouse.move(box.x + x, box.y + y);
            const name = await where.evaluate(() => document.querySelector('.tooltip h3')?.textContent ?? '');
            seen.add(name);
            if (name === label) {
                return { x: box.x + x, y: box.y + y, inX: Math.round(x), inY: Math.round(y) };
            }
        }
    }
    throw new Error(`no frame ${label} on the canvas, only ${[...seen].join(', ')}`);
}

const tooltip = (where = page) => where.locator('.tooltip').innerText();
const isRed = ([r, g, b]) => r > g + 60 && r > b + 60;
const isGreen = ([r, g, b]) => g > r + 25 && g > b;
const isBlue = ([r, , b]) => b > r + 25;

// ---- tests --------------------------------------------------------------------------------------

test('a service without profiles is told how to send some, and the first profiles show up by themselves', async () => {
    await page.goto(hearth.url);
    await page.getByText('No profiles yet').waitFor();
    const command = await page.locator('pre').evaluate((pre) => [pre.scrollWidth, pre.clientWidth, pre.innerText]);
    assert.ok(command[0] <= command[1], `the command is ${command[0]} px wide, its box ${command[1]}`);
    assert.ok(command[2].startsWith('curl --data-binary') && !command[2].includes('\n'), 'one line to copy');
    for (const version of [1, 2]) {
        await push(hearth.url, `v${version}-wall-1`, version, 120);
        await push(hearth.url, `v${version}-wall-2`, version, 60);
        await push(hearth.url, `v${version}-heap-1`, version, 60);
    }
    await until('both versions to be readable', async () =>
        (await (await fetch(`${hearth.url}/api/v1/flamegraph?service=shop`)).json()).profiles === 4);
    await page.waitForSelector('.flame-base');
    await settled();
    assert.equal(new URL(page.url()).searchParams.get('service'), 'shop');
});

test('the flame graph is drawn: rows of coloured boxes, the root over the whole width', async () => {
    await open('/?service=shop');
    const image = await canvasPixels();
    assert.ok(image.width > 600 && image.height > 400, `${image.width} x ${image.height}`);
    assert.ok(drawnColours(image).length >= 6, `colours: ${drawnColours(image).join(' ')}`);
    const root = colours(image, 2);
    assert.ok(Math.max(...root.values()) > image.width - 5, 'the root is one box');
    assert.ok([...colours(image, image.height - 4).values()][0] > image.width * 0.9, 'nothing is drawn below the leaves');
    assert.match(await page.title(), /^shop · CPU time · Hearth$/);
});

test('hovering names the frame with the value that the API has', async () => {
    await open('/?service=shop');
    await hoverOn('priceCart');
    const text = await tooltip();
    const { functions } = await (await fetch(`${hearth.url}/api/v1/top?service=shop&limit=1000`)).json();
    const { self, total } = functions.find(({ name }) => name === './app.js:priceCart:22');
    for (const v of [self, total]) {
        assert.ok(text.includes(`${v.toLocaleString('en')} ns`), `${v} in: ${text}`);
    }
});

test('a click zooms, the address says so, and Escape and back lead out again', async () => {
    await open('/?service=shop');
    const before = await canvasPixels();
    const { x, y } = await hoverOn('handleCheckout');
    await page.mouse.click(x, y);
    await page.waitForFunction(() => location.search.includes('zoom='));
    const zoomed = await canvasPixels();
    const row = Math.round((y - (await canvasBox()).y - rowHeight / 2) / rowHeight);
    assert.ok(Math.max(...colours(zoomed, row * rowHeight + 2).values()) > zoomed.width - 5, 'it fills the width');
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => !location.search.includes('zoom='));
    assert.deepEqual(drawnColours(await canvasPixels()), drawnColours(before));
    await page.goBack();
    await page.waitForFunction(() => location.search.includes('zoom='));
    assert.ok((await page.locator('.reset').innerText()).includes('handleCheckout'));
});

test('search dims what does not match and says the share that does; /re/ works, a bad one is told', async () => {
    await open('/?service=shop');
    const before = drawnColours(await canvasPixels()).length;
    await page.fill('#search', 'PRICECART');
    await page.getByText(/% matched/).waitFor();
    const { sum } = await (await fetch(`${hearth.url}/api/v1/flamegraph?service=shop`)).json();
    const { functions } = await (await fetch(`${hearth.url}/api/v1/top?service=shop&limit=1000`)).json();
    const share = (functions.find(({ name }) => name.includes('priceCart')).total / sum) * 100;
    const shown = parseFloat(await page.locator('.search output').innerText());
    assert.ok(Math.abs(shown - share) < 0.06, `${shown} is ${share}`);
    assert.ok(drawnColours(await canvasPixels()).length < before, 'other frames lost their colour');
    assert.equal(await page.locator('.functions tbody tr').count(), 1);
    await page.fill('#search', '/price.*|render.*/');
    await page.waitForFunction(() => document.querySelectorAll('.functions tbody tr').length === 2);
    await page.fill('#search', '/(/');
    await page.getByText(/Invalid regular expression/).waitFor();
});

test('the table lists functions by self, sorts, and keeps only the rows in sight in the document', async () => {
    await open('/?service=shop&view=table');
    const column = async (nth) => (await page.locator(`.functions tbody td:nth-child(${nth}) span`).allInnerTexts()).map(seconds);
    const falling = (list) => list.every((v, i) => i === 0 || v <= list[i - 1]);
    assert.ok(falling(await column(2)), 'by self');
    await page.getByRole('button', { name: 'Total' }).click();
    await page.waitForFunction(() => location.search.includes('sort=total'));
    assert.ok(falling(await column(3)), 'by total');
    assert.ok(await page.locator('.functions tbody tr').count() < 60);
});

function seconds(text) {
    const [number, unit] = text.split(' ');
    return Number(number) * { ns: 1e-9, µs: 1e-6, ms: 1e-3, s: 1, min: 60 }[unit];
}

test('Compare puts the two newest versions side by side: the regression is red, and only in B', async () => {
    await open('/?service=shop');
    await page.getByRole('button', { name: 'Compare…' }).click();
    await page.waitForFunction(() => location.search.includes('b.match'));
    await settled();
    assert.equal(await page.inputValue('[id="a.match"]'), '{version="1"}');
    assert.equal(await page.inputValue('[id="b.match"]'), '{version="2"}');
    assert.equal(await page.locator('.functions tbody .label').first().innerText(), 'scanRules');
    const spot = await hoverOn('applyDiscounts');
    assert.match(await tooltip(), /more in B/);
    const image = await canvasPixels();
    assert.ok(isRed(image.at(spot.inX, Math.floor(spot.inY - 8))), `red is ${image.at(spot.inX, Math.floor(spot.inY - 8))}`);
    await hoverOn('scanRules');
    const text = await tooltip();
    assert.match(text, /only in B/);
    const { self_a, self_b, name, names } = await (await fetch(
        `${hearth.url}/api/v1/diff?service=shop&a.match={version="1"}&b.match={version="2"}`)).json();
    const node = name.findIndex((n) => names[n].includes(':scanRules:'));
    assert.equal(self_a[node], 0);
    assert.ok(text.includes(self_b[node].toLocaleString('en')), 'the raw value of B is shown');
    assert.ok(drawnColours(image).some((c) => isGreen(c.split(',').map(Number))), 'what takes a smaller share is green');
});

const javaUrl = versionsUrl.replace('shop', 'java');
const lambda = 'org.apache.kafka.common.requests.AbstractRequestResponseHandlerFactory$$Lambda/0x00007f2c1c0a8.applyAsLong';

test('Compare leaves the method and the class of long Java names legible; the keyboard gets the full name', async () => {
    const stacks = (n) => `java.lang.Thread.run;kafka.server.KafkaApis.handle ${n}\njava.lang.Thread.run;${lambda} ${3 * n}\n`;
    for (const version of [1, 2]) {
        const sent = await fetch(`${hearth.url}/api/v1/profiles?service=java&version=${version}&from=now-1m`,
            { method: 'POST', body: stacks(version ** 3) });
        assert.equal(sent.status, 200);
    }
    await until('both to be readable', async () =>
        (await (await fetch(`${hearth.url}/api/v1/flamegraph?service=java`)).json()).profiles === 2);
    await open(`${javaUrl}&scale=absolute`);
    const row = page.locator('.functions tbody tr', { hasText: 'applyAsLong' });
    const [owner, method] = await row.locator('.label > span').evaluateAll((spans) => spans.map((span) =>
        ({ text: span.textContent, shown: span.clientWidth, whole: span.scrollWidth, font: parseFloat(getComputedStyle(span).fontSize) })));
    assert.equal(method.text, '.applyAsLong');
    assert.ok(method.shown > 0 && method.whole <= method.shown, `the method has ${method.shown} of ${method.whole} px`);
    assert.equal(owner.text, 'AbstractRequestResponseHandlerFactory$$Lambda');
    assert.ok(owner.shown > 8 * owner.font * 0.6, `the class has ${owner.shown} px`);
    assert.equal(await row.locator('.where').innerText(), 'org.apache.kafka.common.requests');
    assert.equal(await row.locator('th').getAttribute('title'), lambda);
    await hoverOn('KafkaApis.handle');
    assert.match(await tooltip(), /kafka\.server\.KafkaApis\.handle/);
    await page.focus('#search');
    for (let i = 0; i < 30 && !(await row.locator('button:focus').count()); i++) {
        await page.keyboard.press('Tab');
    }
    const full = page.locator('#full-name[role=tooltip]');
    assert.equal(await full.innerText(), lambda);
    assert.equal(await row.locator('button').getAttribute('aria-describedby'), await full.getAttribute('id'));
    const [above, shown] = [await row.boundingBox(), await full.boundingBox()];
    assert.ok(shown.y >= above.y + above.height - 4 && shown.y < above.y + above.height + 8, 'it stands by its row');
    await page.focus('#search');
    assert.equal(await full.count(), 0);
});

test('the colour-blind palette has no red against green; absolute values are a click away', async () => {
    await open(versionsUrl);
    await page.getByRole('button', { name: 'Colour-blind' }).click();
    await page.waitForFunction(() => location.search.includes('palette=safe'));
    const drawn = drawnColours(await canvasPixels()).map((c) => c.split(',').map(Number));
    assert.ok(!drawn.some(isGreen), 'no green');
    assert.ok(drawn.some(isBlue), 'blue is less');
    await page.getByRole('button', { name: 'Absolute' }).click();
    await page.waitForFunction(() => /[+−][\d.]+ m?s/.test(document.querySelector('.functions tbody')?.innerText ?? ''));
});

test('a link shows somebody else the same picture', async () => {
    await open(`${versionsUrl}&palette=safe`);
    await page.fill('#search', 'cart');
    const { x, y } = await hoverOn('handleCheckout');
    await page.mouse.click(x, y);
    await page.waitForFunction(() => location.search.includes('zoom='));
    await page.mouse.move(2, 2);
    await page.evaluate(() => document.activeElement.blur());
    await settled();
    const clip = await canvasBox();
    const mine = await page.screenshot({ clip });
    const other = await newPage();
    await open(page.url().replace(hearth.url, ''), other);
    assert.equal(await other.inputValue('#search'), 'cart');
    assert.deepEqual(await other.screenshot({ clip }), mine);
    await other.context().close();
});

test('profile type, range and selector are picked, and each is an entry of the history', async () => {
    await open('/?service=shop');
    await page.selectOption('[id="one.type"]', { label: 'Live heap' });
    await page.waitForFunction(() => document.title.includes('Live heap'));
    await settled();
    assert.match(await page.locator('.summary').innerText(), /mean of 2 profiles/);
    await page.goBack();
    await page.waitForFunction(() => document.title.includes('CPU time'));
    await page.getByRole('button', { name: 'Range: Last hour' }).click();
    await page.getByRole('button', { name: 'Last 15 minutes' }).click();
    await page.waitForFunction(() => location.search.includes('from=now-15m'));
    await page.focus('[id="one.match"]');
    await page.getByRole('button', { name: '1', exact: true }).click();
    await page.waitForFunction(() => new URLSearchParams(location.search).get('match') === '{version="1"}');
    await settled();
    assert.match(await page.locator('.summary').innerText(), /2 profiles/);
});

const heapUrl = (more) => `/?service=heap&type=inuse_space&${more}`;

test('of a live heap every value is the mean of one profile, on each side its own', async () => {
    for (const [version, profiles] of [[1, 4], [2, 1]]) {
        for (let i = 0; i < profiles; i++) {
            const sent = await fetch(`${hearth.url}/api/v1/profiles?service=heap&version=${version}&sample_type=inuse_space&unit=bytes&from=now-1m`,
                { method: 'POST', body: `main;cache ${3 << 20}\nmain;${version === 1 ? 'old' : 'new'} ${1 << 20}\n` });
            assert.equal(sent.status, 200);
        }
    }
    await until('all to be readable', async () =>
        (await (await fetch(`${hearth.url}/api/v1/flamegraph?service=heap`)).json()).profiles === 5);
    const cells = (name) => page.locator('.functions tbody tr', { hasText: name }).locator('td > span').allInnerTexts();

    await open(heapUrl('match=version:1'));
    assert.match(await page.locator('.summary').innerText(), /^4 MiB\s+mean of 4 profiles/);
    assert.deepEqual(await cells('cache'), ['3 MiB', '3 MiB']);
    await hoverOn('cache');
    assert.match(await tooltip(), /Total\s+3 MiB\s+75.0 %\s+3,145,728 B/);
    await hoverOn('total');
    assert.match(await tooltip(), /Total\s+4 MiB\s+100 %\s+4,194,304 B/);

    await open(heapUrl('match=version:1&max_nodes=3'));
    await page.getByText(/small frames are drawn/).waitFor();
    assert.match(await page.locator('.notice').innerText(), /, 100 % of the whole/);
    await until('the table to have every function', async () => (await cells('old'))[0] === '1 MiB');

    await open(heapUrl('page=compare&a.match=version:1&b.match=version:2&scale=absolute'));
    assert.deepEqual(await cells('cache'), ['3 MiB', '3 MiB', '–', '3 MiB', '3 MiB', '–']);
    assert.deepEqual(await cells('old'), ['1 MiB', '0 B', '−1 MiB', '1 MiB', '0 B', '−1 MiB']);
    const { inX } = await hoverOn('new');
    assert.match(await tooltip(), /Self\s+0 B 0 %\s+1 MiB 25.0 %\s+\+1 MiB/);
    assert.ok(inX / (await canvasBox()).width > 0.75, 'the widths are of the means: old and new have an eighth each');
    await hoverOn('cache');
    assert.match(await tooltip(), /no change/);
    await open(heapUrl('page=compare&a.match=version:1&b.match=version:2'));
    assert.deepEqual(await cells('cache'), ['75.0 %', '75.0 %', '–', '75.0 %', '75.0 %', '–']);
});

const chosen = (id = 'one.type') => page.locator(`[id="${id}"]`).evaluate((select) => ({
    shown: select.selectedOptions[0].textContent, value: select.value, all: [...select.options].map((option) => option.textContent),
}));

test('a service without CPU time shows the type that tells the most, also when it is picked', async () => {
    for (const type of ['alloc_objects', 'alloc_space', 'inuse_objects', 'inuse_space']) {
        const sent = await fetch(`${hearth.url}/api/v1/profiles?service=goheap&sample_type=${type}&from=now-1m` +
            `&unit=${type.endsWith('objects') ? 'count' : 'bytes'}`, { method: 'POST', body: 'main;keep 7\n' });
        assert.equal(sent.status, 200);
    }
    await until('all types to be readable', async () =>
        (await (await fetch(`${hearth.url}/api/v1/types?service=goheap`)).json()).types.length === 4);
    const heap = { shown: 'Live heap', value: 'memory:inuse_space:bytes:space:bytes',
        all: ['Allocated objects', 'Allocated bytes', 'Live objects', 'Live heap'] };
    await open('/?service=goheap');
    assert.deepEqual(await chosen(), heap);
    assert.match(await page.title(), /^goheap · Live heap/);
    await hoverOn('keep');
    await page.selectOption('[id="one.type"]', { label: 'Allocated bytes' });
    await page.waitForFunction(() => document.title.includes('Allocated bytes'));
    for (const [service, title] of [['shop', 'shop · CPU time'], ['goheap', 'goheap · Live heap']]) {
        await page.selectOption('[id="one.service"]', service);
        await page.waitForFunction((start) => document.title.startsWith(start), title);
        await settled();
        assert.equal(await page.locator('.panes').count(), 1, service);
    }
    assert.deepEqual(await chosen(), heap);
    await open('/?page=compare&a.service=shop&b.service=goheap');
    assert.deepEqual([(await chosen('a.type')).shown, (await chosen('b.type')).shown], ['Live heap', 'Live heap'], 'both have it');
});

test('a short type in the address is the full type in the picker, and a word for several is refused', async () => {
    const types = (await (await fetch(`${hearth.url}/api/v1/types?service=shop`)).json()).types.map(({ name }) => name);
    for (const [word, shown] of [['cpu', 'CPU time'], ['inuse_space', 'Live heap']]) {
        await open(`/?service=shop&type=${word}`);
        const type = await chosen();
        assert.equal(type.shown, shown);
        assert.ok(types.includes(type.value), type.value);
        assert.equal(type.all.length, types.length, type.all.join());
        assert.equal(new URL(page.url()).searchParams.get('type'), word, 'the address stays as it was sent');
    }
    complaints.length = 0;
    await page.goto(`${hearth.url}/?service=goheap&type=memory`);
    await page.getByText(/it may be memory:alloc_objects/).waitFor();
    assert.ok(complaints.every((text) => text.includes('400')), complaints.join('\n'));
    complaints.length = 0;      // the browser itself notes the 400
});

test('an address that names a side is a comparison, page=compare or not', async () => {
    await open('/?service=shop&a.match=version:1&b.match=version:2');
    assert.equal(await page.locator('nav [aria-current]').innerText(), 'Compare');
    assert.deepEqual([await page.inputValue('[id="a.match"]'), await page.inputValue('[id="b.match"]')], ['version:1', 'version:2']);
    await hoverOn('scanRules');
    assert.match(await tooltip(), /only in B/);
    for (const side of ['a', 'b']) {
        await page.fill(`[id="${side}.match"]`, '');
        await page.keyboard.press('Enter');
        await page.waitForFunction((name) => !new URLSearchParams(location.search).has(name), `${side}.match`);
    }
    assert.equal(await page.locator('nav [aria-current]').innerText(), 'Compare', 'it stays one');
    await page.getByRole('button', { name: 'Explore', exact: true }).click();
    await page.waitForFunction(() => !/[ab]\.match/.test(location.search));
    await settled();
    assert.equal(await page.locator('nav [aria-current]').innerText(), 'Explore');
    await open('/?b.service=shop&b.match=version:2');
    assert.deepEqual([await page.inputValue('[id="a.service"]'), await page.inputValue('[id="b.service"]')], ['shop', 'shop']);
});

test('a window without data says so, and a bad selector says where it is bad', async () => {
    await page.goto(`${hearth.url}/?service=shop&from=2020-01-01T00:00:00Z&until=2020-01-01T01:00:00Z`);
    await page.getByText('No data in this window').waitFor();
    complaints.length = 0;
    await page.goto(`${hearth.url}/?service=shop&match=%7Bversion%3D%22`);
    await page.getByText('The selector is not understood').waitFor();
    assert.ok(complaints.every((text) => text.includes('400')), complaints.join('\n'));
    complaints.length = 0;      // the browser itself notes the 400
});

test('an address that leads nowhere says so and links to the page, with the query that came along', async () => {
    for (const path of ['/service/foo', '/x', '/x/y/z/']) {
        const answer = await page.goto(`${hearth.url}${path}?service=shop&type=cpu`);
        assert.equal(answer.status(), 404);
        await page.getByRole('heading', { name: 'There is no page at this address' }).waitFor();
        assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector('h1')).fontWeight), '600', 'it has its style');
        await page.getByRole('link').click();
        await page.waitForSelector('.panes');
        await settled();
        assert.equal(page.url(), `${hearth.url}/?service=shop&type=cpu`);
    }
    assert.ok(complaints.every((text) => text.includes('404')), complaints.join('\n'));
    complaints.length = 0;      // the browser itself notes the 404
});

test('a tenant in the address is whose profiles are shown, and stays through the page', async () => {
    const headers = { 'X-Scope-OrgID': 'team-a' };
    await fetch(`${hearth.url}/api/v1/profiles?service=secret&from=now-1m`, { method: 'POST', headers, body: 'main;own 5\n' });
    await until('it to be readable', async () =>
        (await (await fetch(`${hearth.url}/api/v1/services`, { headers })).json()).services.length === 1);
    await open('/?tenant=team-a');
    const place = () => new URL(page.url()).searchParams;
    assert.equal(place().get('service'), 'secret');
    assert.equal(await page.locator('.tenant').innerText(), 'team-a');
    assert.deepEqual(await page.locator('[id="one.service"] option').allInnerTexts(), ['secret']);
    await hoverOn('own');
    for (const name of ['Compare', 'Explore']) {
        await page.getByRole('button', { name, exact: true }).click();
        await settled();
        assert.equal(place().get('tenant'), 'team-a', name);
    }
    assert.match(await page.locator('.brand').getAttribute('href'), /tenant=team-a/);
    await page.locator('.brand').click();
    await settled();
    assert.equal(place().get('tenant'), 'team-a');
    await page.goto(`${hearth.url}/?tenant=team-b`);
    await page.getByText('No profiles yet').waitFor();
    assert.match(await page.locator('pre').innerText(), /X-Scope-OrgID: team-b/);
    complaints.length = 0;
    for (const bad of ['a/b', 't%C3%A9%E2%9C%93']) {
        await page.goto(`${hearth.url}/?tenant=${bad}`);
        await page.getByText('No tenant has such a name').waitFor();
        await page.getByText(/at most 150 bytes/).waitFor();
    }
    assert.ok(complaints.every((text) => text.includes('400')), complaints.join('\n'));
    complaints.length = 0;      // the browser itself notes the 400
});

test('lost windows and hidden frames are said, never silent; the table still has every function', async () => {
    await page.route('**/api/v1/flamegraph*', async (route) => {
        const answer = await (await route.fetch()).json();
        answer.complete.gaps = 3;
        await route.fulfill({ json: answer });
    });
    await open('/?service=shop&max_nodes=16');
    assert.match(await page.locator('main').innerText(), /3 windows are missing/);
    assert.match(await page.locator('main').innerText(), /small frames are drawn as \(other\)/);
    const { n_functions } = await (await fetch(`${hearth.url}/api/v1/top?service=shop`)).json();
    await page.waitForFunction((n) => document.querySelector('.functions').getAttribute('aria-rowcount') === String(n + 1),
        n_functions);
    await page.unroute('**/api/v1/flamegraph*');
});

test('the tree can be walked by keyboard', async () => {
    await open('/?service=shop');
    await page.focus('.flame-scroll');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    const chosen = page.locator('[role=treeitem][aria-selected=true]');
    assert.equal(await chosen.getAttribute('aria-level'), '3');
    assert.match(await chosen.innerText(), /listOnTimeout: [\d.]+ m?s, [\d.]+ %/);
    assert.match(await tooltip(), /listOnTimeout/);
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => location.search.includes('zoom='));
});

test('a narrow window has the table above the graph, and nothing to scroll sideways', async () => {
    const narrow = await newPage({ viewport: { width: 420, height: 860 } });
    for (const path of ['/?service=shop', versionsUrl]) {
        await open(path, narrow);
        assert.equal(await narrow.evaluate(() => document.documentElement.scrollWidth), 420);
        const table = await narrow.locator('.table-scroll').boundingBox();
        assert.ok(table.y + table.height <= (await canvasBox(narrow)).y);
    }
    await narrow.context().close();
});

test('dark and light follow the system, and a dense screen gets its pixels', async () => {
    const dense = await newPage({ colorScheme: 'dark', deviceScaleFactor: 2 });
    await open('/?service=shop', dense);
    const sizes = await dense.evaluate(() => {
        const canvas = document.querySelector('.flame-base');
        return [canvas.width, canvas.clientWidth];
    });
    assert.equal(sizes[0], sizes[1] * 2);
    const image = decodePng(await dense.screenshot());
    assert.ok(Math.max(...image.at(4, 300)) < 60, 'the page is dark');
    await dense.context().close();
});

test('100,000 nodes are on screen within 400 ms and zoom within 100 ms, in at most 600 elements', async () => {
    await page.route('**/api/v1/flamegraph*', (route) => route.fulfill({ json: bigAnswer(100_000) }));
    await open('/?service=shop&max_nodes=100000');
    const spent = await page.evaluate(() => {
        const last = (name) => performance.getEntriesByName(name).at(-1).duration;
        return { build: last('hearth:build'), layout: last('hearth:layout'), paint: last('hearth:paint') };
    });
    const first = spent.build + spent.layout + spent.paint;
    const box = await canvasBox();
    await page.mouse.click(box.x + 200, box.y + 3.5 * rowHeight);
    await page.waitForFunction(() => location.search.includes('zoom='));
    await settled();
    const zoom = await page.evaluate(() => performance.getEntriesByName('hearth:paint').at(-1).duration);
    const elements = await page.evaluate(() => document.querySelectorAll('*').length);
    console.log(`  first paint ${first.toFixed(0)} ms (build ${spent.build.toFixed(0)}, layout ${spent.layout.toFixed(0)}, ` +
        `paint ${spent.paint.toFixed(0)}), zoom ${zoom.toFixed(0)} ms, ${elements} elements`);
    assert.ok(first <= 400, `${first} ms`);
    assert.ok(zoom <= 100, `${zoom} ms`);
    assert.ok(elements <= 600, `${elements} elements`);
    await page.unroute('**/api/v1/flamegraph*');
});

// A tree of n nodes and 6,000 names, at most 50 deep, grown by a fixed sequence.
function bigAnswer(n) {
    let seed = 1;
    const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
    const depth = [0];
    while (depth.length < n) {
        depth.push(Math.max(1, Math.min(50, depth[depth.length - 1] + 1 - (random(3) === 0 ? random(8) : 0))));
    }
    const self = depth.map(() => random(1000));
    const total = self.slice();
    const path = [];
    depth.forEach((d, i) => {
        path[d] = i;
        for (let up = 0; up < d; up++) {
            total[path[up]] += self[i];
        }
    });
    return {
        service: 'shop', type: 'process_cpu:cpu:nanoseconds:cpu:nanoseconds', unit: 'nanoseconds', kind: 'flow', from: 0, until: 60000,
        sum: total[0], profiles: 1, duration_ns: 6e10, instances: 1, granularity: 'function', nodes: n,
        hidden: { nodes: 0, weight: 0 }, names: Array.from({ length: 6000 }, (_, i) => `pkg${i % 40}.function${i}`), files: [''],
        depth, name: depth.map((_, i) => (i === 0 ? 0 : 1 + random(5999))), file: depth.map(() => 0), self, total, other: [],
        complete: { windows: 1, gaps: 0, partitions: [] },
    };
}

test('the Content-Security-Policy is strict and active', async () => {
    const answer = await fetch(hearth.url);
    const policy = answer.headers.get('content-security-policy') ?? '';
    assert.match(policy, /default-src '(self|none)'/);
    assert.doesNotMatch(policy, /unsafe/);
    const noisy = await (await browser.newContext()).newPage();
    await noisy.goto(hearth.url);
    const ran = await noisy.evaluate(() => {
        const script = document.createElement('script');
        script.textContent = 'window.inlineRan = true';
        document.body.append(script);
        return window.inlineRan === true;
    });
    assert.equal(ran, false);
    await noisy.context().close();
});

test('nothing above made the browser complain', async () => {
    assert.deepEqual(complaints, []);
});

async function takePictures() {
    const picture = async (path, name, act) => {
        const shown = await newPage({ viewport: { width: 1400, height: 760 } });
        await open(path, shown);
        await act(shown);
        await shown.screenshot({ path: fileURLToPath(new URL(`../../docs/${name}`, import.meta.url)) });
        await shown.context().close();
    };
    await picture('/?service=shop', 'ui.png', (shown) => hoverOn('priceCart', shown));
    await picture(versionsUrl, 'ui-diff.png', (shown) => hoverOn('scanRules', shown));
}

// ---- run ----------------------------------------------------------------------------------------

const failed = [];
const guard = setTimeout(() => {
    console.error('the browser test took longer than 200 s');
    process.exit(1);
}, 200_000);
try {
    hearth = await startHearth();
    browser = await chromium.launch({
        executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
        args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
            '--disable-component-update', '--disable-sync', '--force-color-profile=srgb', '--hide-scrollbars'],
    });
    page = await newPage();
    page.setDefaultTimeout(15_000);
    for (const [name, body] of tests) {
        try {
            await body();
            console.log(`ok   ${name}`);
        } catch (error) {
            failed.push(name);
            console.log(`FAIL ${name}\n${error.stack}`);
            const picture = fileURLToPath(new URL(`../../build/e2e-failed-${failed.length}.png`, import.meta.url));
            await page.screenshot({ path: picture }).catch(() => {});
        }
    }
    if (process.env.UPDATE_PICTURE === '1') {
        await takePictures();
    }
} finally {
    await browser?.close();
    await hearth?.stop();
    clearTimeout(guard);
}
console.log(`${tests.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length > 0 ? 1 : 0;
