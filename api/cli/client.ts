import type { RequestOptions } from 'node:http';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { ApiError, errorCode } from '../errors.ts';
import type { ProblemBody } from '../problems.ts';

/** Where the agent is asked. */
export type Target = { socketPath: string } | { url: URL; token: string | undefined };

const timeoutMilliseconds = 20_000;

function unreachable(target: Target, error: Error): ApiError {
  const code = errorCode(error);
  const options = { cause: error };
  if ('url' in target) {
    return new ApiError('agent-not-running', `no agent answers at ${target.url.origin}: ${error.message}`, options);
  }
  const { socketPath } = target;
  if (code === 'EACCES' || code === 'EPERM') {
    return new ApiError('not-permitted', `${socketPath} may only be used by root: try again with sudo`, options);
  }
  if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTSOCK') {
    const advice = 'start one with "relayledger agent", or say where it is with --socket PATH';
    return new ApiError('agent-not-running', `no agent is running on ${socketPath}: ${advice}`, options);
  }
  return new ApiError('request-failed', `the agent on ${socketPath} did not answer: ${error.message}`, options);
}

interface Answer {
  status: number;
  text: string;
}

type Method = 'GET' | 'PUT' | 'POST' | 'DELETE';

function send(target: Target, method: Method, path: string, body: unknown): Promise<Answer> {
  const headers: Record<string, string> = { accept: 'application/json, application/problem+json' };
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const options: RequestOptions = { method, headers, agent: false, timeout: timeoutMilliseconds };
  const payload = body === undefined ? undefined : JSON.stringify(body);
  if (payload !== undefined) headers['content-type'] = 'application/json';
  let requestFunction = httpRequest;
  if ('url' in target) {
    if (target.token !== undefined) headers['authorization'] = `Bearer ${target.token}`;
    if (target.url.protocol === 'https:') requestFunction = httpsRequest;
    const { hostname, port } = target.url;
    Object.assign(options, { host: hostname.replace(/^\[|\]$/g, ''), port, path });
    headers['host'] = target.url.host;
  } else {
    Object.assign(options, { socketPath: target.socketPath, path });
    headers['host'] = 'localhost';
  }
  const request = requestFunction(options, (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('error', reject);
    response.on('end', () => {
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() });
    });
  });
  request.on('timeout', () => request.destroy(new Error(`no answer in ${timeoutMilliseconds / 1000} seconds`)));
  request.on('error', reject);
  request.end(payload);
  return promise;
}

/** Asks the agent's REST API; throws an ApiError whose code is the problem's, or says why there was no answer. */
export class ApiClient {
  #target: Target;

  constructor(target: Target) {
    this.#target = target;
  }

  get<T>(path: string): Promise<T> {
    return this.#ask('GET', path);
  }

  put<T>(path: string, body: unknown): Promise<T> {
    return this.#ask('PUT', path, body);
  }

  post<T>(path: string, body: unknown): Promise<T> {
    return this.#ask('POST', path, body);
  }

  delete<T>(path: string): Promise<T> {
    return this.#ask('DELETE', path);
  }

  async #ask<T>(method: Method, path: string, sent?: unknown): Promise<T> {
    let answer: Answer;
    try {
      answer = await send(this.#target, method, path, sent);
    } catch (error) {
      throw unreachable(this.#target, error as Error);
    }
    let body: unknown;
    try {
      body = JSON.parse(answer.text);
    } catch (error) {
      throw new ApiError('request-failed', 'what answered is not an agent: its answer is not JSON', { cause: error });
    }
    if (answer.status !== 200) {
      const problem = body as Partial<ProblemBody>;
      const detail = problem.detail ?? problem.title ?? `HTTP status ${answer.status}`;
      throw new ApiError(problem.code ?? 'request-failed', `the agent refused: ${detail}`);
    }
    return body as T;
  }
}
