/*
 * Sends for a while over many clients, in threads and by a loop over calls that do
 * not wait, with whatever goes wrong in between, and looks whether the process's
 * descriptors and memory stay where they were.
 *
 *   soak PORT TLS_PORT AUTHORITY SECONDS [leak]
 *
 * prints how many messages were accepted and how many may have been. With leak,
 * clients are left behind, which it has to notice.
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <dirent.h>
#include <poll.h>
#include <smtpclient.h>

#define HOST "127.0.0.1"
#define SENDER "sender@client.example"
#define MESSAGE "Subject: soak\r\n\r\nA line.\r\n.A line with a dot.\r\n"

enum {
    WORKERS = 8,
    IN_THE_LOOP = 32,
    SAMPLES = 4000,
    /* What the allocator may keep of one moment or another. */
    MOST_GROWTH_KIB = 2048,
    /* A client that connects has one for the connection and some to be woken by. */
    MOST_DESCRIPTORS = 8 * (WORKERS + IN_THE_LOOP) + 32,
    EVERY_MS = 150
};

static uint32_t port, tls_port;
static const char *authority;
static int leak, over;
static long accepted, in_doubt, failed, cancelled;
static char *large;
static size_t large_length = 200000;

/* The clients of the workers, for the thread that cancels. A token of one that has gone does no harm. */
static SmtpClient *clients[WORKERS];

static void count(long *number)
{
    __atomic_fetch_add(number, 1, __ATOMIC_RELAXED);
}

/* A number that is as good as by chance, and the same each time. */
static unsigned next(unsigned *state)
{
    *state = *state * 1664525U + 1013904223U;
    return *state >> 16;
}

static SmtpClient *new_client(unsigned kind, int blocking)
{
    static const int64_t modes[] = {SMTP_TLS_NONE, SMTP_TLS_NONE, SMTP_TLS_REQUIRED, SMTP_TLS_IMPLICIT};
    SmtpClient *client = SmtpClientCreate();
    CHECK(client != NULL);
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_LOCAL_NAME, "client.example"), SMTP_OK);
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_CA_FILE, authority), SMTP_OK);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_TLS_MODE, modes[kind % 4]), SMTP_OK);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_CHUNKING,
                              kind / 4 % 2 == 0 ? SMTP_CHUNKING_WHEN_NEEDED : SMTP_CHUNKING_ALWAYS), SMTP_OK);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_BLOCKING, blocking), SMTP_OK);
    return client;
}

static int32_t begin_connection(SmtpClient *client, unsigned kind)
{
    return SmtpConnect(client, HOST, kind % 4 == 3 ? tls_port : port, 0, SMTP_OPTION_NONE);
}

struct source {
    size_t left;
};

static int64_t give(void *buffer, size_t capacity, void *user_data)
{
    struct source *source = user_data;
    size_t length = capacity < source->left ? capacity : source->left;
    memcpy(buffer, large, length);
    source->left -= length;
    return (int64_t)length;
}

/* What became of a message: all that has to hold is that the client knows it. */
static int account(SmtpClient *client, int32_t result)
{
    int64_t outcome = -1;
    SmtpGetInteger(client, SMTP_PROPERTY_OUTCOME, &outcome);
    if (result == SMTP_OK) {
        CHECK_SAME(outcome, SMTP_OUTCOME_ACCEPTED);
        count(&accepted);
        return 1;
    }
    CHECK(result != SMTP_ERROR_INTERNAL && result != SMTP_ERROR_INVALID_PARAMETER);
    /* A callback may have cancelled after the server's word. */
    count(outcome == SMTP_OUTCOME_ACCEPTED ? &accepted : outcome == SMTP_OUTCOME_UNKNOWN ? &in_doubt : &failed);
    if (result == SMTP_ERROR_CANCELLED) {
        count(&cancelled);
    }
    return 0;
}

/* Piece by piece; the result is that of the step that failed, or of the last. */
static int32_t send_stepwise(SmtpClient *client)
{
    int32_t result = SmtpCreateMessage(client, SENDER, 0);
    if (result == SMTP_OK) {
        result = SmtpAddRecipient(client, "rcpt0@mail.example");
    }
    if (result == SMTP_OK) {
        result = SmtpWrite(client, MESSAGE, SMTP_NUL_TERMINATED);
    }
    return result == SMTP_OK ? SmtpCloseMessage(client) : result;
}

