// An HTTPS server and client that use OpenSSL, or with -DWITH_GNUTLS GnuTLS, in ways that few
// programs do, for the tests of the observer. Both ends end with 1 if a byte is not as it should be.
//
//   tls_odd serve PORT WAY CERTIFICATE KEY
//   tls_odd ask PORT WAY PATH...
//
// Ways of OpenSSL: peek (looks at bytes before it reads them), small (asks for 0 bytes and for a
// few), clear (one object for one connection after the other), renegotiate, update (of keys), early
// (requests before the handshake is done), shutdown (in the middle of a message), fork (while it
// reads). Of GnuTLS: small, cork (hands over more than a record at a time), rehandshake.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what) {
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

#define MUST(x) do { if (!(x)) fail(#x); } while (0)
// Of a body: more than one record holds.
#define LARGE 40000

static const char *way;
static int server;
static int is(const char *name) { return strcmp(way, name) == 0; }

static int get(char *to, int n);
static int put(const char *from, int n);
static void between(void);

#ifdef WITH_GNUTLS

#include <gnutls/gnutls.h>

static gnutls_certificate_credentials_t credentials;
static gnutls_session_t it;

static void begin(const char *chain, const char *key) {
    MUST(gnutls_certificate_allocate_credentials(&credentials) == 0);
    if (server)
        MUST(gnutls_certificate_set_x509_key_file(credentials, chain, key, GNUTLS_X509_FMT_PEM) == 0);
}

static int handshake(void) {
    int result;
    do result = gnutls_handshake(it);
    while (result < 0 && !gnutls_error_is_fatal(result));
    return result == 0;
}

static void start(int fd) {
    const char *priority = is("rehandshake") ? "NORMAL:-VERS-ALL:+VERS-TLS1.2" : "NORMAL";
    MUST(gnutls_init(&it, server ? GNUTLS_SERVER : GNUTLS_CLIENT) == 0);
    MUST(gnutls_priority_set_direct(it, priority, NULL) == 0);
    MUST(gnutls_credentials_set(it, GNUTLS_CRD_CERTIFICATE, credentials) == 0);
    gnutls_transport_set_int(it, fd);
    MUST(handshake());
}

static void stop(void) {
    gnutls_bye(it, GNUTLS_SHUT_WR);
    gnutls_deinit(it);
}

static int get(char *to, int n) {
    static unsigned turn;
    if (is("small")) {
        MUST(gnutls_record_recv(it, to, 0) < 0);
        n = 1 + turn++ % 7 * 5 % n;
    }
    for (;;) {
        unsigned char number[8];
        int got = turn % 2 ? gnutls_record_recv_seq(it, to, n, number) : gnutls_record_recv(it, to, n);
        if (got == GNUTLS_E_REHANDSHAKE) MUST(handshake());
        else if (got != GNUTLS_E_AGAIN && got != GNUTLS_E_INTERRUPTED) return got;
    }
}

static int put(const char *from, int n) {
    if (is("cork")) {
        gnutls_record_cork(it);
        for (int done = 0; done < n; done += 1000)
            MUST(gnutls_record_send(it, from + done, n - done < 1000 ? n - done : 1000) > 0);
        MUST(gnutls_record_uncork(it, GNUTLS_RECORD_WAIT) == n);
        return n;
    }
    return gnutls_record_send(it, from, is("small") && n > 5 ? 5 : n);
}

static void between(void) {
    if (is("rehandshake") && !server) MUST(handshake());
}

#else

#include <openssl/ssl.h>

static SSL_CTX *config;
static SSL *it;
static SSL_SESSION *session;
static char early[8192];
static size_t early_bytes, early_taken;
static volatile sig_atomic_t forks;
static int in_child, connection;

static int keep(SSL *ssl, SSL_SESSION *new) {
    (void)ssl;
    if (session) SSL_SESSION_free(session);
    session = new;
    return 1;
}

