/* How much memory the process takes. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdio.h>
#include <string.h>

/* How far the peak of this process's memory is, in KiB; -1 if that cannot be told here. */
static inline long peak_memory(void)
{
    char line[512];
    long peak = -1;
    FILE *file;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return -1; /* they keep what was freed, and records of who used it */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return -1;
#endif
#endif
    file = fopen("/proc/self/maps", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strstr(line, "vgpreload") != NULL) {
            fclose(file);
            return -1; /* valgrind: the memory is its own */
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "VmHWM: %ld", &peak) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return peak;
}

#endif
