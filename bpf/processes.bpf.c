// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who is it? Gives each process that touches the network a slot, and keeps its name, so that one
 * which lives 5 ms is still known by it.
 *
 * Hooks:  tp_btf/sched_process_exec, tp_btf/sched_process_exit, tp_btf/task_rename; current_slot()
 *         from every other file.
 * Cost:   a task storage look-up a send or receive; some microseconds at a process's first touch;
 *         one hash look-up at each exec, rename and exit on the host.
 * Blind:  arguments that were paged out at the first touch stay empty here; the agent then reads
 *         /proc. Paths of over 32 components or some 256 bytes are cut at the root's side, and say so.
 */

#define KERNEL_SLOT 0
#define MAX_PATH_COMPONENTS 32 /* mount points on the way included */
#define MAX_FILES 16
#define THREAD_NUMBER_BITS 22 /* PID_MAX_LIMIT (include/linux/threads.h) */
#define THREAD_WAYS 4
#define NO_THREAD RL_MAX_THREADS
/* A thread that sends within this time of a receive sends what it received, if anything. */
#define THREAD_REACH_NS 20000000ULL

static __always_inline struct rl_process_key key_of(struct task_struct *task)
{
	struct rl_process_key key = {
		.start_ns = BPF_CORE_READ(task, group_leader, start_boottime),
		.tgid = BPF_CORE_READ(task, tgid),
	};
	return key;
}

/* A path that is written component by component, from the leaf up; loops run by bpf_loop (5.17) are verified once. */
struct path_walk {
	__u8 *out;
	struct dentry *dentry;
	struct vfsmount *mnt;
	struct kernfs_node *node;
	__u32 length;
	bool cut;
};

/* Appends one NUL-terminated component; false when there is no room for another. */
static __always_inline bool append_component(struct path_walk *walk, const void *name)
{
	__u32 at = walk->length;
	if (at > RL_EXECUTABLE_LENGTH - RL_COMPONENT_LENGTH) {
		walk->cut = true;
		return false;
	}
	long n = bpf_probe_read_kernel_str(walk->out + at, RL_COMPONENT_LENGTH, name);
	if (n <= 0)
		return false;
	walk->length = at + n;
	return true;
}

static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *node)
{
	if (bpf_core_field_exists(node->__parent))
		return BPF_CORE_READ(node, __parent);
	return BPF_CORE_READ((struct kernfs_node___before_6_15 *)node, parent);
}

static long walk_cgroup(__u32 i, struct path_walk *walk)
{
	struct kernfs_node *node = walk->node;
	struct kernfs_node *parent = node ? kernfs_parent(node) : NULL;
	if (!parent || !append_component(walk, BPF_CORE_READ(node, name))) /* the root has no name */
		return 1;
	walk->node = parent;
	return 0;
}

static __always_inline void read_cgroup(struct task_struct *task, struct rl_process_details *d)
{
	struct kernfs_node *node = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn);
	struct path_walk walk = {.out = d->cgroup, .node = node};

	d->cgroup_id = BPF_CORE_READ(node, id);
	bool ended = bpf_loop(MAX_PATH_COMPONENTS, walk_cgroup, &walk, 0) < MAX_PATH_COMPONENTS;
	d->cgroup_length = walk.length;
	if (walk.cut || !ended)
		d->cut |= 2;
}

static long walk_executable(__u32 i, struct path_walk *walk)
{
	struct dentry *dentry = walk->dentry;
	struct vfsmount *mnt = walk->mnt;
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);

	if (dentry == BPF_CORE_READ(mnt, mnt_root)) { /* a mount's root has no name: go on at its mount point */
		struct mount *mount = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
		struct mount *up = BPF_CORE_READ(mount, mnt_parent);
		if (up == mount)
			return 1;
		walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		walk->mnt = (void *)up + bpf_core_field_offset(struct mount, mnt);
		return 0;
	}
	if (dentry == parent || !append_component(walk, BPF_CORE_READ(dentry, d_name.name)))
		return 1;
	walk->dentry = parent;
	return 0;
}

static __always_inline void read_executable(struct task_struct *task, struct rl_process_details *d)
{
	struct file *exe = BPF_CORE_READ(task, mm, exe_file);
	if (!exe)
		return;
	struct path_walk walk = {
		.out = d->executable,
		.dentry = BPF_CORE_READ(exe, f_path.dentry),
		.mnt = BPF_CORE_READ(exe, f_path.mnt),
	};
	bool ended = bpf_loop(MAX_PATH_COMPONENTS, walk_executable, &walk, 0) < MAX_PATH_COMPONENTS;
	d->executable_length = walk.length;
	if (walk.cut || !ended)
		d->cut |= 1;
}

static __always_inline void read_command(struct task_struct *task, struct rl_process_details *d)
{
	unsigned long start = BPF_CORE_READ(task, mm, arg_start);
	unsigned long end = BPF_CORE_READ(task, mm, arg_end);
	__u64 length = end - start;

	if (!start || end <= start)
		return;
	if (length > RL_COMMAND_LENGTH)
		length = RL_COMMAND_LENGTH;
	if (bpf_probe_read_user(d->command, length, (void *)start) == 0)
		d->command_length = length;
}

