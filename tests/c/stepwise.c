/*
 * Messages step by step and in one call, misused: wrong structures, wrong order,
 * texts that would smuggle lines in, several threads at once, a cancel and a
 * release in every step. The conversation stays as it ought to be.
 */
#define _POSIX_C_SOURCE 200809L
#include "mail.h"

static int asked;

static int64_t count_asked(void *buffer, size_t capacity, void *user_data)
{
    (void)buffer;
    (void)capacity;
    (void)user_data;
    asked++;
    return 0;
}

static char large_file[256], empty_file[256];

/* All of it is a hole, which takes no room on the disk. */
static void make_file(char *path, size_t room, off_t length)
{
    const char *folder = getenv("TMPDIR");
    int file;
    snprintf(path, room, "%s/smtpclient-XXXXXX", folder != NULL ? folder : "/tmp");
    file = mkstemp(path);
    CHECK(file >= 0 && ftruncate(file, length) == 0 && close(file) == 0);
}

/* Not UTF-8, and texts that would smuggle a line in if they were sent as they are. */
static const char *const NOT_UTF8[] = {"\xFF", "a\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", NULL};
static const char *const INJECTIONS[] = {
    "a@b.example>\r\nRCPT TO:<c@d.example", "a@b.example\r\nDATA\r\n", "a@b.example\n",       "a@b.example\r",
    "\r\na@b.example",                      "\"a\r\nb\"@b.example",     "a@[tag:\r\n]",        "a@b.example\x01",
    "a@b.example\x7F",                      "a@b\xC2\x85.example",      "<a@b.example> SIZE=1", "a b@c.example",
    "a@b.example>",                         NULL,
};

static SmtpServerInfo server_info(unsigned port)
{
    SmtpServerInfo info;
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    info.port = port;
    info.host = HOST;
    return info;
}

static SmtpMessageInfo message_info(void)
{
    SmtpMessageInfo info;
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    info.sender = SENDER;
    info.recipients = RECIPIENT;
    info.message = MESSAGE;
    info.length = SMTP_NUL_TERMINATED;
    return info;
}

/* Nobody listens on port 9: whatever gives another error was found before connecting. */
static void check_submission(SmtpClient *client, const SmtpMessageInfo *message, const SmtpServerInfo *server,
                             int32_t expected)
{
    CHECK_SAME(SmtpSubmitMessage(client, message, server), expected);
    CHECK_SAME(SmtpGetLastError(client), expected);
    CHECK(strpbrk(SmtpGetLastErrorString(client), "\r\n\x01\x7F") == NULL);
    if (client != NULL) {
        CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
        CHECK_SAME(integer(client, SMTP_PROPERTY_SAFE_TO_RETRY), 1);
        CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 0);
    }
}

