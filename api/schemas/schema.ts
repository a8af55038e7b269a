import type { Static, TSchema, TUnsafe } from 'typebox';
import { Type } from 'typebox';

/** A JSON schema whose values have the type T. */
export type Schema<T> = TUnsafe<T>;

type Plain<T> = T extends readonly (infer Item)[]
  ? Plain<Item>[]
  : T extends object
    ? { [Key in keyof T]: Plain<T[Key]> }
    : T;

type Same<A, B> = (<T>() => T extends Plain<A> ? 1 : 2) extends <T>() => T extends Plain<B> ? 1 : 2 ? true : false;

type Exactly<S extends TSchema, T> = Same<Static<S>, T> extends true ? unknown : { schemaDisagreesWithType: T };

/**
 * `describes<T>()(schema)` compiles only where the schema's values are exactly T, optional and null members included,
 * so that neither the agent's types nor the documented schemas can change alone.
 */
export function describes<T>(): <S extends TSchema>(schema: S & Exactly<S, T>) => Schema<T> {
  return (schema) => schema as unknown as Schema<T>;
}

/** The same schema, or null. Written as `type: [..., 'null']`, which OpenAPI 3.1 pages show better than a union. */
export function nullable<S extends TSchema>(schema: S): Schema<Static<S> | null> {
  const { type, enum: values } = schema as { type?: string; enum?: unknown[] };
  return {
    ...schema,
    ...(type === undefined ? {} : { type: [type, 'null'] }),
    ...(values === undefined ? {} : { enum: [...values, null] }),
  } as unknown as Schema<Static<S> | null>;
}

/** A string out of a fixed list. */
export function oneOf<const T extends string>(values: readonly T[], description: string): Schema<T> {
  return { type: 'string', enum: [...values], description } as unknown as Schema<T>;
}

export function bytes(description: string): Schema<number> {
  return Type.Unsafe<number>(Type.Integer({ minimum: 0, description: `${description}, in bytes` }));
}

export function packets(description: string): Schema<number> {
  return Type.Unsafe<number>(Type.Integer({ minimum: 0, description: `${description}, in packets` }));
}

export function instant(description: string): Schema<string> {
  return Type.Unsafe<string>(Type.String({ format: 'date-time', description: `${description}; ISO 8601 in UTC` }));
}
