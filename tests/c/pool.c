/*
 * The pool: messages from several threads, results by a queue and by callback,
 * the end in the middle of it all.
 */
#define _POSIX_C_SOURCE 200809L
#include "mail.h"

enum { THREADS = 4, EACH = 10 };

static SmtpPool *new_pool(const struct server *server)
{
    SmtpPool *pool = SmtpPoolCreate();
    CHECK(pool != NULL);
    CHECK_SAME(SmtpPoolSetString(pool, SMTP_PROPERTY_HOST, HOST), 0);
    CHECK_SAME(SmtpPoolSetString(pool, SMTP_PROPERTY_LOCAL_NAME, "client.example"), 0);
    CHECK_SAME(SmtpPoolSetInteger(pool, SMTP_PROPERTY_PORT, (int64_t)server->port), 0);
    /* A scripted server takes one connection. */
    CHECK_SAME(SmtpPoolSetInteger(pool, SMTP_POOL_CONNECTIONS, 1), 0);
    CHECK_SAME(SmtpPoolSetInteger(pool, SMTP_POOL_CONNECT_ATTEMPTS, 1), 0);
    return pool;
}

static int32_t submit(SmtpPool *pool, void *tag)
{
    SmtpMessageInfo message = {sizeof(SmtpMessageInfo), 0, SENDER, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED, NULL};
    uint64_t id = 0;
    int32_t result = SmtpPoolSubmit(pool, &message, NULL, tag, 0, &id);
    CHECK(result != 0 || id != 0);
    return result;
}

static SmtpPoolResult next_result(SmtpPool *pool)
{
    SmtpPoolResult result = {0};
    result.size = sizeof result;
    CHECK_SAME(SmtpPoolWait(pool, 60000, &result), 0);
    return result;
}

static void one_after_the_other(void)
{
    static const struct action script[] = {HELLO, TRANSACTION, TRANSACTION, TRANSACTION, GOODBYE, EXPECT_END, END};
    struct server server;
    SmtpPool *pool;
    SmtpPoolStatistics statistics;
    SmtpPoolResult result;
    char text[100];
    int tags[3], i;
    server_start(&server, script);
    pool = new_pool(&server);
    for (i = 0; i < 3; i++) {
        CHECK_SAME(submit(pool, &tags[i]), 0);
    }
    for (i = 0; i < 3; i++) {
        result = next_result(pool);
        CHECK_SAME(result.code, 0);
        CHECK_SAME(result.outcome, SMTP_OUTCOME_ACCEPTED);
        CHECK_SAME(result.accepted, 1);
        CHECK(result.tag == &tags[i]);
        CHECK_SAME(SmtpPoolGetResultString(pool, result.id, SMTP_POOL_TEXT_REPLY, text, sizeof text, NULL), 0);
        CHECK(strncmp(text, "250", 3) == 0);
        CHECK_SAME(SmtpPoolGetResultString(pool, result.id + 1, SMTP_POOL_TEXT_REPLY, text, sizeof text, NULL),
                   SMTP_ERROR_INVALID_PARAMETER);
        CHECK_SAME(SmtpPoolGetResultString(pool, result.id, 99, text, sizeof text, NULL), SMTP_ERROR_INVALID_PARAMETER);
    }
    memset(&statistics, 0, sizeof statistics);
    statistics.size = sizeof statistics;
    CHECK_SAME(SmtpPoolGetStatistics(pool, &statistics), 0);
    CHECK(statistics.accepted == 3 && statistics.opened == 1 && statistics.idle == 1);
    CHECK_SAME(SmtpPoolDrain(pool, 0), 0);
    CHECK_SAME(submit(pool, NULL), SMTP_ERROR_POOL_CLOSED);
    CHECK_SAME(SmtpPoolWait(pool, 0, &result), SMTP_ERROR_POOL_CLOSED);
    CHECK_SAME(SmtpPoolRelease(pool), 0);
    CHECK(server_finish(&server));
}

struct counts {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    int told;
    int accepted;
    int destroyed;
};

static void count_result(SmtpPool *pool, const SmtpPoolResult *result, void *user_data)
{
    struct counts *counts = user_data;
    char text[500];
    CHECK_SAME(SmtpPoolDrain(pool, 1), SMTP_ERROR_REENTRANT);
    /* Also of what the release of the pool has told. */
    CHECK_SAME(SmtpPoolGetResultString(pool, result->id, SMTP_POOL_TEXT_ERROR, text, sizeof text, NULL), 0);
    CHECK_SAME(text[0] == '\0', result->code == 0);
    pthread_mutex_lock(&counts->lock);
    counts->told++;
    counts->accepted += result->outcome == SMTP_OUTCOME_ACCEPTED;
    pthread_cond_signal(&counts->moved);
    pthread_mutex_unlock(&counts->lock);
}

static void count_destroy(void *user_data)
{
    struct counts *counts = user_data;
    counts->destroyed++;
}

static void *submit_many(void *pool)
{
    int i;
    for (i = 0; i < EACH; i++) {
        CHECK_SAME(submit(pool, NULL), 0);
    }
    return NULL;
}

/* The server takes a few messages and then says no more. */
static void many_threads_and_the_end(void)
{
    static const struct action script[] = {HELLO, TRANSACTION, TRANSACTION, STALL, END};
    struct counts counts = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0};
    struct server server;
    SmtpPool *pool;
    pthread_t threads[THREADS];
    int i;
    server_start(&server, script);
    pool = new_pool(&server);
    CHECK_SAME(SmtpPoolSetCallback(pool, count_result, &counts, count_destroy), 0);
    for (i = 0; i < THREADS; i++) {
        CHECK_SAME(pthread_create(&threads[i], NULL, submit_many, pool), 0);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_mutex_lock(&counts.lock);
    while (counts.told < 2) {
        pthread_cond_wait(&counts.moved, &counts.lock);
    }
    pthread_mutex_unlock(&counts.lock);
    CHECK_SAME(SmtpPoolDrain(pool, 1), SMTP_PENDING);
    CHECK_SAME(SmtpPoolRelease(pool), 0);
    CHECK_SAME(counts.told, THREADS * EACH);
    CHECK_SAME(counts.accepted, 2);
    CHECK_SAME(counts.destroyed, 1);
    server_drop(&server);
}

int main(void)
{
    check_begin();
    RUN(one_after_the_other);
    RUN(many_threads_and_the_end);
    return check_end();
}
