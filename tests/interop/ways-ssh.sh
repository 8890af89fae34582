#!/bin/bash
# nbd+ssh: a real sshd on a port of its own, with its own keys and settings, to a Unix socket there.

source "$(dirname "$0")/ways-lib.sh"
requires ssh ssh-keygen /usr/sbin/sshd socat
make_source
user=$(id -un)

mkdir -m 700 "$work/ssh"
ssh-keygen -q -t ed25519 -N '' -f "$work/ssh/host"
ssh-keygen -q -t ed25519 -N '' -f "$work/ssh/user"
ssh-keygen -q -t ed25519 -N '' -f "$work/ssh/stranger"
cp "$work/ssh/user.pub" "$work/ssh/authorized"
cat >"$work/ssh/sshd_config" <<END
ListenAddress 127.0.0.1
HostKey $work/ssh/host
AuthorizedKeysFile $work/ssh/authorized
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
END

# Privilege separation wants its folder, which only a service would have made.
((EUID != 0)) || mkdir -p -m 755 /run/sshd
start_sshd() {
  for port in $(shuf -i 20000-30000 -n 5); do
    /usr/sbin/sshd -D -e -p "$port" -f "$work/ssh/sshd_config" >"$work/sshd.log" 2>&1 &
    sshd_pid=$!
    sshd_is_up_or_gone() { grep -q 'Server listening' "$work/sshd.log" || ! is_running "$sshd_pid"; }
    wait_until 20 sshd_is_up_or_gone && is_running "$sshd_pid" && return
  done
  fail "sshd finds no port: $(cat "$work/sshd.log")"
}
start_sshd
at_exit+=('end_process "$sshd_pid"')

# What a user has in ~/.ssh: here the wrapper brings it.
cat >"$work/ssh/ssh" <<END
#!/bin/sh
printf '%s\n' "\$@" >$work/ssh/argv
exec ssh -F none -o UserKnownHostsFile=$work/ssh/known -o StrictHostKeyChecking=accept-new \
  -o IdentitiesOnly=yes -o LogLevel=ERROR "\$@"
END
# nc -U SOCKET, whatever this machine's nc can do
cat >"$work/ssh/my nc" <<'END'
#!/bin/sh
[ "$1" = -U ] || exit 99
exec socat - "UNIX-CONNECT:$2"
END
chmod +x "$work/ssh/ssh" "$work/ssh/my nc"

start_peer nbdkit -f -U "$work/a peer" file "$work/image"
wait_until 20 is_listening "$work/a peer" || fail "nbdkit does not listen"
way="nbd+ssh://$user@127.0.0.1:$port/?socket=$work/a%20peer&command=$work/ssh/ssh&netcat=$work/ssh/my%20nc"
expect_way "$way&keyfile=$work/ssh/user"
[[ $(head -n 11 "$work/ssh/argv" | tr '\n' ' ') == \
  "-T -o BatchMode=yes -p $port -l $user -i $work/ssh/user -- 127.0.0.1 " ]] ||
  fail "ssh was called with: $(cat "$work/ssh/argv")"
if nc -h 2>&1 | grep -q -- '-U'; then
  expect_reads "${way%&netcat=*}&keyfile=$work/ssh/user" "$work/source"
fi

# Each failure has ssh's own words.
expect_refused 5 "Permission denied (publickey)" "$NBDRING" info "$way&keyfile=$work/ssh/stranger"
expect_refused 5 "Connection refused" "$NBDRING" info "${way/:$port/:1}&keyfile=$work/ssh/user"
expect_refused 5 "No such file" "$NBDRING" info "${way/a%20peer/none}&keyfile=$work/ssh/user"
expect_refused 2 "ssh would take for an option" "$NBDRING" info \
  "nbd+ssh://-oProxyCommand=true/?socket=/s"
expect_refused 2 "ssh would take for an option" "$NBDRING" info "nbd+ssh://-oX@host/?socket=/s"

# ssh is killed: another takes its place, and goes when we go.
start_serve "$way&keyfile=$work/ssh/user"
ssh_clients() { pgrep -f "^ssh -F none .*$work" || true; }
has_no_ssh() { [[ -z $(ssh_clients) ]]; }
first=$(ssh_clients)
[[ -n $first ]] || fail "no ssh runs"
# shellcheck disable=SC2086  # one word each
kill -KILL $first
timeout 60 nbdcopy "$uri" "$work/back"
cmp "$work/source" "$work/back"
stop_serve
wait_until 10 has_no_ssh || fail "ssh is left over"
pass "ssh"
