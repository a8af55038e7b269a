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

/** `enum rl_lost` */
export const RlLost = {
  process: 0,
  socket: 1,
  interface: 2,
  details: 3,
  event: 4,
  losses: 5,
} as const;
export type RlLost = (typeof RlLost)[keyof typeof RlLost];

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
  unattributed: 4,
} as const;
export type RlUnattributed = (typeof RlUnattributed)[keyof typeof RlUnattributed];

/** `struct rl_interface`, 160 bytes. */
export interface RlInterface {
  readonly key: RlInterfaceKey;
  readonly direction: readonly RlInterfaceDirection[];
}
export const RL_INTERFACE_SIZE = 160;
export const RL_INTERFACE_OFFSET = {
  key: 0,
  direction: 16,
} as const;
export function readRlInterface(view: DataView, offset: number): RlInterface {
  return {
    key: readRlInterfaceKey(view, offset),
    direction: readArray(2, (i) => readRlInterfaceDirection(view, offset + 16 + i * 72)),
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

/** `struct rl_interface_direction`, 72 bytes. */
export interface RlInterfaceDirection {
  readonly deviceBytes: number;
  readonly devicePackets: number;
  readonly segmentedBytes: number;
  readonly ip: RlWire;
  readonly nonIp: RlWire;
  readonly forwarded: RlWire;
}
export const RL_INTERFACE_DIRECTION_SIZE = 72;
export const RL_INTERFACE_DIRECTION_OFFSET = {
  deviceBytes: 0,
  devicePackets: 8,
  segmentedBytes: 16,
  ip: 24,
  nonIp: 40,
  forwarded: 56,
} as const;
export function readRlInterfaceDirection(view: DataView, offset: number): RlInterfaceDirection {
  return {
    deviceBytes: readU64(view, offset),
    devicePackets: readU64(view, offset + 8),
    segmentedBytes: readU64(view, offset + 16),
    ip: readRlWire(view, offset + 24),
    nonIp: readRlWire(view, offset + 40),
    forwarded: readRlWire(view, offset + 56),
  };
}

/** `struct rl_interface_key`, 16 bytes. */
export interface RlInterfaceKey {
  readonly netCookie: number;
  readonly ifindex: number;
}
export const RL_INTERFACE_KEY_SIZE = 16;
export const RL_INTERFACE_KEY_OFFSET = {
  netCookie: 0,
  ifindex: 8,
} as const;
export function readRlInterfaceKey(view: DataView, offset: number): RlInterfaceKey {
  return {
    netCookie: readU64(view, offset),
    ifindex: view.getUint32(offset + 8, true),
  };
}

/** `struct rl_interface_name`, 40 bytes. */
export interface RlInterfaceName {
  readonly netns: number;
  readonly type: number;
  readonly hardHeaderLength: number;
  readonly name: string;
  readonly driver: string;
}
export const RL_INTERFACE_NAME_SIZE = 40;
export const RL_INTERFACE_NAME_OFFSET = {
  netns: 0,
  type: 4,
  hardHeaderLength: 6,
  name: 8,
  driver: 24,
} as const;
export function readRlInterfaceName(view: DataView, offset: number): RlInterfaceName {
  return {
    netns: view.getUint32(offset, true),
    type: view.getUint16(offset + 4, true),
    hardHeaderLength: view.getUint16(offset + 6, true),
    name: readText(view, offset + 8, 16),
    driver: readText(view, offset + 24, 16),
  };
}

/** `struct rl_process`, 384 bytes. */
export interface RlProcess {
  readonly startNs: bigint;
  readonly exitNs: bigint;
  readonly tgid: number;
  readonly generation: number;
  readonly uid: number;
  readonly execs: number;
  readonly name: string;
  readonly firstSeenNs: bigint;
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
  execs: 28,
  name: 32,
  firstSeenNs: 48,
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
    execs: view.getUint32(offset + 28, true),
    name: readText(view, offset + 32, 16),
    firstSeenNs: view.getBigUint64(offset + 48, true),
    wireRx: readRlWire(view, offset + 64),
    wireTx: readRlWire(view, offset + 128),
    unsent: readRlWire(view, offset + 144),
    payload: readArray(2, (i) => readArray(3, (j) => readArray(3, (k) => readU64(view, offset + 192 + i * 72 + j * 24 + k * 8)))),
  };
}

/** `struct rl_process_details`, 816 bytes. */
export interface RlProcessDetails {
  readonly startNs: bigint;
  readonly cgroupId: number;
  readonly tgid: number;
  readonly parentTgid: number;
  readonly netns: number;
  readonly pidns: number;
  readonly uid: number;
  readonly executableLength: number;
  readonly commandLength: number;
  readonly cgroupLength: number;
  readonly executable: Uint8Array;
  readonly command: Uint8Array;
  readonly cgroup: Uint8Array;
}
export const RL_PROCESS_DETAILS_SIZE = 816;
export const RL_PROCESS_DETAILS_OFFSET = {
  startNs: 0,
  cgroupId: 8,
  tgid: 16,
  parentTgid: 20,
  netns: 24,
  pidns: 28,
  uid: 32,
  executableLength: 36,
  commandLength: 38,
  cgroupLength: 40,
  executable: 48,
  command: 304,
  cgroup: 560,
} as const;
export function readRlProcessDetails(view: DataView, offset: number): RlProcessDetails {
  return {
    startNs: view.getBigUint64(offset, true),
    cgroupId: readU64(view, offset + 8),
    tgid: view.getUint32(offset + 16, true),
    parentTgid: view.getUint32(offset + 20, true),
    netns: view.getUint32(offset + 24, true),
    pidns: view.getUint32(offset + 28, true),
    uid: view.getUint32(offset + 32, true),
    executableLength: view.getUint16(offset + 36, true),
    commandLength: view.getUint16(offset + 38, true),
    cgroupLength: view.getUint16(offset + 40, true),
    executable: readBytes(view, offset + 48, 256),
    command: readBytes(view, offset + 304, 256),
    cgroup: readBytes(view, offset + 560, 256),
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

/** `struct rl_socket`, 88 bytes. */
export interface RlSocket {
  readonly owner: number;
  readonly ownerGeneration: number;
  readonly claim: number;
  readonly protocol: number;
  readonly scope: Uint8Array;
  readonly pendingSinceNs: bigint;
  readonly pending: readonly RlWire[];
  readonly payload: readonly number[];
  readonly copiedSeq: number;
  readonly urgentSeq: number;
  readonly copiedValid: number;
  readonly urgentValid: number;
}
export const RL_SOCKET_SIZE = 88;
export const RL_SOCKET_OFFSET = {
  owner: 0,
  ownerGeneration: 4,
  claim: 8,
  protocol: 9,
  scope: 10,
  pendingSinceNs: 16,
  pending: 24,
  payload: 56,
  copiedSeq: 72,
  urgentSeq: 76,
  copiedValid: 80,
  urgentValid: 81,
} as const;
export function readRlSocket(view: DataView, offset: number): RlSocket {
  return {
    owner: view.getUint32(offset, true),
    ownerGeneration: view.getUint32(offset + 4, true),
    claim: view.getUint8(offset + 8),
    protocol: view.getUint8(offset + 9),
    scope: readBytes(view, offset + 10, 2),
    pendingSinceNs: view.getBigUint64(offset + 16, true),
    pending: readArray(2, (i) => readRlWire(view, offset + 24 + i * 16)),
    payload: readArray(2, (i) => readU64(view, offset + 56 + i * 8)),
    copiedSeq: view.getUint32(offset + 72, true),
    urgentSeq: view.getUint32(offset + 76, true),
    copiedValid: view.getUint8(offset + 80),
    urgentValid: view.getUint8(offset + 81),
  };
}

/** `struct rl_socket_record`, 128 bytes. */
export interface RlSocketRecord {
  readonly cookie: number;
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
  readonly localAddress: Uint8Array;
  readonly remoteAddress: Uint8Array;
}
export const RL_SOCKET_RECORD_SIZE = 128;
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
  localAddress: 96,
  remoteAddress: 112,
} as const;
export function readRlSocketRecord(view: DataView, offset: number): RlSocketRecord {
  return {
    cookie: readU64(view, offset),
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
    localAddress: readBytes(view, offset + 96, 16),
    remoteAddress: readBytes(view, offset + 112, 16),
  };
}

/** `struct rl_thread`, 4 bytes. */
export interface RlThread {
  readonly slot: number;
}
export const RL_THREAD_SIZE = 4;
export const RL_THREAD_OFFSET = {
  slot: 0,
} as const;
export function readRlThread(view: DataView, offset: number): RlThread {
  return {
    slot: view.getUint32(offset, true),
  };
}

/** `struct rl_totals`, 192 bytes. */
export interface RlTotals {
  readonly objectId: number;
  readonly unattributed: readonly (readonly RlWire[])[];
  readonly lost: readonly number[];
  readonly slotsUsed: number;
  readonly sinceNs: bigint;
}
export const RL_TOTALS_SIZE = 192;
export const RL_TOTALS_OFFSET = {
  objectId: 0,
  unattributed: 8,
  lost: 136,
  slotsUsed: 176,
  sinceNs: 184,
} as const;
export function readRlTotals(view: DataView, offset: number): RlTotals {
  return {
    objectId: readU64(view, offset),
    unattributed: readArray(4, (i) => readArray(2, (j) => readRlWire(view, offset + 8 + i * 32 + j * 16))),
    lost: readArray(5, (i) => readU64(view, offset + 136 + i * 8)),
    slotsUsed: readU64(view, offset + 176),
    sinceNs: view.getBigUint64(offset + 184, true),
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
    enum: 'rl_lost',
    values: {
      RL_LOST_PROCESS: 0,
      RL_LOST_SOCKET: 1,
      RL_LOST_INTERFACE: 2,
      RL_LOST_DETAILS: 3,
      RL_LOST_EVENT: 4,
      RL_LOSSES: 5,
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
      RL_UNATTRIBUTED: 4,
    },
  },
  {
    struct: 'rl_interface',
    size: 160,
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
    size: 72,
    fields: {
      device_bytes: [0, 'u64'],
      device_packets: [8, 'u64'],
      segmented_bytes: [16, 'u64'],
      ip: [24, 'struct rl_wire'],
      non_ip: [40, 'struct rl_wire'],
      forwarded: [56, 'struct rl_wire'],
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
    size: 40,
    fields: {
      netns: [0, 'u32'],
      type: [4, 'u16'],
      hard_header_length: [6, 'u16'],
      name: [8, 'char[16]'],
      driver: [24, 'char[16]'],
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
      execs: [28, 'u32'],
      name: [32, 'char[16]'],
      first_seen_ns: [48, 'u64'],
      reserved: [56, 'u64'],
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
    size: 816,
    fields: {
      start_ns: [0, 'u64'],
      cgroup_id: [8, 'u64'],
      tgid: [16, 'u32'],
      parent_tgid: [20, 'u32'],
      netns: [24, 'u32'],
      pidns: [28, 'u32'],
      uid: [32, 'u32'],
      executable_length: [36, 'u16'],
      command_length: [38, 'u16'],
      cgroup_length: [40, 'u16'],
      reserved: [42, 'u16[3]'],
      executable: [48, 'u8[256]'],
      command: [304, 'u8[256]'],
      cgroup: [560, 'u8[256]'],
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
    struct: 'rl_socket',
    size: 88,
    fields: {
      owner: [0, 'u32'],
      owner_generation: [4, 'u32'],
      claim: [8, 'u8'],
      protocol: [9, 'u8'],
      scope: [10, 'u8[2]'],
      reserved: [12, 'u32'],
      pending_since_ns: [16, 'u64'],
      pending: [24, 'struct rl_wire[2]'],
      payload: [56, 'u64[2]'],
      copied_seq: [72, 'u32'],
      urgent_seq: [76, 'u32'],
      copied_valid: [80, 'u8'],
      urgent_valid: [81, 'u8'],
      reserved2: [82, 'u8[6]'],
    },
  },
  {
    struct: 'rl_socket_record',
    size: 128,
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
      reserved: [92, 'u32'],
      local_address: [96, 'u8[16]'],
      remote_address: [112, 'u8[16]'],
    },
  },
  {
    struct: 'rl_thread',
    size: 4,
    fields: {
      slot: [0, 'u32'],
    },
  },
  {
    struct: 'rl_totals',
    size: 192,
    fields: {
      object_id: [0, 'u64'],
      unattributed: [8, 'struct rl_wire[4][2]'],
      lost: [136, 'u64[5]'],
      slots_used: [176, 'u64'],
      since_ns: [184, 'u64'],
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
