// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which policies hold for a process? The agent assigns them; a process that starts later, agent dead or alive, is
 * matched here by name, executable and user, before its first socket is there and again when it calls exec.
 *
 * Hooks:  match_early(), called by processes.bpf.c.
 * Cost:   nothing without policies that match early; else a few microseconds at a process's first touch.
 * Blind:  what only the agent knows (app, unit, container): such a policy holds from the agent's next reading on.
 *         So do those that by force hold a protected program.
 */

#define FNV_OFFSET 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL

static __always_inline struct rl_policy *get_policy(__u32 index)
{
	return bpf_map_lookup_elem(&policies, &index);
}

/* The number at a place of rl_process.policies. */
static __always_inline __u32 policy_number(__u64 held_to, __u32 place)
{
	return held_to >> place * 16 & 0xffff;
}

/* The policy at that place; NULL from the first one on that has none. */
static __always_inline struct rl_policy *policy_at(__u64 held_to, __u32 place)
{
	__u32 number = policy_number(held_to, place);
	return number ? get_policy(number) : NULL;
}

/* Whether it has expired: the kernel takes it out of force, agent or no agent, and the agent the rest of it. */
static __always_inline bool is_over(struct rl_policy *policy)
{
	__u64 expires = policy->expires_ns;
	if (!expires || bpf_ktime_get_boot_ns() < expires)
		return false;
	policy->flags = 0;
	return true;
}

/* The verifier follows a choice; it loses the bounds of an index that was put aside. */
static __always_inline struct rl_allowance *get_allowance(struct rl_policy *policy, enum rl_direction direction)
{
	return direction == RL_RX ? &policy->allowances[RL_RX] : &policy->allowances[RL_TX];
}

static __always_inline struct rl_share *get_share(struct rl_held *held, enum rl_direction direction, __u32 place)
{
	return direction == RL_RX ? &held->shares[RL_RX][place] : &held->shares[RL_TX][place];
}

struct path_hash {
	__u8 *path;
	__u64 hash;
	__u64 first_component;
	__u32 length;
};

static long hash_path(__u32 i, struct path_hash *walk)
{
	__u8 *path = walk->path;
	if (i >= walk->length || i >= RL_EXECUTABLE_LENGTH)
		return 1;
	__u8 byte = path[i & (RL_EXECUTABLE_LENGTH - 1)];
	walk->hash = (walk->hash ^ byte) * FNV_PRIME;
	if (!byte && !walk->first_component)
		walk->first_component = walk->hash;
	return 0;
}

struct early_walk {
	struct rl_process *process;
	__u64 executable;
	__u64 executable_name;
	__u64 found;
};

static __always_inline bool is_same_name(const char *a, const char *b)
{
	for (int i = 0; i < RL_NAME_LENGTH; i++) {
		if (a[i] != b[i])
			return false;
		if (!a[i])
			return true;
	}
	return true;
}

static long match_policy(__u32 i, struct early_walk *walk)
{
	__u32 index = i + 1;
	struct rl_process *p = walk->process;
	struct rl_policy *policy = get_policy(index);

	if (!policy || !p)
		return 1;
	__u32 terms = policy->early_terms;
	if (!(policy->flags & RL_POLICY_EARLY) || !terms || is_over(policy))
		return 0;
	if (terms & RL_EARLY_UID && policy->early_uid != p->uid)
		return 0;
	if (terms & RL_EARLY_NAME && !is_same_name(policy->early_name, p->name))
		return 0;
	if (terms & RL_EARLY_EXECUTABLE && policy->early_executable != walk->executable)
		return 0;
	if (terms & RL_EARLY_EXECUTABLE_NAME && policy->early_executable_name != walk->executable_name)
		return 0;
	if (walk->found >> 16 * (RL_PROCESS_POLICIES - 1))
		return 1;
	walk->found = walk->found << 16 | index;
	return 0;
}

static __always_inline __u64 hash_name(const char *name)
{
	__u64 hash = FNV_OFFSET;

	for (int i = 0; i < RL_NAME_LENGTH; i++) {
		hash = (hash ^ (__u8)name[i]) * FNV_PRIME;
		if (!name[i])
			break;
	}
	return hash;
}

/* Whether the agent is to look first: by force it may hold such a process, too. */
static __always_inline bool is_protected(struct rl_process *p, const struct path_hash *path)
{
	__u64 name = hash_name(p->name);

	return bpf_map_lookup_elem(&protected_programs, &name) ||
	       bpf_map_lookup_elem(&protected_programs, &path->hash) ||
	       bpf_map_lookup_elem(&protected_programs, &path->first_component);
}

/* Adds to what holds for the process already; the agent takes out what no longer should. */
__noinline int match_early(__u32 slot, struct rl_process *p)
{
	struct rl_totals *t = get_totals();
	struct rl_process_details *d;

	if (!p || !t || !t->early_policies)
		return 0;
	d = bpf_map_lookup_elem(&process_details, &slot);
	if (!d)
		return 0;
	struct path_hash path = {.path = d->executable, .hash = FNV_OFFSET, .length = d->executable_length};
	bpf_loop(RL_EXECUTABLE_LENGTH, hash_path, &path, 0);
	if (is_protected(p, &path))
		return 0;
	__u32 index = slot;
	struct early_walk walk = {
		.process = get_process(index),
		.executable = path.hash,
		.executable_name = path.first_component,
	};
	bpf_loop(RL_MAX_POLICIES - 1, match_policy, &walk, 0);
	__u64 held_to = p->policies;
	for (int i = 0; i < RL_PROCESS_POLICIES; i++) {
		__u32 number = policy_number(walk.found, i);
		if (!number || held_to >> 16 * (RL_PROCESS_POLICIES - 1))
			break;
		bool known = false;
		for (int j = 0; j < RL_PROCESS_POLICIES; j++)
			known |= policy_number(held_to, j) == number;
		if (!known)
			held_to = held_to << 16 | number;
	}
	p->policies = held_to;
	return 0;
}

/* What the socket's owner is held to; 0 where nobody owns it any more. */
static __always_inline __u64 held_to_by_owner(struct rl_socket *s)
{
	struct rl_process *p = s ? get_process(s->owner) : NULL;
	return p && p->generation == s->owner_generation ? p->policies : 0;
}

/* Whether the ledger has ruled that this flow carries relayed traffic. */
static __always_inline struct rl_ruling *find_ruling(__u64 flow)
{
	__u32 index = flow;
	struct rl_ruling *ruling = bpf_map_lookup_elem(&flow_rulings, &index);
	return ruling && index && ruling->generation == flow >> 32 ? ruling : NULL;
}
