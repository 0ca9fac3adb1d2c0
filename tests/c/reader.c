/*
 * Messages that come from a function or a file: what the server gets, what
 * becomes of a message that is not given to its end, what a reader may call,
 * and how little memory it takes.
 */
#define _POSIX_C_SOURCE 200809L
#include "mail.h"
#include "memory.h"

#include <sys/stat.h>

/* The end of a message on the wire; the line end before it may be that of DATA. */
#define END_OF_MESSAGE "\r\n.\r\n"

/* Without a line end at its end, with dots where they count and line ends of every kind. */
#define ODD "Subject: odd\r\n\r\n.dot\n..\r\nbare\rcr\n\n.\r.\nend"
#define ODD_SENT "Subject: odd\r\n\r\n..dot\r\n...\r\nbare\r\ncr\r\n\r\n..\r\n..\r\nend\r\n.\r\n"

#define HELLO_WITH_SIZE(limit) GREETING, EXPECT(EHLO), SEND("250-mail.example\r\n250 SIZE " limit "\r\n")
#define TO_CONTENT_OF_SIZE(size)                                                                    \
    EXPECT("MAIL FROM:<" SENDER "> SIZE=" size "\r\n"), SEND(OK), EXPECT(RCPT), SEND(OK), EXPECT("DATA\r\n"), \
        SEND("354 Go on\r\n")

/* A reader, and what it is to do. */
struct reader {
    const char *octets;
    size_t left;
    /* How much to give at a time; the room there is if 0. */
    size_t piece;
    /* Give pieces of growing and shrinking sizes instead. */
    int uneven;
    /* Give lines without an end. */
    int endless;
    /* At this call, counted from 1: return this. */
    int special_call;
    int64_t special;
    /* Before every call. */
    long sleep_millis;
    void (*act)(struct reader *reader);
    SmtpClient *client;
    SmtpClient *other;
    int calls;
    int destroyed;
    size_t least_capacity;
    pthread_t thread;
};

static int64_t give(void *buffer, size_t capacity, void *user_data)
{
    struct reader *reader = user_data;
    size_t count = reader->piece != 0 ? reader->piece : capacity;
    reader->calls++;
    CHECK(buffer != NULL && capacity > 0);
    if (reader->calls == 1) {
        reader->thread = pthread_self();
        reader->least_capacity = capacity;
    }
    CHECK(pthread_equal(reader->thread, pthread_self()));
    reader->least_capacity = capacity < reader->least_capacity ? capacity : reader->least_capacity;
    if (reader->sleep_millis != 0) {
        sleep_ms(reader->sleep_millis);
    }
    if (reader->act != NULL) {
        reader->act(reader);
    }
    if (reader->calls == reader->special_call) {
        return reader->special;
    }
    if (reader->uneven) {
        count = (size_t)reader->calls * 7919 % 30011 / ((size_t)reader->calls % 3 * 100 + 1) + 1;
    }
    count = count < capacity ? count : capacity;
    if (reader->endless) {
        /* Lines of 16 octets. */
        size_t i;
        count -= count % 16;
        for (i = 0; i < count; i++) {
            ((char *)buffer)[i] = i % 16 == 14 ? '\r' : i % 16 == 15 ? '\n' : 'x';
        }
        return (int64_t)count;
    }
    count = count < reader->left ? count : reader->left;
    if (count != 0) {
        memcpy(buffer, reader->octets, count);
        reader->octets += count;
        reader->left -= count;
    }
    return (int64_t)count;
}

static struct reader reader_of(const char *octets, size_t length)
{
    struct reader reader;
    memset(&reader, 0, sizeof reader);
    reader.octets = octets;
    reader.left = length;
    return reader;
}

static int32_t stream(SmtpClient *client, uint64_t size, struct reader *reader)
{
    return SmtpSendStream(client, SENDER, RECIPIENT, size, give, reader);
}

enum { MOST_KIB = 2 * 1024 };

/* Where memory cannot be told, the way there is slow as well. */
static size_t large_length(void)
{
    return (size_t)(peak_memory() < 0 ? 4 : 64) << 20;
}

static char path[256];