static int32_t send_somehow(SmtpClient *client, unsigned way)
{
    static const char one[] = "rcpt0@mail.example";
    static const char several[] = "rcpt0@mail.example, rcpt1@mail.example, Two <rcpt2@mail.example>";
    struct source source;
    source.left = large_length;
    switch (way % 6) {
    case 0:
        return SmtpSendMessage(client, SENDER, several, MESSAGE, SMTP_NUL_TERMINATED);
    case 1:
        return SmtpSendStream(client, SENDER, one, SMTP_SIZE_UNKNOWN, give, &source);
    case 2:
        return SmtpSendFile(client, SENDER, one, authority);
    case 3:
        return send_stepwise(client);
    case 4:
        return SmtpSendMessage(client, SENDER, one, large, large_length);
    default:
        return SmtpSendMessage(client, SENDER, one, MESSAGE, SMTP_NUL_TERMINATED);
    }
}

static void *work(void *number)
{
    unsigned state = (unsigned)(uintptr_t)number, way;
    while (!told(&over)) {
        unsigned kind = next(&state), left = next(&state) % 12;
        SmtpClient *client = new_client(kind, 1);
        __atomic_store_n(&clients[(uintptr_t)number], client, __ATOMIC_RELAXED);
        if (begin_connection(client, kind) == SMTP_OK) {
            for (way = next(&state); left > 0 && account(client, send_somehow(client, way)); left--, way++) {
            }
            /* Some hang up without a word. */
            if (kind % 5 != 0) {
                SmtpDisconnect(client);
            }
        }
        if (!leak) {
            CHECK_SAME(SmtpClientRelease(client), SMTP_OK);
        }
    }
    return NULL;
}

static void *cancel_now_and_then(void *nothing)
{
    unsigned state = 7;
    (void)nothing;
    while (!told(&over)) {
        sleep_ms(5);
        SmtpCancel(__atomic_load_n(&clients[next(&state) % WORKERS], __ATOMIC_RELAXED));
    }
    return NULL;
}

/* A client of the loop: how many messages it has left, and what is under way. */
struct session {
    SmtpClient *client;
    unsigned kind;
    unsigned left;
    enum { CONNECTING, SENDING, LEAVING } doing;
};

/* From one operation to the next, until one has to wait; 0 at the end of the connection. */
static int go_on(struct session *session, int32_t result)
{
    while (result != SMTP_PENDING) {
        int fine = session->doing == SENDING ? account(session->client, result) : result == SMTP_OK;
        if (!fine || session->doing == LEAVING) {
            return 0;
        }
        if (session->left > 0) {
            session->left--;
            session->doing = SENDING;
            result = SmtpSendMessage(session->client, SENDER, "rcpt0@mail.example", session->left % 3 == 0 ? large : MESSAGE,
                                     session->left % 3 == 0 ? large_length : strlen(MESSAGE));
        } else {
            session->doing = LEAVING;
            result = SmtpDisconnect(session->client);
        }
    }
    return 1;
}

static void begin_session(struct session *session, unsigned *state)
{
    do {
        SmtpClientRelease(session->client);
        session->kind = next(state);
        session->left = next(state) % 12;
        session->doing = CONNECTING;
        session->client = new_client(session->kind, 0);
    } while (!go_on(session, begin_connection(session->client, session->kind)));
}

