#!/usr/bin/env python3
"""A server far away, for machines with systemd: nbdkit with TLS over an ext4 image, at the machine's 10.0.2.100.

Lines that the machine says, each answered with one: start, stop, check (is the file system clean? for e2fsck).
At first it is absent.
"""
import os
import socket
import subprocess
import time

FOLDER = os.path.dirname(os.environ['NBDRING_VM_SERVER'])
IMAGE = os.path.join(FOLDER, 'far.image')
KEYS = os.path.join(FOLDER, 'far.psk')


def make_image():
    with open(IMAGE, 'wb') as image:
        image.truncate(256 << 20)
    subprocess.run(['mke2fs', '-q', '-F', '-t', 'ext4', IMAGE], check=True)
    with open(KEYS, 'w') as keys:
        keys.write('alice:' + '5a' * 32 + '\n')


class Server:
    process = None

    def start(self):
        path = os.environ['NBDRING_VM_SERVER']
        if os.path.exists(path):
            os.unlink(path)
        self.process = subprocess.Popen([
            'nbdkit', '-f', '--exit-with-parent', '-U', path, '--tls=require', f'--tls-psk={KEYS}', 'file', IMAGE])
        while not os.path.exists(path):
            time.sleep(0.05)
        return 'started'

    def stop(self):
        self.process.kill()
        self.process.wait()
        os.unlink(os.environ['NBDRING_VM_SERVER'])
        return 'stopped'

    @staticmethod
    def check():
        done = subprocess.run(['e2fsck', '-fn', IMAGE], capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr, flush=True)
        return 'clean' if done.returncode == 0 else f'e2fsck says {done.returncode}'


def connect():
    line = socket.socket(socket.AF_UNIX)
    for _ in range(600):
        try:
            line.connect(os.environ['NBDRING_VM_SOCKET'])
            return line
        except OSError:
            time.sleep(0.1)
    raise SystemExit('the machine is not there')


def main():
    make_image()
    server = Server()
    while True:  # a connection for each boot of the machine
        line = connect()
        try:
            for word in line.makefile('r'):
                print(word.strip(), flush=True)
                if word.strip() in ('start', 'stop', 'check'):
                    line.sendall((getattr(server, word.strip())() + '\n').encode())
        except OSError:
            pass
        line.close()
        time.sleep(0.5)


main()
