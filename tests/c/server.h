/*
 * A scripted server: listens on loopback, takes one connection and plays a list
 * of actions. It knows no SMTP; what is said is in the script.
 */
#ifndef SERVER_H
#define SERVER_H

#include "check.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

enum action_kind {
    SCRIPT_END, /* hang up; the client must have sent nothing more */
    EXPECT_TEXT,
    SEND_TEXT,
    FLOOD_TEXT,
    SKIP_PAST,
    SKIP_COUNT,
    READ_WITHOUT,
    STALL_HERE,
    SLEEP_MILLIS,
    RESET_NOW,
    CLOSE_NOW,
    EXPECT_CLOSE
};

struct action {
    enum action_kind kind;
    const char *text;
    size_t length;
};

/* The client sends exactly this. */
#define EXPECT(text) {EXPECT_TEXT, text, 0}
#define SEND(text) {SEND_TEXT, text, 0}
#define SEND_OCTETS(octets, length) {SEND_TEXT, octets, length}
/* Sends the text over and over until the client hangs up. */
#define FLOOD(text) {FLOOD_TEXT, text, 0}
/* Reads whatever comes, up to and with the text. */
#define SKIP_TO(text) {SKIP_PAST, text, 0}
#define SKIP(count) {SKIP_COUNT, NULL, count}
/* Reads until the client hangs up; the text is never among it. */
#define WITHOUT(text) {READ_WITHOUT, text, 0}
/* Neither reads nor writes until server_go or server_finish. */
#define STALL {STALL_HERE, NULL, 0}
#define SLEEP(millis) {SLEEP_MILLIS, NULL, millis}
/* Cuts the connection off, so that the client's system sees a reset. */
#define RESET {RESET_NOW, NULL, 0}
/* Hangs up, whatever the client has sent. */
#define CLOSE {CLOSE_NOW, NULL, 0}
/* The client hangs up next, without another octet. */
#define EXPECT_END {EXPECT_CLOSE, NULL, 0}
#define END {SCRIPT_END, NULL, 0}

struct server {
    const struct action *script;
    int listener;
    int socket;
    unsigned port;
    pthread_t thread;
    /* Closing the writing end wakes every wait of the server. */
    int stop[2];
    pthread_mutex_t lock;
    pthread_cond_t moved;
    int stalls_reached;
    int stalls_ended;
    int stopping;
    int indifferent;
    char complaint[1024];
};

static inline void server_complain(struct server *server, const char *what, const char *got, size_t length)
{
    size_t used, i;
    int stopping;
    pthread_mutex_lock(&server->lock);
    stopping = server->stopping;
    pthread_mutex_unlock(&server->lock);
    if (server->complaint[0] != '\0' || stopping) {
        return;
    }
    used = (size_t)snprintf(server->complaint, sizeof server->complaint, "%.400s", what);
    for (i = 0; got != NULL && i < length && used + 5 < sizeof server->complaint; i++) {
        unsigned char octet = (unsigned char)got[i];
        int plain = octet >= ' ' && octet < 127;
        used += (size_t)snprintf(server->complaint + used, 5, plain ? "%c" : "\\x%02X", octet);
    }
}

