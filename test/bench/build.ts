import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { compileBpf } from '../bpf/compile.ts';

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
  const source = join(import.meta.dirname, 'noop.bpf.c');
  const noop = compileBpf(source, join(folder, 'noop.bpf.o'), '-Wextra', '-Wno-unused-parameter');
  const compile = (name: string, ...flags: string[]): string => {
    const program = join(folder, name);
    const source = join(import.meta.dirname, 'programs', `${name}.c`);
    execFileSync('gcc', ['-O2', ...WARNINGS, ...flags, '-o', program, source]);
    return program;
  };
  // Static: it is executed a thousand times.
  return { noop, busy: compile('busy'), apps: compile('apps', '-static'), relay: compile('relay') };
}
