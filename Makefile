# Run "make" for the list of targets.

FUZZTIME ?= 3s
BENCHFLAGS ?=

# Guests are heavy, but some only wait for a lease to end: four at a time on the
# two cores that CI has. Without -v, what CI prints ends with what failed.
GUESTFLAGS ?= -parallel 4 -timeout 35m

packages = go list ./... | grep -v /tests/guest

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

.PHONY: build
build: ## build the appliance as one static binary
	CGO_ENABLED=0 go build -o appliance ./cmd/appliance

.PHONY: test
test: install lint race apart fuzz ## everything, with real guests; installs what they need
	FSVA_REQUIRE_GUESTS=1 $(MAKE) --no-print-directory guest
	$(MAKE) --no-print-directory -j2 --output-sync=target rclone qemu SKIP='$(fewer)'
	$(MAKE) --no-print-directory test-xen test-demo DEMO=ShowsItAll

.PHONY: test-quick
test-quick: lint ## what needs neither root nor guests
	go test $$($(packages))

.PHONY: install
install: ## install the Debian packages that the tests need
	tests/guest/install.sh gcc gcc /usr/include/stdio.h libc6-dev \
		mkfs.xfs xfsprogs mkfs.btrfs btrfs-progs mkfs.ntfs ntfs-3g mfsmaster moosefs-master mfschunkserver moosefs-chunkserver mfsmount moosefs-client \
		mmdebstrap mmdebstrap xz xz-utils lz4 lz4 modprobe kmod \
		/usr/sbin/sshd openssh-server ssh-keygen openssh-client

.PHONY: lint
lint: ## gofmt, go vet and staticcheck
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted; run gofmt -w: $$unformatted"; exit 1; }
	go vet ./...
	go tool staticcheck ./...

.PHONY: race
race: ## all tests but the guests', with the race detector
	CGO_ENABLED=1 go test -race $$($(packages))

# Root may open every file, and gets what the kernel gives to nobody else; a fault
# in the race detector's own code is no panic.
.PHONY: apart
apart: ## the tests that need another user than root, or no race detector
	tests/nobody.sh ./adapters/host ./state
	go test ./server/p9/virtio

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (3s)
	@tests/fuzz.sh $(FUZZTIME)

# Machines under QEMU have targets of their own, whether there is a QEMU or not.
.PHONY: guest
guest: ## the tests with real Linux guests; GUESTFLAGS="-v -run TestRootSquash" for one
	go test -count=1 -skip '^Test(Machine|MicroVM|DiskImage|Xen)' $(GUESTFLAGS) ./tests/guest/...

# What machines need is 250 MB in a cache of the user's, made once.
FSVA_QEMU ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fsva-qemu

# Each kernel once and each kind of machine once is what CI has time for.
fewer = /6\.1_microvm|/6\.12_q35
SKIP ?= ^$$

.PHONY: qemu
qemu: ## the tests with machines under QEMU, which mount virtio 9P devices
	tests/guest/install.sh mmdebstrap mmdebstrap xz xz-utils
	tests/guest/qemu.sh $(FSVA_QEMU)
	FSVA_QEMU=$(FSVA_QEMU) FSVA_REQUIRE_QEMU=1 go test -count=1 -parallel 2 -timeout 35m -run '^TestMachine|^TestRealQEMU' -skip '$(SKIP)' ./tests/guest ./cmd/appliance/cli

# One emulated processor runs four domains: 2 minutes where nothing else runs.
.PHONY: test-xen
test-xen: ## the test with Xen's domains: an appliance domain, and others that mount
	tests/guest/install.sh mmdebstrap mmdebstrap xz xz-utils
	tests/guest/qemu.sh $(FSVA_QEMU)
	FSVA_QEMU=$(FSVA_QEMU) FSVA_REQUIRE_QEMU=1 go test -count=1 $(GUESTFLAGS) -run '^TestXen' ./tests/guest

.PHONY: microvm
microvm: ## build the appliance as a machine: kernel and initramfs, in images/out/microvm
	tests/guest/install.sh lz4 lz4 modprobe kmod
	images/microvm/build.sh images/out/microvm images/out/cache

.PHONY: start
start: build ## what docs/start.md wants: the appliance, its machine, a guest, a blank disk
	images/microvm/build.sh images/out/microvm images/out/cache
	images/guest/build.sh images/out/guest images/out/cache
	install appliance /usr/local/bin
	install -D -m 644 -t /srv/fsva images/out/microvm/vmlinuz images/out/microvm/initramfs.img
	install -D -m 644 -t /srv/fsva/guest images/out/guest/vmlinuz images/out/guest/initrd.img
	[ -e /srv/fsva/data.img ] || truncate -s 10G /srv/fsva/data.img

.PHONY: test-start
test-start: ## each command of docs/start.md, as it stands there
	FSVA_START=1 go test -count=1 -v -timeout 40m -run '^TestStart' ./tests/demo

.PHONY: test-microvm
test-microvm: microvm ## the tests with the appliance in a machine of its own, under QEMU
	tests/guest/install.sh mmdebstrap mmdebstrap xz xz-utils mkfs.xfs xfsprogs mkfs.btrfs btrfs-progs
	tests/guest/qemu.sh $(FSVA_QEMU)
	FSVA_QEMU=$(FSVA_QEMU) FSVA_REQUIRE_QEMU=1 go test -count=1 $(GUESTFLAGS) -run '^TestMicroVM' ./tests/guest

