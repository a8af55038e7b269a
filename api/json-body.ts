import { ProblemError } from './problems.ts';
import type { Api } from './routes/api.ts';

/** Bodies are JSON; Fastify would take plain text as well, and of two members with one name the last. */
export function takeJsonBodies(app: Api): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser(['text/plain', 'application/json']);
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, text, done) => {
    parse(request, text, (error, body) => {
      const name = error ? undefined : repeatedMember(text);
      if (name === undefined) done(error, body);
      else done(new ProblemError('invalid-body', `body ${name}: is there twice`, { errors: [fault(name)] }));
    });
  });
}

function fault(name: string): ProblemError['errors'][number] {
  return { in: 'body', name, detail: 'is there twice' };
}

/** Of JSON that was parsed already: the path of the first member whose object has one of that name before it. */
export function repeatedMember(json: string): string | undefined {
  const objects: { names: Set<string>; path: string; last: string }[] = [];
  for (const [token, text, end] of json.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|[{}]/g)) {
    const object = objects.at(-1);
    if (token === '{') objects.push({ names: new Set(), path: object ? `${object.last}.` : '', last: '' });
    else if (token === '}') objects.pop();
    else if (object && text !== undefined && end !== undefined) {
      const name = JSON.parse(text) as string;
      object.last = object.path + name;
      if (object.names.has(name)) return object.last;
      object.names.add(name);
    }
  }
  return undefined;
}
