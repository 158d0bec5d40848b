/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software CPU as an accelerator: options, interrupts from MSIs to a halted vCPU,
 * saved state, debugging.  Real-mode code in a block of RAM, run by this test's own
 * threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <cpuid.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/vmm/accel-rig.h"
#include "vmm/epoch.h"
#include "vmm/error.h"
#include "vmm/x86/cpu-model.h"

#define MSR_SYSTEM_TIME 0x4b564d01

static Fixture *tcg(void)
{
    return fixture_new("tcg", IRQCHIP_AUTO);
}

/* ---- options ---- */

static void test_one_thread_for_all_is_refused_by_name(void **state)
{
    const char *names[] = { "tcg,thread=single", NULL };
    Domain *domain = domain_new(NULL, NULL);
    GError *error = NULL;

    assert_null(accel_open(domain, names, &error));
    assert_non_null(strstr(error->message, "thread=single"));
    g_clear_error(&error);
    names[0] = "tcg,thread=multi,tb-size=64";
    domain_set_accel(domain, accel_open(domain, names, &error));
    fail_with(error);
    domain_free(domain);
}

static void test_irqchip_in_the_kernel_is_refused_with_the_way_out(void **state)
{
    Fixture *f = tcg();
    GError *error = NULL;

    assert_false(f->accel->class->setup(f->accel, IRQCHIP_ON, &error));
    assert_non_null(strstr(error->message, "kernel-irqchip=on"));
    assert_non_null(strstr(error_get_hint(error), "Leave"));
    g_error_free(error);
    fixture_free(f);
}

static void test_every_model_has_kvmclock_and_x2apic(void **state)
{
    static const char *const models[] = { "qemu64", "x86-64-v1", "x86-64-v2", "host", "max" };
    Fixture *f = tcg();

    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
        CpuModel *m = cpu_model_new(models[i], f->accel, NULL);

        assert_non_null(m);
        assert_true(cpu_model_feature(m, "kvmclock"));
        assert_true(cpu_model_feature(m, "x2apic"));
        assert_true(cpu_model_feature(m, "tsc-deadline"));
        assert_true(cpu_model_feature(m, "hypervisor"));
        assert_false(cpu_model_feature(m, "vmx"));
        assert_false(cpu_model_feature(m, "kvm-steal-time"));
        cpu_model_free(m);
    }
    fixture_free(f);
}

/* Without a word of `migratable`: its TSC moves only to where it is the same. */
static void test_max_has_the_hosts_invariant_tsc(void **state)
{
    static const struct { const char *model; bool has; } rows[] = {
        { "max", true }, { "host", true }, { "max,migratable=off", true }, { "max,migratable=on", false },
        { "max,invtsc=off", false }, { "qemu64", false },
    };
    Fixture *f = tcg();
    unsigned eax, ebx, ecx, edx;
    bool host = __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) && (edx >> 8 & 1);

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        CpuModel *m = cpu_model_new(rows[i].model, f->accel, NULL);

        assert_non_null(m);
        assert_int_equal(cpu_model_feature(m, "invtsc"), rows[i].has && host);
        cpu_model_free(m);
    }
    fixture_free(f);
}

/* ---- running ---- */

static void test_ports_and_mmio_are_reached(void **state)
{
    static const uint8_t code[] = {
        0xe4, 0xe9, 0xe6, 0xe9,                   /* in al, 0xe9; out 0xe9, al */
        0xb8, 0x00, 0xd0, 0x8e, 0xd8,             /* mov ax, 0xd000; mov ds, ax */
        0x66, 0xa1, 0x08, 0x00, 0x66, 0x40,       /* mov eax, [8]; inc eax */
        0x66, 0xa3, 0x10, 0x00, END };            /* mov [0x10], eax */
    Fixture *f = tcg();
    Vcpu *vcpu = fixture_vcpu(f, 0);
    GError *error = NULL;

    start_at_code(f, vcpu, code, sizeof(code));
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    assert_int_equal(f->out[0], 0x5a);
    assert_int_equal(f->mmio_value, 0x11223345 + 0x10);
    fixture_free(f);
}

static void test_triple_fault_asks_for_a_reset(void **state)
{
    static const uint8_t code[] = { 0x0f, 0x01, 0x1e, 0x00, 0x30, 0xcc }; /* lidt [0x3000]; int3 */
    Fixture *f = tcg();
    Vcpu *vcpu = fixture_vcpu(f, 0);

    start_at_code(f, vcpu, code, sizeof(code));
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_RESET);
    fixture_free(f);
}

