/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandbox: compiles a seccomp filter a role from the table of sandbox-calls.c
 * and puts it on threads.
 *
 * Filters are compiled once and installed as they are, so that a thread costs one
 * system call.  A violation traps: the handler says which call it was and the
 * process dies of SIGSYS.  Everything is constant after sandbox_configure(), which
 * comes before threads.
 */
#include "vmm/sandbox.h"

#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "vmm/chardev.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/sandbox-calls.h"

#if defined(__has_feature)
#define HAS_FEATURE(F) __has_feature(F)
#else
#define HAS_FEATURE(F) 0
#endif

/* The sanitizers' run-time makes calls of its own, on any thread. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || HAS_FEATURE(address_sanitizer)                    \
    || HAS_FEATURE(thread_sanitizer) || HAS_FEATURE(memory_sanitizer)
#define SANITIZED true
#else
#define SANITIZED false
#endif

/* ---- options ---- */

typedef enum SandboxMode { MODE_ON, MODE_OFF, MODE_STRICT } SandboxMode;
typedef enum Permission { PERMIT_DENY, PERMIT_ALLOW } Permission;

typedef struct SandboxOptions {
    int mode, obsolete, privileges, spawn, resources;
    bool has_spawn;
} SandboxOptions;

static const FieldEnum mode_enum = { "SandboxMode", (const char *const[]) { "on", "off", "strict", NULL } };
static const FieldEnum permission_enum = { "SandboxPermission", (const char *const[]) { "deny", "allow", NULL } };

const FieldStruct sandbox_options = {
    .name = "SandboxOptions",
    .size = sizeof(SandboxOptions),
    .help = "Restrictions on this process",
    .fields = (const Field[]) {
        F_ENUM("enable", SandboxOptions, mode, &mode_enum, MODE_ON,
               .help = "Filter system calls; strict: once started, nothing is opened by path any more"),
        F_ENUM("obsolete", SandboxOptions, obsolete, &permission_enum, PERMIT_DENY,
               .help = "Calls that nobody uses any more"),
        F_ENUM("elevateprivileges", SandboxOptions, privileges, &permission_enum, PERMIT_DENY,
               .help = "Changing user and group"),
        F_ENUM("spawn", SandboxOptions, spawn, &permission_enum, PERMIT_DENY, FIELD_HAS(SandboxOptions, has_spawn),
               .help = "Starting other programs; absent: only through a small process of its own"),
        F_ENUM("resourcecontrol", SandboxOptions, resources, &permission_enum, PERMIT_DENY,
               .help = "Priorities, affinity and limits"),
        FIELD_END,
    },
};

/* ---- compiling ---- */

static struct {
    bool on, keep_privileges, no_opening, no_spawn, no_launcher;
    bool entered; /* by the main thread, which alone asks */
    struct sock_fprog programs[SANDBOX_ROLES];
} sandbox;

static void permitted_groups(const SandboxOptions *o, bool ret[SANDBOX_GROUPS])
{
    ret[GROUP_ALWAYS] = true;
    ret[GROUP_OPENING] = o->mode != MODE_STRICT;
    ret[GROUP_OBSOLETE] = o->obsolete == PERMIT_ALLOW;
    ret[GROUP_PRIVILEGES] = o->privileges == PERMIT_ALLOW;
    ret[GROUP_SPAWN] = o->spawn == PERMIT_ALLOW;
    ret[GROUP_RESOURCES] = o->resources == PERMIT_ALLOW;
}

/* Signals only to ourselves: aborting, kicking a vCPU. */
static int add_signals(scmp_filter_ctx ctx)
{
    const struct scmp_arg_cmp self = SCMP_A0(SCMP_CMP_EQ, getpid());
    int err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, self);

    return err ? err : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1, self);
}

/* Memory that is executable: for the main thread and the workers, whose resolver may load modules. */
static int add_memory(scmp_filter_ctx ctx, SandboxRole role)
{
    const struct scmp_arg_cmp not_executable = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    unsigned conditions = role == SANDBOX_MAIN || role == SANDBOX_WORKER ? 0 : 1;
    int err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), conditions, not_executable);

    return err ? err : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), conditions, not_executable);
}

/* Threads, not processes.  clone3() hides its flags behind a pointer: the C library takes clone()
 * when it is told that there is none. */
static int add_threads(scmp_filter_ctx ctx, SandboxRole role, bool spawn)
{
    const struct scmp_arg_cmp is_thread = SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD);
    const struct scmp_arg_cmp only_asks = SCMP_A2(SCMP_CMP_EQ, 0);
    bool all = spawn && role == SANDBOX_MAIN;
    int err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), all ? 0 : 1, is_thread);

    if (!err && !all) {
        err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    }
    return err ? err : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, only_asks);
}

static int add_rules(scmp_filter_ctx ctx, SandboxRole role, const SandboxOptions *options)
{
    bool permitted[SANDBOX_GROUPS];
    int err = 0;

    permitted_groups(options, permitted);
    for (unsigned i = 0; i < sandbox_n_calls && !err; i++) {
        const SandboxCall *c = &sandbox_calls[i];

        if (c->roles & (1u << role) && permitted[c->group]) {
            err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, c->number, 0);
        }
    }
    err = err ? err : add_signals(ctx);
    err = err ? err : add_memory(ctx, role);
    return err ? err : add_threads(ctx, role, permitted[GROUP_SPAWN]);
}

