/*
 * Moves the same small HTTP conversation over a socket in one chosen way: what a test asks of the
 * kernel, and nothing else.
 *
 *   ways list                      one way a line
 *   ways NAME [--wait] [--port N]  a server and a client, one connection, three calls:
 *       GET  /ways/NAME/before     moved with plain read and write
 *       POST /ways/NAME            REQUEST bytes up, RESPONSE bytes down, moved in the chosen way
 *       GET  /ways/NAME/after      plain again: shows that the stream is still understood
 *
 * --wait: after the first call it prints "ready" and goes on at a line on standard input.
 * At the end: "done REQUEST RESPONSE" with the bytes of both bodies. Exit code 77: not possible
 * here, and the reason; 1: it went wrong.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uring.h"

enum { LARGEST = 8 << 20, MANY = 1000, TLS_LEVEL = 282 };

typedef ssize_t (*mover)(int fd, char *data, size_t n);
enum family { V4, V6, MAPPED, UNIX, ABSTRACT, PAIR };

struct way {
    const char *name;
    mover out, in;
    enum family family;
    size_t request, response;
    int flags;
};
enum { TFO = 1, KTLS = 2, PASS = 4, FORK = 8, SMALL = 16, DEFER = 32, PEEK = 64, URING = 128, SQPOLL = 256, FIXED = 512, CLOSE = 1024 };

static void quit(int code, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vprintf(format, list);
    printf("\n");
    fflush(stdout);
    _exit(code);
}
static void unavailable(const char *what) { quit(77, "unavailable: %s: %s", what, strerror(errno)); }
static void broken(const char *what) { quit(1, "failed: %s: %s", what, strerror(errno)); }
static void await(int fd, int events) {
    struct pollfd p = {fd, events, 0};
    if (poll(&p, 1, 20000) == 0) quit(1, "failed: nothing moved for 20 s");
}

/* What each mover does once; `all_out` and `until` call it until everything is moved. */
static ssize_t do_write(int fd, char *d, size_t n) { return write(fd, d, n); }
static ssize_t do_read(int fd, char *d, size_t n) { return read(fd, d, n); }
static ssize_t do_send(int fd, char *d, size_t n) { return send(fd, d, n, MSG_NOSIGNAL); }
static ssize_t do_sendto(int fd, char *d, size_t n) { return sendto(fd, d, n, 0, NULL, 0); }
static ssize_t do_more(int fd, char *d, size_t n) {
    return n > 100 ? send(fd, d, 100, MSG_MORE) : send(fd, d, n, 0);
}
static ssize_t do_recv(int fd, char *d, size_t n) { return recv(fd, d, n, 0); }
static ssize_t do_peek(int fd, char *d, size_t n) {
    char seen[512];
    recv(fd, seen, sizeof seen, MSG_PEEK);
    recv(fd, seen, 1, MSG_PEEK);
    return recv(fd, d, n, 0);
}
static int pieces(struct iovec *v, char *d, size_t n, int most) {
    size_t each = n / most + 1;
    int k = 0;
    for (size_t at = 0; at < n; at += each, k++) v[k] = (struct iovec){d + at, n - at < each ? n - at : each};
    return k;
}
static ssize_t do_writev(int fd, char *d, size_t n) {
    struct iovec v[5];
    return writev(fd, v, pieces(v, d, n, 5));
}
static ssize_t do_writev_many(int fd, char *d, size_t n) {
    static struct iovec v[MANY];
    return writev(fd, v, pieces(v, d, n, MANY));
}
static ssize_t do_readv(int fd, char *d, size_t n) {
    struct iovec v[5];
    return readv(fd, v, pieces(v, d, n < 999 ? n : 999, 5));
}
static ssize_t do_readv_many(int fd, char *d, size_t n) {
    static struct iovec v[MANY];
    return readv(fd, v, pieces(v, d, n, MANY));
}
static ssize_t do_sendmsg(int fd, char *d, size_t n) {
    struct iovec v[7] = {{NULL, 0}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 1 + pieces(v + 1, d, n, 6)};
    return sendmsg(fd, &m, 0);
}
static ssize_t do_recvmsg(int fd, char *d, size_t n) {
    struct iovec v[5];
    struct msghdr m = {.msg_iov = v, .msg_iovlen = pieces(v, d, n < 4999 ? n : 4999, 5)};
    return recvmsg(fd, &m, 0);
}
static ssize_t do_sendmmsg(int fd, char *d, size_t n) {
    struct iovec v[3];
    struct mmsghdr m[3];
    memset(m, 0, sizeof m);
    int k = pieces(v, d, n, 3), moved = 0;
    for (int i = 0; i < k; i++) m[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
    int sent = sendmmsg(fd, m, k, 0);
    for (int i = 0; i < sent; i++) moved += m[i].msg_len;
    return sent < 0 ? -1 : moved;
}
static ssize_t do_recvmmsg(int fd, char *d, size_t n) {
    struct iovec v = {d, n};
    struct mmsghdr m = {.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1}};
    return recvmmsg(fd, &m, 1, 0, NULL) == 1 ? (ssize_t)m.msg_len : -1;
}
static ssize_t do_waitall(int fd, char *d, size_t n) {
    /* The head comes as it comes; of the rest as much as must come. */
    return recv(fd, d, n > 16384 ? 16384 : n, n > 16384 ? MSG_WAITALL : 0);
}
static ssize_t do_trunc(int fd, char *d, size_t n) {
    (void)d;
    return recv(fd, NULL, n, MSG_TRUNC);
}
static ssize_t do_zerocopy(int fd, char *d, size_t n) {
    int one = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof one) < 0) unavailable("SO_ZEROCOPY");
    return send(fd, d, n, MSG_ZEROCOPY);
}
static int a_file(const char *d, size_t n) {
    int file = memfd_create("body", 0);
    if (file < 0 || write(file, d, n) != (ssize_t)n) broken("memfd");
    lseek(file, 0, SEEK_SET);
    return file;
}
static ssize_t do_sendfile(int fd, char *d, size_t n) {
    int file = a_file(d, n);
    size_t moved = 0;
    while (moved < n) {
        ssize_t k = sendfile(fd, file, NULL, n - moved);
        if (k <= 0) broken("sendfile");
        moved += k;
    }
    close(file);
    return n;
}
static ssize_t do_splice_out(int fd, char *d, size_t n) {
    int file = a_file(d, n), tube[2];
    if (pipe(tube) < 0) broken("pipe");
    size_t moved = 0;
    while (moved < n) {
        ssize_t k = splice(file, NULL, tube[1], NULL, n - moved, 0);
        if (k <= 0) broken("splice");
        moved += k;
        while (k > 0) {
            ssize_t m = splice(tube[0], NULL, fd, NULL, k, 0);
            if (m <= 0) broken("splice");
            k -= m;
        }
    }
    close(file), close(tube[0]), close(tube[1]);
    return n;
}
static ssize_t do_splice_in(int fd, char *d, size_t n) {
    int tube[2];
    if (pipe(tube) < 0) broken("pipe");
    ssize_t k = splice(fd, NULL, tube[1], NULL, n > 65536 ? 65536 : n, 0);
    for (ssize_t at = 0; at < k;) at += read(tube[0], d + at, k - at);
    close(tube[0]), close(tube[1]);
    return k;
}
static ssize_t uring_result(long result) {
    if (result == -EINVAL || result == -EOPNOTSUPP) errno = -result, unavailable("io_uring operation");
    if (result < 0) return errno = -result, -1;
    return result;
}
static ssize_t do_uring_send(int fd, char *d, size_t n) { return uring_result(ring_do(IORING_OP_SEND, fd, d, n)); }
static ssize_t do_uring_recv(int fd, char *d, size_t n) { return uring_result(ring_do(IORING_OP_RECV, fd, d, n)); }
static ssize_t do_uring_write_fixed(int fd, char *d, size_t n) {
    size_t k = n < RING_BUFFER ? n : RING_BUFFER;
    memcpy(ring.buffer, d, k);
    return uring_result(ring_do(IORING_OP_WRITE_FIXED, fd, ring.buffer, k));
}
static ssize_t do_uring_read_fixed(int fd, char *d, size_t n) {
    ssize_t k = uring_result(ring_do(IORING_OP_READ_FIXED, fd, ring.buffer, n < RING_BUFFER ? n : RING_BUFFER));
    if (k > 0) memcpy(d, ring.buffer, k);
    return k;
}
static ssize_t do_dup(int fd, char *d, size_t n) {
    int other = dup(fd);
    ssize_t k = write(other, d, n);
    close(other);
    return k;
}
struct share { int fd; char *d; size_t n; };
static void *write_share(void *of) {
    struct share *s = of;
    for (size_t at = 0; at < s->n;) {
        ssize_t k = write(s->fd, s->d + at, s->n - at);
        if (k <= 0) broken("write");
        at += k;
    }
    return NULL;
}
static ssize_t do_threads(int fd, char *d, size_t n) {
    struct share shares[3] = {{fd, d, n / 3}, {fd, d + n / 3, n / 3}, {fd, d + 2 * (n / 3), n - 2 * (n / 3)}};
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, write_share, &shares[i]);
        pthread_join(thread, NULL);
    }
    return n;
}

