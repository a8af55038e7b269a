// generated from BTF by bpf/generate-layouts.ts; don't edit
// biome-ignore-all format: as it is generated
import { readArray, readBytes, readText, readU64 } from './decode.ts';
import type { Layout } from './layout.ts';

/** `enum rl_direction` */
export const RlDirection = {
  rx: 0,
  tx: 1,
  directions: 2,
} as const;
export type RlDirection = (typeof RlDirection)[keyof typeof RlDirection];

/** `enum rl_early_term` */
export const RlEarlyTerm = {
  earlyName: 1,
  earlyExecutable: 2,
  earlyExecutableName: 4,
  earlyUid: 8,
} as const;
export type RlEarlyTerm = (typeof RlEarlyTerm)[keyof typeof RlEarlyTerm];

/** `enum rl_lost` */
export const RlLost = {
  process: 0,
  socket: 1,
  interface: 2,
  details: 3,
  event: 4,
  flow: 5,
  pair: 6,
  thread: 7,
  losses: 8,
} as const;
export type RlLost = (typeof RlLost)[keyof typeof RlLost];

/** `enum rl_policy_flag` */
export const RlPolicyFlag = {
  policyRelay: 1,
  policySent: 2,
  policyReceived: 4,
  policyQuota: 8,
  policyQuotaThrottle: 16,
  policyQuotaDeny: 32,
  policyDenyInbound: 64,
  policyDenyOutbound: 128,
  policyReject: 256,
  policyEarly: 512,
  policyInstalled: 1024,
} as const;
export type RlPolicyFlag = (typeof RlPolicyFlag)[keyof typeof RlPolicyFlag];

/** `enum rl_process_event_type` */
export const RlProcessEventType = {
  processSeen: 0,
  processExec: 1,
  processExit: 2,
} as const;
export type RlProcessEventType = (typeof RlProcessEventType)[keyof typeof RlProcessEventType];

/** `enum rl_protocol` */
export const RlProtocol = {
  tcp: 0,
  udp: 1,
  other: 2,
  protocols: 3,
} as const;
export type RlProtocol = (typeof RlProtocol)[keyof typeof RlProtocol];

/** `enum rl_scope` */
export const RlScope = {
  loopback: 0,
  private: 1,
  public: 2,
  scopes: 3,
} as const;
export type RlScope = (typeof RlScope)[keyof typeof RlScope];

/** `enum rl_unattributed` */
export const RlUnattributed = {
  kernelSocket: 0,
  unclaimed: 1,
  late: 2,
  tableFull: 3,
  unsent: 4,
  unattributed: 5,
} as const;
export type RlUnattributed = (typeof RlUnattributed)[keyof typeof RlUnattributed];

/** `struct rl_allowance`, 192 bytes. */
export interface RlAllowance {
  readonly usedUntilNs: bigint;
  readonly passedBytes: number;
  readonly fairCost: number;
  readonly limitRate: number;
  readonly epochEndsNs: bigint;
  readonly tick: number;
  readonly tickNs: bigint;
  readonly epoch: number;
  readonly activeFlows: number;
  readonly throttledBytes: number;
  readonly lastHeldBackNs: bigint;
  readonly fairRate: number;
  readonly activeStreams: number;
  readonly presentStreams: number;
  readonly presentFlows: number;
  readonly epochDrops: number;
  readonly epochBeganNs: bigint;
  readonly epochPassedBytes: number;
  readonly droppedPackets: number;
  readonly deniedPackets: number;
  readonly quotaPackets: number;
  readonly epochPacketBytes: number;
}
export const RL_ALLOWANCE_SIZE = 192;
export const RL_ALLOWANCE_OFFSET = {
  usedUntilNs: 0,
  passedBytes: 8,
  fairCost: 16,
  limitRate: 24,
  epochEndsNs: 32,
  tick: 40,
  tickNs: 48,
  epoch: 56,
  activeFlows: 60,
  throttledBytes: 64,
  lastHeldBackNs: 72,
  fairRate: 80,
  activeStreams: 88,
  presentStreams: 92,
  presentFlows: 96,
  epochDrops: 100,
  epochBeganNs: 104,
  epochPassedBytes: 112,
  droppedPackets: 120,
  deniedPackets: 128,
  quotaPackets: 136,
  epochPacketBytes: 144,
} as const;
export function readRlAllowance(view: DataView, offset: number): RlAllowance {
  return {
    usedUntilNs: view.getBigUint64(offset, true),
    passedBytes: readU64(view, offset + 8),
    fairCost: readU64(view, offset + 16),
    limitRate: readU64(view, offset + 24),
    epochEndsNs: view.getBigUint64(offset + 32, true),
    tick: readU64(view, offset + 40),
    tickNs: view.getBigUint64(offset + 48, true),
    epoch: view.getUint32(offset + 56, true),
    activeFlows: view.getUint32(offset + 60, true),
    throttledBytes: readU64(view, offset + 64),
    lastHeldBackNs: view.getBigUint64(offset + 72, true),
    fairRate: readU64(view, offset + 80),
    activeStreams: view.getUint32(offset + 88, true),
    presentStreams: view.getUint32(offset + 92, true),
    presentFlows: view.getUint32(offset + 96, true),
    epochDrops: view.getUint32(offset + 100, true),
    epochBeganNs: view.getBigUint64(offset + 104, true),
    epochPassedBytes: readU64(view, offset + 112),
    droppedPackets: readU64(view, offset + 120),
    deniedPackets: readU64(view, offset + 128),
    quotaPackets: readU64(view, offset + 136),
    epochPacketBytes: view.getUint32(offset + 144, true),
  };
}

/** `struct rl_datagram_port`, 8 bytes. */
export interface RlDatagramPort {
  readonly netns: number;
  readonly port: number;
  readonly family: number;
}
export const RL_DATAGRAM_PORT_SIZE = 8;
export const RL_DATAGRAM_PORT_OFFSET = {
  netns: 0,
  port: 4,
  family: 6,
} as const;
export function readRlDatagramPort(view: DataView, offset: number): RlDatagramPort {
  return {
    netns: view.getUint32(offset, true),
    port: view.getUint16(offset + 4, true),
    family: view.getUint16(offset + 6, true),
  };
}

/** `struct rl_datagram_socket`, 24 bytes. */
export interface RlDatagramSocket {
  readonly cookie: bigint;
  readonly slot: number;
  readonly generation: number;
  readonly shared: number;
}
export const RL_DATAGRAM_SOCKET_SIZE = 24;
export const RL_DATAGRAM_SOCKET_OFFSET = {
  cookie: 0,
  slot: 8,
  generation: 12,
  shared: 16,
} as const;
export function readRlDatagramSocket(view: DataView, offset: number): RlDatagramSocket {
  return {
    cookie: view.getBigUint64(offset, true),
    slot: view.getUint32(offset + 8, true),
    generation: view.getUint32(offset + 12, true),
    shared: view.getUint32(offset + 16, true),
  };
}

/** `struct rl_destroy`, 16 bytes. */
export interface RlDestroy {
  readonly slot: number;
  readonly generation: number;
  readonly ruledOnly: number;
  readonly destroyed: number;
}
export const RL_DESTROY_SIZE = 16;
export const RL_DESTROY_OFFSET = {
  slot: 0,
  generation: 4,
  ruledOnly: 8,
  destroyed: 12,
} as const;
export function readRlDestroy(view: DataView, offset: number): RlDestroy {
  return {
    slot: view.getUint32(offset, true),
    generation: view.getUint32(offset + 4, true),
    ruledOnly: view.getUint32(offset + 8, true),
    destroyed: view.getUint32(offset + 12, true),
  };
}

/** `struct rl_fifo`, 16 bytes. */
export interface RlFifo {
  readonly inode: number;
  readonly modes: number;
}
export const RL_FIFO_SIZE = 16;
export const RL_FIFO_OFFSET = {
  inode: 0,
  modes: 8,
} as const;
export function readRlFifo(view: DataView, offset: number): RlFifo {
  return {
    inode: readU64(view, offset),
    modes: view.getUint32(offset + 8, true),
  };
}

