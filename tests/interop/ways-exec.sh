#!/bin/bash
# exec: a server of ours, by socket activation: nbdkit's plugins in C, Python and shell, its filters
# (parts of a file, contents of a tar, compressed files), qemu-nbd.

source "$(dirname "$0")/ways-lib.sh"
requires tar gzip xz qemu-nbd qemu-img
make_source
cd "$work" # names are relative to where the user is
plugins=$(nbdkit --dump-config | sed -n 's/^plugindir=//p')

# way NAME FILE COMMAND: all of FILE's bytes come from the server
way() {
  expect_reads "exec:$3" "$2"
  echo "exec: $1"
}

expect_equal "memory" "$(size_told 'exec:nbdkit memory 1G')" $((1 << 30))
expect_way "exec:nbdkit file $work/image"
expect_way "exec:nbdkit --filter=cache file $work/image"
cp source 'an image'
way "the shell's words" source "  nbdkit file 'an image' 2>/dev/null"

# ---- plugins in other languages

cat >disk.py <<'END'
import builtins
API_VERSION = 2
def open(readonly): return builtins.open('image', 'r+b', 0)
def get_size(h): return h.seek(0, 2)
def pread(h, buffer, offset, flags):
    h.seek(offset)
    h.readinto(buffer)
def pwrite(h, buffer, offset, flags):
    h.seek(offset)
    h.write(buffer)
def flush(h, flags): h.flush()
END
if [[ -e $plugins/nbdkit-python-plugin.so ]]; then
  expect_way "exec:nbdkit python disk.py"
  echo "exec: Python"
fi

cat >disk.sh <<END
#!/bin/sh
case "\$1" in
  get_size) stat -c %s $work/image ;;
  pread) dd iflag=skip_bytes,count_bytes skip="\$4" count="\$3" if=$work/image bs=64k status=none ;;
  *) exit 2 ;;
esac
END
chmod +x disk.sh
way "shell" image "nbdkit sh disk.sh"
way "eval" image "nbdkit eval get_size='./disk.sh get_size' pread='./disk.sh pread x \"\$3\" \"\$4\"'"
cat >disk.pl <<'END'
sub open { CORE::open(my $file, '<:raw', 'image') or die $!; return { file => $file }; }
sub get_size { return -s 'image'; }
sub pread {
  my ($handle, $count, $offset) = @_;
  seek($handle->{file}, $offset, 0);
  read($handle->{file}, my $bytes, $count);
  return $bytes;
}
END
cat >disk.lua <<'END'
function open(readonly) return io.open('image', 'rb') end
function get_size(handle) return handle:seek('end') end
function pread(handle, count, offset)
  handle:seek('set', offset)
  return handle:read(count)
end
END
for language in perl:disk.pl lua:disk.lua; do
  if [[ -e $plugins/nbdkit-${language%:*}-plugin.so ]]; then
    way "${language%:*}" image "nbdkit ${language%:*} ${language#*:}"
  else
    echo "not tried: nbdkit's plugin for ${language%:*} is not here"
  fi
done

# ---- filters

dd if=image of=part iflag=skip_bytes,count_bytes skip=4096 count=1M status=none
way "offset" part "nbdkit --filter=offset file image offset=4096 range=1M"
way "offset over cow" part "nbdkit --filter=offset --filter=cow file image offset=4096 range=1M"
tar -cf images.tar disk.py image disk.sh
way "a tar's member" image "nbdkit --filter=tar file images.tar tar-entry=image"
gzip -k image
way "gzip" image "nbdkit --filter=gzip file image.gz"
xz -0 -k image
way "xz" image "nbdkit --filter=xz file image.xz"
xz -0 -k images.tar
way "a tar's member in xz" image "nbdkit --filter=tar --filter=xz file images.tar.xz tar-entry=image"

# ---- XenServer's XVA: a tar in which a disk is files of 1 MiB, those of zeros left out

cat >xva.py <<'END'
import tarfile
API_VERSION = 2
CHUNK = 1 << 20
archive = {}
def config(key, value): archive[key] = value
def after_fork():
    with tarfile.open(archive['xva']) as tar:
        places = {m.name: m.offset_data for m in tar if not m.name.endswith('.checksum')}
    prefix = archive['disk'] + '/'
    archive['chunks'] = {int(n[len(prefix):]): at for n, at in places.items() if n.startswith(prefix)}
def open(readonly): return __import__('io').open(archive['xva'], 'rb')
def can_write(h): return False
def get_size(h): return (max(archive['chunks']) + 1) * CHUNK
def pread(h, buffer, offset, flags):
    done = 0
    while done < len(buffer):
        number, inside = divmod(offset + done, CHUNK)
        length = min(CHUNK - inside, len(buffer) - done)
        if number in archive['chunks']:
            h.seek(archive['chunks'][number] + inside)
            buffer[done:done + length] = h.read(length)
        else:
            buffer[done:done + length] = bytes(length)
        done += length
END
mkdir Ref:7
for number in 0 1 5; do
  chunk=$(printf 'Ref:7/%08d' "$number")
  head -c 1M /dev/urandom >"$chunk"
  sha1sum <"$chunk" | cut -d ' ' -f 1 | tr -d '\n' >"$chunk.checksum"
  dd if="$chunk" of=disk.raw bs=1M seek="$number" conv=notrunc status=none
done
echo '<value/>' >ova.xml
tar --format=ustar -cf vm.xva ova.xml Ref:7
if [[ -e $plugins/nbdkit-python-plugin.so ]]; then
  way "XVA" disk.raw "nbdkit python xva.py xva=vm.xva disk=Ref:7"
fi

# ---- another server

qemu-img convert -f raw -O qcow2 image image.qcow2
qemu-img convert -f qcow2 -O raw image.qcow2 qcow2.raw # in whole sectors
way "qcow2 by qemu-nbd" qcow2.raw "qemu-nbd --format=qcow2 --shared=4 --persistent image.qcow2"

# ---- what does not start

expect_refused 5 "cannot open plugin 'nosuch'" "$NBDRING" info "exec:nbdkit nosuch"
expect_refused 5 "exit status 127" "$NBDRING" info "exec:nbdring-none"
expect_refused 2 "empty" "$NBDRING" info "exec: "
pass "servers by socket activation"
