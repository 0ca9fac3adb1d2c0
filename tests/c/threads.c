/*
 * Threads: calls on one client queue up, a cancel from another thread ends every
 * phase, a release during calls is safe, and clients do not disturb each other.
 */
#define _POSIX_C_SOURCE 200809L
#include "mail.h"

#include <netdb.h>

/* Far more than the promised 100 ms, since machines that run tests are busy. */
static const double MOST_SECONDS_FOR_CANCEL = 1.0;

static int look_up_hangs;

/* Takes the place of the C library's: a name service that does not answer. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **results)
{
    (void)node;
    (void)service;
    (void)hints;
    *results = NULL;
    tell(&look_up_hangs, 1);
    while (told(&look_up_hangs)) {
        sleep_ms(5);
    }
    return EAI_AGAIN;
}

/* One call made by a thread of its own. */
struct call {
    SmtpClient *client;
    int32_t (*make)(struct call *call);
    const struct server *server;
    const char *host;
    uint32_t options;
    const char *message;
    size_t length;
    int32_t result;
    double ended;
    pthread_t thread;
};

static void *run_call(void *argument)
{
    struct call *call = argument;
    call->result = call->make(call);
    call->ended = seconds_now();
    return NULL;
}

static void start_call(struct call *call)
{
    if (pthread_create(&call->thread, NULL, run_call, call) != 0) {
        perror("no thread for the test");
        exit(EXIT_FAILURE);
    }
}

static int32_t await_call(struct call *call)
{
    pthread_join(call->thread, NULL);
    return call->result;
}

static int32_t call_connect(struct call *call)
{
    return SmtpConnect(call->client, call->host, call->server->port, 0, call->options);
}

static int32_t call_authenticate(struct call *call)
{
    return SmtpAuthenticate(call->client, "user", "password");
}

static int32_t call_send(struct call *call)
{
    return SmtpSendMessage(call->client, SENDER, RECIPIENT, call->message, call->length);
}

static int32_t call_reset(struct call *call)
{
    return SmtpReset(call->client);
}

static int32_t call_noop(struct call *call)
{
    return SmtpNoop(call->client);
}

static int32_t call_expand(struct call *call)
{
    char text[8];
    return SmtpExpandAddress(call->client, "list", text, sizeof text, NULL);
}

/* Cancels a call that is stuck; how long it took to return, in milliseconds. */
static double cancel_and_time(struct call *call, const char *phase)
{
    double begun, took;
    /* Let it come to rest in its wait. */
    sleep_ms(30);
    begun = seconds_now();
    CHECK_SAME(SmtpCancel(call->client), 0);
    await_call(call);
    took = call->ended - begun;
    printf("  cancelled in %.1f ms: %s\n", took * 1e3, phase);
    CHECK(took < MOST_SECONDS_FOR_CANCEL);
    return took * 1e3;
}

/* Where the server stalls, in which call, and what is left of the message then. */
struct phase {
    const char *name;
    int32_t (*make)(struct call *call);
    uint32_t options;
    int64_t phase;
    int64_t outcome;
    size_t length;
    struct action script[20];
};

