#!/usr/bin/env python3
# vm-timeout: 3600
# vm-memory: 4096
# vm-allow: nbd1[01]|ldm_validate_partition_table
# (the peers: udev looks at their devices while they are being disconnected)
"""Runs inside the machine (bench/device): fio on /dev/nbdN, attached by nbdring, nbd-client and qemu-nbd in turn.

All serve the same 256 MiB image in the page cache of the machine's ext4, four connections where the tool can: the file
itself, the file behind nbdkit on TCP's loopback, and the same with TLS. TLS is each tool's own default for its kind of
keys, and the cipher that came of it is told: nbd-client has no pre-shared keys, so all are measured with what they can.
Rounds are interleaved; a ratio is the median of the rounds' ratios to nbd-client in the same group.
"""
import argparse, json, os, re, statistics, subprocess, sys, time

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


class Remote:
    """A device of the image behind nbdkit on TCP's loopback."""

    def __init__(self, name, port, attach, device, detach):
        self.name, self.port, self.wanted = name, port, device
        self.attach_command, self.detach_command = attach, detach

    def attach(self):
        output = run(*[part.format(port=self.port, device=self.wanted) for part in self.attach_command]).strip()
        self.device = self.wanted or output
        return self.device

    def detach(self):
        run(*[part.format(device=self.device) for part in self.detach_command])
        time.sleep(1)  # qemu-nbd's ends in the background


PKI = '/var/tmp/bench-pki'
KEYS = f'{PKI}/keys.psk'
PLAIN, PSK, X509 = 10809, 10810, 10811
TLS_OF = {PLAIN: [], PSK: ['--tls=require', f'--tls-psk={KEYS}'],
          X509: ['--tls=require', f'--tls-certificates={PKI}', '--tls-verify-peer']}


def nbdring(name, port, uri, *options):
    return Remote(name, port, [PROGRAM, 'attach', uri, '-c', '4', *options], None, [PROGRAM, 'detach', '{device}'])


def nbd_client(name, port, *tls):
    return Remote(name, port, ['nbd-client', 'localhost', '{port}', '{device}', '-C', '4', '-b', '4096', *tls],
                  '/dev/nbd10', ['nbd-client', '-d', '{device}'])


def qemu_nbd(name, port, *credentials):
    image = 'driver=raw,file.driver=nbd,file.host=localhost,file.port={port}'
    tls = ',file.tls-creds=keys' if credentials else ''
    return Remote(name, port, ['qemu-nbd', '-c', '{device}', '--cache=writeback', *credentials, '--image-opts',
                               image + tls], '/dev/nbd11', ['qemu-nbd', '-d', '{device}'])


def certificate(stem, *lines):
    """Of the authority, of the server or of the client, in PKI."""
    template = f'{PKI}/{stem}.template'
    with open(template, 'w') as out:
        out.write('\n'.join((*lines, 'expiration_days=30', '')))
    key, cert = f'{PKI}/{stem}-key.pem', f'{PKI}/{stem}-cert.pem'
    quiet = {'check': True, 'stderr': subprocess.DEVNULL}
    subprocess.run(['certtool', '--generate-privkey', '--key-type=ecdsa', '--outfile', key], **quiet)
    how = ['--generate-self-signed'] if stem == 'ca' else [
        '--generate-certificate', '--load-ca-privkey', f'{PKI}/ca-key.pem', '--load-ca-certificate',
        f'{PKI}/ca-cert.pem']
    subprocess.run(['certtool', *how, '--load-privkey', key, '--template', template, '--outfile', cert], **quiet)
    os.chmod(key, 0o600)


def make_keys():
    os.makedirs(PKI, mode=0o700)
    run('psktool', '-u', 'alice', '-p', KEYS)
    certificate('ca', 'cn=bench', 'ca', 'cert_signing_key')
    certificate('server', 'cn=localhost', 'dns_name=localhost', 'tls_www_server', 'signing_key')
    certificate('client', 'cn=alice', 'tls_www_client', 'signing_key')


def start_server(port, *arguments, **options):
    server = subprocess.Popen(['nbdkit', '-f', '-i', 'localhost', '-p', str(port), *arguments, *TLS_OF[port], 'file',
                               IMAGE], **options)
    deadline = time.monotonic() + 20
    while not run('ss', '-Htln', f'sport = :{port}'):
        if time.monotonic() > deadline:
            sys.exit(f'bench: nbdkit does not listen on {port}')
        time.sleep(0.1)
    return server


