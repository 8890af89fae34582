#!/bin/bash
# Peers whose frames break the websocket protocol: see hostile/gateway_frames.py.

source "$(dirname "$0")/gateway-hostile-lib.sh"
run_hostile gateway_frames --insecure