#define BODY 20000
#define ANSWER 100000
static const struct way WAYS[] = {
    {"read-write", do_write, do_read, V4, BODY, ANSWER, 0},
    {"send-recv", do_send, do_recv, V4, BODY, ANSWER, 0},
    {"sendto", do_sendto, do_recv, V4, BODY, ANSWER, 0},
    {"send-more", do_more, do_recv, V4, 100, 100, 0},
    {"writev-readv", do_writev, do_readv, V4, BODY, ANSWER, 0},
    {"writev-1000", do_writev_many, do_readv_many, V4, BODY, ANSWER, 0},
    {"sendmsg-recvmsg", do_sendmsg, do_recvmsg, V4, BODY, ANSWER, 0},
    {"sendmmsg-recvmmsg", do_sendmmsg, do_recvmmsg, V4, BODY, ANSWER, 0},
    {"peek", do_write, do_peek, V4, BODY, ANSWER, PEEK},
    {"waitall", do_write, do_waitall, V4, BODY, ANSWER, 0},
    {"trunc", do_write, do_trunc, V4, BODY, ANSWER, 0},
    {"zerocopy", do_zerocopy, do_recv, V4, BODY, ANSWER, 0},
    {"large", do_write, do_read, V4, 3000000, 3000000, 0},
    {"partial-writes", do_write, do_read, V4, BODY, 3000000, SMALL},
    {"sendfile", do_sendfile, do_read, V4, BODY, ANSWER, 0},
    {"splice", do_splice_out, do_splice_in, V4, BODY, ANSWER, 0},
    {"uring", do_uring_send, do_uring_recv, V4, BODY, ANSWER, URING},
    {"uring-sqpoll", do_uring_send, do_uring_recv, V4, BODY, ANSWER, URING | SQPOLL},
    {"uring-fixed", do_uring_write_fixed, do_uring_read_fixed, V4, BODY, ANSWER, URING | FIXED},
    {"fast-open", do_write, do_read, V4, BODY, ANSWER, TFO},
    {"defer-accept", do_write, do_read, V4, BODY, ANSWER, DEFER},
    {"ktls", do_write, do_read, V4, BODY, ANSWER, KTLS},
    {"ktls-sendfile", do_sendfile, do_read, V4, BODY, ANSWER, KTLS},
    {"ipv6", do_write, do_read, V6, BODY, ANSWER, 0},
    {"ipv4-mapped", do_write, do_read, MAPPED, BODY, ANSWER, 0},
    {"dup", do_dup, do_read, V4, BODY, ANSWER, 0},
    {"threads", do_threads, do_read, V4, BODY, ANSWER, 0},
    {"fork", do_write, do_read, V4, BODY, ANSWER, FORK},
    {"pass-fd", do_write, do_read, V4, BODY, ANSWER, PASS},
    {"until-close", do_write, do_read, V4, BODY, ANSWER, CLOSE},
    {"unix", do_write, do_read, UNIX, BODY, ANSWER, 0},
    {"unix-abstract", do_write, do_read, ABSTRACT, BODY, ANSWER, 0},
    {"unix-pair", do_write, do_read, PAIR, BODY, ANSWER, 0},
    {"unix-writev", do_writev_many, do_readv, UNIX, BODY, ANSWER, 0},
    {"unix-peek", do_write, do_peek, UNIX, BODY, ANSWER, PEEK},
    {"unix-sendfile", do_sendfile, do_read, UNIX, BODY, ANSWER, 0},
    {"unix-splice", do_splice_out, do_splice_in, UNIX, BODY, ANSWER, 0},
    {"unix-uring", do_uring_send, do_uring_recv, UNIX, BODY, ANSWER, URING},
    {"unix-pass-fd", do_write, do_read, UNIX, BODY, ANSWER, PASS},
};

