import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { atEnd } from './at-end.ts';
import type { Case } from './cases.ts';
import { type Hosts, makeFile, type Running, start, waitForFile } from './hosts.ts';
import { patience } from './patience.ts';
import { readTruths, type Truth } from './truth.ts';

/** The programs' way to say that the kernel lacks what they need (programs/truth.h). */
const skipCode = 77;

export interface Outcome {
  truths: Truth[];
  /** Why the case could not be run here. */
  skipped?: string;
  startedAt: number;
  endedAt: number;
}

/** A case whose client has moved its first bytes and waits. */
export interface PausedCase {
  /** Lets it go on, to its end. */
  goOn(): Promise<Outcome>;
}

/** Where cases run: two hosts and the folder with the compiled programs. */
export class Ground {
  readonly hosts: Hosts;
  readonly programs: string;
  readonly folder: string;
  #port = 7000;
  #count = 0;

  constructor(hosts: Hosts, programs: string) {
    this.hosts = hosts;
    this.programs = programs;
    this.folder = mkdtempSync(join(tmpdir(), 'relayledger-e2e-run-'));
    atEnd(() => rmSync(this.folder, { recursive: true, force: true }));
  }

  /** Runs a case to its end. Fails if a program fails or says too little. */
  async run(it: Case): Promise<Outcome> {
    const paused = await this.begin(it);
    return paused.goOn();
  }

  /** Starts a case. Where it has a pause, its client moves some bytes and waits before this returns. */
  async begin(it: Case): Promise<PausedCase> {
    const run = new Run(this, it, this.#port++, this.#count++);
    await run.begin();
    return run;
  }
}

class Run implements PausedCase {
  readonly #ground: Ground;
  readonly #case: Case;
  readonly #path: string;
  readonly #places: Record<string, string>;
  readonly #running: Running[] = [];
  #startedAt = Date.now();

  constructor(ground: Ground, it: Case, port: number, number: number) {
    this.#ground = ground;
    this.#case = it;
    this.#path = join(ground.folder, String(number));
    const { client, server } = ground.hosts;
    this.#places = {
      client4: client.address4,
      client6: client.address6,
      server4: server.address4,
      server6: server.address6,
      clientMac: client.mac,
      serverMac: server.mac,
      port: String(port),
      go: `${this.#path}.go`,
    };
  }

  async begin(): Promise<void> {
    const { server, clients, pauses } = this.#case;
    if (server !== undefined) {
      const ready = `${this.#path}.server-ready`;
      const running = this.#start('server', server, ready);
      await waitForFile(ready, running).catch((error) => this.#fail(error));
    }
    if (!pauses) return;
    const ready = `${this.#path}.client-ready`;
    const running = this.#start('client', clients[0] ?? [], ready);
    await waitForFile(ready, running).catch((error) => this.#fail(error));
  }

  async goOn(): Promise<Outcome> {
    if (this.#case.pauses) makeFile(`${this.#path}.go`);
    else
      for (const client of this.#case.clients) {
        const { done } = this.#start('client', client, `${this.#path}.client-ready`);
        const { code } = await done;
        if (code !== 0) break;
      }
    const skipped = await this.#ended();
    const truths = skipped === undefined ? await this.#truths() : [];
    const outcome = { truths, startedAt: this.#startedAt, endedAt: Date.now() };
    return skipped === undefined ? outcome : { ...outcome, skipped };
  }

  #start(side: 'client' | 'server', command: string[], ready: string): Running {
    const [program = '', ...rest] = command.map((word) =>
      word.replace(/\{(\w+)\}/, (_, name) => this.#places[name] ?? '?'),
    );
    const host = this.#ground.hosts[this.#case.oneHost ? 'client' : side];
    const running = start(host, [join(this.#ground.programs, program), ...rest], {
      output: `${this.#path}.truth`,
      errors: `${this.#path}.errors`,
      environment: { E2E_READY: ready },
    });
    this.#running.push(running);
    return running;
  }

  /** Waits for all programs; the reason if one can't run here, an error if one fails or takes too long. */
  async #ended(): Promise<string | undefined> {
    const timer = new AbortController();
    const seconds = this.#case.seconds ?? 60;
    const timeout = sleep(1000 * seconds, 'timeout' as const, { signal: timer.signal }).catch(() => 'timeout' as const);
    const exits = await Promise.race([this.#waitForAll(), timeout]);
    timer.abort();
    if (exits === 'timeout') {
      for (const { child } of this.#running) child.kill('SIGKILL');
      this.#fail(new Error(`took longer than ${seconds} s`));
    }
    if (exits.some(({ code }) => code === skipCode)) return this.#errors();
    if (exits.some(({ code }) => code !== 0)) this.#fail(new Error('failed'));
    return undefined;
  }

  /** A program that gives up leaves its peer waiting for ever: it is ended too. */
  async #waitForAll(): Promise<{ code: number | null }[]> {
    return Promise.all(
      this.#running.map(async ({ done }) => {
        const exit = await done;
        if (exit.code !== 0) for (const { child } of this.#running) child.kill('SIGKILL');
        return exit;
      }),
    );
  }

  /** Daemons end later than the programs that were started. */
  async #truths(): Promise<Truth[]> {
    for (const end = Date.now() + patience(10_000); ; await sleep(10)) {
      const truths = readTruths(`${this.#path}.truth`);
      if (truths.length === this.#case.truths) return truths;
      if (truths.length > this.#case.truths || Date.now() > end) {
        this.#fail(new Error(`${truths.length} truths were told, not ${this.#case.truths}`));
      }
    }
  }

  #errors(): string {
    return readFileSync(`${this.#path}.errors`, 'utf8').trim();
  }

  #fail(cause: unknown): never {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`"${this.#case.title}": ${reason}: ${this.#errors() || 'nothing on stderr'}`, { cause });
  }
}
