/* Stands between a program and the C library, and makes one of its file operations go wrong.
 *
 * Loaded with LD_PRELOAD. The environment says what happens:
 *
 *   FAULTS_ROOT   only files below this directory count
 *   FAULTS_CALL   the kind of call, as in `kinds` below; absent: any
 *   FAULTS_PATH   a pattern of fnmatch(3) for the path below the root; absent: any
 *   FAULTS_NTH    the first such call that is hit, from 1; absent: none
 *   FAULTS_TIMES  how many calls from there on are hit; 0: all of them; absent: 1
 *   FAULTS_WHEN   `before` (the default), `after`, or `half`: a write of half the bytes comes first
 *   FAULTS_DO     `kill`, `stop`, `short` (half the bytes are read or written), or an errno
 *   FAULTS_2_CALL, FAULTS_2_PATH, … the same for a second fault, beside the first
 *   FAULTS_SPACE  how many bytes the disk has left
 *   FAULTS_LOG    a file to which every call is written: kind, path, result
 *   FAULTS_JOURNAL  a file to which every change is written that the process makes to files from its
 *                 first call to its last, with the bytes: a `struct change`, two paths, the bytes
 *
 * Calls count from the opening of the file /faults/begin to that of /faults/end, neither of which
 * exists. Opening any other /faults/NAME in between is a call of the kind `mark`, so that a place
 * in the program can be hit that makes no call of its own.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN, READ, WRITE, SYNC, RENAME, LINK, UNLINK, TRUNCATE, ALLOCATE, MAP, MKDIR, STAT, TIMES,
            LOCK, UNLOCK, LIST, ACCESS, CHMOD, CLOSE, MARK, KINDS };
static const char *const kinds[KINDS] = {"open", "read", "write", "sync", "rename", "link", "unlink",
    "truncate", "allocate", "map", "mkdir", "stat", "times", "lock", "unlock", "list", "access", "chmod",
    "close", "mark"};

enum when { BEFORE, AFTER, HALF };
enum deed { KILL = -1, STOP = -2, SHORT = -3 }; /* or an errno */
#define BLOCK 4096
#define MARKS "/faults/"

static char root[PATH_MAX];
static size_t root_length;
struct fault {
    const char *path_pattern, *call_name;
    long nth, times;
    enum when when;
    int deed;
    atomic_long seen;
};
static struct fault faults[2];
static int log_fd = -1, journal_fd = -1;
static atomic_long space;
static int has_space;
static atomic_int armed;

static long number(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : otherwise;
}

static const char *setting(int which, const char *name)
{
    char full[32];
    snprintf(full, sizeof full, which ? "FAULTS_2_%s" : "FAULTS_%s", name);
    return getenv(full);
}

static void prepare_fault(int which)
{
    struct fault *fault = &faults[which];
    const char *at = setting(which, "WHEN"), *what = setting(which, "DO");
    const char *first = setting(which, "NTH"), *count = setting(which, "TIMES");
    fault->path_pattern = setting(which, "PATH");
    fault->call_name = setting(which, "CALL");
    fault->nth = first ? strtol(first, NULL, 10) : 0;
    fault->times = count ? strtol(count, NULL, 10) : 1;
    fault->when = !at || !strcmp(at, "before") ? BEFORE : !strcmp(at, "after") ? AFTER : HALF;
    fault->deed = !what ? 0 : !strcmp(what, "kill") ? KILL : !strcmp(what, "stop") ? STOP
                : !strcmp(what, "short") ? SHORT : atoi(what);
}

__attribute__((constructor)) static void prepare(void)
{
    const char *home = getenv("FAULTS_ROOT"), *log = getenv("FAULTS_LOG"), *journal = getenv("FAULTS_JOURNAL");
    if (!home || !realpath(home, root))
        return;
    root_length = strlen(root);
    prepare_fault(0);
    prepare_fault(1);
    has_space = getenv("FAULTS_SPACE") != NULL;
    atomic_store(&space, number("FAULTS_SPACE", 0));
    if (log)
        log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal)
        journal_fd = syscall(SYS_openat, AT_FDCWD, journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    atomic_store(&armed, journal_fd >= 0);
}

