/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ACPI tables: the guest's CPUs and IOAPIC, and how to power off and reset.
 * Pure: writes into guest memory, knows no KVM.
 */
#ifndef MINIVMM_ACPI_H
#define MINIVMM_ACPI_H

#include <stddef.h>
#include <stdint.h>

#include "ram.h"

/* I/O ports that the FADT names; platform.c answers them. */
#define ACPI_PM1_EVENT		0x600
#define ACPI_PM1_CONTROL	0x604
#define ACPI_PM_TIMER		0x608
#define ACPI_RESET_PORT		0xcf9
#define ACPI_RESET_VALUE	0x06
#define ACPI_S5			5	/* SLP_TYP of power-off, as in the DSDT's _S5 */
#define ACPI_SCI		9

#define IOAPIC_GPA		0xfec00000U
#define LAPIC_GPA		0xfee00000U

/**
 * acpi_build - write all tables to BIOS_START and up
 * @cpus: number of local APICs, with IDs from 0
 */
void acpi_build(const struct ram *ram, unsigned int cpus);

/* The sum of @len bytes, modulo 256: 0 in every valid table. */
uint8_t acpi_sum(const void *table, size_t len);

#endif
