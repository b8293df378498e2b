package git

// Forget empties the caches, for tests that want each read to find the object
// anew.
func (f *FS) Forget() {
	f.blobs.Clear()
	f.directories.Clear()
	f.spool.close()
}