static void begin(const char *chain, const char *key) {
    MUST(config = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
    SSL_CTX_set_verify(config, SSL_VERIFY_NONE, NULL);
    if (is("renegotiate")) {
        SSL_CTX_set_max_proto_version(config, TLS1_2_VERSION);
#ifdef SSL_OP_ALLOW_CLIENT_RENEGOTIATION
        SSL_CTX_set_options(config, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
#endif
    }
    if (is("early")) SSL_CTX_set_max_early_data(config, sizeof early);
    if (server) {
        MUST(SSL_CTX_use_certificate_chain_file(config, chain) == 1);
        MUST(SSL_CTX_use_PrivateKey_file(config, key, SSL_FILETYPE_PEM) == 1);
    } else {
        SSL_CTX_set_session_cache_mode(config, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(config, keep);
    }
}

static void interrupted(int signal) {
    (void)signal;
    // The child goes on inside the read, with a socket that is at its end.
    pid_t child = fork();
    if (child == 0) {
        in_child = 1;
        int none = open("/dev/null", O_RDWR);
        if (none < 0 || dup2(none, connection) < 0) _exit(2);
        return;
    }
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) _exit(3);
    forks++;
}

static void start(int fd) {
    connection = fd;
    early_bytes = early_taken = 0;
    if (!it || !is("clear")) MUST(it = SSL_new(config));
    else MUST(SSL_clear(it) == 1);
    MUST(SSL_set_fd(it, fd) == 1);
    if (server && is("early")) {
        for (;;) {
            size_t got = 0;
            int state = SSL_read_early_data(it, early + early_bytes, sizeof early - early_bytes, &got);
            MUST(state != SSL_READ_EARLY_DATA_ERROR);
            early_bytes += got;
            if (state == SSL_READ_EARLY_DATA_FINISH) break;
        }
    }
    if (!server && is("early") && session) MUST(SSL_set_session(it, session) == 1);
}

static void finish(void) {
    MUST((server ? SSL_accept(it) : SSL_connect(it)) == 1);
}

static void stop(void) {
    SSL_shutdown(it);
    if (!is("clear")) SSL_free(it);
}

static int get(char *to, int n) {
    static unsigned turn;
    size_t got = 0;
    if (early_taken < early_bytes) {
        n = early_bytes - early_taken < (size_t)n ? (int)(early_bytes - early_taken) : n;
        memcpy(to, early + early_taken, n);
        early_taken += n;
        return n;
    }
    if (is("small")) {
        SSL_read_ex(it, to, 0, &got);
        MUST(got == 0);
        n = 1 + turn++ % 7 * 5 % n;
    }
    if (is("peek")) {
        char seen[64];
        int some = n < (int)sizeof seen ? n : (int)sizeof seen;
        int looked = SSL_peek(it, seen, some);
        if (looked > 0 && SSL_peek_ex(it, seen, looked, &got) == 1) looked = (int)got;
        if (looked <= 0) return looked;
        MUST(SSL_read_ex(it, to, n, &got) == 1 && (int)got >= looked && memcmp(to, seen, looked) == 0);
        return (int)got;
    }
    if (is("fork") && server) {
        int result = SSL_read(it, to, n);
        if (in_child) _exit(0);
        return result;
    }
    return turn++ % 2 ? SSL_read(it, to, n) : (SSL_read_ex(it, to, n, &got), (int)got);
}

static int put(const char *from, int n) {
    static unsigned turn;
    size_t wrote = 0;
    if (is("small")) {
        SSL_write_ex(it, from, 0, &wrote);
        if (n > 5) n = 5;
    }
    if (turn++ % 2) return SSL_write(it, from, n);
    MUST(SSL_write_ex(it, from, n, &wrote) == 1);
    return (int)wrote;
}

static void between(void) {
    if (server) return;
    if (is("renegotiate")) MUST(SSL_renegotiate(it) == 1 && SSL_do_handshake(it) == 1);
    if (is("update")) MUST(SSL_key_update(it, SSL_KEY_UPDATE_REQUESTED) == 1);
    // Time for the server to be interrupted while it reads.
    if (is("fork")) usleep(20000);
}

#endif

static void all(const char *text, int n) {
    for (int done = 0; done < n;) {
        int wrote = put(text + done, n - done);
        MUST(wrote > 0);
        done += wrote;
    }
}

// Reads until the end of the head, and as many bytes more as it says; 0 at the end.
static int message(char *buffer, int size) {
    int have = 0;
    for (;;) {
        int n = get(buffer + have, size - 1 - have);
        if (n <= 0) return 0;
        have += n;
        buffer[have] = 0;
        char *end = strstr(buffer, "\r\n\r\n");
        if (!end) continue;
        char *length = strstr(buffer, "Content-Length: ");
        if (have >= end + 4 - buffer + (length ? atoi(length + 16) : 0)) return have;
    }
}

static char buffer[2 * LARGE], text[2 * LARGE];

static void answer(void) {
    int n = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", LARGE);
    memset(text + n, 'x', LARGE);
    if (is("shutdown")) {
        // All but the last byte, and no more.
        all(text, n + LARGE - 1);
        return;
    }
    all(text, n + LARGE);
}

static void serve(int listener) {
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        char first;
        // Who only looks whether this listens sends nothing.
        if (fd < 0 || recv(fd, &first, 1, MSG_PEEK) != 1) {
            close(fd);
            continue;
        }
        start(fd);
#ifndef WITH_GNUTLS
        finish();
        if (is("fork")) {
            struct sigaction action = {.sa_handler = interrupted, .sa_flags = SA_RESTART};
            struct itimerval each = {{0, 5000}, {0, 5000}};
            MUST(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &each, NULL) == 0);
        }
#endif
        while (message(buffer, sizeof buffer)) {
            answer();
            if (is("shutdown")) break;
        }
#ifndef WITH_GNUTLS
        struct itimerval never = {{0, 0}, {0, 0}};
        setitimer(ITIMER_REAL, &never, NULL);
        if (is("fork")) MUST(forks > 0);
#endif
        stop();
        close(fd);
    }
}

