import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { BpfError } from './errors.ts';
import { lastErrno, libc } from './libbpf.ts';

/** A TCP or UDP socket as the kernel looks it up: addresses in network byte order, 16 bytes, IPv4 in the first four. */
export interface DiagnosedSocket {
  /** AF_INET or AF_INET6. */
  family: number;
  /** IPPROTO_TCP, IPPROTO_UDP or IPPROTO_UDPLITE. */
  protocol: number;
  localPort: number;
  remotePort: number;
  localAddress: Uint8Array;
  remoteAddress: Uint8Array;
  /** The interface that it is bound to; 0 for none. */
  ifindex: number;
  /** Tells it from the next socket between the same addresses. */
  cookie: bigint;
}

/* include/uapi/linux/{netlink,sock_diag,inet_diag}.h */
const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 0o2000003;
const NETLINK_SOCK_DIAG = 4;
const SOCK_DESTROY = 21;
const NLM_F_REQUEST_ACK = 1 | 4;
const NLMSG_ERROR = 2;
const HEADER_SIZE = 16;
const REQUEST_SIZE = 56; // struct inet_diag_req_v2
const ANSWER_SIZE = 256;

/**
 * SOCK_DIAG in the network namespace that the calling thread is in as it is opened. It ends sockets without BPF, where
 * the kernel has CONFIG_INET_DIAG_DESTROY (4.9 for UDP, 4.5 for TCP); needs CAP_NET_ADMIN there.
 */
export class SocketDiag implements Disposable {
  readonly #fd: number;
  #sequence = 0;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** @throws BPF_SOCKET_DIAG on a kernel without CONFIG_INET_DIAG */
  static open(): SocketDiag {
    const fd = libc().socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0) throw new BpfError('BPF_SOCKET_DIAG', 'cannot open SOCK_DIAG', { errno: lastErrno() });
    return new SocketDiag(fd);
  }

  /**
   * Ends a socket: both sides of a connection see it reset.
   * @returns false where there is no such socket any more
   * @throws BPF_SOCKET_DIAG where this kernel ends none, or the caller may not
   */
  destroy(socket: DiagnosedSocket): boolean {
    const request = encodeRequest(socket, ++this.#sequence);
    const answer = Buffer.alloc(ANSWER_SIZE);
    const { send, recv } = libc();
    const isSent = send(this.#fd, request, request.length, 0) === request.length;
    const length = isSent ? recv(this.#fd, answer, answer.length, 0) : -1;
    if (length < 0) throw new BpfError('BPF_SOCKET_DIAG', 'cannot ask SOCK_DIAG', { errno: lastErrno() });
    const errno = readAnswer(answer.subarray(0, length), this.#sequence);
    if (errno === constants.errno.ENOENT || errno === constants.errno.ESTALE) return false;
    if (errno !== 0) throw new BpfError('BPF_SOCKET_DIAG', 'SOCK_DIAG ends no socket', { errno, hint: HINT });
    return true;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

const HINT = 'it takes a kernel with CONFIG_INET_DIAG_DESTROY, or 6.5 or newer';

/** A netlink header and `struct inet_diag_req_v2`. Pure. */
export function encodeRequest(socket: DiagnosedSocket, sequence: number): Buffer {
  const request = Buffer.alloc(HEADER_SIZE + REQUEST_SIZE);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt16LE(SOCK_DESTROY, 4);
  request.writeUInt16LE(NLM_F_REQUEST_ACK, 6);
  request.writeUInt32LE(sequence, 8);
  const at = HEADER_SIZE;
  request.writeUInt8(socket.family, at);
  request.writeUInt8(socket.protocol, at + 1);
  request.writeUInt32LE(0xffff_ffff, at + 4); // in any state
  request.writeUInt16BE(socket.localPort, at + 8);
  request.writeUInt16BE(socket.remotePort, at + 10);
  request.set(socket.localAddress.subarray(0, 16), at + 12);
  request.set(socket.remoteAddress.subarray(0, 16), at + 28);
  request.writeUInt32LE(socket.ifindex, at + 44);
  request.writeBigUInt64LE(socket.cookie, at + 48);
  return request;
}

function readAnswer(answer: Buffer, sequence: number): number {
  const isAnswer =
    answer.length >= HEADER_SIZE + 4 && answer.readUInt16LE(4) === NLMSG_ERROR && answer.readUInt32LE(8) === sequence;
  if (!isAnswer) throw new BpfError('BPF_SOCKET_DIAG', 'SOCK_DIAG has answered something else');
  return -answer.readInt32LE(HEADER_SIZE);
}
