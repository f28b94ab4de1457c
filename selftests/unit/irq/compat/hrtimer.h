/* SPDX-License-Identifier: GPL-2.0 */
/* ../kernel.h has hrtimer_setup(). */
