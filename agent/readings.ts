/**
 * What the agent can be asked: the shapes that `/v1/*`, the command line and `/metrics` are made from.
 * Bytes and packets are integers, times are ISO 8601 in UTC, rates are bytes per second.
 */

export type Direction = 'rx' | 'tx';
export type Verdict = 'none' | 'suspected' | 'relay';
export type Role = 'third-party' | 'service' | 'own';
/** `other` is everything that is neither TCP (MPTCP included) nor UDP: ICMP, raw IP, AF_PACKET. */
export type Protocol = 'tcp' | 'udp' | 'other';
/** Where the peer is: on this host, on a private or link-local network, or on a public address. */
export type Scope = 'loopback' | 'private' | 'public';

export interface WireTraffic {
  receivedBytes: number;
  sentBytes: number;
  receivedPackets: number;
  sentPackets: number;
}

export interface PayloadTraffic {
  receivedBytes: number;
  sentBytes: number;
}

/** Payload split by transport and by where the peer is; the sum over all rows is `traffic.payload`. */
export interface PayloadShare extends PayloadTraffic {
  protocol: Protocol;
  scope: Scope;
}

export interface Relay {
  verdict: Verdict;
  role: Role | null;
  /** Payload bytes received to be passed on. */
  receivedBytes: number;
  /** Payload bytes passed on. */
  sentBytes: number;
  /** 0 to 1: of verdicts at 0.9, nine in ten are right. */
  confidence: number;
  since: string | null;
}

export interface Process {
  pid: number;
  startedAt: string;
  exitedAt: string | null;
  /** The kernel's comm, at most 15 characters, as last seen. */
  name: string;
  executable: string | null;
  command: string;
  user: string | null;
  uid: number;
  parentPid: number | null;
  app: string;
  unit: string | null;
  container: string | null;
  profile: string | null;
  /** Ports that its own settings have it listen on, whether it does or not; absent where they can't be read. */
  configuredPorts?: number[];
  /** Inode of the process's network namespace, as in /proc/PID/ns/net; null where it is not known. */
  netns: number | null;
  traffic: { wire: WireTraffic; payload: PayloadTraffic };
  payloadShares: PayloadShare[];
  /** Only on the reserved process 0: where the packets without an owner come from. */
  unattributed?: UnattributedTraffic[];
  relay: Relay;
}

export interface UnattributedTraffic extends WireTraffic {
  reason: string;
}

/** One application: all its processes, ended ones included, monotonic for the life of the store. */
export interface App {
  app: string;
  processes: number;
  traffic: { wire: WireTraffic; payload: PayloadTraffic };
  payloadShares: PayloadShare[];
  relay: Relay;
}

/** One socket, as `netstat -apln` would show it, with its bytes. */
export interface Socket {
  /** The kernel's socket cookie, as `ss -e` shows it (sk:…), in hexadecimal. */
  cookie: string;
  pid: number;
  startedAt: string | null;
  name: string;
  app: string;
  protocol: 'tcp' | 'udp' | 'icmp' | 'raw' | 'packet' | 'mptcp' | 'other';
  family: 4 | 6 | null;
  state: string;
  localAddress: string;
  localPort: number;
  /** null where the socket has no peer (listening, unconnected). */
  remoteAddress: string | null;
  remotePort: number | null;
  inode: number | null;
  netns: number;
  uid: number;
  scope: Scope | null;
  payload: PayloadTraffic;
}

/** A flow is (socket, peer): an unconnected UDP socket has one for each peer it talks with. */
export interface Flow {
  cookie: string;
  pid: number;
  startedAt: string | null;
  name: string;
  app: string;
  protocol: Protocol;
  localAddress: string;
  localPort: number;
  remoteAddress: string;
  remotePort: number;
  scope: Scope;
  payload: PayloadTraffic;
  lastActiveAt: string | null;
}

export interface RelayPeer {
  /** null for AF_UNIX and pipes. */
  address: string | null;
  port: number | null;
  protocol: Protocol | 'unix' | 'pipe';
  scope: Scope;
}

/** One direction in which a process relays, or is suspected to, with the evidence. */
export interface RelayReading {
  pid: number;
  name: string;
  app: string;
  verdict: 'suspected' | 'relay';
  role: Role | null;
  /** 0 to 1: of verdicts at 0.9, nine in ten are right. */
  confidence: number;
  since: string;
  /** How it relays, in a word. */
  kind: string;
  /** Why it is judged so, in words. */
  why: string;
  /** The most important peers that it receives from, and how many there are. */
  from: RelayPeer[];
  fromCount: number;
  to: RelayPeer[];
  toCount: number;
  /** Billed. */
  receivedBytes: number;
  sentBytes: number;
  /** Proven byte by byte; and the most that it can be. */
  lowerBytes: number;
  upperBytes: number;
  /** Left out of all but `upperBytes`: a tunnel's headers and empty acknowledgements, where its datagrams show them. */
  overheadBytes: number;
  /** How often each byte went out: 1 but for brokers and conferences. */
  fanOut: number;
  /** Of what came in and what went out, the share that is the same bytes, on the side where it is less. */
  conservation: number;
  /** 0.5: sends come at random; 1: right after the receives. */
  auc: number;
  lagMedianMs: number;
  /** Sends that were matched with a receive. */
  events: number;
  /** Only where content was compared: the option `fingerprints`. */
  fingerprints?: FingerprintReading;
}

