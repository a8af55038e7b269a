// SPDX-License-Identifier: GPL-2.0-only
/*
 * May this packet pass? Every policy of the packet's process has one allowance a direction, shared by all flows that
 * it holds: a bucket kept in virtual time, and the rate that is fair for one active flow. TCP is paced to that rate
 * (pacing.bpf.c), so that the bucket hardly ever says no; what is not TCP is dropped beyond it.
 *
 * Hooks:  hold_packet(), called by wire.bpf.c for packets of processes that have policies.
 * Cost:   nothing for a process without policies but one test; two look-ups and four atomic additions for others. Inline:
 *         a call and its return, guarded as they are, would cost as much as a look-up.
 * Blind:  packets without an owner are not held; MPTCP's subflows are, but not paced: what is beyond the bucket is
 *         dropped. A multiplexed connection that carries both own and relayed traffic is held whole once it is ruled.
 */

#define TCP_SYN 0x02
#define TCP_SYN_ACK 0x12
#define TCP_FIN_RST 0x05

/* What cgroup_skb/egress may answer. */
enum {
	DROP = 0,
	PASS = 1,
	DROP_AS_FULL = 2,   /* as a full queue does: UDP's send does not fail */
	PASS_CONGESTED = 3, /* TCP reduces its congestion window to the clamp, as for a congestion mark */
};

/* The coarse clock stands still for a tick, and asking it takes 40 ns where returns are guarded: once a tick is enough. */
static __always_inline __u64 tick_time(struct rl_allowance *a)
{
	__u64 tick = bpf_jiffies64();
	if (a->tick != tick) {
		a->tick_ns = bpf_ktime_get_coarse_ns();
		barrier(); /* who sees the tick sees its time */
		a->tick = tick;
	}
	return a->tick_ns;
}

/*
 * TCP acknowledges every second segment. Where so much has come and no window was offered, another program has taken the
 * callback that offers it away: a window that was closed then would stay so.
 */
#define MOST_UNANSWERED 16

/* What TCP may not send now it sends later, and counts as delayed then. */
static __always_inline void note_held_back(struct rl_allowance *a, const struct parcel *parcel)
{
	a->last_held_back_ns = parcel->now;
	if (!parcel->is_stream)
		__sync_fetch_and_add(&a->throttled_bytes, parcel->payload);
}

static __always_inline bool has_allowance(struct rl_allowance *a, struct rl_share *own, enum rl_direction direction,
					  const struct parcel *parcel)
{
	__u64 now = parcel->now;
	__u64 used = a->used_until_ns;
	__u64 earliest = now - BUCKET_NS;

	if ((__s64)(earliest - used) > 0) {
		a->used_until_ns = used = earliest; /* may lose another CPU's packet: the bucket is full, and nobody is held */
	}
	/* A segment's worth early: a connection that is refused waits for a timer of 200 ms and more. */
	__u64 early = cost_of(NOMINAL_SEGMENT, a->fair_cost);
	bool below_share = (__s64)(now + early - own->used_until_ns) >= 0;
	if ((__s64)(now - used) >= 0)
		return parcel->is_stream || below_share || !a->present_streams;
	if (!parcel->is_stream)
		return false;
	/* What is received of a stream is held by its window; a drop, which is sent again, is for where that fails. */
	if (direction == RL_RX)
		return (__s64)(used - now) < (__s64)(SECOND_NS / 2);
	/* Refused for so long, its timer has backed off: it comes seldom, and must not be sent away again. */
	bool starves = (__s64)(now - own->used_until_ns) > (__s64)SECOND_NS;
	return below_share && (__s64)(used - now) < (__s64)(starves ? SECOND_NS : DEBT_NS);
}

static __always_inline void use_allowance(struct rl_allowance *a, struct rl_share *own, const struct parcel *parcel,
					  __u64 cost, __u64 owed)
{
	__u64 used = own->used_until_ns;
	__u64 earliest = parcel->now - OWN_BUCKET_NS;
	__u64 own_cost = cost_of(parcel->payload, a->fair_cost);

	if (!parcel->by_window && (__s64)(earliest - used) > 0) /* else window_of() sees to it */
		used = earliest;
	own->used_until_ns = used + own_cost;
	__sync_fetch_and_add(&a->used_until_ns, cost_of(parcel->payload, cost) + owed);
	__sync_fetch_and_add(&a->passed_bytes, parcel->payload);
}

