import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

const MULTIARCH = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';
const WARNINGS = ['-Wall', '-Wextra', '-Werror'];

/** Paths of what was compiled. */
export interface Programs {
  noop: string;
  busy: string;
  apps: string;
  relay: string;
}

/** Compiles the benchmark's own programs into a folder. */
export function buildPrograms(folder: string): Programs {
  const noop = join(folder, 'noop.bpf.o');
  const target = ['-g', '-O2', '-target', 'bpf', '-mcpu=v3', `-I/usr/include/${MULTIARCH}`];
  const warnings = [...WARNINGS, '-Wno-unused-parameter'];
  execFileSync('clang-19', [...target, ...warnings, '-c', join(import.meta.dirname, 'noop.bpf.c'), '-o', noop]);

  const compile = (name: string, ...flags: string[]): string => {
    const program = join(folder, name);
    const source = join(import.meta.dirname, 'programs', `${name}.c`);
    execFileSync('gcc', ['-O2', ...WARNINGS, ...flags, '-o', program, source]);
    return program;
  };
  // Static: it is executed a thousand times.
  return { noop, busy: compile('busy'), apps: compile('apps', '-static'), relay: compile('relay') };
}