/** `struct rl_flow`, 624 bytes. */
export interface RlFlow {
  readonly firstNs: bigint;
  readonly generation: number;
  readonly closed: number;
  readonly expired: number;
  readonly sent: number;
  readonly unmatched: number;
  readonly selfMatched: number;
  readonly firstSource: number;
  readonly lastSendNs: bigint;
  readonly sends: number;
  readonly gaps: readonly number[];
  readonly receivedSizes: readonly number[];
  readonly sentSizes: readonly number[];
  readonly tunnelSizes: readonly number[];
  readonly first: RlPair;
  readonly outgo: RlOutgo;
  readonly hostHash: bigint;
  readonly cookie: bigint;
  readonly localSocket: bigint;
  readonly remoteSocket: bigint;
  readonly slot: number;
  readonly processGeneration: number;
  readonly netns: number;
  readonly family: number;
  readonly protocol: number;
  readonly localPort: number;
  readonly remotePort: number;
  readonly opened: number;
  readonly scope: number;
  readonly localAddress: Uint8Array;
  readonly remoteAddress: Uint8Array;
}
export const RL_FLOW_SIZE = 624;
export const RL_FLOW_OFFSET = {
  firstNs: 0,
  generation: 8,
  closed: 12,
  expired: 16,
  sent: 24,
  unmatched: 32,
  selfMatched: 40,
  firstSource: 48,
  lastSendNs: 56,
  sends: 64,
  gaps: 68,
  receivedSizes: 172,
  sentSizes: 204,
  tunnelSizes: 236,
  first: 272,
  outgo: 472,
  hostHash: 536,
  cookie: 544,
  localSocket: 552,
  remoteSocket: 560,
  slot: 568,
  processGeneration: 572,
  netns: 576,
  family: 580,
  protocol: 582,
  localPort: 584,
  remotePort: 586,
  opened: 588,
  scope: 589,
  localAddress: 592,
  remoteAddress: 608,
} as const;
export function readRlFlow(view: DataView, offset: number): RlFlow {
  return {
    firstNs: view.getBigUint64(offset, true),
    generation: view.getUint32(offset + 8, true),
    closed: view.getUint32(offset + 12, true),
    expired: readU64(view, offset + 16),
    sent: readU64(view, offset + 24),
    unmatched: readU64(view, offset + 32),
    selfMatched: readU64(view, offset + 40),
    firstSource: readU64(view, offset + 48),
    lastSendNs: view.getBigUint64(offset + 56, true),
    sends: view.getUint32(offset + 64, true),
    gaps: readArray(26, (i) => view.getUint32(offset + 68 + i * 4, true)),
    receivedSizes: readArray(16, (i) => view.getUint16(offset + 172 + i * 2, true)),
    sentSizes: readArray(16, (i) => view.getUint16(offset + 204 + i * 2, true)),
    tunnelSizes: readArray(9, (i) => view.getUint32(offset + 236 + i * 4, true)),
    first: readRlPair(view, offset + 272),
    outgo: readRlOutgo(view, offset + 472),
    hostHash: view.getBigUint64(offset + 536, true),
    cookie: view.getBigUint64(offset + 544, true),
    localSocket: view.getBigUint64(offset + 552, true),
    remoteSocket: view.getBigUint64(offset + 560, true),
    slot: view.getUint32(offset + 568, true),
    processGeneration: view.getUint32(offset + 572, true),
    netns: view.getUint32(offset + 576, true),
    family: view.getUint16(offset + 580, true),
    protocol: view.getUint16(offset + 582, true),
    localPort: view.getUint16(offset + 584, true),
    remotePort: view.getUint16(offset + 586, true),
    opened: view.getUint8(offset + 588),
    scope: view.getUint8(offset + 589),
    localAddress: readBytes(view, offset + 592, 16),
    remoteAddress: readBytes(view, offset + 608, 16),
  };
}

/** `struct rl_held`, 160 bytes. */
export interface RlHeld {
  readonly shares: readonly (readonly RlShare[])[];
  readonly ownPacing: number;
  readonly pacing: number;
  readonly clamp: number;
  readonly window: number;
  readonly ownWindow: number;
  readonly isWide: number;
}
export const RL_HELD_SIZE = 160;
export const RL_HELD_OFFSET = {
  shares: 0,
  ownPacing: 128,
  pacing: 136,
  clamp: 140,
  window: 144,
  ownWindow: 148,
  isWide: 152,
} as const;
export function readRlHeld(view: DataView, offset: number): RlHeld {
  return {
    shares: readArray(2, (i) => readArray(4, (j) => readRlShare(view, offset + i * 64 + j * 16))),
    ownPacing: readU64(view, offset + 128),
    pacing: view.getUint32(offset + 136, true),
    clamp: view.getUint32(offset + 140, true),
    window: view.getUint32(offset + 144, true),
    ownWindow: view.getUint32(offset + 148, true),
    isWide: view.getUint32(offset + 152, true),
  };
}

/** `struct rl_income`, 64 bytes. */
export interface RlIncome {
  readonly credit: number;
  readonly lastReceiveNs: bigint;
  readonly received: number;
  readonly generation: number;
  readonly host: number;
  readonly lastReceiveBytes: number;
  readonly lastRun: number;
  readonly listed: number;
  readonly gaps: Uint8Array;
}
export const RL_INCOME_SIZE = 64;
export const RL_INCOME_OFFSET = {
  credit: 0,
  lastReceiveNs: 8,
  received: 16,
  generation: 24,
  host: 28,
  lastReceiveBytes: 32,
  lastRun: 36,
  listed: 40,
  gaps: 44,
} as const;
export function readRlIncome(view: DataView, offset: number): RlIncome {
  return {
    credit: readU64(view, offset),
    lastReceiveNs: view.getBigUint64(offset + 8, true),
    received: readU64(view, offset + 16),
    generation: view.getUint32(offset + 24, true),
    host: view.getUint32(offset + 28, true),
    lastReceiveBytes: view.getUint32(offset + 32, true),
    lastRun: view.getUint32(offset + 36, true),
    listed: view.getUint32(offset + 40, true),
    gaps: readBytes(view, offset + 44, 20),
  };
}

/** `struct rl_interface`, 192 bytes. */
export interface RlInterface {
  readonly key: RlInterfaceKey;
  readonly direction: readonly RlInterfaceDirection[];
}
export const RL_INTERFACE_SIZE = 192;
export const RL_INTERFACE_OFFSET = {
  key: 0,
  direction: 16,
} as const;
export function readRlInterface(view: DataView, offset: number): RlInterface {
  return {
    key: readRlInterfaceKey(view, offset),
    direction: readArray(2, (i) => readRlInterfaceDirection(view, offset + 16 + i * 88)),
  };
}

/** `struct rl_interface_baseline`, 32 bytes. */
export interface RlInterfaceBaseline {
  readonly rxBytes: number;
  readonly rxPackets: number;
  readonly txBytes: number;
  readonly txPackets: number;
}
export const RL_INTERFACE_BASELINE_SIZE = 32;
export const RL_INTERFACE_BASELINE_OFFSET = {
  rxBytes: 0,
  rxPackets: 8,
  txBytes: 16,
  txPackets: 24,
} as const;
export function readRlInterfaceBaseline(view: DataView, offset: number): RlInterfaceBaseline {
  return {
    rxBytes: readU64(view, offset),
    rxPackets: readU64(view, offset + 8),
    txBytes: readU64(view, offset + 16),
    txPackets: readU64(view, offset + 24),
  };
}

