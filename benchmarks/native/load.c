// A load that waits: one thread, epoll, each connection asks again as soon as it is answered. Prints one JSON object.
//
//     load [options] PORT TARGET < BODY
//
//     -c 64     connections              -r 100   open so many a second (0: all at once)
//     -w 0.5    seconds before the window that is measured, -s 3 its length
//     -n 1      requests of each connection; they are waited for after the window (0: as many as it holds)
//     -e TEXT   what every answer must hold          -m 100   marks that it must hold, too (more are not looked at: the
//                                                             Responses API says all again at the end); 0: it is no stream
//     -H LINE   a header                             -g PID   whose CPU in the window is told, too
//
// Milliseconds: "latency" from the request's first byte to the whole answer, "ttft" to the first byte of its body, "one_way"
// from a mark's time (tool.h) to its arrival here. "failed" counts, from the first second to the last, answers that were
// no 200, or cut, or had not what they must hold; "unfinished" those that did not end in time where -n waits for them.
#include "tool.h"

#define CARRY 64 // bytes kept of one read, so that nothing is missed that two reads share
#define READ_SIZE 262144
#define GRACE_S 3.0
#define MAX_PIDS 64

typedef struct {
    uint32_t *values; // tenths of microseconds
    size_t count, capacity;
} samples;

typedef enum { CLOSED, CONNECTING, WAITING, HEAD, BODY, DONE } state;
typedef enum { SIZE_LINE, DATA, DATA_END, TRAILER } framing;

typedef struct {
    int fd;
    state state;
    uint64_t sent_at;
    long answered, marks;
    bool begun, complete, held, keep, chunked;
    int status;
    char head[8192];
    size_t head_length;
    long left; // of the body or of a chunk; -1: until the close
    framing framing;
    char line[24];
    size_t line_length;
    char carry[CARRY];
    size_t carry_length;
} connection;

static int connection_count = 1, ramp, opened, busy;
static long wanted_marks, wanted_requests;
static const char *wanted_text = "";
static double warm_s, window_s = 3;
static bytes request;
static struct sockaddr_in address;
static int poller;
static connection *connections;
static uint64_t window_begin, window_end;
static bool measuring;
static samples latency, ttft, one_way;
static unsigned long requests, chunks, failed, connects;
static char first_failure[300];
static pid_t pids[MAX_PIDS];
static int pid_count;

