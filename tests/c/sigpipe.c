/*
 * A peer that resets the connection, with SIGPIPE at its default, which ends a
 * process that writes to a broken connection: the call fails and the process lives.
 */
#define _POSIX_C_SOURCE 200809L
#include "mail.h"

#include <signal.h>

static const size_t LARGE = 16 << 20;

static int is_broken(int32_t result)
{
    return result == SMTP_ERROR_CONNECTION_RESET || result == SMTP_ERROR_CONNECTION_ABORTED ||
           result == SMTP_ERROR_CONNECTION_CLOSED;
}

/* A message through the same client and a fresh connection. */
static void still_works(SmtpClient *client)
{
    static const struct action script[] = {HELLO, TRANSACTION, GOODBYE, EXPECT_END, END};
    struct server server;
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
}

static void expect_broken(const struct action *script, size_t length, int64_t outcome)
{
    struct server server;
    SmtpClient *client = new_client();
    char *message = large_message(length);
    int32_t result;
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    result = SmtpSendMessage(client, SENDER, RECIPIENT, message, length);
    if (!CHECK(is_broken(result))) {
        printf("%s\n", SmtpGetLastErrorString(client));
    }
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), outcome);
    CHECK_SAME(integer(client, SMTP_PROPERTY_SAFE_TO_RETRY), outcome != SMTP_OUTCOME_UNKNOWN);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 0);
    CHECK_SAME(SmtpReset(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(send_test_message(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK(server_finish(&server));
    still_works(client);
    CHECK_SAME(SmtpClientRelease(client), 0);
    free(message);
}

static void reset_in_a_large_message(void)
{
    static const struct action script[] = {HELLO, TO_CONTENT, SKIP(100000), RESET, END};
    expect_broken(script, LARGE, SMTP_OUTCOME_NOT_SENT);
}

/* The client is stuck in its wait for room when the reset comes. */
static void reset_when_buffers_are_full(void)
{
    static const struct action script[] = {HELLO, TO_CONTENT, SLEEP(200), RESET, END};
    expect_broken(script, LARGE, SMTP_OUTCOME_NOT_SENT);
}

static void reset_before_the_first_command(void)
{
    static const struct action script[] = {HELLO, RESET, END};
    expect_broken(script, 100, SMTP_OUTCOME_NOT_SENT);
}

static void reset_between_commands(void)
{
    static const struct action script[] = {HELLO, EXPECT(MAIL), SEND(OK), RESET, END};
    expect_broken(script, 100, SMTP_OUTCOME_NOT_SENT);
}

/* All was sent, and no answer came: nobody knows. */
static void reset_after_the_end(void)
{
    static const struct action script[] = {HELLO, TO_CONTENT, SKIP_TO("\r\n.\r\n"), RESET, END};
    expect_broken(script, 1000, SMTP_OUTCOME_UNKNOWN);
}

/* Each write into a connection that was reset before, one call after the other. */
static void calls_on_a_dead_connection(void)
{
    static const struct action script[] = {HELLO, RESET, END};
    struct server server;
    SmtpClient *client = new_client();
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK(server_finish(&server));
    CHECK(is_broken(SmtpAuthenticate(client, "user", "password")));
    CHECK_SAME(SmtpAuthenticate(client, "user", "password"), SMTP_ERROR_NOT_CONNECTED);
    SmtpDisconnect(client);
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* That the test can fail: here a plain write to a broken connection does raise it. */
static volatile sig_atomic_t raised;

static void note_signal(int number)
{
    (void)number;
    raised = 1;
}

static void the_signal_is_real(void)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    close(pair[1]);
    signal(SIGPIPE, note_signal);
    CHECK(write(pair[0], "x", 1) < 0);
    CHECK_SAME(raised, 1);
    close(pair[0]);
    signal(SIGPIPE, SIG_DFL);
}

/* Nor does the library change what the program does about it. */
static void the_disposition_stays(void)
{
    struct sigaction now;
    CHECK(sigaction(SIGPIPE, NULL, &now) == 0);
    CHECK(now.sa_handler == SIG_DFL);
}

int main(void)
{
    check_begin();
    RUN(the_signal_is_real);
    RUN(reset_in_a_large_message);
    RUN(reset_when_buffers_are_full);
    RUN(reset_before_the_first_command);
    RUN(reset_between_commands);
    RUN(reset_after_the_end);
    RUN(calls_on_a_dead_connection);
    RUN(the_disposition_stays);
    return check_end();
}
