#!/bin/bash
# Prints, waits, prints, and ends with the status that its first argument asks for.
echo "first of $#: $2"
sleep 3
echo "second"
exit "$1"