/* sti; hlt; jmp to hlt.  The handler of `vector` writes `letter` to port 0xe9 and ends. */
static void start_halting(Fixture *f, Vcpu *vcpu, unsigned vector, char letter)
{
    static const uint8_t code[] = { 0xfb, 0xf4, 0xeb, 0xfd };
    uint8_t handler[] = { 0xb0, (uint8_t)letter, 0xe6, 0xe9, END };
    uint8_t entry[] = { 0x00, 0x11, 0x00, 0x00 };

    memcpy(ram_block_host(f->ram) + 0x1100, handler, sizeof(handler));
    memcpy(ram_block_host(f->ram) + 4 * vector, entry, sizeof(entry));
    vcpu->cpu.gpr[X86_RSP] = 0x4000;
    vcpu->cpu.lapic[0xf1] = 1; /* SVR: enabled */
    start_at_code(f, vcpu, code, sizeof(code));
}

static void test_message_wakes_a_halted_vcpu(void **state)
{
    Fixture *f = tcg();
    Vcpu *vcpu = fixture_vcpu(f, 0);

    start_halting(f, vcpu, 0x31, 'i');
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_HALTED);
    msi_send(f->accel->class->fabric(f->accel), (MsiMessage) { 0xfee00000, 0x31 });
    assert_true(vcpu->kicked); /* so that its loop does not sleep */
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_KICKED);
    assert_int_equal(f->out[0], 'i');
    fixture_free(f);
}

/* The local APIC's timer is to interrupt in `ns`, once. */
static void set_timer(Vcpu *vcpu, uint32_t ns)
{
    static const uint32_t by_1 = 0xb, vector = 0x31;

    memcpy(vcpu->cpu.lapic + 0x320, &vector, sizeof(vector));
    memcpy(vcpu->cpu.lapic + 0x380, &ns, sizeof(ns));
    memcpy(vcpu->cpu.lapic + 0x390, &ns, sizeof(ns));
    memcpy(vcpu->cpu.lapic + 0x3e0, &by_1, sizeof(by_1));
}

static void sleep_until(int64_t ns)
{
    while (clock_ns(clock_realtime) < ns) {
        usleep(1000);
    }
}

static void test_halted_vcpu_waits_for_its_timer_itself(void **state)
{
    Fixture *f = tcg();
    Vcpu *vcpu = fixture_vcpu(f, 0);
    int64_t began = clock_ns(clock_realtime);

    clock_start(domain_clock(f->domain));
    set_timer(vcpu, 50 * NS_PER_MS);
    start_halting(f, vcpu, 0x31, 't');
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_HALTED);
    assert_in_range(vcpu->halt_until, began + 50 * NS_PER_MS, clock_ns(clock_realtime) + 50 * NS_PER_MS);
    assert_int_equal(clock_next_deadline(domain_clock(f->domain)), INT64_MAX); /* the loop has nothing to do */
    sleep_until(vcpu->halt_until);
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_KICKED);
    assert_int_equal(f->out[0], 't');
    fixture_free(f);
}

static void test_wait_for_a_timer_stands_still_with_the_clock(void **state)
{
    Fixture *f = tcg();
    Vcpu *vcpu = fixture_vcpu(f, 0);
    Clock *clock = domain_clock(f->domain);
    int64_t first;

    clock_start(clock);
    set_timer(vcpu, 50 * NS_PER_MS);
    start_halting(f, vcpu, 0x31, 't');
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_HALTED);
    first = vcpu->halt_until;
    clock_stop(clock);
    sleep_until(first + 5 * NS_PER_MS);
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_HALTED);
    assert_int_equal(vcpu->halt_until, INT64_MAX);
    assert_int_not_equal(clock_next_deadline(clock), INT64_MAX); /* the loop waits until time goes on */
    clock_start(clock);
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_HALTED);
    assert_true(vcpu->halt_until > first + 5 * NS_PER_MS);
    sleep_until(vcpu->halt_until);
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_KICKED);
    fixture_free(f);
}

static void test_timer_that_came_while_parked_is_saved_as_an_interrupt(void **state)
{
    Fixture *f = tcg();
    Vcpu *vcpu = fixture_vcpu(f, 0);

    clock_start(domain_clock(f->domain));
    set_timer(vcpu, 50 * NS_PER_MS);
    start_halting(f, vcpu, 0x31, 't');
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_HALTED);
    sleep_until(vcpu->halt_until);
    clock_stop(domain_clock(f->domain));
    assert_true(f->accel->class->fetch(vcpu, NULL));
    assert_int_equal(vcpu->cpu.lapic[0x212], 2); /* IRR */
    fixture_free(f);
}