static const struct phase PHASES[] = {
    {"greeting", call_connect, 0, SMTP_PHASE_GREETING, 0, 0, {STALL, END}},
    {"EHLO", call_connect, 0, SMTP_PHASE_EHLO, 0, 0, {GREETING, EXPECT(EHLO), STALL, END}},
    {"half an EHLO reply", call_connect, 0, SMTP_PHASE_EHLO, 0, 0,
     {GREETING, EXPECT(EHLO), SEND("250-mail.example\r\n250-SI"), STALL, END}},
    {"STARTTLS", call_connect, SMTP_OPTION_SECURE, SMTP_PHASE_STARTTLS, 0, 0,
     {GREETING, EXPECT(EHLO), SEND("250-mail.example\r\n250 STARTTLS\r\n"), EXPECT("STARTTLS\r\n"), STALL, END}},
    {"TLS after STARTTLS", call_connect, SMTP_OPTION_SECURE, SMTP_PHASE_TLS, 0, 0,
     {GREETING, EXPECT(EHLO), SEND("250-mail.example\r\n250 STARTTLS\r\n"), EXPECT("STARTTLS\r\n"),
      SEND("220 Go on\r\n"), SKIP(5), STALL, END}},
    {"implicit TLS", call_connect, SMTP_OPTION_SECURE_IMPLICIT, SMTP_PHASE_TLS, 0, 0, {SKIP(5), STALL, END}},
    {"AUTH", call_authenticate, 0, SMTP_PHASE_AUTH, 0, 0,
     {HELLO, EXPECT("AUTH PLAIN AHVzZXIAcGFzc3dvcmQ=\r\n"), STALL, END}},
    {"MAIL", call_send, 0, SMTP_PHASE_MAIL, SMTP_OUTCOME_NOT_SENT, 0, {HELLO, EXPECT(MAIL), STALL, END}},
    {"RCPT", call_send, 0, SMTP_PHASE_RCPT, SMTP_OUTCOME_NOT_SENT, 0,
     {HELLO, EXPECT(MAIL), SEND(OK), EXPECT(RCPT), STALL, END}},
    {"DATA", call_send, 0, SMTP_PHASE_DATA, SMTP_OUTCOME_NOT_SENT, 0, {HELLO, TO_DATA, STALL, END}},
    {"content, the server stops reading", call_send, 0, SMTP_PHASE_CONTENT, SMTP_OUTCOME_NOT_SENT, 32 << 20,
     {HELLO, TO_CONTENT, SKIP(10000), STALL, END}},
    {"final reply", call_send, 0, SMTP_PHASE_END, SMTP_OUTCOME_UNKNOWN, 0,
     {HELLO, TO_CONTENT, EXPECT(MESSAGE ".\r\n"), STALL, END}},
    {"NOOP", call_noop, 0, SMTP_PHASE_COMMAND, 0, 0, {HELLO, EXPECT("NOOP\r\n"), STALL, END}},
    {"EXPN", call_expand, 0, SMTP_PHASE_COMMAND, 0, 0,
     {HELLO, EXPECT("EXPN list\r\n"), SEND("250-one@mail.example\r\n"), STALL, END}},
    {"RSET", call_reset, 0, SMTP_PHASE_RESET, 0, 0, {HELLO, EXPECT("RSET\r\n"), STALL, END}},
};

static double slowest;

static void cancel_in(const struct phase *phase)
{
    struct server server;
    struct call call;
    double took;
    char *large = phase->length != 0 ? large_message(phase->length) : NULL;

    memset(&call, 0, sizeof call);
    call.client = new_client();
    call.make = phase->make;
    call.server = &server;
    call.host = HOST;
    call.options = phase->options;
    call.message = large != NULL ? large : MESSAGE;
    call.length = large != NULL ? phase->length : strlen(MESSAGE);
    server_start(&server, phase->script);
    if (phase->make != call_connect) {
        CHECK_SAME(connect_to(call.client, &server), 0);
    }
    start_call(&call);
    server_await_stall(&server, 1);
    if (large != NULL) {
        sleep_ms(150); /* until every buffer on the way is full */
    }
    took = cancel_and_time(&call, phase->name);
    slowest = took > slowest ? took : slowest;
    CHECK_SAME(call.result, SMTP_ERROR_CANCELLED);
    CHECK_SAME(integer(call.client, SMTP_PROPERTY_ERROR_PHASE), phase->phase);
    CHECK_SAME(integer(call.client, SMTP_PROPERTY_OUTCOME), phase->outcome);
    CHECK_SAME(integer(call.client, SMTP_PROPERTY_SAFE_TO_RETRY), phase->outcome != SMTP_OUTCOME_UNKNOWN);
    CHECK_SAME(integer(call.client, SMTP_PROPERTY_IS_CONNECTED), 0);
    CHECK(server_cut(&server));
    CHECK_SAME(SmtpClientRelease(call.client), 0);
    free(large);
}

