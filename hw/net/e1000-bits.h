/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bits of the registers and descriptors of 82540EM and 82574L, as far as code looks at them.  Documents: Intel,
 * PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual (317453, "SDM"), 82574 GbE Controller
 * Family Datasheet (317694, "DS").
 */
#pragma once

/* Device control and status */
#define CTRL_FD              (1u << 0)
#define CTRL_GIO_MASTER_DIS  (1u << 2)
#define CTRL_SLU             (1u << 6)
#define CTRL_SPEED_1000      (2u << 8)
#define CTRL_RST             (1u << 26)
#define CTRL_VME             (1u << 30)
#define CTRL_PHY_RST         (1u << 31)
#define STATUS_FD            (1u << 0)
#define STATUS_LU            (1u << 1)
#define STATUS_SPEED_1000    (2u << 6)
#define STATUS_ASDV_1000     (2u << 8)
#define STATUS_GIO_MASTER_EN (1u << 19)
#define CTRL_EXT_EE_RST      (1u << 13)
#define CTRL_EXT_EIAME       (1u << 24)
#define CTRL_EXT_IAME        (1u << 27)

/* EEPROM and MDIO */
#define EECD_SK         (1u << 0)
#define EECD_CS         (1u << 1)
#define EECD_DI         (1u << 2)
#define EECD_DO         (1u << 3)
#define EECD_REQ        (1u << 6)
#define EECD_GNT        (1u << 7)
#define EECD_PRES       (1u << 8)
#define EECD_AUTO_RD    (1u << 9) /* 82574; the size bit of the 82540: clear, 64 words */
#define EERD_START      (1u << 0)
#define MDIC_DATA       0xffffu
#define MDIC_OP         (3u << 26)
#define MDIC_OP_WRITE   (1u << 26)
#define MDIC_OP_READ    (2u << 26)
#define MDIC_READY      (1u << 28)
#define MDIC_INT        (1u << 29)
#define MDIC_ERROR      (1u << 30)
#define EEMNGCTL_CFG_DONE (3u << 18)
#define SWSM_SMBI       (1u << 0)

/* Interrupt causes: ICR, ICS, IMS, IMC, IAM, EIAC */
#define ICR_TXDW   (1u << 0)
#define ICR_TXQE   (1u << 1)
#define ICR_LSC    (1u << 2)
#define ICR_RXDMT0 (1u << 4)
#define ICR_RXO    (1u << 6)
#define ICR_RXT0   (1u << 7)
#define ICR_MDAC   (1u << 9)
#define ICR_TXD_LOW (1u << 15)
#define ICR_SRPD   (1u << 16)
#define ICR_RXQ0   (1u << 20)
#define ICR_TXQ0   (1u << 22)
#define ICR_OTHER  (1u << 24)
#define ICR_ASSERTED (1u << 31)
/* Two that are reserved among them: Intel's drivers test interrupts with the ten lowest. */
#define ICR_CAUSES_82540 0x0001f7ffu
#define ICR_CAUSES_82574 0x01f7f7ffu
#define ICR_OTHER_CAUSES (ICR_LSC | ICR_RXO | ICR_MDAC | ICR_SRPD)

