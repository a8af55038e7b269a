// SPDX-License-Identifier: GPL-2.0-only
/*
 * How fast may this TCP connection go? Each connection that a rate policy holds is paced to the policy's fair rate,
 * with a congestion window to match, so that nothing has to be dropped. TCP's own pacing needs no fq.
 *
 * Hooks:  sockops on the root cgroup: sockets that are about to connect or listen, the first window of those whose
 *         process is held, connections as they are established, and at each round trip and acknowledgement of those that
 *         are held; attached while a rate policy is installed.
 *         iter/tcp, on request, in one network namespace at a time: those that were there before, and those that no
 *         policy holds any more.
 * Cost:   some 150 ns an acknowledgement of a connection that is held; nothing for others once they are established.
 * Blind:  a connection whose rate is changed waits out the pause that it has begun under the old one. Callbacks that
 *         another program takes away (it sets the flags of all programs) are asked for again where that is seen: by what
 *         is received and not answered.
 */

/* A window below this stalls on delayed acknowledgements. */
#define CLAMP_MIN 4
#define NO_CLAMP 0x7fffffff

/* The pace that the policies ask for; 0 for none. */
__noinline __u64 pace_of(struct rl_socket *s)
{
	__u64 held_to = held_to_by_owner(s);
	__u64 pace = 0;

	if (!s)
		return 0;
	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		struct rl_policy *policy = policy_at(held_to, place);
		if (!policy)
			break;
		if (!limits(policy, RL_TX))
			continue;
		if (policy->flags & RL_POLICY_RELAY && !find_ruling(s->flow))
			continue;
		struct rl_allowance *a = rated_allowance(policy, RL_TX);
		if (!a)
			continue;
		__u64 fair = a->fair_rate;
		if (!pace || fair < pace)
			pace = fair;
	}
	return pace > 0xfffffffe ? 0 : pace;
}

/* The callbacks that the policies need now or later. */
__noinline __u32 wanted_callbacks(struct rl_socket *s)
{
	__u64 held_to = held_to_by_owner(s);
	__u32 wanted = 0;

	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		struct rl_policy *policy = policy_at(held_to, place);
		if (!policy)
			break;
		__u32 flags = policy->flags;
		if (flags & (RL_POLICY_SENT | RL_POLICY_QUOTA_THROTTLE))
			wanted |= BPF_SOCK_OPS_RTT_CB_FLAG;
		if (flags & (RL_POLICY_RECEIVED | RL_POLICY_QUOTA_THROTTLE) && !(flags & RL_POLICY_RELAY))
			wanted |= BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
	}
	return wanted;
}

/* Two round trips' worth, and a millisecond, as super-packets are made for that long. */
static __always_inline __u32 clamp_for(__u64 pace, __u32 srtt_us, __u32 mss)
{
	__u64 segments = pace * ((srtt_us >> 2) + 1000) / 1000000 / (mss ? mss : NOMINAL_SEGMENT);
	return segments > 1000000 ? NO_CLAMP : CLAMP_MIN + segments;
}

static __always_inline bool is_near(__u64 a, __u64 b, __u32 shift)
{
	__u64 difference = a > b ? a - b : b - a;
	return difference <= b >> shift;
}

#define PACE(context, held, pace, srtt_us, mss) \
	({ \
		if (!is_near(pace, (held)->pacing, 7)) { \
			int own = ~0; \
			if (!bpf_getsockopt(context, SOL_SOCKET, SO_MAX_PACING_RATE, &own, sizeof(own)) && \
			    (__u32)own != (held)->pacing) \
				(held)->own_pacing = (__u32)own; \
			__u32 asked = (held)->own_pacing < (pace) ? (held)->own_pacing : (pace); \
			SET(context, SOL_SOCKET, SO_MAX_PACING_RATE, asked); \
			(held)->pacing = asked; \
		} \
		__u32 clamp = clamp_for(pace, srtt_us, mss); \
		if (!is_near(clamp, (held)->clamp, 3)) { \
			SET(context, SOL_TCP, TCP_BPF_SNDCWND_CLAMP, clamp); \
			(held)->clamp = clamp; \
		} \
	})

#define RELEASE(context, held) \
	({ \
		if ((held)->pacing) { \
			int now = 0; \
			bpf_getsockopt(context, SOL_SOCKET, SO_MAX_PACING_RATE, &now, sizeof(now)); \
			if ((__u32)now == (held)->pacing) \
				SET(context, SOL_SOCKET, SO_MAX_PACING_RATE, (held)->own_pacing); \
			(held)->pacing = 0; \
		} \
		if ((held)->clamp) { \
			SET(context, SOL_TCP, TCP_BPF_SNDCWND_CLAMP, NO_CLAMP); \
			(held)->clamp = 0; \
			(held)->is_wide = 0; \
		} \
	})

/* A connection that is established counts as active at once: the others make room before it has sent anything. */
static __always_inline void count_flow(struct rl_socket *s, struct rl_held *held, enum rl_direction direction)
{
	struct parcel parcel = {.now = bpf_ktime_get_ns(), .is_stream = true, .by_window = direction == RL_RX};
	__u64 held_to = held_to_by_owner(s);
	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		struct rl_policy *policy = policy_at(held_to, place);
		if (!policy)
			break;
		if (!limits(policy, direction) || policy->flags & RL_POLICY_RELAY)
			continue;
		struct rl_allowance *a = get_allowance(policy, direction);
		struct rl_share *own = get_share(held, direction, place);
		if (a->limit_rate && own->epoch != a->epoch + 1)
			join(a, own, &parcel);
	}
}

