// The page: pickers, a line that says what is shown, the search, and the graph and the table below.
import { computed, effect } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import type { Diff, Flamegraph, Selection } from './api';
import { dark, diffPaint, diffRamp, packagePaint, theme } from './colours';
import { FlameGraph } from './FlameGraph';
import { integer, percent, span, typeLabel, value } from './format';
import { navigate, param, sideParam, type Side } from './location';
import { answer, byShare, comparing, layout, safePalette, services, tree, typeOf } from './model';
import { compareFrom, QueryBar } from './QueryBar';
import { isLive } from './range';
import { generation } from './resource';
import { find, matcher } from './search';
import { ErrorBox, Loading, NoData, NoServices, Notices } from './states';
import { Table } from './Table';
import { findNode, nodeKey, type Tree } from './tree';

const search = computed(() => matcher(param('q')));
const found = computed(() =>
    (tree.value && typeof search.value === 'function' ? find(tree.value, search.value) : null));

const noServices = computed(() => services.value.data?.services.length === 0);
const empty = computed(() => {
    const data = answer.value.data;
    return data !== null && (data.diff ? data.diff.a.profiles + data.diff.b.profiles : data.flamegraph!.profiles) === 0;
});
const waiting = computed(() => noServices.value || (isLive(sideParam('', 'until')) &&
    (empty.value || ['service_not_found', 'type_not_found', 'no_data_yet'].includes(answer.value.error?.code ?? ''))));

// Whoever comes without a service sees the other side's, else the one that was seen last.
effect(() => {
    const list = services.value.data?.services ?? [];
    const sides: Side[] = comparing.value ? ['a.', 'b.'] : [''];
    if (list.length > 0 && sides.some((side) => !sideParam(side, 'service'))) {
        const newest = list.reduce((a, b) => (b.last > a.last ? b : a));
        navigate({ service: param('a.service') || param('b.service') || newest.name }, 'replace');
    }
});

effect(() => {
    const service = sideParam(comparing.value ? 'a.' : '', 'service');
    const type = typeOf(comparing.value ? 'a.' : '');
    const parts = [service, type && typeLabel(type), comparing.value ? 'comparison' : ''].filter(Boolean);
    document.title = [...parts, 'Hearth'].join(' · ');
});

function Header() {
    const tenant = param('tenant');
    const tab = (name: string, active: boolean, go: () => void) => (
        <button type="button" class="tab" aria-current={active ? 'page' : undefined} onClick={go}>{name}</button>
    );
    const explore = () => navigate({
        page: null, zoom: null, sort: null, match: sideParam('b.', 'match') || null,
        ...Object.fromEntries(['a.', 'b.'].flatMap((s) => ['service', 'type', 'from', 'until', 'match'].map((f) => [s + f, null]))),
        service: sideParam('b.', 'service'),
    });
    return (
        <header>
            <a class="brand" href={`./${tenant && `?${new URLSearchParams({ tenant })}`}`} onClick={(event) => {
                event.preventDefault();
                explore();
            }}>
                <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
                    <path class="mark-1" d="M3 3h18v4.4H3z" /><path class="mark-2" d="M3 9.3h11.5v4.4H3z" />
                    <path class="mark-3" d="M3 15.6h6.2V20H3z" />
                </svg>
                Hearth
            </a>
            <nav aria-label="Pages">
                {tab('Explore', !comparing.value, () => comparing.value && explore())}
                {tab('Compare', comparing.value, () => !comparing.value && navigate(compareFrom('')))}
            </nav>
            {tenant && <span class="tenant" title="The tenant whose profiles these are (X-Scope-OrgID)">{tenant}</span>}
            <span class={`busy${answer.value.loading ? ' on' : ''}`} role="progressbar" aria-hidden={!answer.value.loading} />
        </header>
    );
}

