# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the other processor of a comparison is wrong, or free to differ: (pattern of probe names, why).

SDM is Intel's manual of 2023 (1-3: volumes), APM AMD's. What is left out of every line is in transcript.py.
"""

# KVM on QEMU's emulated SVM (QEMU 7.2): the instructions are QEMU TCG's, and KVM handles what SVM intercepts.
NESTED = tuple((rf"(?:{names})\..*", why) for names, why in (
    # ---- exceptions ----
    ("icebp", "QEMU has no 0xf1; it raises #DB (SDM 2A INT1)"),
    ("step-sti", "STI holds interrupts off, not single steps (SDM 3-6.8.3 is about MOV SS); QEMU steps once for both"),
    ("watch|watch-both",
     "QEMU reports one watchpoint of several, and a neighbour's for misaligned stores (SDM 3-18.2.4, 18.2.5)"),
    ("watch-and-step", "one #DB for both causes (SDM 3-18.3.1.1); QEMU nests two"),
    ("watch-io", "lengths of I/O breakpoints are honoured, and without CR4.DE they are undefined (SDM 3-18.2.4)"),
    ("break-resumed", "QEMU ignores RF in the flags that IRET to virtual-8086 mode loads (SDM 3-18.3.1.1)"),
    ("general-detect", "QEMU has no DR7.GD (SDM 3-18.2.4)"),
    ("dr-reserved|dr7-reserved", "reserved bits of DR6 and DR7 read as fixed values (SDM 3-18.2.3, 18.2.4)"),
    ("int-20|gate-type|idt-limit|beyond-idt",
     "a vector in an error code counts gates, not multiples of 8 (SDM 3-6.13)"),
    ("ud-7", "C7 /1 is not MOV (SDM 2D table A-6)"),
    ("ud-c",
     "a control register that is not there is #UD at any privilege (APM 3 MOV CRn; SDM 3-6.9: decoding comes first)"),
    ("nm-mmx", "EMMS is #NM with TS and #UD with EM (SDM 3-12.1)"),
    ("nm-sse", "EM is #UD before TS is #NM (SDM 3-13.1, 2A table 2-21)"),
    ("mf", "an unmasked zero divide leaves operands and TOP alone (SDM 1-8.5.3)"),
    ("xm", "QEMU raises no SIMD exceptions (SDM 1-11.5)"),
    ("mxcsr-reserved", "reserved bits of MXCSR are #GP (SDM 2A LDMXCSR)"),
    ("ac|ac-stack|ac-and-page-fault", "QEMU checks no alignment (SDM 3-6.15, interrupt 17)"),
    ("benign-ud-np", "EXT is set where an exception, not INT n, met the absent gate (SDM 3-6.13)"),
    # ---- gates ----
    ("double-gp-np|ist|ist-non-canonical|ist-beyond-tss", "SS is null after a change of privilege only (APM 2-8.9.3)"),
    ("gate-target-type|gate-target|inner-ss-type|far-type|far-limit",
     "QEMU does not mark some segments accessed, nor check "
     "their limits (SDM 3-3.4.5.1, 5.3)"),
    ("gate-offset-high|gate-upper-half|non-canonical-(?:jmp|call|far|iret)",
     "a target that is not canonical is #GP in the "
     "instruction that goes there (SDM 2A CALL, JMP)"),
    ("inner-ss-absent|gate-limit|long-address|limit-straddled|stack-limit-straddled|null-used|"
     "limit-.*|stack-limit|code-limit|code-execute-only",
     "QEMU checks no segment limits or rights in use (SDM 3-5.3, 5.5)"),
    ("tss-too-short|gate-tss-limit", "a TSS must hold SS and ESP of the new ring, 6 bytes (SDM 2A CALL)"),
    ("rsp0-non-canonical", "the stack's first push is at a canonical address (SDM 3-6.14.2)"),
    ("iret-selector|iret-null-ss|selector-ss|far-ret-[08]",
     "a null SS only in 64-bit code below ring 3, with RPL = CPL "
     "(SDM 2A IRET, MOV)"),
    ("monitor-needs-ring-0", "virtual-8086 mode is left for ring 0 only (SDM 3-21.3.1)"),
    ("gate-call", "a gate to conforming code does not change the ring (SDM 3-5.8.4)"),
    # ---- modes, paging ----
    ("enter", "whether a faulting ENTER has pushed is not defined"),
    ("efer-lme-while-paging", "invalid combinations of CR0, CR4 and EFER are #GP (SDM 3-2.5, 9.8.5)"),
    (r"(?:modify|compare)-wp\w+", "a locked access is a write from the start (SDM 3-4.7)"),
    ("nx|nx-read|nx-write|reserved-.*|pse-page|large-page|huge-page|top",
     "RSVD comes with P: the entry is present (SDM 3-4.7)"),
    ("nx-in-a-table|pse-off|table|directory",
     "whether entries above a refused one are marked accessed is not defined (SDM 3-4.8)"),
    ("pdpte-.*", "PAE's pointers are checked for reserved bits and cached when CR3 is loaded (SDM 3-4.4.1)"),
    ("non-canonical-(?:read|write|fs)", "an access that ends beyond canonical addresses is #GP (SDM 1-3.3.7.1)"),
    ("non-canonical-(?:stack|bp)", "by way of SS it is #SS (SDM 1-3.3.7.1)"),
    # ---- descriptors ----
    ("lsl|ltr|lar", "16-bit TSSs are not valid in long mode (SDM 2A LSL, LTR)"),
    ("ltr-selector", "a null selector is #GP (SDM 2A LTR)"),
    ("lldt-high|ltr-high", "bases must be canonical, bits 8-12 of the last dword 0 (APM 2-4.8.3; SDM 3-8.2.3)"),
    ("far-code", "L and D together are #GP (SDM 3-5.8.1)"),
    # ---- fast calls, registers ----
    ("syscall", "FMASK clears flags, and no others (SDM 2B SYSCALL); QEMU loses the arithmetic ones"),
    ("sysret|sysretq", "R11 gives VIF and VIP, too, and clears RF (SDM 2B SYSRET)"),
    ("sysenter|sysexit", "SYSENTER_CS of 3 is a null selector (SDM 2B SYSENTER)"),
    ("sysenter-amd", "AMD's have no SYSENTER in long mode (APM 3 SYSENTER)"),
    ("wrfsbase", "a base that is not canonical is #GP (SDM 2B WRFSBASE)"),
    ("load-null-fs", "AMD's keep the base with a null selector (APM 2-4.5.3)"),
    ("cr10", "LOCK with MOV from CR2 is #UD (SDM 2B MOV)"),
    ("cr0-bits|cr8", "reserved bits are #GP, or ignored in CR0's lower half (SDM 3-2.5)"),
    ("msr-.*|rdmsr-none", "what is not in an MSR, or no MSR at all, is #GP (SDM 2B WRMSR, RDMSR)"),
    # ---- tasks ----
    ("task-gate-jmp|task-gate-call|task-int",
     "a task gate into the LDT is #GP (SDM 2A INT n); a 16-bit task has no upper flags"),
    ("task-flags-jmp|task-flags-call", "VIF and VIP are loaded, too (SDM 3-8.2.1)"),
    ("task-trap-jmp|task-trap-call", "QEMU has no T bit (SDM 3-18.3.1.5)"),
    ("task-clears-breakpoints", "a task switch clears LE, too (APM 2-13.1.1.4)"),
    # ---- virtual-8086 mode ----
    (r".*-vme0|pvi0-.*", "VIF and VIP are kept as they are loaded by IRET in ring 0 (SDM 2A IRET)"),
))

# A /dev/kvm that emulates ring 0 and 16- and 32-bit code, and runs 64-bit code of ring 3 as a process of its host, on
# the host's descriptor tables and control registers.
WEAK = tuple((rf"(?:{names})\..*", why) for names, why in (
    ("break-.*|watch.*|icebp",
     "debug registers are not the guest's in ring 3, and the emulator has neither them nor 0xf1"),
    (r"step-(?:int|rep)|bp|int-\w+|of|br|gate-.*|ist.*|idt-limit|beyond-idt|tss-too-short|rsp0-.*|smap-implicit",
     "neither INT n nor a gate with a stack of its own is carried out"),
    ("nm.*|mf|xm|mxcsr-reserved|enter", "the emulator has no x87, SSE and ENTER; ring 3 has the host's CR0 and CR4"),
    ("ac.*|rdtsc-forbidden|rdfsbase|wrfsbase|umip-.*|stac|pvi2-.*",
     "ring 3 has the host's CR0.AM, CR4.TSD, FSGSBASE, UMIP, SMAP, PVI"),
    ("lar.*|lsl.*|verr.*|verw.*|arpl|far-.*|selector-.*|null-used|limit-down|step-mov-ss|iret-selector",
     "ring 3 sees the host's descriptor tables; the emulator has no LAR, LSL, VERR, VERW, ARPL"),
    ("iopl-3|io-bitmap-beyond|popf.*|iret-flags",
     "ring 3 has IF set and no IOPL; the emulator takes no bitmap beyond the limit"),
    ("syscall.*|sysenter", "SYSCALL arrives in ring 3"),
    ("ud-c", "MOV from CR1 is emulated, and its privilege checked first"),
    ("non-canonical-.*", "the host's paging has five levels, so other addresses are canonical"),
))
