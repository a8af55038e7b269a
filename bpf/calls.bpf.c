// SPDX-License-Identifier: GPL-2.0-only
/*
 * The same as payload.bpf.c's sock_send_length and sock_recv_length, where the kernel has not got these: what each kind of
 * socket's own send and receive functions return.
 *
 * Hooks:  fexit on the functions that sock_sendmsg(), sock_recvmsg() and sock_sendpage() call, kernels before 6.3.
 * Cost:   as payload.bpf.c, and a trampoline.
 * Blind:  other families that a module brings.
 */

#define COUNT_SENDMSG(function)                                                                           \
	SEC("fexit/" #function)                                                                           \
	int BPF_PROG(function, struct socket *socket, struct msghdr *message, __u64 size, int result)     \
	{                                                                                                 \
		return count_send(socket->sk, result);                                         \
	}

#define COUNT_RECVMSG(function)                                                                           \
	SEC("fexit/" #function)                                                                           \
	int BPF_PROG(function, struct socket *socket, struct msghdr *message, __u64 size, int flags, int result) \
	{                                                                                                 \
		return count_receive(socket->sk, result, flags);                               \
	}

COUNT_SENDMSG(inet_sendmsg)
COUNT_SENDMSG(inet6_sendmsg)
COUNT_SENDMSG(packet_sendmsg)
COUNT_SENDMSG(unix_stream_sendmsg)
COUNT_SENDMSG(unix_dgram_sendmsg)
COUNT_RECVMSG(inet_recvmsg)
COUNT_RECVMSG(inet6_recvmsg)
COUNT_RECVMSG(sock_common_recvmsg) /* raw and ping sockets over IPv6 */
COUNT_RECVMSG(packet_recvmsg)
COUNT_RECVMSG(unix_stream_recvmsg)
COUNT_RECVMSG(unix_dgram_recvmsg)

SEC("fexit/unix_stream_sendpage")
int BPF_PROG(unix_stream_sendpage, struct socket *socket, struct page *page, int offset, __u64 size, int flags, int result)
{
	return count_send(socket->sk, result);
}

/* sendfile and splice. A protocol without a function for pages sends them by inet_sendmsg(). */
SEC("fexit/inet_sendpage")
int BPF_PROG(inet_sendpage, struct socket *socket, struct page *page, int offset, __u64 size, int flags, int result)
{
	struct proto___before_6_5 *operations = (void *)socket->sk->__sk_common.skc_prot;

	if (!BPF_CORE_READ(operations, sendpage))
		return 0;
	return count_send(socket->sk, result);
}