/* Waits for the socket; 0 if the test is over first. */
static inline int server_wait(struct server *server, int socket, short events)
{
    struct pollfd fds[2];
    fds[0].fd = socket;
    fds[0].events = events;
    fds[0].revents = 0;
    fds[1].fd = server->stop[0];
    fds[1].events = POLLIN;
    fds[1].revents = 0;
    while (poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
    return fds[0].revents != 0;
}

/* As recv, but waits; 0 also when the test is over, -1 when the connection broke. */
static inline long server_read(struct server *server, char *to, size_t most)
{
    if (!server_wait(server, server->socket, POLLIN)) {
        return 0;
    }
    return (long)recv(server->socket, to, most, 0);
}

static inline int server_expect(struct server *server, const char *text, size_t length)
{
    char got[65536];
    char what[600];
    size_t have = 0, shown;
    while (have < length) {
        size_t want = length - have < sizeof got ? length - have : sizeof got;
        long count = server_read(server, got, want);
        if (count <= 0) {
            snprintf(what, sizeof what, "the client hung up before it had sent: %.400s", text + have);
            server_complain(server, what, NULL, 0);
            return 0;
        }
        if (memcmp(got, text + have, (size_t)count) != 0) {
            shown = (size_t)count < 200 ? (size_t)count : 200;
            snprintf(what, sizeof what, "the client did not send: %.200s\nbut: ", text + have);
            server_complain(server, what, got, shown);
            return 0;
        }
        have += (size_t)count;
    }
    return 1;
}

static inline int server_send(struct server *server, const char *text, size_t length)
{
    size_t sent = 0;
    while (sent < length) {
        long count;
        if (!server_wait(server, server->socket, POLLOUT)) {
            return 0;
        }
        count = (long)send(server->socket, text + sent, length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno != EAGAIN) {
            return 0;
        }
        sent += count > 0 ? (size_t)count : 0;
    }
    return 1;
}

static inline int server_skip_past(struct server *server, const char *text)
{
    static const size_t most = 65536;
    size_t have = 0, length = strlen(text);
    char *window = malloc(most + 1);
    int found = 0;
    while (window != NULL && !found) {
        long count = server_read(server, window + have, most - have);
        if (count <= 0) {
            server_complain(server, "the client hung up before it had sent the end of something", NULL, 0);
            break;
        }
        have += (size_t)count;
        /* It is the last thing that the client sends before it waits. */
        found = have >= length && memcmp(window + have - length, text, length) == 0;
        if (have > most / 2) {
            memmove(window, window + have - length, length);
            have = length;
        }
    }
    free(window);
    return found;
}

static inline int server_skip_count(struct server *server, size_t left)
{
    char got[65536];
    while (left > 0) {
        long count = server_read(server, got, left < sizeof got ? left : sizeof got);
        if (count <= 0) {
            server_complain(server, "the client hung up too early", NULL, 0);
            return 0;
        }
        left -= (size_t)count;
    }
    return 1;
}

static inline int server_read_without(struct server *server, const char *text)
{
    char got[65536];
    size_t i, found = 0, length = strlen(text);
    long count;
    /* The client's last line had an end, which the text may begin with. */
    if (length >= 2 && memcmp(text, "\r\n", 2) == 0) {
        found = 2;
    }
    while ((count = server_read(server, got, sizeof got)) > 0) {
        for (i = 0; i < (size_t)count; i++) {
            /* Right for texts in which no beginning but the first octet comes again. */
            found = got[i] == text[found] ? found + 1 : got[i] == text[0];
            if (found == length) {
                server_complain(server, "the client sent what it ought not to have sent: ", text, length);
                return 0;
            }
        }
    }
    return 0;
}

static inline void server_stall(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    server->stalls_reached++;
    pthread_cond_broadcast(&server->moved);
    while (server->stalls_ended < server->stalls_reached && !server->stopping) {
        pthread_cond_wait(&server->moved, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
}

static inline int server_expect_close(struct server *server)
{
    char got[256];
    long count = server_read(server, got, sizeof got);
    if (count > 0) {
        server_complain(server, "the client ought to send nothing more, but sent: ", got, (size_t)count);
    }
    return count <= 0;
}

/* Plays one action; 0 ends the script. */
static inline int server_act(struct server *server, const struct action *action)
{
    struct linger at_once = {1, 0};
    size_t length = action->length != 0 || action->text == NULL ? action->length : strlen(action->text);
    switch (action->kind) {
    case EXPECT_TEXT:
        return server_expect(server, action->text, length);
    case SEND_TEXT:
        if (!server_send(server, action->text, length)) {
            server_complain(server, "the client hung up instead of reading on", NULL, 0);
            return 0;
        }
        return 1;
    case FLOOD_TEXT:
        while (server_send(server, action->text, length)) {
        }
        return 0;
    case SKIP_PAST:
        return server_skip_past(server, action->text);
    case SKIP_COUNT:
        return server_skip_count(server, action->length);
    case READ_WITHOUT:
        return server_read_without(server, action->text);
    case STALL_HERE:
        server_stall(server);
        return 1;
    case SLEEP_MILLIS:
        sleep_ms((long)action->length);
        return 1;
    case RESET_NOW:
        setsockopt(server->socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        return 0;
    case CLOSE_NOW:
        return 0;
    case EXPECT_CLOSE:
    case SCRIPT_END:
        server_expect_close(server);
        return 0;
    }
    return 0;
}

static inline void *server_run(void *argument)
{
    struct server *server = argument;
    const struct action *action = server->script;
    if (server_wait(server, server->listener, POLLIN)) {
        int accepted = accept(server->listener, NULL, NULL);
        server->socket = accepted;
        while (accepted >= 0 && server_act(server, action)) {
            action++;
        }
        close(accepted);
    }
    return NULL;
}

/* The script has to live until server_finish. */
static inline void server_start(struct server *server, const struct action *script)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    memset(server, 0, sizeof *server);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->script = script;
    server->socket = -1;
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->moved, NULL);
    if (pipe(server->stop) != 0 || bind(server->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(server->listener, 8) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &length) != 0 ||
        pthread_create(&server->thread, NULL, server_run, server) != 0) {
        perror("the scripted server cannot be started");
        exit(EXIT_FAILURE);
    }
    server->port = ntohs(address.sin_port);
}

/* Waits until the server is at its stall of this number, counted from 1. */
static inline void server_await_stall(struct server *server, int number)
{
    pthread_mutex_lock(&server->lock);
    while (server->stalls_reached < number) {
        pthread_cond_wait(&server->moved, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
}

/* Ends a stall. */
static inline void server_go(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    server->stalls_ended++;
    pthread_cond_broadcast(&server->moved);
    pthread_mutex_unlock(&server->lock);
}

/* Ends the server: 1 if all went by the script. With `cut`, the rest of it is left out. */
static inline int server_end(struct server *server, int cut)
{
    pthread_mutex_lock(&server->lock);
    server->stopping = cut;
    pthread_cond_broadcast(&server->moved);
    pthread_mutex_unlock(&server->lock);
    if (cut) {
        close(server->stop[1]);
    }
    pthread_join(server->thread, NULL);
    if (!cut) {
        close(server->stop[1]);
    }
    close(server->stop[0]);
    close(server->listener);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->moved);
    if (server->complaint[0] != '\0' && !server->indifferent) {
        printf("the server: %s\n", server->complaint);
        fflush(stdout);
        return 0;
    }
    return 1;
}

/* Waits until the script was played to its end. */
static inline int server_finish(struct server *server)
{
    return server_end(server, 0);
}

/* Ends the server wherever it is: 1 if all went by the script so far. */
static inline int server_cut(struct server *server)
{
    return server_end(server, 1);
}

/* Ends the server wherever it is, and asks nothing of what the client did. */
static inline void server_drop(struct server *server)
{
    server->indifferent = 1;
    server_end(server, 1);
}

#endif