static void test_nmi_wakes_a_halted_vcpu(void **state)
{
    Fixture *f = tcg();
    Vcpu *vcpu = fixture_vcpu(f, 0);

    start_halting(f, vcpu, 2, 'n');
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_HALTED);
    assert_true(f->accel->class->nmi(vcpu, NULL));
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_KICKED);
    assert_int_equal(f->out[0], 'n');
    fixture_free(f);
}

static int acknowledge(void *opaque)
{
    Fixture *f = opaque;

    f->accel->class->set_extint(f->accel, false, acknowledge, f);
    return 0x33;
}

static void test_pics_interrupt_reaches_the_first_vcpu(void **state)
{
    Fixture *f = tcg();
    Vcpu *vcpu = fixture_vcpu(f, 0);

    start_halting(f, vcpu, 0x33, 'p');
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_HALTED);
    f->accel->class->set_extint(f->accel, true, acknowledge, f);
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_KICKED);
    assert_int_equal(f->out[0], 'p');
    fixture_free(f);
}

static void test_routes_hold_what_is_masked_and_ring_by_descriptor(void **state)
{
    Fixture *f = tcg();
    IrqFabric *fabric = f->accel->class->fabric(f->accel);
    MsiRoute *route = msi_route_new(fabric, NULL);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    uint64_t one = 1;
    int fd;

    start_halting(f, vcpu, 0x31, 'r');
    msi_route_set(route, (MsiMessage) { 0xfee00000, 0x31 }, true);
    msi_routes_commit(fabric);
    msi_route_notify(route);
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_HALTED);
    assert_true(msi_route_take_pending(route));
    assert_false(msi_route_take_pending(route));
    msi_route_set(route, (MsiMessage) { 0xfee00000, 0x31 }, false);
    msi_routes_commit(fabric);
    fd = msi_route_fd(route, NULL);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
    while (loop_run_once(domain_loop(f->domain), false)) {
    }
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_KICKED);
    assert_int_equal(f->out[0], 'r');
    msi_route_free(route);
    fixture_free(f);
}

static void test_a_route_may_go_before_its_descriptor_is_watched(void **state)
{
    Fixture *f = tcg();
    MsiRoute *route;
    uint64_t count = 1;
    int fd;

    loop_run_once(domain_loop(f->domain), false); /* this is its thread from now on */
    route = msi_route_new(f->accel->class->fabric(f->accel), NULL);
    msi_route_fd(route, NULL);
    msi_route_free(route);
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); /* in its place */
    assert_int_equal(write(fd, &count, sizeof(count)), sizeof(count));
    while (loop_run_once(domain_loop(f->domain), false)) {
    }
    assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
    close(fd);
    fixture_free(f);
}

typedef struct Runner {
    Fixture *f;
    Vcpu *vcpu;
    pthread_t thread;
    unsigned kicked; /* atomic */
    bool stop;       /* atomic */
} Runner;

static void *runner(void *opaque)
{
    Runner *r = opaque;

    epoch_thread_begin();
    r->f->accel->class->vcpu_begin(r->vcpu, NULL);
    while (!__atomic_load_n(&r->stop, __ATOMIC_SEQ_CST)) {
        if (r->f->accel->class->run(r->vcpu, NULL) != VCPU_EXIT_KICKED) {
            break;
        }
        __atomic_fetch_add(&r->kicked, 1, __ATOMIC_SEQ_CST);
        epoch_quiescent();
    }
    epoch_thread_end();
    return NULL;
}

static void test_no_kick_is_lost(void **state)
{
    static const uint8_t code[] = { 0xeb, 0xfe }; /* jmp $ */
    Fixture *f = tcg();
    Runner r = { .f = f, .vcpu = fixture_vcpu(f, 0) };

    start_at_code(f, r.vcpu, code, sizeof(code));
    assert_int_equal(pthread_create(&r.thread, NULL, runner, &r), 0);
    for (unsigned i = 0; i < 2000; i++) {
        unsigned before = __atomic_load_n(&r.kicked, __ATOMIC_SEQ_CST);
        unsigned waited = 0;

        f->accel->class->kick(r.vcpu);
        while (__atomic_load_n(&r.kicked, __ATOMIC_SEQ_CST) == before) {
            assert_true(waited++ < 20000000); /* a lost kick never ends */
            __builtin_ia32_pause();
        }
    }
    __atomic_store_n(&r.stop, true, __ATOMIC_SEQ_CST);
    f->accel->class->kick(r.vcpu);
    pthread_join(r.thread, NULL);
    fixture_free(f);
}

