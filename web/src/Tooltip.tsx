// What a frame is and weighs. Of a difference: both values as they are, and the change.
import { useLayoutEffect, useRef } from 'preact/hooks';
import { change } from './colours';
import { percent, points, raw, signed, value } from './format';
import { factors, type Tree } from './tree';

const share = (v: number, sum: number) => percent(sum === 0 ? 0 : v / sum);

function OneSide({ tree, node }: { tree: Tree; node: number }) {
    const [{ self, total, sum }] = tree.sides;
    const row = (name: string, v: number) => (
        <tr>
            <th scope="row">{name}</th>
            <td>{value(v, tree.unit)}</td>
            <td>{share(v, sum)}</td>
            <td class="faint">{raw(v, tree.unit)}</td>
        </tr>
    );
    return <table><tbody>{row('Self', self[node])}{row('Total', total[node])}</tbody></table>;
}

const words = { 'more': 'more in B', 'less': 'less in B', 'only-a': 'only in A', 'only-b': 'only in B', 'same': 'no change' };

function TwoSides({ tree, node, byShare }: { tree: Tree; node: number; byShare: boolean }) {
    const [a, b] = tree.sides;
    const { kind } = change(tree, node, factors(tree, byShare));
    const of = (v: number, sum: number) => (sum === 0 ? 0 : v / sum);
    const row = (name: string, va: number, vb: number) => (
        <tr>
            <th scope="row">{name}</th>
            <td>{value(va, tree.unit)} <small>{share(va, a.sum)}</small></td>
            <td>{value(vb, tree.unit)} <small>{share(vb, b.sum)}</small></td>
            <td>{byShare ? points(of(vb, b.sum) - of(va, a.sum)) : signed(vb - va, tree.unit)}</td>
        </tr>
    );
    return (
        <>
            <table>
                <thead><tr><th /><th>A</th><th>B</th><th>Change</th></tr></thead>
                <tbody>
                    {row('Self', a.self[node], b.self[node])}
                    {row('Total', a.total[node], b.total[node])}
                </tbody>
            </table>
            <p class={`verdict ${kind}`}>
                {words[kind]}
                <span class="faint"> · {raw(a.total[node], tree.unit)} → {raw(b.total[node], tree.unit)}</span>
            </p>
        </>
    );
}

interface Props {
    tree: Tree;
    node: number;
    x: number;
    y: number;
    byShare: boolean;
}

export function Tooltip({ tree, node, x, y, byShare }: Props) {
    const box = useRef<HTMLDivElement>(null);
    useLayoutEffect(() => {
        const { offsetWidth, offsetHeight, style } = box.current!;
        const left = x + 16 + offsetWidth > window.innerWidth - 8 ? x - offsetWidth - 16 : x + 16;
        const top = y + 18 + offsetHeight > window.innerHeight - 8 ? y - offsetHeight - 12 : y + 18;
        style.transform = `translate(${Math.max(8, left)}px, ${Math.max(8, top)}px)`;
    });
    const { label, method, where, name, file } = tree.frames[tree.frame[node]];
    const path = method ? file : where || file;
    return (
        <div class="tooltip" role="tooltip" ref={box}>
            <h3>{label}</h3>
            {tree.other[node] === 1
                ? <p class="faint">Frames too small to be sent, with their exact weight.</p>
                : <p class="faint path">{path}{name !== label && path === file && <>{path && <br />}{name}</>}</p>}
            {tree.sides.length > 1
                ? <TwoSides tree={tree} node={node} byShare={byShare} />
                : <OneSide tree={tree} node={node} />}
        </div>
    );
}