/* A call on a file below the root. */
struct call {
    enum kind kind;
    int counts;  /* it is below the root, between begin and end */
    int is_hit;
    enum when when;
    int deed;
    char path[PATH_MAX];
};

static void tell(const struct call *call, long result, int error)
{
    char line[PATH_MAX + 64];
    int length;
    if (!call->counts || log_fd < 0)
        return;
    length = snprintf(line, sizeof line, "%s %s %ld\n", kinds[call->kind], call->path,
                      result < 0 ? -(long)error : result);
    syscall(SYS_write, log_fd, line, length);
}

static void die(int signal)
{
    syscall(SYS_kill, syscall(SYS_getpid), signal);
}

static void locate(struct call *call, int directory, const char *path)
{
    char absolute[PATH_MAX], link[64];
    ssize_t length = 0;
    call->counts = 0;
    if (!root_length || !atomic_load(&armed))
        return;
    if (!path || path[0] != '/') {
        if (directory == AT_FDCWD)
            snprintf(link, sizeof link, "/proc/self/cwd");
        else
            snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        length = syscall(SYS_readlinkat, AT_FDCWD, link, absolute, sizeof absolute - 1);
        if (length < 0)
            return;
        absolute[length] = 0;
    }
    if (path && *path)
        snprintf(absolute + length, sizeof absolute - length, "%s%s", length ? "/" : "", path);
    if (strncmp(absolute, root, root_length) || (absolute[root_length] && absolute[root_length] != '/'))
        return;
    call->counts = 1;
    snprintf(call->path, sizeof call->path, "%s", absolute[root_length] ? absolute + root_length + 1 : ".");
}

/* A change to files, as the journal has it. */
struct change {
    char kind; /* the first letter of make, write, cut, grow, sync, rename, link, unlink, directory; k for a mark */
    uint32_t path_length, other_length;
    uint64_t inode, offset, length;
} __attribute__((packed));

static void keep(const struct call *call, char kind, int fd, const char *to, off_t offset, const void *bytes,
                 size_t length)
{
    struct stat found = {0};
    struct call other = {0};
    struct change change = {.kind = kind, .offset = offset};
    int error = errno;
    if (journal_fd < 0 || !call->counts)
        return;
    if (to)
        locate(&other, fd, to);
    syscall(SYS_newfstatat, fd, to ? to : "", &found, to ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH);
    change.inode = found.st_ino;
    change.path_length = strlen(call->path);
    change.other_length = strlen(other.path);
    change.length = bytes ? length : 0;
    struct iovec parts[] = {{&change, sizeof change}, {(void *)call->path, change.path_length},
                            {other.path, change.other_length}, {(void *)bytes, change.length}};
    syscall(SYS_writev, journal_fd, parts, 4);
    errno = error;
}

static int hits(struct fault *fault, const struct call *call)
{
    long count;
    if (!call->counts || !fault->nth || (fault->call_name && strcmp(fault->call_name, kinds[call->kind])))
        return 0;
    if (fault->path_pattern && fnmatch(fault->path_pattern, call->path, 0))
        return 0;
    count = atomic_fetch_add(&fault->seen, 1) + 1;
    return count >= fault->nth && (fault->times == 0 || count < fault->nth + fault->times);
}

static void judge(struct call *call)
{
    call->is_hit = 0;
    for (int which = 0; which < 2; which++) {
        if (hits(&faults[which], call) && !call->is_hit) {
            call->is_hit = 1;
            call->when = faults[which].when;
            call->deed = faults[which].deed;
        }
    }
}