/* ---- saved state ---- */

static void move(const char *from, const char *to)
{
    static const uint8_t code[] = { 0xb0, '1', 0xe6, 0xe9, 0xe6, 0xe9, 0x40, 0xe6, 0xe9, END };
    Fixture *a = fixture_new(from, IRQCHIP_AUTO), *b;
    Vcpu *source = fixture_vcpu(a, 0), *target;
    g_autofree X86Cpu *saved = NULL;
    GError *error = NULL;

    start_at_code(a, source, code, sizeof(code));
    source->cpu.gpr[X86_R15] = 0x123456789abcdef0;
    source->cpu.xsave[160] = 0x42; /* XMM0 */
    source->cpu.dr[0] = 0x4000;
    x86_cpu_set_msr(&source->cpu, 0x174, 0x10); /* SYSENTER_CS */
    x86_cpu_set_msr(&source->cpu, MSR_SYSTEM_TIME, 0x3001);
    source->cpu.lapic[0x80] = 0x20; /* TPR */
    source->cpu.cr8 = 2;
    a->accel->class->store(source, true, &error);
    fail_with(error);
    a->accel->class->fetch(source, &error);
    fail_with(error);
    saved = g_memdup2(&source->cpu, sizeof(X86Cpu));
    fixture_free(a);
    b = fixture_new(to, IRQCHIP_AUTO);
    target = fixture_vcpu(b, 0);
    target->cpu = *saved;
    target->cpu.tsc_khz = 0; /* the two measure it differently */
    b->accel->class->store(target, true, &error);
    fail_with(error);
    memset(&target->cpu, 0, sizeof(X86Cpu));
    b->accel->class->fetch(target, &error);
    fail_with(error);
    assert_int_equal(target->cpu.gpr[X86_R15], 0x123456789abcdef0);
    assert_int_equal(target->cpu.rip, CODE);
    assert_int_equal(target->cpu.xsave[160], 0x42);
    assert_int_equal(target->cpu.dr[0], 0x4000);
    assert_int_equal(*x86_cpu_msr(&target->cpu, 0x174), 0x10);
    assert_int_equal(*x86_cpu_msr(&target->cpu, MSR_SYSTEM_TIME), 0x3001);
    assert_int_equal(target->cpu.lapic[0x80], 0x20);
    assert_int_equal(target->cpu.lapic[0x351], 7); /* LINT0: ExtINT */
    assert_int_equal(target->cpu.cr8, 2);
    memcpy(ram_block_host(b->ram) + CODE, code, sizeof(code));
    assert_int_equal(run_here(b, target, &error), VCPU_EXIT_KICKED);
    assert_memory_equal(b->out, "112", 3);
    fixture_free(b);
}

static void test_whole_state_moves_to_another_vm(void **state)
{
    move("tcg", "tcg");
}

static void test_state_moves_between_the_accelerators(void **state)
{
    if (access("/dev/kvm", R_OK | W_OK)) {
        skip();
    }
    move("tcg", "kvm");
    move("kvm", "tcg");
}

static void test_halt_and_pending_interrupt_are_saved(void **state)
{
    Fixture *f = tcg();
    Vcpu *vcpu = fixture_vcpu(f, 0);
    g_autofree X86Cpu *saved = NULL;

    start_halting(f, vcpu, 0x31, 's');
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_HALTED);
    msi_send(f->accel->class->fabric(f->accel), (MsiMessage) { 0xfee00000, 0x31 });
    assert_true(f->accel->class->fetch(vcpu, NULL));
    assert_int_equal(vcpu->cpu.run_state, X86_HALTED);
    assert_int_equal(vcpu->cpu.lapic[0x212], 2); /* IRR */
    saved = g_memdup2(&vcpu->cpu, sizeof(X86Cpu));
    x86_cpu_reset(&vcpu->cpu, 0, true, 0);
    assert_true(f->accel->class->store(vcpu, true, NULL));
    vcpu->cpu = *saved;
    assert_true(f->accel->class->store(vcpu, true, NULL));
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_KICKED);
    assert_int_equal(f->out[0], 's');
    fixture_free(f);
}

/* ---- debugging ---- */

