import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';

export interface Answer<T> {
  status: number;
  body: T;
}

/** Asks the API over the agent's Unix socket, as root. */
export async function askUnix<T = Record<string, unknown>>(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<Answer<T>> {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const headers = payload === undefined ? {} : { 'content-type': 'application/json' };
  const sent = request({ socketPath, method, path, headers, agent: false });
  sent.end(payload);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode ?? 0, body: JSON.parse(text) as T };
}
