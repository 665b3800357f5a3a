// Search: text is found anywhere in a name, whatever its case; /text/ is a regular expression.
import type { Frame } from './frames';
import type { Tree } from './tree';

export type Matches = (frame: Frame) => boolean;

// null: nothing to look for. A bad expression is told as text.
export function matcher(query: string): Matches | string | null {
    const expression = /^\/(.*)\/(i?)$/.exec(query);
    if (expression) {
        try {
            const re = new RegExp(expression[1], expression[2]);
            return (frame) => re.test(frame.name);
        } catch (cause) {
            return (cause as Error).message;
        }
    }
    const text = query.trim().toLowerCase();
    return text ? (frame) => frame.name.toLowerCase().includes(text) : null;
}

export interface Found {
    frames: Uint8Array;         // by frame: 1 is a match
    nodes: number;
    totals: number[];           // by side, every stack counted once
}

export function find(tree: Tree, matches: Matches): Found {
    const frames = Uint8Array.from(tree.frames, (frame) => (matches(frame) ? 1 : 0));
    const totals = tree.sides.map(() => 0);
    let nodes = 0;
    let countedUntil = 0;
    for (let i = 1; i < tree.n; i++) {
        if (!frames[tree.frame[i]]) {
            continue;
        }
        nodes++;
        if (i >= countedUntil) {
            tree.sides.forEach(({ total }, s) => (totals[s] += total[i]));
            countedUntil = tree.end[i];
        }
    }
    return { frames, nodes, totals };
}
