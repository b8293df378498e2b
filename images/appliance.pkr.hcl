# The appliance as a disk image. make image calls this by images/build.sh, which
# makes the base and says how machines can run here. Packages come with the base;
# Packer boots it once for what only a machine can do: install boot loaders on
# its own disk, and see the appliance serve under systemd.

variable "base" {
  type        = string
  description = "Directory that images/base/build.sh has made."
}

variable "work" {
  type        = string
  description = "Directory with appliance, the program for Linux on amd64, and an ssh key for this build alone, key and key.pub; the machine's console goes there."
}

variable "output" {
  type        = string
  description = "Directory to make."
}

variable "accelerator" {
  type        = string
  default     = "tcg"
  description = "QEMU's: kvm or tcg."
}

source "qemu" "appliance" {
  accelerator      = var.accelerator
  machine_type     = "q35"
  cpus             = 2
  memory           = 1024
  headless         = true
  net_device       = "virtio-net"
  disk_interface   = "virtio"
  disk_discard     = "unmap"
  iso_url          = "${var.base}/disk.qcow2"
  iso_checksum     = "none" # it was made a minute ago
  disk_image       = true
  disk_size        = "2048M"
  disk_compression = true
  format           = "qcow2"
  output_directory = var.output
  vm_name          = "appliance.qcow2"

  # The base has no boot loader, which is yet to come.
  qemuargs = [
    ["-cpu", "max"],
    ["-kernel", "${var.base}/vmlinuz"],
    ["-initrd", "${var.base}/initrd.img"],
    ["-append", "root=LABEL=fsva-root ro console=ttyS0 panic=-1"],
    ["-serial", "file:${var.work}/console"],
    # Packer is let in by a credential of this machine, which systemd makes root's
    # authorized_keys of. The machine sees no network, and nobody else this port.
    ["-fw_cfg", "name=opt/io.systemd.credentials/ssh.authorized_keys.root,file=${var.work}/key.pub"],
    ["-netdev", "user,id=user.0,restrict=on,hostfwd=tcp:127.0.0.1:{{ .SSHHostPort }}-:22"],
  ]

  boot_wait            = "1s"
  ssh_username         = "root"
  ssh_private_key_file = "${var.work}/key"
  ssh_timeout          = "20m"
  shutdown_command     = "poweroff"
  shutdown_timeout     = "10m"
}

build {
  sources = ["source.qemu.appliance"]

  provisioner "file" {
    source      = "${var.work}/appliance"
    destination = "/usr/local/bin/appliance"
  }

  provisioner "file" {
    sources     = ["${path.root}/appliance/fsva.service", "${path.root}/appliance/fsva-disks.service"]
    destination = "/etc/systemd/system/"
  }

  provisioner "shell" {
    scripts = ["${path.root}/appliance/install.sh", "${path.root}/appliance/seal.sh"]
  }
}
