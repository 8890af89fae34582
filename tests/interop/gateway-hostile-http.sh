#!/bin/bash
# Peers whose heads are none, too long, too slow or too many: see hostile/gateway_http.py.

source "$(dirname "$0")/gateway-hostile-lib.sh"
run_hostile gateway_http --insecure