static const struct way *way;
static char *data;
static char folder[] = "/tmp/ways-XXXXXX", place[64];

static void all_out(int fd, mover out, char *d, size_t n) {
    for (size_t at = 0; at < n;) {
        ssize_t k = out(fd, d + at, n - at);
        if (k > 0) at += k;
        else if (k < 0 && errno == EAGAIN) await(fd, POLLOUT);
        else broken("send");
    }
}

/* Receives a head and a body of `body` bytes (-1: until the end), the body with `in`. */
static void take(int fd, mover in, long body) {
    size_t got = 0;
    char *end = NULL;
    /* Trunc and splice leave no bytes to look at: the head is read plainly, byte by byte. */
    int blind = in == do_trunc || in == do_splice_in || in == do_waitall;
    while (!end) {
        ssize_t k = blind ? read(fd, data + got, 1) : in(fd, data + got, LARGEST - 1 - got);
        if (k < 0 && errno == EAGAIN) { await(fd, POLLIN); continue; }
        if (k <= 0) broken("receive");
        got += k;
        data[got] = 0;
        end = strstr(data, "\r\n\r\n");
    }
    long have = got - (end + 4 - data);
    while (body < 0 || have < body) {
        size_t room = body < 0 ? LARGEST : (size_t)(body - have);
        ssize_t k = in(fd, data, room);
        if (k < 0 && errno == EAGAIN) { await(fd, POLLIN); continue; }
        if (k == 0 && body < 0) return;
        if (k <= 0) broken("receive");
        have += k;
    }
}

