// The part of the tree around the chosen frame, for assistive technology: its path, and its children.
import { percent, value } from './format';
import type { Layout, Tree } from './tree';

const childrenMax = 50;

function children({ tree, layout }: { tree: Tree; layout: Layout }, node: number): number[] {
    const out: number[] = [];
    for (let i = node + 1; i < tree.end[node]; i = tree.end[i]) {
        out.push(i);
    }
    return out.sort((a, b) => layout.x[a] - layout.x[b]);
}

// Arrow keys: left to the caller, right to the heaviest callee, up and down among siblings.
export function step(tree: Tree, layout: Layout, node: number, key: string): number {
    const siblings = () => (node === 0 ? [0] : children({ tree, layout }, tree.parent[node]));
    switch (key) {
        case 'ArrowLeft':
            return tree.parent[node];
        case 'ArrowRight':
            return children({ tree, layout }, node)[0] ?? -1;
        case 'ArrowDown':
            return siblings()[siblings().indexOf(node) + 1] ?? -1;
        case 'ArrowUp':
            return siblings()[siblings().indexOf(node) - 1] ?? -1;
        case 'Home':
            return 0;
        default:
            return -1;
    }
}

function describe(tree: Tree, node: number): string {
    const { label } = tree.frames[tree.frame[node]];
    const sides = tree.sides.map(({ total, sum }, s) => {
        const side = tree.sides.length > 1 ? `${'AB'[s]} ` : '';
        return `${side}${value(total[node], tree.unit)}, ${percent(sum === 0 ? 0 : total[node] / sum)}`;
    });
    return `${label}: ${sides.join('; ')}`;
}

interface Props {
    tree: Tree;
    layout: Layout;
    zoom: number;
    chosen: number;
}

export function TreeItems({ tree, layout, chosen }: Props) {
    if (tree.n === 0 || chosen >= tree.n) {
        return null;
    }
    const path: number[] = [];
    for (let node = chosen; node >= 0; node = tree.parent[node]) {
        path.unshift(node);
    }
    const below = children({ tree, layout }, chosen);
    const item = (node: number, position: number, size: number) => (
        <div
            key={node} id={`frame-${node}`} role="treeitem" aria-level={tree.depth[node] + 1}
            aria-posinset={position} aria-setsize={size} aria-selected={node === chosen}
            aria-expanded={tree.end[node] > node + 1 ? path.includes(node) : undefined}
        >
            {describe(tree, node)}
        </div>
    );
    return (
        <div class="unseen" role="group">
            {path.map((node) => {
                const siblings = node === 0 ? [0] : children({ tree, layout }, tree.parent[node]);
                return item(node, siblings.indexOf(node) + 1, siblings.length);
            })}
            {below.slice(0, childrenMax).map((node, i) => item(node, i + 1, below.length))}
        </div>
    );
}
