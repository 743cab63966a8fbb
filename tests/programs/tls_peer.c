// A small HTTPS server and client over a TLS library of its own, for the tests of the observer:
// built with -DWITH_OPENSSL, -DWITH_WOLFSSL or -DWITH_MBEDTLS.
//
//   tls_peer serve PORT CERTIFICATE KEY
//   tls_peer ask PORT PATH...
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what) {
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

#define MUST(x) do { if (!(x)) fail(#x); } while (0)

#if defined(WITH_MBEDTLS)

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>

static mbedtls_ssl_config config;
static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context drbg;
static mbedtls_x509_crt chain;
static mbedtls_pk_context key;
static mbedtls_net_context net;
typedef mbedtls_ssl_context *tls;

static void begin(int server, const char *chain_file, const char *key_file) {
    mbedtls_ssl_config_init(&config);
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&drbg);
    MUST(mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy, NULL, 0) == 0);
    MUST(mbedtls_ssl_config_defaults(&config, server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
        MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT) == 0);
    mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &drbg);
    if (!server) return;
    mbedtls_x509_crt_init(&chain);
    mbedtls_pk_init(&key);
    MUST(mbedtls_x509_crt_parse_file(&chain, chain_file) == 0);
#if MBEDTLS_VERSION_MAJOR >= 3
    MUST(mbedtls_pk_parse_keyfile(&key, key_file, NULL, mbedtls_ctr_drbg_random, &drbg) == 0);
#else
    MUST(mbedtls_pk_parse_keyfile(&key, key_file, NULL) == 0);
#endif
    MUST(mbedtls_ssl_conf_own_cert(&config, &chain, &key) == 0);
}

static tls open_tls(int fd, int server) {
    (void)server;
    tls it = calloc(1, sizeof *it);
    mbedtls_ssl_init(it);
    MUST(mbedtls_ssl_setup(it, &config) == 0);
    net.fd = fd;
    mbedtls_ssl_set_bio(it, &net, mbedtls_net_send, mbedtls_net_recv, NULL);
    MUST(mbedtls_ssl_handshake(it) == 0);
    return it;
}

static int get(tls it, char *to, int n) { return mbedtls_ssl_read(it, (unsigned char *)to, n); }
static int put(tls it, const char *from, int n) { return mbedtls_ssl_write(it, (const unsigned char *)from, n); }
static void close_tls(tls it) { mbedtls_ssl_close_notify(it); mbedtls_ssl_free(it); free(it); }

#else

#if defined(WITH_WOLFSSL)
#include <wolfssl/options.h>
#include <wolfssl/openssl/ssl.h>
#else
#include <openssl/ssl.h>
#endif

static SSL_CTX *config;
typedef SSL *tls;

static void begin(int server, const char *chain_file, const char *key_file) {
    MUST(config = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
    SSL_CTX_set_verify(config, SSL_VERIFY_NONE, NULL);
    if (!server) return;
    MUST(SSL_CTX_use_certificate_chain_file(config, chain_file) == 1);
    MUST(SSL_CTX_use_PrivateKey_file(config, key_file, SSL_FILETYPE_PEM) == 1);
}

static tls open_tls(int fd, int server) {
    tls it = SSL_new(config);
    MUST(it && SSL_set_fd(it, fd) == 1);
    MUST((server ? SSL_accept(it) : SSL_connect(it)) == 1);
    return it;
}

static int get(tls it, char *to, int n) { return SSL_read(it, to, n); }
static int put(tls it, const char *from, int n) { return SSL_write(it, from, n); }
static void close_tls(tls it) { SSL_shutdown(it); SSL_free(it); }

#endif

// Reads until the end of the head, and as many bytes more as it says; 0 at the end.
static int message(tls it, char *buffer, int size) {
    int have = 0;
    for (;;) {
        int n = get(it, buffer + have, size - 1 - have);
        if (n <= 0) return 0;
        have += n;
        buffer[have] = 0;
        char *end = strstr(buffer, "\r\n\r\n");
        if (!end) continue;
        char *length = strstr(buffer, "Content-Length: ");
        if (have >= end + 4 - buffer + (length ? atoi(length + 16) : 0)) return have;
    }
}

static void all(tls it, const char *text) {
    int n = strlen(text);
    for (int done = 0; done < n;) {
        int wrote = put(it, text + done, n - done);
        MUST(wrote > 0);
        done += wrote;
    }
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    MUST(argc >= 4);
    int server = strcmp(argv[1], "serve") == 0;
    MUST(!server || argc == 5);
    begin(server, argv[3], server ? argv[4] : NULL);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    static char buffer[16384], text[8192];
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    if (!server) {
        MUST(connect(fd, (struct sockaddr *)&at, sizeof at) == 0);
        tls it = open_tls(fd, 0);
        for (int i = 3; i < argc; i++) {
            snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[i]);
            all(it, text);
            MUST(message(it, buffer, sizeof buffer) && strncmp(buffer, "HTTP/1.1 200", 12) == 0);
        }
        close_tls(it);
        return 0;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    MUST(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 16) == 0);
    for (;;) {
        int client = accept(fd, NULL, NULL);
        char first;
        // Who only looks whether this listens sends nothing.
        if (client >= 0 && recv(client, &first, 1, MSG_PEEK) == 1) {
            tls it = open_tls(client, 1);
            while (message(it, buffer, sizeof buffer))
                all(it, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n");
            close_tls(it);
        }
        close(client);
    }
}
