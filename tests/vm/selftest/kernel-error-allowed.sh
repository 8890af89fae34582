#!/bin/bash
# The same, asked for.
# vm-allow: I/O error, dev nbd7
echo 'block nbd7: I/O error, dev nbd7, sector 8' >/dev/kmsg
