/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/console.h.  One at a time is attached, as of two both would hear half: console.lock says so.
 */
#include "tools/lodgectl/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "tools/lodgectl/devices.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/reply.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"

#define ESCAPE 0x1d /* Ctrl-] */

struct Console {
    char *name; /* of the domain */
    int fd, lock_fd;
};

bool console_check_terminal(GError **error)
{
    return isatty(STDIN_FILENO) || error_set(error, "A console needs a terminal, and standard input is none");
}

/* ---- finding it ---- */

static int connect_unix(const char *path, GError **error)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        error_set(error, "The path '%s' is too long for a socket", path);
        return -1;
    }
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
        return fd;
    }
    error_set_errno(error, errno, "Cannot attach to the console at '%s'", path);
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

/* "unix:PATH,server=on", "pty:PATH", each maybe after "disconnected:"; a PATH may begin where the process pid is.
 * -1 and no error: it is another kind. */
static int attach(const char *filename, pid_t pid, GError **error)
{
    g_autofree char *path = NULL, *from = NULL;
    int fd;

    filename += g_str_has_prefix(filename, "disconnected:") ? strlen("disconnected:") : 0;
    if (g_str_has_prefix(filename, "pty:")) {
        fd = open(filename + strlen("pty:"), O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0) {
            error_set_errno(error, errno, "Cannot open '%s'", filename + strlen("pty:"));
        }
        return fd;
    }
    if (!g_str_has_prefix(filename, "unix:") || !strstr(filename, ",server")) {
        return -1;
    }
    path = g_strndup(filename + strlen("unix:"), (size_t)(strstr(filename, ",server") - filename) - strlen("unix:"));
    from = *path == '/' ? NULL : g_strdup_printf("/proc/%d/cwd/%s", (int)pid, path);
    return connect_unix(from ? from : path, error);
}

/* What query-chardev says of it; NULL: there is none, or it has no file name. */
static const char *filename_of(const Json *chardevs, const char *label)
{
    for (size_t i = 0; i < reply_length(chardevs); i++) {
        const char *text = reply_text(json_array_get(chardevs, i), "label");

        if (text && g_str_equal(text, label)) {
            return reply_text(json_array_get(chardevs, i), "filename");
        }
    }
    return NULL;
}

typedef struct Ports { GPtrArray *labels; int uarts; } Ports; /* chardevs of serial ports, of UARTs first */

static void note_port(Client *client, const LiveDevice *device, void *opaque)
{
    bool is_uart = g_str_equal(device->model, "isa-serial");
    Ports *ports = opaque;
    char *label;

    if (is_uart || g_str_equal(device->model, "virtconsole")) {
        label = live_device_text(client, device, "chardev");
        if (label) {
            g_ptr_array_insert(ports->labels, is_uart ? ports->uarts++ : -1, label);
        }
    }
}

/* The chardev that is asked for, else the first of a serial port that can be attached to. */
static int attach_chardev(const Dom *dom, const char *device, GError **error)
{
    g_autoptr(Client) client = dom_connect(dom, DOM_TIMEOUT_MS, error);
    g_autoptr(Json) chardevs = client ? client_run(client, "query-chardev", NULL, error) : NULL;
    g_autoptr(GPtrArray) labels = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) wrong = NULL;

    if (device) {
        g_ptr_array_add(labels, g_strdup(device));
    }
    if (!chardevs || (!device && !live_devices_each(client, note_port, &(Ports) { .labels = labels }, error))) {
        return -1;
    }
    for (guint i = 0; i < labels->len; i++) {
        const char *filename = filename_of(chardevs, labels->pdata[i]);
        int fd = filename ? attach(filename, client_pid(client), &wrong) : -1;

        if (fd >= 0) {
            return fd;
        }
        if (wrong) {
            g_propagate_error(error, g_steal_pointer(&wrong));
            return -1;
        }
    }
    if (device) {
        error_set(error, "Domain '%s' has no chardev '%s' on a unix socket or a pty", dom->name, device);
    } else {
        error_set(error, "Domain '%s' has no serial port on a unix socket or a pty", dom->name);
    }
    return -1;
}

