#!/bin/bash
# Succeeds, but the kernel says that a device failed.
echo 'block nbd7: I/O error, dev nbd7, sector 8' >/dev/kmsg
