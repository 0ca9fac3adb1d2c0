/*
 * Sends a message: connect, authenticate, send, disconnect.
 *
 *   cc -o send send.c -lsmtpclient
 *   ./send --server mail.example.com --from me@example.com --to you@example.com < message.eml
 *
 * The message is a finished one: header fields, an empty line, the body.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smtpclient.h>

static const char USAGE[] =
    "Usage: send --server HOST --from ADDRESS --to ADDRESS [OPTION]... [FILE]\n"
    "Send the message in FILE, or on standard input without one. It has to be a\n"
    "finished message: header fields, an empty line, the body.\n"
    "\n"
    "  --server HOST          the mail server's name or address\n"
    "  --port NUMBER          its port; without it 25, or 465 with --tls implicit\n"
    "  --tls MODE             opportunistic (the default), none, required (STARTTLS)\n"
    "                         or implicit\n"
    "  --ca-file FILE         trust the authorities in this PEM file, not the system's\n"
    "  --user NAME            log in as this user\n"
    "  --password-file FILE   the password is the first line of this file\n"
    "  --password PASSWORD    the password itself; other users of this machine may\n"
    "                         see it in the list of processes\n"
    "                         Without either: the variable SMTP_PASSWORD.\n"
    "  --from ADDRESS         the sender of the envelope; <> for none\n"
    "  --to ADDRESS           a recipient, or several with commas between them; may\n"
    "                         be given more than once\n"
    "  --text TEXT            send this text as the whole message\n"
    "  --timeout SECONDS      the limit of each step as a whole\n"
    "  --help                 show this and leave\n"
    "\n"
    "The exit status is 0 only if the server accepted the message, for at least one\n"
    "recipient; 1 if it did not; 2 if the command line is wrong.\n";

struct settings {
    const char *server;
    const char *from;
    const char *user;
    const char *password;
    const char *password_file;
    const char *ca_file;
    const char *text;
    const char *file;
    char *recipients;
    uint32_t port;
    uint32_t timeout_ms;
    int64_t tls_mode;
};

static void complain(const char *what, const char *detail)
{
    fprintf(stderr, "send: %s%s\n", what, detail);
}

static void *grow(void *block, size_t size)
{
    void *grown = realloc(block, size);
    if (grown == NULL) {
        complain("there is not enough memory", "");
        exit(1);
    }
    return grown;
}

/* Standard input to its end; NULL if that fails. */
static char *read_input(size_t *length)
{
    size_t capacity = 65536, count;
    char *octets = grow(NULL, capacity);
    *length = 0;
    while ((count = fread(octets + *length, 1, capacity - *length, stdin)) > 0) {
        *length += count;
        if (*length == capacity) {
            capacity *= 2;
            octets = grow(octets, capacity);
        }
    }
    if (ferror(stdin)) {
        complain("standard input cannot be read: ", strerror(errno));
        free(octets);
        return NULL;
    }
    return octets;
}

/* The first line of a file, without its end; 0 if it cannot be had. */
static int read_password(const char *path, char *password, size_t capacity)
{
    FILE *file = fopen(path, "r");
    int have = file != NULL && fgets(password, (int)capacity, file) != NULL;
    if (have) {
        password[strcspn(password, "\r\n")] = '\0';
    } else {
        complain("no password can be read from ", path);
    }
    if (file != NULL) {
        fclose(file);
    }
    return have;
}

static int parse_number(const char *text, unsigned long most, uint32_t *number)
{
    char *end;
    unsigned long value;
    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value > most) {
        complain("this is not a number, or too large: ", text);
        return 0;
    }
    *number = (uint32_t)value;
    return 1;
}

static int parse_tls_mode(const char *text, int64_t *mode)
{
    static const char *const names[] = {"opportunistic", "none", "required", "implicit"};
    static const int64_t modes[] = {SMTP_TLS_OPPORTUNISTIC, SMTP_TLS_NONE, SMTP_TLS_REQUIRED, SMTP_TLS_IMPLICIT};
    size_t i;
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) == 0) {
            *mode = modes[i];
            return 1;
        }
    }
    complain("this is not a TLS mode: ", text);
    return 0;
}

