import type { Static, TObject, TOptional, TProperties, TSchema, TUnsafe } from 'typebox';

/**
 * TypeBox's types without its runtime: a schema is plain JSON whose values have the type that TypeBox's `Static` finds.
 * Loading `typebox` takes 90 ms of every start and 20 MB of memory for what a dozen functions do as well.
 */

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
  return (schema) => unsafe<T>(schema);
}

interface Annotations {
  title?: string;
  description?: string;
  examples?: readonly unknown[];
}

interface StringRules extends Annotations {
  minLength?: number;
  maxLength?: number;
  format?: string;
}

interface NumberRules extends Annotations {
  minimum?: number;
  maximum?: number;
  enum?: readonly number[];
}

interface ObjectRules extends Annotations {
  additionalProperties?: boolean;
}

/** Where `optional` leaves its mark; not enumerable, so that it is in no document. */
const optionalMark = '~optional';

/** A schema that is written as it stands, for values of which only the caller knows the type. */
export function unsafe<T>(schema: object): Schema<T> {
  return schema as Schema<T>;
}

export function string(rules: StringRules): Schema<string> {
  return unsafe({ type: 'string', ...rules });
}

export function integer(rules: NumberRules): Schema<number> {
  return unsafe({ type: 'integer', ...rules });
}

export function number(rules: NumberRules): Schema<number> {
  return unsafe({ type: 'number', ...rules });
}

export function boolean(rules: Annotations): Schema<boolean> {
  return unsafe({ type: 'boolean', ...rules });
}

export function array<S extends TSchema>(items: S, rules: Annotations): Schema<Static<S>[]> {
  return unsafe({ type: 'array', items, ...rules });
}

/** Marks a member of an object as one that may be absent. */
export function optional<S extends TSchema>(schema: S): TOptional<S> {
  return Object.defineProperty({ ...schema }, optionalMark, { value: true }) as TOptional<S>;
}

/** An object with these members; those that are not optional are required. */
export function object<Members extends TProperties>(properties: Members, rules: ObjectRules): TObject<Members> {
  const required = Object.keys(properties).filter((name) => properties[name]?.[optionalMark as never] === undefined);
  const schema = { type: 'object', ...(required.length === 0 ? {} : { required }), properties, ...rules };
  return schema as unknown as TObject<Members>;
}

/** The same schema, or null. Written as `type: [..., 'null']`, which OpenAPI 3.1 pages show better than a union. */
export function nullable<S extends TSchema>(schema: S): Schema<Static<S> | null> {
  const { type, enum: values } = schema as { type?: string; enum?: unknown[] };
  return unsafe({
    ...schema,
    ...(type === undefined ? {} : { type: [type, 'null'] }),
    ...(values === undefined ? {} : { enum: [...values, null] }),
  });
}

/** A string out of a fixed list. */
export function oneOf<const T extends string>(values: readonly T[], description: string): Schema<T> {
  return unsafe({ type: 'string', enum: values, description });
}

export function bytes(description: string): Schema<number> {
  return integer({ minimum: 0, description: `${description}, in bytes` });
}

export function packets(description: string): Schema<number> {
  return integer({ minimum: 0, description: `${description}, in packets` });
}

export function instant(description: string): Schema<string> {
  return string({ format: 'date-time', description: `${description}; ISO 8601 in UTC` });
}
