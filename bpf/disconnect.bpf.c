// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ends the connections of one process, in one network namespace at a time: both sides see them reset.
 *
 * Hooks:  iter/tcp and iter/udp with bpf_sock_destroy (kernel 6.5), on request.
 * Cost:   some 0.2 us a socket, only when asked.
 * Blind:  unconnected UDP sockets with ruled and unruled peers stay where only ruled flows are to go; listeners stay.
 */

extern int bpf_sock_destroy(struct sock_common *sock) __ksym __weak;

static __always_inline bool is_asked_for(struct rl_socket *s, struct rl_destroy *request)
{
	if (!s || s->owner == KERNEL_SLOT || s->owner != request->slot || s->owner_generation != request->generation)
		return false;
	return !request->ruled_only || find_ruling(s->flow);
}

SEC("iter/tcp")
int destroy_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	__u32 zero = 0;
	struct rl_destroy *request = bpf_map_lookup_elem(&destroy_requests, &zero);

	if (!common || !request || common->skc_state == TCP_LISTEN)
		return 0;
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(common);
	struct rl_socket *s = tp ? bpf_sk_storage_get(&sockets, tp, 0, 0) : NULL;
	if (s && is_asked_for(s, request) && bpf_sock_destroy(common) == 0)
		request->destroyed++;
	return 0;
}

SEC("iter/udp")
int destroy_udp(struct bpf_iter__udp *ctx)
{
	struct udp_sock *udp = ctx->udp_sk;
	__u32 zero = 0;
	struct rl_destroy *request = bpf_map_lookup_elem(&destroy_requests, &zero);

	if (!udp || !request)
		return 0;
	struct sock_common *common = (void *)udp;
	struct rl_socket *s = bpf_sk_storage_get(&sockets, udp, 0, 0);
	if (!s || !is_asked_for(s, request) || (request->ruled_only && !common->skc_dport))
		return 0;
	if (bpf_sock_destroy(common) == 0)
		request->destroyed++;
	return 0;
}
