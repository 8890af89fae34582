#!/usr/bin/env python3
"""The companion of companion.sh: one line from the machine, one connection to it, one line back."""
import os
import socket
import time

line = socket.socket(socket.AF_UNIX)
for _ in range(100):
    try:
        line.connect(os.environ['NBDRING_VM_SOCKET'])
        break
    except OSError:
        time.sleep(0.1)
request = line.makefile('r').readline().strip()
with socket.create_connection(('127.0.0.1', int(os.environ['NBDRING_VM_PORT']))) as machine:
    machine.sendall(b'from the host\n')
    received = machine.makefile('r').readline().strip()
line.sendall(f'{request}: {received}\n'.encode())
time.sleep(1000)
