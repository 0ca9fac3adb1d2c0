/* All clients in one thread, with poll. */
#define _POSIX_C_SOURCE 200809L
#include "sender.h"

#include <errno.h>
#include <poll.h>

static void look_after(struct sender *sender, struct pollfd *fd, int pending)
{
    SmtpPollInfo info;
    fd->fd = -1;
    if (!pending) {
        return;
    }
    sender_ask(sender, &info);
    fd->fd = (int)info.descriptor;
    fd->events = (short)((info.events & SMTP_POLL_READ ? POLLIN : 0) | (info.events & SMTP_POLL_WRITE ? POLLOUT : 0));
    sender->due = info.timeout_ms < 0 ? -1 : now_ms() + (long)info.timeout_ms;
}

int main(int count, char **arguments)
{
    struct plan plan = plan_of(count, arguments);
    struct sender *senders = senders_create(&plan);
    struct pollfd *fds = calloc((size_t)plan.count, sizeof *fds);
    int left = plan.count, i;

    for (i = 0; i < plan.count; i++) {
        look_after(&senders[i], &fds[i], sender_go_on(&senders[i], 1));
    }
    while (left > 0) {
        long now = now_ms(), wait = -1;
        for (i = 0; i < plan.count; i++) {
            if (senders[i].client != NULL && senders[i].due >= 0) {
                long rest = senders[i].due > now ? senders[i].due - now : 0;
                wait = wait < 0 || rest < wait ? rest : wait;
            }
        }
        if (poll(fds, (nfds_t)plan.count, (int)wait) < 0 && errno != EINTR) {
            perror("poll");
            return EXIT_FAILURE;
        }
        now = now_ms();
        for (i = 0; i < plan.count; i++) {
            struct sender *sender = &senders[i];
            if (sender->client != NULL && (fds[i].revents != 0 || (sender->due >= 0 && sender->due <= now))) {
                look_after(sender, &fds[i], sender_go_on(sender, 0));
                left -= sender->client == NULL;
            }
        }
    }
    free(fds);
    free(senders);
    return EXIT_SUCCESS;
}
