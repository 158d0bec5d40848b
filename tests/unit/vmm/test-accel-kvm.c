/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The KVM accelerator on a real /dev/kvm: a few instructions of real-mode code in a
 * block of RAM, run by this test's own threads.  Skipped where there is no KVM.
 *
 * The code is plain enough for a KVM that emulates ring 0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/vmm/accel-rig.h"
#include "vmm/epoch.h"
#include "vmm/error.h"

static void test_port_output_reaches_the_port_region(void **state)
{
    static const uint8_t code[] = { 0xb0, 'o', 0xe6, 0xe9, 0xb0, 'k', 0xe6, 0xe9, END };
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    GError *error = NULL;

    start_at_code(f, vcpu, code, sizeof(code));
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    assert_int_equal(f->outs, 2);
    assert_memory_equal(f->out, "ok", 2);
    fixture_free(f);
}

static void test_port_input_comes_from_the_port_region(void **state)
{
    static const uint8_t code[] = { 0xe4, 0xe9, 0xa2, 0x00, 0x30, END }; /* in al, 0xe9; mov [0x3000], al */
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    GError *error = NULL;

    start_at_code(f, vcpu, code, sizeof(code));
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    assert_int_equal(ram_block_host(f->ram)[0x3000], 0x5a);
    fixture_free(f);
}

static void test_mmio_reaches_its_region_both_ways(void **state)
{
    static const uint8_t code[] = {
        0xb8, 0x00, 0xd0, 0x8e, 0xd8,             /* mov ax, 0xd000; mov ds, ax */
        0x66, 0xa1, 0x08, 0x00,                   /* mov eax, [8] */
        0x66, 0x40,                               /* inc eax */
        0x66, 0xa3, 0x10, 0x00,                   /* mov [0x10], eax */
        0xb8, 0x00, 0x00, 0x8e, 0xd8, END };
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    GError *error = NULL;

    start_at_code(f, vcpu, code, sizeof(code));
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    assert_int_equal(f->mmio_value, 0x11223345 + 0x10);
    fixture_free(f);
}