/** `struct rl_interface_direction`, 88 bytes. */
export interface RlInterfaceDirection {
  readonly deviceBytes: number;
  readonly devicePackets: number;
  readonly segmentedBytes: number;
  readonly ip: RlWire;
  readonly nonIp: RlWire;
  readonly forwarded: RlWire;
  readonly loopedPackets: number;
}
export const RL_INTERFACE_DIRECTION_SIZE = 88;
export const RL_INTERFACE_DIRECTION_OFFSET = {
  deviceBytes: 0,
  devicePackets: 8,
  segmentedBytes: 16,
  ip: 24,
  nonIp: 40,
  forwarded: 56,
  loopedPackets: 72,
} as const;
export function readRlInterfaceDirection(view: DataView, offset: number): RlInterfaceDirection {
  return {
    deviceBytes: readU64(view, offset),
    devicePackets: readU64(view, offset + 8),
    segmentedBytes: readU64(view, offset + 16),
    ip: readRlWire(view, offset + 24),
    nonIp: readRlWire(view, offset + 40),
    forwarded: readRlWire(view, offset + 56),
    loopedPackets: readU64(view, offset + 72),
  };
}

/** `struct rl_interface_key`, 16 bytes. */
export interface RlInterfaceKey {
  readonly netCookie: bigint;
  readonly ifindex: number;
}
export const RL_INTERFACE_KEY_SIZE = 16;
export const RL_INTERFACE_KEY_OFFSET = {
  netCookie: 0,
  ifindex: 8,
} as const;
export function readRlInterfaceKey(view: DataView, offset: number): RlInterfaceKey {
  return {
    netCookie: view.getBigUint64(offset, true),
    ifindex: view.getUint32(offset + 8, true),
  };
}

/** `struct rl_interface_name`, 56 bytes. */
export interface RlInterfaceName {
  readonly netns: number;
  readonly type: number;
  readonly hardHeaderLength: number;
  readonly name: string;
  readonly driver: string;
  readonly kind: string;
}
export const RL_INTERFACE_NAME_SIZE = 56;
export const RL_INTERFACE_NAME_OFFSET = {
  netns: 0,
  type: 4,
  hardHeaderLength: 6,
  name: 8,
  driver: 24,
  kind: 40,
} as const;
export function readRlInterfaceName(view: DataView, offset: number): RlInterfaceName {
  return {
    netns: view.getUint32(offset, true),
    type: view.getUint16(offset + 4, true),
    hardHeaderLength: view.getUint16(offset + 6, true),
    name: readText(view, offset + 8, 16),
    driver: readText(view, offset + 24, 16),
    kind: readText(view, offset + 40, 16),
  };
}

/** `struct rl_limit`, 16 bytes. */
export interface RlLimit {
  readonly rateBytesPerSecond: number;
  readonly cost: number;
}
export const RL_LIMIT_SIZE = 16;
export const RL_LIMIT_OFFSET = {
  rateBytesPerSecond: 0,
  cost: 8,
} as const;
export function readRlLimit(view: DataView, offset: number): RlLimit {
  return {
    rateBytesPerSecond: readU64(view, offset),
    cost: readU64(view, offset + 8),
  };
}

/** `struct rl_listener`, 8 bytes. */
export interface RlListener {
  readonly netns: number;
  readonly port: number;
}
export const RL_LISTENER_SIZE = 8;
export const RL_LISTENER_OFFSET = {
  netns: 0,
  port: 4,
} as const;
export function readRlListener(view: DataView, offset: number): RlListener {
  return {
    netns: view.getUint32(offset, true),
    port: view.getUint32(offset + 4, true),
  };
}

/** `struct rl_outgo`, 64 bytes. */
export interface RlOutgo {
  readonly partner: number;
  readonly lastSendNs: bigint;
  readonly sent: number;
  readonly moved: number;
  readonly unmatched: number;
  readonly selfMatched: number;
  readonly position: number;
  readonly sends: number;
  readonly moves: number;
  readonly rivals: number;
  readonly isFirst: number;
  readonly log: readonly number[];
}
export const RL_OUTGO_SIZE = 64;
export const RL_OUTGO_OFFSET = {
  partner: 0,
  lastSendNs: 8,
  sent: 16,
  moved: 20,
  unmatched: 24,
  selfMatched: 28,
  position: 32,
  sends: 36,
  moves: 37,
  rivals: 38,
  isFirst: 39,
  log: 40,
} as const;
export function readRlOutgo(view: DataView, offset: number): RlOutgo {
  return {
    partner: readU64(view, offset),
    lastSendNs: view.getBigUint64(offset + 8, true),
    sent: view.getUint32(offset + 16, true),
    moved: view.getUint32(offset + 20, true),
    unmatched: view.getUint32(offset + 24, true),
    selfMatched: view.getUint32(offset + 28, true),
    position: view.getUint32(offset + 32, true),
    sends: view.getUint8(offset + 36),
    moves: view.getUint8(offset + 37),
    rivals: view.getUint8(offset + 38),
    isFirst: view.getUint8(offset + 39),
    log: readArray(6, (i) => view.getUint32(offset + 40 + i * 4, true)),
  };
}

/** `struct rl_pair`, 200 bytes. */
export interface RlPair {
  readonly moved: number;
  readonly position: number;
  readonly moves: number;
  readonly settled: number;
  readonly direct: number;
  readonly sameRun: number;
  readonly lags: readonly number[];
  readonly sizeCount: number;
  readonly sumX: number;
  readonly sumY: number;
  readonly sumXx: number;
  readonly sumYy: number;
  readonly sumXy: number;
  readonly copied: number;
  readonly copies: number;
}
export const RL_PAIR_SIZE = 200;
export const RL_PAIR_OFFSET = {
  moved: 0,
  position: 8,
  moves: 16,
  settled: 20,
  direct: 24,
  sameRun: 28,
  lags: 32,
  sizeCount: 136,
  sumX: 144,
  sumY: 152,
  sumXx: 160,
  sumYy: 168,
  sumXy: 176,
  copied: 184,
  copies: 192,
} as const;
export function readRlPair(view: DataView, offset: number): RlPair {
  return {
    moved: readU64(view, offset),
    position: readU64(view, offset + 8),
    moves: view.getUint32(offset + 16, true),
    settled: view.getUint32(offset + 20, true),
    direct: view.getUint32(offset + 24, true),
    sameRun: view.getUint32(offset + 28, true),
    lags: readArray(26, (i) => view.getUint32(offset + 32 + i * 4, true)),
    sizeCount: readU64(view, offset + 136),
    sumX: readU64(view, offset + 144),
    sumY: readU64(view, offset + 152),
    sumXx: readU64(view, offset + 160),
    sumYy: readU64(view, offset + 168),
    sumXy: readU64(view, offset + 176),
    copied: readU64(view, offset + 184),
    copies: view.getUint32(offset + 192, true),
  };
}

/** `struct rl_pair_key`, 16 bytes. */
export interface RlPairKey {
  readonly source: number;
  readonly destination: number;
}
export const RL_PAIR_KEY_SIZE = 16;
export const RL_PAIR_KEY_OFFSET = {
  source: 0,
  destination: 8,
} as const;
export function readRlPairKey(view: DataView, offset: number): RlPairKey {
  return {
    source: readU64(view, offset),
    destination: readU64(view, offset + 8),
  };
}

/** `struct rl_peer_key`, 32 bytes. */
export interface RlPeerKey {
  readonly cookie: bigint;
  readonly slot: number;
  readonly port: number;
  readonly address: Uint8Array;
}
export const RL_PEER_KEY_SIZE = 32;
export const RL_PEER_KEY_OFFSET = {
  cookie: 0,
  slot: 8,
  port: 12,
  address: 16,
} as const;
export function readRlPeerKey(view: DataView, offset: number): RlPeerKey {
  return {
    cookie: view.getBigUint64(offset, true),
    slot: view.getUint32(offset + 8, true),
    port: view.getUint16(offset + 12, true),
    address: readBytes(view, offset + 16, 16),
  };
}