/* Reads what is needed of the headers. False where they can't be read. */
static __always_inline bool read_headers(struct __sk_buff *skb, enum rl_protocol protocol, struct parcel *parcel)
{
	__u8 *data = (void *)(long)skb->data;
	__u8 *end = (void *)(long)skb->data_end;
	__u32 header = IPV6_HEADER;

	if (data + IPV4_HEADER + UDP_HEADER > end)
		return false;
	if (data[0] >> 4 == 4)
		header = (data[0] & 15) * 4;
	else if (data[6] == IPPROTO_HOPOPTS)
		header += JUMBO_OPTION;
	if (protocol == RL_TCP) {
		__u8 *tcp = data + header;
		if (tcp + 20 > end)
			return false;
		parcel->begins = (tcp[13] & TCP_SYN_ACK) == TCP_SYN;
		parcel->caller = tcp[0] << 8 | tcp[1];
		parcel->ends = tcp[13] & TCP_FIN_RST;
		header += (tcp[12] >> 4) * 4;
	} else if (protocol == RL_UDP) {
		header += UDP_HEADER;
	}
	parcel->payload = skb->len > header ? skb->len - header : 0;
	return true;
}

/* The flow that a packet belongs to; of a socket that is not connected, by the packet's own addresses. */
static __always_inline __u64 flow_of(struct __sk_buff *skb, struct rl_socket *s, enum rl_direction direction)
{
	struct bpf_sock *sk = skb->sk;
	if (s->protocol != RL_UDP || !sk || sk->dst_port)
		return s->flow;
	struct rl_peer_key key = {.slot = s->owner};
	__u8 *data = (void *)(long)skb->data;
	__u8 *end = (void *)(long)skb->data_end;
	__u32 header = IPV6_HEADER;
	if (data + IPV4_HEADER > end)
		return 0;
	if (data[0] >> 4 == 4) {
		__be32 mapped = bpf_htonl(0xffff);
		header = (data[0] & 15) * 4;
		__builtin_memcpy(key.address + 8, &mapped, 4);
		__builtin_memcpy(key.address + 12, data + (direction == RL_TX ? 16 : 12), 4);
	} else {
		if (data + IPV6_HEADER > end)
			return 0;
		__builtin_memcpy(key.address, data + (direction == RL_TX ? 24 : 8), 16);
	}
	__u8 *udp = data + header + (direction == RL_TX ? 2 : 0);
	if (udp + 2 > end)
		return 0;
	key.port = udp[0] << 8 | udp[1];
	key.cookie = bpf_get_socket_cookie(skb);
	__u64 *flow = bpf_map_lookup_elem(&peer_flows, &key);
	return flow ? *flow : 0;
}

/* Whether somebody who was never sent to wants to talk to a socket that is not connected. */
static __always_inline bool is_stranger(struct __sk_buff *skb, struct rl_socket *s)
{
	struct rl_flow *f = get_flow(flow_of(skb, s, RL_RX));
	return !f || !f->sent;
}

/* Such a socket sends without cgroup/sendmsg, and each of its packets is its own beginning. */
static __always_inline bool is_raw(struct bpf_sock *common)
{
	struct bpf_sock *sk = bpf_sk_fullsock(common);
	if (!sk)
		return false;
	return sk->type == SOCK_RAW || sk->protocol == IPPROTO_ICMP || sk->protocol == IPPROTO_ICMPV6;
}

