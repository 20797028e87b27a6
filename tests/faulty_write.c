/* A process that dies while it writes a run: at its NETC_DIES_AT-th write to, sync of, link to or removal of what is in a
 * run's folder. Of a write the first half arrives. Loaded before the C library (LD_PRELOAD). */
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
static int dies_at(const char *path)
{
    const char *at = getenv("NETC_DIES_AT");
    if (!at || (!strstr(path, "/.netc-") && !strstr(path, "/checkpoints") && !strstr(path, "/final")))
        return 0;
    return ++calls == atol(at);
}

static int dies(int file)
{
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return dies_at(path);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    int (*real)(int, const char *, int, const char *, int) = dlsym(RTLD_NEXT, "linkat");
    if (dies_at(new))
        kill(getpid(), SIGKILL);
    return real(from, old, to, new, flags);
}

int unlink(const char *path)
{
    int (*real)(const char *) = dlsym(RTLD_NEXT, "unlink");
    if (dies_at(path))
        kill(getpid(), SIGKILL);
    return real(path);
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
