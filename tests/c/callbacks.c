/*
 * Callbacks: which events come in which order, without secrets; cancelling and
 * calling from within; when the user data is destroyed.
 */
#define _POSIX_C_SOURCE 200809L
#include "mail.h"

#define ALL_EVENTS                                                                                                \
    (SMTP_EVENT_CONNECT | SMTP_EVENT_DISCONNECT | SMTP_EVENT_TIMEOUT | SMTP_EVENT_CANCEL | SMTP_EVENT_COMMAND | \
     SMTP_EVENT_REPLY | SMTP_EVENT_ERROR)

/* What a callback was told, one event a line, and what it is to do. */
struct log {
    char text[8192];
    size_t used;
    /* Cancel at this event, when its text begins so. */
    uint32_t cancel_at;
    const char *cancel_text;
    pthread_t thread;
    int destroyed;
};

static const char *event_name(uint32_t event)
{
    switch (event) {
    case SMTP_EVENT_CONNECT:
        return "CONNECT";
    case SMTP_EVENT_DISCONNECT:
        return "DISCONNECT";
    case SMTP_EVENT_TIMEOUT:
        return "TIMEOUT";
    case SMTP_EVENT_CANCEL:
        return "CANCEL";
    case SMTP_EVENT_COMMAND:
        return "COMMAND";
    case SMTP_EVENT_REPLY:
        return "REPLY";
    case SMTP_EVENT_ERROR:
        return "ERROR";
    default:
        return "?";
    }
}

static int32_t write_log(const SmtpEvent *event, void *user_data)
{
    struct log *log = user_data;
    char text[1024];
    size_t i;
    int is_error = (event->event & (SMTP_EVENT_TIMEOUT | SMTP_EVENT_CANCEL | SMTP_EVENT_ERROR)) != 0;

    CHECK(event->size >= sizeof *event);
    CHECK(event->text != NULL && event->text_length < sizeof text);
    CHECK(is_error == (event->error != 0));
    CHECK((event->event == SMTP_EVENT_REPLY || event->event == SMTP_EVENT_RECIPIENT) == (event->result_code != 0));
    CHECK(event->reply != NULL);
    CHECK(pthread_equal(log->thread, pthread_self()));
    memcpy(text, event->text, event->text_length);
    text[event->text_length] = '\0';
    for (i = 0; i < event->text_length; i++) {
        text[i] = text[i] == '\n' ? '/' : text[i];
    }
    log->used += (size_t)snprintf(log->text + log->used, sizeof log->text - log->used, "%s", event_name(event->event));
    if (event->result_code != 0) {
        log->used += (size_t)snprintf(log->text + log->used, sizeof log->text - log->used, " %d", event->result_code);
    }
    /* The sentences of errors are not for a test to fix. */
    log->used += (size_t)snprintf(log->text + log->used, sizeof log->text - log->used, is_error ? "\n" : " %s\n", text);
    return event->event == log->cancel_at && strncmp(text, log->cancel_text, strlen(log->cancel_text)) == 0;
}

static void destroy_log(void *user_data)
{
    struct log *log = user_data;
    log->destroyed++;
}

static void start_log(struct log *log, SmtpClient *client)
{
    memset(log, 0, sizeof *log);
    log->cancel_text = "";
    log->thread = pthread_self();
    CHECK_SAME(SmtpRegisterEvent(client, ALL_EVENTS, write_log, log, destroy_log), 0);
}

static void clear_log(struct log *log)
{
    log->used = 0;
    log->text[0] = '\0';
}