static void cancel_in_each_phase(void)
{
    size_t i;
    for (i = 0; i < sizeof PHASES / sizeof *PHASES; i++) {
        cancel_in(&PHASES[i]);
    }
    printf("  the slowest: %.1f ms (promised: 100 ms)\n", slowest);
}

static void cancel_a_look_up(void)
{
    struct server nobody;
    struct call call;
    memset(&call, 0, sizeof call);
    memset(&nobody, 0, sizeof nobody);
    call.client = new_client();
    call.make = call_connect;
    call.server = &nobody;
    call.host = "slow.example";
    start_call(&call);
    while (!told(&look_up_hangs)) {
        sleep_ms(1);
    }
    cancel_and_time(&call, "look-up of the name");
    CHECK_SAME(call.result, SMTP_ERROR_CANCELLED);
    CHECK_SAME(integer(call.client, SMTP_PROPERTY_ERROR_PHASE), SMTP_PHASE_RESOLVE);

    /* The look-up is still under way; the client is free all the same. */
    CHECK_SAME(SmtpSetInteger(call.client, SMTP_PROPERTY_TIMEOUT_RESOLVE, 50), 0);
    CHECK_SAME(SmtpConnect(call.client, "slow.example", 25, 0, 0), SMTP_ERROR_TIMEOUT);
    CHECK_SAME(SmtpClientRelease(call.client), 0);
    tell(&look_up_hangs, 0);
    sleep_ms(50);
}

/* A reader that waits until it is let go, or gives lines without an end. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    int asked;
    int open;
    int64_t answer;
    SmtpClient *client;
    int32_t result;
};

static int64_t wait_at_the_gate(void *buffer, size_t capacity, void *user_data)
{
    struct gate *gate = user_data;
    CHECK(capacity >= 16);
    memcpy(buffer, "x.x.x.x.x.x.x.\r\n", 16);
    pthread_mutex_lock(&gate->lock);
    gate->asked++;
    pthread_cond_broadcast(&gate->moved);
    while (!gate->open) {
        pthread_cond_wait(&gate->moved, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
    return gate->answer;
}

static int64_t give_lines(void *buffer, size_t capacity, void *user_data)
{
    static const char line[] = "0123456789abcd\r\n";
    size_t i;
    (void)user_data;
    for (i = 0; i + 16 <= capacity; i += 16) {
        memcpy((char *)buffer + i, line, 16);
    }
    return (int64_t)i;
}

static void *stream_through_the_gate(void *argument)
{
    struct gate *gate = argument;
    gate->result = SmtpSendStream(gate->client, SENDER, RECIPIENT, SMTP_SIZE_UNKNOWN, wait_at_the_gate, gate);
    return NULL;
}

/* SmtpCancel does not wait for the reader; the call ends when the reader has
 * returned, whatever it returns, and asks it no more. */
