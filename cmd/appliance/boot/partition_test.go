package boot

import (
	"os"
	"path/filepath"
	"testing"
)

// Only the last partition of a disk has room to grow into.
func TestRoomBehindAPartition(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "vdb")
	for name, value := range map[string]string{
		"size": "1000\n", "vdb1/start": "100\n", "vdb1/size": "200\n", "vdb2/start": "300\n", "vdb2/size": "500\n", "queue/x": "",
	} {
		file := filepath.Join(whole, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := roomBehind(whole, "vdb1"); got != 0 {
		t.Errorf("behind the first partition is the second, but there are %d bytes", got)
	}
	if got := roomBehind(whole, "vdb2"); got != 200*sector {
		t.Errorf("behind the last partition are %d bytes", got)
	}
}
