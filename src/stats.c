// SPDX-License-Identifier: GPL-2.0
/*
 * KVM_GET_STATS_FD: the file, laid out as Documentation/virt/kvm/api.rst,
 * 4.133, has it. Which counters there are is the architecture's to say.
 *
 *	header | id | descriptor, name | descriptor, name | ... | values
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <minikvm/stats.h>
#include <minikvm/vm.h>

/* Of the id and of each name, with the NUL. */
#define NAME_SIZE	48

struct stats_file {
	struct vm *vm;			/* held, so that @base stays */
	const struct stat_table *table;
	const void *base;
	char id[NAME_SIZE];
};

/* In the kernel, newer headers give the name a size; in user space it has none. */
#define DESC_SIZE	(offsetof(struct kvm_stats_desc, name) + NAME_SIZE)

static struct kvm_stats_header make_header(unsigned int n)
{
	struct kvm_stats_header header = {
		.name_size	= NAME_SIZE,
		.num_desc	= n,
		.id_offset	= sizeof(header),
		.desc_offset	= sizeof(header) + NAME_SIZE,
		.data_offset	= sizeof(header) + NAME_SIZE + n * DESC_SIZE,
	};

	return header;
}

static void describe(struct kvm_stats_desc *desc, const struct stat_row *row, unsigned int i)
{
	desc->flags = row->flags;
	desc->exponent = row->exponent;
	desc->size = 1;
	desc->offset = i * sizeof(u64);
	strscpy(desc->name, row->name, NAME_SIZE);
}

/* The whole file as it is now; @image is zeroed. */
static void fill(void *image, const struct kvm_stats_header *header, const struct stats_file *stats)
{
	void *descs = image + header->desc_offset;
	u64 *values = image + header->data_offset;
	const struct stat_row *row;
	unsigned int i;

	memcpy(image, header, sizeof(*header));
	memcpy(image + header->id_offset, stats->id, NAME_SIZE);
	for (i = 0; i < header->num_desc; i++) {
		row = &stats->table->rows[i];
		describe(descs + i * DESC_SIZE, row, i);
		values[i] = READ_ONCE(*(const u64 *)(stats->base + row->offset));
	}
}

static ssize_t stats_read(struct file *file, char __user *buf, size_t n, loff_t *pos)
{
	const struct stats_file *stats = file->private_data;
	struct kvm_stats_header header = make_header(stats->table->n);
	size_t size = header.data_offset + header.num_desc * sizeof(u64);
	void *image = kzalloc(size, GFP_KERNEL_ACCOUNT);
	ssize_t r;

	if (!image)
		return -ENOMEM;
	fill(image, &header, stats);
	r = simple_read_from_buffer(buf, n, pos, image, size);
	kfree(image);
	return r;
}

static int stats_release(struct inode *inode, struct file *file)
{
	struct stats_file *stats = file->private_data;

	vm_put(stats->vm);
	kfree(stats);
	return 0;
}

static const struct file_operations stats_fops = {
	.owner		= THIS_MODULE,
	.read		= stats_read,
	.release	= stats_release,
	.llseek		= noop_llseek,
};

static int install(struct stats_file *stats, const char *name)
{
	int fd = get_unused_fd_flags(O_CLOEXEC);
	struct file *file;

	if (fd < 0)
		return fd;
	file = anon_inode_getfile(name, &stats_fops, stats, O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	/* An anonymous file does not do pread() by itself. */
	file->f_mode |= FMODE_PREAD;
	vm_get(stats->vm);
	fd_install(fd, file);
	return fd;
}

/**
 * stats_fd() - KVM_GET_STATS_FD
 * @vm:		the VM, which the file holds
 * @table:	what there is
 * @base:	where the table's offsets begin; lives as long as the VM
 * @vcpu_id:	whose statistics they are; below 0: the VM's
 *
 * Context: may sleep. Return: a new fd, or an errno.
 */
int stats_fd(struct vm *vm, const struct stat_table *table, const void *base, int vcpu_id)
{
	struct stats_file *stats = kzalloc(sizeof(*stats), GFP_KERNEL_ACCOUNT);
	int pid = task_tgid_nr(current);
	char name[sizeof("kvm-vcpu-stats:") + 10] = "kvm-vm-stats";
	int fd;

	if (!stats)
		return -ENOMEM;
	stats->vm = vm;
	stats->table = table;
	stats->base = base;
	if (vcpu_id < 0) {
		snprintf(stats->id, NAME_SIZE, "kvm-%d", pid);
	} else {
		snprintf(stats->id, NAME_SIZE, "kvm-%d/vcpu-%d", pid, vcpu_id);
		snprintf(name, sizeof(name), "kvm-vcpu-stats:%d", vcpu_id);
	}
	fd = install(stats, name);
	if (fd < 0)
		kfree(stats);
	return fd;
}
