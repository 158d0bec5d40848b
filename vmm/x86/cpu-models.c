/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Named CPU models.  A model is the processor's signature and the features that
 * vendors document for it (Intel's and AMD's CPUID documentation), without those
 * that depend on the board (thermal, debug store, power states).  The names and what
 * they hold are those that QEMU's users and libvirt know, so a guest sees the same
 * processor here.
 *
 * x86-64-v1, -v2 and -v3 are the portable baselines: the levels of the x86-64 psABI,
 * no vendor's extras, and of KVM's paravirtual features what every accelerator has, so
 * a guest on one of them goes on under another accelerator as it stands.
 */
#include "vmm/x86/cpu-models.h"

#include <stddef.h>

#define AMD   "AuthenticAMD"
#define INTEL "GenuineIntel"

/* What each row builds on; indices into cpu_model_defs. */
enum {
    BASE, QEMU64, KVM64, V1, V2, V3, NEHALEM, WESTMERE, SANDY_BRIDGE, IVY_BRIDGE, HASWELL, HASWELL_NO_TSX, BROADWELL,
    BROADWELL_NO_TSX, SKYLAKE_CLIENT, SKYLAKE_CLIENT_NO_TSX, SKYLAKE_SERVER, SKYLAKE_SERVER_NO_TSX, CASCADELAKE,
    CASCADELAKE_NO_TSX, ICELAKE, ICELAKE_NO_TSX, EPYC, EPYC_IBPB, EPYC_ROME, EPYC_MILAN, MODELS
};

#define ON(M) .base = &cpu_model_defs[M]