static void cancel_while_a_reader_is_asked(void)
{
    static const struct action script[] = {HELLO, TO_CONTENT, WITHOUT("\r\n.\r\n"), END};
    static const int64_t answers[] = {16, 0, -1, 16};
    size_t i;
    for (i = 0; i < sizeof answers / sizeof *answers; i++) {
        int releases = i == 3;
        struct server server;
        struct gate gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, NULL, 0};
        pthread_t thread;
        double begun;
        gate.answer = answers[i];
        gate.client = new_client();
        server_start(&server, script);
        CHECK_SAME(connect_to(gate.client, &server), 0);
        CHECK(pthread_create(&thread, NULL, stream_through_the_gate, &gate) == 0);
        pthread_mutex_lock(&gate.lock);
        while (gate.asked == 0) {
            pthread_cond_wait(&gate.moved, &gate.lock);
        }
        pthread_mutex_unlock(&gate.lock);
        begun = seconds_now();
        CHECK_SAME(releases ? SmtpClientRelease(gate.client) : SmtpCancel(gate.client), 0);
        CHECK(seconds_now() - begun < MOST_SECONDS_FOR_CANCEL);
        pthread_mutex_lock(&gate.lock);
        gate.open = 1;
        pthread_cond_broadcast(&gate.moved);
        pthread_mutex_unlock(&gate.lock);
        pthread_join(thread, NULL);
        CHECK(seconds_now() - begun < MOST_SECONDS_FOR_CANCEL);
        CHECK_SAME(gate.result, SMTP_ERROR_CANCELLED);
        CHECK_SAME(gate.asked, 1);
        /* The server saw the end of the connection, and never that of the message. */
        CHECK(server_finish(&server));
        if (!releases) {
            CHECK_SAME(integer(gate.client, SMTP_PROPERTY_ERROR_PHASE), SMTP_PHASE_CONTENT);
            CHECK_SAME(integer(gate.client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
            CHECK_SAME(integer(gate.client, SMTP_PROPERTY_SAFE_TO_RETRY), 1);
            CHECK_SAME(integer(gate.client, SMTP_PROPERTY_IS_CONNECTED), 0);
            CHECK_SAME(SmtpClientRelease(gate.client), 0);
        }
        CHECK_SAME(SmtpCancel(gate.client), SMTP_ERROR_INVALID_HANDLE);
    }
}

static int32_t call_send_file(struct call *call)
{
    return SmtpSendFile(call->client, SENDER, RECIPIENT, call->host);
}

static int32_t call_send_stream(struct call *call)
{
    return SmtpSendStream(call->client, SENDER, RECIPIENT, SMTP_SIZE_UNKNOWN, give_lines, NULL);
}

/* The server reads some of it and then no more; the call is stuck with every buffer full. */
static void cancel_while_nobody_reads(void)
{
    static const struct action script[] = {HELLO, TO_CONTENT, SKIP(10000), STALL, WITHOUT("\r\n.\r\n"), END};
    enum { FILE_SIZE = 32 << 20 };
    const char *folder = getenv("TMPDIR");
    char path[256];
    int file, way;
    snprintf(path, sizeof path, "%s/smtpclient-XXXXXX", folder != NULL ? folder : "/tmp");
    file = mkstemp(path);
    /* All of it is a hole, which takes no room on the disk. */
    CHECK(file >= 0 && ftruncate(file, FILE_SIZE) == 0 && close(file) == 0);
    for (way = 0; way < 2; way++) {
        struct server server;
        struct call call;
        memset(&call, 0, sizeof call);
        call.client = new_client();
        call.make = way == 0 ? call_send_file : call_send_stream;
        call.host = path;
        server_start(&server, script);
        CHECK_SAME(connect_to(call.client, &server), 0);
        start_call(&call);
        server_await_stall(&server, 1);
        sleep_ms(150); /* until every buffer on the way is full */
        cancel_and_time(&call, way == 0 ? "a file, the server stops reading" : "a stream, the server stops reading");
        CHECK_SAME(call.result, SMTP_ERROR_CANCELLED);
        CHECK_SAME(integer(call.client, SMTP_PROPERTY_ERROR_PHASE), SMTP_PHASE_CONTENT);
        CHECK_SAME(integer(call.client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
        CHECK_SAME(integer(call.client, SMTP_PROPERTY_SAFE_TO_RETRY), 1);
        CHECK_SAME(integer(call.client, SMTP_PROPERTY_IS_CONNECTED), 0);
        server_go(&server);
        CHECK(server_finish(&server));
        CHECK_SAME(SmtpClientRelease(call.client), 0);
    }
    unlink(path);
}

/* A listener whose queue is full answers no further connection (on Linux). */
static void cancel_a_connection_attempt(void)
{
    enum { FILLERS = 4 };
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int fillers[FILLERS], i;
    struct server nobody;
    struct call call;

    memset(&address, 0, sizeof address);
    memset(&nobody, 0, sizeof nobody);
    memset(&call, 0, sizeof call);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 0) == 0 &&
          getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    for (i = 0; i < FILLERS; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (i == 0) {
            CHECK(connect(fillers[i], (struct sockaddr *)&address, length) == 0);
        }
    }
    nobody.port = ntohs(address.sin_port);
    call.client = new_client();
    call.make = call_connect;
    call.server = &nobody;
    call.host = HOST;
    start_call(&call);
    cancel_and_time(&call, "connecting");
    CHECK_SAME(call.result, SMTP_ERROR_CANCELLED);
    CHECK_SAME(integer(call.client, SMTP_PROPERTY_ERROR_PHASE), SMTP_PHASE_CONNECT);
    CHECK_SAME(SmtpClientRelease(call.client), 0);
    for (i = 0; i < FILLERS; i++) {
        close(fillers[i]);
    }
    close(listener);
}

enum { QUEUED_CALLS = 4 };

static const char *const SENDERS[QUEUED_CALLS] = {"a@client.example", "b@client.example", "c@client.example",
                                                  "d@client.example"};

static int32_t call_send_as(struct call *call)
{
    return SmtpSendMessage(call->client, call->host, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED);
}

#define TRANSACTION_OF(letter)                                                                                   \
    EXPECT("MAIL FROM:<" letter "@client.example>\r\n"), SEND(OK), EXPECT(RCPT), SEND(OK), EXPECT("DATA\r\n"), \
        SEND("354 Go on\r\n"), EXPECT(MESSAGE ".\r\n"), SEND(QUEUED)

/* The first is held up at the server until all the others wait behind it. */
static void calls_queue_up(void)
{
    static const struct action script[] = {HELLO, STALL, TRANSACTION_OF("a"), TRANSACTION_OF("b"),
                                           TRANSACTION_OF("c"), TRANSACTION_OF("d"), GOODBYE, EXPECT_END, END};
    struct server server;
    struct call calls[QUEUED_CALLS];
    SmtpClient *client = new_client();
    double begun;
    int i;
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    server_await_stall(&server, 1);
    memset(calls, 0, sizeof calls);
    for (i = 0; i < QUEUED_CALLS; i++) {
        calls[i].client = client;
        calls[i].make = call_send_as;
        calls[i].host = SENDERS[i];
        start_call(&calls[i]);
        sleep_ms(100); /* so that they queue up in this order */
    }
    /* Getters do not wait in the queue. */
    begun = seconds_now();
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 1);
    CHECK(seconds_now() - begun < MOST_SECONDS_FOR_CANCEL);
    server_go(&server);
    for (i = 0; i < QUEUED_CALLS; i++) {
        CHECK_SAME(await_call(&calls[i]), 0);
    }
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* A cancel ends the running call only; the next one finds the connection gone. */
static void cancel_spares_those_that_wait(void)
{
    static const struct action script[] = {HELLO, EXPECT(MAIL), STALL, END};
    struct server server;
    struct call running, waiting;
    memset(&running, 0, sizeof running);
    running.client = new_client();
    running.make = call_send;
    running.message = MESSAGE;
    running.length = SMTP_NUL_TERMINATED;
    waiting = running;
    server_start(&server, script);
    CHECK_SAME(connect_to(running.client, &server), 0);
    start_call(&running);
    server_await_stall(&server, 1);
    start_call(&waiting);
    sleep_ms(50);
    cancel_and_time(&running, "with another call waiting");
    CHECK_SAME(running.result, SMTP_ERROR_CANCELLED);
    CHECK_SAME(await_call(&waiting), SMTP_ERROR_NOT_CONNECTED);
    CHECK(server_cut(&server));
    CHECK_SAME(SmtpClientRelease(running.client), 0);
}

static void release_during_calls(void)
{
    static const struct action script[] = {HELLO, TO_CONTENT, EXPECT(MESSAGE ".\r\n"), STALL, END};
    enum { WAITERS = 3 };
    struct server server;
    struct call running, waiters[WAITERS];
    double begun;
    int i;
    memset(&running, 0, sizeof running);
    running.client = new_client();
    running.make = call_send;
    running.message = MESSAGE;
    running.length = SMTP_NUL_TERMINATED;
    server_start(&server, script);
    CHECK_SAME(connect_to(running.client, &server), 0);
    start_call(&running);
    server_await_stall(&server, 1);
    for (i = 0; i < WAITERS; i++) {
        waiters[i] = running;
        waiters[i].make = i == 0 ? call_send : call_reset;
        start_call(&waiters[i]);
    }
    sleep_ms(150);
    begun = seconds_now();
    CHECK_SAME(SmtpClientRelease(running.client), 0);
    CHECK(seconds_now() - begun < MOST_SECONDS_FOR_CANCEL);
    CHECK_SAME(await_call(&running), SMTP_ERROR_CANCELLED);
    for (i = 0; i < WAITERS; i++) {
        CHECK_SAME(await_call(&waiters[i]), SMTP_ERROR_RELEASED);
    }
    CHECK_SAME(SmtpReset(running.client), SMTP_ERROR_INVALID_HANDLE);
    CHECK_SAME(SmtpClientRelease(running.client), SMTP_ERROR_INVALID_HANDLE);
    CHECK(server_cut(&server));
}

static void *send_and_release(void *argument)
{
    static const struct action script[] = {HELLO, TRANSACTION, TRANSACTION, GOODBYE, EXPECT_END, END};
    int i;
    (void)argument;
    for (i = 0; i < 5; i++) {
        struct server server;
        SmtpClient *client = new_client();
        server_start(&server, script);
        CHECK_SAME(connect_to(client, &server), 0);
        CHECK_SAME(SmtpReset(NULL), SMTP_ERROR_INVALID_HANDLE);
        CHECK_SAME(send_test_message(client), 0);
        CHECK_SAME(SmtpGetLastError(NULL), 0);
        CHECK_SAME(send_test_message(client), 0);
        CHECK_SAME(SmtpDisconnect(client), 0);
        CHECK(server_finish(&server));
        CHECK_SAME(SmtpClientRelease(client), 0);
    }
    return NULL;
}

static void many_clients(void)
{
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    int i;
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, send_and_release, NULL) == 0);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* A cancel at any moment: the call ends, and outcome and result do not contradict each other. */
static void cancel_at_any_moment(void)
{
    static const struct action script[] = {HELLO, TRANSACTION, GOODBYE, EXPECT_END, END};
    int i, cancelled = 0;
    for (i = 0; i < 60; i++) {
        struct server server;
        struct call call;
        int64_t outcome;
        memset(&call, 0, sizeof call);
        call.client = new_client();
        call.make = call_send;
        call.message = MESSAGE;
        call.length = SMTP_NUL_TERMINATED;
        server_start(&server, script);
        CHECK_SAME(connect_to(call.client, &server), 0);
        start_call(&call);
        {
            struct timespec rest = {0, i * 10000L};
            nanosleep(&rest, NULL);
        }
        CHECK_SAME(SmtpCancel(call.client), 0);
        await_call(&call);
        outcome = integer(call.client, SMTP_PROPERTY_OUTCOME);
        if (call.result == 0) {
            CHECK_SAME(outcome, SMTP_OUTCOME_ACCEPTED);
        } else {
            cancelled++;
            CHECK_SAME(call.result, SMTP_ERROR_CANCELLED);
            CHECK(outcome == SMTP_OUTCOME_NOT_SENT || outcome == SMTP_OUTCOME_UNKNOWN);
        }
        SmtpDisconnect(call.client);
        server_drop(&server);
        CHECK_SAME(SmtpClientRelease(call.client), 0);
    }
    printf("  %d of %d were cancelled in time\n", cancelled, i);
}

/* The same client used, cancelled, read and released by everybody at once. */
struct crowd {
    SmtpClient *client;
    int over;
};

static void *meddle(void *argument)
{
    struct crowd *crowd = argument;
    char text[64];
    int64_t value;
    size_t count;
    SmtpRecipient recipient;
    recipient.size = sizeof recipient;
    while (!told(&crowd->over)) {
        SmtpCancel(crowd->client);
        SmtpGetString(crowd->client, SMTP_PROPERTY_RESULT_STRING, text, sizeof text, NULL);
        SmtpGetInteger(crowd->client, SMTP_PROPERTY_OUTCOME, &value);
        SmtpGetRecipientCount(crowd->client, &count);
        SmtpGetRecipient(crowd->client, 0, &recipient);
        SmtpGetRecipientString(crowd->client, 0, SMTP_RECIPIENT_TEXT_ADDRESS, text, sizeof text, NULL);
        SmtpSetInteger(crowd->client, SMTP_PROPERTY_PORT, 25);
        SmtpNoop(crowd->client);
        SmtpReset(crowd->client);
        CHECK(SmtpGetLastErrorString(crowd->client) != NULL);
    }
    return NULL;
}

static void a_crowd_on_one_client(void)
{
    enum { THREADS = 3 };
    static const struct action script[] = {HELLO, SLEEP(20), CLOSE, END};
    pthread_t threads[THREADS];
    struct crowd crowd = {NULL, 0};
    int i, round;
    crowd.client = new_client();
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, meddle, &crowd) == 0);
    }
    for (round = 0; round < 10; round++) {
        struct server server;
        server_start(&server, script);
        connect_to(crowd.client, &server);
        send_test_message(crowd.client);
        SmtpDisconnect(crowd.client);
        server_drop(&server);
    }
    CHECK_SAME(SmtpClientRelease(crowd.client), 0);
    sleep_ms(20);
    tell(&crowd.over, 1);
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* A cancel that meets a call which needs no connection leaves the connection alone. */
static int setting_over;