/* libseccomp writes a program to a descriptor only. */
static int take_program(scmp_filter_ctx ctx, struct sock_fprog *ret)
{
    int fd = host_memfd("sandbox", 0, NULL);
    struct stat st;
    int err = fd < 0 ? -ENOMEM : seccomp_export_bpf(ctx, fd);

    if (!err && fstat(fd, &st) == 0) {
        ret->filter = g_malloc(st.st_size);
        ret->len = st.st_size / sizeof(ret->filter[0]);
        err = pread(fd, ret->filter, st.st_size, 0) == st.st_size ? 0 : -EIO;
    }
    if (fd >= 0) {
        close(fd);
    }
    return err;
}

static int compile(SandboxRole role, const SandboxOptions *options)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);
    int err = ctx ? add_rules(ctx, role, options) : -ENOMEM;

    err = err ? err : take_program(ctx, &sandbox.programs[role]);
    seccomp_release(ctx);
    return err;
}

/* ---- violations ---- */

/* The name comes from libseccomp, which allocates it.  That cannot meet a lock of the allocator: the
 * calls it makes itself are allowed to every role. */
static void violated(int sig, siginfo_t *info, void *context)
{
    char thread[16] = "", line[192];
    char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, info->si_syscall);
    int n;

    chardev_restore_terminal();
    prctl(PR_GET_NAME, thread);
    n = snprintf(line, sizeof(line),
        "lodge: the sandbox does not let thread '%s' call %s (%d). Please report it; -sandbox off goes on without.\n",
        thread, name ? name : "an unknown system call", info->si_syscall);
    n = write(STDERR_FILENO, line, MIN((size_t)n, sizeof(line)));
    signal(SIGSYS, SIG_DFL);
    raise(SIGSYS);
}

/* malloc(3) arenas: enough for the threads that allocate at once. */
#define ARENAS 8

/* ---- entering ---- */

/* What the C library and GLib read from files at their first use would be a violation later. */
static void load_what_libraries_load_late(void)
{
    const char *text = g_strsignal(SIGTERM); /* g_strerror() too: how messages become UTF-8 */

    g_assert(text);
    tzset();
    /* malloc(3) asks /sys for the number of CPUs when it makes a ninth arena, and /proc for the overcommit
     * policy when it first gives back the end of one. */
    mallopt(M_ARENA_MAX, ARENAS);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
}

bool sandbox_available(void)
{
    return !SANITIZED;
}

bool sandbox_configure(const char *text, GError **error)
{
    struct sigaction action = { .sa_sigaction = violated, .sa_flags = SA_SIGINFO | SA_NODEFER };
    SandboxOptions options;

    if (!field_struct_parse_text(&sandbox_options, text ? text : "on", "enable", &options, error)) {
        return false;
    }
    if (options.mode == MODE_OFF) {
        return true;
    }
    sandbox.no_launcher = options.spawn == PERMIT_DENY && (options.has_spawn || options.mode == MODE_STRICT);
    if (!sandbox_available()) {
        log_info("the sandbox is off: this build has a sanitizer");
        return true;
    }
    for (SandboxRole role = 0; role < SANDBOX_ROLES; role++) {
        int err = compile(role, &options);

        if (err) {
            error_set_errno(error, err, "cannot compile the sandbox");
            return error_hint(error, "Use -sandbox off to go on without.");
        }
    }
    sandbox.keep_privileges = options.privileges == PERMIT_ALLOW;
    sandbox.no_opening = options.mode == MODE_STRICT;
    sandbox.no_spawn = options.spawn == PERMIT_DENY;
    load_what_libraries_load_late();
    sandbox.on = true;
    sigaction(SIGSYS, &action, NULL);
    return true;
}

static int install(const struct sock_fprog *program)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) < 0 ? errno : 0;
}

/* Without the right to administrate, a filter asks that programs started later gain no privileges. */
bool sandbox_enter(SandboxRole role, GError **error)
{
    int err;

    if (!sandbox.on) {
        return true;
    }
    if (!sandbox.keep_privileges) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    }
    err = install(&sandbox.programs[role]);
    if (err == EACCES) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        err = install(&sandbox.programs[role]);
    }
    if (err) {
        error_set_errno(error, err, "cannot enter the sandbox");
        return error_hint(error, "Use -sandbox off to go on without.");
    }
    sandbox.entered |= role == SANDBOX_MAIN;
    return true;
}

bool sandbox_entered(void)
{
    return sandbox.entered;
}

bool sandbox_permits_opening(void)
{
    return !sandbox.no_opening;
}

bool sandbox_check_opening(const char *what, GError **error)
{
    if (!sandbox.entered || !sandbox.no_opening) {
        return true;
    }
    error_set(error, "cannot open '%s': with -sandbox strict nothing is opened once lodge has started", what);
    return error_hint(error, "Pass a descriptor (getfd, add-fd), or use -sandbox on.");
}

bool sandbox_permits_launcher(void)
{
    return !sandbox.no_launcher;
}

bool sandbox_permits_privileges(void)
{
    return !sandbox.on || sandbox.keep_privileges;
}
