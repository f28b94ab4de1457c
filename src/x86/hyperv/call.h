/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One hypercall on its way, for the files that make up the calls: hypercall.c (form, rights,
 * result), vp_calls.c (flushes and IPIs).
 */
#ifndef MINIKVM_X86_HYPERV_CALL_H
#define MINIKVM_X86_HYPERV_CALL_H

#include "x86/hyperv/state.h"

#define HV_XMM_HALVES	(2 * HV_HYPERCALL_MAX_XMM_REGISTERS)

struct hv_call {
	u64 control;			/* the input value, TLFS "Hypercall Inputs" */
	u64 in, out;			/* where the parameters are; fast: the parameters */
	u64 xmm[HV_XMM_HALVES];		/* and what comes behind them */
	u16 code;
	u16 banks;			/* 64-bit words of the variable-sized header */
	u16 reps, first_rep;
	bool fast;
};

/* hypercall.c */
u16 hv_read_input(struct hv_vcpu *hv, const struct hv_call *call, unsigned int offset,
		  void *data, unsigned int len);

/* vp_calls.c: HV_STATUS_*, and the elements that are done */
u64 hv_call_flush_vas(struct hv_vcpu *hv, struct hv_call *call);
u64 hv_call_flush_vas_ex(struct hv_vcpu *hv, struct hv_call *call);
u64 hv_call_send_ipi(struct hv_vcpu *hv, struct hv_call *call);
u64 hv_call_send_ipi_ex(struct hv_vcpu *hv, struct hv_call *call);

#endif
