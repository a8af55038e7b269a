/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How much may the other side of a TCP connection send us? What is received can't be held back here, only asked for:
 * each acknowledgement of a connection that a policy holds offers the window that its share has saved up. On a long
 * path that settles at the share times the round trip. On a short one the window is soon used up, and the sender asks
 * again after 200 ms, when enough has been saved for as long: bursts, but nothing is dropped.
 *
 * Kernel facts: a window that was offered is never taken back (RFC 9293, 3.8.6); TCP_WINDOW_CLAMP goes no lower than
 * half of SOCK_MIN_RCVBUF, some 1,150 bytes, and what is offered is rounded up to the window's scale. Where that makes
 * a segment, a LAN's sender never has to wait. From 6.16 on the scale is 10 (tcp_rmem of 32 MB): connections that begin
 * under such a policy, and listeners, get a scale of 8. Of those with 9 and more from before caps.bpf.c drops what is
 * beyond the allowance; so it does where shares are below what is asked for anyway, some 6 KB/s a connection on a LAN, and
 * of what had been offered before a policy came. A clamp that is raised opens the window with the second segment after it
 * only, as the kernel lets it grow from what was offered last.
 */

/* The clamp that a connection begins with decides on its scale: this one's is 8, and all that it will ever offer. */
#define WIDEST_WINDOW ((1 << 24) - 1)
/* What the kernel takes for none where it works out a scale: a listener can't be given back none itself. */
#define NO_WINDOW_CLAMP (65535 << 14)

/* What the policy allows under its rate, worked out anew where that has changed; NULL where it has none. */
static __always_inline struct rl_allowance *rated_allowance(struct rl_policy *policy, enum rl_direction direction)
{
	__u64 rate = get_limit(policy)->rate_bytes_per_second;
	struct rl_allowance *a = get_allowance(policy, direction);

	if (rate && a->limit_rate != rate)
		begin_allowance(a, rate, bpf_ktime_get_ns());
	return rate ? a : NULL;
}

/* What a new connection has saved up. */
#define FIRST_WINDOW_NS 50000000ULL

/* No sender asks sooner. */
#define LEAST_ASK_MS 190

/*
 * How much of its share a connection may save up. Where a round trip's share is two segments and more, there is always
 * something under way, and its acknowledgement offers the next: four round trips, as more would come as a burst. Below
 * that, and where a sender had to ask nevertheless, as the round trip was less than we knew, the window closes: what is
 * saved until the sender has asked twice has to be enough for as long. It asks by its own timers, which are longer by a
 * round trip.
 */
static __always_inline __u64 longest_window_ns(struct rl_allowance *a, struct rl_held *held, __u32 srtt_us)
{
	__u64 round_trip = srtt_us * 1000ULL;
	if (held->has_asked || round_trip < cost_of(2 * NOMINAL_SEGMENT, a->fair_cost))
		return OWN_WINDOW_NS + 2 * round_trip;
	return 4 * round_trip < OWN_WINDOW_NS ? 4 * round_trip : OWN_WINDOW_NS;
}

/*
 * A sender begins with so many segments: a first window beyond them is of no use to it. Below two it would cut its
 * segments to half of the greatest window that it has seen, and have room for one where it should wait.
 */
#define FIRST_SEGMENTS 10
#define LEAST_SEGMENTS 2

/* The segments that a connection may offer before anything has come, 0 for any number. */
__noinline __u32 first_window(__u64 held_to)
{
	__u32 window = 0;

	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		struct rl_policy *policy = policy_at(held_to, place);
		if (!policy)
			break;
		if (!limits(policy, RL_RX) || policy->flags & RL_POLICY_RELAY)
			continue;
		struct rl_allowance *a = rated_allowance(policy, RL_RX);
		if (!a)
			continue;
		__u64 segments = a->fair_rate * FIRST_WINDOW_NS / SECOND_NS / NOMINAL_SEGMENT;
		segments = segments > FIRST_SEGMENTS ? FIRST_SEGMENTS : segments < LEAST_SEGMENTS ? LEAST_SEGMENTS : segments;
		if (!window || segments < window)
			window = segments;
	}
	return window;
}

/* What the policies let a connection offer; 0xffffffff where none does. */
__noinline __u32 window_of(struct rl_socket *s, struct rl_held *held, __u32 srtt_us)
{
	__u64 held_to = held_to_by_owner(s);
	__u32 window = 0xffffffff;

	if (!held)
		return window;
	__u64 now = bpf_ktime_get_ns();
	__u32 now_ms = now / 1000000;
	if (held->window && held->window < NOMINAL_SEGMENT && now_ms - held->offered_ms >= LEAST_ASK_MS)
		held->has_asked = 1;
	held->offered_ms = now_ms;
	held->unanswered = 0;
	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		struct rl_policy *policy = policy_at(held_to, place);
		if (!policy)
			break;
		if (!limits(policy, RL_RX) || policy->flags & RL_POLICY_RELAY)
			continue;
		struct rl_allowance *a = rated_allowance(policy, RL_RX);
		if (!a)
			continue;
		struct rl_share *own = &held->shares[RL_RX][place];
		if (!own->used_until_ns)
			own->used_until_ns = now - FIRST_WINDOW_NS;
		__s64 saved = (__s64)(now - own->used_until_ns);
		if (saved < 0)
			saved = 0;
		__s64 longest = longest_window_ns(a, held, srtt_us);
		if (saved > longest) {
			saved = longest;
			own->used_until_ns = now - longest;
		}
		__u64 bytes = a->fair_rate * (__u64)saved / SECOND_NS;
		if (bytes < window)
			window = bytes;
	}
	return window;
}

/* The same for both kinds of context that may set a connection's options: sockops and iterators. */
#define SET(context, level, option, value) \
	({ \
		int option_value = (value); \
		bpf_setsockopt(context, level, option, &option_value, sizeof(option_value)); \
	})

/*
 * What stands there and is not ours is the program's own clamp, or the kernel's tuning that has raised it: never more is
 * offered than that.
 */
#define OFFER(context, held, s, srtt_us) \
	({ \
		__u32 offer = window_of(s, held, srtt_us); \
		int stands = 0; \
		bpf_getsockopt(context, SOL_TCP, TCP_WINDOW_CLAMP, &stands, sizeof(stands)); \
		if (offer == 0xffffffff) { \
			WITHDRAW(context, held); \
		} else { \
			if (!(held)->window || ((__u32)stands != (held)->window && (__u32)stands > (held)->own_window)) \
				(held)->own_window = stands; \
			__u32 least = offer > 1 ? offer : 1; \
			if (least > (held)->own_window) \
				least = (held)->own_window; \
			SET(context, SOL_TCP, TCP_WINDOW_CLAMP, least); \
			(held)->window = least; \
		} \
	})

/* For a socket that is about to connect, or listens: what it accepts inherits the clamp. */
#define LIMIT_SCALE(context, held) \
	({ \
		int stands = 0; \
		bpf_getsockopt(context, SOL_TCP, TCP_WINDOW_CLAMP, &stands, sizeof(stands)); \
		if (!stands || stands > WIDEST_WINDOW) { \
			SET(context, SOL_TCP, TCP_WINDOW_CLAMP, WIDEST_WINDOW); \
			(held)->own_window = stands ? stands : NO_WINDOW_CLAMP; \
			(held)->window = WIDEST_WINDOW; \
		} \
	})

#define WITHDRAW(context, held) \
	({ \
		if ((held)->window) { \
			SET(context, SOL_TCP, TCP_WINDOW_CLAMP, (held)->own_window); \
			(held)->window = 0; \
		} \
	})