static bool take_lock(Console *c, const Dom *dom, GError **error)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    g_autofree char *path = g_build_filename(dom->entry->folder, REGISTRY_CONSOLE_LOCK, NULL);

    c->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (c->lock_fd < 0) {
        return error_set_errno(error, errno, "Cannot open '%s'", path);
    }
    if (fcntl(c->lock_fd, F_OFD_SETLK, &lock) < 0) {
        return errno == EAGAIN || errno == EACCES
                   ? error_set(error, "Active console session exists for domain '%s'", dom->name)
                   : error_set_errno(error, errno, "Cannot lock '%s'", path);
    }
    return true;
}

Console *console_open(const Dom *dom, const char *device, GError **error)
{
    g_autofree char *own = NULL;
    Console *c;

    if (!dom->active) {
        error_set(error, "Domain '%s' is not running", dom->name);
        return NULL;
    }
    own = g_build_filename(dom->entry->folder, REGISTRY_CONSOLE, NULL);
    c = g_new0(Console, 1);
    c->name = g_strdup(dom->name);
    c->fd = c->lock_fd = -1;
    if (take_lock(c, dom, error)) {
        c->fd = !device && g_file_test(own, G_FILE_TEST_EXISTS) ? connect_unix(own, error)
                                                               : attach_chardev(dom, device, error);
    }
    if (c->fd < 0) {
        g_clear_pointer(&c, console_free);
    }
    return c;
}

void console_free(Console *c)
{
    if (c) {
        if (c->fd >= 0) {
            close(c->fd);
        }
        if (c->lock_fd >= 0) {
            close(c->lock_fd);
        }
        g_free(c->name);
        g_free(c);
    }
}

/* ---- being attached ---- */

static volatile sig_atomic_t ended; /* by a signal */

static void end(int number)
{
    ended = 1;
}

/* All of it; the other end may be slow.  false: it is gone. */
static bool write_all(int fd, const char *data, size_t length)
{
    while (length && !ended) {
        ssize_t n = write(fd, data, length);

        if (n > 0) {
            data += n;
            length -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            struct pollfd p = { .fd = fd, .events = POLLOUT };

            poll(&p, 1, 200);
        } else if (n == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

/* false: leave. */
static bool pass_input(Console *c)
{
    char data[1024];
    ssize_t n = read(STDIN_FILENO, data, sizeof(data));
    char *escape = n > 0 ? memchr(data, ESCAPE, (size_t)n) : NULL;

    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        return true;
    }
    if (n <= 0) {
        return false;
    }
    return write_all(c->fd, data, escape ? (size_t)(escape - data) : (size_t)n) && !escape;
}

static bool pass_output(Console *c)
{
    char data[4096];
    ssize_t n = read(c->fd, data, sizeof(data));

    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        return true;
    }
    return n > 0 && write_all(STDOUT_FILENO, data, (size_t)n);
}

static void pass(Console *c)
{
    struct pollfd p[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = c->fd, .events = POLLIN } };
    bool stay = true;

    while (stay && !ended) {
        if (poll(p, 2, 1000) <= 0) {
            continue;
        }
        if (p[1].revents) {
            stay = pass_output(c);
        }
        if (stay && p[0].revents) {
            stay = pass_input(c);
        }
    }
}

bool console_run(const Cmd *cmd, Console *c, GError **error)
{
    struct sigaction action = { .sa_handler = end };
    struct termios before, raw;

    if (!console_check_terminal(error)) {
        console_free(c);
        return false;
    }
    if (!cmd->quiet) {
        g_autofree char *name = clean_text(c->name, "");
        g_autofree char *text = g_strdup_printf("Connected to domain '%s'\nEscape character is ^] (Ctrl + ])\n", name);

        write_all(STDOUT_FILENO, text, strlen(text));
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    tcgetattr(STDIN_FILENO, &before);
    raw = before;
    cfmakeraw(&raw);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    pass(c);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    ended = 0;
    write_all(STDOUT_FILENO, "\n", 1);
    console_free(c);
    return true;
}

static bool console(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = cmd_domain(cmd, error);
    Console *c = dom && console_check_terminal(error) ? console_open(dom, cmd_text(cmd, "devname"), error) : NULL;

    return c && console_run(cmd, c, error);
}

const Verb console_verbs[] = {
    { "console", ARGS(ARG_DOMAIN(OF_ACTIVE), { "devname", ARG_TEXT, .help = "Id of the chardev to attach to" }),
      console, "Attach the terminal to a domain's serial port", "Ctrl-] leaves it." },
    { NULL },
};
