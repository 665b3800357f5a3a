// The flame graph on a canvas. Two canvases lie on each other: the lower one holds the frames and is
// painted when data, zoom, scroll, search or size change; the upper one holds the outlines of the frame
// under the pointer and of the one chosen by keyboard, and costs nothing to repaint. Only the rows and
// columns in sight are visited, and no pixel is painted twice in a row of boxes narrower than it, so
// 100,000 nodes cost what is seen of them. All boxes lie on device pixels: crisp on any screen.
import type { Paint, Theme } from './colours';
import { fitted } from './frames';
import { firstRightOf, nodeAt, type Layout, type Tree } from './tree';

export const rowHeight = 21;
const fontSize = 11.5;
const labelWidthMin = 26;
const zoomMs = 170;

export interface Scene {
    tree: Tree;
    layout: Layout;
    paint: Paint;
    theme: Theme;
    found: Uint8Array | null;                   // by frame; null: no search
    oneSided: ((node: number) => boolean) | null;
    zoom: number;                               // node
}

export interface FlameEvents {
    onHover(node: number, x: number, y: number): void;      // -1: none; client coordinates
    onZoom(node: number): void;
}

export class FlameView {
    private scene: Scene | null = null;
    private from = 0;                           // what is in sight, in units of weight
    private to = 1;
    private width = 0;
    private height = 0;
    private hovered = -1;
    private chosen = -1;
    private frame = 0;
    private charWidth = 0;
    private readonly sizes: ResizeObserver;

    constructor(
        private readonly scroller: HTMLElement,
        private readonly sizer: HTMLElement,
        private readonly base: HTMLCanvasElement,
        private readonly overlay: HTMLCanvasElement,
        private readonly events: FlameEvents,
    ) {
        this.sizes = new ResizeObserver(() => this.resize());
        this.sizes.observe(scroller);
        scroller.addEventListener('scroll', this.onScroll, { passive: true });
        overlay.addEventListener('pointermove', this.onMove);
        overlay.addEventListener('pointerleave', this.onLeave);
        overlay.addEventListener('click', this.onClick);
    }

    close(): void {
        cancelAnimationFrame(this.frame);
        this.sizes.disconnect();
        this.scroller.removeEventListener('scroll', this.onScroll);
    }

    show(scene: Scene): void {
        const before = this.scene;
        this.scene = scene;
        this.sizer.style.height = `${scene.layout.rows * rowHeight}px`;
        if (before?.tree !== scene.tree) {
            this.hovered = this.chosen = -1;
        }
        if (this.width === 0) {
            this.resize();
        }
        const from = scene.layout.x[scene.zoom] ?? 0;
        const to = from + (scene.layout.weight[scene.zoom] || 1);
        if (before?.layout === scene.layout && before.zoom !== scene.zoom) {
            this.glide(from, to);
        } else {
            cancelAnimationFrame(this.frame);
            [this.from, this.to] = [from, to];
            this.paint();
        }
    }

    choose(node: number): void {
        this.chosen = node;
        if (node >= 0 && this.scene) {
            this.reveal(this.scene.tree.depth[node]);
        }
        this.paintOverlay();
    }

    // Where a node's box is, in client coordinates, for a tooltip by keyboard.
    place(node: number): { x: number; y: number } {
        const box = this.overlay.getBoundingClientRect();
        const { left, right } = this.span(node);
        const row = this.scene!.tree.depth[node];
        const x = (Math.max(0, left) + Math.min(this.width, right)) / 2;
        return { x: box.left + x, y: box.top + (row + 1) * rowHeight - this.scroller.scrollTop };
    }

    private reveal(row: number): void {
        const top = row * rowHeight;
        if (top < this.scroller.scrollTop) {
            this.scroller.scrollTop = top;
        } else if (top + rowHeight > this.scroller.scrollTop + this.height) {
            this.scroller.scrollTop = top + rowHeight - this.height;
        }
    }

    private glide(from: number, to: number): void {
        cancelAnimationFrame(this.frame);
        const [from0, to0] = [this.from, this.to];
        const start = performance.now();
        const still = window.matchMedia('(prefers-reduced-motion: reduce)').matches;
        const step = (now: number) => {
            const t = still ? 1 : Math.min(1, Math.max(0, (now - start) / zoomMs));
            const eased = 1 - (1 - t) ** 3;
            this.from = t === 1 ? from : from0 + (from - from0) * eased;
            this.to = t === 1 ? to : to0 + (to - to0) * eased;
            this.paint();
            if (t < 1) {
                this.frame = requestAnimationFrame(step);
            }
        };
        this.frame = requestAnimationFrame(step);
    }

