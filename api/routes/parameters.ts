import type { Schema } from '../schemas/schema.ts';
import { integer, nullable, string } from '../schemas/schema.ts';

/** pid_t is a signed 32-bit number; a pid above the kernel's limit is one that no process has. */
export const pidSchema: Schema<number> = integer({
  minimum: 0,
  maximum: 2_147_483_647,
  description: 'Process id',
  examples: [4711],
});

export const nameQuery: Schema<string> = string({
  minLength: 1,
  maxLength: 64,
  description: "Exactly the kernel's name of the process",
});

export const appQuery: Schema<string> = string({ minLength: 1, maxLength: 256, description: 'Exactly the app' });

export const limitQuery: Schema<number> = integer({
  minimum: 1,
  maximum: 100_000,
  description: 'At most so many rows; default all',
});

export const cursorQuery: Schema<string> = string({
  minLength: 1,
  maxLength: 1024,
  description: 'nextCursor of the page before',
});

export const nextCursorSchema: Schema<string | null> = nullable(
  string({ description: 'Where the next page begins; null after the last' }),
);
