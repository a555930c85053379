# shellcheck shell=bash
# The steps of scripts/test-package. Variables of its: stamp, deb, rpm.
# shellcheck disable=SC2154

versions() {
	local stamp next last=0
	for stamp in 0.0.0-dev+abc 1.2.3-rc1 1.2.3-rc1-4-gabc 1.2.3 1.2.3-4-gabc 1.2.3-12-gabc 1.2.4; do
		next=$(scripts/package-version "$stamp")
		check "version $next is valid and follows $last" dpkg --compare-versions "$last" lt-nl "$next"
		last=$next
	done
	refused "no version without a number" scripts/package-version abc
}

lint() {
	check "lintian" lintian --allow-root --fail-on error,warning "$deb"
	check "the sources of units alone are hardened" systemd-analyze security --offline=true --threshold=30 --no-pager "$PWD/etc/systemd/volumed.service"
}

# libraries: whatever the programs are linked with comes from a package in Depends, and is required by the .rpm.
libraries() {
	local program soname path package depends requires
	dpkg-deb -x "$deb" /mnt/deb
	depends=" $(dpkg-deb -f "$deb" Depends | tr -d ',') "
	requires=$(rpm -qp --requires "$rpm")
	says "volumed is linked with librbd" librbd.so linked /mnt/deb/usr/bin/volumed
	for program in volumed volumectl; do
		while read -r soname path; do
			package=$(dpkg-query -S "$path" "/usr$path" 2>/dev/null | sed -n '1s/:.*//p') || true
			[[ $depends == *" $package "* ]] || failed "Depends covers what $program is linked with" "$soname of ${package:-no package} is not in: $depends"
			[[ $requires == *"$soname()"* ]] || failed "the .rpm requires what $program is linked with" "$soname is not in: $requires"
			say "ok: $program finds $soname in $package"
		done < <(linked "/mnt/deb/usr/bin/$program")
	done
}

# linked PROGRAM: name and path of each library that it asks for itself.
linked() {
	local paths
	paths=$(ldd "$1" 2>/dev/null || true)
	readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | while read -r soname; do
		awk -v so="$soname" '$1 == so { print so, $3 }' <<<"$paths"
	done
}

contents() {
	local file
	for file in usr/lib/systemd/system/volumed{,-worker@}.service usr/lib/sysusers.d/volumed.conf usr/lib/tmpfiles.d/volumed.conf \
		usr/share/man/man8/volumed{,-worker,-db-sync,-check-config}.8.gz usr/share/man/man1/volumectl{,-volume-create}.1.gz \
		usr/share/man/man5/volumed.conf.5.gz usr/share/bash-completion/completions/volume{d,ctl} \
		usr/share/zsh/vendor-completions/_volume{d,ctl} usr/share/fish/vendor_completions.d/volume{d,ctl}.fish \
		usr/share/doc/volumed/{changelog,licenses,CHANGELOG.md}.gz usr/share/doc/volumed/{copyright,volumed.conf.sample} etc/logrotate.d/volumed; do
		[ -s "/mnt/deb/$file" ] || failed "the package holds what it should" "$file is missing or empty"
	done
	check "the sample is that of the source" cmp etc/volumed.conf.sample /mnt/deb/usr/share/doc/volumed/volumed.conf.sample
	check "bash takes the completions" bash -n /mnt/deb/usr/share/bash-completion/completions/volume{d,ctl}
	refused "no path of this machine is in the programs" grep -qF "$PWD" /mnt/deb/usr/bin/volumed
	is "conffiles" $'/etc/logrotate.d/volumed\n/etc/volumed/volumed.conf' sh -c "dpkg-deb -I '$deb' conffiles | sort"
}

rpm_package() {
	mkdir /mnt/rpm
	# Its names begin with /, and mean the machine itself if cpio is not told otherwise.
	check "the .rpm can be unpacked" sh -c "cd /mnt/rpm && rpm2cpio '$rpm' | cpio -id --quiet --no-absolute-filenames"
	check "it holds the same volumed" cmp /mnt/rpm/usr/bin/volumed /mnt/deb/usr/bin/volumed
	check "it holds the same volumectl" cmp /mnt/rpm/usr/bin/volumectl /mnt/deb/usr/bin/volumectl
	check "it holds the same units" diff -r /mnt/rpm/usr/lib/systemd /mnt/deb/usr/lib/systemd
	check "it holds the same manual pages" diff -r /mnt/rpm/usr/share/man /mnt/deb/usr/share/man
	says "it lists completions for zsh" /usr/share/zsh/site-functions/_volumectl rpm -qpl "$rpm"
	is "its configuration" $'/etc/logrotate.d/volumed\n/etc/volumed/volumed.conf' rpm -qpc "$rpm"
	says "others cannot read it" "-rw-r----- /etc/volumed/volumed.conf" rpm -qp --qf '[%{FILEMODES:perms} %{FILENAMES}\n]' "$rpm"
	says "it requires systemd" systemd rpm -qp --requires "$rpm"
}

