/* All clients in one thread, with epoll. */
#define _POSIX_C_SOURCE 200809L
#include "sender.h"

#include <errno.h>
#include <sys/epoll.h>

static int loop;

static void set(int operation, int64_t descriptor, uint32_t events, struct sender *sender)
{
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = events;
    event.data.ptr = sender;
    if (epoll_ctl(loop, operation, (int)descriptor, &event) != 0 && operation != EPOLL_CTL_DEL) {
        sender_failed(sender, strerror(errno));
    }
}

static void look_after(struct sender *sender, int pending)
{
    SmtpPollInfo info;
    uint32_t events;
    if (!pending) {
        /* It is closed, and the kernel has forgotten it. */
        sender->descriptor = -1;
        return;
    }
    sender_ask(sender, &info);
    events = (info.events & SMTP_POLL_READ ? (uint32_t)EPOLLIN : 0) |
             (info.events & SMTP_POLL_WRITE ? (uint32_t)EPOLLOUT : 0);
    if (info.descriptor == sender->descriptor) {
        set(EPOLL_CTL_MOD, info.descriptor, events, sender);
    } else {
        /* Another number is another descriptor. */
        if (sender->descriptor >= 0) {
            set(EPOLL_CTL_DEL, sender->descriptor, 0, sender);
        }
        set(EPOLL_CTL_ADD, info.descriptor, events, sender);
        sender->descriptor = info.descriptor;
    }
    sender->due = info.timeout_ms < 0 ? -1 : now_ms() + (long)info.timeout_ms;
}

int main(int count, char **arguments)
{
    struct plan plan = plan_of(count, arguments);
    struct sender *senders = senders_create(&plan);
    struct epoll_event events[64];
    int left = plan.count, i, ready;

    loop = epoll_create1(EPOLL_CLOEXEC);
    for (i = 0; i < plan.count; i++) {
        look_after(&senders[i], sender_go_on(&senders[i], 1));
    }
    while (left > 0) {
        long now;
        /* What runs out of time is looked for ten times a second. */
        ready = epoll_wait(loop, events, 64, 100);
        for (i = 0; i < ready; i++) {
            struct sender *sender = events[i].data.ptr;
            look_after(sender, sender_go_on(sender, 0));
            left -= sender->client == NULL;
        }
        now = now_ms();
        for (i = 0; ready == 0 && i < plan.count; i++) {
            struct sender *sender = &senders[i];
            if (sender->client != NULL && sender->due >= 0 && sender->due <= now) {
                look_after(sender, sender_go_on(sender, 0));
                left -= sender->client == NULL;
            }
        }
    }
    free(senders);
    return EXIT_SUCCESS;
}
