/*
 * Messages: composed, filled, exported, loaded and sent to the octet.
 */
#define _POSIX_C_SOURCE 200809L
#include "mail.h"

static int destroyed, rewound;

struct content {
    const char *text;
    size_t at, length;
    int fail;
};

static int64_t give(void *buffer, size_t capacity, void *user_data)
{
    struct content *content = user_data;
    size_t count = content->length - content->at;
    if (content->fail) {
        return -5;
    }
    count = count < capacity ? count : capacity;
    count = count < 3 ? count : 3;
    memcpy(buffer, content->text + content->at, count);
    content->at += count;
    return (int64_t)count;
}

static int32_t again(void *user_data)
{
    struct content *content = user_data;
    content->at = 0;
    rewound++;
    return 0;
}

static void count_destroy(void *user_data)
{
    (void)user_data;
    destroyed++;
}

struct written {
    char text[4096];
    size_t length;
    int limit;
};

static int32_t take(const void *data, size_t length, void *user_data)
{
    struct written *written = user_data;
    if (written->limit-- <= 0 || written->length + length >= sizeof written->text) {
        return 7;
    }
    memcpy(written->text + written->length, data, length);
    written->length += length;
    written->text[written->length] = '\0';
    return 0;
}

static SmtpMessage *new_message(void)
{
    SmtpMessage *message = SmtpMessageCreate();
    CHECK(message != NULL);
    CHECK_SAME(SmtpMessageCompose(message, "Ann <" SENDER ">", "Team: " RECIPIENT ";", NULL, "two@mail.example",
                                  "Gr\xC3\xBC\xC3\x9F" "e", "one\n.dot\n", NULL),
               0);
    CHECK_SAME(SmtpMessageSetHeader(message, "Date", "Thu, 01 Jan 1970 00:00:00 +0000"), 0);
    CHECK_SAME(SmtpMessageSetHeader(message, "Message-ID", "<1@client.example>"), 0);
    return message;
}

#define HEADER \
    "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\nFrom: Ann <" SENDER ">\r\nTo: Team: " RECIPIENT ";\r\n" \
    "Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\nMessage-ID: <1@client.example>\r\n" \
    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"

static void exported(void)
{
    SmtpMessage *message = new_message();
    char buffer[1024] = "untouched", text[64];
    size_t length = 0;
    uint64_t size = 0;
    struct written written = {"", 0, 100};

    CHECK_SAME(SmtpMessageGetSize(message, SMTP_EXPORT_DEFAULT, &size), 0);
    CHECK_SAME(SmtpMessageExport(message, SMTP_EXPORT_DEFAULT, NULL, 0, &length), 0);
    CHECK_SAME(length, strlen(HEADER "one\r\n.dot\r\n"));
    CHECK(size == length);
    CHECK_SAME(SmtpMessageExport(message, SMTP_EXPORT_DEFAULT, buffer, length - 1, NULL), SMTP_ERROR_BUFFER_TOO_SMALL);
    CHECK_TEXT(buffer, "untouched");
    CHECK_SAME(SmtpMessageExport(message, SMTP_EXPORT_DEFAULT, buffer, sizeof buffer, &length), 0);
    buffer[length] = '\0';
    CHECK_TEXT(buffer, HEADER "one\r\n.dot\r\n");
    CHECK_SAME(SmtpMessageExportStream(message, SMTP_EXPORT_DEFAULT, take, &written), 0);
    CHECK_TEXT(written.text, buffer);
    written.limit = 0;
    CHECK_SAME(SmtpMessageExportStream(message, SMTP_EXPORT_DEFAULT, take, &written), SMTP_ERROR_WRITER);
    CHECK(strstr(SmtpGetLastErrorString(NULL), "7") != NULL);
    CHECK_SAME(SmtpMessageExport(message, 4, buffer, sizeof buffer, &length), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpMessageExport(message, SMTP_EXPORT_ALLHEADERS | SMTP_EXPORT_KEEPORDER, buffer, sizeof buffer, &length), 0);
    buffer[length] = '\0';
    CHECK(strncmp(buffer, "From: ", 6) == 0 && strstr(buffer, "\r\nBcc: two@mail.example\r\n") != NULL);
    CHECK_SAME(SmtpMessageExportFile(message, 0, "/no/such/folder/x.eml"), SMTP_ERROR_WRITER);

    /* The same again from what was written. */
    CHECK_SAME(SmtpMessageLoad(message, buffer, length), 0);
    CHECK_SAME(SmtpMessageGetHeader(message, "subject", 0, text, sizeof text, NULL), 0);
    CHECK_TEXT(text, "Gr\xC3\xBC\xC3\x9F" "e");
    CHECK_SAME(SmtpMessageGetText(message, text, sizeof text, NULL), 0);
    CHECK_TEXT(text, "one\r\n.dot\r\n");
    CHECK_SAME(SmtpMessageSetText(message, "x"), SMTP_ERROR_LOADED_BODY);
    CHECK_SAME(SmtpMessageClear(message), 0);
    CHECK_SAME(SmtpMessageSetText(message, "x"), 0);
    CHECK_SAME(SmtpMessageRelease(message), 0);
}

