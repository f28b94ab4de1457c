/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The board: I/O ports, and the few chips behind them besides the UART. Knows
 * no KVM; power-off, reset and the UART's interrupt leave through operations.
 */
#ifndef MINIVMM_PLATFORM_H
#define MINIVMM_PLATFORM_H

#include <pthread.h>
#include <stdint.h>

#include "uart.h"

struct platform_ops {
	struct uart_ops uart;
	void (*power_off)(void *context);
	void (*reset)(void *context);
};

struct platform {
	const struct platform_ops *ops;
	void *context;
	struct uart uart;
	pthread_mutex_t lock;	/* all below; taken before the UART's */
	uint8_t cmos_index;
	uint16_t pm1_status, pm1_enable, pm1_control;
};

void platform_init(struct platform *platform, const struct platform_ops *ops, void *context);

/**
 * platform_in - the guest reads an I/O port; any vCPU's thread
 * @size: 1, 2 or 4 bytes
 *
 * Return: the value; all ones where nothing answers.
 */
uint32_t platform_in(struct platform *platform, uint16_t port, unsigned int size);
void platform_out(struct platform *platform, uint16_t port, unsigned int size, uint32_t value);

#endif
