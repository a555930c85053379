# shellcheck shell=bash
# Checks that say what they are about, one line each; the first that does not hold ends the script. To be sourced.

# check WHAT COMMAND…: the command succeeds; otherwise the test ends with what it said.
check() {
	local what=$1 out
	shift
	if ! out=$("$@" 2>&1); then failed "$what" "$out"; fi
	say "ok: $what"
}

# refused WHAT COMMAND…: the command fails.
refused() {
	local what=$1 out
	shift
	if out=$("$@" 2>&1); then failed "$what" "$out"; fi
	say "ok: $what"
}

# says WHAT TEXT COMMAND…: the text is in what the command prints, however it ends.
says() {
	local what=$1 text=$2 out
	shift 2
	out=$("$@" 2>&1) || true
	[[ $out == *"$text"* ]] || failed "$what" "expected: $text"$'\n'"$*: $out"
	say "ok: $what"
}

# is WHAT VALUE COMMAND…: the command prints exactly that.
is() {
	local what=$1 value=$2 out
	shift 2
	out=$("$@" 2>&1) || true
	[ "$out" = "$value" ] || failed "$what" "expected: $value"$'\n'"$*: $out"
	say "ok: $what"
}

# soon WHAT COMMAND…: the command succeeds within a minute.
soon() {
	local what=$1 deadline=$((SECONDS + 60)) out
	shift
	until out=$("$@" 2>&1); do
		[ "$SECONDS" -lt "$deadline" ] || failed "$what, within a minute" "$out"
		sleep 0.2
	done
	say "ok: $what"
}

failed() {
	say "FAILED: $1"
	printf '%s\n' "$2" >&2
	if [ -n "${machine-}" ]; then inside journalctl --no-pager -q -n 30 -u 'volumed*' >&2 || true; fi
	exit 1
}
