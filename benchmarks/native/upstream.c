// A fake provider that costs next to nothing: one thread, epoll, answers made ready before.
//
//     upstream FOLDER...        listens on a free port of 127.0.0.1 and prints it
//
// Each folder is one dialect: "path" is what its requests' target ends with; "whole" is its answer, head and all; "begin",
// "piece" and "end" are those of a stream, framed. A piece holds a mark (tool.h), filled in as it is sent.
//
// A request is streamed if its body says "stream":true. "@@N=200,D=10000@@" anywhere in the body asks for so many pieces
// and so many microseconds between two of them. GET /stats tells connections accepted, requests, and streams open.
#include "tool.h"

#include <sys/queue.h>

#define MAX_DIALECTS 8
#define MAX_FDS 65536

typedef struct {
    bytes path, whole, begin, piece, end;
    size_t mark; // where in "piece" the digits begin
} dialect;

typedef struct connection {
    int fd;
    bytes in, out;
    const dialect *stream; // being streamed, or NULL
    long pieces_left;
    uint64_t interval_ns, due;
    bool queued, wants_out;
    TAILQ_ENTRY(connection) link;
} connection;

static dialect dialects[MAX_DIALECTS];
static int dialect_count;
static connection *connections[MAX_FDS];
static TAILQ_HEAD(waiting, connection) queue = TAILQ_HEAD_INITIALIZER(queue); // streams, by when their next piece is due
static int poller;
static unsigned long accepted, requests, streams;

static bytes read_file(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (!file) fail(path);
    bytes all = read_all(file);
    fclose(file);
    return all;
}

static void read_dialect(const char *folder) {
    dialect *to = &dialects[dialect_count++];
    to->path = read_file(folder, "path");
    to->whole = read_file(folder, "whole");
    to->begin = read_file(folder, "begin");
    to->piece = read_file(folder, "piece");
    to->end = read_file(folder, "end");
    char *mark = strstr(to->piece.data, MARK);
    if (!mark) {
        fprintf(stderr, "%s/piece holds no %s\n", folder, MARK);
        exit(1);
    }
    to->mark = (size_t)(mark - to->piece.data) + strlen(MARK);
}

// --- streams, in the order in which they are due: as a rule a new one goes to the end

static void dequeue(connection *c) {
    if (c->queued) TAILQ_REMOVE(&queue, c, link);
    c->queued = false;
}

static void enqueue(connection *c) {
    connection *before = TAILQ_LAST(&queue, waiting);
    while (before && before->due > c->due) before = TAILQ_PREV(before, waiting, link);
    if (before)
        TAILQ_INSERT_AFTER(&queue, before, c, link);
    else
        TAILQ_INSERT_HEAD(&queue, c, link);
    c->queued = true;
}

// --- writing

static void drop(connection *c) {
    dequeue(c);
    if (c->stream) streams--;
    connections[c->fd] = NULL;
    close(c->fd);
    free(c->in.data);
    free(c->out.data);
    free(c);
}

static void want_out(connection *c, bool wanted) {
    if (c->wants_out == wanted) return;
    c->wants_out = wanted;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | (wanted ? EPOLLOUT : 0), .data.fd = c->fd};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

// Sends what it can. Returns false if the reader is gone.
static bool flush(connection *c) {
    size_t sent = 0;
    while (sent < c->out.length) {
        ssize_t count = send(c->fd, c->out.data + sent, c->out.length - sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN) break;
        if (count < 0) return false;
        sent += (size_t)count;
    }
    drop_front(&c->out, sent);
    want_out(c, c->out.length > 0);
    return true;
}

static void put_piece(connection *c) {
    const dialect *as = c->stream;
    append(&c->out, as->piece.data, as->piece.length);
    char digits[MARK_DIGITS + 1];
    snprintf(digits, sizeof digits, "%0*llu", MARK_DIGITS, (unsigned long long)now_ns());
    memcpy(c->out.data + c->out.length - as->piece.length + as->mark, digits, MARK_DIGITS);
}

// Sends the pieces that are due; none while the reader has not taken the last. Returns false if the reader is gone.
static bool go_on(connection *c) {
    dequeue(c);
    while (c->out.length == 0 && c->pieces_left && c->due <= now_ns()) {
        put_piece(c);
        c->pieces_left--;
        c->due += c->interval_ns;
        if (!flush(c)) return false;
    }
    if (c->out.length) return true; // goes on when it is flushed
    if (c->pieces_left) {
        enqueue(c);
        return true;
    }
    append(&c->out, c->stream->end.data, c->stream->end.length);
    c->stream = NULL;
    streams--;
    return flush(c);
}

// --- reading

static long knob(const char *knobs, const char *name, long otherwise) {
    const char *found = knobs ? strstr(knobs, name) : NULL;
    return found ? atol(found + strlen(name)) : otherwise;
}

