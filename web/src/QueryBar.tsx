// The pickers: service, type, range and selector; one row, or one for each side of a comparison.
import { generation } from './resource';
import { typeLabel } from './format';
import { navigate, param, sideChange, sideParam, type Changes, type Side } from './location';
import { comparing, pickersOf, services, typeOf } from './model';
import { previous } from './range';
import { RangePicker } from './RangePicker';
import { formatSelector, parseSelector, withLabel } from './selector';
import { SelectorInput } from './SelectorInput';

function SideRow({ side }: { side: Side }) {
    const service = sideParam(side, 'service');
    const { types, labels } = pickersOf[side].value.data ?? { types: [], labels: [] };
    const names = types.map(({ name }) => name);
    const type = typeOf(side);
    const id = (field: string) => `${side || 'one.'}${field}`;
    const change = (changes: Parameters<typeof sideChange>[1]) => navigate(sideChange(side, changes));
    const known = services.value.data?.services.map(({ name }) => name) ?? [];

    return (
        <div class="side" role="group" aria-label={side ? `Side ${side[0].toUpperCase()}` : 'Selection'}>
            {side && <span class={`badge ${side[0]}`}>{side[0].toUpperCase()}</span>}
            <div class="field">
                <label for={id('service')}>Service</label>
                <select id={id('service')} class="control" value={service}
                    onChange={(event) => change({ service: event.currentTarget.value, type: '', match: '' })}>
                    {!known.includes(service) && <option value={service}>{service || '—'}</option>}
                    {known.map((name) => <option key={name} value={name}>{name}</option>)}
                </select>
            </div>
            <div class="field">
                <label for={id('type')}>Profile</label>
                <select id={id('type')} class="control" value={type} title={type}
                    onChange={(event) => change({ type: event.currentTarget.value })}>
                    {!names.includes(type) && <option value={type}>{type ? typeLabel(type) : '—'}</option>}
                    {names.map((name) => <option key={name} value={name}>{typeLabel(name, names)}</option>)}
                </select>
            </div>
            <div class="field">
                <label for={id('range')}>Range</label>
                <RangePicker id={id('range')} from={sideParam(side, 'from')} until={sideParam(side, 'until')}
                    onChange={(from, until) => change({ from, until })} />
            </div>
            <div class="field grow">
                <label for={id('match')}>Selector</label>
                <SelectorInput id={id('match')} value={sideParam(side, 'match')} labels={labels}
                    onChange={(match) => change({ match })} />
            </div>
        </div>
    );
}

export function QueryBar() {
    return (
        <section class="query" aria-label="What to show">
            <div class="sides">
                {comparing.value ? <><SideRow side="a." /><SideRow side="b." /></> : <SideRow side="" />}
            </div>
            <div class="query-actions">
                <button type="button" class="control" title="Ask again (r)" onClick={() => generation.value++}>Refresh</button>
                {comparing.value
                    ? <><button type="button" class="control" onClick={swap}>Swap</button><Presets /></>
                    : <button type="button" class="control" onClick={() => navigate(compareFrom(''))}>Compare…</button>}
            </div>
        </section>
    );
}

function swap(): void {
    const changes: Changes = { zoom: null };
    for (const field of ['service', 'type', 'from', 'until', 'match'] as const) {
        const [a, b] = [sideParam('a.', field), sideParam('b.', field)];
        if (a !== b) {
            changes[`a.${field}`] = b;
            changes[`b.${field}`] = a;
        }
    }
    navigate(changes);
}

// The two newest versions of the service, by the order of their numbers; null: it has not two.
function versions(): [string, string] | null {
    const labels = pickersOf[comparing.value ? 'a.' : ''].value.data?.labels ?? [];
    const values = [...(labels.find(({ name }) => name === 'version')?.values ?? [])].filter(Boolean);
    values.sort(new Intl.Collator('en', { numeric: true }).compare);
    return values.length < 2 ? null : [values[values.length - 2], values[values.length - 1]];
}

const nothingOwn: Changes = Object.fromEntries(
    ['a.', 'b.'].flatMap((side) => ['service', 'type', 'from', 'until', 'match'].map((field) => [side + field, null])));

// Into a comparison: of the two newest versions if there are two, else with the period before.
export function compareFrom(preset: '' | 'versions' | 'previous'): Changes {
    const base: Side = comparing.value ? 'a.' : '';
    const of = (field: 'service' | 'type' | 'from' | 'until' | 'match') => sideParam(base, field);
    const common: Changes = {
        ...nothingOwn, 'page': 'compare', 'zoom': null, 'sort': null, 'match': null, 'service': of('service'),
        'type': of('type'),
    };
    const pair = versions();
    if (pair && preset !== 'previous') {
        return { ...common, 'a.match': withLabel(of('match'), 'version', pair[0]), 'b.match': withLabel(of('match'), 'version', pair[1]) };
    }
    const rest = preset === '' ? of('match') : formatSelector((parseSelector(of('match')) ?? []).filter(({ name }) => name !== 'version'));
    const before = previous(param('from'), param('until'));
    return { ...common, 'a.match': rest, 'b.match': rest, 'a.from': before.from, 'a.until': before.until };
}

function Presets() {
    const choose = (event: Event & { currentTarget: HTMLSelectElement }) => {
        const preset = event.currentTarget.value as 'versions' | 'previous';
        event.currentTarget.value = '';
        navigate(compareFrom(preset));
    };
    return (
        <select class="control" aria-label="Compare what" value="" onChange={choose}>
            <option value="" disabled>Presets</option>
            {versions() && <option value="versions">Newest versions</option>}
            <option value="previous">Period before</option>
        </select>
    );
}