static FILE *new_file(void)
{
    const char *folder = getenv("TMPDIR");
    int file;
    snprintf(path, sizeof path, "%s/smtpclient-\xC3\xA9-XXXXXX", folder != NULL ? folder : "/tmp");
    file = mkstemp(path);
    if (file < 0) {
        perror("no file for the test");
        exit(EXIT_FAILURE);
    }
    return fdopen(file, "wb");
}

static void fill_file(const char *octets, size_t length)
{
    FILE *file = new_file();
    CHECK(fwrite(octets, 1, length, file) == length);
    CHECK(fclose(file) == 0);
}

/* Of a large message the process holds a small part at a time. */
static void in_constant_memory(int from_a_file)
{
    static char lines[1 << 16];
    static struct action script[] = {HELLO, TO_CONTENT, SKIP(0), EXPECT(".\r\n"), SEND(QUEUED),
                                     GOODBYE, EXPECT_END, END};
    /* Behind the three actions of HELLO and the six of TO_CONTENT. */
    enum { SKIP_AT = 3 + 6 };
    struct server server;
    struct reader reader = reader_of(NULL, 0);
    SmtpClient *client = new_client();
    size_t length = large_length(), i;
    long before, after;
    int32_t result;

    /* Filled in either case, so that these pages are counted before the message is sent. */
    for (i = 0; i < sizeof lines; i++) {
        lines[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
    }
    if (from_a_file) {
        FILE *file = new_file();
        for (i = 0; i < length; i += sizeof lines) {
            CHECK(fwrite(lines, 1, sizeof lines, file) == sizeof lines);
        }
        CHECK(fclose(file) == 0);
    }
    reader.endless = 1;
    reader.piece = 1 << 12;
    reader.special_call = (int)(length >> 12) + 1;
    CHECK_SAME(script[SKIP_AT].kind, SKIP_COUNT);
    script[SKIP_AT].length = length;
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    before = peak_memory();
    result = from_a_file ? SmtpSendFile(client, SENDER, RECIPIENT, path) : stream(client, length, &reader);
    after = peak_memory();
    CHECK_SAME(result, 0);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_ACCEPTED);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
    if (from_a_file) {
        unlink(path);
    }
    if (before < 0) {
        printf("  %zu MiB were sent; memory cannot be told here\n", length >> 20);
        return;
    }
    printf("  %zu MiB were sent, and the peak of memory grew by %ld KiB\n", length >> 20, after - before);
    CHECK(after - before < MOST_KIB);
}

/* These come first: a peak that was reached before hides what is below it. */
static void a_large_message_from_a_reader(void)
{
    in_constant_memory(0);
}

static void a_large_message_from_a_file(void)
{
    in_constant_memory(1);
}

/* That the measurement can fail: here memory is used, and the peak rises. */
static void the_measurement_is_real(void)
{
    long before = peak_memory();
    char *block;
    if (before >= 0) {
        block = large_message(8 << 20);
        CHECK(block[1 << 20] != '\0');
        CHECK(peak_memory() - before >= MOST_KIB);
        free(block);
    }
}

/* Every place where a line end or a dot may be torn apart. */
static void pieces_of_every_size(void)
{
    static const struct action script[] = {HELLO, TO_CONTENT, EXPECT(ODD_SENT), SEND(QUEUED), END};
    size_t piece;
    for (piece = 1; piece <= strlen(ODD); piece++) {
        struct server server;
        struct reader reader = reader_of(ODD, strlen(ODD));
        SmtpClient *client = new_client();
        reader.piece = piece;
        server_start(&server, script);
        CHECK_SAME(connect_to(client, &server), 0);
        CHECK_SAME(stream(client, SMTP_SIZE_UNKNOWN, &reader), 0);
        CHECK_SAME(reader.left, 0);
        /* It is not asked again behind its end. */
        CHECK_SAME(reader.calls, (strlen(ODD) + piece - 1) / piece + 1);
        CHECK_SAME(SmtpClientRelease(client), 0);
        CHECK(server_finish(&server));
    }
}

