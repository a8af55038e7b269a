// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which bytes that a process sends did it receive before, from somebody else? Every received byte is a credit of
 * its flow; every sent byte is paid from credits of other flows, each credit once (payments.bpf.h says whose). What was
 * paid from A to B is the pair (A, B), with how long after A's last receive it was sent. Nothing leaves the kernel per
 * event; agent/relay/ judges the sums once a second.
 *
 * Hooks:  note_stream() and note_message(), called by payload.bpf.c for every send and receive on TCP, UDP and AF_UNIX.
 * What every send and receive needs is in line, as a call costs some 7 ns; what is rare, or a search, is called.
 * Functions that are not static are verified once instead of at every call.
 *
 * Cost:   where a process has a thousand connections, what is kept of each is in no cache when its turn comes, and a
 *         line of the arrays costs as much as all else: a receive reaches one (`rl_income`), a send none but that of
 *         the flow that it passes on, which is there, as the receive was just before. What a send writes is kept with
 *         its socket (`rl_outgo`) and added to the flow's record later. A pair that is not the first of its flow, UDP
 *         and AF_UNIX reach the record each time.
 * Blind:  what passes through a pipe, a file or a tun device between two sockets: the agent joins such halves.
 *         Counters of a flow that two threads use at once may miss an event, and a few moves or have them twice; its credit
 *         is atomic.
 */

/* The most that a flow can owe: larger than any socket buffer, and than what a relay holds in memory. */
#define CREDIT_MAX (64ULL << 20)
/* The process's list of sources is the fallback, and may lag by so many times 2^20 ns. */
#define LIST_SHIFT 20
#define LIST_INTERVAL 95
/* Reading the clock is the dearest step on some hosts: once a run of the thread, and every so many events. */
#define CLOCK_EVENTS 8
/* A flow's record is brought up to date after so many sends, or one of so many bytes. */
#define SETTLE_SENDS 128
#define SETTLE_BYTES (1U << 24)

static __always_inline __u32 size_class(__u32 bytes)
{
	return (bytes * 2654435761U) >> 28; /* Knuth's multiplicative hash, its top four bits */
}

/* Sizes that tell a tunnel: agent/relay/tunnel.ts. */
static __always_inline void note_tunnel_size(struct rl_flow *f, __u32 bytes)
{
	__u32 beyond = bytes - RL_TUNNEL_EMPTY;

	if (bytes >= RL_TUNNEL_FULL) {
		f->tunnel_sizes[0]++;
	} else if (beyond < 32 * RL_SMALL_CLASSES) {
		__u32 class = beyond / 32 & (RL_SMALL_CLASSES - 1);
		f->tunnel_sizes[1 + class]++;
		f->tunnel_sizes[1 + RL_SMALL_CLASSES + class] += beyond % 32;
	}
}

static __always_inline __u64 read_clock(struct rl_thread *thread, struct task_struct *task)
{
	__u32 run = task->nvcsw;
	if (run != thread->run || ++thread->events >= CLOCK_EVENTS || !thread->now_ns) {
		thread->run = run;
		thread->events = 0;
		thread->now_ns = bpf_ktime_get_ns();
	}
	return thread->now_ns;
}

/* What a thread does between two sleeps; another thread's is another. */
static __always_inline __u32 run_of(const struct rl_thread *thread)
{
	return (__u32)thread->identity ^ thread->run << 8;
}

/*
 * Moves `flow` to the front; what was there moves back, up to where `flow` or a spent one was, or to the end: were spent
 * ones kept, a flow whose bytes are still held would be pushed out by others that come and go.
 */
__noinline int list_source(struct rl_sources *list, __u32 length, __u64 flow, __u64 ns)
{
	struct rl_source carried = {.flow = flow, .ns = ns};
	bool is_placed = false;

	if (!list)
		return 0;
	for (int i = 0; i < RL_PROCESS_SOURCES; i++) {
		if (i >= length)
			break;
		struct rl_source was = list->source[i];
		if (!is_placed) {
			list->source[i] = carried;
			carried = was;
			is_placed = was.flow & SPENT;
		} else if (was.flow == flow) {
			list->source[i].flow |= SPENT;
		}
		if (!was.flow || was.flow == flow)
			break;
	}
	return 0;
}

/* A gap that its flow's line has no room for, and which is rare in time. */
static __noinline int note_long_gap(struct rl_income *income, __u64 id, __u64 gap)
{
	struct rl_flow *f = get_flow(id);
	if (!f || !income)
		return 0;
	count_lag(f->gaps, gap);
	if (gap > HOLD_NS) {
		f->expired += income->credit;
		income->credit = 0;
	}
	return 0;
}

static __noinline int carry_gap(__u64 id, __u32 bucket)
{
	struct rl_flow *f = get_flow(id);
	if (f && bucket < RL_LAG_BUCKETS)
		f->gaps[bucket] += 256;
	return 0;
}

