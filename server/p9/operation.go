package p9

// operation is a row of the table: a type of request and what answers it.
type operation struct {
	name  string
	serve func(*request) error
}

// operations has every request that is served, by its type. Others, such as
// those of 9P2000 that 9P2000.L replaces, fail with EOPNOTSUPP.
var operations [numTypes]operation

func init() { // in init: serving a request refers back to the table
	operations = [numTypes]operation{
		tversion: {"Tversion", (*request).version},
		tauth:    {"Tauth", (*request).auth},
		tattach:  {"Tattach", (*request).attach},
		twalk:    {"Twalk", (*request).walk},
		tclunk:   {"Tclunk", (*request).clunk},
		tflush:   {"Tflush", (*request).flush},

		tlopen:   {"Tlopen", (*request).lopen},
		tlcreate: {"Tlcreate", (*request).lcreate},
		tread:    {"Tread", (*request).read},
		twrite:   {"Twrite", (*request).write},
		tfsync:   {"Tfsync", (*request).fsync},
		treaddir: {"Treaddir", (*request).readdir},

		tgetattr:     {"Tgetattr", (*request).getattr},
		tsetattr:     {"Tsetattr", (*request).setattr},
		tstatfs:      {"Tstatfs", (*request).statfs},
		txattrwalk:   {"Txattrwalk", (*request).xattrwalk},
		txattrcreate: {"Txattrcreate", (*request).xattrcreate},

		tmkdir:    {"Tmkdir", (*request).mkdir},
		tsymlink:  {"Tsymlink", (*request).symlink},
		treadlink: {"Treadlink", (*request).readlink},
		tmknod:    {"Tmknod", (*request).mknod},
		tlink:     {"Tlink", (*request).link},
		trename:   {"Trename", (*request).rename},
		trenameat: {"Trenameat", (*request).renameat},
		tunlinkat: {"Tunlinkat", (*request).unlinkat},
		tremove:   {"Tremove", (*request).remove},

		tlock:    {"Tlock", (*request).lock},
		tgetlock: {"Tgetlock", (*request).getlock},
	}
}
