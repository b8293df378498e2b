#!/bin/sh
# Makes DIR with what virtual machines need, and touches nothing else: a QEMU
# that has the vhost-user front end for any device (10.2 or newer, from Debian
# trixie-backports), virtiofsd to measure beside, busybox, and Debian's kernels
# of bookworm and trixie, each with the modules for the tests and the order to
# load them in. Nothing is downloaded if DIR has what this script makes.
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

tree() { # PACKAGES ARGUMENT...: unpack packages and what they depend on
	packages=$1
	shift
	mmdebstrap --quiet --variant=extract --include="$packages" --aptopt='APT::Install-Recommends "false"' "$@"
}
tree qemu-system-x86,virtiofsd,libc-bin,busybox-static,linux-image-amd64 \
	--setup-hook='mkdir -p "$1/etc/apt/preferences.d"
		printf "Package: qemu-* seabios ipxe-qemu\nPin: release n=trixie-backports\nPin-Priority: 990\n" >"$1/etc/apt/preferences.d/qemu"' \
	trixie "$dir/trixie" "deb $mirror trixie main" "deb $mirror trixie-backports main"
tree linux-image-amd64 bookworm "$dir/bookworm" "deb $mirror bookworm main"

kernel() { # TREE
	for image in "$1"/boot/vmlinuz-*; do
		version=${image##*/vmlinuz-}
		to=$dir/kernel/$(echo "$version" | cut -d. -f1,2)
		mkdir -p "$to"
		cp "$image" "$to/vmlinuz"
		depmod -b "$1" "$version"
		for module in virtio_pci virtio_mmio virtio_net 9pnet_virtio 9p virtiofs; do
			modprobe -d "$1" -S "$version" --show-depends "$module"
		done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
			name=$(basename "$file" .xz)
			case $file in
			*.xz) xz -dc "$file" >"$to/$name" ;;
			*) cp "$file" "$to/$name" ;;
			esac
			echo "$name" >>"$to/order"
		done
	done
}
for t in "$dir/trixie" "$dir/bookworm"; do
	[ -d "$t/lib" ] || ln -s usr/lib "$t/lib"
	kernel "$t"
done
cp "$dir/trixie/usr/bin/busybox" "$dir/busybox"
rm -rf "$dir/bookworm" "$dir/trixie/usr/lib/modules" "$dir/trixie/boot"
mv "$dir/trixie" "$dir/qemu"
echo "$sum" >"$dir/complete"
