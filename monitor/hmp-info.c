/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See monitor/hmp-info.h.
 */
#include "monitor/hmp-info.h"

#include <inttypes.h>
#include <string.h>

#include "vmm/device.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/x86/cpu-print.h"

/* ---- replies ---- */

static void print_inline(const Json *value, GString *out)
{
    JsonWriter *w;
    g_autofree char *text = NULL;

    if (json_type_of(value) == JSON_STRING) {
        g_string_append(out, json_get_string(value));
        return;
    }
    w = json_writer_new(false);
    json_write_value(w, NULL, value);
    text = json_writer_finish(w);
    g_string_append(out, text);
}

static bool print_member(const char *name, Json *value, void *opaque)
{
    GString *out = opaque;

    g_string_append_printf(out, "%s: ", name);
    print_inline(value, out);
    g_string_append_c(out, '\n');
    return true;
}

static bool print_item(const char *name, Json *value, void *opaque)
{
    GString *out = opaque;

    g_string_append_printf(out, "%s%s=", out->len && out->str[out->len - 1] != '\n' ? " " : "", name);
    print_inline(value, out);
    return true;
}

/* An object is a line for each member; an array a line for each element. */
void hmp_print_reply(const Json *reply, GString *out)
{
    if (json_type_of(reply) == JSON_OBJECT) {
        json_object_each(reply, print_member, out);
        return;
    }
    for (size_t i = 0; json_type_of(reply) == JSON_ARRAY && i < json_array_length(reply); i++) {
        const Json *element = json_array_get(reply, i);

        if (json_type_of(element) == JSON_OBJECT) {
            json_object_each(element, print_item, out);
        } else {
            print_inline(element, out);
        }
        g_string_append_c(out, '\n');
    }
}

void hmp_print_status(const Json *reply, GString *out)
{
    bool running = json_get_bool(json_object_get_member(reply, "running"));
    const char *status = json_get_string(json_object_get_member(reply, "status"));

    g_string_append_printf(out, "VM status: %s", running ? "running" : "paused");
    if (!running && !g_str_equal(status, "paused")) {
        g_string_append_printf(out, " (%s)", status);
    }
    g_string_append_c(out, '\n');
}

void hmp_print_version(const Json *reply, GString *out)
{
    const Json *qemu = json_object_get_member(reply, "qemu");

    g_string_append_printf(out, "%" PRId64 ".%" PRId64 ".%" PRId64 " (%s)\n",
                           json_get_int(json_object_get_member(qemu, "major")),
                           json_get_int(json_object_get_member(qemu, "minor")),
                           json_get_int(json_object_get_member(qemu, "micro")),
                           json_get_string(json_object_get_member(reply, "package")));
}

/* ---- the domain ---- */

bool hmp_info_mtree(HmpCall *call, GError **error)
{
    memory_dump_tree(domain_memory(call->domain), call->out);
    memory_dump_tree(domain_ports(call->domain), call->out);
    return true;
}

bool hmp_info_qtree(HmpCall *call, GError **error)
{
    device_dump_tree(call->domain, call->out);
    return true;
}

static bool print_registers(Vcpu *vcpu, GString *out, GError **error)
{
    if (!vcpu_fetch(vcpu, error)) {
        return false;
    }
    g_string_append_printf(out, "\nCPU#%u\n", vcpu->index);
    x86_cpu_print(&vcpu->cpu, out);
    x86_cpu_print_vector(&vcpu->cpu, out);
    return true;
}

bool hmp_hold_vcpus(Domain *domain)
{
    bool ran = !vcpus_parked(domain);

    if (ran) {
        vcpus_park(domain);
    }
    return ran;
}

void hmp_release_vcpus(Domain *domain, bool ran)
{
    if (ran) {
        vcpus_unpark(domain);
    }
}

static bool print_range(Domain *domain, unsigned first, unsigned last, GString *out, GError **error)
{
    bool ran = hmp_hold_vcpus(domain), ok = true;

    for (unsigned i = first; ok && i <= last; i++) {
        ok = print_registers(domain_vcpu(domain, i), out, error);
    }
    hmp_release_vcpus(domain, ran);
    return ok;
}

bool hmp_info_registers(HmpCall *call, GError **error)
{
    unsigned n = domain_vcpus(call->domain);
    guint64 index = 0;

    if (g_str_equal(call->rest, "-a") && n) {
        return print_range(call->domain, 0, n - 1, call->out, error);
    }
    if (call->rest[0] && !g_ascii_string_to_unsigned(call->rest, 10, 0, G_MAXUINT, &index, NULL)) {
        return error_set(error, "'%s' is not the number of a vCPU", call->rest);
    }
    if (index >= n) {
        return error_set(error, "there is no vCPU %" PRIu64 "; this domain has %u", index, n);
    }
    return print_range(call->domain, (unsigned)index, (unsigned)index, call->out, error);
}