static size_t message(char *to, const char *line, long body) {
    int n = body >= 0 ? sprintf(to, "%s\r\nHost: ways\r\nContent-Length: %ld\r\n\r\n", line, body)
                      : sprintf(to, "%s\r\nConnection: close\r\n\r\n", line);
    size_t size = body >= 0 ? (size_t)body : way->response;
    memset(to + n, 'x', size);
    return n + size;
}

/* The head goes plainly where the way has no memory to show it from, as servers do it. */
static void give(int fd, mover out, const char *line, long body) {
    size_t n = message(data, line, body);
    size_t head = out == do_sendfile || out == do_splice_out ? (size_t)(strstr(data, "\r\n\r\n") + 4 - data) : 0;
    if (head) all_out(fd, do_write, data, head);
    all_out(fd, out, data + head, n - head);
}

static void start_tls(int fd) {
    struct tls12_crypto_info_aes_gcm_128 keys;
    memset(&keys, 0, sizeof keys);
    keys.info.version = TLS_1_2_VERSION;
    keys.info.cipher_type = TLS_CIPHER_AES_GCM_128;
    memset(keys.key, 7, sizeof keys.key);
    if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4) < 0) unavailable("kTLS");
    if (setsockopt(fd, TLS_LEVEL, TLS_TX, &keys, sizeof keys) < 0) unavailable("kTLS send");
    if (setsockopt(fd, TLS_LEVEL, TLS_RX, &keys, sizeof keys) < 0) unavailable("kTLS receive");
}

static void open_ring(void) {
    if (!(way->flags & URING)) return;
    if (ring_open(way->flags & SQPOLL ? IORING_SETUP_SQPOLL : 0, way->flags & FIXED) < 0) unavailable("io_uring");
}

static void serve(int fd) {
    int ktls = way->flags & KTLS;
    open_ring();
    if (ktls) start_tls(fd);
    take(fd, do_read, 0);
    give(fd, do_write, "HTTP/1.1 200 OK", 7);
    if (way->flags & SMALL) {
        int small = 16384;
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        fcntl(fd, F_SETFL, O_NONBLOCK);
    }
    take(fd, way->in, way->request);
    give(fd, way->out, "HTTP/1.1 200 OK", way->flags & CLOSE ? -1 : (long)way->response);
    if (!(way->flags & CLOSE)) {
        take(fd, do_read, 0);
        give(fd, do_write, "HTTP/1.1 200 OK", 9);
    }
    close(fd);
}

static void call(int fd, int wait, int first_sent) {
    char line[128];
    open_ring();
    if (way->flags & KTLS) start_tls(fd);
    sprintf(line, "GET /ways/%s/before HTTP/1.1", way->name);
    if (!first_sent) give(fd, do_write, line, 0);
    take(fd, do_read, 7);
    if (wait) {
        printf("ready\n");
        fflush(stdout);
        if (getchar() == EOF) quit(1, "failed: standard input ended");
    }
    sprintf(line, "POST /ways/%s HTTP/1.1", way->name);
    give(fd, way->out, line, way->request);
    take(fd, way->in, way->flags & CLOSE ? -1 : (long)way->response);
    if (way->flags & CLOSE) return;
    sprintf(line, "GET /ways/%s/after HTTP/1.1", way->name);
    give(fd, do_write, line, 0);
    take(fd, do_read, 9);
    close(fd);
}

