/*
 * Messages of a gigabyte, and messages in which every line has a dot to be
 * doubled: all of it arrives, and the process's memory stays where it was.
 */
#define _POSIX_C_SOURCE 200809L
#include "mail.h"
#include "memory.h"

enum { MOST_KIB = 8 * 1024 };

/* Under valgrind and the sanitizers memory cannot be told, and the way is slow. */
static int slow(void)
{
    return peak_memory() < 0;
}

static uint64_t mebibytes(unsigned normal)
{
    return (uint64_t)(slow() ? 4 : normal) << 20;
}

/* Lines of 64 octets. */
static char lines[1 << 16];

struct reader {
    uint64_t left;
};

static int64_t give(void *buffer, size_t capacity, void *user_data)
{
    struct reader *reader = user_data;
    size_t count = capacity < sizeof lines ? capacity : sizeof lines;
    count = reader->left < count ? (size_t)reader->left : count;
    memcpy(buffer, lines, count);
    reader->left -= count;
    return (int64_t)count;
}

static char path[256];

static int new_file(void)
{
    const char *folder = getenv("TMPDIR");
    int file;
    snprintf(path, sizeof path, "%s/smtpclient-large-XXXXXX", folder != NULL ? folder : "/tmp");
    file = mkstemp(path);
    if (file < 0) {
        perror("no file for the test");
        exit(EXIT_FAILURE);
    }
    return file;
}

static int32_t from_reader(SmtpClient *client, void *data)
{
    return SmtpSendStream(client, SENDER, RECIPIENT, 0, give, data);
}

static int32_t from_file(SmtpClient *client, void *data)
{
    return SmtpSendFile(client, SENDER, RECIPIENT, data);
}

struct block {
    char *octets;
    size_t length;
};

static int32_t from_memory(SmtpClient *client, void *data)
{
    struct block *block = data;
    return SmtpSendMessage(client, SENDER, RECIPIENT, block->octets, block->length);
}

/* Sends it to a server that wants so many octets on the wire, and then this end. */
static void sent(int32_t (*send_it)(SmtpClient *client, void *data), void *data, uint64_t wire, const char *end)
{
    struct action script[] = {HELLO, TO_CONTENT, SKIP(0), EXPECT(end), SEND(QUEUED), GOODBYE, EXPECT_END, END};
    /* Behind the three actions of HELLO and the six of TO_CONTENT. */
    enum { SKIP_AT = 3 + 6 };
    struct server server;
    SmtpClient *client = new_client();
    long before, after;
    CHECK_SAME(script[SKIP_AT].kind, SKIP_COUNT);
    script[SKIP_AT].length = (size_t)wire;
    server_start(&server, script);
    CHECK_SAME(connect_to(client, &server), 0);
    before = peak_memory();
    CHECK_SAME(send_it(client, data), 0);
    after = peak_memory();
    CHECK_SAME(integer(client, SMTP_PROPERTY_OUTCOME), SMTP_OUTCOME_ACCEPTED);
    CHECK_SAME(SmtpDisconnect(client), 0);
    CHECK(server_finish(&server));
    CHECK_SAME(SmtpClientRelease(client), 0);
    if (before < 0) {
        printf("  %u MiB were sent; memory cannot be told here\n", (unsigned)(wire >> 20));
        return;
    }
    printf("  %u MiB were sent, and the peak of memory grew by %ld KiB\n", (unsigned)(wire >> 20), after - before);
    CHECK(after - before < MOST_KIB);
}

static void a_gigabyte_from_a_reader(void)
{
    struct reader reader;
    size_t i;
    for (i = 0; i < sizeof lines; i++) {
        lines[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
    }
    reader.left = mebibytes(1024);
    sent(from_reader, &reader, reader.left, ".\r\n");
}

/* The file has no octets on the disk: one line of a gigabyte of NULs. */
static void a_gigabyte_from_a_file(void)
{
    uint64_t length = mebibytes(1024);
    int file = new_file();
    CHECK(ftruncate(file, (off_t)length) == 0);
    CHECK(close(file) == 0);
    sent(from_file, path, length, "\r\n.\r\n");
    unlink(path);
}

static int32_t composed(SmtpClient *client, void *data)
{
    return SmtpSendComposed(client, data);
}

/* As an attachment, encoded on the way; its size is known beforehand to the octet. */
static void an_attached_gigabyte(void)
{
    SmtpMessage *message = SmtpMessageCreate();
    uint64_t size = 0;
    int file = new_file();
    CHECK(ftruncate(file, (off_t)mebibytes(1024)) == 0);
    CHECK(close(file) == 0);
    CHECK_SAME(SmtpMessageCompose(message, SENDER, RECIPIENT, NULL, NULL, "large", "see below", NULL), 0);
    CHECK_SAME(SmtpMessageAttachFile(message, path, "large.bin", NULL, NULL), 0);
    CHECK_SAME(SmtpMessageGetSize(message, SMTP_EXPORT_DEFAULT, &size), 0);
    CHECK(size > mebibytes(1024) / 3 * 4);
    sent(composed, message, size, ".\r\n");
    CHECK_SAME(SmtpMessageRelease(message), 0);
    unlink(path);
}

/* One line of dots, of which the first is doubled. */
static void nothing_but_dots_from_a_file(void)
{
    uint64_t length = mebibytes(100), written;
    int file = new_file();
    memset(lines, '.', sizeof lines);
    for (written = 0; written < length; written += sizeof lines) {
        CHECK(write(file, lines, sizeof lines) == (ssize_t)sizeof lines);
    }
    CHECK(close(file) == 0);
    sent(from_file, path, length + 1, "\r\n.\r\n");
    unlink(path);
}

/* Lines of one dot, which is the end of a message if it is not doubled. */
static void lines_of_a_dot_from_memory(void)
{
    static const char line[3] = {'.', '\r', '\n'};
    struct block block;
    size_t count = (size_t)mebibytes(100) / sizeof line, i;
    block.length = count * sizeof line;
    block.octets = malloc(block.length);
    if (block.octets == NULL) {
        perror("no memory for the test");
        exit(EXIT_FAILURE);
    }
    for (i = 0; i < block.length; i++) {
        block.octets[i] = line[i % sizeof line];
    }
    sent(from_memory, &block, (uint64_t)count * 4, ".\r\n");
    free(block.octets);
}

/* That the measurement can fail: here memory is used, and the peak rises. */
static void the_measurement_is_real(void)
{
    long before = peak_memory();
    char *block;
    if (before >= 0) {
        block = large_message(16 << 20);
        CHECK(block[1 << 20] != '\0');
        CHECK(peak_memory() - before >= MOST_KIB);
        free(block);
    }
}

int main(void)
{
    check_begin();
    /* In this order: a peak that was reached before hides what is below it. */
    RUN(a_gigabyte_from_a_reader);
    RUN(a_gigabyte_from_a_file);
    RUN(an_attached_gigabyte);
    RUN(nothing_but_dots_from_a_file);
    RUN(the_measurement_is_real);
    RUN(lines_of_a_dot_from_memory);
    return check_end();
}
