/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU features: words of 32 bits out of CPUID leaves and feature MSRs, and the
 * names of their bits (SDM 2A CPUID; APM 3 appendix E; Linux Documentation/virt/kvm/x86/cpuid.rst),
 * spelled as QEMU's users know them.  Constant tables; any thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/x86/cpu.h"

typedef enum CpuWord {
    WORD_1_EDX,
    WORD_1_ECX,
    WORD_7_EBX,
    WORD_7_ECX,
    WORD_7_EDX,
    WORD_7_1_EAX,
    WORD_7_2_EDX,
    WORD_80000001_EDX,
    WORD_80000001_ECX,
    WORD_80000007_EDX,
    WORD_80000008_EBX,
    WORD_80000021_EAX,
    WORD_6_EAX,
    WORD_D_1_EAX,
    WORD_KVM,
    WORD_SVM,
    WORD_ARCH_CAPABILITIES,
    WORD_ARCH_CAPABILITIES_HIGH,
    CPU_WORDS
} CpuWord;

typedef struct CpuFeatures {
    uint32_t word[CPU_WORDS];
} CpuFeatures;

typedef enum CpuRegister { REGISTER_EAX, REGISTER_EBX, REGISTER_ECX, REGISTER_EDX } CpuRegister;

typedef struct CpuWordInfo {
    uint32_t leaf, subleaf; /* leaf 0: 32 bits of `msr`, from `shift` on */
    CpuRegister reg;
    uint32_t msr;
    unsigned shift;
    const char *const *names; /* 32; NULL: no name */
} CpuWordInfo;

extern const CpuWordInfo cpu_words[CPU_WORDS];

static inline bool cpu_has(const CpuFeatures *f, CpuWord word, unsigned bit)
{
    return f->word[word] >> bit & 1;
}

/* The bits a name stands for ("kvmclock" is two); underscores are dashes.  false: no such feature. */
bool cpu_feature_find(const char *name, CpuFeatures *ret);
/* Every name of the list (blanks between them) is set in *features.  The list is one of ours. */
void cpu_features_add(CpuFeatures *features, const char *names);
void cpu_features_remove(CpuFeatures *features, const CpuFeatures *what);
bool cpu_features_any(const CpuFeatures *features);
/* Appends the names of what is set, in order of bits. */
void cpu_features_print(const CpuFeatures *features, GString *out);
/* All names and other spellings, NULL at the end; the array is freed by the caller, the names are not. */
const char **cpu_feature_names(void);
/* What is in `have` without what it depends on, taken out (AVX without XSAVE). */
void cpu_features_drop_orphans(CpuFeatures *have);
