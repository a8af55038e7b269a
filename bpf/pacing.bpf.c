// SPDX-License-Identifier: GPL-2.0-only
/*
 * How fast may this TCP connection go? Each connection that a rate policy holds is paced to the policy's fair rate,
 * with a congestion window to match, so that nothing has to be dropped. TCP's own pacing needs no fq.
 *
 * Hooks:  sockops on the root cgroup: connections as they are established, and at each round trip of those that are
 *         held; attached while a rate policy is installed. iter/tcp, on request, in one network namespace at a time:
 *         those that were there before, and those that no policy holds any more.
 * Cost:   some 150 ns an acknowledgement of a connection that is held; nothing for others once they are established.
 * Blind:  a connection whose rate is changed waits out the pause that it has begun under the old one.
 */

/* A window below this stalls on delayed acknowledgements. */
#define CLAMP_MIN 4
#define NO_CLAMP 0x7fffffff

/* The pace that the policies ask for; 0 for none. */
__noinline __u64 pace_of(struct rl_socket *s)
{
	__u64 pace = 0;

	if (!s || s->owner == KERNEL_SLOT)
		return 0;
	struct rl_process *p = get_process(s->owner);
	if (!p || p->generation != s->owner_generation)
		return 0;
	__u64 held_to = p->policies;
	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		__u32 number = policy_number(held_to, place);
		if (!number)
			break;
		struct rl_policy *policy = get_policy(number);
		if (!policy || !limits(policy, RL_TX))
			continue;
		if (policy->flags & RL_POLICY_RELAY && !find_ruling(s->flow))
			continue;
		__u64 rate = get_limit(policy)->rate_bytes_per_second;
		struct rl_allowance *a = &policy->allowances[RL_TX];
		if (!rate)
			continue;
		if (a->limit_rate != rate)
			begin_allowance(a, rate, bpf_ktime_get_ns());
		__u64 fair = a->fair_rate;
		if (!pace || fair < pace)
			pace = fair;
	}
	return pace > 0xfffffffe ? 0 : pace;
}

/* Whether the policies may ask for a pace now or later, so that it has to be looked at. */
__noinline int may_be_paced(struct rl_socket *s)
{
	struct rl_process *p = s ? get_process(s->owner) : NULL;

	if (!p || s->owner == KERNEL_SLOT || p->generation != s->owner_generation)
		return false;
	__u64 held_to = p->policies;
	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		__u32 number = policy_number(held_to, place);
		struct rl_policy *policy = number ? get_policy(number) : NULL;
		if (policy && policy->flags & (RL_POLICY_SENT | RL_POLICY_RECEIVED | RL_POLICY_QUOTA_THROTTLE))
			return true;
	}
	return false;
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

/* The same for both kinds of context that may set a connection's options: sockops and iterators. */
#define SET(context, level, option, value) \
	({ \
		int option_value = (value); \
		bpf_setsockopt(context, level, option, &option_value, sizeof(option_value)); \
	})

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
		} \
	})

static __always_inline void count_flow(struct rl_socket *s, struct rl_held *held)
{
	struct rl_process *p = get_process(s->owner);
	if (!p)
		return;
	struct parcel parcel = {.now = bpf_ktime_get_ns(), .is_stream = true};
	__u64 held_to = p->policies;
	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		__u32 number = policy_number(held_to, place);
		struct rl_policy *policy = number ? get_policy(number) : NULL;
		if (!policy || !limits(policy, RL_TX))
			continue;
		struct rl_allowance *a = &policy->allowances[RL_TX];
		if (a->limit_rate && held->epochs[RL_TX][place] != a->epoch + 1)
			join(a, held, place, RL_TX, &parcel);
	}
}

SEC("sockops")
int hold_connections(struct bpf_sock_ops *ctx)
{
	__u32 op = ctx->op;
	bool established = op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB || op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB;

	if (!established && op != BPF_SOCK_OPS_RTT_CB)
		return 1;
	struct bpf_sock *sk = ctx->sk;
	struct rl_socket *s = sk ? bpf_sk_storage_get(&sockets, sk, 0, 0) : NULL;
	if (!s)
		return 1;
	bool accepted_untouched = s->claim == RL_CLAIM_LISTENER;
	if (established) {
		if (!accepted_untouched && !may_be_paced(s))
			return 1;
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_RTT_CB_FLAG);
	}
	__u64 pace = pace_of(s);
	if (!pace) {
		struct rl_held *held = bpf_sk_storage_get(&held_sockets, sk, 0, 0);
		if (held)
			RELEASE(ctx, held);
		if (!established && !accepted_untouched && !may_be_paced(s))
			bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_RTT_CB_FLAG);
		return 1;
	}
	struct rl_held *held = bpf_sk_storage_get(&held_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!held) {
		count_lost(RL_LOST_SOCKET);
		return 1;
	}
	if (established) {
		count_flow(s, held);
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
	if (!tp || common->skc_state == TCP_LISTEN)
		return 0;
	struct rl_socket *s = bpf_sk_storage_get(&sockets, tp, 0, 0);
	if (!s)
		return 0;
	int flags = 0;
	if (bpf_getsockopt(tp, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, &flags, sizeof(flags)))
		flags = 0;
	bool wanted = may_be_paced(s);
	if (wanted != !!(flags & BPF_SOCK_OPS_RTT_CB_FLAG))
		SET(tp, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, flags ^ BPF_SOCK_OPS_RTT_CB_FLAG);
	__u64 pace = wanted ? pace_of(s) : 0;
	if (!pace) {
		struct rl_held *held = bpf_sk_storage_get(&held_sockets, tp, 0, 0);
		if (held)
			RELEASE(tp, held);
		return 0;
	}
	struct rl_held *held = bpf_sk_storage_get(&held_sockets, tp, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!held) {
		count_lost(RL_LOST_SOCKET);
		return 0;
	}
	PACE(tp, held, pace, tp->srtt_us, tp->mss_cache);
	return 0;
}
