#define _GNU_SOURCE
#include "uring.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "truth.h"

struct ring {
  int fd;
  uint32_t *sq_tail, *sq_mask, *sq_array, *sq_flags, *cq_head, *cq_tail, *cq_mask;
  struct io_uring_sqe *requests;
  struct io_uring_cqe *completions;
};

static struct ring ring_open(enum uring_how how) {
  struct io_uring_params params = {.flags = how == URING_SQPOLL ? IORING_SETUP_SQPOLL : 0, .sq_thread_idle = 10};
  struct ring ring = {.fd = syscall(SYS_io_uring_setup, 4, &params)};
  if (ring.fd < 0) {
    if (errno == ENOSYS || errno == EPERM)
      skip("this kernel has no io_uring, or has it switched off");
    fail("io_uring_setup");
  }
  size_t sq_size = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
  size_t cq_size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
  char *sq = mmap(NULL, sq_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_SQ_RING);
  char *cq = mmap(NULL, cq_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_CQ_RING);
  ring.requests = mmap(NULL, params.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED,
                       ring.fd, IORING_OFF_SQES);
  if (sq == MAP_FAILED || cq == MAP_FAILED || ring.requests == MAP_FAILED)
    fail("mmap of the ring");
  ring.sq_tail = (uint32_t *)(sq + params.sq_off.tail);
  ring.sq_mask = (uint32_t *)(sq + params.sq_off.ring_mask);
  ring.sq_array = (uint32_t *)(sq + params.sq_off.array);
  ring.sq_flags = (uint32_t *)(sq + params.sq_off.flags);
  ring.cq_head = (uint32_t *)(cq + params.cq_off.head);
  ring.cq_tail = (uint32_t *)(cq + params.cq_off.tail);
  ring.cq_mask = (uint32_t *)(cq + params.cq_off.ring_mask);
  ring.completions = (struct io_uring_cqe *)(cq + params.cq_off.cqes);
  return ring;
}

static int next_completion(struct ring *ring, uint32_t *flags) {
  uint32_t head = *ring->cq_head;
  while (head == atomic_load_explicit((_Atomic uint32_t *)ring->cq_tail, memory_order_acquire))
    if (syscall(SYS_io_uring_enter, ring->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0 && errno != EINTR)
      fail("io_uring_enter");
  int result = ring->completions[head & *ring->cq_mask].res;
  *flags = ring->completions[head & *ring->cq_mask].flags;
  atomic_store_explicit((_Atomic uint32_t *)ring->cq_head, head + 1, memory_order_release);
  return result;
}

int uring_do(struct io_uring_sqe request, enum uring_how how) {
  static struct ring rings[3];
  struct ring *ring = &rings[how];
  if (!ring->requests)
    *ring = ring_open(how);
  if (how == URING_WORKER)
    request.flags |= IOSQE_ASYNC;

  uint32_t tail = *ring->sq_tail, slot = tail & *ring->sq_mask;
  ring->requests[slot] = request;
  ring->sq_array[slot] = slot;
  atomic_store((_Atomic uint32_t *)ring->sq_tail, tail + 1);
  unsigned flags = 0, submit = 1;
  if (how == URING_SQPOLL) {
    submit = 0;
    flags = atomic_load((_Atomic uint32_t *)ring->sq_flags) & IORING_SQ_NEED_WAKEUP ? IORING_ENTER_SQ_WAKEUP : 0;
  }
  if ((submit || flags) && syscall(SYS_io_uring_enter, ring->fd, submit, 0, flags, NULL, 0) < 0)
    fail("io_uring_enter");

  uint32_t completion_flags;
  int result = next_completion(ring, &completion_flags);
  /* A zero-copy send completes twice: the result first, then the notice that the pages are free again. */
  if (completion_flags & IORING_CQE_F_MORE)
    next_completion(ring, &completion_flags);
  return result;
}