static void uneven_pieces(void)
{
    enum { LENGTH = 1000000 };
    static struct action script[] = {HELLO, TO_CONTENT, SKIP(0), EXPECT(".\r\n"), SEND(QUEUED), END};
    enum { CONTENT_AT = 3 + 6 };
    char *message = large_message(LENGTH);
    size_t pieces[] = {0, 4095, 65535, 65536, 65537};
    size_t i;
    for (i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct server server;
        struct reader reader = reader_of(message, LENGTH);
        SmtpClient *client = new_client();
        reader.piece = pieces[i];
        reader.uneven = pieces[i] == 0;
        script[CONTENT_AT].kind = EXPECT_TEXT;
        script[CONTENT_AT].text = message;
        script[CONTENT_AT].length = LENGTH;
        server_start(&server, script);
        CHECK_SAME(connect_to(client, &server), 0);
        CHECK_SAME(stream(client, LENGTH, &reader), 0);
        CHECK_SAME(reader.left, 0);
        CHECK(reader.least_capacity >= 1024);
        CHECK_SAME(SmtpClientRelease(client), 0);
        CHECK(server_finish(&server));
    }
    free(message);
}

/* As a message of length 0 in memory. */
static void nothing_at_all(void)
{
    static const struct action script[] = {HELLO, TO_CONTENT, EXPECT(".\r\n"), SEND(QUEUED),
                                           TO_CONTENT, EXPECT(".\r\n"), SEND(QUEUED),
                                           TO_CONTENT, EXPECT(".\r\n"), SEND(QUEUED),
                                           TRANSACTION, GOODBYE, EXPECT_END, END};
    struct server server;
    struct reader reader = reader_of(NULL, 0);
    SmtpClient *client = new_client();
    fill_file("", 0);
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(SmtpSendMessage(client, SENDER, RECIPIENT, NULL, 0), 0);
    CHECK_SAME(stream(client, 0, &reader), 0);
    CHECK_SAME(reader.calls, 1);
    CHECK_SAME(SmtpSendFile(client, SENDER, RECIPIENT, path), 0);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
    unlink(path);
}

