// SPDX-License-Identifier: GPL-2.0-only
/*
 * What does this kernel allow that types do not tell? Each program is loaded once, when accounting begins, and never
 * attached: whether the verifier takes it is the answer. See agent/load-programs.ts.
 */
#include "kernel.h"

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u32);
} kept SEC(".maps");

/* A cgroup program reaches what is kept with a thread: kernel 6.16. */
SEC("cgroup/sock_create")
int reach_thread(struct bpf_sock *sk)
{
	__u32 *value = bpf_task_storage_get(&kept, bpf_get_current_task_btf(), 0, 0);
	return !value || *value == 0;
}

/* Sends and receives tell what they returned: kernel 6.3. */
SEC("tp_btf/sock_send_length")
int trace_lengths(void *context)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