static struct call on_path(enum kind kind, int directory, const char *path)
{
    struct call call = {.kind = kind};
    int error = errno;
    locate(&call, directory, path);
    judge(&call);
    errno = error;
    return call;
}

static struct call on_file(enum kind kind, int fd)
{
    return on_path(kind, fd, NULL);
}

/* What happens instead of the call; 0: nothing does. */
static int fails(struct call *call)
{
    if (!call->is_hit || call->when != BEFORE)
        return 0;
    if (call->deed == KILL || call->deed == STOP)
        die(call->deed == KILL ? SIGKILL : SIGSTOP);
    if (call->deed <= 0)
        return 0;
    errno = call->deed;
    tell(call, -1, call->deed);
    return 1;
}

/* What happens after the call. */
static long done(struct call *call, long result)
{
    int error = errno;
    tell(call, result, error);
    if (call->is_hit && call->when == AFTER && (call->deed == KILL || call->deed == STOP))
        die(call->deed == KILL ? SIGKILL : SIGSTOP);
    errno = error;
    if (call->is_hit && call->when == AFTER && call->deed > 0) {
        errno = call->deed;
        return -1;
    }
    return result;
}

/* How many of the bytes the emulated disk still takes at the offset; -1: it is full. */
static ssize_t room(const struct call *call, int fd, off_t offset, size_t count)
{
    struct stat found;
    long long end, held, grows, left;
    if (!has_space || !call->counts || syscall(SYS_newfstatat, fd, "", &found, AT_EMPTY_PATH) || !S_ISREG(found.st_mode))
        return count;
    if (offset < 0)
        offset = fcntl(fd, F_GETFL) & O_APPEND ? found.st_size : syscall(SYS_lseek, fd, 0, SEEK_CUR);
    end = (offset + (long long)count + BLOCK - 1) / BLOCK * BLOCK;
    held = (found.st_size + BLOCK - 1) / BLOCK * BLOCK;
    grows = end > held ? end - held : 0;
    left = atomic_load(&space);
    if (grows <= left) {
        atomic_fetch_sub(&space, grows);
        return count;
    }
    atomic_fetch_sub(&space, left / BLOCK * BLOCK);
    end = held + left / BLOCK * BLOCK - offset;
    if (end > 0)
        return end;
    errno = ENOSPC;
    return -1;
}

static void give_back(const struct call *call, int directory, const char *path, off_t stays)
{
    struct stat found;
    int flags = path ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH;
    if (has_space && call->counts && !syscall(SYS_newfstatat, directory, path ? path : "", &found, flags)
        && S_ISREG(found.st_mode) && found.st_nlink == 1 && found.st_size > stays)
        atomic_fetch_add(&space, (found.st_size - stays + BLOCK - 1) / BLOCK * BLOCK);
}

static int is_full(const struct call *call)
{
    if (!has_space || !call->counts)
        return 0;
    if (atomic_fetch_sub(&space, BLOCK) >= BLOCK)
        return 0;
    atomic_fetch_add(&space, BLOCK);
    errno = ENOSPC;
    return 1;
}

#define REAL(name, ...) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, #name)

/* Marks are openings of files that do not exist. */
static int is_mark(const char *path)
{
    if (!path || strncmp(path, MARKS, sizeof MARKS - 1))
        return 0;
    path += sizeof MARKS - 1;
    if (!strcmp(path, "begin")) {
        atomic_store(&armed, 1);
    } else if (!strcmp(path, "end")) {
        atomic_store(&armed, journal_fd >= 0);
    } else if (atomic_load(&armed)) {
        struct call call = {.kind = MARK, .counts = 1};
        snprintf(call.path, sizeof call.path, "%s", path);
        keep(&call, 'k', -1, NULL, 0, NULL, 0);
        judge(&call);
        fails(&call);
        done(&call, 0);
    }
    return 1;
}