static void *cancel_on_and_on(void *client)
{
    while (!told(&setting_over)) {
        CHECK_SAME(SmtpCancel(client), 0);
    }
    return NULL;
}

static void cancel_while_setting(void)
{
    static const struct action script[] = {HELLO, TRANSACTION, GOODBYE, EXPECT_END, END};
    struct server server;
    SmtpClient *client = new_client();
    pthread_t thread;
    double begun;
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK(pthread_create(&thread, NULL, cancel_on_and_on, client) == 0);
    for (begun = seconds_now(); seconds_now() - begun < 0.3;) {
        CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_PORT, 25), 0);
    }
    tell(&setting_over, 1);
    pthread_join(thread, NULL);
    CHECK_SAME(send_test_message(client), 0);
    SmtpDisconnect(client);
    CHECK(server_cut(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* A thread that ends may still have clients to release in its destructors. */
static pthread_key_t key;

static void release_at_thread_end(void *argument)
{
    CHECK_SAME(SmtpReset(argument), SMTP_ERROR_NOT_CONNECTED);
    CHECK(SmtpGetLastErrorString(argument) != NULL);
    CHECK(SmtpGetLastErrorString(NULL) != NULL);
    CHECK_SAME(SmtpClientRelease(argument), 0);
}

static void *use_and_end(void *argument)
{
    SmtpClient *client = new_client();
    (void)argument;
    CHECK_SAME(SmtpReset(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK(strlen(SmtpGetLastErrorString(client)) > 20);
    CHECK(pthread_setspecific(key, client) == 0);
    return NULL;
}

static void calls_at_the_end_of_a_thread(void)
{
    pthread_t thread;
    CHECK(pthread_key_create(&key, release_at_thread_end) == 0);
    CHECK(pthread_create(&thread, NULL, use_and_end, NULL) == 0);
    pthread_join(thread, NULL);
}

int main(void)
{
    check_begin();
    RUN(cancel_in_each_phase);
    RUN(cancel_a_look_up);
    RUN(cancel_while_a_reader_is_asked);
    RUN(cancel_while_nobody_reads);
    RUN(cancel_a_connection_attempt);
    RUN(calls_queue_up);
    RUN(cancel_spares_those_that_wait);
    RUN(release_during_calls);
    RUN(many_clients);
    RUN(cancel_at_any_moment);
    RUN(a_crowd_on_one_client);
    RUN(cancel_while_setting);
    RUN(calls_at_the_end_of_a_thread);
    return check_end();
}
