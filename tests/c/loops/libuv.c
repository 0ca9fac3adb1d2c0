/* All clients in one thread, in a loop of libuv. */
#define _POSIX_C_SOURCE 200809L
#include "sender.h"

#include <uv.h>

static int left;

static void go_on(struct sender *sender, int begins);

static void on_ready(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    go_on(poll->data, 0);
}

static void on_time(uv_timer_t *timer)
{
    go_on(timer->data, 0);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

struct handles {
    /* Made anew for each descriptor. */
    uv_poll_t *poll;
    uv_timer_t *timer;
};

static void forget_descriptor(struct sender *sender)
{
    struct handles *handles = sender->own;
    if (handles->poll != NULL) {
        uv_close((uv_handle_t *)handles->poll, on_closed);
        handles->poll = NULL;
    }
    sender->descriptor = -1;
}

static void go_on(struct sender *sender, int begins)
{
    struct handles *handles = sender->own;
    SmtpPollInfo info;
    int64_t before = sender->descriptor;
    int events;
    /* libuv must let go of a descriptor before it is closed, and any step may close it. */
    if (handles->poll != NULL) {
        uv_poll_stop(handles->poll);
    }
    if (!sender_go_on(sender, begins)) {
        forget_descriptor(sender);
        uv_close((uv_handle_t *)handles->timer, on_closed);
        left--;
        return;
    }
    sender_ask(sender, &info);
    if (info.descriptor != before) {
        forget_descriptor(sender);
        handles->poll = malloc(sizeof *handles->poll);
        if (uv_poll_init(uv_default_loop(), handles->poll, (int)info.descriptor) != 0) {
            sender_failed(sender, "uv_poll_init");
        }
        handles->poll->data = sender;
        sender->descriptor = info.descriptor;
    }
    events = (info.events & SMTP_POLL_READ ? UV_READABLE : 0) | (info.events & SMTP_POLL_WRITE ? UV_WRITABLE : 0);
    uv_poll_start(handles->poll, events, on_ready);
    uv_timer_stop(handles->timer);
    if (info.timeout_ms >= 0) {
        uv_timer_start(handles->timer, on_time, (uint64_t)info.timeout_ms, 0);
    }
}

int main(int count, char **arguments)
{
    struct plan plan = plan_of(count, arguments);
    struct sender *senders = senders_create(&plan);
    struct handles *handles = calloc((size_t)plan.count, sizeof *handles);
    int i;

    left = plan.count;
    for (i = 0; i < plan.count; i++) {
        handles[i].timer = malloc(sizeof *handles[i].timer);
        uv_timer_init(uv_default_loop(), handles[i].timer);
        handles[i].timer->data = &senders[i];
        senders[i].own = &handles[i];
        go_on(&senders[i], 1);
    }
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    uv_loop_close(uv_default_loop());
    free(handles);
    free(senders);
    return left == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
