// Reads the PNG of a screenshot (8 bits, RGB or RGBA, not interlaced) into pixels.
import { inflateSync } from 'node:zlib';

const paeth = (a, b, c) => {
    const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
};

export function decodePng(file) {
    const [width, height] = [file.readUInt32BE(16), file.readUInt32BE(20)];
    const channels = file[25] === 6 ? 4 : 3;
    const parts = [];
    for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at)) {
        if (file.toString('latin1', at + 4, at + 8) === 'IDAT') {
            parts.push(file.subarray(at + 8, at + 8 + file.readUInt32BE(at)));
        }
    }
    const packed = inflateSync(Buffer.concat(parts));
    const stride = width * channels;
    const data = Buffer.alloc(stride * height);
    for (let y = 0; y < height; y++) {
        const filter = packed[y * (stride + 1)];
        for (let x = 0; x < stride; x++) {
            const left = x >= channels ? data[y * stride + x - channels] : 0;
            const up = y > 0 ? data[(y - 1) * stride + x] : 0;
            const corner = x >= channels && y > 0 ? data[(y - 1) * stride + x - channels] : 0;
            const predicted = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
            data[y * stride + x] = packed[y * (stride + 1) + 1 + x] + predicted;
        }
    }
    return { width, height, at: (x, y) => [...data.subarray((y * width + x) * channels, (y * width + x) * channels + 3)] };
}
