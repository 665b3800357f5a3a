// What a frame is called on screen. Agents write names in many ways; a label leads with the function,
// `where` says the rest, and `group` (package, module, file) decides the colour.

export interface Frame {
    name: string;
    file: string;
    label: string;
    method: string;     // the end of the label that must stay legible where it does not fit; may be empty
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
    return { name, file, label, method: '', where, group: nodeGroup(path) };
}

function nodeGroup(path: string): string {
    const dependency = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path);
    return path === '' ? 'runtime' : path.startsWith('node:') ? 'node' : dependency ? dependency[1] : path;
}

// "kafka.server.KafkaApis$$Lambda/0x00007f2c.apply", also "kafka/server/…": the JVM's. Packages begin small and
// classes do not. The address of a hidden class says nothing to a reader.
const jvmName = /^((?:[\p{Ll}_][\w\p{L}]*[./])+)([\p{Lu}$_][\w$\p{L}]*(?:\.[\p{Lu}$][\w$\p{L}]*)*)(?:[./+]0x[\da-f]+)?(\.(?:<\w+>|[\w$\p{L}-]+))(?:\(.*)?$/u;
const jvmFile = /^$|\.(?:java|scala|kt|kts|groovy|clj)$/;

function jvmFrame(name: string, file: string): Frame | null {
    const found = jvmFile.test(file) ? jvmName.exec(name) : null;
    if (!found) {
        return null;
    }
    const [, path, owner, method] = found;
    const where = path.slice(0, -1).replaceAll('/', '.');
    return { name, file, label: owner + method, method, where, group: where };
}

// The label in so many characters: of a method its class is cut first. A constructor is its class's.
export function fitted({ label, method }: Frame, n: number): string {
    if (label.length <= n) {
        return label;
    }
    if (method && n > method.length + 3) {
        return `${label.slice(0, n - method.length - 1)}…${method}`;
    }
    return method && n >= method.length - 1 && method[1] !== '<' ? method.slice(1) : `${label.slice(0, n - 1)}…`;
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
        return { name, file, label: '(unnamed)', method: '', where: file, group: 'unknown' };
    }
    return nodeFrame(name, file) ?? jvmFrame(name, file) ??
        { name, file, label: shortName(name), method: '', where: file, group: group(name, file) };
}

function shortName(name: string): string {
    const args = name.indexOf('(', 1);
    const slash = name.lastIndexOf('/', args > 0 ? args : undefined);
    return slash > 0 && !name.startsWith('/') ? name.slice(slash + 1) : name;
}
