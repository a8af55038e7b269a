/**
 * Compiles the eBPF programs and regenerates the TypeScript layouts from their BTF.
 * `--check` compiles into a temporary folder instead and fails where the committed files differ.
 * Needs clang-19, llvm-strip-19 and libbpf's headers; users of the package need none of these.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SOURCE = join(import.meta.dirname, 'relayledger.bpf.c');
const OBJECT = join(import.meta.dirname, 'objects', 'relayledger.bpf.o');
const LAYOUTS = join(import.meta.dirname, 'layouts.ts');

/** clang's define for bpf_tracing.h; the programs use nothing that differs between the architectures. */
const ARCHITECTURE = '-D__TARGET_ARCH_x86';

function compile(object: string): void {
  execFileSync('mkdir', ['-p', join(object, '..')]);
  const warnings = ['-Wall', '-Wextra', '-Wno-unused-parameter', '-Wno-sign-compare', '-Werror'];
  const target = ['-target', 'bpf', '-mcpu=v3', ARCHITECTURE];
  // The folder goes into the object's line information: the same name everywhere, wherever the clone lies.
  const place = ['-fdebug-compilation-dir=.', `-ffile-prefix-map=${import.meta.dirname}=.`];
  const options = { cwd: import.meta.dirname, stdio: 'inherit' } as const;
  execFileSync(
    'clang-19',
    ['-g', '-O2', ...place, ...target, ...warnings, '-c', 'relayledger.bpf.c', '-o', object],
    options,
  );
  execFileSync('llvm-strip-19', ['-g', object], options);
}

function generateLayouts(object: string, out: string): void {
  const generator = join(import.meta.dirname, 'generate-layouts.ts');
  execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', generator, object, '--out', out], {
    stdio: 'inherit',
  });
}

function check(): void {
  const folder = mkdtempSync(join(tmpdir(), 'relayledger-build-'));
  try {
    const object = join(folder, 'relayledger.bpf.o');
    const layouts = join(folder, 'layouts.ts');
    compile(object);
    generateLayouts(object, layouts);
    const stale = [
      [object, OBJECT],
      [layouts, LAYOUTS],
    ].filter(([fresh, committed]) => !readFileSync(fresh as string).equals(readFileSync(committed as string)));
    if (stale.length === 0) {
      console.log('build: the committed objects and layouts match their sources');
      return;
    }
    for (const [, committed] of stale) console.error(`build: ${committed} differs from what ${SOURCE} gives`);
    console.error('build: run `npm run build:bpf` and commit the result');
    process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv.includes('--check')) {
  check();
} else {
  compile(OBJECT);
  generateLayouts(OBJECT, LAYOUTS);
}
