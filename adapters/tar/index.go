package tar

import (
	"bufio"
	"encoding/binary"
	"encoding/gob"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/adapters/unpack"
)

// The files in Options.Dir. An index is put there when all of it is written, and
// is of no use, and not used, if its checksum is wrong or its fingerprint is not
// that of the archive. What was unpacked is as good as the index beside it says.
const (
	indexName    = "index"
	unpackedName = "unpacked"
)

// indexRecord is what an index consists of: first the fingerprint, then entries,
// then the end.
type indexRecord struct {
	Fingerprint tree.Fingerprint
	Entry       *tree.Entry
	End         *indexEnd
}

type indexEnd struct {
	Points   []unpack.Point
	Pieces   []sparse
	Unpacked int64 // bytes in the file beside the index, if there is one
}

var indexSums = crc32.MakeTable(crc32.Castagnoli)

// indexWriter writes an index. A nil one does nothing; one that cannot be written
// is given up with a warning, since it only saves time.
type indexWriter struct {
	a    *archive
	file *os.File // nil when it is given up or done
	buf  *bufio.Writer
	sum  hash.Hash32
	enc  *gob.Encoder
}

// newIndex starts to write an index, if there is a place for it.
func (a *archive) newIndex() *indexWriter {
	if a.Dir == "" {
		return nil
	}
	x := &indexWriter{a: a}
	err := os.MkdirAll(a.Dir, 0o700)
	if err == nil {
		x.file, err = os.CreateTemp(a.Dir, indexName+".")
	}
	if err != nil {
		x.giveUp(err)
		return x
	}
	x.buf, x.sum = bufio.NewWriterSize(x.file, 1<<16), crc32.New(indexSums)
	x.enc = gob.NewEncoder(io.MultiWriter(x.buf, x.sum))
	x.encode(&indexRecord{Fingerprint: a.fingerprint})
	return x
}

func (x *indexWriter) add(e *tree.Entry) { x.encode(&indexRecord{Entry: e}) }

func (x *indexWriter) encode(r *indexRecord) {
	if x == nil || x.file == nil {
		return
	}
	if err := x.enc.Encode(r); err != nil {
		x.giveUp(err)
	}
}

func (x *indexWriter) giveUp(err error) {
	x.a.Log.Warn().Err(err).Msg("the index of an archive cannot be kept: the next start makes it anew, which takes as long")
	x.discard()
}

// discard takes away what is not finished.
func (x *indexWriter) discard() {
	if x == nil || x.file == nil {
		return
	}
	x.file.Close()
	os.Remove(x.file.Name())
	x.file = nil
}

// finish puts the index where the next start finds it.
func (x *indexWriter) finish(end *indexEnd) {
	x.encode(&indexRecord{End: end})
	if x == nil || x.file == nil {
		return
	}
	_, err := x.buf.Write(binary.BigEndian.AppendUint32(nil, x.sum.Sum32()))
	if err == nil {
		err = x.buf.Flush()
	}
	if err == nil {
		err = x.file.Sync()
	}
	if err == nil {
		err = os.Rename(x.file.Name(), filepath.Join(x.a.Dir, indexName))
	}
	if err != nil {
		x.giveUp(err)
		return
	}
	x.file.Close()
	x.file = nil
}

// loadIndex reads the index of an earlier start. The end is nil if there is none
// that is whole and of this archive.
func (a *archive) loadIndex() (*tree.Builder, *indexEnd) {
	if a.Dir == "" {
		return nil, nil
	}
	f, err := os.Open(filepath.Join(a.Dir, indexName))
	if err != nil {
		return nil, nil
	}
	defer f.Close()
	size, ok := checkSum(f)
	if !ok {
		a.Log.Warn().Str("file", f.Name()).Msg("the index of an archive is damaged and made anew")
		return nil, nil
	}
	dec := gob.NewDecoder(bufio.NewReaderSize(io.NewSectionReader(f, 0, size), 1<<16))
	var first indexRecord
	if err := dec.Decode(&first); err != nil || first.Fingerprint != a.fingerprint {
		return nil, nil
	}
	b := a.builder()
	for {
		var r indexRecord
		if err := dec.Decode(&r); err != nil {
			return nil, nil
		}
		if r.Entry == nil {
			return b, r.End
		}
		if err := b.Add(*r.Entry); err != nil {
			return nil, nil
		}
	}
}

// checkSum compares a file with the checksum at its end, and says how long it is
// without it.
func checkSum(f *os.File) (size int64, ok bool) {
	st, err := f.Stat()
	if err != nil || st.Size() < crc32.Size {
		return 0, false
	}
	size = st.Size() - crc32.Size
	sum := crc32.New(indexSums)
	var want [crc32.Size]byte
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, size)); err != nil {
		return 0, false
	}
	_, err = f.ReadAt(want[:], size)
	return size, err == nil && binary.BigEndian.Uint32(want[:]) == sum.Sum32()
}

// forget removes what earlier starts have left, of which none is of use.
func (a *archive) forget() {
	if a.Dir == "" {
		return
	}
	left, err := os.ReadDir(a.Dir)
	if err != nil && !os.IsNotExist(err) {
		a.Log.Warn().Err(err).Msg("files of an earlier start stay behind")
	}
	for _, f := range left {
		// An index with more to its name is of a start that was killed.
		if name := f.Name(); name != unpackedName && name != indexName && !strings.HasPrefix(name, indexName+".") {
			continue
		}
		if err := os.Remove(filepath.Join(a.Dir, f.Name())); err != nil {
			a.Log.Warn().Err(err).Msg("a file of an earlier start stays behind")
		}
	}
}
