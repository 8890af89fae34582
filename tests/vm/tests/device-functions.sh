# For the device-*.sh tests, sourced: what looks at the bytes and at what the engine counted.

set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/kernel-functions.sh"
trap 'echo "${BASH_SOURCE[-1]##*/}: failed at line $LINENO: $BASH_COMMAND" >&2' ERR

# counted COMMAND FIELD: of all lanes of $device, as in `counted write requests`.
counted() {
  "$NBDRING" status "$device" --json |
    python3 -c "import json,sys; print(json.load(sys.stdin)['totals']['$1']['$2'])"
}

kernel_is_at_least() { [[ $(printf '%s\n' "$1" "$(uname -r)" | sort -V | head -n 1) == "$1" ]]; }

sum_of() { sha256sum "$1" | cut -d ' ' -f 1; }
mebibytes_allocated() { sync "$1" && echo $(($(stat -c '%b * %B' "$1") >> 20)); }
