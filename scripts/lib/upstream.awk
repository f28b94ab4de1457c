# SPDX-License-Identifier: GPL-2.0
# Judges the kernel's own KVM selftests by a table of selftests/upstream/ (see the README
# there): what run-upstream prints comes in, what tap.awk reads goes out. Also in:
#	@hang NAME	the host ended, or had to be ended, while NAME ran
# Variables: table, its file; column, which result is expected (3: minikvm, 4: stock);
# host, for the names.

function rank(result)
{
	return index("hang timeout fail skip pass", result)
}

function result_of(status)
{
	if (status == 0)
		return "pass"
	if (status == 4)
		return "skip"
	return status == 137 ? "timeout" : "fail"
}

# The programs say why they skip in one line or another, near the end.
function last_line(text,    n, line)
{
	n = split(text, line, "\n")
	while (n > 0 && line[n] ~ /^ *$/)
		n--
	sub(/^1\.\.0 # SKIP (- )?/, "", line[n])
	return line[n]
}

function judge(result, status,    full, want)
{
	full = host "/upstream/" test
	want = expected[test]
	if (rank(result) < rank(want)) {
		print "@test " full
		printf "%s", output
		if (result == "skip")
			print "@exit 4\n@fail " full " is skipped, but should " want
		else
			print "@exit " (status ? status : 1)
	} else {
		if (result == "pass")
			print "@test " full "\n" output "@exit 0"
		else if (result == "skip")
			print "@skip " full " " (why[test] && column == 3 ? why[test] : last_line(output))
		else
			print "@skip " full " not judged: " result ", as expected" (why[test] ? ": " why[test] : "")
		if (result != want)
			print full ": " result ", better than the table's " want
	}
	test = ""
	fflush()
}

BEGIN {
	while ((getline line < table) > 0) {
		if (line ~ /^#/ || split(line, field) < 4)
			continue
		expected[field[1]] = field[column]
		for (i = 1; i <= 4; i++)
			sub(/^[^ \t]+[ \t]*/, "", line)
		why[field[1]] = line
	}
}

{ sub(/\r$/, "") }

/^@test / { test = $2; output = ""; next }
/^@exit / { judge(result_of($2), $2); next }
/^@hang / { test = $2; judge("hang", 255); next }
/^@done/ { next }
test != "" { output = output ($0 ~ /^@|^(not )?ok / ? " " : "") $0 "\n"; next }
{ print }
