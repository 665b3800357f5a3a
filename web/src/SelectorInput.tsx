// The selector: text as the API takes it, and under it the labels there are, a click away.
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { Label } from './api';
import { parseSelector, toggled } from './selector';

const valuesMax = 12;

interface Props {
    id: string;
    value: string;
    labels: Label[];
    onChange(value: string): void;
}

export function SelectorInput({ id, value, labels, onChange }: Props) {
    const text = useSignal(value);
    const open = useSignal(false);
    const root = useRef<HTMLDivElement>(null);
    useEffect(() => {
        text.value = value;
    }, [value]);

    const commit = (next: string) => {
        text.value = next;
        if (next !== value) {
            onChange(next);
        }
    };
    const leave = (event: FocusEvent) => {
        if (!root.current?.contains(event.relatedTarget as Node | null)) {
            open.value = false;
            commit(text.value.trim());
        }
    };
    const has = (name: string, v: string) =>
        parseSelector(text.value)?.some((m) => m.name === name && m.op === '=' && m.value === v) ?? false;

    return (
        <div class="selector" ref={root} onFocusOut={leave}>
            <input
                id={id} class="control mono" type="text" spellcheck={false} autocomplete="off"
                placeholder={'{version="…"}'} value={text.value}
                onFocus={() => (open.value = true)}
                onInput={(event) => (text.value = event.currentTarget.value)}
                onKeyDown={(event) => {
                    if (event.key === 'Enter') {
                        commit(text.value.trim());
                    } else if (event.key === 'Escape' && open.value) {
                        event.stopPropagation();
                        open.value = false;
                    }
                }}
            />
            {open.value && labels.length > 0 && (
                <div class="popover labels" tabIndex={-1}>
                    {labels.map(({ name, values }) => (
                        <div class="label-row" key={name}>
                            <span class="faint">{name}</span>
                            <div>
                                {values.slice(0, valuesMax).map((v) => (
                                    <button type="button" class="chip" key={v} aria-pressed={has(name, v)}
                                        onClick={() => commit(toggled(text.value, name, v))}>{v}</button>
                                ))}
                                {values.length > valuesMax && <span class="faint">and {values.length - valuesMax} more</span>}
                            </div>
                        </div>
                    ))}
                </div>
            )}
        </div>
    );
}
