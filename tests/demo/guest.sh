#!/bin/sh
# Makes in OUT what the machines of the demonstration boot, besides the microVM:
# a wrapper of the private QEMU, and the initial file systems of two guests that
# have nothing of ours. Guest 1 has the kernel for clouds and mount.nfs4 of
# Debian bookworm, guest 2 the kernel of Debian trixie and no NFS at all.
set -eu
PATH=$PATH:/usr/sbin:/sbin
out=$1 cache=$2 qemu=$3 # OUT, images/out/cache, what tests/guest/qemu.sh has made

lib=$qemu/qemu/usr/lib/x86_64-linux-gnu
cat >"$out/qemu-system-x86_64" <<END
#!/bin/sh
QEMU_MODULE_DIR=$lib/qemu exec $qemu/qemu/usr/lib64/ld-linux-x86-64.so.2 --library-path $lib \\
	$qemu/qemu/usr/bin/qemu-system-x86_64 -L $qemu/qemu/usr/share/qemu -L $qemu/qemu/usr/share/seabios -L $qemu/qemu/usr/lib/ipxe/qemu "\$@"
END
chmod 755 "$out/qemu-system-x86_64"

root() { # DIR: busybox, and a first process that does what the console says
	mkdir -p "$1/bin" "$1/sbin" "$1/etc" "$1/proc" "$1/sys" "$1/dev" "$1/run" "$1/tmp" "$1/mnt" "$1/modules"
	cp "$qemu/busybox" "$1/bin/busybox"
	for applet in $("$qemu/busybox" --list); do [ "$applet" = busybox ] || ln -s busybox "$1/bin/$applet"; done
	cat >"$1/init" <<'END'
#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
dmesg -n 1
for module in $(cat /modules/order); do insmod "/modules/$module"; done
until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done
for word in $(cat /proc/cmdline); do
	case $word in ip=*) IFS=: read -r address _ _ mask name _ <<-ADDRESS
		${word#ip=}
	ADDRESS
	esac
done
hostname "$name"
ifconfig lo 127.0.0.1
ifconfig eth0 "$address" netmask "$mask" up
stty -echo -onlcr
echo "guest: ready"
while read -r line; do
	(eval "$line") </dev/null 2>&1
	echo "guest: done $?"
done
END
	chmod 755 "$1/init"
}
add() { # DIR PROGRAM...: programs of the host, with their libraries
	to=$1
	shift
	for program; do
		program=$(command -v "$program")
		# shellcheck disable=SC2046 # a list
		cp --parents -L "$program" $(ldd "$program" | grep -o '/[^ ]*') "$to"
	done
}
pack() { # DIR FILE
	(cd "$1" && find . | "$qemu/busybox" cpio -o -H newc 2>/dev/null) >"$2"
}

# Guest 1.
deb=$(ls -t "$cache"/linux-image-*-cloud-amd64_*.deb | head -1)
dpkg-deb -x "$deb" "$out/linux"
image=$(echo "$out"/linux/boot/vmlinuz-*)
release=${image##*/vmlinuz-}
[ -d "$out/linux/lib" ] || ln -s usr/lib "$out/linux/lib"
depmod -b "$out/linux" "$release"
root "$out/root1"
for module in virtio_pci virtio_net nfsv4; do
	modprobe -d "$out/linux" -S "$release" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
	cp "$file" "$out/root1/modules"
	basename "$file" >>"$out/root1/modules/order"
done
add "$out/root1" mount.nfs4 flock
cp --parents -L /etc/netconfig /etc/protocols "$out/root1"
cp "$image" "$out/vmlinuz1"
pack "$out/root1" "$out/initrd1"

# Guest 2.
root "$out/root2"
add "$out/root2" flock
cp "$qemu"/kernel/6.12/*.ko "$qemu/kernel/6.12/order" "$out/root2/modules"
cp "$qemu/kernel/6.12/vmlinuz" "$out/vmlinuz2"
pack "$out/root2" "$out/initrd2"
rm -rf "$out/linux" "$out/root1" "$out/root2"
