/** How each part of a row is made from what the row is about; an optional part may come out undefined. */
export type Parts<Row, Source> = { readonly [Part in keyof Row]-?: (source: Source) => Row[Part] };

/** Each part is made when it is read, and is as it is then. */
export type LazyRow<Row> = Row & {
  /** All parts as they are now; optional ones only where there are any. */
  toJSON(): Row;
};

/** Rows for lists of many of which few are shown: one that nobody reads costs next to nothing. */
export function lazyRows<Row extends object, Source>(parts: Parts<Row, Source>): (source: Source) => LazyRow<Row> {
  const makers = Object.entries<(source: Source) => unknown>(parts);

  class Made {
    readonly #source: Source;

    static {
      for (const [name, make] of makers) {
        Object.defineProperty(Made.prototype, name, {
          get(this: Made): unknown {
            return make(this.#source);
          },
        });
      }
    }

    constructor(source: Source) {
      this.#source = source;
    }

    toJSON(): object {
      const row: Record<string, unknown> = {};
      for (const [name, make] of makers) {
        const part = make(this.#source);
        if (part !== undefined) row[name] = part;
      }
      return row;
    }
  }

  return (source) => new Made(source) as unknown as LazyRow<Row>;
}
