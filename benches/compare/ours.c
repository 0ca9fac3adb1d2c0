/*
 * This library as a driver of the bench harness: sends messages as the command
 * line says, over connections that are open at the same time.
 *
 *   ours -H HOST -p PORT -n MESSAGES -c CONNECTIONS -r RECIPIENTS
 *        -t none|starttls|implicit -f FILE [-m VARIANT]
 *
 *   data     SmtpSendMessage with DATA, or SmtpSendFile for more than 1 MiB
 *   bdat     the same with CHUNKING
 *   thr      as data; more than one connection always means a thread for each
 *   file     SmtpSendFile, however small the file is
 *   memory   SmtpSendMessage, however large the file is; prints by how many KiB
 *            the peak of the process's memory grew while it was sent
 *   epoll    all connections by one thread: calls that do not wait, and epoll
 *
 * The status is 0 only if every message was accepted for every recipient.
 */
#define _POSIX_C_SOURCE 200809L
#include <smtpclient.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"

#define SENDER "sender@example.com"

static const size_t LARGE = 1 << 20;
static const size_t STACK = 256 << 10;

/* What the command line says, and what is made of it once. */
static struct {
    const char *host;
    const char *file;
    const char *tls;
    const char *variant;
    uint32_t port;
    long messages;
    long connections;
    long recipients;
    /* The recipients in one text, as the library wants them. */
    char *list;
    char *message;
    size_t length;
} job = {"127.0.0.1", NULL, "none", "data", 2525, 1, 1, 1, NULL, NULL, 0};

static int is(const char *variant)
{
    return strcmp(job.variant, variant) == 0;
}

static int complain(const char *what, SmtpClient *client)
{
    fprintf(stderr, "ours: %s: %s\n", what, SmtpGetLastErrorString(client));
    return 0;
}

static int64_t tls_mode(void)
{
    if (strcmp(job.tls, "implicit") == 0) {
        return SMTP_TLS_IMPLICIT;
    }
    return strcmp(job.tls, "starttls") == 0 ? SMTP_TLS_REQUIRED : SMTP_TLS_NONE;
}

static SmtpClient *new_client(void)
{
    SmtpClient *client = SmtpClientCreate();
    int64_t chunking = is("bdat") ? SMTP_CHUNKING_ALWAYS : SMTP_CHUNKING_WHEN_NEEDED;
    if (client == NULL || SmtpSetString(client, SMTP_PROPERTY_LOCAL_NAME, "bench.example") != SMTP_OK ||
        SmtpSetInteger(client, SMTP_PROPERTY_TLS_MODE, tls_mode()) != SMTP_OK ||
        SmtpSetInteger(client, SMTP_PROPERTY_CHUNKING, chunking) != SMTP_OK ||
        SmtpSetInteger(client, SMTP_PROPERTY_BLOCKING, !is("epoll")) != SMTP_OK ||
        /* The sink's certificate is made anew at each start; the other programs do not check it either. */
        SmtpSetInteger(client, SMTP_PROPERTY_INSECURE_SKIP_VERIFY, 1) != SMTP_OK) {
        complain("no client", client);
        SmtpClientRelease(client);
        return NULL;
    }
    return client;
}

/* One refused recipient of several is no error of the library's, but one here. */
static int accepted_by_all(SmtpClient *client)
{
    int64_t refused = 0;
    if (job.recipients > 1 && SmtpGetInteger(client, SMTP_PROPERTY_RECIPIENTS_REFUSED, &refused) != SMTP_OK) {
        return 0;
    }
    if (refused != 0) {
        fprintf(stderr, "ours: %ld recipients were refused\n", (long)refused);
    }
    return refused == 0;
}

static int32_t begin_connection(SmtpClient *client)
{
    return SmtpConnect(client, job.host, job.port, 0, SMTP_OPTION_NONE);
}

static int32_t begin_message(SmtpClient *client)
{
    if (job.message == NULL) {
        return SmtpSendFile(client, SENDER, job.list, job.file);
    }
    return SmtpSendMessage(client, SENDER, job.list, job.message, job.length);
}

static int send_one(SmtpClient *client)
{
    if (begin_message(client) != SMTP_OK) {
        return complain("a message was not sent", client);
    }
    return accepted_by_all(client);
}

static int send_many(SmtpClient *client, long count)
{
    long before = is("memory") ? peak_memory() : 0;
    for (; count > 0; count--) {
        if (!send_one(client)) {
            return 0;
        }
    }
    if (is("memory")) {
        printf("%ld\n", peak_memory() - before);
    }
    return 1;
}

