/* Lets the n-th call that writes to files of one folder fail: once, or it and all later ones. Linux.

   cc -shared -fPIC -O1 -o failing_calls.so failing_calls.c -ldl
   FAILING_FOLDER=/tmp/x FAILING_AT=7 LD_PRELOAD=./failing_calls.so python ...

   Settings of the environment, read when a process starts and at each call of `failing_calls_set_up`:
   FAILING_FOLDER  the folder; without it nothing is watched
   FAILING_AT      the call that fails; 0 only counts
   FAILING_ERRNO   the error, 5 by default
   FAILING_FOREVER 1: all later calls fail too
   FAILING_STATE   a file of 8 zero bytes: the count, shared by all processes
   FAILING_TRACE   a file that gets a line for each watched call */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *folder, *trace;
static long at, own_count, *count = &own_count;
static int code, for_ever;

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) void failing_calls_set_up(void) {
    const char *text = getenv("FAILING_STATE");
    folder = NULL;
    at = getenv("FAILING_AT") ? atol(getenv("FAILING_AT")) : 0;
    code = getenv("FAILING_ERRNO") ? atoi(getenv("FAILING_ERRNO")) : EIO;
    for_ever = getenv("FAILING_FOREVER") && atoi(getenv("FAILING_FOREVER"));
    trace = getenv("FAILING_TRACE");
    if (text) {
        int fd = open(text, O_RDWR);
        void *shared = mmap(NULL, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (fd >= 0 && shared != MAP_FAILED) count = shared;
    }
    folder = getenv("FAILING_FOLDER");
}

static int fails(const char *call, const char *path) {
    if (!folder || !path || strncmp(path, folder, strlen(folder))) return 0;
    long n = __sync_add_and_fetch(count, 1);
    if (trace) {
        char line[4300];
        static ssize_t (*put)(int, const void *, size_t);
        if (!put) put = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
        int fd = open(trace, O_WRONLY | O_APPEND | O_CREAT, 0666);
        int size = snprintf(line, sizeof line, "%ld %s %s\n", n, call, path);
        if (fd >= 0) { put(fd, line, size); close(fd); }
    }
    if (!at || n < at || (n > at && !for_ever)) return 0;
    errno = code;
    return 1;
}

static int fails_fd(const char *call, int fd) {
    if (!folder || fd < 0) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return fails(call, path);
}

ssize_t write(int fd, const void *b, size_t n) { REAL(write); return fails_fd("write", fd) ? -1 : real(fd, b, n); }
ssize_t writev(int fd, const struct iovec *v, int n) { REAL(writev); return fails_fd("write", fd) ? -1 : real(fd, v, n); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { REAL(pwrite); return fails_fd("pwrite", fd) ? -1 : real(fd, b, n, o); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) { REAL(pwrite64); return fails_fd("pwrite", fd) ? -1 : real(fd, b, n, o); }
ssize_t pwritev(int fd, const struct iovec *v, int n, off_t o) { REAL(pwritev); return fails_fd("pwritev", fd) ? -1 : real(fd, v, n, o); }
int fsync(int fd) { REAL(fsync); return fails_fd("fsync", fd) ? -1 : real(fd); }
int fdatasync(int fd) { REAL(fdatasync); return fails_fd("fdatasync", fd) ? -1 : real(fd); }
int ftruncate(int fd, off_t n) { REAL(ftruncate); return fails_fd("ftruncate", fd) ? -1 : real(fd, n); }
int ftruncate64(int fd, off64_t n) { REAL(ftruncate64); return fails_fd("ftruncate", fd) ? -1 : real(fd, n); }
int rename(const char *a, const char *b) { REAL(rename); return fails("rename", b) ? -1 : real(a, b); }
int renameat(int x, const char *a, int y, const char *b) { REAL(renameat); return fails("rename", b) ? -1 : real(x, a, y, b); }
int renameat2(int x, const char *a, int y, const char *b, unsigned f) { REAL(renameat2); return fails("rename", b) ? -1 : real(x, a, y, b, f); }

/* As on Linux: the descriptor is closed, whatever close returns. Files that were only read do not count. */
int close(int fd) {
    REAL(close);
    int flags = folder ? fcntl(fd, F_GETFL) : 0;
    int error = flags > 0 && (flags & O_ACCMODE) != O_RDONLY && fails_fd("close", fd) ? errno : 0;
    int done = real(fd);
    if (!error) return done;
    errno = error;
    return -1;
}
