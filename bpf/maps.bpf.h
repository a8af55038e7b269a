/* SPDX-License-Identifier: GPL-2.0-only */
/* Every map of the accounting, and the few ways in which they are written. */

/* Counters by process slot. Mapped into the agent, which reads them without a system call. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RL_MAX_PROCESSES);
	__type(key, __u32);
	__type(value, struct rl_process);
} processes SEC(".maps");

/* Identity to slot. The agent takes an entry out when it has archived an ended process. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RL_MAX_PROCESSES);
	__type(key, struct rl_process_key);
	__type(value, __u32);
} process_slots SEC(".maps");

/* Slots that the agent gave back. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, RL_MAX_PROCESSES);
	__type(value, __u32);
} free_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RL_MAX_PROCESSES);
	__type(key, __u32);
	__type(value, struct rl_process_details);
} process_details SEC(".maps");

/* Hints that a process came, called exec or went; the truth is in `processes`. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} process_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct rl_socket);
} sockets SEC(".maps");

/*
 * By the thread's number and the next few, whoever was there first: a cache of what can be had again, as task storage costs
 * three calls.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE); /* so that it begins with a page, and each record with a cache line */
	__uint(max_entries, RL_MAX_THREADS);
	__type(key, __u32);
	__type(value, struct rl_thread);
} threads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RL_MAX_INTERFACES);
	__type(key, __u32);
	__type(value, struct rl_interface);
} interfaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RL_MAX_INTERFACE_NAMES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct rl_interface_key);
	__type(value, struct rl_interface_name);
} interface_names SEC(".maps");

/* Written by the agent alone; pinned with the rest so that the next agent keeps the same books. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RL_MAX_INTERFACE_NAMES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct rl_interface_key);
	__type(value, struct rl_interface_baseline);
} interface_baselines SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rl_totals);
} totals SEC(".maps");

/* Room for building a process's details, too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rl_process_details);
} details_scratch SEC(".maps");

/* The relay ledger's evidence. Mapped into the agent like `processes`; index 0 is no flow. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RL_MAX_FLOWS);
	__type(key, __u32);
	__type(value, struct rl_flow);
} flows SEC(".maps");

/* By flow index; mapped likewise. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RL_MAX_FLOWS);
	__type(key, __u32);
	__type(value, struct rl_income);
} incomes SEC(".maps");

/* Flows that the agent gave back. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, RL_MAX_FLOWS);
	__type(value, __u32);
} free_flows SEC(".maps");

/* Flows of sockets that are not connected, by peer. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RL_MAX_FLOWS);
	__type(key, struct rl_peer_key);
	__type(value, __u64);
} peer_flows SEC(".maps");

/* Pairs beyond the first source of each flow, which `flows` holds itself. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RL_MAX_PAIRS);
	__type(key, struct rl_pair_key);
	__type(value, struct rl_pair);
} pairs SEC(".maps");

/* By process slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RL_MAX_PROCESSES);
	__type(key, __u32);
	__type(value, struct rl_sources);
} sources SEC(".maps");

/* A pair before anything moved, to make new ones from: too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rl_pair);
} pair_scratch SEC(".maps");

/* What processes are held to. The agent writes the first part of each, the programs the second. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RL_MAX_POLICIES);
	__type(key, __u32);
	__type(value, struct rl_policy);
} policies SEC(".maps");

/* Programs that no policy holds before the agent has looked; by name or path, hashed as rl_policy has them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RL_MAX_PROTECTED_PROGRAMS);
	__type(key, __u64);
	__type(value, __u8);
} protected_programs SEC(".maps");

/* By flow index; written by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RL_MAX_FLOWS);
	__type(key, __u32);
	__type(value, struct rl_ruling);
} flow_rulings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct rl_held);
} held_sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct rl_listener);
	__type(value, struct rl_rejection);
} rejected_listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct rl_datagram_port);
	__type(value, struct rl_datagram_socket);
} rejected_datagrams SEC(".maps");

/* What the destroy iterators are asked, and answer. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rl_destroy);
} destroy_requests SEC(".maps");

/* The packet (its sk_buff) that skb_egress has refused last, and so not charged. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} refused_packet SEC(".maps");

/* Kernel 6.2. libbpf 1.1 has no bpf_ksym_exists(): a missing symbol's address is NULL. */
extern void *bpf_cast_to_kern_ctx(void *) __ksym __weak;
extern void *bpf_rdonly_cast(const void *, __u32) __ksym __weak;

static __always_inline struct rl_totals *get_totals(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&totals, &zero);
}

__noinline int count_lost(enum rl_lost reason)
{
	struct rl_totals *t = get_totals();
	if (t && reason < RL_LOSSES)
		__sync_fetch_and_add(&t->lost[reason], 1);
	return 0;
}

static __always_inline void add_wire(struct rl_wire *wire, __u64 bytes, __u64 packets)
{
	__sync_fetch_and_add(&wire->bytes, bytes);
	__sync_fetch_and_add(&wire->packets, packets);
}

__noinline int count_unattributed(enum rl_unattributed reason, enum rl_direction direction, __u64 bytes,
					 __u64 packets)
{
	struct rl_totals *t = get_totals();
	if (t && reason < RL_UNATTRIBUTED && direction < RL_DIRECTIONS)
		add_wire(&t->unattributed[reason][direction], bytes, packets);
	return 0;
}

static __always_inline struct rl_process *get_process(__u32 slot)
{
	return bpf_map_lookup_elem(&processes, &slot);
}

static __always_inline void count_wire(struct rl_process *p, enum rl_direction direction, __u64 bytes, __u64 packets)
{
	add_wire(direction == RL_RX ? &p->wire_rx : &p->wire_tx, bytes, packets);
}
