// A range: one of the usual ones up to now, or two points in time in the reader's time zone.
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { defaultFrom, iso, parseTime, presets, rangeLabel, toLocalInput } from './range';

interface Props {
    id: string;
    from: string;
    until: string;
    onChange(from: string, until: string): void;
}

export function RangePicker({ id, from, until, onChange }: Props) {
    const open = useSignal(false);
    const root = useRef<HTMLDivElement>(null);
    const button = useRef<HTMLButtonElement>(null);

    useEffect(() => {
        const away = (event: Event) => {
            if (!root.current?.contains(event.target as Node)) {
                open.value = false;
            }
        };
        document.addEventListener('pointerdown', away);
        return () => document.removeEventListener('pointerdown', away);
    }, []);
    const close = () => {
        open.value = false;
        button.current?.focus();
    };
    const choose = (newFrom: string, newUntil: string) => {
        close();
        onChange(newFrom, newUntil);
    };

    return (
        <div class="range" ref={root} onKeyDown={(event) => {
            if (event.key === 'Escape' && open.value) {
                event.stopPropagation();
                close();
            }
        }}>
            <button type="button" ref={button} id={id} class="control picker" aria-label={`Range: ${rangeLabel(from, until)}`} aria-haspopup="dialog" aria-expanded={open.value}
                onClick={() => (open.value = !open.value)}>
                {rangeLabel(from, until)}
            </button>
            {open.value && (
                <div class="popover" role="dialog" aria-label="Time range">
                    <ul>
                        {presets.map((preset) => (
                            <li key={preset.from}>
                                <button type="button" onClick={() => choose(preset.from, 'now')}
                                    aria-pressed={(from || defaultFrom) === preset.from && (until || 'now') === 'now'}>
                                    {preset.label}
                                </button>
                            </li>
                        ))}
                    </ul>
                    <Absolute from={from} until={until} onChange={choose} />
                </div>
            )}
        </div>
    );
}

function Absolute({ from, until, onChange }: Omit<Props, 'id'>) {
    const start = useSignal(toLocalInput(parseTime(from || defaultFrom) || Date.now() - 3.6e6));
    const end = useSignal(toLocalInput(parseTime(until || 'now') || Date.now()));
    const [a, b] = [new Date(start.value).getTime(), new Date(end.value).getTime()];
    const valid = a < b;
    return (
        <form class="absolute" onSubmit={(event) => {
            event.preventDefault();
            if (valid) {
                onChange(iso(a), iso(b));
            }
        }}>
            <label>From <input class="control" type="datetime-local" value={start.value}
                onInput={(event) => (start.value = event.currentTarget.value)} /></label>
            <label>Until <input class="control" type="datetime-local" value={end.value}
                onInput={(event) => (end.value = event.currentTarget.value)} /></label>
            <button type="submit" class="control primary" disabled={!valid}>Apply</button>
            {!valid && <p class="faint">The range must end after it starts.</p>}
        </form>
    );
}