/* Another process serves what this one accepted. */
static void hand_over(int fd) {
    int pair[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    if (fork() == 0) {
        char byte, room[CMSG_SPACE(sizeof(int))];
        struct iovec v = {&byte, 1};
        struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
        if (recvmsg(pair[1], &m, 0) < 0) broken("recvmsg");
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
        serve(fd);
        _exit(0);
    }
    char byte = 0, room[CMSG_SPACE(sizeof(int))];
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    if (sendmsg(pair[0], &m, 0) < 0) broken("sendmsg");
    close(fd);
    wait(NULL);
}

int main(int argc, char **argv) {
    const int count = sizeof WAYS / sizeof *WAYS;
    int wait_first = 0, port = 0, one = 1;
    if (argc > 1 && !strcmp(argv[1], "list")) {
        for (int i = 0; i < count; i++) puts(WAYS[i].name);
        return 0;
    }
    for (int i = 0; argc > 1 && i < count; i++)
        if (!strcmp(WAYS[i].name, argv[1])) way = &WAYS[i];
    if (!way) quit(2, "usage: ways list | ways NAME [--wait] [--port N]");
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--wait")) wait_first = 1;
        if (!strcmp(argv[i], "--port") && i + 1 < argc) port = atoi(argv[++i]);
    }
    data = malloc(LARGEST);

    union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; struct sockaddr_un un; } to = {0};
    socklen_t size = 0;
    int pair[2] = {-1, -1}, listener = -1;
    if (way->family == PAIR) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) broken("socketpair");
    } else {
        if (way->family == UNIX || way->family == ABSTRACT) {
            to.un.sun_family = AF_UNIX;
            if (way->family == UNIX) {
                if (!mkdtemp(folder)) broken("folder");
                snprintf(place, sizeof place, "%s/socket", folder);
                strcpy(to.un.sun_path, place);
                size = sizeof to.un;
            } else {
                size = sizeof to.un.sun_family + 1 + sprintf(to.un.sun_path + 1, "ways-%d", getpid());
            }
        } else if (way->family == V4) {
            to.v4 = (struct sockaddr_in){AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
            size = sizeof to.v4;
        } else {
            to.v6 = (struct sockaddr_in6){AF_INET6, htons(port), 0, way->family == V6 ? in6addr_loopback : in6addr_any, 0};
            size = sizeof to.v6;
        }
        listener = socket(to.any.sa_family, SOCK_STREAM, 0);
        if (listener < 0) unavailable("socket");
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(listener, &to.any, size) < 0) unavailable("bind");
        int queue = 16;
        if (way->flags & TFO && setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof queue) < 0)
            unavailable("TCP_FASTOPEN");
        if (way->flags & TFO) setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &one, sizeof one);
        if (way->flags & DEFER) setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof one);
        if (listen(listener, 8) < 0) broken("listen");
        if (way->family < UNIX) getsockname(listener, &to.any, &size);
    }
    fflush(stdout);
    pid_t server = fork();
    if (server == 0) {
        int fd = pair[1];
        if (listener >= 0) {
            fd = accept(listener, NULL, NULL);
            if (fd < 0) broken("accept");
        } else {
            close(pair[0]);
        }
        if (way->flags & PASS) hand_over(fd);
        else if (way->flags & FORK) {
            if (fork() == 0) serve(fd), _exit(0);
            close(fd);
            wait(NULL);
        } else serve(fd);
        _exit(0);
    }
    int fd = pair[0], first_sent = 0;
    if (listener >= 0) {
        if (way->family == MAPPED) {
            /* An IPv4 client of an IPv6 server. */
            to.v4 = (struct sockaddr_in){AF_INET, to.v6.sin6_port, {htonl(INADDR_LOOPBACK)}, {0}};
            size = sizeof to.v4;
        }
        fd = socket(to.any.sa_family, SOCK_STREAM, 0);
        if (way->flags & TFO) {
            char line[128];
            sprintf(line, "GET /ways/%s/before HTTP/1.1", way->name);
            size_t n = message(data, line, 0);
            setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &one, sizeof one);
            if (sendto(fd, data, n, MSG_FASTOPEN, &to.any, size) != (ssize_t)n) unavailable("MSG_FASTOPEN");
            first_sent = 1;
        } else if (connect(fd, &to.any, size) < 0) broken("connect");
    } else {
        close(pair[1]);
    }
    call(fd, wait_first, first_sent);
    int status = 1;
    waitpid(server, &status, 0);
    if (*place) unlink(place), rmdir(folder);
    if (status) quit(WIFEXITED(status) ? WEXITSTATUS(status) : 1, "failed: the server's end");
    printf("done %zu %zu\n", way->request, way->response);
    return 0;
}
