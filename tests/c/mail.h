/* What the programs have in common: a client, and the usual lines of a script. */
#ifndef MAIL_H
#define MAIL_H

#include "check.h"
#include "server.h"
#include "smtpclient.h"

#define HOST "127.0.0.1"
#define SENDER "sender@client.example"
#define RECIPIENT "one@mail.example"
#define MESSAGE "Subject: test\r\n\r\nHello.\r\n"

#define EHLO "EHLO client.example\r\n"
#define MAIL "MAIL FROM:<" SENDER ">\r\n"
#define RCPT "RCPT TO:<" RECIPIENT ">\r\n"
#define OK "250 2.0.0 Ok\r\n"
#define QUEUED "250 2.0.0 Ok: queued as 4F1B2\r\n"

/* Lines of a script. */
#define GREETING SEND("220 mail.example ESMTP\r\n")
#define HELLO GREETING, EXPECT(EHLO), SEND("250-mail.example\r\n250-AUTH PLAIN LOGIN\r\n250 ENHANCEDSTATUSCODES\r\n")
#define TO_DATA EXPECT(MAIL), SEND(OK), EXPECT(RCPT), SEND(OK), EXPECT("DATA\r\n")
#define TO_CONTENT TO_DATA, SEND("354 Go on\r\n")
#define TRANSACTION TO_CONTENT, EXPECT(MESSAGE ".\r\n"), SEND(QUEUED)
#define GOODBYE EXPECT("QUIT\r\n"), SEND("221 2.0.0 Bye\r\n")

static inline SmtpClient *new_client(void)
{
    SmtpClient *client = SmtpClientCreate();
    CHECK(client != NULL);
    CHECK_SAME(SmtpSetString(client, SMTP_PROPERTY_LOCAL_NAME, "client.example"), 0);
    return client;
}

static inline int32_t connect_to(SmtpClient *client, const struct server *server)
{
    return SmtpConnect(client, HOST, server->port, 0, SMTP_OPTION_NONE);
}

static inline int32_t send_test_message(SmtpClient *client)
{
    return SmtpSendMessage(client, SENDER, RECIPIENT, MESSAGE, SMTP_NUL_TERMINATED);
}

static inline int64_t integer(SmtpClient *client, uint32_t property)
{
    int64_t value = -1;
    CHECK_SAME(SmtpGetInteger(client, property, &value), 0);
    return value;
}

/* A block of octets for messages that fill every buffer on the way; never freed. */
static inline char *large_message(size_t length)
{
    char *message = malloc(length);
    size_t i;
    if (message == NULL) {
        perror("no memory for the test");
        exit(EXIT_FAILURE);
    }
    for (i = 0; i < length; i++) {
        message[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
    }
    return message;
}

#endif
