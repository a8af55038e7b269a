import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';

type Json = unknown;

function isNode(value: Json): value is Record<string, Json> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The document with every schema that has a title moved to `components.schemas` under that title, and a reference in
 * its place: each shape is described once, and client generators get its name.
 */
export function hoistTitledSchemas(document: Record<string, Json>): Record<string, Json> {
  const schemas: Record<string, Json> = {};
  const hoist = (node: Json): Json => {
    if (Array.isArray(node)) return node.map(hoist);
    if (!isNode(node)) return node;
    // Examples are data, not schemas, though they may have members of these names.
    const copy = Object.fromEntries(
      Object.entries(node).map(([key, value]) => [key, key === 'examples' ? value : hoist(value)]),
    );
    if (typeof copy['title'] !== 'string' || copy['type'] === undefined) return copy;
    const { title, ...schema } = copy;
    // The plugin moves a whole answer's examples to its media type; elsewhere the same schema still has them.
    if ('examples' in schema || !Object.hasOwn(schemas, title as string)) schemas[title as string] = schema;
    return { $ref: `#/components/schemas/${title}` };
  };
  const hoisted = hoist(document) as Record<string, Json>;
  const components = isNode(hoisted['components']) ? hoisted['components'] : {};
  const sorted = Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)));
  return { ...hoisted, components: { ...components, schemas: sorted } };
}

export function openApiOptions(version: string): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'relayledger',
        version,
        description:
          'Every network byte of this host, by process, and which of them were relayed for somebody else. Bytes and packets are integers, times are ISO 8601 in UTC. ' +
          'Open on loopback and on the Unix socket; from other hosts with a bearer token. ' +
          'Errors are RFC 9457 problem bodies with a stable `code`.',
        license: { name: 'GPL-2.0-only', identifier: 'GPL-2.0-only' },
      },
      tags: [
        { name: 'readings', description: 'Processes, apps, sockets and flows with their bytes' },
        { name: 'relays', description: "Who carries other people's traffic, how much of it, and how that is known" },
        {
          name: 'control',
          description:
            'Caps, quotas and denials; disconnecting and killing; who did what. Changes take root on the Unix socket, or a token with the role control',
        },
        { name: 'agent', description: 'The agent itself' },
      ],
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: "A token of the agent's token file" },
        },
      },
      security: [{}, { bearer: [] }],
    },
    transformObject: (document) => {
      if (!('openapiObject' in document)) return document.swaggerObject;
      return hoistTitledSchemas(document.openapiObject as Record<string, Json>);
    },
  };
}
