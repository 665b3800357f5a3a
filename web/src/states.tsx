// What is shown when there is no tree to show, and what must be said beside one that is not whole.
import type { ApiError, Completeness, Hidden } from './api';
import { ago, integer, percent } from './format';
import { param } from './location';

export function ErrorBox({ error }: { error: ApiError }) {
    return (
        <div class="state" role="alert">
            <h2>{titles[error.code] ?? 'That did not work'}</h2>
            <p>{error.message}</p>
            {error.hint && <p class="faint">{error.hint}</p>}
            <p class="faint code">{error.code}</p>
        </div>
    );
}

const titles: Record<string, string> = {
    unreachable: 'Hearth does not answer',
    bad_tenant: 'No tenant has such a name',
    selector_bad: 'The selector is not understood',
    regex_bad: 'The regular expression is not understood',
    service_not_found: 'No such service',
    type_not_found: 'No such profile type',
    no_data_yet: 'Nothing here yet',
    store_unavailable: 'The store does not answer',
};

export function NoServices() {
    const tenant = param('tenant');
    return (
        <div class="state" role="status">
            <h2>No profiles yet</h2>
            <p>Point an agent at this address, or push a profile by hand:</p>
            <pre>curl {tenant && `-H 'X-Scope-OrgID: ${tenant}' `}--data-binary @cpu.pb.gz '{window.location.origin}/api/v1/profiles?service=web'</pre>
            <p class="faint">The page looks again by itself every two seconds.</p>
        </div>
    );
}

export function NoData({ why, live }: { why: string; live: boolean }) {
    return (
        <div class="state" role="status">
            <h2>No data in this window</h2>
            <p>{why}</p>
            <p class="faint">
                Try a longer range, another profile type, or a wider selector.
                {live && ' New profiles show up here by themselves.'}
            </p>
        </div>
    );
}

export function Loading() {
    return <div class="state" role="status"><p class="faint">Merging profiles …</p></div>;
}

interface Props {
    complete: Completeness[];
    hidden: Hidden;
    sum: number;
}

export function Notices({ complete, hidden, sum }: Props) {
    const gaps = complete.reduce((n, { gaps: lost }) => n + lost, 0);
    const oldest = Math.min(...complete.flatMap(({ partitions }) => (partitions ?? []).map(({ updated }) => updated)));
    const late = Date.now() - oldest;
    return (
        <>
            {gaps > 0 && (
                <p class="notice" role="status">
                    <strong>Not complete:</strong> {integer(gaps)} {gaps === 1 ? 'window is' : 'windows are'} missing from the
                    store (evicted or lost). What is shown is less than what was measured.
                </p>
            )}
            {hidden.nodes > 0 && (
                <p class="notice quiet">
                    {integer(hidden.nodes)} small frames are drawn as (other)
                    {sum !== 0 && `, ${percent(hidden.weight / Math.abs(sum))} of the whole`}. Their weight is exact, and the table has every function.
                </p>
            )}
            {Number.isFinite(late) && late > 120_000 && (
                <p class="notice quiet">Last written {ago(late)} ago.</p>
            )}
        </>
    );
}