static void add(samples *to, uint64_t ns) {
    if (!measuring) return;
    if (to->count == to->capacity) {
        to->capacity = to->capacity ? to->capacity * 2 : 65536;
        to->values = realloc(to->values, to->capacity * sizeof *to->values);
        if (!to->values) fail("realloc");
    }
    to->values[to->count++] = ns / 100 > UINT32_MAX ? UINT32_MAX : (uint32_t)(ns / 100);
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void print_percentiles(const char *name, samples *of) {
    if (!of->count) return;
    qsort(of->values, of->count, sizeof *of->values, compare);
    const double shares[] = {0.5, 0.99}, names[] = {50, 99};
    for (int i = 0; i < 2; i++) {
        size_t at = (size_t)(shares[i] * (double)(of->count - 1) + 0.5);
        printf(", \"%s_p%.0f_ms\": %.4f", name, names[i], of->values[at] / 10000.0);
    }
}

// The kernel's clock of another process's CPU time, of all its threads that are or were (see clock_getcpuclockid(3)).
static double cpu_s(void) {
    double sum = 0;
    for (int i = 0; i < pid_count; i++) {
        struct timespec used;
        if (clock_gettime((clockid_t)(~(unsigned)pids[i] << 3 | 2), &used)) continue; // it has ended
        sum += (double)used.tv_sec + (double)used.tv_nsec / 1e9;
    }
    return sum;
}

// --- asking

static void open_connection(connection *c) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) fail("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connect(c->fd, (void *)&address, sizeof address);
    c->state = CONNECTING;
    connects++;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

static void reopen(connection *c) {
    close(c->fd);
    open_connection(c);
}

static void ask(connection *c) {
    c->state = WAITING;
    c->begun = c->complete = c->held = c->chunked = false;
    c->keep = true;
    c->marks = 0;
    c->head_length = c->line_length = c->carry_length = 0;
    c->left = -1;
    c->framing = SIZE_LINE;
    c->sent_at = now_ns();
    for (size_t sent = 0; sent < request.length;) {
        ssize_t count = send(c->fd, request.data + sent, request.length - sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN) {
            usleep(20); // a large body; whoever reads it has a core of its own
            continue;
        }
        if (count < 0) break; // the read that follows finds it closed
        sent += (size_t)count;
    }
}

static void note_failure(const connection *c, const char *why, const char *data, size_t length) {
    failed++;
    if (first_failure[0]) return;
    snprintf(first_failure, sizeof first_failure, "%s (%d, %ld marks): %.*s", why, c->status, c->marks,
             (int)(length < 200 ? length : 200), data);
    for (char *each = first_failure; *each; each++)
        if (*each == '"' || *each == '\\' || *each < ' ') *each = '\'';
}

static void finish(connection *c, const char *why, const char *data, size_t length) {
    uint64_t now = now_ns();
    if (!why && c->status != 200) why = "status";
    if (!why && !c->held) why = "the text is missing";
    if (!why && c->marks != wanted_marks) why = "marks are missing";
    if (why) {
        note_failure(c, why, data, length);
    } else if (measuring && now <= window_end) {
        requests++;
        add(&latency, now - c->sent_at);
    }
    c->answered++;
    if (wanted_requests && c->answered >= wanted_requests) {
        c->state = DONE;
        close(c->fd);
        busy--;
    } else if (why || !c->keep) {
        reopen(c);
    } else {
        ask(c);
    }
}

// --- reading

// Looks for marks and for the text, also where they begin in what came before.
static void scan(connection *c, const char *data, size_t length, uint64_t now) {
    static char joined[READ_SIZE + CARRY];
    memcpy(joined, c->carry, c->carry_length);
    memcpy(joined + c->carry_length, data, length);
    char *at = joined, *end = joined + c->carry_length + length, *mark;
    const size_t size = strlen(MARK) + MARK_DIGITS;
    if (!c->held) c->held = memmem(joined, (size_t)(end - joined), wanted_text, strlen(wanted_text)) != NULL;
    while (c->marks < wanted_marks && (mark = memmem(at, (size_t)(end - at), MARK, strlen(MARK))) && (size_t)(end - mark) >= size) {
        uint64_t sent_at = strtoull(mark + strlen(MARK), NULL, 10);
        c->marks++;
        chunks += measuring;
        add(&one_way, now > sent_at ? now - sent_at : 0);
        at = mark + size;
    }
    c->carry_length = (size_t)(end - at) < CARRY ? (size_t)(end - at) : CARRY;
    memcpy(c->carry, end - c->carry_length, c->carry_length);
}

static void take_body(connection *c, const char *data, size_t length, uint64_t now) {
    if (!length) return;
    if (!c->begun) add(&ttft, now - c->sent_at);
    c->begun = true;
    scan(c, data, length, now);
}

static void end_line(connection *c) {
    c->line[c->line_length] = 0;
    if (c->framing == SIZE_LINE) {
        c->left = strtol(c->line, NULL, 16);
        c->framing = c->left ? DATA : TRAILER;
    } else if (c->framing == DATA_END) {
        c->framing = SIZE_LINE;
    } else {
        c->complete = c->line_length == 0;
    }
    c->line_length = 0;
}

static void take_chunks(connection *c, const char *data, size_t length, uint64_t now) {
    while (length && !c->complete) {
        size_t used = 1;
        if (c->framing == DATA) {
            used = length < (size_t)c->left ? length : (size_t)c->left;
            take_body(c, data, used, now);
            c->left -= (long)used;
            if (!c->left) c->framing = DATA_END;
        } else if (*data == '\n') {
            end_line(c);
        } else if (*data != '\r' && c->line_length < sizeof c->line - 1) {
            c->line[c->line_length++] = *data;
        }
        data += used;
        length -= used;
    }
}

// Takes what belongs to the answer's head; returns how many bytes that is, -1 if it is none.
static long take_head(connection *c, const char *data, size_t length) {
    size_t before = c->head_length, room = sizeof c->head - 1 - before;
    memcpy(c->head + before, data, length < room ? length : room);
    c->head_length += length < room ? length : room;
    c->head[c->head_length] = 0;
    char *end = strstr(c->head, "\r\n\r\n"), *field;
    c->state = HEAD;
    if (!end) return length < room ? (long)length : -1;
    *end = 0;
    c->state = BODY;
    c->status = atoi(c->head + 9);
    c->chunked = strcasestr(c->head, "\r\ntransfer-encoding: chunked") != NULL;
    c->keep = strcasestr(c->head, "\r\nconnection: close") == NULL;
    if ((field = strcasestr(c->head, "\r\ncontent-length:"))) c->left = atol(field + 17);
    return end + 4 - c->head - (long)before;
}

static void take(connection *c, const char *data, size_t length, uint64_t now) {
    if (c->state != BODY) {
        long used = take_head(c, data, length);
        if (used < 0) {
            c->keep = false;
            finish(c, "no head", data, length);
            return;
        }
        data += used;
        length -= (size_t)used;
        if (c->state != BODY) return;
    }
    if (c->chunked) {
        take_chunks(c, data, length, now);
    } else {
        take_body(c, data, length, now);
        if (c->left >= 0) c->left -= (long)length;
        c->complete = c->left == 0;
    }
    if (c->complete) finish(c, NULL, data, length);
}

static void on_close(connection *c) {
    bool to_the_end = c->state == BODY && !c->chunked && c->left < 0, idle = c->state == WAITING && c->answered > 0;
    if (idle) { // it was closed as we sent: ask again
        reopen(c);
        return;
    }
    c->keep = false;
    finish(c, to_the_end ? NULL : "cut", c->head, 0);
}

static void on_read(connection *c) {
    static char data[READ_SIZE];
    ssize_t count = recv(c->fd, data, sizeof data, 0);
    uint64_t now = now_ns();
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0)
        on_close(c);
    else
        take(c, data, (size_t)count, now);
}

