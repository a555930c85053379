# shellcheck shell=bash
# What the scripts share: messages on stderr (or say_fd), so that stdout stays free for results.

say_fd=2
say() { printf '%s: %s\n' "${0##*/}" "$*" >&"$say_fd" || true; }
die() { say "$@"; exit 1; }

# owned: for a script that ends when its owner does. Ctrl-C reaches the whole terminal, but the owner decides when this
# ends; and the owner who was killed no longer reads messages, which must not keep the work from being undone.
owned() { trap '' INT PIPE; }

# port_free PORT: nothing on this machine listens on that TCP port.
port_free() {
	local hex
	printf -v hex ':%04X ' "$1"
	! awk -v p="$hex" '$4 == "0A" && index($2 " ", p) { found = 1 } END { exit !found }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# free_port FROM TO STEP: a free port among FROM, FROM+STEP … below TO, chosen at random so that two callers at once rarely meet.
free_port() {
	local slots=$((($2 - $1) / $3)) first try port
	first=$((RANDOM % slots))
	for ((try = 0; try < slots; try++)); do
		port=$(($1 + (first + try) % slots * $3))
		if port_free "$port" && port_free $((port + 1)); then
			echo "$port"
			return
		fi
	done
	die "no free port between $1 and $2"
}
