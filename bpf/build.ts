/**
 * Compiles the eBPF programs and regenerates the TypeScript layouts from their BTF.
 * `--check` compiles into a temporary folder instead and fails where the committed files differ.
 * Needs clang-19, llvm-strip-19 and libbpf's headers; users of the package need none of these.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Each becomes an object of its own. */
const SOURCES = ['relayledger', 'fingerprints', 'features'];
const OBJECTS = join(import.meta.dirname, 'objects');
const LAYOUTS = join(import.meta.dirname, 'layouts.ts');

/** clang's define for bpf_tracing.h; the programs use nothing that differs between the architectures. */
const ARCHITECTURE = '-D__TARGET_ARCH_x86';

function objectIn(folder: string, source: string): string {
  return join(folder, `${source}.bpf.o`);
}

function compile(source: string, object: string): void {
  execFileSync('mkdir', ['-p', join(object, '..')]);
  const warnings = ['-Wall', '-Wextra', '-Wno-unused-parameter', '-Wno-sign-compare', '-Werror'];
  const target = ['-target', 'bpf', '-mcpu=v3', ARCHITECTURE];
  // The folder goes into the object's line information: the same name everywhere, wherever the clone lies.
  const place = ['-fdebug-compilation-dir=.', `-ffile-prefix-map=${import.meta.dirname}=.`];
  const options = { cwd: import.meta.dirname, stdio: 'inherit' } as const;
  execFileSync(
    'clang-19',
    ['-g', '-O2', ...place, ...target, ...warnings, '-c', `${source}.bpf.c`, '-o', object],
    options,
  );
  execFileSync('llvm-strip-19', ['-g', object], options);
}

/** Compiles all sources into the folder, and generates the layouts from what came of it. */
function build(folder: string, layouts: string): void {
  const objects = SOURCES.map((source) => objectIn(folder, source));
  for (const source of SOURCES) compile(source, objectIn(folder, source));
  const generator = join(import.meta.dirname, 'generate-layouts.ts');
  execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', generator, ...objects, '--out', layouts], {
    stdio: 'inherit',
  });
}

function check(): void {
  const folder = mkdtempSync(join(tmpdir(), 'relayledger-build-'));
  try {
    const layouts = join(folder, 'layouts.ts');
    build(folder, layouts);
    const stale = [
      ...SOURCES.map((source) => [objectIn(folder, source), objectIn(OBJECTS, source)]),
      [layouts, LAYOUTS],
    ].filter(([fresh, committed]) => !readFileSync(fresh as string).equals(readFileSync(committed as string)));
    if (stale.length === 0) {
      console.log('build: the committed objects and layouts match their sources');
      return;
    }
    for (const [, committed] of stale) console.error(`build: ${committed} differs from what its sources give`);
    console.error('build: run `npm run build:bpf` and commit the result');
    process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv.includes('--check')) {
  check();
} else {
  build(OBJECTS, LAYOUTS);
}
