/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How much may the other side of a TCP connection send us? What is received can't be held back here, only asked for:
 * each acknowledgement of a connection that a policy holds offers the window that its share has saved up. On a long
 * path that settles at the share times the round trip. On a short one the window is soon used up, and the sender asks
 * again after 200 ms, when enough has been saved for as long: bursts, but nothing is dropped.
 *
 * Kernel facts: a window that was offered is never taken back (RFC 9293, 3.8.6); TCP_WINDOW_CLAMP goes no lower than
 * half of SOCK_MIN_RCVBUF, some 1,150 bytes, and what is offered is rounded up to the window's scale. Where that makes
 * a segment (scale 10 and more), a LAN's sender never has to wait, and caps.bpf.c drops beyond the allowance.
 */

/* What a new connection has saved up. */
#define FIRST_WINDOW_NS 50000000ULL

/* From here on a path is long: its sender hears of what has been saved before its timer would make it ask. */
#define LONG_PATH_US 10000

/*
 * How much of its share a connection may save up. On a long path four round trips, as more would come as a burst, but
 * no less than two segments: a window below one closes.
 */
static __always_inline __u64 longest_window_ns(struct rl_allowance *a, __u32 srtt_us)
{
	__u64 ns = srtt_us * 4000ULL, least = cost_of(2 * NOMINAL_SEGMENT, a->fair_cost);
	ns = ns < least ? least : ns;
	return srtt_us < LONG_PATH_US || ns > OWN_WINDOW_NS ? OWN_WINDOW_NS : ns;
}

/* What the policies let a connection offer; 0xffffffff where none does. */
__noinline __u32 window_of(struct rl_socket *s, struct rl_held *held, __u32 srtt_us)
{
	__u64 held_to = held_to_by_owner(s);
	__u32 window = 0xffffffff;

	if (!held)
		return window;
	__u64 now = bpf_ktime_get_ns();
	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		struct rl_policy *policy = policy_at(held_to, place);
		if (!policy)
			break;
		if (!limits(policy, RL_RX) || policy->flags & RL_POLICY_RELAY)
			continue;
		__u64 rate = get_limit(policy)->rate_bytes_per_second;
		struct rl_allowance *a = &policy->allowances[RL_RX];
		if (!rate)
			continue;
		if (a->limit_rate != rate)
			begin_allowance(a, rate, now);
		struct rl_share *own = &held->shares[RL_RX][place];
		if (!own->used_until_ns)
			own->used_until_ns = now - FIRST_WINDOW_NS;
		__s64 saved = (__s64)(now - own->used_until_ns);
		if (saved < 0)
			saved = 0;
		__s64 longest = longest_window_ns(a, srtt_us);
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

/* The kernel's own tuning may raise the clamp: it is compared with what stands there. */
#define OFFER(context, held, s, srtt_us) \
	({ \
		__u32 offer = window_of(s, held, srtt_us); \
		int stands = 0; \
		bpf_getsockopt(context, SOL_TCP, TCP_WINDOW_CLAMP, &stands, sizeof(stands)); \
		if (offer == 0xffffffff) { \
			WITHDRAW(context, held); \
		} else { \
			if (!(held)->window || stands > (held)->own_window) \
				(held)->own_window = stands; \
			__u32 least = offer > 1 ? offer : 1; \
			SET(context, SOL_TCP, TCP_WINDOW_CLAMP, least); \
			(held)->window = least; \
		} \
	})

#define WITHDRAW(context, held) \
	({ \
		if ((held)->window) { \
			SET(context, SOL_TCP, TCP_WINDOW_CLAMP, (held)->own_window); \
			(held)->window = 0; \
		} \
	})
