#!/bin/bash
# tar: a member of archives made by tar and by Python in each format, as nbdkit's filter shows it;
# and the disks of an XVA.

source "$(dirname "$0")/lib.sh"
requires nbdkit nbdcopy nbdinfo tar

mkdir "$work/in" "$work/in/folder"
head -c 1234567 /dev/urandom >"$work/in/folder/disk.img"
head -c 300 /dev/urandom >"$work/in/small"
long=folder/$(printf 'n%.0s' {1..180})
head -c 5000 /dev/urandom >"$work/in/$long"

for format in v7 ustar gnu pax; do
  names=(small folder/disk.img "$long")
  [[ $format == v7 || $format == ustar ]] && names=(small folder/disk.img)
  tar -C "$work/in" --format="$format" -cf "$work/$format.tar" "${names[@]}"
  for name in "${names[@]}"; do
    start_serve "$work/$format.tar" -r --layer "tar=$name"
    ours=$(nbdcopy "$uri" - | sha256sum)
    stop_serve
    expect_equal "$format ${name:0:20}" "$ours" "$(sha256sum <"$work/in/$name")"
    # Where a name has a record of its own, nbdkit's filter begins there, and not with the bytes.
    [[ $format == gnu && $name == "$long" ]] && continue
    theirs=$(nbdkit -r -U - --filter=tar file "$work/$format.tar" tar-entry="$name" \
      --run 'nbdcopy "$uri" - | sha256sum')
    expect_equal "$format ${name:0:20}, nbdkit" "$ours" "$theirs"
  done
done

# Written in place; tar reads it back.
head -c 1234567 /dev/urandom >"$work/new"
start_serve "$work/pax.tar" --layer tar=./folder/disk.img
nbdcopy --flush "$work/new" "$uri"
stop_serve
tar -xOf "$work/pax.tar" folder/disk.img | cmp - "$work/new"
tar -xOf "$work/pax.tar" small | cmp - "$work/in/small"

expect_refused 2 "there is no such member: the archive has 'small', 'folder/disk.img'" \
  "$NBDRING" serve "$work/gnu.tar" --layer tar=nothing --unix "$work/none"
gzip -k "$work/gnu.tar"
expect_refused 1 "no tar archive" "$NBDRING" serve "$work/gnu.tar.gz" --layer tar=small --unix "$work/none"
truncate -s 64M "$work/in/holes"
tar -C "$work/in" -S -cf "$work/holes.tar" holes small
expect_refused 2 "stored with holes" "$NBDRING" serve "$work/holes.tar" --layer tar=holes --unix "$work/none"
start_serve "$work/holes.tar" --layer tar=small
expect_equal 'behind a sparse member' "$(nbdcopy "$uri" - | sha256sum)" "$(sha256sum <"$work/in/small")"
stop_serve
pass "tar"

# An XVA: the machine's description, and disks as folders of blocks with their checksums.
disk=$work/disk
truncate -s 9M "$disk"
for block in 0 3 4 8; do dd if=/dev/urandom of="$disk" bs=1M seek=$block count=1 conv=notrunc status=none; done
mkdir -p "$work/xva/Ref:4" "$work/xva/Ref:5"
echo '<value/>' >"$work/xva/ova.xml"
members=(ova.xml)
for ref in 4 5; do
  for block in 0 3 4 8; do
    name=Ref:$ref/$(printf %08d $block)
    dd if="$disk" of="$work/xva/$name" bs=1M skip=$block count=1 status=none
    sha1sum "$work/xva/$name" | cut -c1-40 | tr -d '\n' >"$work/xva/$name.checksum"
    members+=("$name" "$name.checksum")
  done
done
tar -C "$work/xva" --format=ustar -cf "$work/machine.xva" "${members[@]}"
start_serve "$work/machine.xva" --layer tar=Ref:5
expect_equal size "$(nbdinfo --size "$uri")" $((9 << 20))
nbdcopy "$uri" - | cmp - "$disk"
expect_equal 'holes' "$(nbdinfo --map "$uri" | grep -c hole)" 2
nbdinfo --json "$uri" | grep -q '"is_read_only": true' || fail "an XVA's disk is not read-only"
stop_serve
# nbdkit's filter shows one block of it.
theirs=$(nbdkit -r -U - --filter=tar file "$work/machine.xva" tar-entry=Ref:5/00000003 \
  --run 'nbdcopy "$uri" - | sha256sum')
start_serve "$work/machine.xva" -r --layer offset=3M,size=1M --layer tar=Ref:5
expect_equal 'block 3' "$(nbdcopy "$uri" - | sha256sum)" "$theirs"
stop_serve
expect_refused 2 "the archive has 'ova.xml', 'Ref:4', 'Ref:5'" \
  "$NBDRING" serve "$work/machine.xva" --layer tar=Ref:6 --unix "$work/none"
pass "XVA"
