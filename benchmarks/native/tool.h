// What the two tools share: the clock, and buffers that grow.
#ifndef TOOL_H
#define TOOL_H
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

// A piece of a stream says when it was sent: "@T=" and nanoseconds of the monotonic clock, in so many digits.
#define MARK "@T="
#define MARK_DIGITS 19

static inline uint64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static inline void fail(const char *what) {
    perror(what);
    exit(1);
}

typedef struct {
    char *data;
    size_t length, capacity;
} bytes;

// Makes room for so many more bytes.
static inline void reserve(bytes *to, size_t more) {
    if (to->length + more <= to->capacity) return;
    to->capacity = (to->length + more) * 2;
    to->data = realloc(to->data, to->capacity);
    if (!to->data) fail("realloc");
}

static inline void append(bytes *to, const char *data, size_t length) {
    reserve(to, length);
    memcpy(to->data + to->length, data, length);
    to->length += length;
}

static inline void drop_front(bytes *of, size_t length) {
    of->length -= length;
    memmove(of->data, of->data + length, of->length);
}

// Reads a file to its end; what it holds is followed by a NUL that does not count.
static inline bytes read_all(FILE *file) {
    bytes all = {0};
    size_t got;
    do {
        reserve(&all, 65536);
        got = fread(all.data + all.length, 1, 65535, file);
        all.length += got;
    } while (got);
    all.data[all.length] = 0;
    return all;
}
#endif