apt() { inside env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends "$@"; }

installs() {
	cp "$deb" /mnt/machine/root/root/volumed.deb
	check "apt-get update in the machine" apt update
	check "install with all it depends on" apt install /root/volumed.deb
	says "the user" "volumed:x:" inside getent passwd volumed
	says "who cannot log in" nologin inside getent passwd volumed
	is "owners and modes" "root volumed 640 /etc/volumed/volumed.conf
root volumed 750 /etc/volumed/volumed.conf.d
volumed volumed 750 /var/lib/volumed
volumed volumed 750 /var/log/volumed" inside stat -c '%U %G %a %n' /etc/volumed/volumed.conf{,.d} /var/{lib,log}/volumed
	check "install of logrotate" apt install logrotate
	check "logrotate takes its configuration" inside logrotate -d /etc/logrotate.d/volumed
	says "volumed tells its version" " $stamp " inside volumed --version
	says "volumectl tells its version" " $stamp" inside volumectl --version
}

units() {
	local unit
	check "systemd-analyze verify" inside systemd-analyze verify --man=no volumed.service volumed-worker@rbd0.service
	for unit in volumed volumed-worker@; do
		check "exposure of $unit at most 3.0" inside systemd-analyze security --no-pager --offline=true --threshold=30 "/usr/lib/systemd/system/$unit.service"
		says "its overall exposure" Overall inside systemd-analyze security --no-pager --offline=true "/usr/lib/systemd/system/$unit.service"
	done
	is "the service is not enabled" disabled inside systemctl is-enabled volumed
	is "and not started" inactive inside systemctl is-active volumed
}

unconfigured() {
	refused "it does not start without a backend" inside systemctl start volumed
	says "it says why" "/etc/volumed/volumed.conf:$(awk '/^enabled_backends/ { print NR }' etc/volumed.conf): [DEFAULT] enabled_backends: no backend is enabled" inside journalctl -u volumed
	is "and does not try again" $'NRestarts=0\nExecMainStatus=78\nActiveState=failed' inside systemctl show -p NRestarts -p ExecMainStatus -p ActiveState volumed
}

# configure: as docs/install.md tells.
configure() {
	local root=/mnt/machine/root
	inside install -d /etc/ceph
	# What clients are often told to write elsewhere is refused to this one, and must not keep it from working.
	printf '[global]\nmon_host = %s\n[client]\nadmin_socket = /run/ceph/volumed.asok\nlog_file = /var/log/ceph/volumed.log\n' "$(awk '$1 == "mon_host" { print $3 }' /mnt/ceph/ceph.conf)" >"$root/etc/ceph/ceph.conf"
	ceph -c /mnt/ceph/ceph.conf auth get client.volumed -o "$root/etc/ceph/ceph.client.volumed.keyring" 2>/dev/null
	inside chgrp volumed /etc/ceph/ceph.client.volumed.keyring
	inside chmod 640 /etc/ceph/ceph.client.volumed.keyring
	inside sed -i -e 's/^enabled_backends =/enabled_backends = rbd0/' -e '/^#\[rbd0\]/,/^$/s/^#//' /etc/volumed/volumed.conf
	echo '# edited here' >>"$root/etc/volumed/volumed.conf"
	printf '[nats]\nlisten = 127.0.0.1:%s\n' "$(free_port 10000 31900 1)" >"$root/etc/volumed/volumed.conf.d/bus.conf"
	is "check-config as the service's user" "1 of 1 backends can start" inside setpriv --reuid volumed --regid volumed --init-groups volumed check-config --strict
}

backend_up() { inside volumectl -o json service list | grep '"state": *"up"'; }

# serves WHAT: a volume is made, seen on the cluster, and deleted.
serves() {
	soon "$1: the backend is up" backend_up
	check "$1: create a volume" inside volumectl volume create --backend rbd0 --size 1 --name passing
	says "$1: it is on the cluster" volume- rbd -c /mnt/ceph/ceph.conf ls volumes
	check "$1: delete it" inside volumectl volume delete passing
}

serve() {
	check "start, until it says that it is ready" inside timeout 120 systemctl start volumed
	serves volumed.service
	check "a volume to keep" inside volumectl volume create --backend rbd0 --size 1 --name kept
	says "systemctl status tells the backends" "1/1 ready" inside systemctl status volumed
}

