// SPDX-License-Identifier: GPL-2.0
/*
 * The module's own reads and writes of guest memory: see its header.
 */
#include <linux/uaccess.h>
#include <minikvm/dirty_log.h>
#include <minikvm/guest_memory.h>
#include <minikvm/vcpu.h>

static unsigned int in_page(gpa_t gpa, size_t len)
{
	return min_t(size_t, len, PAGE_SIZE - offset_in_page(gpa));
}

static void __user *user_address(struct memslot *slot, gpa_t gpa)
{
	return (void __user *)(memslot_hva(slot, gpa >> PAGE_SHIFT) + offset_in_page(gpa));
}

/**
 * guest_read() - copy from guest memory
 * @vm:		the VM; its srcu is held
 * @space:	which of its address spaces
 * @gpa:	guest physical address
 * @data:	destination
 * @len:	bytes; pages may be crossed
 *
 * Context: may sleep. Return: 0, or -EFAULT where there is no memory.
 */
int guest_read(struct vm *vm, unsigned int space, gpa_t gpa, void *data, size_t len)
{
	while (len) {
		struct memslot *slot = memslot_find(vm, space, gpa >> PAGE_SHIFT);
		unsigned int n = in_page(gpa, len);

		if (!slot || copy_from_user(data, user_address(slot, gpa), n))
			return -EFAULT;
		gpa += n;
		data += n;
		len -= n;
	}
	return 0;
}

/* Where there is no way to log a write, there shall be none. */
static struct memslot *writable_slot(struct vcpu *vcpu, unsigned int space, gpa_t gpa)
{
	struct memslot *slot = memslot_find(vcpu->vm, space, gpa >> PAGE_SHIFT);

	return slot && !memslot_read_only(slot) && !dirty_ring_full(vcpu) ? slot : NULL;
}

/**
 * guest_write_nofault() - guest_write() where nothing may sleep, and not logged
 * @vm:		the VM; its srcu is held
 * @gpa:	guest physical address, in SPACE_MAIN
 * @data:	source
 * @len:	bytes, within a page
 *
 * The dirty log may have to allocate. So this is for what is written again, by
 * guest_write(), before it matters.
 *
 * Context: any that may take a page-fault trap. Return: 0 or -EFAULT.
 */
int guest_write_nofault(struct vm *vm, gpa_t gpa, const void *data, size_t len)
{
	struct memslot *slot = memslot_find(vm, SPACE_MAIN, gpa >> PAGE_SHIFT);
	unsigned long left;

	if (!slot || memslot_read_only(slot))
		return -EFAULT;
	pagefault_disable();
	left = __copy_to_user_inatomic(user_address(slot, gpa), data, len);
	pagefault_enable();
	return left ? -EFAULT : 0;
}

/**
 * guest_write() - copy to guest memory, and log it
 * @vcpu:	for whom, loaded; vm->srcu is held
 * @space:	as for guest_read()
 * @gpa:	guest physical address
 * @data:	source
 * @len:	bytes; pages may be crossed
 *
 * Context: may sleep. Return: 0, or -EFAULT where there is no memory, it is
 * read-only, or the dirty ring is full; pages before that have been written.
 */
int guest_write(struct vcpu *vcpu, unsigned int space, gpa_t gpa, const void *data, size_t len)
{
	while (len) {
		struct memslot *slot = writable_slot(vcpu, space, gpa);
		unsigned int n = in_page(gpa, len);

		if (!slot || copy_to_user(user_address(slot, gpa), data, n))
			return -EFAULT;
		dirty_log_mark(vcpu, slot, gpa >> PAGE_SHIFT);
		gpa += n;
		data += n;
		len -= n;
	}
	return 0;
}

/**
 * guest_cmpxchg() - replace @old by @new in guest memory, at once
 * @vcpu:	for whom, loaded; vm->srcu is held
 * @space:	as for guest_read()
 * @gpa:	guest physical address, aligned to @len
 * @old:	what must be there; on -EAGAIN, what was
 * @new:	what shall be there
 * @len:	1, 2, 4 or 8 bytes
 *
 * Context: may sleep. Return: 0; -EAGAIN if something else was there; -EFAULT.
 */
int guest_cmpxchg(struct vcpu *vcpu, unsigned int space, gpa_t gpa, void *old, const void *new,
		  unsigned int len)
{
	struct memslot *slot = writable_slot(vcpu, space, gpa);
	int r;

	if (!slot || in_page(gpa, len) != len)
		return -EFAULT;
	r = arch_cmpxchg_user(user_address(slot, gpa), old, new, len);
	if (!r)
		dirty_log_mark(vcpu, slot, gpa >> PAGE_SHIFT);
	return r;
}
