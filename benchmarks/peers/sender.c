/* The least that a broadcast costs: sender COUNT prints its port, accepts COUNT connections, answers
   each request, and then, for every line "BYTES LINES" of stdin, sends a frame of so many bytes, with
   so many marks ('~'), to all of them by one send(2) each. Ends with stdin, or after 15 minutes. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    alarm(900);
    int count = atoi(argv[1]), listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 1024)) return 1;
    getsockname(listener, (struct sockaddr *)&at, &length);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    int *to = calloc(count, sizeof *to);
    char request[4096], *frame = malloc(1 << 20);
    const char *head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: ready\n\n";
    for (int i = 0; i < count; i++) {
        to[i] = accept(listener, NULL, NULL);
        if (recv(to[i], request, sizeof request, 0) <= 0) return 1;
        send(to[i], head, strlen(head), MSG_NOSIGNAL);
    }
    long bytes, lines;
    while (scanf("%ld %ld", &bytes, &lines) == 2 && bytes < 1 << 20) {
        memset(frame, 'x', bytes);
        memset(frame, '~', lines);
        memcpy(frame + bytes - 2, "\n\n", 2);
        for (int i = 0; i < count; i++)
            for (long sent = 0, more; sent < bytes; sent += more)
                if ((more = send(to[i], frame + sent, bytes - sent, MSG_NOSIGNAL)) <= 0) return 1;
    }
    return 0;
}
