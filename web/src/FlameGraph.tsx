// The flame graph with its tooltip, and beside the canvas the same tree for keyboards and screen
// readers: the path to the chosen frame, its siblings and its children as role=tree.
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { FlameView, type Scene } from './flame_view';
import { Tooltip } from './Tooltip';
import { TreeItems, step } from './TreeItems';

interface Props extends Scene {
    byShare: boolean;
    onZoom(node: number): void;
}

export function FlameGraph(props: Props) {
    const scroller = useRef<HTMLDivElement>(null);
    const sizer = useRef<HTMLDivElement>(null);
    const base = useRef<HTMLCanvasElement>(null);
    const overlay = useRef<HTMLCanvasElement>(null);
    const view = useRef<FlameView | null>(null);
    const latest = useRef(props);
    latest.current = props;
    const hover = useSignal({ node: -1, x: 0, y: 0 });
    const chosen = useSignal(-1);

    useEffect(() => {
        view.current = new FlameView(scroller.current!, sizer.current!, base.current!, overlay.current!, {
            onHover: (node, x, y) => (hover.value = { node, x, y }),
            onZoom: (node) => latest.current.onZoom(node),
        });
        return () => view.current?.close();
    }, []);
    useEffect(() => {
        hover.value = { node: -1, x: 0, y: 0 };
        chosen.value = -1;
    }, [props.tree]);
    useEffect(() => view.current?.show(props),
        [props.tree, props.layout, props.paint, props.theme, props.found, props.zoom]);

    const choose = (node: number) => {
        chosen.value = node;
        view.current?.choose(node);
        hover.value = node < 0 ? { node, x: 0, y: 0 } : { node, ...view.current!.place(node) };
    };
    const onKeyDown = (event: KeyboardEvent) => {
        const { tree, layout, zoom, onZoom } = latest.current;
        const current = chosen.value < 0 ? zoom : chosen.value;
        if (event.key === 'Enter' || event.key === ' ') {
            onZoom(current);
            event.preventDefault();
            return;
        }
        const next = step(tree, layout, current, event.key);
        if (next >= 0) {
            choose(next);
            event.preventDefault();
        }
    };

    const shown = hover.value.node >= 0 && hover.value.node < props.tree.n;
    return (
        <div class="flame">
            <div
                class="flame-scroll" ref={scroller} role="tree" tabIndex={0} aria-label="Flame graph"
                aria-activedescendant={`frame-${Math.max(chosen.value, props.zoom)}`}
                onKeyDown={onKeyDown} onBlur={() => choose(-1)}
            >
                <div class="flame-sizer" ref={sizer}>
                    <div class="flame-canvases" aria-hidden="true">
                        <canvas ref={base} class="flame-base" />
                        <canvas ref={overlay} class="flame-overlay" />
                    </div>
                </div>
                <TreeItems tree={props.tree} layout={props.layout} zoom={props.zoom}
                    chosen={chosen.value < 0 ? props.zoom : chosen.value} />
            </div>
            {shown && <Tooltip tree={props.tree} byShare={props.byShare} {...hover.value} />}
        </div>
    );
}