static void add_recipients(struct settings *settings, const char *more)
{
    size_t before = settings->recipients == NULL ? 0 : strlen(settings->recipients);
    settings->recipients = grow(settings->recipients, before + strlen(more) + 2);
    if (before > 0) {
        settings->recipients[before++] = ',';
    }
    strcpy(settings->recipients + before, more);
}

static int take_option(struct settings *settings, const char *name, const char *value)
{
    if (strcmp(name, "--server") == 0) {
        settings->server = value;
    } else if (strcmp(name, "--from") == 0) {
        settings->from = value;
    } else if (strcmp(name, "--to") == 0) {
        add_recipients(settings, value);
    } else if (strcmp(name, "--user") == 0) {
        settings->user = value;
    } else if (strcmp(name, "--password") == 0) {
        settings->password = value;
    } else if (strcmp(name, "--password-file") == 0) {
        settings->password_file = value;
    } else if (strcmp(name, "--ca-file") == 0) {
        settings->ca_file = value;
    } else if (strcmp(name, "--text") == 0) {
        settings->text = value;
    } else if (strcmp(name, "--port") == 0) {
        return parse_number(value, 65535, &settings->port);
    } else if (strcmp(name, "--timeout") == 0) {
        int good = parse_number(value, INT32_MAX / 1000, &settings->timeout_ms);
        settings->timeout_ms *= 1000;
        return good;
    } else if (strcmp(name, "--tls") == 0) {
        return parse_tls_mode(value, &settings->tls_mode);
    } else {
        complain("there is no option ", name);
        return 0;
    }
    return 1;
}

static int parse_arguments(struct settings *settings, int count, char **arguments)
{
    int i;
    for (i = 1; i < count; i++) {
        const char *argument = arguments[i];
        if (strncmp(argument, "--", 2) != 0) {
            if (settings->file != NULL) {
                complain("one message at a time, not also ", argument);
                return 0;
            }
            settings->file = argument;
        } else if (i + 1 == count) {
            complain("a value is missing behind ", argument);
            return 0;
        } else if (!take_option(settings, argument, arguments[++i])) {
            return 0;
        }
    }
    if (settings->server == NULL || settings->from == NULL || settings->recipients == NULL) {
        complain("--server, --from and --to are needed; see --help", "");
        return 0;
    }
    if (settings->text != NULL && settings->file != NULL) {
        complain("either --text or a file, not both", "");
        return 0;
    }
    return 1;
}

/* Prints why a step failed. 1 if it did not. */
static int succeeded(SmtpClient *client, const char *step, int32_t result)
{
    if (result >= 0) {
        return 1;
    }
    fprintf(stderr, "send: %s: %s\n", step, SmtpGetLastErrorString(client));
    return 0;
}

/* Prints a text property, each of its lines behind a label; nothing if it is empty. */
static void print_text(SmtpClient *client, uint32_t property, const char *label)
{
    size_t length;
    char *text, *line;
    if (SmtpGetString(client, property, NULL, 0, &length) < 0 || length == 0) {
        return;
    }
    text = grow(NULL, length + 1);
    if (SmtpGetString(client, property, text, length + 1, NULL) >= 0) {
        for (line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
            printf("%s: %s\n", label, line);
        }
    }
    free(text);
}

/* A text about a recipient, to be freed; empty if there is none. */
static char *recipient_text(SmtpClient *client, size_t index, uint32_t which)
{
    size_t length = 0;
    char *text;
    SmtpGetRecipientString(client, index, which, NULL, 0, &length);
    text = grow(NULL, length + 1);
    text[0] = '\0';
    SmtpGetRecipientString(client, index, which, text, length + 1, NULL);
    return text;
}

/* Prints each recipient that the server refused, with its reply on one line. */
static void print_refused(SmtpClient *client)
{
    size_t count = 0, i;
    SmtpGetRecipientCount(client, &count);
    for (i = 0; i < count; i++) {
        SmtpRecipient recipient;
        /* Tells the library which version of the structure this program was built with. */
        recipient.size = sizeof recipient;
        if (SmtpGetRecipient(client, i, &recipient) >= 0 &&
            (recipient.state == SMTP_RECIPIENT_REFUSED_TEMPORARY ||
             recipient.state == SMTP_RECIPIENT_REFUSED_PERMANENT)) {
            char *address = recipient_text(client, i, SMTP_RECIPIENT_TEXT_ADDRESS);
            char *reply = recipient_text(client, i, SMTP_RECIPIENT_TEXT_REPLY);
            char *line;
            printf("refused: %s: %d", address, (int)recipient.result_code);
            for (line = strtok(reply, "\n"); line != NULL; line = strtok(NULL, "\n")) {
                printf("%s%s", line == reply ? " " : " / ", line);
            }
            putchar('\n');
            free(address);
            free(reply);
        }
    }
}

