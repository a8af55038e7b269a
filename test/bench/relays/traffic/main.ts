/**
 * One end of the benchmark's traffic: `main.ts END JSON`. Counts every payload byte that it hands to or gets from the
 * program under test, and prints the sums as one line of JSON: a client when it is done, a server at SIGTERM.
 */
import { callClient, callServer, dnsClient } from './datagrams.ts';
import { httpClient, httpServer } from './http.ts';
import { reach, type TcpClientOptions, tcpClient, tcpServer } from './streams.ts';
import { tally } from './tally.ts';

// biome-ignore lint/suspicious/noExplicitAny: each end knows its own options
const ENDS: Readonly<Record<string, (options: any) => Promise<void>>> = {
  'tcp-server': tcpServer,
  'tcp-client': tcpClient,
  // Several to different servers, in one process.
  'tcp-clients': async (list: TcpClientOptions[]) => void (await Promise.all(list.map(tcpClient))),
  'http-server': httpServer,
  'http-client': httpClient,
  'call-server': callServer,
  'call-client': callClient,
  'dns-client': dnsClient,
  reach,
};

const [name = '', text = '{}'] = process.argv.slice(2);
const run = ENDS[name];
if (run === undefined) throw new Error(`there is no ${name}: ${Object.keys(ENDS).join(', ')}`);
const options = JSON.parse(text) as { own?: boolean };

function finish(): never {
  process.stdout.write(`${JSON.stringify({ ...tally.sums(), own: options.own === true })}\n`);
  process.exit(0);
}

process.on('SIGTERM', finish);
await run(options);
if (!name.endsWith('-server')) finish();
