/*
 * A test frame in one page: CHECK and its kin print file and line when they do
 * not hold, go on, and make the program fail in the end.
 */
#ifndef CHECK_H
#define CHECK_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Checks are made in several threads at a time. */
static pthread_mutex_t check_lock = PTHREAD_MUTEX_INITIALIZER;
static int check_failures;

static inline void check_failed(const char *file, int line, const char *what)
{
    pthread_mutex_lock(&check_lock);
    check_failures++;
    printf("%s:%d: %s\n", file, line, what);
    fflush(stdout);
    pthread_mutex_unlock(&check_lock);
}

static inline int check_true(int holds, const char *what, const char *file, int line)
{
    if (!holds) {
        check_failed(file, line, what);
    }
    return holds;
}

static inline int check_same(long long found, long long expected, const char *what, const char *file, int line)
{
    char text[512];
    if (found == expected) {
        return 1;
    }
    snprintf(text, sizeof text, "%s is %lld (0x%llX), not %lld (0x%llX)", what, found,
             (unsigned long long)found & 0xFFFFFFFFULL, expected, (unsigned long long)expected & 0xFFFFFFFFULL);
    check_failed(file, line, text);
    return 0;
}

static inline int check_same_text(const char *found, const char *expected, const char *what, const char *file, int line)
{
    if (strcmp(found, expected) == 0) {
        return 1;
    }
    pthread_mutex_lock(&check_lock);
    printf("--- %s: found\n%s\n--- expected\n%s\n---\n", what, found, expected);
    pthread_mutex_unlock(&check_lock);
    check_failed(file, line, "the texts differ");
    return 0;
}

/* Each gives 1 if it holds, so that a test can stop where going on makes no sense. */
#define CHECK(condition) check_true((condition) != 0, "failed: " #condition, __FILE__, __LINE__)
#define CHECK_SAME(found, expected) check_same((found), (expected), #found, __FILE__, __LINE__)
#define CHECK_TEXT(found, expected) check_same_text((found), (expected), #found, __FILE__, __LINE__)

/* Names the test first, so that a crash or a hang can be told from the output. */
#define RUN(test)              \
    do {                       \
        printf("%s\n", #test); \
        fflush(stdout);        \
        test();                \
    } while (0)

static inline double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static inline void sleep_ms(long millis)
{
    struct timespec rest;
    rest.tv_sec = millis / 1000;
    rest.tv_nsec = millis % 1000 * 1000000;
    nanosleep(&rest, NULL);
}

/*
 * A number that threads tell each other something by. Neither orders anything else, so
 * that ThreadSanitizer sees as much of the library's own doing as there is.
 */
static inline int told(const int *number)
{
    return __atomic_load_n(number, __ATOMIC_RELAXED);
}

static inline void tell(int *number, int value)
{
    __atomic_store_n(number, value, __ATOMIC_RELAXED);
}

/* To be called first: a program that hangs is ended by SIGALRM. */
static inline void check_begin(void)
{
    alarm(120);
}

/* What main returns. */
static inline int check_end(void)
{
    printf(check_failures == 0 ? "all checks hold\n" : "%d checks failed\n", check_failures);
    return check_failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
