// A shop: prices carts, applies discounts, renders receipts; a few dozen lines with hot
// functions that are easy to find again. Version 2 brings a regression: applyDiscounts compares every
// line with every rule instead of looking the rule up.
'use strict';

const Pyroscope = require('@pyroscope/nodejs');

const version = process.env.DEMO_VERSION ?? '1';
const catalogue = Array.from({ length: 1200 }, (_, i) => ({
    sku: `sku-${i}`, cents: 199 + ((i * 37) % 900), title: `Article number ${i}`,
}));
const rules = catalogue.map((item, i) => ({ sku: item.sku, percent: i % 30 }));
const ruleOf = new Map(rules.map((rule) => [rule.sku, rule]));

function fillCart(order) {
    return Array.from({ length: 120 }, (_, i) => {
        const item = catalogue[(order * 31 + i * 17) % catalogue.length];
        return { ...item, quantity: 1 + (i % 4) };
    });
}

function priceCart(cart) {
    let cents = 0;
    for (let pass = 0; pass < 1800; pass++) {
        cents = 0;
        for (const line of cart) {
            cents += Math.round(line.cents * line.quantity * (1 + Math.sqrt(pass) / 1e6));
        }
    }
    return cents;
}

function lookUpRule(line) {
    return ruleOf.get(line.sku);
}

function scanRules(line) {
    let found;
    for (const rule of rules) {
        if (rule.sku.localeCompare(line.sku) === 0) {
            found = rule;
        }
    }
    return found;
}

function applyDiscounts(cart) {
    const find = version === '1' ? lookUpRule : scanRules;
    let off = 0;
    for (const line of cart) {
        off += (line.cents * line.quantity * find(line).percent) / 100;
    }
    return Math.round(off);
}

function formatMoney(cents) {
    return `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`;
}

function renderReceipt(cart, cents) {
    const rows = cart.map((line) => `${line.title.padEnd(30)} ${line.quantity} × ${formatMoney(line.cents)}`);
    return [...rows, '-'.repeat(48), formatMoney(cents)].join('\n');
}

function archiveOrder(order, receipt) {
    return Buffer.from(JSON.stringify({ order, receipt, lines: receipt.split('\n') })).toString('base64');
}

function handleCheckout(order) {
    const cart = fillCart(order);
    const cents = priceCart(cart) - applyDiscounts(cart);
    let archived = 0;
    for (let copy = 0; copy < 12; copy++) {
        archived += archiveOrder(order, renderReceipt(cart, cents)).length;
    }
    return archived;
}

// A fixed number of orders a second, so that a version that does more work per order shows as more
// CPU, not as fewer orders.
function serveOrders() {
    const periodMs = 50;
    const ordersPerPeriod = 5;
    let order = 0;
    setInterval(() => {
        for (let i = 0; i < ordersPerPeriod; i++) {
            handleCheckout(order++);
        }
    }, periodMs);
}

const flushMs = Number(process.env.DEMO_FLUSH_MS ?? 3000);
Pyroscope.init({
    appName: process.env.PYROSCOPE_APPLICATION_NAME ?? 'shop',
    serverAddress: process.env.PYROSCOPE_SERVER_ADDRESS ?? 'http://127.0.0.1:4040',
    tags: { version, env: process.env.DEMO_ENV ?? 'demo' },
    flushIntervalMs: flushMs,
    wall: { samplingDurationMs: flushMs, collectCpuTime: true },
    heap: { samplingIntervalBytes: 64 * 1024, stackDepth: 64 },
});
Pyroscope.start();
serveOrders();

for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => process.exit(0));
}
console.log(`demo: shop version ${version}, pid ${process.pid}`);
