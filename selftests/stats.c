// SPDX-License-Identifier: GPL-2.0
/*
 * KVM_GET_STATS_FD: the file is what its header says, its numbers are those of
 * what the guest did, and it outlives the VM's own fds.
 */
#include <fcntl.h>
#include "lib/test.h"

#define PORT 0x1f0
#define OUTS 7

/* The whole of a statistics file, as read in one go. */
struct stats {
	struct kvm_stats_header header;
	char bytes[16384];
	ssize_t size;			/* of both */
};

static void stats_read(struct stats *stats, int fd)
{
	stats->size = pread(fd, stats, sizeof(stats->header) + sizeof(stats->bytes), 0);
	if (stats->size < (ssize_t)sizeof(stats->header))
		die("no header in the statistics");
}

static struct kvm_stats_desc *stats_desc(struct stats *stats, u32 i)
{
	size_t size = sizeof(struct kvm_stats_desc) + stats->header.name_size;

	return (void *)stats + stats->header.desc_offset + i * size;
}

static s64 stats_value(struct stats *stats, const char *name)
{
	u32 i;

	for (i = 0; i < stats->header.num_desc; i++)
		if (!strcmp(stats_desc(stats, i)->name, name))
			return *(s64 *)((void *)stats + stats->header.data_offset +
					stats_desc(stats, i)->offset);
	die("no statistic %s", name);
}

static s64 fd_stat(int fd, const char *name)
{
	struct stats stats;

	stats_read(&stats, fd);
	return stats_value(&stats, name);
}

/* Of all values: a histogram has several. */
static size_t data_size(struct stats *stats)
{
	size_t n = 0;
	u32 i;

	for (i = 0; i < stats->header.num_desc; i++)
		n += stats_desc(stats, i)->size * sizeof(u64);
	return n;
}

static void check_layout(struct __test_metadata *_metadata, int fd, const char *id)
{
	struct stats stats;
	char text[64];
	u32 i, j;

	stats_read(&stats, fd);
	ASSERT_EQ(stats.header.data_offset + data_size(&stats), stats.size);
	snprintf(text, sizeof(text), id, getpid());
	EXPECT_STREQ(text, (char *)&stats + stats.header.id_offset);
	for (i = 0; i < stats.header.num_desc; i++)
		for (j = 0; j < i; j++) {
			EXPECT_STRNE(stats_desc(&stats, i)->name, stats_desc(&stats, j)->name);
			EXPECT_NE(stats_desc(&stats, i)->offset, stats_desc(&stats, j)->offset);
		}
	EXPECT_EQ(0, pread(fd, text, 1, stats.size));
	EXPECT_EQ(1, pread(fd, text, 8, stats.size - 1));
	EXPECT_EQ(4, read(fd, text, 4));
	EXPECT_EQ(4, read(fd, text, 4));
	EXPECT_EQ(0, memcmp(text, &stats.header.name_size, 4));
	EXPECT_EQ(-1, write(fd, text, 1));
}

TEST(layout)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 5, NULL, 0);

	if (!check_extension(KVM_CAP_BINARY_STATS_FD))
		SKIP(return, "no KVM_CAP_BINARY_STATS_FD");
	check_layout(_metadata, do_ioctl(vm->fd, KVM_GET_STATS_FD, 0), "kvm-%d");
	check_layout(_metadata, do_ioctl(vcpu->fd, KVM_GET_STATS_FD, 0), "kvm-%d/vcpu-5");
}

static __guest void guest_outs(void)
{
	int i;

	for (i = 0; i < OUTS; i++)
		outb(i, PORT);
	GUEST_SYNC(1);
}

TEST(values)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_outs, 0);
	int fd = do_ioctl(vcpu->fd, KVM_GET_STATS_FD, 0);
	s64 before = fd_stat(fd, "io_exits"), exits = fd_stat(fd, "exits"), io;
	int i;

	for (i = 0; i < OUTS; i++)
		vcpu_run_exit(vcpu, KVM_EXIT_IO);
	io = fd_stat(fd, "io_exits") - before;
	EXPECT_EQ(OUTS, io);
	EXPECT_GE(fd_stat(fd, "exits") - exits, OUTS);
	EXPECT_EQ(0, fd_stat(fd, "blocking"));
	EXPECT_EQ(0, fd_stat(fd, "signal_exits"));
	EXPECT_EQ(0, fd_stat(fd, "mmio_exits"));
	EXPECT_GT(vm_stat(vm, "remote_tlb_flush"), -1);
}

TEST(outlives_the_vm)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_outs, 0);
	int fd = do_ioctl(vcpu->fd, KVM_GET_STATS_FD, 0);

	vcpu_run_exit(vcpu, KVM_EXIT_IO);
	vcpu_free(vcpu);
	vm_free(vm);
	EXPECT_EQ(1, fd_stat(fd, "io_exits"));
	close(fd);
}

TEST_HARNESS_MAIN
