// The address bar is the page's state: whatever one sees can be sent to somebody else, and back and
// forward work. Names are those of the API (service, type, from, until, match; with a. and b. before
// them in a comparison), and a few of the page's own; docs/api.md has the table. Nothing on the page
// changes tenant (the API's header X-Scope-OrgID), so every link keeps it.
import { computed, signal } from '@preact/signals';

const search = signal(window.location.search);
window.addEventListener('popstate', () => (search.value = window.location.search));

export const params = computed(() => new URLSearchParams(search.value));

export type Changes = Record<string, string | null>;

// A small change (search text, zoom) replaces the entry of the history or adds one, as the caller says.
export function navigate(changes: Changes, how: 'push' | 'replace' = 'push'): void {
    const next = new URLSearchParams(search.peek());
    for (const [name, value] of Object.entries(changes)) {
        if (value) {
            next.set(name, value);
        } else {
            next.delete(name);
        }
    }
    const text = next.toString() ? `?${next}` : '';
    if (text === search.peek()) {
        return;
    }
    const address = text || window.location.pathname;
    if (how === 'push') {
        history.pushState(null, '', address);
    } else {
        history.replaceState(null, '', address);
    }
    search.value = text;
}

export function param(name: string): string {
    return params.value.get(name) ?? '';
}

// One selection: the whole page's, or one side's of a comparison. A side inherits what it does not say
// itself from the name without a prefix, as in the API.
export type Side = '' | 'a.' | 'b.';
export const sideFields = ['service', 'type', 'from', 'until', 'match'] as const;
export type SideField = (typeof sideFields)[number];

export function sideParam(side: Side, field: SideField): string {
    return params.value.get(side + field) ?? params.value.get(field) ?? '';
}

// Side A leads: what it changes, B follows, until B says something of its own. A selector is always
// one side's own: it is what usually tells them apart.
export function sideChange(side: Side, changes: Partial<Record<SideField, string>>): Changes {
    const out: Changes = { zoom: null };
    if (side) {
        out.page = 'compare';           // it stays one when nothing is left that names a side
    }
    for (const [field, value] of Object.entries(changes)) {
        const own = side === 'b.' || field === 'match' || params.value.has(side + field);
        out[own ? side + field : field] = value;
    }
    return out;
}