hardening() {
	local pid pids
	pids=$(inside cat /sys/fs/cgroup/system.slice/volumed.service/cgroup.procs)
	[ "$(wc -w <<<"$pids")" = 3 ] || failed "supervisor, bus and worker run" "$pids"
	for pid in $pids; do
		# shellcheck disable=SC2016 # awk's own
		is "process $pid runs as volumed, without capabilities, filtered" "$(inside id -u volumed) 0000000000000000 1 2" \
			inside awk '/^(Uid|CapBnd|NoNewPrivs|Seccomp):/ { printf "%s%s", sep, $2; sep = " " } END { print "" }' "/proc/$pid/status"
	done
	check "stop" inside systemctl stop volumed
	is "it ended as asked" $'Result=success\nExecMainStatus=0' inside systemctl show -p Result -p ExecMainStatus volumed
}

# worker_unit: beside a bus that is there for the single workers, and goes after them when volumed.service comes.
worker_unit() {
	check "a bus beside" inside systemd-run -q --unit bus -p User=volumed -p Type=notify \
		-p Conflicts=volumed.service -p After=volumed.service -p Before=volumed-worker@rbd0.service volumed bus
	check "start of one worker" inside timeout 120 systemctl start volumed-worker@rbd0
	serves volumed-worker@rbd0.service
	check "start of the whole" inside timeout 120 systemctl start volumed
	is "it has ended the worker's unit" inactive inside systemctl is-active volumed-worker@rbd0
	serves "volumed.service again"
}

# replaced PID: the service is another process now.
# reloads: what systemctl reload makes of a good and of a broken file, and what moves the log.
reloads() {
	local before more=/etc/volumed/volumed.conf.d/more.conf
	before=$(inside systemctl show -p MainPID --value volumed)
	printf '[DEFAULT]\nreport_interval = 2\n' | inside sh -c "cat >$more && chgrp volumed $more && chmod 640 $more"
	check "reload" inside systemctl reload volumed
	printf '[DEFAULT]\nreport_interval = soon\n' | inside sh -c "cat >$more"
	refused "reload of a broken file" inside systemctl reload volumed
	says "it says where it is broken" "$more:2" inside sh -c 'volumed reload 2>&1 || true'
	inside rm "$more"
	check "reload once it is mended" inside systemctl reload volumed
	check "status" inside volumed status
	inside systemctl kill --kill-whom=main -s USR1 volumed
	check "a signal for the log does no harm" inside volumed status
	is "the process" "$before" inside systemctl show -p MainPID --value volumed
}

replaced() { [ "$(inside systemctl show -p MainPID --value volumed)" != "$1" ]; }

# upgrades: to the same programs under a higher version, with a changed sample and a changed default configuration.
upgrades() {
	local before new=9999.0.0
	before=$(inside systemctl show -p MainPID --value volumed)
	dpkg-deb -R "$deb" /mnt/next
	sed -i "s/^Version: .*/Version: $new/" /mnt/next/DEBIAN/control
	echo '; of the next version' >>/mnt/next/usr/share/doc/volumed/volumed.conf.sample
	echo '# of the next version' >>/mnt/next/etc/volumed/volumed.conf
	check "the next version" dpkg-deb -Zgzip -z1 -b /mnt/next /mnt/machine/root/root/next.deb
	check "upgrade, keeping what was edited" apt -o Dpkg::Options::=--force-confold install /root/next.deb
	is "the version" $'volumed\t'"$new" inside dpkg-query -W volumed
	says "the edit has survived" "# edited here" inside cat /etc/volumed/volumed.conf
	says "the new default lies beside it" "of the next version" inside cat /etc/volumed/volumed.conf.dpkg-dist
	is "nobody else can read it yet" "root volumed 640" inside stat -c '%U %G %a' /etc/volumed/volumed.conf
	says "the new sample is there" "of the next version" inside cat /usr/share/doc/volumed/volumed.conf.sample
	soon "the service was replaced" replaced "$before"
	check "and is ready" inside systemctl start volumed
	says "it knows the volume from before" available inside volumectl volume show kept
	serves "the next version"
}

removes() {
	check "remove" apt remove volumed
	is "the service has stopped" inactive inside systemctl is-active volumed
	is "configuration and state are still there" "/etc/volumed/volumed.conf
/etc/volumed/volumed.conf.d/bus.conf
/var/lib/volumed/volumed.sqlite" inside ls /etc/volumed/volumed.conf /etc/volumed/volumed.conf.d/bus.conf /var/lib/volumed/volumed.sqlite
	says "the user is still there" "volumed:x:" inside getent passwd volumed
	check "install again" apt install /root/next.deb
	check "and start with what was there" inside systemctl start volumed
	says "the volume from before" available inside volumectl volume show kept
}

purges() {
	inside systemctl enable -q volumed
	check "purge" apt purge volumed
	refused "nothing of the service is left" inside sh -c 'ls -d /etc/volumed /var/lib/volumed /var/log/volumed /etc/systemd/system/*/volumed.service /usr/bin/volumed 2>/dev/null | grep .'
	says "its images are still on the cluster" volume- rbd -c /mnt/ceph/ceph.conf ls volumes
}
