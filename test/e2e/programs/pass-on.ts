/** Receives from one port of the loopback and sends to another: pass-on.ts FROM TO */
import { connect } from 'node:net';

const [from, to] = process.argv.slice(2).map((port) => connect(Number(port), '127.0.0.1').setNoDelay());
to?.once('connect', () => from?.on('data', (bytes) => to.write(bytes)));