/** Sampled pieces of content that were compared, by keyed hashes. */
export interface FingerprintReading {
  receivedPieces: number;
  sentPieces: number;
  /** Of those sent: they had come in before, on what it relays from. */
  matchedPieces: number;
}

export interface ProgramStatus {
  name: string;
  hook: string;
  attached: boolean;
  /** Run count and mean ns per run since load; null unless kernel.bpf_stats_enabled is 1. */
  runCount: number | null;
  nanosecondsPerRun: number | null;
}

export interface MapStatus {
  name: string;
  type: string;
  entries: number | null;
  capacity: number;
  bytes: number;
}

export interface MissingFeature {
  feature: string;
  /** What is lost without it, in words. */
  consequence: string;
  reason: string;
}

/** One interface's books: what the kernel's own counter says against what our programs saw pass. */
export interface InterfaceReconciliation {
  netns: number;
  netnsName: string | null;
  interface: string;
  direction: Direction;
  /** The interface counter's advance since accounting began there, link headers included. */
  interfaceBytes: number;
  interfacePackets: number;
  /** The same packets as our device hooks saw them, counted the way this device counts. */
  seenBytes: number;
  seenPackets: number;
  /** interfaceBytes - seenBytes. */
  errorBytes: number;
}

/** One namespace's double entry: processes + kernel = interfaces less link headers. */
export interface Reconciliation {
  direction: Direction;
  interfacesBytes: number;
  processesBytes: number;
  kernelBytes: number;
  /** interfacesBytes - processesBytes - kernelBytes. */
  errorBytes: number;
}

/** How the comparison of content is doing; pieces and bytes since the agent started. */
export interface FingerprintStatus extends FingerprintReading {
  /** Its programs are attached while anybody is suspected. */
  attached: boolean;
  /** Suspected pairs of flows that are looked at, and those that there is no room for. */
  pairs: number;
  pairsWaiting: number;
  /** Came in, and had to make room before they were looked for long enough. */
  evictedPieces: number;
  /** Payload of those pairs beyond what is looked at in a second. */
  skippedBytes: number;
}

export interface Status {
  version: string;
  kernel: string;
  startedAt: string;
  /** When the pinned programs began to count; earlier than startedAt where this agent adopted them. */
  accountingSince: string;
  adopted: boolean;
  programs: ProgramStatus[];
  maps: MapStatus[];
  /** Events that could not be recorded, by reason; all zero on a healthy host. */
  lost: { reason: string; count: number }[];
  unattributed: UnattributedTraffic[];
  missing: MissingFeature[];
  interfaces: InterfaceReconciliation[];
  reconciliation: Reconciliation[];
  poll: { count: number; lastSeconds: number; intervalSeconds: number };
  processes: {
    live: number;
    /** Those that are remembered. */
    exited: number;
    /** Of the kernel's table, which holds the live ones, and ended ones for a minute. */
    capacity: number;
    /** Ended ones that were forgotten before their 15 minutes were over, because there were too many. */
    forgottenEarly: number;
  };
  /** null where the option `fingerprints` is off. */
  fingerprints: FingerprintStatus | null;
}

export interface AgentEvent {
  id: number;
  at: string;
  type: string;
  data: Record<string, unknown>;
}

/** The door through which the API reads the agent. Every call answers from one consistent poll. */
export interface Readings {
  /** True once every program is attached and the first poll has ended. */
  ready(): boolean;
  status(): Status;
  /** Live processes that touched the network, the reserved process 0, and with `includeExited` those that ended lately. */
  processes(options?: { includeExited?: boolean }): Process[];
  /** The live process with this pid, else the last one that had it and is still remembered. */
  process(pid: number): Process | undefined;
  sockets(pid?: number): Socket[];
  flows(pid?: number): Flow[];
  apps(): App[];
  relays(): RelayReading[];
  /** Prometheus text format, or OpenMetrics where `openMetrics` is set. */
  metrics(openMetrics: boolean): Promise<string>;
  /** Calls back for every event until the returned function is called. */
  subscribe(listener: (event: AgentEvent) => void): () => void;
}