static void test_breakpoint_stops_and_single_step_moves_on(void **state)
{
    static const uint8_t code[] = { 0x90, 0x90, 0x90, 0xb0, 'd', 0xe6, 0xe9, END };
    Fixture *f = tcg();
    Vcpu *vcpu = fixture_vcpu(f, 0);

    for (AccelBreakKind kind = ACCEL_BREAK_SOFTWARE; kind <= ACCEL_BREAK_HARDWARE; kind++) {
        AccelBreakpoint at = { kind, CODE + 1, 1 };

        start_at_code(f, vcpu, code, sizeof(code));
        assert_true(f->accel->class->set_breakpoints(vcpu, &at, 1, false, NULL));
        assert_int_equal(ram_block_host(f->ram)[CODE + 1], 0x90); /* the guest's memory is left alone */
        assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_DEBUG);
        assert_false(vcpu->stop.step);
        assert_int_equal(vcpu->stop.kind, kind);
        assert_int_equal(vcpu->stop.address, CODE + 1);
        f->accel->class->fetch(vcpu, NULL);
        assert_int_equal(vcpu->cpu.rip, CODE + 1);
        assert_true(f->accel->class->set_breakpoints(vcpu, NULL, 0, true, NULL));
        assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_DEBUG);
        assert_true(vcpu->stop.step);
        f->accel->class->fetch(vcpu, NULL);
        assert_int_equal(vcpu->cpu.rip, CODE + 2);
        assert_true(f->accel->class->set_breakpoints(vcpu, NULL, 0, false, NULL));
        assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_KICKED);
        assert_int_equal(f->out[0], 'd');
        x86_cpu_reset(&vcpu->cpu, 0, true, 0);
    }
    fixture_free(f);
}

static void test_watchpoint_stops_at_a_write(void **state)
{
    static const uint8_t code[] = { 0xa0, 0x02, 0x30, 0xa2, 0x02, 0x30, 0x90, END }; /* mov al, [0x3002]; and back */
    Fixture *f = tcg();
    Vcpu *vcpu = fixture_vcpu(f, 0);
    AccelBreakpoint at = { ACCEL_WATCH_WRITE, 0x3001, 3 };

    start_at_code(f, vcpu, code, sizeof(code));
    assert_true(f->accel->class->set_breakpoints(vcpu, &at, 1, false, NULL));
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_DEBUG);
    assert_int_equal(vcpu->stop.kind, ACCEL_WATCH_WRITE);
    assert_int_equal(vcpu->stop.address, 0x3001);
    f->accel->class->fetch(vcpu, NULL);
    assert_int_equal(vcpu->cpu.rip, CODE + 6);
    fixture_free(f);
}

/* ---- statistics ---- */

static void count_stat(const AccelStat *stat, void *opaque)
{
    *(unsigned *)opaque += stat->values[0] > 0;
}

static void test_statistics_count(void **state)
{
    static const uint8_t code[] = { 0xe6, 0xe9, END };
    Fixture *f = tcg();
    Vcpu *vcpu = fixture_vcpu(f, 0);
    unsigned found = 0;

    start_at_code(f, vcpu, code, sizeof(code));
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_KICKED);
    assert_true(f->accel->class->stats(f->accel, vcpu, count_stat, &found));
    assert_true(found > 0);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_thread_for_all_is_refused_by_name),
        cmocka_unit_test(test_irqchip_in_the_kernel_is_refused_with_the_way_out),
        cmocka_unit_test(test_every_model_has_kvmclock_and_x2apic),
        cmocka_unit_test(test_max_has_the_hosts_invariant_tsc),
        cmocka_unit_test(test_ports_and_mmio_are_reached),
        cmocka_unit_test(test_triple_fault_asks_for_a_reset),
        cmocka_unit_test(test_message_wakes_a_halted_vcpu),
        cmocka_unit_test(test_halted_vcpu_waits_for_its_timer_itself),
        cmocka_unit_test(test_wait_for_a_timer_stands_still_with_the_clock),
        cmocka_unit_test(test_timer_that_came_while_parked_is_saved_as_an_interrupt),
        cmocka_unit_test(test_nmi_wakes_a_halted_vcpu),
        cmocka_unit_test(test_pics_interrupt_reaches_the_first_vcpu),
        cmocka_unit_test(test_routes_hold_what_is_masked_and_ring_by_descriptor),
        cmocka_unit_test(test_a_route_may_go_before_its_descriptor_is_watched),
        cmocka_unit_test(test_no_kick_is_lost),
        cmocka_unit_test(test_whole_state_moves_to_another_vm),
        cmocka_unit_test(test_state_moves_between_the_accelerators),
        cmocka_unit_test(test_halt_and_pending_interrupt_are_saved),
        cmocka_unit_test(test_breakpoint_stops_and_single_step_moves_on),
        cmocka_unit_test(test_watchpoint_stops_at_a_write),
        cmocka_unit_test(test_statistics_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