.PHONY: demo
demo: microvm build ## show it all: the bridge, the appliance's machine and two guests, step by step
	tests/guest/install.sh mmdebstrap mmdebstrap xz xz-utils
	tests/guest/qemu.sh $(FSVA_QEMU)
	go build -o images/out/demo ./tests/demo
	images/out/demo -appliance ./appliance -qemu $(FSVA_QEMU)

.PHONY: demo-xen
demo-xen: microvm ## show it on Xen, in an emulated machine: domain 0, the appliance's domain and a guest
	tests/guest/install.sh mmdebstrap mmdebstrap xz xz-utils
	tests/guest/qemu.sh $(FSVA_QEMU)
	go build -o images/out/demo ./tests/demo
	FSVA_QEMU=$(FSVA_QEMU) images/out/demo -xen

# CI has no time for the interrupted ones.
DEMO ?= .

.PHONY: test-demo
test-demo: microvm build ## the same as a test, and that nothing is left over, also when it is interrupted
	tests/guest/install.sh mmdebstrap mmdebstrap xz xz-utils
	tests/guest/qemu.sh $(FSVA_QEMU)
	FSVA_QEMU=$(FSVA_QEMU) FSVA_DEMO=$(CURDIR)/appliance go test -count=1 -v -timeout 25m -run '^TestDemo.*$(DEMO)' ./tests/demo

# Emulated, the one boot that Packer needs takes minutes, so this is not part of
# make test.
.PHONY: image
image: ## build the appliance as a disk image with Debian, images/out/appliance.qcow2
	tests/guest/install.sh mmdebstrap mmdebstrap packer packer qemu-system-x86_64 qemu-system-x86 qemu-img qemu-utils \
		mkfs.ext4 e2fsprogs mkfs.vfat dosfstools sfdisk fdisk ssh-keygen openssh-client
	images/build.sh images/out

.PHONY: test-image
test-image: image ## the tests with the disk image, under QEMU, eight minutes
	tests/guest/install.sh mmdebstrap mmdebstrap xz xz-utils xorriso xorriso ssh openssh-client qemu-img qemu-utils sfdisk fdisk /usr/share/ovmf/OVMF.fd ovmf
	tests/guest/qemu.sh $(FSVA_QEMU)
	FSVA_QEMU=$(FSVA_QEMU) FSVA_REQUIRE_QEMU=1 go test -count=1 $(GUESTFLAGS) -run '^TestDiskImage' ./tests/guest

# A module of its own, since rclone is large. Compiling all its back ends takes
# minutes, once.
.PHONY: rclone
rclone: ## the module that has rclone: lint, tests, appliance-full with a guest
	tests/guest/install.sh gcc gcc /usr/include/stdio.h libc6-dev /usr/sbin/sshd openssh-server ssh-keygen openssh-client
	go build -o adapters/rclone/staticcheck honnef.co/go/tools/cmd/staticcheck
	cd adapters/rclone && CGO_ENABLED=0 go vet ./... && CGO_ENABLED=0 ./staticcheck ./...
	cd adapters/rclone && CGO_ENABLED=0 go build ./cmd/appliance-full
	cd adapters/rclone && FSVA_APPLIANCE=$$PWD/appliance-full CGO_ENABLED=0 go test -count=1 -timeout 15m .

# Compiles rclone once more, which takes longer than all that it tests. One race is
# rclone's own (1.76, vfscache.Item._actualClose): it queues an upload with a size
# that it reads without the lock, and only shows.
.PHONY: rclone-race
rclone-race: ## the same module with the race detector
	cd adapters/rclone && CGO_ENABLED=1 go test -race -timeout 15m -run 'TestKill|TestRemote|TestURLs|TestContractOfADirectory/(races|model)' .

.PHONY: bench-rclone
bench-rclone: ## measure streaming reads of a bucket beside rclone's own NFS server and mount
	tests/guest/install.sh fusermount3 fuse3
	cd adapters/rclone && CGO_ENABLED=0 go build ./cmd/appliance-full
	cd adapters/rclone && FSVA_APPLIANCE=$$PWD/appliance-full CGO_ENABLED=0 go test -run '^$$' -bench StreamingReadMounted -benchtime 1x .

.PHONY: bench
bench: ## measure beside nfs-ganesha; BENCHFLAGS=-h for the flags
	tests/guest/install.sh ganesha.nfsd "nfs-ganesha nfs-ganesha-vfs" rpcbind rpcbind postmark postmark mkfs.ext4 e2fsprogs
	go run ./tests/bench $(BENCHFLAGS)

.PHONY: bench-9p
bench-9p: ## measure 9P over TCP beside diod; BENCH=Getattr for a part
	tests/guest/install.sh diod diod
	go test -run '^$$' -bench '$(or $(BENCH),.)' -benchtime 1s -count 5 ./tests/p9

.PHONY: bench-virtio
bench-virtio: ## measure virtio devices beside QEMU's 9pfs and virtiofsd; BENCHFLAGS as above
	tests/guest/install.sh mmdebstrap mmdebstrap xz xz-utils git git
	tests/guest/qemu.sh $(FSVA_QEMU)
	FSVA_QEMU=$(FSVA_QEMU) go run ./tests/bench -machine -raw=false -guest=false -scale=false -servers fsva $(BENCHFLAGS)

.PHONY: clean
clean: ## remove what was built
	rm -rf appliance images/out adapters/rclone/appliance-full adapters/rclone/staticcheck
	go clean -testcache
