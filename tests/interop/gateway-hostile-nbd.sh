#!/bin/bash
# Peers whose NBD is wrong: see hostile/gateway_nbd.py.

source "$(dirname "$0")/gateway-hostile-lib.sh"
run_hostile gateway_nbd --insecure