static void test_split_irqchip_runs_code(void **state)
{
    static const uint8_t code[] = { 0xb0, 's', 0xe6, 0xe9, END };
    Fixture *f = fixture_new("kvm,kernel-irqchip=split", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    GError *error = NULL;

    assert_int_equal(f->accel->class->irqchip(f->accel), IRQCHIP_SPLIT);
    start_at_code(f, vcpu, code, sizeof(code));
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    assert_int_equal(f->out[0], 's');
    fixture_free(f);
}

static void test_irqchip_off_is_refused_with_the_way_out(void **state)
{
    const char *names[] = { "kvm", NULL };
    Domain *domain = domain_new(NULL, NULL);
    Accel *accel = accel_open(domain, names, NULL);
    GError *error = NULL;

    domain_set_accel(domain, accel);
    assert_false(accel->class->setup(accel, IRQCHIP_OFF, &error));
    assert_non_null(strstr(error_get_hint(error), "kernel-irqchip=split"));
    g_error_free(error);
    domain_free(domain);
}

static void test_missing_device_is_one_sentence_with_the_way_out(void **state)
{
    const char *names[] = { "kvm,device=/nonexistent/kvm", NULL };
    Domain *domain = domain_new(NULL, NULL);
    GError *error = NULL;

    assert_null(accel_open(domain, names, &error));
    assert_non_null(strstr(error->message, "/nonexistent/kvm"));
    assert_non_null(strstr(error_get_hint(error), "kvm-intel or kvm-amd"));
    g_error_free(error);
    domain_free(domain);
}

static void test_unknown_accelerator_names_the_nearest(void **state)
{
    const char *names[] = { "kvn", NULL };
    Domain *domain = domain_new(NULL, NULL);
    GError *error = NULL;

    assert_null(accel_open(domain, names, &error));
    assert_string_equal(error_get_hint(error), "Did you mean 'kvm'?");
    g_error_free(error);
    domain_free(domain);
}

static void test_reset_state_is_what_kvm_gives_back(void **state)
{
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    X86Cpu *before = g_memdup2(&vcpu->cpu, sizeof(X86Cpu));
    GError *error = NULL;

    f->accel->class->store(vcpu, true, &error);
    fail_with(error);
    memset(&vcpu->cpu, 0xee, sizeof(vcpu->cpu));
    f->accel->class->fetch(vcpu, &error);
    fail_with(error);
    assert_memory_equal(vcpu->cpu.gpr, before->gpr, sizeof(before->gpr));
    assert_int_equal(vcpu->cpu.rip, 0xfff0);
    assert_int_equal(vcpu->cpu.segment[X86_CS].base, 0xffff0000);
    assert_int_equal(vcpu->cpu.segment[X86_CS].attributes, before->segment[X86_CS].attributes);
    assert_int_equal(vcpu->cpu.cr0, before->cr0);
    assert_int_equal(vcpu->cpu.dr7, before->dr7);
    assert_int_equal(vcpu->cpu.apic_base, before->apic_base);
    assert_int_equal(*x86_cpu_msr(&vcpu->cpu, 0x277), 0x0007040600070406);
    assert_int_equal(vcpu->cpu.lapic[0x350], 0);
    assert_int_equal(vcpu->cpu.lapic[0x351], 7); /* LINT0: ExtINT */
    assert_int_equal(vcpu->cpu.run_state, X86_RUNNABLE);
    g_free(before);
    fixture_free(f);
}

static void test_whole_state_moves_to_another_vm(void **state)
{
    static const uint8_t code[] = { 0xb0, '1', 0xe6, 0xe9, 0xe6, 0xe9, 0x40, 0xe6, 0xe9, END };
    Fixture *a = fixture_new("kvm", IRQCHIP_AUTO), *b;
    Vcpu *from = fixture_vcpu(a, 0), *to;
    g_autofree X86Cpu *saved = NULL;
    GError *error = NULL;

    start_at_code(a, from, code, sizeof(code));
    from->cpu.gpr[X86_R15] = 0x123456789abcdef0;
    from->cpu.xsave[160] = 0x42; /* XMM0 */
    from->cpu.dr[0] = 0x4000;
    x86_cpu_set_msr(&from->cpu, 0x174, 0x10); /* SYSENTER_CS */
    from->cpu.lapic[0x80] = 0x20; /* TPR */
    from->cpu.cr8 = 2;
    a->accel->class->store(from, true, &error);
    fail_with(error);
    a->accel->class->fetch(from, &error);
    fail_with(error);
    saved = g_memdup2(&from->cpu, sizeof(X86Cpu));
    fixture_free(a);
    b = fixture_new("kvm", IRQCHIP_AUTO);
    to = fixture_vcpu(b, 0);
    to->cpu = *saved;
    b->accel->class->store(to, true, &error);
    fail_with(error);
    memset(&to->cpu, 0, sizeof(X86Cpu));
    b->accel->class->fetch(to, &error);
    fail_with(error);
    assert_int_equal(to->cpu.gpr[X86_R15], 0x123456789abcdef0);
    assert_int_equal(to->cpu.rip, CODE);
    assert_int_equal(to->cpu.xsave[160], 0x42);
    assert_int_equal(to->cpu.dr[0], 0x4000);
    assert_int_equal(*x86_cpu_msr(&to->cpu, 0x174), 0x10);
    assert_int_equal(to->cpu.lapic[0x80], 0x20);
    assert_int_equal(to->cpu.cr8, 2);
    memcpy(ram_block_host(b->ram) + CODE, code, sizeof(code));
    assert_int_equal(run_here(b, to, &error), VCPU_EXIT_KICKED);
    assert_memory_equal(b->out, "112", 3);
    fixture_free(b);
}

static void test_state_of_a_foreign_msr_is_refused_by_name(void **state)
{
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    GError *error = NULL;

    x86_cpu_set_msr(&vcpu->cpu, 0x12345678, 1);
    assert_false(f->accel->class->store(vcpu, true, &error));
    assert_non_null(strstr(error->message, "0x12345678"));
    g_error_free(error);
    fixture_free(f);
}

static void test_unplugged_vcpu_can_come_back(void **state)
{
    static const uint8_t code[] = { 0xb0, 'b', 0xe6, 0xe9, END };
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    GError *error = NULL;
    Vcpu *vcpu;

    f->accel->class->vcpu_destroy(fixture_vcpu(f, 0));
    g_free(f->vcpu[--f->vcpus]);
    vcpu = fixture_vcpu(f, 0);
    start_at_code(f, vcpu, code, sizeof(code));
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    assert_int_equal(f->out[0], 'b');
    fixture_free(f);
}

static void test_triple_fault_asks_for_a_reset(void **state)
{
    static const uint8_t code[] = { 0x0f, 0x0b }; /* ud2 */
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    X86Segment flat = { 0x10, 0xc093, UINT32_MAX, 0 };
    GError *error = NULL;

    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        vcpu->cpu.segment[i] = flat;
    }
    vcpu->cpu.segment[X86_CS] = (X86Segment) { 0x08, 0xc09b, UINT32_MAX, 0 };
    vcpu->cpu.cr0 = 0x11;
    vcpu->cpu.idt.limit = 0;
    vcpu->cpu.rip = CODE;
    memcpy(ram_block_host(f->ram) + CODE, code, sizeof(code));
    f->accel->class->store(vcpu, true, &error);
    fail_with(error);
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_RESET);
    fixture_free(f);
}

