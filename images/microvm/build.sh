#!/bin/sh
# Makes the microVM: OUT/vmlinuz, a Debian kernel, and OUT/initramfs.img, in
# which the appliance is the first process. The Debian packages come from apt
# and are kept in CACHE. The same packages and sources give the same bytes; the
# time of all files is when the kernel was made, or SOURCE_DATE_EPOCH.
set -eu
PATH=$PATH:/usr/sbin:/sbin
out=$1 cache=$2
here=$(dirname "$0")
max=$((40 << 20)) # bytes, kernel and initramfs

for tool in apt-get dpkg-deb depmod modprobe lz4 go; do
	command -v "$tool" >/dev/null || { echo "missing: $tool; as root on Debian: apt-get install kmod lz4" >&2; exit 1; }
done
# The kernel for clouds: it has what virtual machines need, unpacks in no time,
# and runs under Xen, too. mke2fs is for a data disk that is asked for.
kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
[ -n "$kernel" ] || { echo "apt knows no linux-image-cloud-amd64; as root on Debian, amd64: apt-get update" >&2; exit 1; }
mkdir -p "$out" "$cache"
cache=$(cd "$cache" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for package in "$kernel" e2fsprogs libext2fs2 libcom-err2 libblkid1 libuuid1 libc6; do
	version=$(apt-cache policy "$package" | sed -n 's/^ *Candidate: //p')
	file=$cache/${package}_$(echo "$version" | sed 's/:/%3a/')_amd64.deb
	[ -e "$file" ] || (cd "$cache" && apt-get download -q "$package=$version" -o APT::Sandbox::User=root)
	dpkg-deb -x "$file" "$work/$(echo "$package" | sed 's/linux-image-.*/linux/')"
done
tree=$work/linux
image=$(echo "$tree"/boot/vmlinuz-*)
release=${image##*/vmlinuz-}
epoch=${SOURCE_DATE_EPOCH:-$(stat -c %Y "$image")}
root=$work/root

mkdir -p "$root/bin" "$root/sbin" "$root/etc" "$root/proc" "$root/sys" "$root/run" "$root/tmp"
here_root=$(cd "$here/../.." && pwd)
(cd "$here_root" && CGO_ENABLED=0 GOOS=linux GOARCH=amd64 GOAMD64=v1 GOFLAGS= \
	go build -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o "$root/bin/appliance" ./cmd/appliance)
ln -s bin/appliance "$root/init"
for name in poweroff reboot modprobe; do ln -s ../bin/appliance "$root/sbin/$name"; done

[ -d "$tree/lib" ] || ln -s usr/lib "$tree/lib"
depmod -b "$tree" "$release"
sed 's/#.*//' "$here/modules.txt" | while read -r module; do
	[ -z "$module" ] || modprobe -d "$tree" -S "$release" --show-depends "$module" | awk '$1 == "insmod" { print $2 }'
done | sort -u | while read -r file; do
	to=$root/lib/modules/$release/${file#"$tree"/lib/modules/"$release"/}
	mkdir -p "$(dirname "$to")"
	case $file in
	*.xz) xz -dc "$file" >"${to%.xz}" ;;
	*) cp "$file" "$to" ;;
	esac
done
cp "$tree/lib/modules/$release"/modules.builtin* "$tree/lib/modules/$release/modules.order" "$root/lib/modules/$release"
depmod -b "$root" "$release"
(cd "$root/lib/modules/$release" && mkdir ../keep && mv kernel modules.dep modules.alias ../keep && rm -r ./* && mv ../keep/* . && rmdir ../keep)
# What few machines load is packed; the appliance unpacks it when it is loaded.
find "$root/lib/modules" -name '*.ko' -size +300k | while read -r file; do
	lz4 -q -12 <"$file" >"$file.lz4"
	rm "$file"
done

copy() { # FILE-IN-PACKAGES AS
	for p in "$work"/*; do
		[ ! -e "$p/$1" ] || { mkdir -p "$root/$(dirname "$2")"; cp -L "$p/$1" "$root/$2"; return; }
	done
	echo "no package has $1" >&2
	exit 1
}
lib=lib/x86_64-linux-gnu
copy sbin/mke2fs sbin/mke2fs
copy lib64/ld-linux-x86-64.so.2 lib64/ld-linux-x86-64.so.2
copy $lib/libc.so.6 $lib/libc.so.6
for so in libext2fs.so.2 libcom_err.so.2 libblkid.so.1 libuuid.so.1 libe2p.so.2; do
	if [ -e "$work"/libblkid1/usr/$lib/$so ] || [ -e "$work"/libuuid1/usr/$lib/$so ]; then copy usr/$lib/$so $lib/$so; else copy $lib/$so $lib/$so; fi
done

cp "$image" "$out/vmlinuz"
(cd "$here_root" && go run ./images/initramfs -time "$epoch" "$root") >"$work/initramfs"
# Not packed: the machine would wait for the unpacking at each start, even of LZ4
# longer than for the copy of what is larger.
cp "$work/initramfs" "$out/initramfs.img"
size=$(($(stat -c %s "$out/vmlinuz") + $(stat -c %s "$out/initramfs.img")))
echo "microVM: Linux $release, $((size >> 10)) KiB: $out/vmlinuz and $out/initramfs.img"
[ $size -le $max ] || { echo "the microVM is larger than $((max >> 20)) MiB" >&2; exit 1; }
