/* Ends the process with SIGKILL at the nth system call that changes files below a directory, or lets
 * this one and all that follow fail.
 *
 * Loaded before the C library (LD_PRELOAD), it stands before every call that writes, syncs, resizes,
 * renames or removes. The environment says what to do:
 *
 *   FAULT_POINT_DIRECTORY  the directory, spelled as the kernel spells it
 *   FAULT_POINT_NTH        dies before the nth call takes effect; 0: never
 *   FAULT_POINT_TORN       1: of a write, half of the bytes are written first
 *   FAULT_POINT_ERRNO      does not die: from the nth call on, all but removals fail with this error
 *   FAULT_POINT_TRACE      a file outside the directory that gets one line for each call
 *   FAULT_POINT_JOURNAL    a file outside the directory that gets what each call did, bytes and all:
 *                          records of a struct entry, the name, and the bytes or the other name
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char directory[PATH_MAX];
static size_t directory_length;
static long nth;
static int torn;
static int failure;
static int trace = -1;
static int journal = -1;
/* What happens and what is written down are one step. */
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;
/* What the call of this thread is about; empty when it is about none of the files. */
static __thread char about[PATH_MAX];

/* Kinds: w(rite), t(runcate), s(ync), l(ink), r(ename), u(nlink), ? (anything that is not written down). */
struct entry {
    uint32_t kind, name, bytes;
    uint32_t reserved;
    int64_t offset;
};
static atomic_long calls;

