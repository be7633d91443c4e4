/* A bare forwarder: what comes in at one socket of a pair goes out of the other, as it is.
 *
 * The floor under every userspace relay: no RTP, no state, nothing looked at. It sleeps and wakes by the same rule as
 * Trunkline's worker (rust/src/engine/coalesce.rs), takes all that is ready in one turn, and sends it at the end of it.
 *
 * It reads how many pairs there are, prints the port of each socket (A and B of each pair in turn), reads where each
 * sends (HOST PORT), and then runs until it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum { DATAGRAM_BYTES = 2048, EVENTS = 256, BATCH = 256, SOCKET_SHARE = 32 };

/* As in coalesce.rs, under the same names. */
enum { ENOUGH = 38, SHORTEST = 3, FORGETTING = 16, UNIT = 1 << 10 };
static const uint64_t LONGEST_NS = 1200000, LONGEST_SPAN_NS = 1000000000, SHORTEST_SLEEP_NS = 150000;

static char buffers[BATCH][DATAGRAM_BYTES];
static struct iovec vectors[BATCH];
static struct mmsghdr headers[BATCH];
static int out_of[BATCH];
static int collected;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* The pause after a turn that began at `now` and found so many datagrams. */
static uint64_t pause_ns(uint64_t now, uint64_t found) {
    static uint64_t turned_at, found_sum, span_sum, pause;
    uint64_t span = turned_at ? least(now - turned_at, LONGEST_SPAN_NS) : LONGEST_SPAN_NS;
    turned_at = now;
    found_sum = found_sum - found_sum / FORGETTING + found * UNIT;
    span_sum = span_sum - span_sum / FORGETTING + (span ? span : 1);
    uint64_t expected = found_sum * LONGEST_NS / span_sum;
    uint64_t worth = LONGEST_NS * least(expected > UNIT * 3 / 4 ? expected - UNIT * 3 / 4 : 0, UNIT) / UNIT;
    uint64_t enough = LONGEST_NS, shortest = LONGEST_NS / SHORTEST;
    if (expected > ENOUGH * UNIT) enough = enough * ENOUGH * UNIT / expected * ENOUGH * UNIT / expected;
    uint64_t period = least(worth, enough > shortest ? enough : shortest);
    /* What the last turn worked on is time in which datagrams were gathered, too. */
    uint64_t worked = span > pause ? span - pause : 0;
    pause = period >= worked + SHORTEST_SLEEP_NS ? period - worked : 0;
    return pause;
}

/* Sends what was collected: with one call for each run of datagrams that leave by the same socket. */
static void flush(void) {
    for (int start = 0; start < collected;) {
        int end = start + 1;
        while (end < collected && out_of[end] == out_of[start]) end++;
        /* What the kernel refuses is lost. */
        if (sendmmsg(out_of[start], headers + start, (unsigned)(end - start), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EINTR)
            continue;
        start = end;
    }
    collected = 0;
}

/* Takes in what is ready at one socket, up to its share of a turn; what comes in leaves by `out`. */
static uint64_t collect(int in, int out) {
    if (BATCH - collected < SOCKET_SHARE) flush();
    for (int at = collected; at < collected + SOCKET_SHARE; at++) vectors[at].iov_len = DATAGRAM_BYTES;
    int count = recvmmsg(in, headers + collected, SOCKET_SHARE, MSG_DONTWAIT, NULL);
    if (count <= 0) return 0;
    for (int at = collected; at < collected + count; at++) {
        vectors[at].iov_len = headers[at].msg_len;
        out_of[at] = out;
    }
    collected += count;
    return (uint64_t)count;
}

int main(void) {
    int pairs = 0;
    if (scanf("%d", &pairs) != 1 || pairs <= 0) fail("pairs");
    int sockets = 2 * pairs, *fds = calloc((size_t)sockets, sizeof *fds), poller = epoll_create1(0);
    if (!fds || poller < 0) fail("start");
    for (int at = 0; at < sockets; at++) {
        struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t length = sizeof name;
        fds[at] = socket(AF_INET, SOCK_DGRAM, 0);
        if (fds[at] < 0 || bind(fds[at], (struct sockaddr *)&name, sizeof name)) fail("bind");
        if (getsockname(fds[at], (struct sockaddr *)&name, &length)) fail("getsockname");
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)at};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fds[at], &event)) fail("epoll_ctl");
        printf("%d\n", ntohs(name.sin_port));
    }
    fflush(stdout);
    for (int at = 0; at < sockets; at++) {
        struct sockaddr_in name = {.sin_family = AF_INET};
        char host[64];
        unsigned port;
        if (scanf("%63s %u", host, &port) != 2 || inet_pton(AF_INET, host, &name.sin_addr) != 1) fail("address");
        name.sin_port = htons((uint16_t)port);
        if (connect(fds[at], (struct sockaddr *)&name, sizeof name)) fail("connect");
    }
    for (int at = 0; at < BATCH; at++) {
        vectors[at].iov_base = buffers[at];
        headers[at].msg_hdr.msg_iov = &vectors[at];
        headers[at].msg_hdr.msg_iovlen = 1;
    }
    for (uint64_t pause = 0;;) {
        struct epoll_event events[EVENTS];
        if (pause) clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = (long)pause}, NULL);
        int ready = epoll_wait(poller, events, EVENTS, -1);
        uint64_t now = now_ns(), found = 0;
        for (int at = 0; at < ready; at++) found += collect(fds[events[at].data.u32], fds[events[at].data.u32 ^ 1]);
        flush();
        pause = pause_ns(now, found);
    }
}
