// The query API (docs/api.md), as far as the page uses it. Integers may exceed 2^53: they are read as
// doubles, good enough for widths and shares; format.ts marks such a value as approximate.

import { param } from './location';

export interface Completeness {
    windows: number;
    gaps: number;
    partitions?: { p: number; offset: number; updated: number }[];
}

export interface Hidden {
    nodes: number;
    weight: number;
}

// What one selection amounts to: the whole of a flame graph, or one side of a difference.
export interface Selection {
    service: string;
    type: string;
    unit?: string;
    kind?: 'flow' | 'snapshot';
    from: number;
    until: number;
    sum: number;
    profiles: number;
    duration_ns: number;
    instances: number;
    mean?: number;
    complete: Completeness;
}

interface Columns {
    nodes: number;
    hidden: Hidden;
    names: string[];
    files: string[];
    depth: number[];
    name: number[];
    file: number[];
    other: number[];
    unit: string;
    kind: 'flow' | 'snapshot';
}

export interface Flamegraph extends Columns, Selection {
    unit: string;
    kind: 'flow' | 'snapshot';
    self: number[];
    total: number[];
}

export interface Diff extends Columns {
    a: Selection;
    b: Selection;
    self_a: number[];
    self_b: number[];
    total_a: number[];
    total_b: number[];
}

export interface Service {
    name: string;
    first: number;
    last: number;
}

export interface ProfileType {
    name: string;
    unit: string;
    kind: 'flow' | 'snapshot';
}

export interface Label {
    name: string;
    values: string[];
}

export interface TopFunction {
    name: string;
    file: string;
    self: number;
    total: number;
}

export class ApiError extends Error {
    constructor(
        readonly status: number,
        readonly code: string,
        message: string,
        readonly hint: string,
    ) {
        super(message);
    }
}

// A character that a header cannot hold is one that no tenant's name can: the server says so.
function headers(): Record<string, string> {
    const tenant = param('tenant').replace(/[^\x21-\x7e]/g, '?');
    return tenant ? { 'X-Scope-OrgID': tenant } : {};
}

type Params = Record<string, string | undefined>;

function query(params: Params): string {
    const given = Object.entries(params).filter(([, value]) => value) as [string, string][];
    return new URLSearchParams(given).toString();
}

async function failure(response: Response): Promise<ApiError> {
    const body = await response.json().catch(() => null);
    return new ApiError(
        response.status,
        body?.code ?? 'unknown',
        body?.message ?? `The server answered ${response.status} ${response.statusText}.`,
        body?.hint ?? '',
    );
}

async function get<T>(path: string, params: Params, signal?: AbortSignal): Promise<T> {
    let response;
    try {
        response = await fetch(`./api/v1/${path}?${query(params)}`, { headers: headers(), signal });
    } catch (cause) {
        if (signal?.aborted) {
            throw cause;
        }
        throw new ApiError(0, 'unreachable', 'Hearth did not answer.',
            'Is the query service running, and this machine online? The page tries again when you refresh.');
    }
    if (!response.ok) {
        throw await failure(response);
    }
    return response.json();
}

export const api = {
    services: (signal?: AbortSignal) => get<{ services: Service[] }>('services', {}, signal),
    types: (service: string, signal?: AbortSignal) =>
        get<{ types: ProfileType[] }>('types', { service }, signal),
    labels: (service: string, signal?: AbortSignal) =>
        get<{ labels: Label[] }>('labels', { service }, signal),
    flamegraph: (params: Params, signal?: AbortSignal) =>
        get<Flamegraph>('flamegraph', params, signal),
    diff: (params: Params, signal?: AbortSignal) => get<Diff>('diff', params, signal),
    top: (params: Params, signal?: AbortSignal) =>
        get<{ functions: TopFunction[]; n_functions: number }>('top', params, signal),
};