static void wrong_structures(SmtpClient *client)
{
    static const uint32_t sizes[] = {0, 1, 3, 4, 8, 0x80000000, 0xFFFFFFFF};
    SmtpMessageInfo message = message_info();
    SmtpServerInfo server = server_info(9);
    size_t i;

    check_submission(client, NULL, &server, SMTP_ERROR_NULL_POINTER);
    check_submission(client, &message, NULL, SMTP_ERROR_NULL_POINTER);
    check_submission(client, NULL, NULL, SMTP_ERROR_NULL_POINTER);
    for (i = 0; i < 5; i++) {
        /* No longer than it says: not an octet more is read. */
        uint32_t *small = malloc(sizes[i] < 4 ? 4 : sizes[i]);
        *small = sizes[i];
        check_submission(client, (const SmtpMessageInfo *)(const void *)small, &server, SMTP_ERROR_INVALID_PARAMETER);
        check_submission(client, &message, (const SmtpServerInfo *)(const void *)small, SMTP_ERROR_INVALID_PARAMETER);
        free(small);
    }
    message.size = sizeof message - 1;
    check_submission(client, &message, &server, SMTP_ERROR_INVALID_PARAMETER);
    message.size = sizeof message;
    server.size = sizeof server - 1;
    check_submission(client, &message, &server, SMTP_ERROR_INVALID_PARAMETER);
    server.size = sizeof server;
    message.reserved = 1;
    check_submission(client, &message, &server, SMTP_ERROR_INVALID_PARAMETER);
    message.reserved = 0;
    message.path = "/dev/null";
    check_submission(client, &message, &server, SMTP_ERROR_INVALID_PARAMETER);
    message.message = "";
    message.length = 0;
    check_submission(client, &message, &server, SMTP_ERROR_INVALID_PARAMETER);
    message = message_info();
    message.message = NULL;
    check_submission(client, &message, &server, SMTP_ERROR_NULL_POINTER);
    message.length = 5;
    check_submission(client, &message, &server, SMTP_ERROR_NULL_POINTER);
    message = message_info();
    message.length = SMTP_NUL_TERMINATED - 1;
    check_submission(client, &message, &server, SMTP_ERROR_INVALID_PARAMETER);
    message = message_info();
    message.sender = NULL;
    check_submission(client, &message, &server, SMTP_ERROR_NULL_POINTER);
    message = message_info();
    message.recipients = NULL;
    check_submission(client, &message, &server, SMTP_ERROR_NULL_POINTER);
    message = message_info();
    for (i = 65536; i < 0xFFFFFFFF; i *= 16) {
        server.port = (uint32_t)i;
        check_submission(client, &message, &server, SMTP_ERROR_INVALID_PARAMETER);
    }
    server = server_info(9);
    server.options = 0x40000000;
    check_submission(client, &message, &server, SMTP_ERROR_INVALID_PARAMETER);
    server.options = SMTP_OPTION_BASIC | SMTP_OPTION_SECURE;
    check_submission(client, &message, &server, SMTP_ERROR_INVALID_PARAMETER);
    server = server_info(9);
    server.host = NULL;
    check_submission(client, &message, &server, SMTP_ERROR_INVALID_PARAMETER);
    server.host = "";
    check_submission(client, &message, &server, SMTP_ERROR_INVALID_PARAMETER);
}

static void wrong_texts(SmtpClient *client)
{
    SmtpMessageInfo message = message_info();
    SmtpServerInfo server = server_info(9);
    static const char *const hosts[] = {"a b", "127.0.0.1\r\nQUIT", "127.0.0.1\n", "\x01", "a\x7F", NULL};
    int i;
    for (i = 0; NOT_UTF8[i] != NULL; i++) {
        static const int32_t expected = SMTP_ERROR_INVALID_UTF8;
        const char *bad = NOT_UTF8[i];
        message.sender = bad;
        check_submission(client, &message, &server, expected);
        message = message_info();
        message.recipients = bad;
        check_submission(client, &message, &server, expected);
        message = message_info();
        message.path = bad;
        check_submission(client, &message, &server, expected);
        message = message_info();
        server.host = bad;
        check_submission(client, &message, &server, expected);
        server = server_info(9);
        server.user = bad;
        check_submission(client, &message, &server, expected);
        server.user = "user";
        server.password = bad;
        check_submission(client, &message, &server, expected);
        server = server_info(9);
    }
    for (i = 0; INJECTIONS[i] != NULL; i++) {
        message.sender = INJECTIONS[i];
        check_submission(client, &message, &server, SMTP_ERROR_INVALID_ADDRESS);
        message = message_info();
        message.recipients = INJECTIONS[i];
        check_submission(client, &message, &server, SMTP_ERROR_INVALID_ADDRESS);
        message = message_info();
    }
    message.recipients = " , ";
    check_submission(client, &message, &server, SMTP_ERROR_NO_RECIPIENTS);
    message = message_info();
    for (i = 0; hosts[i] != NULL; i++) {
        server.host = hosts[i];
        check_submission(client, &message, &server, SMTP_ERROR_INVALID_PARAMETER);
    }
    server = server_info(9);
    message.message = NULL;
    message.path = "/no\r\nQUIT";
    check_submission(client, &message, &server, SMTP_ERROR_FILE);
    message.path = "";
    check_submission(client, &message, &server, SMTP_ERROR_FILE);
}