/** `struct rl_policy`, 704 bytes. */
export interface RlPolicy {
  readonly flags: RlPolicyFlag;
  readonly firstPort: number;
  readonly lastPort: number;
  readonly limits: readonly RlLimit[];
  readonly quotaBytes: number;
  readonly quotaPeriodNs: bigint;
  readonly expiresNs: bigint;
  readonly earlyTerms: RlEarlyTerm;
  readonly earlyUid: number;
  readonly earlyExecutable: number;
  readonly earlyExecutableName: number;
  readonly earlyName: string;
  readonly name: string;
  readonly quotaUsedBytes: number;
  readonly quotaEndsNs: bigint;
  readonly refusedCalls: number;
  readonly exhausted: number;
  readonly unpaced: number;
  readonly quotaPassedBytes: readonly number[];
  readonly quotaClockNs: bigint;
  readonly allowances: readonly RlAllowance[];
}
export const RL_POLICY_SIZE = 704;
export const RL_POLICY_OFFSET = {
  flags: 0,
  firstPort: 4,
  lastPort: 6,
  limits: 8,
  quotaBytes: 40,
  quotaPeriodNs: 48,
  expiresNs: 56,
  earlyTerms: 64,
  earlyUid: 68,
  earlyExecutable: 72,
  earlyExecutableName: 80,
  earlyName: 88,
  name: 128,
  quotaUsedBytes: 256,
  quotaEndsNs: 264,
  refusedCalls: 272,
  exhausted: 280,
  unpaced: 284,
  quotaPassedBytes: 288,
  quotaClockNs: 304,
  allowances: 320,
} as const;
export function readRlPolicy(view: DataView, offset: number): RlPolicy {
  return {
    flags: view.getUint32(offset, true) as RlPolicyFlag,
    firstPort: view.getUint16(offset + 4, true),
    lastPort: view.getUint16(offset + 6, true),
    limits: readArray(2, (i) => readRlLimit(view, offset + 8 + i * 16)),
    quotaBytes: readU64(view, offset + 40),
    quotaPeriodNs: view.getBigUint64(offset + 48, true),
    expiresNs: view.getBigUint64(offset + 56, true),
    earlyTerms: view.getUint32(offset + 64, true) as RlEarlyTerm,
    earlyUid: view.getUint32(offset + 68, true),
    earlyExecutable: readU64(view, offset + 72),
    earlyExecutableName: readU64(view, offset + 80),
    earlyName: readText(view, offset + 88, 16),
    name: readText(view, offset + 128, 128),
    quotaUsedBytes: readU64(view, offset + 256),
    quotaEndsNs: view.getBigUint64(offset + 264, true),
    refusedCalls: readU64(view, offset + 272),
    exhausted: view.getUint32(offset + 280, true),
    unpaced: view.getUint32(offset + 284, true),
    quotaPassedBytes: readArray(2, (i) => readU64(view, offset + 288 + i * 8)),
    quotaClockNs: view.getBigUint64(offset + 304, true),
    allowances: readArray(2, (i) => readRlAllowance(view, offset + 320 + i * 192)),
  };
}

/** `struct rl_print`, 16 bytes. */
export interface RlPrint {
  readonly tag: number;
  readonly state: number;
}
export const RL_PRINT_SIZE = 16;
export const RL_PRINT_OFFSET = {
  tag: 0,
  state: 8,
} as const;
export function readRlPrint(view: DataView, offset: number): RlPrint {
  return {
    tag: readU64(view, offset),
    state: readU64(view, offset + 8),
  };
}

/** `struct rl_print_flow`, 568 bytes. */
export interface RlPrintFlow {
  readonly process: number;
  readonly received: number;
  readonly sent: number;
  readonly evicted: number;
  readonly skippedBytes: number;
  readonly second: readonly number[];
  readonly looked: readonly number[];
  readonly matchedFrom: readonly number[];
}
export const RL_PRINT_FLOW_SIZE = 568;
export const RL_PRINT_FLOW_OFFSET = {
  process: 0,
  received: 8,
  sent: 16,
  evicted: 24,
  skippedBytes: 32,
  second: 40,
  looked: 48,
  matchedFrom: 56,
} as const;
export function readRlPrintFlow(view: DataView, offset: number): RlPrintFlow {
  return {
    process: view.getUint32(offset, true),
    received: readU64(view, offset + 8),
    sent: readU64(view, offset + 16),
    evicted: readU64(view, offset + 24),
    skippedBytes: readU64(view, offset + 32),
    second: readArray(2, (i) => view.getUint32(offset + 40 + i * 4, true)),
    looked: readArray(2, (i) => view.getUint32(offset + 48 + i * 4, true)),
    matchedFrom: readArray(128, (i) => view.getUint32(offset + 56 + i * 4, true)),
  };
}

/** `struct rl_print_set`, 64 bytes. */
export interface RlPrintSet {
  readonly way: readonly RlPrint[];
}
export const RL_PRINT_SET_SIZE = 64;
export const RL_PRINT_SET_OFFSET = {
  way: 0,
} as const;
export function readRlPrintSet(view: DataView, offset: number): RlPrintSet {
  return {
    way: readArray(4, (i) => readRlPrint(view, offset + i * 16)),
  };
}

/** `struct rl_print_socket`, 8 bytes. */
export interface RlPrintSocket {
  readonly number: number;
  readonly byPeer: number;
}
export const RL_PRINT_SOCKET_SIZE = 8;
export const RL_PRINT_SOCKET_OFFSET = {
  number: 0,
  byPeer: 4,
} as const;
export function readRlPrintSocket(view: DataView, offset: number): RlPrintSocket {
  return {
    number: view.getUint32(offset, true),
    byPeer: view.getUint32(offset + 4, true),
  };
}

/** `struct rl_process`, 384 bytes. */
export interface RlProcess {
  readonly startNs: bigint;
  readonly exitNs: bigint;
  readonly tgid: number;
  readonly generation: number;
  readonly uid: number;
  readonly name: string;
  readonly policies: number;
  readonly wireRx: RlWire;
  readonly wireTx: RlWire;
  readonly unsent: RlWire;
  readonly payload: readonly (readonly (readonly number[])[])[];
}
export const RL_PROCESS_SIZE = 384;
export const RL_PROCESS_OFFSET = {
  startNs: 0,
  exitNs: 8,
  tgid: 16,
  generation: 20,
  uid: 24,
  name: 32,
  policies: 56,
  wireRx: 64,
  wireTx: 128,
  unsent: 144,
  payload: 192,
} as const;
export function readRlProcess(view: DataView, offset: number): RlProcess {
  return {
    startNs: view.getBigUint64(offset, true),
    exitNs: view.getBigUint64(offset + 8, true),
    tgid: view.getUint32(offset + 16, true),
    generation: view.getUint32(offset + 20, true),
    uid: view.getUint32(offset + 24, true),
    name: readText(view, offset + 32, 16),
    policies: readU64(view, offset + 56),
    wireRx: readRlWire(view, offset + 64),
    wireTx: readRlWire(view, offset + 128),
    unsent: readRlWire(view, offset + 144),
    payload: readArray(2, (i) => readArray(3, (j) => readArray(3, (k) => readU64(view, offset + 192 + i * 72 + j * 24 + k * 8)))),
  };
}

/** `struct rl_process_details`, 1392 bytes. */
export interface RlProcessDetails {
  readonly startNs: bigint;
  readonly cgroupId: number;
  readonly tgid: number;
  readonly parentTgid: number;
  readonly netns: number;
  readonly uid: number;
  readonly executableLength: number;
  readonly commandLength: number;
  readonly cgroupLength: number;
  readonly fifoCount: number;
  readonly cut: number;
  readonly fifos: readonly RlFifo[];
  readonly executable: Uint8Array;
  readonly command: Uint8Array;
  readonly cgroup: Uint8Array;
}
export const RL_PROCESS_DETAILS_SIZE = 1392;
export const RL_PROCESS_DETAILS_OFFSET = {
  startNs: 0,
  cgroupId: 8,
  tgid: 16,
  parentTgid: 20,
  netns: 24,
  uid: 28,
  executableLength: 32,
  commandLength: 34,
  cgroupLength: 36,
  fifoCount: 38,
  cut: 40,
  fifos: 48,
  executable: 112,
  command: 624,
  cgroup: 880,
} as const;
export function readRlProcessDetails(view: DataView, offset: number): RlProcessDetails {
  return {
    startNs: view.getBigUint64(offset, true),
    cgroupId: readU64(view, offset + 8),
    tgid: view.getUint32(offset + 16, true),
    parentTgid: view.getUint32(offset + 20, true),
    netns: view.getUint32(offset + 24, true),
    uid: view.getUint32(offset + 28, true),
    executableLength: view.getUint16(offset + 32, true),
    commandLength: view.getUint16(offset + 34, true),
    cgroupLength: view.getUint16(offset + 36, true),
    fifoCount: view.getUint16(offset + 38, true),
    cut: view.getUint16(offset + 40, true),
    fifos: readArray(4, (i) => readRlFifo(view, offset + 48 + i * 16)),
    executable: readBytes(view, offset + 112, 512),
    command: readBytes(view, offset + 624, 256),
    cgroup: readBytes(view, offset + 880, 512),
  };
}

