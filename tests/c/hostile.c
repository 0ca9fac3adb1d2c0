/*
 * Hostile and broken servers: an error each time, soon, and never an accepted
 * message that was not.
 */
#define _POSIX_C_SOURCE 200809L
#include "mail.h"

/* What the library may take; a call that runs into it has hung. */
static const int64_t LIMIT_MS = 10000;
static const double MOST_SECONDS = 8.0;

static char long_line[(1 << 20) + 3];

#define HELLO_MINIMAL GREETING, EXPECT(EHLO), SEND("250 mail.example\r\n")

struct attack {
    const char *name;
    /* What SmtpConnect returns; if it is 0, the rest is about SmtpSendMessage. */
    int32_t connect;
    int32_t send;
    int64_t outcome;
    struct action script[16];
};

#define CONNECT_FAILS(code) code, 0, 0
#define SEND_FAILS(code, outcome) 0, code, outcome

static struct attack attacks[] = {
    {"endless greeting", CONNECT_FAILS(SMTP_ERROR_REPLY_TOO_LONG), {FLOOD("220-more\r\n"), END}},
    {"endless greeting line", CONNECT_FAILS(SMTP_ERROR_REPLY_TOO_LONG), {SEND("220 "), FLOOD("x"), END}},
    {"endless EHLO reply", CONNECT_FAILS(SMTP_ERROR_REPLY_TOO_LONG), {GREETING, EXPECT(EHLO), FLOOD("250-X\r\n"), END}},
    {"a line of 1 MiB", CONNECT_FAILS(SMTP_ERROR_REPLY_TOO_LONG), {FLOOD(long_line), END}},
    {"a line of 1 MiB to EHLO", CONNECT_FAILS(SMTP_ERROR_REPLY_TOO_LONG),
     {GREETING, EXPECT(EHLO), FLOOD(long_line), END}},
    {"another protocol", CONNECT_FAILS(SMTP_ERROR_PROTOCOL), {SEND("SSH-2.0-OpenSSH_9.2\r\n"), EXPECT_END, END}},
    {"a web server", CONNECT_FAILS(SMTP_ERROR_PROTOCOL), {SEND("HTTP/1.1 400 Bad Request\r\n\r\n"), EXPECT_END, END}},
    {"noise", CONNECT_FAILS(SMTP_ERROR_PROTOCOL), {FLOOD("\x01\xFF\x80\x7F\x16\x03\r\n"), END}},
    {"a TLS alert", CONNECT_FAILS(SMTP_ERROR_PROTOCOL), {SEND("\x15\x03\x01\x02\x02\x46\r\n"), EXPECT_END, END}},
    {"codes that change in a reply", CONNECT_FAILS(SMTP_ERROR_PROTOCOL),
     {SEND("220-a\r\n421 b\r\n"), EXPECT_END, END}},
    {"a code that is none", CONNECT_FAILS(SMTP_ERROR_PROTOCOL), {SEND("999 a\r\n"), EXPECT_END, END}},
    {"a greeting that asks for more", CONNECT_FAILS(SMTP_ERROR_SERVER_REFUSED), {SEND("354 a\r\n"), EXPECT_END, END}},
    {"replies ahead of time, at the greeting", CONNECT_FAILS(SMTP_ERROR_PROTOCOL),
     {SEND("220 a\r\n250 b\r\n250 c\r\n250 d\r\n354 e\r\n250 f\r\n"), END}},
    {"a reply too many", SEND_FAILS(SMTP_ERROR_PROTOCOL, SMTP_OUTCOME_NOT_SENT),
     {HELLO_MINIMAL, EXPECT(MAIL), SEND(OK OK OK), END}},
    {"an answer to the end before the end", SEND_FAILS(SMTP_ERROR_PROTOCOL, SMTP_OUTCOME_NOT_SENT),
     {HELLO_MINIMAL, TO_DATA, SEND("354 Go on\r\n" QUEUED), END}},
    {"354 to the end", SEND_FAILS(SMTP_ERROR_PROTOCOL, SMTP_OUTCOME_UNKNOWN),
     {HELLO_MINIMAL, TO_CONTENT, EXPECT(MESSAGE ".\r\n"), SEND("354 More\r\n"), EXPECT_END, END}},
    {"noise as the answer to the end", SEND_FAILS(SMTP_ERROR_PROTOCOL, SMTP_OUTCOME_UNKNOWN),
     {HELLO_MINIMAL, TO_CONTENT, EXPECT(MESSAGE ".\r\n"), SEND("2xx\r\n"), EXPECT_END, END}},
    {"354 to MAIL", SEND_FAILS(SMTP_ERROR_PROTOCOL, SMTP_OUTCOME_NOT_SENT),
     {HELLO_MINIMAL, EXPECT(MAIL), SEND("354 a\r\n"), EXPECT_END, END}},
    {"250 to DATA", SEND_FAILS(SMTP_ERROR_PROTOCOL, SMTP_OUTCOME_NOT_SENT),
     {HELLO_MINIMAL, TO_DATA, SEND(OK), EXPECT_END, END}},
    {"endless reply to MAIL", SEND_FAILS(SMTP_ERROR_REPLY_TOO_LONG, SMTP_OUTCOME_NOT_SENT),
     {HELLO_MINIMAL, EXPECT(MAIL), FLOOD("250-more\r\n"), END}},
    {"endless reply to the end", SEND_FAILS(SMTP_ERROR_REPLY_TOO_LONG, SMTP_OUTCOME_UNKNOWN),
     {HELLO_MINIMAL, TO_CONTENT, EXPECT(MESSAGE ".\r\n"), FLOOD("250-more\r\n"), END}},
    {"endless separate replies", SEND_FAILS(SMTP_ERROR_PROTOCOL, SMTP_OUTCOME_NOT_SENT),
     {HELLO_MINIMAL, EXPECT(MAIL), FLOOD(OK), END}},
    {"STARTTLS with text behind it", CONNECT_FAILS(SMTP_ERROR_STARTTLS_INJECTION),
     {GREETING, EXPECT(EHLO), SEND("250-a\r\n250 STARTTLS\r\n"), EXPECT("STARTTLS\r\n"),
      SEND("220 Go on\r\n250 AUTH PLAIN\r\n"), EXPECT_END, END}},
    {"STARTTLS without TLS", CONNECT_FAILS(SMTP_ERROR_TLS_NOT_TLS),
     {GREETING, EXPECT(EHLO), SEND("250-a\r\n250 STARTTLS\r\n"), EXPECT("STARTTLS\r\n"), SEND("220 Go on\r\n"),
      SKIP(5), SEND("250 This is not TLS\r\n"), END}},
    {"421 at the greeting", CONNECT_FAILS(SMTP_ERROR_SERVER_CLOSING), {SEND("421 Busy\r\n"), EXPECT_END, END}},
    {"closed before the greeting", CONNECT_FAILS(SMTP_ERROR_CONNECTION_CLOSED), {CLOSE, END}},
    {"closed in the greeting", CONNECT_FAILS(SMTP_ERROR_CONNECTION_CLOSED), {SEND("220 mail"), CLOSE, END}},
    {"closed at EHLO", CONNECT_FAILS(SMTP_ERROR_CONNECTION_CLOSED), {GREETING, EXPECT(EHLO), CLOSE, END}},
    {"closed in the EHLO reply", CONNECT_FAILS(SMTP_ERROR_CONNECTION_CLOSED),
     {GREETING, EXPECT(EHLO), SEND("250-mail.example\r\n250-"), CLOSE, END}},
    {"closed at MAIL", SEND_FAILS(SMTP_ERROR_CONNECTION_CLOSED, SMTP_OUTCOME_NOT_SENT),
     {HELLO_MINIMAL, EXPECT(MAIL), CLOSE, END}},
    {"closed at RCPT", SEND_FAILS(SMTP_ERROR_CONNECTION_CLOSED, SMTP_OUTCOME_NOT_SENT),
     {HELLO_MINIMAL, EXPECT(MAIL), SEND(OK), EXPECT(RCPT), CLOSE, END}},
    {"closed at DATA", SEND_FAILS(SMTP_ERROR_CONNECTION_CLOSED, SMTP_OUTCOME_NOT_SENT),
     {HELLO_MINIMAL, TO_DATA, CLOSE, END}},
    {"closed at the end", SEND_FAILS(SMTP_ERROR_CONNECTION_CLOSED, SMTP_OUTCOME_UNKNOWN),
     {HELLO_MINIMAL, TO_CONTENT, EXPECT(MESSAGE ".\r\n"), CLOSE, END}},
    {"closed in the last reply", SEND_FAILS(SMTP_ERROR_CONNECTION_CLOSED, SMTP_OUTCOME_UNKNOWN),
     {HELLO_MINIMAL, TO_CONTENT, EXPECT(MESSAGE ".\r\n"), SEND("250 2.0.0 O"), CLOSE, END}},
    {"421 at the end", SEND_FAILS(SMTP_ERROR_SERVER_CLOSING, SMTP_OUTCOME_REJECTED_TEMPORARY),
     {HELLO_MINIMAL, TO_CONTENT, EXPECT(MESSAGE ".\r\n"), SEND("421 Going down\r\n"), EXPECT_END, END}},
};

