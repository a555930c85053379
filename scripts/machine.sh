# shellcheck shell=bash
# A Debian of this machine's release, booted in namespaces, for scripts/test-package: real systemd, real dpkg, the network
# of the host. To be sourced. Whoever boots it has mount and PID namespaces of his own, so all of it ends with him.
#
#   machine_base DIR              debootstrap into DIR, once
#   machine_boot DIR WORK CGROUP  boots a copy of it; what it changes is in memory, under WORK
#   inside COMMAND…               runs a command there as root

# debian_sources: this machine's own sources of Debian, in the form of sources.list.
debian_sources() {
	# shellcheck disable=SC2016 # apt's own names
	apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
		awk '$4 == "Debian" || $4 == "Ubuntu" { print "deb", $1, $2, $3 }' | sort -u
}

suite() { (. /etc/os-release && echo "$VERSION_CODENAME"); }

# The release is that of the host: the programs are linked with its libraries.
machine_base() {
	local mirror suite
	[ ! -d "$1" ] || return 0
	suite=$(suite)
	mirror=$(debian_sources | awk -v suite="$suite" '$3 == suite && $4 == "main" { print $2; exit }')
	[ -n "$mirror" ] || die "apt has no source of $suite main: see /etc/apt"
	say "debootstrap of $suite, once; it takes minutes"
	rm -rf "$1.part"
	mkdir -p "$1.part"
	debootstrap --variant=minbase --include=systemd,ca-certificates "$suite" "$1.part" "$mirror" >"$1.log" 2>&1 ||
		die "debootstrap failed; its last words: $(tail -n 3 "$1.log")"
	rm -rf "$1.part"/var/cache/apt/archives/*.deb
	mv "$1.part" "$1"
}

# machine_files ROOT: what the machine takes over from the host to get at packages.
machine_files() {
	cp -L /etc/resolv.conf "$1/etc/resolv.conf"
	debian_sources >"$1/etc/apt/sources.list"
	apt-config dump --no-empty --format '%f "%v";%n' Acquire >"$1/etc/apt/apt.conf.d/90host"
}

# machine_mounts ROOT ARCHIVES: the file systems that systemd expects, and downloaded packages, which are kept.
machine_mounts() {
	local root=$1 name
	mount --bind "$root" "$root"
	mount --bind "$2" "$root/var/cache/apt/archives"
	mount -t proc proc "$root/proc"
	mount -t sysfs sysfs "$root/sys"
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
	mount -t tmpfs tmpfs "$root/run"
	mount -t tmpfs tmpfs "$root/dev"
	for name in null zero full random urandom tty; do
		: >"$root/dev/$name"
		mount --bind "/dev/$name" "$root/dev/$name"
	done
	mkdir "$root/dev/pts" "$root/dev/shm"
	mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
	ln -s pts/ptmx "$root/dev/ptmx"
	ln -s /proc/self/fd "$root/dev/fd"
}

# machine_init ROOT ARCHIVES: becomes systemd, as the first process of a PID namespace.
machine_init() {
	machine_mounts "$1" "$2"
	cd "$1" || exit
	pivot_root . .
	umount -l .
	exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_PROC_CMDLINE=systemd.unified_cgroup_hierarchy=1 \
		/lib/systemd/systemd --show-status=0 </dev/null
}

machine_boot() {
	local base=$1 work=$2 cgroup=$3 archives=${1%/*}/archives starter try
	mkdir -p "$archives/partial" "$work"/{upper,lower,root}
	mount -t overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/lower" overlay "$work/root"
	machine_files "$work/root"
	export -f machine_init machine_mounts
	(
		echo "$BASHPID" >"$cgroup/cgroup.procs"
		exec unshare --mount --pid --fork --cgroup --uts --ipc --kill-child \
			bash -euc 'machine_init "$@"' machine "$work/root" "$archives"
	) >"$work/console" 2>&1 &
	starter=$!
	for ((try = 0; try < 300; try++)); do
		machine=$(pgrep -P "$starter" | head -n 1) || true
		[ -z "$machine" ] || [ ! -S "/proc/$machine/root/run/systemd/private" ] || return 0
		kill -0 "$starter" 2>/dev/null || break
		sleep 0.1
	done
	die "the machine did not boot; its last words: $(tail -n 5 "$work/console")"
}

inside() { nsenter -t "${machine:?}" --mount --pid --uts --ipc --cgroup --root --wd -- "$@"; }
