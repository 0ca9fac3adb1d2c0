/*
 * Completion by callback: clients that are carried through a session by the
 * reactor's thread, cancelled, released and detached.
 */
#define _POSIX_C_SOURCE 200809L
#include "mail.h"

enum { SESSIONS = 8 };

struct session {
    struct server server;
    SmtpClient *client;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    int step;
    int over;
    int32_t result;
    int destroyed;
};

static void begin_session(struct session *session)
{
    memset(session, 0, sizeof *session);
    pthread_mutex_init(&session->lock, NULL);
    pthread_cond_init(&session->moved, NULL);
    session->client = new_client();
}

static void end_session(struct session *session)
{
    pthread_cond_destroy(&session->moved);
    pthread_mutex_destroy(&session->lock);
}

static void tell_end(struct session *session, int32_t result)
{
    pthread_mutex_lock(&session->lock);
    session->over++;
    session->result = result;
    pthread_cond_signal(&session->moved);
    pthread_mutex_unlock(&session->lock);
}

static int32_t wait_for(struct session *session)
{
    int32_t result;
    pthread_mutex_lock(&session->lock);
    while (session->over == 0) {
        pthread_cond_wait(&session->moved, &session->lock);
    }
    session->over--;
    result = session->result;
    pthread_mutex_unlock(&session->lock);
    return result;
}

/* The next step of a session; what is over at once is followed by the one after it. */
static void go_on(SmtpClient *client, int32_t result, void *user_data)
{
    struct session *session = user_data;
    while (result == 0) {
        switch (session->step++) {
        case 0:
            result = connect_to(client, &session->server);
            break;
        case 1:
        case 2:
            result = send_test_message(client);
            break;
        case 3:
            result = SmtpDisconnect(client);
            break;
        default:
            tell_end(session, 0);
            return;
        }
    }
    if (result != SMTP_PENDING) {
        tell_end(session, result);
    }
}

static void tell_only(SmtpClient *client, int32_t result, void *user_data)
{
    (void)client;
    tell_end(user_data, result);
}

static void count_destroy(void *user_data)
{
    struct session *session = user_data;
    pthread_mutex_lock(&session->lock);
    session->destroyed++;
    pthread_cond_signal(&session->moved);
    pthread_mutex_unlock(&session->lock);
}

static void sessions_side_by_side(void)
{
    static const struct action script[] = {HELLO, TRANSACTION, TRANSACTION, GOODBYE, EXPECT_END, END};
    static struct session sessions[SESSIONS];
    SmtpReactor *reactor = SmtpReactorCreate();
    int i;
    CHECK(reactor != NULL);
    for (i = 0; i < SESSIONS; i++) {
        begin_session(&sessions[i]);
        server_start(&sessions[i].server, script);
        CHECK_SAME(SmtpReactorAttach(reactor, sessions[i].client, go_on, &sessions[i], count_destroy), 0);
    }
    for (i = 0; i < SESSIONS; i++) {
        go_on(sessions[i].client, 0, &sessions[i]);
    }
    for (i = 0; i < SESSIONS; i++) {
        CHECK_SAME(wait_for(&sessions[i]), 0);
        CHECK(server_finish(&sessions[i].server));
    }
    /* Half of them go before the reactor. */
    for (i = 0; i < SESSIONS; i += 2) {
        CHECK_SAME(SmtpClientRelease(sessions[i].client), 0);
    }
    CHECK_SAME(SmtpReactorRelease(reactor), 0);
    for (i = 0; i < SESSIONS; i++) {
        CHECK_SAME(sessions[i].destroyed, 1);
        CHECK_SAME(sessions[i].over, 0);
        if (i % 2 != 0) {
            CHECK_SAME(SmtpClientRelease(sessions[i].client), 0);
        }
        end_session(&sessions[i]);
    }
}

static void what_is_pending_is_told_at_the_end(void)
{
    static const struct action script[] = {STALL, END};
    static struct session sessions[3];
    SmtpReactor *reactor = SmtpReactorCreate();
    int i;
    for (i = 0; i < 3; i++) {
        begin_session(&sessions[i]);
        server_start(&sessions[i].server, script);
        CHECK_SAME(SmtpReactorAttach(reactor, sessions[i].client, tell_only, &sessions[i], count_destroy), 0);
        CHECK_SAME(connect_to(sessions[i].client, &sessions[i].server), SMTP_PENDING);
    }
    CHECK_SAME(SmtpReactorDetach(sessions[0].client), SMTP_ERROR_OPERATION_IN_PROGRESS);
    CHECK_SAME(SmtpCancel(sessions[0].client), 0);
    CHECK_SAME(wait_for(&sessions[0]), SMTP_ERROR_CANCELLED);
    CHECK_SAME(SmtpReactorDetach(sessions[0].client), 0);
    CHECK_SAME(SmtpClientRelease(sessions[1].client), 0);
    CHECK_SAME(wait_for(&sessions[1]), SMTP_ERROR_RELEASED);
    CHECK_SAME(SmtpReactorRelease(reactor), 0);
    CHECK_SAME(wait_for(&sessions[2]), SMTP_ERROR_CANCELLED);
    for (i = 0; i < 3; i++) {
        CHECK_SAME(sessions[i].destroyed, 1);
        server_drop(&sessions[i].server);
        if (i != 1) {
            CHECK_SAME(SmtpClientRelease(sessions[i].client), 0);
        }
        end_session(&sessions[i]);
    }
}

int main(void)
{
    check_begin();
    RUN(sessions_side_by_side);
    RUN(what_is_pending_is_told_at_the_end);
    return check_end();
}
