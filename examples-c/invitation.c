/* Sends an invitation that calendar programs understand.
 *
 *     invitation SERVER PORT FROM TO CALENDAR
 *
 * CALENDAR is a file with the appointment, from BEGIN:VCALENDAR to END:VCALENDAR, with
 * METHOD:REQUEST in it. For a login, set SMTP_USER and SMTP_PASSWORD.
 */
#include <smtpclient.h>

#include <stdio.h>
#include <stdlib.h>

static int32_t compose(SmtpMessage *message, char **arguments)
{
    static char calendar[65536];
    size_t length = 0;
    int32_t result;
    FILE *file = fopen(arguments[5], "rb");

    if (file != NULL) {
        length = fread(calendar, 1, sizeof calendar - 1, file);
        fclose(file);
    }
    if (length == 0) {
        perror(arguments[5]);
        exit(1);
    }
    result = SmtpMessageCompose(message, arguments[3], arguments[4], NULL, NULL, "An invitation",
                                "You are invited; the details are in the calendar.\n", NULL);
    if (result == SMTP_OK) {
        result = SmtpMessageSetCalendar(message, calendar, "REQUEST");
    }
    if (result == SMTP_OK) {
        /* For programs that look at attachments only. */
        result = SmtpMessageAttachFile(message, arguments[5], "invitation.ics", NULL, NULL);
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
        fputs("Usage: invitation SERVER PORT FROM TO CALENDAR\n", stderr);
        return 2;
    }
    message = SmtpMessageCreate();
    client = SmtpClientCreate();
    if (message == NULL || client == NULL || compose(message, arguments) != SMTP_OK) {
        fprintf(stderr, "invitation: %s\n", SmtpGetLastErrorString(NULL));
    } else if (deliver(client, message, arguments[1], arguments[2]) != SMTP_OK) {
        fprintf(stderr, "invitation: %s\n", SmtpGetLastErrorString(client));
    } else {
        SmtpDisconnect(client);
        status = 0;
    }
    SmtpMessageRelease(message);
    SmtpClientRelease(client);
    return status;
}