__attribute__((constructor)) static void begin(void)
{
    const char *given = getenv("FAULT_POINT_DIRECTORY");
    const char *number = getenv("FAULT_POINT_NTH");
    const char *half = getenv("FAULT_POINT_TORN");
    const char *error = getenv("FAULT_POINT_ERRNO");
    const char *file = getenv("FAULT_POINT_TRACE");
    const char *book = getenv("FAULT_POINT_JOURNAL");

    if (given == NULL || strlen(given) >= sizeof directory) {
        return;
    }
    strcpy(directory, given);
    directory_length = strlen(directory);
    nth = number != NULL ? atol(number) : 0;
    torn = half != NULL && atoi(half);
    failure = error != NULL ? atoi(error) : 0;
    if (file != NULL) {
        trace = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    if (book != NULL) {
        journal = open(book, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
}

static const char *below(const char *path)
{
    if (directory_length == 0 || strncmp(path, directory, directory_length) != 0) {
        return NULL;
    }
    return path[directory_length] == '/' ? path + directory_length + 1 : NULL;
}

/* The end of the process, or the result of a call that fails. */
static int end(void)
{
    if (failure) {
        errno = failure;
        return -1;
    }
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) {
        pause();
    }
}

static void note(const char *call, const char *name)
{
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%s %s\n", call, name);

    if (trace >= 0 && length > 0) {
        /* Past this file's own functions; one write of a short line is not mixed with another's. */
        syscall(SYS_write, trace, line, (size_t)length);
    }
}

/* Counts a call about `name`; returns whether the process is to die in it, or the call to fail. */
static int is_the_one(const char *call, const char *name)
{
    long count;

    about[0] = '\0';
    if (name == NULL) {
        return 0;
    }
    snprintf(about, sizeof about, "%s", name);
    note(call, name);
    count = atomic_fetch_add(&calls, 1) + 1;
    if (failure && nth > 0) {
        return count >= nth && strstr(call, "unlink") == NULL && strcmp(call, "remove") != 0;
    }
    return count == nth;
}

static void keep(char kind, int64_t offset, const void *bytes, size_t count)
{
    struct entry entry = {(uint32_t)kind, (uint32_t)strlen(about), (uint32_t)count, 0, offset};
    struct iovec pieces[3] = {
        {&entry, sizeof entry}, {about, entry.name}, {(void *)bytes, count}};

    if (syscall(SYS_writev, journal, pieces, 3) < 0) {
        abort();
    }
}

/* Where a plain write goes. */
static int64_t place_of(int fd)
{
    struct stat status;

    if (fcntl(fd, F_GETFL) & O_APPEND) {
        return fstat(fd, &status) == 0 ? status.st_size : -1;
    }
    return lseek(fd, 0, SEEK_CUR);
}

static int at_path(const char *call, const char *path)
{
    char whole[PATH_MAX];

    about[0] = '\0';
    if (directory_length == 0 || path == NULL) {
        return 0;
    }
    if (path[0] != '/') {
        char here[PATH_MAX];
        if (getcwd(here, sizeof here) == NULL
            || (size_t)snprintf(whole, sizeof whole, "%s/%s", here, path) >= sizeof whole) {
            return 0;
        }
        path = whole;
    }
    return is_the_one(call, below(path));
}

static int at_descriptor(const char *call, int descriptor)
{
    char link[64], path[PATH_MAX];
    ssize_t length;

    about[0] = '\0';
    if (directory_length == 0) {
        return 0;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0) {
        return 0;
    }
    path[length] = '\0';
    /* The directory itself is synced too. */
    if (strcmp(path, directory) == 0) {
        return is_the_one(call, ".");
    }
    return is_the_one(call, below(path));
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The call itself; with a journal, one after the other and written down when it succeeded. */
#define DONE(type, call, kind, offset, bytes, count) \
    do { \
        type result; \
        int64_t at; \
        if (journal < 0 || about[0] == '\0') { \
            return call; \
        } \
        pthread_mutex_lock(&writing); \
        at = (offset); \
        result = call; \
        if (result >= 0) { \
            keep(kind, at, bytes, count); \
        } \
        pthread_mutex_unlock(&writing); \
        return result; \
    } while (0)

static const char *other_name(const char *path)
{
    const char *name = below(path);

    return name != NULL ? name : path;
}

#define AT(where, what) \
    if (where(__func__, what)) { \
        return end(); \
    }

#define AT_WRITE(half_of_it) \
    if (at_descriptor(__func__, fd)) { \
        if (torn) { \
            (void)!(half_of_it); \
        } \
        return end(); \
    }

ssize_t write(int fd, const void *bytes, size_t count)
{
    AT_WRITE(REAL(write)(fd, bytes, count / 2))
    DONE(ssize_t, REAL(write)(fd, bytes, count), 'w', place_of(fd), bytes, (size_t)result);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    AT_WRITE(REAL(pwrite)(fd, bytes, count / 2, offset))
    DONE(ssize_t, REAL(pwrite)(fd, bytes, count, offset), 'w', offset, bytes, (size_t)result);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
    AT_WRITE(REAL(pwrite64)(fd, bytes, count / 2, offset))
    DONE(ssize_t, REAL(pwrite64)(fd, bytes, count, offset), 'w', offset, bytes, (size_t)result);
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    AT_WRITE(REAL(writev)(fd, pieces, count / 2))
    DONE(ssize_t, REAL(writev)(fd, pieces, count), '?', 0, "", 0);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
    AT_WRITE(REAL(pwritev)(fd, pieces, count / 2, offset))
    DONE(ssize_t, REAL(pwritev)(fd, pieces, count, offset), '?', 0, "", 0);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t offset)
{
    AT_WRITE(REAL(pwritev64)(fd, pieces, count / 2, offset))
    DONE(ssize_t, REAL(pwritev64)(fd, pieces, count, offset), '?', 0, "", 0);
}

ssize_t copy_file_range(int from, off64_t *from_offset, int fd, off64_t *offset, size_t count, unsigned flags)
{
    AT_WRITE(REAL(copy_file_range)(from, from_offset, fd, offset, count / 2, flags))
    DONE(ssize_t, REAL(copy_file_range)(from, from_offset, fd, offset, count, flags), '?', 0, "", 0);
}

int fsync(int fd)
{
    AT(at_descriptor, fd)
    DONE(int, REAL(fsync)(fd), 's', 0, "", 0);
}

int fdatasync(int fd)
{
    AT(at_descriptor, fd)
    DONE(int, REAL(fdatasync)(fd), 's', 0, "", 0);
}

int ftruncate(int fd, off_t length)
{
    AT(at_descriptor, fd)
    DONE(int, REAL(ftruncate)(fd, length), 't', length, "", 0);
}

int ftruncate64(int fd, off64_t length)
{
    AT(at_descriptor, fd)
    DONE(int, REAL(ftruncate64)(fd, length), 't', length, "", 0);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    AT(at_descriptor, fd)
    DONE(int, REAL(fallocate)(fd, mode, offset, length), '?', 0, "", 0);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    AT(at_descriptor, fd)
    DONE(int, REAL(fallocate64)(fd, mode, offset, length), '?', 0, "", 0);
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    AT(at_descriptor, fd)
    DONE(int, REAL(posix_fallocate)(fd, offset, length), '?', 0, "", 0);
}

int posix_fallocate64(int fd, off64_t offset, off64_t length)
{
    AT(at_descriptor, fd)
    DONE(int, REAL(posix_fallocate64)(fd, offset, length), '?', 0, "", 0);
}

int truncate(const char *path, off_t length)
{
    AT(at_path, path)
    DONE(int, REAL(truncate)(path, length), 't', length, "", 0);
}

int rename(const char *from, const char *to)
{
    AT(at_path, to)
    DONE(int, REAL(rename)(from, to), 'r', 0, other_name(from), strlen(other_name(from)));
}

int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    AT(at_path, to)
    DONE(int, REAL(renameat)(from_directory, from, to_directory, to), 'r', 0, other_name(from), strlen(other_name(from)));
}

int link(const char *from, const char *to)
{
    AT(at_path, to)
    DONE(int, REAL(link)(from, to), 'l', 0, other_name(from), strlen(other_name(from)));
}

int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    AT(at_path, to)
    DONE(int, REAL(linkat)(from_directory, from, to_directory, to, flags), 'l', 0, other_name(from), strlen(other_name(from)));
}

int unlink(const char *path)
{
    AT(at_path, path)
    DONE(int, REAL(unlink)(path), 'u', 0, "", 0);
}

int unlinkat(int folder, const char *path, int flags)
{
    AT(at_path, path)
    DONE(int, REAL(unlinkat)(folder, path, flags), 'u', 0, "", 0);
}

int remove(const char *path)
{
    AT(at_path, path)
    DONE(int, REAL(remove)(path), 'u', 0, "", 0);
}