static void on_event(const struct epoll_event *event) {
    connection *c = event->data.ptr;
    if (c->state != CONNECTING) {
        if (c->state != DONE) on_read(c);
        return;
    }
    int problem = 0;
    socklen_t size = sizeof problem;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &problem, &size);
    if (problem) {
        note_failure(c, strerror(problem), "", 0);
        usleep(1000);
        reopen(c);
    } else if (event->events & EPOLLOUT) {
        struct epoll_event reading = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &reading);
        ask(c);
    }
}

// --- the run

static void read_options(int count, char **arguments) {
    bytes headers = {0};
    for (int option; (option = getopt(count, arguments, "c:r:w:s:n:e:m:H:g:")) != -1;) switch (option) {
        case 'c': connection_count = atoi(optarg); break;
        case 'r': ramp = atoi(optarg); break;
        case 'w': warm_s = atof(optarg); break;
        case 's': window_s = atof(optarg); break;
        case 'n': wanted_requests = atol(optarg); break;
        case 'e': wanted_text = optarg; break;
        case 'm': wanted_marks = atol(optarg); break;
        case 'H': append(&headers, optarg, strlen(optarg)), append(&headers, "\r\n", 2); break;
        case 'g': if (pid_count < MAX_PIDS) pids[pid_count++] = atoi(optarg); break;
        default: exit(2);
        }
    if (count - optind != 2 || strlen(wanted_text) >= CARRY) {
        fprintf(stderr, "usage: load [options] PORT TARGET < BODY\n");
        exit(2);
    }
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[optind]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bytes body = read_all(stdin);
    char head[1024];
    int size = snprintf(head, sizeof head,
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nUser-Agent: load\r\nAccept: */*\r\n"
                        "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                        arguments[optind + 1], arguments[optind], body.length);
    append(&request, head, (size_t)size);
    append(&request, headers.data, headers.length);
    append(&request, "\r\n", 2);
    append(&request, body.data, body.length);
}

// Goes on to the window's end, then for a while for the answers that are waited for.
static bool is_over(uint64_t now) {
    if (now < window_end) return busy == 0;
    return !wanted_requests || busy == 0 || now >= window_end + (uint64_t)(GRACE_S * 1e9);
}

int main(int count, char **arguments) {
    signal(SIGPIPE, SIG_IGN);
    read_options(count, arguments);
    poller = epoll_create1(0);
    connections = calloc((size_t)connection_count, sizeof *connections);
    if (!connections) fail("calloc");
    busy = connection_count;
    const uint64_t began = now_ns();
    window_begin = began + (uint64_t)(warm_s * 1e9);
    window_end = window_begin + (uint64_t)(window_s * 1e9);
    uint64_t ended = 0;
    double cpu_before = 0, cpu_after = 0;
    static struct epoll_event events[1024];
    for (uint64_t now = began;; now = now_ns()) {
        if (!ended && !measuring && now >= window_begin) measuring = true, window_begin = now, cpu_before = cpu_s();
        if (measuring && (now >= window_end || is_over(now))) measuring = false, ended = now, cpu_after = cpu_s();
        if (is_over(now)) break;
        int due = ramp ? (int)((double)(now - began) / 1e9 * ramp) + 1 : connection_count;
        while (opened < due && opened < connection_count) open_connection(&connections[opened++]);
        int ready = epoll_wait(poller, events, 1024, opened < connection_count ? 1 : 10);
        for (int i = 0; i < ready; i++) on_event(&events[i]);
    }
    if (!ended) ended = now_ns(); // everything was answered before the window began
    double seconds = (double)(ended - window_begin) / 1e9;
    printf("{\"seconds\": %.4f, \"cpu_s\": %.6f, \"requests\": %lu, \"chunks\": %lu, \"connects\": %lu", seconds,
           cpu_after - cpu_before, requests, chunks, connects);
    printf(", \"failed\": %lu, \"unfinished\": %d", failed, wanted_requests ? busy : 0);
    print_percentiles("latency", &latency);
    print_percentiles("ttft", &ttft);
    print_percentiles("one_way", &one_way);
    printf(", \"first_failure\": \"%s\"}\n", first_failure);
}