static void *loop(void *nothing)
{
    static struct session sessions[IN_THE_LOOP];
    static struct pollfd polled[IN_THE_LOOP];
    unsigned state = 11;
    int i;
    (void)nothing;
    for (i = 0; i < IN_THE_LOOP; i++) {
        begin_session(&sessions[i], &state);
    }
    while (!told(&over)) {
        int64_t due[IN_THE_LOOP];
        for (i = 0; i < IN_THE_LOOP; i++) {
            SmtpPollInfo info;
            info.size = sizeof info;
            CHECK_SAME(SmtpGetPollInfo(sessions[i].client, &info), SMTP_PENDING);
            polled[i].fd = (int)info.descriptor;
            polled[i].events =
                (short)((info.events & SMTP_POLL_READ ? POLLIN : 0) | (info.events & SMTP_POLL_WRITE ? POLLOUT : 0));
            due[i] = info.timeout_ms;
        }
        poll(polled, IN_THE_LOOP, 20);
        for (i = 0; i < IN_THE_LOOP; i++) {
            /* Calling too early does no harm, and that is tried too. */
            if ((polled[i].revents != 0 || due[i] <= 20 || next(&state) % 64 == 0) &&
                !go_on(&sessions[i], SmtpProcess(sessions[i].client))) {
                begin_session(&sessions[i], &state);
            }
        }
    }
    for (i = 0; i < IN_THE_LOOP; i++) {
        /* A message that is under way may arrive or not. */
        if (sessions[i].doing == SENDING) {
            count(&in_doubt);
        }
        SmtpClientRelease(sessions[i].client);
    }
    return NULL;
}

static int descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int found = 0;
    while (folder != NULL && readdir(folder) != NULL) {
        found++;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return found;
}

static long memory_kib(void)
{
    long total, resident = -1;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &total, &resident) != 2) {
        resident = -1;
    }
    if (file != NULL) {
        fclose(file);
    }
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static int by_size(const void *left, const void *right)
{
    long a = *(const long *)left, b = *(const long *)right;
    return (a > b) - (a < b);
}

static long middle(const long *samples, int from, int to)
{
    static long sorted[SAMPLES];
    memcpy(sorted, samples + from, (size_t)(to - from) * sizeof *sorted);
    qsort(sorted, (size_t)(to - from), sizeof *sorted, by_size);
    return sorted[(to - from) / 2];
}

/* The second quarter of the time against the last one: in the first, buffers and arenas come to their size. */
static void look_at(const long *memory, const int *open, int samples)
{
    long before = middle(memory, samples / 4, samples / 2), after = middle(memory, samples * 3 / 4, samples);
    int i, most = 0;
    for (i = 0; i < samples; i++) {
        most = open[i] > most ? open[i] : most;
    }
    printf("memory: %ld KiB, then %ld KiB; at most %d descriptors; %d samples\n", before, after, most, samples);
    if (after - before > MOST_GROWTH_KIB) {
        check_failed(__FILE__, __LINE__, "memory grows");
    }
    if (most > MOST_DESCRIPTORS) {
        check_failed(__FILE__, __LINE__, "descriptors grow");
    }
}

static void soak(double seconds)
{
    static long memory[SAMPLES];
    static int open[SAMPLES];
    pthread_t threads[WORKERS + 2];
    double begun = seconds_now(), step = seconds / SAMPLES > EVERY_MS / 1e3 ? seconds / SAMPLES : EVERY_MS / 1e3;
    int i, samples = 0, before = descriptors();
    for (i = 0; i < WORKERS; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) == 0);
    }
    CHECK(pthread_create(&threads[WORKERS], NULL, cancel_now_and_then, NULL) == 0);
    CHECK(pthread_create(&threads[WORKERS + 1], NULL, loop, NULL) == 0);
    while (seconds_now() - begun < seconds && samples < SAMPLES) {
        sleep_ms((long)(step * 1000));
        memory[samples] = memory_kib();
        open[samples++] = descriptors();
    }
    tell(&over, 1);
    for (i = 0; i < WORKERS + 2; i++) {
        pthread_join(threads[i], NULL);
    }
    look_at(memory, open, samples);
    if (descriptors() != before) {
        check_failed(__FILE__, __LINE__, "descriptors are left behind");
    }
}

int main(int words, char **word)
{
    size_t i;
    if (words < 5) {
        fputs("Usage: soak PORT TLS_PORT AUTHORITY SECONDS [leak]\n", stderr);
        return 2;
    }
    port = (uint32_t)strtoul(word[1], NULL, 10);
    tls_port = (uint32_t)strtoul(word[2], NULL, 10);
    authority = word[3];
    leak = words > 5;
    large = malloc(large_length);
    for (i = 0; large != NULL && i < large_length; i++) {
        large[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : i % 160 == 80 ? '.' : 'x';
    }
    soak(strtod(word[4], NULL));
    free(large);
    printf("accepted: %ld, in doubt: %ld, failed: %ld, cancelled: %ld\n", accepted, in_doubt, failed, cancelled);
    return check_end();
}
