# What the kernel said while the script ran, and what of it is a failure: sourced by tests/vm/run.

# One extended regular expression per line. A script asks for what it provokes: `# vm-allow: REGEX`.
kernel_log_errors=(
  'I/O error|lost async page write|EXT4-fs (error|warning)|XFS .*(Corruption|metadata I/O)|JBD2: .*[Ee]rror'
  'blocked for more than|hung task|soft lockup|rcu: .*stall'
  'WARNING:|BUG:|Oops|UBSAN:|KASAN:|general protection|Kernel panic|refcount_t:|invalid opcode'
  'possible (recursive|circular) locking|inconsistent lock state|suspicious RCU|possible irq lock inversion'
  'Out of memory:|page allocation failure|segfault at|traps: '
  # The nbd driver about its server: each of these is a connection that it gave up.
  'Double reply|Unexpected reply|Wrong magic|Attempted send on|(Send|Receive) (control|data) failed'
  'block nbd[0-9]+: (Connection timed out|Possible stuck|Other side returned error|Receive|Send|Dead connection)'
)

# The log from the script's start to its end; from the start of the machine when it never came so far.
script_kernel_log() {
  local log=$job_folder/kernel.log
  if grep -aq 'nbdring-vm: start of script' "$log"; then
    sed -n '/nbdring-vm: start of script/,/nbdring-vm: end of script/p' "$log"
  else
    cat "$log"
  fi | tr -d '\r' | sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g'
}

# Prints the lines that are failures and nobody allowed.
unexpected_kernel_lines() {
  local allowed=$1 pattern
  pattern=$(IFS='|' && echo "${kernel_log_errors[*]}")
  script_kernel_log | grep -aE "$pattern" | { [[ -z $allowed ]] && cat || grep -avE "$allowed"; } || true
}
