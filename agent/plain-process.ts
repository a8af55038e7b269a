import type { Process } from './readings.ts';

/** All parts of a process whose parts are made when they are read, as JSON needs them. */
export function plainProcess(process: Process): Process {
  const { configuredPorts } = process;
  return {
    pid: process.pid,
    startedAt: process.startedAt,
    exitedAt: process.exitedAt,
    name: process.name,
    executable: process.executable,
    command: process.command,
    user: process.user,
    uid: process.uid,
    parentPid: process.parentPid,
    app: process.app,
    unit: process.unit,
    container: process.container,
    profile: process.profile,
    ...(configuredPorts ? { configuredPorts: [...configuredPorts] } : {}),
    netns: process.netns,
    traffic: process.traffic,
    payloadShares: process.payloadShares,
    relay: process.relay,
  };
}