static void wrong_submissions(void)
{
    SmtpClient *client = new_client();
    wrong_structures(client);
    wrong_texts(client);
    CHECK_SAME(SmtpClientRelease(client), 0);
    wrong_structures(NULL);
    wrong_texts(NULL);
}

/* Structures of a later version, and everything freed as soon as the call is over. */
static void submissions(void)
{
    static const struct action script[] = {HELLO, TRANSACTION, GOODBYE, EXPECT_END, END};
    static const struct action login[] = {HELLO, EXPECT("AUTH PLAIN AHVzZXIAcGFzc3dvcmQ=\r\n"), SEND("235 In\r\n"),
                                          TRANSACTION, GOODBYE, EXPECT_END, END};
    int way;
    for (way = 0; way < 4; way++) {
        struct {
            SmtpMessageInfo known;
            char unknown[24];
        } *message = malloc(sizeof *message);
        struct {
            SmtpServerInfo known;
            char unknown[24];
        } *info = malloc(sizeof *info);
        struct server server;
        SmtpClient *client = new_client();
        char *text = malloc(strlen(MESSAGE));
        server_start(&server, way % 2 != 0 ? login : script);
        memset(message, 77, sizeof *message);
        memset(info, 77, sizeof *info);
        memcpy(text, MESSAGE, strlen(MESSAGE));
        message->known = message_info();
        message->known.message = text;
        message->known.length = strlen(MESSAGE);
        info->known = server_info(server.port);
        if (way >= 2) {
            message->known.size = sizeof *message;
            info->known.size = sizeof *info;
        }
        if (way % 2 != 0) {
            info->known.user = "user";
            info->known.password = "password";
        }
        CHECK_SAME(SmtpSubmitMessage(client, &message->known, &info->known), 0);
        free(text);
        free(message);
        free(info);
        CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_ACCEPTED);
        CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 0);
        CHECK(server_finish(&server));
        CHECK_SAME(SmtpClientRelease(client), 0);
    }
}

/* Misuse at each point of a message, which is completed all the same. */

static void misused_addresses(SmtpClient *client, int begun)
{
    int i;
    for (i = 0; NOT_UTF8[i] != NULL; i++) {
        if (begun) {
            CHECK_SAME(SmtpAddRecipient(client, NOT_UTF8[i]), SMTP_ERROR_INVALID_UTF8);
        } else {
            CHECK_SAME(SmtpCreateMessage(client, NOT_UTF8[i], 0), SMTP_ERROR_INVALID_UTF8);
        }
    }
    for (i = 0; INJECTIONS[i] != NULL; i++) {
        if (begun) {
            CHECK_SAME(SmtpAddRecipient(client, INJECTIONS[i]), SMTP_ERROR_INVALID_ADDRESS);
        } else {
            CHECK_SAME(SmtpCreateMessage(client, INJECTIONS[i], 0), SMTP_ERROR_INVALID_ADDRESS);
        }
        CHECK(strpbrk(SmtpGetLastErrorString(client), "\r\n\x01\x7F") == NULL);
    }
    CHECK_SAME(begun ? SmtpAddRecipient(client, NULL) : SmtpCreateMessage(client, NULL, 0), SMTP_ERROR_NULL_POINTER);
    if (begun) {
        CHECK_SAME(SmtpAddRecipient(client, ""), SMTP_ERROR_INVALID_ADDRESS);
        CHECK_SAME(SmtpAddRecipient(client, "<>"), SMTP_ERROR_INVALID_ADDRESS);
        /* One is one: a list is none. */
        CHECK_SAME(SmtpAddRecipient(client, RECIPIENT ", two@mail.example"), SMTP_ERROR_INVALID_ADDRESS);
    } else {
        CHECK_SAME(SmtpCreateMessage(client, "", 0), SMTP_ERROR_INVALID_ADDRESS);
    }
}

