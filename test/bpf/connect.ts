import { execFileSync } from 'node:child_process';

/** A port of our own per test process: nobody listens there, and programs that watch it see us only. */
export const FREE_PORT: number = 20_000 + (process.pid % 10_000);

/** Calls connect(2) on UDP sockets in a child process; done when this returns. */
export function connectTo(port: number, times: number): void {
  const script = `for ((i = 0; i < ${times}; i++)); do exec 3<>/dev/udp/127.0.0.1/${port}; done`;
  execFileSync('bash', ['-c', script]);
}
