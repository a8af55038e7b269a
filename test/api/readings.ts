import type {
  AgentEvent,
  App,
  Flow,
  PayloadTraffic,
  Process,
  Readings,
  Relay,
  RelayPeer,
  RelayReading,
  Socket,
  Status,
  WireTraffic,
} from '../../agent/readings.ts';

/** Factories of readings with every member filled in; what a test is about it overrides. */

export function makePayload(override: Partial<PayloadTraffic> = {}): PayloadTraffic {
  return { receivedBytes: 1000, sentBytes: 2000, ...override };
}

export function makeWire(override: Partial<WireTraffic> = {}): WireTraffic {
  return { receivedBytes: 1572, sentBytes: 2572, receivedPackets: 11, sentPackets: 12, ...override };
}

export function makeRelay(override: Partial<Relay> = {}): Relay {
  return {
    verdict: 'none',
    role: null,
    receivedBytes: 0,
    sentBytes: 0,
    confidence: 0,
    since: null,
    ...override,
  };
}

export function makeProcess(override: Partial<Process> = {}): Process {
  return {
    pid: 4711,
    startedAt: '2026-11-22T05:00:00.000Z',
    exitedAt: null,
    name: 'socat',
    executable: '/usr/bin/socat',
    command: 'socat TCP-LISTEN:8000 TCP:10.0.0.2:9000',
    user: 'root',
    uid: 0,
    parentPid: 1,
    app: 'socat',
    unit: null,
    container: null,
    profile: null,
    netns: 4026531840,
    traffic: { wire: makeWire(), payload: makePayload() },
    payloadShares: [{ protocol: 'tcp', scope: 'private', ...makePayload() }],
    relay: makeRelay(),
    ...override,
  };
}

/** A process with this much payload received and sent, and relayed. */
export function makeBusyProcess(
  pid: number,
  bytes: { received?: number; sent?: number; relayed?: number },
  override: Partial<Process> = {},
): Process {
  const payload = makePayload({ receivedBytes: bytes.received ?? 0, sentBytes: bytes.sent ?? 0 });
  const relay = makeRelay({ receivedBytes: bytes.relayed ?? 0, sentBytes: bytes.relayed ?? 0 });
  return makeProcess({ pid, traffic: { wire: makeWire(), payload }, relay, ...override });
}

export function makeKernelRow(): Process {
  return makeProcess({
    pid: 0,
    name: 'kernel',
    app: 'kernel',
    executable: null,
    command: '',
    user: null,
    parentPid: null,
    netns: null,
    traffic: { wire: makeWire(), payload: makePayload({ receivedBytes: 0, sentBytes: 0 }) },
    payloadShares: [],
    unattributed: [{ reason: 'no-socket', ...makeWire() }],
  });
}

export function makeApp(override: Partial<App> = {}): App {
  return {
    app: 'socat',
    processes: 1,
    traffic: { wire: makeWire(), payload: makePayload() },
    payloadShares: [{ protocol: 'udp', scope: 'public', ...makePayload() }],
    relay: makeRelay({
      verdict: 'relay',
      role: 'third-party',
      receivedBytes: 10,
      sentBytes: 10,
      confidence: 0.9,
      since: '2026-11-22T05:00:05.000Z',
    }),
    ...override,
  };
}

export function makeSocket(override: Partial<Socket> = {}): Socket {
  return {
    cookie: '1f3a',
    pid: 4711,
    startedAt: '2026-11-22T05:00:00.000Z',
    name: 'socat',
    app: 'socat',
    protocol: 'tcp',
    family: 4,
    state: 'ESTABLISHED',
    localAddress: '10.0.0.1',
    localPort: 8000,
    remoteAddress: '10.0.0.2',
    remotePort: 51234,
    inode: 991234,
    netns: 4026531840,
    uid: 0,
    scope: 'private',
    payload: makePayload(),
    ...override,
  };
}

export function makeListener(override: Partial<Socket> = {}): Socket {
  return makeSocket({
    cookie: '1f39',
    state: 'LISTEN',
    localAddress: '0.0.0.0',
    remoteAddress: null,
    remotePort: null,
    scope: null,
    payload: makePayload({ receivedBytes: 0, sentBytes: 0 }),
    ...override,
  });
}

export function makeFlow(override: Partial<Flow> = {}): Flow {
  return {
    cookie: '1f3a',
    pid: 4711,
    startedAt: '2026-11-22T05:00:00.000Z',
    name: 'socat',
    app: 'socat',
    protocol: 'tcp',
    localAddress: '10.0.0.1',
    localPort: 8000,
    remoteAddress: '10.0.0.2',
    remotePort: 51234,
    scope: 'private',
    payload: makePayload(),
    lastActiveAt: '2026-11-22T05:00:01.000Z',
    ...override,
  };
}

