/* SPDX-License-Identifier: GPL-2.0 */
/* All of it that the irqchips need: how many SINTs there are. */
#define HV_SYNIC_SINT_COUNT	16