const CpuModelDef cpu_model_defs[MODELS + 1] = {
    [BASE] = {
        .name = "base", .vendor = AMD, .family = 15, .model = 107, .stepping = 1, .level = 0xd, .xlevel = 0x80000008,
        .model_id = "No features but those asked for", .bare = true,
    },
    [QEMU64] = {
        .name = "qemu64", .vendor = AMD, .family = 15, .model = 107, .stepping = 1, .level = 0xd, .xlevel = 0x8000000a,
        .model_id = "QEMU Virtual CPU version 2.5+",
        .features = "fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 "
                    "pni cx16 syscall nx lm lahf-lm",
    },
    [KVM64] = {
        .name = "kvm64", .vendor = INTEL, .family = 15, .model = 6, .stepping = 1, .level = 0xd, .xlevel = 0x80000008,
        .model_id = "Common KVM processor",
        .features = "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 "
                    "pni cx16 syscall nx lm",
    },
    [V1] = {
        .name = "x86-64-v1", ON(QEMU64), .model_id = "x86-64-v1 processor", .portable = true,
        .without = "pni cx16 lahf-lm",
    },
    [V2] = {
        .name = "x86-64-v2", ON(QEMU64), .model_id = "x86-64-v2 processor", .portable = true,
        .features = "ssse3 sse4.1 sse4.2 popcnt",
    },
    [V3] = {
        .name = "x86-64-v3", ON(V2), .portable = true, .model_id = "x86-64-v3 processor",
        .features = "xsave avx avx2 bmi1 bmi2 f16c fma abm movbe",
    },
    [NEHALEM] = {
        .name = "Nehalem", .vendor = INTEL, .family = 6, .model = 26, .stepping = 3, .level = 11, .xlevel = 0x80000008,
        .model_id = "Intel Core i7 9xx (Nehalem Class Core i7)",
        .features = "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 "
                    "pni ssse3 cx16 sse4.1 sse4.2 popcnt syscall nx lm lahf-lm",
    },
    [WESTMERE] = {
        .name = "Westmere", ON(NEHALEM), .model = 44, .stepping = 1,
        .model_id = "Westmere E56xx/L56xx/X56xx (Nehalem-C)", .features = "pclmulqdq aes arat",
    },
    [SANDY_BRIDGE] = {
        .name = "SandyBridge", ON(WESTMERE), .model = 42, .stepping = 1, .level = 0xd,
        .model_id = "Intel Xeon E312xx (Sandy Bridge)", .features = "x2apic tsc-deadline xsave avx rdtscp xsaveopt",
    },
    [IVY_BRIDGE] = {
        .name = "IvyBridge", ON(SANDY_BRIDGE), .model = 58, .stepping = 9,
        .model_id = "Intel Xeon E3-12xx v2 (Ivy Bridge)", .features = "f16c rdrand fsgsbase smep erms",
    },
    [HASWELL] = {
        .name = "Haswell", ON(IVY_BRIDGE), .model = 60, .stepping = 4, .model_id = "Intel Core Processor (Haswell)",
        .features = "fma pcid movbe bmi1 hle avx2 bmi2 invpcid rtm abm",
    },
    [HASWELL_NO_TSX] = {
        .name = "Haswell-noTSX", ON(HASWELL), .stepping = 1, .model_id = "Intel Core Processor (Haswell, no TSX)",
        .without = "hle rtm",
    },
    [BROADWELL] = {
        .name = "Broadwell", ON(HASWELL), .model = 61, .stepping = 2, .model_id = "Intel Core Processor (Broadwell)",
        .features = "rdseed adx smap 3dnowprefetch",
    },
    [BROADWELL_NO_TSX] = {
        .name = "Broadwell-noTSX", ON(BROADWELL), .model_id = "Intel Core Processor (Broadwell, no TSX)",
        .without = "hle rtm",
    },
    [SKYLAKE_CLIENT] = {
        .name = "Skylake-Client", ON(BROADWELL), .model = 94, .stepping = 3,
        .model_id = "Intel Core Processor (Skylake)", .features = "xsavec xgetbv1",
    },
    [SKYLAKE_CLIENT_NO_TSX] = {
        .name = "Skylake-Client-noTSX-IBRS", ON(SKYLAKE_CLIENT),
        .model_id = "Intel Core Processor (Skylake, IBRS, no TSX)",
        .features = "spec-ctrl", .without = "hle rtm",
    },
    [SKYLAKE_SERVER] = {
        .name = "Skylake-Server", ON(SKYLAKE_CLIENT), .model = 85, .stepping = 4,
        .model_id = "Intel Xeon Processor (Skylake)",
        .features = "pdpe1gb clflushopt clwb avx512f avx512dq avx512bw avx512cd avx512vl pku",
    },
    [SKYLAKE_SERVER_NO_TSX] = {
        .name = "Skylake-Server-noTSX-IBRS", ON(SKYLAKE_SERVER),
        .model_id = "Intel Xeon Processor (Skylake, IBRS, no TSX)",
        .features = "spec-ctrl", .without = "hle rtm clflushopt",
    },
    [CASCADELAKE] = {
        .name = "Cascadelake-Server", ON(SKYLAKE_SERVER), .stepping = 6,
        .model_id = "Intel Xeon Processor (Cascadelake)",
        .features = "avx512vnni spec-ctrl ssbd",
    },
    [CASCADELAKE_NO_TSX] = {
        .name = "Cascadelake-Server-noTSX", ON(CASCADELAKE), .model_id = "Intel Xeon Processor (Cascadelake)",
        .features = "arch-capabilities rdctl-no ibrs-all skip-l1dfl-vmentry mds-no", .without = "hle rtm",
    },
    [ICELAKE] = {
        .name = "Icelake-Server", ON(CASCADELAKE), .model = 134, .stepping = CPU_STEPPING_0,
        .model_id = "Intel Xeon Processor (Icelake)",
        .features = "avx512vbmi umip avx512vbmi2 gfni vaes vpclmulqdq avx512bitalg avx512-vpopcntdq la57 wbnoinvd",
    },
    [ICELAKE_NO_TSX] = {
        .name = "Icelake-Server-noTSX", ON(ICELAKE), .model_id = "Intel Xeon Processor (Icelake)", .without = "hle rtm",
    },
    [EPYC] = {
        .name = "EPYC", .vendor = AMD, .family = 23, .model = 1, .stepping = 2, .level = 0xd, .xlevel = 0x8000001e,
        .model_id = "AMD EPYC Processor",
        .features = "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 "
                    "pni pclmulqdq ssse3 fma cx16 sse4.1 sse4.2 movbe popcnt aes xsave avx f16c rdrand "
                    "syscall nx mmxext fxsr-opt pdpe1gb rdtscp lm "
                    "lahf-lm cr8legacy abm sse4a misalignsse 3dnowprefetch osvw topoext "
                    "fsgsbase bmi1 avx2 smep bmi2 rdseed adx smap clflushopt sha-ni xsaveopt xsavec xgetbv1 arat",
    },
    [EPYC_IBPB] = {
        .name = "EPYC-IBPB", ON(EPYC), .model_id = "AMD EPYC Processor (with IBPB)", .features = "ibpb",
    },
    [EPYC_ROME] = {
        .name = "EPYC-Rome", ON(EPYC_IBPB), .model = 49, .stepping = CPU_STEPPING_0,
        .model_id = "AMD EPYC-Rome Processor",
        .features = "perfctr-core clwb umip rdpid clzero xsaveerptr wbnoinvd amd-stibp",
    },
    [EPYC_MILAN] = {
        .name = "EPYC-Milan", ON(EPYC_ROME), .family = 25, .model = 1, .stepping = 1,
        .model_id = "AMD EPYC-Milan Processor",
        .features = "pcid erms invpcid pku fsrm xsaves ibrs amd-ssbd",
    },
};
