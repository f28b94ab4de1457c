// SPDX-License-Identifier: GPL-2.0
/*
 * A 16550A (National Semiconductor PC16550D data sheet). The line is infinitely
 * fast: what is transmitted has left at once, so the transmitter is always empty.
 */
#include "uart.h"

#include <linux/serial_reg.h>

/*
 * OUT2 lets a PC's serial interrupts through. A driver that only probes may
 * enable the receive interrupt for a moment, but not this.
 */
static bool wants_input(const struct uart *uart)
{
	return uart->ier & UART_IER_RDI && uart->mcr & UART_MCR_OUT2 &&
	       !(uart->mcr & UART_MCR_LOOP) && uart->count < UART_FIFO;
}

/* The reason that the IIR shows: the highest pending one that is enabled. */
static uint8_t interrupt_reason(const struct uart *uart)
{
	if (uart->ier & UART_IER_RDI && uart->count)
		return UART_IIR_RDI;
	if (uart->ier & UART_IER_THRI && uart->thr_irq)
		return UART_IIR_THRI;
	return UART_IIR_NO_INT;
}

/* To be called after every change, with the state before it in @wanted. */
static void update(struct uart *uart, bool wanted)
{
	bool level = interrupt_reason(uart) != UART_IIR_NO_INT;

	if (level != uart->irq_level) {
		uart->irq_level = level;
		uart->ops->set_irq(uart->context, level);
	}
	if (!wanted && wants_input(uart))
		uart->ops->want_input(uart->context);
}

static void push(struct uart *uart, uint8_t byte)
{
	if (uart->count == UART_FIFO)
		return;
	uart->fifo[(uart->head + uart->count) % UART_FIFO] = byte;
	uart->count++;
}

static uint8_t pop(struct uart *uart)
{
	uint8_t byte = uart->fifo[uart->head];

	if (!uart->count)
		return 0;
	uart->head = (uart->head + 1) % UART_FIFO;
	uart->count--;
	return byte;
}

static uint8_t read_iir(struct uart *uart)
{
	uint8_t reason = interrupt_reason(uart);

	if (reason == UART_IIR_THRI)
		uart->thr_irq = false;	/* reading it is the acknowledgement */
	return reason | (uart->fifo_enabled ? 0xc0 : 0);
}

static uint8_t read_msr(const struct uart *uart)
{
	uint8_t mcr = uart->mcr;

	if (!(mcr & UART_MCR_LOOP))
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	return (mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) |
	       (mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
	       (mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) |
	       (mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0);
}

static uint8_t read_register(struct uart *uart, unsigned int reg)
{
	bool divisor = uart->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_RX:
		return divisor ? uart->divisor & 0xff : pop(uart);
	case UART_IER:
		return divisor ? uart->divisor >> 8 : uart->ier;
	case UART_IIR:
		return read_iir(uart);
	case UART_LCR:
		return uart->lcr;
	case UART_MCR:
		return uart->mcr;
	case UART_LSR:
		return UART_LSR_TEMT | UART_LSR_THRE | (uart->count ? UART_LSR_DR : 0);
	case UART_MSR:
		return read_msr(uart);
	default:
		return uart->scr;
	}
}

static void transmit(struct uart *uart, uint8_t byte)
{
	if (uart->mcr & UART_MCR_LOOP)
		push(uart, byte);
	else
		uart->ops->transmit(uart->context, byte);
	uart->thr_irq = true;
}

static void write_ier(struct uart *uart, uint8_t value)
{
	/* Enabling it while the transmitter is empty raises it at once. */
	if (value & ~uart->ier & UART_IER_THRI)
		uart->thr_irq = true;
	uart->ier = value & 0x0f;
}

static void write_fcr(struct uart *uart, uint8_t value)
{
	uart->fifo_enabled = value & UART_FCR_ENABLE_FIFO;
	if (value & UART_FCR_CLEAR_RCVR)
		uart->count = 0;
}

static void write_register(struct uart *uart, unsigned int reg, uint8_t value)
{
	bool divisor = uart->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_TX:
		if (divisor)
			uart->divisor = (uart->divisor & 0xff00) | value;
		else
			transmit(uart, value);
		break;
	case UART_IER:
		if (divisor)
			uart->divisor = (uart->divisor & 0xff) | value << 8;
		else
			write_ier(uart, value);
		break;
	case UART_FCR:
		write_fcr(uart, value);
		break;
	case UART_LCR:
		uart->lcr = value;
		break;
	case UART_MCR:
		uart->mcr = value & 0x1f;
		break;
	case UART_SCR:
		uart->scr = value;
		break;
	}
}

void uart_init(struct uart *uart, const struct uart_ops *ops, void *context)
{
	*uart = (struct uart){ .ops = ops, .context = context, .divisor = 12 };
	pthread_mutex_init(&uart->lock, NULL);
}

uint8_t uart_read(struct uart *uart, unsigned int reg)
{
	uint8_t value;
	bool wanted;

	pthread_mutex_lock(&uart->lock);
	wanted = wants_input(uart);
	value = read_register(uart, reg);
	update(uart, wanted);
	pthread_mutex_unlock(&uart->lock);
	return value;
}

void uart_write(struct uart *uart, unsigned int reg, uint8_t value)
{
	bool wanted;

	pthread_mutex_lock(&uart->lock);
	wanted = wants_input(uart);
	write_register(uart, reg, value);
	update(uart, wanted);
	pthread_mutex_unlock(&uart->lock);
}

bool uart_wants_input(struct uart *uart)
{
	bool wanted;

	pthread_mutex_lock(&uart->lock);
	wanted = wants_input(uart);
	pthread_mutex_unlock(&uart->lock);
	return wanted;
}

void uart_receive(struct uart *uart, uint8_t byte)
{
	pthread_mutex_lock(&uart->lock);
	if (wants_input(uart)) {
		push(uart, byte);
		update(uart, true);
	}
	pthread_mutex_unlock(&uart->lock);
}
