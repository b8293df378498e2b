#!/bin/sh
# Makes DIR with what virtual machines need, and touches nothing else: a QEMU
# that has the vhost-user front end for any device (10.2 or newer, from Debian
# trixie-backports), virtiofsd to measure beside, busybox, Debian's kernels of
# bookworm and trixie, and Xen 4.17 with a tree of its tools for domain 0. Each
# kind of machine has its modules, and the order to load them in. Nothing is
# downloaded if DIR has what this script makes.
set -eu
PATH=$PATH:/usr/sbin:/sbin
dir=$1
sum=$(cksum <"$0")
[ "$(cat "$dir/complete" 2>/dev/null)" != "$sum" ] || exit 0
for tool in mmdebstrap modprobe xz; do
	command -v "$tool" >/dev/null || { echo "missing: $tool; as root on Debian: apt-get install mmdebstrap kmod xz-utils" >&2; exit 1; }
done
mirror=$(apt-get indextargets --format '$(REPO_URI)' | head -1)
rm -rf "$dir"
mkdir -p "$dir"

# tree unpacks packages and what they depend on. What a mirror refuses at first
# it may have at the second try.
tree() { # DIR PACKAGES ARGUMENT...
	to=$1 packages=$2
	shift 2
	for try in 1 2 3; do
		rm -rf "$to"
		if mmdebstrap --quiet --variant=extract --aptopt='APT::Install-Recommends "false"' --include="$packages" "$@"; then
			return
		fi
		echo "try $try of 3 failed" >&2
	done
	exit 1
}
tree "$dir/trixie" qemu-system-x86,virtiofsd,libc-bin,busybox-static,linux-image-amd64 \
	--setup-hook='mkdir -p "$1/etc/apt/preferences.d"
		printf "Package: qemu-* seabios ipxe-qemu\nPin: release n=trixie-backports\nPin-Priority: 990\n" >"$1/etc/apt/preferences.d/qemu"' \
	trixie "$dir/trixie" "deb $mirror trixie main" "deb $mirror trixie-backports main"
tree "$dir/bookworm" linux-image-amd64,xen-hypervisor-4.17-amd64,xen-utils-4.17,xenstore-utils,qemu-system-xen,busybox-static,iproute2,libc-bin,bash \
	bookworm "$dir/bookworm" "deb $mirror bookworm main"

# The trees of /bin, /lib and /usr become one, as an installation has them.
merge() { # TREE
	for part in bin sbin lib lib64; do
		if [ -d "$1/$part" ] && [ ! -L "$1/$part" ]; then
			mkdir -p "$1/usr/$part"
			cp -a "$1/$part/." "$1/usr/$part"
			rm -r "${1:?}/$part"
		fi
		ln -sfn "usr/$part" "$1/$part"
	done
}
kernel() { # TREE: finds image and version
	image=$(echo "$1"/boot/vmlinuz-*)
	version=${image##*/vmlinuz-}
	depmod -b "$1" "$version"
}
modules() { # TREE DIR MODULE...: the modules of the kernel, and what they depend on
	from=$1 to=$2
	shift 2
	mkdir -p "$to"
	for module; do
		modprobe -d "$from" -S "$version" --show-depends "$module"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
		name=$(basename "$file" .xz)
		case $file in
		*.xz) xz -dc "$file" >"$to/$name" ;;
		*) cp "$file" "$to/$name" ;;
		esac
		echo "$name" >>"$to/order"
	done
}
for t in "$dir/trixie" "$dir/bookworm"; do
	merge "$t"
	kernel "$t"
	to=$dir/kernel/$(echo "$version" | cut -d. -f1,2)
	modules "$t" "$to" virtio_pci virtio_mmio virtio_net 9pnet_virtio 9p virtiofs
	cp "$image" "$to/vmlinuz"
done

# Xen's domains run the kernel that came last. Loading 9pnet_xen waits for back
# ends, so that it is up to the tests.
xen=$dir/xen
tree=$dir/bookworm
mkdir -p "$xen"
gunzip -c "$tree"/boot/xen-4.17-amd64.gz >"$xen/xen"
cp "$image" "$xen/vmlinuz"
modules "$tree" "$xen/dom0" virtio_pci virtio_net bridge xen-netback xenfs xen-privcmd xen-evtchn xen-gntdev xen-gntalloc
modules "$tree" "$xen/appliance" xen-netfront xen-evtchn xen-gntdev
modules "$tree" "$xen/guest" xen-netfront 9p 9pnet_xen nfsv4
sed -i '/^9pnet_xen/d' "$xen/guest/order"
cp "$tree/usr/bin/busybox" "$xen/busybox"
mkdir -p "$xen/root/var/log/xen" "$xen/root/var/run/xen" "$xen/root/var/lib/xen"
(cd "$tree" && cp -a --parents bin sbin lib lib64 usr/bin usr/sbin usr/lib64 \
	usr/lib/xen-4.17 usr/lib/xen-common usr/lib/x86_64-linux-gnu usr/libexec usr/share/qemu/keymaps etc/xen "$xen/root")
# It is in memory.
(cd "$xen/root/usr" && rm -rf lib/xen-4.17/boot lib/x86_64-linux-gnu/perl* lib/x86_64-linux-gnu/gconv bin/python3* sbin/tc)

cp "$dir/trixie/usr/bin/busybox" "$dir/busybox"
rm -rf "$dir/bookworm" "$dir/trixie/usr/lib/modules" "$dir/trixie/boot"
mv "$dir/trixie" "$dir/qemu"
echo "$sum" >"$dir/complete"
