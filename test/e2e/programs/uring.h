/* io_uring with one request in flight, without liburing: enough to show that its bytes are the caller's. */
#pragma once
#include <linux/io_uring.h>

enum uring_how {
  URING_INLINE, /* completed in the submitting call or by its poll wake-up */
  URING_WORKER, /* IOSQE_ASYNC: an io-wq worker thread of the process does it */
  URING_SQPOLL, /* the kernel's submission thread does it */
};

/* Submits one request and waits for it; the completion's result (bytes, or -errno). Skips where io_uring is off. */
int uring_do(struct io_uring_sqe request, enum uring_how how);