static void test_failure_to_emulate_names_the_bytes_and_the_way_out(void **state)
{
    static const uint8_t code[] = { 0xf3, 0x0f, 0xb8, 0xc1, END }; /* popcnt ax, cx */
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    GError *error = NULL;
    VcpuExit exit;

    start_at_code(f, vcpu, code, sizeof(code));
    exit = run_here(f, vcpu, &error);
    if (exit == VCPU_EXIT_KICKED) {
        fixture_free(f);
        print_message("skipped: this host's KVM runs every instruction\n");
        skip();
    }
    assert_int_equal(exit, VCPU_EXIT_FAILED);
    assert_non_null(strstr(error->message, "rip 0x1000"));
    assert_non_null(strstr(error->message, "f3 0f b8 c1"));
    assert_non_null(strstr(error_get_hint(error), "-accel tcg"));
    g_error_free(error);
    fixture_free(f);
}

static void test_coalesced_writes_come_before_a_later_exit(void **state)
{
    static const uint8_t code[] = {
        0xb8, 0x00, 0xd0, 0x8e, 0xd8,       /* mov ax, 0xd000; mov ds, ax */
        0xc6, 0x06, 0x20, 0x00, 0x07,       /* mov byte [0x20], 7 */
        0xe6, 0xe9, END };
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    GError *error = NULL;

    memory_remove(&f->mmio);
    f->mmio.coalesced = true;
    memory_add(domain_memory_root(f->domain), 0xd0000, &f->mmio, 1);
    start_at_code(f, vcpu, code, sizeof(code));
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    assert_int_equal(f->mmio_value, 7 + 0x20);
    assert_int_equal(vcpu->exits[VCPU_COUNT_COALESCED], 1);
    assert_int_equal(vcpu->exits[VCPU_COUNT_MMIO], 0);
    fixture_free(f);
}

static void test_doorbell_rings_without_an_exit(void **state)
{
    static const uint8_t code[] = {
        0xb8, 0x00, 0xd0, 0x8e, 0xd8,       /* mov ax, 0xd000; mov ds, ax */
        0xc7, 0x06, 0x40, 0x00, 0x03, 0x00, /* mov word [0x40], 3 */
        END };
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    MemoryDoorbell bell = { .offset = 0x40, .size = 2, .match = true, .data = 3, .eventfd = eventfd(0, EFD_NONBLOCK) };
    GError *error = NULL;
    uint64_t rung = 0;

    memory_add_doorbell(&f->mmio, &bell);
    start_at_code(f, vcpu, code, sizeof(code));
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    assert_int_equal(read(bell.eventfd, &rung, sizeof(rung)), sizeof(rung));
    assert_int_equal(rung, 1);
    assert_int_equal(vcpu->exits[VCPU_COUNT_MMIO], 0);
    memory_remove_doorbell(&f->mmio, &bell);
    close(bell.eventfd);
    fixture_free(f);
}

