/*
 * Misuse: every call gives the right error code, the process lives on, outputs
 * stay as they were, and the session can still be used afterwards.
 */
#define _POSIX_C_SOURCE 200809L
#include "mail.h"

static int destroyed;

static int32_t ignore_event(const SmtpEvent *event, void *user_data)
{
    (void)event;
    (void)user_data;
    return 0;
}

static void count_destroy(void *user_data)
{
    (void)user_data;
    destroyed++;
}

/* Every function that takes a handle; tests/suite/test_header.py sees to it that none is missing. */
static void every_function(SmtpClient *bad)
{
    static const int32_t expected = SMTP_ERROR_INVALID_HANDLE;
    char buffer[16] = "untouched";
    size_t length = 77;
    int64_t value = 77;
    int before = destroyed;

    CHECK_SAME(SmtpConnect(bad, HOST, 9, 1000, SMTP_OPTION_NONE), expected);
    CHECK_SAME(SmtpAuthenticate(bad, "user", "password"), expected);
    CHECK_SAME(SmtpSendMessage(bad, SENDER, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), expected);
    CHECK_SAME(SmtpDisconnect(bad), expected);
    CHECK_SAME(SmtpReset(bad), expected);
    CHECK_SAME(SmtpCancel(bad), expected);
    CHECK_SAME(SmtpSetString(bad, SMTP_PROPERTY_HOST, "mail.example"), expected);
    CHECK_SAME(SmtpGetString(bad, SMTP_PROPERTY_HOST, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpSetInteger(bad, SMTP_PROPERTY_PORT, 25), expected);
    CHECK_SAME(SmtpGetInteger(bad, SMTP_PROPERTY_PORT, &value), expected);
    CHECK_SAME(SmtpRegisterEvent(bad, SMTP_EVENT_ERROR, ignore_event, NULL, count_destroy), expected);
    CHECK_SAME(destroyed, before + 1);
    CHECK_SAME(SmtpGetLastError(NULL), expected);
    CHECK_TEXT(buffer, "untouched");
    CHECK_SAME(length, 77);
    CHECK_SAME(value, 77);
    if (bad == NULL) {
        return; /* allowed in the following */
    }
    CHECK_SAME(SmtpClientRelease(bad), expected);
    CHECK_SAME(SmtpGetLastError(bad), expected);
    CHECK(strlen(SmtpGetLastErrorString(bad)) > 20);
    CHECK_SAME(SmtpCopyLastErrorString(bad, buffer, sizeof buffer, &length), SMTP_ERROR_BUFFER_TOO_SMALL);
    CHECK_SAME(strlen(buffer), sizeof buffer - 1);
    CHECK_SAME(length, strlen(SmtpGetLastErrorString(bad)));
}

static SmtpClient *as_handle(uintptr_t number)
{
    return (SmtpClient *)number;
}

static void bad_handles(void)
{
    SmtpClient *live = new_client(), *stale = new_client(), *reused;
    static int object;
    char local[64];
    char *heap = malloc(64);
    uintptr_t token = (uintptr_t)live, number = 12345;
    unsigned bit, octet;
    int i;

    every_function(NULL);
    CHECK_SAME(SmtpClientRelease(NULL), 0);
    CHECK_SAME(SmtpGetLastError(NULL), 0);
    CHECK_TEXT(SmtpGetLastErrorString(NULL), "");

    CHECK_SAME(SmtpClientRelease(stale), 0);
    every_function(stale);
    reused = new_client();
    CHECK(reused != stale);
    every_function(stale);
    CHECK_SAME(SmtpClientRelease(reused), 0);
    CHECK_SAME(SmtpClientRelease(reused), SMTP_ERROR_INVALID_HANDLE);
    every_function(reused);

    memset(local, 0, sizeof local);
    /* At every alignment: none may look like a handle. */
    for (i = 0; i < (int)sizeof local; i++) {
        every_function((SmtpClient *)(void *)(local + i));
        every_function((SmtpClient *)(void *)(heap + i));
    }
    every_function((SmtpClient *)(void *)&object);
    every_function(as_handle(~(uintptr_t)0));
    every_function(as_handle(1));

    /* What another type's handle would be, and any other damage to a single bit. */
    for (bit = 0; bit < sizeof token * 8; bit++) {
        every_function(as_handle(token ^ (uintptr_t)1 << bit));
    }
    for (octet = 0; octet < 256; octet++) {
        uintptr_t other = (token & ~(uintptr_t)0xFF) | octet;
        if (other != token) {
            every_function(as_handle(other));
        }
    }
    for (i = 0; i < 2000; i++) {
        number = number * (uintptr_t)6364136223846793005ULL + (uintptr_t)1442695040888963407ULL;
        /* Every second one with the live handle's type. */
        every_function(as_handle(i % 2 != 0 ? number : (number & ~(uintptr_t)0xFF) | (token & 0xFF)));
    }

    CHECK_SAME(SmtpGetLastError(live), 0);
    CHECK_SAME(SmtpClientRelease(live), 0);
    free(heap);
}

static void wrong_order(void)
{
    SmtpClient *client = new_client();
    struct server server;
    static const struct action script[] = {HELLO, TRANSACTION, GOODBYE, EXPECT_END, END};

    CHECK_SAME(send_test_message(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpAuthenticate(client, "user", "password"), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpReset(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpDisconnect(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpCancel(client), 0);
    CHECK_SAME(SmtpConnect(client, NULL, 0, 0, 0), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpConnect(client, "", 25, 0, 0), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpGetLastError(client), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(integer(client, SMTP_PROPERTY_ERROR_CLASS), SMTP_CLASS_CALLER);

    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(connect_to(client, &server), SMTP_ERROR_ALREADY_CONNECTED);
    CHECK_SAME(SmtpCancel(client), 0);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK_SAME(SmtpDisconnect(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(send_test_message(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK(server_finish(&server));

    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* Each is a misuse of a connected client, after which a message is sent. */

static void null_sender(SmtpClient *client)
{
    CHECK_SAME(SmtpSendMessage(client, NULL, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
}

static void null_recipients(SmtpClient *client)
{
    CHECK_SAME(SmtpSendMessage(client, SENDER, NULL, MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
}

static void null_message(SmtpClient *client)
{
    CHECK_SAME(SmtpSendMessage(client, SENDER, RECIPIENT, NULL, 5), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpSendMessage(client, SENDER, RECIPIENT, NULL, SMTP_NUL_TERMINATED), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
}

static void impossible_length(SmtpClient *client)
{
    CHECK_SAME(SmtpSendMessage(client, SENDER, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED - 1),
               SMTP_ERROR_INVALID_PARAMETER);
}

static void null_outputs(SmtpClient *client)
{
    size_t length = 77;
    CHECK_SAME(SmtpGetInteger(client, SMTP_PROPERTY_PORT, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_HOST, NULL, 9, &length), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(length, 77);
    CHECK_SAME(SmtpCopyLastErrorString(client, NULL, 9, &length), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(length, 77);
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_HOST, NULL, 0, NULL), SMTP_ERROR_BUFFER_TOO_SMALL);
}

static void no_credentials(SmtpClient *client)
{
    CHECK_SAME(SmtpAuthenticate(client, NULL, NULL), SMTP_ERROR_NO_CREDENTIALS);
    CHECK_SAME(SmtpAuthenticate(client, "user", NULL), SMTP_ERROR_NO_CREDENTIALS);
    CHECK_SAME(SmtpAuthenticate(client, NULL, "password"), SMTP_ERROR_NO_CREDENTIALS);
    CHECK_SAME(SmtpAuthenticate(client, "", ""), SMTP_ERROR_NO_CREDENTIALS);
}

/* Not UTF-8: a lone octet, a cut sequence, an overlong NUL, a surrogate, beyond the last character. */
static const char *const NOT_UTF8[] = {"\xFF", "a\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", NULL};

static void bad_utf8(SmtpClient *client)
{
    static const int32_t expected = SMTP_ERROR_INVALID_UTF8;
    int i;
    for (i = 0; NOT_UTF8[i] != NULL; i++) {
        const char *bad = NOT_UTF8[i];
        CHECK_SAME(SmtpSendMessage(client, bad, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), expected);
        CHECK_SAME(SmtpSendMessage(client, SENDER, bad, MESSAGE, SMTP_NUL_TERMINATED), expected);
        CHECK_SAME(SmtpConnect(client, bad, 25, 0, 0), expected);
        CHECK_SAME(SmtpAuthenticate(client, bad, "password"), expected);
        CHECK_SAME(SmtpAuthenticate(client, "user", bad), expected);
        CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_HOST, bad), expected);
        CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_PASSWORD, bad), expected);
    }
}

/* Texts that would smuggle a line in if they were sent as they are. */
static const char *const INJECTIONS[] = {
    "a@b.example>\r\nRCPT TO:<c@d.example",
    "a@b.example\r\nDATA\r\n",
    "a@b.example\n",
    "a@b.example\r",
    "\r\na@b.example",
    "Name\r\nX: y <a@b.example>",
    "\"a\r\nb\"@b.example",
    "\"a\\\nb\"@b.example",
    "a@[tag:\r\n]",
    "a@b.example\x01",
    "a@b.example\x7F",
    "a@b\xC2\x85.example", /* NEL, a line end to some */
    "<a@b.example> SIZE=1",
    "a@b.example> BODY=8BITMIME",
    "a b@c.example",
    "a@b.example>",
    NULL,
};

static void injected_addresses(SmtpClient *client)
{
    int i;
    for (i = 0; INJECTIONS[i] != NULL; i++) {
        const char *bad = INJECTIONS[i];
        CHECK_SAME(SmtpSendMessage(client, bad, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_INVALID_ADDRESS);
        CHECK_SAME(SmtpSendMessage(client, SENDER, bad, MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_INVALID_ADDRESS);
        CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
        CHECK(strpbrk(SmtpGetLastErrorString(client), "\r\n\x01\x7F") == NULL);
    }
    /* One bad recipient among good ones spoils the call before anything is sent. */
    CHECK_SAME(SmtpSendMessage(client, SENDER, RECIPIENT ", two@mail.example\r\n, x@y", MESSAGE, SMTP_NUL_TERMINATED),
               SMTP_ERROR_INVALID_ADDRESS);
    /* LINE SEPARATOR is no control character, but beyond ASCII. */
    CHECK_SAME(SmtpSendMessage(client, SENDER, "a@b\xE2\x80\xA8.example", MESSAGE, SMTP_NUL_TERMINATED),
               SMTP_ERROR_SMTPUTF8_REQUIRED);
}

static void missing_addresses(SmtpClient *client)
{
    CHECK_SAME(SmtpSendMessage(client, "", RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_INVALID_ADDRESS);
    CHECK_SAME(SmtpSendMessage(client, SENDER, "", MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_NO_RECIPIENTS);
    CHECK_SAME(SmtpSendMessage(client, SENDER, " , ,", MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_NO_RECIPIENTS);
    CHECK_SAME(SmtpSendMessage(client, SENDER, "<>", MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_INVALID_ADDRESS);
}

static void injected_texts(SmtpClient *client)
{
    static const uint32_t texts[] = {SMTP_PROPERTY_HOST, SMTP_PROPERTY_USER, SMTP_PROPERTY_CA_FILE,
                                     SMTP_PROPERTY_LOCAL_NAME};
    char before[64], after[64];
    size_t i;
    for (i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK_SAME(SmtpGetString(client, texts[i], before, sizeof before, NULL), 0);
        CHECK_SAME(SmtpSetString(client, texts[i], "a\r\nQUIT"), SMTP_ERROR_INVALID_PARAMETER);
        CHECK_SAME(SmtpSetString(client, texts[i], "a\n"), SMTP_ERROR_INVALID_PARAMETER);
        CHECK_SAME(SmtpSetString(client, texts[i], "a\x01"), SMTP_ERROR_INVALID_PARAMETER);
        CHECK_SAME(SmtpGetString(client, texts[i], after, sizeof after, NULL), 0);
        CHECK_TEXT(after, before);
    }
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_LOCAL_NAME, "a b"), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_LOCAL_NAME, "[300.0.0.1]"), SMTP_ERROR_INVALID_PARAMETER);
}

static void unknown_properties(SmtpClient *client)
{
    static const uint32_t unknown[] = {0, 999, 0x7FFFFFFF, 0xFFFFFFFF};
    char buffer[16] = "untouched";
    size_t length = 77, i;
    int64_t value = 77;
    for (i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        CHECK_SAME(SmtpSetString(client, unknown[i], "x"), SMTP_ERROR_UNKNOWN_PROPERTY);
        CHECK_SAME(SmtpGetString(client, unknown[i], buffer, sizeof buffer, &length), SMTP_ERROR_UNKNOWN_PROPERTY);
        CHECK_SAME(SmtpSetInteger(client, unknown[i], 1), SMTP_ERROR_UNKNOWN_PROPERTY);
        CHECK_SAME(SmtpGetInteger(client, unknown[i], &value), SMTP_ERROR_UNKNOWN_PROPERTY);
    }
    /* The other type. */
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_PORT, "25"), SMTP_ERROR_UNKNOWN_PROPERTY);
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_PORT, buffer, sizeof buffer, &length), SMTP_ERROR_UNKNOWN_PROPERTY);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_HOST, 1), SMTP_ERROR_UNKNOWN_PROPERTY);
    CHECK_SAME(SmtpGetInteger(client, SMTP_PROPERTY_HOST, &value), SMTP_ERROR_UNKNOWN_PROPERTY);
    /* The wrong direction. */
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_QUEUE_ID, "x"), SMTP_ERROR_READ_ONLY_PROPERTY);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_OUTCOME, 1), SMTP_ERROR_READ_ONLY_PROPERTY);
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_PASSWORD, buffer, sizeof buffer, &length),
               SMTP_ERROR_WRITE_ONLY_PROPERTY);
    CHECK_TEXT(buffer, "untouched");
    CHECK_SAME(length, 77);
    CHECK_SAME(value, 77);
}

static void impossible_values(SmtpClient *client)
{
    static const struct {
        uint32_t property;
        int64_t value;
    } table[] = {
        {SMTP_PROPERTY_PORT, -1},
        {SMTP_PROPERTY_PORT, 65536},
        {SMTP_PROPERTY_PORT, INT64_MIN},
        {SMTP_PROPERTY_PORT, INT64_MAX},
        {SMTP_PROPERTY_OPTIONS, -1},
        {SMTP_PROPERTY_OPTIONS, 0x40000000},
        {SMTP_PROPERTY_OPTIONS, (int64_t)1 << 40},
        {SMTP_PROPERTY_TLS_MODE, 4},
        {SMTP_PROPERTY_TLS_MODE, -1},
        {SMTP_PROPERTY_INSECURE_AUTH, 2},
        {SMTP_PROPERTY_INSECURE_SKIP_VERIFY, -1},
        {SMTP_PROPERTY_TIMEOUT, -1},
        {SMTP_PROPERTY_TIMEOUT_MAIL, (int64_t)1 << 31},
        {SMTP_PROPERTY_TIMEOUT_QUIT, INT64_MIN},
        {SMTP_PROPERTY_LAST_ERROR, 1},
        {SMTP_PROPERTY_LAST_ERROR, SMTP_ERROR_TIMEOUT},
    };
    size_t i;
    for (i = 0; i < sizeof table / sizeof *table; i++) {
        int64_t before = integer(client, table[i].property);
        CHECK_SAME(SmtpSetInteger(client, table[i].property, table[i].value), SMTP_ERROR_INVALID_PARAMETER);
        if (table[i].property != SMTP_PROPERTY_LAST_ERROR) {
            CHECK_SAME(integer(client, table[i].property), before);
        }
    }
}

static void bad_arguments_of_connect(SmtpClient *client)
{
    static const int32_t expected = SMTP_ERROR_INVALID_PARAMETER;
    CHECK_SAME(SmtpConnect(client, HOST, 70000, 0, 0), expected);
    CHECK_SAME(SmtpConnect(client, HOST, 65536, 0, 0), expected);
    CHECK_SAME(SmtpConnect(client, HOST, 0xFFFFFFFF, 0, 0), expected);
    CHECK_SAME(SmtpConnect(client, HOST, 25, 0, 0x40000000), expected);
    CHECK_SAME(SmtpConnect(client, HOST, 25, 0, 0x2), expected);
    CHECK_SAME(SmtpConnect(client, HOST, 25, 0, SMTP_OPTION_BASIC | SMTP_OPTION_SECURE), expected);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 1);
}

static void connect_twice(SmtpClient *client)
{
    CHECK_SAME(SmtpConnect(client, HOST, 9, 0, 0), SMTP_ERROR_ALREADY_CONNECTED);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 1);
}