#define OPENING(name, directory, parameters, arguments) \
    int name parameters \
    { \
        struct call call; \
        mode_t mode = 0; \
        int fd; \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
        } \
        if (is_mark(path)) { errno = ENOENT; return -1; } \
        REAL(name); \
        call = on_path(OPEN, directory, path); \
        if (fails(&call)) return -1; \
        fd = real arguments; \
        if (fd >= 0 && call.is_hit && call.when == AFTER && call.deed > 0) { syscall(SYS_close, fd); fd = -1; } \
        if (fd >= 0 && flags & (O_CREAT | O_TRUNC)) keep(&call, 'm', fd, NULL, !!(flags & O_TRUNC), NULL, 0); \
        return done(&call, fd); \
    }
OPENING(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPENING(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPENING(openat, directory, (int directory, const char *path, int flags, ...), (directory, path, flags, mode))
OPENING(openat64, directory, (int directory, const char *path, int flags, ...), (directory, path, flags, mode))

#define READING(name, parameters, arguments) \
    ssize_t name parameters \
    { \
        REAL(name); \
        struct call call = on_file(READ, fd); \
        if (fails(&call)) return -1; \
        if (call.is_hit && call.deed == SHORT && count > 1) count /= 2; \
        return done(&call, real arguments); \
    }
READING(read, (int fd, void *bytes, size_t count), (fd, bytes, count))
READING(pread, (int fd, void *bytes, size_t count, off_t offset), (fd, bytes, count, offset))
READING(pread64, (int fd, void *bytes, size_t count, off64_t offset), (fd, bytes, count, offset))

#define WRITING(name, parameters, at, arguments) \
    ssize_t name parameters \
    { \
        ssize_t fits; \
        REAL(name); \
        struct call call = on_file(WRITE, fd); \
        if (fails(&call)) return -1; \
        if (call.is_hit && (call.deed == SHORT || call.when == HALF) && count > 1) count /= 2; \
        fits = room(&call, fd, at, count); \
        if (fits < 0) return done(&call, -1); \
        count = fits; \
        fits = real arguments; \
        if (call.is_hit && call.when == HALF && call.deed < 0) die(call.deed == STOP ? SIGSTOP : SIGKILL); \
        if (fits > 0) \
            keep(&call, 'w', fd, NULL, at >= 0 ? at : syscall(SYS_lseek, fd, 0, SEEK_CUR) - fits, bytes, fits); \
        return done(&call, fits); \
    }
WRITING(write, (int fd, const void *bytes, size_t count), -1, (fd, bytes, count))
WRITING(pwrite, (int fd, const void *bytes, size_t count, off_t offset), offset, (fd, bytes, count, offset))
WRITING(pwrite64, (int fd, const void *bytes, size_t count, off64_t offset), offset, (fd, bytes, count, offset))

/* Gathered writes become plain ones, which may be short. */
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev);
    struct call call = {.kind = WRITE};
    locate(&call, fd, NULL);
    return call.counts && count > 0 ? write(fd, parts[0].iov_base, parts[0].iov_len) : real(fd, parts, count);
}

/* Copies within the kernel become reads and writes, which are what fails. */
ssize_t copy_file_range(int from, off64_t *at, int fd, off64_t *to, size_t count, unsigned flags)
{
    REAL(copy_file_range);
    struct call call = {.kind = WRITE};
    locate(&call, fd, NULL);
    if (call.counts) { errno = ENOSYS; return -1; }
    return real(from, at, fd, to, count, flags);
}

#define CHANGE(place, name, parameters, arguments, journal) \
    int name parameters \
    { \
        REAL(name); \
        struct call call = place; \
        if (fails(&call)) return -1; \
        int result = real arguments; \
        if (result == 0) journal; \
        return done(&call, result); \
    }
