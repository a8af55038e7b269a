import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MULTIARCH = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';

/** A folder of its own for one test file, gone when the process ends. */
export const folder: string = mkdtempSync(join(tmpdir(), 'relayledger-bpf-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Compiles `NAME.bpf.c` beside this file; gives the object's path. */
export function compile(name: string, ...flags: readonly string[]): string {
  const object = join(folder, `${[name, ...flags].join('')}.bpf.o`);
  return compileBpf(join(import.meta.dirname, `${name}.bpf.c`), object, ...flags);
}

/** As the project compiles its own programs; gives the object's path. */
export function compileBpf(source: string, object: string, ...flags: readonly string[]): string {
  const target = ['-g', '-O2', '-target', 'bpf', '-mcpu=v3', `-I/usr/include/${MULTIARCH}`];
  execFileSync('clang-19', [...target, '-Wall', '-Werror', ...flags, '-c', source, '-o', object]);
  execFileSync('llvm-strip-19', ['-g', object]);
  return object;
}
