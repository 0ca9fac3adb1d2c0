/*
 * After a fork, the child cannot use the parent's clients and makes its own; the
 * parent's session goes on as if nothing had happened.
 */
#define _POSIX_C_SOURCE 200809L
#include "mail.h"

#include <signal.h>
#include <sys/wait.h>

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

static void inherited_handle(SmtpClient *client)
{
    static const int32_t expected = SMTP_ERROR_FORKED;
    char buffer[16] = "untouched";
    size_t length = 77;
    int64_t value = 77;
    SmtpPollInfo info = {sizeof(SmtpPollInfo), 77, 77, 77};
    CHECK_SAME(SmtpProcess(client), expected);
    CHECK_SAME(SmtpGetPollInfo(client, &info), expected);
    CHECK_SAME(info.descriptor, 77);
    CHECK_SAME(SmtpConnect(client, HOST, 9, 1000, 0), expected);
    CHECK_SAME(SmtpAuthenticate(client, "user", "password"), expected);
    CHECK_SAME(SmtpSendMessage(client, SENDER, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), expected);
    CHECK_SAME(SmtpReset(client), expected);
    CHECK_SAME(SmtpDisconnect(client), expected);
    CHECK_SAME(SmtpCancel(client), expected);
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_HOST, "x.example"), expected);
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_HOST, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_PORT, 25), expected);
    CHECK_SAME(SmtpGetInteger(client, SMTP_PROPERTY_PORT, &value), expected);
    CHECK_SAME(SmtpRegisterEvent(client, 0, ignore_event, NULL, count_destroy), expected);
    CHECK_SAME(destroyed, 1);
    CHECK_SAME(SmtpGetLastError(client), expected);
    CHECK(strlen(SmtpGetLastErrorString(client)) > 20);
    CHECK_SAME(SmtpGetLastError(NULL), expected);
    CHECK_SAME(SmtpClientRelease(client), expected);
    CHECK_SAME(SmtpReset(client), expected);
    CHECK_TEXT(buffer, "untouched");
    CHECK_SAME(length, 77);
    CHECK_SAME(value, 77);
}

static void send_one(SmtpClient *client)
{
    static const struct action script[] = {HELLO, TRANSACTION, GOODBYE, EXPECT_END, END};
    struct server server;
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
}

/* The child's part; its checks count as the parent's by the exit status. */
static void be_the_child(SmtpClient *inherited, SmtpClient *idle)
{
    SmtpClient *own;
    inherited_handle(inherited);
    CHECK_SAME(SmtpReset(idle), SMTP_ERROR_FORKED);
    own = new_client();
    CHECK(own != inherited && own != idle);
    send_one(own);
    CHECK_SAME(SmtpClientRelease(own), 0);
    CHECK_SAME(SmtpReset(inherited), SMTP_ERROR_FORKED);
    fflush(stdout);
    _exit(check_failures != 0);
}

static void run_child(SmtpClient *connected, SmtpClient *idle)
{
    int status = -1;
    pid_t child;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        be_the_child(connected, idle);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_SAME(status, 0);
}

static void fork_in_a_session(void)
{
    static const struct action script[] = {HELLO, TRANSACTION, TRANSACTION, TRANSACTION, GOODBYE, EXPECT_END, END};
    struct server server;
    SmtpClient *client = new_client(), *idle = new_client();
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(send_test_message(client), 0);
    run_child(client, idle);
    CHECK_SAME(send_test_message(client), 0);
    /* A second child is no brother's keeper either. */
    run_child(client, idle);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 1);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    send_one(idle);
    CHECK_SAME(SmtpGetLastError(client), 0);
    CHECK_SAME(SmtpClientRelease(client), 0);
    CHECK_SAME(SmtpClientRelease(idle), 0);
}

/* An operation that is pending is the parent's, and is not disturbed. */
static void fork_while_pending(void)
{
    static const struct action script[] = {HELLO, EXPECT("NOOP\r\n"), STALL, SEND(OK), TRANSACTION, GOODBYE, EXPECT_END,
                                           END};
    struct server server;
    SmtpPollInfo info = {sizeof(SmtpPollInfo), 0, 0, 0};
    SmtpClient *client = new_client(), *idle = new_client();
    struct pollfd fd;
    int32_t result;
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_BLOCKING, 0), 0);
    CHECK_SAME(SmtpNoop(client), SMTP_PENDING);
    server_await_stall(&server, 1);
    run_child(client, idle);
    server_go(&server);
    do {
        CHECK_SAME(SmtpGetPollInfo(client, &info), SMTP_PENDING);
        fd.fd = (int)info.descriptor;
        fd.events = POLLIN;
        CHECK_SAME(poll(&fd, 1, (int)info.timeout_ms), 1);
        result = SmtpProcess(client);
    } while (result == SMTP_PENDING);
    CHECK_SAME(result, 0);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_BLOCKING, 1), 0);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
    CHECK_SAME(SmtpClientRelease(idle), 0);
}

