/* Readers of streams, in one thread: load HOST PORT COUNT REQUESTS READY

   REQUESTS is a file of requests, each ended by a zero byte, which the clients take in turns; "%d" in
   one is replaced with the number of the frame that the client expects (0 is the first), and such a
   request is sent again after each frame. READY is what a client has to receive before it is ready; if
   it is empty, none is waited for. From the 16,001st client on, the source is another address.

   Reads commands from stdin. "go" connects all, and prints "ready". "await TOTAL EACH" prints
   "BYTES" (received so far) once all clients have received TOTAL marks ('~') together; a client has a
   frame at every EACH marks. Ends with stdin, or after 15 minutes. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct client { int fd; long marks, frames; const char *request; int ready; size_t matched; };

static struct client *clients;
static long count, total, bytes, goal = -1, each = 1, ready;
static const char *mark_of_ready;
static char space[1 << 20];
static int poller;

static void fail(const char *what) { perror(what); exit(1); }

static void ask(struct client *one) {
    char text[4096];
    const char *hole = strstr(one->request, "%d");
    int length = hole
        ? snprintf(text, sizeof text, "%.*s%ld%s", (int)(hole - one->request), one->request,
                   one->frames, hole + 2)
        : snprintf(text, sizeof text, "%s", one->request);
    if (send(one->fd, text, length, MSG_NOSIGNAL) != length) fail("send");
}

static void receive(struct client *one) {
    ssize_t got = recv(one->fd, space, sizeof space, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) { fprintf(stderr, "a stream ended\n"); exit(1); }
    bytes += got;
    if (!one->ready)
        for (ssize_t at = 0; at < got && !one->ready; at++) {
            one->matched = space[at] == mark_of_ready[one->matched] ? one->matched + 1
                         : space[at] == mark_of_ready[0];
            if (mark_of_ready[one->matched] == 0) { one->ready = 1; ready++; }
        }
    long marks = 0;
    for (char *at = space; (at = memchr(at, '~', space + got - at)); at++) marks++;
    if (!marks) return;
    one->marks += marks;
    total += marks;
    if (one->marks >= each && strstr(one->request, "%d")) {
        one->marks -= each;
        one->frames++;
        ask(one);
    }
}

static void turn(int timeout) {
    struct epoll_event events[512];
    int found = epoll_wait(poller, events, 512, timeout);
    for (int i = 0; i < found; i++)
        if (events[i].data.ptr) receive(events[i].data.ptr);
        else {
            char line[128];
            ssize_t got = read(0, line, sizeof line - 1);
            if (got <= 0) exit(0);
            line[got] = 0;
            if (sscanf(line, "await %ld %ld", &goal, &each) != 2) exit(2);
        }
    if (goal >= 0 && total >= goal) {
        printf("%ld\n", bytes);
        fflush(stdout);
        goal = -1;
    }
}

static void watch(int fd, void *data) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    alarm(900);
    count = atol(argv[3]);
    mark_of_ready = argv[5];
    FILE *file = fopen(argv[4], "r");
    if (!file) fail(argv[4]);
    static char requests[1 << 20];
    const char *taken = requests, *end = requests + fread(requests, 1, sizeof requests - 1, file);
    clients = calloc(count, sizeof *clients);
    poller = epoll_create1(0);
    char go[8];
    if (read(0, go, sizeof go) <= 0) return 0;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &to.sin_addr);
    for (long i = 0; i < count; i++) {
        struct client *one = &clients[i];
        one->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (i >= 16000) {
            struct sockaddr_in from = {.sin_family = AF_INET};
            from.sin_addr.s_addr = htonl(0x7f000002 + i / 16000);
            if (bind(one->fd, (struct sockaddr *)&from, sizeof from)) fail("bind");
        }
        if (connect(one->fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
        one->request = taken;
        one->ready = !*mark_of_ready;
        taken += strlen(taken) + 1;
        if (taken >= end) taken = requests;
        ask(one);
        watch(one->fd, one);
        if (i % 16 == 0) turn(0);
    }
    while (*mark_of_ready && ready < count) turn(1000);
    printf("ready\n");
    fflush(stdout);
    watch(0, NULL);
    for (;;) turn(-1);
}
