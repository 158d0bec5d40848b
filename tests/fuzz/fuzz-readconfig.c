/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -readconfig text: accepted, or refused with a message; nothing leaks.
 */
#include "vmm/error.h"
#include "vmm/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *argv[] = { (char *)"lodge", NULL };
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(GError) error = NULL;
    Options options;

    g_assert(options_parse(1, argv, NULL, &options, NULL));
    if (!options_read_config_text(&options, "fuzz", text, &error)) {
        g_assert(error && error->message[0]);
    }
    options_clear(&options);
    return 0;
}
