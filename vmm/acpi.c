// SPDX-License-Identifier: GPL-2.0
/*
 * ACPI tables (ACPI 6.4; section numbers below are its own). The least that
 * gives a guest its CPUs, its IOAPIC, power-off and reset: RSDP, XSDT, FADT,
 * FACS, DSDT, MADT.
 */
#include "acpi.h"

#include <string.h>

#include "boot.h"

#define PACKED	__attribute__((packed))

struct header {		/* 5.2.6 */
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} PACKED;

struct rsdp {		/* 5.2.5.3 */
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} PACKED;

struct xsdt {		/* 5.2.8 */
	struct header header;
	uint64_t table[2];
} PACKED;

struct address {	/* 5.2.3.2: generic address structure */
	uint8_t space;		/* 1: I/O port */
	uint8_t bits;
	uint8_t offset;
	uint8_t access;		/* 1 byte, 2 word, 3 dword */
	uint64_t address;
} PACKED;

struct fadt {		/* 5.2.9 */
	struct header header;
	uint32_t facs;
	uint32_t dsdt;
	uint8_t reserved0;
	uint8_t profile;
	uint16_t sci;
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control;
	uint32_t pm2_control, pm_timer, gpe0, gpe1;
	uint8_t pm1_event_len, pm1_control_len, pm2_control_len, pm_timer_len;
	uint8_t gpe0_len, gpe1_len, gpe1_base, cst;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct address reset;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	struct address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control;
	struct address x_pm2_control, x_pm_timer, x_gpe0, x_gpe1;
	struct address sleep_control, sleep_status;
	uint64_t hypervisor_vendor;
} PACKED;

_Static_assert(sizeof(struct fadt) == 276, "FADT, revision 6");

#define FADT_LEGACY_DEVICES	(1 << 0)	/* boot_arch: the serial port */
#define FADT_NO_VGA		(1 << 2)
#define FADT_WBINVD		(1 << 0)	/* flags */
#define FADT_C1			(1 << 2)
#define FADT_NO_POWER_BUTTON	(1 << 4)
#define FADT_NO_SLEEP_BUTTON	(1 << 5)
#define FADT_TIMER_32BIT	(1 << 8)
#define FADT_RESET		(1 << 10)

struct facs {		/* 5.2.10 */
	char signature[4];
	uint32_t length;
	uint32_t hardware_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} PACKED;

struct madt {		/* 5.2.12 */
	struct header header;
	uint32_t lapic;
	uint32_t flags;		/* 1: there is an 8259 as well */
} PACKED;

struct madt_lapic {	/* 5.2.12.2 */
	uint8_t type, length, processor, apic_id;
	uint32_t flags;		/* 1: enabled */
} PACKED;

struct madt_ioapic {	/* 5.2.12.3 */
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} PACKED;

struct madt_override {	/* 5.2.12.5 */
	uint8_t type, length, bus, irq;
	uint32_t gsi;
	uint16_t flags;
} PACKED;

struct madt_lapic_nmi {	/* 5.2.12.7 */
	uint8_t type, length, processor;
	uint16_t flags;
	uint8_t lint;
} PACKED;

#define ACTIVE_HIGH_LEVEL	0x0d

/*
 * Name (_S5, Package () { 5, 5, 0, 0 }): all the AML there is. Without it the
 * guest believes that it cannot be powered off (7.4.2).
 */
static const uint8_t dsdt_aml[] = {
	0x08, '_', 'S', '5', '_', 0x12, 0x08, 0x04,
	0x0a, ACPI_S5, 0x0a, ACPI_S5, 0x00, 0x00,
};

/* Tables go one behind another; next is where the next one goes. */
struct writer {
	const struct ram *ram;
	uint64_t next;
};

uint8_t acpi_sum(const void *table, size_t len)
{
	const uint8_t *byte = table;
	uint8_t sum = 0;

	while (len--)
		sum += *byte++;
	return sum;
}

/* Room for @len bytes, 64-byte aligned as the FACS must be. */
static void *reserve(struct writer *writer, size_t len, uint64_t *gpa)
{
	*gpa = writer->next;
	writer->next += (len + 63) & ~63ULL;
	return ram_at(writer->ram, *gpa, len);
}

/* The last step of each table: its header, and over all of it the sum. */
static void seal(struct header *header, const char *signature, uint8_t revision, size_t len)
{
	memcpy(header->signature, signature, 4);
	header->length = len;
	header->revision = revision;
	memcpy(header->oem_id, "MINIKV", 6);
	memcpy(header->oem_table_id, "MINIVMM ", 8);
	header->oem_revision = 1;
	memcpy(header->creator_id, "MINI", 4);
	header->creator_revision = 1;
	header->checksum = 0;
	header->checksum = -acpi_sum(header, len);
}

static uint64_t build_dsdt(struct writer *writer)
{
	size_t len = sizeof(struct header) + sizeof(dsdt_aml);
	struct header *dsdt;
	uint64_t gpa;

	dsdt = reserve(writer, len, &gpa);
	memcpy(dsdt + 1, dsdt_aml, sizeof(dsdt_aml));
	seal(dsdt, "DSDT", 2, len);
	return gpa;
}

