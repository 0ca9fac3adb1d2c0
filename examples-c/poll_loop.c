/* Sends files, all at the same time, in one thread.
 *
 *     poll_loop SERVER PORT FROM TO FILE...
 *
 * Each FILE has a finished message and goes over a connection of its own. No call
 * waits: one poll waits for all of them. For a login, set SMTP_USER and SMTP_PASSWORD;
 * the password is sent over verified TLS only. The exit status is 0 if all were
 * accepted, 1 if not, 2 for a wrong command line.
 */
#define _POSIX_C_SOURCE 200809L
#include <smtpclient.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct job {
    SmtpClient *client;
    const char *path;
    /* When it is to go on even if nothing happens; negative is never. */
    long long due;
};

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (long long)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Connects, logs in, sends and disconnects; SMTP_PENDING as long as it is not over. */
static int32_t begin(struct job *job, char **arguments)
{
    SmtpMessageInfo message;
    SmtpServerInfo server;
    memset(&message, 0, sizeof message);
    message.size = sizeof message;
    message.sender = arguments[3];
    message.recipients = arguments[4];
    message.path = job->path;
    memset(&server, 0, sizeof server);
    server.size = sizeof server;
    server.host = arguments[1];
    server.port = (uint32_t)strtoul(arguments[2], NULL, 10);
    server.user = getenv("SMTP_USER");
    server.password = getenv("SMTP_PASSWORD");
    server.timeout_ms = 60000;
    return SmtpSubmitMessage(job->client, &message, &server);
}

/* Takes what a call returned: tells the result, or what poll has to wait for. */
static int take(struct job *job, struct pollfd *fd, int32_t result)
{
    SmtpPollInfo info;
    fd->fd = -1;
    job->due = -1;
    if (result != SMTP_PENDING) {
        if (result == SMTP_OK) {
            printf("sent: %s\n", job->path);
        } else {
            fprintf(stderr, "%s: %s\n", job->path, SmtpGetLastErrorString(job->client));
        }
        SmtpClientRelease(job->client);
        job->client = NULL;
        return result == SMTP_OK;
    }
    /* It may be another one after each step. */
    info.size = sizeof info;
    if (SmtpGetPollInfo(job->client, &info) < 0) {
        /* The process has no descriptors left: it is tried again soon. */
        job->due = now() + 100;
        return 1;
    }
    fd->fd = (int)info.descriptor;
    fd->events = (short)((info.events & SMTP_POLL_READ ? POLLIN : 0) | (info.events & SMTP_POLL_WRITE ? POLLOUT : 0));
    if (info.timeout_ms >= 0) {
        job->due = now() + info.timeout_ms;
    }
    return 1;
}

/* How long poll may wait; -1 is for ever. */
static int patience(const struct job *jobs, int count)
{
    long long time = now(), least = -1;
    int i;
    for (i = 0; i < count; i++) {
        long long rest = jobs[i].due > time ? jobs[i].due - time : 0;
        if (jobs[i].due >= 0 && (least < 0 || rest < least)) {
            least = rest;
        }
    }
    return (int)least;
}

int main(int argc, char **argv)
{
    int count = argc - 5, running = count, all_sent = 1, i;
    struct job *jobs;
    struct pollfd *fds;

    if (count < 1) {
        fprintf(stderr, "Usage: poll_loop SERVER PORT FROM TO FILE...\n");
        return 2;
    }
    jobs = calloc((size_t)count, sizeof *jobs);
    fds = calloc((size_t)count, sizeof *fds);
    if (jobs == NULL || fds == NULL) {
        perror("poll_loop");
        return 1;
    }
    for (i = 0; i < count; i++) {
        jobs[i].path = argv[5 + i];
        jobs[i].client = SmtpClientCreate();
        SmtpSetInteger(jobs[i].client, SMTP_PROPERTY_BLOCKING, 0);
        all_sent &= take(&jobs[i], &fds[i], begin(&jobs[i], argv));
        running -= jobs[i].client == NULL;
    }
    while (running > 0) {
        if (poll(fds, (nfds_t)count, patience(jobs, count)) < 0 && errno != EINTR) {
            perror("poll");
            return 1;
        }
        for (i = 0; i < count; i++) {
            if (fds[i].revents != 0 || (jobs[i].due >= 0 && jobs[i].due <= now())) {
                fds[i].revents = 0;
                all_sent &= take(&jobs[i], &fds[i], SmtpProcess(jobs[i].client));
                running -= jobs[i].client == NULL;
            }
        }
    }
    free(fds);
    free(jobs);
    return all_sent ? 0 : 1;
}
