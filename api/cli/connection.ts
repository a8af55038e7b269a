import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { Option } from 'commander';
import { ApiError, errorCode } from '../errors.ts';
import { ApiClient } from './client.ts';

export const defaultSocketPath = '/run/relayledger/api.sock';
export const defaultConfigPath = '/etc/relayledger/config.yaml';

/** The options with which every command that asks the agent finds it. */
export interface ConnectionOptions {
  socket?: string;
  url?: string;
  tokenFile?: string;
  config: string;
}

export function addConnectionOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--socket <path>', `the agent's Unix socket (default: ${defaultSocketPath})`).env(
        'RELAYLEDGER_SOCKET',
      ),
    )
    .addOption(new Option('--url <url>', 'ask an agent over HTTP instead').env('RELAYLEDGER_URL'))
    .addOption(
      new Option('--token-file <path>', 'with --url: file with a bearer token, or a token file of the agent').env(
        'RELAYLEDGER_TOKEN_FILE',
      ),
    )
    .addOption(
      new Option('--config <path>', 'configuration file, read for its socket')
        .env('RELAYLEDGER_CONFIG')
        .default(defaultConfigPath),
    );
}

/** The socket path that the agent's configuration file names, if there is such a file and it names one. */
async function configuredSocket(path: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const code = errorCode(error);
    const optional = path === defaultConfigPath && (code === 'ENOENT' || code === 'EACCES');
    if (optional) return undefined;
    throw new ApiError('config-invalid', `cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  const { parse } = await import('yaml');
  try {
    const { socket } = (parse(text) ?? {}) as { socket?: unknown };
    return typeof socket === 'string' ? socket : undefined;
  } catch (error) {
    throw new ApiError('config-invalid', `${path} is not YAML: ${(error as Error).message}`, { cause: error });
  }
}

/** The token in a file that holds only that, or the first one of an agent's token file (NAME ROLE TOKEN a line). */
async function readToken(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new ApiError('token-file-invalid', `cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  const line = text.split('\n').find((candidate) => /^\s*[^\s#]/.test(candidate)) ?? '';
  const words = line.trim().split(/\s+/);
  const token = words.length === 1 ? words[0] : words[2];
  if (token === undefined || token === '' || words.length > 3) {
    throw new ApiError('token-file-invalid', `there is no token in ${path}`);
  }
  return token;
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new ApiError('usage', `"${text}" is not a URL: write http://HOST:PORT`);
  }
  return url;
}

export interface Connection {
  client: ApiClient;
  /** null where the agent is asked by URL. */
  socketPath: string | null;
}

/** `policies --socket PATH remove NAME`: what stands before the inner command is meant for it too. */
function takeFromParent(command: Command): void {
  for (const name of ['socket', 'url', 'tokenFile', 'config', 'json']) {
    const { parent } = command;
    if (parent?.getOptionValueSource(name) !== 'cli' || command.getOptionValueSource(name) === 'cli') continue;
    command.setOptionValueWithSource(name, parent.getOptionValue(name), 'cli');
  }
}

/** The agent that a command's options, environment and configuration name. */
export async function connectionOf(command: Command): Promise<Connection> {
  takeFromParent(command);
  const options = command.opts<ConnectionOptions>();
  const socketFlag = command.getOptionValueSource('socket') === 'cli';
  const urlFlag = command.getOptionValueSource('url') === 'cli';
  if (socketFlag && urlFlag) throw new ApiError('usage', 'give --socket or --url, not both');
  if (options.url && !socketFlag) {
    const token = options.tokenFile ? await readToken(options.tokenFile) : undefined;
    return { client: new ApiClient({ url: parseUrl(options.url), token }), socketPath: null };
  }
  const socketPath = options.socket || (await configuredSocket(options.config)) || defaultSocketPath;
  return { client: new ApiClient({ socketPath }), socketPath };
}