/* What the server is told in advance; a size that turns out wrong is not the library's concern. */
static void sizes(void)
{
    static const struct action script[] = {
        HELLO_WITH_SIZE("1000"),
        TO_CONTENT_OF_SIZE("41"), EXPECT(ODD_SENT), SEND(QUEUED),
        TO_CONTENT_OF_SIZE("5"), EXPECT(ODD_SENT), SEND(QUEUED),
        TO_CONTENT_OF_SIZE("0"), EXPECT(ODD_SENT), SEND(QUEUED),
        TO_CONTENT, EXPECT(ODD_SENT), SEND(QUEUED),
        TO_CONTENT_OF_SIZE("41"), EXPECT(ODD_SENT), SEND(QUEUED),
        GOODBYE, EXPECT_END, END};
    static const uint64_t told[] = {sizeof ODD - 1, 5, 0, SMTP_SIZE_UNKNOWN};
    struct server server;
    struct reader reader = reader_of(ODD, strlen(ODD));
    SmtpClient *client = new_client();
    size_t i;
    CHECK_SAME(strlen(ODD), 41);
    fill_file(ODD, strlen(ODD));
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    for (i = 0; i < sizeof told / sizeof *told; i++) {
        reader = reader_of(ODD, strlen(ODD));
        CHECK_SAME(stream(client, told[i], &reader), 0);
    }
    /* More than the server takes: it is not even asked, and neither is the reader. */
    reader = reader_of(ODD, strlen(ODD));
    CHECK_SAME(stream(client, 1001, &reader), SMTP_ERROR_MESSAGE_TOO_LARGE);
    CHECK_SAME(stream(client, SMTP_SIZE_UNKNOWN - 1, &reader), SMTP_ERROR_MESSAGE_TOO_LARGE);
    CHECK_SAME(reader.calls, 0);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
    CHECK_SAME(SmtpSendFile(client, SENDER, RECIPIENT, path), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
    unlink(path);
}

/* The reader is asked when the server waits for the message, and not if it does not want it. */
static int seen_354;

static int32_t note_354(const SmtpEvent *event, void *user_data)
{
    (void)user_data;
    seen_354 |= event->result_code == 354;
    return 0;
}

static void expect_354(struct reader *reader)
{
    (void)reader;
    CHECK(seen_354);
}

static void asked_when_wanted(void)
{
    static const struct action script[] = {
        HELLO,
        EXPECT(MAIL), SEND("550 5.7.1 No\r\n"),
        EXPECT(MAIL), SEND(OK), EXPECT(RCPT), SEND("550 5.1.1 No\r\n"), EXPECT("RSET\r\n"), SEND(OK),
        TO_DATA, SEND("554 5.5.1 No\r\n"), EXPECT("RSET\r\n"), SEND(OK),
        TO_CONTENT, EXPECT(ODD_SENT), SEND(QUEUED), GOODBYE, EXPECT_END, END};
    struct server server;
    struct reader reader = reader_of(ODD, strlen(ODD));
    SmtpClient *client = new_client();
    reader.act = expect_354;
    server_start(&server, script);
    CHECK_SAME(SmtpRegisterEvent(client, SMTP_EVENT_REPLY, note_354, NULL, NULL), 0);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(stream(client, SMTP_SIZE_UNKNOWN, &reader), SMTP_ERROR_SENDER_REJECTED);
    CHECK_SAME(stream(client, SMTP_SIZE_UNKNOWN, &reader), SMTP_ERROR_RECIPIENTS_REJECTED);
    CHECK_SAME(stream(client, SMTP_SIZE_UNKNOWN, &reader), SMTP_ERROR_DATA_REJECTED);
    CHECK_SAME(reader.calls, 0);
    CHECK_SAME(stream(client, SMTP_SIZE_UNKNOWN, &reader), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* A message that is not given to its end: the server must not take the part for the whole. */
static void expect_incomplete(struct reader *reader, int32_t expected)
{
    static const struct action script[] = {HELLO, TO_CONTENT, WITHOUT(END_OF_MESSAGE), END};
    static const struct action again[] = {HELLO, TRANSACTION, GOODBYE, EXPECT_END, END};
    struct server server;
    SmtpClient *client = new_client();
    int calls;
    reader->client = client;
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(stream(client, SMTP_SIZE_UNKNOWN, reader), expected);
    calls = reader->calls;
    CHECK_SAME(SmtpGetLastError(client), expected);
    CHECK_SAME(integer(client, SMTP_PROPERTY_ERROR_PHASE), SMTP_PHASE_CONTENT);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
    CHECK_SAME(integer(client, SMTP_PROPERTY_SAFE_TO_RETRY), 1);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 0);
    CHECK_SAME(send_test_message(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK_SAME(reader->calls, calls);
    CHECK(server_finish(&server));
    server_start(&server, again);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* Gives up, or claims more than there was room for, at once or later. */
static void readers_that_fail(void)
{
    static const int64_t answers[] = {-1, INT64_MIN, SMTP_ERROR_TIMEOUT, 65536 + 1, INT64_MAX, (int64_t)1 << 32};
    static const int calls[] = {1, 2, 3, 100};
    static const char whole[] = "Subject: whole\r\n\r\nAll lines have an end.\r\n";
    size_t i, j;
    for (i = 0; i < sizeof answers / sizeof *answers; i++) {
        for (j = 0; j < sizeof calls / sizeof *calls; j++) {
            struct reader reader = reader_of(NULL, 0);
            reader.endless = 1;
            reader.special_call = calls[j];
            reader.special = answers[i];
            expect_incomplete(&reader, SMTP_ERROR_READER);
            CHECK_SAME(reader.calls, calls[j]);
        }
        /* Where the message could end, and would be taken for a whole one. */
        {
            struct reader reader = reader_of(whole, strlen(whole));
            reader.special_call = 2;
            reader.special = answers[i];
            expect_incomplete(&reader, SMTP_ERROR_READER);
        }
    }
}

static void cancel_now(struct reader *reader)
{
    if (reader->calls == reader->special_call || reader->special_call == 0) {
        CHECK_SAME(SmtpCancel(reader->client), 0);
        CHECK_SAME(SmtpCancel(reader->client), 0);
    }
}

/* Whatever the reader returns then, be it the end of the message. */
static void readers_that_cancel(void)
{
    static const int64_t answers[] = {-1, 0, 16, 4096};
    static const int calls[] = {1, 2, 50};
    size_t i, j;
    for (i = 0; i < sizeof answers / sizeof *answers; i++) {
        for (j = 0; j < sizeof calls / sizeof *calls; j++) {
            struct reader reader = reader_of(NULL, 0);
            reader.endless = 1;
            reader.act = cancel_now;
            reader.special_call = calls[j];
            reader.special = answers[i];
            expect_incomplete(&reader, SMTP_ERROR_CANCELLED);
            CHECK_SAME(reader.calls, calls[j]);
        }
    }
}

/* That the server of these tests can tell; it prints its complaint, which is the expected one. */
static void the_server_sees_ends(void)
{
    static const struct action with_content[] = {HELLO, TO_CONTENT, WITHOUT(END_OF_MESSAGE), END};
    struct server server;
    SmtpClient *client = new_client();
    server_start(&server, with_content);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK(send_test_message(client) < 0);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_UNKNOWN);
    CHECK(!server_finish(&server));
    SmtpDisconnect(client);
    server_start(&server, with_content);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK(SmtpSendMessage(client, SENDER, RECIPIENT, NULL, 0) < 0);
    CHECK(!server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

static void count_destroyed(void *user_data)
{
    struct reader *reader = user_data;
    reader->destroyed++;
}

static int32_t ignore_event(const SmtpEvent *event, void *user_data)
{
    (void)event;
    (void)user_data;
    return 0;
}

static void call_everything(struct reader *reader)
{
    static const int32_t expected = SMTP_ERROR_REENTRANT;
    SmtpClient *client = reader->client;
    struct reader inner = reader_of("x", 1);
    SmtpRecipient recipient;
    char text[64] = "untouched";
    int64_t value;
    size_t length = 77;
    int before = reader->destroyed;

    CHECK_SAME(SmtpClientRelease(client), expected);
    CHECK_SAME(SmtpConnect(client, HOST, 25, 0, 0), expected);
    CHECK_SAME(SmtpAuthenticate(client, "user", "password"), expected);
    CHECK_SAME(SmtpSendMessage(client, SENDER, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), expected);
    CHECK_SAME(SmtpSendFile(client, SENDER, RECIPIENT, "/dev/null"), expected);
    CHECK_SAME(stream(client, SMTP_SIZE_UNKNOWN, &inner), expected);
    CHECK_SAME(inner.calls, 0);
    CHECK_SAME(SmtpDisconnect(client), expected);
    CHECK_SAME(SmtpReset(client), expected);
    CHECK_SAME(SmtpNoop(client), expected);
    CHECK_SAME(SmtpCommand(client, "HELP", NULL), expected);
    CHECK_SAME(SmtpVerifyAddress(client, RECIPIENT), expected);
    CHECK_SAME(SmtpExpandAddress(client, RECIPIENT, text, sizeof text, &length), expected);
    CHECK_TEXT(text, "untouched");
    CHECK_SAME(length, 77);
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_HOST, "mail.example"), expected);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_PORT, 25), expected);
    CHECK_SAME(SmtpRegisterEvent(client, 0, NULL, NULL, NULL), expected);
    CHECK_SAME(SmtpRegisterEvent(client, 0, ignore_event, reader, count_destroyed), expected);
    CHECK_SAME(reader->destroyed, before + 1);
    CHECK_SAME(SmtpGetLastError(NULL), expected);
    CHECK_SAME(SmtpGetLastError(client), expected);
    CHECK(strlen(SmtpGetLastErrorString(client)) > 20);
    CHECK_SAME(SmtpCopyLastErrorString(client, NULL, 0, &length), 0);

    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_LOCAL_NAME, text, sizeof text, &length), 0);
    CHECK_TEXT(text, "client.example");
    CHECK_SAME(SmtpGetInteger(client, SMTP_PROPERTY_OUTCOME, &value), 0);
    CHECK_SAME(value, SMTP_OUTCOME_NOT_SENT);
    CHECK_SAME(SmtpGetRecipientCount(client, &length), 0);
    recipient.size = sizeof recipient;
    CHECK_SAME(SmtpGetRecipient(client, 1000, &recipient), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpGetRecipientString(client, 1000, SMTP_RECIPIENT_TEXT_ADDRESS, NULL, 0, &length),
               SMTP_ERROR_INVALID_PARAMETER);
    /* Another client is free to be used, and to be ended. */
    CHECK_SAME(SmtpSetInteger(reader->other, SMTP_PROPERTY_PORT, reader->calls), 0);
    CHECK_SAME(SmtpClientRelease(new_client()), 0);
}

