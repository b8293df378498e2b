#!/bin/sh
# Runs in the machine that Packer has started: makes its disk bootable, and has
# the appliance serve once. The image is not made if it does not.
set -eu
chmod 755 /usr/local/bin/appliance

grub-install --target=i386-pc /dev/vda
mkdir -p /boot/efi
mount LABEL=FSVA-EFI /boot/efi
grub-install --target=x86_64-efi --efi-directory=/boot/efi --removable --no-nvram
umount /boot/efi

systemctl daemon-reload
systemd-analyze verify --recursive-errors=no fsva-disks.service fsva.service
systemctl --quiet enable fsva-disks.service fsva.service
systemctl start fsva.service
health=$(bash -c 'exec 3<>/dev/tcp/localhost/9049; printf "GET /healthz HTTP/1.0\r\n\r\n" >&3; cat <&3')
case $health in
*" 200 "*) ;;
*) echo "$health"; journalctl --no-pager -u fsva-disks -u fsva; exit 1 ;;
esac
systemd-analyze security --no-pager fsva.service | tail -1
systemd-analyze security --no-pager --threshold=35 fsva.service >/dev/null
systemctl stop fsva.service fsva-disks.service
