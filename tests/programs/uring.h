/* One io_uring operation at a time, by system calls alone: no library needs to be installed. */
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static struct {
    int fd, flags, registered_file;
    unsigned *sq_tail, *sq_mask, *sq_flags, *sq_array;
    unsigned *cq_head, *cq_tail, *cq_mask;
    struct io_uring_sqe *entries;
    struct io_uring_cqe *results;
    char *buffer; /* registered */
} ring = {.fd = -1, .registered_file = -1};

enum { RING_BUFFER = 1 << 20 };

/* 0, or -1 with errno. */
static int ring_open(int flags, int with_buffer) {
    struct io_uring_params p;
    memset(&p, 0, sizeof p);
    p.flags = flags;
    p.sq_thread_idle = 2000;
    ring.fd = syscall(__NR_io_uring_setup, 8, &p);
    if (ring.fd < 0) return -1;
    ring.flags = flags;
    char *sq = mmap(0, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                    ring.fd, IORING_OFF_SQ_RING);
    char *cq = mmap(0, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_CQ_RING);
    ring.entries = mmap(0, p.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQES);
    if (sq == MAP_FAILED || cq == MAP_FAILED || ring.entries == MAP_FAILED) return -1;
    ring.sq_tail = (unsigned *)(sq + p.sq_off.tail);
    ring.sq_mask = (unsigned *)(sq + p.sq_off.ring_mask);
    ring.sq_flags = (unsigned *)(sq + p.sq_off.flags);
    ring.sq_array = (unsigned *)(sq + p.sq_off.array);
    ring.cq_head = (unsigned *)(cq + p.cq_off.head);
    ring.cq_tail = (unsigned *)(cq + p.cq_off.tail);
    ring.cq_mask = (unsigned *)(cq + p.cq_off.ring_mask);
    ring.results = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
    if (with_buffer) {
        ring.buffer = mmap(0, RING_BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct iovec piece = {ring.buffer, RING_BUFFER};
        if (syscall(__NR_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, &piece, 1) < 0) return -1;
    }
    return 0;
}

/* The result of the operation; negative is an error number. */
static long ring_do(int op, int fd, void *buffer, size_t n) {
    unsigned tail = *ring.sq_tail, at = tail & *ring.sq_mask;
    struct io_uring_sqe *e = &ring.entries[at];
    memset(e, 0, sizeof *e);
    e->opcode = op;
    e->fd = fd;
    e->addr = (unsigned long)buffer;
    e->len = n;
    if (ring.flags & IORING_SETUP_SQPOLL) {
        /* Before 5.11 the kernel's thread takes registered files only. */
        if (ring.registered_file != fd) {
            if (ring.registered_file >= 0)
                syscall(__NR_io_uring_register, ring.fd, IORING_UNREGISTER_FILES, 0, 0);
            if (syscall(__NR_io_uring_register, ring.fd, IORING_REGISTER_FILES, &fd, 1) < 0) return -errno;
            ring.registered_file = fd;
        }
        e->fd = 0;
        e->flags = IOSQE_FIXED_FILE;
    }
    ring.sq_array[at] = at;
    __atomic_store_n(ring.sq_tail, tail + 1, __ATOMIC_SEQ_CST);
    unsigned enter = IORING_ENTER_GETEVENTS, submit = 1;
    if (ring.flags & IORING_SETUP_SQPOLL) {
        submit = 0;
        if (__atomic_load_n(ring.sq_flags, __ATOMIC_SEQ_CST) & IORING_SQ_NEED_WAKEUP) enter |= IORING_ENTER_SQ_WAKEUP;
    }
    if (syscall(__NR_io_uring_enter, ring.fd, submit, 1, enter, 0, 0) < 0) return -errno;
    while (*ring.cq_head == __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE))
        syscall(__NR_io_uring_enter, ring.fd, 0, 1, IORING_ENTER_GETEVENTS, 0, 0);
    long result = ring.results[*ring.cq_head & *ring.cq_mask].res;
    __atomic_store_n(ring.cq_head, *ring.cq_head + 1, __ATOMIC_RELEASE);
    return result;
}
