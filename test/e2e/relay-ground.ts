import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Running, start, waitForPort } from './hosts.ts';
import { type Side, ThreeHosts } from './three-hosts.ts';

const program = join(import.meta.dirname, 'programs', 'relay-and-own.ts');
const PORTS = { relay: 8000, sink: 9000, source: 9001 };

/** One process that relays from the client to the server at 5 MB/s, and downloads as fast from the server. */
export class RelayGround implements AsyncDisposable {
  readonly #three: ThreeHosts;
  readonly #folder: string = mkdtempSync(join(tmpdir(), 'rl-relay-ground-'));
  readonly #running: Running[] = [];
  relay!: Running;

  private constructor(three: ThreeHosts) {
    this.#three = three;
  }

  static async make(): Promise<RelayGround> {
    const ground = new RelayGround(await ThreeHosts.make());
    await ground.#start('server', 'sink', String(PORTS.sink), ground.#file('relayed'));
    await ground.#start('server', 'source', String(PORTS.source));
    const { middle, server } = ground.#three.hosts;
    await waitForPort(server, 'tcp', PORTS.sink);
    await waitForPort(server, 'tcp', PORTS.source);
    await ground.startRelay();
    await waitForPort(middle, 'tcp', PORTS.relay);
    await ground.call();
    return ground;
  }

  async startRelay(): Promise<Running> {
    const { server } = this.#three.hosts;
    const to = [server.address4, String(PORTS.sink), String(PORTS.source), this.#file('own')];
    this.relay = await this.#start('middle', 'relay', String(PORTS.relay), ...to);
    return this.relay;
  }

  async call(): Promise<Running> {
    return this.#start('client', 'call', this.#three.hosts.middle.address4, String(PORTS.relay));
  }

  /** Whether the relay takes another connection from the client, within a second. */
  async isReachable(): Promise<boolean> {
    const { client, middle } = this.#three.hosts;
    const probe = ['timeout', '1', 'socat', '-u', 'OPEN:/dev/null', `TCP:${middle.address4}:${PORTS.relay}`];
    const running = start(client, probe, { output: this.#file('probe'), errors: this.#file('probe.errors') });
    const { code } = await running.done;
    return code === 0;
  }

  /** Bytes per second. */
  async rates(ms: number): Promise<{ relayed: number; own: number }> {
    const read = (): number[] => ['relayed', 'own'].map((name) => this.#counted(name));
    const [before, at] = [read(), performance.now()];
    await sleep(ms);
    const rate = (i: number, now: number[]): number =>
      (((now[i] ?? 0) - (before[i] ?? 0)) / (performance.now() - at)) * 1000;
    const now = read();
    return { relayed: rate(0, now), own: rate(1, now) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child } of this.#running) child.kill('SIGKILL');
    await Promise.all(this.#running.map(({ done }) => done));
    this.#three.remove();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #file(name: string): string {
    return join(this.#folder, name);
  }

  #counted(name: string): number {
    try {
      return Number(readFileSync(this.#file(name), 'utf8'));
    } catch {
      return 0; // nothing yet
    }
  }

  async #start(side: Side, ...words: string[]): Promise<Running> {
    // tap has every Node program that a test starts load hooks of its own.
    const node = ['env', '--unset=NODE_OPTIONS', process.execPath, '--disable-warning=ExperimentalWarning'];
    const output = this.#file(`output-${this.#running.length}`);
    const running = start(this.#three.hosts[side], [...node, program, ...words], {
      output,
      errors: `${output}.errors`,
    });
    this.#running.push(running);
    return running;
  }
}
