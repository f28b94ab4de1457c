# SPDX-License-Identifier: GPL-2.0
# awk -f differ.awk MINIKVM STOCK: of each episode the first line that is not the same, with
# the words that make the difference; what follows in the episode may follow from it.
# Words are separated by spaces; a part "| name" has words "offset:value".

# words(LINE, OUT, ORDER): OUT[part place] = word, ORDER[i] = the i-th key; how many
function words(line, out, order,  n, i, w, part, place, times)
{
	n = split(line, w, " ")
	for (i = 1; i <= n; i++) {
		if (w[i - 1] == "|") {
			part = "| " w[i] "#" ++times[w[i]] " "
			place = 0
		}
		if (w[i] ~ /^[0-9a-f]+:[0-9a-f]+$/)
			order[i] = part substr(w[i], 1, index(w[i], ":"))
		else
			order[i] = part "word " ++place
		out[order[i]] = w[i]
	}
	return n
}

function show(mine, other,  a, b, order, rest, i, n, head, shown)
{
	n = words(mine, a, order)
	m = words(other, b, rest)
	for (i = 1; i <= m; i++)
		if (!(rest[i] in a))
			order[++n] = rest[i]
	head = mine
	sub(/ \|.*/, "", head)
	print "# " head
	for (i = 1; i <= n; i++) {
		if (((order[i] in a) ? a[order[i]] : "-") == ((order[i] in b) ? b[order[i]] : "-"))
			continue
		print "#    " order[i] " minikvm " (order[i] in a ? a[order[i]] : "-") ", KVM " \
			(order[i] in b ? b[order[i]] : "-")
		if (++shown == 10)
			break
	}
}

FNR == NR { line[$1] = $0; order[++n] = $1; next }

{
	split($1, id, ".")
	steps++
	kinds[$2] = 1
	if (!($1 in line)) {
		if (!(id[1] in bad))
			print "# only KVM: " $0
		bad[id[1]] = 1
	} else if (line[$1] != $0 && !(id[1] in bad)) {
		bad[id[1]] = 1
		differ++
		show(line[$1], $0)
	}
	seen[$1] = 1
}

END {
	for (i = 1; i <= n; i++) {
		split(order[i], id, ".")
		if (!(order[i] in seen) && !(id[1] in bad)) {
			bad[id[1]] = 1
			print "# only minikvm: " line[order[i]]
		}
	}
	for (i in bad)
		episodes++
	for (i in kinds)
		nkinds++
	print steps + 0 " steps of " nkinds + 0 " kinds, " episodes + 0 " episodes differ"
	exit episodes > 0 || !steps
}