static void answer_stats(connection *c) {
    char body[200], head[200];
    int length = snprintf(body, sizeof body, "{\"data\":[],\"models\":[],\"accepted\":%lu,\"requests\":%lu,\"streams\":%lu}",
                          accepted, requests, streams);
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", length);
    append(&c->out, head, (size_t)size);
    append(&c->out, body, (size_t)length);
}

static const dialect *spoken(const char *target) {
    size_t length = strcspn(target, " ?");
    for (int i = 0; i < dialect_count; i++) {
        const bytes *path = &dialects[i].path;
        if (length >= path->length && !memcmp(target + length - path->length, path->data, path->length))
            return &dialects[i];
    }
    return NULL;
}

static void answer(connection *c, const char *head, char *body, size_t length) {
    if (!strncmp(head, "GET ", 4)) {
        answer_stats(c);
        return;
    }
    requests++;
    const dialect *as = spoken(strchr(head, ' ') + 1);
    if (!as) {
        const char *none = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        append(&c->out, none, strlen(none));
    } else if (memmem(body, length, "\"stream\":true", 13) || memmem(body, length, "\"stream\": true", 14)) {
        const char *knobs = memmem(body, length, "@@N=", 4);
        c->stream = as;
        c->pieces_left = knob(knobs, "N=", 100);
        c->interval_ns = (uint64_t)knob(knobs, "D=", 0) * 1000;
        c->due = now_ns();
        append(&c->out, as->begin.data, as->begin.length);
        streams++;
    } else {
        append(&c->out, as->whole.data, as->whole.length);
    }
}

// Answers the requests that are there whole, one stream at a time. Heads end their bodies' length in Content-Length.
static void take_requests(connection *c) {
    while (!c->stream && c->in.length) {
        char *end = memmem(c->in.data, c->in.length, "\r\n\r\n", 4);
        if (!end) return;
        *end = 0;
        char *field = strcasestr(c->in.data, "\r\ncontent-length:");
        size_t length = field ? strtoul(field + 17, NULL, 10) : 0, size = (size_t)(end + 4 - c->in.data);
        if (c->in.length < size + length) {
            *end = '\r';
            return;
        }
        char *body = c->in.data + size, after = body[length];
        body[length] = 0; // there is room: on_read leaves some
        answer(c, c->in.data, body, length);
        body[length] = after;
        drop_front(&c->in, size + length);
    }
}

// Returns false if the connection is over.
static bool on_read(connection *c) {
    for (;;) {
        reserve(&c->in, 65536);
        ssize_t count = recv(c->fd, c->in.data + c->in.length, 65535, 0);
        if (count == 0 || (count < 0 && errno != EAGAIN)) return false;
        if (count < 0) break;
        c->in.length += (size_t)count;
        if (count < 65535) break;
    }
    take_requests(c);
    return flush(c) && (!c->stream || c->queued || go_on(c));
}

static void accept_all(int listening) {
    int fd, one = 1;
    while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_FDS) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        connection *c = connections[fd] = calloc(1, sizeof *c);
        if (!c) fail("calloc");
        c->fd = fd;
        accepted++;
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

static void on_event(const struct epoll_event *event) {
    connection *c = connections[event->data.fd];
    if (!c) return;
    bool alive = !(event->events & (EPOLLERR | EPOLLHUP));
    if (alive && event->events & EPOLLIN)
        alive = on_read(c);
    else if (event->events & EPOLLRDHUP)
        alive = false;
    if (alive && event->events & EPOLLOUT) alive = flush(c) && (!c->stream || c->queued || go_on(c));
    if (!alive) drop(c);
}

static int listen_somewhere(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    if (bind(fd, (void *)&at, sizeof at) || listen(fd, 4096) || getsockname(fd, (void *)&at, &size)) fail("listen");
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

int main(int count, char **arguments) {
    signal(SIGPIPE, SIG_IGN);
    if (count < 2 || count > MAX_DIALECTS + 1) {
        fprintf(stderr, "usage: upstream FOLDER...\n");
        return 2;
    }
    for (int i = 1; i < count; i++) read_dialect(arguments[i]);
    poller = epoll_create1(0);
    int listening = listen_somewhere();
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listening};
    epoll_ctl(poller, EPOLL_CTL_ADD, listening, &event);
    static struct epoll_event events[1024];
    for (;;) {
        connection *first = TAILQ_FIRST(&queue);
        uint64_t now = now_ns();
        int wait_ms = !first ? -1 : first->due <= now ? 0 : (int)((first->due - now) / 1000000) + 1;
        int ready = epoll_wait(poller, events, 1024, wait_ms);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listening)
                accept_all(listening);
            else
                on_event(&events[i]);
        }
        now = now_ns();
        while ((first = TAILQ_FIRST(&queue)) && first->due <= now)
            if (!go_on(first)) drop(first);
    }
}
