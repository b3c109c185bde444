# Reads the log of `ctest -V`; prints `pass|fail|skip <tab> program: case` for each case, and to standard error
# all that a failing program printed. Lines of program N begin with `N: `.

function add(kind, text) {
	count[id]++
	kinds[id, count[id]] = kind
	texts[id, count[id]] = text
}

# What the case before this line could not do, each reason once.
function take_reasons(whole, text,    i, all) {
	for (i = 1; i <= reasons[id]; i++) {
		if (whole)
			all = all (all == "" ? "" : "; ") reason[id, i]
		else
			add("skip", text ": " reason[id, i])
	}
	reasons[id] = 0
	return all
}

function add_reason(text,    i) {
	for (i = 1; i <= reasons[id]; i++)
		if (reason[id, i] == text)
			return
	reason[id, ++reasons[id]] = text
}

match($0, /^[0-9]+: /) {
	id = substr($0, 1, RLENGTH - 2)
	line = substr($0, RLENGTH + 1)
	output[id] = output[id] line "\n"
	if (line ~ /^(# )?(SKIP|skipped): /) {
		sub(/^(# )?(SKIP|skipped): /, "", line)
		add_reason(line)
	} else if (line ~ /^(not )?ok [0-9]+ .*# SKIP/) {
		sub(/.*# SKIP */, "", line)
		why = take_reasons(1, "")
		add("skip", line ": " (why == "" ? "it does not say why" : why))
	} else if (line ~ /^ok [0-9]/) {
		sub(/^ok [0-9]+ -? */, "", line)
		take_reasons(0, line)
		add("pass", line)
	} else if (line ~ /^not ok/) {
		sub(/^not ok [0-9]+ -? */, "", line)
		take_reasons(0, line)
		add("fail", line)
		bad[id] = 1
	}
	next
}

match($0, /Test +#[0-9]+: /) {
	id = substr($0, RSTART, RLENGTH)
	gsub(/[^0-9]/, "", id)
	name = substr($0, RSTART + RLENGTH)
	sub(/ .*/, "", name)
	good = / Passed /
	left_out = /\*\*\*(Skipped|Not Run \(Disabled\))/
	for (i = 1; i <= count[id]; i++)
		print kinds[id, i] "\t" name ": " texts[id, i]
	if (good || left_out) {
		if (!count[id])
			print (left_out ? "skip" : "pass") "\t" name
		next
	}
	if (!bad[id]) {
		why = $0
		sub(/.*\*\*\*/, "", why)
		print "fail\t" name ": " why
	}
	printf "---- output of %s\n%s----\n", name, output[id] > "/dev/stderr"
}