/** `struct rl_process_event`, 16 bytes. */
export interface RlProcessEvent {
  readonly slot: number;
  readonly generation: number;
  readonly type: RlProcessEventType;
}
export const RL_PROCESS_EVENT_SIZE = 16;
export const RL_PROCESS_EVENT_OFFSET = {
  slot: 0,
  generation: 4,
  type: 8,
} as const;
export function readRlProcessEvent(view: DataView, offset: number): RlProcessEvent {
  return {
    slot: view.getUint32(offset, true),
    generation: view.getUint32(offset + 4, true),
    type: view.getUint32(offset + 8, true) as RlProcessEventType,
  };
}

/** `struct rl_process_key`, 16 bytes. */
export interface RlProcessKey {
  readonly startNs: bigint;
  readonly tgid: number;
}
export const RL_PROCESS_KEY_SIZE = 16;
export const RL_PROCESS_KEY_OFFSET = {
  startNs: 0,
  tgid: 8,
} as const;
export function readRlProcessKey(view: DataView, offset: number): RlProcessKey {
  return {
    startNs: view.getBigUint64(offset, true),
    tgid: view.getUint32(offset + 8, true),
  };
}

/** `struct rl_rejection`, 16 bytes. */
export interface RlRejection {
  readonly id: number;
  readonly policy: number;
  readonly rejected: number;
  readonly others: number;
}
export const RL_REJECTION_SIZE = 16;
export const RL_REJECTION_OFFSET = {
  id: 0,
  policy: 4,
  rejected: 8,
  others: 12,
} as const;
export function readRlRejection(view: DataView, offset: number): RlRejection {
  return {
    id: view.getUint32(offset, true),
    policy: view.getUint32(offset + 4, true),
    rejected: view.getInt32(offset + 8, true),
    others: view.getInt32(offset + 12, true),
  };
}

/** `struct rl_ruling`, 8 bytes. */
export interface RlRuling {
  readonly generation: number;
  readonly owedBytes: number;
}
export const RL_RULING_SIZE = 8;
export const RL_RULING_OFFSET = {
  generation: 0,
  owedBytes: 4,
} as const;
export function readRlRuling(view: DataView, offset: number): RlRuling {
  return {
    generation: view.getUint32(offset, true),
    owedBytes: view.getUint32(offset + 4, true),
  };
}

/** `struct rl_share`, 16 bytes. */
export interface RlShare {
  readonly usedUntilNs: bigint;
  readonly epoch: number;
}
export const RL_SHARE_SIZE = 16;
export const RL_SHARE_OFFSET = {
  usedUntilNs: 0,
  epoch: 8,
} as const;
export function readRlShare(view: DataView, offset: number): RlShare {
  return {
    usedUntilNs: view.getBigUint64(offset, true),
    epoch: view.getUint32(offset + 8, true),
  };
}

/** `struct rl_socket`, 184 bytes. */
export interface RlSocket {
  readonly owner: number;
  readonly ownerGeneration: number;
  readonly claim: number;
  readonly protocol: number;
  readonly scope: Uint8Array;
  readonly accepted: number;
  readonly connected: number;
  readonly nameless: number;
  readonly noted: number;
  readonly flow: number;
  readonly flowOwner: number;
  readonly peerPort: number;
  readonly pendingSince: number;
  readonly notedPort: number;
  readonly notedIn: number;
  readonly urgentSeq: number;
  readonly peerAddress: Uint8Array;
  readonly payload: readonly number[];
  readonly copiedSeq: number;
  readonly copiedValid: number;
  readonly urgentValid: number;
  readonly beforeUrgent: number;
  readonly outgo: RlOutgo;
  readonly peerFlow: number;
  readonly pending: readonly RlWire[];
}
export const RL_SOCKET_SIZE = 184;
export const RL_SOCKET_OFFSET = {
  owner: 0,
  ownerGeneration: 4,
  claim: 8,
  protocol: 9,
  scope: 10,
  accepted: 12,
  connected: 13,
  nameless: 14,
  noted: 15,
  flow: 16,
  flowOwner: 24,
  peerPort: 26,
  pendingSince: 28,
  notedPort: 30,
  notedIn: 32,
  urgentSeq: 36,
  peerAddress: 40,
  payload: 56,
  copiedSeq: 72,
  copiedValid: 76,
  urgentValid: 77,
  beforeUrgent: 78,
  outgo: 80,
  peerFlow: 144,
  pending: 152,
} as const;
export function readRlSocket(view: DataView, offset: number): RlSocket {
  return {
    owner: view.getUint32(offset, true),
    ownerGeneration: view.getUint32(offset + 4, true),
    claim: view.getUint8(offset + 8),
    protocol: view.getUint8(offset + 9),
    scope: readBytes(view, offset + 10, 2),
    accepted: view.getUint8(offset + 12),
    connected: view.getUint8(offset + 13),
    nameless: view.getUint8(offset + 14),
    noted: view.getUint8(offset + 15),
    flow: readU64(view, offset + 16),
    flowOwner: view.getUint16(offset + 24, true),
    peerPort: view.getUint16(offset + 26, true),
    pendingSince: view.getUint16(offset + 28, true),
    notedPort: view.getUint16(offset + 30, true),
    notedIn: view.getUint32(offset + 32, true),
    urgentSeq: view.getUint32(offset + 36, true),
    peerAddress: readBytes(view, offset + 40, 16),
    payload: readArray(2, (i) => readU64(view, offset + 56 + i * 8)),
    copiedSeq: view.getUint32(offset + 72, true),
    copiedValid: view.getUint8(offset + 76),
    urgentValid: view.getUint8(offset + 77),
    beforeUrgent: view.getUint8(offset + 78),
    outgo: readRlOutgo(view, offset + 80),
    peerFlow: readU64(view, offset + 144),
    pending: readArray(2, (i) => readRlWire(view, offset + 152 + i * 16)),
  };
}

/** `struct rl_socket_record`, 136 bytes. */
export interface RlSocketRecord {
  readonly cookie: bigint;
  readonly inode: number;
  readonly payload: readonly number[];
  readonly pending: readonly RlWire[];
  readonly owner: number;
  readonly ownerGeneration: number;
  readonly netns: number;
  readonly uid: number;
  readonly family: number;
  readonly protocol: number;
  readonly localPort: number;
  readonly remotePort: number;
  readonly state: number;
  readonly claim: number;
  readonly scope: number;
  readonly type: number;
  readonly ifindex: number;
  readonly flow: number;
  readonly localAddress: Uint8Array;
  readonly remoteAddress: Uint8Array;
}
export const RL_SOCKET_RECORD_SIZE = 136;
export const RL_SOCKET_RECORD_OFFSET = {
  cookie: 0,
  inode: 8,
  payload: 16,
  pending: 32,
  owner: 64,
  ownerGeneration: 68,
  netns: 72,
  uid: 76,
  family: 80,
  protocol: 82,
  localPort: 84,
  remotePort: 86,
  state: 88,
  claim: 89,
  scope: 90,
  type: 91,
  ifindex: 92,
  flow: 96,
  localAddress: 104,
  remoteAddress: 120,
} as const;
export function readRlSocketRecord(view: DataView, offset: number): RlSocketRecord {
  return {
    cookie: view.getBigUint64(offset, true),
    inode: readU64(view, offset + 8),
    payload: readArray(2, (i) => readU64(view, offset + 16 + i * 8)),
    pending: readArray(2, (i) => readRlWire(view, offset + 32 + i * 16)),
    owner: view.getUint32(offset + 64, true),
    ownerGeneration: view.getUint32(offset + 68, true),
    netns: view.getUint32(offset + 72, true),
    uid: view.getUint32(offset + 76, true),
    family: view.getUint16(offset + 80, true),
    protocol: view.getUint16(offset + 82, true),
    localPort: view.getUint16(offset + 84, true),
    remotePort: view.getUint16(offset + 86, true),
    state: view.getUint8(offset + 88),
    claim: view.getUint8(offset + 89),
    scope: view.getUint8(offset + 90),
    type: view.getUint8(offset + 91),
    ifindex: view.getUint32(offset + 92, true),
    flow: readU64(view, offset + 96),
    localAddress: readBytes(view, offset + 104, 16),
    remoteAddress: readBytes(view, offset + 120, 16),
  };
}