static void order_of_events(void)
{
    static const struct action script[] = {
        HELLO, EXPECT("AUTH PLAIN AGpvZQBoYXJkIHRvIGd1ZXNz\r\n"), SEND("235 2.7.0 Welcome\r\n"),
        TRANSACTION, GOODBYE, EXPECT_END, END};
    static struct log log;
    struct server server;
    SmtpClient *client = new_client();
    server_start(&server, script);
    start_log(&log, client);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_TEXT(log.text, "REPLY 220 mail.example ESMTP\n"
                         "COMMAND EHLO client.example\n"
                         "REPLY 250 mail.example/AUTH PLAIN LOGIN/ENHANCEDSTATUSCODES\n"
                         "CONNECT \n");
    clear_log(&log);
    CHECK_SAME(SmtpAuthenticate(client, "joe", "hard to guess"), 0);
    CHECK_TEXT(log.text, "COMMAND AUTH PLAIN ********\nREPLY 235 2.7.0 Welcome\n");
    clear_log(&log);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_TEXT(log.text, "COMMAND MAIL FROM:<" SENDER ">\nREPLY 250 2.0.0 Ok\n"
                         "COMMAND RCPT TO:<" RECIPIENT ">\nREPLY 250 2.0.0 Ok\n"
                         "COMMAND DATA\nREPLY 354 Go on\n"
                         "REPLY 250 2.0.0 Ok: queued as 4F1B2\n");
    clear_log(&log);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK_TEXT(log.text, "COMMAND QUIT\nREPLY 221 2.0.0 Bye\nDISCONNECT \n");
    CHECK(server_finish(&server));
    CHECK_SAME(log.destroyed, 0);
    CHECK_SAME(SmtpClientRelease(client), 0);
    CHECK_SAME(log.destroyed, 1);
}