static __always_inline bool is_refused(struct __sk_buff *skb, struct rl_socket *s, __u64 held_to,
				       enum rl_direction direction)
{
	struct bpf_sock *sk = skb->sk;
	if (!sk || !may_refuse(held_to, direction))
		return false;
	if (direction == RL_TX) /* where a kernel lets MPTCP's subflows connect without cgroup/connect */
		return refuses_packet(held_to, s->protocol == RL_OTHER ? NO_PORT : bpf_ntohs(sk->dst_port), direction);
	if (s->protocol == RL_TCP)
		return sk->state == TCP_LISTEN && refuses_packet(held_to, sk->src_port, direction);
	return is_stranger(skb, s) && refuses_packet(held_to, sk->src_port, direction);
}

/* A later policy refuses what earlier ones have been charged for. */
static __noinline int refund(__u64 held_to, __u32 charged, enum rl_direction direction, __u32 payload)
{
	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		struct rl_policy *policy = charged >> place & 1 ? get_policy(policy_number(held_to, place)) : NULL;
		if (!policy)
			continue;
		struct rl_allowance *a = get_allowance(policy, direction);
		__sync_fetch_and_add(&a->used_until_ns, -cost_of(payload, get_limit(policy)->cost));
		__sync_fetch_and_add(&a->passed_bytes, -(__u64)payload);
	}
	return 0;
}

/* What a ruled flow moved before its ruling, as a cost under this policy; half of the greatest debt at most. */
static __always_inline __u64 cost_before_ruling(struct rl_ruling *ruling, __u64 cost)
{
	__u64 owed = cost_of(ruling->owed_bytes, cost);
	return owed < DEBT_NS / 2 ? owed : DEBT_NS / 2;
}

enum { HELD = 1, REFUSED = 2 };

/* One policy's answer; when it lets the packet pass, it has been charged. */
static __always_inline int ask_policy(struct rl_policy *policy, struct rl_share *own, enum rl_direction direction,
				      const struct parcel *parcel, struct rl_ruling *ruling)
{
	struct rl_allowance *a = get_allowance(policy, direction);
	const struct rl_limit *limit = get_limit(policy);
	__u64 rate = limit->rate_bytes_per_second;

	if (!rate)
		return 0;
	if (a->limit_rate != rate)
		begin_allowance(a, rate, parcel->now);
	__u64 ends = a->epoch_ends_ns;
	if ((__s64)(parcel->now - ends) >= 0 &&
	    __sync_val_compare_and_swap(&a->epoch_ends_ns, ends, parcel->now + SECOND_NS) == ends) {
		if (is_over(policy))
			return 0;
		end_epoch(a, rate, parcel->now);
	}
	if (own->epoch != a->epoch + 1)
		join(a, own, parcel);
	if (!has_allowance(a, own, direction, parcel)) {
		__sync_fetch_and_add(&a->dropped_packets, 1);
		note_held_back(a, parcel);
		if (parcel->is_stream)
			__sync_fetch_and_add(&a->epoch_drops, 1);
		return REFUSED;
	}
	__u64 owed = ruling && ruling->owed_bytes ? cost_before_ruling(ruling, limit->cost) : 0;
	use_allowance(a, own, parcel, limit->cost, owed);
	return HELD;
}

/*
 * For sockops, which is asked next, on this CPU, what window the connection begins with: it is given a request that has
 * no storage, and does not say whose it is.
 */
static __noinline int note_call(struct bpf_sock *sk, __u64 held_to, __u16 caller)
{
	__u32 zero = 0;
	struct rl_call *call = bpf_map_lookup_elem(&last_call, &zero);

	if (!call || !sk)
		return 0;
	call->held_to = held_to;
	call->local_port = sk->src_port;
	call->remote_port = caller;
	return 0;
}

/* A FIN or a reset that passed: the policies count the flow no more. */
static __noinline int end_flow(struct __sk_buff *skb, __u64 held_to, enum rl_direction direction)
{
	struct bpf_sock *sk = skb->sk;
	struct rl_held *held = sk ? bpf_sk_storage_get(&held_sockets, sk, 0, 0) : NULL;
	if (!held)
		return 0;
	__u64 now = bpf_ktime_get_coarse_ns();
	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		__u32 number = policy_number(held_to, place);
		struct rl_policy *policy = number ? get_policy(number) : NULL;
		if (policy)
			leave(get_allowance(policy, direction), get_share(held, direction, place), now);
	}
	return 0;
}