static void misused_content(SmtpClient *client)
{
    int i, before = asked;
    CHECK_SAME(SmtpWrite(client, NULL, 1), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpWrite(client, NULL, SMTP_NUL_TERMINATED), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpWrite(client, MESSAGE, SMTP_NUL_TERMINATED - 1), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpAppendMessage(client, NULL, 1), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpAppendStream(client, NULL, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpAppendFile(client, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpAppendFile(client, ""), SMTP_ERROR_FILE);
    CHECK_SAME(SmtpAppendFile(client, "/no/such/file"), SMTP_ERROR_FILE);
    CHECK_SAME(SmtpAppendFile(client, "/"), SMTP_ERROR_FILE);
    CHECK_SAME(SmtpAppendFile(client, "/no\r\nQUIT"), SMTP_ERROR_FILE);
    CHECK(strpbrk(SmtpGetLastErrorString(client), "\r\n") == NULL);
    for (i = 0; NOT_UTF8[i] != NULL; i++) {
        CHECK_SAME(SmtpAppendFile(client, NOT_UTF8[i]), SMTP_ERROR_INVALID_UTF8);
    }
    CHECK_SAME(asked, before);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 1);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
}

static void misuse_between_the_steps(void)
{
    static const struct action script[] = {
        HELLO, EXPECT(MAIL), SEND(OK), EXPECT(RCPT), SEND(OK), EXPECT("DATA\r\n"), SEND("354 Go on\r\n"),
        EXPECT("..Hello\r\n..\r\n.\r\n"), SEND(QUEUED), TRANSACTION, GOODBYE, EXPECT_END, END};
    struct server server;
    SmtpClient *client = new_client();
    SmtpRecipient recipient = {sizeof(SmtpRecipient), 0, 0, 0, 0, 0};
    size_t count = 77;
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    misused_addresses(client, 0);
    CHECK_SAME(SmtpCloseMessage(client), SMTP_ERROR_NO_MESSAGE_OPEN);
    CHECK_SAME(SmtpCreateMessage(client, SENDER, 0), 0);
    misused_addresses(client, 1);
    CHECK_SAME(SmtpCreateMessage(client, SENDER, 0), SMTP_ERROR_MESSAGE_OPEN);
    CHECK_SAME(SmtpWrite(client, "x", 1), SMTP_ERROR_NO_RECIPIENTS);
    CHECK_SAME(SmtpGetRecipientCount(client, &count), 0);
    CHECK_SAME(count, 0);
    CHECK_SAME(SmtpAddRecipient(client, RECIPIENT), 0);
    misused_addresses(client, 1);
    misused_content(client);
    CHECK_SAME(SmtpGetRecipientCount(client, &count), 0);
    CHECK_SAME(count, 1);
    CHECK_SAME(SmtpWrite(client, ".Hel", 4), 0);
    misused_content(client);
    CHECK_SAME(SmtpAddRecipient(client, RECIPIENT), SMTP_ERROR_MESSAGE_OPEN);
    CHECK_SAME(SmtpReset(client), SMTP_ERROR_MESSAGE_OPEN);
    CHECK_SAME(SmtpNoop(client), SMTP_ERROR_MESSAGE_OPEN);
    CHECK_SAME(SmtpWrite(client, NULL, 0), 0);
    CHECK_SAME(SmtpAppendMessage(client, "lo\n", SMTP_NUL_TERMINATED), 0);
    CHECK_SAME(SmtpAppendFile(client, empty_file), 0);
    CHECK_SAME(SmtpAppendStream(client, count_asked, NULL), 0);
    CHECK_SAME(SmtpWrite(client, ".\n", 2), 0);
    CHECK_SAME(SmtpCloseMessage(client), 0);
    CHECK_SAME(SmtpCloseMessage(client), SMTP_ERROR_NO_MESSAGE_OPEN);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_ACCEPTED);
    CHECK_SAME(SmtpGetRecipient(client, 0, &recipient), 0);
    CHECK_SAME(recipient.state, SMTP_RECIPIENT_ACCEPTED);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* A cancel, or a release, in every step. */

struct step {
    SmtpClient *client;
    int32_t (*make)(struct step *step);
    int32_t result;
    pthread_t thread;
    const char *large;
    size_t length;
    unsigned port;
};

static void *run_step(void *argument)
{
    struct step *step = argument;
    step->result = step->make(step);
    return NULL;
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

static int32_t step_create(struct step *step)
{
    return SmtpCreateMessage(step->client, SENDER, 0);
}

static int32_t step_recipient(struct step *step)
{
    return SmtpAddRecipient(step->client, RECIPIENT);
}

static int32_t step_write(struct step *step)
{
    return SmtpWrite(step->client, "x\r\n", 3);
}

static int32_t step_write_much(struct step *step)
{
    return SmtpWrite(step->client, step->large, step->length);
}

static int32_t step_file(struct step *step)
{
    return SmtpAppendFile(step->client, large_file);
}

static int32_t step_stream(struct step *step)
{
    return SmtpAppendStream(step->client, give_lines, NULL);
}

static int32_t step_close(struct step *step)
{
    return SmtpCloseMessage(step->client);
}

static int32_t step_submit(struct step *step)
{
    SmtpMessageInfo message = message_info();
    SmtpServerInfo server = server_info(step->port);
    return SmtpSubmitMessage(step->client, &message, &server);
}

#define STUCK HELLO, TO_CONTENT, SKIP(10000), STALL, WITHOUT("\r\n.\r\n"), END

static const struct stuck {
    const char *name;
    int32_t (*make)(struct step *step);
    int before;
    int64_t outcome;
    uint32_t state;
    struct action script[20];
} STEPS[] = {
    {"MAIL", step_create, 0, SMTP_OUTCOME_NOT_SENT, 0, {HELLO, EXPECT(MAIL), STALL, END}},
    {"RCPT", step_recipient, 1, SMTP_OUTCOME_NOT_SENT, SMTP_RECIPIENT_NOT_TRIED,
     {HELLO, EXPECT(MAIL), SEND(OK), EXPECT(RCPT), STALL, END}},
    {"DATA", step_write, 2, SMTP_OUTCOME_NOT_SENT, SMTP_RECIPIENT_NOT_TRIED, {HELLO, TO_DATA, STALL, END}},
    {"memory", step_write_much, 2, SMTP_OUTCOME_NOT_SENT, SMTP_RECIPIENT_NOT_TRIED, {STUCK}},
    {"file", step_file, 2, SMTP_OUTCOME_NOT_SENT, SMTP_RECIPIENT_NOT_TRIED, {STUCK}},
    {"stream", step_stream, 2, SMTP_OUTCOME_NOT_SENT, SMTP_RECIPIENT_NOT_TRIED, {STUCK}},
    {"end", step_close, 3, SMTP_OUTCOME_UNKNOWN, SMTP_RECIPIENT_UNKNOWN,
     {HELLO, TO_CONTENT, EXPECT("x\r\n.\r\n"), STALL, END}},
    {"submission", step_submit, -1, SMTP_OUTCOME_UNKNOWN, SMTP_RECIPIENT_UNKNOWN,
     {HELLO, TO_CONTENT, EXPECT(MESSAGE ".\r\n"), STALL, END}},
    {"submission's greeting", step_submit, -1, SMTP_OUTCOME_NOT_SENT, 0, {STALL, END}},
};

static void stop_in(const struct stuck *stuck, int releases)
{
    struct server server;
    struct step step;
    SmtpRecipient recipient = {sizeof(SmtpRecipient), 0, 0, 0, 0, 0};
    size_t count;
    static char *large;

    memset(&step, 0, sizeof step);
    step.length = 32 << 20;
    if (large == NULL) {
        large = large_message(step.length);
    }
    step.large = large;
    step.client = new_client();
    step.make = stuck->make;
    server_start(&server, stuck->script);
    step.port = server.port;
    if (stuck->before >= 0) {
        CHECK_SAME(connect_to(step.client, &server), 0);
    }
    CHECK(stuck->before < 1 || SmtpCreateMessage(step.client, SENDER, 0) == 0);
    CHECK(stuck->before < 2 || SmtpAddRecipient(step.client, RECIPIENT) == 0);
    CHECK(stuck->before < 3 || SmtpWrite(step.client, "x\r\n", 3) == 0);
    CHECK(pthread_create(&step.thread, NULL, run_step, &step) == 0);
    server_await_stall(&server, 1);
    sleep_ms(50);
    CHECK_SAME(releases ? SmtpClientRelease(step.client) : SmtpCancel(step.client), 0);
    pthread_join(step.thread, NULL);
    if (!CHECK_SAME(step.result, SMTP_ERROR_CANCELLED)) {
        printf("in the step \"%s\"\n", stuck->name);
    }
    if (!releases) {
        CHECK_SAME(integer(step.client, SMTP_PROPERTY_OUTCOME), stuck->outcome);
        CHECK_SAME(integer(step.client, SMTP_PROPERTY_SAFE_TO_RETRY), stuck->outcome != SMTP_OUTCOME_UNKNOWN);
        CHECK_SAME(integer(step.client, SMTP_PROPERTY_IS_CONNECTED), 0);
        CHECK_SAME(SmtpGetRecipientCount(step.client, &count), 0);
        if (count != 0) {
            CHECK_SAME(SmtpGetRecipient(step.client, 0, &recipient), 0);
            CHECK_SAME(recipient.state, stuck->state);
        }
        CHECK_SAME(SmtpCloseMessage(step.client), SMTP_ERROR_NOT_CONNECTED);
        CHECK_SAME(SmtpClientRelease(step.client), 0);
    }
    CHECK_SAME(SmtpCloseMessage(step.client), SMTP_ERROR_INVALID_HANDLE);
    CHECK(server_cut(&server));
}

static void stop_in_every_step(void)
{
    size_t i;
    for (i = 0; i < sizeof STEPS / sizeof *STEPS; i++) {
        stop_in(&STEPS[i], 0);
        stop_in(&STEPS[i], 1);
    }
}

/* A server that keeps to RFC 5321 and minds that the client does. */

struct strict {
    int listener;
    unsigned port;
    pthread_t thread;
    int messages;
    char complaint[256];
};

static void complain(struct strict *strict, const char *what, const char *line)
{
    if (strict->complaint[0] == '\0') {
        snprintf(strict->complaint, sizeof strict->complaint, "%s: %.150s", what, line);
    }
}

static void *serve_strictly(void *argument)
{
    struct strict *strict = argument;
    int connection = accept(strict->listener, NULL, NULL);
    FILE *in = fdopen(connection, "r");
    char line[2048];
    int begun = 0, recipients = 0, in_content = 0, thread, number;
    const char *reply = "220 hi\r\n";
    while (in != NULL) {
        size_t length;
        if (reply != NULL && send(connection, reply, strlen(reply), MSG_NOSIGNAL) < 0) {
            break;
        }
        if (fgets(line, sizeof line, in) == NULL) {
            break;
        }
        length = strlen(line);
        if (length < 2 || strcmp(line + length - 2, "\r\n") != 0) {
            break; /* cut off by a cancel */
        }
        reply = "250 ok\r\n";
        if (in_content) {
            char rest[8] = "";
            reply = NULL;
            if (strcmp(line, ".\r\n") == 0) {
                strict->messages++;
                in_content = begun = recipients = 0;
                reply = "250 ok\r\n";
            } else if (sscanf(line, "..line %d of thread %d%7s", &number, &thread, rest) != 2) {
                complain(strict, "not as it was written", line);
            }
        } else if (strncmp(line, "EHLO ", 5) == 0 || strcmp(line, "NOOP\r\n") == 0) {
            continue;
        } else if (strncmp(line, "MAIL FROM:<", 11) == 0) {
            if (begun) {
                complain(strict, "a second MAIL", line);
            }
            begun = 1;
        } else if (strncmp(line, "RCPT TO:<", 9) == 0) {
            if (!begun) {
                complain(strict, "RCPT without MAIL", line);
            }
            if (strncmp(line, "RCPT TO:<bad", 12) == 0) {
                reply = "550 no\r\n";
            } else {
                recipients++;
            }
        } else if (strcmp(line, "DATA\r\n") == 0) {
            if (recipients == 0) {
                complain(strict, "DATA without a recipient", line);
            }
            in_content = 1;
            reply = "354 go\r\n";
        } else if (strcmp(line, "RSET\r\n") == 0) {
            begun = recipients = 0;
        } else if (strcmp(line, "QUIT\r\n") == 0) {
            reply = "221 bye\r\n";
        } else {
            complain(strict, "no command", line);
        }
    }
    if (in != NULL) {
        fclose(in);
    }
    return NULL;
}

static void strict_start(struct strict *strict)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    memset(strict, 0, sizeof *strict);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    strict->listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(strict->listener, (struct sockaddr *)&address, length) == 0 && listen(strict->listener, 1) == 0 &&
          getsockname(strict->listener, (struct sockaddr *)&address, &length) == 0);
    strict->port = ntohs(address.sin_port);
    CHECK(pthread_create(&strict->thread, NULL, serve_strictly, strict) == 0);
}

