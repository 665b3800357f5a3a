// The tree of an answer, in typed arrays, and its layout. Nodes keep the server's preorder, so a parent
// comes before its children and a subtree is the range [i, end[i]). A layout gives every node a weight
// and a place; weights are made of |self|, so a tree with negative values, or of two sides, is laid out
// like any other and children never stick out of their parent.
import type { Diff, Flamegraph, Selection, TopFunction } from './api';
import { describe, type Frame } from './frames';

// As they are shown: what the server sums up, and of a snapshot (heap in use, goroutines) the mean of one
// profile, since the sum of a heap over ten of its profiles is in use nowhere.
export interface Values {
    self: Float64Array;
    total: Float64Array;
    sum: number;
    meanOf: number;             // profiles that each value is the mean of; 1 of a flow
}

export interface Tree {
    n: number;
    unit: string;
    depth: Int32Array;
    parent: Int32Array;         // -1: the root
    end: Int32Array;
    frame: Int32Array;          // index into frames
    frames: Frame[];
    other: Uint8Array;          // 1: stands for hidden children
    sides: Values[];            // one, or two (A, B)
    keyHigh: Uint32Array;       // hash of the path from the root: names a node in the address
    keyLow: Uint32Array;
}

export interface Layout {
    weight: Float64Array;
    x: Float64Array;
    order: Int32Array;          // nodes by depth, then from left to right
    rowStart: Int32Array;       // order[rowStart[d] … rowStart[d + 1]) is row d
    rows: number;
}

// Only a snapshot has a mean.
function shown({ sum, mean, profiles }: Selection, self: number[], total: number[]): Values {
    const meanOf = mean === undefined ? 1 : profiles;
    const each = (values: number[]) => Float64Array.from(values, (v) => v / meanOf);
    return { self: each(self), total: each(total), sum: sum / meanOf, meanOf };
}

export function fromFlamegraph(answer: Flamegraph): Tree {
    return build(answer, [shown(answer, answer.self, answer.total)]);
}

export function fromDiff(answer: Diff): Tree {
    return build(answer, [shown(answer.a, answer.self_a, answer.total_a), shown(answer.b, answer.self_b, answer.total_b)]);
}

function build(answer: Flamegraph | Diff, sides: Values[]): Tree {
    const n = answer.depth.length;
    const tree: Tree = {
        n, sides, unit: answer.unit,
        depth: Int32Array.from(answer.depth),
        parent: new Int32Array(n), end: new Int32Array(n), frame: new Int32Array(n), frames: [],
        other: new Uint8Array(n), keyHigh: new Uint32Array(n), keyLow: new Uint32Array(n),
    };
    linkNodes(tree);
    nameFrames(tree, answer);
    for (const node of answer.other ?? []) {
        tree.other[node] = 1;
    }
    hashPaths(tree);
    return tree;
}

function linkNodes({ n, depth, parent, end }: Tree): void {
    const path: number[] = [];
    for (let i = 0; i < n; i++) {
        while (path.length > depth[i]) {
            end[path.pop()!] = i;
        }
        parent[i] = path.length > 0 ? path[path.length - 1] : -1;
        path.push(i);
    }
    for (const open of path) {
        end[open] = n;
    }
}

function nameFrames(tree: Tree, { names, files, name, file }: Flamegraph | Diff): void {
    const ids = new Map<number, number>();
    for (let i = 0; i < tree.n; i++) {
        const key = name[i] * (files.length + 1) + file[i];
        let id = ids.get(key);
        if (id === undefined) {
            id = tree.frames.length;
            ids.set(key, id);
            tree.frames.push(describe(names[name[i]] ?? '', files[file[i]] ?? ''));
        }
        tree.frame[i] = id;
    }
}

function hashText(text: string, seed: number): number {
    let h = seed;
    for (let i = 0; i < text.length; i++) {
        h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
    }
    return h >>> 0;
}

function hashPaths({ n, parent, frame, frames, keyHigh, keyLow }: Tree): void {
    const high = frames.map((f) => hashText(`${f.name}\n${f.file}`, 0x811c9dc5));
    const low = frames.map((f) => hashText(`${f.name}\n${f.file}`, 0x2f0b4427));
    for (let i = 0; i < n; i++) {
        const up = parent[i];
        keyHigh[i] = Math.imul((up < 0 ? 1 : keyHigh[up]) ^ high[frame[i]], 0x85ebca6b);
        keyLow[i] = Math.imul((up < 0 ? 2 : keyLow[up]) ^ low[frame[i]], 0xc2b2ae35);
    }
}

export function nodeKey(tree: Tree, node: number): string {
    return node === 0 ? '' : `${tree.keyHigh[node].toString(36)}-${tree.keyLow[node].toString(36)}`;
}

// The node that a key names, or the root when this tree has none.
export function findNode(tree: Tree, key: string): number {
    const [high, low] = key.split('-').map((part) => parseInt(part, 36));
    for (let i = 1; key && i < tree.n; i++) {
        if (tree.keyHigh[i] === high && tree.keyLow[i] === low) {
            return i;
        }
    }
    return 0;
}