/* The child of a child, and a client that is as old as the child. */
static void fork_twice(void)
{
    int status = -1;
    pid_t child;
    SmtpClient *first = new_client();
    fflush(stdout);
    child = fork();
    if (child == 0) {
        SmtpClient *second = new_client();
        pid_t grandchild = fork();
        if (grandchild == 0) {
            CHECK_SAME(SmtpReset(first), SMTP_ERROR_FORKED);
            CHECK_SAME(SmtpReset(second), SMTP_ERROR_FORKED);
            fflush(stdout);
            _exit(check_failures != 0);
        }
        CHECK(grandchild > 0 && waitpid(grandchild, &status, 0) == grandchild);
        CHECK_SAME(status, 0);
        CHECK_SAME(SmtpReset(first), SMTP_ERROR_FORKED);
        CHECK_SAME(SmtpReset(second), SMTP_ERROR_NOT_CONNECTED);
        CHECK_SAME(SmtpClientRelease(second), 0);
        fflush(stdout);
        _exit(check_failures != 0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_SAME(status, 0);
    CHECK_SAME(SmtpReset(first), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpClientRelease(first), 0);
}

/* A message of the parent's is not the child's to use, and makes nobody wait. */
static void fork_with_a_message(void)
{
    int status = -1;
    pid_t child;
    size_t length = 77;
    SmtpMessage *message = SmtpMessageCreate();
    CHECK_SAME(SmtpMessageSetText(message, "hello"), 0);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        SmtpMessage *own = SmtpMessageCreate();
        SmtpClient *client = new_client();
        CHECK_SAME(SmtpMessageGetText(message, NULL, 0, &length), SMTP_ERROR_FORKED);
        CHECK_SAME(SmtpMessageAttachMessage(own, message, NULL), SMTP_ERROR_FORKED);
        CHECK_SAME(SmtpSendComposed(client, message), SMTP_ERROR_FORKED);
        CHECK_SAME(SmtpMessageRelease(message), SMTP_ERROR_FORKED);
        CHECK_SAME(length, 77);
        CHECK_SAME(SmtpMessageRelease(own), 0);
        CHECK_SAME(SmtpClientRelease(client), 0);
        fflush(stdout);
        _exit(check_failures != 0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_SAME(status, 0);
    CHECK_SAME(SmtpMessageGetText(message, NULL, 0, &length), 0);
    CHECK_SAME(length, 5);
    CHECK_SAME(SmtpMessageRelease(message), 0);
}

static void ignore_completion(SmtpClient *client, int32_t result, void *user_data)
{
    (void)client;
    (void)result;
    (void)user_data;
}

/* The threads of a reactor and of a pool are the parent's alone. */
static void fork_with_threads(void)
{
    static const struct action script[] = {HELLO, TRANSACTION, TRANSACTION, GOODBYE, EXPECT_END, END};
    SmtpMessageInfo message = {sizeof(SmtpMessageInfo), 0, SENDER, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED, NULL};
    SmtpReactor *reactor = SmtpReactorCreate();
    SmtpPool *pool = SmtpPoolCreate();
    SmtpPoolResult result = {0};
    SmtpClient *attached = new_client();
    struct server server;
    int status = -1, before = destroyed;
    pid_t child;
    server_start(&server, script);
    CHECK_SAME(SmtpReactorAttach(reactor, attached, ignore_completion, NULL, NULL), 0);
    CHECK_SAME(SmtpPoolSetString(pool, SMTP_PROPERTY_HOST, HOST), 0);
    CHECK_SAME(SmtpPoolSetString(pool, SMTP_PROPERTY_LOCAL_NAME, "client.example"), 0);
    CHECK_SAME(SmtpPoolSetInteger(pool, SMTP_PROPERTY_PORT, (int64_t)server.port), 0);
    CHECK_SAME(SmtpPoolSubmit(pool, &message, NULL, NULL, 0, NULL), 0);
    result.size = sizeof result;
    CHECK_SAME(SmtpPoolWait(pool, 60000, &result), 0);
    CHECK_SAME(result.code, 0);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        static const int32_t expected = SMTP_ERROR_FORKED;
        SmtpClient *client = new_client();
        SmtpReactor *own = SmtpReactorCreate();
        CHECK_SAME(SmtpReactorAttach(reactor, client, ignore_completion, NULL, count_destroy), expected);
        CHECK_SAME(destroyed, before + 1);
        CHECK_SAME(SmtpReactorAttach(own, attached, ignore_completion, NULL, NULL), expected);
        CHECK_SAME(SmtpReactorDetach(attached), expected);
        CHECK_SAME(SmtpReactorRelease(reactor), expected);
        CHECK_SAME(SmtpPoolSubmit(pool, &message, NULL, NULL, 60000, NULL), expected);
        CHECK_SAME(SmtpPoolWait(pool, 60000, &result), expected);
        CHECK_SAME(SmtpPoolDrain(pool, 0), expected);
        CHECK_SAME(SmtpPoolAbort(pool), expected);
        CHECK_SAME(SmtpPoolRelease(pool), expected);
        CHECK_SAME(SmtpReactorAttach(own, client, ignore_completion, NULL, NULL), 0);
        CHECK_SAME(SmtpReactorRelease(own), 0);
        CHECK_SAME(SmtpClientRelease(client), 0);
        fflush(stdout);
        if (check_failures == 0) {
            /* valgrind would call lost what the threads held that the child has not. */
            kill(getpid(), SIGKILL);
        }
        _exit(1);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK_SAME(SmtpPoolSubmit(pool, &message, NULL, NULL, 0, NULL), 0);
    CHECK_SAME(SmtpPoolWait(pool, 60000, &result), 0);
    CHECK_SAME(result.code, 0);
    CHECK_SAME(SmtpPoolRelease(pool), 0);
    CHECK_SAME(SmtpReactorRelease(reactor), 0);
    CHECK_SAME(SmtpClientRelease(attached), 0);
    CHECK(server_finish(&server));
}

int main(void)
{
    check_begin();
    RUN(fork_with_threads);
    RUN(fork_in_a_session);
    RUN(fork_while_pending);
    RUN(fork_twice);
    RUN(fork_with_a_message);
    return check_end();
}
