/* Sends an invoice as a PDF.
 *
 *     invoice SERVER PORT FROM TO PDF
 *
 * The file is read while it is sent, however large it is. For a login, set SMTP_USER and
 * SMTP_PASSWORD.
 */
#include <smtpclient.h>

#include <stdio.h>
#include <stdlib.h>

static int32_t compose(SmtpMessage *message, char **arguments)
{
    int32_t result = SmtpMessageCompose(message, arguments[3], arguments[4], NULL, NULL, "Your invoice",
                                        "Dear customer,\n\nplease find the invoice attached.\n", NULL);
    if (result == SMTP_OK) {
        result = SmtpMessageAttachFile(message, arguments[5], NULL, "application/pdf", NULL);
    }
    if (result == SMTP_OK) {
        result = SmtpMessageSetInteger(message, SMTP_MESSAGE_PRIORITY, SMTP_PRIORITY_HIGH);
    }
    if (result == SMTP_OK) {
        result = SmtpMessageSetReadReceipt(message, arguments[3]);
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
        fputs("Usage: invoice SERVER PORT FROM TO PDF\n", stderr);
        return 2;
    }
    message = SmtpMessageCreate();
    client = SmtpClientCreate();
    if (message == NULL || client == NULL || compose(message, arguments) != SMTP_OK) {
        fprintf(stderr, "invoice: %s\n", SmtpGetLastErrorString(NULL));
    } else if (deliver(client, message, arguments[1], arguments[2]) != SMTP_OK) {
        fprintf(stderr, "invoice: %s\n", SmtpGetLastErrorString(client));
    } else {
        SmtpDisconnect(client);
        status = 0;
    }
    SmtpMessageRelease(message);
    SmtpClientRelease(client);
    return status;
}
