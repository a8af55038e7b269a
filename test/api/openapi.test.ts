import t from 'tap';
import { hoistTitledSchemas } from '../../api/openapi.ts';
import { problems } from '../../api/problems.ts';
import { startServer } from './fixture.ts';

type Node = Record<string, unknown>;

interface Operation {
  operationId: string;
  summary: string;
  tags: string[];
  parameters?: { name: string; description?: string; schema: Node }[];
  responses: Record<string, { description: string; content?: Record<string, { schema: Node }> }>;
}

interface Document {
  openapi: string;
  info: { version: string };
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Node> };
}

async function readDocument(t: Parameters<typeof startServer>[0]): Promise<Document> {
  const { app } = startServer(t, { version: '1.2.3' });
  const response = await app.inject('/openapi.json');
  t.match(response.headers['content-type'], /^application\/json/);
  return response.json<Document>();
}

function operationsOf(document: Document): [string, Operation][] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, Operation] => [`${method} ${path}`, operation]),
  );
}

function walk(node: unknown, visit: (node: Node, path: string) => void, path = ''): void {
  if (typeof node !== 'object' || node === null) return;
  if (!Array.isArray(node)) visit(node as Node, path);
  for (const [key, value] of Object.entries(node)) if (key !== 'examples') walk(value, visit, `${path}/${key}`);
}

t.test('the document is OpenAPI 3.1 and has every call of the contract', async (t) => {
  const document = await readDocument(t);
  t.equal(document.openapi, '3.1.0');
  t.equal(document.info.version, '1.2.3');
  t.strictSame(Object.keys(document.paths).sort(), [
    '/healthz',
    '/metrics',
    '/openapi.json',
    '/problems/{code}',
    '/readyz',
    '/v1/apps',
    '/v1/audit',
    '/v1/events',
    '/v1/flows',
    '/v1/history',
    '/v1/names/{name}',
    '/v1/policies',
    '/v1/policies/{name}',
    '/v1/processes',
    '/v1/processes/{pid}',
    '/v1/processes/{pid}/disconnect',
    '/v1/processes/{pid}/kill',
    '/v1/processes/{pid}/sockets',
    '/v1/relays',
    '/v1/sockets',
    '/v1/status',
  ]);
});

t.test('every operation is named, described, and says how it refuses', async (t) => {
  const document = await readDocument(t);
  const operations = operationsOf(document);
  const tags = document.tags.map(({ name }) => name);
  const ids = operations.map(([, { operationId }]) => operationId);
  t.equal(new Set(ids).size, ids.length, 'operationIds are unique');
  for (const [name, operation] of operations) {
    t.match(operation.operationId, /^[a-z]+[A-Z]/, name);
    t.ok(operation.summary.length > 10, name);
    t.equal(operation.tags.length, 1, name);
    t.ok(tags.includes(operation.tags[0] ?? ''), `${name}: its tag is described`);
    for (const parameter of operation.parameters ?? []) t.ok(parameter.description, `${name} ${parameter.name}`);
    const refusals = Object.entries(operation.responses).filter(([status]) => status !== '200');
    t.ok(refusals.length > 0, name);
    for (const [status, response] of refusals) {
      t.strictSame(
        response.content?.['application/problem+json'],
        { schema: { $ref: '#/components/schemas/Problem' } },
        `${name} ${status}`,
      );
      for (const code of response.description.matchAll(/(?:^|; )([a-z-]+):/g)) {
        t.equal(String(problems[code[1] as keyof typeof problems].status), status, `${name} ${code[1]}`);
      }
    }
  }
});

t.test('every schema and every member has a description, numbers of bytes with their unit', async (t) => {
  const { components } = await readDocument(t);
  for (const [name, schema] of Object.entries(components.schemas)) {
    walk(schema, (node, path) => {
      const { properties } = node as { properties?: Record<string, Node> };
      if (typeof properties !== 'object') return;
      for (const [member, described] of Object.entries(properties)) {
        if ('$ref' in described) continue;
        const description = String(described['description'] ?? '');
        t.ok(description.length > 0, `${name}${path} ${member}`);
        if (/bytes$/i.test(member)) t.match(description, /in bytes$/, `${name}${path} ${member}`);
        if (/packets$/i.test(member)) t.match(description, /in packets$/, `${name}${path} ${member}`);
        if (/seconds$/i.test(member)) t.match(description, /in seconds$/, `${name}${path} ${member}`);
        if (/Ms$/.test(member)) t.match(description, /in milliseconds$/, `${name}${path} ${member}`);
        if (/At$/.test(member)) t.match(description, /ISO 8601 in UTC$/, `${name}${path} ${member}`);
      }
    });
  }
  for (const name of ['Process', 'Flow', 'Socket', 'RelayReading']) {
    t.ok(components.schemas[name]?.['examples'], `${name} has an example`);
  }
});

t.test('every reference leads somewhere', async (t) => {
  const document = await readDocument(t);
  let references = 0;
  walk(document, (node, path) => {
    if (typeof node['$ref'] !== 'string') return;
    references += 1;
    const name = node['$ref'].replace('#/components/schemas/', '');
    t.ok(Object.hasOwn(document.components.schemas, name), `${path} -> ${name}`);
  });
  t.ok(references > 20);
});

t.test('titled schemas move to the components; examples and members called title stay', async (t) => {
  const inner = { title: 'Inner', type: 'object', properties: { title: { type: 'string' } } };
  const document = {
    info: { title: 'API' },
    a: { title: 'Outer', type: 'object', properties: { inner }, examples: [{ title: 'x', type: 'y' }] },
    b: inner,
  };
  t.strictSame(hoistTitledSchemas(document), {
    info: { title: 'API' },
    a: { $ref: '#/components/schemas/Outer' },
    b: { $ref: '#/components/schemas/Inner' },
    components: {
      schemas: {
        Inner: { type: 'object', properties: { title: { type: 'string' } } },
        Outer: {
          type: 'object',
          properties: { inner: { $ref: '#/components/schemas/Inner' } },
          examples: [{ title: 'x', type: 'y' }],
        },
      },
    },
  });
});

t.test('a browser that comes without a path is shown where things are, and each link leads there', async (t) => {
  const { app } = startServer(t);
  const page = await app.inject('/');
  t.equal(page.statusCode, 200);
  t.match(page.headers['content-type'], /^text\/html/);
  const paths = [...page.body.matchAll(/href="([^"]+)"/g)].map(([, path]) => path ?? '');
  t.ok(paths.includes('/metrics'));
  for (const path of paths) t.equal((await app.inject(path)).statusCode, 200, path);
});

t.test('the documentation page works without the internet', async (t) => {
  const { app } = startServer(t);
  const page = await app.inject('/docs');
  t.equal(page.statusCode, 200);
  t.match(page.headers['content-type'], /^text\/html/);
  t.match(page.headers['content-security-policy'], /default-src 'none'/);
  const sources = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, source = '']) => source);
  t.ok(sources.length >= 4);
  for (const source of sources) {
    t.match(source, /^\/docs\//, source);
    t.equal((await app.inject(source)).statusCode, 200, source);
  }
  const initializer = await app.inject('/docs/static/swagger-initializer.js');
  t.match(initializer.body, /"validatorUrl":\s*null/);
  t.strictSame((await app.inject('/docs/json')).json(), (await app.inject('/openapi.json')).json());
});

t.test('each problem type explains itself at its path', async (t) => {
  const { app } = startServer(t);
  for (const [code, kind] of Object.entries(problems)) {
    t.strictSame((await app.inject(`/problems/${code}`)).json(), { code, ...kind });
  }
});
