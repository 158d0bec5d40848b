/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the command line (options*.c) share: the languages and handlers
 * that rows of option_table name.
 */
#pragma once

#include "vmm/options.h"

/* vmm/options-values.c: languages */
extern const FieldStruct overcommit_options, name_options, rtc_options, icount_options, global_options,
    boot_options, add_fd_options, message_options, audiodev_options;

typedef struct GlobalOptions { char *driver, *property, *value; } GlobalOptions;
typedef struct AddFdOptions { char *fd, *opaque; uint32_t set; } AddFdOptions;

/* vmm/options-values.c: handlers */
bool option_machine(Options *options, const char *argument, GError **error);
bool option_global(Options *options, const char *argument, GError **error);
bool option_enable_kvm(Options *options, const char *argument, GError **error);
bool option_cpu(Options *options, const char *argument, GError **error);
bool option_uuid(Options *options, const char *argument, GError **error);
bool option_no_acpi(Options *options, const char *argument, GError **error);
bool option_no_hpet(Options *options, const char *argument, GError **error);
bool option_boot(Options *options, const char *argument, GError **error);
bool option_parallel(Options *options, const char *argument, GError **error);
bool option_display(Options *options, const char *argument, GError **error);
bool option_vga(Options *options, const char *argument, GError **error);
bool option_audiodev(Options *options, const char *argument, GError **error);
bool option_gdb_default(Options *options, const char *argument, GError **error);
bool option_watchdog_action(Options *options, const char *argument, GError **error);
bool option_no_reboot(Options *options, const char *argument, GError **error);
bool option_no_shutdown(Options *options, const char *argument, GError **error);
bool option_nothing(Options *options, const char *argument, GError **error);
bool option_help(Options *options, const char *argument, GError **error);
bool option_version(Options *options, const char *argument, GError **error);

/* What one row alone cannot know: combinations.  Fills in what follows from others. */
bool options_check(Options *options, GError **error);

/* Its key=value language, which may come from the folders above; NULL: it has none. */
const FieldStruct *option_language(const Option *o, const OptionLanguage *languages);

/* vmm/options-help.c: "-X help" */
void option_describe(const Option *o, GString *out);
bool topic_machine(const char *subject, GString *out, GError **error);
bool topic_accel(const char *subject, GString *out, GError **error);
bool topic_cpu(const char *subject, GString *out, GError **error);
bool topic_device(const char *subject, GString *out, GError **error);
bool topic_numa(const char *subject, GString *out, GError **error);
bool topic_object(const char *subject, GString *out, GError **error);
bool topic_chardev(const char *subject, GString *out, GError **error);
bool topic_log(const char *subject, GString *out, GError **error);
