/*
 * Batches: misuse of their handles, what is refused when a message is added, several
 * threads, sending from within a callback, a cancel, and a second call after a failure.
 */
#define _POSIX_C_SOURCE 200809L
#include "mail.h"

#define PIPELINING GREETING, EXPECT(EHLO), SEND("250-mail.example\r\n250 PIPELINING\r\n")
#define ENVELOPE MAIL RCPT "DATA\r\n"
#define GO OK OK "354 Go on\r\n"
#define CONTENT MESSAGE ".\r\n"

static SmtpBatch *new_batch(size_t messages)
{
    SmtpBatch *batch = SmtpBatchCreate();
    CHECK(batch != NULL);
    while (messages-- > 0) {
        CHECK_SAME(SmtpBatchAdd(batch, SENDER, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), 0);
    }
    return batch;
}

static size_t count_of(SmtpBatch *batch)
{
    size_t count = 77;
    CHECK_SAME(SmtpBatchGetCount(batch, &count), 0);
    return count;
}

static SmtpBatchResult result_of(SmtpBatch *batch, size_t index)
{
    SmtpBatchResult result;
    memset(&result, 0, sizeof result);
    result.size = sizeof result;
    CHECK_SAME(SmtpBatchGetResult(batch, index, &result), 0);
    return result;
}