struct file_walk {
	struct rl_process_details *details;
	struct file **files;
	__u32 open;
	__u32 count;
};

static long walk_files(__u32 i, struct file_walk *walk)
{
	struct rl_process_details *d = walk->details;
	struct file **files = walk->files;
	struct file *file = NULL;
	__u32 count = walk->count;

	if (i >= walk->open || count >= RL_FIFOS)
		return 1;
	if (bpf_probe_read_kernel(&file, sizeof(file), files + i) || !file)
		return 0;
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFIFO)
		return 0;
	d->fifos[count].inode = BPF_CORE_READ(inode, i_ino);
	d->fifos[count].modes = BPF_CORE_READ(file, f_mode) & (FMODE_READ | FMODE_WRITE);
	walk->count = count + 1;
	return 0;
}

/* Pipes and FIFOs among the first file descriptors: the other half of a relay of two processes may hold the other end. */
static __always_inline void read_fifos(struct task_struct *task, struct rl_process_details *d)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file_walk walk = {
		.details = d,
		.files = BPF_CORE_READ(table, fd),
		.open = BPF_CORE_READ(table, max_fds),
	};
	bpf_loop(MAX_FILES, walk_files, &walk, 0);
	d->fifo_count = walk.count;
}

/*
 * Reads what is known of a task into `process_details`; `own` says that it is the current one. Not static: the
 * verifier then looks at it once, and not at every call. The task comes as a number, as it is only read by address.
 */
__noinline int store_details(__u64 address, __u32 slot, bool own)
{
	struct task_struct *task = (void *)address;
	__u32 zero = 0;
	struct rl_process_details *d = bpf_map_lookup_elem(&details_scratch, &zero);
	if (!d)
		return 0;
	d->start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	d->tgid = BPF_CORE_READ(task, tgid);
	d->parent_tgid = BPF_CORE_READ(task, real_parent, tgid);
	d->netns = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
	d->uid = BPF_CORE_READ(task, cred, uid.val);
	d->executable_length = 0;
	d->command_length = 0;
	d->cgroup_length = 0;
	d->cut = 0;
	read_executable(task, d);
	read_cgroup(task, d);
	read_fifos(task, d);
	if (own)
		read_command(task, d);
	if (bpf_map_update_elem(&process_details, &slot, d, BPF_ANY))
		count_lost(RL_LOST_DETAILS);
	return 0;
}

static __noinline int fill_event(struct rl_process_event *e, __u32 slot, __u32 generation,
				 enum rl_process_event_type type)
{
	if (!e)
		return 0;
	e->slot = slot;
	e->generation = generation;
	e->type = type;
	e->reserved = 0;
	return 0;
}

static __always_inline void announce(__u32 slot, __u32 generation, enum rl_process_event_type type)
{
	struct rl_process_event *e = bpf_ringbuf_reserve(&process_events, sizeof(*e), 0);
	if (!e) {
		count_lost(RL_LOST_EVENT);
		return;
	}
	fill_event(e, slot, generation, type);
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
}

static __always_inline __u32 take_slot(void)
{
	struct rl_totals *t = get_totals();
	__u32 slot;

	if (bpf_map_pop_elem(&free_slots, &slot) == 0)
		return slot;
	if (!t)
		return KERNEL_SLOT;
	/* Count up first and look after: two at once never get the same. Slot 0 is the kernel's. */
	__u64 n = t->slots_used < RL_MAX_PROCESSES ? __sync_fetch_and_add(&t->slots_used, 1) + 1 : RL_MAX_PROCESSES;
	return n < RL_MAX_PROCESSES ? n : KERNEL_SLOT;
}

__noinline __u32 make_slot(__u64 address, bool own)
{
	struct task_struct *task = (void *)address;
	struct rl_process_key key = key_of(task);
	__u32 slot = take_slot();
	struct rl_process *p = get_process(slot);

	if (slot == KERNEL_SLOT || !p) {
		count_lost(RL_LOST_PROCESS);
		return KERNEL_SLOT;
	}
	__u32 generation = p->generation + 1;
	__builtin_memset(p, 0, sizeof(*p));
	p->generation = generation;
	p->tgid = key.tgid;
	p->start_ns = key.start_ns;
	p->uid = BPF_CORE_READ(task, cred, uid.val);
	BPF_CORE_READ_INTO(&p->name, task, group_leader, comm);
	if (bpf_map_update_elem(&process_slots, &key, &slot, BPF_NOEXIST)) {
		/* Another thread of the process was first, or the table is full: give the slot back. */
		p->start_ns = 0;
		p->tgid = 0;
		bpf_map_push_elem(&free_slots, &slot, 0);
		__u32 *first = bpf_map_lookup_elem(&process_slots, &key);
		if (first)
			return *first;
		count_lost(RL_LOST_PROCESS);
		return KERNEL_SLOT;
	}
	store_details(address, slot, own);
	match_early(slot, p);
	announce(slot, generation, RL_PROCESS_SEEN);
	return slot;
}

