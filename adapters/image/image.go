// Package image serves the file system in a disk image, read-only, without
// mounting it and without root:
//
//	fs, err := image.Open("/srv/disk.img", image.Options{Partition: 2})
//
// What is in the image is found by looking: a file system that fills it, else the
// partitions of its table ([partitions]). Each format has a package: ext4 reads
// inodes as they are asked for, the others index an image when they open it.
package image

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/adapters/image/ext4"
	"github.com/fsva/fsva/adapters/image/fat"
	"github.com/fsva/fsva/adapters/image/iso9660"
	"github.com/fsva/fsva/adapters/image/squashfs"
	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/vfs"
)

// Options say which file system of an image is served.
type Options struct {
	// Partition is its number as Linux counts them, 0 for the only one.
	Partition int
	Log       zerolog.Logger
}

// kind changes with how inodes are numbered.
const kind = "image 1"

// format is a kind of file system.
type format struct {
	name  string
	probe func(start []byte) bool
	open  func(volume) (vfs.FS, error)
}

var formats = []format{
	{"ext4", ext4.Probe, openExt4},
	{"iso9660", iso9660.Probe, openISO9660},
	{"squashfs", squashfs.Probe, openSquashFS},
	{"fat", fat.Probe, openFAT},
}

// volume is where a file system lies. What is opened in it closes the file.
type volume struct {
	*io.SectionReader
	file        *tree.File
	fingerprint tree.Fingerprint
	log         zerolog.Logger
}

// Open opens the file system in an image. The caller closes the FS.
func Open(path string, opt Options) (vfs.FS, error) {
	file, err := tree.OpenFile(path, opt.Log)
	if err != nil {
		return nil, err
	}
	f, err := open(file, opt)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func open(file *tree.File, opt Options) (vfs.FS, error) {
	whole := io.NewSectionReader(file, 0, file.Size())
	if err := refuseContainer(whole); err != nil {
		return nil, err
	}
	section, f, err := choose(whole, opt.Partition)
	if err != nil {
		return nil, err
	}
	fingerprint, err := file.Fingerprint(fmt.Sprintf("%s %s part=%d", kind, f.name, opt.Partition))
	if err != nil {
		return nil, err
	}
	fs, err := f.open(volume{section, file, fingerprint, opt.Log})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	return fs, nil
}

// choose finds the file system that is asked for.
func choose(whole *io.SectionReader, number int) (*io.SectionReader, *format, error) {
	if number == 0 {
		// A bootable ISO image has a partition table, too, so look for file
		// systems first.
		if f, err := detect(whole); f != nil || err != nil {
			return whole, f, err
		}
	}
	parts, err := partitions(whole)
	if err != nil {
		return nil, nil, err
	}
	p, err := pick(whole, parts, number)
	if err != nil {
		return nil, nil, err
	}
	section := p.section(whole)
	f, err := detect(section)
	if err == nil && f == nil {
		err = vfs.Errorf(vfs.EOPNOTSUPP, "partition %d holds no file system that is known here; known are %s", p.number, known())
	}
	return section, f, err
}

// probed is how much of the start of a volume tells what is in it: up to the
// first volume descriptor of ISO 9660.
const probed = 36 << 10

// detect returns what is in a volume, or nil.
func detect(v *io.SectionReader) (*format, error) {
	start := make([]byte, min(probed, v.Size()))
	if _, err := v.ReadAt(start, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for i := range formats {
		if formats[i].probe(start) {
			return &formats[i], nil
		}
	}
	return nil, nil
}

func known() string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = f.name
	}
	return strings.Join(names, ", ")
}

// containers are formats in which a disk is not as it is, by what they start with.
var containers = []struct{ magic, name, qemu string }{
	{"QFI\xfb", "a QCOW2 image", "qcow2"},
	{"KDMV", "a VMDK image", "vmdk"},
	{"# Disk DescriptorFile", "a VMDK description", "vmdk"},
	{"vhdxfile", "a VHDX image", "vhdx"},
	{"conectix", "a VHD image", "vpc"},
	{"<<< ", "a VirtualBox image", "vdi"},
}

func refuseContainer(whole *io.SectionReader) error {
	start := make([]byte, 32)
	n, err := whole.ReadAt(start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, c := range containers {
		if strings.HasPrefix(string(start[:n]), c.magic) {
			return vfs.Errorf(vfs.EOPNOTSUPP, "this is %s; make a raw one of it with: qemu-img convert -f %s -O raw FILE FILE.raw", c.name, c.qemu)
		}
	}
	return nil
}

func openExt4(v volume) (vfs.FS, error) {
	f, err := ext4.Open(v, v.Size(), ext4.Options{Fingerprint: v.fingerprint, Closer: v.file})
	if err != nil {
		return nil, err // not f: a nil *ext4.FS is no nil vfs.FS
	}
	if w := f.Warning(); w != "" {
		v.log.Warn().Msg(w)
	}
	return f, nil
}

func openSquashFS(v volume) (vfs.FS, error) {
	f, err := squashfs.Open(v, v.Size(), squashfs.Options{Fingerprint: v.fingerprint, Log: v.log, Closer: v.file})
	if err != nil {
		return nil, err // not f: a nil *tree.FS is no nil vfs.FS
	}
	return f, nil
}

func openISO9660(v volume) (vfs.FS, error) {
	f, err := iso9660.Open(v, v.Size(), iso9660.Options{Fingerprint: v.fingerprint, Log: v.log, Closer: v.file})
	if err != nil {
		return nil, err // not f: a nil *tree.FS is no nil vfs.FS
	}
	return f, nil
}

func openFAT(v volume) (vfs.FS, error) {
	f, err := fat.Open(v, v.Size(), fat.Options{Fingerprint: v.fingerprint, Log: v.log, Closer: v.file})
	if err != nil {
		return nil, err // not f: a nil *tree.FS is no nil vfs.FS
	}
	return f, nil
}
