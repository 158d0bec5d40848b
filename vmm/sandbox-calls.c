/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls of each role, found by tracing the program and reading the C
 * library: what a row allows, it allows with any arguments.  Calls whose arguments
 * matter (clone, prlimit64, signals to others, executable memory) are in sandbox.c.
 */
#include <seccomp.h>

#include "vmm/sandbox-calls.h"
#include "vmm/sandbox.h"

#define M    (1u << SANDBOX_MAIN)
#define V    (1u << SANDBOX_VCPU)
#define I    (1u << SANDBOX_IO)
#define W    (1u << SANDBOX_WORKER)
#define ALL  (M | V | I | W)
#define C(X) SCMP_SYS(X)

const SandboxCall sandbox_calls[] = {
    /* Every thread: the C library, memory, time, descriptors it already has. */
    { C(brk), ALL },
    { C(clock_getres), ALL },
    { C(clock_gettime), ALL },
    { C(clock_nanosleep), ALL },
    { C(close), ALL },
    { C(eventfd2), ALL }, /* an interrupt route gets its eventfd on first use */
    { C(exit), ALL },
    { C(exit_group), ALL },
    { C(fcntl), ALL },
    { C(fstat), ALL },
    { C(futex), ALL },
    { C(getcpu), ALL },
    { C(getpid), ALL },
    { C(getrandom), ALL },
    { C(gettid), ALL },
    { C(gettimeofday), ALL },
    { C(ioctl), ALL }, /* KVM: a vCPU runs, an I/O thread signals interrupts */
    { C(lseek), ALL },
    { C(madvise), ALL },
    { C(membarrier), ALL },
    { C(mremap), ALL },
    { C(munmap), ALL },
    { C(nanosleep), ALL },
    { C(newfstatat), ALL },
    { C(poll), ALL },
    { C(ppoll), ALL },
    { C(pread64), ALL },
    { C(preadv), ALL },
    { C(preadv2), ALL },
    { C(pwrite64), ALL },
    { C(pwritev), ALL },
    { C(pwritev2), ALL },
    { C(read), ALL },
    { C(readv), ALL },
    { C(restart_syscall), ALL },
    { C(rseq), ALL },
    { C(rt_sigaction), ALL },
    { C(rt_sigprocmask), ALL },
    { C(rt_sigreturn), ALL },
    { C(rt_sigtimedwait), ALL }, /* a vCPU eats its kick */
    { C(rt_sigpending), ALL },
    { C(sched_getaffinity), ALL },
    { C(sched_yield), ALL },
    { C(set_robust_list), ALL },
    { C(sigaltstack), ALL },
    { C(time), ALL },
    { C(write), ALL },
    { C(writev), ALL },

    /* Sockets that are connected already: chardevs write from vCPUs. */
    { C(recvfrom), ALL },
    { C(recvmsg), ALL },
    { C(sendmsg), ALL },
    { C(sendto), ALL },

    /* Loops. */
    { C(epoll_ctl), M | I },
    { C(epoll_pwait), M | I },
    { C(epoll_pwait2), M | I },
    { C(epoll_wait), M | I },
    { C(io_uring_enter), M | I },
    { C(io_uring_register), M | I }, /* enabling the ring of a loop on its own thread */
    { C(prctl), ALL },               /* names and timer slack */
    { C(seccomp), ALL },             /* only ever narrower */
    { C(timerfd_settime), ALL },     /* the alarm of a loop that sleeps */
    { C(epoll_create1), M | I },
    { C(io_uring_setup), M },

    /* Files: on loops that have no io_uring the workers do this, and they inherit. */
    { C(fallocate), M | I | W },
    { C(fdatasync), M | I | W },
    { C(fsync), M | I | W },
    { C(ftruncate), M | I | W },
    { C(sync_file_range), M | I | W },

    /* The main thread: devices and backends come and go. */
    { C(accept), M },
    { C(accept4), M },
    { C(bind), M },
    { C(chdir), M },
    { C(dup), M },
    { C(dup2), M },
    { C(dup3), M },
    { C(fchmod), M },
    { C(flock), M },
    { C(fstatfs), M },
    { C(get_mempolicy), M },
    { C(getcwd), M },
    { C(getdents64), M },
    { C(getegid), M | W },
    { C(geteuid), M | W },
    { C(getgid), M | W },
    { C(getpeername), M | W },
    { C(getppid), M },
    { C(getrusage), M },
    { C(getsockname), M | W },
    { C(getsockopt), M | W },
    { C(getuid), M | W },
    { C(listen), M },
    { C(mbind), M },
    { C(memfd_create), M | W }, /* a migration makes the log of vhost devices */
    { C(mincore), M },
    { C(mlock), M },
    { C(mlock2), M },
    { C(mlockall), M },
    { C(msync), M },
    { C(munlock), M },
    { C(pipe2), M },
    { C(pselect6), M },
    { C(select), M },
    { C(set_mempolicy), M },
    { C(setsockopt), M | W },
    { C(shutdown), ALL }, /* a vhost-user back end that has died is noticed by whoever asks it */
    { C(signalfd4), M },
    { C(socketpair), M },
    { C(statfs), M },
    { C(sysinfo), M | W },
    { C(timerfd_create), M },
    { C(timerfd_gettime), M },
    { C(uname), M | W },
    { C(umask), M },
    { C(wait4), M },
    { C(waitid), M },

    /* What opens something new.  Workers connect, which looks names up. */
    { C(access), M | W, GROUP_OPENING },
    { C(connect), M | W, GROUP_OPENING },
    { C(faccessat), M | W, GROUP_OPENING },
    { C(faccessat2), M | W, GROUP_OPENING },
    { C(inotify_add_watch), M, GROUP_OPENING },
    { C(inotify_init1), M, GROUP_OPENING },
    { C(lstat), M | W, GROUP_OPENING },
    { C(mkdir), M, GROUP_OPENING },
    { C(mkdirat), M, GROUP_OPENING },
    { C(open), M | W, GROUP_OPENING },
    { C(openat), M | W, GROUP_OPENING },
    { C(readlink), M | W, GROUP_OPENING },
    { C(readlinkat), M | W, GROUP_OPENING },
    { C(rename), M, GROUP_OPENING },
    { C(renameat), M, GROUP_OPENING },
    { C(renameat2), M, GROUP_OPENING },
    { C(sendmmsg), M | W, GROUP_OPENING }, /* the resolver asks for two kinds of address */
    { C(socket), M | W, GROUP_OPENING },
    { C(stat), M | W, GROUP_OPENING },
    { C(statx), M | W, GROUP_OPENING },
    { C(unlink), M },   /* our own sockets and pid file, at the end */
    { C(unlinkat), M },
    { C(rmdir), M },

    /* What an option allows. */
    { C(_sysctl), M, GROUP_OBSOLETE },
    { C(create_module), M, GROUP_OBSOLETE },
    { C(get_kernel_syms), M, GROUP_OBSOLETE },
    { C(query_module), M, GROUP_OBSOLETE },
    { C(sysfs), M, GROUP_OBSOLETE },
    { C(uselib), M, GROUP_OBSOLETE },
    { C(ustat), M, GROUP_OBSOLETE },
    { C(setfsgid), M, GROUP_PRIVILEGES },
    { C(setfsuid), M, GROUP_PRIVILEGES },
    { C(setgid), M, GROUP_PRIVILEGES },
    { C(setgroups), M, GROUP_PRIVILEGES },
    { C(setregid), M, GROUP_PRIVILEGES },
    { C(setresgid), M, GROUP_PRIVILEGES },
    { C(setresuid), M, GROUP_PRIVILEGES },
    { C(setreuid), M, GROUP_PRIVILEGES },
    { C(setuid), M, GROUP_PRIVILEGES },
    { C(arch_prctl), M, GROUP_SPAWN }, /* this and set_tid_address: how a program starts */
    { C(clone3), M, GROUP_SPAWN },
    { C(execve), M, GROUP_SPAWN },
    { C(execveat), M, GROUP_SPAWN },
    { C(fork), M, GROUP_SPAWN },
    { C(set_tid_address), M, GROUP_SPAWN },
    { C(setpgid), M, GROUP_SPAWN },
    { C(setsid), M, GROUP_SPAWN },
    { C(vfork), M, GROUP_SPAWN },
    { C(getpriority), M, GROUP_RESOURCES },
    { C(ioprio_set), M, GROUP_RESOURCES },
    { C(sched_setaffinity), M, GROUP_RESOURCES },
    { C(sched_setattr), M, GROUP_RESOURCES },
    { C(sched_setparam), M, GROUP_RESOURCES },
    { C(sched_setscheduler), M, GROUP_RESOURCES },
    { C(setpriority), M, GROUP_RESOURCES },
    { C(setrlimit), M, GROUP_RESOURCES },
};

const unsigned sandbox_n_calls = sizeof(sandbox_calls) / sizeof(sandbox_calls[0]);