/* How many of the messages this connection sends. */
static long share(long connection)
{
    return job.messages / job.connections + (connection < job.messages % job.connections);
}

/* One connection from its beginning to its end; not null if all went well. */
static void *run_connection(void *number)
{
    SmtpClient *client = new_client();
    int fine = client != NULL;
    if (fine && begin_connection(client) != SMTP_OK) {
        fine = complain("no connection", client);
    }
    fine = fine && send_many(client, share((long)(intptr_t)number));
    if (fine && SmtpDisconnect(client) != SMTP_OK) {
        fine = complain("no orderly end", client);
    }
    SmtpClientRelease(client);
    return fine ? &job : NULL;
}

static int run_threads(void)
{
    pthread_t *threads = calloc((size_t)job.connections, sizeof *threads);
    pthread_attr_t attributes;
    long started, i;
    int fine = threads != NULL;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    for (started = 0; fine && started < job.connections; started++) {
        if (pthread_create(&threads[started], &attributes, run_connection, (void *)(intptr_t)started) != 0) {
            perror("ours: no thread");
            fine = 0;
            break;
        }
    }
    for (i = 0; i < started; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        fine = fine && result != NULL;
    }
    free(threads);
    return fine;
}

/* A connection of the loop: what it is doing, and what epoll has been told of it. */
struct session {
    SmtpClient *client;
    const char *doing;
    int fresh;
    long left;
    int descriptor;
    uint32_t events;
    double due;
};

static const char *const CONNECTING = "connecting", *const SENDING = "sending", *const LEAVING = "leaving";

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Goes from one operation to the next until one has to wait: 1 then, 0 at the end, -1 if one failed. */
static int go_on(struct session *session, int32_t result)
{
    for (;;) {
        if (result == SMTP_PENDING) {
            return 1;
        }
        if (result != SMTP_OK) {
            complain(session->doing, session->client);
            return -1;
        }
        if (session->doing == LEAVING) {
            return 0;
        }
        if (session->doing == SENDING) {
            session->left--;
            if (!accepted_by_all(session->client)) {
                return -1;
            }
        }
        session->doing = session->left > 0 ? SENDING : LEAVING;
        result = session->left > 0 ? begin_message(session->client) : SmtpDisconnect(session->client);
    }
}

/* Tells epoll what the session waits for now. */
static int watch(int loop, struct session *session, uint32_t number)
{
    struct epoll_event event;
    SmtpPollInfo info;
    int action, descriptor;
    info.size = sizeof info;
    if (SmtpGetPollInfo(session->client, &info) != SMTP_PENDING) {
        return complain("nothing to wait for", session->client);
    }
    session->due = info.timeout_ms < 0 ? -1 : now() + (double)info.timeout_ms / 1e3;
    descriptor = (int)info.descriptor;
    event.data.u32 = number;
    event.events = (info.events & SMTP_POLL_READ ? EPOLLIN : 0) | (info.events & SMTP_POLL_WRITE ? EPOLLOUT : 0);
    if (descriptor == session->descriptor && event.events == session->events) {
        return 1;
    }
    /* One that has gone was closed, by which epoll has forgotten it. */
    action = descriptor == session->descriptor ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    session->descriptor = descriptor;
    session->events = event.events;
    if (epoll_ctl(loop, action, descriptor, &event) != 0) {
        perror("ours: epoll_ctl");
        return 0;
    }
    return 1;
}

/* One turn of a session; 1 while it goes on, 0 at its end, -1 if something failed. */
static int turn(int loop, struct session *session, uint32_t number, int32_t result)
{
    int state = go_on(session, result);
    if (state > 0 && !watch(loop, session, number)) {
        state = -1;
    }
    if (state <= 0) {
        SmtpClientRelease(session->client);
        session->client = NULL;
    }
    return state;
}

static int begin_session(int loop, struct session *session, long number)
{
    session->client = new_client();
    session->doing = CONNECTING;
    session->fresh = 1;
    session->left = share(number);
    session->descriptor = -1;
    return session->client != NULL && turn(loop, session, (uint32_t)number, begin_connection(session->client)) > 0;
}

