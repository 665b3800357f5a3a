// What the page shows, derived from the address: the lists for its pickers, and the tree.
import { computed } from '@preact/signals';
import { api, type Diff, type Flamegraph, type Label, type ProfileType, type Selection, type TopFunction } from './api';
import { param, params, sideFields, sideParam, type Side } from './location';
import { resource } from './resource';
import { fromDiff, fromFlamegraph, layOut, type Tree } from './tree';

export const comparing = computed(() => param('page') === 'compare');
export const byShare = computed(() => param('scale') !== 'absolute');
export const safePalette = computed(() => param('palette') === 'safe');

export const services = resource(() => 'services', (signal) => api.services(signal));

export interface Pickers {
    types: ProfileType[];
    labels: Label[];
}

function pickers(side: Side) {
    const service = computed(() => sideParam(side, 'service'));
    return resource<Pickers>(
        () => service.value || null,
        async (signal) => {
            const name = service.peek();
            const [{ types }, { labels }] = await Promise.all([
                api.types(name, signal), api.labels(name, signal),
            ]).catch(() => [{ types: [] }, { labels: [] }] as const);
            return { types: [...types], labels: [...labels] };
        },
    );
}

export const pickersOf: Record<Side, ReturnType<typeof pickers>> = {
    '': pickers(''), 'a.': pickers('a.'), 'b.': pickers('b.'),
};

// The parameters of the API's question. An address may hold more than the API knows.
const question = computed(() => {
    const sides: Side[] = comparing.value ? ['a.', 'b.'] : [''];
    const out: Record<string, string> = {};
    for (const side of sides) {
        for (const field of sideFields) {
            const text = sideParam(side, field);
            if (text) {
                out[side + field] = text;
            }
        }
    }
    if (param('max_nodes')) {
        out.max_nodes = param('max_nodes');
    }
    return { comparing: comparing.value, params: out };
});

const ready = computed(() =>
    (comparing.value ? sideParam('a.', 'service') && sideParam('b.', 'service') : sideParam('', 'service')) !== '');

export interface Answer {
    flamegraph: Flamegraph | null;
    diff: Diff | null;
    tree: Tree;
}

export const answer = resource<Answer>(
    () => (ready.value ? JSON.stringify(question.value) : null),
    async (signal) => {
        const { comparing: two, params: asked } = question.peek();
        performance.mark('hearth:ask');
        const flamegraph = two ? null : await api.flamegraph(asked, signal);
        const diff = two ? await api.diff(asked, signal) : null;
        performance.mark('hearth:build-start');
        const tree = diff ? fromDiff(diff) : fromFlamegraph(flamegraph!);
        performance.measure('hearth:build', 'hearth:build-start');
        return { flamegraph, diff, tree };
    },
);

export const tree = computed(() => answer.value.data?.tree ?? null);
const layoutByShare = computed(() => (tree.value && tree.value.sides.length > 1 ? byShare.value : true));

export const layout = computed(() => {
    if (!tree.value) {
        return null;
    }
    performance.mark('hearth:layout-start');
    const out = layOut(tree.value, layoutByShare.value);
    performance.measure('hearth:layout', 'hearth:layout-start');
    return out;
});

// The functions of each side over every sample, where the tree came with nodes hidden; else the tree
// itself has them all. Asked for the very windows that the tree covers.
const topsKey = computed(() => {
    const { key, data } = answer.value;
    const hidden = (data?.flamegraph ?? data?.diff)?.hidden.nodes ?? 0;
    return hidden > 0 ? `${key} ${data!.tree.sides.map(({ sum }) => sum)}` : null;
});

const topsOfKey = resource<TopFunction[][]>(
    () => topsKey.value,
    async (signal) => {
        const { flamegraph, diff } = answer.peek().data!;
        const sides: [Side, Selection][] = diff ? [['a.', diff.a], ['b.', diff.b]] : [['', flamegraph!]];
        const answers = await Promise.all(sides.map(([side, { service, type, from, until }]) => api.top({
            service, type, from: String(from), until: String(until), match: sideParam(side, 'match'), limit: '1000000',
        }, signal)));
        return answers.map(({ functions }) => functions);
    },
);

export const tops = computed(() =>
    (topsKey.value !== null && topsOfKey.value.key === topsKey.value ? topsOfKey.value.data : null));

// The type in use: the address's, or the one that the server chose.
export function typeOf(side: Side): string {
    const data = answer.value.data;
    const chosen = side === '' ? data?.flamegraph?.type : side === 'a.' ? data?.diff?.a.type : data?.diff?.b.type;
    return params.value.get(`${side}type`) ?? (param('type') || (chosen ?? ''));
}