static void strict_finish(struct strict *strict)
{
    pthread_join(strict->thread, NULL);
    close(strict->listener);
    CHECK_TEXT(strict->complaint, "");
}

enum { THREADS = 4 };

struct walker {
    SmtpClient *client;
    int number;
    int calls;
    unsigned long chance;
    int stop;
    int done;
    pthread_t thread;
};

static int64_t give_one_line(void *buffer, size_t capacity, void *user_data)
{
    struct walker *walker = user_data;
    if (walker->done++ % 2 != 0) {
        return 0;
    }
    return snprintf(buffer, capacity, ".line 7 of thread %d\n", walker->number);
}

static int is_order_error(int32_t code)
{
    static const int32_t allowed[] = {
        0, SMTP_ERROR_MESSAGE_OPEN, SMTP_ERROR_NO_MESSAGE_OPEN, SMTP_ERROR_NO_RECIPIENTS, SMTP_ERROR_RECIPIENT_REJECTED};
    size_t i;
    for (i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        if (code == allowed[i]) {
            return 1;
        }
    }
    return 0;
}

/* Steps at random, as if nobody else used the client. */
static void *walk(void *argument)
{
    struct walker *walker = argument;
    SmtpClient *client = walker->client;
    char line[64];
    int i;
    for (i = 0; i < walker->calls; i++) {
        int32_t code = 0;
        walker->chance = walker->chance * 1103515245UL + 12345UL;
        snprintf(line, sizeof line, ".line %d of thread %d\n", i, walker->number);
        switch (walker->chance >> 16 & 15) {
        case 0:
        case 1:
            code = SmtpCreateMessage(client, SENDER, 0);
            break;
        case 2:
        case 3:
        case 4:
            code = SmtpAddRecipient(client, i % 4 != 0 ? RECIPIENT : "bad@mail.example");
            break;
        case 5:
        case 6:
        case 7:
            code = SmtpWrite(client, line, strlen(line));
            break;
        case 8:
            code = SmtpAppendStream(client, give_one_line, walker);
            break;
        case 9:
            code = SmtpAppendFile(client, empty_file);
            break;
        case 10:
            code = SmtpReset(client);
            break;
        case 11:
            code = SmtpNoop(client);
            break;
        case 12:
            code = SmtpSendMessage(client, SENDER, RECIPIENT, line, strlen(line));
            break;
        default:
            code = SmtpCloseMessage(client);
            break;
        }
        if (walker->stop) {
            if (code == SMTP_ERROR_INVALID_HANDLE || code == SMTP_ERROR_RELEASED) {
                break;
            }
        } else if (!is_order_error(code)) {
            CHECK_SAME(code, 0);
            printf("%s\n", SmtpGetLastErrorString(client));
            break;
        }
    }
    return NULL;
}

