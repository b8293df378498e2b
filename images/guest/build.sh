#!/bin/sh
# Makes a guest to try the appliance with: OUT/vmlinuz, Debian's kernel, and
# OUT/initrd.img, a root in memory with busybox, Debian's mount and mount.nfs4,
# and nothing of ours. It takes its address from ip= of the kernel's command line
# and has a shell on the console. The Debian packages come from apt and are kept
# in CACHE; nothing is made anew if they and this script are the same.
set -eu
PATH=$PATH:/usr/sbin:/sbin
out=$1 cache=$2
here=$(cd "$(dirname "$0")" && pwd)

for tool in apt-get dpkg-deb depmod modprobe xz lz4 go; do
	command -v "$tool" >/dev/null || { echo "missing: $tool; as root on Debian: apt-get install kmod xz-utils lz4" >&2; exit 1; }
done
mkdir -p "$out" "$cache/guest/partial"
cache=$(cd "$cache/guest" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What these packages depend on comes with them, as if nothing were installed.
: >"$work/status"
mkdir -p "$work/none/partial"
wanted() { # DIR OPTION
	apt-get install -q -y --no-install-recommends "$2" \
		-o Dir::State::status="$work/status" -o Dir::Cache::archives="$1" -o APT::Sandbox::User=root -o Debug::NoLocking=1 \
		linux-image-amd64 busybox-static mount nfs-common netbase
}
wanted "$work/none" --print-uris | sed -n "s/^'[^']*' \([^ ]*\.deb\) .*/\1/p" | sort >"$work/packages"
[ -s "$work/packages" ] || { echo "apt knows no linux-image-amd64; as root on Debian, amd64: apt-get update" >&2; exit 1; }
sum=$(find "$here" -type f | sort | xargs cat "$work/packages" | cksum)
[ "$(cat "$out/made-of" 2>/dev/null)" != "$sum" ] || exit 0
wanted "$cache" --download-only >&2

# Of the kernel, what a virtual machine may need; it has drivers for all else.
tree=$work/tree
mkdir "$tree"
while read -r package; do
	case $package in
	linux-image-[0-9]*)
		dpkg-deb --fsys-tarfile "$cache/$package" | tar -x -C "$tree" --wildcards './boot/vmlinuz-*' '*/modules.builtin*' '*/modules.order' \
			'*/kernel/fs/*' '*/kernel/net/*' '*/kernel/lib/*' '*/kernel/crypto/*' '*/kernel/drivers/virtio/*' '*/kernel/drivers/acpi/*' \
			'*/kernel/drivers/input/evdev*' '*/kernel/drivers/net/virtio_net*' '*/kernel/drivers/net/net_failover*' ;;
	*) dpkg-deb -x "$cache/$package" "$tree" ;;
	esac
done <"$work/packages"
for part in bin sbin lib lib64; do # as an installation has them
	[ -d "$tree/$part" ] && [ ! -L "$tree/$part" ] || continue
	mkdir -p "$tree/usr/$part"
	cp -a "$tree/$part/." "$tree/usr/$part"
	rm -r "${tree:?}/$part"
	ln -s "usr/$part" "$tree/$part"
done
image=$(echo "$tree"/boot/vmlinuz-*)
release=${image##*/vmlinuz-}
depmod -b "$tree" "$release"

root=$work/root
mkdir -p "$root/bin" "$root/sbin" "$root/lib64" "$root/lib/x86_64-linux-gnu" "$root/modules" \
	"$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp" "$root/root" "$root/mnt/nfs" "$root/mnt/9p"
cp "$tree/bin/busybox" "$root/bin/busybox"
for applet in $("$root/bin/busybox" --list); do [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"; done
loader=$root/lib64/ld-linux-x86-64.so.2
cp -L "$tree/lib64/ld-linux-x86-64.so.2" "$loader"
for program in bin/mount bin/umount sbin/mount.nfs4; do
	found=$tree/usr/$program
	cp -L --remove-destination "$found" "$root/$program"
	"$loader" --library-path "$tree/usr/lib/x86_64-linux-gnu" --list "$found" | grep -o '/[^ ]*\.so[^ ]*' | while read -r so; do
		case $so in */ld-linux*) ;; *) cp -L "$so" "$root/lib/x86_64-linux-gnu" ;; esac
	done
done
for module in virtio_pci virtio_net button evdev nfsv4 9p 9pnet_fd 9pnet_virtio; do
	modprobe -d "$tree" -S "$release" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
	name=$(basename "$file" .xz)
	case $file in
	*.xz) xz -dc "$file" >"$root/modules/$name" ;;
	*) cp "$file" "$root/modules/$name" ;;
	esac
	echo "$name" >>"$root/modules/order"
done
cp -r "$here/etc" "$root/etc"
cp -L "$tree/etc/netconfig" "$tree/etc/protocols" "$root/etc"
ln -s bin/busybox "$root/init"

cp "$image" "$out/vmlinuz"
(cd "$here/../.." && go run ./images/initramfs -time "$(stat -c %Y "$image")" "$root") | lz4 -q -l -f - "$out/initrd.img"
echo "$sum" >"$out/made-of"
echo "guest: Linux $release: $out/vmlinuz and $out/initrd.img"