/* LOGIN sends the secrets in lines of their own; the server's challenges may hold some too. */
static void secrets_are_masked(void)
{
    static const struct action script[] = {GREETING, EXPECT(EHLO), SEND("250-mail.example\r\n250 AUTH LOGIN\r\n"),
                                           EXPECT("AUTH LOGIN"), SKIP_TO("\r\n"), SEND("334 UGFzc3dvcmQ6\r\n"),
                                           EXPECT("aGFyZCB0byBndWVzcw==\r\n"), SEND("535 5.7.8 No\r\n"),
                                           GOODBYE, EXPECT_END, END};
    static const char *const secrets[] = {"hard to guess", "aGFyZCB0byBndWVzcw", "am9l", "UGFzc3dvcmQ6", NULL};
    static struct log log;
    struct server server;
    SmtpClient *client = new_client();
    int i;
    server_start(&server, script);
    start_log(&log, client);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(SmtpAuthenticate(client, "joe", "hard to guess"), SMTP_ERROR_AUTHENTICATION_FAILED);
    for (i = 0; secrets[i] != NULL; i++) {
        CHECK(strstr(log.text, secrets[i]) == NULL);
        CHECK(strstr(SmtpGetLastErrorString(client), secrets[i]) == NULL);
    }
    CHECK(strstr(log.text, "REPLY 334 ********\nCOMMAND ********\nREPLY 535 5.7.8 No\nERROR\n") != NULL);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

static void only_what_was_asked_for(void)
{
    static const struct action script[] = {HELLO, TRANSACTION, GOODBYE, EXPECT_END, END};
    static struct log log;
    struct server server;
    SmtpClient *client = new_client();
    server_start(&server, script);
    start_log(&log, client);
    CHECK_SAME(SmtpRegisterEvent(client, SMTP_EVENT_CONNECT | SMTP_EVENT_DISCONNECT, write_log, &log, NULL), 0);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK_TEXT(log.text, "CONNECT \nDISCONNECT \n");
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* A command is told of before it is sent, so cancelling there keeps it back. */
static void cancel_at_a_command(void)
{
    static const struct action script[] = {HELLO, EXPECT_END, END};
    static struct log log;
    struct server server;
    SmtpClient *client = new_client();
    server_start(&server, script);
    start_log(&log, client);
    CHECK_SAME(connect_to(client, &server), 0);
    clear_log(&log);
    log.cancel_at = SMTP_EVENT_COMMAND;
    log.cancel_text = "MAIL";
    CHECK_SAME(send_test_message(client), SMTP_ERROR_CANCELLED);
    CHECK_TEXT(log.text, "COMMAND MAIL FROM:<" SENDER ">\nCANCEL\nERROR\nDISCONNECT \n");
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
    CHECK_SAME(integer(client, SMTP_PROPERTY_SAFE_TO_RETRY), 1);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 0);
    CHECK(server_finish(&server));

    /* The client is good for another connection. */
    log.cancel_at = 0;
    {
        static const struct action again[] = {HELLO, TRANSACTION, GOODBYE, EXPECT_END, END};
        server_start(&server, again);
        CHECK_SAME(connect_to(client, &server), 0);
        CHECK_SAME(send_test_message(client), 0);
        CHECK_SAME(SmtpDisconnect(client), 0);
        CHECK(server_finish(&server));
    }
    CHECK_SAME(SmtpClientRelease(client), 0);
}

static void cancel_while_connecting(void)
{
    static const struct action script[] = {GREETING, EXPECT_END, END};
    static struct log log;
    struct server server;
    SmtpClient *client = new_client();
    server_start(&server, script);
    start_log(&log, client);
    log.cancel_at = SMTP_EVENT_REPLY;
    log.cancel_text = "mail.example ESMTP";
    CHECK_SAME(connect_to(client, &server), SMTP_ERROR_CANCELLED);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* Cancelling when everything is in already: whatever the call returns, the
 * client must not say that it is connected over a connection that was closed. */
static void cancel_at_the_last_moment(void)
{
    static const struct action at_connect[] = {HELLO, EXPECT_END, END};
    static const struct action at_the_end[] = {HELLO, TRANSACTION, EXPECT_END, END};
    static struct log log;
    struct server server;
    SmtpClient *client = new_client();
    server_start(&server, at_connect);
    start_log(&log, client);
    log.cancel_at = SMTP_EVENT_CONNECT;
    CHECK_SAME(connect_to(client, &server), SMTP_ERROR_CANCELLED);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);

    client = new_client();
    server_start(&server, at_the_end);
    start_log(&log, client);
    CHECK_SAME(connect_to(client, &server), 0);
    log.cancel_at = SMTP_EVENT_REPLY;
    log.cancel_text = "2.0.0 Ok: queued";
    send_test_message(client);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_ACCEPTED);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 0);
    log.cancel_at = 0;
    CHECK_SAME(send_test_message(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

struct caller {
    SmtpClient *client;
    SmtpClient *other;
    int calls;
    int destroyed;
    int destroyed_inside;
};

static void count_inside(void *user_data)
{
    struct caller *caller = user_data;
    caller->destroyed_inside++;
}

static int32_t call_from_within(const SmtpEvent *event, void *user_data)
{
    static const int32_t expected = SMTP_ERROR_REENTRANT;
    struct caller *caller = user_data;
    SmtpClient *client = caller->client;
    char text[64];
    int64_t value;
    size_t length;
    int before = caller->destroyed_inside;
    (void)event;
    caller->calls++;
    CHECK_SAME(SmtpConnect(client, HOST, 25, 0, 0), expected);
    CHECK_SAME(SmtpAuthenticate(client, "user", "password"), expected);
    CHECK_SAME(SmtpSendMessage(client, SENDER, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), expected);
    CHECK_SAME(SmtpDisconnect(client), expected);
    CHECK_SAME(SmtpReset(client), expected);
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_HOST, "mail.example"), expected);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_PORT, 25), expected);
    CHECK_SAME(SmtpRegisterEvent(client, 0, NULL, NULL, NULL), expected);
    CHECK_SAME(SmtpDisableEvents(client), expected);
    CHECK_SAME(SmtpEnableTrace(client, "/dev/null", 0), expected);
    CHECK_SAME(SmtpRegisterEvent(client, 0, call_from_within, caller, count_inside), expected);
    CHECK_SAME(caller->destroyed_inside, before + 1);
    CHECK_SAME(SmtpGetLastError(NULL), expected);
    CHECK_SAME(SmtpGetLastError(client), expected);
    CHECK(strlen(SmtpGetLastErrorString(client)) > 20);
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_LOCAL_NAME, text, sizeof text, &length), 0);
    CHECK_TEXT(text, "client.example");
    CHECK_SAME(SmtpGetInteger(client, SMTP_PROPERTY_OUTCOME, &value), 0);
    CHECK_SAME(SmtpCopyLastErrorString(client, NULL, 0, &length), 0);
    /* Another client is free to be used. */
    CHECK_SAME(SmtpSetInteger(caller->other, SMTP_PROPERTY_PORT, caller->calls), 0);
    return 0;
}

