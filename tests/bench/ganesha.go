package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ganeshaConfig is as small as it gets; everything that matters for speed is
// at its default. Its state lives in scratch, and there is no grace period to
// wait for.
const ganeshaConfig = `
NFS_CORE_PARAM { Protocols = 4; NFS_Port = %d; MNT_Port = 0; Enable_RQUOTA = false; RPC_Max_Connections = 10000; }
NFSv4 { Graceless = true; RecoveryBackend = fs; RecoveryRoot = %s; }
EXPORT {
	Export_Id = 1; Path = %s; Pseudo = /data; Access_Type = RW; Squash = No_Root_Squash;
	Protocols = 4; Transports = TCP; SecType = sys; FSAL { Name = VFS; }
}
`

// ganeshaCommand starts the rpcbind that ganesha registers with, in the same
// process group, and then ganesha in place of the shell.
func ganeshaCommand(_ config, dir, scratch string, port int) (*exec.Cmd, error) {
	conf := fmt.Sprintf(ganeshaConfig, port, scratch, dir)
	file := filepath.Join(scratch, "ganesha.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	if err := os.MkdirAll("/run/ganesha", 0o755); err != nil {
		return nil, err
	}
	// rpcbind returns once it serves.
	script := `rpcbind -w; exec ganesha.nfsd -F -f "$1" -L "$2" -p "$3"`
	return exec.Command("sh", "-c", script, "sh", file,
		"STDERR", filepath.Join(scratch, "pid")), nil
}
