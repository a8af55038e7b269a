/** Each program of the object: in which order they are attached, and what is lost where a kernel lacks one. */

export interface Hook {
  program: string;
  /** Where it attaches, as its SEC() says. */
  section: string;
  /** Without it nothing can be accounted for. */
  required?: boolean;
  /** What is lost without it, in words; for `doctor` and `/v1/status`. */
  consequence: string;
}

const OWNERS: readonly Hook[] = [
  {
    program: 'sched_process_exec',
    section: 'tp_btf/sched_process_exec',
    consequence: 'a process that calls exec after its first packet keeps its old name',
  },
  {
    program: 'task_rename',
    section: 'tp_btf/task_rename',
    consequence: 'a process that renames itself keeps its old name',
  },
  {
    program: 'sched_process_exit',
    section: 'tp_btf/sched_process_exit',
    consequence: 'processes that end are noticed late',
  },
  { program: 'sock_create', section: 'cgroup/sock_create', required: true, consequence: 'sockets have no owner' },
  {
    program: 'inet_sock_set_state',
    section: 'tp_btf/inet_sock_set_state',
    consequence: 'MPTCP subflows and connections nobody accepts have no owner',
  },
  {
    program: 'post_bind4',
    section: 'cgroup/post_bind4',
    consequence: 'IPv4 sockets passed on before bind keep their maker as owner',
  },
  {
    program: 'post_bind6',
    section: 'cgroup/post_bind6',
    consequence: 'IPv6 sockets passed on before bind keep their maker as owner',
  },
  {
    program: 'connect4',
    section: 'cgroup/connect4',
    consequence: 'IPv4 sockets passed on before connect keep their maker as owner',
  },
  {
    program: 'connect6',
    section: 'cgroup/connect6',
    consequence: 'IPv6 sockets passed on before connect keep their maker as owner',
  },
  {
    program: 'sendmsg4',
    section: 'cgroup/sendmsg4',
    consequence: 'unconnected UDP over IPv4: what is sent counts as public',
  },
  {
    program: 'sendmsg6',
    section: 'cgroup/sendmsg6',
    consequence: 'unconnected UDP over IPv6: what is sent counts as public',
  },
  {
    program: 'recvmsg4',
    section: 'cgroup/recvmsg4',
    consequence: 'unconnected UDP over IPv4: what is received counts as public',
  },
  {
    program: 'recvmsg6',
    section: 'cgroup/recvmsg6',
    consequence: 'unconnected UDP over IPv6: what is received counts as public',
  },
  {
    program: 'sock_release',
    section: 'cgroup/sock_release',
    consequence: 'connections closed unread count as their listener’s',
  },
];

const LENGTHS: readonly Hook[] = [
  {
    program: 'sock_send_length',
    section: 'tp_btf/sock_send_length',
    consequence: 'payload that is sent is not counted',
  },
  {
    program: 'sock_recv_length',
    section: 'tp_btf/sock_recv_length',
    consequence: 'payload received other than by TCP is not counted',
  },
];

/** What a kernel before 6.3 has in their place, by what is lost without. */
const CALLS: readonly Hook[] = Object.entries({
  'payload that is sent over IPv4 is not counted': ['inet_sendmsg'],
  'payload that is sent over IPv6 is not counted': ['inet6_sendmsg'],
  'payload that is sent by sendfile and splice is not counted': ['inet_sendpage'],
  'payload that is sent by AF_PACKET is not counted': ['packet_sendmsg'],
  'payload received other than by TCP over IPv4 is not counted': ['inet_recvmsg'],
  'payload received other than by TCP over IPv6 is not counted': ['inet6_recvmsg'],
  'payload received by raw sockets over IPv6 is not counted': ['sock_common_recvmsg'],
  'payload received by AF_PACKET is not counted': ['packet_recvmsg'],
  'relays whose halves speak over a Unix socket are not found': [
    'unix_stream_sendmsg',
    'unix_stream_recvmsg',
    'unix_stream_sendpage',
    'unix_dgram_sendmsg',
    'unix_dgram_recvmsg',
  ],
}).flatMap(([consequence, functions]) =>
  functions.map((program) => ({ program, section: `fexit/${program}`, consequence })),
);

const COUNTING: readonly Hook[] = [
  {
    program: 'tcp_rcv_space_adjust',
    section: 'tp_btf/tcp_rcv_space_adjust',
    consequence: 'payload received by TCP is not counted',
  },
  {
    program: 'skb_egress',
    section: 'cgroup_skb/egress',
    required: true,
    consequence: 'packets that are sent are not counted',
  },
  {
    program: 'skb_ingress',
    section: 'cgroup_skb/ingress',
    required: true,
    consequence: 'packets that are received are not counted',
  },
  {
    program: 'net_dev_start_xmit',
    section: 'tp_btf/net_dev_start_xmit',
    consequence: 'the books of sent bytes cannot be balanced with the interfaces',
  },
  {
    program: 'kfree_skb',
    section: 'tp_btf/kfree_skb',
    consequence: 'packets dropped before they reached a device stay charged',
  },
  {
    program: 'netif_receive_skb',
    section: 'tp_btf/netif_receive_skb',
    consequence: 'the books of received bytes cannot be balanced with the interfaces',
  },
];

/**
 * Owners before payload, payload before packets: what a later hook charges, an earlier one has named.
 * @param tracesLengths whether sends and receives tell what they returned (kernel 6.3)
 */
export function hooksOf(tracesLengths: boolean): readonly Hook[] {
  return [...OWNERS, ...(tracesLengths ? LENGTHS : CALLS), ...COUNTING];
}

/** Whether it has to be there before anything is charged. */
export function findsOwners(hook: Hook): boolean {
  return OWNERS.includes(hook);
}

/** Iterators: read on request, attached to nothing. */
export const ADOPT_SOCKETS = 'adopt_sockets';
export const DUMP_SOCKETS = 'dump_sockets';
export const SETTLE_SOCKETS = 'settle_sockets';

/** What enforcement needs and accounting does not: loaded and pinned from the start, attached when a policy needs it. */
export const HOLD_CONNECTIONS = 'hold_connections';
export const PACE_CONNECTIONS = 'pace_connections';
/** One copy in each network namespace that needs it; see agent/enforcement/rejections.ts. */
export const REJECT_LOOKUP = 'reject_lookup';
export const NOTE_DATAGRAMS = 'note_datagrams';
export const DESTROY_TCP = 'destroy_tcp';
export const DESTROY_UDP = 'destroy_udp';

export const ENFORCEMENT: readonly Hook[] = [
  {
    program: HOLD_CONNECTIONS,
    section: 'sockops',
    consequence: 'TCP is capped by dropping, which is neither fair nor exact',
  },
  {
    program: PACE_CONNECTIONS,
    section: 'iter/tcp',
    consequence: 'connections that were there before their policy are capped by dropping',
  },
  {
    program: NOTE_DATAGRAMS,
    section: 'iter/udp',
    consequence: 'datagrams of strangers are dropped where a policy says reject',
  },
  {
    program: DESTROY_TCP,
    section: 'iter/tcp',
    consequence: 'TCP connections are disconnected by SOCK_DIAG, one by one (needs kernel 6.5)',
  },
  {
    program: DESTROY_UDP,
    section: 'iter/udp',
    consequence: 'UDP sockets are disconnected by SOCK_DIAG, one by one (needs kernel 6.5)',
  },
];
