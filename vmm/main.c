// SPDX-License-Identifier: GPL-2.0
/*
 * minivmm: a small virtual machine monitor that boots Linux on KVM's ABI. Here:
 * the way from the command line to the exit status, and the main thread, which
 * moves what is typed to the guest and waits for signals, time-out and the end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "acpi.h"
#include "boot.h"
#include "cli.h"
#include "status.h"
#include "term.h"
#include "vm.h"

#define VERSION	"0.1"

/* What the main thread waits for. */
enum { WAIT_WAKE, WAIT_SIGNAL, WAIT_TIMER, WAIT_INPUT, WAITS };

struct console {
	struct vm *vm;
	struct pollfd waits[WAITS];
	struct escape escape;
	bool input_open;
	uint8_t typed[256];		/* for the guest, not yet taken */
	size_t count;
};

static int read_file(const char *path, struct blob *blob)
{
	struct stat stat;
	void *data;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &stat))
		return fail("%s: %s", path, strerror(errno));
	if (!S_ISREG(stat.st_mode) || !stat.st_size)
		return fail("%s: %s", path, stat.st_size ? "not a regular file" : "is empty");
	data = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (data == MAP_FAILED)
		return fail("%s: %s", path, strerror(errno));
	*blob = (struct blob){ data, stat.st_size };
	return 0;
}

static int load_guest(struct vm *vm)
{
	const struct config *config = vm->config;
	struct blob image, initrd = { NULL, 0 };
	const char *complaint;
	uint64_t entry;

	if (read_file(config->kernel, &image))
		return -1;
	complaint = boot_check_image(&image);
	if (complaint)
		return fail("%s: %s", config->kernel, complaint);
	if (config->initrd && read_file(config->initrd, &initrd))
		return -1;
	if (boot_load(&vm->ram, &image, &initrd, config->append, &entry))
		return -1;
	acpi_build(&vm->ram, config->cpus);
	return vm_set_entry(vm, entry);
}

/* Block what is handled here, before any thread exists, and get it as a file. */
static int open_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);	/* seen as EPIPE by the UART's output */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);	/* vCPU threads unblock it */
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTSTP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int open_timer(unsigned int seconds)
{
	struct itimerspec time = { .it_value.tv_sec = seconds };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0)
		timerfd_settime(fd, 0, &time, NULL);
	return fd;
}

static void on_signal(struct console *console)
{
	struct signalfd_siginfo info;

	if (read(console->waits[WAIT_SIGNAL].fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGTSTP) {
		vm_stop(console->vm, STATUS_SIGNAL + info.ssi_signo);
		return;
	}
	term_restore();
	raise(SIGSTOP);
	if (console->input_open)
		term_raw();
}

static void on_input(struct console *console)
{
	uint8_t bytes[64];
	ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));
	size_t room = sizeof(console->typed) - console->count, kept;

	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (got <= 0) {
		console->input_open = false;
		return;
	}
	kept = got;
	if (term_is_raw() && escape_filter(&console->escape, bytes, &kept)) {
		vm_stop(console->vm, STATUS_LEFT);
		return;
	}
	/* Keys that a deaf guest has no room for are lost; a pipe waits. */
	kept = kept < room ? kept : room;
	memcpy(console->typed + console->count, bytes, kept);
	console->count += kept;
}

/* As much of what was typed as the UART takes. */
static void feed_guest(struct console *console)
{
	struct uart *uart = &console->vm->platform.uart;
	size_t done = 0;

	while (done < console->count && uart_wants_input(uart))
		uart_receive(uart, console->typed[done++]);
	console->count -= done;
	memmove(console->typed, console->typed + done, console->count);
}

/*
 * A pipe is read when the guest has all that came before. A terminal is read
 * always: or else Ctrl-a x would not work while the guest does not listen.
 */
static bool wants_typing(struct console *console)
{
	return console->input_open &&
	       (term_is_raw() ||
		(!console->count && uart_wants_input(&console->vm->platform.uart)));
}

static void wait_for_end(struct console *console)
{
	struct pollfd *waits = console->waits;
	eventfd_t count;

	while (atomic_load(&console->vm->status) == STATUS_RUNNING) {
		feed_guest(console);
		waits[WAIT_INPUT].fd = wants_typing(console) ? STDIN_FILENO : -1;
		if (poll(waits, WAITS, -1) < 0 && errno != EINTR) {
			say("poll: %s", strerror(errno));
			vm_stop(console->vm, STATUS_ERROR);
		}
		if (waits[WAIT_WAKE].revents)
			eventfd_read(waits[WAIT_WAKE].fd, &count);
		if (waits[WAIT_SIGNAL].revents)
			on_signal(console);
		if (waits[WAIT_TIMER].revents)
			vm_stop(console->vm, STATUS_TIMEOUT);
		if (waits[WAIT_INPUT].revents)
			on_input(console);
	}
}

/* A terminal that another job has in the foreground is not ours to touch. */
static bool may_read_input(void)
{
	return !isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) == getpgrp();
}

static void say_how_it_ended(const struct vm *vm, int status)
{
	switch (status) {
	case STATUS_POWEROFF:
		say("the guest powered off");
		break;
	case STATUS_RESET:
		say("the guest asked for a reset");
		break;
	case STATUS_TIMEOUT:
		say("stopped after %u seconds (--timeout)", vm->config->timeout);
		break;
	case STATUS_LEFT:
		say("left the guest");
		break;
	default:
		if (status > STATUS_SIGNAL)
			say("stopped by signal %d (%s)", status - STATUS_SIGNAL,
			    strsignal(status - STATUS_SIGNAL));
	}
}

static int finish(struct vm *vm)
{
	int status = atomic_load(&vm->status);

	if (vm_join(vm)) {
		term_restore();
		_exit(STATUS_KVM);	/* a thread still uses what exit() would tear down */
	}
	term_restore();
	if (status == STATUS_TIMEOUT) {
		for (unsigned int i = 0; i < vm->config->cpus; i++)
			vcpu_dump(&vm->vcpus[i]);
	}
	say_how_it_ended(vm, status);
	return status;
}

static int run(const struct config *config)
{
	struct console console = { 0 };
	static struct vm vm;

	console.vm = &vm;
	if (vm_create(&vm, config) || load_guest(&vm))
		return STATUS_ERROR;
	console.waits[WAIT_WAKE].fd = vm.wake_fd;
	console.waits[WAIT_SIGNAL].fd = open_signals();
	console.waits[WAIT_TIMER].fd = open_timer(config->timeout);
	for (unsigned int i = 0; i < WAITS; i++)
		console.waits[i].events = POLLIN;
	console.input_open = may_read_input();
	if (console.input_open)
		term_raw();
	if (vm_start(&vm)) {
		term_restore();
		_exit(STATUS_ERROR);	/* some vCPUs may run already */
	}
	wait_for_end(&console);
	return finish(&vm);
}

int main(int argc, char **argv)
{
	struct config config;
	char error[256];

	switch (cli_parse(argc, argv, &config, error, sizeof(error))) {
	case CLI_HELP:
		fputs(cli_help, stdout);
		return 0;
	case CLI_VERSION:
		puts("minivmm " VERSION);
		return 0;
	case CLI_ERROR:
		say("%s", error);
		return STATUS_USAGE;
	case CLI_RUN:
		break;
	}
	verbose = config.verbose;
	return run(&config);
}