static __noinline __u32 current_slot_slow(struct task_struct *task)
{
	struct rl_process_key key = key_of(task);
	__u32 *found = bpf_map_lookup_elem(&process_slots, &key);
	return found ? *found : make_slot(bpf_get_current_task(), true);
}

/* A thread, by its start and its number: no other one has had both within the hour that these bits of the start take. */
static __always_inline __u64 identity_of(struct task_struct *task)
{
	return task->start_boottime << THREAD_NUMBER_BITS | (__u32)task->pid;
}

/* Places where a thread's record may be: that of its number, and those after it. */
static __always_inline __u32 thread_place(struct task_struct *task, __u32 way)
{
	return (task->pid + way) & (RL_MAX_THREADS - 1);
}

static __always_inline __u32 slot_of(struct task_struct *task)
{
	return task->flags & PF_KTHREAD ? KERNEL_SLOT : current_slot_slow(task);
}

/*
 * The place of a thread's record that is not at its number's, or is not there yet: the longest unused of its places is taken
 * then, if its thread has not moved anything for so long that nothing of it matters. NO_THREAD where there is none.
 */
static __noinline __u32 find_thread(struct task_struct *task)
{
	__u64 identity = identity_of(task);
	__u64 idle_since = ~0ULL, was = 0;
	__u32 best = 0;

	for (__u32 way = 0; way < THREAD_WAYS; way++) {
		__u32 place = thread_place(task, way);
		struct rl_thread *thread = bpf_map_lookup_elem(&threads, &place);
		if (!thread)
			return NO_THREAD;
		if (thread->identity == identity)
			return place;
		if (thread->now_ns < idle_since) {
			idle_since = thread->now_ns;
			was = thread->identity;
			best = place;
		}
	}
	__u32 slot = slot_of(task);
	if (slot == KERNEL_SLOT && !(task->flags & PF_KTHREAD))
		return NO_THREAD; /* the process table is full now; there may be room next time */
	struct rl_thread *thread = bpf_map_lookup_elem(&threads, &best);
	__u64 now = bpf_ktime_get_ns();
	if (!thread || now - idle_since <= THREAD_REACH_NS ||
	    __sync_val_compare_and_swap(&thread->identity, was, identity) != was) {
		count_lost(RL_LOST_THREAD);
		return NO_THREAD;
	}
	__builtin_memset((void *)thread + sizeof(identity), 0, sizeof(*thread) - sizeof(identity));
	thread->slot = slot;
	thread->now_ns = now;
	return best;
}

/*
 * The running thread's record, and the slot of its process, which is made at its first touch. NULL where there is no room
 * for a record. Kernel threads share slot 0.
 */
static __always_inline struct rl_thread *current_thread(struct task_struct *task, __u32 *slot)
{
	__u32 place = thread_place(task, 0);
	struct rl_thread *thread = bpf_map_lookup_elem(&threads, &place);

	if (unlikely(!thread || thread->identity != identity_of(task))) {
		place = find_thread(task);
		thread = bpf_map_lookup_elem(&threads, &place);
		if (!thread) {
			*slot = slot_of(task);
			return NULL;
		}
	}
	*slot = thread->slot;
	return thread;
}

/* The slot of the running process. */
static __always_inline __u32 current_slot(void)
{
	__u32 slot;

	current_thread(bpf_get_current_task_btf(), &slot);
	return slot;
}

/* Follows setuid: the last seen counts. */
static __always_inline void refresh_user(struct rl_process *p, struct task_struct *task)
{
	__u32 uid = task->cred->uid.val;
	if (p->uid != uid)
		p->uid = uid;
}

static __always_inline struct rl_process *find_process(struct task_struct *task, __u32 *slot)
{
	struct rl_process_key key = key_of(task);
	__u32 *found = bpf_map_lookup_elem(&process_slots, &key);
	if (!found)
		return NULL;
	*slot = *found;
	return get_process(*found);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(sched_process_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	__u32 slot;
	struct rl_process *p = find_process(task, &slot);
	if (!p)
		return 0;
	BPF_CORE_READ_INTO(&p->name, task, comm);
	refresh_user(p, task);
	store_details(bpf_get_current_task(), slot, true);
	match_early(slot, p);
	announce(slot, p->generation, RL_PROCESS_EXEC);
	return 0;
}

/* prctl(PR_SET_NAME) or a write to /proc/PID/comm; the process's name is its leader's. */
SEC("tp_btf/task_rename")
int BPF_PROG(task_rename, struct task_struct *task, const char *name)
{
	__u32 slot;

	if (task->pid != task->tgid)
		return 0;
	struct rl_process *p = find_process(task, &slot);
	if (p)
		bpf_probe_read_kernel_str(p->name, sizeof(p->name), name);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(sched_process_exit, struct task_struct *task)
{
	__u32 slot;

	if (BPF_CORE_READ(task, signal, live.counter) > 0)
		return 0; /* other threads of the process go on */
	struct rl_process *p = find_process(task, &slot);
	if (!p)
		return 0;
	p->exit_ns = bpf_ktime_get_boot_ns();
	announce(slot, p->generation, RL_PROCESS_EXIT);
	return 0;
}
