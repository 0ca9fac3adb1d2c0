/* Sends a text step by step: sender, recipients one by one, content piece by piece.
 *
 *     stepwise SERVER PORT FROM TO [TO...] < text
 *
 * The body comes from standard input and is never in memory as a whole. A recipient
 * that the server refuses is reported, and the others get the message. For a login,
 * set SMTP_USER and SMTP_PASSWORD; the password is sent over verified TLS only. The
 * exit status is 0 if the message was accepted, 1 if not, 2 for a wrong command line.
 */
#include <smtpclient.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Gives the library the next octets of the standard input. */
static int64_t read_input(void *buffer, size_t capacity, void *user_data)
{
    FILE *input = user_data;
    size_t count = fread(buffer, 1, capacity, input);
    return ferror(input) ? -1 : (int64_t)count;
}

/* Prints why a step failed. 1 if it did not. */
static int succeeded(SmtpClient *client, const char *step, int32_t result)
{
    if (result == SMTP_OK) {
        return 1;
    }
    fprintf(stderr, "stepwise: %s: %s\n", step, SmtpGetLastErrorString(client));
    return 0;
}

static int write_text(SmtpClient *client, const char *text)
{
    return succeeded(client, "write", SmtpWrite(client, text, SMTP_NUL_TERMINATED));
}

/* How many of the recipients the server accepted; -1 if the connection did not last. */
static int add_recipients(SmtpClient *client, int count, char **addresses)
{
    int i, accepted = 0;
    for (i = 0; i < count; i++) {
        int32_t result = SmtpAddRecipient(client, addresses[i]);
        if (result == SMTP_OK) {
            printf("accepted: %s\n", addresses[i]);
            accepted++;
        } else {
            fprintf(stderr, "refused: %s: %s\n", addresses[i], SmtpGetLastErrorString(client));
            if (SmtpIsConnected(client) != 1) {
                return -1;
            }
        }
    }
    return accepted;
}

static int write_header(SmtpClient *client, const char *from)
{
    char date[64];
    SmtpGetCurrentDate(date, sizeof date, NULL);
    return write_text(client, "Date: ") && write_text(client, date) && write_text(client, "\r\nFrom: ") &&
           write_text(client, from) && write_text(client, "\r\nTo: undisclosed-recipients:;\r\nSubject: Step by step\r\n\r\n");
}

static int deliver(SmtpClient *client, int count, char **arguments)
{
    const char *user = getenv("SMTP_USER");
    unsigned long port = strtoul(arguments[2], NULL, 10);

    if (!succeeded(client, "connect", SmtpConnect(client, arguments[1], (uint32_t)port, 60000, SMTP_OPTION_NONE))) {
        return 0;
    }
    if (user != NULL && !succeeded(client, "authenticate", SmtpAuthenticate(client, user, getenv("SMTP_PASSWORD")))) {
        return 0;
    }
    if (!succeeded(client, "sender", SmtpCreateMessage(client, arguments[3], 0))) {
        return 0;
    }
    switch (add_recipients(client, count - 4, arguments + 4)) {
    case -1:
        return 0;
    case 0:
        fputs("stepwise: nobody is left to send to\n", stderr);
        /* Nothing was sent yet, so the server can be told to forget it. */
        SmtpReset(client);
        return 0;
    }
    return write_header(client, arguments[3]) &&
           succeeded(client, "body", SmtpAppendStream(client, read_input, stdin)) &&
           succeeded(client, "end", SmtpCloseMessage(client));
}

int main(int count, char **arguments)
{
    SmtpClient *client;
    int accepted;

    if (count < 5) {
        fputs("Usage: stepwise SERVER PORT FROM TO [TO...] < text\n", stderr);
        return 2;
    }
    client = SmtpClientCreate();
    if (client == NULL) {
        fprintf(stderr, "stepwise: %s\n", SmtpGetLastErrorString(NULL));
        return 1;
    }
    accepted = deliver(client, count, arguments);
    if (accepted) {
        char reply[1024];
        SmtpGetString(client, SMTP_PROPERTY_FINAL_REPLY, reply, sizeof reply, NULL);
        printf("sent: %s\n", reply);
    }
    /* A message that is not complete goes nowhere. */
    if (SmtpIsConnected(client) == 1) {
        SmtpDisconnect(client);
    }
    SmtpClientRelease(client);
    return accepted ? 0 : 1;
}
