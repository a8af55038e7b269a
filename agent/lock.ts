import { createServer, type Server } from 'node:net';
import { resolve as resolvePath } from 'node:path';
import { AgentError } from './errors.ts';

/**
 * One agent a directory: holds it until the server is closed. The name goes with the process, however it ends.
 * @throws AGENT_ALREADY_RUNNING
 */
export async function lock(directory: string): Promise<Server> {
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<Server>();
  server.once('error', reject);
  server.listen(`\0relayledger:${resolvePath(directory)}`, () => resolve(server));
  try {
    return await promise;
  } catch (cause) {
    const message = `another agent uses ${directory}; stop it, or give this one folders of its own (--bpffs, --state-dir)`;
    throw new AgentError('AGENT_ALREADY_RUNNING', message, { cause });
  }
}
