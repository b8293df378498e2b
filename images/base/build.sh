#!/bin/sh
# Makes OUT/disk.qcow2, a disk with Debian bookworm that Packer starts from, and
# OUT/vmlinuz and OUT/initrd.img to start it with, as it has no boot loader yet.
# The packages come from where apt of this machine gets its own. Root, as the files
# of the system belong to many users. OUT/inputs is a checksum of what it is made
# of: while that stays the same, nothing is made or downloaded.
set -eu
umask 022 # or the system's own users could not read what is put in
PATH=$PATH:/usr/sbin:/sbin
out=$1
for tool in mmdebstrap mkfs.ext4 mkfs.vfat sfdisk qemu-img; do
	command -v "$tool" >/dev/null || { echo "missing: $tool; as root on Debian: apt-get install mmdebstrap e2fsprogs dosfstools fdisk qemu-utils" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "the base can be made by root alone" >&2; exit 1; }
here=$(cd "$(dirname "$0")" && pwd)
indexes() { # FORMAT: what apt knows of Debian bookworm
	apt-get indextargets --format "\$(RELEASE) \$(COMPONENT) $1" 'Created-By: Packages' | sed -nE 's/^bookworm(-updates|-security)? main //p' | sort -u
}
sources=$(indexes 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)')
[ -n "$sources" ] || { echo "apt of this machine has no source of Debian bookworm; add one to its sources.list and run apt-get update" >&2; exit 1; }
inputs=$({
	cat "$here/build.sh"
	tar -C "$here/root" --sort=name --mtime=@0 --owner=0 --group=0 --mode=0 -c .
	indexes '$(FILENAME)' | xargs -n 1 /usr/lib/apt/apt-helper cat-file
} | sha256sum)
mkdir -p "$out"
out=$(cd "$out" && pwd)
[ "$(cat "$out/inputs" 2>/dev/null)" != "$inputs" ] || exit 0
rm -f "$out/inputs"
work=$(mktemp -d)
# Not through what mmdebstrap has mounted there, if it was killed.
trap 'rm -rf --one-file-system "$work"' EXIT
chmod 755 "$work"

# The kernel is the general one: it has the drivers of every kind of disk, and
# the file systems that an appliance may be for.
packages=systemd-sysv,dbus,udev,kmod,linux-image-amd64,initramfs-tools,zstd,grub-pc-bin,grub-efi-amd64-bin,grub2-common
packages=$packages,cloud-init,cloud-guest-utils,fdisk,sudo,openssh-server,systemd-resolved,iproute2,e2fsprogs,xfsprogs,btrfs-progs

cat >"$work/customize" <<'END'
set -eu
root=$1
# Where this machine gets packages concerns nobody.
cat >"$root/etc/apt/sources.list" <<'SOURCES'
deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian bookworm-updates main
deb http://security.debian.org/debian-security bookworm-security main
SOURCES
sed -i '/^force-/d' "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
mkdir -p "$root/data"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
echo fsva >"$root/etc/hostname"
chmod 644 "$root/etc/hostname"
: >"$root/etc/machine-id"
# Nobody logs in on a console, as nobody has a password.
chroot "$root" systemctl --quiet mask getty.target autovt@.service apt-daily.timer apt-daily-upgrade.timer
chroot "$root" systemctl --quiet enable systemd-networkd.service systemd-resolved.service
END
# GRUB's configuration never changes, so kernels are not to have it made anew.
# What a mirror refuses at first it may have at the second try.
for try in 1 2 3; do
	rm -rf --one-file-system "$work/root"
	if echo "$sources" | mmdebstrap --mode=root --variant=minbase --include="$packages" \
		--aptopt='APT::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
		--dpkgopt='path-exclude=/etc/kernel/*/zz-update-grub' \
		--dpkgopt=force-confold --dpkgopt=force-unsafe-io \
		--setup-hook="cp -R --no-preserve=mode,ownership '$here/root/.' \"\$1\"" \
		--customize-hook="sh '$work/customize' \"\$1\"" \
		bookworm "$work/root" - 2>"$work/log"; then
		break
	fi
	tail -n 20 "$work/log" >&2
	[ "$try" -lt 3 ] || exit 1
	echo "try $try of 3 failed" >&2
	sleep $((try * 5))
done
cp -L "$work/root/vmlinuz" "$work/root/initrd.img" "$out"

# Partitions: for GRUB started by a BIOS, for UEFI, and the root, which is last
# so that it grows with the disk. The kernel's modules are 400 MB of it.
mib=$((1 << 20)) size=2048
truncate -s ${size}M "$work/disk"
sfdisk -q "$work/disk" <<'END'
label: gpt
14: start=1MiB, size=1MiB, type=21686148-6449-6E6F-744E-656564454649
15: start=2MiB, size=62MiB, type=uefi
1: start=64MiB, type=linux
END
truncate -s 62M "$work/efi"
mkfs.vfat -F 16 -n FSVA-EFI "$work/efi" >/dev/null
dd if="$work/efi" of="$work/disk" bs=$mib seek=2 conv=notrunc status=none
# GRUB 2.06 cannot read what newer ones make by default.
mkfs.ext4 -q -L fsva-root -O ^metadata_csum_seed,^orphan_file -d "$work/root" -E offset=$((64 * mib)) "$work/disk" $(((size - 65) << 10))k
qemu-img convert -O qcow2 "$work/disk" "$out/disk.qcow2"
echo "$inputs" >"$out/inputs"