static void sent(void)
{
    static const struct action script[] = {
        GREETING, EXPECT(EHLO), SEND("250-mail.example\r\n250 SIZE 100000\r\n"),
        EXPECT("MAIL FROM:<" SENDER "> SIZE=243\r\n"), SEND(OK), EXPECT(RCPT), SEND(OK),
        EXPECT("RCPT TO:<two@mail.example>\r\n"), SEND(OK), EXPECT("DATA\r\n"), SEND("354 Go on\r\n"),
        EXPECT(HEADER "one\r\n..dot\r\n.\r\n"), SEND(QUEUED), GOODBYE, EXPECT_END, END};
    struct server server;
    SmtpClient *client = new_client();
    SmtpMessage *message = new_message();
    uint64_t size = 0;

    CHECK_SAME(SmtpMessageGetSize(message, 0, &size), 0);
    CHECK(size == 243);
    CHECK_SAME(SmtpSendComposed(client, message), SMTP_ERROR_NOT_CONNECTED);
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(SmtpSendComposed(client, NULL), SMTP_ERROR_INVALID_HANDLE);
    CHECK_SAME(SmtpSendComposed(client, message), 0);
    CHECK_SAME(integer(client, SMTP_PROPERTY_RECIPIENTS_ACCEPTED), 2);
    CHECK_SAME(SmtpMessageRelease(message), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* A reader that gives up ends the connection: the message is not completed. */
static void a_reader_that_gives_up(void)
{
    static const struct action script[] = {HELLO, TO_CONTENT, WITHOUT("\r\n.\r\n"), END};
    struct server server;
    SmtpClient *client = new_client();
    SmtpMessage *message = SmtpMessageCreate();
    struct content content = {"0123456789", 0, 10, 1};
    CHECK_SAME(SmtpMessageCompose(message, SENDER, RECIPIENT, NULL, NULL, NULL, "x", NULL), 0);
    CHECK_SAME(SmtpMessageAttachReader(message, "a", NULL, NULL, 10, give, again, &content, NULL), 0);
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(SmtpSendComposed(client, message), SMTP_ERROR_READER);
    CHECK(strstr(SmtpGetLastErrorString(client), "-5") != NULL);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpMessageRelease(message), 0);
    CHECK_SAME(SmtpClientRelease(client), 0);
}

static void readers(void)
{
    struct content content = {"0123456789", 0, 10, 0};
    SmtpMessage *message = new_message();
    char first[2048], second[2048];
    size_t one = 0, two = 0;

    CHECK_SAME(SmtpMessageAttachReader(message, "a.bin", NULL, NULL, 10, NULL, again, &content, count_destroy),
               SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(destroyed, 1);
    CHECK_SAME(SmtpMessageAttachReader(message, "a\r\nb", NULL, NULL, 10, give, again, &content, count_destroy),
               SMTP_ERROR_ATTACHMENT);
    CHECK_SAME(destroyed, 2);
    CHECK_SAME(SmtpMessageAttachReader(message, "a.bin", NULL, NULL, 10, give, again, &content, count_destroy), 0);
    CHECK_SAME(SmtpMessageExport(message, 0, first, sizeof first, &one), 0);
    CHECK_SAME(rewound, 0);
    CHECK_SAME(SmtpMessageExport(message, 0, second, sizeof second, &two), 0);
    CHECK_SAME(rewound, 1);
    CHECK(one == two && memcmp(first, second, one) == 0 && one < sizeof first);
    first[one] = '\0';
    CHECK(strstr(first, "\r\n\r\nMDEyMzQ1Njc4OQ==\r\n--") != NULL);
    content.length = 9;
    CHECK_SAME(SmtpMessageExport(message, 0, first, sizeof first, &one), SMTP_ERROR_ATTACHMENT);
    CHECK_SAME(destroyed, 2);
    CHECK_SAME(SmtpMessageRelease(message), 0);
    CHECK_SAME(destroyed, 3);
}

/* No text makes a header field of its own, whichever function takes it. */
static void injections(void)
{
    static const char *const bad[] = {"a\r\nBcc: b@c.example", "a\nb", "a\rb", "\r\n", "a@b.example\r\n", NULL};
    SmtpMessage *message = new_message();
    char before[1024], after[1024];
    size_t one = 0, two = 0;
    int i;
    CHECK_SAME(SmtpMessageExport(message, 0, before, sizeof before, &one), 0);
    for (i = 0; bad[i] != NULL; i++) {
        CHECK(SmtpMessageSetHeader(message, "Subject", bad[i]) < 0);
        CHECK(SmtpMessageSetHeader(message, "To", bad[i]) < 0);
        CHECK(SmtpMessageSetHeader(message, bad[i], "x") < 0);
        CHECK(SmtpMessageAddHeader(message, "X", bad[i]) < 0);
        CHECK(SmtpMessageAddHeader(message, bad[i], "x") < 0);
        CHECK(SmtpMessageSetHeaderValue(message, 0, bad[i]) < 0);
        CHECK(SmtpMessageCompose(message, bad[i], NULL, NULL, NULL, NULL, NULL, NULL) < 0);
        CHECK(SmtpMessageCompose(message, NULL, NULL, NULL, NULL, bad[i], NULL, NULL) < 0);
        CHECK(SmtpMessageSetReadReceipt(message, bad[i]) < 0);
        CHECK(SmtpMessageSetUnsubscribe(message, bad[i], NULL, 0) < 0);
        CHECK(SmtpMessageSetUnsubscribe(message, NULL, bad[i], 1) < 0);
        CHECK(SmtpMessageSetCalendar(message, "x", bad[i]) < 0);
        CHECK(SmtpMessageAttach(message, bad[i], NULL, NULL, "x", 1) < 0);
        CHECK(SmtpMessageAttach(message, "a", bad[i], NULL, "x", 1) < 0);
        CHECK(SmtpMessageAttach(message, "a", NULL, bad[i], "x", 1) < 0);
        CHECK(SmtpMessageAttachFile(message, "/dev/null", bad[i], NULL, NULL) < 0);
        CHECK(SmtpMessageAttachMessage(message, message, bad[i]) < 0);
        CHECK(strpbrk(SmtpGetLastErrorString(NULL), "\r\n") == NULL);
    }
    CHECK_SAME(SmtpMessageExport(message, 0, after, sizeof after, &two), 0);
    CHECK(one == two && memcmp(before, after, one) == 0);
    CHECK_SAME(SmtpMessageRelease(message), 0);
}

static void parts(void)
{
    SmtpMessage *message = new_message();
    SmtpMessagePart part = {sizeof part, 0, 0, 0, 0};
    char text[256] = "";
    size_t count = 0, length = 0;

    CHECK_SAME(SmtpMessageSetHtml(message, "<img src=\"cid:logo\">"), 0);
    CHECK_SAME(SmtpMessageAttach(message, "logo.png", NULL, "<logo>", "png", 3), 0);
    CHECK_SAME(SmtpMessageAttach(message, "invoice.pdf", NULL, NULL, "%PDF", 4), 0);
    /* A message in itself is a copy of what it was. */
    CHECK_SAME(SmtpMessageAttachMessage(message, message, "copy.eml"), 0);
    CHECK_SAME(SmtpMessageGetPartCount(message, &count), 0);
    CHECK_SAME(count, 8);
    CHECK_SAME(SmtpMessageGetPart(message, 5, &part), 0);
    CHECK(part.depth == 3 && part.parent == 3 && part.has_content == 1 && part.is_attachment == 0);
    CHECK_SAME(SmtpMessageGetPartString(message, 5, SMTP_PART_TEXT_CONTENT_ID, text, sizeof text, NULL), 0);
    CHECK_TEXT(text, "logo");
    CHECK_SAME(SmtpMessageGetPartString(message, 6, SMTP_PART_TEXT_TYPE, text, sizeof text, NULL), 0);
    CHECK_TEXT(text, "application/pdf");
    CHECK_SAME(SmtpMessageGetPartContent(message, 6, NULL, 0, &length), 0);
    CHECK_SAME(length, 4);
    CHECK_SAME(SmtpMessageGetPartContent(message, 6, text, 3, &length), SMTP_ERROR_BUFFER_TOO_SMALL);
    CHECK_SAME(SmtpMessageGetPartContent(message, 6, text, sizeof text, &length), 0);
    CHECK(memcmp(text, "%PDF", 4) == 0);
    CHECK_SAME(SmtpMessageGetPartContent(message, 0, text, sizeof text, &length), SMTP_ERROR_NO_CONTENT);
    CHECK_SAME(SmtpMessageGetPartString(message, 0, SMTP_PART_TEXT_NAME, text, sizeof text, NULL), SMTP_ERROR_NOT_FOUND);
    CHECK_SAME(SmtpMessageGetPartString(message, 0, 99, text, sizeof text, NULL), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpMessageGetPart(message, 8, &part), SMTP_ERROR_NOT_FOUND);
    part.size = 4;
    CHECK_SAME(SmtpMessageGetPart(message, 0, &part), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpMessageGetPart(message, 0, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpMessageRelease(message), 0);
}

int main(void)
{
    check_begin();
    RUN(exported);
    RUN(sent);
    RUN(a_reader_that_gives_up);
    RUN(readers);
    RUN(injections);
    RUN(parts);
    return check_end();
}
