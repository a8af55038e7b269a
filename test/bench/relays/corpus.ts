import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Agent } from '../../e2e/agent.ts';

const CORPUS_MS = 30 * 60_000;

/**
 * `corpus.py score` against the agent.
 * @returns its last line, the summary
 */
export async function runCorpus(folder: string, agent: Agent, progress: (text: string) => void): Promise<string> {
  // By SIGINT its scenarios are taken down.
  const command = ['--pdeathsig', 'INT', 'python3', 'corpus.py', 'score', '--api', `http://127.0.0.1:${agent.port}`];
  const child = spawn('setpriv', command, {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: CORPUS_MS,
    killSignal: 'SIGINT',
  });
  let last = '';
  for await (const line of createInterface({ input: child.stdout })) {
    progress(`corpus: ${line}`);
    if (line !== '') last = line;
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  if (child.exitCode !== 0)
    throw new Error(`corpus.py score ended with ${child.exitCode ?? child.signalCode}: ${last}`);
  return last;
}
