#!/bin/bash
# Inside a root of its own: installs the package, looks at what a user has of it, and removes it. PACKAGE.
set -Eeuo pipefail
trap 'echo "inside.sh: failed at line $LINENO: $BASH_COMMAND" >&2' ERR
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive MANWIDTH=80
package=$1

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

commands() { nbdring --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'; }

# The long options in the two columns of a text of --help.
options_of() { nbdring ${1:+"$1"} --help | sed -n -E 's/^  (-., |    )(--[a-z-]+)( .*|$)/\2/p' | sort -u; }

what_is_there() {
  local path
  for path in /usr/bin/nbdring /usr/bin/nbd-proxy /usr/lib/nbdring/nbd-client /etc/nbdring/nbdring.toml \
    /etc/nbdring/tab /usr/share/doc/nbdring/copyright; do
    [[ -e $path ]] || fail "$path is missing"
  done
  [[ $(nbdring --version) == "nbdring $(dpkg-query -W -f '${Version}' nbdring)" ]] ||
    fail "the program is another version"
  nbd-proxy --help | grep -q '^Usage: nbdring proxy' || fail "nbd-proxy is not proxy"
  /usr/lib/nbdring/nbd-client -V | grep -q 'nbd 3.24' || fail "nbd-client is not there"
  # The examples are comments, and are understood with the '#' taken off.
  nbdring info --config /etc/nbdring/nbdring.toml --strict memory:1M >/dev/null
  sed 's/^#\([a-z[]\)/\1/' /etc/nbdring/nbdring.toml >/tmp/all.toml
  nbdring info --config /tmp/all.toml --strict memory:1M >/dev/null
  # All that is in /etc is the administrator's.
  diff <(dpkg-deb --fsys-tarfile "$package" | tar -t | sed -n 's,^\.\(/etc/.*[^/]\)$,\1,p' | sort) \
    <(dpkg-query -W -f '${Conffiles}\n' nbdring | awk 'NF { print $1 }' | sort) || fail "conffiles"
}

page_is_sound() {
  local file
  file=$(man -w "$2" "$1") || fail "there is no page $1($2)"
  gzip -dc "$file" >/tmp/page
  mandoc -T lint -W warning /tmp/page || fail "mandoc, about $1($2)"
  [[ -z $(man --warnings -l -Tutf8 -Z /tmp/page 2>&1 >/dev/null) ]] || fail "groff, about $1($2)"
  mandoc -T utf8 /tmp/page | col -b >/tmp/page.txt
}

pages() {
  local command option word count=0
  for command in '' $(commands); do
    page_is_sound "nbdring${command:+-$command}" 1
    for option in $(options_of "$command"); do
      grep -qE -- "(^|[ ,])$option( |,|\$)" /tmp/page.txt || fail "nbdring${command:+-$command}(1) lacks $option"
      count=$((count + 1))
    done
  done
  page_is_sound nbdring-nbd-client 1
  page_is_sound nbdring-tab 5
  page_is_sound nbdring.toml 5
  page_is_sound nbdring-uri 7
  # Every form of a backend, and every parameter of TLS, that the program's help names.
  for word in $(nbdring --help | sed -n '/^A BACKEND is/,/^$/p' | grep -oE '(^  |, )[a-z+]+:(//)?' | tr -d ', ') \
    $(nbdring --help | grep -oE 'tls-[a-z-]+=' | sort -u); do
    grep -qF -- "$word" /tmp/page.txt || fail "nbdring-uri(7) lacks $word"
  done
  ((count > 60)) || fail "only $count options were looked for"
  man -w nbd-proxy >/dev/null
  echo "pages: sound, with $count options"
}

# completed WORD…: what bash would offer for the last one.
completed() {
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
  _nbdring 2>/dev/null
  printf '%s\n' "${COMPREPLY[@]}"
}

completions() {
  local command
  # shellcheck source=/dev/null
  source /usr/share/bash-completion/completions/nbdring
  diff <(completed nbdring '' | sort) <(commands | sort) || fail "bash completes other commands"
  for command in $(commands); do
    diff <(completed nbdring "$command" -- | grep -v '^--help$' | sort -u) \
      <(options_of "$command" | grep -v '^--help$') ||
      fail "bash completes other options of $command"
  done
  [[ $(completed nbdring attach --tls r) == require ]] || fail "bash does not complete a value"
  [[ $(completed nbdring attach --tls = r) == require ]] || fail "bash does not complete a value behind '='"
  [[ $(completed nbdring attach /etc/nbdring/nbdring.t) == /etc/nbdring/nbdring.toml ]] || fail "no paths"
  zsh -n /usr/share/zsh/vendor-completions/_nbdring || fail "zsh does not understand its completion"
  zsh -f -c "autoload -U compinit && compinit -D -u && autoload +X _nbdring && [[ \$_comps[nbdring] == _nbdring ]]" ||
    fail "zsh does not find its completion"
  for command in $(commands); do
    grep -q "^    $command)" /usr/share/zsh/vendor-completions/_nbdring || fail "zsh does not know $command"
  done
  echo "completions: as --help has it"
}

kept_and_removed() {
  echo "# mine" >>/etc/nbdring/tab
  dpkg -i "$package" >/dev/null
  grep -q '^# mine' /etc/nbdring/tab || fail "a changed /etc/nbdring/tab was overwritten"
  mkdir -p /run/nbdring
  echo '{}' >/run/nbdring/nbd3.json
  local said
  said=$(dpkg -r nbdring 2>&1)
  [[ $said == *'/dev/nbd3 is attached and goes on'* ]] || fail "removal says nothing of running devices: $said"
  rm -r /run/nbdring
  grep -q '^# mine' /etc/nbdring/tab || fail "removal without purge took the configuration"
  dpkg -P nbdring >/dev/null
  local left
  left=$(while read -r path; do [[ -d $path || ! -e $path ]] || echo "$path"; done </tmp/files
    find /etc /usr /run /var/lib -iname '*nbdring*' -newer /tmp/before)
  [[ -z $left ]] || fail "purged, and there is still: $left"
  echo "removed: nothing is left"
}

touch -d '1 minute ago' /tmp/before
dpkg -i "$package"
dpkg -L nbdring >/tmp/files
what_is_there
pages
completions
kept_and_removed