static void count_destroyed(void *user_data)
{
    struct caller *caller = user_data;
    caller->destroyed++;
}

static void calls_from_within(void)
{
    static const struct action script[] = {HELLO, TRANSACTION, GOODBYE, EXPECT_END, END};
    struct caller caller = {NULL, NULL, 0, 0, 0};
    struct server server;
    caller.client = new_client();
    caller.other = new_client();
    server_start(&server, script);
    CHECK_SAME(SmtpRegisterEvent(caller.client, ALL_EVENTS, call_from_within, &caller, count_destroyed), 0);
    CHECK_SAME(connect_to(caller.client, &server), 0);
    CHECK_SAME(send_test_message(caller.client), 0);
    CHECK_SAME(integer(caller.client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_ACCEPTED);
    CHECK_SAME(SmtpDisconnect(caller.client), 0);
    CHECK_SAME(caller.calls, 4 + 7 + 3);
    CHECK_SAME(integer(caller.other, SMTP_PROPERTY_PORT), caller.calls);
    CHECK(server_finish(&server));
    CHECK_SAME(caller.destroyed, 0);
    CHECK_SAME(SmtpClientRelease(caller.client), 0);
    CHECK_SAME(SmtpClientRelease(caller.other), 0);
    CHECK_SAME(caller.destroyed, 1);
}

static int32_t cancel_from_within(const SmtpEvent *event, void *user_data)
{
    struct caller *caller = user_data;
    caller->calls++;
    if (event->event == SMTP_EVENT_COMMAND) {
        CHECK_SAME(SmtpCancel(caller->client), 0);
        CHECK_SAME(SmtpCancel(caller->client), 0);
    }
    return 0;
}

static void cancel_by_a_call(void)
{
    static const struct action script[] = {GREETING, EXPECT_END, END};
    struct caller caller = {NULL, NULL, 0, 0, 0};
    struct server server;
    caller.client = new_client();
    server_start(&server, script);
    CHECK_SAME(SmtpRegisterEvent(caller.client, SMTP_EVENT_COMMAND, cancel_from_within, &caller, count_destroyed), 0);
    CHECK_SAME(connect_to(caller.client, &server), SMTP_ERROR_CANCELLED);
    CHECK_SAME(caller.calls, 1);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(caller.client), 0);
    CHECK_SAME(caller.destroyed, 1);
}

static int32_t release_from_within(const SmtpEvent *event, void *user_data)
{
    struct caller *caller = user_data;
    (void)event;
    if (caller->calls++ == 0) {
        CHECK_SAME(SmtpClientRelease(caller->client), SMTP_ERROR_REENTRANT);
        CHECK_SAME(caller->destroyed, 0);
    }
    return 0;
}

/* The header promises SMTP_ERROR_REENTRANT for all but SmtpCancel and the getters. */
static void release_in_a_callback(void)
{
    static const struct action script[] = {HELLO, EXPECT_END, END};
    struct caller caller = {NULL, NULL, 0, 0, 0};
    struct server server;
    caller.client = new_client();
    server_start(&server, script);
    CHECK_SAME(SmtpRegisterEvent(caller.client, SMTP_EVENT_COMMAND, release_from_within, &caller, count_destroyed), 0);
    CHECK_SAME(connect_to(caller.client, &server), 0);
    CHECK_SAME(SmtpClientRelease(caller.client), 0);
    CHECK_SAME(caller.destroyed, 1);
    CHECK(server_cut(&server));
}

