package guest

import (
	"bytes"
	endian "encoding/binary" // binary is the appliance
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// dom0Init makes a bridge of the network card, which has the name and the
// address that the agent gives it.
const dom0Init = `#!/bin/sh
PATH=/sbin:/bin
for module in $(cat /modules/order); do
	insmod "/modules/$module" || echo "cannot load $module"
done
ip link add vec0 type bridge
until ip link set eth0 master vec0; do sleep 0.1; done
ip link set eth0 up
exec /agent "$1" "$2" /modules
`

// unpackKernel takes the kernel proper out of a bzImage (payload_offset and
// payload_length in Linux's Documentation/arch/x86/boot.rst). The emulated machine
// would do so for each domain, which takes it long.
func unpackKernel(t T, image, to string) {
	t.Helper()
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	const setupSectors, payload = 0x1f1, 0x248
	if len(b) < payload+8 {
		t.Fatalf("%s is no bzImage", image)
	}
	from := (uint64(b[setupSectors])+1)*512 + uint64(endian.LittleEndian.Uint32(b[payload:]))
	end := from + uint64(endian.LittleEndian.Uint32(b[payload+4:]))
	if end > uint64(len(b)) {
		t.Fatalf("%s is cut short", image)
	}
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("xz", "-dc", "--single-stream") // what follows is the length
	cmd.Stdin, cmd.Stdout = bytes.NewReader(b[from:end]), f
	if err := cmd.Run(); err != nil {
		t.Fatalf("unpack the kernel in %s: %v", image, err)
	}
}

// buildXenRoots makes the root of domain 0, which has those of the others.
func buildXenRoots(t T, dir, out string, h XenHost) string {
	t.Helper()
	script := `set -e
plant() { # ROOT MODULES INIT
	mkdir -p "$1/bin" "$1/sbin" "$1/usr/bin" "$1/etc" "$1/proc" "$1/sys" "$1/dev" "$1/run" "$1/mnt" "$1/tmp"
	cp "$XEN/busybox" "$1/bin/busybox"
	for applet in $("$XEN/busybox" --list); do
		[ -e "$1/bin/$applet" ] || [ -e "$1/sbin/$applet" ] || ln -s busybox "$1/bin/$applet"
	done
	cp -r "$XEN/$2" "$1/modules"
	cp "$AGENT" "$1/agent"
	printf %s "$3" >"$1/init"
	chmod 755 "$1/init"
}
pack() { # ROOT FILE
	(cd "$1" && find . | "$XEN/busybox" cpio -o -H newc) >"$2" 2>/dev/null
	rm -r "$1"
}
plant appliance appliance "$INIT"
cp "$APPLIANCE" appliance/appliance
pack appliance appliance.cpio
plant guest guest "$INIT"
cp $OURS guest/bin
[ -z "$TREE" ] || cp -r "$TREE" guest/tree
for program in $PROGRAMS; do
	cp --parents -L "$program" $(ldd "$program" | grep -o '/[^ ]*') guest
done
pack guest guest.cpio
cp -a "$XEN/root" dom0
plant dom0 dom0 "$DOM0INIT"
mkdir dom0/usr/local
ln -s ../lib/xen-4.17/bin dom0/usr/local/sbin # on the path
mkdir dom0/boot
mv appliance.cpio guest.cpio dom0/boot
cp vmlinux $BOOT dom0/boot
pack dom0 initrd`
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Dir = out
	var ours []string
	for _, name := range []string{"locker", "mmapwriter", "openunlink"} {
		ours = append(ours, Program(t, name))
	}
	cmd.Env = append(os.Environ(), "XEN="+dir, "AGENT="+Program(t, "agent"), "OURS="+strings.Join(ours, " "), "TREE="+h.Tree, "APPLIANCE="+binary(t),
		"INIT="+initScript, "DOM0INIT="+dom0Init,
		"PROGRAMS="+strings.Join(h.Programs, " "), "BOOT="+strings.Join(h.Boot, " "))
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make the roots of domains: %v\n%s", err, b)
	}
	return filepath.Join(out, "initrd")
}
