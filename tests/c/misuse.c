/*
 * Misuse: every call gives the right error code, the process lives on, outputs
 * stay as they were, and the session can still be used afterwards.
 */
#define _POSIX_C_SOURCE 200809L
#include "mail.h"

static int destroyed;

static int32_t ignore_event(const SmtpEvent *event, void *user_data)
{
    (void)event;
    (void)user_data;
    return 0;
}

static int32_t ignore_record(const SmtpTraceRecord *record, void *user_data)
{
    (void)record;
    (void)user_data;
    return 0;
}

static int64_t no_token(char *buffer, size_t capacity, uint32_t renew, void *user_data)
{
    (void)buffer;
    (void)capacity;
    (void)renew;
    (void)user_data;
    return -1;
}

static void count_destroy(void *user_data)
{
    (void)user_data;
    destroyed++;
}

static void ignore_completion(SmtpClient *client, int32_t result, void *user_data)
{
    (void)client;
    (void)result;
    (void)user_data;
}

static void ignore_result(SmtpPool *pool, const SmtpPoolResult *result, void *user_data)
{
    (void)pool;
    (void)result;
    (void)user_data;
}

/* A live one, so that it is the client's handle that is refused. */
static SmtpReactor *reactor;

static int asked;

static int64_t count_asked(void *buffer, size_t capacity, void *user_data)
{
    (void)buffer;
    (void)capacity;
    (void)user_data;
    asked++;
    return 0;
}

