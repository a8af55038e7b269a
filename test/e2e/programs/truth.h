/* What this process itself sent and received, by the return values of its own system calls: the truth of the tests. */
#pragma once
#include <stddef.h>
#include <sys/types.h>

/* Exit status of a program that needs a kernel feature which is not there; the reason stands on stderr. */
#define EXIT_SKIP 77

/* Add what a call returned; errors (< 0) count nothing. Safe from any thread. Both return their argument. */
ssize_t count_sent(ssize_t result);
ssize_t count_received(ssize_t result);

long long truth_sent(void);
long long truth_received(void);
/* For a forked child, which starts from nothing, and for programs whose counting begins late. */
void truth_reset(void);
/* For a program that goes on after exec: what it counted before. */
void truth_resume(long long sent, long long received);

/* One JSON line on stdout, in one write. Ids are those of the mount's /proc, the host's also in a pid namespace. */
void truth_print(const char *role);
/* The same for another process that can't speak for itself any more (killed), with the counts it left behind. */
void truth_print_for(pid_t pid, const char *role, long long sent, long long received);
/* Prints and ends the process without running the parent's exit handlers. */
_Noreturn void truth_exit(const char *role);

/* Tells the test that this program listens (or is otherwise where its peer may start): creates $E2E_READY. */
void ready(void);
/* Waits until the test has created the file. */
void wait_for_file(const char *path);

_Noreturn void fail(const char *what);
_Noreturn void skip(const char *reason);
