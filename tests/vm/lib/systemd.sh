# Machines with systemd as process 1, which may boot more than once: sourced by tests/vm/run. The guest's half is
# guest/systemd.sh.

boots_max=9

# What `cmake --install` puts into a system, for the machine's root.
stage_package() {
  local program build
  program=${NBDRING:-$checkout/build/nbdring}
  build=$(dirname "$program")
  DESTDIR=$job_folder/package cmake --install "$build" --prefix /usr >"$job_folder/install.log" 2>&1 ||
    { cat "$job_folder/install.log" >&2; fail "cannot install from $build"; }
  environment+=("NBDRING=/usr/bin/nbdring" "NBDRING_VM_JOURNALS=$job_folder/journals")
  mkdir "$job_folder/journals"
  write_job_file
}

systemd_arguments() {
  [[ $init == systemd && $interactive == no ]] || return 0
  printf '%s\n' -chardev "file,id=journal,path=$job_folder/journals/$boot" -device virtconsole,chardev=journal
}

# The script asked for it, and the machine has come to its end in an orderly way.
wants_another_boot() {
  [[ ${machine_hung:-no} == no && $(cat "$job_folder/status" 2>/dev/null) == again ]] || return 1
  ((boot < boots_max)) || fail "the script asks for boot $((boot + 1)): that is one too many"
}