static void unknown_events(SmtpClient *client)
{
    int before = destroyed;
    CHECK_SAME(SmtpRegisterEvent(client, 0x40000000, ignore_event, NULL, count_destroy), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpRegisterEvent(client, 0x4, ignore_event, NULL, count_destroy), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(destroyed, before + 2);
    CHECK_SAME(SmtpRegisterEvent(client, 0, NULL, NULL, NULL), 0);
}

static void short_buffers(SmtpClient *client)
{
    static const char name[] = "client.example";
    char buffer[32];
    size_t length, capacity;
    for (capacity = 1; capacity <= sizeof name; capacity++) {
        int fits = capacity == sizeof name;
        memset(buffer, 'x', sizeof buffer);
        length = 0;
        CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_LOCAL_NAME, buffer, capacity, &length),
                   fits ? 0 : SMTP_ERROR_BUFFER_TOO_SMALL);
        CHECK_SAME(length, strlen(name));
        CHECK_SAME(strlen(buffer), capacity - 1);
        CHECK(memcmp(buffer, name, capacity - 1) == 0);
        CHECK_SAME(buffer[capacity], 'x');
    }
    buffer[0] = 'x';
    length = 0;
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_LOCAL_NAME, buffer, 0, &length), SMTP_ERROR_BUFFER_TOO_SMALL);
    CHECK_SAME(buffer[0], 'x');
    CHECK_SAME(length, strlen(name));
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_LOCAL_NAME, NULL, 0, &length), 0);

    /* Cut at a character, not in the middle of one. */
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_USER, "\xC3\xA9\xC3\xA9"), 0);
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_USER, buffer, 4, &length), SMTP_ERROR_BUFFER_TOO_SMALL);
    CHECK_TEXT(buffer, "\xC3\xA9");
    CHECK_SAME(length, 4);
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_USER, NULL), 0);

    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_PORT, -1), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpCopyLastErrorString(client, NULL, 0, &length), 0);
    CHECK_SAME(length, strlen(SmtpGetLastErrorString(client)));
    CHECK_SAME(SmtpCopyLastErrorString(client, buffer, 5, &length), SMTP_ERROR_BUFFER_TOO_SMALL);
    CHECK_SAME(strlen(buffer), 4);
    CHECK_SAME(length, strlen(SmtpGetLastErrorString(client)));
}

