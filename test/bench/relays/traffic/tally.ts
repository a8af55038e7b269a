export interface Sums {
  sentBytes: number;
  receivedBytes: number;
  /** When the first byte that counts was sent or received; null where there was none. */
  startedAtMs: number | null;
}

/** What this end has sent and received so far. */
class Tally {
  #sentBytes = 0;
  #receivedBytes = 0;
  #startedAtMs: number | null = null;
  readonly #more: (() => Omit<Sums, 'startedAtMs'>)[] = [];

  begin(): void {
    this.#startedAtMs ??= Date.now();
  }

  sent(bytes: number): void {
    this.begin();
    this.#sentBytes += bytes;
  }

  received(bytes: number): void {
    this.begin();
    this.#receivedBytes += bytes;
  }

  /** For what is counted elsewhere and asked for at the end. */
  add(read: () => Omit<Sums, 'startedAtMs'>): void {
    this.#more.push(read);
  }

  sums(): Sums {
    const sums: Sums = {
      sentBytes: this.#sentBytes,
      receivedBytes: this.#receivedBytes,
      startedAtMs: this.#startedAtMs,
    };
    for (const read of this.#more) {
      const { sentBytes, receivedBytes } = read();
      sums.sentBytes += sentBytes;
      sums.receivedBytes += receivedBytes;
    }
    return sums;
  }
}

export const tally: Tally = new Tally();
