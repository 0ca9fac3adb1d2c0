/*
 * What a client of the tests in foreign loops does: connects, sends two messages,
 * disconnects, without ever waiting. The loop of each program waits for all of them.
 */
#ifndef SENDER_H
#define SENDER_H

#include <smtpclient.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CONNECT, FIRST, SECOND, DISCONNECT, OVER };

struct plan {
    const char *host;
    unsigned port;
    int count;
    const char *from;
    const char *to;
    const char *mark;
};

struct sender {
    const struct plan *plan;
    SmtpClient *client;
    int number;
    int step;
    /* What the loop of the program keeps of it. */
    int64_t descriptor;
    long due;
    void *own;
};

static inline void sender_failed(const struct sender *sender, const char *what)
{
    fprintf(stderr, "client %d, step %d: %s: %s\n", sender->number, sender->step, what,
            SmtpGetLastErrorString(sender->client));
    exit(EXIT_FAILURE);
}

static inline int32_t sender_begin(struct sender *sender)
{
    const struct plan *plan = sender->plan;
    char text[256];
    switch (sender->step) {
    case CONNECT:
        return SmtpConnect(sender->client, plan->host, plan->port, 60000, 0);
    case FIRST:
    case SECOND:
        snprintf(text, sizeof text, "X-Mark: %s-%d-%d\r\nSubject: loop\r\n\r\nfrom a loop\r\n", plan->mark,
                 sender->number, sender->step);
        return SmtpSendMessage(sender->client, plan->from, plan->to, text, SMTP_NUL_TERMINATED);
    default:
        return SmtpDisconnect(sender->client);
    }
}

/* Goes on as far as it goes: 1 if the loop has to wait for it, 0 if all is done. */
static inline int sender_go_on(struct sender *sender, int begins)
{
    int32_t result = begins ? sender_begin(sender) : SmtpProcess(sender->client);
    while (result == 0 && ++sender->step < OVER) {
        result = sender_begin(sender);
    }
    if (result < 0) {
        sender_failed(sender, "failed");
    }
    if (result == SMTP_PENDING) {
        return 1;
    }
    SmtpClientRelease(sender->client);
    sender->client = NULL;
    return 0;
}

static inline void sender_ask(struct sender *sender, SmtpPollInfo *info)
{
    info->size = sizeof *info;
    if (SmtpGetPollInfo(sender->client, info) != SMTP_PENDING) {
        sender_failed(sender, "nothing is pending");
    }
}

static inline struct sender *senders_create(const struct plan *plan)
{
    struct sender *senders = calloc((size_t)plan->count, sizeof *senders);
    int i;
    for (i = 0; senders != NULL && i < plan->count; i++) {
        senders[i].plan = plan;
        senders[i].number = i;
        senders[i].descriptor = -1;
        senders[i].client = SmtpClientCreate();
        if (SmtpSetInteger(senders[i].client, SMTP_PROPERTY_BLOCKING, 0) != 0 ||
            SmtpSetInteger(senders[i].client, SMTP_PROPERTY_TLS_MODE, SMTP_TLS_NONE) != 0) {
            sender_failed(&senders[i], "cannot be set up");
        }
    }
    return senders;
}

static inline long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* HOST PORT COUNT FROM TO MARK */
static inline struct plan plan_of(int count, char **arguments)
{
    struct plan plan;
    if (count != 7) {
        fprintf(stderr, "wrong number of arguments\n");
        exit(2);
    }
    plan.host = arguments[1];
    plan.port = (unsigned)strtoul(arguments[2], NULL, 10);
    plan.count = atoi(arguments[3]);
    plan.from = arguments[4];
    plan.to = arguments[5];
    plan.mark = arguments[6];
    return plan;
}

#endif
