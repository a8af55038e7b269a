import { setTimeout } from 'node:timers/promises';
import type { ReadStream } from 'node:tty';
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import type { Status } from '../../agent/readings.ts';
import type { ApiClient } from './client.ts';
import { addConnectionOptions, connectionOf } from './connection.ts';
import type { ProcessList } from './ps.ts';
import type { Sample, TopSort } from './rates.ts';
import { defaultTopSort, rateProcesses, sortForTop, topSorts } from './rates.ts';
import type { Terminal } from './terminal.ts';
import { writeLines } from './terminal.ts';
import { topLines } from './top-screen.ts';

interface TopOptions {
  batch?: boolean;
  once?: boolean;
  iterations?: number;
  interval: number;
  sort?: TopSort;
  json?: boolean;
}

async function sampleOf(client: ApiClient): Promise<Sample> {
  const { processes } = await client.get<ProcessList>('/v1/processes');
  const status = await client.get<Status>('/v1/status');
  return { atMilliseconds: Date.now(), processes, status };
}

/** The latest two readings that are of different polls: the same poll read twice would look like silence. */
class Samples {
  before: Sample;
  after: Sample;

  constructor(first: Sample) {
    this.before = first;
    this.after = first;
  }

  add(sample: Sample): void {
    if (sample.status.poll.count === this.after.status.poll.count) return;
    this.before = this.after;
    this.after = sample;
  }
}

/** Ends after the time, or as soon as the signal says so. */
async function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  try {
    await setTimeout(milliseconds, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
}

async function runBatch(terminal: Terminal, client: ApiClient, options: TopOptions, limit: number): Promise<void> {
  const samples = new Samples(await sampleOf(client));
  for (let round = 0; round < limit; round += 1) {
    await pause(options.interval * 1000);
    samples.add(await sampleOf(client));
    const { before, after } = samples;
    if (options.json === true) {
      const processes = sortForTop(rateProcesses(before, after), options.sort ?? defaultTopSort(after.processes));
      terminal.write(`${JSON.stringify({ at: terminal.now().toISOString(), processes })}\n`);
      continue;
    }
    const view = { before, after, sort: options.sort, now: terminal.now(), trouble: undefined };
    writeLines(terminal, topLines(view, undefined));
    if (round + 1 < limit) terminal.write('\n');
  }
}

const enterScreen = '\x1b[?1049h\x1b[?25l';
const leaveScreen = '\x1b[?25h\x1b[?1049l';
/** Back to the corner; what is left of older lines goes as each line is written, so that nothing flickers. */
const home = '\x1b[H';
const clearToLineEnd = '\x1b[K';
const clearBelow = '\x1b[J';

/** The alternate screen with keys unbuffered; disposing gives the terminal back as it was, and so does any exit. */
class Screen {
  #terminal: Terminal;
  #keys: ReadStream;
  #restored = false;
  #restore = (): void => {
    if (this.#restored) return;
    this.#restored = true;
    if (this.#keys.isTTY) this.#keys.setRawMode(false);
    this.#keys.pause();
    this.#terminal.write(leaveScreen);
  };

  constructor(terminal: Terminal, keys: ReadStream, onKey: (key: string) => void) {
    this.#terminal = terminal;
    this.#keys = keys;
    process.once('exit', this.#restore);
    if (keys.isTTY) {
      keys.setRawMode(true);
      keys.setEncoding('utf8');
      keys.on('data', (text) => {
        for (const key of String(text)) onKey(key);
      });
    }
    terminal.write(enterScreen);
  }

  draw(lines: readonly string[]): void {
    const text = lines.map((line) => `${line}${clearToLineEnd}`).join('\r\n');
    this.#terminal.write(`${home}${text}${clearBelow}`);
  }

  [Symbol.dispose](): void {
    this.#restore();
    process.removeListener('exit', this.#restore);
    this.#keys.removeAllListeners('data');
  }
}

async function runScreen(terminal: Terminal, client: ApiClient, options: TopOptions): Promise<void> {
  const samples = new Samples(await sampleOf(client));
  let { sort } = options;
  let trouble: string | undefined;
  const stopping = new AbortController();
  const stop = (): void => stopping.abort();
  const draw = (): void => {
    const { before, after } = samples;
    screen.draw(topLines({ before, after, sort, now: terminal.now(), trouble }, terminal.size()));
  };
  // Raw mode turns Ctrl-C into a character.
  const onKey = (key: string): void => {
    if (key === 'q' || key === '\x03') stop();
    if (key === 's') {
      const shown = sort ?? defaultTopSort(samples.after.processes);
      sort = topSorts[(topSorts.indexOf(shown) + 1) % topSorts.length];
      draw();
    }
  };
  using screen = new Screen(terminal, process.stdin, onKey);
  const signals: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.once(signal, stop);
  process.stdout.on('resize', draw);
  try {
    let rounds = options.iterations ?? Number.POSITIVE_INFINITY;
    while (!stopping.signal.aborted) {
      draw();
      await pause(options.interval * 1000, stopping.signal);
      if (stopping.signal.aborted) break;
      try {
        samples.add(await sampleOf(client));
        trouble = undefined;
      } catch (error) {
        trouble = `The agent does not answer, these are its last readings: ${(error as Error).message}`;
      }
      rounds -= 1;
      if (rounds <= 0) break;
    }
  } finally {
    process.stdout.removeListener('resize', draw);
    for (const signal of signals) process.removeListener(signal, stop);
  }
}

async function runTop(terminal: Terminal, command: Command): Promise<void> {
  const options = command.opts<TopOptions>();
  const { client } = await connectionOf(command);
  const interactive = terminal.size() !== undefined && !options.batch && !options.once && !options.json;
  if (interactive) return runScreen(terminal, client, options);
  // Without a terminal nobody presses q: one reading, unless --batch asks for more.
  const endless = options.batch === true && options.once !== true;
  const limit = options.iterations ?? (endless ? Number.POSITIVE_INFINITY : 1);
  return runBatch(terminal, client, options, limit);
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 86_400)) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

function positiveInteger(text: string): number {
  const value = positive(text);
  if (!Number.isInteger(value)) throw new InvalidArgumentError('It must be a whole number.');
  return value;
}

export function addTop(program: Command, terminal: Terminal): void {
  const command = program
    .command('top')
    .summary('the processes that move bytes now, on a screen that follows them')
    .description(
      'Shows each second what processes receive and send. Rates and totals are wire bytes.\n' +
        'Those that relay come first, the most relayed bytes first; RELAYED and RELAYED/s are payload, in and out.\n' +
        'Keys: q quits, s changes the order.',
    )
    .option('-b, --batch', 'print one reading after the other instead of drawing a screen')
    .option('--once', 'print one reading and end')
    .addOption(new Option('-n, --iterations <count>', 'end after so many readings').argParser(positiveInteger))
    .addOption(new Option('-d, --interval <seconds>', 'time between readings').argParser(positive).default(1))
    .addOption(
      new Option('--sort <key>', 'order by (default: relayed if anybody relays, else rate)').choices([...topSorts]),
    )
    .option('--json', "a line of JSON for each reading: the API's processes with their rates");
  addConnectionOptions(command).action(() => runTop(terminal, command));
}
