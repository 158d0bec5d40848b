/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of accelerators, and the choice among them.  Main thread.
 *
 * By default KVM comes first, except on a processor that shows no hardware
 * virtualization: what /dev/kvm is there then (a hypervisor's own replacement) runs
 * only guests that were made for it.
 */
#include "vmm/accel.h"

#include <cpuid.h>
#include <string.h>

#include "vmm/accel-kvm.h"
#include "vmm/accel-soft.h"
#include "vmm/error.h"
#include "vmm/log.h"

const AccelClass *const accel_classes[] = {
    &accel_kvm_class,
    &accel_soft_class,
    NULL,
};

static const AccelClass *class_find(const char *name, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *nearest;

    for (unsigned i = 0; accel_classes[i]; i++) {
        if (!strcmp(accel_classes[i]->name, name)) {
            return accel_classes[i];
        }
        g_ptr_array_add(names, (gpointer)accel_classes[i]->name);
    }
    g_ptr_array_add(names, NULL);
    nearest = error_nearest(name, (const char *const *)names->pdata);
    error_set(error, "there is no accelerator '%s'", name);
    if (nearest) {
        error_hint(error, "Did you mean '%s'?", nearest);
    } else {
        error_hint(error, "'-accel help' lists those that exist.");
    }
    return NULL;
}

/* One text of -accel: a name, with its key in front if it comes from a -readconfig file, then options of that class. */
static Accel *open_text(Domain *domain, const char *text, GError **error)
{
    g_autofree char *name = NULL;
    g_autofree void *options = NULL;
    const AccelClass *class;
    size_t length;
    Accel *accel;

    text += g_str_has_prefix(text, "accel=") ? strlen("accel=") : 0;
    length = strcspn(text, ",");
    name = g_strndup(text, length);
    class = class_find(name, error);
    if (!class) {
        return NULL;
    }
    options = g_malloc0(class->options->size);
    if (!field_struct_parse_text(class->options, text[length] ? text + length + 1 : "", NULL, options, error)) {
        error_subject(error, class->name);
        return NULL;
    }
    accel = class->open(domain, options, error);
    field_struct_clear(class->options, options);
    return accel;
}

/* VMX: SDM 2A, CPUID leaf 1, ECX bit 5.  SVM: APM 3, Fn8000_0001, ECX bit 2. */
static bool has_hardware_virtualization(void)
{
    unsigned eax, ebx, ecx, edx;

    return (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx >> 5 & 1)) ||
           (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && (ecx >> 2 & 1));
}

/* reason: why the first choice is not the usual one, if so. */
static void default_order(GPtrArray *order, GError **reason)
{
    bool kvm_last = !has_hardware_virtualization();

    for (unsigned i = 0; accel_classes[i]; i++) {
        if (!kvm_last || accel_classes[i] != &accel_kvm_class) {
            g_ptr_array_add(order, (gpointer)accel_classes[i]->name);
        }
    }
    if (kvm_last) {
        g_ptr_array_add(order, (gpointer)accel_kvm_class.name);
        error_set(reason, "this host's processor shows no hardware virtualization (neither vmx nor svm)");
    }
}

Accel *accel_open(Domain *domain, const char *const *names, GError **error)
{
    g_autoptr(GPtrArray) order = g_ptr_array_new();
    g_autoptr(GError) first = NULL;

    for (unsigned i = 0; names && names[i]; i++) {
        g_ptr_array_add(order, (gpointer)names[i]);
    }
    if (!names) {
        default_order(order, &first);
    }
    for (unsigned i = 0; i < order->len; i++) {
        g_autoptr(GError) reason = NULL;
        Accel *accel = open_text(domain, order->pdata[i], &reason);

        if (accel) {
            if (first) {
                log_info("using accelerator %s, because %s", accel->class->name, first->message);
            }
            return accel;
        }
        if (!first) {
            first = g_steal_pointer(&reason);
        }
    }
    if (!first) {
        error_set(&first, "no accelerator was named");
    }
    g_propagate_error(error, g_steal_pointer(&first));
    return NULL;
}

void accel_help(GString *out)
{
    g_string_append(out, "Accelerators:\n");
    for (unsigned i = 0; accel_classes[i]; i++) {
        const AccelClass *class = accel_classes[i];
        AccelProbe probe = { 0 };

        class->probe(&probe);
        g_string_append_printf(out, "%-8s %s", class->name, class->desc);
        if (!probe.usable) {
            g_string_append_printf(out, " (not usable here: %s)", probe.reason);
        }
        g_string_append_c(out, '\n');
        g_free(probe.reason);
    }
    for (unsigned i = 0; accel_classes[i]; i++) {
        g_autofree char *title = g_strdup_printf("\n-accel %s options", accel_classes[i]->name);

        field_struct_help(accel_classes[i]->options, title, out);
    }
}
