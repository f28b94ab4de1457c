// SPDX-License-Identifier: GPL-2.0
/*
 * The L1TF warning (src/x86/vmx/l1tf.h) over all of its inputs.
 */
#include "unit.h"
#include "x86/vmx/l1tf.h"

/* The one door that is open: affected, flushed but no more, a sibling online. */
static const struct {
	enum l1tf_choice choice;
	const char *name;
	bool smt_is_left;
} choices[] = {
	{ L1TF_CHOICE_OFF,		"off",			false },
	{ L1TF_CHOICE_FLUSH_NOWARN,	"flush,nowarn",		false },
	{ L1TF_CHOICE_FLUSH,		"flush or full",	true },
	{ L1TF_CHOICE_FULL_FORCE,	"full,force",		false },
};

int main(int argc, char **argv)
{
	unsigned int i, affected, siblings;
	char name[96];

	unit_options(argc, argv, 1);
	for (i = 0; i < sizeof(choices) / sizeof(choices[0]); i++)
		for (affected = 0; affected < 2; affected++)
			for (siblings = 0; siblings < 2; siblings++) {
				bool warn = affected && siblings && choices[i].smt_is_left;

				snprintf(name, sizeof(name), "l1tf=%s, affected %u, siblings online %u",
					 choices[i].name, affected, siblings);
				unit_result(l1tf_smt_warning(affected, choices[i].choice, siblings) == warn,
					    name);
			}
	return unit_done();
}