/* After a moment in which nothing came: those whose time is up. */
static int turn_the_overdue(int loop, struct session *sessions, long *live)
{
    double moment = now();
    long i;
    for (i = 0; i < job.connections; i++) {
        struct session *session = &sessions[i];
        int state;
        if (session->client == NULL || session->due < 0 || session->due > moment) {
            continue;
        }
        state = turn(loop, session, (uint32_t)i, SmtpProcess(session->client));
        *live -= state <= 0;
        if (state < 0) {
            return 0;
        }
    }
    return 1;
}

/* A client that is connecting holds more descriptors than one that is connected, and all of them
 * at once may be more than a process is allowed: so only some are without an answer at a time. */
static int run_loop(void)
{
    enum { AT_ONCE = 1000 };
    static struct epoll_event events[AT_ONCE];
    struct session *sessions = calloc((size_t)job.connections, sizeof *sessions);
    int loop = epoll_create1(0), fine = sessions != NULL && loop >= 0;
    long begun = 0, fresh = 0, live = 0;
    while (fine && (begun < job.connections || live > 0)) {
        int count, k;
        for (; fine && fresh < AT_ONCE && begun < job.connections; begun++, fresh++, live++) {
            fine = begin_session(loop, &sessions[begun], begun);
        }
        if (!fine) {
            break;
        }
        count = epoll_wait(loop, events, AT_ONCE, 500);
        if (count == 0) {
            fine = turn_the_overdue(loop, sessions, &live);
        }
        for (k = 0; fine && k < count; k++) {
            uint32_t number = events[k].data.u32;
            int state;
            if (sessions[number].client == NULL) {
                continue;
            }
            fresh -= sessions[number].fresh;
            sessions[number].fresh = 0;
            state = turn(loop, &sessions[number], number, SmtpProcess(sessions[number].client));
            live -= state <= 0;
            fine = state >= 0;
        }
    }
    close(loop);
    free(sessions);
    return fine;
}

static int make_list(void)
{
    size_t capacity = 48 * (size_t)job.recipients + 1, used = 0;
    long i;
    job.list = malloc(capacity);
    for (i = 0; job.list != NULL && i < job.recipients; i++) {
        used += (size_t)snprintf(job.list + used, capacity - used, "%srcpt%ld@example.net", i == 0 ? "" : ",", i);
    }
    return job.list != NULL;
}

/* Reads the message, unless it is to be sent from its file. */
static int read_message(void)
{
    FILE *file = fopen(job.file, "rb");
    int fine = file != NULL && fseek(file, 0, SEEK_END) == 0;
    if (fine) {
        job.length = (size_t)ftell(file);
        rewind(file);
        if (!is("file") && (job.length <= LARGE || is("memory"))) {
            job.message = malloc(job.length + 1);
            fine = job.message != NULL && fread(job.message, 1, job.length, file) == job.length;
        }
    }
    if (!fine) {
        perror(job.file);
    }
    if (file != NULL) {
        fclose(file);
    }
    return fine;
}

static int read_options(int count, char **words)
{
    int i;
    for (i = 1; i + 1 < count; i += 2) {
        const char *value = words[i + 1];
        switch (words[i][0] == '-' ? words[i][1] : '?') {
        case 'H':
            job.host = value;
            break;
        case 'p':
            job.port = (uint32_t)strtoul(value, NULL, 10);
            break;
        case 'n':
            job.messages = strtol(value, NULL, 10);
            break;
        case 'c':
            job.connections = strtol(value, NULL, 10);
            break;
        case 'r':
            job.recipients = strtol(value, NULL, 10);
            break;
        case 't':
            job.tls = value;
            break;
        case 'f':
            job.file = value;
            break;
        case 'm':
            job.variant = value;
            break;
        default:
            return 0;
        }
    }
    return i == count && job.file != NULL && job.connections > 0 && job.recipients > 0;
}

/* As many descriptors as are allowed: the usual limit is below a thousand connections. */
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int count, char **words)
{
    int fine;
    if (!read_options(count, words)) {
        fputs("Usage: ours -H HOST -p PORT -n MESSAGES -c CONNECTIONS -r RECIPIENTS\n"
              "            -t none|starttls|implicit -f FILE [-m data|bdat|thr|file|memory|epoll]\n",
              stderr);
        return 2;
    }
    raise_limit();
    fine = make_list() && read_message();
    if (fine && is("epoll")) {
        fine = run_loop();
    } else if (fine) {
        fine = job.connections == 1 ? run_connection(NULL) != NULL : run_threads();
    }
    free(job.list);
    free(job.message);
    return fine ? EXIT_SUCCESS : EXIT_FAILURE;
}