typedef void (*Misuse)(SmtpClient *client);

static const Misuse MISUSES[] = {
    null_sender,        null_recipients,   null_message,      impossible_length,        null_outputs,
    no_credentials,     bad_utf8,          injected_addresses, missing_addresses,       injected_texts,
    unknown_properties, impossible_values, bad_arguments_of_connect, connect_twice,     unknown_events,
    short_buffers,
};

enum { MISUSE_COUNT = sizeof MISUSES / sizeof *MISUSES };

/* One connection throughout; behind each misuse a message of its own, octet for octet. */
static void misuse_of_a_session(void)
{
    static const struct action hello[] = {HELLO};
    static const struct action envelope[] = {TO_CONTENT};
    static const struct action goodbye[] = {GOODBYE, EXPECT_END, END};
    static struct action script[64 + MISUSE_COUNT * 16];
    static char messages[MISUSE_COUNT][64], contents[MISUSE_COUNT][64];
    static const struct action end[] = {SEND(QUEUED)};
    struct action *next = script;
    struct server server;
    SmtpClient *client = new_client();
    char queue_id[32];
    int i;

    memcpy(next, hello, sizeof hello);
    next += sizeof hello / sizeof *hello;
    for (i = 0; i < MISUSE_COUNT; i++) {
        snprintf(messages[i], sizeof messages[i], "Subject: %d\r\n\r\n.Hello\n.\n", i);
        snprintf(contents[i], sizeof contents[i], "Subject: %d\r\n\r\n..Hello\r\n..\r\n.\r\n", i);
        memcpy(next, envelope, sizeof envelope);
        next += sizeof envelope / sizeof *envelope;
        next->kind = EXPECT_TEXT;
        next->text = contents[i];
        next++;
        *next++ = end[0];
    }
    memcpy(next, goodbye, sizeof goodbye);

    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    for (i = 0; i < MISUSE_COUNT; i++) {
        MISUSES[i](client);
        if (!CHECK_SAME(SmtpSendMessage(client, SENDER, RECIPIENT, messages[i], strlen(messages[i])), 0)) {
            printf("after misuse number %d: %s\n", i, SmtpGetLastErrorString(client));
            break;
        }
        CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_ACCEPTED);
        CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_QUEUE_ID, queue_id, sizeof queue_id, NULL), 0);
        CHECK_TEXT(queue_id, "4F1B2");
    }
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* Texts that are dangerous in an address and harmless in a login, where they are encoded. */
static void injected_login(void)
{
    static const struct action script[] = {
        HELLO, EXPECT("AUTH PLAIN AHUNClFVSVQAcA0KUVVJVA==\r\n"), SEND("235 2.7.0 Ok\r\n"),
        TRANSACTION, GOODBYE, EXPECT_END, END};
    struct server server;
    SmtpClient *client = new_client();
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(SmtpAuthenticate(client, "u\r\nQUIT", "p\r\nQUIT"), 0);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

static void bad_hosts(void)
{
    static const char *const hosts[] = {"a b",  "mail.example\r\nQUIT",  "mail.example\n",
                                        "\x01", "b\xC3\xBC" "cher.example", NULL};
    SmtpClient *client = new_client();
    char long_host[5000];
    int i;
    for (i = 0; hosts[i] != NULL; i++) {
        CHECK_SAME(SmtpConnect(client, hosts[i], 25, 1000, 0), SMTP_ERROR_INVALID_PARAMETER);
        CHECK(strpbrk(SmtpGetLastErrorString(client), "\r\n\x01") == NULL);
    }
    memset(long_host, 'a', sizeof long_host - 1);
    long_host[sizeof long_host - 1] = '\0';
    CHECK(SmtpConnect(client, long_host, 25, 5000, 0) < 0);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 0);
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* What a thread and what a client remember of failures. */
static void last_errors(void)
{
    SmtpClient *client = new_client();
    CHECK_TEXT(SmtpGetLastErrorString(client), "");
    CHECK_SAME(SmtpReset(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpGetLastError(NULL), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_PORT, 25), 0);
    CHECK_SAME(SmtpGetLastError(NULL), 0);
    CHECK_SAME(SmtpGetLastError(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(integer(client, SMTP_PROPERTY_LAST_ERROR), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_LAST_ERROR, 0), 0);
    CHECK_SAME(SmtpGetLastError(client), 0);
    CHECK_TEXT(SmtpGetLastErrorString(client), "");
    CHECK_SAME(SmtpClientRelease(client), 0);
}

int main(void)
{
    check_begin();
    RUN(bad_handles);
    RUN(wrong_order);
    RUN(misuse_of_a_session);
    RUN(injected_login);
    RUN(bad_hosts);
    RUN(last_errors);
    return check_end();
}
