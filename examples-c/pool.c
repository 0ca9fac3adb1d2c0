/* Sends many messages over a few connections, and reports on each of them.
 *
 *     pool SERVER PORT FROM TO MESSAGE...
 *
 * Each MESSAGE is a file with a finished message. The report is one line for each:
 * file, outcome, and what the server said or what went wrong, separated by tabs. For a login,
 * set SMTP_USER and SMTP_PASSWORD; the password is sent over verified TLS only. The
 * exit status is 0 if every message was accepted, 1 if not, 2 for a wrong command line.
 */
#include <smtpclient.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By the SMTP_OUTCOME_ constants. */
static const char *const OUTCOMES[] = {"not sent", "accepted", "rejected for now", "rejected", "unknown"};

static int32_t set_up(SmtpPool *pool, char **arguments)
{
    const char *user = getenv("SMTP_USER");
    int32_t result = SmtpPoolSetString(pool, SMTP_PROPERTY_HOST, arguments[1]);
    if (result == SMTP_OK) {
        result = SmtpPoolSetInteger(pool, SMTP_PROPERTY_PORT, strtol(arguments[2], NULL, 10));
    }
    if (result == SMTP_OK) {
        result = SmtpPoolSetInteger(pool, SMTP_POOL_CONNECTIONS, 4);
    }
    if (result == SMTP_OK && user != NULL) {
        result = SmtpPoolSetString(pool, SMTP_PROPERTY_USER, user);
    }
    if (result == SMTP_OK && user != NULL) {
        result = SmtpPoolSetString(pool, SMTP_PROPERTY_PASSWORD, getenv("SMTP_PASSWORD"));
    }
    return result;
}

/* Prints a line for each message; 1 if all were accepted. */
static int report(SmtpPool *pool)
{
    int everything = 1;
    for (;;) {
        char text[1000];
        SmtpPoolResult result = {0};
        uint32_t which;
        int32_t waited;
        result.size = sizeof result;
        waited = SmtpPoolWait(pool, 60000, &result);
        if (waited == SMTP_PENDING) {
            continue;
        }
        if (waited != SMTP_OK) {
            /* SMTP_ERROR_POOL_CLOSED: every message was told. */
            return everything && waited == SMTP_ERROR_POOL_CLOSED;
        }
        which = result.code == 0 ? SMTP_POOL_TEXT_REPLY : SMTP_POOL_TEXT_ERROR;
        SmtpPoolGetResultString(pool, result.id, which, text, sizeof text, NULL);
        text[strcspn(text, "\n")] = '\0';
        printf("%s\t%s\t%s\n", (const char *)result.tag, OUTCOMES[result.outcome], text);
        everything = everything && result.outcome == SMTP_OUTCOME_ACCEPTED;
    }
}

int main(int count, char **arguments)
{
    SmtpPool *pool;
    int i, everything = 1;

    if (count < 6) {
        fputs("Usage: pool SERVER PORT FROM TO MESSAGE...\n", stderr);
        return 2;
    }
    pool = SmtpPoolCreate();
    if (pool == NULL || set_up(pool, arguments) != SMTP_OK) {
        fprintf(stderr, "pool: %s\n", SmtpGetLastErrorString(NULL));
        SmtpPoolRelease(pool);
        return 1;
    }
    for (i = 5; i < count; i++) {
        SmtpMessageInfo message = {0};
        message.size = sizeof message;
        message.sender = arguments[3];
        message.recipients = arguments[4];
        message.path = arguments[i];
        /* Waits for room if too many wait already. */
        if (SmtpPoolSubmit(pool, &message, NULL, arguments[i], 600000, NULL) != SMTP_OK) {
            fprintf(stderr, "pool: %s: %s\n", arguments[i], SmtpGetLastErrorString(NULL));
            everything = 0;
        }
    }
    SmtpPoolDrain(pool, 0);
    everything = report(pool) && everything;
    SmtpPoolRelease(pool);
    return everything ? 0 : 1;
}
