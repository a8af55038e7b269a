import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

/** A folder of the test's own, gone when it ends. */
export function makeFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'relayledger-agent-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
