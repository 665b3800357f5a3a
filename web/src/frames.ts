// What a frame is called on screen. Agents write names in many ways; a label leads with the function,
// `where` says the rest, and `group` (package, module, file) decides the colour.

export interface Frame {
    name: string;
    file: string;
    label: string;
    where: string;
    group: string;
}

// @pyroscope/nodejs puts file, function and line into the name: "./app.js:priceCart:22".
const nodeName = /^(.*?):(\(anonymous:L#\d+:C#\d+\)|\([^()]*\)|[^:()]*):(\d+)$/;

function nodeFrame(name: string, file: string): Frame | null {
    const found = nodeName.exec(name);
    if (!found || !(found[1] === '' || /^(\.|\/|node:|[A-Za-z]:[\\/])/.test(found[1]))) {
        return null;
    }
    const [, path, inner, line] = found;
    const label = inner.startsWith('(anonymous') ? '(anonymous)' : inner || '(anonymous)';
    const where = path ? (line === '0' ? path : `${path}:${line}`) : '';
    return { name, file, label, where, group: nodeGroup(path) };
}

function nodeGroup(path: string): string {
    const dependency = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path);
    return path === '' ? 'runtime' : path.startsWith('node:') ? 'node' : dependency ? dependency[1] : path;
}

function group(name: string, file: string): string {
    const slash = name.lastIndexOf('/');
    if (slash >= 0 && !name.startsWith('/')) {
        const dot = name.indexOf('.', slash);          // Go: github.com/x/y.(*T).f; Java: com/x/Y.f
        return dot > 0 ? name.slice(0, dot) : name;
    }
    const scope = name.indexOf('::');                  // C++, Rust
    if (scope > 0) {
        return name.slice(0, scope).replace(/^</, '');
    }
    const dots = name.split('.');
    if (dots.length > 2) {
        return dots.slice(0, -2).join('.');            // Java: com.x.Y.f
    }
    if (dots.length === 2 && dots[0]) {
        return dots[0];                                // Go: runtime.mallocgc
    }
    const module = /^(.+?)\+0x/.exec(name);
    return module ? module[1] : file.replace(/\/[^/]*$/, '') || 'unknown';
}

export function describe(name: string, file: string): Frame {
    if (!name) {
        return { name, file, label: '(unnamed)', where: file, group: 'unknown' };
    }
    return nodeFrame(name, file) ?? { name, file, label: shortName(name), where: file, group: group(name, file) };
}

function shortName(name: string): string {
    const args = name.indexOf('(', 1);
    const slash = name.lastIndexOf('/', args > 0 ? args : undefined);
    return slash > 0 && !name.startsWith('/') ? name.slice(slash + 1) : name;
}