/* A connection's callbacks are one for all programs: what another one has asked for is left as it is. */
static __always_inline __u32 callbacks_for(struct rl_socket *s, __u32 flags, __u32 wanted)
{
	__u32 added = wanted & ~flags, dropped = s->callbacks & ~wanted;

	s->callbacks = (s->callbacks | added) & wanted;
	return (flags | added) & ~dropped;
}

/* What holds for the listener whose request this is: hold_packet() has just seen its SYN. */
static __always_inline __u64 held_to_by_call(struct bpf_sock_ops *ctx)
{
	__u32 zero = 0;
	struct rl_call *call = bpf_map_lookup_elem(&last_call, &zero);

	if (!call || call->local_port != ctx->local_port || call->remote_port != bpf_ntohl(ctx->remote_port))
		return 0;
	return call->held_to;
}

SEC("sockops")
int hold_connections(struct bpf_sock_ops *ctx)
{
	__u32 op = ctx->op;
	bool established = op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB || op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB;
	bool offers = op == BPF_SOCK_OPS_HDR_OPT_LEN_CB && ctx->args[0] != BPF_WRITE_HDR_TCP_CURRENT_MSS;

	bool prepares = op == BPF_SOCK_OPS_TCP_CONNECT_CB || op == BPF_SOCK_OPS_TCP_LISTEN_CB;
	bool begins = op == BPF_SOCK_OPS_RWND_INIT;

	if (!established && !offers && !prepares && !begins && op != BPF_SOCK_OPS_RTT_CB)
		return 1;
	struct bpf_sock *sk = ctx->sk;
	if (begins) {
		__u32 window = first_window(sk ? held_to_by_owner(bpf_sk_storage_get(&sockets, sk, 0, 0)) : held_to_by_call(ctx));
		if (window)
			ctx->reply = window;
		return 1;
	}
	struct rl_socket *s = sk ? bpf_sk_storage_get(&sockets, sk, 0, 0) : NULL;
	if (!s)
		return 1;
	__u32 wanted = wanted_callbacks(s);
	if (prepares) {
		struct rl_held *held = NULL;
		if (wanted & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG)
			held = bpf_sk_storage_get(&held_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (held)
			LIMIT_SCALE(ctx, held);
		return 1;
	}
	/* Accepted and not touched yet: it may become another process's. */
	if (s->claim == RL_CLAIM_LISTENER)
		wanted |= BPF_SOCK_OPS_RTT_CB_FLAG;
	__u32 flags = ctx->bpf_sock_ops_cb_flags, next = callbacks_for(s, flags, wanted);
	if (next != flags)
		bpf_sock_ops_cb_flags_set(ctx, next);
	if (established && !wanted)
		return 1;
	__u64 pace = offers ? 0 : pace_of(s);
	bool has_window = wanted & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
	struct rl_held *held =
		bpf_sk_storage_get(&held_sockets, sk, 0, pace || has_window ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	if (!held)
		return 1;
	if (has_window && established)
		count_flow(s, held, RL_RX);
	if (has_window)
		OFFER(ctx, held, s, ctx->srtt_us >> 3);
	else if (held->window)
		WITHDRAW(ctx, held);
	if (offers)
		return 1;
	if (!pace) {
		RELEASE(ctx, held);
		return 1;
	}
	if (established) {
		count_flow(s, held, RL_TX);
		pace = pace_of(s);
		/* What passes in a tenth of a second, and a round trip; Linux begins with ten. */
		__u64 window = pace * ((ctx->srtt_us >> 3) + 100000) / 1000000 / NOMINAL_SEGMENT;
		if (window < 10)
			SET(ctx, SOL_TCP, TCP_BPF_IW, window > 2 ? (int)window : 2);
	}
	PACE(ctx, held, pace, ctx->srtt_us, ctx->mss_cache);
	return 1;
}

/* Every connection of a network namespace as the policies now want it: held, or given back what it had. */
SEC("iter/tcp")
int pace_connections(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	if (!common)
		return 0;
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(common);
	if (!tp)
		return 0;
	struct rl_socket *s = bpf_sk_storage_get(&sockets, tp, 0, 0);
	if (!s)
		return 0;
	if (common->skc_state == TCP_LISTEN) {
		struct rl_process *p = get_process(s->owner);
		bool is_known = p && s->owner != KERNEL_SLOT && p->generation == s->owner_generation;
		note_listener(s, is_known ? p->policies : 0, common->skc_net.net->ns.inum, common->skc_num, true);
		bool has_window = wanted_callbacks(s) & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
		struct rl_held *held =
			bpf_sk_storage_get(&held_sockets, tp, 0, has_window ? BPF_SK_STORAGE_GET_F_CREATE : 0);
		if (held && has_window)
			LIMIT_SCALE(tp, held);
		else if (held)
			WITHDRAW(tp, held);
		return 0;
	}
	int flags = 0;
	if (bpf_getsockopt(tp, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, &flags, sizeof(flags)))
		flags = 0;
	__u32 wanted = wanted_callbacks(s);
	__u32 next = callbacks_for(s, flags, wanted);
	if (next != (__u32)flags)
		SET(tp, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, next);
	__u64 pace = wanted ? pace_of(s) : 0;
	bool has_window = wanted & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
	struct rl_held *held =
		bpf_sk_storage_get(&held_sockets, tp, 0, pace || has_window ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	if (!held)
		return 0;
	if (!has_window)
		WITHDRAW(tp, held);
	if (pace) {
		bool is_new = !held->clamp;
		PACE(tp, held, pace, tp->srtt_us, tp->mss_cache);
		if (is_new && tp->snd_cwnd > held->clamp)
			held->is_wide = 1;
	} else {
		RELEASE(tp, held);
	}
	return 0;
}
