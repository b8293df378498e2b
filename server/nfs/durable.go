package nfs

import "github.com/fsva/fsva/vfs"

// makeDurable is called when an operation has changed the data or size of f, a
// file of the current filehandle's export, other than by a WRITE. Where the
// export has every change be durable, it is when this returns: nothing that is
// answered has the client send a COMMIT for these. Changes of names and
// attributes are up to the file system, which knows of the option, too.
func (c *compound) makeDurable(f vfs.File) error {
	if !c.cur.exp.Sync {
		return nil
	}
	c.call.MayBlock()
	return f.Sync(c.call.Ctx, false)
}
