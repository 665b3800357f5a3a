// Selectors, {name="value",…}, as far as buttons edit them. What a button cannot read it leaves alone.

export interface Matcher {
    name: string;
    op: string;
    value: string;
}

const matcher = /\s*([A-Za-z_][\w.-]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(,|$)/y;

// null: not the plain form in braces.
export function parseSelector(text: string): Matcher[] | null {
    const inside = text.trim().replace(/^\{|\}$/g, '');
    const out: Matcher[] = [];
    matcher.lastIndex = 0;
    while (matcher.lastIndex < inside.length) {
        const found = matcher.exec(inside);
        if (!found) {
            return null;
        }
        out.push({ name: found[1], op: found[2], value: found[3].replace(/\\(.)/g, '$1') });
    }
    return out;
}

export function formatSelector(matchers: Matcher[]): string {
    if (matchers.length === 0) {
        return '';
    }
    const text = matchers.map((m) => `${m.name}${m.op}"${m.value.replace(/[\\"]/g, '\\$&')}"`);
    return `{${text.join(',')}}`;
}

// Puts name="value" in, in place of another value of the name; a second time takes it out.
export function toggled(selector: string, name: string, value: string): string {
    const matchers = parseSelector(selector);
    if (!matchers) {
        return selector;
    }
    const has = matchers.some((m) => m.name === name && m.op === '=' && m.value === value);
    const rest = matchers.filter((m) => m.name !== name || m.op !== '=');
    return formatSelector(has ? rest : [...rest, { name, op: '=', value }]);
}

export function withLabel(selector: string, name: string, value: string): string {
    const rest = (parseSelector(selector) ?? []).filter((m) => m.name !== name);
    return formatSelector([...rest, { name, op: '=', value }]);
}
