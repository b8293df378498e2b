#!/bin/sh
# Makes OUT/appliance.qcow2 by Packer, with images/base for a start. Machines
# run by KVM where a kernel boots with it, else emulated; FSVA_ACCEL=tcg or kvm
# decides instead.
set -eu
PATH=$PATH:/usr/sbin:/sbin
out=$1
images=$(cd "$(dirname "$0")" && pwd)
max=$((400 << 20)) # bytes
for tool in packer qemu-system-x86_64 qemu-img ssh-keygen go; do
	command -v "$tool" >/dev/null || { echo "missing: $tool; as root on Debian: apt-get install packer qemu-system-x86 qemu-utils openssh-client" >&2; exit 1; }
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
base=$out/base
"$images/base/build.sh" "$base"

# What Packer needs for this build alone, such as the key that it comes in by.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ssh-keygen -q -t ed25519 -N '' -C 'build of the image' -f "$work/key"
(cd "$images/.." && CGO_ENABLED=0 GOOS=linux GOARCH=amd64 GOFLAGS= go build -trimpath -ldflags='-s -w' -o "$work/appliance" ./cmd/appliance)

# There are machines that have /dev/kvm and no kernel that gets anywhere by it.
# Without a root a kernel panics, and ends QEMU.
accelerated() {
	[ -w /dev/kvm ] && timeout 20 qemu-system-x86_64 -accel kvm -cpu max -m 256 -display none -no-reboot \
		-kernel "$base/vmlinuz" -append 'panic=-1' </dev/null >/dev/null 2>&1
}
accel=${FSVA_ACCEL:-}
[ -n "$accel" ] || { accel=tcg; if accelerated; then accel=kvm; fi; }

export CHECKPOINT_DISABLE=1 PACKER_CACHE_DIR="$work/cache"
rm -rf "$out/image"
packer build -color=false -var "base=$base" -var "work=$work" -var "output=$out/image" -var "accelerator=$accel" "$images/appliance.pkr.hcl" ||
	{ tail -n 30 "$work/console" >&2; exit 1; }
mv "$out/image/appliance.qcow2" "$out/appliance.qcow2"
rmdir "$out/image"
size=$(stat -c %s "$out/appliance.qcow2")
echo "image: $((size >> 20)) MiB: $out/appliance.qcow2"
[ "$size" -le $max ] || { echo "the image is larger than $((max >> 20)) MiB" >&2; exit 1; }
