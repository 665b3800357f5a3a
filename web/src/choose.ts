// Which profile type is meant: by the server's rules (docs/api.md), and where it would ask back, because
// the address names none, the one that tells the most.

// Sample type and unit; without a unit, any. The first four are the server's own choice, in its order.
const usual: [string, string?][] = [
    ['cpu', 'nanoseconds'], ['cpu-time', 'nanoseconds'], ['wall', 'nanoseconds'], ['samples', 'count'],
    ['cpu'], ['wall'], ['inuse_space'], ['alloc_space'], ['inuse_objects'], ['goroutine'], ['delay'],
];

export function usualType(names: string[]): string {
    for (const [sample, unit] of usual) {
        const found = names.find((name) => {
            const parts = name.split(':');
            return parts[1] === sample && parts[2] === (unit ?? parts[2]);
        });
        if (found) {
            return found;
        }
    }
    return names[0] ?? '';
}