static void print_outcome(SmtpClient *client)
{
    static const char *const outcomes[] = {
        "not sent",
        "accepted",
        "rejected for now; a later try may succeed",
        "rejected",
        "unknown: it may have been delivered, so find out before you send it again",
    };
    int64_t outcome = -1;
    if (SmtpGetInteger(client, SMTP_PROPERTY_OUTCOME, &outcome) >= 0 && outcome >= 0 &&
        outcome < (int64_t)(sizeof outcomes / sizeof *outcomes)) {
        printf("outcome: %s\n", outcomes[outcome]);
    }
    print_text(client, SMTP_PROPERTY_QUEUE_ID, "queue id");
    print_refused(client);
}

/* The message of the command line: a file is read while it is sent, and never held in memory as a whole. */
static int32_t send_message(SmtpClient *client, const struct settings *settings, const char *input, size_t length)
{
    if (settings->file != NULL) {
        return SmtpSendFile(client, settings->from, settings->recipients, settings->file);
    }
    if (settings->text != NULL) {
        return SmtpSendMessage(client, settings->from, settings->recipients, settings->text, SMTP_NUL_TERMINATED);
    }
    return SmtpSendMessage(client, settings->from, settings->recipients, input, length);
}

/* The whole of it: 1 if the message was accepted. */
static int deliver(SmtpClient *client, const struct settings *settings, const char *input, size_t length)
{
    int accepted;

    if (!succeeded(client, "set-up", SmtpSetInteger(client, SMTP_PROPERTY_TLS_MODE, settings->tls_mode)) ||
        !succeeded(client, "set-up", SmtpSetString(client, SMTP_PROPERTY_CA_FILE, settings->ca_file)) ||
        !succeeded(client, "set-up", SmtpSetInteger(client, SMTP_PROPERTY_TIMEOUT, settings->timeout_ms))) {
        return 0;
    }
    if (!succeeded(client, "connect", SmtpConnect(client, settings->server, settings->port, 0, SMTP_OPTION_NONE))) {
        return 0;
    }
    if (settings->user != NULL &&
        !succeeded(client, "authenticate", SmtpAuthenticate(client, settings->user, settings->password))) {
        SmtpDisconnect(client);
        return 0;
    }
    accepted = succeeded(client, "send", send_message(client, settings, input, length));
    print_outcome(client);
    /* The message is safe already, or lost already: a failure here changes neither. */
    SmtpDisconnect(client);
    return accepted;
}

int main(int count, char **arguments)
{
    struct settings settings = {0};
    char password[1024];
    char *input = NULL;
    size_t length = 0;
    SmtpClient *client;
    int accepted = 0;

    if (count < 2) {
        fputs(USAGE, stderr);
        return 2;
    }
    if (strcmp(arguments[count - 1], "--help") == 0) {
        fputs(USAGE, stdout);
        return 0;
    }
    settings.password = getenv("SMTP_PASSWORD");
    if (!parse_arguments(&settings, count, arguments)) {
        free(settings.recipients);
        return 2;
    }
    if (settings.password_file != NULL) {
        if (!read_password(settings.password_file, password, sizeof password)) {
            free(settings.recipients);
            return 2;
        }
        settings.password = password;
    }
    if (settings.text == NULL && settings.file == NULL) {
        input = read_input(&length);
    }
    if (settings.text != NULL || settings.file != NULL || input != NULL) {
        client = SmtpClientCreate();
        if (client == NULL) {
            complain("create: ", SmtpGetLastErrorString(NULL));
        } else {
            accepted = deliver(client, &settings, input, length);
            SmtpClientRelease(client);
        }
    }
    free(input);
    free(settings.recipients);
    return accepted ? 0 : 1;
}
