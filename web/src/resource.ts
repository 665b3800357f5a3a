// What comes from the server, as a signal: asked for again when its key changes, the older answer staying
// in sight until the newer one is there.
import { computed, effect, signal, untracked, type ReadonlySignal } from '@preact/signals';
import { ApiError } from './api';

export interface Resource<T> {
    key: string | null;         // what the answer below belongs to
    data: T | null;
    error: ApiError | null;
    loading: boolean;
}

// Raised by "refresh", and by the page itself while it waits for first data.
export const generation = signal(0);

export function resource<T>(
    key: () => string | null | undefined,       // null: nothing to ask for now; undefined: not known yet
    load: (signal: AbortSignal) => Promise<T>,
): ReadonlySignal<Resource<T>> {
    const state = signal<Resource<T>>({ key: null, data: null, error: null, loading: true });

    const current = computed(key);

    effect(() => {
        const wanted = current.value;
        generation.value;
        if (wanted === null) {
            state.value = { key: null, data: null, error: null, loading: false };
            return;
        }
        state.value = { ...state.peek(), loading: true };
        if (wanted === undefined) {
            return;
        }
        const abort = new AbortController();
        untracked(() => load(abort.signal)).then(
            (data) => {
                if (!abort.signal.aborted) {
                    state.value = { key: wanted, data, error: null, loading: false };
                }
            },
            (error) => {
                if (!abort.signal.aborted) {
                    const told = error instanceof ApiError ? error
                        : new ApiError(0, 'unreadable', `The answer could not be read: ${error.message}`, '');
                    state.value = { key: wanted, data: null, error: told, loading: false };
                }
            },
        );
        return () => abort.abort();
    });
    return state;
}
