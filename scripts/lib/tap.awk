# SPDX-License-Identifier: GPL-2.0
# Many tests' TAP in, one TAP out, and the count. In:
#	@expect NAME	NAME shall run: if it doesn't, that is a failure
#	@test NAME	what follows is NAME's output: its TAP, or anything
#	@exit STATUS [SECONDS]	end of it; 0 passed, 4 skipped, else failed; how long it took
#	@skip NAME WHY	NAME can't run here
#	@fail NAME WHY	something other than a test went wrong
# A test that printed no TAP is one line by its exit status. With -v verbose=1 all it
# printed is shown, else only what stands before a line that failed.

function result(ok, name, directive)
{
	count++
	if (directive != "")
		skipped++
	else if (ok)
		passed++
	else
		failed++
	if (!ok && directive == "") {
		printf "%s", held
		held = ""
	}
	printf "%s %d - %s%s\n", ok ? "ok" : "not ok", count, name, directive
	fflush()
}

function why(status)
{
	if (status == 137 || status == 143)
		return "killed: out of time, or of memory"
	if (status > 128)
		return "ended by signal " status - 128
	return "exit status " status
}

BEGIN { print "TAP version 14" }

{ sub(/\r$/, "") }

/^@expect / { expected[++wanted] = $2; next }

/^@test / {
	test = $2
	seen[test] = 1
	held = ""
	subject = ""
	lines = plan = bad = 0
	next
}

/^@skip / {
	seen[$2] = 1
	name = $2
	held = ""
	sub(/^@skip [^ ]* */, "")
	result(1, name, " # SKIP " $0)
	next
}

/^@fail / {
	seen[$2] = 1
	name = $2
	held = ""
	sub(/^@fail [^ ]* */, "")
	result(0, name ": " $0)
	next
}

/^@exit / {
	status = $2
	if (verbose && $3 != "")
		print "# " test " took " $3 " s"
	if (!lines && !plan)
		result(status == 0 || status == 4, test (status == 0 || status == 4 ? "" : ": " why(status)),
		       status == 4 ? " # SKIP it says so" : "")
	else if (lines < plan)
		result(0, test ": only " lines " of " plan " done (" why(status) ")")
	else if (status != 0 && status != 4 && !bad)
		result(0, test ": " why(status))
	test = ""
	next
}

/^@done/ { next }

test == "" { print "# " $0; fflush(); next }

/^1\.\.[0-9]+/ {
	split($0, part, "[.]+")
	plan += part[2]
	next
}

/^(not )?ok / {
	ok = !/^not/
	lines++
	directive = ""
	if (match($0, /# *SKIP.*/)) {
		directive = " " substr($0, RSTART)
		$0 = substr($0, 1, RSTART - 1)
		sub(/# *SKIP */, "# SKIP ", directive)
	}
	sub(/^(not )?ok *[0-9]* *(- )?/, "")
	sub(/ *$/, "")
	if ($0 == "")
		$0 = subject
	sub(/^global\./, "")
	if (!ok && directive == "")
		bad++
	result(ok, test ": " $0, directive)
	next
}

# The harness leaves the name out of a result that is a skip.
/^# +RUN / {
	subject = $3
	held = ""
}

/^TAP version/ || /^$/ { next }

{
	line = $0
	sub(/^# ?/, "", line)
	if (verbose)
		print "# " line
	else
		held = held "# " line "\n"
}

END {
	held = ""
	for (i = 1; i <= wanted; i++)
		if (!(expected[i] in seen))
			result(0, expected[i] ": did not run")
	printf "1..%d\n", count
	printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
	exit failed > 0 || count == 0
}