/** `struct rl_source`, 16 bytes. */
export interface RlSource {
  readonly flow: number;
  readonly ns: number;
}
export const RL_SOURCE_SIZE = 16;
export const RL_SOURCE_OFFSET = {
  flow: 0,
  ns: 8,
} as const;
export function readRlSource(view: DataView, offset: number): RlSource {
  return {
    flow: readU64(view, offset),
    ns: readU64(view, offset + 8),
  };
}

/** `struct rl_sources`, 128 bytes. */
export interface RlSources {
  readonly source: readonly RlSource[];
}
export const RL_SOURCES_SIZE = 128;
export const RL_SOURCES_OFFSET = {
  source: 0,
} as const;
export function readRlSources(view: DataView, offset: number): RlSources {
  return {
    source: readArray(8, (i) => readRlSource(view, offset + i * 16)),
  };
}

/** `struct rl_thread`, 256 bytes. */
export interface RlThread {
  readonly identity: number;
  readonly slot: number;
  readonly run: number;
  readonly nowNs: bigint;
  readonly events: number;
  readonly lastWasReceive: number;
  readonly hasPeer: number;
  readonly peerPort: number;
  readonly newest: number;
  readonly newestNs: bigint;
  readonly last: number;
  readonly sources: RlSources;
  readonly peerAddress: Uint8Array;
  readonly unused: Uint8Array;
}
export const RL_THREAD_SIZE = 256;
export const RL_THREAD_OFFSET = {
  identity: 0,
  slot: 8,
  run: 12,
  nowNs: 16,
  events: 24,
  lastWasReceive: 28,
  hasPeer: 29,
  peerPort: 30,
  newest: 32,
  newestNs: 40,
  last: 48,
  sources: 64,
  peerAddress: 192,
  unused: 208,
} as const;
export function readRlThread(view: DataView, offset: number): RlThread {
  return {
    identity: readU64(view, offset),
    slot: view.getUint32(offset + 8, true),
    run: view.getUint32(offset + 12, true),
    nowNs: view.getBigUint64(offset + 16, true),
    events: view.getUint32(offset + 24, true),
    lastWasReceive: view.getUint8(offset + 28),
    hasPeer: view.getUint8(offset + 29),
    peerPort: view.getUint16(offset + 30, true),
    newest: readU64(view, offset + 32),
    newestNs: view.getBigUint64(offset + 40, true),
    last: readU64(view, offset + 48),
    sources: readRlSources(view, offset + 64),
    peerAddress: readBytes(view, offset + 192, 16),
    unused: readBytes(view, offset + 208, 48),
  };
}

/** `struct rl_totals`, 336 bytes. */
export interface RlTotals {
  readonly objectId: number;
  readonly unattributed: readonly (readonly RlWire[])[];
  readonly lost: readonly number[];
  readonly slotsUsed: number;
  readonly flowsUsed: number;
  readonly sinceNs: bigint;
  readonly sinceWallMs: number;
  readonly uncovered: readonly RlWire[];
  readonly noSocket: readonly RlWire[];
  readonly earlyPolicies: number;
}
export const RL_TOTALS_SIZE = 336;
export const RL_TOTALS_OFFSET = {
  objectId: 0,
  unattributed: 8,
  lost: 168,
  slotsUsed: 232,
  flowsUsed: 240,
  sinceNs: 248,
  sinceWallMs: 256,
  uncovered: 264,
  noSocket: 296,
  earlyPolicies: 328,
} as const;
export function readRlTotals(view: DataView, offset: number): RlTotals {
  return {
    objectId: readU64(view, offset),
    unattributed: readArray(5, (i) => readArray(2, (j) => readRlWire(view, offset + 8 + i * 32 + j * 16))),
    lost: readArray(8, (i) => readU64(view, offset + 168 + i * 8)),
    slotsUsed: readU64(view, offset + 232),
    flowsUsed: readU64(view, offset + 240),
    sinceNs: view.getBigUint64(offset + 248, true),
    sinceWallMs: readU64(view, offset + 256),
    uncovered: readArray(2, (i) => readRlWire(view, offset + 264 + i * 16)),
    noSocket: readArray(2, (i) => readRlWire(view, offset + 296 + i * 16)),
    earlyPolicies: readU64(view, offset + 328),
  };
}

/** `struct rl_wire`, 16 bytes. */
export interface RlWire {
  readonly bytes: number;
  readonly packets: number;
}
export const RL_WIRE_SIZE = 16;
export const RL_WIRE_OFFSET = {
  bytes: 0,
  packets: 8,
} as const;
export function readRlWire(view: DataView, offset: number): RlWire {
  return {
    bytes: readU64(view, offset),
    packets: readU64(view, offset + 8),
  };
}

