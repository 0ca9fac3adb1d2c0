/* Sends one message to many recipients, and reports on each of them.
 *
 *     newsletter SERVER PORT FROM LIST MESSAGE
 *
 * LIST is a file with one address a line; MESSAGE is a file with a finished message.
 * The recipients see nothing of each other. If the server takes only so many at a
 * time, the library serves the others in further transactions. The report is one
 * line for each recipient: address, state, and the reply that refused it, separated
 * by tabs. For a login, set SMTP_USER and SMTP_PASSWORD; the password is sent over
 * verified TLS only. The exit status is 0 if everybody has it, 1 if not, 2 for a
 * wrong command line.
 */
#include <smtpclient.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By the SMTP_RECIPIENT_ constants. */
static const char *const STATES[] = {"not tried", "accepted", "refused for now", "refused", "unknown"};

/* The addresses of a file, separated by commas, to be freed; NULL if it cannot be read. */
static char *read_list(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *list = NULL, *grown;
    size_t length = 0, capacity = 0;
    int octet;

    if (file == NULL) {
        perror(path);
        return NULL;
    }
    do {
        octet = getc(file);
        if (length + 2 > capacity) {
            capacity = capacity * 2 + 4096;
            grown = realloc(list, capacity);
            if (grown == NULL) {
                break;
            }
            list = grown;
        }
        if (octet == '\n' || octet == EOF) {
            /* Empty lines are left out. */
            if (length > 0 && list[length - 1] != ',') {
                list[length++] = ',';
            }
        } else if (octet != '\r') {
            list[length++] = (char)octet;
        }
    } while (octet != EOF);
    if (ferror(file) || octet != EOF) {
        perror(path);
        free(list);
        fclose(file);
        return NULL;
    }
    fclose(file);
    list[length > 0 ? length - 1 : 0] = '\0';
    return list;
}

/* A text about a recipient, to be freed; its lines become one. */
static char *recipient_text(SmtpClient *client, size_t index, uint32_t which)
{
    size_t length = 0;
    char *text, *end;
    SmtpGetRecipientString(client, index, which, NULL, 0, &length);
    text = malloc(length + 1);
    if (text == NULL) {
        perror("newsletter");
        exit(1);
    }
    text[0] = '\0';
    SmtpGetRecipientString(client, index, which, text, length + 1, NULL);
    for (end = strchr(text, '\n'); end != NULL; end = strchr(end, '\n')) {
        *end = ' ';
    }
    return text;
}

/* Prints a line for each recipient; 1 if all were accepted. */
static int report(SmtpClient *client)
{
    size_t count = 0, i, accepted = 0, later = 0;

    SmtpGetRecipientCount(client, &count);
    for (i = 0; i < count; i++) {
        SmtpRecipient recipient = {0};
        char *address = recipient_text(client, i, SMTP_RECIPIENT_TEXT_ADDRESS);
        recipient.size = sizeof recipient;
        SmtpGetRecipient(client, i, &recipient);
        printf("%s\t%s\t", address, recipient.state < 5 ? STATES[recipient.state] : "?");
        if (recipient.result_code != 0) {
            char *reply = recipient_text(client, i, SMTP_RECIPIENT_TEXT_REPLY);
            printf("%d %s", (int)recipient.result_code, reply);
            free(reply);
        }
        putchar('\n');
        accepted += recipient.state == SMTP_RECIPIENT_ACCEPTED;
        later += recipient.state == SMTP_RECIPIENT_REFUSED_TEMPORARY || recipient.state == SMTP_RECIPIENT_NOT_TRIED;
        free(address);
    }
    fprintf(stderr, "%lu of %lu have it; %lu can be tried again\n", (unsigned long)accepted, (unsigned long)count,
            (unsigned long)later);
    return count > 0 && accepted == count;
}

static int32_t deliver(SmtpClient *client, char **arguments, const char *list)
{
    const char *user = getenv("SMTP_USER");
    unsigned long port = strtoul(arguments[2], NULL, 10);
    int32_t result = SmtpConnect(client, arguments[1], (uint32_t)port, 60000, SMTP_OPTION_NONE);
    if (result == SMTP_OK && user != NULL) {
        result = SmtpAuthenticate(client, user, getenv("SMTP_PASSWORD"));
    }
    if (result == SMTP_OK) {
        result = SmtpSendFile(client, arguments[3], list, arguments[5]);
    }
    return result;
}

int main(int count, char **arguments)
{
    SmtpClient *client;
    char *list;
    int everybody = 0;

    if (count != 6) {
        fputs("Usage: newsletter SERVER PORT FROM LIST MESSAGE\n", stderr);
        return 2;
    }
    list = read_list(arguments[4]);
    if (list == NULL) {
        return 2;
    }
    client = SmtpClientCreate();
    if (client == NULL) {
        fprintf(stderr, "newsletter: %s\n", SmtpGetLastErrorString(NULL));
    } else {
        if (deliver(client, arguments, list) != SMTP_OK) {
            fprintf(stderr, "newsletter: %s\n", SmtpGetLastErrorString(client));
        }
        /* Also after a failure: some may have been served. */
        everybody = report(client);
        if (SmtpIsConnected(client) == 1) {
            SmtpDisconnect(client);
        }
        SmtpClientRelease(client);
    }
    free(list);
    return everybody ? 0 : 1;
}
