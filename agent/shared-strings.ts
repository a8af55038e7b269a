const LIMIT = 4096;

/** Gives equal strings as one, as long as there are not too many different ones. */
export class SharedStrings {
  readonly #known = new Map<string, string>();

  of(text: string): string {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    if (this.#known.size >= LIMIT) this.#known.clear(); // those in use stay, those to come share anew
    this.#known.set(text, text);
    return text;
  }
}