function Figure({ selection, unit, badge }: { selection: Selection; unit: string; badge?: 'a' | 'b' }) {
    const { mean, sum, profiles, instances, from, until } = selection;
    return (
        <div class="figure">
            {badge && <span class={`badge ${badge}`}>{badge.toUpperCase()}</span>}
            <strong>{value(mean ?? sum, unit)}</strong>
            <span class="faint">
                {mean !== undefined && 'mean of '}
                {integer(profiles)} {profiles === 1 ? 'profile' : 'profiles'}
                {instances > 0 && ` · ${integer(instances)} ${instances === 1 ? 'instance' : 'instances'}`}
                {until > from && ` · ${span(from, until)}`}
            </span>
        </div>
    );
}

function Summary({ flamegraph, diff }: { flamegraph: Flamegraph | null; diff: Diff | null }) {
    if (flamegraph) {
        return <Figure selection={flamegraph} unit={flamegraph.unit} />;
    }
    return <><Figure selection={diff!.a} unit={diff!.unit} badge="a" /><Figure selection={diff!.b} unit={diff!.unit} badge="b" /></>;
}

function SearchBox({ tree: shown }: { tree: Tree }) {
    const hits = found.value;
    const text = typeof search.value === 'string' ? search.value
        : hits === null ? ''
            : shown.sides.map(({ sum }, s) =>
                `${shown.sides.length > 1 ? `${'AB'[s]} ` : ''}${percent(sum === 0 ? 0 : hits.totals[s] / sum)}`).join(' · ');
    return (
        <div class="search">
            <input id="search" class="control" type="search" placeholder="Search functions or /regexp/" spellcheck={false}
                aria-label="Search functions" value={param('q')}
                onInput={(event) => navigate({ q: event.currentTarget.value }, 'replace')} />
            <output for="search" class={typeof search.value === 'string' ? 'bad' : ''} aria-live="polite">
                {text}{hits && hits.nodes > 0 ? ' matched' : ''}
            </output>
        </div>
    );
}

interface ChoiceProps {
    label: string;
    name: string;
    options: [string, string][];
}

// A choice between a few; the first is what goes without saying, and stays out of the address.
function Choice({ label, name, options }: ChoiceProps) {
    const current = param(name) || options[0][0];
    return (
        <div class="choice" role="group" aria-label={label}>
            {options.map(([key, title]) => (
                <button type="button" key={key} aria-pressed={current === key}
                    onClick={() => navigate({ [name]: key === options[0][0] ? null : key }, 'push')}>{title}</button>
            ))}
        </div>
    );
}

function Legend() {
    const ramp = diffRamp(dark.value, safePalette.value);
    const strip = useRef<HTMLCanvasElement>(null);
    useEffect(() => {
        const pen = strip.current!.getContext('2d')!;
        ramp.forEach((colour, i) => {
            pen.fillStyle = colour;
            pen.fillRect((i * strip.current!.width) / ramp.length, 0, strip.current!.width / ramp.length + 1, strip.current!.height);
        });
    }, [dark.value, safePalette.value]);
    return (
        <div class="legend">
            <span>less in B</span><canvas ref={strip} width={250} height={10} aria-hidden="true" /><span>more in B</span>
            <span class="faint">· hatched: on one side only</span>
        </div>
    );
}

