// Package guest boots stock Linux guests, so that tests see the appliance as
// its users do: through the NFS client of a kernel that knows nothing of us.
//
// A guest is User-mode Linux, Debian's kernel as an ordinary process; it boots
// in two seconds and needs no virtual machine monitor. Its root is the host's
// own tree, read-only, so that every program of the host runs in it. A test
// reads like this:
//
//	n := guest.NewNetwork(t)
//	dir, export := guest.Dir(t, "data")
//	srv := guest.StartAppliance(t, n, export)
//	g := guest.Boot(t, n)
//	g.Mount(t, srv, "vers=4.2", "/data", "/mnt/1")
//	g.Run(t, "echo hello > /mnt/1/file")
//	srv.Kill9(t)
//	srv.Restart(t)
//	g.Run(t, "cat /mnt/1/file")
//	n.Run(t, "cat "+dir+"/file")
//
// Networks, guests and servers end with the test that made them, and with the
// test binary however it dies. They need root and what packages.txt names;
// without it a test skips, or fails if FSVA_REQUIRE_GUESTS=1. FSVA_APPLIANCE
// names an appliance to test instead of this checkout's.
package guest