static int reach(struct sockaddr_in *at) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    MUST(connect(fd, (struct sockaddr *)at, sizeof *at) == 0);
    return fd;
}

static void ask(struct sockaddr_in *at, char **paths, int count) {
    int each = is("clear") || is("early") || is("shutdown");
    int fd = -1;
    for (int i = 0; i < count; i++) {
        int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", paths[i]);
        int sent = 0;
        if (fd < 0 || each) {
            start(fd = reach(at));
#ifndef WITH_GNUTLS
            size_t wrote = 0;
            if (is("early") && session && SSL_SESSION_get_max_early_data(session) > 0)
                MUST(SSL_write_early_data(it, text, n, &wrote) == 1);
            sent = (int)wrote;
            finish();
            if (sent) MUST(SSL_get_early_data_status(it) == SSL_EARLY_DATA_ACCEPTED);
            else MUST(!is("early") || i == 0);
#endif
        } else {
            between();
        }
        all(text + sent, n - sent);
        if (is("shutdown")) {
            int have = 0, got;
            while ((got = get(buffer + have, sizeof buffer - have)) > 0) have += got;
            char *end = strstr(buffer, "\r\n\r\n");
            MUST(end && have == end + 4 - buffer + LARGE - 1);
        } else {
            MUST(message(buffer, sizeof buffer));
            char *end = strstr(buffer, "\r\n\r\n");
            MUST(strncmp(buffer, "HTTP/1.1 200", 12) == 0 && end);
            for (int at = 0; at < LARGE; at++) MUST(end[4 + at] == 'x');
        }
        if (each) {
            stop();
            close(fd);
        }
    }
    if (!each) stop();
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    MUST(argc >= 5);
    server = strcmp(argv[1], "serve") == 0;
    way = argv[3];
    begin(server ? argv[4] : NULL, server && argc == 6 ? argv[5] : NULL);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!server) {
        ask(&at, argv + 4, argc - 4);
        return 0;
    }
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    MUST(bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 16) == 0);
    serve(listener);
}
