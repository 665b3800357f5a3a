// Colours of the flame graph. By package: a dozen quiet hues, the warm ones for the heaviest packages. Of a difference: from the neutral paper to red (more) or green (less); the safe palette has
// orange and blue, which people with red-green blindness tell apart. Dark and light follow the system.
import { signal } from '@preact/signals';
import { factors, type Tree } from './tree';

const darkQuery = window.matchMedia('(prefers-color-scheme: dark)');
export const dark = signal(darkQuery.matches);
darkQuery.addEventListener('change', () => (dark.value = darkQuery.matches));

const hues = [58, 250, 88, 25, 200, 145, 315, 115, 225, 5, 172, 285];

const greyGroups = new Set(['runtime', 'unknown']);

export interface Theme {
    paper: string;
    ink: string;
    faintInk: string;
    muted: string;              // frames that a search leaves out
    mutedInk: string;
    root: string;
    other: string;
    hover: string;
}

export function theme(isDark: boolean): Theme {
    return isDark
        ? { paper: '#1b1917', ink: '#f3eee8', faintInk: 'rgba(243,238,232,.58)', muted: '#2a2725', mutedInk: '#8d857d',
            root: '#3a3531', other: '#45403b', hover: '#ffffff' }
        : { paper: '#ffffff', ink: '#26201b', faintInk: 'rgba(38,32,27,.56)', muted: '#eeebe7', mutedInk: '#9a928a',
            root: '#e2ddd6', other: '#d6d0c8', hover: '#1c1714' };
}

function hash(text: string): number {
    let h = 0x811c9dc5;
    for (let i = 0; i < text.length; i++) {
        h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
    }
    return h >>> 0;
}

// A hue per package, the heaviest choosing first; when all are taken, one by the hash of its name.
function groupHues(tree: Tree): Map<string, number> {
    const size = new Map<string, number>();
    for (let i = 1; i < tree.n; i++) {
        const { group } = tree.frames[tree.frame[i]];
        const self = tree.sides.reduce((sum, side) => sum + Math.abs(side.self[i]), 0);
        size.set(group, (size.get(group) ?? 0) + self);
    }
    const out = new Map<string, number>();
    for (const [group] of [...size].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))) {
        if (!greyGroups.has(group)) {
            out.set(group, hues[out.size < hues.length ? out.size : hash(group) % hues.length]);
        }
    }
    return out;
}

export type Paint = (node: number) => string;

export function packagePaint(tree: Tree, isDark: boolean): Paint {
    const hueOf = groupHues(tree);
    const colours = tree.frames.map((frame) => {
        const shade = (hash(frame.name) % 5) - 2;
        const grey = greyGroups.has(frame.group);
        const hue = hueOf.get(frame.group) ?? 60;
        return isDark
            ? `oklch(${0.46 + shade * 0.013} ${grey ? 0.012 : 0.072} ${hue})`
            : `oklch(${0.845 + shade * 0.012} ${grey ? 0.012 : 0.075} ${hue})`;
    });
    const { root, other } = theme(isDark);
    return (node) => (node === 0 ? root : tree.other[node] ? other : colours[tree.frame[node]]);
}

export type Change = 'more' | 'less' | 'only-a' | 'only-b' | 'same';

export function change(tree: Tree, node: number, factor: number[]): { kind: Change; delta: number; intensity: number } {
    const [a, b] = tree.sides.map(({ total }, s) => total[node] * factor[s]);
    const delta = b - a;
    const whole = Math.max(...tree.sides.map(({ sum }, s) => Math.abs(sum) * factor[s])) || 1;
    const ratio = Math.abs(delta) / (Math.abs(a) + Math.abs(b) || 1);
    // A change counts by its size too: twice a thousandth of the whole is no news.
    const intensity = Math.min(1, ratio * 1.5) * (0.25 + 0.75 * Math.min(1, Math.abs(delta) / whole / 0.03));
    const kind = a === 0 && b !== 0 ? 'only-b' : b === 0 && a !== 0 ? 'only-a'
        : delta > 0 ? 'more' : delta < 0 ? 'less' : 'same';
    return { kind, delta, intensity };
}

const steps = 12;

export function diffRamp(isDark: boolean, safe: boolean): string[] {
    const [less, more] = safe ? [245, 58] : [150, 27];
    return Array.from({ length: 2 * steps + 1 }, (_, i) => {
        const t = Math.abs(i - steps) / steps;
        const hue = i < steps ? less : more;
        return isDark
            ? `oklch(${0.36 + t * 0.2} ${0.008 + t * 0.15} ${t === 0 ? 60 : hue})`
            : `oklch(${0.925 - t * 0.25} ${0.008 + t * 0.155} ${t === 0 ? 60 : hue})`;
    });
}

export function diffPaint(tree: Tree, byShare: boolean, isDark: boolean, safe: boolean): Paint {
    const factor = factors(tree, byShare);
    const ramp = diffRamp(isDark, safe);
    const { root, other } = theme(isDark);
    return (node) => {
        if (node === 0) {
            return root;
        }
        const { delta, intensity } = change(tree, node, factor);
        const step = Math.round(intensity * steps);
        return tree.other[node] && step === 0 ? other : ramp[steps + Math.sign(delta) * step];
    };
}