static uint64_t build_facs(struct writer *writer)
{
	struct facs *facs;
	uint64_t gpa;

	facs = reserve(writer, sizeof(*facs), &gpa);
	memcpy(facs->signature, "FACS", 4);
	facs->length = sizeof(*facs);
	facs->version = 2;
	return gpa;
}

static struct address port(uint16_t number, uint8_t bytes)
{
	return (struct address){
		.space = 1,
		.bits = bytes * 8,
		.access = bytes == 4 ? 3 : bytes,
		.address = number,
	};
}

static uint64_t build_fadt(struct writer *writer)
{
	struct fadt *fadt;
	uint64_t gpa;

	fadt = reserve(writer, sizeof(*fadt), &gpa);
	fadt->x_facs = build_facs(writer);
	fadt->x_dsdt = build_dsdt(writer);
	fadt->facs = fadt->x_facs;
	fadt->dsdt = fadt->x_dsdt;
	fadt->sci = ACPI_SCI;
	/* smi_command 0: the machine is in ACPI mode from the start (5.2.9) */
	fadt->pm1a_event = ACPI_PM1_EVENT;
	fadt->pm1_event_len = 4;
	fadt->x_pm1a_event = port(ACPI_PM1_EVENT, 4);
	fadt->x_pm1a_event.access = 2;
	fadt->pm1a_control = ACPI_PM1_CONTROL;
	fadt->pm1_control_len = 2;
	fadt->x_pm1a_control = port(ACPI_PM1_CONTROL, 2);
	fadt->pm_timer = ACPI_PM_TIMER;
	fadt->pm_timer_len = 4;
	fadt->x_pm_timer = port(ACPI_PM_TIMER, 4);
	fadt->c2_latency = 0xffff;	/* no C2, no C3 */
	fadt->c3_latency = 0xffff;
	fadt->century = 0x32;
	fadt->boot_arch = FADT_LEGACY_DEVICES | FADT_NO_VGA;
	fadt->flags = FADT_WBINVD | FADT_C1 | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON |
		      FADT_TIMER_32BIT | FADT_RESET;
	fadt->reset = port(ACPI_RESET_PORT, 1);
	fadt->reset_value = ACPI_RESET_VALUE;
	memcpy(&fadt->hypervisor_vendor, "MINIKVM", 8);
	seal(&fadt->header, "FACP", 6, sizeof(*fadt));
	return gpa;
}

static uint64_t build_madt(struct writer *writer, unsigned int cpus)
{
	size_t len = sizeof(struct madt) + cpus * sizeof(struct madt_lapic) +
		     sizeof(struct madt_ioapic) + sizeof(struct madt_override) +
		     sizeof(struct madt_lapic_nmi);
	struct madt_lapic_nmi *nmi;
	struct madt_override *sci;
	struct madt_ioapic *ioapic;
	struct madt_lapic *lapic;
	struct madt *madt;
	uint64_t gpa;

	madt = reserve(writer, len, &gpa);
	madt->lapic = LAPIC_GPA;
	madt->flags = 1;
	lapic = (void *)(madt + 1);
	for (unsigned int i = 0; i < cpus; i++)
		*lapic++ = (struct madt_lapic){ 0, sizeof(*lapic), i, i, 1 };
	ioapic = (void *)lapic;
	*ioapic = (struct madt_ioapic){ 1, sizeof(*ioapic), cpus, 0, IOAPIC_GPA, 0 };
	sci = (void *)(ioapic + 1);
	*sci = (struct madt_override){ 2, sizeof(*sci), 0, ACPI_SCI, ACPI_SCI,
				       ACTIVE_HIGH_LEVEL };
	nmi = (void *)(sci + 1);
	*nmi = (struct madt_lapic_nmi){ 4, sizeof(*nmi), 0xff, 0, 1 };
	seal(&madt->header, "APIC", 5, len);
	return gpa;
}

void acpi_build(const struct ram *ram, unsigned int cpus)
{
	struct writer writer = { ram, BIOS_START };
	struct rsdp *rsdp;
	struct xsdt *xsdt;
	uint64_t gpa;

	/* First, so that it lies where the guest looks: 16-byte aligned (5.2.5.1). */
	rsdp = reserve(&writer, sizeof(*rsdp), &gpa);
	xsdt = reserve(&writer, sizeof(*xsdt), &gpa);
	rsdp->xsdt = gpa;
	xsdt->table[0] = build_fadt(&writer);
	xsdt->table[1] = build_madt(&writer, cpus);
	seal(&xsdt->header, "XSDT", 1, sizeof(*xsdt));

	memcpy(rsdp->signature, "RSD PTR ", 8);
	memcpy(rsdp->oem_id, "MINIKV", 6);
	rsdp->revision = 2;
	rsdp->length = sizeof(*rsdp);
	rsdp->checksum = -acpi_sum(rsdp, 20);
	rsdp->extended_checksum = -acpi_sum(rsdp, sizeof(*rsdp));
}
