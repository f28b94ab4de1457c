/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A 16550A: the guest's console. Knows neither KVM nor the terminal; both are
 * reached through the operations that its maker gives it.
 */
#ifndef MINIVMM_UART_H
#define MINIVMM_UART_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define UART_PORT	0x3f8
#define UART_PORTS	8
#define UART_IRQ	4
#define UART_FIFO	16

struct uart_ops {
	void (*transmit)(void *context, uint8_t byte);
	void (*set_irq)(void *context, bool level);
	/* uart_wants_input() has become true */
	void (*want_input)(void *context);
};

struct uart {
	pthread_mutex_t lock;	/* all below; held while ops are called */
	const struct uart_ops *ops;
	void *context;
	uint8_t ier, lcr, mcr, scr;
	uint16_t divisor;
	bool fifo_enabled;
	bool thr_irq;		/* "transmitter empty" waits to be seen */
	bool irq_level;
	uint8_t fifo[UART_FIFO];
	unsigned int head, count;
};

void uart_init(struct uart *uart, const struct uart_ops *ops, void *context);
uint8_t uart_read(struct uart *uart, unsigned int reg);
void uart_write(struct uart *uart, unsigned int reg, uint8_t value);

/*
 * Is there a guest that listens, and room? Input before the guest's driver has
 * enabled the receive interrupt would be lost when it resets the FIFO.
 */
bool uart_wants_input(struct uart *uart);
/* A byte for the guest; dropped if uart_wants_input() is no longer true. */
void uart_receive(struct uart *uart, uint8_t byte);

#endif