def cipher_of(tool):
    """As nbdkit sees it, from a server that is verbose for this one moment."""
    log = f'{PKI}/server.log'
    with open(log, 'w') as out:
        server = start_server(tool.port, '-v', '-D', 'nbdkit.tls.session=1', stderr=out)
        try:
            wait_for_size(tool.attach())
            tool.detach()
        finally:
            server.terminate()
            server.wait()
    with open(log) as text:
        found = re.search('TLS session: (.*)', text.read())
    return found.group(1) if found else 'unknown'


# Its short options for these are in its help, but not in 3.24's program.
NBD_CLIENT_TLS = ['-cacertfile', f'{PKI}/ca-cert.pem', '-certfile', f'{PKI}/client-cert.pem', '-keyfile',
                  f'{PKI}/client-key.pem', '-tlshostname', 'localhost']
# The first of each group is what the others are compared with.
GROUPS = {
    'local': [NbdClient(), Nbdring(), QemuNbd(), Loop()],
    'tcp': [nbd_client('nbd-client -C 4', PLAIN), nbdring('nbdring -c 4', PLAIN, f'nbd://localhost:{PLAIN}/'),
            nbdring('nbdring -c 4, kernel path', PLAIN, f'nbd://localhost:{PLAIN}/', '--path=kernel'),
            qemu_nbd('qemu-nbd -c', PLAIN)],
    'tls': [nbd_client('nbd-client -C 4, X.509', X509, *NBD_CLIENT_TLS),
            nbdring('nbdring -c 4, X.509', X509, f'nbds://localhost:{X509}/?tls-certificates={PKI}'),
            nbdring('nbdring -c 4, PSK', PSK, f'nbds://alice@localhost:{PSK}/?tls-psk-file={KEYS}'),
            qemu_nbd('qemu-nbd -c, X.509', X509, '--object',
                     f'tls-creds-x509,id=keys,endpoint=client,dir={PKI}'),
            qemu_nbd('qemu-nbd -c, PSK', PSK, '--object',
                     f'tls-creds-psk,id=keys,endpoint=client,username=alice,dir={PKI}')],
}

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


def table(group, rounds):
    base = GROUPS[group][0].name
    for scenario, _ in SCENARIOS:
        print(f'\n{group}: {scenario}\n  {"":28} {"IOPS":>8} {"p50 us":>9}   IOPS ratio to {base}')
        for tool in GROUPS[group]:
            iops = [r[group, tool.name][scenario]['iops'] for r in rounds]
            p50 = [r[group, tool.name][scenario]['p50'] for r in rounds]
            ratios = [r[group, tool.name][scenario]['iops'] / r[group, base][scenario]['iops'] for r in rounds]
            print(f'  {tool.name:28} {statistics.median(iops):8.0f} {statistics.median(p50):9.0f}   '
                  f'{statistics.median(ratios):5.2f} ({min(ratios):.2f}-{max(ratios):.2f})', flush=True)


def prepare(groups):
    for module in ('nbd', 'loop'):
        subprocess.run(['modprobe', module], check=True)
    with open(IMAGE, 'wb') as out:
        for _ in range(SIZE >> 20):
            out.write(os.urandom(1 << 20))
    make_keys()
    if 'tls' in groups:
        for tool in GROUPS['tls']:
            print(f'cipher: {tool.name:28} {cipher_of(tool)}', flush=True)
    return [start_server(port) for port in TLS_OF]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=int, default=5)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--only', choices=GROUPS, action='append', help='a group of rows; repeatable')
    options = parser.parse_args()
    groups = options.only or list(GROUPS)
    servers = prepare(groups)
    rounds = []
    for number in range(options.rounds):
        print(f'round {number + 1} of {options.rounds}', flush=True)
        rounds.append({(group, tool.name): measure(tool, options.seconds)
                       for group in groups for tool in GROUPS[group]})
    for server in servers:
        server.terminate()
    with open('/proc/cpuinfo') as text:
        aes = 'with' if ' aes ' in text.read() else 'without'
    print(f'kernel {os.uname().release}, {os.cpu_count()} CPUs {aes} AES instructions, median of {len(rounds)} rounds')
    for group in groups:
        table(group, rounds)


main()