/* Its line is most often in no cache: what is at hand is done while it comes, and what locks it is done last. */
static __always_inline void note_receive(struct rl_income *income, __u64 id, struct rl_thread *thread, __u32 slot,
					 __u64 now, __u32 bytes)
{
	thread->newest = thread->last = id;
	thread->newest_ns = now;
	thread->last_was_receive = 1;
	if (thread->sources.source[0].flow == id)
		thread->sources.source[0].ns = now;
	else
		list_source(&thread->sources, RL_THREAD_SOURCES, id, now);

	__u64 before = income->last_receive_ns;
	income->last_receive_ns = now;
	income->last_receive_bytes = bytes;
	income->last_run = run_of(thread);
	income->received += bytes;
	if (before) {
		__u32 bucket = lag_bucket(now - before);
		barrier_var(bucket); /* what is compared is what is added: the verifier follows one register */
		if (bucket >= RL_SHORT_GAPS)
			note_long_gap(income, id, now - before);
		else if (!++income->gaps[bucket])
			carry_gap(id, bucket);
	}
	__u32 list_time = now >> LIST_SHIFT;
	if (list_time - income->listed > LIST_INTERVAL) {
		struct rl_sources *of_process = bpf_map_lookup_elem(&sources, &slot);
		if (of_process)
			list_source(of_process, RL_PROCESS_SOURCES, id, now);
		income->listed = list_time;
	}
	if (income->credit < CREDIT_MAX)
		__sync_fetch_and_add(&income->credit, bytes);
}

/* False where the agent has given the flow back. */
static __always_inline bool note_send(struct rl_outgo *to, __u64 id, struct rl_thread *thread, __u64 now, __u32 bytes)
{
	to->sent += bytes;
	to->sends++;
	to->last_send_ns = now;
	struct sending sending = {
		.flow = id,
		.now = now,
		.need = bytes,
		.bytes = bytes,
		.last = thread->last,
		.last_was_receive = thread->last_was_receive,
		.run = run_of(thread),
	};
	__u64 partner = to->partner;
	if (partner == id) {
		struct rl_income *own = thread->newest == id ? get_income(id) : NULL;
		if (own && own->credit >= bytes) {
			to->self_matched += take_credit(own, bytes);
			sending.need = 0;
		}
	} else if (partner && !has_rival(&sending, to)) { /* keeps relays that hold data on their pair */
		if (to->is_first)
			pay_as_before(&sending, to);
		else
			pay_from_partner(&sending, to);
	}
	if (sending.need && !sending.best)
		find_partner(&sending, to, thread);
	thread->last = id;
	thread->last_was_receive = 0;
	/* Before anything that is kept in few bits could overflow. */
	if (to->moves == RL_OUTGO_MOVES || to->sends == SETTLE_SENDS || bytes >= SETTLE_BYTES)
		return settle_outgo(to, id);
	return true;
}

/* TCP: what is sent is kept with the socket, and the flow's record is left alone as long as can be. */
static __always_inline __u64 note_stream(struct sock *sk, struct rl_socket *s, struct rl_process *p, __u32 slot,
					 struct rl_thread *thread, struct task_struct *task, enum rl_direction direction,
					 __u64 bytes)
{
	__u64 now = read_clock(thread, task); /* it waits for whatever is on its way from memory: before there is anything */
	__u64 id = s->flow_owner == slot ? s->flow : 0;
	struct rl_income *income = direction == RL_RX && id ? get_income(id) : NULL;

	if (!id || (direction == RL_RX && !income)) {
		id = find_flow_slow(sk, s, p, slot);
		if (!id)
			return 0;
		if (direction == RL_RX)
			income = get_income(id);
	}
	if (direction == RL_TX) {
		if (!note_send(&s->outgo, id, thread, now, bytes))
			s->flow = 0; /* the next event begins a new one */
	} else if (income) {
		note_receive(income, id, thread, slot, now, bytes);
	}
	return id;
}

/* All else: UDP, with a flow for each peer where it is not connected, and AF_UNIX, which is not told of its sockets' end. */
static __noinline __u64 note_message(struct sock *sk, struct rl_socket *s, __u32 slot, struct rl_thread *thread,
				     __u64 bytes_and_direction)
{
	__u32 bytes = bytes_and_direction >> 1;
	enum rl_direction direction = bytes_and_direction & 1;
	struct rl_process *p = get_process(slot);

	if (!s || !thread || !p)
		return 0;
	__u64 now = read_clock(thread, bpf_get_current_task_btf());
	__u64 id = find_flow(sk, s, p, slot, thread);
	struct rl_income *income = get_income(id);
	struct rl_flow *f = get_flow(id);
	if (!income || !f)
		return 0;
	bool has_sizes = s->protocol == RL_UDP;
	if (direction == RL_RX) {
		note_receive(income, id, thread, slot, now, bytes);
		if (has_sizes) {
			f->received_sizes[size_class(bytes) & (RL_SIZE_CLASSES - 1)]++;
			note_tunnel_size(f, bytes);
		}
	} else {
		note_send(&f->outgo, id, thread, now, bytes);
		if (f->outgo.sends)
			settle_outgo(&f->outgo, id);
		if (has_sizes)
			f->sent_sizes[size_class(bytes) & (RL_SIZE_CLASSES - 1)]++;
	}
	return id;
}