/* Every function that takes a batch; tests/suite/test_header.py sees to it that none is missing. */
static void every_batch_function(SmtpClient *client, SmtpBatch *bad)
{
    static const int32_t expected = SMTP_ERROR_INVALID_HANDLE;
    char buffer[16] = "untouched";
    size_t length = 77;
    SmtpBatchResult result, result_before;
    SmtpRecipient recipient = {sizeof(SmtpRecipient), 77, 77, 77, 77, 77}, recipient_before = recipient;
    memset(&result, 0x55, sizeof result);
    result.size = sizeof result;
    result_before = result;

    CHECK_SAME(SmtpBatchAdd(bad, SENDER, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), expected);
    CHECK_SAME(SmtpBatchAddFile(bad, SENDER, RECIPIENT, "/dev/null"), expected);
    CHECK_SAME(SmtpBatchClear(bad), expected);
    CHECK_SAME(SmtpBatchGetCount(bad, &length), expected);
    CHECK_SAME(SmtpSendBatch(client, bad), expected);
    CHECK_SAME(SmtpBatchGetResult(bad, 0, &result), expected);
    CHECK_SAME(SmtpBatchGetString(bad, 0, SMTP_BATCH_TEXT_ERROR, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpBatchGetRecipient(bad, 0, 0, &recipient), expected);
    CHECK_SAME(SmtpBatchGetRecipientString(bad, 0, 0, SMTP_RECIPIENT_TEXT_ADDRESS, buffer, sizeof buffer, &length),
               expected);
    CHECK_SAME(SmtpBatchRelease(bad), expected);
    CHECK_TEXT(buffer, "untouched");
    CHECK_SAME(length, 77);
    CHECK(memcmp(&result, &result_before, sizeof result) == 0);
    CHECK(memcmp(&recipient, &recipient_before, sizeof recipient) == 0);
}

static void bad_handles(void)
{
    SmtpClient *client = new_client();
    SmtpBatch *stale = new_batch(1), *live = new_batch(1);
    static int object;
    unsigned bit;

    CHECK_SAME(SmtpBatchRelease(stale), 0);
    every_batch_function(client, NULL);
    every_batch_function(client, stale);
    every_batch_function(client, (SmtpBatch *)(void *)&object);
    /* A client is no batch, and a batch no client. */
    every_batch_function(client, (SmtpBatch *)(void *)client);
    CHECK_SAME(SmtpReset((SmtpClient *)(void *)live), SMTP_ERROR_INVALID_HANDLE);
    for (bit = 0; bit < sizeof(uintptr_t) * 8; bit++) {
        every_batch_function(client, (SmtpBatch *)((uintptr_t)live ^ (uintptr_t)1 << bit));
    }
    CHECK_SAME(count_of(live), 1);
    CHECK_SAME(SmtpSendBatch(client, live), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(result_of(live, 0).outcome, SMTP_OUTCOME_NOT_SENT);
    CHECK_SAME(SmtpBatchRelease(live), 0);
    CHECK_SAME(SmtpClientRelease(client), 0);
}

static void bad_arguments(void)
{
    SmtpBatch *batch = new_batch(0);
    SmtpBatchResult small;
    SmtpRecipient recipient = {sizeof(SmtpRecipient), 0, 0, 0, 0, 0};
    char text[64] = "";

    CHECK_SAME(SmtpBatchAdd(batch, NULL, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpBatchAdd(batch, SENDER, NULL, MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpBatchAdd(batch, SENDER, RECIPIENT, NULL, 5), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpBatchAddFile(batch, SENDER, RECIPIENT, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpBatchAdd(batch, "a@b\r\nDATA", RECIPIENT, MESSAGE, 5), SMTP_ERROR_INVALID_ADDRESS);
    CHECK_SAME(SmtpBatchAdd(batch, SENDER, "a@b.example, c", MESSAGE, 5), SMTP_ERROR_INVALID_ADDRESS);
    CHECK_SAME(SmtpBatchAdd(batch, SENDER, " ", MESSAGE, 5), SMTP_ERROR_NO_RECIPIENTS);
    CHECK_SAME(SmtpBatchAdd(batch, "\xFF", RECIPIENT, MESSAGE, 5), SMTP_ERROR_INVALID_UTF8);
    CHECK_SAME(count_of(batch), 0);
    CHECK_SAME(SmtpBatchGetCount(batch, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpBatchAdd(batch, "<>", "A <a@b.example>, <c@d.example>", NULL, 0), 0);
    CHECK_SAME(SmtpBatchAddFile(batch, SENDER, RECIPIENT, "/no/such/file"), 0);
    CHECK_SAME(count_of(batch), 2);
    memset(&small, 0, sizeof small);
    small.size = 8;
    CHECK_SAME(SmtpBatchGetResult(batch, 0, &small), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpBatchGetResult(batch, 0, NULL), SMTP_ERROR_NULL_POINTER);
    small.size = sizeof small;
    CHECK_SAME(SmtpBatchGetResult(batch, 2, &small), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpBatchGetString(batch, 0, 99, text, sizeof text, NULL), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpBatchGetString(batch, 2, SMTP_BATCH_TEXT_ERROR, text, sizeof text, NULL),
               SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpBatchGetRecipient(batch, 0, 2, &recipient), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpBatchGetRecipient(batch, 0, 0, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpBatchGetRecipientString(batch, 0, 1, 99, text, sizeof text, NULL), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpBatchGetRecipientString(batch, 0, 1, SMTP_RECIPIENT_TEXT_ADDRESS, text, sizeof text, NULL), 0);
    CHECK_TEXT(text, "c@d.example");
    CHECK_SAME(SmtpBatchClear(batch), 0);
    CHECK_SAME(count_of(batch), 0);
    CHECK_SAME(SmtpBatchRelease(batch), 0);
}

struct told {
    SmtpClient *client;
    SmtpBatch *batch;
    unsigned messages;
    int cancels;
};

static int32_t on_message(const SmtpEvent *event, void *user_data)
{
    struct told *told = user_data;
    SmtpBatchResult result = result_of(told->batch, event->message);
    CHECK_SAME(event->event, SMTP_EVENT_MESSAGE);
    CHECK_SAME(event->message, told->messages);
    CHECK_SAME(result.outcome, event->outcome);
    told->messages++;
    CHECK_SAME(SmtpBatchAdd(told->batch, SENDER, RECIPIENT, MESSAGE, 5), SMTP_ERROR_BATCH_BUSY);
    CHECK_SAME(SmtpBatchClear(told->batch), SMTP_ERROR_BATCH_BUSY);
    CHECK_SAME(SmtpSendBatch(told->client, told->batch), SMTP_ERROR_REENTRANT);
    return told->cancels && told->messages == 1;
}

/* The first is accepted, the second refused, and the third cut off. */
static void a_second_call_sends_what_was_not_sent(void)
{
    static const struct action first[] = {PIPELINING,       EXPECT(ENVELOPE), SEND(GO), EXPECT(CONTENT ENVELOPE),
                                          SEND(QUEUED GO),  EXPECT(CONTENT ENVELOPE), SEND("554 5.7.1 no\r\n"), CLOSE, END};
    static const struct action second[] = {PIPELINING, EXPECT(ENVELOPE), SEND(GO), EXPECT(CONTENT), SEND(QUEUED), GOODBYE,
                                           EXPECT_END, END};
    SmtpClient *client = new_client();
    SmtpBatch *batch = new_batch(2);
    struct told told = {client, batch, 0, 0};
    struct server server;
    char text[256];

    CHECK_SAME(SmtpBatchAdd(batch, SENDER, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), 0);
    CHECK_SAME(SmtpRegisterEvent(client, SMTP_EVENT_MESSAGE, on_message, &told, NULL), 0);
    server_start(&server, first);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(SmtpSendBatch(client, batch), SMTP_ERROR_MESSAGE_REJECTED);
    CHECK(strstr(SmtpGetLastErrorString(client), "2 of 3 messages were not accepted, the first being message 1") != NULL);
    CHECK_SAME(told.messages, 3);
    CHECK_SAME(integer(client, SMTP_PROPERTY_BATCH_MODE), SMTP_BATCH_MODE_PIPELINED);
    CHECK_SAME(result_of(batch, 0).outcome, SMTP_OUTCOME_ACCEPTED);
    CHECK_SAME(result_of(batch, 0).recipients_accepted, 1);
    CHECK_SAME(SmtpBatchGetString(batch, 0, SMTP_BATCH_TEXT_QUEUE_ID, text, sizeof text, NULL), 0);
    CHECK_TEXT(text, "4F1B2");
    CHECK_SAME(result_of(batch, 1).outcome, SMTP_OUTCOME_REJECTED_PERMANENT);
    CHECK_SAME(result_of(batch, 1).result_code, 554);
    CHECK_SAME(result_of(batch, 1).enhanced_subject, 7);
    CHECK_SAME(result_of(batch, 1).safe_to_retry, 1);
    CHECK_SAME(result_of(batch, 2).outcome, SMTP_OUTCOME_NOT_SENT);
    CHECK(server_finish(&server));

    told.messages = 2;
    server_start(&server, second);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(SmtpSendBatch(client, batch), SMTP_ERROR_MESSAGE_REJECTED);
    CHECK(strstr(SmtpGetLastErrorString(client), "1 of 3 messages were not accepted") != NULL);
    CHECK_SAME(result_of(batch, 2).outcome, SMTP_OUTCOME_ACCEPTED);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpBatchRelease(batch), 0);
    CHECK_SAME(SmtpClientRelease(client), 0);
}

static void a_cancel_in_the_middle(void)
{
    static const struct action script[] = {PIPELINING, EXPECT(ENVELOPE), SEND(GO), EXPECT(CONTENT ENVELOPE), SEND(QUEUED),
                                           EXPECT_END, END};
    SmtpClient *client = new_client();
    SmtpBatch *batch = new_batch(3);
    struct told told = {client, batch, 0, 1};
    struct server server;

    CHECK_SAME(SmtpBatchAddFile(batch, SENDER, RECIPIENT, "/no/such/file"), 0);
    CHECK_SAME(SmtpRegisterEvent(client, SMTP_EVENT_MESSAGE, on_message, &told, NULL), 0);
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(SmtpSendBatch(client, batch), SMTP_ERROR_CANCELLED);
    CHECK_SAME(result_of(batch, 0).outcome, SMTP_OUTCOME_ACCEPTED);
    CHECK_SAME(result_of(batch, 1).code, SMTP_ERROR_CANCELLED);
    CHECK_SAME(result_of(batch, 1).outcome, SMTP_OUTCOME_NOT_SENT);
    CHECK_SAME(result_of(batch, 2).code, SMTP_ERROR_BATCH_ENDED);
    CHECK_SAME(result_of(batch, 3).safe_to_retry, 1);
    CHECK(server_finish(&server));
    /* A batch that is released is not needed any more by anybody. */
    CHECK_SAME(SmtpBatchRelease(batch), 0);
    CHECK_SAME(SmtpClientRelease(client), 0);
}

static void *add_many(void *batch)
{
    int i;
    for (i = 0; i < 500; i++) {
        CHECK_SAME(SmtpBatchAdd(batch, SENDER, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), 0);
        CHECK(count_of(batch) > 0);
        CHECK_SAME(result_of(batch, 0).outcome, SMTP_OUTCOME_NOT_SENT);
    }
    return NULL;
}

static void several_threads(void)
{
    SmtpBatch *batch = new_batch(1);
    pthread_t threads[4];
    int i;
    for (i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, add_many, batch) == 0);
    }
    for (i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK_SAME(count_of(batch), 2001);
    CHECK_SAME(SmtpBatchRelease(batch), 0);
}

int main(void)
{
    check_begin();
    RUN(bad_handles);
    RUN(bad_arguments);
    RUN(a_second_call_sends_what_was_not_sent);
    RUN(a_cancel_in_the_middle);
    RUN(several_threads);
    return check_end();
}
