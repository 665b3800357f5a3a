// Numbers and times for people.

const scales: Record<string, [number, string][]> = {
    nanoseconds: [[3.6e12, 'h'], [6e10, 'min'], [1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']],
    microseconds: [[3.6e9, 'h'], [6e7, 'min'], [1e6, 's'], [1e3, 'ms'], [1, 'µs']],
    milliseconds: [[3.6e6, 'h'], [6e4, 'min'], [1e3, 's'], [1, 'ms']],
    seconds: [[3600, 'h'], [60, 'min'], [1, 's']],
    bytes: [[2 ** 50, 'PiB'], [2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [1024, 'KiB'], [1, 'B']],
    count: [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k'], [1, '']],
};

function digits(x: number): string {
    const size = Math.abs(x);
    return x.toFixed(size >= 100 || Number.isInteger(x) ? 0 : size >= 10 ? 1 : 2);
}

export function value(v: number, unit: string): string {
    const scale = scales[unit] ?? scales.count;
    const [factor, name] = scale.find(([f]) => Math.abs(v) >= f) ?? scale[scale.length - 1];
    const suffix = unit in scales ? name : `${name} ${unit}`.trim();
    return minus(suffix ? `${digits(v / factor)} ${suffix}` : digits(v / factor));
}

// A hyphen is too short for a minus sign.
function minus(text: string): string {
    return text.replace(/^-/, '−');
}

export function signed(v: number, unit: string): string {
    return (v > 0 ? '+' : '') + value(v, unit);
}

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 2 });

// The number as the server has it, or a mean of such; a double holds integers to 2^53 exactly.
export function raw(v: number, unit: string): string {
    const short = { nanoseconds: 'ns', microseconds: 'µs', milliseconds: 'ms', seconds: 's', bytes: 'B', count: '' };
    const name = short[unit as keyof typeof short] ?? unit;
    return `${Math.abs(v) > Number.MAX_SAFE_INTEGER ? '≈ ' : ''}${grouped.format(v)} ${name}`.trimEnd();
}

export function integer(v: number): string {
    return grouped.format(v);
}

export function percent(share: number): string {
    const p = share * 100;
    const size = Math.abs(p);
    if (size === 0) {
        return '0 %';
    }
    return size < 0.01 ? '< 0.01 %' : minus(`${p.toFixed(size >= 99.95 ? 0 : size >= 10 ? 1 : 2)} %`);
}

export function points(delta: number): string {
    return minus(`${delta > 0 ? '+' : ''}${(delta * 100).toFixed(Math.abs(delta) >= 0.1 ? 1 : 2)} pp`);
}

const day = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' });
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });

export function span(from: number, until: number): string {
    const [a, b] = [new Date(from), new Date(until)];
    const same = a.toDateString() === b.toDateString();
    return `${day.format(a)}, ${clock.format(a)} – ${same ? '' : `${day.format(b)}, `}${clock.format(b)}`;
}

export function ago(ms: number): string {
    const s = Math.max(0, Math.round(ms / 1000));
    return s < 90 ? `${s} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
}

const sampleNames: Record<string, string> = {
    cpu: 'CPU time', wall: 'Wall time', samples: 'Samples', alloc_objects: 'Allocated objects',
    alloc_space: 'Allocated bytes', inuse_objects: 'Live objects', inuse_space: 'Live heap',
    goroutine: 'Goroutines', goroutines: 'Goroutines', contentions: 'Contentions', delay: 'Delay',
    exception: 'Exceptions', objects: 'Objects', space: 'Bytes',
};

// "wall:cpu:nanoseconds:wall:nanoseconds" -> "CPU time"; all tells which names need more to be told apart.
export function typeLabel(name: string, all: string[] = []): string {
    const label = plainTypeLabel(name);
    const clash = all.some((other) => other !== name && plainTypeLabel(other) === label);
    return clash ? `${label} (${name.split(':')[0]})` : label;
}

function plainTypeLabel(name: string): string {
    const [family, sample] = name.split(':');
    const label = sampleNames[sample] ?? sample ?? name;
    return ['mutex', 'block'].includes(family) && !label.toLowerCase().includes(family)
        ? `${family[0].toUpperCase()}${family.slice(1)} ${label.toLowerCase()}`
        : label;
}
