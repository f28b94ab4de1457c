# SPDX-License-Identifier: GPL-2.0
# The tables of docs/abi.md (and what the compiler says of <linux/kvm.h>, -dM) as X-macros
# for abi.c: CAP(name, minikvm, kvm), IOCTL(name, minikvm, kvm), HEADER("name").
BEGIN { FS = " *\\| *" }

function fds(list,  out)
{
	gsub(/, */, "|FD_", list)
	return list == "no" ? "0" : "FD_" list
}

function other_architecture(note)
{
	return note ~ /^(s390|powerpc|arm64|mips|other architectures)/
}

/^\| KVM_/ {
	print "ROW(\"" $2 "\")"
	# A name that this header does not have, or whose struct it does not define.
	if (other_architecture($5) && $2 !~ /^KVM_CAP_/)
		next
	print "#ifdef " $2
	if ($2 ~ /^KVM_CAP_/)
		printf "CAP(%s, CAP_%s, CAP_%s)\n", $2, $3, $4
	else
		printf "IOCTL(%s, %s, %s)\n", $2, fds($3), fds($4)
	print "#endif"
}

/^#define KVM_CAP_[A-Z0-9_]+ [0-9]+$/ || /^#define KVM_[A-Z0-9_]+ (_IO|__KVM_DEPRECATED)/ {
	split($0, word, " ")
	print "HEADER(\"" word[2] "\")"
}
