# Runs pkcsslotd in mount and IPC namespaces of its own. Its paths and its shared
# memory are fixed in its code: here they are all ours, and go with the last process.
set -eu
base=$1
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock/opencryptoki/swtok
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=770 tmpfs /var/lib/opencryptoki
mkdir -p /var/lib/opencryptoki/swtok/TOK_OBJ
mount --bind "$base/opencryptoki.conf" /etc/opencryptoki/opencryptoki.conf
mount --bind "$base/group" /etc/group # it wants a group pkcs11 that has it for a member
PATH=$PATH:/usr/sbin:/sbin
exec pkcsslotd -f
