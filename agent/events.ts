import type { AgentEvent } from './readings.ts';

/** Hands out events to whoever listens; one that throws is let go. */
export class Events {
  readonly #listeners = new Set<(event: AgentEvent) => void>();
  #lastId = 0;

  get subscribers(): number {
    return this.#listeners.size;
  }

  subscribe(listener: (event: AgentEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  publish(type: string, data: Record<string, unknown>): void {
    const event = { id: ++this.#lastId, at: new Date().toISOString(), type, data };
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch {
        this.#listeners.delete(listener);
      }
    }
  }
}
