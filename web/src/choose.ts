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

// A word stands for a full name, else for a sample type, else for a first part. One that says too little,
// or names nothing, is left to the server, which says so.
export function typeMeant(word: string, names: string[]): string {
    const having = (part: number) => names.filter((name) => name.split(':')[part] === word);
    const found = [names.filter((name) => name === word), having(1), having(0)].find(({ length }) => length > 0) ?? [];
    return found.length === 1 ? found[0] : word;
}