    private resize(): void {
        const width = this.scroller.clientWidth;
        const height = this.scroller.clientHeight;
        const ratio = window.devicePixelRatio || 1;
        if (width === 0 || height === 0) {
            return;
        }
        [this.width, this.height] = [width, height];
        for (const canvas of [this.base, this.overlay]) {
            canvas.width = Math.round(width * ratio);
            canvas.height = Math.round(height * ratio);
            canvas.style.width = `${width}px`;
            canvas.style.height = `${height}px`;
        }
        this.charWidth = 0;
        this.paint();
    }

    private context(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
        const context = canvas.getContext('2d')!;
        context.setTransform(1, 0, 0, 1, 0, 0);
        return context;
    }

    private paint(): void {
        if (!this.scene || this.width === 0) {
            return;
        }
        const { layout, theme } = this.scene;
        const context = this.context(this.base);
        performance.mark('hearth:paint-start');
        context.fillStyle = theme.paper;
        context.fillRect(0, 0, this.base.width, this.base.height);
        const first = Math.floor(this.scroller.scrollTop / rowHeight);
        const last = Math.min(layout.rows - 1, Math.floor((this.scroller.scrollTop + this.height) / rowHeight));
        for (let row = first; row <= last; row++) {
            this.paintRow(context, row);
        }
        this.paintLabels(context, first, last);
        performance.measure('hearth:paint', 'hearth:paint-start');
        this.paintOverlay();
    }

    // Calls visit with each box of a row that gets a pixel of its own, in device pixels.
    private visitRow(row: number, visit: (node: number, left: number, right: number) => void): void {
        const { layout } = this.scene!;
        const { order, rowStart, x, weight } = layout;
        const scale = this.base.width / (this.to - this.from || 1);
        let painted = 0;
        for (let k = firstRightOf(layout, row, this.from); k < rowStart[row + 1]; k++) {
            const node = order[k];
            if (x[node] >= this.to) {
                break;
            }
            const left = Math.max(painted, Math.round((x[node] - this.from) * scale));
            let right = Math.min(this.base.width, Math.round((x[node] + weight[node] - this.from) * scale));
            if (right <= left && weight[node] > 0 && this.scene!.oneSided?.(node)) {
                right = left + 1;               // what is on one side only is never too small to see
            }
            if (right > left) {
                visit(node, left, right);
                painted = right;
            }
        }
    }

    private paintRow(context: CanvasRenderingContext2D, row: number): void {
        const { tree, theme, paint, found, oneSided } = this.scene!;
        const ratio = window.devicePixelRatio || 1;
        const top = Math.round((row * rowHeight - this.scroller.scrollTop) * ratio);
        const bottom = Math.round(((row + 1) * rowHeight - this.scroller.scrollTop) * ratio);
        const line = Math.max(1, Math.round(ratio));
        const hatch = oneSided ? this.hatch(context, ratio) : null;

        this.visitRow(row, (node, left, right) => {
            const hit = !found || found[tree.frame[node]] === 1;
            const gap = right - left > 3 * line ? line : 0;
            context.fillStyle = hit || node === 0 ? paint(node) : theme.muted;
            context.fillRect(left, top, right - left - gap, bottom - top - line);
            if (hatch && hit && oneSided!(node)) {
                context.fillStyle = hatch;
                context.fillRect(left, top, right - left - gap, bottom - top - line);
            }
        });
    }

    private hatch(context: CanvasRenderingContext2D, ratio: number): CanvasPattern | null {
        const size = Math.round(6 * ratio);
        const tile = document.createElement('canvas');
        tile.width = tile.height = size;
        const pen = tile.getContext('2d')!;
        pen.strokeStyle = this.scene!.theme.faintInk;
        pen.globalAlpha = 0.42;
        pen.lineWidth = ratio;
        for (const shift of [-size, 0, size]) {
            pen.moveTo(shift, size);
            pen.lineTo(shift + size, 0);
        }
        pen.stroke();
        return context.createPattern(tile, 'repeat');
    }