/*
 * Passes, or not. A packet without payload always passes: acknowledgements, SYN and FIN hold nobody up, and TCP would
 * not send them again.
 */
static __always_inline int hold_packet(struct __sk_buff *skb, struct rl_socket *s, __u64 held_to,
				       enum rl_direction direction)
{
	struct bpf_sock *sk = skb->sk;
	struct rl_ruling *ruling = NULL;
	bool looked = false;

	if (!sk)
		return PASS;
	if (s->protocol == RL_OTHER && direction == RL_TX && is_raw(sk) && is_refused(skb, s, held_to, direction))
		return DROP;
	struct parcel parcel = {.is_stream = s->protocol == RL_TCP};
	if (!read_headers(skb, s->protocol, &parcel))
		return PASS;
	bool greets = s->protocol == RL_UDP && direction == RL_RX && !sk->dst_port;
	if ((parcel.begins || greets) && is_refused(skb, s, held_to, direction))
		return DROP;
	if (parcel.begins && direction == RL_RX)
		note_call(sk, held_to, parcel.caller);
	if (!parcel.payload) {
		if (parcel.ends)
			end_flow(skb, held_to, direction);
		return PASS;
	}
	/* What TCP sends carries the time at which it left; for the rest a tick is near enough. */
	parcel.now = direction == RL_TX && parcel.is_stream ? skb->tstamp : 0;
	parcel.by_window = direction == RL_RX && parcel.is_stream;
	parcel.unit = skb->gso_size ? 2 * skb->gso_size : parcel.payload;
	struct rl_held *held = bpf_sk_storage_get(&held_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!held) {
		count_lost(RL_LOST_SOCKET);
		return PASS;
	}
	if (parcel.by_window && held->window)
		held->unanswered++;
	__u32 charged = 0;
	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		__u32 number = policy_number(held_to, place);
		if (!number)
			break;
		struct rl_policy *policy = get_policy(number);
		if (!policy)
			break;
		bool spent = is_spent(policy);
		if (!spent && !limits(policy, direction))
			continue;
		if (policy->flags & RL_POLICY_RELAY) {
			if (!looked) {
				ruling = find_ruling(flow_of(skb, s, direction));
				looked = true;
			}
			if (!ruling)
				continue;
		}
		int answer = REFUSED;
		struct rl_allowance *a = get_allowance(policy, direction);
		if (!parcel.now)
			parcel.now = tick_time(a);
		if (spent) {
			__sync_fetch_and_add(&a->quota_packets, 1);
			note_held_back(a, &parcel);
		} else {
			answer = ask_policy(policy, get_share(held, direction, place), direction, &parcel, ruling);
		}
		if (answer == REFUSED) {
			if (charged)
				refund(held_to, charged, direction, parcel.payload);
			/* TCP takes it as not sent, and tries again. */
			return direction == RL_RX || parcel.is_stream || spent ? DROP : DROP_AS_FULL;
		}
		if (answer != HELD)
			continue;
		/* Always 0, which the verifier can't know: it would follow every combination of policies that have been charged. */
		__u32 unknown = get_limit(policy)->rate_bytes_per_second >> 63;
		charged |= 1U << (place + unknown);
		if (parcel.is_stream && (direction == RL_TX ? !held->pacing : held->unanswered > MOST_UNANSWERED))
			policy->unpaced++;
	}
	if (ruling && ruling->owed_bytes)
		ruling->owed_bytes = 0;
	if (parcel.ends)
		end_flow(skb, held_to, direction);
	/*
	 * A connection from before the policy sends in bursts of its old window, as a clamp alone takes nothing from it.
	 * When TCP is told of congestion, it ends with the window at ssthresh, which the clamp sets as well: set it again.
	 */
	if (direction == RL_TX && held->clamp && parcel.is_stream && (held->is_wide || skb->gso_segs > held->clamp)) {
		held->is_wide = 0;
		held->clamp = 0;
		return charged ? PASS_CONGESTED : PASS;
	}
	return PASS;
}