static void calls_from_within(void)
{
    static const struct action script[] = {HELLO, TO_CONTENT, EXPECT(ODD_SENT), SEND(QUEUED), TRANSACTION,
                                           GOODBYE, EXPECT_END, END};
    struct server server;
    struct reader reader = reader_of(ODD, strlen(ODD));
    SmtpClient *client = new_client();
    reader.piece = 10;
    reader.act = call_everything;
    reader.client = client;
    reader.other = new_client();
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(stream(client, SMTP_SIZE_UNKNOWN, &reader), 0);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_ACCEPTED);
    CHECK_SAME(integer(reader.other, SMTP_PROPERTY_PORT), reader.calls);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
    CHECK_SAME(SmtpClientRelease(reader.other), 0);
}

/* Passes on what it is given; the one client's reader sends with the other. */
static void send_with_the_other(struct reader *reader)
{
    if (reader->calls == 1) {
        struct reader inner = reader_of(ODD, strlen(ODD));
        inner.piece = 3;
        CHECK_SAME(stream(reader->other, SMTP_SIZE_UNKNOWN, &inner), 0);
    }
}

static void one_client_within_another(void)
{
    static const struct action script[] = {HELLO, TO_CONTENT, EXPECT(ODD_SENT), SEND(QUEUED), GOODBYE,
                                           EXPECT_END, END};
    struct server outer_server, inner_server;
    struct reader reader = reader_of(ODD, strlen(ODD));
    SmtpClient *client = new_client();
    reader.other = new_client();
    reader.act = send_with_the_other;
    server_start(&outer_server, script);
    server_start(&inner_server, script);
    CHECK_SAME(connect_to(client, &outer_server), 0);
    CHECK_SAME(connect_to(reader.other, &inner_server), 0);
    CHECK_SAME(stream(client, SMTP_SIZE_UNKNOWN, &reader), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK_SAME(SmtpDisconnect(reader.other), 0);
    CHECK(server_finish(&outer_server));
    CHECK(server_finish(&inner_server));
    CHECK_SAME(SmtpClientRelease(client), 0);
    CHECK_SAME(SmtpClientRelease(reader.other), 0);
}

/* A server that has had enough must end a message that has no end of its own. */
static void endless_messages(void)
{
    static const struct action closing[] = {HELLO, TO_CONTENT, SKIP(100000), SEND("421 4.3.2 Going down\r\n"),
                                            SLEEP(100), RESET, END};
    static const struct action reset[] = {HELLO, TO_CONTENT, SKIP(100000), RESET, END};
    static const struct action stopped[] = {HELLO, TO_CONTENT, SKIP(100000), STALL, END};
    struct server server;
    struct reader reader = reader_of(NULL, 0);
    SmtpClient *client = new_client();
    int32_t result;
    reader.endless = 1;
    server_start(&server, closing);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(stream(client, SMTP_SIZE_UNKNOWN, &reader), SMTP_ERROR_SERVER_CLOSING);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));

    server_start(&server, reset);
    CHECK_SAME(connect_to(client, &server), 0);
    result = stream(client, SMTP_SIZE_UNKNOWN, &reader);
    CHECK(result == SMTP_ERROR_CONNECTION_RESET || result == SMTP_ERROR_CONNECTION_ABORTED ||
          result == SMTP_ERROR_CONNECTION_CLOSED);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));

    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_TIMEOUT_CONTENT, 200), 0);
    server_start(&server, stopped);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(stream(client, SMTP_SIZE_UNKNOWN, &reader), SMTP_ERROR_TIMEOUT);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
    CHECK(server_cut(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* The time that the reader takes is not the server's. */
static void a_slow_reader(void)
{
    static const struct action script[] = {HELLO, TO_CONTENT, EXPECT(ODD_SENT), SLEEP(50), SEND(QUEUED), GOODBYE,
                                           EXPECT_END, END};
    struct server server;
    struct reader reader = reader_of(ODD, strlen(ODD));
    SmtpClient *client = new_client();
    reader.sleep_millis = 200;
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_TIMEOUT_CONTENT, 150), 0);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_TIMEOUT_END, 350), 0);
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(stream(client, SMTP_SIZE_UNKNOWN, &reader), 0);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_ACCEPTED);
    SmtpDisconnect(client);
    CHECK(server_cut(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* The limit of the call as a whole holds however well the message goes out. */
static void a_limit_on_an_endless_message(void)
{
    static const struct action script[] = {HELLO, TO_CONTENT, WITHOUT(END_OF_MESSAGE), END};
    struct server server;
    struct reader reader = reader_of(NULL, 0);
    SmtpClient *client = new_client();
    reader.endless = 1;
    reader.sleep_millis = 2;
    /* So that the test comes to its end. */
    reader.special_call = 1000;
    reader.special = -1;
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_TIMEOUT, 200), 0);
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(stream(client, SMTP_SIZE_UNKNOWN, &reader), SMTP_ERROR_TIMEOUT);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

static void files(void)
{
    static const struct action script[] = {HELLO_WITH_SIZE("1000"),
                                           TO_CONTENT_OF_SIZE("41"), EXPECT(ODD_SENT), SEND(QUEUED),
                                           GOODBYE, EXPECT_END, END};
    struct server server;
    SmtpClient *client = new_client();
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    fill_file(ODD, strlen(ODD));
    CHECK_SAME(SmtpSendFile(client, SENDER, RECIPIENT, path), 0);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_ACCEPTED);
    unlink(path);
    CHECK(mkfifo(path, 0600) == 0);
    /* A pipe without a writer: opening it would wait, and no cancel could end that. */
    CHECK_SAME(SmtpSendFile(client, SENDER, RECIPIENT, path), SMTP_ERROR_FILE);
    unlink(path);
    CHECK_SAME(SmtpSendFile(client, SENDER, RECIPIENT, "/dev/null"), SMTP_ERROR_FILE);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* A file that opens and then cannot be read: on Linux there is one. */
static void a_file_that_breaks(void)
{
    static const struct action script[] = {HELLO, GOODBYE, EXPECT_END, END};
    struct server server;
    SmtpClient *client;
    FILE *file = fopen("/proc/self/mem", "rb");
    if (file == NULL) {
        printf("  skipped: there is no such file here\n");
        return;
    }
    fclose(file);
    client = new_client();
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(SmtpSendFile(client, SENDER, RECIPIENT, "/proc/self/mem"), SMTP_ERROR_FILE);
    CHECK_SAME(integer(client, SMTP_PROPERTY_ERROR_PHASE), SMTP_PHASE_CONTENT);
    CHECK_SAME(integer(client, SMTP_PROPERTY_ERROR_OS), EIO);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
    CHECK_SAME(integer(client, SMTP_PROPERTY_SAFE_TO_RETRY), 1);
    /* Its header is looked at first, so nothing of it was sent. */
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

int main(void)
{
    check_begin();
    RUN(a_large_message_from_a_reader);
    RUN(a_large_message_from_a_file);
    RUN(the_measurement_is_real);
    RUN(pieces_of_every_size);
    RUN(uneven_pieces);
    RUN(nothing_at_all);
    RUN(sizes);
    RUN(asked_when_wanted);
    RUN(the_server_sees_ends);
    RUN(readers_that_fail);
    RUN(readers_that_cancel);
    RUN(calls_from_within);
    RUN(one_client_within_another);
    RUN(endless_messages);
    RUN(a_slow_reader);
    RUN(a_limit_on_an_endless_message);
    RUN(files);
    RUN(a_file_that_breaks);
    return check_end();
}
