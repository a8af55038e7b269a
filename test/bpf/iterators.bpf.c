// SPDX-License-Identifier: GPL-2.0-only
/* Iterators over a map's entries, over sockets and over tasks, with binary records. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct seq_file;
struct bpf_map;
struct task_struct {
	int pid;
	int tgid;
};
struct net;
struct sock_common {
	unsigned short skc_family;
};
struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};
struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
};
struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
	unsigned int uid;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};
#pragma clang attribute pop

struct rl_pair {
	__u32 key;
	__u32 value;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 200000);
	__type(key, __u32);
	__type(value, __u32);
} pairs SEC(".maps");

SEC("iter/bpf_map_elem")
int dump_pairs(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key, *value = ctx->value;
	struct rl_pair pair;

	if (!key || !value)
		return 0;
	pair.key = *key;
	pair.value = *value;
	bpf_seq_write(ctx->meta->seq, &pair, sizeof(pair));
	return 0;
}

SEC("iter/tcp")
int dump_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *socket = ctx->sk_common;
	__u32 family;

	if (!socket)
		return 0;
	family = socket->skc_family;
	bpf_seq_write(ctx->meta->seq, &family, sizeof(family));
	return 0;
}

SEC("iter/task")
int dump_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u32 ids[2];

	if (!task)
		return 0;
	ids[0] = task->tgid;
	ids[1] = task->pid;
	bpf_seq_write(ctx->meta->seq, ids, sizeof(ids));
	return 0;
}

/* One record larger than the kernel's buffer for iterators (32 KB). */
char huge[40000];

SEC("iter/task")
int dump_too_much(struct bpf_iter__task *ctx)
{
	if (ctx->task)
		bpf_seq_write(ctx->meta->seq, huge, sizeof(huge));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