#define CALL(kind, place, result, name, parameters, arguments) CHANGE(place, name, parameters, arguments, (void)0)
#define SYNCING(name) CHANGE(on_file(SYNC, fd), name, (int fd), (fd), keep(&call, 's', fd, NULL, 0, NULL, 0))
SYNCING(fsync)
SYNCING(fdatasync)
#define ON_PATH(kind, name, parameters, arguments) \
    CALL(kind, on_path(kind, AT_FDCWD, path), int, name, parameters, arguments)
#define ON_PATH_AT(kind, name, parameters, arguments) \
    CALL(kind, on_path(kind, directory, path), int, name, parameters, arguments)
#define ON_FILE(kind, name, parameters, arguments) \
    CALL(kind, on_file(kind, fd), int, name, parameters, arguments)

#define MOVING(kind, letter, name, directory, other, parameters, arguments) \
    CHANGE(on_path(kind, directory, path), name, parameters, arguments, keep(&call, letter, other, to, 0, NULL, 0))
MOVING(RENAME, 'r', rename, AT_FDCWD, AT_FDCWD, (const char *path, const char *to), (path, to))
MOVING(RENAME, 'r', renameat, directory, other, (int directory, const char *path, int other, const char *to),
       (directory, path, other, to))
MOVING(RENAME, 'r', renameat2, directory, other,
       (int directory, const char *path, int other, const char *to, unsigned flags), (directory, path, other, to, flags))
MOVING(LINK, 'l', link, AT_FDCWD, AT_FDCWD, (const char *path, const char *to), (path, to))
MOVING(LINK, 'l', linkat, directory, other, (int directory, const char *path, int other, const char *to, int flags),
       (directory, path, other, to, flags))
#define LEAVES(name, parameters, directory, arguments) \
    CHANGE(on_path(UNLINK, directory, path), name, parameters, arguments, keep(&call, 'u', -1, NULL, 0, NULL, 0))
LEAVES(rmdir, (const char *path), AT_FDCWD, (path))
ON_PATH(STAT, stat, (const char *restrict path, struct stat *restrict found), (path, found))
ON_PATH(STAT, stat64, (const char *restrict path, struct stat64 *restrict found), (path, found))
ON_PATH(STAT, lstat, (const char *restrict path, struct stat *restrict found), (path, found))
ON_PATH(STAT, lstat64, (const char *restrict path, struct stat64 *restrict found), (path, found))
ON_FILE(STAT, fstat, (int fd, struct stat *found), (fd, found))
ON_FILE(STAT, fstat64, (int fd, struct stat64 *found), (fd, found))
ON_PATH_AT(STAT, fstatat, (int directory, const char *restrict path, struct stat *restrict found, int flags),
           (directory, path, found, flags))
ON_PATH_AT(STAT, fstatat64, (int directory, const char *restrict path, struct stat64 *restrict found, int flags),
           (directory, path, found, flags))
ON_PATH_AT(STAT, statx,
           (int directory, const char *restrict path, int flags, unsigned mask, struct statx *restrict found),
           (directory, path, flags, mask, found))
ON_PATH(ACCESS, access, (const char *path, int mode), (path, mode))
ON_PATH_AT(ACCESS, faccessat, (int directory, const char *path, int mode, int flags), (directory, path, mode, flags))
ON_PATH(CHMOD, chmod, (const char *path, mode_t mode), (path, mode))
ON_FILE(CHMOD, fchmod, (int fd, mode_t mode), (fd, mode))
ON_FILE(CHMOD, fchown, (int fd, uid_t owner, gid_t group), (fd, owner, group))
ON_FILE(TIMES, futimens, (int fd, const struct timespec both[2]), (fd, both))
#define GROWING(name, type) \
    CHANGE(on_file(ALLOCATE, fd), name, (int fd, int mode, type offset, type length), (fd, mode, offset, length), \
           if (!mode) keep(&call, 'g', fd, NULL, offset + length, NULL, 0))
GROWING(fallocate, off_t)
GROWING(fallocate64, off64_t)