static void test_rom_takes_no_write(void **state)
{
    static const uint8_t code[] = {
        0xb8, 0x00, 0x80, 0x8e, 0xd8,       /* mov ax, 0x8000; mov ds, ax */
        0xc6, 0x06, 0x00, 0x00, 0x07,       /* mov byte [0], 7 */
        0xa0, 0x00, 0x00, 0xe6, 0xe9, END };
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    MemoryRegion rom;
    GError *error = NULL;

    ram_block_host(f->ram)[0x80000] = 0x55;
    memory_region_init_rom(&rom, "rom", f->ram, 0x80000, 0x1000);
    memory_add(domain_memory_root(f->domain), 0x80000, &rom, 1);
    start_at_code(f, vcpu, code, sizeof(code));
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    assert_int_equal(f->out[0], 0x55);
    memory_remove(&rom);
    memory_region_finish(&rom);
    fixture_free(f);
}

/* ---- threads ---- */
typedef struct Runner {
    Fixture *f;
    Vcpu *vcpu;
    unsigned kicked; /* atomic */
    bool stop;       /* atomic */
    pthread_t thread;
} Runner;

static void *runner(void *opaque)
{
    Runner *r = opaque;

    epoch_thread_begin();
    r->f->accel->class->vcpu_begin(r->vcpu, NULL);
    while (!__atomic_load_n(&r->stop, __ATOMIC_SEQ_CST)) {
        VcpuExit exit = r->f->accel->class->run(r->vcpu, NULL);

        if (exit != VCPU_EXIT_KICKED) {
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
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Runner r = { .f = f, .vcpu = fixture_vcpu(f, 0) };

    start_at_code(f, r.vcpu, code, sizeof(code));
    assert_int_equal(pthread_create(&r.thread, NULL, runner, &r), 0);
    for (unsigned i = 0; i < 1000; i++) {
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

static void count_stat(const AccelStat *stat, void *opaque)
{
    ++*(unsigned *)opaque;
}

static void test_statistics_do_not_wait_for_the_guest(void **state)
{
    static const uint8_t code[] = { 0xeb, 0xfe }; /* jmp $ */
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Runner r = { .f = f, .vcpu = fixture_vcpu(f, 0) };
    unsigned found = 0;

    start_at_code(f, r.vcpu, code, sizeof(code));
    assert_int_equal(pthread_create(&r.thread, NULL, runner, &r), 0);
    usleep(10000);
    alarm(30); /* or for ever */
    assert_true(f->accel->class->stats(f->accel, r.vcpu, count_stat, &found));
    alarm(0);
    assert_true(found > 0);
    __atomic_store_n(&r.stop, true, __ATOMIC_SEQ_CST);
    f->accel->class->kick(r.vcpu);
    pthread_join(r.thread, NULL);
    fixture_free(f);
}

static void test_replaced_memory_is_never_seen_missing(void **state)
{
    /* mov ds, 0x8000; loop: cmp byte [0], 0x77; je loop; out 0xe9, al; hlt */
    static const uint8_t code[] = { 0xb8, 0x00, 0x80, 0x8e, 0xd8, 0x80, 0x3e, 0x00, 0x00, 0x77, 0x74, 0xf9,
                                    0xe6, 0xe9, 0xf4 };
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Runner r = { .f = f, .vcpu = fixture_vcpu(f, 0) };
    MemoryRegion rom;

    ram_block_host(f->ram)[0x80000] = 0x77;
    memory_region_init_rom(&rom, "rom", f->ram, 0x80000, 0x1000);
    start_at_code(f, r.vcpu, code, sizeof(code));
    assert_int_equal(pthread_create(&r.thread, NULL, runner, &r), 0);
    for (unsigned i = 0; i < 300; i++) {
        memory_add(domain_memory_root(f->domain), 0x80000, &rom, 1); /* splits the RAM in three */
        usleep(50);
        memory_remove(&rom);
    }
    __atomic_store_n(&r.stop, true, __ATOMIC_SEQ_CST);
    f->accel->class->kick(r.vcpu);
    pthread_join(r.thread, NULL);
    assert_int_equal(f->outs, 0);
    memory_region_finish(&rom);
    fixture_free(f);
}

/* ---- dirty pages ---- */
static void write_one_page(Fixture *f)
{
    static const uint8_t code[] = { 0xc6, 0x06, 0x00, 0x50, 0x01, END }; /* mov byte [0x5000], 1 */
    Vcpu *vcpu = fixture_vcpu(f, 0);
    GError *error = NULL;

    start_at_code(f, vcpu, code, sizeof(code));
    memory_log_start(f->ram, DIRTY_MIGRATION);
    memory_log_sync(f->ram);
    for (uint64_t at = 0; at < 1 << 20; at += GUEST_PAGE_SIZE) {
        ram_dirty_take(f->ram, DIRTY_MIGRATION, at);
    }
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    memory_log_sync(f->ram);
}

static void test_dirty_bitmap_holds_what_the_guest_wrote(void **state)
{
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);

    write_one_page(f);
    assert_true(ram_dirty_take(f->ram, DIRTY_MIGRATION, 0x5000));
    assert_false(ram_dirty_test(f->ram, DIRTY_MIGRATION, 0x6000, 0x1000));
    memory_log_sync(f->ram);
    assert_false(ram_dirty_test(f->ram, DIRTY_MIGRATION, 0x5000, 0x1000));
    fixture_free(f);
}

static void test_dirty_ring_holds_what_the_guest_wrote(void **state)
{
    Fixture *f = fixture_new("kvm,dirty-ring-size=4096", IRQCHIP_AUTO);

    write_one_page(f);
    assert_true(ram_dirty_take(f->ram, DIRTY_MIGRATION, 0x5000));
    assert_false(ram_dirty_test(f->ram, DIRTY_MIGRATION, 0x6000, 0x1000));
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_port_output_reaches_the_port_region),
        cmocka_unit_test(test_port_input_comes_from_the_port_region),
        cmocka_unit_test(test_mmio_reaches_its_region_both_ways),
        cmocka_unit_test(test_split_irqchip_runs_code),
        cmocka_unit_test(test_irqchip_off_is_refused_with_the_way_out),
        cmocka_unit_test(test_missing_device_is_one_sentence_with_the_way_out),
        cmocka_unit_test(test_unknown_accelerator_names_the_nearest),
        cmocka_unit_test(test_reset_state_is_what_kvm_gives_back),
        cmocka_unit_test(test_whole_state_moves_to_another_vm),
        cmocka_unit_test(test_state_of_a_foreign_msr_is_refused_by_name),
        cmocka_unit_test(test_unplugged_vcpu_can_come_back),
        cmocka_unit_test(test_triple_fault_asks_for_a_reset),
        cmocka_unit_test(test_failure_to_emulate_names_the_bytes_and_the_way_out),
        cmocka_unit_test(test_coalesced_writes_come_before_a_later_exit),
        cmocka_unit_test(test_doorbell_rings_without_an_exit),
        cmocka_unit_test(test_rom_takes_no_write),
        cmocka_unit_test(test_no_kick_is_lost),
        cmocka_unit_test(test_statistics_do_not_wait_for_the_guest),
        cmocka_unit_test(test_replaced_memory_is_never_seen_missing),
        cmocka_unit_test(test_dirty_bitmap_holds_what_the_guest_wrote),
        cmocka_unit_test(test_dirty_ring_holds_what_the_guest_wrote),
    };

    return run_with_kvm(tests, G_N_ELEMENTS(tests));
}