/* Receiving */
#define RCTL_EN    (1u << 1)
#define RCTL_SBP   (1u << 2)
#define RCTL_UPE   (1u << 3)
#define RCTL_MPE   (1u << 4)
#define RCTL_LPE   (1u << 5)
#define RCTL_LBM   (3u << 6)
#define RCTL_BAM   (1u << 15)
#define RCTL_VFE   (1u << 18)
#define RCTL_BSEX  (1u << 25)
#define RCTL_SECRC (1u << 26)
#define RCTL_FILTER (RCTL_EN | RCTL_UPE | RCTL_MPE | RCTL_BAM | RCTL_VFE | (3u << 12))
#define RDTR_FPD   (1u << 31)
#define RXCSUM_IPOFL  (1u << 8)
#define RXCSUM_TUOFL  (1u << 9)
#define RXCSUM_IPV6OFL (1u << 10)
#define RXCSUM_PCSD   (1u << 13)
#define RFCTL_EXTEN   (1u << 15)
#define RAH_AV        (1u << 31)
#define RAH_WRITABLE  0x8003ffffu
#define MRQC_TCP_IPV4 (1u << 16)
#define MRQC_IPV4     (1u << 17)
#define MRQC_TCP_IPV6 (1u << 18)
#define MRQC_IPV6_EX  (1u << 19)
#define MRQC_IPV6     (1u << 20)
/* Status of a received frame; where it is a byte, the first eight */
#define RXD_DD    (1u << 0)
#define RXD_EOP   (1u << 1)
#define RXD_IXSM  (1u << 2)
#define RXD_VP    (1u << 3)
#define RXD_UDPCS (1u << 4)
#define RXD_TCPCS (1u << 5)
#define RXD_IPCS  (1u << 6)
#define RXD_PIF   (1u << 7)
/* Errors; in the extended status 24 bits further up */
#define RXD_TCPE  (1u << 5)
#define RXD_IPE   (1u << 6)
#define RXD_HEADER_SPLIT (1u << 15)

/* Transmitting */
#define TCTL_EN   (1u << 1)
#define TCTL_PSP  (1u << 3)
#define TXD_EOP   (1u << 24)
#define TXD_IC    (1u << 26) /* legacy */
#define TXD_TSE   (1u << 26) /* data and context */
#define TXD_RS    (1u << 27)
#define TXD_DEXT  (1u << 29)
#define TXD_VLE   (1u << 30)
#define TXD_IDE   (1u << 31)
#define TXD_DTYP  (15u << 20)
#define TXD_DTYP_DATA (1u << 20)
#define TXD_DD    (1u << 0)
#define TXD_IXSM  (1u << 8)
#define TXD_TXSM  (1u << 9)
#define TUCMD_TCP (1u << 24)
#define TUCMD_IP  (1u << 25)
#define TXDCTL_LWTHRESH_SHIFT 25

/* PHY registers: IEEE 802.3 clause 22, and Marvell's beyond 16 */
enum {
    PHY_CTRL, PHY_STATUS, PHY_ID1, PHY_ID2, PHY_ADVERTISE, PHY_PARTNER, PHY_EXPANSION, PHY_NEXT_PAGE,
    PHY_PARTNER_PAGE, PHY_1000T_CTRL, PHY_1000T_STATUS, PHY_EXT_STATUS = 15, PHY_SPEC_CTRL, PHY_SPEC_STATUS,
    PHY_INT_ENABLE, PHY_INT_STATUS, PHY_EXT_SPEC_CTRL, PHY_RX_ERRORS, PHY_PAGE_SELECT, PHY_REGISTERS = 32
};
#define PHY_CTRL_RESET    (1u << 15)
#define PHY_CTRL_LOOPBACK (1u << 14)
#define PHY_CTRL_AUTONEG  (1u << 12)
#define PHY_CTRL_POWER    (1u << 11) /* down */
#define PHY_CTRL_RESTART  (1u << 9)
#define PHY_STATUS_DONE   (1u << 5)
#define PHY_STATUS_LINK   (1u << 2)

/* Statistics that are counted; the others of 0x4000 to 0x4124 stay zero */
#define STAT(AT) (((AT) - 0x4000) / 4)
enum {
    STAT_MPC = STAT(0x4010), STAT_PRC64 = STAT(0x405c), STAT_GPRC = STAT(0x4074), STAT_BPRC = STAT(0x4078),
    STAT_MPRC = STAT(0x407c), STAT_GPTC = STAT(0x4080), STAT_GORC = STAT(0x4088), STAT_GOTC = STAT(0x4090),
    STAT_RUC = STAT(0x40a4), STAT_ROC = STAT(0x40ac), STAT_TOR = STAT(0x40c0), STAT_TOT = STAT(0x40c8),
    STAT_TPR = STAT(0x40d0), STAT_TPT = STAT(0x40d4), STAT_PTC64 = STAT(0x40d8), STAT_MPTC = STAT(0x40f0),
    STAT_BPTC = STAT(0x40f4), STAT_TSCTC = STAT(0x40f8), STAT_IAC = STAT(0x4100), STATS = STAT(0x4128)
};