#define MAKING(name, directory, parameters, arguments) \
    int name parameters \
    { \
        REAL(name); \
        struct call call = on_path(MKDIR, directory, path); \
        if (fails(&call) || is_full(&call)) return -1; \
        int result = real arguments; \
        if (result == 0) keep(&call, 'd', -1, NULL, 0, NULL, 0); \
        return done(&call, result); \
    }
MAKING(mkdir, AT_FDCWD, (const char *path, mode_t mode), (path, mode))
MAKING(mkdirat, directory, (int directory, const char *path, mode_t mode), (directory, path, mode))

#define REMOVING(name, directory, parameters, arguments) \
    int name parameters \
    { \
        REAL(name); \
        struct call call = on_path(UNLINK, directory, path); \
        if (fails(&call)) return -1; \
        give_back(&call, directory, path, 0); \
        int result = real arguments; \
        if (result == 0) keep(&call, 'u', -1, NULL, 0, NULL, 0); \
        return done(&call, result); \
    }
REMOVING(unlink, AT_FDCWD, (const char *path), (path))
REMOVING(unlinkat, directory, (int directory, const char *path, int flags), (directory, path, flags))

#define CUTTING(name, offset) \
    int name(int fd, offset length) \
    { \
        REAL(name); \
        struct call call = on_file(TRUNCATE, fd); \
        if (fails(&call)) return -1; \
        give_back(&call, fd, NULL, length); \
        int result = real(fd, length); \
        if (result == 0) keep(&call, 'c', fd, NULL, length, NULL, 0); \
        return done(&call, result); \
    }
CUTTING(ftruncate, off_t)
CUTTING(ftruncate64, off64_t)

#define MAPPING(name, offset_type) \
    void *name(void *address, size_t length, int protection, int flags, int fd, offset_type offset) \
    { \
        struct call call = {.kind = MAP}; \
        void *map; \
        REAL(name); \
        if (fd >= 0) call = on_file(MAP, fd); \
        if (fails(&call)) return MAP_FAILED; \
        map = real(address, length, protection, flags, fd, offset); \
        done(&call, map == MAP_FAILED ? -1 : 0); \
        return map; \
    }
MAPPING(mmap, off_t)
MAPPING(mmap64, off64_t)

static int is_lock(int command)
{
    return command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW;
}

#define CONTROL(name) \
    int name(int fd, int command, ...) \
    { \
        struct call call = {.kind = LOCK}; \
        va_list rest; \
        void *argument; \
        REAL(name); \
        va_start(rest, command); \
        argument = va_arg(rest, void *); \
        va_end(rest); \
        if (is_lock(command)) \
            call = on_file(((struct flock *)argument)->l_type == F_UNLCK ? UNLOCK : LOCK, fd); \
        if (fails(&call)) return -1; \
        return done(&call, real(fd, command, argument)); \
    }
CONTROL(fcntl)
CONTROL(fcntl64)

DIR *opendir(const char *path)
{
    REAL(opendir);
    struct call call = on_path(LIST, AT_FDCWD, path);
    if (fails(&call)) return NULL;
    DIR *directory = real(path);
    done(&call, directory ? 0 : -1);
    return directory;
}

#define ENTRY(name, type) \
    struct type *name(DIR *directory) \
    { \
        REAL(name); \
        struct call call = on_file(LIST, dirfd(directory)); \
        if (fails(&call)) return NULL; \
        struct type *entry = real(directory); \
        done(&call, 0); \
        return entry; \
    }
ENTRY(readdir, dirent)
ENTRY(readdir64, dirent64)

/* Linux closes the file whatever it answers. */
int close(int fd)
{
    REAL(close);
    struct call call = on_file(CLOSE, fd);
    if (call.is_hit && call.when == BEFORE && call.deed > 0) {
        real(fd);
        errno = call.deed;
        return done(&call, -1);
    }
    fails(&call);
    return done(&call, real(fd));
}
