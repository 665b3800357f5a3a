// What the page shows, derived from the address: the lists for its pickers, and the tree.
import { computed } from '@preact/signals';
import { api, type Diff, type Flamegraph, type Label, type ProfileType, type Selection, type TopFunction } from './api';
import { typeMeant, usualType } from './choose';
import { param, sideFields, sideParam, type Side } from './location';
import { resource } from './resource';
import { fromDiff, fromFlamegraph, layOut, type Tree } from './tree';

// What names a side is a comparison, whoever wrote the address: an API question pasted behind "/?" is one, too.
export const comparing = computed(() => param('page') === 'compare' ||
    ['a.', 'b.'].some((side) => sideFields.some((field) => param(side + field))));
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

const sides = computed<Side[]>(() => (comparing.value ? ['a.', 'b.'] : ['']));

// null: not known yet.
function typesOf(side: Side): string[] | null {
    const { key, data } = pickersOf[side].value;
    return data && key === sideParam(side, 'service') ? data.types.map(({ name }) => name) : null;
}

// The full name of the type that a side shows; null: not known before the list of types is here. Sides
// whose type nobody named show one that both have, if there is any.
function chosenType(side: Side): string | null {
    const asked = sideParam(side, 'type');
    if (asked.includes(':')) {
        return asked;
    }
    const lists = sides.value.map(typesOf);
    const own = typesOf(side);
    if (!own || lists.includes(null)) {
        return null;
    }
    const common = own.filter((name) => lists.every((list) => list!.includes(name)));
    return asked ? typeMeant(asked, own) : usualType(common.length > 0 ? common : own);
}

// The parameters of the API's question; undefined: not known yet. An address may hold more than the API knows.
const question = computed(() => {
    const out: Record<string, string> = {};
    for (const side of sides.value) {
        const type = chosenType(side);
        if (type === null) {
            return undefined;
        }
        for (const field of sideFields) {
            const text = field === 'type' ? type : sideParam(side, field);
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

const ready = computed(() => sides.value.every((side) => sideParam(side, 'service') !== ''));

export interface Answer {
    flamegraph: Flamegraph | null;
    diff: Diff | null;
    tree: Tree;
}

export const answer = resource<Answer>(
    () => (ready.value ? question.value && JSON.stringify(question.value) : null),
    async (signal) => {
        const { comparing: two, params: asked } = question.peek()!;
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

// The type in use, by its full name; while that is not known, the one still in sight.
export function typeOf(side: Side): string {
    const data = answer.value.data;
    const shown = side === '' ? data?.flamegraph?.type : side === 'a.' ? data?.diff?.a.type : data?.diff?.b.type;
    return chosenType(side) ?? shown ?? '';
}
