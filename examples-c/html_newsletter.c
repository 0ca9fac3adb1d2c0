/* Sends a newsletter in HTML that shows images.
 *
 *     html_newsletter SERVER PORT FROM TO IMAGE...
 *
 * Each IMAGE is a file that goes with the message and is shown in it. Readers without
 * HTML get a plain text, and one click is enough to unsubscribe, if the message is
 * signed. For a login, set SMTP_USER and SMTP_PASSWORD.
 */
#include <smtpclient.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int32_t compose(SmtpMessage *message, char **arguments)
{
    char html[4096] = "<h1>News</h1>", id[32];
    size_t length = strlen(html);
    int i;
    int32_t result = SmtpMessageCompose(message, arguments[3], arguments[4], NULL, NULL, "News \xE2\x80\x93 with pictures",
                                        "News\n\nYour program shows no pictures.\n", NULL);

    for (i = 5; arguments[i] != NULL && result == SMTP_OK && length + 64 < sizeof html; i++) {
        sprintf(id, "image%d", i - 4);
        length += (size_t)sprintf(html + length, "<p><img src=\"cid:%s\" alt=\"\"></p>", id);
        result = SmtpMessageAttachFile(message, arguments[i], NULL, NULL, id);
    }
    if (result == SMTP_OK) {
        result = SmtpMessageSetHtml(message, html);
    }
    if (result == SMTP_OK) {
        result = SmtpMessageSetHeader(message, "List-Id", "News <news.example.com>");
    }
    if (result == SMTP_OK) {
        result = SmtpMessageSetUnsubscribe(message, "leave@example.com", "https://example.com/leave?id=1", 1);
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

    if (count < 6) {
        fputs("Usage: html_newsletter SERVER PORT FROM TO IMAGE...\n", stderr);
        return 2;
    }
    message = SmtpMessageCreate();
    client = SmtpClientCreate();
    if (message == NULL || client == NULL || compose(message, arguments) != SMTP_OK) {
        fprintf(stderr, "html_newsletter: %s\n", SmtpGetLastErrorString(NULL));
    } else if (deliver(client, message, arguments[1], arguments[2]) != SMTP_OK) {
        fprintf(stderr, "html_newsletter: %s\n", SmtpGetLastErrorString(client));
    } else {
        SmtpDisconnect(client);
        status = 0;
    }
    SmtpMessageRelease(message);
    SmtpClientRelease(client);
    return status;
}
