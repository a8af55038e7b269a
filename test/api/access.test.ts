import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { isHostAllowed, isLoopbackAddress } from '../../api/access.ts';
import type { Token } from '../../api/tokens.ts';
import { findToken, parseTokens, readTokenFile } from '../../api/tokens.ts';
import { ask, listenEverywhere, makeFolder, startServer } from './fixture.ts';

const readToken = 'read-token-0123456789';
const controlToken = 'control-token-0123456789+/==';
const tokenText = `# who may read\n\nprometheus read ${readToken}\n  admin\tcontrol ${controlToken}  \n`;
const remote = '192.0.2.7';

t.test('a token file gives names, roles and digests, never the tokens themselves', async (t) => {
  const tokens = parseTokens(tokenText);
  t.match(tokens, [
    { name: 'prometheus', role: 'read' },
    { name: 'admin', role: 'control' },
  ]);
  t.notMatch(JSON.stringify(tokens), /0123456789/);
  t.equal(findToken(tokens, readToken)?.name, 'prometheus');
  t.equal(findToken(tokens, controlToken)?.name, 'admin');
  for (const wrong of ['', readToken.slice(1), `${readToken}x`, readToken.toUpperCase()]) {
    t.equal(findToken(tokens, wrong), undefined, wrong);
  }
});

t.test('a token file with a mistake is refused with its line and without the token', async (t) => {
  const cases: [string, RegExp][] = [
    ['', /no token/],
    ['# only a comment\n', /no token/],
    [`prometheus ${readToken}`, /line 1: must be NAME ROLE TOKEN/],
    [`\n\na b c d`, /line 3: must be NAME ROLE TOKEN/],
    [`prometheus write ${readToken}`, /line 1: the role must be read or control/],
    ['prometheus read short', /line 1: the token must have at least 16/],
    [`prometheus read ${readToken}"`, /line 1: the token must have/],
    [`pro/me read ${readToken}`, /line 1: the name/],
    [`a read ${readToken}\na read ${controlToken}`, /line 2: the name a is there twice/],
  ];
  for (const [text, message] of cases) {
    t.throws(() => parseTokens(text), { code: 'token-file-invalid', message }, text);
    try {
      parseTokens(text);
    } catch (error) {
      t.notMatch((error as Error).message, /0123456789/, text);
    }
  }
});

t.test('a token file that everybody may read is refused', async (t) => {
  const path = join(await makeFolder(t), 'tokens');
  await writeFile(path, tokenText);
  await chmod(path, 0o644);
  await t.rejects(readTokenFile(path), { code: 'token-file-invalid', message: /chmod 600/ });
  await chmod(path, 0o640);
  t.equal((await readTokenFile(path)).length, 2);
  await t.rejects(readTokenFile(`${path}-missing`), { code: 'token-file-invalid', message: /ENOENT/ });
});

t.test('which addresses are loopback', async (t) => {
  for (const yes of ['127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1', '::FFFF:127.0.0.1']) {
    t.ok(isLoopbackAddress(yes), yes);
  }
  for (const no of ['', '0.0.0.0', '::', '10.0.0.1', '127.example.org', '128.0.0.1', '::ffff:10.0.0.1', 'localhost']) {
    t.notOk(isLoopbackAddress(no), no);
  }
});

t.test('which Host headers are this host', async (t) => {
  const yes = [
    'localhost',
    'LOCALHOST:9745',
    'localhost.',
    '127.0.0.1',
    '127.0.0.1:80',
    '[::1]',
    '[::1]:9745',
    'box:1',
  ];
  for (const header of yes) t.ok(isHostAllowed(header, ['box']), header);
  const no = [
    undefined,
    '',
    ':80',
    'example.org',
    'localhost.example.org',
    'localhost:x',
    'localhost@example.org',
    'example.org#localhost',
    '127.0.0.1.example.org',
    '10.0.0.1',
    '[::2]',
    '::1',
    'localhost, example.org',
    'box2',
  ];
  for (const header of no) t.notOk(isHostAllowed(header, ['box']), `${header}`);
});

t.test('a page that rebinds its name to this host is refused over loopback, and only there', async (t) => {
  const { url, socketPath, server } = await listenEverywhere(t, { hostNames: ['Box.Example'] });
  const refused = await ask({ url }, '/v1/processes', { host: 'evil.example' });
  t.equal(refused.status, 421);
  t.match(JSON.parse(refused.text), { code: 'host-not-allowed' });
  t.notMatch(refused.text, /socat/);
  t.equal((await ask({ url }, '/docs', { host: 'evil.example' })).status, 421);
  t.equal((await ask({ url }, '/v1/processes', { host: 'localhost' })).status, 200);
  t.equal((await ask({ url }, '/v1/processes', { host: 'box.example:80' })).status, 200);
  t.equal((await ask({ socketPath }, '/v1/processes', { host: 'evil.example' })).status, 200);
  t.equal((await server.app.inject({ url: '/v1/processes', headers: { host: 'evil.example' } })).statusCode, 421);
});