static void walk_together(int calls, int cancels, int releases)
{
    struct strict strict;
    struct walker walkers[THREADS];
    SmtpClient *client = new_client();
    int i;
    strict_start(&strict);
    CHECK_SAME(SmtpConnect(client, HOST, strict.port, 0, 0), 0);
    for (i = 0; i < THREADS; i++) {
        memset(&walkers[i], 0, sizeof walkers[i]);
        walkers[i].client = client;
        walkers[i].number = i;
        walkers[i].calls = calls;
        walkers[i].chance = (unsigned long)i * 7919UL + (unsigned long)calls;
        walkers[i].stop = cancels || releases;
        CHECK(pthread_create(&walkers[i].thread, NULL, walk, &walkers[i]) == 0);
    }
    if (cancels || releases) {
        struct timespec rest = {0, calls * 1000L};
        nanosleep(&rest, NULL);
        CHECK_SAME(cancels ? SmtpCancel(client) : SmtpClientRelease(client), 0);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(walkers[i].thread, NULL);
    }
    if (!releases) {
        /* The end of it is in order too: content that was begun is given up. */
        SmtpDisconnect(client);
        CHECK_SAME(SmtpClientRelease(client), 0);
    }
    strict_finish(&strict);
    if (!cancels && !releases) {
        printf("  %d messages\n", strict.messages);
        CHECK(strict.messages > 0);
    }
}

