// SPDX-License-Identifier: GPL-2.0
/*
 * The L1TF warnings (src/x86/vmx/l1tf.h) over all of their inputs.
 */
#include "unit.h"
#include "x86/vmx/l1tf.h"

/* The one door that is open: affected, flushed but no more, a sibling online. */
static const struct {
	enum l1tf_choice choice;
	const char *name;
	bool smt_is_left, silent;
} choices[] = {
	{ L1TF_CHOICE_OFF,		"off",			false, true },
	{ L1TF_CHOICE_FLUSH_NOWARN,	"flush,nowarn",		false, true },
	{ L1TF_CHOICE_FLUSH,		"flush or full",	true, false },
	{ L1TF_CHOICE_FULL_FORCE,	"full,force",		false, false },
};

static void smt(unsigned int i, bool affected, bool siblings)
{
	bool warn = affected && siblings && choices[i].smt_is_left;
	char name[96];

	snprintf(name, sizeof(name), "l1tf=%s, affected %u, siblings online %u", choices[i].name,
		 affected, siblings);
	unit_result(l1tf_smt_warning(affected, choices[i].choice, siblings) == warn, name);
}

static void flush(unsigned int i, bool ours, bool can_flush)
{
	bool warn = ours && !can_flush && !choices[i].silent;
	char name[96];

	snprintf(name, sizeof(name), "l1tf=%s, flush is ours %u, the CPU has one %u",
		 choices[i].name, ours, can_flush);
	unit_result(l1tf_flush_warning(ours, choices[i].choice, can_flush) == warn, name);
}

int main(int argc, char **argv)
{
	unsigned int i, a, b;

	unit_options(argc, argv, 1);
	for (i = 0; i < sizeof(choices) / sizeof(choices[0]); i++)
		for (a = 0; a < 2; a++)
			for (b = 0; b < 2; b++) {
				smt(i, a, b);
				flush(i, a, b);
			}
	return unit_done();
}
