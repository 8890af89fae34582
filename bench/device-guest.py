#!/usr/bin/env python3
# vm-timeout: 3600
# vm-memory: 4096
# vm-allow: nbd1[01]|ldm_validate_partition_table
# (the peers: udev looks at their devices while they are being disconnected)
"""Runs inside the machine (bench/device): fio on /dev/nbdN, attached by nbdring, nbd-client and qemu-nbd in turn.

All serve the same 256 MiB image in the page cache of the machine's ext4, four connections where the tool can. Rounds
are interleaved; a ratio is the median of the rounds' ratios to nbd-client over nbdkit.
"""
import argparse, json, os, statistics, subprocess, sys, time

PROGRAM = os.environ.get('NBDRING', 'build/nbdring')
IMAGE = os.path.join(os.environ.get('SCRATCH', '/var/tmp'), 'bench.img')
SOCK = '/tmp/bench.sock'
SIZE = 256 << 20


def run(*command, check=True):
    return subprocess.run(command, check=check, stdout=subprocess.PIPE, text=True).stdout


class Nbdring:
    name = 'nbdring -c 4'

    def attach(self):
        self.device = run(PROGRAM, 'attach', IMAGE, '-c', '4').strip()
        return self.device

    def detach(self):
        run(PROGRAM, 'detach', self.device)


class NbdClient:
    name = 'nbd-client -C 4 over nbdkit'
    device = '/dev/nbd10'

    def attach(self):
        self.server = subprocess.Popen(['nbdkit', '-f', '-U', SOCK, 'file', IMAGE])
        while not os.path.exists(SOCK):
            time.sleep(0.05)
        run('nbd-client', '-u', SOCK, self.device, '-C', '4', '-b', '4096')
        return self.device

    def detach(self):
        run('nbd-client', '-d', self.device)
        self.server.terminate()
        self.server.wait()
        if os.path.exists(SOCK):
            os.unlink(SOCK)


class QemuNbd:
    name = 'qemu-nbd -c'
    device = '/dev/nbd11'

    def attach(self):
        run('qemu-nbd', '-c', self.device, '-f', 'raw', '--cache=writeback', IMAGE)
        return self.device

    def detach(self):
        run('qemu-nbd', '-d', self.device)
        time.sleep(1)


class Loop:
    name = 'loop device (the limit)'

    def attach(self):
        self.device = run('losetup', '-f', '--show', IMAGE).strip()
        return self.device

    def detach(self):
        run('losetup', '-d', self.device)


SCENARIOS = [
    ('4k random read, depth 32, 4 jobs', ['--rw=randread', '--bs=4k', '--iodepth=32', '--numjobs=4']),
    ('4k random write, depth 32, 4 jobs', ['--rw=randwrite', '--bs=4k', '--iodepth=32', '--numjobs=4']),
    ('4k random read, depth 1', ['--rw=randread', '--bs=4k', '--iodepth=1']),
    ('256k read, depth 8, 2 jobs', ['--rw=randread', '--bs=256k', '--iodepth=8', '--numjobs=2']),
    ('256k write, depth 8, 2 jobs', ['--rw=randwrite', '--bs=256k', '--iodepth=8', '--numjobs=2']),
]


def wait_for_size(device):
    deadline = time.monotonic() + 20
    while int(run('blockdev', '--getsize64', device)) != SIZE:
        if time.monotonic() > deadline:
            sys.exit(f'bench: {device} did not get its size')
        time.sleep(0.1)


def measure(tool, seconds):
    device = tool.attach()
    wait_for_size(device)
    figures = {}
    try:
        for name, arguments in SCENARIOS:
            text = run('fio', '--name=bench', f'--filename={device}', '--direct=1', '--ioengine=libaio',
                       '--group_reporting', '--time_based', f'--runtime={seconds}', '--norandommap',
                       '--randrepeat=0', '--output-format=json', *arguments)
            job = json.loads(text[text.index('{'):])['jobs'][0]
            side = job['read'] if job['read']['total_ios'] else job['write']
            figures[name] = {'iops': side['iops'], 'p50': side['clat_ns']['percentile']['50.000000'] / 1000}
    finally:
        tool.detach()
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=int, default=5)
    parser.add_argument('--rounds', type=int, default=3)
    options = parser.parse_args()
    for module in ('nbd', 'loop'):
        subprocess.run(['modprobe', module], check=True)
    with open(IMAGE, 'wb') as out:
        for _ in range(SIZE >> 20):
            out.write(os.urandom(1 << 20))
    tools = [Nbdring(), NbdClient(), QemuNbd(), Loop()]
    rounds = []
    for number in range(options.rounds):
        print(f'round {number + 1} of {options.rounds}', flush=True)
        rounds.append({tool.name: measure(tool, options.seconds) for tool in tools})
    base = NbdClient.name
    print(f'kernel {os.uname().release}, {os.cpu_count()} CPUs, median of {len(rounds)} rounds')
    for scenario, _ in SCENARIOS:
        print(f'\n{scenario}\n  {"":28} {"IOPS":>8} {"p50 us":>9}   IOPS ratio to nbd-client over nbdkit')
        for tool in tools:
            iops = [r[tool.name][scenario]['iops'] for r in rounds]
            p50 = [r[tool.name][scenario]['p50'] for r in rounds]
            ratios = [r[tool.name][scenario]['iops'] / r[base][scenario]['iops'] for r in rounds]
            print(f'  {tool.name:28} {statistics.median(iops):8.0f} {statistics.median(p50):9.0f}   '
                  f'{statistics.median(ratios):5.2f} ({min(ratios):.2f}-{max(ratios):.2f})', flush=True)


main()
