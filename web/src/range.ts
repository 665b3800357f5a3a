// Ranges as the API takes them: "now-1h" … "now", or two points in time (RFC 3339).
import { span } from './format';

export const presets = [
    { from: 'now-15m', label: 'Last 15 minutes' },
    { from: 'now-1h', label: 'Last hour' },
    { from: 'now-6h', label: 'Last 6 hours' },
    { from: 'now-24h', label: 'Last 24 hours' },
    { from: 'now-7d', label: 'Last 7 days' },
];
export const defaultFrom = 'now-1h';

const unitMs: Record<string, number> = { s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7, w: 6.048e8 };

// Milliseconds, or NaN where the text is none of the forms that the API takes.
export function parseTime(text: string, now = Date.now()): number {
    const relative = /^now(?:-(\d+)([smhdw]))?$/.exec(text);
    if (relative) {
        return relative[1] ? now - Number(relative[1]) * unitMs[relative[2]] : now;
    }
    if (/^\d+$/.test(text)) {
        const n = Number(text);
        return n < 1e11 ? n * 1e3 : n < 1e14 ? n : n < 1e17 ? n / 1e3 : n / 1e6;
    }
    return Date.parse(text);
}

export function rangeLabel(from: string, until: string): string {
    const start = from || defaultFrom;
    const end = until || 'now';
    const preset = end === 'now' && presets.find((p) => p.from === start);
    if (preset) {
        return preset.label;
    }
    const [a, b] = [parseTime(start), parseTime(end)];
    return Number.isNaN(a + b) ? `${start} – ${end}` : span(a, b);
}

export function isLive(until: string): boolean {
    return !until || until.startsWith('now');
}

// The period of the same length just before.
export function previous(from: string, until: string): { from: string; until: string } {
    const [a, b] = [parseTime(from || defaultFrom), parseTime(until || 'now')];
    return { from: iso(a - (b - a)), until: iso(a) };
}

export function iso(ms: number): string {
    return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}

// The value of <input type=datetime-local>, in the reader's own time zone.
export function toLocalInput(ms: number): string {
    const d = new Date(ms - new Date(ms).getTimezoneOffset() * 6e4);
    return d.toISOString().slice(0, 16);
}