function Content({ tree: shown, flamegraph, diff }: { tree: Tree; flamegraph: Flamegraph | null; diff: Diff | null }) {
    const view = param('view') || 'both';
    const two = shown.sides.length > 1;
    const zoom = useMemo(() => findNode(shown, param('zoom')), [shown, param('zoom')]);
    const paint = useMemo(
        () => (two ? diffPaint(shown, byShare.value, dark.value, safePalette.value) : packagePaint(shown, dark.value)),
        [shown, dark.value, byShare.value, safePalette.value]);
    const oneSided = useMemo(() => (two
        ? (node: number) => (shown.sides[0].total[node] === 0) !== (shown.sides[1].total[node] === 0)
        : null), [shown]);
    const zoomTo = (node: number) =>
        navigate({ zoom: node === zoom ? nodeKey(shown, Math.max(0, shown.parent[node])) : nodeKey(shown, node) });
    const zoomed = zoom > 0 ? shown.frames[shown.frame[zoom]].label : '';

    return (
        <>
            <div class="toolbar">
                <SearchBox tree={shown} />
                {zoom > 0 && (
                    <button type="button" class="control reset" title="Show all (Esc)" onClick={() => navigate({ zoom: null })}>
                        <span class="reset-name">{zoomed}</span> ×
                    </button>
                )}
                <span class="stretch" />
                {two && <Choice label="Scale" name="scale" options={[['share', 'Share'], ['absolute', 'Absolute']]} />}
                {two && <Choice label="Colours" name="palette" options={[['standard', 'Red–green'], ['safe', 'Colour-blind']]} />}
                <Choice label="View" name="view" options={[['both', 'Both'], ['flame', 'Flame graph'], ['table', 'Table']]} />
            </div>
            <Notices complete={flamegraph ? [flamegraph.complete] : [diff!.a.complete, diff!.b.complete]}
                hidden={flamegraph?.hidden ?? diff!.hidden} sum={shown.sides.reduce((sum, side) => sum + Math.abs(side.sum) * side.meanOf, 0)} />
            <div class={`panes ${view}${two ? ' two' : ''}${safePalette.value ? ' safe' : ''}`}>
                {view !== 'flame' && (
                    <Table tree={shown} byShare={byShare.value} matches={typeof search.value === 'function' ? search.value : null} />
                )}
                {view !== 'table' && (
                    <FlameGraph tree={shown} layout={layout.value!} paint={paint} theme={theme(dark.value)}
                        found={found.value?.frames ?? null} oneSided={oneSided} zoom={zoom} byShare={byShare.value} onZoom={zoomTo} />
                )}
            </div>
        </>
    );
}

function why(): string {
    const sides = comparing.value ? ['a.', 'b.'] as const : [''] as const;
    const asked = sides.map((side) => `${sideParam(side, 'service')} ${sideParam(side, 'match')}`.trim());
    return `${[...new Set(asked)].join(' and ')} sent no profile of this type in the range asked for.`;
}

function Main() {
    const { data, error, loading, key } = answer.value;
    if (noServices.value) {
        return <NoServices />;
    }
    if (services.value.error && key === null) {
        return <ErrorBox error={services.value.error} />;
    }
    if (error) {
        return <ErrorBox error={error} />;
    }
    if (!data) {
        return loading || services.value.loading ? <Loading /> : null;
    }
    return (
        <>
            {!empty.value && <div class="summary"><Summary {...data} />{data.diff && <Legend />}</div>}
            {empty.value ? <NoData why={why()} live={isLive(sideParam('', 'until'))} /> : <Content {...data} />}
        </>
    );
}

function onKey(event: KeyboardEvent): void {
    const typing = event.target instanceof HTMLElement && event.target.matches('input, select, textarea');
    if (event.ctrlKey || event.metaKey || event.altKey) {
        return;
    }
    if (event.key === 'Escape') {
        navigate(param('zoom') ? { zoom: null } : { q: null });
    } else if (!typing && event.key === '/') {
        document.getElementById('search')?.focus();
        event.preventDefault();
    } else if (!typing && event.key === 'r') {
        generation.value++;
    }
}

export function App() {
    useEffect(() => {
        document.addEventListener('keydown', onKey);
        return () => document.removeEventListener('keydown', onKey);
    }, []);
    // First data must show up by itself.
    useEffect(() => {
        if (waiting.value) {
            const timer = setInterval(() => generation.value++, 2000);
            return () => clearInterval(timer);
        }
    }, [waiting.value]);
    return (
        <>
            <Header />
            {!noServices.value && <QueryBar />}
            <main aria-busy={answer.value.loading}><Main /></main>
        </>
    );
}