export function makeRelayPeer(override: Partial<RelayPeer> = {}): RelayPeer {
  return { address: '192.0.2.7', port: 51234, protocol: 'tcp', scope: 'public', ...override };
}

export function makeRelayReading(override: Partial<RelayReading> = {}): RelayReading {
  return {
    pid: 4711,
    name: 'socat',
    app: 'socat',
    verdict: 'relay',
    role: 'third-party',
    confidence: 0.98,
    since: '2026-11-22T05:00:05.000Z',
    kind: 'causal',
    why: 'what comes in goes out again, and right after it came in',
    from: [makeRelayPeer()],
    fromCount: 1,
    to: [makeRelayPeer({ address: '198.51.100.2', port: 9000 })],
    toCount: 1,
    receivedBytes: 1_000_000,
    sentBytes: 1_000_000,
    lowerBytes: 999_000,
    upperBytes: 1_000_000,
    overheadBytes: 0,
    fanOut: 1,
    conservation: 0.999,
    auc: 0.98,
    lagMedianMs: 0.0512,
    events: 1234,
    ...override,
  };
}

export function makeStatus(override: Partial<Status> = {}): Status {
  return {
    version: '0.1.0',
    kernel: '6.1.0-28-amd64',
    startedAt: '2026-11-22T05:00:00.000Z',
    accountingSince: '2026-11-22T04:00:00.000Z',
    adopted: true,
    programs: [
      { name: 'count_egress', hook: 'cgroup_skb/egress', attached: true, runCount: 1000, nanosecondsPerRun: 58.5 },
      { name: 'count_ingress', hook: 'cgroup_skb/ingress', attached: true, runCount: null, nanosecondsPerRun: null },
    ],
    maps: [{ name: 'flows', type: 'lru_hash', entries: 17, capacity: 65536, bytes: 8388608 }],
    lost: [{ reason: 'flow-table-full', count: 0 }],
    unattributed: [{ reason: 'no-socket', ...makeWire() }],
    missing: [{ feature: 'fentry', consequence: 'splice is counted from packets', reason: 'EPERM' }],
    interfaces: [
      {
        netns: 4026531840,
        netnsName: null,
        interface: 'eth0',
        direction: 'rx',
        interfaceBytes: 100000,
        interfacePackets: 100,
        seenBytes: 100000,
        seenPackets: 100,
        errorBytes: 0,
      },
    ],
    reconciliation: [
      { direction: 'rx', interfacesBytes: 98600, processesBytes: 98000, kernelBytes: 600, errorBytes: 0 },
      { direction: 'tx', interfacesBytes: 50000, processesBytes: 49500, kernelBytes: 400, errorBytes: 100 },
    ],
    poll: { count: 60, lastSeconds: 0.004, intervalSeconds: 1 },
    processes: { live: 3, exited: 1, capacity: 65536, forgottenEarly: 0 },
    fingerprints: null,
    ...override,
  };
}

export interface FakeData {
  ready: boolean;
  status: Status;
  /** Live and ended ones. */
  processes: Process[];
  sockets: Socket[];
  flows: Flow[];
  apps: App[];
  relays: RelayReading[];
}

export interface FakeReadings extends Readings {
  /** Change it, and the next request sees it. */
  data: FakeData;
  emit(event: AgentEvent): void;
  subscriptions(): number;
}

export function makeReadings(override: Partial<FakeData> = {}): FakeReadings {
  const listeners = new Set<(event: AgentEvent) => void>();
  const data: FakeData = {
    ready: true,
    status: makeStatus(),
    processes: [makeKernelRow(), makeProcess()],
    sockets: [makeListener(), makeSocket()],
    flows: [makeFlow()],
    apps: [makeApp()],
    relays: [makeRelayReading()],
    ...override,
  };
  const ofPid = <Row extends { pid: number }>(rows: Row[], pid: number | undefined): Row[] =>
    rows.filter((row) => pid === undefined || row.pid === pid);
  return {
    data,
    ready: () => data.ready,
    status: () => data.status,
    processes: (options) =>
      data.processes.filter((process) => options?.includeExited === true || process.exitedAt === null),
    process: (pid) => data.processes.find((process) => process.pid === pid),
    sockets: (pid) => ofPid(data.sockets, pid),
    flows: (pid) => ofPid(data.flows, pid),
    apps: () => data.apps,
    relays: () => data.relays,
    metrics: async (openMetrics) => (openMetrics ? '# EOF\n' : 'relayledger_build_info 1\n'),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    emit(event) {
      for (const listener of listeners) listener(event);
    },
    subscriptions: () => listeners.size,
  };
}
