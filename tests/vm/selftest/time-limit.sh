#!/bin/bash
# Never ends.
# vm-timeout: 3
echo "before the wait"
sleep 1000
