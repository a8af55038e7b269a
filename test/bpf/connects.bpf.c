// SPDX-License-Identifier: GPL-2.0-only
/* Counts connect(2) to one port in every kind of map that the binding reads; one program that each kernel refuses. */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct rl_count {
	__u64 connects;
	__u32 port;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 300);
	__type(key, __u32);
	__type(value, struct rl_count);
} by_slot SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 5000);
	__type(key, __u32);
	__type(value, struct rl_count);
} by_port SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 100);
	__type(key, __u32);
	__type(value, __u32);
} by_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 3);
	__type(value, __u32);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct rl_count);
} by_socket SEC(".maps");

const volatile __u16 watched_port = 1;
const volatile __s64 negative = 0;
const volatile char label[8] = "none";
__u64 total;
__u32 lost = 7;

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	__u32 zero = 0, one = 1, port = bpf_ntohs(ctx->user_port);
	struct rl_count *count, fresh = { .connects = 1, .port = port };

	if (port != watched_port)
		return 1;
	__sync_fetch_and_add(&total, 1);

	count = bpf_map_lookup_elem(&by_slot, &zero);
	if (count) {
		__sync_fetch_and_add(&count->connects, 1);
		count->port = port;
	}
	bpf_map_update_elem(&by_port, &port, &fresh, BPF_ANY);
	bpf_map_update_elem(&by_cpu, &port, &one, BPF_ANY);
	count = bpf_sk_storage_get(&by_socket, ctx->sk, &fresh, BPF_SK_STORAGE_GET_F_CREATE);
	bpf_map_push_elem(&queue, &port, BPF_EXIST);

	count = bpf_ringbuf_reserve(&events, sizeof(*count), 0);
	if (!count) {
		__sync_fetch_and_add(&lost, 1);
		return 1;
	}
	*count = fresh;
	if (total % 3 == 0)
		bpf_ringbuf_discard(count, 0);
	else
		bpf_ringbuf_submit(count, 0);
	return 1;
}

/* The same hook and another answer: takes the place of connect4 in its link. */
SEC("cgroup/connect4")
int connect4_ignoring(struct bpf_sock_addr *ctx)
{
	return 1;
}

SEC("tp_btf/sched_process_exec")
int on_exec(void *ctx)
{
	return 0;
}

SEC("tp_btf/no_such_tracepoint")
int missing_hook(void *ctx)
{
	return 0;
}

SEC("?cgroup/connect4")
int refused(struct bpf_sock_addr *ctx)
{
	__u32 zero = 0;
	struct rl_count *count = bpf_map_lookup_elem(&by_port, &zero);
	return count->port == 1; /* may be NULL */
}

char LICENSE[] SEC("license") = "GPL";