static void when_destroyed(void)
{
    struct caller first = {NULL, NULL, 0, 0, 0}, second = first, third = first, fourth = first;
    SmtpClient *client = new_client();
    /* Replaced. */
    CHECK_SAME(SmtpRegisterEvent(client, ALL_EVENTS, cancel_from_within, &first, count_destroyed), 0);
    CHECK_SAME(SmtpRegisterEvent(client, ALL_EVENTS, cancel_from_within, &second, count_destroyed), 0);
    CHECK_SAME(first.destroyed, 1);
    CHECK_SAME(second.destroyed, 0);
    /* Removed; what comes with the removal is destroyed at once. */
    CHECK_SAME(SmtpRegisterEvent(client, 0, NULL, &third, count_destroyed), 0);
    CHECK_SAME(second.destroyed, 1);
    CHECK_SAME(third.destroyed, 1);
    /* The registration fails. */
    CHECK_SAME(SmtpRegisterEvent(client, 0x8, cancel_from_within, &fourth, count_destroyed),
               SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(fourth.destroyed, 1);
    CHECK_SAME(SmtpRegisterEvent(NULL, 0, cancel_from_within, &fourth, count_destroyed), SMTP_ERROR_INVALID_HANDLE);
    CHECK_SAME(fourth.destroyed, 2);
    /* Released. */
    CHECK_SAME(SmtpRegisterEvent(client, ALL_EVENTS, cancel_from_within, &fourth, count_destroyed), 0);
    CHECK_SAME(SmtpClientRelease(client), 0);
    CHECK_SAME(fourth.destroyed, 3);
    CHECK_SAME(SmtpRegisterEvent(client, ALL_EVENTS, cancel_from_within, &fourth, count_destroyed),
               SMTP_ERROR_INVALID_HANDLE);
    CHECK_SAME(fourth.destroyed, 4);
    CHECK_SAME(first.destroyed + second.destroyed + third.destroyed, 3);
}

static void timeouts_are_told(void)
{
    static const struct action script[] = {GREETING, EXPECT(EHLO), EXPECT_END, END};
    static struct log log;
    struct server server;
    SmtpClient *client = new_client();
    server_start(&server, script);
    start_log(&log, client);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_TIMEOUT_COMMAND, 50), 0);
    CHECK_SAME(connect_to(client, &server), SMTP_ERROR_TIMEOUT);
    CHECK_TEXT(log.text, "REPLY 220 mail.example ESMTP\nCOMMAND EHLO client.example\nTIMEOUT\nERROR\n");
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* One connection, one end of it. */
static void a_lost_connection_is_told_once(void)
{
    static const struct action script[] = {HELLO, EXPECT(MAIL), CLOSE, END};
    static struct log log;
    struct server server;
    SmtpClient *client = new_client();
    server_start(&server, script);
    start_log(&log, client);
    CHECK_SAME(connect_to(client, &server), 0);
    clear_log(&log);
    CHECK_SAME(send_test_message(client), SMTP_ERROR_CONNECTION_CLOSED);
    SmtpDisconnect(client);
    CHECK_TEXT(log.text, "COMMAND MAIL FROM:<" SENDER ">\nERROR\nDISCONNECT \n");
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

int main(void)
{
    check_begin();
    RUN(order_of_events);
    RUN(secrets_are_masked);
    RUN(only_what_was_asked_for);
    RUN(cancel_at_a_command);
    RUN(cancel_while_connecting);
    RUN(cancel_at_the_last_moment);
    RUN(calls_from_within);
    RUN(cancel_by_a_call);
    RUN(release_in_a_callback);
    RUN(when_destroyed);
    RUN(timeouts_are_told);
    RUN(a_lost_connection_is_told_once);
    return check_end();
}
