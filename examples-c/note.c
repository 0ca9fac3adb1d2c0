/* Sends a plain text note.
 *
 *     note SERVER PORT FROM TO TEXT
 *
 * FROM and TO are addresses with or without names, TO also a list. For a login, set
 * SMTP_USER and SMTP_PASSWORD.
 */
#include <smtpclient.h>

#include <stdio.h>
#include <stdlib.h>

static int32_t compose(SmtpMessage *message, char **arguments)
{
    int32_t result = SmtpMessageCompose(message, arguments[3], arguments[4], NULL, NULL, "A note", arguments[5], NULL);
    if (result == SMTP_OK) {
        /* The reader's program may wrap long lines. */
        result = SmtpMessageSetInteger(message, SMTP_MESSAGE_FLOWED, 1);
    }
    return result;
}

/* Connects, logs in if SMTP_USER and SMTP_PASSWORD are set, and sends. */
static int32_t deliver(SmtpClient *client, SmtpMessage *message, const char *server, const char *port)
{
    const char *user = getenv("SMTP_USER");
    int32_t result = SmtpConnect(client, server, (uint32_t)strtoul(port, NULL, 10), 60000, SMTP_OPTION_NONE);
    if (result == SMTP_OK && user != NULL) {
        result = SmtpAuthenticate(client, user, getenv("SMTP_PASSWORD"));
    }
    if (result == SMTP_OK) {
        result = SmtpSendComposed(client, message);
    }
    return result;
}

int main(int count, char **arguments)
{
    SmtpMessage *message;
    SmtpClient *client;
    int status = 1;

    if (count != 6) {
        fputs("Usage: note SERVER PORT FROM TO TEXT\n", stderr);
        return 2;
    }
    message = SmtpMessageCreate();
    client = SmtpClientCreate();
    if (message == NULL || client == NULL || compose(message, arguments) != SMTP_OK) {
        fprintf(stderr, "note: %s\n", SmtpGetLastErrorString(NULL));
    } else if (deliver(client, message, arguments[1], arguments[2]) != SMTP_OK) {
        fprintf(stderr, "note: %s\n", SmtpGetLastErrorString(client));
    } else {
        SmtpDisconnect(client);
        status = 0;
    }
    SmtpMessageRelease(message);
    SmtpClientRelease(client);
    return status;
}
