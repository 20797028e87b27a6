/* A process that dies while it writes a run: at its NETC_DIES_AT-th write to or sync of what is in a run's folder, of which
 * the first half arrives. Loaded before the C library (LD_PRELOAD). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_long calls;

/* Whether this call is the last one. */
static int dies(int file)
{
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    const char *at = getenv("NETC_DIES_AT");
    if (!at || (!strstr(path, "/.netc-") && !strstr(path, "/checkpoints")))
        return 0;
    return ++calls == atol(at);
}

ssize_t write(int file, const void *bytes, size_t count)
{
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    if (dies(file)) {
        (void)!real(file, bytes, count / 2);
        kill(getpid(), SIGKILL);
    }
    return real(file, bytes, count);
}

int fsync(int file)
{
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    if (dies(file))
        kill(getpid(), SIGKILL);
    return real(file);
}