static void play(const struct attack *attack)
{
    struct server server;
    SmtpClient *client = new_client();
    char text[4096];
    double begun = seconds_now();
    int32_t result;

    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_TIMEOUT, LIMIT_MS), 0);
    server_start(&server, attack->script);
    result = connect_to(client, &server);
    if (CHECK_SAME(result, attack->connect) && result == 0) {
        result = send_test_message(client);
        CHECK_SAME(result, attack->send);
        CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), attack->outcome);
    }
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 0);
    CHECK_SAME(send_test_message(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK(strlen(SmtpGetLastErrorString(client)) > 20);
    SmtpGetString(client, SMTP_PROPERTY_RESULT_STRING, text, sizeof text, NULL);
    CHECK(seconds_now() - begun < MOST_SECONDS);
    if (seconds_now() - begun > 1.0) {
        printf("  %.1f s: %s\n", seconds_now() - begun, attack->name);
    }
    server_drop(&server);
    CHECK_SAME(SmtpClientRelease(client), 0);
}

static void attacks_of_all_kinds(void)
{
    size_t i;
    memset(long_line, 'x', sizeof long_line - 1);
    memcpy(long_line, "250 ", 4);
    memcpy(long_line + sizeof long_line - 3, "\r\n", 3);
    for (i = 0; i < sizeof attacks / sizeof *attacks; i++) {
        int before = check_failures;
        play(&attacks[i]);
        if (check_failures != before) {
            printf("  ^ in: %s\n", attacks[i].name);
        }
    }
}

/* NULs from the server never end a text early for a C program. */
static void nul_in_a_reply(void)
{
    static const struct action script[] = {SEND_OCTETS("554 no\0entry\r\n", 14), EXPECT_END, END};
    struct server server;
    SmtpClient *client = new_client();
    char text[64] = "";
    size_t length = 0;
    server_start(&server, script);
    CHECK(connect_to(client, &server) < 0);
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_RESULT_STRING, text, sizeof text, &length), 0);
    CHECK_SAME(strlen(text), length);
    CHECK(strlen(SmtpGetLastErrorString(client)) > 20);
    server_drop(&server);
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* One octet at a time, so that there is always some progress and never an end. */
static void a_server_that_drips(void)
{
    static struct action script[200];
    struct server server;
    SmtpClient *client = new_client();
    double begun;
    size_t i;
    for (i = 0; i + 2 < sizeof script / sizeof *script; i += 2) {
        static const struct action drip[] = {SEND("2"), SLEEP(20)};
        memcpy(&script[i], drip, sizeof drip);
        script[i].text = i == 0 ? "220-" : "x";
    }
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_TIMEOUT_GREETING, 300), 0);
    server_start(&server, script);
    begun = seconds_now();
    CHECK_SAME(connect_to(client, &server), SMTP_ERROR_TIMEOUT);
    CHECK(seconds_now() - begun < 1.5);
    CHECK_SAME(integer(client, SMTP_PROPERTY_ERROR_PHASE), SMTP_PHASE_GREETING);
    server_drop(&server);
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* A login that never ends: challenge upon challenge. */
static void endless_challenges(void)
{
    static const struct action script[] = {HELLO, SKIP_TO("\r\n"), FLOOD("334 \r\n"), END};
    struct server server;
    SmtpClient *client = new_client();
    double begun = seconds_now();
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_TIMEOUT, LIMIT_MS), 0);
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(SmtpAuthenticate(client, "user", "password"), SMTP_ERROR_PROTOCOL);
    CHECK(seconds_now() - begun < MOST_SECONDS);
    server_drop(&server);
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* The farewell is bounded by its own limit, and by that of the call. */
static void a_server_that_does_not_let_go(void)
{
    static const struct action script[] = {HELLO, EXPECT("QUIT\r\n"), STALL, END};
    struct server server;
    SmtpClient *client = new_client();
    double begun;
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_TIMEOUT_QUIT, 100), 0);
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    begun = seconds_now();
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(seconds_now() - begun < 1.0);
    CHECK(server_cut(&server));

    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_TIMEOUT_QUIT, 3000), 0);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_TIMEOUT, 500), 0);
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    begun = seconds_now();
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(seconds_now() - begun < 2.0);
    CHECK(server_cut(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

int main(void)
{
    check_begin();
    RUN(attacks_of_all_kinds);
    RUN(nul_in_a_reply);
    RUN(a_server_that_drips);
    RUN(endless_challenges);
    RUN(a_server_that_does_not_let_go);
    return check_end();
}