// Widths of a difference: the mean of the two sides, each by its own sum (share) or as it is. So a
// frame on one side only has half of its width, and none disappears.
export function factors(tree: Tree, byShare: boolean): number[] {
    return tree.sides.map(({ sum }) => (byShare && tree.sides.length > 1 ? (sum === 0 ? 0 : 1 / Math.abs(sum)) : 1));
}

export function layOut(tree: Tree, byShare: boolean): Layout {
    const weight = weights(tree, factors(tree, byShare));
    const { kids, first } = childLists(tree);
    return place(tree, weight, kids, first);
}

function weights({ n, parent, end, sides }: Tree, factor: number[]): Float64Array {
    const weight = new Float64Array(n);
    for (let i = n - 1; i >= 0; i--) {
        for (let s = 0; s < sides.length; s++) {
            const { self, total } = sides[s];
            weight[i] += Math.abs(end[i] === i + 1 ? total[i] : self[i]) * factor[s];
        }
        if (parent[i] >= 0) {
            weight[parent[i]] += weight[i];
        }
    }
    return weight;
}

function childLists({ n, parent }: Tree): { kids: Int32Array; first: Int32Array } {
    const first = new Int32Array(n + 1);
    for (let i = 1; i < n; i++) {
        first[parent[i] + 1]++;
    }
    for (let i = 0; i < n; i++) {
        first[i + 1] += first[i];
    }
    const fill = first.slice();
    const kids = new Int32Array(Math.max(0, n - 1));
    for (let i = 1; i < n; i++) {
        kids[fill[parent[i]]++] = i;
    }
    return { kids, first };
}

// Row by row from the root; siblings by weight, heaviest on the left, what was hidden last.
function place(tree: Tree, weight: Float64Array, kids: Int32Array, first: Int32Array): Layout {
    const { n, depth, other } = tree;
    const heavier = (a: number, b: number) => other[a] - other[b] || weight[b] - weight[a] || a - b;
    const x = new Float64Array(n);
    const order = new Int32Array(n);
    const rowStart: number[] = [];
    let filled = n > 0 ? 1 : 0;

    for (let next = 0; next < n; next++) {
        const node = order[next];
        if (depth[node] === rowStart.length) {
            rowStart.push(next);
        }
        const children = kids.subarray(first[node], first[node + 1]);
        if (children.length > 1) {
            children.sort(heavier);
        }
        let left = x[node];
        for (const child of children) {
            x[child] = left;
            left += weight[child];
            order[filled++] = child;
        }
    }
    const rows = rowStart.length;
    rowStart.push(n);
    return { weight, x, order, rowStart: Int32Array.from(rowStart), rows };
}

// The position in layout.order of the first node of a row that ends right of x.
export function firstRightOf({ order, rowStart, x, weight }: Layout, row: number, at: number): number {
    let low = rowStart[row];
    let high = rowStart[row + 1];
    while (low < high) {
        const middle = (low + high) >> 1;
        const node = order[middle];
        if (x[node] + weight[node] > at) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

export function nodeAt(layout: Layout, row: number, at: number): number {
    if (row < 0 || row >= layout.rows) {
        return -1;
    }
    const k = firstRightOf(layout, row, at);
    const node = k < layout.rowStart[row + 1] ? layout.order[k] : -1;
    return node >= 0 && layout.x[node] <= at ? node : -1;
}

export interface FunctionRow {
    frame: Frame;
    other: boolean;
    self: number[];             // by side
    total: number[];
}

// Self and total of each function; total counts a stack once however often the function recurs in it.
export function functions(tree: Tree): FunctionRow[] {
    const rows = tree.frames.map((frame): FunctionRow => ({
        frame, other: false, self: tree.sides.map(() => 0), total: tree.sides.map(() => 0),
    }));
    const openUntil = new Int32Array(tree.frames.length);
    for (let i = 1; i < tree.n; i++) {
        const row = rows[tree.frame[i]];
        const outermost = i >= openUntil[tree.frame[i]];
        row.other ||= tree.other[i] === 1;
        tree.sides.forEach(({ self, total }, s) => {
            row.self[s] += self[i];
            row.total[s] += outermost ? total[i] : 0;
        });
        if (outermost) {
            openUntil[tree.frame[i]] = tree.end[i];
        }
    }
    rows.splice(tree.n > 0 ? tree.frame[0] : 0, 1);
    return rows;
}

// The same rows from the server's lists, one for each side of the tree.
export function functionsOfTop({ sides }: Tree, tops: TopFunction[][]): FunctionRow[] {
    const rows = new Map<string, FunctionRow>();
    tops.forEach((functions_, side) => {
        for (const { name, file, self, total } of functions_) {
            const key = `${name}\n${file}`;
            let row = rows.get(key);
            if (!row) {
                row = { frame: describe(name, file), other: false, self: tops.map(() => 0), total: tops.map(() => 0) };
                rows.set(key, row);
            }
            row.self[side] = self / sides[side].meanOf;
            row.total[side] = total / sides[side].meanOf;
        }
    });
    return [...rows.values()];
}