static void threads_on_one_client(void)
{
    walk_together(600, 0, 0);
}

static void stopped_threads_on_one_client(void)
{
    int i;
    for (i = 0; i < 20; i++) {
        walk_together(100 + i * 50, 1, 0);
        walk_together(100 + i * 50, 0, 1);
    }
}

static void *submit_alone(void *argument)
{
    int i;
    (void)argument;
    for (i = 0; i < 5; i++) {
        struct strict strict;
        SmtpMessageInfo message = message_info();
        SmtpServerInfo server;
        strict_start(&strict);
        server = server_info(strict.port);
        message.message = ".line 1 of thread 1\n";
        CHECK_SAME(SmtpSubmitMessage(NULL, &message, &server), 0);
        CHECK_SAME(SmtpGetLastError(NULL), 0);
        strict_finish(&strict);
        CHECK_SAME(strict.messages, 1);
    }
    return NULL;
}

static void submissions_without_a_client(void)
{
    pthread_t threads[THREADS];
    int i;
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, submit_alone, NULL) == 0);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(void)
{
    check_begin();
    make_file(large_file, sizeof large_file, 32 << 20);
    make_file(empty_file, sizeof empty_file, 0);
    RUN(wrong_submissions);
    RUN(submissions);
    RUN(misuse_between_the_steps);
    RUN(stop_in_every_step);
    RUN(threads_on_one_client);
    RUN(stopped_threads_on_one_client);
    RUN(submissions_without_a_client);
    unlink(large_file);
    unlink(empty_file);
    return check_end();
}
