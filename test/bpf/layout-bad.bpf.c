// SPDX-License-Identifier: GPL-2.0-only
/* A struct with one field that must not cross to user space: compile with -DFIELD=... */
struct rl_bad {
	FIELD;
} bad;