    private paintLabels(context: CanvasRenderingContext2D, first: number, last: number): void {
        const { tree, theme, found } = this.scene!;
        const ratio = window.devicePixelRatio || 1;
        context.setTransform(ratio, 0, 0, ratio, 0, 0);
        context.font = `${fontSize}px ${getComputedStyle(this.scroller).getPropertyValue('--mono')}`;
        context.textBaseline = 'middle';
        this.charWidth ||= context.measureText('0'.repeat(50)).width / 50;
        for (let row = first; row <= last; row++) {
            const y = row * rowHeight - this.scroller.scrollTop + rowHeight / 2;
            this.visitRow(row, (node, left, right) => {
                const width = (right - left) / ratio;
                if (width < labelWidthMin) {
                    return;
                }
                const dim = found && !found[tree.frame[node]] && node !== 0;
                context.fillStyle = dim ? theme.mutedInk : theme.ink;
                this.paintLabel(context, node, left / ratio + 5, y, width - 10, dim ? theme.mutedInk : theme.faintInk);
            });
        }
    }

    // The label, and where it is in fainter ink behind it when there is room.
    private paintLabel(context: CanvasRenderingContext2D, node: number, x: number, y: number, room: number,
        faint: string): void {
        const frame = this.scene!.tree.frames[this.scene!.tree.frame[node]];
        const { label, where } = frame;
        const fits = Math.floor(room / this.charWidth);
        if (fits < 2) {
            return;
        }
        context.fillText(fitted(frame, fits), x, y, room);
        if (where && label.length + 2 + where.length <= fits) {
            context.fillStyle = faint;
            context.fillText(where, x + (label.length + 1.5) * this.charWidth, y);
        }
    }

    private span(node: number): { left: number; right: number } {
        const { x, weight } = this.scene!.layout;
        const scale = this.width / (this.to - this.from || 1);
        return { left: (x[node] - this.from) * scale, right: (x[node] + weight[node] - this.from) * scale };
    }

    private paintOverlay(): void {
        const context = this.context(this.overlay);
        context.clearRect(0, 0, this.overlay.width, this.overlay.height);
        if (this.scene) {
            this.outline(context, this.hovered, 1);
            this.outline(context, this.chosen, 2);
        }
    }

    private outline(context: CanvasRenderingContext2D, node: number, thickness: number): void {
        const { tree, theme } = this.scene!;
        if (node < 0 || node >= tree.n) {
            return;
        }
        const ratio = window.devicePixelRatio || 1;
        const pen = thickness * Math.max(1, Math.round(ratio));
        const span = this.span(node);
        const left = Math.round(Math.max(-4, span.left) * ratio);
        const right = Math.round(Math.min(this.width + 4, Math.max(span.right, span.left + 2)) * ratio);
        const top = Math.round((tree.depth[node] * rowHeight - this.scroller.scrollTop) * ratio);
        context.strokeStyle = theme.hover;
        context.lineWidth = pen;
        context.strokeRect(left + pen / 2, top + pen / 2, right - left - pen - 1, rowHeight * ratio - pen - 1);
    }

    private nodeUnder(event: MouseEvent): number {
        if (!this.scene) {
            return -1;
        }
        const box = this.overlay.getBoundingClientRect();
        const row = Math.floor((event.clientY - box.top + this.scroller.scrollTop) / rowHeight);
        const at = this.from + ((event.clientX - box.left) / this.width) * (this.to - this.from);
        return nodeAt(this.scene.layout, row, at);
    }

    private readonly onScroll = () => this.paint();

    private readonly onMove = (event: PointerEvent) => {
        const node = this.nodeUnder(event);
        if (node !== this.hovered) {
            this.hovered = node;
            this.overlay.style.cursor = node >= 0 ? 'pointer' : 'default';
            this.paintOverlay();
        }
        this.events.onHover(node, event.clientX, event.clientY);
    };

    private readonly onLeave = () => {
        this.hovered = -1;
        this.paintOverlay();
        this.events.onHover(-1, 0, 0);
    };

    private readonly onClick = (event: MouseEvent) => {
        const node = this.nodeUnder(event);
        if (node >= 0) {
            this.events.onZoom(node);
        }
    };
}