t.test('from another host reading takes a token of any role; health takes none', async (t) => {
  const { app } = startServer(t, { tokens: parseTokens(tokenText) });
  const cases: [string, string | undefined, number, string?][] = [
    ['/v1/processes', undefined, 401, 'token-required'],
    ['/v1/processes', '', 401, 'token-required'],
    ['/v1/processes', 'Bearer', 401, 'token-invalid'],
    ['/v1/processes', 'Bearer ', 401, 'token-invalid'],
    ['/v1/processes', 'Bearer wrong-token-0123456789', 401, 'token-invalid'],
    ['/v1/processes', `Basic ${readToken}`, 401, 'token-invalid'],
    ['/v1/processes', `Bearer ${readToken} ${readToken}`, 401, 'token-invalid'],
    ['/v1/processes', `Bearer ${readToken}`, 200],
    ['/v1/processes', `bearer  ${readToken}`, 200],
    ['/v1/processes', `Bearer ${controlToken}`, 200],
    ['/metrics', undefined, 401, 'token-required'],
    ['/metrics', `Bearer ${readToken}`, 200],
    ['/openapi.json', undefined, 401, 'token-required'],
    ['/docs', undefined, 401, 'token-required'],
    ['/docs/static/swagger-ui.css', undefined, 401, 'token-required'],
    ['/nothing', undefined, 401, 'token-required'],
    ['/healthz', undefined, 200],
    ['/readyz', undefined, 200],
    ['/healthz?x', undefined, 400, 'invalid-parameter'],
    ['//healthz', undefined, 401, 'token-required'],
    ['/healthz/../v1/processes', undefined, 401, 'token-required'],
  ];
  for (const [url, authorization, status, code] of cases) {
    const name = `${url} ${authorization}`;
    const headers = authorization === undefined || authorization === '' ? {} : { authorization };
    const response = await app.inject({ url, headers: { host: 'box.example', ...headers }, remoteAddress: remote });
    t.equal(response.statusCode, status, name);
    if (code !== undefined) t.match(response.json(), { code }, name);
    if (status === 401) t.match(response.headers['www-authenticate'], /^Bearer realm=/, name);
  }
});

t.test('without a token file nobody on another host can read', async (t) => {
  const { app } = startServer(t);
  const response = await app.inject({
    url: '/v1/processes',
    headers: { authorization: 'Bearer ' },
    remoteAddress: remote,
  });
  t.equal(response.statusCode, 401);
});

t.test('over loopback and the Unix socket a token is not asked for', async (t) => {
  const { url, socketPath } = await listenEverywhere(t, { tokens: parseTokens(tokenText) });
  t.equal((await ask({ url }, '/v1/processes')).status, 200);
  t.equal((await ask({ socketPath }, '/v1/processes')).status, 200);
});

t.test('a request knows how it came and what its token may', async (t) => {
  const tokens: Token[] = parseTokens(tokenText);
  const socketFolder = await makeFolder(t);
  const server = startServer(t, { tokens });
  server.app.get('/test-peer', (request) => request.peer);
  const socketPath = join(socketFolder, 'api.sock');
  const { urls } = await server.listen({ tcp: ['127.0.0.1:0'], socketPath });
  const url = urls[0] ?? '';
  const peerOf = async (where: Parameters<typeof ask>[0], headers = {}): Promise<unknown> =>
    JSON.parse((await ask(where, '/test-peer', headers)).text);
  t.strictSame(await peerOf({ socketPath }), {
    transport: 'unix',
    local: true,
    token: null,
    credentials: null,
    address: null,
  });
  t.strictSame(await peerOf({ url }), {
    transport: 'tcp',
    local: true,
    token: null,
    credentials: null,
    address: '127.0.0.1',
  });
  t.strictSame(await peerOf({ url }, { authorization: `Bearer ${controlToken}` }), {
    transport: 'tcp',
    local: true,
    token: { name: 'admin', role: 'control' },
    credentials: null,
    address: '127.0.0.1',
  });
  const far = await server.app.inject({
    url: '/test-peer',
    remoteAddress: remote,
    headers: { authorization: `Bearer ${readToken}` },
  });
  t.strictSame(far.json(), {
    transport: 'tcp',
    local: false,
    token: { name: 'prometheus', role: 'read' },
    credentials: null,
    address: remote,
  });
});

t.test('guessing tokens from another host is slowed down; this host is not', async (t) => {
  const { app } = startServer(t, { tokens: parseTokens(tokenText) });
  const guess = async (remoteAddress: string): Promise<number> =>
    (
      await app.inject({
        url: '/v1/status',
        remoteAddress,
        headers: { authorization: 'Bearer wrong-token-0123456789' },
      })
    ).statusCode;
  let last = 0;
  for (let attempt = 0; attempt < 301; attempt += 1) last = await guess(remote);
  t.equal(last, 429);
  t.equal(await guess('192.0.2.8'), 401, 'each address by itself');
  for (let attempt = 0; attempt < 301; attempt += 1) last = (await app.inject('/healthz')).statusCode;
  t.equal(last, 200);
});
