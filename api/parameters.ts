import type { ProblemDetail } from './problems.ts';
import { describeFaults, ProblemError } from './problems.ts';

/** As much of an object schema as names its parameters and their types. */
export interface ParameterSchema {
  properties?: Record<string, { type?: string }>;
}

/** As a message may quote it: short and without control characters. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

function convert(type: string | undefined, value: unknown): { value: unknown } | { fault: string } {
  if (typeof value !== 'string') return { fault: 'is given more than once' };
  if (value.includes('\0')) return { fault: 'contains a NUL character' };
  if (type === 'integer') {
    const number = Number(value);
    if (!/^-?[0-9]+$/.test(value)) return { fault: `must be a whole number, is ${quoted(value)}` };
    return Number.isSafeInteger(number) ? { value: number } : { fault: `${quoted(value)} is out of range` };
  }
  if (type === 'boolean') {
    if (value === 'true' || value === 'false') return { value: value === 'true' };
    return { fault: `must be true or false, is ${quoted(value)}` };
  }
  return { value };
}

/**
 * Query or path parameters, which arrive as text, in the types that the schema names. Stricter than a validator's
 * coercion: an unknown name, a repeated one or `limit=1e3` is refused, never ignored, so that a typo cannot silently
 * mean "everything". Ranges and lists of values are left to the validator.
 */
export function convertParameters(
  schema: ParameterSchema | undefined,
  raw: Record<string, unknown>,
  where: 'query' | 'path',
): Record<string, unknown> {
  const properties = schema?.properties ?? {};
  const converted: Record<string, unknown> = {};
  const errors: ProblemDetail[] = [];
  for (const [name, text] of Object.entries(raw)) {
    if (!Object.hasOwn(properties, name)) {
      const known = Object.keys(properties).join(', ');
      const detail = `is not known here; ${known === '' ? 'there are no parameters' : `there are ${known}`}`;
      errors.push({ in: where, name: name.slice(0, 60), detail });
      if (errors.length >= 10) break;
      continue;
    }
    const result = convert(properties[name]?.type, text);
    if ('fault' in result) errors.push({ in: where, name, detail: result.fault });
    else converted[name] = result.value;
  }
  if (errors.length > 0) throw new ProblemError('invalid-parameter', describeFaults(errors), { errors });
  return converted;
}