/* Every function that takes a handle; tests/suite/test_header.py sees to it that none is missing. */
static void every_function(SmtpClient *bad)
{
    static const int32_t expected = SMTP_ERROR_INVALID_HANDLE;
    char buffer[16] = "untouched";
    size_t length = 77, count = 77;
    int64_t value = 77;
    SmtpRecipient recipient = {sizeof(SmtpRecipient), 77, 77, 77, 77, 77}, recipient_before = recipient;
    SmtpTransferStatus status = {sizeof(SmtpTransferStatus), 77, 77, 77, 77, 77, 77}, status_before = status;
    SmtpSecurityInfo security = {sizeof(SmtpSecurityInfo), 77, 77, 77, 77, 77}, security_before = security;
    SmtpPollInfo poll_info = {sizeof(SmtpPollInfo), 77, 77, 77}, poll_info_before = poll_info;
    uint64_t options = 77;
    SmtpMessageInfo message = {sizeof(SmtpMessageInfo), 0, SENDER, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED, NULL};
    SmtpServerInfo server = {sizeof(SmtpServerInfo), 9, HOST, NULL, NULL, 1000, SMTP_OPTION_NONE};
    int before = destroyed, asked_before = asked;

    CHECK_SAME(SmtpConnect(bad, HOST, 9, 1000, SMTP_OPTION_NONE), expected);
    CHECK_SAME(SmtpAttachSocket(bad, 0, HOST, SMTP_OPTION_NONE), expected);
    CHECK_SAME(SmtpAuthenticate(bad, "user", "password"), expected);
    CHECK_SAME(SmtpSendMessage(bad, SENDER, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), expected);
    CHECK_SAME(SmtpSendFile(bad, SENDER, RECIPIENT, "/dev/null"), expected);
    CHECK_SAME(SmtpSendStream(bad, SENDER, RECIPIENT, SMTP_SIZE_UNKNOWN, count_asked, NULL), expected);
    CHECK_SAME(SmtpSendBatch(bad, NULL), expected);
    CHECK_SAME(SmtpCreateMessage(bad, SENDER, 0), expected);
    CHECK_SAME(SmtpAddRecipient(bad, RECIPIENT), expected);
    CHECK_SAME(SmtpWrite(bad, MESSAGE, SMTP_NUL_TERMINATED), expected);
    CHECK_SAME(SmtpAppendMessage(bad, MESSAGE, SMTP_NUL_TERMINATED), expected);
    CHECK_SAME(SmtpAppendFile(bad, "/dev/null"), expected);
    CHECK_SAME(SmtpAppendStream(bad, count_asked, NULL), expected);
    CHECK_SAME(SmtpCloseMessage(bad), expected);
    CHECK_SAME(asked, asked_before);
    CHECK_SAME(SmtpCommand(bad, "NOOP", NULL), expected);
    CHECK_SAME(SmtpNoop(bad), expected);
    CHECK_SAME(SmtpVerifyAddress(bad, RECIPIENT), expected);
    CHECK_SAME(SmtpExpandAddress(bad, "list", buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpHelp(bad, NULL, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpExtendedTurn(bad, "node.example"), expected);
    CHECK_SAME(SmtpGetCapability(bad, "SIZE", buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpSetData(bad, SMTP_PROPERTY_CLIENT_KEY_DATA, "x", 1), expected);
    CHECK_SAME(SmtpGetCertificate(bad, 0, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpGetCertificateString(bad, 0, SMTP_PROPERTY_CERTIFICATE_SUBJECT, buffer, sizeof buffer, &length),
               expected);
    CHECK_SAME(SmtpSetRecipientDelivery(bad, RECIPIENT, 0, NULL), expected);
    CHECK_SAME(SmtpGetRecipientCount(bad, &count), expected);
    CHECK_SAME(SmtpGetRecipient(bad, 0, &recipient), expected);
    CHECK_SAME(SmtpGetRecipientString(bad, 0, SMTP_RECIPIENT_TEXT_ADDRESS, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpDisconnect(bad), expected);
    CHECK_SAME(SmtpReset(bad), expected);
    CHECK_SAME(SmtpCancel(bad), expected);
    CHECK_SAME(SmtpSetString(bad, SMTP_PROPERTY_HOST, "mail.example"), expected);
    CHECK_SAME(SmtpGetString(bad, SMTP_PROPERTY_HOST, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpSetInteger(bad, SMTP_PROPERTY_PORT, 25), expected);
    CHECK_SAME(SmtpGetInteger(bad, SMTP_PROPERTY_PORT, &value), expected);
    CHECK_SAME(SmtpRegisterEvent(bad, SMTP_EVENT_ERROR, ignore_event, NULL, count_destroy), expected);
    CHECK_SAME(destroyed, before + 1);
    CHECK_SAME(SmtpRegisterTrace(bad, ignore_record, NULL, count_destroy), expected);
    CHECK_SAME(destroyed, before + 2);
    CHECK_SAME(SmtpRegisterTokenProvider(bad, no_token, NULL, count_destroy), expected);
    CHECK_SAME(destroyed, before + 3);
    CHECK_SAME(SmtpReactorAttach(reactor, bad, ignore_completion, NULL, count_destroy), expected);
    CHECK_SAME(destroyed, before + 4);
    CHECK_SAME(SmtpReactorDetach(bad), expected);
    CHECK_SAME(SmtpGetPollInfo(bad, &poll_info), expected);
    CHECK_SAME(SmtpProcess(bad), expected);
    CHECK_SAME(SmtpGetTransferStatus(bad, &status), expected);
    CHECK_SAME(SmtpGetExtendedOptions(bad, &options), expected);
    CHECK_SAME(SmtpGetSecurityInformation(bad, &security), expected);
    CHECK_SAME(SmtpEnableTrace(bad, "/dev/null", 0), expected);
    CHECK_SAME(SmtpDisableTrace(bad), expected);
    CHECK_SAME(SmtpDisableEvents(bad), expected);
    CHECK_SAME(SmtpGetStatus(bad), expected);
    CHECK_SAME(SmtpIsConnected(bad), expected);
    CHECK_SAME(SmtpGetResultCode(bad), expected);
    CHECK_SAME(SmtpGetResultString(bad, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpGetTimeout(bad), expected);
    CHECK_SAME(SmtpSetTimeout(bad, 1000), expected);
    CHECK_SAME(SmtpGetDeliveryOptions(bad), expected);
    CHECK_SAME(SmtpSetDeliveryOptions(bad, 0), expected);
    CHECK_SAME(SmtpSendComposed(bad, NULL), expected);
    CHECK_SAME(SmtpGetLastError(NULL), expected);
    CHECK_TEXT(buffer, "untouched");
    CHECK_SAME(length, 77);
    CHECK_SAME(count, 77);
    CHECK_SAME(value, 77);
    CHECK(options == 77);
    CHECK(memcmp(&poll_info, &poll_info_before, sizeof poll_info) == 0);
    CHECK(memcmp(&security, &security_before, sizeof security) == 0);
    CHECK(memcmp(&status, &status_before, sizeof status) == 0);
    CHECK(memcmp(&recipient, &recipient_before, sizeof recipient) == 0);
    if (bad == NULL) {
        return; /* allowed in the following */
    }
    CHECK_SAME(SmtpSubmitMessage(bad, &message, &server), expected);
    CHECK_SAME(SmtpClientRelease(bad), expected);
    CHECK_SAME(SmtpSetLastError(bad, 0), expected);
    CHECK_SAME(SmtpGetLastError(bad), expected);
    CHECK(strlen(SmtpGetLastErrorString(bad)) > 20);
    CHECK_SAME(SmtpCopyLastErrorString(bad, buffer, sizeof buffer, &length), SMTP_ERROR_BUFFER_TOO_SMALL);
    CHECK_SAME(strlen(buffer), sizeof buffer - 1);
    CHECK_SAME(length, strlen(SmtpGetLastErrorString(bad)));
}

static int32_t count_rewinds(void *user_data)
{
    (void)user_data;
    asked++;
    return 0;
}

static int32_t count_writes(const void *data, size_t length, void *user_data)
{
    (void)data;
    (void)length;
    (void)user_data;
    asked++;
    return 0;
}

/* As above for messages. */
static void every_message_function(SmtpMessage *bad)
{
    static const int32_t expected = SMTP_ERROR_INVALID_HANDLE;
    char buffer[16] = "untouched";
    size_t length = 77, count = 77;
    uint64_t size = 77;
    int64_t value = 77;
    SmtpMessagePart part = {sizeof(SmtpMessagePart), 77, 77, 77, 77}, part_before = part;
    SmtpFinding finding = {sizeof(SmtpFinding), 77, 77, 77, 77, 77};
    SmtpMessage *live = SmtpMessageCreate();
    SmtpClient *client = new_client();
    int before = destroyed, asked_before = asked;

    CHECK_SAME(SmtpMessageClear(bad), expected);
    CHECK_SAME(SmtpMessageCompose(bad, SENDER, RECIPIENT, NULL, NULL, "x", "y", NULL), expected);
    CHECK_SAME(SmtpMessageSetText(bad, "x"), expected);
    CHECK_SAME(SmtpMessageSetHtml(bad, "x"), expected);
    CHECK_SAME(SmtpMessageSetCalendar(bad, "x", NULL), expected);
    CHECK_SAME(SmtpMessageGetText(bad, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpMessageGetHtml(bad, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpMessageSetInteger(bad, SMTP_MESSAGE_PRIORITY, 1), expected);
    CHECK_SAME(SmtpMessageGetInteger(bad, SMTP_MESSAGE_PRIORITY, &value), expected);
    CHECK_SAME(SmtpMessageSetUnsubscribe(bad, SENDER, NULL, 0), expected);
    CHECK_SAME(SmtpMessageSetReadReceipt(bad, SENDER), expected);
    CHECK_SAME(SmtpMessageSetHeader(bad, "X", "y"), expected);
    CHECK_SAME(SmtpMessageAddHeader(bad, "X", "y"), expected);
    CHECK_SAME(SmtpMessageGetHeader(bad, "X", 0, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpMessageGetHeaderCount(bad, &count), expected);
    CHECK_SAME(SmtpMessageGetHeaderName(bad, 0, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpMessageGetHeaderValue(bad, 0, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpMessageSetHeaderValue(bad, 0, "x"), expected);
    CHECK_SAME(SmtpMessageRemoveHeader(bad, "X"), expected);
    CHECK_SAME(SmtpMessageRemoveHeaderAt(bad, 0), expected);
    CHECK_SAME(SmtpMessageAttach(bad, "x", NULL, NULL, "y", 1), expected);
    CHECK_SAME(SmtpMessageAttachFile(bad, "/dev/null", NULL, NULL, NULL), expected);
    CHECK_SAME(SmtpMessageAttachReader(bad, "x", NULL, NULL, 0, count_asked, count_rewinds, NULL, count_destroy),
               expected);
    CHECK_SAME(destroyed, before + 1);
    CHECK_SAME(SmtpMessageAttachMessage(bad, live, NULL), expected);
    CHECK_SAME(SmtpMessageAttachMessage(live, bad, NULL), expected);
    CHECK_SAME(SmtpMessageGetPartCount(bad, &count), expected);
    CHECK_SAME(SmtpMessageGetPart(bad, 0, &part), expected);
    CHECK_SAME(SmtpMessageGetPartString(bad, 0, SMTP_PART_TEXT_TYPE, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpMessageGetPartContent(bad, 0, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpMessageSavePart(bad, 0, "/dev/null"), expected);
    CHECK_SAME(SmtpMessageLoad(bad, MESSAGE, SMTP_NUL_TERMINATED), expected);
    CHECK_SAME(SmtpMessageLoadFile(bad, "/dev/null"), expected);
    CHECK_SAME(SmtpMessageLoadStream(bad, count_asked, NULL), expected);
    CHECK_SAME(SmtpMessageGetSize(bad, 0, &size), expected);
    CHECK_SAME(SmtpMessageExport(bad, 0, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpMessageExportFile(bad, 0, "/dev/null"), expected);
    CHECK_SAME(SmtpMessageExportStream(bad, 0, count_writes, NULL), expected);
    CHECK_SAME(SmtpMessageCheck(bad, 0, &count), expected);
    CHECK_SAME(SmtpMessageGetFinding(bad, 0, &finding), expected);
    CHECK_SAME(SmtpMessageGetFindingString(bad, 0, SMTP_FINDING_TEXT_WHAT, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpMessageGetFindings(bad, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpMessageAddSignature(bad, "a.example", "s", "/no/such/key", NULL, NULL), expected);
    CHECK_SAME(SmtpMessageClearSignatures(bad), expected);
    CHECK_SAME(finding.code, 77);
    CHECK_SAME(SmtpSendComposed(client, bad), expected);
    CHECK_SAME(asked, asked_before);
    CHECK_TEXT(buffer, "untouched");
    CHECK(length == 77 && count == 77 && size == 77 && value == 77);
    CHECK(memcmp(&part, &part_before, sizeof part) == 0);
    CHECK_SAME(SmtpMessageRelease(live), 0);
    CHECK_SAME(SmtpClientRelease(client), 0);
    if (bad != NULL) {
        CHECK_SAME(SmtpMessageRelease(bad), expected);
    }
}

static void bad_messages(void)
{
    SmtpMessage *live = SmtpMessageCreate(), *stale = SmtpMessageCreate(), *reused;
    SmtpClient *client = new_client();
    uintptr_t token = (uintptr_t)live;
    char local[64];
    size_t length = 0;
    unsigned bit;
    int i;

    every_message_function(NULL);
    CHECK_SAME(SmtpMessageRelease(NULL), 0);
    CHECK_SAME(SmtpMessageRelease(stale), 0);
    every_message_function(stale);
    reused = SmtpMessageCreate();
    CHECK(reused != stale);
    every_message_function(stale);
    CHECK_SAME(SmtpMessageRelease(reused), 0);
    memset(local, 0, sizeof local);
    for (i = 0; i < (int)sizeof local; i++) {
        every_message_function((SmtpMessage *)(void *)(local + i));
    }
    /* A client is no message, nor any other damage to a single bit. */
    every_message_function((SmtpMessage *)(void *)client);
    for (bit = 0; bit < sizeof token * 8; bit++) {
        every_message_function((SmtpMessage *)(token ^ (uintptr_t)1 << bit));
    }
    CHECK_SAME(SmtpMessageSetText(live, "still alive"), 0);
    CHECK_SAME(SmtpMessageGetText(live, NULL, 0, &length), 0);
    CHECK_SAME(length, strlen("still alive"));
    CHECK_SAME(SmtpMessageRelease(live), 0);
    CHECK_SAME(SmtpClientRelease(client), 0);
}

static SmtpClient *as_handle(uintptr_t number)
{
    return (SmtpClient *)number;
}

static void bad_handles(void)
{
    SmtpClient *live = new_client(), *stale = new_client(), *reused;
    static int object;
    char local[64];
    char *heap = malloc(64);
    uintptr_t token = (uintptr_t)live, number = 12345;
    unsigned bit, octet;
    int i;

    every_function(NULL);
    CHECK_SAME(SmtpClientRelease(NULL), 0);
    CHECK_SAME(SmtpGetLastError(NULL), 0);
    CHECK_TEXT(SmtpGetLastErrorString(NULL), "");

    CHECK_SAME(SmtpClientRelease(stale), 0);
    every_function(stale);
    reused = new_client();
    CHECK(reused != stale);
    every_function(stale);
    CHECK_SAME(SmtpClientRelease(reused), 0);
    CHECK_SAME(SmtpClientRelease(reused), SMTP_ERROR_INVALID_HANDLE);
    every_function(reused);

    memset(local, 0, sizeof local);
    /* At every alignment: none may look like a handle. */
    for (i = 0; i < (int)sizeof local; i++) {
        every_function((SmtpClient *)(void *)(local + i));
        every_function((SmtpClient *)(void *)(heap + i));
    }
    every_function((SmtpClient *)(void *)&object);
    every_function(as_handle(~(uintptr_t)0));
    every_function(as_handle(1));

    /* What another type's handle would be, and any other damage to a single bit. */
    for (bit = 0; bit < sizeof token * 8; bit++) {
        every_function(as_handle(token ^ (uintptr_t)1 << bit));
    }
    for (octet = 0; octet < 256; octet++) {
        uintptr_t other = (token & ~(uintptr_t)0xFF) | octet;
        if (other != token) {
            every_function(as_handle(other));
        }
    }
    for (i = 0; i < 2000; i++) {
        number = number * (uintptr_t)6364136223846793005ULL + (uintptr_t)1442695040888963407ULL;
        /* Every second one with the live handle's type. */
        every_function(as_handle(i % 2 != 0 ? number : (number & ~(uintptr_t)0xFF) | (token & 0xFF)));
    }

    CHECK_SAME(SmtpGetLastError(live), 0);
    CHECK_SAME(SmtpClientRelease(live), 0);
    free(heap);
}

/* Checks and signatures, which need no connection. */
static void checks_and_signatures(void)
{
    static const char message[] = "From: a@a.example\nX\n\ntext";
    SmtpMessage *composed = SmtpMessageCreate();
    SmtpFinding finding = {8, 77, 77, 77, 77, 77};
    char buffer[4096], small[4] = "abc";
    size_t length = 77, count = 77;

    CHECK_SAME(SmtpCheckMessage(NULL, 5, 0, buffer, sizeof buffer, &length), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpCheckMessage(message, 5, 0, NULL, 9, &length), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpCheckMessage(NULL, 0, 0, NULL, 0, NULL), SMTP_ERROR_BUFFER_TOO_SMALL);
    CHECK_SAME(SmtpCheckFile(NULL, 0, buffer, sizeof buffer, &length), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpCheckFile("/no/such/file", 0, buffer, sizeof buffer, &length), SMTP_ERROR_FILE);
    CHECK_SAME(length, 77);
    CHECK_SAME(SmtpCheckMessage(message, SMTP_NUL_TERMINATED, 0, small, sizeof small, &length),
               SMTP_ERROR_BUFFER_TOO_SMALL);
    CHECK_TEXT(small, "{\"e");
    CHECK(length > 100);
    CHECK_SAME(SmtpCheckMessage(message, SMTP_NUL_TERMINATED, 0, buffer, sizeof buffer, &length), 0);
    CHECK_SAME(strlen(buffer), length);
    CHECK(strstr(buffer, "\"HEADER_LINE\"") != NULL);

    CHECK_SAME(SmtpSignMessage(message, 5, NULL, "s", "k", NULL, NULL, buffer, sizeof buffer, &length),
               SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpSignMessage(message, 5, "a.example", NULL, "k", NULL, NULL, buffer, sizeof buffer, &length),
               SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpSignMessage(message, 5, "a.example", "s", NULL, NULL, NULL, buffer, sizeof buffer, &length),
               SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpSignMessage(message, 5, "a b", "s", "k", NULL, NULL, buffer, sizeof buffer, &length),
               SMTP_ERROR_DKIM_SETTING);
    CHECK_SAME(SmtpSignMessage(message, 5, "a.example", "s", "/no/such/key", NULL, NULL, buffer, sizeof buffer, &length),
               SMTP_ERROR_DKIM_KEY);
    CHECK_SAME(SmtpSignMessage(message, 5, "a.example", "s", "-----BEGIN NOTHING-----", NULL, NULL, buffer,
                               sizeof buffer, &length), SMTP_ERROR_DKIM_KEY);
    CHECK_SAME(SmtpSignFile(NULL, "a.example", "s", "k", NULL, NULL, buffer, sizeof buffer, &length),
               SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpMessageAddSignature(composed, "a.example", "s", "/dev/null", NULL, "c=odd"),
               SMTP_ERROR_DKIM_SETTING);
    CHECK_SAME(SmtpMessageAddSignature(composed, "a.example", "s", "/dev/null", NULL, NULL), SMTP_ERROR_DKIM_KEY);
    CHECK_SAME(SmtpMessageClearSignatures(composed), 0);

    CHECK_SAME(SmtpMessageGetFinding(composed, 0, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpMessageGetFinding(composed, 0, &finding), SMTP_ERROR_INVALID_PARAMETER);
    finding.size = sizeof finding;
    CHECK_SAME(SmtpMessageGetFinding(composed, 0, &finding), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(finding.code, 77);
    CHECK_SAME(SmtpMessageCompose(composed, SENDER, RECIPIENT, NULL, NULL, "x", "", NULL), 0);
    CHECK_SAME(SmtpMessageCheck(composed, 1, NULL), 0);
    CHECK_SAME(SmtpMessageCheck(composed, 1, &count), 0);
    CHECK_SAME(count, 2);
    CHECK_SAME(SmtpMessageGetFinding(composed, 1, &finding), 0);
    CHECK_SAME(finding.code, SMTP_CHECK_OVERSIZE);
    CHECK_SAME(finding.severity, SMTP_SEVERITY_ERROR);
    CHECK_SAME(SmtpMessageGetFindingString(composed, 1, SMTP_FINDING_TEXT_NAME, buffer, sizeof buffer, NULL), 0);
    CHECK_TEXT(buffer, "OVERSIZE");
    CHECK_SAME(SmtpMessageGetFindingString(composed, 1, 99, buffer, sizeof buffer, NULL), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpMessageGetFindingString(composed, 2, 1, buffer, sizeof buffer, NULL), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpMessageRelease(composed), 0);
}

/* The same for what takes a pool. */
static void every_function_of_a_pool(SmtpPool *bad)
{
    static const int32_t expected = SMTP_ERROR_INVALID_HANDLE;
    SmtpMessageInfo message = {sizeof(SmtpMessageInfo), 0, SENDER, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED, NULL};
    SmtpPoolStatistics statistics;
    SmtpPoolResult result;
    char buffer[16] = "untouched";
    size_t length = 77;
    int64_t value = 77;
    uint64_t id = 77;
    int before = destroyed;

    memset(&statistics, 77, sizeof statistics);
    statistics.size = sizeof statistics;
    memset(&result, 77, sizeof result);
    result.size = sizeof result;
    CHECK_SAME(SmtpPoolSetString(bad, SMTP_PROPERTY_HOST, "x.example"), expected);
    CHECK_SAME(SmtpPoolSetInteger(bad, SMTP_POOL_CONNECTIONS, 1), expected);
    CHECK_SAME(SmtpPoolGetString(bad, SMTP_PROPERTY_HOST, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpPoolGetInteger(bad, SMTP_POOL_CONNECTIONS, &value), expected);
    CHECK_SAME(SmtpPoolSetCallback(bad, ignore_result, NULL, count_destroy), expected);
    CHECK_SAME(destroyed, before + 1);
    CHECK_SAME(SmtpPoolSubmit(bad, &message, NULL, NULL, 0, &id), expected);
    CHECK_SAME(SmtpPoolWait(bad, 0, &result), expected);
    CHECK_SAME(SmtpPoolGetResultString(bad, 1, SMTP_POOL_TEXT_REPLY, buffer, sizeof buffer, &length), expected);
    CHECK_SAME(SmtpPoolDrain(bad, 0), expected);
    CHECK_SAME(SmtpPoolAbort(bad), expected);
    CHECK_SAME(SmtpPoolGetStatistics(bad, &statistics), expected);
    CHECK_SAME(SmtpPoolRelease(bad), bad == NULL ? 0 : expected);
    CHECK_TEXT(buffer, "untouched");
    CHECK_SAME(length, 77);
    CHECK_SAME(value, 77);
    CHECK_SAME((int)id, 77);
    CHECK_SAME(result.attempts, 0x4D4D4D4D);
    CHECK_SAME(statistics.reserved, 0x4D4D4D4D);
}

static void bad_handles_of_other_types(void)
{
    SmtpClient *client = new_client();
    SmtpPool *pool = SmtpPoolCreate(), *stale = SmtpPoolCreate();
    SmtpReactor *other = SmtpReactorCreate();
    SmtpPoolResult result = {0};
    int before = destroyed;

    CHECK(pool != NULL && stale != NULL && other != NULL);
    CHECK_SAME(SmtpPoolRelease(stale), 0);
    every_function_of_a_pool(NULL);
    every_function_of_a_pool(stale);
    every_function_of_a_pool((SmtpPool *)client);
    every_function_of_a_pool((SmtpPool *)other);
    CHECK_SAME(SmtpPoolSubmit(pool, NULL, NULL, NULL, 0, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpPoolWait(pool, 0, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpPoolWait(pool, 0, &result), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpPoolGetStatistics(pool, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpPoolGetInteger(pool, SMTP_POOL_RATE, NULL), SMTP_ERROR_NULL_POINTER);
    result.size = sizeof result;
    CHECK_SAME(SmtpPoolWait(pool, 0, &result), SMTP_PENDING);

    CHECK_SAME(SmtpReactorRelease(NULL), 0);
    CHECK_SAME(SmtpReactorRelease((SmtpReactor *)pool), SMTP_ERROR_INVALID_HANDLE);
    CHECK_SAME(SmtpReactorAttach((SmtpReactor *)client, client, ignore_completion, NULL, count_destroy),
               SMTP_ERROR_INVALID_HANDLE);
    CHECK_SAME(SmtpReactorAttach(other, client, NULL, NULL, count_destroy), SMTP_ERROR_NULL_POINTER);
    /* Four times above, and twice here. */
    CHECK_SAME(destroyed, before + 6);
    CHECK_SAME(SmtpReactorRelease(other), 0);
    CHECK_SAME(SmtpReactorRelease(other), SMTP_ERROR_INVALID_HANDLE);
    CHECK_SAME(SmtpReactorAttach(other, client, ignore_completion, NULL, count_destroy), SMTP_ERROR_INVALID_HANDLE);
    CHECK_SAME(SmtpPoolRelease(pool), 0);
    CHECK_SAME(SmtpClientRelease(client), 0);
}

static void wrong_order(void)
{
    SmtpClient *client = new_client();
    struct server server;
    static const struct action script[] = {HELLO, TRANSACTION, GOODBYE, EXPECT_END, END};
    char text[16] = "untouched";
    size_t length = 77;

    CHECK_SAME(send_test_message(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpAuthenticate(client, "user", "password"), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpReset(client), SMTP_ERROR_NOT_CONNECTED);
    /* The file is not looked for, nor the reader asked. */
    CHECK_SAME(SmtpSendFile(client, SENDER, RECIPIENT, "/no/such/file"), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpSendStream(client, SENDER, RECIPIENT, 0, count_asked, NULL), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpCreateMessage(client, SENDER, 0), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpAddRecipient(client, RECIPIENT), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpWrite(client, MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpAppendMessage(client, MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpAppendStream(client, count_asked, NULL), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpCloseMessage(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpNoop(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpCommand(client, "HELP", NULL), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpVerifyAddress(client, RECIPIENT), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpExpandAddress(client, "list", text, sizeof text, &length), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpHelp(client, NULL, text, sizeof text, &length), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpExtendedTurn(client, "node.example"), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpGetCapability(client, "SIZE", text, sizeof text, &length), SMTP_ERROR_EXTENSION_UNAVAILABLE);
    CHECK_TEXT(text, "untouched");
    CHECK_SAME(length, 77);
    CHECK_SAME(SmtpGetRecipientCount(client, &length), 0);
    CHECK_SAME(length, 0);
    CHECK_SAME(SmtpDisconnect(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpCancel(client), 0);
    CHECK_SAME(SmtpProcess(client), SMTP_ERROR_NO_OPERATION);
    CHECK_SAME(SmtpConnect(client, NULL, 0, 0, 0), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpConnect(client, "", 25, 0, 0), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpAttachSocket(client, -1, HOST, 0), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpAttachSocket(client, 1000000, HOST, 0), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpAttachSocket(client, 0, NULL, 0), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpGetLastError(client), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(integer(client, SMTP_PROPERTY_ERROR_CLASS), SMTP_CLASS_CALLER);

    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(connect_to(client, &server), SMTP_ERROR_ALREADY_CONNECTED);
    CHECK_SAME(SmtpCancel(client), 0);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK_SAME(SmtpDisconnect(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(send_test_message(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK(server_finish(&server));

    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* Each is a misuse of a connected client, after which a message is sent. */

static void null_sender(SmtpClient *client)
{
    CHECK_SAME(SmtpSendMessage(client, NULL, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
}

static void null_recipients(SmtpClient *client)
{
    CHECK_SAME(SmtpSendMessage(client, SENDER, NULL, MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
}

static void null_message(SmtpClient *client)
{
    CHECK_SAME(SmtpSendMessage(client, SENDER, RECIPIENT, NULL, 5), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpSendMessage(client, SENDER, RECIPIENT, NULL, SMTP_NUL_TERMINATED), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
}

static void impossible_length(SmtpClient *client)
{
    CHECK_SAME(SmtpSendMessage(client, SENDER, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED - 1),
               SMTP_ERROR_INVALID_PARAMETER);
}

static void null_outputs(SmtpClient *client)
{
    size_t length = 77;
    SmtpSecurityInfo security = {8, 77, 77, 77, 77, 77};
    SmtpPollInfo poll_info = {sizeof(SmtpPollInfo) - 1, 77, 77, 77};
    CHECK_SAME(SmtpGetPollInfo(client, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpGetPollInfo(client, &poll_info), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(poll_info.descriptor, 77);
    CHECK_SAME(SmtpGetExtendedOptions(client, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpGetSecurityInformation(client, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpGetSecurityInformation(client, &security), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(security.protocol, 77);
    CHECK_SAME(SmtpEnableTrace(client, NULL, 0), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpGetInteger(client, SMTP_PROPERTY_PORT, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_HOST, NULL, 9, &length), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(length, 77);
    CHECK_SAME(SmtpCopyLastErrorString(client, NULL, 9, &length), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(length, 77);
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_HOST, NULL, 0, NULL), SMTP_ERROR_BUFFER_TOO_SMALL);
}

static void no_credentials(SmtpClient *client)
{
    CHECK_SAME(SmtpAuthenticate(client, NULL, NULL), SMTP_ERROR_NO_CREDENTIALS);
    CHECK_SAME(SmtpAuthenticate(client, "user", NULL), SMTP_ERROR_NO_CREDENTIALS);
    CHECK_SAME(SmtpAuthenticate(client, NULL, "password"), SMTP_ERROR_NO_CREDENTIALS);
    CHECK_SAME(SmtpAuthenticate(client, "", ""), SMTP_ERROR_NO_CREDENTIALS);
}

/* Not UTF-8: a lone octet, a cut sequence, an overlong NUL, a surrogate, beyond the last character. */
static const char *const NOT_UTF8[] = {"\xFF", "a\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", NULL};

static void bad_utf8(SmtpClient *client)
{
    static const int32_t expected = SMTP_ERROR_INVALID_UTF8;
    int i;
    for (i = 0; NOT_UTF8[i] != NULL; i++) {
        const char *bad = NOT_UTF8[i];
        CHECK_SAME(SmtpSendMessage(client, bad, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), expected);
        CHECK_SAME(SmtpSendMessage(client, SENDER, bad, MESSAGE, SMTP_NUL_TERMINATED), expected);
        CHECK_SAME(SmtpConnect(client, bad, 25, 0, 0), expected);
        CHECK_SAME(SmtpAttachSocket(client, 0, bad, 0), expected);
        CHECK_SAME(SmtpAuthenticate(client, bad, "password"), expected);
        CHECK_SAME(SmtpAuthenticate(client, "user", bad), expected);
        CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_HOST, bad), expected);
        CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_PASSWORD, bad), expected);
    }
}

/* Texts that would smuggle a line in if they were sent as they are. */
static const char *const INJECTIONS[] = {
    "a@b.example>\r\nRCPT TO:<c@d.example",
    "a@b.example\r\nDATA\r\n",
    "a@b.example\n",
    "a@b.example\r",
    "\r\na@b.example",
    "Name\r\nX: y <a@b.example>",
    "\"a\r\nb\"@b.example",
    "\"a\\\nb\"@b.example",
    "a@[tag:\r\n]",
    "a@b.example\x01",
    "a@b.example\x7F",
    "a@b\xC2\x85.example", /* NEL, a line end to some */
    "<a@b.example> SIZE=1",
    "a@b.example> BODY=8BITMIME",
    "a b@c.example",
    "a@b.example>",
    NULL,
};

static void injected_addresses(SmtpClient *client)
{
    int i;
    for (i = 0; INJECTIONS[i] != NULL; i++) {
        const char *bad = INJECTIONS[i];
        CHECK_SAME(SmtpSendMessage(client, bad, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_INVALID_ADDRESS);
        CHECK_SAME(SmtpSendMessage(client, SENDER, bad, MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_INVALID_ADDRESS);
        CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
        CHECK(strpbrk(SmtpGetLastErrorString(client), "\r\n\x01\x7F") == NULL);
    }
    /* One bad recipient among good ones spoils the call before anything is sent. */
    CHECK_SAME(SmtpSendMessage(client, SENDER, RECIPIENT ", two@mail.example\r\n, x@y", MESSAGE, SMTP_NUL_TERMINATED),
               SMTP_ERROR_INVALID_ADDRESS);
    /* LINE SEPARATOR is no control character, but no domain has one either. */
    CHECK_SAME(SmtpSendMessage(client, SENDER, "a@b\xE2\x80\xA8.example", MESSAGE, SMTP_NUL_TERMINATED),
               SMTP_ERROR_INVALID_ADDRESS);
}

static void missing_addresses(SmtpClient *client)
{
    CHECK_SAME(SmtpSendMessage(client, "", RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_INVALID_ADDRESS);
    CHECK_SAME(SmtpSendMessage(client, SENDER, "", MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_NO_RECIPIENTS);
    CHECK_SAME(SmtpSendMessage(client, SENDER, " , ,", MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_NO_RECIPIENTS);
    CHECK_SAME(SmtpSendMessage(client, SENDER, "<>", MESSAGE, SMTP_NUL_TERMINATED), SMTP_ERROR_INVALID_ADDRESS);
}

static void injected_texts(SmtpClient *client)
{
    static const uint32_t texts[] = {SMTP_PROPERTY_HOST, SMTP_PROPERTY_USER, SMTP_PROPERTY_CA_FILE,
                                     SMTP_PROPERTY_LOCAL_NAME};
    char before[64], after[64];
    size_t i;
    for (i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK_SAME(SmtpGetString(client, texts[i], before, sizeof before, NULL), 0);
        CHECK_SAME(SmtpSetString(client, texts[i], "a\r\nQUIT"), SMTP_ERROR_INVALID_PARAMETER);
        CHECK_SAME(SmtpSetString(client, texts[i], "a\n"), SMTP_ERROR_INVALID_PARAMETER);
        CHECK_SAME(SmtpSetString(client, texts[i], "a\x01"), SMTP_ERROR_INVALID_PARAMETER);
        CHECK_SAME(SmtpGetString(client, texts[i], after, sizeof after, NULL), 0);
        CHECK_TEXT(after, before);
    }
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_LOCAL_NAME, "a b"), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_LOCAL_NAME, "[300.0.0.1]"), SMTP_ERROR_INVALID_PARAMETER);
}

static void unknown_properties(SmtpClient *client)
{
    static const uint32_t unknown[] = {0, 999, 0x7FFFFFFF, 0xFFFFFFFF};
    char buffer[16] = "untouched";
    size_t length = 77, i;
    int64_t value = 77;
    for (i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        CHECK_SAME(SmtpSetString(client, unknown[i], "x"), SMTP_ERROR_UNKNOWN_PROPERTY);
        CHECK_SAME(SmtpGetString(client, unknown[i], buffer, sizeof buffer, &length), SMTP_ERROR_UNKNOWN_PROPERTY);
        CHECK_SAME(SmtpSetInteger(client, unknown[i], 1), SMTP_ERROR_UNKNOWN_PROPERTY);
        CHECK_SAME(SmtpGetInteger(client, unknown[i], &value), SMTP_ERROR_UNKNOWN_PROPERTY);
    }
    /* The other type. */
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_PORT, "25"), SMTP_ERROR_UNKNOWN_PROPERTY);
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_PORT, buffer, sizeof buffer, &length), SMTP_ERROR_UNKNOWN_PROPERTY);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_HOST, 1), SMTP_ERROR_UNKNOWN_PROPERTY);
    CHECK_SAME(SmtpGetInteger(client, SMTP_PROPERTY_HOST, &value), SMTP_ERROR_UNKNOWN_PROPERTY);
    /* The wrong direction. */
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_QUEUE_ID, "x"), SMTP_ERROR_READ_ONLY_PROPERTY);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_OUTCOME, 1), SMTP_ERROR_READ_ONLY_PROPERTY);
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_PASSWORD, buffer, sizeof buffer, &length),
               SMTP_ERROR_WRITE_ONLY_PROPERTY);
    CHECK_TEXT(buffer, "untouched");
    CHECK_SAME(length, 77);
    CHECK_SAME(value, 77);
}

static void impossible_values(SmtpClient *client)
{
    static const struct {
        uint32_t property;
        int64_t value;
    } table[] = {
        {SMTP_PROPERTY_PORT, -1},
        {SMTP_PROPERTY_PORT, 65536},
        {SMTP_PROPERTY_PORT, INT64_MIN},
        {SMTP_PROPERTY_PORT, INT64_MAX},
        {SMTP_PROPERTY_OPTIONS, -1},
        {SMTP_PROPERTY_OPTIONS, 0x40000000},
        {SMTP_PROPERTY_OPTIONS, (int64_t)1 << 40},
        {SMTP_PROPERTY_TLS_MODE, 4},
        {SMTP_PROPERTY_TLS_MODE, -1},
        {SMTP_PROPERTY_INSECURE_AUTH, 2},
        {SMTP_PROPERTY_INSECURE_SKIP_VERIFY, -1},
        {SMTP_PROPERTY_ALL_OR_NOTHING, 2},
        {SMTP_PROPERTY_ALL_OR_NOTHING, -1},
        {SMTP_PROPERTY_ALL_OR_NOTHING, (int64_t)1 << 32},
        {SMTP_PROPERTY_TIMEOUT, -1},
        {SMTP_PROPERTY_TIMEOUT_MAIL, (int64_t)1 << 31},
        {SMTP_PROPERTY_TIMEOUT_QUIT, INT64_MIN},
        {SMTP_PROPERTY_LAST_ERROR, 1},
        {SMTP_PROPERTY_LAST_ERROR, SMTP_ERROR_TIMEOUT},
    };
    size_t i;
    for (i = 0; i < sizeof table / sizeof *table; i++) {
        int64_t before = integer(client, table[i].property);
        CHECK_SAME(SmtpSetInteger(client, table[i].property, table[i].value), SMTP_ERROR_INVALID_PARAMETER);
        if (table[i].property != SMTP_PROPERTY_LAST_ERROR) {
            CHECK_SAME(integer(client, table[i].property), before);
        }
    }
}

static void bad_arguments_of_connect(SmtpClient *client)
{
    static const int32_t expected = SMTP_ERROR_INVALID_PARAMETER;
    CHECK_SAME(SmtpConnect(client, HOST, 70000, 0, 0), expected);
    CHECK_SAME(SmtpConnect(client, HOST, 65536, 0, 0), expected);
    CHECK_SAME(SmtpConnect(client, HOST, 0xFFFFFFFF, 0, 0), expected);
    CHECK_SAME(SmtpConnect(client, HOST, 25, 0, 0x40000000), expected);
    CHECK_SAME(SmtpConnect(client, HOST, 25, 0, 0x2), expected);
    CHECK_SAME(SmtpAttachSocket(client, 0, HOST, 0x2), expected);
    CHECK_SAME(SmtpConnect(client, HOST, 25, 0, SMTP_OPTION_BASIC | SMTP_OPTION_SECURE), expected);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 1);
}

static void connect_twice(SmtpClient *client)
{
    CHECK_SAME(SmtpConnect(client, HOST, 9, 0, 0), SMTP_ERROR_ALREADY_CONNECTED);
    CHECK_SAME(SmtpAttachSocket(client, 0, HOST, 0), SMTP_ERROR_ALREADY_CONNECTED);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 1);
}

static void unknown_events(SmtpClient *client)
{
    int before = destroyed;
    CHECK_SAME(SmtpRegisterEvent(client, 0x40000000, ignore_event, NULL, count_destroy), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpRegisterEvent(client, 0x4, ignore_event, NULL, count_destroy), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(destroyed, before + 2);
    CHECK_SAME(SmtpRegisterEvent(client, 0, NULL, NULL, NULL), 0);
}

static void short_buffers(SmtpClient *client)
{
    static const char name[] = "client.example";
    char buffer[32];
    size_t length, capacity;
    for (capacity = 1; capacity <= sizeof name; capacity++) {
        int fits = capacity == sizeof name;
        memset(buffer, 'x', sizeof buffer);
        length = 0;
        CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_LOCAL_NAME, buffer, capacity, &length),
                   fits ? 0 : SMTP_ERROR_BUFFER_TOO_SMALL);
        CHECK_SAME(length, strlen(name));
        CHECK_SAME(strlen(buffer), capacity - 1);
        CHECK(memcmp(buffer, name, capacity - 1) == 0);
        CHECK_SAME(buffer[capacity], 'x');
    }
    buffer[0] = 'x';
    length = 0;
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_LOCAL_NAME, buffer, 0, &length), SMTP_ERROR_BUFFER_TOO_SMALL);
    CHECK_SAME(buffer[0], 'x');
    CHECK_SAME(length, strlen(name));
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_LOCAL_NAME, NULL, 0, &length), 0);

    /* Cut at a character, not in the middle of one. */
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_USER, "\xC3\xA9\xC3\xA9"), 0);
    CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_USER, buffer, 4, &length), SMTP_ERROR_BUFFER_TOO_SMALL);
    CHECK_TEXT(buffer, "\xC3\xA9");
    CHECK_SAME(length, 4);
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_USER, NULL), 0);

    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_PORT, -1), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpCopyLastErrorString(client, NULL, 0, &length), 0);
    CHECK_SAME(length, strlen(SmtpGetLastErrorString(client)));
    CHECK_SAME(SmtpCopyLastErrorString(client, buffer, 5, &length), SMTP_ERROR_BUFFER_TOO_SMALL);
    CHECK_SAME(strlen(buffer), 4);
    CHECK_SAME(length, strlen(SmtpGetLastErrorString(client)));
}

static void null_file(SmtpClient *client)
{
    CHECK_SAME(SmtpSendFile(client, NULL, RECIPIENT, "/dev/null"), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpSendFile(client, SENDER, NULL, "/dev/null"), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpSendFile(client, SENDER, RECIPIENT, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
}

/* Nothing is sent before the file is open. */
static void unusable_files(SmtpClient *client)
{
    static const char *const paths[] = {"", "/no/such/file", "/dev/null/x", "/", ".", "/no\r\nQUIT", NULL};
    char long_path[20000];
    int i;
    for (i = 0; paths[i] != NULL; i++) {
        CHECK_SAME(SmtpSendFile(client, SENDER, RECIPIENT, paths[i]), SMTP_ERROR_FILE);
        CHECK_SAME(integer(client, SMTP_PROPERTY_ERROR_CLASS), SMTP_CLASS_CALLER);
        CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
        CHECK(strpbrk(SmtpGetLastErrorString(client), "\r\n") == NULL);
        CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 1);
    }
    CHECK_SAME(SmtpSendFile(client, SENDER, RECIPIENT, "/no/such/file"), SMTP_ERROR_FILE);
    CHECK_SAME(integer(client, SMTP_PROPERTY_ERROR_OS), ENOENT);
    memset(long_path, 'a', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    CHECK_SAME(SmtpSendFile(client, SENDER, RECIPIENT, long_path), SMTP_ERROR_FILE);
    for (i = 0; NOT_UTF8[i] != NULL; i++) {
        CHECK_SAME(SmtpSendFile(client, SENDER, RECIPIENT, NOT_UTF8[i]), SMTP_ERROR_INVALID_UTF8);
        CHECK_SAME(SmtpSendFile(client, NOT_UTF8[i], RECIPIENT, "/dev/null"), SMTP_ERROR_INVALID_UTF8);
        CHECK_SAME(SmtpSendFile(client, SENDER, NOT_UTF8[i], "/dev/null"), SMTP_ERROR_INVALID_UTF8);
    }
    for (i = 0; INJECTIONS[i] != NULL; i++) {
        CHECK_SAME(SmtpSendFile(client, INJECTIONS[i], RECIPIENT, "/dev/null"), SMTP_ERROR_INVALID_ADDRESS);
        CHECK_SAME(SmtpSendFile(client, SENDER, INJECTIONS[i], "/dev/null"), SMTP_ERROR_INVALID_ADDRESS);
    }
}

static void unusable_streams(SmtpClient *client)
{
    static const uint64_t size = SMTP_SIZE_UNKNOWN;
    int i, before = asked;
    CHECK_SAME(SmtpSendStream(client, SENDER, RECIPIENT, size, NULL, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpSendStream(client, SENDER, RECIPIENT, 0, NULL, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpSendStream(client, NULL, RECIPIENT, size, count_asked, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpSendStream(client, SENDER, NULL, size, count_asked, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpSendStream(client, SENDER, "", size, count_asked, NULL), SMTP_ERROR_NO_RECIPIENTS);
    for (i = 0; NOT_UTF8[i] != NULL; i++) {
        CHECK_SAME(SmtpSendStream(client, NOT_UTF8[i], RECIPIENT, size, count_asked, NULL), SMTP_ERROR_INVALID_UTF8);
        CHECK_SAME(SmtpSendStream(client, SENDER, NOT_UTF8[i], size, count_asked, NULL), SMTP_ERROR_INVALID_UTF8);
    }
    for (i = 0; INJECTIONS[i] != NULL; i++) {
        CHECK_SAME(SmtpSendStream(client, INJECTIONS[i], RECIPIENT, size, count_asked, NULL),
                   SMTP_ERROR_INVALID_ADDRESS);
        CHECK_SAME(SmtpSendStream(client, SENDER, INJECTIONS[i], size, count_asked, NULL),
                   SMTP_ERROR_INVALID_ADDRESS);
    }
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_NOT_SENT);
    CHECK_SAME(asked, before);
}

static void null_commands(SmtpClient *client)
{
    char buffer[16] = "untouched";
    size_t length = 77;
    CHECK_SAME(SmtpCommand(client, NULL, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpCommand(client, NULL, "x"), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpVerifyAddress(client, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpExpandAddress(client, NULL, buffer, sizeof buffer, &length), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpHelp(client, "x", NULL, 1, &length), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpExtendedTurn(client, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpSetData(client, SMTP_PROPERTY_CLIENT_KEY_DATA, NULL, 1), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpSetData(client, SMTP_PROPERTY_CLIENT_KEY_DATA, "x", (size_t)-2), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpSetData(client, SMTP_PROPERTY_HOST, "x", 1), SMTP_ERROR_UNKNOWN_PROPERTY);
    CHECK_SAME(SmtpSetData(client, SMTP_PROPERTY_PORT, "x", 1), SMTP_ERROR_UNKNOWN_PROPERTY);
    CHECK_SAME(SmtpSetData(client, SMTP_PROPERTY_CLIENT_KEY_DATA, "\0\377", 2), 0);
    CHECK_SAME(SmtpSetData(client, SMTP_PROPERTY_CLIENT_KEY_DATA, NULL, 0), 0);
    CHECK_SAME(SmtpGetCertificate(client, 0, buffer, sizeof buffer, &length), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpGetCertificate(client, (size_t)-1, NULL, 0, NULL), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpGetCertificateString(client, 0, SMTP_PROPERTY_CERTIFICATE_SUBJECT, buffer, sizeof buffer, &length),
               SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpGetCapability(client, NULL, buffer, sizeof buffer, &length), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpGetCapability(client, "A B", buffer, sizeof buffer, &length), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpGetCapability(client, "X-NONE", buffer, sizeof buffer, &length), SMTP_ERROR_EXTENSION_UNAVAILABLE);
    CHECK_TEXT(buffer, "untouched");
    CHECK_SAME(length, 77);
}

static void injected_commands(SmtpClient *client)
{
    static const char *const verbs[] = {
        "",       " ",      "NOOP ",    " NOOP",    "NOOP\r\n", "NOOP\r\nQUIT", "NO OP",       "NOOP\n",       "NOOP\r",
        "NOOP\t", "NOOP.",  "NOOP\x01", "NOOP\x7F", "N\xC3\xA9", "MAIL FROM:",    "QUIT\xC2\x85", "DATA\r",       NULL};
    static const char *const parameters[] = {"x\r\nQUIT", "x\n", "x\r", "\r\n", "\r\n.\r\n", "\t", "x\x01", "x\x7F",
                                             "j\xC3\xA9", "x\xC2\x85y", "x\xE2\x80\xA8y", NULL};
    char line[600];
    int i;
    for (i = 0; verbs[i] != NULL; i++) {
        CHECK_SAME(SmtpCommand(client, verbs[i], NULL), SMTP_ERROR_INVALID_PARAMETER);
        CHECK_SAME(SmtpCommand(client, verbs[i], "x"), SMTP_ERROR_INVALID_PARAMETER);
        CHECK(strpbrk(SmtpGetLastErrorString(client), "\r\n\x01\x7F") == NULL);
    }
    for (i = 0; parameters[i] != NULL; i++) {
        CHECK_SAME(SmtpCommand(client, "NOOP", parameters[i]), SMTP_ERROR_INVALID_PARAMETER);
        CHECK(strpbrk(SmtpGetLastErrorString(client), "\r\n\x01\x7F") == NULL);
    }
    for (i = 0; NOT_UTF8[i] != NULL; i++) {
        CHECK_SAME(SmtpCommand(client, NOT_UTF8[i], NULL), SMTP_ERROR_INVALID_UTF8);
        CHECK_SAME(SmtpCommand(client, "NOOP", NOT_UTF8[i]), SMTP_ERROR_INVALID_UTF8);
        CHECK_SAME(SmtpVerifyAddress(client, NOT_UTF8[i]), SMTP_ERROR_INVALID_UTF8);
        CHECK_SAME(SmtpHelp(client, NOT_UTF8[i], line, sizeof line, NULL), SMTP_ERROR_INVALID_UTF8);
        CHECK_SAME(SmtpExtendedTurn(client, NOT_UTF8[i]), SMTP_ERROR_INVALID_UTF8);
        CHECK_SAME(SmtpGetCapability(client, NOT_UTF8[i], line, sizeof line, NULL), SMTP_ERROR_INVALID_UTF8);
        CHECK_SAME(SmtpSetRecipientDelivery(client, NOT_UTF8[i], 0, NULL), SMTP_ERROR_INVALID_UTF8);
        CHECK_SAME(SmtpSetRecipientDelivery(client, RECIPIENT, 0, NOT_UTF8[i]), SMTP_ERROR_INVALID_UTF8);
        CHECK_SAME(SmtpExpandAddress(client, NOT_UTF8[i], line, sizeof line, NULL), SMTP_ERROR_INVALID_UTF8);
    }
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    CHECK_SAME(SmtpCommand(client, line, NULL), SMTP_ERROR_TOO_LONG);
    CHECK_SAME(SmtpCommand(client, "NOOP", line), SMTP_ERROR_TOO_LONG);
    /* With its verb and blank, one octet too many for a line (RFC 5321 section 4.5.3.1.4). */
    line[510 - strlen("NOOP ") + 1] = '\0';
    CHECK_SAME(SmtpCommand(client, "NOOP", line), SMTP_ERROR_TOO_LONG);
}

static void injected_questions(SmtpClient *client)
{
    static const char *const names[] = {"x\r\nQUIT", "x\ny", "x\x01y", "x\x7Fy", "x\xC2\x85y", NULL};
    char buffer[16] = "untouched";
    size_t length = 77;
    int i;
    for (i = 0; INJECTIONS[i] != NULL; i++) {
        CHECK_SAME(SmtpVerifyAddress(client, INJECTIONS[i]), SMTP_ERROR_INVALID_ADDRESS);
        CHECK_SAME(SmtpExpandAddress(client, INJECTIONS[i], buffer, sizeof buffer, &length),
                   SMTP_ERROR_INVALID_ADDRESS);
    }
    for (i = 0; names[i] != NULL; i++) {
        CHECK_SAME(SmtpVerifyAddress(client, names[i]), SMTP_ERROR_INVALID_PARAMETER);
        CHECK_SAME(SmtpExpandAddress(client, names[i], buffer, sizeof buffer, &length), SMTP_ERROR_INVALID_PARAMETER);
        CHECK_SAME(SmtpHelp(client, names[i], buffer, sizeof buffer, &length), SMTP_ERROR_INVALID_PARAMETER);
        CHECK_SAME(SmtpExtendedTurn(client, names[i]), SMTP_ERROR_INVALID_PARAMETER);
        CHECK_SAME(SmtpSetRecipientDelivery(client, names[i], 0, NULL), SMTP_ERROR_INVALID_ADDRESS);
        CHECK_SAME(SmtpSetRecipientDelivery(client, RECIPIENT, 0, names[i]), SMTP_ERROR_INVALID_ADDRESS);
    }
    /* Beyond ASCII, and the server does not offer SMTPUTF8. */
    CHECK_SAME(SmtpVerifyAddress(client, "j\xC3\xA9"), SMTP_ERROR_SMTPUTF8_REQUIRED);
    CHECK_SAME(SmtpExpandAddress(client, "j\xC3\xA9", buffer, sizeof buffer, &length), SMTP_ERROR_SMTPUTF8_REQUIRED);
    CHECK_SAME(SmtpSetRecipientDelivery(client, NULL, 0, NULL), 0);
    CHECK_TEXT(buffer, "untouched");
    CHECK_SAME(length, 77);
}

static void unsuitable_commands(SmtpClient *client)
{
    static const char *const verbs[] = {"DATA", "data", "DaTa",  "BDAT", "bdat", "BURL", "AUTH",     "Auth", "MAIL",
                                        "mail", "RCPT", "EHLO",  "ehlo", "HELO", "LHLO", "QUIT",     "quit", "qUIT",
                                        "TURN", "turn", "STARTTLS", "starttls", "StartTLS", NULL};
    int i;
    for (i = 0; verbs[i] != NULL; i++) {
        CHECK_SAME(SmtpCommand(client, verbs[i], NULL), SMTP_ERROR_UNSUITABLE_COMMAND);
        CHECK_SAME(SmtpCommand(client, verbs[i], ""), SMTP_ERROR_UNSUITABLE_COMMAND);
        CHECK_SAME(SmtpCommand(client, verbs[i], "FROM:<x@y.example>"), SMTP_ERROR_UNSUITABLE_COMMAND);
        CHECK_SAME(integer(client, SMTP_PROPERTY_ERROR_CLASS), SMTP_CLASS_CALLER);
    }
}

/* Of the message before, which had one recipient. */
static void wrong_recipients(SmtpClient *client)
{
    static const uint32_t wrong_sizes[] = {0, 1, sizeof(SmtpRecipient) - 1};
    static const size_t wrong_indices[] = {1, 2, (size_t)-1, (size_t)-1 / 2};
    SmtpRecipient recipient, before;
    char buffer[16] = "untouched";
    size_t length = 77, i;

    memset(&before, 77, sizeof before);
    recipient = before;
    CHECK_SAME(SmtpGetRecipientCount(client, NULL), SMTP_ERROR_NULL_POINTER);
    CHECK_SAME(SmtpGetRecipient(client, 0, NULL), SMTP_ERROR_NULL_POINTER);
    for (i = 0; i < sizeof wrong_sizes / sizeof *wrong_sizes; i++) {
        before.size = recipient.size = wrong_sizes[i];
        CHECK_SAME(SmtpGetRecipient(client, 0, &recipient), SMTP_ERROR_INVALID_PARAMETER);
        CHECK(memcmp(&recipient, &before, sizeof recipient) == 0);
    }
    before.size = recipient.size = sizeof recipient;
    for (i = 0; i < sizeof wrong_indices / sizeof *wrong_indices; i++) {
        size_t index = wrong_indices[i];
        CHECK_SAME(SmtpGetRecipient(client, index, &recipient), SMTP_ERROR_INVALID_PARAMETER);
        CHECK_SAME(SmtpGetRecipientString(client, index, SMTP_RECIPIENT_TEXT_ADDRESS, buffer, sizeof buffer, &length),
                   SMTP_ERROR_INVALID_PARAMETER);
    }
    CHECK(memcmp(&recipient, &before, sizeof recipient) == 0);
    CHECK_SAME(SmtpGetRecipientString(client, 0, 0, buffer, sizeof buffer, &length), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpGetRecipientString(client, 0, 3, buffer, sizeof buffer, &length), SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpGetRecipientString(client, 0, 0xFFFFFFFF, buffer, sizeof buffer, &length),
               SMTP_ERROR_INVALID_PARAMETER);
    CHECK_SAME(SmtpGetRecipientString(client, 0, SMTP_RECIPIENT_TEXT_ADDRESS, NULL, 9, &length),
               SMTP_ERROR_NULL_POINTER);
    CHECK_TEXT(buffer, "untouched");
    CHECK_SAME(length, 77);

    /* What all of that left unharmed. */
    CHECK_SAME(SmtpGetRecipientCount(client, &length), 0);
    CHECK_SAME(length, 1);
    CHECK_SAME(SmtpGetRecipient(client, 0, &recipient), 0);
    CHECK_SAME(recipient.size, sizeof recipient);
    CHECK_SAME(recipient.state, SMTP_RECIPIENT_ACCEPTED);
    CHECK_SAME(recipient.result_code, 0);
    CHECK_SAME(recipient.enhanced_class + recipient.enhanced_subject + recipient.enhanced_detail, 0);
    CHECK_SAME(SmtpGetRecipientString(client, 0, SMTP_RECIPIENT_TEXT_ADDRESS, buffer, 4, &length),
               SMTP_ERROR_BUFFER_TOO_SMALL);
    CHECK_TEXT(buffer, "one");
    CHECK_SAME(length, strlen(RECIPIENT));
    CHECK_SAME(SmtpGetRecipientString(client, 0, SMTP_RECIPIENT_TEXT_REPLY, buffer, sizeof buffer, &length), 0);
    CHECK_TEXT(buffer, "");
    CHECK_SAME(length, 0);
}

/* A structure of a later version: what this one does not know stays as it is. */
static void larger_recipient(SmtpClient *client)
{
    struct {
        SmtpRecipient known;
        char unknown[24];
    } larger;
    size_t i;
    memset(&larger, 77, sizeof larger);
    larger.known.size = sizeof larger;
    CHECK_SAME(SmtpGetRecipient(client, 0, &larger.known), 0);
    CHECK_SAME(larger.known.size, sizeof larger);
    CHECK_SAME(larger.known.state, SMTP_RECIPIENT_ACCEPTED);
    for (i = 0; i < sizeof larger.unknown; i++) {
        CHECK_SAME(larger.unknown[i], 77);
    }
}

typedef void (*Misuse)(SmtpClient *client);

static const Misuse MISUSES[] = {
    null_sender,        null_recipients,   null_message,      impossible_length,        null_outputs,
    no_credentials,     bad_utf8,          injected_addresses, missing_addresses,       injected_texts,
    unknown_properties, impossible_values, bad_arguments_of_connect, connect_twice,     unknown_events,
    short_buffers,      null_file,         unusable_files,    unusable_streams,         null_commands,
    injected_commands,  injected_questions, unsuitable_commands, wrong_recipients,      larger_recipient,
};

enum { MISUSE_COUNT = sizeof MISUSES / sizeof *MISUSES };

/* One connection throughout; behind each misuse a message of its own, octet for octet. */
static void misuse_of_a_session(void)
{
    static const struct action hello[] = {HELLO};
    static const struct action envelope[] = {TO_CONTENT};
    static const struct action goodbye[] = {GOODBYE, EXPECT_END, END};
    static struct action script[64 + MISUSE_COUNT * 16];
    static char messages[MISUSE_COUNT][64], contents[MISUSE_COUNT][64];
    static const struct action end[] = {SEND(QUEUED)};
    struct action *next = script;
    struct server server;
    SmtpClient *client = new_client();
    char queue_id[32];
    int i;

    memcpy(next, hello, sizeof hello);
    next += sizeof hello / sizeof *hello;
    for (i = 0; i < MISUSE_COUNT; i++) {
        snprintf(messages[i], sizeof messages[i], "Subject: %d\r\n\r\n.Hello\n.\n", i);
        snprintf(contents[i], sizeof contents[i], "Subject: %d\r\n\r\n..Hello\r\n..\r\n.\r\n", i);
        memcpy(next, envelope, sizeof envelope);
        next += sizeof envelope / sizeof *envelope;
        next->kind = EXPECT_TEXT;
        next->text = contents[i];
        next++;
        *next++ = end[0];
    }
    memcpy(next, goodbye, sizeof goodbye);

    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    for (i = 0; i < MISUSE_COUNT; i++) {
        MISUSES[i](client);
        if (!CHECK_SAME(SmtpSendMessage(client, SENDER, RECIPIENT, messages[i], strlen(messages[i])), 0)) {
            printf("after misuse number %d: %s\n", i, SmtpGetLastErrorString(client));
            break;
        }
        CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_ACCEPTED);
        CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_QUEUE_ID, queue_id, sizeof queue_id, NULL), 0);
        CHECK_TEXT(queue_id, "4F1B2");
    }
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* Texts that are dangerous in an address and harmless in a login, where they are encoded. */
static void injected_login(void)
{
    static const struct action script[] = {
        HELLO, EXPECT("AUTH PLAIN AHUNClFVSVQAcA0KUVVJVA==\r\n"), SEND("235 2.7.0 Ok\r\n"),
        TRANSACTION, GOODBYE, EXPECT_END, END};
    struct server server;
    SmtpClient *client = new_client();
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(SmtpAuthenticate(client, "u\r\nQUIT", "p\r\nQUIT"), 0);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* The command is sent and answered, whatever there is room for; the session goes on. */
static void short_buffers_of_expand(void)
{
#define MEMBERS "Ren\xC3\xA9 <rene@mail.example>\ntwo@mail.example"
#define EXPANSION EXPECT("EXPN list\r\n"), SEND("250-Ren\xC3\xA9 <rene@mail.example>\r\n250 two@mail.example\r\n")
    static const struct action script[] = {
        HELLO, EXPANSION, TRANSACTION, EXPANSION, TRANSACTION, EXPANSION, TRANSACTION, EXPANSION, TRANSACTION,
        EXPANSION, TRANSACTION, EXPANSION, TRANSACTION,
        EXPECT("EXPN list\r\n"), SEND("550 5.1.1 No such list\r\n"), TRANSACTION, GOODBYE, EXPECT_END, END};
    /* The fourth ends in the middle of a character; the last has room for all. */
    static const struct {
        size_t capacity;
        const char *text;
    } cases[] = {{0, NULL}, {1, ""}, {4, "Ren"}, {5, "Ren"}, {sizeof MEMBERS - 1, NULL}, {sizeof MEMBERS, MEMBERS}};
    struct server server;
    SmtpClient *client = new_client();
    char buffer[128], whole[128], cut[sizeof MEMBERS];
    size_t length, i;
    strcpy(cut, MEMBERS);
    cut[sizeof MEMBERS - 2] = '\0';
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t capacity = cases[i].capacity;
        int fits = capacity == sizeof MEMBERS;
        memset(buffer, 'x', sizeof buffer);
        length = 0;
        CHECK_SAME(SmtpExpandAddress(client, "list", buffer, capacity, &length),
                   fits ? 0 : SMTP_ERROR_BUFFER_TOO_SMALL);
        CHECK_SAME(length, strlen(MEMBERS));
        CHECK_SAME(buffer[capacity], 'x');
        if (capacity != 0) {
            CHECK_TEXT(buffer, cases[i].text != NULL ? cases[i].text : cut);
        }
        CHECK_SAME(SmtpGetString(client, SMTP_PROPERTY_RESULT_STRING, whole, sizeof whole, NULL), 0);
        CHECK_TEXT(whole, MEMBERS);
        CHECK_SAME(integer(client, SMTP_PROPERTY_RESULT_CODE), 250);
        CHECK_SAME(send_test_message(client), 0);
    }
    strcpy(buffer, "untouched");
    length = 77;
    CHECK_SAME(SmtpExpandAddress(client, "list", buffer, sizeof buffer, &length), SMTP_ERROR_COMMAND_REJECTED);
    CHECK_TEXT(buffer, "untouched");
    CHECK_SAME(length, 77);
    CHECK_SAME(integer(client, SMTP_PROPERTY_ERROR_PHASE), SMTP_PHASE_COMMAND);
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* The longest line there may be, and replies that do not belong to a command of this kind. */
static void commands_at_the_limit(void)
{
    static char line[510 + 16], parameter[510];
    static struct action script[] = {HELLO, EXPECT(line), SEND(OK), EXPECT("VRFY one two\r\n"), SEND("252 Perhaps\r\n"),
                                     EXPECT("NOOP\r\n"), SEND("550 No\r\n"), TRANSACTION,
                                     EXPECT("X-THING a=<b>\r\n"), SEND("354 Go on\r\n"), EXPECT_END, END};
    static const struct action closing[] = {HELLO, EXPECT("NOOP\r\n"), SEND("421 4.3.2 Bye\r\n"), EXPECT_END, END};
    struct server server;
    SmtpClient *client = new_client();
    memset(parameter, 'x', 510 - strlen("NOOP "));
    snprintf(line, sizeof line, "NOOP %s\r\n", parameter);
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(SmtpCommand(client, "NOOP", parameter), 0);
    CHECK_SAME(SmtpVerifyAddress(client, " one two "), 0);
    CHECK_SAME(integer(client, SMTP_PROPERTY_RESULT_CODE), 252);
    CHECK_SAME(SmtpNoop(client), SMTP_ERROR_COMMAND_REJECTED);
    CHECK_SAME(integer(client, SMTP_PROPERTY_ERROR_RESULT_CODE), 550);
    CHECK_SAME(send_test_message(client), 0);
    /* The server waits for something, and nobody knows for what. */
    CHECK_SAME(SmtpCommand(client, "X-THING", "a=<b>"), SMTP_ERROR_PROTOCOL);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 0);
    CHECK(server_finish(&server));
    SmtpDisconnect(client);
    server_start(&server, closing);
    CHECK_SAME(connect_to(client, &server), 0);
    CHECK_SAME(SmtpNoop(client), SMTP_ERROR_SERVER_CLOSING);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* What is known of each recipient, and one refusal that stops the message for all. */
static void refused_recipients(void)
{
#define THREE RECIPIENT ", Two <two@mail.example>, three@mail.example"
#define ENVELOPE                                                                                                  \
    EXPECT(MAIL), SEND(OK), EXPECT(RCPT), SEND(OK), EXPECT("RCPT TO:<two@mail.example>\r\n"),                     \
        SEND("550-5.1.1 Nobody\r\n550 5.1.1 here\r\n"), EXPECT("RCPT TO:<three@mail.example>\r\n"),            \
        SEND("451 Later\r\n")
    static const struct action script[] = {
        HELLO, ENVELOPE, EXPECT("DATA\r\n"), SEND("354 Go on\r\n"), EXPECT(MESSAGE ".\r\n"), SEND(QUEUED),
        ENVELOPE, EXPECT("RSET\r\n"), SEND(OK), TRANSACTION, GOODBYE, EXPECT_END, END};
    static const SmtpRecipient expected[] = {{sizeof(SmtpRecipient), SMTP_RECIPIENT_ACCEPTED, 0, 0, 0, 0},
                                             {sizeof(SmtpRecipient), SMTP_RECIPIENT_REFUSED_PERMANENT, 550, 5, 1, 1},
                                             {sizeof(SmtpRecipient), SMTP_RECIPIENT_REFUSED_TEMPORARY, 451, 0, 0, 0}};
    static const char *const addresses[] = {RECIPIENT, "two@mail.example", "three@mail.example"};
    static const char *const replies[] = {"", "5.1.1 Nobody\n5.1.1 here", "Later"};
    struct server server;
    SmtpClient *client = new_client();
    SmtpRecipient recipient;
    char text[64];
    size_t count, i;
    int wanted;
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    for (wanted = 0; wanted < 2; wanted++) {
        CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_ALL_OR_NOTHING, wanted), 0);
        CHECK_SAME(SmtpSendMessage(client, SENDER, THREE, MESSAGE, SMTP_NUL_TERMINATED),
                   wanted ? SMTP_ERROR_RECIPIENT_REJECTED : 0);
        CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME) == SMTP_OUTCOME_ACCEPTED, !wanted);
        CHECK_SAME(integer(client, SMTP_PROPERTY_SAFE_TO_RETRY), wanted);
        CHECK_SAME(SmtpGetRecipientCount(client, &count), 0);
        CHECK_SAME(count, 3);
        for (i = 0; i < 3; i++) {
            memset(&recipient, 77, sizeof recipient);
            recipient.size = sizeof recipient;
            CHECK_SAME(SmtpGetRecipient(client, i, &recipient), 0);
            /* Whoever was accepted gets nothing either. */
            CHECK_SAME(recipient.state, wanted && i == 0 ? SMTP_RECIPIENT_NOT_TRIED : expected[i].state);
            recipient.state = expected[i].state;
            CHECK(memcmp(&recipient, &expected[i], sizeof recipient) == 0);
            CHECK_SAME(SmtpGetRecipientString(client, i, SMTP_RECIPIENT_TEXT_ADDRESS, text, sizeof text, NULL), 0);
            CHECK_TEXT(text, addresses[i]);
            CHECK_SAME(SmtpGetRecipientString(client, i, SMTP_RECIPIENT_TEXT_REPLY, text, sizeof text, NULL), 0);
            CHECK_TEXT(text, replies[i]);
        }
    }
    CHECK_SAME(send_test_message(client), 0);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
}

static void bad_hosts(void)
{
    static const char *const hosts[] = {"a b",  "mail.example\r\nQUIT", "mail.example\n",
                                        "\x01", "b\xE2\x80\xA8.example", NULL};
    SmtpClient *client = new_client();
    char long_host[5000];
    int i;
    for (i = 0; hosts[i] != NULL; i++) {
        CHECK_SAME(SmtpConnect(client, hosts[i], 25, 1000, 0), SMTP_ERROR_INVALID_PARAMETER);
        CHECK(strpbrk(SmtpGetLastErrorString(client), "\r\n\x01") == NULL);
    }
    memset(long_host, 'a', sizeof long_host - 1);
    long_host[sizeof long_host - 1] = '\0';
    CHECK(SmtpConnect(client, long_host, 25, 5000, 0) < 0);
    CHECK_SAME(integer(client, SMTP_PROPERTY_IS_CONNECTED), 0);
    CHECK_SAME(SmtpClientRelease(client), 0);
}

/* What a thread and what a client remember of failures. */
static void last_errors(void)
{
    SmtpClient *client = new_client();
    CHECK_TEXT(SmtpGetLastErrorString(client), "");
    CHECK_SAME(SmtpReset(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpGetLastError(NULL), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_PORT, 25), 0);
    CHECK_SAME(SmtpGetLastError(NULL), 0);
    CHECK_SAME(SmtpGetLastError(client), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(integer(client, SMTP_PROPERTY_LAST_ERROR), SMTP_ERROR_NOT_CONNECTED);
    CHECK_SAME(SmtpSetInteger(client, SMTP_PROPERTY_LAST_ERROR, 0), 0);
    CHECK_SAME(SmtpGetLastError(client), 0);
    CHECK_TEXT(SmtpGetLastErrorString(client), "");
    CHECK_SAME(SmtpClientRelease(client), 0);
}

int main(void)
{
    check_begin();
    reactor = SmtpReactorCreate();
    CHECK(reactor != NULL);
    RUN(bad_handles);
    RUN(bad_handles_of_other_types);
    RUN(bad_messages);
    RUN(checks_and_signatures);
    RUN(wrong_order);
    RUN(misuse_of_a_session);
    RUN(injected_login);
    RUN(short_buffers_of_expand);
    RUN(commands_at_the_limit);
    RUN(refused_recipients);
    RUN(bad_hosts);
    RUN(last_errors);
    CHECK_SAME(SmtpReactorRelease(reactor), 0);
    return check_end();
}
