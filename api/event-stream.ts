import type { ServerResponse } from 'node:http';
import type { AgentEvent, Readings } from '../agent/readings.ts';
import { ProblemError } from './problems.ts';

export function encodeEvent(event: AgentEvent): string {
  // A line break in the type would end the field; JSON has none.
  return `id: ${event.id}\nevent: ${event.type.replace(/[\r\n]/g, ' ')}\ndata: ${JSON.stringify(event)}\n\n`;
}

export interface EventStreamLimits {
  maxSubscribers: number;
  heartbeatMilliseconds: number;
  /** What may wait for a subscriber that reads too slowly, before it is cut off. */
  maxWaitingBytes: number;
}

/** The subscribers of `/v1/events`: each event is encoded once and written to all. */
export class EventStreams {
  #readings: Pick<Readings, 'subscribe'>;
  #limits: EventStreamLimits;
  #subscribers = new Set<ServerResponse>();
  #unsubscribe: (() => void) | undefined;
  #heartbeat: NodeJS.Timeout | undefined;

  constructor(readings: Pick<Readings, 'subscribe'>, limits: EventStreamLimits) {
    this.#readings = readings;
    this.#limits = limits;
  }

  get subscribers(): number {
    return this.#subscribers.size;
  }

  requirePlace(): void {
    if (this.#subscribers.size < this.#limits.maxSubscribers) return;
    throw new ProblemError('too-many-subscribers', `There are ${this.#limits.maxSubscribers} subscribers already.`, {
      headers: { 'retry-after': '10' },
    });
  }

  /** Makes this response a stream of events until the client goes or `close` is called. */
  add(response: ServerResponse): void {
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      // Proxies that buffer would hold events back.
      'x-accel-buffering': 'no',
    });
    response.write('retry: 3000\n\n');
    this.#subscribers.add(response);
    response.once('close', () => this.#remove(response));
    if (this.#unsubscribe !== undefined) return;
    this.#unsubscribe = this.#readings.subscribe((event) => this.#write(encodeEvent(event)));
    this.#heartbeat = setInterval(() => this.#write(': heartbeat\n\n'), this.#limits.heartbeatMilliseconds);
    this.#heartbeat.unref();
  }

  close(): void {
    for (const response of this.#subscribers) response.end();
    this.#subscribers.clear();
    this.#stop();
  }

  #write(text: string): void {
    for (const response of this.#subscribers) {
      response.write(text);
      if (response.writableLength > this.#limits.maxWaitingBytes) response.destroy();
    }
  }

  #remove(response: ServerResponse): void {
    this.#subscribers.delete(response);
    if (this.#subscribers.size === 0) this.#stop();
  }

  #stop(): void {
    clearInterval(this.#heartbeat);
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }
}
