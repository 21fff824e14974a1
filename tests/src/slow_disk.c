/* Loaded before the C library: a sync takes longer for files whose names end as the environment says. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void take_time(int file) {
    const char *micros = getenv("SLOW_DISK_MICROS"), *ending = getenv("SLOW_DISK_ENDING");
    if (!micros || !ending) return;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path), end = strlen(ending);
    if (length >= end && memcmp(path + length - end, ending, end) == 0) usleep(atoi(micros));
}

int fdatasync(int file) {
    take_time(file);
    return (int)syscall(SYS_fdatasync, file);
}

int fsync(int file) {
    take_time(file);
    return (int)syscall(SYS_fsync, file);
}
