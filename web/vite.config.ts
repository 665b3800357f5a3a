import { defineConfig } from 'vite';

// Relative addresses, so that the page works under any path prefix; nothing inlined, so that a strict
// Content-Security-Policy holds.
export default defineConfig({
    base: './',
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    build: { target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false } },
    server: { proxy: { '/api': 'http://127.0.0.1:4040' } },
});