export const layouts: readonly Layout[] = [
  {
    enum: 'rl_direction',
    values: {
      RL_RX: 0,
      RL_TX: 1,
      RL_DIRECTIONS: 2,
    },
  },
  {
    enum: 'rl_early_term',
    values: {
      RL_EARLY_NAME: 1,
      RL_EARLY_EXECUTABLE: 2,
      RL_EARLY_EXECUTABLE_NAME: 4,
      RL_EARLY_UID: 8,
    },
  },
  {
    enum: 'rl_lost',
    values: {
      RL_LOST_PROCESS: 0,
      RL_LOST_SOCKET: 1,
      RL_LOST_INTERFACE: 2,
      RL_LOST_DETAILS: 3,
      RL_LOST_EVENT: 4,
      RL_LOST_FLOW: 5,
      RL_LOST_PAIR: 6,
      RL_LOST_THREAD: 7,
      RL_LOSSES: 8,
    },
  },
  {
    enum: 'rl_policy_flag',
    values: {
      RL_POLICY_RELAY: 1,
      RL_POLICY_SENT: 2,
      RL_POLICY_RECEIVED: 4,
      RL_POLICY_QUOTA: 8,
      RL_POLICY_QUOTA_THROTTLE: 16,
      RL_POLICY_QUOTA_DENY: 32,
      RL_POLICY_DENY_INBOUND: 64,
      RL_POLICY_DENY_OUTBOUND: 128,
      RL_POLICY_REJECT: 256,
      RL_POLICY_EARLY: 512,
      RL_POLICY_INSTALLED: 1024,
    },
  },
  {
    enum: 'rl_process_event_type',
    values: {
      RL_PROCESS_SEEN: 0,
      RL_PROCESS_EXEC: 1,
      RL_PROCESS_EXIT: 2,
    },
  },
  {
    enum: 'rl_protocol',
    values: {
      RL_TCP: 0,
      RL_UDP: 1,
      RL_OTHER: 2,
      RL_PROTOCOLS: 3,
    },
  },
  {
    enum: 'rl_scope',
    values: {
      RL_LOOPBACK: 0,
      RL_PRIVATE: 1,
      RL_PUBLIC: 2,
      RL_SCOPES: 3,
    },
  },
  {
    enum: 'rl_unattributed',
    values: {
      RL_KERNEL_SOCKET: 0,
      RL_UNCLAIMED: 1,
      RL_LATE: 2,
      RL_TABLE_FULL: 3,
      RL_UNSENT: 4,
      RL_UNATTRIBUTED: 5,
    },
  },
  {
    struct: 'rl_allowance',
    size: 192,
    fields: {
      used_until_ns: [0, 'u64'],
      passed_bytes: [8, 'u64'],
      fair_cost: [16, 'u64'],
      limit_rate: [24, 'u64'],
      epoch_ends_ns: [32, 'u64'],
      tick: [40, 'u64'],
      tick_ns: [48, 'u64'],
      epoch: [56, 'u32'],
      active_flows: [60, 'u32'],
      throttled_bytes: [64, 'u64'],
      last_held_back_ns: [72, 'u64'],
      fair_rate: [80, 'u64'],
      active_streams: [88, 'u32'],
      present_streams: [92, 'u32'],
      present_flows: [96, 'u32'],
      epoch_drops: [100, 'u32'],
      epoch_began_ns: [104, 'u64'],
      epoch_passed_bytes: [112, 'u64'],
      dropped_packets: [120, 'u64'],
      denied_packets: [128, 'u64'],
      quota_packets: [136, 'u64'],
      epoch_packet_bytes: [144, 'u32'],
      reserved_epoch: [148, 'u32'],
      reserved: [152, 'u64[5]'],
    },
  },
  {
    struct: 'rl_datagram_port',
    size: 8,
    fields: {
      netns: [0, 'u32'],
      port: [4, 'u16'],
      family: [6, 'u16'],
    },
  },
  {
    struct: 'rl_datagram_socket',
    size: 24,
    fields: {
      cookie: [0, 'u64'],
      slot: [8, 'u32'],
      generation: [12, 'u32'],
      shared: [16, 'u32'],
      reserved: [20, 'u32'],
    },
  },
  {
    struct: 'rl_destroy',
    size: 16,
    fields: {
      slot: [0, 'u32'],
      generation: [4, 'u32'],
      ruled_only: [8, 'u32'],
      destroyed: [12, 'u32'],
    },
  },
  {
    struct: 'rl_fifo',
    size: 16,
    fields: {
      inode: [0, 'u64'],
      modes: [8, 'u32'],
      reserved: [12, 'u32'],
    },
  },
  {
    struct: 'rl_flow',
    size: 624,
    fields: {
      first_ns: [0, 'u64'],
      generation: [8, 'u32'],
      closed: [12, 'u32'],
      expired: [16, 'u64'],
      sent: [24, 'u64'],
      unmatched: [32, 'u64'],
      self_matched: [40, 'u64'],
      first_source: [48, 'u64'],
      last_send_ns: [56, 'u64'],
      sends: [64, 'u32'],
      gaps: [68, 'u32[26]'],
      received_sizes: [172, 'u16[16]'],
      sent_sizes: [204, 'u16[16]'],
      tunnel_sizes: [236, 'u32[9]'],
      first: [272, 'struct rl_pair'],
      outgo: [472, 'struct rl_outgo'],
      host_hash: [536, 'u64'],
      cookie: [544, 'u64'],
      local_socket: [552, 'u64'],
      remote_socket: [560, 'u64'],
      slot: [568, 'u32'],
      process_generation: [572, 'u32'],
      netns: [576, 'u32'],
      family: [580, 'u16'],
      protocol: [582, 'u16'],
      local_port: [584, 'u16'],
      remote_port: [586, 'u16'],
      opened: [588, 'u8'],
      scope: [589, 'u8'],
      reserved: [590, 'u8[2]'],
      local_address: [592, 'u8[16]'],
      remote_address: [608, 'u8[16]'],
    },
  },
  {
    struct: 'rl_held',
    size: 160,
    fields: {
      shares: [0, 'struct rl_share[2][4]'],
      own_pacing: [128, 'u64'],
      pacing: [136, 'u32'],
      clamp: [140, 'u32'],
      window: [144, 'u32'],
      own_window: [148, 'u32'],
      is_wide: [152, 'u32'],
      reserved: [156, 'u32'],
    },
  },
  {
    struct: 'rl_income',
    size: 64,
    fields: {
      credit: [0, 'u64'],
      last_receive_ns: [8, 'u64'],
      received: [16, 'u64'],
      generation: [24, 'u32'],
      host: [28, 'u32'],
      last_receive_bytes: [32, 'u32'],
      last_run: [36, 'u32'],
      listed: [40, 'u32'],
      gaps: [44, 'u8[20]'],
    },
  },
  {
    struct: 'rl_interface',
    size: 192,
    fields: {
      key: [0, 'struct rl_interface_key'],
      direction: [16, 'struct rl_interface_direction[2]'],
    },
  },
  {
    struct: 'rl_interface_baseline',
    size: 32,
    fields: {
      rx_bytes: [0, 'u64'],
      rx_packets: [8, 'u64'],
      tx_bytes: [16, 'u64'],
      tx_packets: [24, 'u64'],
    },
  },
  {
    struct: 'rl_interface_direction',
    size: 88,
    fields: {
      device_bytes: [0, 'u64'],
      device_packets: [8, 'u64'],
      segmented_bytes: [16, 'u64'],
      ip: [24, 'struct rl_wire'],
      non_ip: [40, 'struct rl_wire'],
      forwarded: [56, 'struct rl_wire'],
      looped_packets: [72, 'u64'],
      reserved: [80, 'u64'],
    },
  },
  {
    struct: 'rl_interface_key',
    size: 16,
    fields: {
      net_cookie: [0, 'u64'],
      ifindex: [8, 'u32'],
      reserved: [12, 'u32'],
    },
  },
  {
    struct: 'rl_interface_name',
    size: 56,
    fields: {
      netns: [0, 'u32'],
      type: [4, 'u16'],
      hard_header_length: [6, 'u16'],
      name: [8, 'char[16]'],
      driver: [24, 'char[16]'],
      kind: [40, 'char[16]'],
    },
  },
  {
    struct: 'rl_limit',
    size: 16,
    fields: {
      rate_bytes_per_second: [0, 'u64'],
      cost: [8, 'u64'],
    },
  },
  {
    struct: 'rl_listener',
    size: 8,
    fields: {
      netns: [0, 'u32'],
      port: [4, 'u32'],
    },
  },
  {
    struct: 'rl_outgo',
    size: 64,
    fields: {
      partner: [0, 'u64'],
      last_send_ns: [8, 'u64'],
      sent: [16, 'u32'],
      moved: [20, 'u32'],
      unmatched: [24, 'u32'],
      self_matched: [28, 'u32'],
      position: [32, 'u32'],
      sends: [36, 'u8'],
      moves: [37, 'u8'],
      rivals: [38, 'u8'],
      is_first: [39, 'u8'],
      log: [40, 'u32[6]'],
    },
  },
  {
    struct: 'rl_pair',
    size: 200,
    fields: {
      moved: [0, 'u64'],
      position: [8, 'u64'],
      moves: [16, 'u32'],
      settled: [20, 'u32'],
      direct: [24, 'u32'],
      same_run: [28, 'u32'],
      lags: [32, 'u32[26]'],
      size_count: [136, 'u64'],
      sum_x: [144, 'u64'],
      sum_y: [152, 'u64'],
      sum_xx: [160, 'u64'],
      sum_yy: [168, 'u64'],
      sum_xy: [176, 'u64'],
      copied: [184, 'u64'],
      copies: [192, 'u32'],
      reserved: [196, 'u32'],
    },
  },
  {
    struct: 'rl_pair_key',
    size: 16,
    fields: {
      source: [0, 'u64'],
      destination: [8, 'u64'],
    },
  },
  {
    struct: 'rl_peer_key',
    size: 32,
    fields: {
      cookie: [0, 'u64'],
      slot: [8, 'u32'],
      port: [12, 'u16'],
      reserved: [14, 'u16'],
      address: [16, 'u8[16]'],
    },
  },
  {
    struct: 'rl_policy',
    size: 704,
    fields: {
      flags: [0, 'enum rl_policy_flag'],
      first_port: [4, 'u16'],
      last_port: [6, 'u16'],
      limits: [8, 'struct rl_limit[2]'],
      quota_bytes: [40, 'u64'],
      quota_period_ns: [48, 'u64'],
      expires_ns: [56, 'u64'],
      early_terms: [64, 'enum rl_early_term'],
      early_uid: [68, 'u32'],
      early_executable: [72, 'u64'],
      early_executable_name: [80, 'u64'],
      early_name: [88, 'char[16]'],
      reserved_early: [104, 'u64[3]'],
      name: [128, 'char[128]'],
      quota_used_bytes: [256, 'u64'],
      quota_ends_ns: [264, 'u64'],
      refused_calls: [272, 'u64'],
      exhausted: [280, 'u32'],
      unpaced: [284, 'u32'],
      quota_passed_bytes: [288, 'u64[2]'],
      quota_clock_ns: [304, 's64'],
      reserved_state: [312, 'u64'],
      allowances: [320, 'struct rl_allowance[2]'],
    },
  },
  {
    struct: 'rl_print',
    size: 16,
    fields: {
      tag: [0, 'u64'],
      state: [8, 'u64'],
    },
  },
  {
    struct: 'rl_print_flow',
    size: 568,
    fields: {
      process: [0, 'u32'],
      reserved: [4, 'u32'],
      received: [8, 'u64'],
      sent: [16, 'u64'],
      evicted: [24, 'u64'],
      skipped_bytes: [32, 'u64'],
      second: [40, 'u32[2]'],
      looked: [48, 'u32[2]'],
      matched_from: [56, 'u32[128]'],
    },
  },
  {
    struct: 'rl_print_set',
    size: 64,
    fields: {
      way: [0, 'struct rl_print[4]'],
    },
  },
  {
    struct: 'rl_print_socket',
    size: 8,
    fields: {
      number: [0, 'u32'],
      by_peer: [4, 'u32'],
    },
  },
  {
    struct: 'rl_process',
    size: 384,
    fields: {
      start_ns: [0, 'u64'],
      exit_ns: [8, 'u64'],
      tgid: [16, 'u32'],
      generation: [20, 'u32'],
      uid: [24, 'u32'],
      reserved: [28, 'u32'],
      name: [32, 'char[16]'],
      reserved_line: [48, 'u64'],
      policies: [56, 'u64'],
      wire_rx: [64, 'struct rl_wire'],
      reserved_rx: [80, 'u64[6]'],
      wire_tx: [128, 'struct rl_wire'],
      unsent: [144, 'struct rl_wire'],
      reserved_tx: [160, 'u64[4]'],
      payload: [192, 'u64[2][3][3]'],
      reserved_payload: [336, 'u64[6]'],
    },
  },
  {
    struct: 'rl_process_details',
    size: 1392,
    fields: {
      start_ns: [0, 'u64'],
      cgroup_id: [8, 'u64'],
      tgid: [16, 'u32'],
      parent_tgid: [20, 'u32'],
      netns: [24, 'u32'],
      uid: [28, 'u32'],
      executable_length: [32, 'u16'],
      command_length: [34, 'u16'],
      cgroup_length: [36, 'u16'],
      fifo_count: [38, 'u16'],
      cut: [40, 'u16'],
      reserved: [42, 'u16[3]'],
      fifos: [48, 'struct rl_fifo[4]'],
      executable: [112, 'u8[512]'],
      command: [624, 'u8[256]'],
      cgroup: [880, 'u8[512]'],
    },
  },
  {
    struct: 'rl_process_event',
    size: 16,
    fields: {
      slot: [0, 'u32'],
      generation: [4, 'u32'],
      type: [8, 'enum rl_process_event_type'],
      reserved: [12, 'u32'],
    },
  },
  {
    struct: 'rl_process_key',
    size: 16,
    fields: {
      start_ns: [0, 'u64'],
      tgid: [8, 'u32'],
      reserved: [12, 'u32'],
    },
  },
  {
    struct: 'rl_rejection',
    size: 16,
    fields: {
      id: [0, 'u32'],
      policy: [4, 'u32'],
      rejected: [8, 's32'],
      others: [12, 's32'],
    },
  },
  {
    struct: 'rl_ruling',
    size: 8,
    fields: {
      generation: [0, 'u32'],
      owed_bytes: [4, 'u32'],
    },
  },
  {
    struct: 'rl_share',
    size: 16,
    fields: {
      used_until_ns: [0, 'u64'],
      epoch: [8, 'u32'],
      reserved: [12, 'u32'],
    },
  },
  {
    struct: 'rl_socket',
    size: 184,
    fields: {
      owner: [0, 'u32'],
      owner_generation: [4, 'u32'],
      claim: [8, 'u8'],
      protocol: [9, 'u8'],
      scope: [10, 'u8[2]'],
      accepted: [12, 'u8'],
      connected: [13, 'u8'],
      nameless: [14, 'u8'],
      noted: [15, 'u8'],
      flow: [16, 'u64'],
      flow_owner: [24, 'u16'],
      peer_port: [26, 'u16'],
      pending_since: [28, 'u16'],
      noted_port: [30, 'u16'],
      noted_in: [32, 'u32'],
      urgent_seq: [36, 'u32'],
      peer_address: [40, 'u8[16]'],
      payload: [56, 'u64[2]'],
      copied_seq: [72, 'u32'],
      copied_valid: [76, 'u8'],
      urgent_valid: [77, 'u8'],
      before_urgent: [78, 'u8'],
      reserved: [79, 'u8'],
      outgo: [80, 'struct rl_outgo'],
      peer_flow: [144, 'u64'],
      pending: [152, 'struct rl_wire[2]'],
    },
  },
  {
    struct: 'rl_socket_record',
    size: 136,
    fields: {
      cookie: [0, 'u64'],
      inode: [8, 'u64'],
      payload: [16, 'u64[2]'],
      pending: [32, 'struct rl_wire[2]'],
      owner: [64, 'u32'],
      owner_generation: [68, 'u32'],
      netns: [72, 'u32'],
      uid: [76, 'u32'],
      family: [80, 'u16'],
      protocol: [82, 'u16'],
      local_port: [84, 'u16'],
      remote_port: [86, 'u16'],
      state: [88, 'u8'],
      claim: [89, 'u8'],
      scope: [90, 'u8'],
      type: [91, 'u8'],
      ifindex: [92, 'u32'],
      flow: [96, 'u64'],
      local_address: [104, 'u8[16]'],
      remote_address: [120, 'u8[16]'],
    },
  },
  {
    struct: 'rl_source',
    size: 16,
    fields: {
      flow: [0, 'u64'],
      ns: [8, 'u64'],
    },
  },
  {
    struct: 'rl_sources',
    size: 128,
    fields: {
      source: [0, 'struct rl_source[8]'],
    },
  },
  {
    struct: 'rl_thread',
    size: 256,
    fields: {
      identity: [0, 'u64'],
      slot: [8, 'u32'],
      run: [12, 'u32'],
      now_ns: [16, 'u64'],
      events: [24, 'u32'],
      last_was_receive: [28, 'u8'],
      has_peer: [29, 'u8'],
      peer_port: [30, 'u16'],
      newest: [32, 'u64'],
      newest_ns: [40, 'u64'],
      last: [48, 'u64'],
      reserved: [56, 'u64'],
      sources: [64, 'struct rl_sources'],
      peer_address: [192, 'u8[16]'],
      unused: [208, 'u8[48]'],
    },
  },
  {
    struct: 'rl_totals',
    size: 336,
    fields: {
      object_id: [0, 'u64'],
      unattributed: [8, 'struct rl_wire[5][2]'],
      lost: [168, 'u64[8]'],
      slots_used: [232, 'u64'],
      flows_used: [240, 'u64'],
      since_ns: [248, 'u64'],
      since_wall_ms: [256, 'u64'],
      uncovered: [264, 'struct rl_wire[2]'],
      no_socket: [296, 'struct rl_wire[2]'],
      early_policies: [328, 'u64'],
    },
  },
  {
    struct: 'rl_wire',
    size: 16,
    fields: {
      bytes: [0, 'u64'],
      packets: [8, 'u64'],
    },
  },
];
