// Functions by self and total. Only the rows in sight are in the document. A click on a function
// searches for it; headings sort. A name that does not fit is told in full by the pointer (title) and
// by the keyboard (FullName).
import { useComputed, useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { percent, points, raw, signed, value } from './format';
import type { Frame } from './frames';
import { navigate, param } from './location';
import { tops } from './model';
import type { Matches } from './search';
import { functions, functionsOfTop, type FunctionRow, type Tree } from './tree';

const rowHeight = 34;
const overscan = 6;

interface Column {
    key: string;
    title: string;
    number(row: FunctionRow): number;
    text(row: FunctionRow): string;
    detail?(row: FunctionRow): string;
    exact?(row: FunctionRow): string;
    bar?: boolean;
    change?: boolean;
}

function columns(tree: Tree, byShare: boolean): Column[] {
    const { unit, sides } = tree;
    const share = (v: number, side: number) => (sides[side].sum === 0 ? 0 : v / sides[side].sum);
    if (sides.length === 1) {
        return (['self', 'total'] as const).map((kind) => ({
            key: kind,
            title: kind === 'self' ? 'Self' : 'Total',
            number: (row) => row[kind][0],
            text: (row) => value(row[kind][0], unit),
            detail: (row) => percent(share(row[kind][0], 0)),
            exact: (row) => raw(row[kind][0], unit),
            bar: true,
        }));
    }
    const side = (kind: 'self' | 'total', s: number): Column => ({
        key: `${kind}_${'ab'[s]}`,
        title: `${kind === 'self' ? 'Self' : 'Total'} ${'AB'[s]}`,
        number: (row) => (byShare ? share(row[kind][s], s) : row[kind][s]),
        text: (row) => (byShare ? percent(share(row[kind][s], s)) : value(row[kind][s], unit)),
        detail: (row) => (byShare ? value(row[kind][s], unit) : percent(share(row[kind][s], s))),
        exact: (row) => raw(row[kind][s], unit),
    });
    const delta = (kind: 'self' | 'total'): Column => {
        const by = (row: FunctionRow) => (byShare
            ? share(row[kind][1], 1) - share(row[kind][0], 0)
            : row[kind][1] - row[kind][0]);
        return {
            key: `change_${kind}`,
            title: kind === 'self' ? 'Δ self' : 'Δ total',
            number: (row) => Math.abs(by(row)),
            text: (row) => (by(row) === 0 ? '–' : byShare ? points(by(row)) : signed(by(row), unit)),
            exact: (row) => `${raw(row[kind][0], unit)} → ${raw(row[kind][1], unit)}`,
            change: true,
        };
    };
    return [side('self', 0), side('self', 1), delta('self'), side('total', 0), side('total', 1), delta('total')];
}

interface Props {
    tree: Tree;
    byShare: boolean;
    matches: Matches | null;
}

export function Table({ tree, byShare, matches }: Props) {
    const scroller = useRef<HTMLDivElement>(null);
    const seen = useSignal({ top: 0, height: 600 });
    const named = useSignal<Named | null>(null);
    const shownColumns = useMemo(() => columns(tree, byShare), [tree, byShare]);
    const whole = tops.value;
    const all = useMemo(() => (whole ? functionsOfTop(tree, whole) : functions(tree)), [tree, whole]);
    const [sortKey, direction] = (param('sort') || shownColumns[shownColumns.length > 2 ? 2 : 0].key).split(':');
    const sorted = useMemo(() => {
        const column = shownColumns.find(({ key }) => key === sortKey);
        const kept = matches ? all.filter((row) => matches(row.frame)) : all.slice();
        const byName = (a: FunctionRow, b: FunctionRow) =>
            a.frame.label < b.frame.label ? -1 : a.frame.label > b.frame.label ? 1 : 0;
        kept.sort(column ? (a, b) => column.number(b) - column.number(a) || byName(a, b) : byName);
        return direction === 'up' ? kept.reverse() : kept;
    }, [all, matches, sortKey, direction, shownColumns]);

    useEffect(() => {
        const element = scroller.current!;
        const look = () => (seen.value = { top: element.scrollTop, height: element.clientHeight });
        const sizes = new ResizeObserver(look);
        sizes.observe(element);
        element.addEventListener('scroll', look, { passive: true });
        return () => sizes.disconnect();
    }, []);
    const window_ = useComputed(() => ({
        first: Math.max(0, Math.floor(seen.value.top / rowHeight) - overscan),
        count: Math.ceil(seen.value.height / rowHeight) + 2 * overscan,
    }));

    const { first, count } = window_.value;
    const rows = sorted.slice(first, first + count);
    const sums = tree.sides.map(({ sum }) => Math.abs(sum) || 1);
    return (
        <div class={`table-scroll${shownColumns.length > 2 ? ' wide' : ''}`} ref={scroller} tabIndex={0}>
            <table class="functions" aria-rowcount={sorted.length + 1}>
                <thead>
                    <tr>
                        <Heading name="name" title="Function" sortKey={sortKey} direction={direction} />
                        {shownColumns.map(({ key, title }) => (
                            <Heading key={key} name={key} title={title} sortKey={sortKey} direction={direction} number />
                        ))}
                    </tr>
                </thead>
                <tbody>
                    <Spacer rows={first} />
                    {rows.map((row, i) => (
                        <Row key={row.frame.name + row.frame.file} row={row} columns={shownColumns} sum={sums[0]}
                            index={first + i + 2} onNamed={(now) => (named.value = now)} />
                    ))}
                    <Spacer rows={sorted.length - first - rows.length} />
                </tbody>
            </table>
            {sorted.length === 0 && <p class="faint nothing">No function matches the search.</p>}
            {named.value && <FullName {...named.value} />}
        </div>
    );
}

function Spacer({ rows }: { rows: number }) {
    return rows > 0 ? <tr aria-hidden="true"><td class="spacer" style={{ height: `${rows * rowHeight}px` }} /></tr> : null;
}

interface HeadingProps {
    name: string;
    title: string;
    sortKey: string;
    direction?: string;
    number?: boolean;
}

function Heading({ name, title, sortKey, direction, number }: HeadingProps) {
    const active = name === sortKey;
    const up = active && direction === 'up';
    const ascending = name === 'name' ? !up : up;
    const sort = () => navigate({ sort: active && !up ? `${name}:up` : name }, 'replace');
    return (
        <th scope="col" class={number ? 'number' : ''}
            aria-sort={active ? (ascending ? 'ascending' : 'descending') : 'none'}>
            <button type="button" onClick={sort}>
                {title}<span class="arrow" aria-hidden="true">{active ? (ascending ? '↑' : '↓') : ''}</span>
            </button>
        </th>
    );
}

// The function whose button the keyboard is on.
interface Named {
    frame: Frame;
    button: HTMLElement;
}

// Follows its button when the table scrolls: every scroll draws the table anew.
function FullName({ frame: { name, file }, button }: Named) {
    const box = useRef<HTMLDivElement>(null);
    useLayoutEffect(() => {
        const { left, top, bottom } = button.getBoundingClientRect();
        const { offsetHeight, style } = box.current!;
        style.transform = `translate(${left + 8}px, ${bottom + offsetHeight + 8 > window.innerHeight ? top - offsetHeight - 2 : bottom + 2}px)`;
    });
    return (
        <div class="full-name" id="full-name" role="tooltip" ref={box}>
            {name}{file && <small>{file}</small>}
        </div>
    );
}

// A class gives way to its method, but not wholly.
function Label({ frame: { label, method } }: { frame: Frame }) {
    const owner = label.slice(0, label.length - method.length);
    return method
        ? <span class="label split"><span class="owner" style={{ minWidth: `${Math.min(owner.length, 9)}ch` }}>{owner}</span><span class="method">{method}</span></span>
        : <span class="label">{label}</span>;
}

interface RowProps {
    row: FunctionRow;
    columns: Column[];
    sum: number;
    index: number;
    onNamed(named: Named | null): void;
}

function Row({ row, columns: shown, sum, index, onNamed }: RowProps) {
    const { name, where, file } = row.frame;
    const search = () => navigate({ q: param('q') === name ? null : name }, 'push');
    return (
        <tr aria-rowindex={index} class={param('q') === name ? 'chosen' : ''}>
            <th scope="row" title={file ? `${name}\n${file}` : name}>
                <button type="button" onClick={search} aria-describedby="full-name" onBlur={() => onNamed(null)}
                    onFocus={({ currentTarget: button }) => button.matches(':focus-visible') && onNamed({ frame: row.frame, button })}>
                    <Label frame={row.frame} />
                    <span class="where">{row.other ? 'too small to be sent' : tail(where || file)}</span>
                </button>
            </th>
            {shown.map((column) => {
                const text = column.text(row);
                const tone = column.change && text !== '–' ? (text.startsWith('+') ? 'more' : 'less') : '';
                return (
                    <td key={column.key} class={`number ${tone}`} title={column.exact?.(row)}>
                        {column.bar && <Bar share={Math.abs(column.number(row)) / sum} />}
                        <span>{text}</span>
                        {column.detail && <small>{column.detail(row)}</small>}
                    </td>
                );
            })}
        </tr>
    );
}

// The end of a path says more than its beginning.
function tail(path: string): string {
    const parts = path.split('/');
    return parts.length > 4 ? `…/${parts.slice(-3).join('/')}` : path;
}

function Bar({ share }: { share: number }) {
    return <i class="bar" style={{ width: `${Math.min(100, share * 100)}%` }} />;
}
